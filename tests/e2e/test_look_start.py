"""Looks at the way in: signing in, the start page, the launcher, one's own account, and doors that are shut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look, look_at, visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _launcher(page: Any) -> None:
    page.goto("/account")
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


def _me(page: Any) -> None:
    page.goto("/account")
    page.click("header .m-me summary")


STATES: dict[str, Callable[[Any], None]] = {
    "start": at("/"), "new what": at("/new"), "account": at("/account"), "password": at("/account/password"), "my menu": _me,
    "launcher": _launcher, "found": _found, "nothing found": _nothing_found, "not found": at("/nothing/"),
}  # fmt: skip
DOORS: dict[str, Callable[[Any], None]] = {
    "start of sales": at("/"), "refused": at("/settings/addons"), "nothing mine": at("/crm_client/"), "my account": at("/account"),
}  # fmt: skip


@each_language
def test_the_first_pages_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()


@each_language
def test_the_sign_in_page_fits_is_accessible_and_speaks_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    page = visitor(firm_to_look_at, language)
    page.goto("/login/")
    found = look(page, "sign-in", language, shots)
    page.fill("#username", "admin")
    page.fill("#password", "not this one")
    page.keyboard.press("Enter")
    page.wait_for_selector("#error")
    found += look(page, "sign-in refused", language, shots)
    page.context.close()
    assert not found, "\n".join(found)


def test_a_salesperson_sees_no_door_that_is_shut(firm_to_look_at: Firm, shots: Path) -> None:
    page = look_at(firm_to_look_at, DOORS, "zh_Hans", shots, who="li.wei")
    assert page.locator("a[href*='/settings']").count() == 0
    page.context.close()
