"""How people write: what of a typed line counts, six styles of date, and the bare numbers that a spreadsheet leaves of them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta
from typing import Literal

from core.errors import Wrong
from core.i18n import gettext as _

Order = Literal["", "dmy", "mdy"]
"""Which comes first in 03/04/2026: day or month; empty when nobody knows."""
_YEAR_FIRST = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?")
_TOGETHER = re.compile(r"(\d{4})(\d{2})(\d{2})")
_YEAR_LAST = re.compile(r"(\d{1,2})\s*([-/.])\s*(\d{1,2})\s*\2\s*(\d{4})")
_CLOCK = re.compile(r"(.*?\d日?)[ T]+(上午|下午)?\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?\s*([ap]m)?", re.IGNORECASE)
_SERIAL = re.compile(r"([1-9]\d{4})(\.\d+)?")
_EXCEL_BEGINS, _MAC_BEGINS = datetime(1899, 12, 30), datetime(1904, 1, 1)
LONGEST_MOMENT = 200
KEPT = "\n\t\u200c\u200d"
"""Characters that show nothing themselves and still mean something: lines, and what joins 👨‍👩‍👧 into one family."""


def tidy(text: str) -> str:
    """A typed line as people mean it: full-width digits and Latin made normal, no control characters, no blanks at the ends."""
    if not text.isprintable():
        text = "".join(ch for ch in text if ch in KEPT or unicodedata.category(ch)[0] != "C")
    return text.strip().strip("\u3000")


def narrow(text: str) -> str:
    """Full-width Latin letters, digits and punctuation as half-width ones (１３８ → 138)."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _short(text: str) -> str:
    """The line, unless no day or moment is so long: what is tried for several styles must not take the longer the more it fails."""
    if len(text) > LONGEST_MOMENT:
        raise Wrong(_("Please give a date like 2026-11-30."))
    return narrow(text).strip()


def read_day(text: str, order: Order = "") -> date:
    """The day that is meant: 2026-11-25, 2026/11/25, 2026年11月25日, 20261125, 25.11.2026, 25/11/2026 or 11/25/2026.

    Raises `Wrong`, also where day and month cannot be told apart and ``order`` does not say which comes first.
    """
    text = _short(text)
    try:
        if found := _YEAR_FIRST.fullmatch(text) or _TOGETHER.fullmatch(text):
            return date(*map(int, found.groups()))
        if found := _YEAR_LAST.fullmatch(text):
            return _year_last(text, int(found[1]), int(found[3]), int(found[4]), "dmy" if found[2] == "." else order)
    except Wrong:
        raise
    except ValueError:
        raise Wrong(_("“%(value)s” is not a day of the calendar.", value=text[:20])) from None
    raise Wrong(_("Please give a date like 2026-11-30."))


def names_a_day(text: str) -> bool:
    """True for a day with the year first, without a time."""
    return bool(_YEAR_FIRST.fullmatch(narrow(text).strip()))


def _year_last(text: str, one: int, two: int, year: int, order: Order) -> date:
    if two > 12 or one == two:
        return date(year, one, two)
    if one > 12 or order == "dmy":
        return date(year, two, one)
    if order == "mdy":
        return date(year, one, two)
    days = {"value": text, "day_first": date(year, two, one).isoformat(), "month_first": date(year, one, two).isoformat()}
    raise Wrong(_("“%(value)s” may be %(day_first)s or %(month_first)s; please say which, or write the year first.", **days))


def read_moment(text: str, order: Order = "") -> datetime:
    """The moment that is meant, without a zone: a day as `read_day` takes it, and after it the time of day. Raises `Wrong`."""
    text = _short(text)
    found = _CLOCK.fullmatch(text)
    day = read_day(found[1] if found else text, order)
    if found is None:
        return datetime.combine(day, time())
    hour, minute, second = int(found[3]), int(found[4]), int(found[5] or 0)
    half = (found[2] or found[7] or "").lower()
    if half:
        hour = hour % 12 + (12 if half in ("pm", "下午") else 0)
    try:
        return datetime.combine(day, time(hour, minute, second, int((found[6] or "0").ljust(6, "0"))))
    except ValueError:
        raise Wrong(_("“%(value)s” is not a time of the day.", value=text[-11:])) from None


def from_serial(text: str, since_1904: bool = False) -> datetime | None:
    """The moment that a spreadsheet keeps as a bare number (46351 is 2026-11-25, counted from 1904 it is 44889); None for anything else."""
    found = _SERIAL.fullmatch(narrow(text).strip())
    if found is None:
        return None
    # Excel counts in fractions of a day; what is less than a second was never typed.
    return (_MAC_BEGINS if since_1904 else _EXCEL_BEGINS) + timedelta(seconds=round(float(found[0]) * 86_400))


def in_iso(text: str, order: Order, *, moment: bool, since_1904: bool = False) -> str:
    """A cell of a date column (or of moments) as ISO text; what cannot be read stays, for its field to refuse. Raises `Wrong`."""
    if len(text) > LONGEST_MOMENT:
        return text
    serial = from_serial(text, since_1904)
    if serial is not None:
        return serial.isoformat(" ") if moment else serial.date().isoformat()
    if not moment and _CLOCK.fullmatch(narrow(text).strip()):
        # What Excel calls a time stamp, in a column of days.
        return read_moment(text, order).date().isoformat()
    if not _YEAR_LAST.match(narrow(text).strip()):
        return text
    return read_moment(text, order).isoformat(" ") if moment else read_moment(text, order).date().isoformat()


class Days:
    """What a column's cells say of the order of day and month."""

    def __init__(self, counts: list[int] | None = None) -> None:
        self.day_first, self.month_first, self.either = counts or (0, 0, 0)

    def see(self, text: str) -> None:
        """Look at one cell."""
        found = _YEAR_LAST.match(text)
        if found is None or found[2] == ".":
            return
        one, two = int(found[1]), int(found[3])
        if one > 12 >= two:
            self.day_first += 1
        elif two > 12 >= one:
            self.month_first += 1
        elif one != two:
            self.either += 1

    @property
    def counts(self) -> list[int]:
        """What `Days` takes back."""
        return [self.day_first, self.month_first, self.either]

    @property
    def order(self) -> Order:
        """The order that the whole column has; empty when its cells do not say, or contradict each other."""
        if bool(self.day_first) == bool(self.month_first):
            return ""
        return "dmy" if self.day_first else "mdy"
