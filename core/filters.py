"""The one filter language: a JSON tree becomes a SQL condition, with every name, operator and value checked first."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, not_, or_, select, true
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Boolean

from core.context import actor, today, zone_of
from core.errors import Broken, Wrong
from core.fields import KINDS, Field
from core.i18n import gettext as _
from core.kinds import narrow, tidy
from core.model import fields_of, model_label
from core.spelling import names_a_day

MOST_LEVELS = 8
MOST_LEAVES = 200
MOST_VALUES = 1000
LONGEST_TEXT = 500
FURTHEST = 100_000

NEGATIVE = {"is_not": "is", "not_in": "in", "has_not": "has", "empty": "not_empty"}
"""Operators that say the opposite of another; records without a value count as “is not”."""
TEXTS = ("text", "long", "code", "email", "phone")
PERIODS = ("days", "weeks", "months", "years")


class json_has(GenericFunction):
    """True when a JSON list contains one text."""

    type = Boolean()
    inherit_cache = True
    name = "json_has"


@compiles(json_has, "sqlite")
def _json_has_on_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, wanted = (compiler.process(part, **kw) for part in element.clauses)
    return f"({wanted} IN (SELECT value FROM json_each({column})))"  # noqa: S608 - made of compiled expressions


@compiles(json_has, "postgresql")
def _json_has_on_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, wanted = (compiler.process(part, **kw) for part in element.clauses)
    return f"(CAST({column} AS jsonb) @> to_jsonb(CAST({wanted} AS text)))"


def compile_filter(tree: Any, model: type) -> ColumnElement[bool]:
    """The SQL condition of a filter tree; None and ``{}`` let every record through.

    Raises `Broken` with a sentence that names what is wrong. A field that the person may not see is unknown to him.
    """
    return true() if tree is None else Compiler().node(tree, model, 1, False)


def describe(tree: Any, model: type) -> str:
    """The tree as a sentence in the person's language; empty for no filter. Raises `Broken` like `compile_filter`."""
    from core.filter_words import describe as told

    return told(tree, model)


def filter_fields(model: type) -> dict[str, Field]:
    """The fields of ``model`` that the acting person may filter and sort by."""
    from core.rules import rights

    return fields_of(model) if actor().system else rights().fields_filtered(model)


def field_named(name: str, model: type) -> Field:
    """The field called ``name``; `Broken` when the model has none, or the person may not see it."""
    found = filter_fields(model).get(name)
    if found is None:
        raise Broken(_("%(model)s has no field “%(field)s”. Please check the name.", model=model_label(model), field=tidy(name)[:80]))
    return found


def _awake(field: Field, model: type) -> type:
    """The model that a link leads to; unknown like the link itself while its addon is off."""
    from core.addons import enabled

    target = field.target
    if not actor().system and not enabled(target.addon):
        raise Broken(_("%(model)s has no field “%(field)s”. Please check the name.", model=model_label(model), field=field.name))
    return target


class Compiler:
    """One pass over one tree; negation is carried down to the leaves, so that NULL never swallows a “not”.

    What it reads of is the table as it is now; `core.asof` reads of what was.
    """

    def __init__(self) -> None:
        self.leaves = 0
        self.values = 0

    def today(self) -> date:
        """What “today” means in the filter."""
        return today()

    def entity(self, model: type) -> Any:
        """Where the columns of ``model`` are read from: an object that has them by name."""
        return model

    def inside(self, inner: Field, target: Any, op: str, value: Any) -> Select[Any]:
        """The ids of those records of a link's target that meet a condition."""
        # The select is a plain one of the target's class: the row filter adds itself, unseen records count as absent.
        return select(target.id).where(self.compare(inner, target, op, value, False, checked=True)).correlate(None)

    def linked(self, field: Field, model: type, targets: Any, negated: bool) -> ColumnElement[bool]:
        """Records whose link leads to one of ``targets`` (to anything, when None)."""
        if field.kind.name == "link":
            column = field.column(self.entity(model))
            return or_(column.is_(None), column.not_in(targets)) if negated else column.in_(targets)
        own, near, far = self.ends(field, model)
        inside = select(near).correlate(None)
        if targets is not None:
            inside = inside.where(far.in_(targets))
        return own.not_in(inside) if negated else own.in_(inside)

    def ends(self, field: Field, model: Any) -> tuple[Any, Any, Any]:
        """(id of a record, the two columns that tie it to others) of a field of several links."""
        relation = sa_inspect(model).relationships[field.name]
        ((_own, near),) = relation.synchronize_pairs
        ((_other, far),) = relation.secondary_synchronize_pairs
        return model.id, near, far

    def node(self, tree: Any, model: type, level: int, negated: bool) -> ColumnElement[bool]:
        if not isinstance(tree, dict):
            shown = tidy(str(tree))[:80]
            raise Broken(_('A part of a filter has to look like {"field": …, "op": …, "value": …}; this one is “%(part)s”.', part=shown))
        names = set(tree)
        if not names:
            return false() if negated else true()
        if names in ({"and"}, {"or"}, {"not"}):
            if level > MOST_LEVELS:
                raise Broken(_("This filter is nested too deeply; %(count)s levels are the most.", count=MOST_LEVELS))
            (word,) = names
            if word == "not":
                return self.node(tree[word], model, level + 1, not negated)
            if not isinstance(tree[word], list):
                raise Broken(_("“%(word)s” in a filter needs a list of conditions.", word=word))
            parts = [self.node(part, model, level + 1, negated) for part in tree[word]]
            both = (word == "and") != negated
            return and_(true(), *parts) if both else or_(false(), *parts)
        self.leaves += 1
        if self.leaves > MOST_LEAVES:
            raise Broken(_("This filter has too many conditions; %(count)s are the most.", count=MOST_LEAVES))
        if names == {"search"}:
            return self.search(tree["search"], model, negated)
        if "field" in names and names <= {"field", "op", "value"}:
            return self.leaf(tree, model, negated)
        words = tidy(", ".join(sorted(map(str, names))))[:80]
        raise Broken(_("A part of a filter has and, or, not, search, or field with op and value; this one has “%(words)s”.", words=words))

    def search(self, text: Any, model: type, negated: bool) -> ColumnElement[bool]:
        from core.search import matches

        if not isinstance(text, str):
            raise Broken(_("“search” in a filter needs a text."))
        found = matches(model, text)
        return not_(found) if negated else found

    def leaf(self, tree: dict[str, Any], model: type, negated: bool) -> ColumnElement[bool]:
        name, op, value = tree["field"], tree.get("op"), tree.get("value")
        if not isinstance(name, str) or not isinstance(op, str):
            raise Broken(_("Each condition of a filter needs a field and an operator, both as text."))
        first, dot, second = name.partition(".")
        field = field_named(first, model)
        if not dot:
            return self.compare(field, model, op, value, negated)
        if field.kind.name not in ("link", "links") or field.target is None:
            raise Broken(_("“%(field)s” is no link, so nothing can follow its dot.", field=tidy(first)[:80]))
        if "." in second:
            raise Broken(_("“%(field)s” goes over more than one link; a filter can follow one.", field=tidy(name)[:80]))
        target = _awake(field, model)
        inner = field_named(second, target)
        self.check(inner, op)
        opposite = op in NEGATIVE
        return self.linked(field, model, self.inside(inner, target, NEGATIVE.get(op, op), value), negated != opposite)

    def check(self, field: Field, op: str) -> None:
        if op not in field.kind.ops:
            known = ", ".join(field.kind.ops)
            raise Broken(_("“%(field)s” cannot be compared by “%(op)s”; it knows %(ops)s.", field=field.title, op=tidy(op)[:40], ops=known))

    def compare(self, field: Field, model: type, op: str, value: Any, negated: bool, checked: bool = False) -> ColumnElement[bool]:
        if not checked:
            self.check(field, op)
        if op in ("is", "is_not") and value is None:
            op = "empty" if op == "is" else "not_empty"
        if op in NEGATIVE:
            op, negated = NEGATIVE[op], not negated
        kind = field.kind.name
        if kind == "links":
            return self.links(field, model, op, value, negated)
        column = field.column(self.entity(model))
        if op == "not_empty":
            if negated:
                return or_(column.is_(None), column == "") if kind in TEXTS else column.is_(None)
            return and_(column.is_not(None), column != "") if kind in TEXTS else column.is_not(None)
        if kind == "choices":
            found = or_(false(), *(json_has(column, key) for key in self.many(field, value)))
        elif op in ("contains", "starts"):
            text = self.text(field, value)
            found = column.icontains(text, autoescape=True) if op == "contains" else column.istartswith(text, autoescape=True)
        elif kind == "datetime":
            found = self.moments(field, column, op, value)
        elif op == "in":
            found = column.in_(self.many(field, value))
        elif op == "between":
            low, high = (self.value(field, one) for one in self.pair(field, value))
            found = and_(column >= low, column <= high)
        else:
            given = self.value(field, value)
            found = {
                "is": column.__eq__, "lt": column.__lt__, "le": column.__le__, "gt": column.__gt__, "ge": column.__ge__,
            }[op](given)  # fmt: skip
        return or_(column.is_(None), not_(found)) if negated else found

    def links(self, field: Field, model: type, op: str, value: Any, negated: bool) -> ColumnElement[bool]:
        if op == "not_empty":
            return self.linked(field, model, None, negated)
        return self.linked(field, model, self.many(field, value), negated)

    def moments(self, field: Field, column: Any, op: str, value: Any) -> ColumnElement[bool]:
        """A day compared with a moment means the whole day in the person's zone."""
        if op == "in":
            self.size(field, value)
            return or_(false(), *(self.moments(field, column, "is", one) for one in value))
        if op == "between":
            low, high = self.pair(field, value)
            return and_(self.moments(field, column, "ge", low), self.moments(field, column, "le", high))
        day = self.day(field, value)
        if day is None:
            start = end = self.value(field, value)
            return {"is": column == start, "lt": column < start, "le": column <= start, "gt": column > start, "ge": column >= start}[op]
        self.count(1)
        start, end = _bounds(day)
        return {
            "is": and_(column >= start, column < end), "lt": column < start, "le": column < end, "gt": column >= end, "ge": column >= start,
        }[op]  # fmt: skip

    # Values

    def count(self, more: int) -> None:
        self.values += more
        if self.values > MOST_VALUES:
            raise Broken(_("This filter has too many values; %(count)s are the most.", count=MOST_VALUES))

    def size(self, field: Field, value: Any) -> None:
        if not isinstance(value, list):
            raise Broken(_("“%(field)s” needs a list of values here.", field=field.title))
        if len(value) > MOST_VALUES:
            self.count(len(value))

    def many(self, field: Field, value: Any) -> list[Any]:
        if field.kind.name in ("choices", "links") and not isinstance(value, list):
            value = [value]
        self.size(field, value)
        return [self.value(field, one) for one in value]

    def pair(self, field: Field, value: Any) -> list[Any]:
        self.size(field, value)
        if len(value) != 2:
            raise Broken(_("“%(field)s” needs two values, from and to.", field=field.title))
        return value

    def text(self, field: Field, value: Any) -> str:
        self.count(1)
        text = tidy(value) if isinstance(value, str) else ""
        if not text or len(text) > LONGEST_TEXT:
            raise Broken(_("“%(field)s” needs a text of at most %(count)s characters to look for.", field=field.title, count=LONGEST_TEXT))
        return narrow(text) if field.kind.name in ("phone", "email") else text

    def value(self, field: Field, value: Any) -> Any:
        """One value as the database compares it."""
        self.count(1)
        kind = field.kind.name
        if kind in ("link", "links") and value == "me":
            if field.target_table != "ab_user":
                raise Broken(_("“me” is a person, and “%(field)s” does not lead to one.", field=field.title))
            return actor().user_id or 0
        if kind == "date" and (day := self.day(field, value)) is not None:
            return day
        # What is inside a list is one of it: an option of several options, a record of several records.
        judge = KINDS[{"choices": "choice", "links": "link"}.get(kind, kind)]
        try:
            if value is None or isinstance(value, (list, dict)) or (isinstance(value, str) and not tidy(value)):
                raise Wrong(_("Please give a value."))
            read = judge.clean(value, field)
        except Wrong as problem:
            raise Broken(_("“%(field)s”: %(problem)s", field=field.title, problem=str(problem))) from None
        return float(read) if kind == "formula" else read

    def day(self, field: Field, value: Any) -> date | None:
        """The day that a value names, or None when it is a moment or something else."""
        if value == "today":
            return self.today()
        if isinstance(value, dict):
            (period, amount), *more = value.items() or [("", 0)]
            if more or period not in PERIODS or type(amount) is not int or abs(amount) > FURTHEST:
                raise Broken(_('“%(field)s”: a relative day looks like {"days": -15}; weeks, months, years work too.', field=field.title))
            try:
                return _shifted(self.today(), period, amount)
            except (OverflowError, ValueError):
                raise Broken(_("“%(field)s”: this day lies outside the calendar.", field=field.title)) from None
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if isinstance(value, str) and names_a_day(value):
            try:
                return KINDS["date"].clean(value, field)
            except Wrong as problem:
                raise Broken(_("“%(field)s”: %(problem)s", field=field.title, problem=str(problem))) from None
        return None


def _shifted(day: date, period: str, amount: int) -> date:
    if period in ("days", "weeks"):
        return day + timedelta(**{period: amount})
    months = day.year * 12 + day.month - 1 + (amount if period == "months" else amount * 12)
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _bounds(day: date) -> tuple[datetime, datetime]:
    """Begin and end of a day of the person's zone, in UTC as stored."""
    zone = zone_of(actor().zone)
    try:
        ends = (datetime.combine(one, time(), zone).astimezone(UTC).replace(tzinfo=None) for one in (day, day + timedelta(days=1)))
        start, end = ends
    except OverflowError:
        raise Broken(_("This day lies outside the calendar.")) from None
    return start, end

