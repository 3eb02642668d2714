"""How far a person sees: how many rows, as far as it decides how a list is best read, and whether it is still as far as it was."""

from __future__ import annotations

import hashlib
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
MOST_SHARED = 500
"""So many shared records are noted one by one; of more only whether they are the same."""
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


# -- how far a right reaches, to be compared later ----------------------------------------------------------------------


def extent(model: Any, verb: str) -> list[str]:
    """How far the acting person's right reaches now, in words that `still_within` compares: ``all``, or whose and which records."""
    from core.rules import rights

    return sorted(["all"] if actor().system else _extent(rights(), model, verb))


def still_within(before: list[str] | None, now: list[str]) -> bool:
    """Does a right that reaches as far as ``now`` hold everything that it held ``before``?"""
    return "all" in now or (before is not None and set(before) <= set(now))


def _extent(mine: Any, model: Any, verb: str) -> set[str]:
    from core.model import is_owned, part_of
    from core.rules import ABOVE

    grant = mine.grant(model, verb)
    if grant.nothing:
        return set()
    if "all" in grant.scopes or (model.open_to_team and grant.scopes):
        return {"all"}
    found = {f"owner {mine.user_id}"} if "own" in grant.scopes else set()
    if is_owned(model):
        places = (mine.below if "below" in grant.scopes else set()) | (mine.departments if "department" in grant.scopes else set())
        found |= {f"department {one}" for one in places}
    if "team" in grant.scopes:
        found |= {f"owner {one}" for one in mine.teammates()}
    if "parent" in grant.scopes and (link := part_of(model)) is not None:
        above = _extent(mine, link.target, ABOVE.get(verb, "edit"))
        found |= {"all"} if "all" in above else {f"part of {one}" for one in above}
    if grant.shared:
        ids = sorted(db.session.execute(mine._shared_ids(model, verb), execution_options=QUIET).scalars())
        many = hashlib.sha256(repr(ids).encode()).hexdigest()[:24]
        found |= {f"record {one}" for one in ids} if len(ids) <= MOST_SHARED else {f"records {many}"}
    return found
