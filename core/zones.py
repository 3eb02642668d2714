"""Time zones in SQL: by how much a clock differs from UTC, and since when, so that both databases cut days alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from core.context import zone_of

FIRST_YEAR = 1970
"""Before it the clock counts as it stood then; the house's records are younger."""


@lru_cache(maxsize=64)
def shifts(zone: str, until_year: int) -> list[tuple[datetime, int]]:
    """[(moment in UTC, seconds ahead of UTC from then on)], oldest first, from 1970 to the end of ``until_year``."""
    there = zone_of(zone)

    def ahead(moment: datetime) -> int:
        shift = there.utcoffset(moment.replace(tzinfo=UTC).astimezone(there))
        return int(shift.total_seconds()) if shift else 0

    moment, end = datetime(FIRST_YEAR, 1, 1), datetime(until_year + 1, 1, 1)
    found = [(moment, ahead(moment))]
    while moment < end:
        later = moment + timedelta(days=5)
        if ahead(later) != found[-1][1]:
            low, high = moment, later
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                low, high = (low, middle) if ahead(middle) != found[-1][1] else (middle, high)
            found.append((high, ahead(high)))
        moment = later
    return found
