"""Looks at rights and accounts: why, effective rights, a role's rights, sharing, copying, who is online, viewing as another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import LONG, at, each_language, look_at

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
        for _again in range(20):
            field.press("Escape")
            page.locator("h1").click()
            page.wait_for_timeout(100)
            if not page.locator(".ts-dropdown:visible").count():
                break
        page.locator(".ts-dropdown:visible").wait_for(state="detached")
    page.fill("#share-until", "2099-12-31")
    # By key: whatever list comes late over the button closes when the button has the focus.
    page.locator("form[action$=_share] button[type=submit]").press("Enter")
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
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("[data-copy]")
    done = page.get_attribute("[data-copy]", "data-done")
    page.locator("[data-copy]", has_text=done).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#the-key")


def _refused(page: Any) -> None:
    """What an employee may not do, told with a way to the reasons."""
    assert page.goto("/crm_client/1/_share").status == 403
    page.wait_for_selector(".m-error a[href*=_why]")


def _no_zone(page: Any) -> None:
    page.goto("/account")
    page.fill("#zone", "Middle/Earth")
    page.locator("form[action$=preferences] .btn-primary").click()
    page.wait_for_selector("[aria-invalid=true]")


def _no_key(page: Any) -> None:
    page.goto("/account/keys")
    page.fill("#key-until", "2020-01-01")
    page.locator("form[action$=keys] button[type=submit]").click()
    page.wait_for_selector("[aria-invalid=true]")


SENTENCES = f"""
from core.cli.house import house
from core.model import model_of
from core.records import records
with house(title="4711"):
    make = lambda table, **values: records(model_of(table)).create(values)
    for expected, verb, rows in (("never", "read", "others"), ("never", "delete", "all"), ("always", "edit", "all")):
        make("core_right_test", role=2, expected=expected, verb=verb, model="crm_client", rows=rows)
    make("core_right_test", of_department=1, expected="never", verb="read", model="crm_client", rows="department", row_department=1)
    make("core_department", name={LONG!r})
    far = dict(rows="department", row_department=62)
    make("core_right_test", role=2, of_department=62, expected="never", verb="edit", model="crm_client", **far)
    make("core_personal_right", user=3, model="crm_client", verb="read", scopes="all", until="2100-01-01T00:00:00")
    make("core_personal_right", user=3, model="crm_client", verb="export", denied=True)
    make("core_field_right", role=2, model="crm_client", field_name="phones", access="hidden")
    make("core_share", model="crm_client", record_id=1, department=62, access="edit", until="2100-01-01T00:00:00")
    make("core_share", model="crm_client", record_id=2, user=2, access="read")
"""
"""What the pages of permission tests, of personal rights and of shares are to say: sentences that hold and that do not, long names."""


@pytest.fixture(scope="module")
def firm(firm_to_look_at: Firm) -> Firm:
    firm_to_look_at.house.python(SENTENCES)
    return firm_to_look_at


MORE: dict[str, Callable[[Any], None]] = {
    "permission tests": at("/core_right_test/"), "permission test": at("/core_right_test/2"), "broken test": at("/core_right_test/1"),
    "long test": at("/core_right_test/5"), "new test": at("/core_right_test/new"), "person": at("/ab_user/3"), "role": at("/ab_role/2"),
    "why a field": at("/crm_client/1/_why?verb=read&field=phones&person=3"),
    "why not export": at("/crm_client/1/_why?verb=export&person=3"),
    "why long": at("/crm_client/2/_why?verb=edit&person=2"), "shared": at("/crm_client/1/_share"),
    "shared long": at("/crm_client/2/_share"),
    "account": at("/account"), "no such zone": _no_zone, "key refused": _no_key, "all rights": at("/ab_user/1/_rights"),
}  # fmt: skip
HIS: dict[str, Callable[[Any], None]] = {
    "refused": _refused, "why to himself": at("/crm_client/_why?verb=share"), "his account": at("/account"),
    "his rights": at("/ab_user/3/_rights"),
}  # fmt: skip

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


@each_language
def test_permission_tests_accounts_and_reasons_fit_too(firm: Firm, shots: Path, language: str) -> None:
    look_at(firm, MORE, language, shots).context.close()


@each_language
def test_what_an_employee_sees_of_his_rights_fits(firm: Firm, shots: Path, language: str) -> None:
    look_at(firm, HIS, language, shots, who="li.wei").context.close()
