"""A list in groups: what one may group by, the group rows with their sums, and the total line under every list."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from core.fields import Field
from core.grouping import DATES, SUMMED, UNITS, Group, Grouped, Key, group_fields, narrowed
from core.i18n import gettext as _
from core.i18n import ngettext
from core.options import options
from core.records import records
from core.web.facets import write_filter

ON_SCREEN = 2
"""A list on a screen is folded at most so deep; REST knows one level more."""


def group_names(text: str | None) -> list[str]:
    """The fields an address groups by: ``region,due_on:month``."""
    return list(dict.fromkeys(one.strip() for one in (text or "").split(",") if one.strip()))[:ON_SCREEN]


def unit_words() -> dict[str, str]:
    """The spans of time as a person reads them behind the name of a date."""
    return {"day": _("by day"), "week": _("by week"), "month": _("by month"), "quarter": _("by quarter"), "year": _("by year")}


def key_text(key: Key) -> str:
    """What a list is grouped by, in words."""
    return f"{key.field.title} {unit_words()[key.unit]}" if key.unit else key.field.title


def choices(model: Any, seen: Iterable[str]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """What the person who sees these fields may group this list by: (label, its (key, words)), several for the spans of a date."""
    words, shown = unit_words(), set(seen)
    found = []
    for name, one in sorted(group_fields(model).items(), key=lambda pair: pair[1].system):
        if name in shown:
            units = tuple((f"{name}:{unit}", f"{one.title} {words[unit]}") for unit in UNITS) if one.kind.name in DATES else ()
            found.append((one.title, units or ((name, one.title),)))
    return tuple(found)


def summed(model: Any, fields: list[Field]) -> list[Field]:
    """The columns whose numbers are added up; the first holds the words of the line."""
    return [one for one in fields[1:] if one.kind.name in SUMMED and one.name not in ("id", "version", model.title_field)]


def grouped_rows(
    model: Any, names: list[str], fields: list[Field], tree: Any, words: str, path: str, state: dict[str, str], day: date | None = None
) -> Any:
    """The groups of a list as rows, outermost first; with ``day`` as they were then. Raises `Broken` when it cannot be grouped so."""
    columns = summed(model, fields)
    found = records(model).groups(names, day, filter=tree, search=words or None, sums=[one.name for one in columns])
    made = _rows(found, fields, tree, path, state)
    note = ""
    if found.capped:
        note = _("Only the %(count)s largest of %(number)s groups are shown.", count=len(found.groups), number=f"{found.number:,}")
    return SimpleNamespace(
        rows=made,
        keys=found.keys,
        count=found.count,
        unknown=found.unknown,
        note=note,
        foot=total_cells(fields, columns, found.totals) if columns and found.groups else None,
        text=" › ".join(key_text(key) for key in found.keys),
    )


def _rows(found: Grouped, fields: list[Field], tree: Any, path: str, state: dict[str, str]) -> list[SimpleNamespace]:
    colours = [_colours(key) for key in found.keys]
    deep, made, last = len(found.keys), [], object()
    for place, group in enumerate(found.groups):
        if deep > 1 and group.values[0] != last:
            last = group.values[0]
            count, sums = group.above[0]
            outer = _row(f"{place}", 0, group, found, fields, count, sums, colours, tree, path, state)
            made.append(outer)
        name = f"{made[-1].name.split('-')[0]}-{place}" if deep > 1 else f"{place}"
        made.append(_row(name, deep - 1, group, found, fields, group.count, group.sums, colours, tree, path, state))
    return made


def _row(
    name: str, level: int, group: Group, found: Grouped, fields: list[Field], count: int, sums: Any, colours: Any, tree: Any, path: str,
    state: dict[str, str],
) -> SimpleNamespace:  # fmt: skip
    within = joined(tree, narrowed(found.keys[: level + 1], group.values[: level + 1]))
    leaf = level == len(found.keys) - 1
    asked = {"filter": write_filter(within), "q": state["q"], "order": state["order"], "as_of": state.get("as_of", "")}
    kept = urlencode({word: value for word, value in asked.items() if value})
    return SimpleNamespace(
        name=name,
        level=level,
        leaf=leaf,
        hidden=level > 0,
        label=group.labels[level],
        colour=colours[level].get(group.values[level], ""),
        empty=group.values[level] is None,
        count=count,
        count_text=ngettext("%(count)s record", "%(count)s records", count) if count < 1000 else _("%(count)s records", count=f"{count:,}"),
        list_url=f"{path}?{kept}",
        rows_url=f"{path}_rows?{kept}" if leaf else "",
        **vars(total_cells(fields, found.sums, sums)),
    )


def joined(tree: Any, parts: list[dict[str, Any]]) -> Any:
    """A filter with more conditions, so that each of them stays a facet of its own."""
    if not tree:
        return {"and": parts}
    return {"and": [*(tree["and"] if set(tree) == {"and"} and isinstance(tree["and"], list) else [tree]), *parts]}


def _colours(key: Key) -> dict[Any, str]:
    if key.field.kind.name != "choice":
        return {}
    found = {one.key: one.colour for one in options(key.field.choices or "")}
    return {name: colour or "stone" for name, colour in found.items()} if any(found.values()) else {}


def total_cells(fields: list[Field], columns: list[Field], sums: Any) -> SimpleNamespace:
    """The cells of a row of sums: how many columns its words may take, then a cell for each of the other columns."""
    known = dict(zip([one.name for one in columns], sums or [None] * len(columns), strict=True))
    span = next((place for place, one in enumerate(fields) if one.name in known), len(fields))
    cells = [
        SimpleNamespace(
            label=one.title,
            text="" if known.get(one.name) is None else one.text(known[one.name]),
            num=one.kind.align == "end",
            wide=place >= 6,
            summed=one.name in known,
        )  # fmt: skip
        for place, one in enumerate(fields)
        if place >= span
    ]
    return SimpleNamespace(span=span, cells=cells)


def foot_of(model: Any, fields: list[Field], tree: Any, words: str) -> SimpleNamespace | None:
    """The total line of a list that is counted to its end; None when it has no numbers to add up."""
    columns = summed(model, fields)
    if not columns:
        return None
    return total_cells(fields, columns, records(model).totals([one.name for one in columns], filter=tree, search=words or None))


def foot_then(model: Any, fields: list[Field], found: Any) -> SimpleNamespace | None:
    """The total line of a list of a past day, whose page has been asked for the sums as well."""
    columns = summed(model, fields)
    return total_cells(fields, columns, found.totals) if columns and found.totals is not None else None
