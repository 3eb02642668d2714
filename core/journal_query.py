"""Questions to the journal: by person, time, door, action, kind of record, record, field and value; for its page, its file, its API.

Source: S1-101, S1-102.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Text, and_, cast, func, inspect, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from core.context import actor, zone_of
from core.db import db
from core.errors import Broken
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.journal import LOOKING, RARE, batches, journal
from core.journal_among import Among, among
from core.listing import id_among
from core.model import fields_of, models
from core.rules import may, rights

NAMES = ("model", "record", "person", "verb", "door", "batch", "since", "until", "field", "value")
CHUNK = 2_000
AT_ONCE = 1_000
"""Among so many batches, newest first, stands the one with the highest number, whoever began at the same moment."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for; None and empty mean anything."""

    model: str = ""
    record: int | None = None
    person: int | None = None
    verb: str = ""
    door: str = ""
    batch: int | None = None
    since: date | None = None
    """Days in the acting person's zone, both counted in."""
    until: date | None = None
    field: str = ""
    value: str = ""
    """A piece of an old or new value of ``field``, as it is stored."""

    @property
    def begin(self) -> datetime | None:
        """When the first of the days begins, in UTC."""
        return midnight(self.since) if self.since else None

    @property
    def end(self) -> datetime | None:
        """When the last of the days is over, in UTC."""
        return midnight(self.until + timedelta(days=1)) if self.until else None

    def fits(self, row: Any) -> bool:
        """Is this row of the journal by the person, action, door and batch, and in the days, that are asked for?"""
        wanted = (("user_id", self.person), ("verb", self.verb), ("door", self.door), ("batch_id", self.batch))
        if any(getattr(row, name) != value for name, value in wanted if value not in ("", None)):
            return False
        return (self.begin is None or row.at >= self.begin) and (self.end is None or row.at < self.end)

    def where(self) -> list[Any]:
        """The conditions on rows of the journal."""
        columns = journal.c
        found = [
            columns[name] == value
            for name, value in (
                ("model", self.model), ("record_id", self.record), ("user_id", self.person), ("verb", self.verb), ("door", self.door),
                ("batch_id", self.batch),
            )
            if value not in ("", None)
        ]  # fmt: skip
        # Said in so many words, or SQLite does not see that the index of rare ones holds the answer.
        found += [RARE["verb"]] if self.verb and self.verb not in ("create", "edit", "delete") else []
        found += [RARE["door"]] if self.door and self.door not in ("screen", "import") else []
        if self.begin:
            found.append(columns.at >= self.begin)
        if end := self.end:
            # Batches are numbered as they begin, and no row is older than its batch: from the newest of that time the walk goes back.
            last = select(batches.c.id).where(batches.c.at < end).order_by(batches.c.at.desc()).limit(AT_ONCE).subquery()
            found += [columns.at < end, columns.batch_id <= select(func.max(last.c.id)).scalar_subquery()]
        if self.field:
            found.append(or_(*self._of_field()))
        return found

    def _of_field(self) -> list[Any]:
        """The ways in which a row may tell of ``field``: a deletion has the columns as they are stored, custom values in one of them."""
        # As JSON spells it, so that quotation marks and backslashes are found too.
        value, changes = json.dumps(self.value, ensure_ascii=False)[1:-1], journal.c.changes

        def told(*path: str | int) -> list[Any]:
            return [_at(path).contains(value, autoescape=True)] if self.value else []

        ways = [and_(changes.contains(f'"{self.field}":[', autoescape=True), *told(self.field))]
        one = fields_of(models()[self.model]).get(self.field) if self.model in models() else None
        if one is None or one.custom:
            kept = changes.contains('"custom":[{', autoescape=True), _at(("custom", 0, self.field)).is_not(None)
            ways.append(and_(journal.c.verb == "delete", *kept, *told("custom", 0, self.field)))
        elif one.key != self.field:
            ways.append(and_(journal.c.verb == "delete", changes.contains(f'"{one.key}":[', autoescape=True), *told(one.key)))
        return ways


def _at(path: Sequence[str | int]) -> Any:
    """What stands at a place of the changes, as JSON text; as a rule old and new value of a field."""
    if db.is_sqlite:
        steps = "".join(f"[{one}]" if isinstance(one, int) else f'."{one}"' for one in path)
        return func.json_extract(journal.c.changes, f"${steps}", type_=Text)
    return func.jsonb_extract_path_text(cast(journal.c.changes, JSONB), *(str(one) for one in path), type_=Text)


def midnight(day: date) -> datetime:
    """When a day of the acting person's zone begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone_of(actor().zone)).astimezone(UTC).replace(tzinfo=None)


def question(words: Mapping[str, str]) -> Question:
    """The question of an address; raises `Broken` with a sentence about the first part that means nothing.

    A value is looked for in a field that the person may see only, or a search would tell what the answer hides.
    """
    asked = Question(
        model=_word(words, "model", 80), record=_number(words, "record"), person=_number(words, "person"), verb=_word(words, "verb", 20),
        door=_word(words, "door", 20), batch=_number(words, "batch", 2**53), since=_day(words, "since"), until=_day(words, "until"),
        field=_word(words, "field", 80), value=(words.get("value") or "").strip()[:200].replace("\0", ""),
    )  # fmt: skip
    if asked.field and not asked.model:
        raise Broken(_("To look for a field, choose the kind of record, too."))
    if asked.value and not (asked.model and asked.field):
        raise Broken(_("To look for a value, choose the kind of record and the field, too."))
    model = models().get(asked.model)
    if asked.field and (not re.fullmatch(r"[a-z][a-z0-9_]*", asked.field) or (model is not None and not _seen(model, asked.field))):
        raise Broken(_("There is no field “%(name)s”.", name=asked.field[:60]))
    return asked


def _seen(model: Any, name: str) -> bool:
    """May the acting person see values of this field? Those of fields that are gone are open to whoever may open the journal."""
    if name not in fields_of(model) and name in inspect(model).column_attrs:
        # A column behind a field, or behind all custom ones: a way round what is hidden.
        return False
    if actor().system:
        return True
    if not may("read", model):
        return False
    return name in rights().fields_seen(model) or name not in fields_of(model)


def _word(words: Mapping[str, str], name: str, longest: int) -> str:
    return (words.get(name) or "").strip()[:longest].replace("\0", "")


def _number(words: Mapping[str, str], name: str, largest: int = LARGEST_ID) -> int | None:
    text = (words.get(name) or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 17 and int(text) <= largest):
        raise Broken(_("“%(name)s” takes a number.", name=name))
    return int(text)


def _day(words: Mapping[str, str], name: str) -> date | None:
    text = (words.get(name) or "").strip()
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise Broken(_("“%(name)s” takes a day like 2026-05-31.", name=name)) from None
    if not 1970 <= found.year <= 9000:
        raise Broken(_("“%(name)s” takes a day like 2026-05-31.", name=name))
    return found


def batches_of(asked: Question, before: int | None, limit: int, beside: Among | None = None) -> list[int]:
    """Numbers of the newest batches that hold a row of the answer, below ``before``, newest first; with those of ``beside``."""
    found = select(journal.c.batch_id).where(*asked.where()).distinct().order_by(journal.c.batch_id.desc()).limit(limit)
    if before:
        found = found.where(journal.c.batch_id < before)
    more = {batch for batch, _id in beside.places if not before or batch < before} if beside else set()
    return sorted({*db.session.execute(found).scalars(), *more}, reverse=True)[:limit]


def rows_of(asked: Question, before: int | None = None, limit: int | None = None) -> Iterator[Any]:
    """The rows of the answer below the id ``before``, newest batch first, read in chunks; also those with the record among others."""
    beside = [row for row in _rows(among(asked).ids) if not before or row.id < before]
    every = heapq.merge(_rows_of(asked, before, limit), beside, key=lambda row: (row.batch_id, row.id), reverse=True)
    return islice(every, limit)


def _rows(ids: list[int]) -> Iterator[Any]:
    for start in range(0, len(ids), CHUNK):
        query = select(journal).where(id_among(journal.c.id, ids[start : start + CHUNK]))
        yield from db.session.execute(query.order_by(journal.c.batch_id.desc(), journal.c.id.desc())).all()


def _rows_of(asked: Question, before: int | None, limit: int | None) -> Iterator[Any]:
    """By batches, since the indexes by person, kind, action and door are: in any other order a large journal would be walked through."""
    place = (journal.c.batch_id, journal.c.id)
    base = select(journal).where(*asked.where()).order_by(*(one.desc() for one in place))
    base, left, last = base.where(journal.c.id < before) if before else base, limit, None
    while left is None or left > 0:
        query = base.limit(min(CHUNK, left or CHUNK))
        rows = db.session.execute(query if last is None else query.where(tuple_(*place) < last)).all()
        yield from rows
        if len(rows) < CHUNK:
            return
        last, left = (rows[-1].batch_id, rows[-1].id), None if left is None else left - len(rows)


def history(model: type, record_id: int, limit: int = 100) -> list[Any]:
    """The journal rows of one record, newest first."""
    query = (
        select(journal)
        .where(journal.c.model == model.__tablename__, journal.c.record_id == record_id, journal.c.verb.not_in(LOOKING))
        .order_by(journal.c.id.desc())
        .limit(limit)
    )
    return list(db.session.execute(query).all())
