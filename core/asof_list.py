"""Lists as they were at the end of a past day: filtered, searched, sorted, counted and paged like those of today."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import collate, func, select, union_all

from core.asof import Then, condition
from core.context import actor, local, now, zone_of
from core.cursors import Step, after, order_of, read_cursor, write_cursor
from core.db import db
from core.errors import Broken, Busy
from core.fields import Field
from core.filters import field_named
from core.grouping import counted, sum_of, summed
from core.i18n import gettext as _
from core.journal import journal
from core.listing import MOST_ROWS, Page, must_read
from core.model import fields_of
from core.past import QUIET
from core.reach import MOST_COUNTED
from core.reading import saw
from core.rules import rights

TRIES = 4
T = TypeVar("T")


@dataclass(slots=True)
class PageThen(Page):
    """Some rows of a list of then; they are light: named tuples that have ``id`` and the fields that were asked for."""

    links: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    """{field of several links: {id: ids of then}} of the rows that were others."""
    gone: set[int] = field(default_factory=set)
    """Ids of rows whose records are not there any more."""
    unknown: int = 0
    """So many records of then are left out, since what they were has been erased."""
    totals: tuple[Any, ...] | None = None
    """What the fields asked for by ``sums`` add up to; None in a list that is too long to be counted to its end."""


def read_day(text: str) -> date:
    """The day of an address. Raises `Broken` for what is no day, or lies in the future."""
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        raise Broken(_("A list of the past needs a day like 2026-05-31.")) from None
    if found.year < 1970 or found > local(now()).date():
        raise Broken(_("A list of the past needs a day between 1970 and today."))
    return found


def end_of(day: date) -> datetime:
    """The end of a day in the acting person's zone, in UTC."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), zone_of(actor().zone)).astimezone(UTC).replace(tzinfo=None)


def newest_row(day: date) -> int:
    """The number in the journal of the last change before the end of a day; 0 before there was any."""
    query = select(journal.c.id).where(journal.c.at < end_of(day)).order_by(journal.c.at.desc(), journal.c.id.desc()).limit(1)
    return db.session.execute(query).scalar() or 0


def page_then(
    model: Any, day: date, filter: Any = None, search: str | None = None, order: Any = None, limit: int = 50, after: str | None = None,
    before: str | None = None, count: bool = True, columns: Iterable[str] | None = None, sums: Sequence[str] = (),
) -> PageThen:  # fmt: skip
    """One page of ``model`` as it was at the end of ``day``; asked like `core.listing.page`, with number fields to be added up.

    A fixed number of statements: some five to know what has changed since, one to count, one for the rows, one for the sums; as many
    again for each kind of record that the filter follows a link to. Raises `Broken` with a sentence when that is too much.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise Broken(_("A page has 1 to %(count)s rows.", count=MOST_ROWS))
    if after and before:
        raise Broken(_("Ask for the page after a mark or before one, not both."))
    steps = order_of(model, order)
    names = list(columns) if columns is not None else [name for name in fields_of(model) if name != "version"]
    fields = [field_named(name, model) for name in names if name not in ("id", "version")]
    added = [summed(model, name) for name in sums]

    def ask(thens: dict[type, Then]) -> PageThen:
        asked = Asked(model, day, filter, search, steps, fields, thens)
        found = _page(asked, limit, after, before, count)
        if added and not found.capped:
            found.totals = asked.totals(added)
        return found

    found = settled(ask)
    saw(model, (row.id for row in found.rows))
    return found


def settled(ask: Callable[[dict[type, Then]], T]) -> T:
    """The answer of ``ask``, whose statements have all seen one state of the records; asked again when somebody wrote between two."""
    for _try in range(TRIES):
        thens: dict[type, Then] = {}
        found = ask(thens)
        if not any(one.overtaken() for one in thens.values()):
            return found
        db.session.expire_all()
    raise Busy(_("These records are being changed at this very moment. Please try again."))


def walk_then(
    model: Any, day: date, filter: Any = None, search: str | None = None, order: Any = None, columns: Iterable[str] = (),
    verb: str = "read", limit: int = MOST_ROWS,
) -> Iterator[PageThen]:  # fmt: skip
    """All pages of a list of then, for which the acting person has the right ``verb``; what changed since is read back only once.

    A transaction may end between two pages: what somebody changes meanwhile leaves each row of then where it was in the list.
    """
    steps, fields = order_of(model, order), [field_named(name, model) for name in columns if name not in ("id", "version")]
    asked: Asked | None = None
    mark: str | None = None
    while True:
        for _try in range(TRIES):
            if asked is None:
                asked = Asked(model, day, filter, search, steps, fields, {}, verb)
            found = _page(asked, limit, mark, None, False)
            if not any(one.stale() for one in asked.thens.values()):
                break
            asked = None
            db.session.expire_all()
        else:
            raise Busy(_("These records are being changed at this very moment. Please try again."))
        saw(model, (row.id for row in found.rows))
        yield found
        mark = found.next
        if mark is None:
            return


def count_then(
    model: Any, day: date, filter: Any = None, search: str | None = None, most: int | None = None, verb: str = "read"
) -> tuple[int, bool]:  # fmt: skip
    """(how many records there were then for which the acting person has the right ``verb``, whether there are more than ``most``)."""
    return settled(lambda thens: Asked(model, day, filter, search, order_of(model, "id"), [], thens, verb).count(most))


class Asked:
    """One question, as the limbs of its statement: what is as it was, and what was another.

    Another right than “read” is asked for by ``verb``: of records that are there as today, of those that are gone only of whoever has it
    for all records, since nobody else's reach can be told of what has no row. Raises `Refused` for who may read none of them.
    """

    def __init__(
        self, model: Any, day: date, tree: Any, words: str | None, steps: list[Step], fields: list[Any], thens: dict[type, Then],
        verb: str = "read",
    ) -> None:  # fmt: skip
        must_read(model)
        self.model, self.thens, moment = model, thens, end_of(day)
        searched = bool(words and words.strip()) or '"search"' in json.dumps(tree, default=str)
        self.then = thens[model] = Then(model, moment, searched)
        self.here = _along(model, model, steps)
        kept = [one for one in fields if one.kind.name != "links"]
        keys = dict.fromkeys([*(one.key for one in kept if not one.custom), *(["custom"] if any(one.custom for one in kept) else [])])
        self.limbs: list[tuple[list[Step], list[Any], list[Any], bool]] = []
        self.parts: list[tuple[Any, list[Any]]] = []
        """(table or rows of then, conditions)."""
        more = None if verb == "read" or actor().system else rights().row_filter(model, verb)
        parts = [(model, [*self.then.unchanged, *([] if more is None else [more])], False)]
        if self.then.any:
            entity = self.then.entity
            within = [] if more is None else [entity.id.in_(select(model.__table__.c.id).where(more).correlate(None))]
            parts.append((entity, within, True))
        for entity, reach, told in parts:
            where = [*reach, condition(tree, words, model, moment, day, told, thens)]
            self.parts.append((entity, where))
            own = _along(model, entity, steps)
            picked = [entity.id.label("id"), *(getattr(entity, key).label(key) for key in keys if key != "id")]
            self.limbs.append((own, where, [*picked, *(one.expression.label(f"order_{at}") for at, one in enumerate(own))], told))

    def total(self) -> tuple[int, bool]:
        """(how many rows, are there more), as far as the cap."""
        return self.count(MOST_COUNTED)

    def count(self, most: int | None) -> tuple[int, bool]:
        """(how many rows, are there more than ``most``); with None to the end."""
        total = 0
        for _steps, where, picked, _told in self.limbs:
            some = select(picked[0]).where(*where).limit(None if most is None else most + 1).subquery()
            total += db.session.execute(select(func.count()).select_from(some), execution_options=QUIET).scalar_one()
        return (total, False) if most is None else (min(total, most), total > most)

    def totals(self, added: Sequence[Field]) -> tuple[Any, ...]:
        """What number fields add up to over all rows; None where no row has a number."""
        parts = [
            select(*(one.column(entity).label(f"sum_{place}") for place, one in enumerate(added))).where(*where)
            for entity, where in self.parts
        ]
        every = union_all(*parts).subquery()
        sums = [sum_of(one, every.c[f"sum_{place}"]) for place, one in enumerate(added)]
        return counted(db.session.execute(select(func.count(), *sums).select_from(every), execution_options=QUIET).one(), added)[1]

    def rows(self, place: list[Any] | None, back: bool, limit: int) -> list[Any]:
        """Up to ``limit + 1`` rows, nearest first; each limb brings so many at most."""
        parts = []
        for steps, where, picked, told in self.limbs:
            beyond = [] if place is None else [after(steps, place, back)]
            first = steps[0]
            # In two walks, each along the index: with values in the first column, and without.
            ways = [[first.expression.is_not(None)], [first.expression.is_(None)]] if first.nullable and not told else [[]]
            for way in ways:
                whole = bool(way) and way == ways[0]
                sorting = [first.sorting(back, whole=whole), *(one.sorting(back) for one in steps[1:])]
                parts.append(select(*picked).where(*where, *beyond, *way).order_by(*sorting).limit(limit + 1))
        every = union_all(*(select(one.subquery()) for one in parts)).subquery()
        outer = [step.sorting(back, every.c[f"order_{at}"]) for at, step in enumerate(self.here)]
        query = select(every).order_by(*outer).limit(limit + 1)
        return list(db.session.execute(query, execution_options=QUIET).all())


def _page(asked: Asked, limit: int, after: str | None, before: str | None, count: bool) -> PageThen:
    model, steps, back = asked.model, asked.here, bool(before)
    mark = before or after
    place = read_cursor(model, steps, mark) if mark else None
    total, capped = asked.total() if count or not steps[0].indexed else (None, False)
    if capped and not steps[0].indexed:
        raise Broken(
            _("“%(field)s” has no index, so only lists of fewer than %(count)s records can be sorted by it. Please filter first.",
              field=steps[0].title, count=f"{MOST_COUNTED:,}")
        )  # fmt: skip
    found = asked.rows(place, back, limit)
    if back and not found:
        back, after = False, None
        found = asked.rows(None, False, limit)
    more, found = len(found) > limit, found[:limit]
    if back:
        found.reverse()
    width = len(steps)
    marks = [write_cursor(model, steps, row[-width:]) for row in (found[:1] + found[-1:])]
    ids = {row.id for row in found}
    return PageThen(
        rows=found,
        next=marks[-1] if marks and (more or back) else None,
        previous=marks[0] if marks and (more if back else after) else None,
        count=total if count else None,
        capped=capped and count,
        order=[("-" if step.down else "") + step.name for step in steps],
        links={name: {one: few for one, few in links.items() if one in ids} for name, links in asked.then.links.items()},
        gone=asked.then.gone & ids,
        unknown=asked.then.unknown,
    )


def _along(model: Any, entity: Any, steps: list[Step]) -> list[Step]:
    """The order, by the columns of the table or of the rows of then. A link goes by what it is called today."""
    made = []
    for step in steps:
        one = fields_of(model)[step.name]
        if step.name == "id":
            expression = entity.id
        elif one.kind.name == "link":
            expression = _called(one, one.column(entity))
        elif step.name == model.title_field and hasattr(model, "title_key"):
            expression = entity.title_key
            if entity is not model and not db.is_sqlite:
                expression = collate(expression, "C")
        else:
            expression = one.column(entity)
        made.append(replace(step, expression=expression))
    return made


def _called(one: Any, column: Any) -> Any:
    """What the record behind a link is called, if the acting person may read it."""
    target = one.target
    other = target.__table__.alias()
    name = "title_key" if hasattr(target, "title_key") else target.__fields__[target.title_field].key
    query = select(other.c[name]).where(other.c.id == column)
    reach = None if actor().system else rights().row_filter(target, "read")
    if reach is not None:
        query = query.where(other.c.id.in_(select(target.__table__.c.id).where(reach).correlate(None)))
    return query.correlate_except(other).scalar_subquery()
