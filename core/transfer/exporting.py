"""Exports: any list as CSV or Excel, row by row, with the rights of whoever asks, and nothing in it that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Any

from flask import current_app, has_app_context
from sqlalchemy import func, select

from core import journal
from core.asof import ties_of
from core.asof_list import PageThen, walk_then
from core.context import acting, actor, local
from core.db import db
from core.errors import Broken, Refused
from core.fields import Field
from core.filters import compile_filter, field_named, filter_fields
from core.i18n import gettext as _
from core.listing import id_among, page
from core.model import model_label, model_of
from core.reading import spans
from core.records import QUIET, records
from core.rules import may, rights
from core.transfer.cells import defused, is_number, starts_a_formula
from core.transfer.links import BETWEEN, written

CHUNK = 500
HELD = 5
"""So many pages of a past day (5,000 rows) are kept until the journal knows their numbers; a longer list is read for these first."""
MOST_EXCEL_ROWS = 1_048_575
LONGEST_EXCEL_TEXT = 32_767
EXACT_DIGITS = 15
"""Excel keeps no more digits of a number; longer ones are written as text."""
NUMBERS = ("integer", "decimal", "money", "formula")
Progress = Callable[[str], None]
AfterPage = Callable[[int], None]
Lot = tuple[list[int], list[list[str]]]
"""Numbers of some records, and their rows."""


class Unwritable(Broken):
    """The disk does not take the file."""


@dataclass(slots=True)
class ExportOutcome:
    """What was written."""

    rows: int
    path: Path

    def __str__(self) -> str:
        return _("Rows written to %(file)s: %(count)s.", file=self.path, count=f"{self.rows:,}")


def export_fields(model: type, names: Iterable[str] = ()) -> list[Field]:
    """The columns of an export: those asked for, or every field that the acting person sees, the title first, owner and department last.

    Raises `Broken` for a name that there is not, or that he does not see.
    """
    if chosen := [field_named(name, model) for name in names if name]:
        return [one for one in chosen if one.kind.name not in ("json", "file")]
    seen = [one for one in filter_fields(model).values() if not (one.system or one.hidden or one.sensitive)]
    rank = {model.title_field: -1, "owner": 1, "department": 2}
    return sorted((one for one in seen if one.kind.name not in ("json", "file")), key=lambda one: rank.get(one.name, 0))


def export_rows(
    model: type, filter: Any = None, search: str | None = None, order: Any = None, fields: Iterable[str] = (),
    ids: Iterable[int] | None = None, after_page: AfterPage | None = None, left: array[int] | None = None, day: date | None = None,
) -> Iterator[list[str]]:  # fmt: skip
    """The heading, then each record as texts, read in chunks by key-set: memory does not grow with the number of rows.

    With ``day`` as they were at its end; links are named as today, and whatever cannot be read back is refused (`core.asof_list`).

    Checks the right to export and writes the journal before the first row is given out. With ``ids`` only those records.
    ``after_page`` is called between two pages with the number of rows so far. With ``left`` the journal is the caller's to tell, and
    the ids of what has left are put there.
    Texts are as they are; `csv_lines` defuses them. Raises `Refused` or `Broken` at once, not in the middle.
    """
    if not (verdict := may("export", model)):
        raise Refused(_("You may not export %(label)s.", label=model_label(model, many=True)), verdict)
    columns = export_fields(model, fields)
    if not columns:
        raise Broken(_("There is no column to export."))
    order = order if order is not None else "id"
    asked = {"filter": filter, "search": search, "fields": [one.name for one in columns]}
    if day is not None:
        pages = walk_then(model, day, filter, search, order, [one.name for one in columns], verb="export")
        held = list(islice(pages, 1 if left is not None else HELD + 1))
        if left is None:
            every = held if len(held) <= HELD else walk_then(model, day, filter, search, order, verb="export")
            found = array("q", (row.id for some in every for row in some.rows))
            actor().memo.pop("saw", None)
            tell_the_journal(model, {"rows": len(found), "ids": spans(found), **asked, "as_of": day.isoformat()})
        return _given(columns, _told_then(model, columns, chain(held, pages)), after_page, left)
    wanted = None if ids is None else list(dict.fromkeys(ids))
    if wanted is None:
        # An order that this list cannot have is told now: a file that has begun cannot say so any more.
        page(model, filter, search, order, limit=1, count=False, columns=[])
    # Which rows, in which order, is asked in one go (8 bytes each): a row that is changed while others are being
    # written moves in the list, and would come twice or not at all.
    found = _ids(model, filter, search, order) if wanted is None else _reachable(model, wanted)
    if left is None:
        found = found if wanted is not None or _export_reach(model) is None else _reachable(model, found)
        tell_the_journal(model, {"rows": len(found), "ids": spans(found), **asked})
    return _given(columns, _told(model, columns, found), after_page, left)


def count_rows(
    model: Any, filter: Any = None, search: str | None = None, ids: Sequence[int] | None = None, most: int | None = None
) -> tuple[int, bool]:  # fmt: skip
    """(how many rows an export of the acting person holds, whether there are more); with ``most`` no further than that is counted."""
    reach = _export_reach(model)
    if most is not None and ids is None and reach is None:
        found = records(model).find(filter=filter, search=search, order="id", limit=1, columns=[])
        return min(found.count, most), found.capped or found.count > most
    query = records(model).select().with_only_columns(model.id)
    if reach is not None:
        query = query.where(reach)
    if ids is not None:
        query = query.where(id_among(model.id, ids))
    else:
        query = query.where(compile_filter({"and": [part for part in (filter, {"search": search} if search else None) if part]}, model))
    if most is not None:
        query = query.limit(most + 1)
    count = db.session.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    return (count, False) if most is None else (min(count, most), count > most)


def csv_lines(rows: Iterable[list[str]]) -> Iterator[bytes]:
    """Rows as the bytes of a CSV file that every spreadsheet opens rightly: UTF-8 with a mark, lines end as Windows likes it."""
    yield "\ufeff".encode()
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([cell if is_number(cell) else defused(cell) for cell in row])
        if buffer.tell() > 65_536:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def run_export(
    table: str, path: Path | str, *, fields: Sequence[str] = (), filter: Any = None, search: str | None = None, order: Any = None,
    ids: Iterable[int] | None = None, progress: Progress | None = None, after_page: AfterPage | None = None, left: array[int] | None = None,
    day: date | None = None,
) -> ExportOutcome:  # fmt: skip
    """Write records of the model of ``table`` to ``path``, ``.csv`` or ``.xlsx`` by its ending; complete, or not at all."""
    path, model = Path(path), model_of(table)
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise Broken(_("Please let the file end in .csv or .xlsx; “%(file)s” does not.", file=path.name))
    rows = _Passing(export_rows(model, filter, search, order, fields, ids, after_page, left, day), progress)
    part = path.with_name(path.name + ".part")
    try:
        if path.suffix.lower() == ".csv":
            with part.open("wb") as stream:
                for piece in csv_lines(rows):
                    stream.write(piece)
        else:
            numbers = {place for place, one in enumerate(export_fields(model, fields)) if one.kind.name in NUMBERS}
            _write_workbook(part, rows, model_label(model, many=True), numbers)
        part.replace(path)
    except OSError as error:
        raise Unwritable(_("“%(file)s” cannot be written: %(why)s.", file=path, why=error.strerror or str(error))) from None
    finally:
        part.unlink(missing_ok=True)
    return ExportOutcome(rows.count, path)


class _Passing:
    """Rows, counted while they pass; the heading is none."""

    def __init__(self, rows: Iterator[list[str]], progress: Progress | None) -> None:
        self.rows, self.progress, self.count = rows, progress, -1

    def __iter__(self) -> Iterator[list[str]]:
        for row in self.rows:
            self.count += 1
            if self.progress is not None and self.count and self.count % 10_000 == 0:
                self.progress(_("%(count)s rows", count=f"{self.count:,}"))
            yield row


def _write_workbook(path: Path, rows: Iterable[list[str]], title: str, numbers: set[int]) -> None:
    # Heavy, and most requests never need it.
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import FileCreateError

    # Its drafts lie beside the file, where they are found and removed when the process is killed.
    book = Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
    try:
        sheet = book.add_worksheet("".join(letter for letter in title if letter not in "[]:*?/\\'")[:31] or None)
        bold, as_text = book.add_format({"bold": True}), book.add_format({"quote_prefix": True})
        sheet.freeze_panes(1, 0)
        heading: list[str] = []
        for place, row in enumerate(rows):
            heading = heading or row
            if place > MOST_EXCEL_ROWS:
                raise Broken(_("An Excel sheet holds %(count)s rows; please export as CSV, or filter first.", count=f"{MOST_EXCEL_ROWS:,}"))
            for column, text in enumerate(row):
                if len(text) > LONGEST_EXCEL_TEXT:
                    raise Broken(_("A text in “%(field)s” is too long for Excel; please export as CSV.", field=heading[column]))
                if place == 0:
                    sheet.write_string(0, column, text, bold)
                elif column in numbers and is_number(text) and len(text) <= EXACT_DIGITS:
                    sheet.write_number(place, column, float(text))
                elif starts_a_formula(text):
                    # A string cell runs nothing; the mark keeps it a string when somebody types into it.
                    sheet.write_string(place, column, text, as_text)
                elif text:
                    sheet.write_string(place, column, defused(text))
        book.close()
    except FileCreateError as error:
        raise error.args[0] from None
    finally:
        for draft in () if book.fileclosed else book.worksheets():
            _give_up(draft)
        book.fileclosed = True


def _give_up(sheet: Any) -> None:
    """Close and remove the draft of a sheet whose workbook will not be written."""
    name = sheet.row_data_fh.name
    try:
        sheet.row_data_fh.close()
    except OSError:
        pass  # the disk is full, and what waited to be written is not wanted any more
    Path(name).unlink(missing_ok=True)


# -- rows -------------------------------------------------------------------------------------------------------------


def _given(columns: list[Field], pages: Iterable[Lot], after_page: AfterPage | None, left: array[int] | None) -> Iterator[list[str]]:
    """The heading, then the rows of all pages; between two of them the transaction ends and the caller hears how many there were."""
    yield [one.title for one in columns]
    done = 0
    for ids, texts in pages:
        if left is not None:
            left.extend(ids)
        if db.session().execution_options.get("mortise_read_only"):
            # No transaction stays open while the rows are written to a disk or sent to somebody with a slow line.
            db.session.rollback()
        yield from texts
        done += len(texts)
        if after_page is not None:
            after_page(done)


def _told(model: type, columns: list[Field], ids: Sequence[int]) -> Iterator[Lot]:
    for start in range(0, len(ids), CHUNK):
        found = _exportable(model, records(model).many(ids[start : start + CHUNK]))
        # The export's own line tells of these.
        actor().memo.pop("saw", None)
        names = {one.name: written(one.target, _linked_ids(one, found)) for one in columns if one.kind.name in ("link", "links")}
        texts = [[_cell(one, one.get(record), names.get(one.name, {})) for one in columns] for record in found]
        yield [one.id for one in found], texts


def _told_then(model: type, columns: list[Field], pages: Iterable[PageThen]) -> Iterator[Lot]:
    several = [one for one in columns if one.kind.name == "links"]
    for found in pages:
        actor().memo.pop("saw", None)
        ids = [row.id for row in found.rows]
        tied = {one.name: ties_of(model, one, ids) | found.links.get(one.name, {}) for one in several}
        values = [
            [sorted(tied[one.name].get(row.id, ())) if one.name in tied else one.get(row) for one in columns] for row in found.rows
        ]  # fmt: skip
        names = {}
        for place, one in enumerate(columns):
            if one.kind.name in ("link", "links"):
                several_ids = (value[place] for value in values if value[place])
                names[one.name] = written(one.target, {each for few in several_ids for each in (few if isinstance(few, list) else [few])})
        yield ids, [[_cell(one, cell, names.get(one.name, {})) for one, cell in zip(columns, value, strict=True)] for value in values]


def _ids(model: type, filter: Any, search: str | None, order: Any) -> array[int]:
    found, after = array("q"), None
    while True:
        some = page(model, filter, search, order, limit=1000, after=after, count=False, columns=[])
        found.extend(row.id for row in some.rows)
        after = some.next
        if after is None:
            return found


def _reachable(model: Any, ids: Sequence[int]) -> array[int]:
    """Those of these records that the person may read and export, in the same order."""
    reach, kept = _export_reach(model), array("q")
    for start in range(0, len(ids), CHUNK):
        some = [int(one) for one in ids[start : start + CHUNK]]
        query = records(model).select().with_only_columns(model.id).where(model.id.in_(some))
        known = set(db.session.execute(query if reach is None else query.where(reach)).scalars())
        kept.extend(one for one in some if one in known)
    return kept


def _export_reach(model: type) -> Any:
    """Which of the records that he reads the acting person may export; None for all of them."""
    return None if actor().system else rights().row_filter(model, "export")


def _exportable(model: type, found: list[Any]) -> list[Any]:
    """Those records that the person may not only read but export."""
    reach = _export_reach(model)
    if reach is None or not found:
        return found
    table = model.__table__
    allowed = set(
        db.session.execute(select(table.c.id).where(table.c.id.in_([one.id for one in found]), reach), execution_options=QUIET).scalars()
    )
    return [one for one in found if one.id in allowed]


def _linked_ids(one: Field, found: list[Any]) -> set[int]:
    values = (one.get(record) for record in found)
    return {each for value in values if value for each in (value if isinstance(value, list) else [value])}


def _cell(one: Field, value: Any, names: dict[int, str]) -> str:
    """One value as an import reads it back: options and links by name, numbers and moments in full."""
    if value is None or value == []:
        return ""
    kind = one.kind.name
    if kind == "link":
        return names.get(value, "")
    if kind == "links":
        return BETWEEN.join(names[each] for each in value if each in names)
    if kind == "text" or kind in NUMBERS:
        return str(one.json(value))
    if kind == "datetime":
        return local(value).replace(tzinfo=None).isoformat(" ", "microseconds" if value.microsecond else "seconds")
    return one.text(value)


def tell_the_journal(model: type, facts: dict[str, Any]) -> None:
    """Write who took what out. A GET cannot write, so it is done beside it, in a transaction of its own."""

    def write() -> None:
        journal.write(model.__tablename__, 0, "export", {name: [None, value] for name, value in facts.items() if value is not None})

    session = db.session()
    if not session.execution_options.get("mortise_read_only") or not has_app_context():
        write()
        return
    with current_app.app_context(), acting(replace(actor(), memo={})):
        try:
            write()
            db.session.commit()
        finally:
            db.remove()
