"""Lists of a past day in groups: how many records of each kind there were, and what their numbers added up to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import func, literal_column, select, union_all

from core.asof import Then
from core.asof_list import Asked, settled
from core.cursors import order_of
from core.db import db
from core.fields import Field
from core.grouping import GROUPS, Grouped, Key, affordable, around, asked_for, key_column, sum_of, told
from core.past import QUIET


def groups_then(
    model: Any, day: date, by: Sequence[str], filter: Any = None, search: str | None = None, sums: Sequence[str] = (), limit: int = GROUPS
) -> Grouped:
    """The records as they were at the end of ``day``, counted and summed; asked like `core.grouping.groups`, called as of today."""
    found = asked_for(model, by, sums, limit)

    def ask(thens: dict[type, Then]) -> list[Any]:
        asked = Asked(model, day, filter, search, order_of(model, "id"), [], thens)
        affordable(model, asked, [*(key.field for key in found.keys), *found.sums])
        found.unknown = asked.then.unknown
        return list(db.session.execute(_statement(asked, found.keys, found.sums, limit), execution_options=QUIET).all())

    return told(found, settled(ask))


def _statement(asked: Asked, keys: Sequence[Key], added: Sequence[Field], limit: int) -> Any:
    parts = [
        select(
            *(key_column(entity, key).label(f"key_{place}") for place, key in enumerate(keys)),
            *(one.column(entity).label(f"sum_{place}") for place, one in enumerate(added)),
        ).where(*where)
        for entity, where in asked.parts
    ]
    every = union_all(*parts).subquery()
    inner = select(
        *(every.c[f"key_{place}"] for place in range(len(keys))),
        func.count().label("count_0"),
        *(sum_of(one, every.c[f"sum_{place}"]).label(f"sum_{place}") for place, one in enumerate(added)),
    ).group_by(*(literal_column(str(place + 1)) for place in range(len(keys))))
    return around(inner.subquery(), keys, added, limit)
