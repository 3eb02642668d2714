"""When a backup is due and which old ones go: every edge of days, zones, weeks and months, by facts and a clock alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.backup_plan import due, last_slot, next_slot, to_remove

SHANGHAI, BERLIN, UTC_ZONE = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("moment", "rhythm", "hour", "zone", "slot"), [
    ("2026-03-01 00:00", "never", 2, UTC_ZONE, None),
    ("2026-03-01 02:00", "daily", 2, UTC_ZONE, "2026-03-01 02:00"),
    ("2026-03-01 01:59:59", "daily", 2, UTC_ZONE, "2026-02-28 02:00"),
    ("2028-03-01 01:00", "daily", 2, UTC_ZONE, "2028-02-29 02:00"),
    ("2027-01-01 00:30", "daily", 1, UTC_ZONE, "2026-12-31 01:00"),
    # Two in the morning in Shanghai is six in the evening before.
    ("2026-03-01 17:59", "daily", 2, SHANGHAI, "2026-02-28 18:00"),
    ("2026-03-01 18:00", "daily", 2, SHANGHAI, "2026-03-01 18:00"),
    # 2026-03-29 has no 02:00 in Berlin: as long after midnight as on other days; 2026-10-25 has two, and the first counts.
    ("2026-03-29 01:00", "daily", 2, BERLIN, "2026-03-29 01:00"),
    ("2026-03-29 00:59", "daily", 2, BERLIN, "2026-03-28 01:00"),
    ("2026-10-25 00:00", "daily", 2, BERLIN, "2026-10-25 00:00"),
    ("2026-10-25 23:00", "daily", 2, BERLIN, "2026-10-25 00:00"),
    ("2026-10-26 01:00", "daily", 2, BERLIN, "2026-10-26 01:00"),
    # Sundays of the firm: 2026-03-01 is one; in Shanghai it begins on Saturday, 16:00.
    ("2026-03-01 02:00", "weekly", 2, UTC_ZONE, "2026-03-01 02:00"),
    ("2026-03-01 01:59", "weekly", 2, UTC_ZONE, "2026-02-22 02:00"),
    ("2026-03-07 23:59", "weekly", 2, UTC_ZONE, "2026-03-01 02:00"),
    ("2026-02-28 18:00", "weekly", 2, SHANGHAI, "2026-02-28 18:00"),
    ("2026-02-28 17:59", "weekly", 2, SHANGHAI, "2026-02-21 18:00"),
])  # fmt: skip
def test_the_slot_that_counts_now(moment: str, rhythm: str, hour: int, zone: ZoneInfo, slot: str | None) -> None:
    assert last_slot(at(moment), rhythm, hour, zone) == (at(slot) if slot else None)


@pytest.mark.parametrize("zone", [SHANGHAI, BERLIN, UTC_ZONE, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")])
@pytest.mark.parametrize("rhythm", ["daily", "weekly"])
@pytest.mark.parametrize("hour", [0, 2, 23])
def test_a_year_of_looking_every_five_minutes_works_each_slot_once(zone: ZoneInfo, rhythm: str, hour: int) -> None:
    moment, end = at("2026-01-01 00:03"), at("2027-01-08 00:00")
    begun, worked = moment, []
    while moment < end:
        if (slot := due(moment, rhythm, hour, zone, begun)) is not None:
            assert moment - slot < timedelta(minutes=30)
            begun = slot
            worked.append(slot)
        ahead = next_slot(moment, rhythm, hour, zone)
        assert ahead is not None and ahead > moment and last_slot(ahead, rhythm, hour, zone) == ahead
        moment += timedelta(minutes=25)
    days = [one.replace(tzinfo=UTC).astimezone(zone).date() for one in worked]
    assert len(days) == len(set(days)) == (53 if rhythm == "weekly" else len(days))
    steps = {(later - earlier).days for earlier, later in zip(days, days[1:], strict=False)}
    assert steps == ({7} if rhythm == "weekly" else {1}), (zone, steps)


def test_what_was_missed_while_nobody_worked_is_made_up_for_once() -> None:
    begun = at("2026-03-01 02:00")
    back = at("2026-03-09 15:00")
    slot = due(back, "daily", 2, UTC_ZONE, begun)
    assert slot == at("2026-03-09 02:00")
    assert due(back, "daily", 2, UTC_ZONE, slot) is None
    assert due(at("2026-03-10 02:00"), "daily", 2, UTC_ZONE, slot) == at("2026-03-10 02:00")
    # The first one of a house is made at once; a clock that was set back makes none.
    assert due(back, "daily", 2, UTC_ZONE, None) == at("2026-03-09 02:00")
    assert due(at("2026-02-01 12:00"), "daily", 2, UTC_ZONE, begun) is None
    assert due(back, "never", 2, UTC_ZONE, None) is None


def test_what_is_kept_of_two_years() -> None:
    nights = [at("2026-12-31 18:30") - timedelta(days=back) for back in range(730)]
    made = [(f"{one:%Y-%m-%d}", one) for one in nights]
    gone = set(to_remove(made, SHANGHAI, 7, 4, 12))
    kept = [name for name, _moment in made if name not in gone]
    # 18:30 UTC is already the next day of the firm: the newest is of 1 January, a month, a week and a day of its own.
    assert kept[:7] == [f"2026-12-{day}" for day in (31, 30, 29, 28, 27, 26, 25)]
    assert "2026-12-26" in kept and "2026-12-19" in kept and "2026-12-12" in kept, "Sundays of the firm"
    months = [name for name in kept if name[8:] in ("30", "31", "27", "29") and name[5:7] != "12" or name == "2026-12-30"]
    assert months == [
        "2026-12-30", "2026-11-29", "2026-10-30", "2026-09-29", "2026-08-30", "2026-07-30", "2026-06-29", "2026-05-30", "2026-04-29",
        "2026-03-30", "2026-02-27",
    ]  # fmt: skip
    assert to_remove([one for one in made if one[0] in kept], SHANGHAI, 7, 4, 12) == [], "what is kept once is kept again"


@pytest.mark.parametrize(("keep", "left"), [
    ((0, 0, 0), ["c"]), ((1, 0, 0), ["c"]), ((2, 0, 0), ["c", "b"]), ((0, 1, 0), ["c"]), ((0, 2, 0), ["c", "a"]), ((0, 0, 2), ["c", "b"]),
    ((3, 3, 3), ["c", "b", "a"]),
])  # fmt: skip
def test_spans_without_backups_do_not_count(keep: tuple[int, int, int], left: list[str]) -> None:
    made = [("a", at("2026-01-24 12:00")), ("c", at("2026-02-01 12:00")), ("b", at("2026-01-31 12:00"))]
    gone = to_remove(made, UTC_ZONE, *keep)
    assert [name for name in ("c", "b", "a") if name not in gone] == left
    assert to_remove([], UTC_ZONE, *keep) == []


def test_of_one_day_the_newest_stays() -> None:
    made = [("morning", at("2026-01-31 03:00")), ("noon", at("2026-01-31 12:00")), ("night", at("2026-01-31 16:30"))]
    assert to_remove(made, UTC_ZONE, 5, 0, 0) == ["noon", "morning"]
    # In Shanghai the last is of February already.
    assert to_remove(made, SHANGHAI, 5, 0, 0) == ["morning"]
