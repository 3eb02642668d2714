"""Groups and totals of a list: how many records of each kind there are, and what their numbers add up to, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Date, DateTime, Float, Integer, String, UnaryExpression, case, cast, func, literal_column, select
from sqlalchemy.sql.operators import custom_op

from core.addons import enabled
from core.context import actor, now
from core.db import db
from core.errors import Broken
from core.fields import Field
from core.filters import field_named, filter_fields
from core.i18n import gettext as _
from core.listing import MOST_COUNTED, _Question
from core.options import options
from core.reading import saw_groups
from core.titles import know_titles, titles
from core.zones import shifts

MOST_KEYS = 3
GROUPS = 200
"""So many groups, the largest, are given out unless more are asked for."""
MOST_GROUPS = 1000
UNITS = ("day", "week", "month", "quarter", "year")
DATES = ("date", "datetime")
FEW_VALUES = ("choice", "link", "yesno", *DATES)
"""Kinds whose values repeat: they make groups of any number of records."""
MANY_VALUES = ("text", "code", "integer")
"""Kinds whose values may all be different: they make groups where an index knows them, or of fewer than 10,000 records."""
SUMMED = ("integer", "decimal", "money", "formula")


@dataclass(frozen=True, slots=True)
class Key:
    """What a list is grouped by: a field, and for days and moments the span of time."""

    field: Field
    unit: str = ""

    @property
    def name(self) -> str:
        """As it is asked for and stands in an address: ``region``, ``due_on:month``."""
        return f"{self.field.name}:{self.unit}" if self.unit else self.field.name


@dataclass(slots=True)
class Group:
    """Records that are alike in the keys: the values, their words, how many, and their sums."""

    values: tuple[Any, ...]
    """As stored; a span of time by its first day, None where the field is empty."""
    labels: tuple[str, ...]
    count: int
    sums: tuple[Any, ...] = ()
    above: tuple[tuple[int, tuple[Any, ...]], ...] = ()
    """(count, sums) of the groups that this one lies in, outermost first; right even when not every group is given."""


@dataclass(slots=True)
class Grouped:
    """The groups of a list, and what holds for the list as a whole."""

    keys: list[Key]
    sums: list[Field]
    groups: list[Group] = field(default_factory=list)
    number: int = 0
    """How many groups there are; more than are given, when ``capped``."""
    count: int = 0
    """Exactly how many records."""
    totals: tuple[Any, ...] = ()
    unknown: int = 0
    """Of a list of the past: so many records are left out, since what they were has been erased."""

    @property
    def capped(self) -> bool:
        """True when only the largest groups are given."""
        return self.number > len(self.groups)


def groups(
    model: Any, by: Sequence[str], filter: Any = None, search: str | None = None, sums: Sequence[str] = (), limit: int = GROUPS
) -> Grouped:
    """The records that the acting person may see, counted and summed by one to three fields; the largest groups when there are many.

    ``by`` names choices, links, yes/no, and dates with a span (``due_on:month``, the default; weeks begin on Monday, moments fall
    into the person's own days). Raises `Broken` with a sentence for whatever cannot be grouped or summed.
    """
    found = asked_for(model, by, sums, limit)
    question = _Question(model, filter, search)
    affordable(model, question, [*(key.field for key in found.keys), *found.sums])
    saw_groups(model, [key.name for key in found.keys] + [one.name for one in found.sums])
    if question.known == []:
        return found
    return told(found, db.session.execute(_statement(model, question, found.keys, found.sums, limit)).all())


def asked_for(model: Any, by: Sequence[str], sums: Sequence[str], limit: int) -> Grouped:
    """The groups that are asked for, still empty. Raises `Broken` for whatever cannot be grouped or summed."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_GROUPS:
        raise Broken(_("A list has 1 to %(count)s groups.", count=MOST_GROUPS))
    return Grouped(keys_of(model, by), [summed(model, name) for name in sums])


def told(found: Grouped, rows: Sequence[Any]) -> Grouped:
    """The groups filled with what the statement of `around` has answered."""
    if not rows:
        return found
    keys, added = found.keys, found.sums
    width, each = len(keys), 1 + len(added)
    names = _labels(keys, rows)
    places = [{value: place for place, value in enumerate(known)} for known in names]
    for row in rows:
        own, *above = (counted(row[width + each * level :], added) for level in range(width))
        values = tuple(row[:width])
        labels = tuple(known[value] for known, value in zip(names, values, strict=True))
        found.groups.append(Group(values, labels, *own, above=tuple(above)))
    found.groups.sort(key=lambda one: [known[value] for known, value in zip(places, one.values, strict=True)])
    found.number = rows[0][-1]
    found.count, found.totals = counted(rows[0][-1 - each : -1], added)
    return found


def totals(model: Any, sums: Sequence[str], filter: Any = None, search: str | None = None) -> tuple[Any, ...]:
    """The sums of number fields over all records that the acting person may see; None where no record has a number."""
    added = [summed(model, name) for name in sums]
    question = _Question(model, filter, search)
    affordable(model, question, added)
    saw_groups(model, [one.name for one in added])
    if not added or question.known == []:
        return (None,) * len(added)
    columns = [sum_of(one, one.column(model)) for one in added]
    return counted(db.session.execute(select(func.count(), *columns).select_from(model).where(*question.where())).one(), added)[1]


def keys_of(model: Any, by: Sequence[str]) -> list[Key]:
    """What a list is to be grouped by. Raises `Broken` for a field that there is not, or that makes no groups."""
    if isinstance(by, str) or not 1 <= len(by) <= MOST_KEYS or not all(isinstance(one, str) for one in by):
        raise Broken(_("A list is grouped by 1 to %(count)s fields.", count=MOST_KEYS))
    keys: list[Key] = []
    for wanted in by:
        name, _colon, unit = wanted.strip().partition(":")
        one = field_named(name, model)
        if not groupable(one):
            raise Broken(_("A list cannot be grouped by “%(field)s”.", field=one.title))
        if unit and (one.kind.name not in DATES or unit not in UNITS):
            raise Broken(_("“%(field)s” cannot be grouped by “%(unit)s”; dates know %(known)s.",
                           field=one.title, unit=unit[:20], known=", ".join(UNITS)))  # fmt: skip
        if any(key.field.name == name for key in keys):
            raise Broken(_("A list cannot be grouped by “%(field)s” twice.", field=one.title))
        keys.append(Key(one, unit or ("month" if one.kind.name in DATES else "")))
    return keys


def groupable(one: Field) -> bool:
    """Can a list be grouped by this field at all? Text only where it is not the record's own name or number."""
    if one.kind.name == "link":
        return one.target is not None and (actor().system or enabled(one.target.addon))
    return one.kind.name in FEW_VALUES or (one.kind.name in MANY_VALUES and not one.unique and one.name not in ("id", "version"))


def group_fields(model: Any) -> dict[str, Field]:
    """The fields that the acting person may group ``model`` by."""
    return {name: one for name, one in filter_fields(model).items() if groupable(one) and name != model.title_field}


def narrowed(keys: Sequence[Key], values: Sequence[Any]) -> list[dict[str, Any]]:
    """The conditions of the filter language that hold for the records of one group, and for no others."""
    found: list[dict[str, Any]] = []
    for key, value in zip(keys, values, strict=False):
        name = key.field.name
        if value is None:
            found.append({"field": name, "op": "empty"})
        elif key.unit:
            found.append({"field": name, "op": "between", "value": [value.isoformat(), _last_day(value, key.unit).isoformat()]})
        else:
            found.append({"field": name, "op": "is", "value": value})
    return found


# -- the statement ----------------------------------------------------------------------------------------------------


def affordable(model: Any, question: Any, fields: Sequence[Field]) -> None:
    """Refuse by `Broken` what would read a million documents, or make a million groups; a list below 10,000 records may have all of it."""
    costly = [one for one in fields if not _cheap(model, one)]
    if costly and question.total()[1]:
        raise Broken(
            _("“%(field)s” has no index: only lists of fewer than %(count)s records can be grouped or summed by it. Please filter first.",
              field=costly[0].title, count=f"{MOST_COUNTED:,}")
        )  # fmt: skip


def _cheap(model: Any, one: Field) -> bool:
    if one.custom:
        return one.indexed and one.kind.name in FEW_VALUES
    if one.kind.name in MANY_VALUES and one.kind.name not in SUMMED:
        return one.indexed and one.name != model.title_field
    return True


def summed(model: Any, name: str) -> Field:
    """The number field of this name; raises `Broken` when it is none, or the acting person does not see it."""
    one = field_named(name, model)
    if one.kind.name not in SUMMED or one.name in ("id", "version"):
        raise Broken(_("“%(field)s” is no number that could be added up.", field=one.title))
    return one


def sum_of(one: Field, column: Any) -> Any:
    """The sum of a field's column in SQL."""
    # SQLite stops with an error where whole numbers grow beyond 64 bits; as floats they lose a digit at most.
    return func.sum(cast(column, Float)) if one.kind.name == "integer" and db.is_sqlite else func.sum(column)


def _statement(model: Any, question: _Question, keys: Sequence[Key], added: Sequence[Field], limit: int) -> Any:
    grouped = [key_column(model, key) for key in keys]
    if db.is_sqlite and (question.branches is not None or question.where()):
        # It would rather walk all rows in the order of an index over the groups, and look each of them up, than sort the few.
        grouped = [UnaryExpression(one, operator=custom_op("+"), type_=one.type) for one in grouped]
    inner = (
        select(
            *(one.label(f"key_{place}") for place, one in enumerate(grouped)),
            func.count().label("count_0"),
            *(sum_of(one, one.column(model)).label(f"sum_{place}") for place, one in enumerate(added)),
        )
        .select_from(model)
        .where(*question.where())
        # By their places: an expression that is written twice may count as two to PostgreSQL.
        .group_by(*(literal_column(str(place + 1)) for place in range(len(keys))))
        .subquery()
    )
    return around(inner, keys, added, limit)


def around(inner: Any, keys: Sequence[Key], added: Sequence[Field], limit: int) -> Any:
    """Counts and sums of each group, then of the groups around it, of everything, and the number of groups: one pass over the rows.

    ``inner`` has a row a group: ``key_0`` and on, ``count_0``, ``sum_0`` and on.
    """
    names = [f"key_{place}" for place in range(len(keys))]
    numbers = [inner.c.count_0, *(inner.c[f"sum_{place}"] for place in range(len(added)))]
    columns = [inner.c[name] for name in names]
    wider = [
        func.sum(number).over(partition_by=columns[:level]) if level else func.sum(number).over()
        for level in [*range(1, len(keys)), 0]
        for number in numbers
    ]
    labelled = [one.label(f"around_{place}") for place, one in enumerate(wider)]
    biggest = [labelled[level * len(numbers)].desc() for level in range(len(keys) - 1)]
    return (
        select(*columns, *numbers, *labelled, func.count().over().label("groups"))
        .order_by(*biggest, inner.c.count_0.desc(), *(inner.c[name] for name in names))
        .limit(limit)
    )


def key_column(model: Any, key: Key) -> Any:
    """What rows are grouped by, of a model or of rows with its columns."""
    column = key.field.column(model)
    if key.unit:
        return _period(key, column)
    if key.field.kind.name in ("text", "code"):
        return func.nullif(column, literal_column("''"))
    return column


def _period(key: Key, column: Any) -> Any:
    """The first day of the span that a day or moment falls into, moments by the person's clock. Bound values stay out of it."""
    unit = key.unit
    shift = _shift(column) if key.field.kind.name == "datetime" else None
    if db.is_sqlite:
        # Its clock knows milliseconds only: the last microsecond of a day would count as tomorrow.
        column = func.substr(column, literal_column("1"), literal_column("19")) if key.field.kind.name == "datetime" else column
        moves = [] if shift is None else [shift.concat(literal_column("' seconds'"))]
        steps = {
            "day": [], "week": ["'-6 days'", "'weekday 1'"], "month": ["'start of month'"], "year": ["'start of year'"],
            "quarter": ["'start of month'"],
        }[unit]  # fmt: skip
        day = func.date(column, *moves, *map(literal_column, steps))
        if unit == "quarter":
            # strftime knows no quarter: go back to its first month.
            months = (cast(func.strftime(literal_column("'%m'"), day), Integer) - literal_column("1")) % literal_column("3")
            day = func.date(day, cast(literal_column("0") - months, String).concat(literal_column("' months'")))
        return func.date(day, type_=Date())
    moment = cast(column, DateTime) if shift is None else column.op("+")(shift * literal_column("interval '1 second'"))
    return cast(func.date_trunc(literal_column(f"'{unit}'"), moment), Date)


def _shift(column: Any) -> Any:
    """Seconds that the person's clock is ahead of UTC at a stored moment; None when it always shows UTC."""
    known = shifts(actor().zone, now().year + 10)
    if len(known) == 1 and not known[0][1]:
        return None
    # The newest first: nearly all rows are answered by the first few. At the ends of the calendar a day stays what it is.
    ways = [(column >= literal_column("'9999-12-31'"), literal_column("0"))]
    ways += [(column >= literal_column(f"'{start:%Y-%m-%d %H:%M:%S}'"), literal_column(str(seconds))) for start, seconds in known[:0:-1]]
    ways.append((column >= literal_column("'0001-01-02'"), literal_column(str(known[0][1]))))
    return case(*ways, else_=literal_column("0"))


# -- words ------------------------------------------------------------------------------------------------------------


def counted(row: Any, added: Sequence[Field]) -> tuple[int, tuple[Any, ...]]:
    """(count, sums) of a row that has them in this order; sums as numbers of their fields."""
    return int(row[0]), tuple(_number(value, one) for value, one in zip(row[1 : 1 + len(added)], added, strict=True))


def _number(value: Any, one: Field) -> Any:
    if value is None:
        return None
    if one.kind.name == "integer":
        return int(value)
    places = getattr(one.kind, "places", 6)
    return round(Decimal(str(value)), places)


def _labels(keys: Sequence[Key], rows: Sequence[Any]) -> list[dict[Any, str]]:
    """{value: words} for each key, in the order in which the groups stand; titles of links through the person's rights."""
    linked: dict[type, set[int]] = {}
    for place, key in enumerate(keys):
        if key.field.kind.name == "link":
            linked.setdefault(key.field.target, set()).update(row[place] for row in rows if row[place] is not None)
    know_titles(linked)
    return [_words(key, {row[place] for row in rows}) | {None: _("(none)")} for place, key in enumerate(keys)]


def _words(key: Key, values: set[Any]) -> dict[Any, str]:
    some = {value for value in values if value is not None}
    kind = key.field.kind.name
    if kind == "link":
        known = titles(key.field.target, some)
        named = sorted(some & known.keys(), key=lambda value: known[value].lower())
        return {value: known.get(value) or f"#{value}" for value in [*named, *sorted(some - known.keys())]}
    if kind == "choice":
        known = {one.key: one.label for one in options(key.field.choices or "")}
        ordered = [one for one in known if one in some]
        return {value: known.get(value, str(value)) for value in [*ordered, *sorted(some - known.keys())]}
    if kind == "yesno":
        return {value: key.field.text(value) for value in sorted(some, reverse=True)}
    if key.unit:
        return {value: span_text(value, key.unit) for value in sorted(some)}
    return {value: key.field.text(value) for value in sorted(some)}


def span_text(first: date, unit: str) -> str:
    """A span of time as a person reads it, told by its first day."""
    if unit == "year":
        return _("%(year)s", year=first.year)
    if unit == "quarter":
        return _("%(year)s, quarter %(number)s", year=first.year, number=(first.month + 2) // 3)
    if unit == "month":
        return _("%(year)s-%(month)s", year=first.year, month=f"{first.month:02}")
    if unit == "week":
        year, week, _day = first.isocalendar()
        return _("%(year)s, week %(number)s (from %(day)s)", year=year, number=week, day=first.strftime("%m-%d"))
    return first.isoformat()


def _last_day(first: date, unit: str) -> date:
    if unit in ("day", "week"):
        return first + min(timedelta(days=6 if unit == "week" else 0), date.max - first)
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    last = first.month + months - 1
    return date(first.year, last, 31 if last == 12 else (date(first.year, last + 1, 1) - timedelta(days=1)).day)
