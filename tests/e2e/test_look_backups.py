"""Looks at the pages of backups, and the way from the list to what would come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def checked(page: Any) -> None:
    """What would come, after the check."""
    page.goto("/backups/backup-20260101-020000.zip/restore")
    page.click("form[action$='/check'] button")
    page.wait_for_selector("#confirm")


STATES: dict[str, Callable[[Any], None]] = {
    "backups": at("/backups"), "restore": at("/backups/backup-20260101-020000.zip/restore"), "what would come": checked,
    "delete a backup": at("/backups/backup-20260101-020000.zip/delete"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def saved(firm_to_look_at: Firm) -> None:
    house = firm_to_look_at.house
    house.must("backup", house.data / "backups" / "backup-20260101-020000.zip")
    house.settings["MORTISE_BACKUP_PASSPHRASE"] = "correct horse battery"
    house.must("backup", "--encrypt", house.data / "backups" / "scheduled-20260102-020000.zip.locked")


@each_language
def test_the_pages_of_backups_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()
    # What a job said stays in the language of whoever began it; other pages are looked at in theirs.
    with firm_to_look_at.house.database() as connection:
        assert connection.exec_driver_sql("DELETE FROM core_job WHERE name LIKE '%%check_backup'").rowcount > 0
