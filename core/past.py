"""The past of a record: what it and its lines were after any of its changes, read backwards from the journal.

Backwards, because what is stored now is surely there: older rows of the journal may have been moved out by then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import inspect, select, union_all

from core.db import db
from core.fields import Field
from core.journal import LOOKING, journal
from core.model import fields_of, links_to
from core.undo import stored

QUIET = {"mortise_rules": False}
WRITES = ("create", "edit", "delete")
MOST_MOMENTS = 10_000
CHUNK = 500
Values = dict[str, Any]
"""{field: value as JSON}, custom fields included, also those that are no field any more; empty values are left out."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One change of a record or of its lines."""

    row: int
    """The number in the journal after which the record was as the change had left it."""
    at: datetime
    user_id: int | None
    batch_id: int
    erased: bool
    """What was before it has been erased from the journal, so that earlier states are told as far as they are known."""


@dataclass(slots=True)
class Past:
    """A record as it was."""

    values: Values | None
    """None when it was not there: not made yet, or deleted."""
    parts: dict[type, dict[int, Values]] = field(default_factory=dict)
    """{model of a line: {id: its values}}."""
    elsewhere: dict[type, dict[int, Values]] = field(default_factory=dict)
    """The same of lines that were a part of another record, and are or were one of this at another of the moments asked for."""


def parts_of(model: type) -> list[tuple[type, Field]]:
    """(model, link) of everything whose records are parts of ``model``'s."""
    return [(other, link) for other, link in links_to(model) if link.part_of]


def is_gone(model: Any, name: str) -> bool:
    """Was this a field that an administrator had made and deleted? One that sleeps with its addon is not gone."""
    return name not in model.__fields__ and name not in fields_of(model)


def moments(model: type, record_id: int, parts: Sequence[tuple[type, Field]] = ()) -> list[Moment]:
    """The changes of a record and its lines, oldest first; one statement. What one save has written is one moment."""
    columns = [journal.c[name] for name in ("id", "at", "user_id", "batch_id", "digest")]
    own = select(*columns).where(journal.c.model == model.__tablename__, journal.c.record_id == record_id, journal.c.verb.in_(WRITES))
    lines = [
        select(*columns).where(journal.c.model == other.__tablename__, journal.c.part_of_id == record_id, journal.c.verb.in_(WRITES))
        for other, _link in parts
    ]
    came = [_arrivals(columns, other, link, record_id) for other, link in parts]
    every = union_all(own, *lines, *came).subquery()
    rows = db.session.execute(select(every).order_by(every.c.id.desc()).limit(MOST_MOMENTS)).all()
    found: list[Moment] = []
    for row in rows:
        if not found or found[-1].batch_id != row.batch_id:
            found.append(Moment(row.id, row.at, row.user_id, row.batch_id, row.digest is not None))
    return found[::-1]


def rows_with_parts(model: type, record_id: int, parts: Sequence[tuple[Any, Field]], limit: int) -> list[Any]:
    """The newest rows of the journal of a record and of what was, is or came to be a line of it; one statement."""
    columns = [journal.c[name] for name in ("id", "at", "user_id", "batch_id", "door", "model", "record_id", "verb", "changes")]
    own = journal.c.model == model.__tablename__, journal.c.record_id == record_id, journal.c.verb.not_in(LOOKING)  # type: ignore[attr-defined]
    newest = [select(*columns).where(*own)]
    for other, link in parts:
        rows = select(*columns).where(journal.c.model == other.__tablename__, journal.c.verb.in_(WRITES))
        newest.append(rows.where(journal.c.part_of_id == record_id))
        newest.append(_arrivals(columns, other, link, record_id))
    some = [select(one.order_by(journal.c.id.desc()).limit(limit).subquery()) for one in newest]
    every = (union_all(*some) if len(some) > 1 else some[0]).subquery()
    query = select(every).order_by(every.c.id.desc()).limit(limit)
    return list(db.session.execute(query, execution_options=QUIET).all())


def _arrivals(columns: Sequence[Any], other: Any, link: Field, record_id: int) -> Any:
    """The rows of lines that came from another record: they say what a line was a part of before, so not of this one."""
    table, earlier = other.__table__, journal.alias()
    now = select(table.c.id).where(table.c[link.key] == record_id)
    once = select(earlier.c.record_id).where(earlier.c.model == table.name, earlier.c.part_of_id == record_id)
    words = (f'"{link.name}":[', f",{record_id}]")
    return select(*columns).where(
        journal.c.model == table.name, journal.c.verb == "edit", journal.c.record_id.in_(now.union_all(once)),
        journal.c.part_of_id != record_id, *(journal.c.changes.contains(word, autoescape=True) for word in words),
    )  # fmt: skip


def pasts(model: type, record_id: int, after: Sequence[int], parts: Sequence[tuple[type, Field]] = ()) -> list[Past]:
    """What a record was after each of these numbers of the journal; a statement for it, one for its changes, three a kind of line.

    No rights are asked: whoever shows this asks them, of the record and of each field.
    """
    places = sorted(set(after), reverse=True)
    found = {one: Past(None) for one in places}
    for place, values in _rewound(model, [record_id], places)[record_id].items():
        found[place].values = values
    for other, link in parts:
        for one, states in _rewound(other, _ever(other, link, record_id, places[-1]), places).items():
            for place, values in states.items():
                if values is not None:
                    past = found[place]
                    mine = past.parts if values.get(link.name) == record_id else past.elsewhere
                    mine.setdefault(other, {})[one] = values
    return [found[one] for one in after]


def _ever(other: Any, link: Field, record_id: int, since: int) -> list[int]:
    """Ids of the lines that a record has, or has had since this number of the journal."""
    now = db.session.execute(select(other.id).where(getattr(other, link.key) == record_id), execution_options=QUIET).scalars()
    gone = select(journal.c.record_id).where(
        journal.c.model == other.__tablename__, journal.c.part_of_id == record_id, journal.c.id > since, journal.c.verb.in_(WRITES)
    )
    return sorted({*now, *db.session.execute(gone.distinct()).scalars()})


def _rewound(model: Any, ids: Sequence[int], places: Sequence[int]) -> dict[int, dict[int, Values | None]]:
    """{id: {number of the journal: values}}; ``places`` from new to old."""
    found: dict[int, dict[int, Values | None]] = {}
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        query = select(model).where(model.id.in_(some)).execution_options(populate_existing=True)
        present = {one.id: values_of(one) for one in db.session.execute(query, execution_options=QUIET).scalars()}
        since = select(journal.c.id, journal.c.record_id, journal.c.verb, journal.c.changes).where(
            journal.c.model == model.__tablename__, journal.c.record_id.in_(some), journal.c.id > places[-1], journal.c.verb.in_(WRITES)
        )
        changes: dict[int, list[Any]] = {}
        for row in db.session.execute(since.order_by(journal.c.id.desc())):
            changes.setdefault(row.record_id, []).append(row)
        for one in some:
            found[one] = _states(model, present.get(one), changes.get(one, ()), places)
    return found


def _states(model: Any, values: Values | None, rows: Iterable[Any], places: Sequence[int]) -> dict[int, Values | None]:
    found: dict[int, Values | None] = {}
    waiting = list(places)
    for row in rows:
        while waiting and row.id <= waiting[0]:
            found[waiting.pop(0)] = values
        values = before(model, values, row)
    return found | dict.fromkeys(waiting, values)


def before(model: Any, values: Values | None, row: Any) -> Values | None:
    """What a record was before a row of the journal, given what it was after."""
    if row.verb == "create":
        return None
    changes = json.loads(row.changes)
    if row.verb == "delete":
        return from_snapshot(model, changes)
    told = {name: pair[0] for name, pair in changes.items()}
    return {name: value for name, value in {**(values or {}), **told}.items() if value is not None}


def values_of(record: Any) -> Values:
    """What a record is now."""
    found = {one.name: one.kind.json(value) for one in _kept(type(record)) if (value := one.get(record)) not in (None, [])}
    return found | {name: value for name, value in (getattr(record, "custom", None) or {}).items() if value is not None}


def from_snapshot(model: Any, changes: dict[str, list[Any]]) -> Values:
    """The values that the journal's row of a deletion has kept."""
    kept = {name: pair[0] for name, pair in changes.items() if pair[0] is not None}
    columns = {attribute.key: attribute.columns[0] for attribute in inspect(model).column_attrs}
    found = {}
    for one in _kept(model):
        value = kept.get(one.name) if one.kind.name == "links" else kept.get(one.key)
        if value not in (None, []):
            found[one.name] = value if one.kind.name == "links" else one.kind.json(stored(columns[one.key], value))
    return found | {name: value for name, value in (kept.get("custom") or {}).items() if value is not None}


def _kept(model: type) -> list[Field]:
    return [one for one in model.__fields__.values() if not one.sensitive]
