"""Kinds of field: how a value of each kind is read from any door, stored, and shown to a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Float, Integer, Numeric, String, Text
from sqlalchemy.types import JSON

from core.context import actor, local, zone_of
from core.errors import Wrong
from core.i18n import gettext as _
from core.spelling import narrow as narrow
from core.spelling import read_day, read_moment
from core.spelling import tidy as tidy

if TYPE_CHECKING:
    from core.fields import Field

LARGEST_INTEGER = 2**63 - 1
LARGEST_ID = 2**31 - 1


class Kind:
    """One kind of field. Knows four things: its column, how to read a value, how JSON shows it, how a person reads it."""

    name = "text"
    ops: tuple[str, ...] = ("is", "is_not", "in", "not_in", "empty", "not_empty")
    compare = ("lt", "le", "gt", "ge", "between")
    json_type: dict[str, Any] = {"type": "string"}
    align = "start"
    longest = 200
    """Characters, where the field does not say."""

    def column_type(self, field: Field) -> Any:
        """The SQL type of a built-in field's column."""
        return String(field.max_length or self.longest)

    def clean(self, value: Any, field: Field) -> Any:
        """A Python value from JSON, a form or a file.

        Raises `Wrong` with the sentence for the person.
        """
        if not isinstance(value, str):
            raise Wrong(_("Please give text."))
        value = tidy(value)
        limit = field.max_length or self.longest
        if len(value) > limit:
            raise Wrong(_("At most %(limit)s characters; this has %(count)s.", limit=limit, count=len(value)))
        return " ".join(value.split()) if "\n" in value else value

    def json(self, value: Any) -> Any:
        """The value in REST, the journal and exports."""
        return value

    def text(self, value: Any, field: Field) -> str:
        """The value as a person reads it, in his language."""
        return "" if value is None else str(value)


class TextKind(Kind):
    ops = ("contains", "starts", "is", "is_not", "in", "not_in", *Kind.compare, "empty", "not_empty")


class LongKind(TextKind):
    name = "long"
    ops = ("contains", "empty", "not_empty")

    def column_type(self, field: Field) -> Any:
        return Text()

    def clean(self, value: Any, field: Field) -> Any:
        if not isinstance(value, str):
            raise Wrong(_("Please give text."))
        value = tidy(value.replace("\r\n", "\n"))
        limit = field.max_length or 100_000
        if len(value) > limit:
            raise Wrong(_("At most %(limit)s characters; this has %(count)s.", limit=limit, count=len(value)))
        return value


class CodeKind(TextKind):
    """A number or code given by a number rule, or typed."""

    name = "code"

    def column_type(self, field: Field) -> Any:
        return String(field.max_length or 60)


class EmailKind(TextKind):
    name = "email"
    longest = 320
    _shape = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")

    def clean(self, value: Any, field: Field) -> Any:
        value = narrow(super().clean(value, field))
        if value and not self._shape.fullmatch(value):
            raise Wrong(_("“%(value)s” is not an e-mail address; write it like name@example.com.", value=value[:80]))
        return value


class PhoneKind(TextKind):
    """One or several phone numbers, stored as written but tidied: half-width, single blanks, separated by “, ”."""

    name = "phone"
    _allowed = re.compile(r"\(?\+?\d[\d\s\-().]*(\s*(转|ext\.?|x|#)\s*\d{1,8})?", re.IGNORECASE)
    _between = re.compile(r"[,;/、\n]+")
    _no_digit = re.compile(r"\D")
    _rounded = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)
    _pointed = re.compile(r"(\d{5,15})\.0+")
    _exponent = re.compile(r"(\d)\.(\d+)E\+(\d{1,2})", re.IGNORECASE)

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        value = narrow(super().clean(value, field))
        parts = [self._whole(" ".join(part.split())) for part in self._between.split(value) if part.strip()]
        for part in parts:
            if self._rounded.fullmatch(part):
                raise Wrong(_("“%(value)s” lost its digits in a spreadsheet; format the column as text and export it again.", value=part))
            digits = self._no_digit.sub("", part)
            if not self._allowed.fullmatch(part) or not 5 <= len(digits) <= 24:
                raise Wrong(_("“%(value)s” is not a phone number.", value=part[:40]))
        return ", ".join(parts)

    def _whole(self, part: str) -> str:
        """The number that a spreadsheet has turned into 13800138000.0 or 1.3800138000E+10, as long as all its digits are there."""
        if "." not in part:
            return part
        if found := self._pointed.fullmatch(part):
            return found[1]
        found = self._exponent.fullmatch(part)
        return found[1] + found[2] if found and len(found[2]) == int(found[3]) else part


class IntegerKind(Kind):
    name = "integer"
    ops = ("is", "is_not", "in", "not_in", *Kind.compare, "empty", "not_empty")
    json_type = {"type": "integer"}
    align = "end"

    def column_type(self, field: Field) -> Any:
        return BigInteger().with_variant(Integer(), "sqlite")

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise Wrong(_("Please give a whole number."))
        try:
            number = int(narrow(value).replace(",", "").strip()) if isinstance(value, str) else int(value)
        except (TypeError, ValueError, OverflowError):
            raise Wrong(_("Please give a whole number.")) from None
        if abs(number) > LARGEST_INTEGER:
            raise Wrong(_("This number is too large."))
        return number


class DecimalKind(Kind):
    name = "decimal"
    ops = IntegerKind.ops
    json_type = {"type": "number"}
    align = "end"
    places = 6

    def column_type(self, field: Field) -> Any:
        return Numeric(20, self.places, asdecimal=True)

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, bool):
            raise Wrong(_("Please give a number."))
        try:
            number = Decimal(re.sub(r"[,\s¥￥$元]", "", narrow(value)) if isinstance(value, str) else str(value))
        except (InvalidOperation, TypeError, ValueError):
            raise Wrong(_("Please give a number.")) from None
        if not number.is_finite():
            raise Wrong(_("Please give a number."))
        # By its place, not by its value: comparing 1e999999999 overflows.
        if number and number.adjusted() >= 13:
            raise Wrong(_("This number is too large."))
        return number.quantize(Decimal(1).scaleb(-self.places))

    def json(self, value: Any) -> Any:
        return None if value is None else format(Decimal(str(value)).normalize(), "f")

    def text(self, value: Any, field: Field) -> str:
        return "" if value is None else f"{Decimal(str(value)).normalize():,f}"


class MoneyKind(DecimalKind):
    name = "money"
    places = 2

    def json(self, value: Any) -> Any:
        return None if value is None else format(Decimal(str(value)).quantize(Decimal("0.01")), "f")

    def text(self, value: Any, field: Field) -> str:
        return "" if value is None else f"{Decimal(str(value)):,.2f}"


class DateKind(Kind):
    name = "date"
    ops = IntegerKind.ops
    json_type = {"type": "string", "format": "date"}
    _midnight = re.compile(r"[ T]0?0:00(:00)?$")

    def column_type(self, field: Field) -> Any:
        return Date()

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        if not isinstance(value, str):
            raise Wrong(_("Please give a date like 2026-11-30."))
        return read_day(self._midnight.sub("", narrow(value).strip()))

    def json(self, value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value

    def text(self, value: Any, field: Field) -> str:
        return "" if value is None else (value.isoformat() if isinstance(value, date) else str(value))


class DateTimeKind(Kind):
    """A moment: stored in UTC, shown in the person's zone; without a zone a typed moment means the person's."""

    name = "datetime"
    ops = IntegerKind.ops
    json_type = {"type": "string", "format": "date-time"}

    def column_type(self, field: Field) -> Any:
        return DateTime()

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, str):
            text = narrow(value).strip().replace("Z", "+00:00")
            try:
                value = datetime.fromisoformat(text)
            except ValueError:
                try:
                    value = read_moment(text)
                except Wrong as error:
                    if re.match(r"\d", text) and "2026-11-30." not in str(error):
                        raise
                    raise Wrong(_("Please give a moment like 2026-11-30 14:05.")) from None
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        elif not isinstance(value, datetime):
            raise Wrong(_("Please give a moment like 2026-11-30 14:05."))
        elif value.tzinfo is None:
            return value
        try:
            if value.tzinfo is None:
                value = value.replace(tzinfo=zone_of(actor().zone))
            return value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise Wrong(_("Please give a moment like 2026-11-30 14:05.")) from None

    def json(self, value: Any) -> Any:
        return value.isoformat() + "Z" if isinstance(value, datetime) else value

    def text(self, value: Any, field: Field) -> str:
        return "" if value is None else local(value).strftime("%Y-%m-%d %H:%M")


class YesNoKind(Kind):
    name = "yesno"
    ops = ("is", "is_not", "empty", "not_empty")
    json_type = {"type": "boolean"}
    _words = {"1": True, "true": True, "yes": True, "y": True, "on": True, "是": True, "有": True, "√": True}
    _words |= {"0": False, "false": False, "no": False, "n": False, "off": False, "否": False, "无": False, "無": False, "": False}

    def column_type(self, field: Field) -> Any:
        return Boolean()

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, bool):
            return value
        found = self._words.get(str(value).strip().lower()) if isinstance(value, (str, int)) else None
        if found is None:
            raise Wrong(_("Please answer yes or no."))
        return found

    def text(self, value: Any, field: Field) -> str:
        return "" if value is None else _("Yes") if value else _("No")


class ChoiceKind(Kind):
    """One option of a dictionary; the stable key is stored, the person reads and may type its label."""

    name = "choice"
    ops = ("is", "is_not", "in", "not_in", "empty", "not_empty")

    def column_type(self, field: Field) -> Any:
        return String(64)

    def clean(self, value: Any, field: Field) -> Any:
        from core.options import option_key

        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise Wrong(_("Please choose one of the options."))
        return option_key(field.choices or "", str(value))

    def text(self, value: Any, field: Field) -> str:
        from core.options import option_label

        return "" if value is None else option_label(field.choices or "", value)


class ChoicesKind(ChoiceKind):
    """Several options of a dictionary, stored as a JSON list of keys."""

    name = "choices"
    ops = ("has", "has_not", "empty", "not_empty")
    json_type = {"type": "array", "items": {"type": "string"}}

    def column_type(self, field: Field) -> Any:
        return JSON(none_as_null=True)

    def clean(self, value: Any, field: Field) -> Any:
        parts: Iterable[Any] = re.split(r"[,;、，；]", value) if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise Wrong(_("Please choose from the options."))
        chosen = [
            super(ChoicesKind, self).clean(part.strip() if isinstance(part, str) else part, field)
            for part in parts
            if part not in ("", None)
        ]
        return list(dict.fromkeys(chosen)) or None

    def text(self, value: Any, field: Field) -> str:
        return "、".join(super(ChoicesKind, self).text(one, field) for one in value or [])


class LinkKind(Kind):
    """Another record, by id; whether it may be seen is asked by the gate, never here."""

    name = "link"
    ops = ("is", "is_not", "in", "not_in", "empty", "not_empty")
    json_type = {"type": "integer"}

    def column_type(self, field: Field) -> Any:
        return Integer()

    def clean(self, value: Any, field: Field) -> Any:
        if hasattr(value, "id"):
            value = value.id
        if isinstance(value, str) and re.fullmatch(r"\s*\d{1,12}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(_("Please choose a record from the list."))
        if not 0 < value <= LARGEST_ID:
            raise Wrong(_("There is no such record, or it is not visible to you."))
        return value


class LinksKind(LinkKind):
    """Several other records, by a link table; a list of ids."""

    name = "links"
    ops = ("has", "has_not", "empty", "not_empty")
    json_type = {"type": "array", "items": {"type": "integer"}}

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple, set)):
            raise Wrong(_("Please choose records from the list."))
        return sorted({super(LinksKind, self).clean(one, field) for one in value})


class FileKind(Kind):
    """A file in the store; the value is the id of its row in core_file, whose bytes are named by their hash."""

    name = "file"
    ops = ("empty", "not_empty")
    json_type = {"type": "integer"}

    def column_type(self, field: Field) -> Any:
        return Integer()

    def clean(self, value: Any, field: Field) -> Any:
        return LinkKind.clean(KINDS["link"], value, field)  # type: ignore[arg-type]


class JsonKind(Kind):
    """Structured data of core itself; never offered to administrators."""

    name = "json"
    ops = ("empty", "not_empty")
    json_type = {}

    def column_type(self, field: Field) -> Any:
        return JSON(none_as_null=True)

    def clean(self, value: Any, field: Field) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise Wrong(_("This is not valid JSON.")) from None
        return value

    def text(self, value: Any, field: Field) -> str:
        return "" if value is None else json.dumps(value, ensure_ascii=False)


class FormulaKind(DecimalKind):
    """A number computed from the record's own fields when it is saved."""

    name = "formula"

    def column_type(self, field: Field) -> Any:
        return Float()


KINDS: dict[str, Kind] = {
    kind.name: kind()
    for kind in (
        TextKind, LongKind, CodeKind, EmailKind, PhoneKind, IntegerKind, DecimalKind, MoneyKind, DateKind, DateTimeKind,
        YesNoKind, ChoiceKind, ChoicesKind, LinkKind, LinksKind, FileKind, JsonKind, FormulaKind,
    )
}  # fmt: skip

BY_PYTHON: dict[type, str] = {
    str: "text",
    int: "integer",
    Decimal: "money",
    float: "decimal",
    date: "date",
    datetime: "datetime",
    bool: "yesno",
}
