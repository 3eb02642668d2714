"""Which record a row of a file means: the same key, or the same values, instead of a second record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from core.db import among, db
from core.model import fields_of

Keys = Sequence[str] | Sequence[Sequence[str]]
Identity = tuple[tuple[str, ...], tuple[Any, ...]]
TELLING = ("text", "code", "phone", "email", "date", "datetime", "integer", "decimal", "money")
"""Kinds whose values few records share; a thousand records have the same category."""
LINE = ("#line",)
"""Stands for “the same line of an earlier file” where a key is named."""
EARLIER = ("#earlier",)
"""Stands for “an earlier line of this file”."""
UNCOMPARED = ("choices", "links", "json")


def key_chain(keys: Keys) -> list[tuple[str, ...]]:
    """The keys to try, one after the other; ``()`` stands for “all values that the row gives”."""
    return [tuple(keys)] if keys and all(isinstance(one, str) for one in keys) else [tuple(one) for one in keys]  # type: ignore[arg-type]


def recognise(
    model: type, rows: Mapping[int, dict[str, Any]], keys: Keys, lines: Mapping[int, int] | None = None, earlier: set[int] | None = None
) -> tuple[dict[int, tuple[Any, tuple[str, ...]]], dict[int, int]]:
    """({place: (stored record, key)}, {place: earlier place that means the same}) of cleaned rows; one statement a key.

    A row is recognised by the first key for which it has all values. Only records that the acting person may read are
    found; of several alike the oldest is meant. ``lines`` gives for a place the id of the record that the same line of an
    earlier file became: it counts where no key finds one. ``earlier`` collects what rows mean over several calls: what an
    earlier call has met is `EARLIER`, without a record (a dry run, which stores none).
    """
    by_key: dict[tuple[str, ...], dict[int, tuple[Any, ...]]] = {}
    first: dict[Identity, int] = {}
    repeated: dict[int, int] = {}
    known: dict[int, tuple[Any, tuple[str, ...]]] = {}
    chain = key_chain(keys)
    met: dict[int, int] = {}
    for place, values in rows.items():
        for key in chain:
            identity = _identity(key, values)
            if identity is not None:
                if identity in first:
                    repeated[place] = first[identity]
                else:
                    first[identity] = place
                    by_key.setdefault(key, {})[place] = identity[1]
                    if earlier is not None:
                        met[place] = hash(identity)
                break
    by_line = _same_line(model, {place: one for place, one in (lines or {}).items() if place in rows and place not in repeated})
    for key, wanted in by_key.items():
        if not key:
            wanted = {place: values for place, values in wanted.items() if place not in by_line}
        found = _same_key(model, key, wanted) if key else _same_values(model, {place: rows[place] for place in wanted})
        known |= {place: (record, key) for place, record in found.items()}
    known |= {place: (record, LINE) for place, record in by_line.items() if place not in known}
    if earlier is not None:
        known |= {place: (None, EARLIER) for place, one in met.items() if place not in known and one in earlier}
    return known, repeated


def remember(rows: Iterable[dict[str, Any]], keys: Keys, earlier: set[int]) -> None:
    """Note what these rows mean, which a dry run has found good."""
    for values in rows:
        found = next((one for key in key_chain(keys) if (one := _identity(key, values)) is not None), None)
        if found is not None:
            earlier.add(hash(found))


def _same_line(model: type, wanted: dict[int, int]) -> dict[int, Any]:
    if not wanted:
        return {}
    query = select(model).where(among(model.id, sorted(set(wanted.values()))))
    stored = {record.id: record for record in db.session.execute(query).scalars()}
    return {place: stored[one] for place, one in wanted.items() if one in stored}


def _identity(key: tuple[str, ...], values: dict[str, Any]) -> Identity | None:
    if not key:
        given = tuple(sorted(name for name, value in values.items() if value not in (None, [])))
        return (("*", *given), tuple(repr(values[name]) for name in given)) if given else None
    found = tuple(values.get(name) for name in key)
    return None if None in found else (key, found)


def _same_key(model: type, key: tuple[str, ...], wanted: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
    fields = [fields_of(model)[name] for name in key]
    query = select(model).where(*(among(one.column(model), {values[at] for values in wanted.values()}) for at, one in enumerate(fields)))
    stored = {tuple(one.get(record) for one in fields): record for record in _newest_first(model, query)}
    return {place: stored[values] for place, values in wanted.items() if values in stored}


def _same_values(model: type, wanted: dict[int, dict[str, Any]]) -> dict[int, Any]:
    """Records that have every value a row gives; rows that give the same fields are looked up by one statement."""
    fields = fields_of(model)
    known: dict[int, Any] = {}
    by_names: dict[tuple[str, ...], dict[int, dict[str, Any]]] = {}
    for place, row in wanted.items():
        values = {name: value for name, value in row.items() if value not in (None, [])}
        names = tuple(
            name for name in dict.fromkeys((model.title_field, *_telling(fields), *fields))
            if name in values and fields[name].kind.name not in UNCOMPARED and not fields[name].custom
        )  # fmt: skip
        if names:
            by_names.setdefault(names, {})[place] = values
    for names, rows in by_names.items():
        given = {place: tuple(values[name] for name in names) for place, values in rows.items()}
        # By one index at most: SQLite would rather walk all records of an owner than look up 500 names.
        plain = [name for name in names[1:] if not fields[name].indexed and fields[name].kind.name != "link"]
        same = [among(fields[name].column(model), {values[name] for values in rows.values()}) for name in (names[0], *plain)]
        candidates: dict[tuple[Any, ...], list[Any]] = {}
        for record in _newest_first(model, select(model).where(*same)):
            candidates.setdefault(tuple(fields[name].get(record) for name in names), []).append(record)
        for place, values in rows.items():
            record = next((one for one in reversed(candidates.get(given[place], ())) if _has(fields, one, values)), None)
            if record is not None:
                known[place] = record
    return known


def _telling(fields: dict[str, Any]) -> list[str]:
    return [name for name, one in fields.items() if one.kind.name in TELLING]


def _has(fields: dict[str, Any], record: Any, values: dict[str, Any]) -> bool:
    return all(fields[name].get(record) == value for name, value in values.items())


def _newest_first(model: type, query: Any) -> list[Any]:
    return list(db.session.execute(query.order_by(model.id.desc())).scalars())
