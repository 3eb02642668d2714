"""Looks at accounts and at what was: second factor, locked accounts, leaving, departments, all rights of a role, earlier states, trash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PASSWORD, Firm
from tests.e2e.looking import at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _changed(page: Any) -> None:
    """A client is changed, so that there is something to compare."""
    page.goto("/crm_client/4")
    page.fill("#field-remarks", "改" if page.input_value("#field-remarks") != "改" else "再改")
    page.click("[data-save] button[type=submit]")
    page.wait_for_selector(".m-toast")
    page.goto("/crm_client/4/_past")


def _started(page: Any) -> None:
    page.goto("/account/second-factor")
    if page.locator("#password").count():
        page.fill("#password", PASSWORD)
        page.locator("form[action$=start] button").click()
        page.wait_for_selector(".m-qr")


def _wrong(page: Any) -> None:
    page.goto("/account/second-factor")
    page.fill("#code", "000000")
    page.locator("form[action$=confirm] button").click()
    page.wait_for_selector("[aria-invalid=true]")


def _failed(page: Any) -> None:
    """Somebody has failed to sign in, in a browser of his own."""
    other = page.context.browser.new_context(base_url=page.url.split("/", 3)[0] + "//" + page.url.split("/")[2])
    visitor = other.new_page()
    for _number in range(6):
        visitor.goto("/login/")
        visitor.fill("#username", "nobody.here")
        visitor.fill("#password", "certainly wrong")
        visitor.keyboard.press("Enter")
        visitor.wait_for_selector("#error")
    other.close()
    page.goto("/settings/locked")


def _checked(page: Any) -> None:
    page.goto("/settings/journal/keep")
    page.locator("form[action$=check] button").click()
    # A job walks the chain.
    for _second in range(60):
        page.goto("/settings/journal/keep")
        if page.locator("#checked").count():
            break
        page.wait_for_timeout(500)
    page.wait_for_selector("#checked")


def _deleted(page: Any) -> None:
    page.goto("/core_team/new")
    page.fill("#field-name", "临时小组")
    page.click("[data-save] button[type=submit]")
    page.wait_for_selector(".m-toast")
    page.locator(".m-strip-actions .btn-stop").click()
    page.locator(".m-question .btn-stop").click()
    page.wait_for_selector(".m-toast")
    page.goto("/trash")


PAGES = {
    "second factor": at("/account/second-factor"), "second factor begun": _started, "second factor wrong": _wrong,
    "account": at("/account"), "locked": _failed, "leave": at("/ab_user/2/_leave"), "departments": at("/departments"),
    "role": at("/ab_role/2"), "rights of a role at once": at("/ab_role/2/_rights"), "two roles": at("/ab_role/2/_rights?beside=3"),
    "past": _changed, "past of something new": at("/core_department/1/_past"),
    "journal asked": at("/settings/journal?person=1&since=2020-01-01"), "journal asked wrongly": at("/settings/journal?record=x"),
    "journal of a record": at("/settings/journal?model=crm_client&record=1"),
    "journal kept": at("/settings/journal/keep"), "journal checked": _checked,
    "trash": _deleted, "trash of a kind": at("/trash?model=crm_client"),
}  # fmt: skip


@each_language
def test_accounts_and_what_was(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, PAGES, language, shots).context.close()
