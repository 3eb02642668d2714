"""A filter tree as a sentence in the person's language, for facets, saved filters and reports."""

from __future__ import annotations

from typing import Any

from core.fields import KINDS, Field
from core.filters import compile_filter, field_named
from core.i18n import gettext as _
from core.i18n import listed, ngettext
from core.model import fields_of

DATES = ("date", "datetime")
MOST_NAMED = 5
"""So many values of a list are named; of the others only how many they are."""


def describe(tree: Any, model: type) -> str:
    """What a filter lets through, as a person would say it; empty for no filter.

    Raises `Broken` where `compile_filter` does: a field that was taken away, or that the person may not see.
    """
    compile_filter(tree, model)
    return _told(tree, model, False) if tree else ""


def _told(tree: dict[str, Any], model: type, inside: bool) -> str:
    if not tree:
        return _("everything")
    if "search" in tree:
        return _("found by “%(text)s”", text=tree["search"])
    if "not" in tree:
        return _("not (%(condition)s)", condition=_told(tree["not"], model, False))
    if "and" in tree or "or" in tree:
        both = "and" in tree
        parts = [_told(part, model, True) for part in tree["and" if both else "or"]]
        if not parts:
            return _("everything") if both else _("nothing")
        text = (_(" and ") if both else _(" or ")).join(parts)
        return _("(%(condition)s)", condition=text) if inside and len(parts) > 1 else text
    return _leaf(tree, model)


def _leaf(tree: dict[str, Any], model: type) -> str:
    first, dot, second = tree["field"].partition(".")
    field = field_named(first, model)
    title = field.title
    if dot:
        field, link = fields_of(field.target)[second], title
        title = _("%(field)s of %(link)s", field=field.title, link=link)
    op, value = tree["op"], tree.get("value")
    if value is None and op in ("is", "is_not"):
        op = "empty" if op == "is" else "not_empty"
    if op in ("empty", "not_empty"):
        return _("%(field)s is empty", field=title) if op == "empty" else _("%(field)s is filled", field=title)
    values = value if isinstance(value, list) else [value]
    words = _values(field, values)
    if op == "between":
        return _("%(field)s from %(first)s to %(last)s", field=title, first=words[0], last=words[1])
    more = len(values) - len(words)
    text = listed(words) + (ngettext(" and %(count)s more", " and %(count)s more", more) if more > 0 else "")
    return _sentence(field, op, title, text)


def _sentence(field: Field, op: str, title: str, text: str) -> str:
    if field.kind.name in DATES and op in ("lt", "le", "gt", "ge"):
        return {
            "lt": _("%(field)s before %(value)s"), "le": _("%(field)s until %(value)s"),
            "gt": _("%(field)s after %(value)s"), "ge": _("%(field)s from %(value)s on"),
        }[op] % {"field": title, "value": text}  # fmt: skip
    return {
        "is": _("%(field)s is %(value)s"), "is_not": _("%(field)s is not %(value)s"),
        "contains": _("%(field)s contains “%(value)s”"), "starts": _("%(field)s starts with “%(value)s”"),
        "in": _("%(field)s is one of %(value)s"), "not_in": _("%(field)s is none of %(value)s"),
        "has": _("%(field)s has %(value)s"), "has_not": _("%(field)s does not have %(value)s"),
        "lt": _("%(field)s below %(value)s"), "le": _("%(field)s at most %(value)s"),
        "gt": _("%(field)s above %(value)s"), "ge": _("%(field)s at least %(value)s"),
    }[op] % {"field": title, "value": text}  # fmt: skip


def _values(field: Field, values: list[Any]) -> list[str]:
    """The values in words, so many of them as are named."""
    named = values[:MOST_NAMED]
    kind = field.kind.name
    if kind in ("link", "links"):
        from core.records import titles

        read = [one if one == "me" else KINDS["link"].clean(one, field) for one in named]
        known = titles(field.target, [one for one in read if one != "me"])
        return [_("me") if one == "me" else known.get(one, f"#{one}") for one in read]
    if kind in DATES:
        return [_day(field, one) for one in named]
    judge = KINDS["choice"] if kind == "choices" else field.kind
    if kind in ("text", "long", "code", "email", "phone"):
        return [str(one) for one in named]
    return [judge.text(judge.clean(one, field), field) for one in named]


def _day(field: Field, value: Any) -> str:
    if value == "today":
        return _("today")
    if isinstance(value, dict):
        (period, amount), *_rest = value.items()
        if amount == 0:
            return _("today")
        count = abs(amount)
        if amount < 0:
            return {
                "days": lambda: ngettext("%(count)s day ago", "%(count)s days ago", count),
                "weeks": lambda: ngettext("%(count)s week ago", "%(count)s weeks ago", count),
                "months": lambda: ngettext("%(count)s month ago", "%(count)s months ago", count),
                "years": lambda: ngettext("%(count)s year ago", "%(count)s years ago", count),
            }[period]()
        return {
            "days": lambda: ngettext("in %(count)s day", "in %(count)s days", count),
            "weeks": lambda: ngettext("in %(count)s week", "in %(count)s weeks", count),
            "months": lambda: ngettext("in %(count)s month", "in %(count)s months", count),
            "years": lambda: ngettext("in %(count)s year", "in %(count)s years", count),
        }[period]()
    return str(value) if isinstance(value, str) else field.kind.text(value, field)
