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
    total, capped = question.total() if count or not steps[0].indexed else (None, False)
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
        capped=capped,
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

    def __init__(self, model: Any, filter: Any, search: str | None) -> None:
        from core.search import matches

        self.model = model
        self.search = bool(search and search.strip())
        self.conditions = [] if filter in (None, {}) else [compile_filter(filter, model)]
        if self.search:
            self.conditions.append(matches(model, str(search)))
        self.visible = _few_visible(model)
        self.known: list[int] | None = self.visible if not self.conditions else None

    def where(self) -> list[Any]:
        """The conditions beside the row filter, which the session adds itself."""
        if self.known is not None:
            return [id_among(self.model.id, self.known)]
        if self.visible is not None:
            return [id_among(self.model.id, self.visible), *self.conditions]
        return self.conditions

    def total(self) -> tuple[int, bool]:
        """(how many rows, are there more), asked only as far as the cap; few hits of a search are remembered."""
        if self.known is not None:
            return len(self.known), False
        most = MOST_FOUND if self.search else MOST_COUNTED
        some = select(self.model.id).where(*self.where()).limit(most + 1)
        if self.search:
            ids = list(db.session.execute(some).scalars())
            if len(ids) <= most:
                self.known = ids
            return min(len(ids), most), len(ids) > most
        counted = db.session.execute(select(func.count()).select_from(some.subquery())).scalar_one()
        return min(counted, most), counted > most

    def rows(self, steps: list[Step], place: list[Any] | None, back: bool, limit: int, picked: list[Any]) -> list[Any]:
        """Up to ``limit + 1`` rows, each ended by the values that the order looks at; nearest first when walking back."""
        first, model = steps[0], self.model
        names = [f"order_{number}" for number in range(len(steps))]
        keys = [step.expression.label(name) for step, name in zip(steps, names, strict=True)]
        where = [*self.where(), *([after(steps, place, back)] if place is not None else [])]
        run = db.session.execute
        if not first.nullable:
            query = select(*picked, *keys).where(*where).order_by(*(step.sorting(back) for step in steps)).limit(limit + 1)
            return list(run(query).all())
        # Rows with and without a value in the first column are two walks of one index: no database walks NULLS LAST both ways.
        walks = []
        for rank, part in enumerate((first.expression.is_not(None), first.expression.is_(None))):
            if rank == 0 and place is not None and place[0] is None and not back:
                continue
            if rank == 1 and place is not None and place[0] is not None and back:
                continue
            sorting = [first.sorting(back, whole=True)] if rank == 0 else []
            sorting += [step.sorting(back) for step in steps[1:]]
            inner = select(model.id.label("id"), *keys, literal(rank).label("rank")).where(part, *where)
            walk = inner.order_by(*sorting).limit(limit + 1).subquery()
            walks.append(select(walk))
        near = (walks[0] if len(walks) == 1 else union_all(*walks)).subquery()
        sorting = [near.c.rank.desc() if back else near.c.rank]
        sorting += [step.sorting(back, near.c[name]) for step, name in zip(steps, names, strict=True)]
        query = select(*picked, *(near.c[name] for name in names)).join_from(near, model, model.id == near.c.id)
        return list(run(query.order_by(*sorting).limit(limit + 1)).all())


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
