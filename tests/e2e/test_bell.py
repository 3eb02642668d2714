"""The bell, from one person's share to the other's record: by keyboard, on a phone, and with a count that comes by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.installation import Installation
from tests.e2e.conftest import PASSWORD, Firm, served
from tests.e2e.looking import PHONE, each_language, look, visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DATA = """
from dataclasses import replace
from sqlalchemy import select
from core.cli.house import house
from core.context import acting, actor
from core.db import db
from core.i18n import lazy
from core.model import model_of
from core.notifications import kinds
from core.people import User
from core.records import records
from core.sharing import clean, share
with house(title="Data for the bell"):
    people = dict(db.session.execute(select(User.username, User.id)).all())
    client = model_of("crm_client")
    made = [records(client).create({"name": name, "owner": people["admin"]}).id for name in (
        "远山会展（上海）有限公司", "青山贸易有限公司", "远山国际会议展览服务（上海）股份有限公司闵行区莘庄分公司" * 3, "<b>粗体</b>")]
    with acting(replace(actor(), user_id=people["admin"], system=False, memo={})):
        for one in made:
            share(client, [one], clean(client, {"users": [people["li.wei"]]}))
    with acting(replace(actor(), user_id=people["admin"], system=False, memo={})):
        more = [records(client).create({"name": f"客户{place}", "owner": people["admin"]}).id for place in range(40)]
        records(client).edit_many(more, {"owner": people["li.wei"]})
        kinds()["core.account"].send(people["li.wei"], lazy("%(who)s has changed your level or your roles."), url="/account")
"""


@pytest.fixture(scope="module")
def firm(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A firm in which an administrator has shared and handed over clients."""

    def prepare(house: Installation) -> None:
        house.settings |= {"MORTISE_ADMIN_PASSWORD": PASSWORD, "MORTISE_FIRM_NAME": "远山会展", "MORTISE_FIRM_ZONE": "Asia/Shanghai"}

    with served(tmp_path_factory.mktemp("bell"), browser, prepare) as firm:
        firm.person("li.wei", "李伟", "Salesperson")
        firm.person("wang.fang", "王芳", "Salesperson")
        firm.house.python(DATA)
        yield firm
        assert not firm.faults, "\n".join(firm.faults)


@each_language
def test_bell_page_and_choice_fit_are_accessible_and_speak_one_language(firm: Firm, shots: Path, language: str) -> None:
    page = firm.sign_in(visitor(firm, language), "li.wei")
    found: list[str] = []
    for name, url in (("bell", "/crm_client/"), ("notifications", "/notifications"), ("notification kinds", "/account/notifications")):
        page.goto(url)
        found += look(page, name, language, shots)
    page.goto("/notifications")
    assert page.evaluate("window.broken") is None
    page.context.close()
    page = firm.sign_in(visitor(firm, language), "wang.fang")
    for name, url in (("nothing unread", "/notifications"), ("no notification", "/notifications?show=all")):
        page.goto(url)
        found += look(page, name, language, shots)
    page.context.close()
    assert not found, "\n".join(found)


def share(page: Any, number: int) -> None:
    """Open a client to 王芳, by clicking."""
    page.goto(f"/crm_client/{number}/_share")
    field = page.locator("[for^=share-users] + div .ts-control input").first
    field.click()
    page.locator(".ts-dropdown:visible .option").first.wait_for()
    field.press_sequentially("王芳")
    page.locator(".ts-dropdown:visible .option", has_text="王芳").first.click()
    page.wait_for_load_state("networkidle")
    page.locator("h1").click()
    page.locator(".ts-dropdown:visible").wait_for(state="detached")
    page.locator("form[action$=_share] button[type=submit]").click()
    page.wait_for_selector("[data-toast]")


def test_what_is_shared_rings_is_opened_by_keyboard_and_is_read_then(firm: Firm) -> None:
    boss, hers = firm.sign_in(firm.visitor(), "admin"), firm.sign_in(firm.visitor(), "wang.fang")
    hers.goto("/crm_client/")
    assert hers.locator("[data-bell-count]").is_hidden()
    share(boss, 1)
    hers.clock.install()
    hers.goto("/crm_client/")
    assert hers.locator("[data-bell-count]").inner_text() == "1"
    hers.focus("[data-bell]")
    hers.keyboard.press("Enter")
    hers.wait_for_url(re.compile("/notifications"))
    hers.focus(".m-note-open")
    hers.keyboard.press("Enter")
    hers.wait_for_url(re.compile("/crm_client/1$"))
    assert hers.locator("[data-bell-count]").is_hidden()
    # Another one, while her page stays open: the count comes by itself within its minute.
    share(boss, 2)
    assert hers.locator("[data-bell-count]").is_hidden()
    hers.clock.run_for(61_000)
    hers.wait_for_selector("[data-bell-count]:not([hidden])")
    assert hers.get_attribute("[data-bell]", "aria-label") == "Notifications, unread: 1"
    boss.context.close()
    hers.context.close()


def test_on_a_phone_all_are_marked_as_read(firm: Firm) -> None:
    page = firm.sign_in(firm.visitor(width=PHONE), "li.wei")
    page.click("[data-bell]")
    page.wait_for_url(re.compile("/notifications"))
    assert page.locator("main .m-notes > li").count() >= 4
    page.click("main .m-head form button")
    page.wait_for_selector("main .m-empty")
    assert page.locator("[data-bell-count]").is_hidden()
    page.context.close()
