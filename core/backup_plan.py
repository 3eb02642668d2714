"""When a backup is due and which old ones go: pure functions of facts and a clock (decision 5). Source: S1-98.

Moments are UTC without zone, as the database has them; days, weeks and months are those of the firm's zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

RHYTHMS = ("never", "daily", "weekly")
SUNDAY = 6


def last_slot(moment: datetime, rhythm: str, hour: int, zone: ZoneInfo) -> datetime | None:
    """The newest moment at or before ``moment`` at which a backup was to begin; None when there is no schedule.

    Daily: at that hour of the firm's clock; weekly: on Sundays. Where summer time leaves the hour out, it is as long after midnight
    as on other days; where the hour comes twice, the first counts.
    """
    if rhythm == "never":
        return None
    today = _local(moment, zone)
    slots = (_begins(today - timedelta(days=back), hour, zone) for back in range(-1, 9))
    fits = (one for one, day in slots if one <= moment and (rhythm == "daily" or day.weekday() == SUNDAY))
    return next(fits)


def next_slot(moment: datetime, rhythm: str, hour: int, zone: ZoneInfo) -> datetime | None:
    """The first moment after ``moment`` at which a backup is to begin; None when there is no schedule."""
    if rhythm == "never":
        return None
    today = _local(moment, zone)
    slots = (_begins(today + timedelta(days=more), hour, zone) for more in range(-1, 9))
    return next(one for one, day in slots if one > moment and (rhythm == "daily" or day.weekday() == SUNDAY))


def due(moment: datetime, rhythm: str, hour: int, zone: ZoneInfo, begun: datetime | None) -> datetime | None:
    """The slot to be worked now: the newest one, if the last that was begun is older. Several missed ones are made up for by one."""
    slot = last_slot(moment, rhythm, hour, zone)
    return slot if slot is not None and (begun is None or begun < slot) else None


def to_remove(made: Iterable[tuple[str, datetime]], zone: ZoneInfo, daily: int, weekly: int, monthly: int) -> list[str]:
    """What goes: the newest of each of the last ``daily`` days, ``weekly`` weeks and ``monthly`` months that have one is kept.

    Counted are days that have a backup, not days of the calendar: a house that stood still loses nothing by it. The newest of all
    always stays. Weeks begin on Monday.
    """
    newest_first = sorted(made, key=lambda one: one[1], reverse=True)
    kept = {0} if newest_first else set()
    spans: list[tuple[int, Callable[[date], object]]] = [
        (daily, lambda day: day), (weekly, lambda day: day.isocalendar()[:2]), (monthly, lambda day: (day.year, day.month)),
    ]  # fmt: skip
    for count, span_of in spans:
        seen: set[object] = set()
        for place, (_name, moment) in enumerate(newest_first):
            span = span_of(_local(moment, zone))
            if span not in seen and len(seen) < count:
                seen.add(span)
                kept.add(place)
    return [name for place, (name, _moment) in enumerate(newest_first) if place not in kept]


def _local(moment: datetime, zone: ZoneInfo) -> date:
    return moment.replace(tzinfo=UTC).astimezone(zone).date()


def _begins(day: date, hour: int, zone: ZoneInfo) -> tuple[datetime, date]:
    return datetime.combine(day, time(hour), zone).astimezone(UTC).replace(tzinfo=None), day
