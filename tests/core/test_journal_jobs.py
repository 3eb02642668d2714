"""The journal by itself: checked by the week, its old months moved out by the month, and by whom that is set."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text

from core.db import db
from core.journal import journal
from core.journal_jobs import check_journal_by_the_week, kept_since, move_old_months_out
from core.journal_keep import CHECKED, REMOVED, check
from core.settings import set_setting
from core.testing import both_databases
from tests.core.test_journal_keep import seal_all


def count(*where):
    db.session.rollback()
    return db.session.execute(select(func.count()).select_from(journal).where(*where)).scalar_one()


@pytest.mark.parametrize(
    ("moment", "months", "trash", "zone", "expected"),
    [
        ("2026-11-28 10:00", 0, 30, "UTC", None),
        ("2026-11-28 10:00", 1, 1, "UTC", "2026-10-01 00:00"),
        ("2026-11-01 00:00", 1, 1, "UTC", "2026-10-01 00:00"),
        ("2026-10-31 23:59", 1, 1, "UTC", "2026-09-01 00:00"),
        ("2026-01-31 10:00", 12, 30, "UTC", "2025-01-01 00:00"),
        ("2024-02-29 10:00", 12, 30, "UTC", "2023-02-01 00:00"),
        # What the trash may bring back stays, whatever the months say.
        ("2026-11-28 10:00", 1, 365, "UTC", "2025-11-01 00:00"),
        ("2026-11-28 10:00", 1, 28, "UTC", "2026-10-01 00:00"),
        ("2026-12-01 10:00", 1, 31, "UTC", "2026-10-01 00:00"),
        # Months are those of the firm: in Shanghai November has begun, in UTC it is October still.
        ("2026-10-31 16:00", 1, 1, "Asia/Shanghai", "2026-09-30 16:00"),
        ("2026-10-31 15:59", 1, 1, "Asia/Shanghai", "2026-08-31 16:00"),
        # The hour of the beginning of a month in summer and in winter.
        ("2026-07-15 10:00", 1, 1, "Europe/Berlin", "2026-05-31 22:00"),
        ("2026-02-15 10:00", 1, 1, "Europe/Berlin", "2025-12-31 23:00"),
        ("2026-02-15 10:00", 1200, 1, "UTC", "1926-02-01 00:00"),
    ],
)
def test_whole_months_of_the_firm_leave_and_never_what_the_trash_needs(moment, months, trash, zone, expected):
    found = kept_since(datetime.fromisoformat(moment), months, trash, zone)
    assert found == (datetime.fromisoformat(expected) if expected else None)


def test_each_day_of_two_years_keeps_at_least_what_was_asked():
    place = ZoneInfo("Asia/Shanghai")
    for day in range(730):
        moment = datetime(2026, 1, 1, 3) + timedelta(days=day)
        found = kept_since(moment, 6, 90, "Asia/Shanghai")
        here, there = moment.replace(tzinfo=UTC).astimezone(place), found.replace(tzinfo=UTC).astimezone(place)
        assert (there.day, there.hour) == (1, 0)
        assert (here.year - there.year) * 12 + here.month - there.month == 6 and moment - found >= timedelta(days=90)


@both_databases
def test_old_months_move_into_a_file_once_a_month_and_the_chain_holds(app, login_as, clock):
    clock.set(datetime(2031, 1, 10, 4))
    boss = login_as("boss", level="system_administrator")
    for name in ("华东", "华南"):
        boss.post("/crm_tag/new", data={"name": name})
    clock.set(datetime(2031, 3, 20, 4))
    login_as("boss").post("/crm_tag/new", data={"name": "华北"})
    set_setting("trash.keep_days", 20)
    db.session.commit()
    seal_all()
    folder = app.config["MORTISE"].data / "journal"
    tags = journal.c.model == "crm_tag"

    def night() -> int:
        move_old_months_out()
        db.session.commit()
        seal_all()
        return len(list(folder.glob("*.gz"))) if folder.exists() else 0

    # For good, until somebody says otherwise.
    assert night() == 0 and count(tags) == 3
    set_setting("journal.keep_months", 2)
    db.session.commit()
    # January is over by two months only when March is; what the test itself was made of is far older.
    assert night() == 1 and count(tags) == 3
    clock.set(datetime(2031, 4, 1, 0, 30))
    assert night() == 2 and count(tags) == 1 and count(journal.c.verb == REMOVED) == 2
    assert night() == 2, "there is nothing more to move this month"
    lines = [json.loads(line) for line in gzip.open(max(folder.iterdir()), "rt", encoding="utf-8")]
    assert [one["model"] for one in lines].count("crm_tag") == 2
    assert check().fine and check().removed > len(lines)


@both_databases
def test_only_a_system_administrator_says_how_long_whatever_the_door(app, login_as, api_as, create_user):
    chief, boss = login_as("chief", level="system_administrator"), login_as("boss", level="administrator")
    assert "How long it is kept" in chief.get("/settings/journal/keep").text
    assert "How long it is kept" not in boss.get("/settings/journal/keep").text
    assert boss.post("/settings/journal/months", data={"keep_months": "1"}).status_code == 403
    chief.post("/settings/journal/months", data={"keep_months": "36"})
    number = db.session.execute(text("SELECT id FROM core_setting WHERE key = 'journal.keep_months'")).scalar_one()
    db.session.rollback()
    done = api_as("boss").delete(f"/api/v1/core_setting/{number}")
    assert done.status_code == 403 and "what the journal keeps, and how long" in done.json["message"]
    for wrong in ("-1", "x", "99999", ""):
        assert "alert-triangle" in chief.post("/settings/journal/months", data={"keep_months": wrong}, follow_redirects=True).text, wrong
    page = chief.post("/settings/journal/months", data={"keep_months": "24"}, follow_redirects=True).text
    assert "kept for 24 months" in page and 'value="24"' in page


@both_databases
def test_the_weekly_check_tells_system_administrators_of_what_was_altered(app, login_as):
    chief, boss = login_as("chief", level="system_administrator"), login_as("boss", level="administrator")
    boss.post("/crm_tag/new", data={"name": "华东"})
    seal_all()
    check_journal_by_the_week()
    db.session.commit()
    assert "altered" not in chief.get("/notifications").text and count(journal.c.verb == CHECKED) == 1
    assert "The journal is whole." in boss.get("/settings/journal/keep").text
    row = db.session.execute(select(journal.c.id).where(journal.c.model == "crm_tag")).scalar_one()
    db.session.execute(text("UPDATE core_journal SET user_id = 1 WHERE id = :id"), {"id": row})
    db.session.commit()
    check_journal_by_the_week()
    db.session.commit()
    assert "altered, taken out or put in" in chief.get("/notifications").text
    assert "altered, taken out or put in" not in boss.get("/notifications").text
    page = boss.get("/settings/journal/keep").text
    assert "tampered with" in page and f"Row {row} " in page
