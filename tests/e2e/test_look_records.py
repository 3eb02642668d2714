"""Looks at one record: its form, changed, wrong, saved, in conflict, new, and what a fault of the program looks like."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


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


STATES: dict[str, Callable[[Any], None]] = {
    "form": at("/crm_client/1"), "form long": at("/crm_client/2"), "form hostile": at("/crm_client/3"), "changed": _changed,
    "wrong": _wrong, "conflict": _conflict, "saved": _toast, "new": at("/crm_client/new"),
    "new contact": at("/crm_contact/new?client=1"), "delete": at("/crm_client/1/delete"), "no record": at("/crm_client/999999"),
    "failure": _failure,
}  # fmt: skip


@each_language
def test_forms_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()
