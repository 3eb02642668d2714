"""Places in an ordered list: the order itself, and the opaque text that says where a page ended."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, and_, false, literal, or_, select
from sqlalchemy.orm import aliased

from core.errors import Broken
from core.fields import Field
from core.filters import field_named
from core.i18n import gettext as _
from core.kinds import LARGEST_INTEGER
from core.model import is_half

MOST_COLUMNS = 4
UNSORTABLE = ("long", "choices", "links", "json", "file")
NUMBERS = ("decimal", "money")


@dataclass(frozen=True, slots=True)
class Step:
    """One column of an order."""

    name: str
    expression: Any
    down: bool
    kind: str
    nullable: bool
    indexed: bool
    title: str = ""

    def beyond(self, value: Any, back: bool) -> ColumnElement[bool]:
        """Rows that come after ``value`` when walking forward, or before it when walking back; NULLs are last, going up or down."""
        if value is None:
            return self.expression.is_not(None) if back else false()
        further = self.expression < value if self.down != back else self.expression > value
        return or_(further, self.expression.is_(None)) if self.nullable and not back else further

    def same(self, value: Any) -> ColumnElement[bool]:
        """Rows with exactly this value."""
        return self.expression.is_(None) if value is None else self.expression == value

    def sorting(self, back: bool, expression: Any = None, whole: bool = False) -> Any:
        """The ORDER BY term. Where no NULL can come (``whole``) nothing is said of them: PostgreSQL then walks its index both ways."""
        expression = self.expression if expression is None else expression
        term = expression.desc() if self.down != back else expression.asc()
        if whole or not self.nullable:
            return term
        return term.nulls_first() if back else term.nulls_last()


def order_of(model: Any, order: Any) -> list[Step]:
    """The steps of an order like ``"name"``, ``"-due_on"`` or ``["stage", "-created_at"]``; the id always ends it.

    Raises `Broken` for a field that there is not, or that nothing can be sorted by.
    """
    names = order.split(",") if isinstance(order, str) else order if order is not None else ["-id"]
    if not isinstance(names, (list, tuple)) or not all(isinstance(one, str) for one in names) or len(names) > MOST_COLUMNS:
        raise Broken(_("An order is a list of up to %(count)s fields, like “name” or “-created_at”.", count=MOST_COLUMNS))
    steps: list[Step] = []
    for wanted in (one.strip() for one in names):
        name = wanted.removeprefix("-")
        if name and all(step.name != name for step in steps):
            steps.append(_step(model, field_named(name, model), wanted.startswith("-")))
        if name == "id":
            break
    if not steps or steps[-1].name != "id":
        steps.append(Step("id", model.id, steps[-1].down if steps else True, "integer", False, True))
    return steps


def _step(model: Any, field: Field, down: bool) -> Step:
    if field.kind.name in UNSORTABLE:
        raise Broken(_("A list cannot be sorted by “%(field)s”.", field=field.title))
    if field.kind.name == "link":
        return _link_step(model, field, down)
    expression, kind, indexed = field.column(model), field.kind.name, field.indexed
    if field.name == model.title_field and not is_half(model) and hasattr(model, "title_key"):
        expression, kind, indexed = model.title_key, "text", True
    stored = getattr(expression, "property", None)
    nullable = field.custom or stored is None or bool(stored.columns[0].nullable)
    return Step(field.name, expression, down, kind, nullable, indexed, field.title)


def _link_step(model: Any, field: Field, down: bool) -> Step:
    """A link sorts by the title of what it leads to; out of the person's sight it sorts with the empty ones."""
    target = field.target
    other = aliased(target)
    key = getattr(other, "title_key", None) if hasattr(target, "title_key") else None
    if key is None:
        key = target.__fields__[target.title_field].column(other)
    found = select(key).where(other.id == field.column(model)).correlate(model).scalar_subquery()
    return Step(field.name, found, down, "text", True, False, field.title)


def after(steps: list[Step], values: list[Any], back: bool) -> ColumnElement[bool]:
    """The rows behind a place (before it, when walking ``back``)."""
    condition: ColumnElement[bool] = false()
    for step, value in zip(reversed(steps), reversed(values), strict=True):
        condition = or_(step.beyond(value, back), and_(step.same(value), condition))
    first, value = steps[0], values[0]
    if value is None or (first.nullable and not back):
        return condition
    # Says no more than the rest, but lets the database begin at the place instead of at the list's end.
    start = first.expression <= value if first.down != back else first.expression >= value
    return and_(start, condition)


# -- the text of a place ----------------------------------------------------------------------------------------------


def write_cursor(model: Any, steps: list[Step], values: Any) -> str:
    """The opaque, url-safe text of a place."""
    body = json.dumps([_mark(model, steps), [_out(one) for one in values]], ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.blake2b(body, digest_size=6).digest() + body).decode().rstrip("=")


def read_cursor(model: Any, steps: list[Step], text: Any) -> list[Any]:
    """The values of a place. Raises `Broken` when the text is damaged or was given for another list or order."""
    try:
        if not isinstance(text, str) or len(text) > 4000 or not text.isascii():
            raise ValueError
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, body = packed[:6], packed[6:]
        if hashlib.blake2b(body, digest_size=6).digest() != check:
            raise ValueError
        mark, values = json.loads(body)
        if mark != _mark(model, steps) or len(values) != len(steps):
            raise Broken(_("This page mark belongs to another list or another order. Please start at the first page."))
        read = [_in(value, step) for value, step in zip(values, steps, strict=True)]
    except (ValueError, TypeError, KeyError, InvalidOperation, binascii.Error, RecursionError):
        raise Broken(_("This page mark is damaged. Please start at the first page.")) from None
    return read


def _mark(model: Any, steps: list[Step]) -> str:
    return f"{model.__name__}:{model.__tablename__}:" + ",".join(("-" if step.down else "") + step.name for step in steps)


def _out(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _in(value: Any, step: Step) -> Any:
    if value is None:
        if not step.nullable:
            raise ValueError
        return None
    if step.kind in ("integer", "link"):
        return _checked(value, int, abs(value) <= LARGEST_INTEGER)
    if step.kind in NUMBERS:
        number = Decimal(_checked(value, str, len(value) < 60))
        return _checked(number, Decimal, number.is_finite())
    if step.kind == "date":
        return date.fromisoformat(value)
    if step.kind == "datetime":
        return _checked(datetime.fromisoformat(value), datetime, "+" not in value)
    if step.kind == "yesno":
        # As a bound value: SQLAlchemy compares no literal yes or no by < and >.
        return literal(_checked(value, bool, True))
    if step.kind == "formula":
        return _checked(float(value), float, abs(value) < 1e300)
    return _checked(value, str, "\x00" not in value)


def _checked(value: Any, wanted: type, good: bool) -> Any:
    if type(value) is not wanted or not good:
        raise ValueError
    return value
