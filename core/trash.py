"""The trash: what was deleted, kept in the journal's rows of deletions, brought back with its lines, files, shares and links.

A job of the night empties what is older than a setting, in the journal, with an entry that says so: it is gone for good then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select

from core.context import actor, now
from core.db import db
from core.errors import Asleep, Conflict, Missing, Refused
from core.i18n import gettext as _
from core.journal import batch, batch_id, journal
from core.journal_erase import empty_rows
from core.model import links_to, model_label, models, part_of
from core.past import from_snapshot, parts_of
from core.rules import may, rights
from core.settings import declare_setting, number_between, setting
from core.undo import Clash, take_back

CHUNK = 500
ALONG = ("core_share", "core_file")
"""Rows that go and come with the record that they belong to, and are no entries of their own."""
QUIET = {"mortise_rules": False}

declare_setting("trash.keep_days", 365, "Days that deleted records can be brought back", check=number_between(1, 36_500))


@dataclass(frozen=True, slots=True)
class Deleted:
    """One entry of the trash."""

    row: int
    """Its number in the journal."""
    model: type
    record_id: int
    title: str
    at: datetime
    user_id: int | None
    parts: int
    """How many lines went along."""


def kinds() -> list[type]:
    """The kinds of records whose deleted ones the acting person may look at: all of them, or his own deletions only."""
    from core.addons import enabled

    return [one for name, one in models().items() if name not in ALONG and enabled(one.addon) and may("read", one)]


def sees_all(model: type) -> bool:
    """May the acting person see what others have deleted? Whoever sees every record of this kind."""
    return actor().system or "all" in rights().grant(model, "read").scopes


def deleted(model: type | None = None, before: int | None = None, limit: int = 50) -> tuple[list[Deleted], int | None]:
    """(entries, newest first; where to go on). Lines are entries only when what they were part of has not gone along."""
    known = [model] if model is not None else kinds()
    found: list[Deleted] = []
    last = before
    # What is there again, or went with something else, is passed over; a few rounds fill a page nearly always.
    for _round in range(10):
        rows = db.session.execute(_question(known, last).limit(limit * 2)).all()
        for one in _entries(rows):
            found.append(one)
            if len(found) == limit:
                return found, one.row
        if len(rows) < limit * 2:
            return found, None
        last = rows[-1].id
    return found, last


def _question(known: Iterable[type], before: int | None) -> Any:
    every = [one.__tablename__ for one in known if sees_all(one)]
    own = [one.__tablename__ for one in known if not sees_all(one)]
    mine = journal.c.model.in_(own) & (journal.c.user_id == actor().user_id)
    where = [journal.c.verb == "delete", journal.c.digest.is_(None), or_(journal.c.model.in_(every), mine)]
    where.append(journal.c.at >= oldest())
    if before is not None:
        where.append(journal.c.id < before)
    return select(journal).where(*where).order_by(journal.c.id.desc())


def oldest() -> datetime:
    """What was deleted before this moment is gone, whether or not the job of the night has emptied it yet."""
    return now() - timedelta(days=setting("trash.keep_days"))


def _entries(rows: Sequence[Any]) -> list[Deleted]:
    there: set[tuple[str, int]] = set()
    for table in {row.model for row in rows}:
        model = models()[table]
        ids = [row.record_id for row in rows if row.model == table]
        for start in range(0, len(ids), CHUNK):
            query = select(model.id).where(model.id.in_(ids[start : start + CHUNK]))
            there |= {(table, one) for one in db.session.execute(query, execution_options=QUIET).scalars()}
    lots = [row.batch_id for row in rows]
    gone = select(journal.c.batch_id, journal.c.model, journal.c.record_id, journal.c.part_of_id)
    gone = gone.where(journal.c.batch_id.in_(lots), journal.c.verb == "delete")
    along = db.session.execute(gone).all() if _some_lines(rows) else []
    wholes = {(one.batch_id, one.model, one.record_id) for one in along}
    made, seen = [], set(there)
    for row in rows:
        model, key = models()[row.model], (row.model, row.record_id)
        link = part_of(model)
        if key in seen or (link is not None and (row.batch_id, link.target_table, row.part_of_id) in wholes):
            continue
        # Deleted, brought back and deleted once more: the newest counts.
        seen.add(key)
        lines = {other.__tablename__ for other, _link in parts_of(model)}
        parts = sum(1 for one in along if one.batch_id == row.batch_id and one.model in lines and one.part_of_id == row.record_id)
        made.append(Deleted(row.id, model, row.record_id, _title(model, row), row.at, row.user_id, parts))
    return made


def _some_lines(rows: Sequence[Any]) -> bool:
    return any(part_of(models()[row.model]) is not None or parts_of(models()[row.model]) for row in rows)


def _title(model: Any, row: Any) -> str:
    values = from_snapshot(model, json.loads(row.changes))
    seen = actor().system or model.title_field in rights().fields_seen(model)
    return str(values.get(model.title_field) or f"#{row.record_id}") if seen else f"#{row.record_id}"


def restore(number: int, stayed: list[Clash] | None = None) -> Any:
    """Bring back what the journal's row ``number`` has deleted, with all that went along; returns the record. Never commits.

    What of it could not come back, or points elsewhere by now, is added to ``stayed``.
    Raises `Missing`, `Refused` for who may not make such records, `Conflict` when it is there again, emptied, or something that it
    needs is gone.
    """
    from core.addons import enabled

    # Two who bring the same back take turns: the second finds it there. (SQLite lets one write at a time.)
    query = select(journal).where(journal.c.id == number, journal.c.verb == "delete").with_for_update()
    row = db.session.execute(query).first()
    model: Any = models().get(row.model) if row is not None else None
    known = row is not None and model is not None and row.model not in ALONG and may("read", model)
    if not known or not (sees_all(model) or row.user_id == actor().user_id):
        raise Missing(_("There is no such entry in the trash, or it is not visible to you."))
    if not enabled(model.addon):
        raise Asleep(_("“%(label)s” belongs to an addon that is switched off.", label=model_label(model, many=True)))
    if not (verdict := may("create", model)):
        raise Refused(_("You may not make %(many)s here.", many=model_label(model, many=True)), verdict)
    if row.digest is not None or row.at < oldest():
        raise Conflict(_("The trash was emptied since; this cannot be brought back any more."))
    if db.session.execute(select(model.id).where(model.id == row.record_id), execution_options=QUIET).first():
        raise Conflict(_("This is there again already."))
    with batch(_("Brought back: %(title)s", title=_title(model, row))):
        clashes = take_back(went_along(row))
        made_by = batch_id()
    for one in clashes:
        if one.model == row.model and one.record_id == row.record_id:
            raise Conflict(_("This cannot come back: %(reason)s", reason=one.sentence))
    if stayed is not None:
        stayed += clashes
    found = db.session.execute(select(model).where(model.id == row.record_id)).scalars().first()
    if found is None and not actor().system:
        raise Refused(_("This would be out of your reach, so it was not brought back. Please ask an administrator."))
    # The page that follows offers to take it back.
    actor().memo.setdefault("batch_id", made_by)
    return found


def went_along(row: Any) -> list[Any]:
    """The row of a deletion and all rows of its batch that went with it, newest first."""
    found = {row.id: row}
    queue = [row]
    while queue:
        here = queue.pop()
        for one in _beside(here, models()[here.model]):
            if one.id not in found:
                found[one.id] = one
                if one.verb == "delete" and one.model not in ALONG:
                    queue.append(one)
    return [found[number] for number in sorted(found, reverse=True)]


def _beside(row: Any, model: Any) -> list[Any]:
    number = row.record_id
    lines = [other.__tablename__ for other, _link in parts_of(model)]
    own = journal.c.model.in_(ALONG) & journal.c.changes.contains(f'"model":["{row.model}",null]', autoescape=True)
    own &= journal.c.changes.contains(f'"record_id":[{number},null]', autoescape=True)
    lines_too = journal.c.model.in_(lines) & (journal.c.part_of_id == number)
    wanted = [(lines_too | own) & (journal.c.verb == "delete")]
    several: list[tuple[str, str]] = []
    for other, link in links_to(model):
        cleared = (journal.c.model == other.__tablename__) & (journal.c.verb == "edit")
        if link.kind.name == "links":
            several.append((other.__tablename__, link.name))
            wanted.append(cleared & journal.c.changes.contains(f'"{link.name}":[[', autoescape=True))
        elif not link.part_of:
            wanted.append(cleared & journal.c.changes.contains(f'"{link.name}":[{number},null]', autoescape=True))
    rows = db.session.execute(select(journal).where(journal.c.batch_id == row.batch_id, or_(*wanted))).all()
    return [one for one in rows if one.verb == "delete" or _lost(one, number, several)]


def _lost(row: Any, number: int, several: list[tuple[str, str]]) -> bool:
    """Did this change take the record out of a field of several links, or clear a link to it?"""
    changes = json.loads(row.changes)
    for table, name in several:
        old, new = changes.get(name, (None, None)) if row.model == table else (None, None)
        if isinstance(old, list) and number in old and number not in (new or []):
            return True
    return any(pair == [number, None] for pair in changes.values())


def empty(before: datetime, limit: int = CHUNK) -> int:
    """Empty up to ``limit`` sealed entries older than ``before``: what they said is gone for good, that it was deleted stays.

    Rights are the caller's to ask. Never commits.
    """
    query = select(journal.c.id, journal.c.changes, journal.c.batch_id).where(
        journal.c.verb == "delete", journal.c.at < before, journal.c.digest.is_(None), journal.c.seal.is_not(None)
    )
    rows = db.session.execute(query.order_by(journal.c.id).limit(limit)).all()
    if rows:
        empty_rows(rows, {"trash": before})
    return len(rows)
