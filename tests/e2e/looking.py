"""Looks at pages as people cannot at so many: on desk, tablet and phone, light and dark, in three languages.

Nothing may run over, nothing may fail axe, no English may be left over for a Chinese reader. The pages themselves are in the
files `test_look_….py`, a few minutes of the whole together. With MORTISE_TEST_LOOK screenshots go to the folder it names, so
that people can look at what the tests cannot judge.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config import ROOT
from tests.core.installation import Installation
from tests.e2e.conftest import LOCALES, PASSWORD, Firm

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
ASK_AXE = "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations'], preload: false}).then(all => all.violations)"
"""Nothing is preloaded: that is for films and sounds, and for style sheets of other sites."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESK, TABLET, PHONE = 1440, 1024, 390
HEIGHTS = {DESK: 900, TABLET: 768, PHONE: 844}
LOOKED_AT = {"en": {(DESK, "dark")}, "zh_Hans": {(DESK, "light"), (PHONE, "dark")}, "zh_Hant": {(PHONE, "light")}}
"""Where axe looks in each language. Colours and widths are the same in all of them, so each way of looking comes up once."""
each_language = pytest.mark.parametrize("language", list(LOCALES))

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
from datetime import timedelta
from core.cli.house import house
from core.context import now
from core.db import db
from core.jobs import core_job
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
    for place in range(12):
        make("crm_client", name=f"青山贸易有限公司{{place}}", status="signed", phones=f"138000012{{place:02}}")
    for place in range(60):
        make("core_department", name=f"驻外{{place:02}}部")
    # One job half way, its lease far from over, one that waits for its next attempt, and one that failed for good.
    job = {{"addon": "core", "arguments": '{{"table": "crm_client"}}', "user_id": 1, "language": "en", "zone": "Asia/Shanghai",
           "created_at": now() - timedelta(minutes=3), "started_at": now() - timedelta(minutes=2), "attempts": 1}}
    full = "The file could not be written; perhaps the disk is full. Please tell your administrator, then try again."
    for more in (
        {{"name": "core.transfer.export_jobs:write_export", "state": "running", "done": 41000, "total": 250000}},
        {{"name": "core.transfer.export_jobs:write_export", "state": "queued", "last_error": full}},
        {{"name": "core.transfer.export_jobs:write_export", "state": "dead", "last_error": full, "finished_at": now()}},
    ):
        db.session.execute(core_job.insert().values(**job, due_at=now() + timedelta(days=9), **more))
"""


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


def at(address: str) -> Callable[[Any], None]:
    """A state that is only an address."""
    return lambda page: page.goto(address)


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


def visitor(firm: Firm, language: str) -> Any:
    """A page of a browser of its own that axe can look at, wherever it goes."""
    page = firm.visitor(language=language)
    page.context.add_init_script(AXE)
    return page


def look(page: Any, name: str, language: str, shots: Path) -> list[str]:
    """What is wrong with the page that is open, in every width and in the colours that this language is looked at in."""
    found: list[str] = []
    for width in (TABLET, DESK, PHONE):
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            found.append(f"{name} ({language}, {width}): {wide} px too wide")
        for theme in sorted(theme for one, theme in LOOKED_AT[language] if one == width):
            page.emulate_media(color_scheme=theme)
            for one in page.evaluate(ASK_AXE, RULES):
                found.append(f"{name} ({language}, {width}, {theme}): {one['id']} {[node['target'] for node in one['nodes']][:3]}")
            if language == "zh_Hans" and "MORTISE_TEST_LOOK" in os.environ:
                page.screenshot(path=shots / f"{name.replace(' ', '-')}-{width}-{theme}.png")
    page.set_viewport_size({"width": DESK, "height": HEIGHTS[DESK]})
    page.emulate_media(color_scheme="light")
    if language != "en":
        found += [f"{name} ({language}): English is left over: {text!r}" for text in sorted(english_in(page))]
    return found


def look_at(firm: Firm, states: dict[str, Callable[[Any], None]], language: str, shots: Path, who: str = "admin") -> Any:
    """Bring one page after the other into its state and look at it; fails with all that is wrong, returns the page, still open."""
    firm.faults.clear()
    page = firm.sign_in(visitor(firm, language), who)
    page.on("dialog", lambda dialog: dialog.accept())
    found: list[str] = []
    for name, go in states.items():
        go(page)
        settle(page)
        assert page.evaluate("window.broken") is None, "HTML in a name was run"
        found += look(page, name, language, shots)
    found += [one for one in firm.faults if "answered 500" not in one]
    assert not found, "\n".join(found)
    return page
