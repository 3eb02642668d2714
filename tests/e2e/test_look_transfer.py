"""Looks at imports and exports from the choice of a file to the undo, and at what runs in the background."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import HOSTILE, at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LINES = [
    "公司名称,客户来源,手机,生日,随便什么",
    "海天软件有限公司,展会,+86 138 0000 5555,03/04/2026,一",
    "蓝天会展有限公司,天上掉的,下周再问,13/04/2026,二",
    ",网站,１３８００００６６６６,,三",
    f"{HOSTILE},网站,13800007777,,四",
]


def _sent(page: Any, lines: list[str], *, stands_still: bool = False) -> None:
    page.goto("/crm_client/_import")
    page.unroute("**/_progress")
    if stands_still:
        page.route("**/_progress", lambda route: route.fulfill(status=204))
    page.set_input_files("#file", {"name": "名录.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode("gb18030")})
    page.click("main button.btn-primary")


def _reading(page: Any) -> None:
    _sent(page, LINES, stands_still=True)
    page.wait_for_selector("[data-work]")


def _matched(page: Any) -> None:
    _sent(page, ["公司名称,生日,备注", "海天软件有限公司,03/04/2026,一", "海天,05/06/2026,二"])
    page.wait_for_url(re.compile("/columns$"))
    page.select_option("select[name=field-2]", "name")
    page.click(".m-import-go .btn-primary")
    page.wait_for_selector(".m-wrong")


def _tried(page: Any) -> None:
    _sent(page, [*LINES, f"远山{os.urandom(3).hex()}有限公司,网站,,,五"])
    page.wait_for_url(re.compile("/columns$"))
    page.click(".m-import-go .btn-primary")
    page.wait_for_selector(".m-grid")


def _imported(page: Any) -> None:
    """What was tried is imported."""
    page.click("form[action$=run] button")
    page.wait_for_selector("main a[href$=revert]")


def _wrong_row(page: Any) -> None:
    page.locator(".m-fix-btn").first.click()
    page.wait_for_selector("#fix")


def _undo(page: Any) -> None:
    page.click("main a[href$=revert]")
    page.wait_for_selector(".m-question")


def _unreadable(page: Any) -> None:
    _sent(page, ["%PDF-1.7", *LINES])
    page.wait_for_selector("#file-wrong")


def _jobs(page: Any) -> None:
    """What a job said stays in the language of whoever began it: another file's look may have checked the journal in English."""
    page.goto("/jobs/")
    page.evaluate(
        "[...document.querySelectorAll('main li, main tr')].filter((one) => one.textContent.includes('The journal is whole.'))"
        ".forEach((one) => one.remove())"
    )


STATES: dict[str, Callable[[Any], None]] = {
    "import": at("/crm_client/_import"), "import reading": _reading, "import columns": _matched, "import unreadable": _unreadable,
    # One import goes its way through these four.
    "import dry run": _tried, "import result": _imported, "import wrong row": _wrong_row, "import undo": _undo,
    "export": at("/crm_client/_export/ask"), "jobs": _jobs, "jobs running": at("/jobs/?state=running"),
    "jobs failed": at("/jobs/?state=dead"), "jobs none": at("/jobs/?state=cancelled"),
}  # fmt: skip


@each_language
def test_imports_exports_and_jobs_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()
