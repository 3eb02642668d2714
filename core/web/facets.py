"""Facets: the filter tree of an address as words a person reads and can take away one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from core.errors import Broken
from core.fields import Field
from core.filter_words import DATES
from core.i18n import gettext as _
from core.i18n import listed, ngettext
from core.options import option_label
from core.records import titles


@dataclass(slots=True)
class Facet:
    """One condition in the search box."""

    label: str
    op: str
    values: list[str]
    rest: str = ""
    """The filter without this condition, as JSON; empty when nothing remains."""
    remove_url: str = field(default="", compare=False)


def op_words(dates: bool = False) -> dict[str, str]:
    """Every comparison of the filter language as a person reads it; of ``dates`` people speak otherwise than of numbers."""
    if dates:
        return {**op_words(), "lt": _("before"), "le": _("until"), "gt": _("after"), "ge": _("since")}
    return {
        "is": _("is"),
        "is_not": _("is not"),
        "contains": _("contains"),
        "starts": _("starts with"),
        "in": _("is one of"),
        "not_in": _("is none of"),
        "lt": _("below"),
        "le": _("at most"),
        "gt": _("above"),
        "ge": _("at least"),
        "between": _("between"),
        "empty": _("is empty"),
        "not_empty": _("is filled"),
        "has": _("has"),
        "has_not": _("has not"),
    }


def read_filter(text: str | None) -> Any:
    """The filter tree of an address; None without one. Raises `Broken` when it is not JSON."""
    if not text:
        return None
    if len(text) > 20_000:
        raise Broken(_("This filter is too long."))
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise Broken(_("The filter in this address is damaged. Please open the list anew.")) from None
    if not isinstance(tree, dict):
        raise Broken(_("The filter in this address is damaged. Please open the list anew."))
    return tree or None


def write_filter(tree: Any) -> str:
    """A filter tree as it stands in an address."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")) if tree else ""


def facets(tree: Any, fields: dict[str, Field]) -> list[Facet]:
    """The conditions that are joined by “and” at the top, each with the filter that stays when it is taken away."""
    if tree is None:
        return []
    parts = tree["and"] if isinstance(tree.get("and"), list) and len(tree) == 1 else [tree]
    names = _link_titles(parts, fields)
    found = []
    for place, part in enumerate(parts):
        facet = _facet(part, fields, names)
        rest = [other for at, other in enumerate(parts) if at != place]
        facet.rest = write_filter({"and": rest} if rest else None)
        found.append(facet)
    return found


def _facet(part: Any, fields: dict[str, Field], names: dict[str, dict[int, str]]) -> Facet:
    if not isinstance(part, dict):
        return Facet(_("Filter"), "", ["…"])
    if "field" in part:
        one, label = _field_of(part, fields)
        op = part.get("op", "is")
        words = op_words(one is not None and one.kind.name in DATES).get(op, str(op))
        if op in ("empty", "not_empty"):
            return Facet(label, "", [words])
        values = part.get("value")
        many = values if isinstance(values, list) else [values]
        shown = [_value_text(one, value, names) for value in many[:5]] + (["…"] if len(many) > 5 else [])
        if op == "between" and len(shown) == 2:
            shown = [f"{shown[0]} – {shown[1]}"]
        return Facet(label, "" if op in ("is", "in", "contains", "between", "has") else words, shown)
    if "search" in part:
        return Facet(_("Search"), "", [str(part["search"])])
    if isinstance(part.get("not"), dict):
        inner = _facet(part["not"], fields, names)
        return Facet(inner.label, _("not"), inner.values)
    for word, joined in (("or", _("any of")), ("and", _("all of"))):
        if isinstance(part.get(word), list):
            inner_all = [_facet(each, fields, names) for each in part[word][:3]]
            texts = [" ".join(filter(None, [inner.label, inner.op, listed(inner.values)])) for inner in inner_all]
            return Facet(joined, "", texts + (["…"] if len(part[word]) > 3 else []))
    return Facet(_("Filter"), "", ["…"])


def _field_of(part: dict[str, Any], fields: dict[str, Field]) -> tuple[Field | None, str]:
    name = str(part["field"])
    first, dot, second = name.partition(".")
    one = fields.get(first)
    if one is None:
        return None, name[:40]
    if not dot or one.target is None:
        return one, one.title
    from core.model import fields_of

    inner = fields_of(one.target).get(second)
    return inner, one.title + _(": ") + (inner.title if inner else second[:40])


def _value_text(one: Field | None, value: Any, names: dict[str, dict[int, str]]) -> str:
    if value == "me":
        return _("me")
    if value == "today":
        return _("today")
    if isinstance(value, dict) and len(value) == 1:
        return _relative(*next(iter(value.items())))
    if one is None:
        return str(value)[:60]
    kind = one.kind.name
    if kind in ("choice", "choices"):
        return option_label(one.choices or "", str(value))
    if kind in ("link", "links"):
        return names.get(one.target_table or "", {}).get(value, f"#{value}") if isinstance(value, int) else str(value)
    if kind == "yesno":
        return _("Yes") if value in (True, "true", 1) else _("No")
    return str(value)[:60].replace("T", " ")


def _relative(period: str, amount: Any) -> str:
    if period != "days" or not isinstance(amount, int):
        return f"{amount} {period}"
    if amount == 0:
        return _("today")
    if amount < 0:
        return ngettext("%(count)s day ago", "%(count)s days ago", -amount)
    return ngettext("in %(count)s day", "in %(count)s days", amount)


def _link_titles(parts: list[Any], fields: dict[str, Field]) -> dict[str, dict[int, str]]:
    """{table: {id: title}} of every record that the filter names; one statement a model."""
    wanted: dict[str, tuple[type, set[int]]] = {}

    def walk(part: Any) -> None:
        if not isinstance(part, dict):
            return
        for word in ("and", "or"):
            for each in part[word] if isinstance(part.get(word), list) else []:
                walk(each)
        walk(part.get("not"))
        if "field" in part:
            one, _label = _field_of(part, fields)
            if one is not None and one.target is not None:
                values = part.get("value")
                ids = {
                    each
                    for each in (values if isinstance(values, list) else [values])
                    if isinstance(each, int) and not isinstance(each, bool)
                }
                wanted.setdefault(one.target_table or "", (one.target, set()))[1].update(ids)

    for part in parts:
        walk(part)
    return {table: titles(model, ids) for table, (model, ids) in wanted.items()}


def filter_choices(fields: dict[str, Field], named: dict[str, dict[int, str]] | None = None) -> dict[str, Any]:
    """What the filter panel needs to know: the fields with their comparisons and options, as JSON."""
    from core.web.cells import choices

    words, date_words = op_words(), op_words(dates=True)
    inputs = {
        "integer": "number",
        "decimal": "number",
        "money": "number",
        "formula": "number",
        "date": "date",
        "datetime": "datetime",
        "yesno": "yesno",
        "choice": "choice",
        "choices": "choice",
        "link": "link",
        "links": "link",
    }
    found = []
    for name, one in fields.items():
        if one.hidden or one.kind.name == "json":
            continue
        told: dict[str, Any] = {
            "name": name,
            "label": one.title,
            "ops": [op for op in one.kind.ops if op in words],
            "input": inputs.get(one.kind.name, "text"),
        }
        if told["input"] == "choice":
            told["options"] = [[each.key, each.label] for each in choices(one.choices, None)]
        if told["input"] == "link":
            told["lookup"] = f"/{one.target_table}/_lookup"
            told["titles"] = (named or {}).get(one.target_table or "", {})
        if one.kind.name in DATES:
            told["words"] = date_words
        found.append(told)
    texts = {
        "field": _("Field"),
        "comparison": _("Comparison"),
        "value": _("Value"),
        "from": _("From"),
        "to": _("To"),
        "remove": _("Remove the condition"),
        "several": _("Several, separated by commas"),
        "yes": _("Yes"),
        "no": _("No"),
        "me": _("me"),
        "nothing": _("Nothing found"),
        "days": _("days from today; before it with a minus"),
    }
    found.sort(key=lambda told: told["name"] in ("owner", "department"))
    return {"fields": found, "ops": words, "texts": texts}


def named_in(tree: Any, fields: dict[str, Field]) -> dict[str, dict[int, str]]:
    """Titles of the records a filter names, for the panel; from the request's memory when `facets` ran before."""
    return _link_titles([tree], fields) if tree else {}
