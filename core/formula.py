"""Formulas of administrators: + - * / ( ) round min max over a record's own numbers, read by a whitelist, never by eval."""

from __future__ import annotations

import ast
import decimal
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from core.errors import Wrong
from core.fields import narrow
from core.i18n import gettext as _
from core.i18n import listed

LONGEST, MOST_PARTS, DEEPEST = 500, 150, 25
LARGEST_RESULT = Decimal(10) ** 13
PLACES = Decimal("0.000001")
_OPERATIONS: dict[type, Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


class _Empty(Exception):
    """A field that the formula needs has no value."""


def check_formula(text: str, numbers: Iterable[str]) -> None:
    """Raise `Wrong` with a sentence unless ``text`` is a formula over the fields named in ``numbers``."""
    tree = parse(text)
    allowed = set(numbers)
    unknown = sorted(names_in(tree) - allowed)
    if unknown:
        offered = listed(sorted(allowed)) or _("none")
        raise Wrong(_("“%(name)s” is not a number field of this record. Number fields: %(fields)s.", name=unknown[0], fields=offered))


@lru_cache(maxsize=512)
def parse(text: str) -> ast.expr:
    """The tree of a formula; raises `Wrong` when it has anything but numbers, fields, + - * / ( ) round min max."""
    text = narrow(text).replace("×", "*").replace("÷", "/").replace("−", "-").strip()
    if not text:
        raise Wrong(_("Please give a formula, like amount * 0.05."))
    if len(text) > LONGEST:
        raise Wrong(_("A formula has at most %(limit)s characters.", limit=LONGEST))
    try:
        tree = ast.parse(text, mode="eval").body
        parts = _check(tree, 1)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if text.count("(") != text.count(")"):
            raise Wrong(_("A bracket is missing in the formula.")) from None
        raise Wrong(_("This is not a formula; write it like (amount - costs) * 0.05.")) from None
    if parts > MOST_PARTS:
        raise Wrong(_("The formula has too many parts."))
    return tree


def _check(node: ast.AST, depth: int) -> int:
    """Number of parts below ``node``; `Wrong` for what a formula may not contain."""
    if depth > DEEPEST:
        raise Wrong(_("The formula is nested too deeply."))
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and abs(node.value) < 10**15:
        return 1
    if isinstance(node, ast.Name):
        return 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return 1 + _check(node.operand, depth + 1)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return 1 + _check(node.left, depth + 1) + _check(node.right, depth + 1)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        word, count = node.func.id, len(node.args)
        if word in ("min", "max") and count < 2:
            raise Wrong(_("%(word)s needs at least two values, like %(word)s(amount, 100).", word=word))
        if word == "round" and (count not in (1, 2) or (count == 2 and not _is_places(node.args[1]))):
            raise Wrong(_("Write round like round(amount * 0.05, 2); at most 6 places."))
        if word in ("min", "max", "round"):
            return 1 + sum(_check(one, depth + 1) for one in node.args)
    raise Wrong(_("A formula may contain numbers, fields, + - * / ( ), round, min and max, nothing else."))


def _is_places(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and 0 <= node.value <= 6


def names_in(tree: ast.expr) -> set[str]:
    """The fields that a formula uses."""
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions}


def evaluate(text: str, value_of: Callable[[str], Any]) -> Decimal | None:
    """The formula's result, or None when a value is empty, a divisor is zero, or the result is out of bounds. Never raises."""
    traps = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
    context = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_UP, traps=traps)
    try:
        with decimal.localcontext(context):
            found = _value(parse(text), value_of)
            return found.quantize(PLACES) if abs(found) < LARGEST_RESULT else None
    except (Wrong, _Empty, ArithmeticError, ValueError, TypeError):
        return None


def _value(node: ast.AST, value_of: Callable[[str], Any]) -> Decimal:
    if isinstance(node, ast.Constant):
        return Decimal(str(node.value))
    if isinstance(node, ast.Name):
        found = value_of(node.id)
        if found is None or isinstance(found, bool):
            raise _Empty
        return Decimal(str(found))
    if isinstance(node, ast.UnaryOp):
        found = _value(node.operand, value_of)
        return -found if isinstance(node.op, ast.USub) else found
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_value(node.left, value_of), _value(node.right, value_of))
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    if node.func.id == "round":
        places = node.args[1].value if len(node.args) == 2 else 0  # type: ignore[attr-defined]
        return _value(node.args[0], value_of).quantize(Decimal(1).scaleb(-places))
    return {"min": min, "max": max}[node.func.id](_value(one, value_of) for one in node.args)
