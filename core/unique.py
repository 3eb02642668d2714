"""Is a value that may be there once somebody else's by now? Asked by what brings old values back (`core.undo`)."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Column, UniqueConstraint, inspect, select

from core.db import db
from core.i18n import gettext as _


@cache
def _together(model: Any) -> tuple[tuple[str, ...], ...]:
    """The attributes that are unique together, for each such rule of the table; rules for some rows only are left to the database."""
    table, mapper = model.__table__, inspect(model)
    rules: list[tuple[Any, ...]] = [tuple(one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)]
    for one in table.indexes:
        partly = any(one.dialect_options[name].get("where") is not None for name in ("sqlite", "postgresql"))
        if one.unique and not partly and all(isinstance(column, Column) for column in one.expressions):
            rules.append(tuple(one.expressions))
    return tuple(tuple(mapper.get_property_by_column(column).key for column in rule) for rule in rules)


def taken(record: Any, record_id: int, name: str | None = None, value: Any = None) -> str:
    """Why the values of ``record`` cannot be those of ``record_id``, in a sentence; empty when they can.

    With the attribute ``name``: whether that one can be ``value``. One statement a rule; what is pending is not seen.
    """
    model = type(record)
    for rule in _together(model):
        if name is not None and name not in rule:
            continue
        values = {one: value if one == name else getattr(record, one) for one in rule}
        if None in values.values():
            continue
        query = select(model.id).where(*(getattr(model, one) == here for one, here in values.items()), model.id != record_id)
        if db.session.execute(query.limit(1), execution_options={"mortise_rules": False}).first():
            shown = next((one for one in model.__fields__.values() if one.key == (name or rule[-1])), None)
            if shown is None:
                return _("Another record has the same values by now.")
            return _("Another record has the same “%(label)s” by now.", label=shown.title)
    return ""
