"""How many rows of a model a person may see, asked so far as it decides how a list is best read."""

from __future__ import annotations

import time
import weakref
from typing import Any

from sqlalchemy import BindParameter, Engine, and_, func, select, true, union, union_all

from core.context import actor
from core.db import db

MOST_COUNTED = 10_000
FEW = 3_000
"""Up to so many visible rows, they are fetched and sorted; beyond, the order's index is walked."""
KEPT_SECONDS = 300
QUIET = {"mortise_rules": False}
_wide: weakref.WeakKeyDictionary[Engine, dict[tuple[int | None, str], tuple[int, float]]] = weakref.WeakKeyDictionary()


def reach_of(model: Any, branches: list[Any] | None, fresh: bool) -> int | None:
    """How many rows these alternatives of a row filter let through, at most one more than 10,000; None when it is every row.

    Unless a ``fresh`` number is wanted, one above `FEW` of the last five minutes will do: it only decides between two ways to the
    same rows.
    """
    if branches is None:
        return None
    if not branches:
        return 0
    assert db.engine is not None
    known, key = _wide.setdefault(db.engine, {}), (actor().user_id, model.__tablename__)
    if not fresh and (kept := known.get(key)) is not None and time.monotonic() - kept[1] < KEPT_SECONDS:
        return kept[0]
    parts = [_ids(model, branch, MOST_COUNTED + 1) for branch in branches]
    found = parts[0].subquery() if len(parts) == 1 else union(*(select(one.subquery()) for one in parts)).limit(MOST_COUNTED + 1).subquery()
    count = db.session.execute(select(func.count()).select_from(found), execution_options=QUIET).scalar_one()
    if count > FEW:
        if len(known) > 10_000:
            known.clear()
        known[key] = count, time.monotonic()
    else:
        known.pop(key, None)
    return int(count)


def visible(model: Any, branches: list[Any] | None) -> list[int]:
    """The ids of the few rows that these alternatives let through."""
    parts = [_ids(model, branch, FEW + 1) for branch in branches or []]
    if not parts:
        return []
    query = parts[0] if len(parts) == 1 else union_all(*(select(one.subquery()) for one in parts))
    return list(dict.fromkeys(db.session.execute(query, execution_options=QUIET).scalars()))


def _ids(model: Any, branch: Any, limit: int) -> Any:
    # Without ORM entities in the select, and marked quiet: these branches are the row filter themselves.
    query = select(model.__table__.c.id).where(and_(true(), branch)).limit(limit)
    # In the order of the column that is compared with values, its index alone answers; else PostgreSQL reads the table.
    return query.order_by(branch.left) if isinstance(getattr(branch, "right", None), BindParameter) else query
