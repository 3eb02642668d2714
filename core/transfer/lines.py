"""The lines of a file as values for the gate: which cell is which field, days and numbers as spreadsheets leave them, links by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import Wrong
from core.fields import tidy
from core.i18n import gettext as _
from core.model import fields_of, model_of
from core.recognise import EARLIER, LINE
from core.records import titles
from core.spelling import Days, in_iso
from core.transfer.cells import plain
from core.transfer.facts import Draft
from core.transfer.headings import Columns
from core.transfer.links import Named, parts

ALL_VALUES = "*"


@dataclass(slots=True)
class Line:
    """One line, ready for the gate."""

    values: dict[str, Any]
    errors: dict[str, str]


@dataclass(slots=True)
class Shape:
    """How the lines of one import are read."""

    model: type
    columns: Columns
    orders: dict[str, str]
    """{field: which of day and month comes first}"""
    since_1904: bool = False

    @classmethod
    def of(cls, one: Draft, mapping: dict[int, str | None] | None = None) -> Shape:
        """The shape that was chosen, or would be with ``mapping``."""
        by_field: dict[str, list[int]] = {}
        known = fields_of(model_of(one.model))
        for place, name in sorted((one.mapping if mapping is None else mapping).items()):
            if name in known:
                by_field.setdefault(name, []).append(place)
        orders = {name: one.day_order.get(places[0]) or Days(one.days.get(places[0])).order for name, places in by_field.items()}
        return cls(model_of(one.model), Columns(one.heading, by_field, heading_line=one.heading_line), orders, one.since_1904)

    @property
    def key_chain(self) -> list[tuple[str, ...]]:
        """The default keys that this file has: unique fields, then the model's duplicate keys, then all values."""
        every = fields_of(self.model)
        unique = [(name,) for name in self.columns.fields if every[name].unique]
        own = tuple(getattr(self.model, "duplicate_keys", "").split())
        return [*unique, *([own] if own else []), ()]

    def lines(self, lot: Sequence[tuple[int, list[str]]]) -> list[Line]:
        """The texts of some (line, cells), days in one spelling; needs no database."""
        every = fields_of(self.model)
        read = [(name, places, every[name].kind.name) for name, places in self.columns.fields.items()]
        return [self._line(number, cells, read) for number, cells in lot]

    def _line(self, number: int, cells: list[str], read: Sequence[tuple[str, list[int], str]]) -> Line:
        found = Line({}, {})
        if len(cells) > len(self.columns.heading) and any(cell.strip() for cell in cells[len(self.columns.heading) :]):
            found.errors[""] = _("This line (%(line)s) has more cells than the heading; is there a separator inside a value?", line=number)
        for name, places, kind in read:
            if len(places) == 1:
                text = plain(cells[places[0]]).strip() if places[0] < len(cells) else ""
            else:
                given = [plain(cells[place]).strip() for place in places if place < len(cells)]
                text = ", ".join(dict.fromkeys(one for one in given if one))
            if not text:
                continue
            try:
                found.values[name] = self._day(name, text, moment=kind == "datetime") if kind in ("date", "datetime") else text
            except Wrong as fault:
                found.errors[name] = str(fault)
        return found

    def _day(self, name: str, text: str, *, moment: bool) -> str:
        return in_iso(text, self.orders[name], moment=moment, since_1904=self.since_1904)

    def resolve(self, lot: Sequence[Line]) -> None:
        """Put ids in place of the names in columns of links; one statement a field of the target."""
        for name, named in self._named(lot).items():
            for line in lot:
                if name in line.values:
                    try:
                        line.values[name] = self._linked(name, line.values[name], named)
                    except Wrong as fault:
                        line.errors[name] = str(fault)
                        del line.values[name]

    def _named(self, lot: Sequence[Line]) -> dict[str, Named]:
        found: dict[str, Named] = {}
        for name in self.columns.fields:
            one = fields_of(self.model)[name]
            texts = [line.values[name] for line in lot if name in line.values] if one.kind.name in ("link", "links") else []
            if one.kind.name == "link":
                found[name] = Named(one.target, map(tidy, texts))
            elif one.kind.name == "links":
                found[name] = Named(one.target, (each for text in texts for each in parts(text)))
        return found

    def _linked(self, name: str, text: str, named: Named) -> Any:
        if fields_of(self.model)[name].kind.name == "links":
            return [named.id_of(one) for one in parts(text)]
        return named.id_of(tidy(text))

    def shown(self, lot: Sequence[list[str]]) -> list[list[tuple[str, str, str, str | None]]]:
        """(field, as it stands in the file, as a person will read it, what is wrong) of each cell of some lines."""
        read = self.lines([(0, cells) for cells in lot])
        self.resolve(read)
        every = fields_of(self.model)
        names: dict[str, dict[int, str]] = {}
        for name in self.columns.fields:
            if every[name].kind.name in ("link", "links"):
                names[name] = titles(every[name].target, {each for line in read for each in _ids(line.values.get(name))})
        return [
            [self._shown(name, cells, line, names.get(name)) for name in self.columns.fields] for cells, line in zip(lot, read, strict=True)
        ]

    def _shown(self, name: str, cells: list[str], line: Line, names: dict[int, str] | None) -> tuple[str, str, str, str | None]:
        one = fields_of(self.model)[name]
        raw = ", ".join(cells[place] for place in self.columns.fields[name] if place < len(cells) and cells[place])
        if name in line.errors or name not in line.values:
            return name, raw, "", line.errors.get(name)
        if names is not None:
            return name, raw, ", ".join(names.get(each, "") for each in _ids(line.values[name])), None
        try:
            return name, raw, one.text(one.clean(line.values[name])), None
        except Wrong as fault:
            return name, raw, "", str(fault)


def _ids(value: Any) -> Iterable[int]:
    return [] if value is None else value if isinstance(value, list) else [value]


def as_stored(key: tuple[str, ...] | None) -> str | None:
    """A key as a draft row keeps it."""
    return None if key is None else " ".join(key) or ALL_VALUES


def matched_by(model: type, kept: str | None) -> str | None:
    """What a row was recognised by, in the acting person's words."""
    if kept is None:
        return None
    told = {ALL_VALUES: _("all values"), LINE[0]: _("the same line of an earlier import"), EARLIER[0]: _("an earlier line of this file")}
    every = fields_of(model)
    return told.get(kept) or " + ".join(every[name].title if name in every else name for name in kept.split())
