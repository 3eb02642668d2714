"""Looks at mail, requests and the way in for somebody without a password, and walks that way with a real mail server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.mailbox import Mailbox, mailbox
from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look, look_at, visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """
from core import mail
from core.account_requests import AccountRequest
from core.cli.house import house
from core.db import db
from core.mail import mails
from core.people import User
from core.settings import set_setting
with house(title="看邮件"):
    values = {{"house.address": "{address}", "mail.host": "localhost", "mail.port": {port}, "mail.security": "none",
              "mail.sender": "house@firm.test", "mail.user": None}}
    for key, value in values.items():
        set_setting(key, value)
    person = db.session.query(User).filter(User.username == "wang.fang").one()
    person.email = "wang.fang@firm.test"
    li = db.session.query(User).filter(User.username == "li.wei").one()
    for wish in (dict(new_name="王芳芳", new_phone="13800002222", note="我结婚了，请修改。"), dict(wish="password", signed_in=False)):
        db.session.add(AccountRequest(person_id=person.id, created_by_id=person.id, state="open", **wish))
    for more in (dict(state="declined", reason="请用公司电话。"), dict(state="open")):
        db.session.add(AccountRequest(person_id=li.id, created_by_id=li.id, new_phone="13900001111", **more))
    for state, trouble in (("failed", "refused"), ("sent", None)):
        number = mail.send(person, lambda: mail.Letter("案件提醒：合同续签", ["你好"]))
        db.session.connection().execute(mails.update().where(mails.c.id == number).values(
            state=state, tries=1, trouble=trouble, answer=trouble and "550 5.1.1 查無此人", next_at=None))
    print(number)
"""


@pytest.fixture(scope="module")
def box(firm_to_look_at: Firm) -> Iterator[Mailbox]:
    with mailbox() as made:
        firm_to_look_at.house.python(SET_UP.format(address=firm_to_look_at.address, port=made.port))
        yield made


STATES: dict[str, Callable[[Any], None]] = {
    "mail settings": at("/settings/mail"), "mails": at("/core_mail/"), "mail": at("/core_mail/1"), "requests": at("/settings/requests"),
    "all requests": at("/core_account_request/"), "request": at("/core_account_request/1"), "person with mail": at("/ab_user/2"),
}  # fmt: skip


@each_language
def test_mail_and_requests_fit_are_accessible_and_speak_one_language(
    firm_to_look_at: Firm, box: Mailbox, shots: Path, language: str
) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()


@each_language
def test_the_pages_without_a_password_fit_are_accessible_and_speak_one_language(
    firm_to_look_at: Firm, box: Mailbox, shots: Path, language: str
) -> None:
    page, found = visitor(firm_to_look_at, language), []
    for name, address in (("forgot", "/login/forgot"), ("ask", "/login/ask"), ("choose", "/login/choose")):
        page.goto(address)
        found += look(page, name, language, shots)
    page.fill("#code", "not a link of ours, but as long as one")
    page.click("main form[data-code-form] button")
    page.wait_for_selector("[role=alert]")
    found += look(page, "link over", language, shots)
    page.goto("/login/ask")
    page.fill("#username", f"nobody {language}")
    page.click("form[action='/login/ask'] button")
    page.wait_for_selector("[role=status]")
    found += look(page, "asked", language, shots)
    page.context.close()
    assert not found, "\n".join(found)


@each_language
def test_ones_own_requests_fit_are_accessible_and_speak_one_language(
    firm_to_look_at: Firm, box: Mailbox, shots: Path, language: str
) -> None:
    look_at(firm_to_look_at, {"own requests": at("/account/requests")}, language, shots, who="li.wei").context.close()


def test_somebody_forgets_his_password_and_comes_in_again(firm_to_look_at: Firm, box: Mailbox, shots: Path) -> None:
    page = visitor(firm_to_look_at, "zh_Hans")
    page.goto("/login/")
    page.click("a[href='/login/forgot']")
    page.fill("#username", "wang.fang@firm.test")
    before = len(box.taken)
    page.click("form[action='/login/forgot'] button")
    page.wait_for_selector("[role=status]")
    found = look(page, "forgot sent", "zh_Hans", shots)
    until = time.monotonic() + 60
    while len(box.taken) == before and time.monotonic() < until:
        time.sleep(0.2)
    code = box.code()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/login/choose#{code}")
    # The script hands the code over by itself, and it leaves the address bar.
    page.wait_for_selector("#new")
    assert code not in page.url and not any(code in url for url in asked)
    found += look(page, "choose password", "zh_Hans", shots)
    page.fill("#new", "白鹭 über dem See 77")
    page.fill("#again", "白鹭 über dem See 77")
    page.click("form[action='/login/choose'] button[type=submit]")
    page.wait_for_url("**/login/")
    assert page.locator("[role=status]").is_visible()
    page.fill("#username", "wang.fang")
    page.fill("#password", "白鹭 über dem See 77")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.context.close()
    assert not found, "\n".join(found)
