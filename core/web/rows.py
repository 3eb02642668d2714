"""Rows of a list, drawn: a list has hundreds of cells, and a template takes ten times as long for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup

from core.fields import Field
from core.i18n import gettext as _
from core.web.cells import Cell, Shown, record_url

CARDS = (
    ("amount", {"money", "decimal", "integer", "formula"}),
    ("stage", {"choice", "choices"}),
    ("next", {"date", "datetime"}),
    ("who", None),
    ("days", None),
)


def cards(fields: list[Field]) -> dict[str, str]:
    """{field: place on a phone's card}: the amount, the stage, the next date, who, and one more."""
    found: dict[str, str] = {}
    rest = fields[1:]
    for place, kinds in CARDS:
        one = next((each for each in rest if each.name not in found and (kinds is None or each.kind.name in kinds)), None)
        if one is not None:
            found[one.name] = place
    return found


@dataclass(slots=True)
class Row:
    """One record of a related list; the first cell is its title."""

    title: str
    url: str
    cells: list[Cell]


def rows_of(model: type, fields: Sequence[Field], found: Sequence[Any]) -> list[Row]:
    """Records, or the light rows of `core.listing.page`, as rows of cells."""
    shown, table = Shown(model, fields, found), model.__tablename__  # type: ignore[attr-defined]
    columns = [shown.column(one) for one in fields]
    made, called = [], shown.view.called(found)
    for record in found:
        cells = [draw(record) for draw in columns]
        if record.id in called:
            cells[0].text = called[record.id]
        made.append(Row(cells[0].text or f"#{record.id}", record_url(table, record.id), cells))
    return made


def drawn(model: type, fields: Sequence[Field], found: Sequence[Any], ticks: bool, then: tuple[Any, int] | None = None) -> Markup:
    """The rows of a list's table; the first cell is the title, and with ``ticks`` each row begins with a box to select it by.

    Of a list of the past ``then`` is its page and the number in the journal: its rows lead to what the records were after that.
    """
    places, url = cards(list(fields)), f"/{model.__tablename__}/"  # type: ignore[attr-defined]
    shown = Shown(model, fields, found, then[0].links if then else None)
    gone, past = (then[0].gone, f"/_past?row={then[1]}") if then else ((), "")
    deleted = f' <span class="m-tag" data-colour="rose">{escape(_("deleted since"))}</span>' if gone else ""
    name, columns = shown.column(fields[0]), [shown.html(one) for one in fields[1:]]
    opening = [_opening(one, place, places.get(one.name, "")) for place, one in enumerate(fields) if place]
    box = '<td class="m-check"><input class="form-check-input" type="checkbox" name="ids" value="{}" aria-label="{}"></td>'
    select = escape(_("Select %(title)s", title="\0"))
    made, called = [], shown.view.called(found)
    for record in found:
        number = record.id
        title = escape(called.get(number) or name(record).text or f"#{number}")
        made.append(f"<tr data-row>{box.format(number, select.replace(chr(0), title))}" if ticks else "<tr data-row>")
        if number in gone:
            made.append(f'<th scope="row"><span class="m-clip m-cell-title">{title}</span>{deleted}</th>')
        else:
            made.append(f'<th scope="row"><a class="m-clip m-cell-title" href="{url}{number}{past}">{title}</a></th>')
        made += [f"{begin}{draw(record)}</span></td>" for begin, draw in zip(opening, columns, strict=True)]
        made.append("</tr>\n")
    return Markup("".join(made))  # noqa: S704


def _opening(one: Field, place: int, card: str) -> str:
    """How a column's cells begin: where they stand on a phone's card, numbers at the end, the seventh and later on wide screens only."""
    names = ("m-num " if one.kind.align == "end" else "") + ("m-wide" if place >= 6 else "")
    kept = f' data-card="{card}"' if card else ""
    return f'<td{kept} class="{names}"><span class="m-cell">'


def heads_of(fields: list[Field]) -> list[SimpleNamespace]:
    """Column heads without sorting, for related lists."""
    return [SimpleNamespace(label=one.title, num=one.kind.align == "end") for one in fields]
