"""A firm's list comes in through the browser: sent, matched, tried, imported while one may look away, corrected row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.installation import Installation
from tests.e2e.conftest import PASSWORD, Firm, served
from tests.firm import firm as list_of_clients

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIST = list_of_clients(3000)
MINUTE = 60_000


def _ready(house: Installation) -> None:
    house.settings |= {"MORTISE_ADMIN_PASSWORD": PASSWORD, "MORTISE_FIRM_NAME": "远山会展", "MORTISE_FIRM_ZONE": "Asia/Shanghai"}
    house.must("migrate")


@pytest.fixture(scope="module")
def firm(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A new installation; the tests of this file walk through it one after another."""
    with served(tmp_path_factory.mktemp("import"), browser, _ready) as firm:
        firm.person("li.wei", "李伟", "Salesperson")
        yield firm
        assert not firm.faults, "\n".join(firm.faults)


@pytest.fixture(scope="module")
def page(firm: Firm) -> Any:
    """A salesperson's page."""
    return firm.sign_in(firm.visitor(language="zh_Hans"), "li.wei")


def send(page: Any, path: Path) -> None:
    """Send a file and wait until it is read."""
    page.goto("/crm_client/")
    page.click("main a[href$=_import]")
    page.set_input_files("#file", path)
    page.click("main button.btn-primary")
    page.wait_for_url(re.compile(r"/columns$"), timeout=MINUTE)


def count(page: Any, outcome: str) -> int:
    """What the tab of this outcome says."""
    return int(page.inner_text(f".m-views a[href*='show={outcome}'] .m-count").replace(",", ""))


def test_a_list_is_matched_tried_and_imported_while_its_page_is_closed(firm: Firm, page: Any) -> None:
    send(page, LIST.write(firm.house.folder / "客户名录.csv", encoding="gb18030"))
    assert "GB18030" in page.inner_text("main") and "3,000 行" in page.inner_text("main")
    assert page.input_value("select[name=field-0]") == "name" and page.input_value("select[name=field-9]") == ""
    page.click(".m-import-go .btn-primary")
    # The page is closed in the middle of the dry run, and opened again.
    page.wait_for_selector("[data-work] progress")
    here = page.url
    page.goto("/")
    page.goto(here)
    page.wait_for_selector(".m-grid", timeout=MINUTE)
    assert (count(page, "created"), count(page, "refused")) == (LIST.good, len(LIST.wrong))
    assert page.locator("td.fixed s").count() > 0, "what is read otherwise than it stands in the file is marked"
    page.click("form[action$=run] button")
    page.wait_for_selector("[data-work] progress")
    page.wait_for_selector(".m-grid", timeout=MINUTE)
    assert (count(page, "created"), count(page, "refused")) == (LIST.good, len(LIST.wrong))
    assert firm.house.ask("SELECT count(*) FROM crm_client") == [(LIST.good,)]
    page.go_back()
    page.wait_for_selector(".m-grid")


def test_wrong_rows_are_corrected_by_keyboard_one_after_the_other(firm: Firm, page: Any) -> None:
    page.click(".m-views a[href*='show=refused']")
    page.wait_for_url(re.compile("show=refused"))
    page.locator(".m-fix-btn").nth(1).press("Enter")
    page.wait_for_selector("#fix")
    at = int(re.search(r"row=(\d+)", page.url)[1])
    # The page's scripts put the keyboard there, a moment after the page has come.
    ready = "document.activeElement.getAttribute('aria-invalid') === 'true'"
    page.wait_for_function(ready)
    page.keyboard.press("Control+a")
    page.keyboard.type("还是不对" if "cell-4" in page.evaluate("document.activeElement.id") else "")
    page.keyboard.press("Enter")
    page.wait_for_selector(".m-toast")
    page.wait_for_function(ready)
    assert f"row={at}" in page.url, "still wrong: the same row, its sentence beside the field"
    page.fill("#cell-0", "改好的有限公司")
    page.fill("#cell-4", "13800001111")
    page.locator("#cell-4").press("Enter")
    page.wait_for_function(f"!location.search.includes('row={at}')")
    page.wait_for_function(ready)
    assert int(re.search(r"row=(\d+)", page.url)[1]) > at, "the next wrong row follows"
    assert count(page, "refused") == len(LIST.wrong) - 1 and count(page, "created") == LIST.good + 1
    assert firm.house.ask("SELECT count(*) FROM crm_client WHERE name = '改好的有限公司'") == [(1,)]


def test_the_same_file_again_is_matched_as_last_time_and_changes_nothing(firm: Firm, page: Any) -> None:
    send(page, firm.house.folder / "客户名录.csv")
    assert page.locator(".m-alert[data-kind=calm]").count() == 1
    page.click(".m-import-go .btn-primary")
    page.wait_for_selector(".m-grid", timeout=MINUTE)
    assert count(page, "same") >= LIST.good - 1 and page.locator("form[action$=run]").count() == 0
    page.click("form[action$=forget] button")
    page.wait_for_selector(".m-toast")
    assert page.locator("tbody tr").count() == 1, "the draft is gone, the import stays"


def test_the_import_is_undone_as_a_whole(firm: Firm, page: Any) -> None:
    page.click("tbody a[href$=revert]")
    assert f"{LIST.good + 1:,}" in page.inner_text(".m-question")
    page.click(".m-question .btn-stop")
    page.wait_for_selector("[data-work], .m-grid")
    page.wait_for_selector(".m-grid", timeout=MINUTE)
    assert firm.house.ask("SELECT count(*) FROM crm_client") == [(0,)]


def test_without_scripts_a_list_comes_in_too(firm: Firm) -> None:
    page = firm.sign_in(firm.visitor(language="zh_Hans", java_script_enabled=False), "li.wei")
    path = firm.house.folder / "三家.csv"
    path.write_text("客户名称,手机\n青山贸易有限公司,13800000001\n青山软件有限公司,13800000002\n", encoding="utf-8")
    page.goto("/crm_client/_import")
    page.set_input_files("#file", path)
    page.click("main button.btn-primary")
    page.wait_for_selector("select[name=field-0]", timeout=MINUTE)
    page.click(".m-import-go .btn-primary")
    page.wait_for_selector(".m-grid", timeout=MINUTE)
    page.click("form[action$=run] button")
    page.wait_for_selector(".m-grid a[href^='/crm_client/']", timeout=MINUTE)
    assert page.locator(".m-grid tbody tr").count() == 2
