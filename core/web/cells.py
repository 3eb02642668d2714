"""Cells: one stored value as a page shows it — a tag, a link, a moment, a number — for many records in few statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import Any

from sqlalchemy import select

from core.context import actor, local, now, zone_of
from core.db import db
from core.fields import Field
from core.i18n import gettext as _
from core.i18n import listed
from core.journal import journal
from core.options import OptionValue, options
from core.titles import know_titles, titles
from core.web.views import view_of

PLAIN = ("text", "code", "phone", "email")
"""Kinds whose values are shown as they are stored."""
OFTEN = ("link", "choice", "yesno", "date")
"""Kinds of which many records have the same value."""


@dataclass(slots=True)
class Tag:
    """A dictionary option as it looks."""

    label: str
    colour: str = "stone"


@dataclass(slots=True)
class Cell:
    """One value on a page; it draws itself (``{{ cell }}``), since a list has hundreds and a template is ten times slower."""

    text: str = ""
    full: str = ""
    tags: Sequence[Tag] = ()
    yes: bool | None = None
    moment: str = ""
    url: str = ""
    num: bool = False

    def __html__(self) -> str:
        """The value as a person reads it: a dictionary tag, a link, a moment, or plain text."""
        if self.tags:
            tags = "".join(f'<span class="m-tag" data-colour="{escape(one.colour)}">{escape(one.label)}</span>' for one in self.tags)
            return f'<span class="m-line-up">{tags}</span>'
        if not self.text:
            return f'<span class="m-faint m-none" aria-label="{escape(_("empty"))}">—</span>'
        text = escape(self.text)
        if self.yes is not None:
            if self.yes:
                return f'<i class="ti ti-check" aria-hidden="true"></i><span class="m-hidden-text">{text}</span>'
            return f'<span class="m-faint">{text}</span>'
        if self.moment:
            return f'<time datetime="{escape(self.moment)}" title="{escape(self.full)}">{text}</time>'
        return f'<a href="{escape(self.url)}">{text}</a>' if self.url else text


def moment_words() -> Callable[[datetime], tuple[str, str]]:
    """What a moment is called now, short and in full, as a function: the day and the zone are looked up once for a whole column."""
    zone = zone_of(actor().zone)
    here = now().replace(tzinfo=UTC).astimezone(zone)
    today, yesterday = here.date(), here.date() - timedelta(days=1)

    def words(moment: datetime) -> tuple[str, str]:
        there = moment.replace(tzinfo=UTC).astimezone(zone)
        day, time = there.date(), f"{there.hour:02}:{there.minute:02}"
        if day == today:
            short = time
        elif day == yesterday:
            short = _("yesterday %(time)s", time=time)
        else:
            short = f"{day.month:02}-{day.day:02} {time}" if day.year == today.year else day.isoformat()
        return short, f"{day.isoformat()} {time}"

    return words


def short_moment(moment: datetime) -> str:
    """“15:00” today, “yesterday 15:00”, “11-24 15:00” this year, “2025-12-03” before (in the person's zone)."""
    return moment_words()(moment)[0]


def short_date(day: date) -> str:
    """A day as ISO writes it, with the words today, yesterday and tomorrow where they fit."""
    here = local(now()).date()
    words = {0: _("today"), -1: _("yesterday"), 1: _("tomorrow")}
    return words.get((day - here).days, day.strftime("%m-%d") if day.year == here.year else day.isoformat())


def record_url(table: str, record_id: int) -> str:
    """Address of a record's page."""
    return f"/{table}/{record_id}"


def choices(dictionary: str | None, kept: Iterable[str] | None = ()) -> list[OptionValue]:
    """The options of a dictionary that may be chosen now, and those in ``kept`` even when retired (None keeps all)."""
    found = []
    for one in options(dictionary or ""):
        if one.retired and (kept is None or one.key in kept):
            found.append(replace(one, label=_("%(option)s (retired)", option=one.label)))
        elif not one.retired:
            found.append(one)
    return found


def link_ids(model: type, one: Field, ids: Sequence[int]) -> dict[int, list[int]]:
    """{record: ids it is linked to} of a field with several links; one statement for all records."""
    relation = getattr(model, one.name).property
    mine, theirs = relation.synchronize_pairs[0][1], relation.secondary_synchronize_pairs[0][1]
    found: dict[int, list[int]] = {each: [] for each in ids}
    for left, right in db.session.execute(
        select(mine, theirs).where(mine.in_(list(ids) or [0])), execution_options={"mortise_rules": False}
    ):
        found[left].append(right)
    return found


class Shown:
    """Draws the cells of a set of records of one model; titles of links and options are fetched once a column."""

    def __init__(
        self, model: type, fields: Sequence[Field], found: Sequence[Any], then: dict[str, dict[int, list[int]]] | None = None
    ) -> None:  # fmt: skip
        self.model, self.found, self.view = model, found, view_of(model)
        self._then = then or {}
        """{field of several links: {id: ids}} where they were others than those that are stored."""
        self._links: dict[str, dict[int, list[int]]] = {}
        linked = {one.name: self._linked(one) for one in fields if one.kind.name in ("link", "links") and one.target is not None}
        wanted: dict[type, set[int]] = {}
        for one in fields:
            if one.name in linked:
                wanted.setdefault(one.target, set()).update(linked[one.name])
        know_titles(wanted)
        self._draw = {one.name: self._drawing(one, linked) for one in fields}

    def _linked(self, one: Field) -> set[int]:
        """Ids of all records that a column names."""
        if one.kind.name == "link":
            return {value for each in self.found if (value := one.get(each)) is not None}
        self._links[one.name] = links = link_ids(self.model, one, [each.id for each in self.found]) | self._then.get(one.name, {})
        return {each for some in links.values() for each in some}

    def cell(self, record: Any, one: Field) -> Cell:
        """The cell of one value. A link whose target the person may not see stays a number."""
        return self.column(one)(record)

    def column(self, one: Field) -> Callable[[Any], Cell]:
        """`cell` for a whole column."""
        draw, links, get, empty = self._draw[one.name], self._links.get(one.name), one.getter, Cell(num=one.kind.align == "end")

        def cell(record: Any) -> Cell:
            value = get(record) if links is None else links.get(record.id)
            return empty if value is None or value == "" or value == [] else draw(value)

        return cell

    def html(self, one: Field) -> Callable[[Any], str]:
        """The HTML of a whole column's cells; what is plain text, or was drawn for an earlier record, takes no `Cell`."""
        draw, get, known = self.column(one), one.getter, {}
        if one.kind.name in PLAIN and not one.translated and self.view.options(one.name) is None:
            nothing = Cell().__html__()
            return lambda record: escape(value) if (value := get(record)) else nothing
        if one.kind.name not in OFTEN:
            return lambda record: draw(record).__html__()

        def html(record: Any) -> str:
            value = get(record)
            if value not in known:
                known[value] = draw(record).__html__()
            return known[value]

        return html

    def _drawing(self, one: Field, linked: dict[str, set[int]]) -> Callable[[Any], Cell]:
        """How a value of this field that is there becomes a cell."""
        kind, several = one.kind.name, self.view.several.get(one.name)
        if kind in ("link", "links"):
            known, table = titles(one.target, linked[one.name]) if one.name in linked else {}, one.target_table or ""
            if kind == "links":
                return lambda value: Cell(text=listed(known.get(each, f"#{each}") for each in value))
            return lambda value: Cell(text=known[value], url=record_url(table, value)) if known.get(value) else Cell(text=f"#{value}")
        if kind in ("choice", "choices"):
            return _options_drawn({each.key: each for each in choices(one.choices, None)})
        if kind == "yesno":
            return lambda value: Cell(text=one.text(value), yes=bool(value))
        if kind == "datetime":
            words = moment_words()
            return lambda value: Cell(*words(value), moment=value.isoformat() + "Z")
        if kind == "date":
            return lambda value: Cell(text=short_date(value), moment=value.isoformat(), full=value.isoformat())
        if kind == "file":
            files = file_names({one.get(each) for each in self.found})
            return lambda value: Cell(text=files.get(value, f"#{value}"), url=f"/file/{value}")
        if (offered := self.view.options(one.name)) is not None:
            labels = dict(offered)
            return lambda value: Cell(
                text=listed(labels.get(each, each) for each in (str(value).split() if several else [str(value)]) if each != several)
            )
        num = one.kind.align == "end"
        return lambda value: Cell(text=one.text(value), num=num)


def _options_drawn(known: dict[str, OptionValue]) -> Callable[[Any], Cell]:
    """Options by their labels; as tags when one of the dictionary has a colour."""
    coloured = any(each.colour for each in known.values())

    def draw(value: Any) -> Cell:
        keys = value if isinstance(value, list) else [value]
        found = [known.get(str(key)) or OptionValue(str(key), str(key)) for key in keys]
        tags = [Tag(each.label, each.colour or "stone") for each in found] if coloured else []
        return Cell(text=listed(each.label for each in found), tags=tags)

    return draw


def file_names(ids: set[int | None]) -> dict[int, str]:
    """{file id: name} of stored files."""
    from core.files import File

    wanted = sorted(one for one in ids if one)
    if not wanted:
        return {}
    return {
        row[0]: str(row[1])
        for row in db.session.execute(select(File.id, File.name).where(File.id.in_(wanted)), execution_options={"mortise_rules": False})
    }


def names_of_files(ids: Iterable[int]) -> dict[int, str]:
    """{file id: name} of files, also of those that are not there any more, as far as the journal tells; two statements at most."""
    wanted = {one for one in ids if one}
    found = file_names(set(wanted))
    if missing := sorted(wanted - found.keys()):
        rows = select(journal.c.record_id, journal.c.changes).where(
            journal.c.model == "core_file", journal.c.record_id.in_(missing), journal.c.verb.in_(("create", "delete"))
        )
        for number, text in db.session.execute(rows.order_by(journal.c.id)):
            told = json.loads(text).get("name")
            name = next((each for each in told if isinstance(each, str)), None) if isinstance(told, list) else None
            if name:
                found[number] = name
    return found


def change_texts(model: type, changes: dict[str, Any], fields: dict[str, Field], names: dict[str, dict[int, str]]) -> list[dict[str, str]]:
    """``{field: [old, new]}`` of the journal as lines a person reads; fields he may not see are left out."""
    lines, view = [], view_of(model)
    for name, pair in changes.items():
        one = fields.get(name)
        if one is None or not isinstance(pair, list) or len(pair) != 2:
            continue
        offered = view.options(name)
        labels = dict(offered) if offered is not None else None
        old, new = (_journal_text(one, value, names, labels) for value in pair)
        lines.append({"label": one.title, "old": old, "new": new})
    return lines


def _journal_text(one: Field, value: Any, names: dict[str, dict[int, str]], labels: dict[str, str] | None) -> str:
    if value is None or value == "" or value == []:
        return ""
    if labels is not None:
        # One word, or several with blanks between them.
        return labels.get(str(value)) or listed(labels.get(each, each) for each in str(value).split())
    if one.kind.name in ("link", "links", "file"):
        return listed(names.get(one.name, {}).get(each, f"#{each}") for each in (value if isinstance(value, list) else [value]))
    try:
        text = one.text(
            one.kind.clean(value, one) if one.kind.name in ("date", "datetime", "money", "decimal", "integer", "yesno") else value
        )
    except (ValueError, TypeError):
        text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"


def linked_in(fields: dict[str, Field], all_changes: Sequence[dict[str, Any]]) -> dict[str, dict[int, str]]:
    """Titles of every record that journal changes name, as far as the acting person may read it; mostly one statement."""
    wanted: dict[str, set[int]] = {}
    for changes in all_changes:
        for name, pair in changes.items():
            one = fields.get(name)
            if one is not None and one.kind.name in ("link", "links", "file") and isinstance(pair, list):
                for value in pair:
                    wanted.setdefault(name, set()).update(
                        each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int)
                    )
    known: dict[type, set[int]] = {}
    for name, ids in wanted.items():
        if fields[name].target is not None:
            known.setdefault(fields[name].target, set()).update(ids)
    know_titles(known)
    found = {name: titles(fields[name].target, ids) for name, ids in wanted.items() if fields[name].target is not None}
    files = {name: ids for name, ids in wanted.items() if fields[name].kind.name == "file"}
    if files:
        called = names_of_files(set().union(*files.values()))
        found |= {name: {one: called[one] for one in ids if one in called} for name, ids in files.items()}
    return found
