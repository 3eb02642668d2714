"""Imports on the command line: the same engine as in the browser, from a file on this machine, in the foreground."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError

from core.db import db
from core.errors import Broken, Busy, Conflict, Problem, Refused
from core.i18n import gettext as _
from core.i18n import listed, ngettext
from core.model import fields_of, model_label, model_of
from core.records import records
from core.rules import may
from core.transfer import chunks, drafts, reverting, taking
from core.transfer.draft_tables import core_import, core_import_row
from core.transfer.facts import Draft, draft
from core.transfer.headings import Columns, check_use, meant_by
from core.transfer.lines import Shape, matched_by
from core.transfer.reading import check_size
from core.transfer.wrong_rows import WrongRows

TOLD_EVERY = 5000
"""Rows between two words of progress."""
Progress = Callable[[str], None]


@dataclass(slots=True)
class ImportOutcome:
    """What became of a file."""

    read: int = 0
    created: int = 0
    changed: int = 0
    same: int = 0
    skipped: int = 0
    refused: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    """{what known records were recognised by: rows}"""
    wrong_file: Path | None = None
    """Where the refused rows lie, each with its reason."""
    ignored: list[str] = field(default_factory=list)
    """Headings that are no field."""
    told: list[str] = field(default_factory=list)
    """What was decided about days and months."""
    import_id: int | None = None
    batch_id: int | None = None
    """The batch that undoes the whole import."""
    seconds: float = 0.0
    checked: bool = False
    """True when nothing was written: somebody only wanted to know."""

    def __str__(self) -> str:
        head = _("Only checked, nothing was written. Rows: %(read)s.", read=f"{self.read:,}") if self.checked else ""
        head = head or _("Rows read: %(read)s.", read=f"{self.read:,}")
        told = [
            head,
            _("New: %(created)s, changed: %(changed)s, already there: %(same)s, wrong: %(refused)s.",
              created=f"{self.created:,}", changed=f"{self.changed:,}", same=f"{self.same + self.skipped:,}", refused=f"{self.refused:,}"),
        ]  # fmt: skip
        if self.matched:
            by = listed(f"{name} {count:,}" for name, count in self.matched.items())
            told.append(_("Recognised by: %(keys)s.", keys=by))
        told += self.told
        if self.wrong_file is not None:
            told.append(
                _("The wrong rows are in %(file)s, each with its reason; correct them there and import that file.", file=self.wrong_file)
            )
        if self.ignored:
            told.append(
                ngettext("No field fits this column, so it was left out: %(names)s.",
                         "No field fits these columns, so they were left out: %(names)s.", len(self.ignored), names=listed(self.ignored))
            )  # fmt: skip
        return "\n".join(told)


def run_import(
    table: str, path: Path | str, *, keys: Sequence[str] = (), check: bool = False, wrong: Path | str | None = None,
    progress: Progress | None = None, leave_out: Sequence[str] = (), skip: bool = False, day_order: str | None = None,
) -> ImportOutcome:  # fmt: skip
    """Take the rows of a CSV or Excel file into the model of ``table``, with the rights of the acting person.

    A row that is there already is recognised and changed (``skip`` leaves it), never doubled: by ``keys`` when given; else by the
    first of these that it has whole: a unique field (code), the model's ``duplicate_keys``; else the same line of an earlier
    import, else all its values. An empty cell changes nothing. Chunks of 500 rows are committed one by one in one batch. Rows
    that are refused are written to ``wrong``, by default ``FILE.wrong.csv`` beside the file. With ``check`` nothing is stored.
    Raises `Broken` with one sentence, before anything is written, for a file that cannot be read or has a column of a field that
    the person may not write (``leave_out`` names such fields), and `Refused` without the right to import.
    """
    path, model = Path(path), model_of(table)
    records(model)
    if not (verdict := may("import", model)):
        raise Refused(_("You may not import %(label)s.", label=model_label(model, many=True)), verdict)
    for name in [*keys, *leave_out]:
        if name not in fields_of(model):
            raise Broken(_("%(model)s has no field “%(field)s”. Please check the name.", model=model_label(model), field=name[:60]))
    started = time.perf_counter()
    check_size(path)
    try:
        with path.open("rb") as stream:
            one = drafts.begin(table, stream, path.name, later=False)
        db.session.commit()
    except (DBAPIError, OSError) as error:
        db.session.rollback()
        raise Busy(_("The file could not be taken in: %(why)s. Nothing was imported; please try again.", why=_why(error))) from error
    try:
        columns = _choose(one, keys, leave_out, skip, day_order)
        target = Path(wrong) if wrong is not None else path.with_name(path.name + ".wrong.csv")
        with WrongRows(target) as wrong_rows:
            outcome = go_on(one.id, check=check, progress=progress)
            outcome.wrong_file = wrong_rows.keep(draft(one.id))
    except Busy:
        # It can be resumed as soon as the database or the disk is free again.
        raise
    except Problem:
        _forget_when_empty(one.id)
        raise
    except (DBAPIError, OSError) as error:
        db.session.rollback()
        raise Busy(_("The file could not be taken in: %(why)s. Nothing was imported; please try again.", why=_why(error))) from error
    outcome.ignored = columns.ignored
    outcome.seconds = time.perf_counter() - started
    return outcome


def _choose(one: Draft, keys: Sequence[str], leave_out: Sequence[str], skip: bool, day_order: str | None) -> Columns:
    model = model_of(one.model)
    columns = taking.take_in(one.id)
    for place, sentence in columns.why.items():
        names = meant_by(columns.heading[place], model)
        if names.isdisjoint(leave_out):
            hint = _("To import the other columns, add: --leave-out %(field)s", field=sorted(names)[0])
            raise Broken(sentence if sentence == columns.trouble else f"{sentence} {hint}")
    if not columns.fields and columns.trouble is not None:
        raise Broken(columns.trouble)
    known = draft(one.id)
    mapping = {place: None if name in leave_out else name for place, name in known.mapping.items()}
    used = Columns(columns.heading, {name: places for name, places in columns.fields.items() if name not in leave_out})
    check_use(used, model, keys)
    orders = dict.fromkeys(known.days, day_order) if day_order else None
    drafts.choose(one.id, mapping, keys=keys, known="skip" if skip else "change", day_order=orders)
    db.session.commit()
    return columns


def go_on(import_id: int, *, check: bool = False, progress: Progress | None = None) -> ImportOutcome:
    """Run an import that is read and chosen, or one that stopped in the middle, to its end.

    Raises `Busy` with what to type when the database or the disk stops it; what is committed stays and is not done again.
    """
    told = [0]

    def tell(read: int, total: int) -> None:
        if progress is not None and read // TOLD_EVERY > told[0] // TOLD_EVERY:
            progress(_("%(read)s rows of %(total)s", read=f"{read:,}", total=f"{total:,}"))
        told[0] = read

    try:
        chunks.start(import_id, dry=check)
        db.session.commit()
        one = chunks.run_chunks(import_id, dry=check, tell=tell)
    except KeyboardInterrupt:
        db.session.rollback()
        values = {"state": "draft" if check else "cancelled"}
        db.session.execute(update(core_import).where(core_import.c.id == import_id).values(values))
        db.session.commit()
        raise Busy(_stopped(import_id, told[0], _("it was interrupted"))) from None
    except (DBAPIError, OSError) as error:
        db.session.rollback()
        raise Busy(_stopped(import_id, told[0], _why(error))) from error
    return outcome_of(one, checked=check)


def resume_import(import_id: int, *, wrong: Path | None = None, progress: Progress | None = None) -> ImportOutcome:
    """Go on with an import that was stopped or killed; what it has stored is not stored again. Raises `Conflict` when it is over."""
    one = draft(import_id)
    if one.batch_id is None and one.state in ("reading", "stopped", "broken"):
        raise Conflict(_("This import was stopped before it had stored anything; import the file again."))
    if one.state not in ("draft", "cancelled", "stopped", "running"):
        raise Conflict(_("This import is not waiting to be resumed."))
    check_use(Shape.of(one).columns, model_of(one.model), one.keys)
    target = wrong or Path(f"{one.file_name}.wrong.csv")
    with WrongRows(target) as wrong_rows:
        outcome = go_on(import_id, progress=progress)
        outcome.wrong_file = wrong_rows.keep(draft(import_id))
    return outcome


def revert_import(import_id: int, *, progress: Progress | None = None) -> str:
    """Take an import back in the foreground; returns what to tell the person."""
    one = reverting.may_revert(import_id, even_at_work=True)

    def tell(done: int, total: int) -> None:
        if progress is not None and done and done % 2500 == 0:
            progress(_("%(read)s rows of %(total)s", read=f"{done:,}", total=f"{total:,}"))

    after = reverting.revert_chunks(import_id, tell)
    told = _("The import of %(file)s was taken back.", file=one.file_name)
    return f"{told} {after.sentence}" if after.sentence else told


def _stopped(import_id: int, count: int, why: str) -> str:
    return _(
        "The import stopped after %(count)s rows: %(why)s. What was read until then is stored; "
        "go on with: run.py import --resume %(id)s",
        count=f"{count:,}", why=why, id=import_id,
    )  # fmt: skip


def _why(error: BaseException) -> str:
    """What went wrong first: SQLite takes its savepoints back itself when the disk is full, and SQLAlchemy then misses them."""
    while isinstance(error.__context__, (DBAPIError, OSError)):
        error = error.__context__
    return (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]


def outcome_of(one: Draft, *, checked: bool = False) -> ImportOutcome:
    """What became of an import, from its draft rows."""
    rows = core_import_row.c
    by = select(rows.matched, func.count()).where(rows.import_id == one.id, rows.matched.is_not(None)).group_by(rows.matched)
    model = model_of(one.model)
    found = ImportOutcome(import_id=one.id, batch_id=one.batch_id, checked=checked)
    for name in ("read", "created", "changed", "same", "skipped", "refused"):
        setattr(found, name, getattr(one, name))
    found.matched = {str(matched_by(model, kept)): count for kept, count in db.session.execute(by.order_by(func.count().desc()))}
    found.told = list(dict.fromkeys(column.told for column in drafts.columns(one.id) if column.told))
    return found


def _forget_when_empty(import_id: int) -> None:
    """What could not begin leaves nothing behind."""
    db.session.rollback()
    row = db.session.execute(select(core_import.c.batch_id).where(core_import.c.id == import_id)).first()
    if row is not None and row.batch_id is None:
        taking.forget(import_id)
    db.session.commit()
