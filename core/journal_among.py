"""Entries that hold a record among others: pages of lists that were read, and exports; for the question about one record.

Such an entry stands under the number 0 of its kind of record and names the records in its text, so no index knows them. It is looked
for among the newest entries of that kind of the time asked for, a bounded number of them. Source: S1-101, S2-37.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from core.db import db
from core.journal import journal

if TYPE_CHECKING:
    from core.journal_query import Question

MOST = 5_000
"""So many entries are looked through for one question: some 100 ms, and with pages of a hundred records some 3 MB."""
CHUNK = 500
AT_ONCE = 1_000


@dataclass(slots=True)
class Among:
    """What was found."""

    places: list[tuple[int, int]] = field(default_factory=list)
    """(batch, id) of each entry, newest first."""
    since: datetime | None = None
    """Older entries than this one's moment (UTC) were not looked at; None when all were."""

    @property
    def ids(self) -> list[int]:
        """The numbers of the entries."""
        return [number for _batch, number in self.places]


def among(asked: Question) -> Among:
    """The entries of an answer that hold the record asked for among others."""
    found = Among()
    if not (asked.model and asked.record) or asked.field or asked.value:
        return found
    looked = 0
    for row in _entries(asked):
        if looked == MOST:
            found.since = row.at
            break
        looked += 1
        if '"ids"' in row.changes and asked.fits(row) and _holds(json.loads(row.changes).get("ids"), asked.record):
            found.places.append((row.batch_id, row.id))
    found.places.sort(reverse=True)
    return found


def _entries(asked: Question) -> Iterator[Any]:
    """The entries about several records of this kind, newest first, as the index by kind and record has them."""
    columns = journal.c
    names = ("id", "at", "batch_id", "user_id", "verb", "door", "changes")
    base = select(*(columns[name] for name in names)).where(columns.model == asked.model, columns.record_id == 0)
    last, left = _newest(asked), MOST + 1
    while left > 0:
        query = base.where(columns.id < last) if last is not None else base
        rows = db.session.execute(query.order_by(columns.id.desc()).limit(min(CHUNK, left))).all()
        for row in rows:
            if asked.begin is not None and row.at < asked.begin:
                return
            yield row
        if len(rows) < CHUNK:
            return
        last, left = rows[-1].id, left - len(rows)


def _newest(asked: Question) -> int | None:
    """The number below which the entries of the time asked for stand; None when it has no end."""
    if asked.until is None:
        return None
    # The first by time hold the highest number among them, also when several were written at the same moment.
    some = select(journal.c.id).where(journal.c.at < asked.end).order_by(journal.c.at.desc()).limit(AT_ONCE).subquery()
    return int(db.session.execute(select(func.max(some.c.id))).scalar() or 0) + 1


def _holds(told: Any, number: int) -> bool:
    """Is the record among the ``ids`` of an entry: those of a page, or the pieces of an export (`core.reading.spans`)?"""
    if not isinstance(told, list):
        return False
    if len(told) == 2 and isinstance(told[1], str):
        return any(int(first) <= number <= int(last or first) for first, _to, last in (one.partition("-") for one in _pieces(told[1])))
    return number in told


def _pieces(text: str) -> list[str]:
    return [one for one in text.split() if one[0].isdigit()]
