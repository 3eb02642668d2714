"""New records that nothing watches, kept as plain values: an import stores hundreds of them with one statement a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import inspect, text

from core import hooks, journal, search
from core.db import db, put_rows
from core.guard import check_writes
from core.model import Model, fields_of, part_of
from core.numbering import is_gapless, rehearsing
from core.sketch import Sketch

LEFT_TO_THE_FLUSH = ("links", "file")
"""Kinds whose values have rows of their own."""


def sketcher(model: Any) -> Callable[[], Sketch] | None:
    """What makes an empty sketch of ``model``; None where a flush must do it, because somebody or something waits for real records.

    That are hooks, of sleeping addons too, listeners of SQLAlchemy, core's own models, and fields that have rows elsewhere or take
    their number in the flush.
    """
    mapper, fields = inspect(model), {**fields_of(model), **model.__fields__}
    watched = (
        model.addon == "core" or hooks.has("before_save", model) or hooks.has("after_save", model)
        or len(mapper.tables) > 1 or mapper.polymorphic_on is not None or mapper.version_id_col is None or mapper.validators
        or mapper.class_manager.original_init is not Model.__init__ or mapper.dispatch.before_insert or mapper.dispatch.after_insert
        or any(one.kind.name in LEFT_TO_THE_FLUSH or one.sensitive for one in fields.values())
        or any(one.number_rule and is_gapless(f"{model.__tablename__}.{one.name}") for one in model.__fields__.values())
    )  # fmt: skip
    if watched:
        return None
    blank = dict.fromkeys([*(one.key for one in mapper.column_attrs), *(one.name for one in model.__fields__.values())])
    return lambda: Sketch(model, blank)


def store(model: Any, sketches: Sequence[Sketch]) -> None:
    """Write new records with their journal rows and their places in the index; what a flush checks is checked. Never commits.

    Raises `Refused`, `Invalid` or SQLAlchemy's IntegrityError, half done: for a savepoint that finds out afterwards which one it was.
    """
    session = db.session()
    told = [(one.name, one.key, one.kind.json) for one in model.__fields__.values()]
    changes = {one: _first_values(told, one) for one in sketches}
    check_writes(session, {one: ("create", values) for one, values in changes.items()})
    for one, record_id in zip(sketches, _fresh_ids(model, len(sketches)), strict=True):
        one.id, one.version = record_id, 1
    columns = {attribute.key: attribute.columns[0].name for attribute in inspect(model).column_attrs}
    put_rows(session.connection(), model.__table__, columns.values(), [[one.__dict__[key] for key in columns] for one in sketches])
    if rehearsing.get():
        # Taken back at once, and neither journal nor index refuses anything.
        return
    link = part_of(model)
    rows = ((model.__tablename__, one.id, "create", values, link.get(one) if link else None) for one, values in changes.items())
    journal.write_many(rows)
    for listener in journal.listeners:
        listener([(one, "create", values) for one, values in changes.items()])
    searched = [(one, one.kind.name) for one in search.search_fields(model).values()]
    if searched:
        texts = [search.words_of((one.get(sketch), kind) for one, kind in searched) for sketch in sketches]
        search.add(session, model, [one.id for one in sketches], texts)


def finished(sketch: Sketch) -> Any:
    """The record that a sketch stands for, for the session to store."""
    record = sketch.sketch_of()
    for attribute in inspect(sketch.sketch_of).column_attrs:
        if attribute.key not in ("id", "version") and sketch.__dict__[attribute.key] is not None:
            setattr(record, attribute.key, sketch.__dict__[attribute.key])
    return record


def _first_values(told: Sequence[tuple[str, str, Callable[[Any], Any]]], sketch: Sketch) -> dict[str, tuple[Any, Any]]:
    """As the journal tells them of any new record; ``told`` are name, key and spelling of its fields."""
    given = sketch.__dict__
    found = {name: (None, spelled(given[key])) for name, key, spelled in told if given[key] is not None}
    if given["custom"]:
        found |= {name: (None, value) for name, value in sorted(given["custom"].items()) if value is not None}
    return found


def _fresh_ids(model: Any, count: int) -> Sequence[int]:
    """Ids that no record has or had; on SQLite nobody else can write until this transaction ends."""
    connection, table = db.session.connection(), model.__tablename__
    if db.is_sqlite:
        last = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :table"), {"table": table}).scalar() or 0
        return range(last + 1, last + count + 1)
    drawn = text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)")
    return connection.execute(drawn, {"table": f'"{table}"', "count": count}).scalars().all()
