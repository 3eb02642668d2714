"""How far a person sees: how many rows, as far as it decides how a list is best read, and whether it is still as far as it was."""

from __future__ import annotations

import hashlib
import time
import weakref
from typing import Any

from sqlalchemy import BindParameter, Engine, and_, false, func, or_, select, true, union, union_all

from core.context import actor
from core.db import db

MOST_COUNTED = 10_000
FEW = 3_000
"""Up to so many visible rows, they are fetched and sorted; beyond, the order's index is walked."""
KEPT_SECONDS = 300
ALONE_SECONDS = 60
"""So long it is believed that more than 10,000 records are shared with somebody: counting them takes as long as the page."""
MOST_SHARED = 500
"""So many shared records are noted one by one; of more only whether they are the same."""
MOST_WALKS = 40
"""So many walks of an index, one a department, are still quicker than one through everybody's rows."""
QUIET = {"mortise_rules": False}
_wide: weakref.WeakKeyDictionary[Engine, dict[tuple[int | None, str], tuple[int, float]]] = weakref.WeakKeyDictionary()
ALONE = MOST_COUNTED + 2
"""Kept instead of a number of rows: those that are shared with the person are more than are counted, whatever else he sees."""


TWICE = 2_000
"""So many records may be shared with a person more than once, among those that are looked at."""


def reach_of(model: Any, branches: list[Any] | None, fresh: bool) -> tuple[int | None, list[int] | None]:
    """(how many rows these alternatives of a row filter let through, their ids if they are at most `FEW`).

    None for every row, and little more than 10,000 at most. Unless a ``fresh`` number is wanted, one above `FEW` of the last five
    minutes will do: it only decides between two ways to the same rows.
    """
    if branches is None:
        return None, None
    if not branches:
        return 0, []
    assert db.engine is not None
    known, key = _wide.setdefault(db.engine, {}), (actor().user_id, model.__tablename__)
    kept = known.get(key)
    if kept is None or time.monotonic() - kept[1] >= KEPT_SECONDS:
        # Most people see few rows of most models: their ids tell the number, too.
        ids = _visible(model, branches)
        if len(ids) <= FEW:
            known.pop(key, None)
            return len(ids), ids
    elif not fresh or (kept[0] == ALONE and time.monotonic() - kept[1] < ALONE_SECONDS):
        return kept[0], None
    count = _count(model, branches)
    if count > FEW:
        if len(known) > 10_000:
            known.clear()
        known[key] = count, time.monotonic()
        return count, None
    known.pop(key, None)
    return count, _visible(model, branches)


def _count(model: Any, branches: list[Any]) -> int:
    from core.rules import rights

    many = rights().much_shared(model)
    if many is not None:
        # A share goes with its record (`core.deletion`), so that very many need not be looked for among the records.
        some = select(many.subquery()).limit(MOST_COUNTED + TWICE).subquery()
        query = select(func.count(some.c.record_id.distinct()))
        if db.session.execute(query, execution_options=QUIET).scalar_one() > MOST_COUNTED:
            return ALONE
    by_id = [getattr(getattr(one, "left", None), "key", None) == "id" for one in branches]
    named, others = ([one for one, its in zip(branches, by_id, strict=True) if its is kind] for kind in (True, False))
    parts = [select(_ids(model, one, MOST_COUNTED + 1).subquery()) for one in others]
    # Several alternatives may let through the same rows. Records that are named are few: they are asked, the others' rows are not sorted.
    parts = [select(union(*parts).subquery())] if len(parts) > 1 else parts
    beside = ~func.coalesce(or_(false(), *others), false())
    parts += [select(_ids(model, and_(one, beside), MOST_COUNTED + 1).subquery()) for one in named]
    found = (union_all(*parts) if len(parts) > 1 else parts[0]).limit(MOST_COUNTED + 1).subquery()
    return int(db.session.execute(select(func.count()).select_from(found), execution_options=QUIET).scalar_one())


def _visible(model: Any, branches: list[Any]) -> list[int]:
    """The ids of the rows that these alternatives let through: all if they are at most `FEW`, else more than that."""
    parts = [_ids(model, branch, FEW + 1) for branch in branches]
    query = parts[0] if len(parts) == 1 else union_all(*(select(one.subquery()) for one in parts))
    return list(dict.fromkeys(db.session.execute(query, execution_options=QUIET).scalars()))


def _ids(model: Any, branch: Any, limit: int) -> Any:
    # Without ORM entities in the select, and marked quiet: these branches are the row filter themselves.
    query = select(model.__table__.c.id).where(and_(true(), branch)).limit(limit)
    # In the order of the column that is compared with values, its index alone answers; else PostgreSQL reads the table.
    return query.order_by(branch.left) if isinstance(getattr(branch, "right", None), BindParameter) else query


def limbs_of(model: Any, branches: list[Any] | None, first: Any, narrow: bool) -> list[list[Any]]:
    """The walks through an ordered list that together meet each row that these alternatives let through, and each once.

    Each walk is told by its conditions. ``first`` is the first step of the order; ``narrow`` says that the rows are at most 10,000.
    The rule that the session adds to the statement guides no walk (`core.guard`).
    """
    if not branches or (len(branches) == 1 and not db.is_sqlite):
        return [[]]
    ways = [[branch] for branch in branches]
    if db.is_sqlite and not narrow:
        # For very many rows SQLite would fetch all of them by several indexes and sort them.
        split = [_split(model, branch, first) for branch in branches]
        if any(way is None for way in split) and (len(branches) > 1 or not _plain(branches[0])):
            # So many rows are met soon enough in the order's own index.
            return [[]]
        ways = [way or [branch] for way, branch in zip(split, branches, strict=True)]
    limbs: list[list[Any]] = []
    for place, some in enumerate(ways):
        # What an earlier walk has found is left out of the later ones.
        limbs += [[way, *([~func.coalesce(or_(*branches[:place]), false())] if place else [])] for way in some]
    return limbs


def _split(model: Any, branch: Any, first: Any) -> list[Any] | None:
    """An alternative as walks along indexes that hold its rows in order, one a value; None where there is no such index."""
    column, right = getattr(branch, "left", None), getattr(branch, "right", None)
    if column is not None and column.key == "id":
        return [branch]
    wanted = [getattr(column, "key", None), getattr(first.expression, "key", None)]
    if not isinstance(right, BindParameter) or all([one.key for one in index.columns][:2] != wanted for index in model.__table__.indexes):
        return None
    if _plain(branch):
        return [branch]
    values = list(right.value) if right.expanding else []
    return [column == value for value in values] if 0 < len(values) <= MOST_WALKS else None


def _plain(branch: Any) -> bool:
    right = getattr(branch, "right", None)
    return isinstance(right, BindParameter) and not right.expanding


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
