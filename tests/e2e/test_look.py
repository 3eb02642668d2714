"""Every page on desk and phone, light and dark, in three languages: nothing runs over, nothing fails axe, no English is left over.

Screenshots go to the folder in MORTISE_LOOK, or to a temporary one, so that people can look at what the tests cannot judge.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import ROOT
from tests.core.installation import Installation
from tests.e2e.conftest import LOCALES, PASSWORD, Firm, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESK, PHONE = 1440, 390
LOOKED_AT = {
    "en": {(DESK, "dark"), (PHONE, "light")},
    "zh_Hans": {(DESK, "light"), (PHONE, "dark")},
    "zh_Hant": {(DESK, "light")},
}
"""Where axe looks in each language: all four ways of looking come up, the order of colours and widths spread over languages."""

LONG = "远山国际会议展览服务（上海）股份有限公司闵行区莘庄分公司第二业务部" * 3
HOSTILE = "<b>粗体</b><script>window.broken=1</script>"
FAULT = '''
from core import Mapped, Model, field, hook


class Fault(Model):
    """Fails."""

    name: Mapped[str] = field()


@hook.before_save(Fault)
def fails(record, changes):
    raise RuntimeError
'''
PEOPLE = f"""
from core.cli.house import house
from core.model import model_of
from core.records import records
from core.custom import CustomField
with house(title="Data for looking"):
    make = lambda table, **values: records(model_of(table)).create(values)
    sales = make("core_department", name="销售一部")
    boss, li = make("ab_user", username="wang.fang", name="王芳", email="w@example.com", level="employee", active=True), None
    make("core_post", user=boss.id, department=sales.id, title="销售经理", is_primary=True)
    records(CustomField).create({{"model": "crm_client", "title": "员工人数", "kind": "integer", "indexed": True}})
    first = make("crm_client", name="远山会展（上海）有限公司", phones="138-0000-1111, 021-66667777", address="上海市人民路1号",
                 category="formal", source="referral", email="info@example.com", remarks="合同每年三月续签。", owner=boss.id)
    make("crm_contact", client=first.id, name="赵敏", title="采购经理", phones="13900001111", is_primary=True)
    make("crm_client", name={LONG!r}, address={LONG!r}, remarks={LONG!r})
    make("crm_client", name={HOSTILE!r})
    make("crm_client", name="🍵 一壶好茶 👨‍👩‍👧 茶馆")
    for place in range(60):
        make("crm_client", name=f"青山贸易有限公司{{place}}", status="signed", phones=f"138000012{{place:02}}")
"""


LINES = [
    "公司名称,客户来源,手机,生日,随便什么",
    "海天软件有限公司,展会,+86 138 0000 5555,03/04/2026,一",
    "蓝天会展有限公司,天上掉的,下周再问,13/04/2026,二",
    ",网站,１３８００００６６６６,,三",
    f"{HOSTILE},网站,13800007777,,四",
]


def prepare(house: Installation) -> None:
    """Data, people, and an addon that fails whenever it is asked to save."""
    house.settings |= {
        "MORTISE_ADMIN_PASSWORD": PASSWORD, "MORTISE_FIRM_NAME": "远山会展（上海）有限公司",
        "MORTISE_FIRM_ZONE": "Asia/Shanghai", "MORTISE_FIRM_CURRENCY": "CNY",
    }  # fmt: skip
    house.addon("look_fault", FAULT)
    house.must("migrate", "--make", "look_fault")
    house.must("migrate")
    house.python(PEOPLE)


@pytest.fixture(scope="module")
def firm(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """An installation with a little of everything."""
    with served(tmp_path_factory.mktemp("look"), browser, prepare) as firm:
        firm.person("li.wei", "李伟", "Salesperson")
        yield firm


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    place = Path(os.environ.get("MORTISE_LOOK") or tmp_path_factory.mktemp("screenshots"))
    place.mkdir(parents=True, exist_ok=True)
    return place


def at(address: str) -> Callable[[Any], None]:
    """A state that is only an address."""
    return lambda page: page.goto(address)


def _changed(page: Any) -> None:
    page.goto("/crm_client/1")
    page.fill("#field-address", "上海市人民路2号")


def _wrong(page: Any) -> None:
    page.goto("/crm_client/1")
    page.fill("#field-name", "")
    page.fill("#field-phones", "下周再问")
    page.click("[data-save] button")
    page.wait_for_selector(".m-wrong")


def _conflict(page: Any) -> None:
    page.goto("/crm_client/5")
    page.fill("#field-address", f"上海市人民路{os.urandom(3).hex()}号")
    other = page.context.new_page()
    other.goto("/crm_client/5")
    other.fill("#field-address", f"上海市解放路{os.urandom(3).hex()}号")
    other.click("[data-save] button")
    other.wait_for_selector(".m-toast")
    other.close()
    page.click("[data-save] button")
    page.wait_for_selector(".m-compare")


def _selected(page: Any) -> None:
    page.goto("/crm_client/")
    page.locator("input[name=ids]").nth(1).evaluate("one => one.click()")


def _bulk_question(page: Any) -> None:
    _selected(page)
    page.locator(".m-bulk [value=delete]").evaluate("one => one.click()")
    page.wait_for_selector(".m-question")


def _launcher(page: Any) -> None:
    page.goto("/crm_client/")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#launcher[open]")


def _found(page: Any) -> None:
    page.goto("/crm_client/2")
    _launcher(page)
    page.wait_for_selector("[data-recent] .m-launch-item")
    page.fill("#launcher input", "yshz")
    page.wait_for_selector("[data-found] .m-launch-item")


def _nothing_found(page: Any) -> None:
    _launcher(page)
    page.fill("#launcher input", "天外飞仙")
    page.wait_for_selector("[data-nothing]:not([hidden])")


def _grouped(page: Any) -> None:
    page.goto("/crm_client/?group=status,category")
    page.locator("[data-fold]").first.click()
    page.locator("[data-fold]:visible").nth(1).click()
    page.wait_for_selector("[data-row]")


def _group_menu(page: Any) -> None:
    page.goto("/crm_client/?group=created_at:month,owner")
    page.click(".m-group-menu")


def _columns(page: Any) -> None:
    page.goto("/crm_client/")
    page.click("summary:has(.ti-columns-3)")


def _filter(page: Any) -> None:
    page.goto("/crm_client/")
    page.locator("[data-open=filter-panel]").first.evaluate("one => one.click()")
    page.wait_for_selector("#filter-panel[open]")


def _me(page: Any) -> None:
    page.goto("/crm_client/")
    page.click("header .m-me summary")


def _toast(page: Any) -> None:
    page.goto("/crm_client/6")
    page.fill("#field-address", f"上海市人民路{os.urandom(3).hex()}号")
    page.click("[data-save] button")
    page.wait_for_selector(".m-toast")


def _failure(page: Any) -> None:
    page.goto("/look_fault/new")
    page.fill("#field-name", "x")
    page.click("[data-save] button")
    page.wait_for_selector(".m-error")


def _sent(page: Any, lines: list[str], *, stands_still: bool = False) -> None:
    page.goto("/crm_client/_import")
    page.unroute("**/_progress")
    if stands_still:
        page.route("**/_progress", lambda route: route.fulfill(status=204))
    page.set_input_files("#file", {"name": "名录.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode("gb18030")})
    page.click("main button.btn-primary")


def _reading(page: Any) -> None:
    _sent(page, LINES, stands_still=True)
    page.wait_for_selector("[data-work]")


def _columns(page: Any) -> None:
    _sent(page, ["公司名称,生日,备注", "海天软件有限公司,03/04/2026,一", "海天,05/06/2026,二"])
    page.wait_for_url(re.compile("/columns$"))
    page.select_option("select[name=field-2]", "name")
    page.click(".m-import-go .btn-primary")
    page.wait_for_selector(".m-wrong")


def _tried(page: Any) -> None:
    _sent(page, LINES)
    page.wait_for_url(re.compile("/columns$"))
    page.click(".m-import-go .btn-primary")
    page.wait_for_selector(".m-grid")


def _imported(page: Any) -> None:
    _sent(page, [*LINES, f"远山{os.urandom(3).hex()}有限公司,网站,,,五"])
    page.wait_for_url(re.compile("/columns$"))
    page.click(".m-import-go .btn-primary")
    page.click("form[action$=run] button")
    page.wait_for_selector("main a[href$=revert]")


def _wrong_row(page: Any) -> None:
    _imported(page)
    page.locator(".m-fix-btn").first.click()
    page.wait_for_selector("#fix")


def _undo(page: Any) -> None:
    _imported(page)
    page.click("main a[href$=revert]")
    page.wait_for_selector(".m-question")


def _unreadable(page: Any) -> None:
    _sent(page, ["%PDF-1.7", *LINES])
    page.wait_for_selector("#file-wrong")


FILTER = '{"and":[{"field":"status","op":"in","value":["signed","dead"]},{"field":"name","op":"contains","value":"青山"}]}'
STATES: dict[str, Callable[[Any], None]] = {
    "start": at("/"), "new what": at("/new"), "account": at("/account"), "password": at("/account/password"), "launcher": _launcher,
    "my menu": _me, "list": at("/crm_client/"), "list second page": at("/crm_client/?order=name"), "list empty": at("/core_team/"),
    "no hits": at("/crm_client/?q=天外飞仙"), "selected": _selected, "bulk question": _bulk_question, "filter panel": _filter,
    "facets": at(f"/crm_client/?filter={FILTER}"),
    "found": _found, "nothing found": _nothing_found, "grouped": _grouped, "group menu": _group_menu, "columns": _columns,
    "grouped no hits": at("/crm_client/?group=status&q=天外飞仙"), "wrong group": at("/crm_client/?group=remarks"),
    "form": at("/crm_client/1"), "form long": at("/crm_client/2"), "form hostile": at("/crm_client/3"),
    "changed": _changed, "wrong": _wrong, "conflict": _conflict, "saved": _toast, "new": at("/crm_client/new"),
    "new contact": at("/crm_contact/new?client=1"),
    "delete": at("/crm_client/1/delete"), "addons": at("/settings/addons"), "addon preview": at("/settings/addons/crm_client/off"),
    "settings": at("/settings/"), "fields": at("/settings/fields/crm_client"), "new field": at("/settings/fields/crm_client/new"),
    "field": at("/settings/fields/crm_client/status"), "dictionary": at("/settings/dictionaries/"), "firm": at("/settings/firm"),
    "journal": at("/settings/journal"), "users": at("/ab_user/"), "user": at("/ab_user/1"), "new user": at("/ab_user/new"),
    "posts": at("/core_post/"), "post": at("/core_post/1"), "departments": at("/core_department/"), "department": at("/core_department/1"),
    "roles": at("/ab_role/"), "role": at("/ab_role/2"), "role rights": at("/core_role_right/"),
    "new role right": at("/core_role_right/new"),
    "field rights": at("/core_field_right/"), "personal rights": at("/core_personal_right/new"),
    "import": at("/crm_client/_import"), "import reading": _reading, "import columns": _columns, "import dry run": _tried,
    "import unreadable": _unreadable, "import result": _imported, "import wrong row": _wrong_row, "import undo": _undo,
    "not found": at("/nothing/"), "no record": at("/crm_client/999999"), "broken filter": at("/crm_client/?filter=x"),
    "export": at("/crm_client/_export/ask"), "jobs": at("/jobs/"), "failure": _failure,
}  # fmt: skip
WORDS = """() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    const ours = !parent.closest("script, style, code, svg, option, datalist, [lang]:not(html)");
    if (ours && parent.checkVisibility()) found.push(walk.currentNode.data);
  }
  for (const one of document.querySelectorAll(":is([aria-label], [placeholder], [title]):not([lang])"))
    for (const name of ["aria-label", "placeholder", "title"]) if (one.hasAttribute(name)) found.push(one.getAttribute(name));
  return found.map((text) => text.trim()).filter(Boolean);
}"""
ENGLISH = re.compile(r"[A-Za-z]{2,} [a-z]{2,}|^[A-Z]?[a-z]{3,}$")
NAMES = {"Mortise", "Excel", "English", "admin", "wang.fang", "Enter", "Test", "Fault", "Faults", "Data for looking", "Account li.wei"}
"""Words on the pages that are no words of the house: names, keys, and what the data of these tests brought along."""


def settle(page: Any) -> None:
    """Until the parts that a page fetches afterwards have come."""
    page.wait_for_selector("[role=status][aria-busy=true]", state="detached")


def english_in(page: Any) -> set[str]:
    """What a Chinese reader would find in English on this page."""
    return {text for text in page.evaluate(WORDS) if ENGLISH.search(text) and text not in NAMES}


def look(page: Any, name: str, language: str, shots: Path) -> list[str]:
    """What is wrong with the page that is open, in every width and both themes."""
    found: list[str] = []
    page.evaluate(AXE)
    for width in (DESK, PHONE):
        page.set_viewport_size({"width": width, "height": 900 if width == DESK else 844})
        for theme in ("light", "dark"):
            if theme == "dark" and (width, theme) not in LOOKED_AT[language]:
                continue
            page.emulate_media(color_scheme=theme)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            where = f"{name} ({language}, {width}, {theme})"
            if wide > 0:
                found.append(f"{where}: {wide} px too wide")
            if (width, theme) in LOOKED_AT[language]:
                for one in page.evaluate("rules => axe.run(document, {runOnly: rules}).then(all => all.violations)", RULES):
                    found.append(f"{where}: {one['id']} {[node['target'] for node in one['nodes']][:3]}")
                if language == "zh_Hans":
                    page.screenshot(path=shots / f"{name.replace(' ', '-')}-{width}-{theme}.png")
    page.set_viewport_size({"width": DESK, "height": 900})
    page.emulate_media(color_scheme="light")
    if language != "en":
        found += [f"{name} ({language}): English is left over: {text!r}" for text in sorted(english_in(page))]
    return found


@pytest.mark.parametrize("language", list(LOCALES))
def test_every_page_fits_is_accessible_and_speaks_one_language(firm: Firm, shots: Path, language: str) -> None:
    firm.faults.clear()
    page = firm.visitor(language=language)
    found: list[str] = []
    page.goto("/login/")
    found += look(page, "sign-in", language, shots)
    page.fill("#username", "admin")
    page.fill("#password", "not this one")
    page.keyboard.press("Enter")
    page.wait_for_selector("#error")
    found += look(page, "sign-in refused", language, shots)
    firm.sign_in(page, "admin")
    found += look(page, "setup", language, shots) if page.url.endswith("/setup") else []
    page.on("dialog", lambda dialog: dialog.accept())
    for name, go in STATES.items():
        go(page)
        settle(page)
        assert page.evaluate("window.broken") is None, "HTML in a name was run"
        found += look(page, name, language, shots)
    wanted = [one for one in firm.faults if "answered 500" not in one]
    assert not found + wanted, "\n".join([*found, *wanted])


def test_a_salesperson_sees_no_door_that_is_shut(firm: Firm, shots: Path) -> None:
    page = firm.sign_in(firm.visitor(language="zh_Hans"), "li.wei")
    found: list[str] = []
    doors = {"start of sales": "/", "refused": "/settings/addons", "nothing mine": "/crm_client/", "my account": "/account"}
    for name, address in doors.items():
        page.goto(address)
        settle(page)
        found += look(page, name, "zh_Hans", shots)
    assert page.locator("a[href*='/settings']").count() == 0
    assert not found, "\n".join(found)
