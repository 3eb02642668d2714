"""Taking a file in: it is read to its end while no transaction is open, and its lines are kept as draft rows, chunk by chunk."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, update

from core.context import actor, now
from core.db import db, put_rows
from core.errors import Broken, Missing
from core.files import place
from core.i18n import gettext as _
from core.model import fields_of, model_of
from core.records import records
from core.spelling import Days
from core.transfer.draft_tables import core_import, core_import_row
from core.transfer.facts import Draft, draft
from core.transfer.headings import LOOKED_AT, Columns, folded, match
from core.transfer.reading import Sheet, opened

AT_ONCE = 2000
"""Lines put into the database by one statement."""
SAMPLES = 3
LONGEST_SAMPLE = 80
Tell = Callable[[int, int], None]


def take_in(import_id: int, heading_line: int | None = None, tell: Tell | None = None) -> Columns:
    """Read the stored file of an import into draft rows and propose which column is which field; commits.

    ``heading_line`` names the line of the heading, 0 that there is none. Raises `Broken` with one sentence for what is no
    table, and then keeps nothing of it.
    """
    one = draft(import_id)
    model = model_of(one.model)
    _clear(import_id)
    db.session.commit()
    stored = place(one.file_hash)
    if not stored.is_file():
        raise Missing(_("“%(name)s” is not in the store any more. Please tell your administrator.", name=one.file_name))
    with tempfile.TemporaryDirectory(prefix="mortise-import-") as folder:
        # Sentences name the file as the person knows it, not as the store does.
        named = Path(folder) / one.file_name
        named.symlink_to(stored)
        with opened(named) as sheet:
            columns = _heading(sheet, model, heading_line)
            db.session.commit()
            facts = _keep_lines(import_id, sheet, columns, tell)
            _settle(one, sheet, columns, facts)
    return columns


def forget(import_id: int) -> None:
    """Remove an import that has written nothing, with its rows."""
    _clear(import_id)
    db.session.execute(delete(core_import).where(core_import.c.id == import_id))


def _clear(import_id: int) -> None:
    db.session.execute(delete(core_import_row).where(core_import_row.c.import_id == import_id))


def _heading(sheet: Sheet, model: type, heading_line: int | None) -> Columns:
    if heading_line is None:
        return match(list(islice(sheet.rows(), LOOKED_AT)), model)
    if heading_line == 0:
        width = max(len(cells) for _line, cells in islice(sheet.rows(), 100))
        return Columns([_("Column %(number)s", number=number + 1) for number in range(width)], {}, heading_line=0)
    for line, cells in islice(sheet.rows(), 100):
        if line == heading_line:
            return match([(line, cells)], model)
    raise Broken(_("Line %(line)s of this file is empty or too far down to be the heading.", line=heading_line))


def hash_of(cells: list[str]) -> str:
    """What tells a line of a file from another in the same place."""
    return hashlib.blake2b("\x1f".join(cells).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


as_kept = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""The cells of a line as its draft row keeps them."""


def _lots(sheet: Sheet, columns: Columns) -> Iterator[list[tuple[int, list[str]]]]:
    below = ((line, cells) for line, cells in sheet.rows() if line > columns.heading_line)
    while lot := list(islice(below, AT_ONCE)):
        yield lot


def _keep_lines(import_id: int, sheet: Sheet, columns: Columns, tell: Tell | None) -> dict[str, Any]:
    samples: dict[int, list[str]] = {}
    days: dict[int, Days] = {}
    count, width = 0, len(columns.heading)
    for lot in _lots(sheet, columns):
        made = []
        for line, cells in lot:
            made.append((import_id, line, as_kept(cells), hash_of(cells), "waiting"))
            for at, cell in enumerate(cells[:width]):
                if cell and "0" <= cell[0] <= "9" and 8 <= len(cell) <= 30:
                    days.setdefault(at, Days()).see(cell)
                if count < 50 and cell.strip() and len(samples.get(at, ())) < SAMPLES:
                    samples.setdefault(at, []).append(cell.strip()[:LONGEST_SAMPLE])
            count += 1
        if not db.session.execute(update(core_import).where(core_import.c.id == import_id).values(changed_at=now())).rowcount:
            db.session.rollback()
            raise Missing(_("There is no such import, or it is not visible to you."))  # thrown away while it was being read
        put_rows(db.session.connection(), core_import_row, ("import_id", "line", "cells", "hash", "state"), made)
        db.session.commit()
        if tell is not None:
            tell(count, sheet.count)
    return {"count": count, "values": samples, "days": {at: one.counts for at, one in days.items() if any(one.counts)}}


def _settle(one: Draft, sheet: Sheet, columns: Columns, facts: dict[str, Any]) -> None:
    mapping: dict[int, str | None] = {place: name for name, places in columns.fields.items() for place in places}
    heading = [folded(text) for text in columns.heading]
    signature = hashlib.blake2b("\x1f".join(heading).encode(), digest_size=16).hexdigest() if columns.heading_line else None
    remembered = _remembered(one, signature) if signature is not None else None
    values: dict[str, Any] = {}
    if remembered is not None:
        gate, fields = records(model_of(one.model)), fields_of(model_of(one.model))
        for at, name in json.loads(remembered.mapping).items():
            if name is None or (name in fields and gate.writable(name, fields[name]) is None):
                _take(mapping, int(at), name, fields)
        columns.fields = {}
        for at, name in sorted(mapping.items()):
            if name is not None:
                columns.fields.setdefault(name, []).append(at)
        values = {"keys": remembered.keys, "known": remembered.known, "day_order": remembered.day_order}
    found = {"values": facts["values"], "days": facts["days"], "remembered": remembered is not None, "since_1904": sheet.since_1904}
    values |= {
        "encoding": sheet.encoding, "separator": sheet.separator, "heading": json.dumps(columns.heading, ensure_ascii=False),
        "heading_line": columns.heading_line, "heading_hash": signature, "mapping": json.dumps(mapping), "total": facts["count"],
        "samples": json.dumps(found, ensure_ascii=False),
        "state": "draft", "sentence": columns.trouble if not any(mapping.values()) else None, "changed_at": now(), "position": 0, "read": 0,
    }  # fmt: skip
    db.session.execute(update(core_import).where(core_import.c.id == one.id).values(values))
    db.session.commit()


def _take(mapping: dict[int, str | None], at: int, name: str | None, fields: dict[str, Any]) -> None:
    """What was chosen once counts more than what the heading says; a field that goes elsewhere now is not filled twice."""
    if name is not None and fields[name].kind.name != "phone":
        for other in [other for other, each in mapping.items() if each == name and other != at]:
            mapping[other] = None
    mapping[at] = name


def _remembered(one: Draft, signature: str) -> Any:
    """The last import with such a heading that was gone on with: the person's own, else the firm's."""
    table = core_import.c
    mine = table.user_id.is_not_distinct_from(actor().user_id)
    wanted = select(core_import).where(table.model == one.model, table.heading_hash == signature, table.id != one.id)
    wanted = wanted.where((table.state.not_in(["reading", "draft", "broken"])) | table.checked)
    return db.session.execute(wanted.order_by(mine.desc(), table.id.desc()).limit(1)).first()
