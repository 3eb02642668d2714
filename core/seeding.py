"""Rows that an addon brings along, in ``data/<table>.csv``: put in once each, and from then on the firm's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select

from core import journal
from core.addons import addons
from core.db import db
from core.errors import Invalid, Misbuilt
from core.model import models
from core.records import records

VERB = "seed"


def data_of(folder: Path) -> Iterator[tuple[Path, Any, list[dict[str, str]]]]:
    """(file, model, rows) of every file in an addon's ``data``; raises `Misbuilt` when one fits no table or no field."""
    for path in sorted((folder / "data").glob("*.csv")):
        model = models().get(path.stem)
        if model is None:
            raise Misbuilt(f"{path}: there is no table of this name; a file in data/ is called like the table that its rows go to.")
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if unknown := [name for name in rows[0] if name not in model.__fields__] if rows else []:
            raise Misbuilt(f"{path}: {model.__name__} has no field {unknown[0]!r}.")
        yield path, model, rows


def seed_data() -> int:
    """Put in the rows of all addons that were never put in; returns how many.

    A row is known by its first column. That it was put in stands in the journal, so what an administrator has renamed,
    changed or deleted since is neither overwritten nor brought back. A row that is there already by another way is left alone.
    """
    there = set(inspect(db.session.connection()).get_table_names())
    count = 0
    for one in addons().values():
        for path, model, rows in data_of(one.path) if not one.broken else ():
            if model.__tablename__ in there and rows:
                count += _seed(path, model, rows)
    return count


def _seed(path: Path, model: Any, rows: list[dict[str, str]]) -> int:
    first = next(iter(rows[0]))
    known = seeded(model.__tablename__)
    column = model.__fields__[first].column(model)
    known |= set(db.session.execute(select(column), execution_options={"mortise_rules": False}).scalars())
    fresh = [row for row in rows if row[first] not in known]
    for row in fresh:
        try:
            made = records(model).create(dict(row))
        except Invalid as problem:
            raise Misbuilt(f"{path}: “{row[first]}” cannot be put in: {'; '.join(problem.errors.values())}") from problem
        journal.write(model.__tablename__, made.id, VERB, {first: [None, row[first]]})
    return len(fresh)


def seeded(table: str) -> set[str]:
    """The first columns of the rows that were put in by `seed_data`."""
    rows = journal.journal.c
    query = select(rows.changes).where(rows.model == table, rows.verb == VERB)
    return {pair[1] for (text,) in db.session.connection().execute(query) for pair in json.loads(text).values()}


def words_of_data(folder: Path) -> Iterator[tuple[str, str]]:
    """The words of an addon's rows that people read translated, for translators: (word, file)."""
    for path, model, rows in data_of(folder):
        for row in rows:
            yield from ((text, f"data/{path.name}") for name, text in row.items() if model.__fields__[name].translated and text)
