"""The fast way into an empty house: a million demo records without a journal row each. Nothing but `run.py demo` may use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from typing import Any

from sqlalchemy import func, insert, select, update

from core import journal, search
from core.context import zone_of
from core.db import db
from core.errors import Problem
from core.model import model_label
from core.numbering import NumberRule, period_of, write_number
from core.search import search_fields, settle, title_key
from core.settings import setting

CHUNK = 2_500
"""So many rows a transaction: on SQLite others wait no longer than a second."""

Row = tuple[datetime, int | None, dict[str, Any]]
"""When, by whom (id of a user), and the values by field name; links as ids."""


def pour(model: Any, rows: Iterable[Row], told: Any = None) -> range:
    """Write many new records of a model whose table is empty; returns their ids. Commits after each chunk.

    Written are the table's rows, their sort keys, numbers and search rows. No right is asked, no hook is called, and the
    journal gets one row a model that says how many there are: nobody's work is recorded here, and nobody else's is there.
    """
    table = model.__table__
    if db.session.connection().execute(select(func.count()).select_from(table)).scalar():
        raise Problem(f"{model_label(model, many=True)} are there already; the fast way leads only into an empty house.")
    shape, first, count = _Shape(model), _first_id(table), 0
    searched = [(one.key, one.kind.name) for one in search_fields(model).values() if not one.custom]
    # Finding the tokens is most of the work, and needs nothing of the database: another process does it meanwhile.
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as clerk:
        waiting: tuple[list[dict[str, Any]], Any] | None = None
        source = iter(rows)
        while True:
            lot = list(islice(source, CHUNK))
            made = [shape.complete(first + count + place, row) for place, row in enumerate(lot)]
            count += len(made)
            asked = [([(values[key], kind) for key, kind in searched], str(values[shape.title] or "")) for values in made]
            answer = clerk.submit(_words, asked) if made else None
            if waiting is not None:
                texts, keys = waiting[1].result()
                for values, key in zip(waiting[0], keys, strict=True):
                    values["title_key"] = key
                _insert(table, waiting[0])
                search.add(db.session(), model, [values["id"] for values in waiting[0]], texts)
                db.session.commit()
                if told is not None:
                    told(waiting[0][-1]["id"] - first + 1)
            if not made:
                break
            waiting = made, answer
    if count:
        for one in shape.numbers.values():
            one.store()
        _count_on(table, first + count - 1)
        journal.write(table.name, first, "demo", {"records": [None, {"first": first, "last": first + count - 1}]})
        db.session.commit()
        settle(db.session.connection())
        db.session.commit()
    return range(first, first + count)


def _first_id(table: Any) -> int:
    """Beyond every id that was ever given, those of deleted records included (DESIGN 12)."""
    query = select(func.max(journal.journal.c.record_id)).where(journal.journal.c.model == table.name)
    return (db.session.connection().execute(query).scalar() or 0) + 1


def _count_on(table: Any, last: int) -> None:
    from core.restore import set_last_id

    set_last_id(db.session.connection(), table.name, last)


def _words(asked: list[tuple[list[tuple[Any, str]], str]]) -> tuple[list[str], list[str]]:
    """The tokens and the sort keys of some records: what the second process is asked for."""
    return [search.words_of(pairs) for pairs, _title in asked], [title_key(title) for _pairs, title in asked]


class _Shape:
    """How a row of values becomes a row of the table."""

    def __init__(self, model: Any) -> None:
        fields = model.__fields__.values()
        self.keys = {one.name: one.key for one in fields}
        self.empty = {one.key: one.default for one in fields if one.kind.name != "links"}
        self.title = model.__fields__[model.title_field].key
        self.numbers = {one.key: _Numbers(model, one) for one in fields if one.number_rule}

    def complete(self, record_id: int, row: Row) -> dict[str, Any]:
        """All columns of one record."""
        moment, who, values = row
        made = dict(self.empty)
        for name, value in values.items():
            if value is not None:
                made[self.keys[name]] = value
        for key, rule in self.numbers.items():
            made[key] = made[key] or rule.next(moment)
        made["id"], made["version"], made["custom"] = record_id, 1, None
        made["created_at"] = made["changed_at"] = moment
        made["created_by_id"] = made["changed_by_id"] = who
        return made


def _insert(table: Any, rows: list[dict[str, Any]]) -> None:
    connection = db.session.connection()
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), rows)
        return
    names = list(rows[0])
    quoted = ", ".join(f'"{name}"' for name in names)
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({quoted}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row([json.dumps(value) if isinstance(value, (dict, list)) else value for value in row.values()])


class _Numbers:
    """The numbers of one field, counted here and stored once at the end."""

    def __init__(self, model: Any, one: Any) -> None:
        rule = NumberRule.__table__
        self.key = f"{model.__tablename__}.{one.name}"
        self.rule = db.session.connection().execute(select(rule).where(rule.c.key == self.key)).one()
        self.period, self.number = self.rule.period or "", self.rule.next_number
        self.zone = zone_of(setting("firm.zone"))
        self.on: Any = None

    def next(self, moment: datetime) -> str:
        """The number of a record made at ``moment``."""
        if moment.date() != self.on:
            self.on, day = moment.date(), moment.replace(tzinfo=UTC).astimezone(self.zone).date()
            period = max(period_of(self.rule.reset, day), self.period)
            self.number = self.number if period == self.period else 1
            self.period = period
            # All that the day decides, once a day; the run of zeros is what is left.
            zeros = re.search(r"\{(0+)\}", self.rule.pattern)
            before, after = self.rule.pattern[: zeros.start()], self.rule.pattern[zeros.end() :]
            self.parts = [write_number(f"{one}{{0}}", 0, day, period)[:-1] for one in (before, after)]
            self.width = len(zeros[1])
        self.number += 1
        return f"{self.parts[0]}{self.number - 1:0{self.width}d}{self.parts[1]}"

    def store(self) -> None:
        """Let the rule go on after the last number given here."""
        rule = NumberRule.__table__
        statement = update(rule).where(rule.c.id == self.rule.id)
        db.session.connection().execute(statement.values(next_number=self.number, period=self.period or None))


def poured(batch_id: int) -> Iterator[tuple[str, int, int]]:
    """(table, first id, last id) of what `pour` has written in a batch, the newest first."""
    rows = journal.journal.c
    query = select(rows.model, rows.changes).where(rows.batch_id == batch_id, rows.verb == "demo").order_by(rows.id.desc())
    for row in db.session.connection().execute(query):
        _nothing, ids = json.loads(row.changes)["records"]
        yield row.model, ids["first"], ids["last"]
