"""Single cells: defused on the way out, so that no spreadsheet runs them, and read back as they were."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Any

_STARTS_A_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def defused(text: str) -> str:
    """The text with an apostrophe before it when a spreadsheet would run it; apostrophes that are there already get one more."""
    return f"'{text}" if _STARTS_A_FORMULA.match(text) else text


def starts_a_formula(text: str) -> bool:
    """True for a text that a spreadsheet would run, were it typed."""
    return not text.startswith("'") and bool(_STARTS_A_FORMULA.match(text))


def plain(text: str) -> str:
    """What `defused` was given: the one apostrophe that it adds is taken away."""
    return text[1:] if text.startswith("'") and _STARTS_A_FORMULA.match(text) else text


def is_number(text: str) -> bool:
    """True for digits that can be written as they are: ``-5`` runs nothing."""
    return bool(_NUMBER.fullmatch(text))


def text_of(value: Any) -> str:
    """A cell of a workbook as the text it shows: whole numbers without a point, days without a time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value)
