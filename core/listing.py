"""Pages of records: filtered, searched, sorted and counted at the same cost for a thousand rows and for ten million."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BindParameter, case, false, func, literal, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.util import ClauseAdapter

from core.context import actor
from core.cursors import Step, after, order_of, read_cursor, write_cursor
from core.db import db
from core.errors import Broken, Refused
from core.filters import compile_filter, field_named
from core.i18n import gettext as _
from core.reach import ALONE, MOST_COUNTED, limbs_of, reach_of
from core.reading import saw

MOST_FOUND = 1_000
MOST_ROWS = 1_000
NEXT = 1_000, 10_000
"""So many rows in order are looked through for a common word, before all its hits are collected. Who asks for more than a thousand
hits among a million rows meets a page of them there, unless they are rarer than one in two hundred."""


@dataclass(slots=True)
class Page:
    """Some rows of a list, the marks of the pages around them, and how many there are in all."""

    rows: list[Any]
    next: str | None = None
    previous: str | None = None
    count: int | None = None
    """None when nobody asked; when ``capped``, there are more than this."""
    capped: bool = False
    order: list[str] = field(default_factory=list)

    @property
    def count_capped(self) -> bool:
        """The same as ``capped``."""
        return self.capped

    @property
    def total_text(self) -> str:
        """The count as a person reads it: ``312`` or ``10,000+``."""
        return "" if self.count is None else f"{self.count:,}" + ("+" if self.capped else "")


def page(
    model: Any, filter: Any = None, search: str | None = None, order: Any = None, limit: int = 50, after: str | None = None,
    before: str | None = None, count: bool = True, columns: Iterable[str] | None = None,
) -> Page:  # fmt: skip
    """One page of ``model`` as the acting person may see it.

    ``order`` is a field name or several, ``-`` before one turns it round; NULLs come last either way. ``after`` and
    ``before`` take a mark of an earlier page; when nothing stands before it any more, the first page comes. With ``columns``,
    rows are light: named tuples that have ``id`` and these fields, several links excepted, for `Field.get`. Raises `Broken`
    with a sentence for whatever cannot be understood, `Refused` for a person who may not read these records at all.
    """
    must_read(model)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise Broken(_("A page has 1 to %(count)s rows.", count=MOST_ROWS))
    if after and before:
        raise Broken(_("Ask for the page after a mark or before one, not both."))
    steps = order_of(model, order)
    back = bool(before)
    mark = before or after
    place = read_cursor(model, steps, mark) if mark else None
    question = _Question(model, filter, search)
    total, capped = question.total() if count or question.search or not steps[0].indexed else (None, False)
    if not steps[0].indexed and (capped or (total or 0) >= MOST_COUNTED):
        raise Broken(
            _("“%(field)s” has no index, so only lists of fewer than %(count)s records can be sorted by it. Please filter first.",
              field=steps[0].title, count=f"{MOST_COUNTED:,}")
        )  # fmt: skip
    found = question.rows(steps, place, back, limit, _picked(model, columns)) if total != 0 else []
    if back and not found:
        # What stood before this place is gone: the list begins here now.
        back, after = False, None
        found = question.rows(steps, None, False, limit, _picked(model, columns)) if total != 0 else []
    more, found = len(found) > limit, found[:limit]
    if columns is None or list(columns):
        # Of those that are only named, as in the launcher, nobody has seen more than the name.
        saw(model, (row[0].id if columns is None else row.id for row in found))
    if back:
        found.reverse()
    width = len(steps)
    marks = [write_cursor(model, steps, row[-width:]) for row in (found[:1] + found[-1:])]
    return Page(
        rows=[row[0] for row in found] if columns is None else found,
        next=marks[-1] if marks and (more or back) else None,
        previous=marks[0] if marks and (more if back else after) else None,
        count=total if count else None,
        capped=capped and count,
        order=[("-" if step.down else "") + step.name for step in steps],
    )


def must_read(model: Any) -> None:
    """Raises `Refused` when the acting person may read no record of this kind: nothing found would look like an empty list."""
    from core.guard import refusal
    from core.rules import may

    if not (verdict := may("read", model)):
        raise Refused(refusal("read", model), verdict)


def _picked(model: Any, columns: Iterable[str] | None) -> list[Any]:
    if columns is None:
        return [model]
    fields = [field_named(name, model) for name in columns if name != "id"]
    stored = [getattr(model, one.key).label(one.key) for one in fields if not one.custom and one.kind.name != "links"]
    return [model.id.label("id"), *stored, *([model.custom.label("custom")] if any(one.custom for one in fields) else [])]


def id_among(column: Any, ids: Sequence[int]) -> Any:
    """``column IN ids`` as one bound value, so that the statement stays the same for any number of ids."""
    if db.is_sqlite:
        return column.in_(select(sa.column("value")).select_from(func.json_each(literal(json.dumps(list(ids))))))
    return column == func.any(sa.cast(list(ids), ARRAY(sa.Integer)))


class _Question:
    """What is asked of one model, and what is already known of the answer."""

    def __init__(self, model: Any, filter: Any, words: str | None) -> None:
        from core.rules import rights
        from core.search import look_up

        self.model = model
        self.conditions = [] if filter in (None, {}) else [compile_filter(filter, model)]
        self.search = bool(words and words.strip())
        self.hits = look_up(model, str(words)) if self.search else None
        self.branches = None if actor().system else rights().branches(model, "read")
        """The alternatives of the person's row filter; None when every row is within reach."""
        self.counted: tuple[int, bool] | None = None
        self.within, self.visible = reach_of(model, self.branches, fresh=not (self.conditions or self.search))
        if not (self.conditions or self.search):
            self.known = self.visible
            if self.visible is None and self.within is not None:
                self.counted = min(self.within, MOST_COUNTED), self.within > MOST_COUNTED
        else:
            self.known = [] if self.within == 0 or (self.search and self.hits is None) else None

    @property
    def narrow(self) -> bool:
        """True when the person sees so few rows that a search looks them up one by one rather than going through all its hits."""
        return self.within is not None and self.within <= MOST_COUNTED

    def where(self, searched: bool = True) -> list[Any]:
        """The conditions beside the row filter, which the session adds itself."""
        if self.known is not None:
            return [id_among(self.model.id, self.known)]
        found = [] if self.visible is None else [id_among(self.model.id, self.visible)]
        found += self.conditions
        if self.hits is None or not searched:
            return found
        return [*found, self.hits.each(self.model.id) if self.narrow else self.hits.among(), *self.hits.visible]

    def total(self) -> tuple[int, bool]:
        """(how many rows, are there more), asked only as far as the cap; few hits of a search are remembered."""
        if self.counted is None:
            self.counted = self._total()
        return self.counted

    def _total(self) -> tuple[int, bool]:
        if self.known is not None:
            return len(self.known), False
        run = db.session.execute
        if self.hits is not None:
            some = self.hits.join(select(self.model.id), self.narrow).where(*self.where(searched=False)).limit(MOST_FOUND + 1)
            # Among very many visible rows the hits lead, never the rule.
            ids = list(run(_led(some, self.model) if db.is_sqlite and not self.narrow else some).scalars())
            if len(ids) <= MOST_FOUND:
                self.known = ids
            return min(len(ids), MOST_FOUND), len(ids) > MOST_FOUND
        some = select(self.model.id).where(*self.where()).limit(MOST_COUNTED + 1)
        if not self.conditions and not db.is_sqlite:
            # All rows: in the order of the id the index alone tells how many there are. (SQLite finds the shortest index itself.)
            some = some.order_by(self.model.id)
        counted = run(select(func.count()).select_from(some.subquery())).scalar_one()
        return min(counted, MOST_COUNTED), counted > MOST_COUNTED

    def rows(self, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any]) -> list[Any]:
        """Up to ``limit + 1`` rows, each ended by the values that the order looks at; nearest first when walking back."""
        run = db.session.execute
        if self.known is not None:
            return list(run(_led(_sorted(self, steps, place, back, limit, picked), self.model)).all())
        ranks = _ranks(steps[0], place, back)
        if self.hits is not None and self.total()[1] and steps[0].indexed:
            # A common word: the next rows in order mostly hold enough hits, and collecting all hits first would take long.
            # PostgreSQL stops as soon as the page is full, SQLite looks through all it is given.
            for window in NEXT if db.is_sqlite else NEXT[-1:]:
                found = list(run(_walk(self, steps, place, back, limit, picked, ranks[0], window)).all())
                if len(found) > limit:
                    return found
        if db.is_sqlite and self.within == ALONE and not self.conditions and self.hits is None and ranks[0] == 0 and _bare(steps):
            # Of so many shared rows the next in order are mostly met soon. SQLite would fetch and sort all of them.
            found = list(run(_nearest(self.model, steps, place, back, limit, picked)).all())
            if len(found) > limit:
                return found
        found = []
        for rank in ranks:
            if len(found) <= limit:
                found += run(_walk(self, steps, place, back, limit, picked, rank)).all()
        return found[: limit + 1]


def _led(query: Any, model: Any) -> Any:
    """``query`` with conditions that lead to its rows: the row filter is only asked of each (`core.guard`)."""
    return query.execution_options(mortise_led=model)


def _ranks(first: Step, place: list[Any] | None, back: bool) -> list[int]:
    """The walks that a page may need: rows with a value in the first column (0), then those without (1); the other way round backward.

    No database walks NULLS LAST both ways along one index. The second walk is asked only when the first does not fill the page.
    """
    if not first.nullable:
        return [0]
    ranks = [1, 0] if back else [0, 1]
    return ranks if place is None or (place[0] is None) == back else ranks[1:]


def _beyond(steps: list[Step], place: list[Any], back: bool, rank: int) -> list[Any]:
    """The rows of one walk that come after a place (before it, when walking back)."""
    if rank == 1:
        return [after(steps[1:], place[1:], back)] if place[0] is None else []
    if place[0] is None:
        return []
    return [after([replace(steps[0], nullable=False), *steps[1:]], place, back)]


def _keys(steps: list[Step]) -> tuple[list[str], list[Any]]:
    names = [f"order_{number}" for number in range(len(steps))]
    return names, [step.expression.label(name) for step, name in zip(steps, names, strict=True)]


def _sorted(asked: _Question, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any]) -> Any:
    """The statement of a page of few rows, whose ids are known: fetched and sorted, by any column."""
    place_of = [after(steps, place, back)] if place is not None else []
    query = select(*picked, *_keys(steps)[1]).where(*asked.where(), *place_of)
    return query.order_by(*(step.sorting(back) for step in steps)).limit(limit + 1)


def _bare(steps: list[Step]) -> bool:
    """True for an order along an index of columns."""
    return steps[0].indexed and all(isinstance(one.expression, InstrumentedAttribute) for one in steps)


def _nearest(model: Any, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any]) -> Any:
    """The statement of a page among the next 10,000 rows in order, whosoever they are."""
    # Where these end is asked of the bare table, so that no rule is asked of them.
    table, first = model.__table__.alias(), steps[0]
    bare = [replace(one, expression=table.c[one.expression.key]) for one in steps]
    beyond = [bare[0].expression.is_not(None), *(_beyond(bare, place, back, 0) if place is not None else [])]
    last = select(bare[0].expression).where(*beyond).order_by(*_sorting(bare, back, 0)).offset(NEXT[-1]).limit(1)
    end = db.session.execute(last).scalar()
    where = [first.expression.is_not(None), *(_beyond(steps, place, back, 0) if place is not None else [])]
    if end is not None:
        where.append(first.expression >= end if first.down != back else first.expression <= end)
    return _led(select(*picked, *_keys(steps)[1]).where(*where).order_by(*_sorting(steps, back, 0)).limit(limit + 1), model)


def _sorting(steps: list[Step], back: bool, rank: int) -> list[Any]:
    """The ORDER BY of one walk: the first column has a value in each row (rank 0), or in none."""
    return [*([steps[0].sorting(back, whole=True)] if rank == 0 else []), *(one.sorting(back) for one in steps[1:])]


def _unruled(model: Any, steps: list[Step], where: list[Any], sorting: list[Any], limit: int) -> Any:
    """One walk over the bare table. Its conditions are an alternative of the row filter itself, and the statement around asks the rule of
    each row that comes out: within, PostgreSQL would collect all shared records once more for it."""
    from core.rules import rights

    table = _bare_table(model.__table__)
    bare = ClauseAdapter(table).traverse
    keys = zip(steps, _keys(steps)[0], strict=True)
    query = select(table.c.id.label("id"), *(table.c[one.expression.key].label(name) for one, name in keys))
    # In a CASE the shared records are collected once, and looked up for the rows in order; else all of them might be fetched and sorted.
    many = rights().much_shared(model)
    asked = [case((table.c.id.in_(many), true()), else_=false()) if many is not None and _among_many(one) else one for one in where]
    return query.where(*(bare(one) for one in asked)).order_by(*(bare(one) for one in sorting)).limit(limit + 1)


@lru_cache(maxsize=64)
def _bare_table(table: Any) -> Any:
    """A table under another name, by which no rule knows it; made once, since each of its columns is made anew."""
    return table.alias()


def _among_many(condition: Any) -> bool:
    """Is this a condition that asks whether a row's id is among those of a query?"""
    return getattr(getattr(condition, "left", None), "key", None) == "id" and not isinstance(condition.right, BindParameter)


def _walk(
    asked: _Question, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any], rank: int, window: int = 0
) -> Any:  # fmt: skip
    """The statement of one walk. With a ``window``, only so many rows in order are looked through for hits of the search."""
    first, model = steps[0], asked.model
    names, keys = _keys(steps)
    where = asked.where(searched=not window)
    if first.nullable:
        where.append(first.expression.is_(None) if rank else first.expression.is_not(None))
    if place is not None:
        where += _beyond(steps, place, back, rank)
    sorting = _sorting(steps, back, rank)
    # The hits of a search are not looked up anew for each walk.
    alone = asked.visible is not None or (asked.hits is not None and not asked.narrow)
    limbs = [[]] if alone else limbs_of(model, asked.branches, first, asked.narrow)
    # Where nothing else says which rows are within reach, PostgreSQL has to learn it from the rule.
    led = db.is_sqlite or asked.visible is not None or limbs != [[]]
    if not window and len(limbs) == 1:
        query = select(*picked, *keys).where(*where, *limbs[0]).order_by(*sorting).limit(limit + 1)
        return _led(query, model) if led else query
    inner = select(model.id.label("id"), *keys).where(*where).order_by(*sorting).limit(window or limit + 1)
    walks = [inner.where(*limb) for limb in limbs]
    # SQLite meets so many shared records next in order (`_nearest`), or fetches them.
    unruled = (asked.within != ALONE if db.is_sqlite else led) and not asked.conditions and asked.hits is None and _bare(steps)
    if unruled:
        walks = [_unruled(model, steps, [*where, *limb], sorting, limit) for limb in limbs]
    near = (walks[0] if len(walks) == 1 else union_all(*(select(one.subquery()) for one in walks))).subquery()

    def outer() -> list[Any]:
        found = [first.sorting(back, near.c[names[0]], whole=True)] if rank == 0 else []
        return [*found, *(step.sorting(back, near.c[name]) for step, name in zip(steps[1:], names[1:], strict=True))]

    if window and len(limbs) > 1:
        # Beyond the last row of one walk there may be rows that it has not come to.
        near = select(near).order_by(*outer()).limit(window).subquery()
    query = select(*picked, *(near.c[name] for name in names)).join_from(near, model, model.id == near.c.id)
    if window and asked.hits is not None:
        query = query.where(asked.hits.each(near.c.id), *asked.hits.visible)
    query = query.order_by(*outer()).limit(limit + 1)
    if unruled:
        # The guard need not look for them: going through so long a statement takes as long as running it.
        query = query.execution_options(mortise_models=frozenset({model}))
    return _led(query, model) if led else query
