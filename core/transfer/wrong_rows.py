"""Wrong rows come back as a file: the columns of the original and the reason, made from the draft rows at any time."""

from __future__ import annotations

import csv
import filecmp
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sqlalchemy import or_, select

from core.errors import Broken
from core.i18n import gettext as _
from core.jobs import look
from core.model import fields_of, model_of
from core.spelling import from_serial
from core.transfer.cells import defused, plain
from core.transfer.chunks import errors_of, words
from core.transfer.draft_tables import core_import_row
from core.transfer.facts import Draft

CHUNK = 500
_rows = core_import_row.c


def wrong_lines(one: Draft) -> Iterator[bytes]:
    """The refused rows of an import, or those that its dry run expects, as a CSV file that every spreadsheet opens rightly."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    yield "\ufeff".encode()
    writer.writerow([*map(defused, one.heading), _("Reason")])
    model, width, after = model_of(one.model), len(one.heading), 0
    dates = {name for name, field in fields_of(model).items() if field.kind.name in ("date", "datetime")}
    while True:
        refused = or_(_rows.state == "refused", (_rows.state == "waiting") & (_rows.expected == "refused"))
        wanted = select(_rows.line, _rows.cells, _rows.errors).where(_rows.import_id == one.id, _rows.line > after, refused)
        with look() as connection:
            found = connection.execute(wanted.order_by(_rows.line).limit(CHUNK)).all()
        for row in found:
            cells = json.loads(row.cells) if row.cells else []
            for place, name in one.mapping.items() if one.since_1904 else ():
                # A CSV file cannot say that its bare numbers count from 1904.
                if name in dates and place < len(cells) and (moment := from_serial(cells[place], since_1904=True)):
                    cells[place] = moment.isoformat(" ")
            reason = words(model, errors_of(row.errors))
            # What was too much stays visible, behind the reason.
            whole = [*(cells + [""] * width)[:width], reason, *cells[width:]]
            writer.writerow([defused(plain(cell)) for cell in whole])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
        if len(found) < CHUNK:
            return
        after = found[-1].line


class WrongRows:
    """The file of wrong rows beside the original; complete, or not there at all."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> WrongRows:
        # Opened before anything is imported: who cannot get his wrong rows back should know it then.
        try:
            self._stream = self.part.open("wb")
        except OSError as error:
            raise Broken(
                _("The file for wrong rows, %(file)s, cannot be written: %(why)s.", file=self.target, why=error.strerror or str(error))
            ) from None
        return self

    def keep(self, one: Draft) -> Path | None:
        """Write and keep the file; None when no row was wrong. A file that somebody may be correcting is not written over."""
        assert self._stream is not None
        if not one.refused:
            return None
        for piece in wrong_lines(one):
            self._stream.write(piece)
        self._stream.close()
        target, number = self.target, 1
        while target.exists() and not filecmp.cmp(self.part, target, shallow=False):
            number += 1
            target = self.target.with_name(f"{self.target.stem}-{number}{self.target.suffix}")
        self.part.replace(target)
        return target

    def __exit__(self, *_about: object) -> None:
        if self._stream is not None:
            self._stream.close()
        self.part.unlink(missing_ok=True)
