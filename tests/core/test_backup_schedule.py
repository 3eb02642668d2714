"""The schedule at work: what is due is made and checked, also after a stop; what is old goes; a failure is told by the bell."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.locked_file import is_locked
from tests.core.installation import Installation, new
from tests.core.test_backup import BOTH

pytestmark = pytest.mark.slow
SET = """
from core.cli.house import house
with house(title="Schedule"):
    from core.secret_box import keep_secret
    from core.settings import set_setting
    set_setting("backup.rhythm", "daily")
    set_setting("backup.keep_daily", 2), set_setting("backup.keep_weekly", 0), set_setting("backup.keep_monthly", 0)
    keep_secret("backup.passphrase", {words!r})
"""
NOW = "UPDATE core_schedule SET next_at = '2020-01-01 00:00:00.000000' WHERE name = 'core.backup_jobs:look_for_backups'"
MISSED = "UPDATE core_state SET value = value - 3 * 86400 WHERE name = 'backup'"


def look(house: Installation, *statements: str) -> list[str]:
    """The job process runs once; returns the scheduled backups there are."""
    with house.database() as connection:
        for one in statements:
            connection.exec_driver_sql(one)
    house.must("jobs", "--once")
    return sorted(one.name for one in (house.data / "backups").glob("scheduled-*") if not one.name.endswith(".json"))


@pytest.mark.parametrize("kind", BOTH)
def test_a_schedule_is_worked_and_made_up_for_and_tells_of_failures(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "schedule")
    house.must("migrate", "--no-copy")
    house.must("jobs", "--once")
    assert look(house, NOW) == [], "no schedule, no backup"
    house.python(SET.format(words="correct horse battery"))
    (first,) = look(house, NOW)
    assert is_locked(house.data / "backups" / first)
    assert look(house, NOW) == [first], "once a day"
    # Three days without a worker: one is made, and of one day the newest stays.
    (second,) = look(house, NOW, MISSED)
    assert second != first
    assert ("backup-deleted",) in house.ask("SELECT verb FROM core_journal WHERE model = 'core_backup'")
    assert not house.ask("SELECT id FROM core_notification")
    # A passphrase that cannot be read: nothing is made in the clear, and the system administrator is told.
    broken = "UPDATE core_secret SET sealed = 'nonsense' WHERE name = 'backup.passphrase'"
    assert look(house, NOW, MISSED, broken) == [second]
    told = house.ask("SELECT kind, url, text FROM core_notification")
    assert len(told) == 1 and told[0][:2] == ("core.backup", "/backups") and "another installation" in told[0][2]
