"""A session that ends while a form is open: one signs in again in the page, and nothing typed or chosen is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyotp
import pytest

from tests.core.installation import Installation
from tests.e2e.conftest import PASSWORD, Firm, served
from tests.e2e.looking import ASK_AXE, AXE, RULES
from tests.e2e.test_everyday import SETTINGS, save

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SET_UP = """
from core.cli.house import house
from core.context import now
from core import second_factor
from core.custom import CustomField
from core.db import db
from core.model import model_of
from core.people import User
from core.records import records
from sqlalchemy import select
with house(title="Data for signing in again"):
    records(CustomField).create({"model": "crm_client", "title": "Paper", "kind": "file"})
    db.session.commit()
    records(model_of("crm_client")).create({"name": "One"})
    who = db.session.scalars(select(User).where(User.username == "wang.fang")).one()
    key, _address = second_factor.begin(who.id, who.username)
    second_factor.confirm(who.id, __import__("pyotp").TOTP(key).now())
    db.session.connection().execute(second_factor.factors.update().values(last_step=0))
    print("KEY", key)
"""


@pytest.fixture(scope="module")
def firm(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A firm with an administrator, and another one who has a second factor."""

    def prepare(house: Installation) -> None:
        house.settings |= SETTINGS

    with served(tmp_path_factory.mktemp("again"), browser, prepare) as firm:
        firm.person("wang.fang", "王芳", admin=True)
        firm.key = firm.house.python(SET_UP).split("KEY ")[1].split()[0]  # type: ignore[attr-defined]
        yield firm
        assert not firm.faults, "\n".join(firm.faults)


def end_all(firm: Firm) -> None:
    with firm.house.database() as connection:
        connection.exec_driver_sql("DELETE FROM core_session")


def stored(firm: Firm, column: str = "address") -> Any:
    return firm.house.ask(f"SELECT {column} FROM crm_client WHERE id = 1")[0][0]


@pytest.mark.parametrize("width", [1440, 390])
def test_the_form_goes_on_with_text_and_file_after_signing_in_again(firm: Firm, width: int) -> None:
    page = firm.sign_in(firm.visitor(width=width), "admin")
    page.goto("/crm_client/1")
    page.fill("#field-address", f"会话结束路{width}号")
    page.set_input_files("input[type=file]", {"name": f"合同{width}.txt", "mimeType": "text/plain", "buffer": b"agreed"})
    end_all(firm)
    save(page)
    page.wait_for_selector("dialog#sign-in-again[open]")
    page.evaluate(AXE)
    assert page.evaluate(ASK_AXE, RULES) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.type("not this one at all")
    page.keyboard.press("Enter")
    page.get_by_text("The user name or the password is not right.").wait_for()
    page.fill("#again-password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".m-toast")
    assert stored(firm) == f"会话结束路{width}号" and f"合同{width}.txt" in page.content()
    page.context.close()


def test_who_has_a_second_factor_gives_its_code_too(firm: Firm) -> None:
    page = firm.visitor()
    page.goto("/login/")
    page.fill("#username", "wang.fang")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/login/code")
    page.fill("#code", pyotp.TOTP(firm.key).now())  # type: ignore[attr-defined]
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.goto("/crm_client/1")
    page.fill("#field-address", "两步路")
    end_all(firm)
    save(page)
    page.wait_for_selector("dialog#sign-in-again[open]")
    assert not page.is_visible("#again-code")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#again-code", state="visible")
    with firm.house.database() as connection:
        # So that the test need not wait half a minute for the next code.
        connection.exec_driver_sql("UPDATE core_second_factor SET last_step = 0")
    page.fill("#again-code", pyotp.TOTP(firm.key).now())  # type: ignore[attr-defined]
    page.keyboard.press("Enter")
    page.wait_for_selector(".m-toast")
    assert stored(firm) == "两步路"
    page.context.close()


def test_nothing_is_sent_in_the_name_of_somebody_else_who_signed_in_meanwhile(firm: Firm) -> None:
    page = firm.sign_in(firm.visitor(), "admin")
    page.goto("/crm_client/1")
    before = stored(firm)
    page.fill("#field-address", "别人的名字")
    end_all(firm)
    other = page.context.new_page()
    other.goto("/login/")
    other.fill("#username", "wang.fang")
    other.fill("#password", PASSWORD)
    other.keyboard.press("Enter")
    other.wait_for_url("**/login/code")
    with firm.house.database() as connection:
        connection.exec_driver_sql("UPDATE core_second_factor SET last_step = 0")
    other.fill("#code", pyotp.TOTP(firm.key).now())  # type: ignore[attr-defined]
    other.keyboard.press("Enter")
    other.wait_for_url(lambda url: "/login" not in url)
    save(page)
    page.get_by_text("Somebody else has signed in").wait_for()
    assert stored(firm) == before
    page.click("[data-later]")
    assert page.input_value("#field-address") == "别人的名字"
    save(page)
    page.wait_for_selector("dialog#sign-in-again[open]")
    page.fill("#again-password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".m-toast")
    assert stored(firm) == "别人的名字"
    ask = "SELECT u.username FROM crm_client c JOIN ab_user u ON u.id = c.changed_by_id WHERE c.id = 1"
    assert firm.house.ask(ask) == [("admin",)]
    page.context.close()
