"""Pages of records: filtered, searched, sorted and counted at the same cost for a thousand rows and for ten million."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import and_, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from core.context import actor
from core.cursors import Step, after, order_of, read_cursor, write_cursor
from core.db import db
from core.errors import Broken
from core.filters import compile_filter, field_named
from core.i18n import gettext as _

MOST_COUNTED = 10_000
MOST_FOUND = 1_000
FEW = 3_000
"""Up to so many visible rows, they are fetched and sorted; beyond, the order's index is walked."""
MOST_ROWS = 1_000
NEXT = 1_000
"""So many rows in order are looked through for a common word, before all its hits are collected."""
QUIET = {"mortise_rules": False}


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
    ``before`` take a mark of an earlier page. With ``columns``, rows are light: named tuples of ``id`` and these fields
    by `Field.key`, instead of records. Raises `Broken` with a sentence for whatever cannot be understood.
    """
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
    more, found = len(found) > limit, found[:limit]
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


def _picked(model: Any, columns: Iterable[str] | None) -> list[Any]:
    if columns is None:
        return [model]
    fields = [field_named(name, model) for name in columns if name != "id"]
    return [model.id.label("id"), *(one.column(model).label(one.key) for one in fields if one.kind.name != "links")]


def id_among(column: Any, ids: Sequence[int]) -> Any:
    """``column IN ids`` as one bound value, so that the statement stays the same for any number of ids."""
    if db.is_sqlite:
        return column.in_(select(sa.column("value")).select_from(func.json_each(literal(json.dumps(list(ids))))))
    return column == func.any(sa.cast(list(ids), ARRAY(sa.Integer)))


class _Question:
    """What is asked of one model, and what is already known of the answer."""

    def __init__(self, model: Any, filter: Any, words: str | None) -> None:
        from core.search import look_up

        self.model = model
        self.conditions = [] if filter in (None, {}) else [compile_filter(filter, model)]
        self.search = bool(words and words.strip())
        self.hits = look_up(model, str(words)) if self.search else None
        self.visible = _few_visible(model)
        self.known = self.visible if not (self.conditions or self.search) else [] if self.search and self.hits is None else None
        self.counted: tuple[int, bool] | None = None

    def where(self, searched: bool = True) -> list[Any]:
        """The conditions beside the row filter, which the session adds itself."""
        if self.known is not None:
            return [id_among(self.model.id, self.known)]
        found = [] if self.visible is None else [id_among(self.model.id, self.visible)]
        found += self.conditions
        return [*found, self.hits.among(), *self.hits.visible] if self.hits is not None and searched else found

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
            some = self.hits.join(select(self.model.id)).where(*self.where(searched=False)).limit(MOST_FOUND + 1)
            ids = list(run(some).scalars())
            if len(ids) <= MOST_FOUND:
                self.known = ids
            return min(len(ids), MOST_FOUND), len(ids) > MOST_FOUND
        some = select(self.model.id).where(*self.where()).limit(MOST_COUNTED + 1)
        counted = run(select(func.count()).select_from(some.subquery())).scalar_one()
        return min(counted, MOST_COUNTED), counted > MOST_COUNTED

    def rows(self, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any]) -> list[Any]:
        """Up to ``limit + 1`` rows, each ended by the values that the order looks at; nearest first when walking back."""
        if self.hits is not None and self.total()[1] and steps[0].indexed:
            # A common word: the next rows in order mostly hold enough hits, and collecting all hits first would take long.
            found = list(db.session.execute(_walk(self, steps, place, back, limit, picked, NEXT)).all())
            if len(found) > limit:
                return found
        return list(db.session.execute(_walk(self, steps, place, back, limit, picked)).all())


def _walk(
    asked: _Question, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any], window: int = 0
) -> Any:  # fmt: skip
    """The statement of one page. With a ``window``, only so many rows in order are looked through for hits of the search."""
    first, model = steps[0], asked.model
    names = [f"order_{number}" for number in range(len(steps))]
    keys = [step.expression.label(name) for step, name in zip(steps, names, strict=True)]
    where = [*asked.where(searched=not window), *([after(steps, place, back)] if place is not None else [])]
    if not first.nullable and not window:
        return select(*picked, *keys).where(*where).order_by(*(step.sorting(back) for step in steps)).limit(limit + 1)
    # Rows with and without a value in the first column are two walks of one index: no database walks NULLS LAST both ways.
    walks = []
    for rank, part in enumerate((first.expression.is_not(None), first.expression.is_(None))):
        if place is not None and rank == int(back) and (place[0] is None) != back:
            continue
        sorting = [first.sorting(back, whole=True)] if rank == 0 else []
        sorting += [step.sorting(back) for step in steps[1:]]
        inner = select(model.id.label("id"), *keys, literal(rank).label("rank")).where(part, *where)
        walks.append(select(inner.order_by(*sorting).limit(window or limit + 1).subquery()))
    if window:
        # What follows in the second walk is not next while the first may go on.
        walks = walks[-1:] if back else walks[:1]
    near = (walks[0] if len(walks) == 1 else union_all(*walks)).subquery()
    query = select(*picked, *(near.c[name] for name in names)).join_from(near, model, model.id == near.c.id)
    if window and asked.hits is not None:
        query = query.where(asked.hits.each(near.c.id), *asked.hits.visible)
    sorting = [near.c.rank.desc() if back else near.c.rank]
    sorting += [step.sorting(back, near.c[name]) for step, name in zip(steps, names, strict=True)]
    return query.order_by(*sorting).limit(limit + 1)


def _few_visible(model: Any) -> list[int] | None:
    """The ids of all rows the person may see, when these are few; None when they are many or all."""
    from core.rules import rights

    if actor().system:
        return None
    branches = rights().branches(model, "read")
    if branches is None:
        return None
    if not branches:
        return []
    # Without ORM entities in the select, and marked quiet: these branches are the row filter themselves.
    column = model.__table__.c.id
    parts = [select(select(column).where(and_(sa.true(), branch)).limit(FEW + 1).subquery()) for branch in branches]
    query = (parts[0] if len(parts) == 1 else union_all(*parts)).limit(FEW + 1)
    found = list(db.session.execute(query, execution_options=QUIET).scalars())
    return None if len(found) > FEW else list(dict.fromkeys(found))
