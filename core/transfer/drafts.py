"""Imports step by step, for screens: a file comes in, its columns are matched, a dry run tells, a job runs it, and it can be taken back.

Each function acts for the acting person and asks his rights. An import is seen by whoever made it and by administrators; others
get `Missing`. It goes ``reading`` → ``draft`` (or ``broken``) → ``checking`` → ``draft`` (``checked``) → ``queued`` → ``running`` →
``done``; ``cancelled`` and ``stopped`` ones can be resumed, all that have written can be reverted (``reverting`` → ``reverted``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from sqlalchemy import and_, or_, select, update

from core.context import actor, now
from core.db import db
from core.errors import Broken, Conflict, Refused, Wrong
from core.fields import Field
from core.files import keep_bytes, tidy_name
from core.i18n import gettext as _
from core.jobs import Job
from core.model import fields_of, model_label, model_of
from core.records import records
from core.rules import may
from core.spelling import Days
from core.transfer import chunks, reverting, taking, wrong_rows
from core.transfer.draft_tables import core_import, core_import_row
from core.transfer.facts import Draft, draft, drafts_of, locked
from core.transfer.headings import check_use, fillable, match
from core.transfer.lines import Shape, matched_by
from core.transfer.reading import LARGEST_FILE
from core.transfer.template import template_file

__all__ = [
    "Column", "Draft", "DraftRow", "ReadCell", "begin", "cancel", "changed_since", "check_later", "choose", "columns", "draft", "fields",
    "fix_row", "forget", "imports_of", "preview", "read_again", "resume", "revert", "rows", "run_later", "template_file", "wrong_file",
]  # fmt: skip
OPEN = ("draft", "cancelled", "stopped")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file."""

    place: int
    heading: str
    field: str | None
    """Name of the field it goes into; None when it is left out."""
    samples: list[str]
    why: str | None = None
    """Why it is left out although its heading names a field: one sentence."""
    told: str | None = None
    """What was decided about the order of day and month, or that somebody has to: one sentence."""
    day_order: str = ""
    """``dmy``, ``mdy``, or empty when nobody knows."""


@dataclass(frozen=True, slots=True)
class DraftRow:
    """One line of the file and what became of it."""

    line: int
    cells: list[str]
    state: str
    """waiting, created, changed, same, skipped or refused"""
    expected: str | None
    """The same, as the dry run expects it; None before one."""
    record_id: int | None
    matched: str | None
    """What the record was recognised by, in the person's words: “Code”, “Name + Phones”, “the same line of an earlier import”, …"""
    errors: dict[str, str]
    """{field: sentence}; under ``""`` what is wrong with the line as a whole."""


@dataclass(frozen=True, slots=True)
class ReadCell:
    """How one value will be read."""

    field: str
    raw: str
    shown: str
    """As a person will see it once it is stored; empty when it cannot be read."""
    error: str | None


# -- before it runs ---------------------------------------------------------------------------------------------------


def begin(table: str, stream: IO[bytes], filename: str | None, *, later: bool = True) -> Draft:
    """Take a file for the model of ``table``; a job reads it into draft rows (``later=False``: `taking.take_in` does, at once).

    Ends the transaction of the caller first, since a large file takes a while to be stored. Raises `Refused` without the right
    to import, `Asleep`, and `Broken` or `Busy` with a sentence for a file that is empty, too large or cannot be stored.
    """
    from core.transfer import import_jobs

    model = model_of(table)
    records(model)
    if not (verdict := may("import", model)):
        raise Refused(_("You may not import %(label)s.", label=model_label(model, many=True)), verdict)
    name = tidy_name(filename)
    db.session.commit()
    try:
        content_hash, size = keep_bytes(stream, name, LARGEST_FILE // 2**20)
    except Wrong as error:
        raise Broken(str(error)) from None
    values = {
        "model": table, "user_id": actor().user_id, "created_at": now(), "changed_at": now(), "file_name": name, "file_hash": content_hash,
        "size": size, "state": "reading",
    }  # fmt: skip
    made = db.session.execute(core_import.insert().values(values).returning(core_import.c.id)).scalar_one()
    if later:
        _hand_over(made, import_jobs.take_in_file.later(import_id=made), "reading")
    return draft(made)


def read_again(import_id: int, heading_line: int) -> Draft:
    """Read the file anew with another line as its heading; 0 when the file has none and its first line is data already."""
    from core.transfer import import_jobs

    one = _open(import_id)
    if one.batch_id is not None or not one.file_hash:
        raise Conflict(_("This import is at work or over; begin a new one with the same file instead."))
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(checked=False))
    _hand_over(import_id, import_jobs.take_in_file.later(import_id=import_id, heading_line=heading_line), "reading")
    return draft(import_id)


def columns(import_id: int) -> list[Column]:
    """The columns of the file with the proposed or chosen field, three samples, and why one cannot be used."""
    one = draft(import_id)
    model = model_of(one.model)
    why = match([(one.heading_line, one.heading)], model).why if one.heading_line else {}
    kinds = {name: field.kind.name for name, field in fields_of(model).items()}
    found = []
    for place, heading in enumerate(one.heading):
        name = one.mapping.get(place)
        days = Days(one.days.get(place))
        dated = name is not None and kinds.get(name) in ("date", "datetime")
        order = one.day_order.get(place, days.order)
        told = _told(days, one.day_order.get(place)) if dated else None
        found.append(Column(place, heading, name, one.samples.get(place, []), None if name else why.get(place), told, order))
    return found


def _told(days: Days, chosen: str | None) -> str | None:
    if not any(days.counts):
        return None
    if chosen == "dmy" or (chosen is None and days.order == "dmy"):
        return _("Days like 25/11/2026 are read with the day first.")
    if chosen == "mdy" or days.order == "mdy":
        return _("Days like 11/25/2026 are read with the month first.")
    if not days.either:
        return None
    return _("It is not clear whether 03/04/2026 means 3 April or March 4; please choose, or these rows are refused.")


def fields(import_id: int) -> list[Field]:
    """The fields that a column may go into, for the acting person."""
    model = model_of(draft(import_id).model)
    gate = records(model)
    return [one for one in fillable(model) if gate.writable(one.name, one) is None]


def choose(
    import_id: int, mapping: Mapping[int, str | None] | None = None, *, keys: Iterable[str] | None = None, known: str | None = None,
    day_order: Mapping[int, str] | None = None,
) -> Draft:  # fmt: skip
    """Say which column goes into which field (None leaves it out), which fields are the key, and what happens to known records.

    ``keys`` empty means the default: code; else the model's duplicate keys; else the same line of an earlier import; else all
    values. ``known`` is ``change`` or ``skip``. ``day_order`` gives ``dmy`` or ``mdy`` for columns of dates. What is left out
    stays as it is. Raises `Broken` with one sentence when rows read like this could not become records.
    """
    one = _open(import_id)
    model = model_of(one.model)
    gate, every = records(model), fields_of(model)
    chosen = dict(one.mapping) if mapping is None else {place: mapping.get(place) for place in range(len(one.heading))}
    taken: set[str] = set()
    for name in filter(None, chosen.values()):
        field = every.get(name)
        if (sentence := gate.writable(name, field)) or field not in fillable(model):
            raise Broken(sentence or _("There is no field “%(name)s”.", name=name[:60]))
        if name in taken and field is not None and field.kind.name != "phone":
            raise Broken(_("Two columns are meant for “%(field)s”; please leave one of them out.", field=field.title))
        taken.add(name)
    values: dict[str, Any] = {"mapping": json.dumps(chosen), "checked": False}
    wanted = one.keys if keys is None else list(keys)
    values["keys"] = json.dumps(wanted)
    if known is not None:
        if known not in ("change", "skip"):
            raise Broken(_("Known records are either changed or skipped."))
        values["known"] = known
    if day_order is not None:
        if any(order not in ("dmy", "mdy") for order in day_order.values()):
            raise Broken(_("Either the day or the month comes first."))
        values["day_order"] = json.dumps({**one.day_order, **day_order})
    shape = Shape.of(one, chosen)
    check_use(shape.columns, model, wanted)
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values({**values, "changed_at": now()}))
    return draft(import_id)


def preview(
    import_id: int, count: int = 20, *, lines: Iterable[int] = (), state: str | None = None, after: int = 0
) -> list[tuple[DraftRow, list[ReadCell]]]:  # fmt: skip
    """The first rows (or those in ``lines``) and how each of their values will be read; asks nothing that only storing can tell.

    ``state`` and ``after`` pick rows as in `rows`.
    """
    one = draft(import_id)
    wanted = _picked(import_id, state, after)
    if lines := list(lines):
        wanted = wanted.where(core_import_row.c.line.in_(lines))
    found = [_row_of(one, row) for row in db.session.execute(wanted.limit(count))]
    shape = Shape.of(one)
    return [
        (row, [ReadCell(*cell) for cell in cells])
        for row, cells in zip(found, shape.shown([row.cells for row in found]), strict=True)
    ]  # fmt: skip


# -- running ----------------------------------------------------------------------------------------------------------


def check_later(import_id: int) -> Draft:
    """Queue the dry run: every row goes through the gate and is taken back; what would become of it stands in its draft row."""
    from core.transfer import import_jobs

    one = _open(import_id)
    if one.batch_id is not None:
        raise Conflict(_("This import has begun already; it can be resumed or reverted."))
    return _queue(one, import_jobs.check_rows, dry=True)


def run_later(import_id: int) -> Draft:
    """Queue the import itself. Raises `Broken` as `choose` does, and `Conflict` when it runs or ran already."""
    from core.transfer import import_jobs

    one = _open(import_id)
    if not one.file_hash:  # `forget_old_lines` has emptied its lines
        raise Conflict(_("This import is at work or over; begin a new one with the same file instead."))
    return _queue(one, import_jobs.run_rows, dry=False)


def _queue(one: Draft, work: Job, *, dry: bool) -> Draft:
    check_use(Shape.of(one).columns, model_of(one.model), one.keys)
    chunks.start(one.id, dry=dry)
    _hand_over(one.id, work.later(import_id=one.id), "checking" if dry else "queued")
    return draft(one.id)


def resume(import_id: int) -> Draft:
    """Go on with an import that was cancelled or stopped, where it was: no row is imported twice."""
    if not draft(import_id).may_resume:
        raise Conflict(_("This import is not waiting to be resumed."))
    return run_later(import_id)


def cancel(import_id: int) -> Draft:
    """Stop after the chunk at hand; what was imported until then stays, and the import can be resumed or reverted."""
    if draft(import_id).state not in ("queued", "running", "checking"):
        raise Conflict(_("This import is not running."))
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(cancel_asked=True))
    return draft(import_id)


def changed_since(import_id: int) -> int:
    """How many of the records that this import has stored were changed or deleted by others since; counts to 1,001."""
    return reverting.changed_since(draft(import_id))


def revert(import_id: int) -> Draft:
    """Take the whole import back: a small one at once, a large one by a job, chunk by chunk.

    Whoever made it may for 15 minutes after its end, and as long as it is not finished; an administrator always.
    """
    from core.transfer import import_jobs

    one = reverting.may_revert(import_id)
    if one.created + one.changed <= reverting.AT_ONCE:
        reverting.revert_chunks(import_id)
    else:
        _hand_over(import_id, import_jobs.revert_rows.later(import_id=import_id), "reverting")
    return draft(import_id)


# -- looking at it ----------------------------------------------------------------------------------------------------


def imports_of(*, model: str | None = None, before: int | None = None, limit: int = 50) -> list[Draft]:
    """The acting person's imports, newest first (to administrators those of all); ``before`` is the last id of the page before."""
    return drafts_of(model=model, before=before, limit=limit)


def rows(import_id: int, state: str | None = None, after: int = 0, limit: int = 100) -> list[DraftRow]:
    """Lines of an import in the order of the file, from behind line ``after``.

    ``state`` picks those that became so, or that the dry run expects to.
    """
    one = draft(import_id)
    return [_row_of(one, row) for row in db.session.execute(_picked(import_id, state, after).limit(min(limit, 1000)))]


def _picked(import_id: int, state: str | None, after: int) -> Any:
    table = core_import_row.c
    wanted = select(core_import_row).where(table.import_id == import_id, table.line > after).order_by(table.line)
    if state is None:
        return wanted
    return wanted.where(or_(table.state == state, and_(table.state == "waiting", table.expected == state)))


def wrong_file(import_id: int) -> Iterator[bytes]:
    """The refused rows as a CSV file: the columns of the original, and the reason; at any time, in constant memory."""
    return wrong_rows.wrong_lines(draft(import_id))


def fix_row(import_id: int, line: int, texts: Mapping[str | int, str]) -> DraftRow:
    """Correct one refused row, {heading or place of the column: text}, and put it alone through the gate, in the batch of its import.

    Before the import has run it is only checked anew. Raises `Conflict` when the row is not wrong.
    """
    one = draft(import_id)
    if one.state not in ("draft", "cancelled", "stopped", "done"):
        raise Conflict(_("This import is at work; please wait until it is through."))
    chunks.fix(one, line, texts)
    return rows(import_id, after=line - 1, limit=1)[0]


def forget(import_id: int) -> None:
    """Throw a draft away that has imported nothing."""
    one = _open(import_id, "draft", "broken", "stopped", "reading", "cancelled")
    if one.batch_id is not None:
        raise Conflict(_("This import has begun already; it can be resumed or reverted."))
    taking.forget(import_id)


def _open(import_id: int, *states: str) -> Draft:
    draft(import_id)
    locked(import_id)
    # Read again behind the lock: somebody may have sent the same form twice.
    one = draft(import_id)
    if one.state not in (states or OPEN):
        raise Conflict(_("This import is at work or over; begin a new one with the same file instead."))
    return one


def _hand_over(import_id: int, job_id: int, state: str) -> None:
    values = {"job_id": job_id, "state": state, "cancel_asked": False, "changed_at": now(), "sentence": None}
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(values))


def _row_of(one: Draft, row: Any) -> DraftRow:
    cells = json.loads(row.cells) if row.cells else []
    matched = matched_by(model_of(one.model), row.matched)
    return DraftRow(row.line, cells, row.state, row.expected, row.record_id, matched, chunks.errors_of(row.errors))
