"""Looks at rights and accounts: why, effective rights, a role's rights, sharing, copying, who is online, viewing as another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _shared(page: Any) -> None:
    """Two shares, chosen by typing; the page of the record's shares stays open."""
    page.goto("/crm_client/4/_share")
    for box, words in (("users", "王"), ("departments", "销售")):
        field = page.locator(f"[for^=share-{box}] + div .ts-control input").first
        field.click()
        page.locator(".ts-dropdown:visible .option").first.wait_for()
        field.press_sequentially(words)
        page.locator(".ts-dropdown:visible .option", has_text=words).first.click()
        # What is fetched anew after a choice would open the list once more, over the button, while the box has the focus.
        page.wait_for_load_state("networkidle")
        page.locator("h1").click()
        page.locator(".ts-dropdown:visible").wait_for(state="detached")
    page.fill("#share-until", "2099-12-31")
    page.locator("form[action$=_share] button[type=submit]").click()
    page.wait_for_selector("#shared-with")


def _nobody(page: Any) -> None:
    page.goto("/crm_client/4/_share")
    page.locator("form[action$=_share] button[type=submit]").click()
    page.wait_for_selector("[aria-invalid=true]")


def _many(page: Any) -> None:
    page.goto("/crm_client/")
    page.locator("[data-all]").evaluate("one => one.click()")
    page.locator(".m-bulk [value=_share]").evaluate("one => one.click()")
    page.wait_for_selector("#share-more")


def _viewing(page: Any) -> None:
    page.goto("/ab_user/2")
    page.locator("form[action$=view-as] button").click()
    page.wait_for_selector(".m-banner")


def _myself(page: Any) -> None:
    page.locator(".m-banner button").click()
    page.wait_for_url("**/ab_user/2")


def _key(page: Any) -> None:
    page.goto("/account/keys")
    page.fill("#key-name", "收银系统")
    page.locator("form[action$=keys] button[type=submit]").click()
    page.wait_for_selector("#secret")


STATES: dict[str, Callable[[Any], None]] = {
    "why": at("/crm_client/1/_why?verb=edit"), "why not": at("/crm_client/1/_why?verb=edit&person=3"),
    "why at all": at("/crm_client/_why?person=2"), "effective rights": at("/ab_user/3/_rights"), "nothing at all": at("/ab_user/2/_rights"),
    "rights of a role": at("/ab_role/2/_rights/crm_client"), "share": _shared, "share with nobody": _nobody, "share many": _many,
    "copy rights": at("/ab_user/2/_copy-rights"), "online": at("/settings/online"),
    "keys": at("/account/keys"), "key made": _key, "viewing": _viewing, "myself": _myself,
}  # fmt: skip


@each_language
def test_rights_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()
