"""Looks at lists: plain, empty, filtered, grouped, with rows selected, and what may be done with those."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _selected(page: Any) -> None:
    page.goto("/crm_client/")
    page.locator("input[name=ids]").nth(1).evaluate("one => one.click()")


def _bulk_question(page: Any) -> None:
    _selected(page)
    page.locator(".m-bulk [value=delete]").evaluate("one => one.click()")
    page.wait_for_selector(".m-question")


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


def _second_page(page: Any) -> None:
    page.goto("/core_department/?order=name")
    page.click(".m-list-sum [rel=next]")
    page.wait_for_url(re.compile("after="))


def _bulk_edit(page: Any) -> None:
    page.goto("/crm_client/")
    page.locator("[data-all]").evaluate("one => one.click()")
    page.locator(".m-bulk [value=_edit]").evaluate("one => one.click()")
    page.wait_for_selector("#bulk-field")
    # The choice of a field goes on by itself only once the page's scripts have run.
    page.wait_for_load_state("load")


def _bulk_value(page: Any, name: str = "address", value: str = "上海市人民路9号") -> None:
    _bulk_edit(page)
    page.select_option("#bulk-field", name)
    page.fill(f"#field-{name}", value)


def _bulk_changes(page: Any) -> None:
    _bulk_value(page)
    page.click("[form=bulk-value]")
    page.wait_for_selector("#sample")


def _bulk_wrong(page: Any) -> None:
    _bulk_value(page, "phones", "下周再问")
    page.click("[form=bulk-value]")
    page.wait_for_selector(".m-wrong")


def _as_of(page: Any) -> None:
    page.goto("/crm_client/")
    page.click("summary:has(.ti-history)")


TODAY = datetime.now(ZoneInfo("Asia/Shanghai")).date().isoformat()
FILTER = '{"and":[{"field":"status","op":"in","value":["signed","dead"]},{"field":"name","op":"contains","value":"青山"}]}'
STATES: dict[str, Callable[[Any], None]] = {
    "list": at("/crm_client/"), "list by name": at("/crm_client/?order=name"), "list empty": at("/core_team/"),
    "list second page": _second_page, "no hits": at("/crm_client/?q=天外飞仙"), "columns": _columns,
    "selected": _selected, "bulk question": _bulk_question, "filter panel": _filter, "facets": at(f"/crm_client/?filter={FILTER}"),
    "bulk edit": _bulk_edit, "bulk value": _bulk_value, "bulk changes": _bulk_changes, "bulk wrong": _bulk_wrong,
    "grouped": _grouped, "group menu": _group_menu, "grouped no hits": at("/crm_client/?group=status&q=天外飞仙"),
    "as of": _as_of, "list of a day": at("/crm_client/?as_of=2026-01-31"),
    "groups of a day": at(f"/crm_client/?as_of={TODAY}&group=status"), "list of today": at(f"/crm_client/?as_of={TODAY}&order=name"),
    "what changed": at("/changes?scope=all"), "nothing changed": at("/changes?model=core_team"),
    "wrong group": at("/crm_client/?group=remarks"), "broken filter": at("/crm_client/?filter=x"),
}  # fmt: skip


@each_language
def test_lists_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()
