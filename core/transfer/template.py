"""An empty file to fill in: the firm's own columns as its heading, and in a workbook the options of each to choose from."""

from __future__ import annotations

import io

from core.errors import Refused
from core.fields import Field
from core.i18n import gettext as _
from core.model import model_label, model_of
from core.options import options
from core.records import records
from core.rules import may
from core.transfer.cells import defused
from core.transfer.headings import fillable

FILLED = 1000
"""Rows of the workbook that offer the options."""


def template_file(table: str, kind: str = "xlsx") -> bytes:
    """A file with the fields of a model that the acting person may fill, custom fields included: ``xlsx`` or ``csv``."""
    model = model_of(table)
    gate = records(model)
    if not (verdict := may("import", model)):
        raise Refused(_("You may not import %(label)s.", label=model_label(model, many=True)), verdict)
    columns = [one for one in fillable(model) if gate.writable(one.name, one) is None]
    columns.sort(key=lambda one: (one.name != model.title_field, not one.required))
    if kind == "csv":
        return ("\ufeff" + ",".join(f'"{defused(one.title)}"' for one in columns) + "\r\n").encode()
    return _workbook(columns, model_label(model, many=True))


def _workbook(columns: list[Field], title: str) -> bytes:
    # Heavy, and most requests never need it.
    from xlsxwriter import Workbook

    target = io.BytesIO()
    with Workbook(target, {"in_memory": True}) as book:
        needed, plain, text = book.add_format({"bold": True}), book.add_format(), book.add_format({"num_format": "@"})
        sheet = book.add_worksheet("".join(letter for letter in title if letter not in "[]:*?/\\'")[:31] or None)
        offered = book.add_worksheet(_("Options"))
        sheet.freeze_panes(1, 0)
        for place, one in enumerate(columns):
            sheet.write_string(0, place, one.title, needed if one.required else plain)
            # As text a phone number or a code keeps its digits.
            sheet.set_column(place, place, 18, text if one.kind.name in ("text", "phone", "code") else None)
            if one.help:
                sheet.write_comment(0, place, one.help)
            labels = _labels(one)
            offered.write_string(0, place, one.title, needed)
            for row, label in enumerate(labels, 1):
                offered.write_string(row, place, label)
            if labels:
                _offer(sheet, offered.get_name(), place, len(labels))
    return target.getvalue()


def _labels(one: Field) -> list[str]:
    if one.kind.name == "yesno":
        return [_("Yes"), _("No")]
    if one.kind.name not in ("choice", "choices"):
        return []
    return [option.label for option in options(one.choices or "") if not option.retired]


def _offer(sheet: object, name: str, place: int, count: int) -> None:
    from xlsxwriter.utility import xl_range_abs

    source = f"='{name}'!{xl_range_abs(1, place, count, place)}"
    sheet.data_validation(1, place, FILLED, place, {"validate": "list", "source": source, "error_type": "warning"})  # type: ignore[attr-defined]
