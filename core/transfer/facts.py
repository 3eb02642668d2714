"""What is known of an import: how far it is, what was chosen, and who may see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from core.context import actor, now
from core.db import db
from core.errors import Missing
from core.i18n import gettext as _
from core.i18n import t
from core.jobs import core_job
from core.journal import batches
from core.model import model_of
from core.records import records
from core.transfer.draft_tables import core_import

SILENT = timedelta(seconds=30)
"""An import without a job that has said nothing for so long has been stopped: each chunk says something."""
AT_WORK = ("reading", "checking", "queued", "running", "reverting")


@dataclass(frozen=True, slots=True)
class Draft:
    """One import as it stands."""

    id: int
    model: str
    user_id: int | None
    created_at: datetime
    changed_at: datetime
    finished_at: datetime | None
    file_name: str
    file_hash: str
    size: int
    """Bytes."""
    encoding: str | None
    separator: str | None
    heading: list[str]
    heading_line: int
    samples: dict[int, list[str]]
    """{place of the column: three of its values}"""
    days: dict[int, list[int]]
    """{place: counts for `core.spelling.Days`} of columns with dates that end with the year."""
    remembered: bool
    """True when an earlier file had the same heading, and its columns were matched as then."""
    since_1904: bool
    """True for a workbook whose bare numbers count days from 1904."""
    mapping: dict[int, str | None]
    """{place of the column: name of the field}; None for a column that is left out."""
    keys: list[str]
    day_order: dict[int, str]
    known: str
    state: str
    """reading, draft, broken, checking, queued, running, stopped, cancelled, done, reverting or reverted"""
    checked: bool
    """True after a dry run: the counts are what it expects."""
    cancel_asked: bool
    total: int
    """Rows of the file, without the heading."""
    position: int
    """The last line that is done."""
    read: int
    created: int
    changed: int
    same: int
    skipped: int
    refused: int
    batch_id: int | None
    undo_batch_id: int | None
    """What takes it back, once that has begun."""
    job_id: int | None
    job_done: int | None
    """Lines or records that its job says to be through with, of ``job_total``; None before it says so."""
    job_total: int | None
    sentence: str | None
    """What went wrong, or has to be decided."""

    @property
    def may_resume(self) -> bool:
        """Can it go on where it stopped? Not when it is half taken back, nor after its lines were emptied."""
        return self.state in ("cancelled", "stopped") and bool(self.heading and self.file_hash) and self.undo_batch_id is None

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        done, of = (self.job_done, self.job_total) if self.state in ("reading", "reverting") else (self.read, self.total)
        return min(1.0, (done or 0) / of) if of else 0.0


def sees_all() -> bool:
    """True for administrators and the system."""
    from core.rules import rights

    return actor().system or rights().level in ("administrator", "system_administrator")


_told = select(
    core_import,
    core_job.c.state.label("job_state"),
    core_job.c.last_error.label("job_error"),
    core_job.c.done.label("job_done"),
    core_job.c.total.label("job_total"),
    batches.c.undone_by.label("undone_by"),
).select_from(
    core_import.outerjoin(core_job, core_job.c.id == core_import.c.job_id).outerjoin(batches, batches.c.id == core_import.c.batch_id)
)


def draft(import_id: int) -> Draft:
    """The import with this id. Raises `Missing` when there is none or it is somebody else's, `Asleep` with its model."""
    row = db.session.execute(_told.where(core_import.c.id == import_id)).first()
    if row is None or not (sees_all() or (row.user_id is not None and row.user_id == actor().user_id)):
        raise Missing(_("There is no such import, or it is not visible to you."))
    records(model_of(row.model))
    return _shown(row)


def drafts_of(*, model: str | None, before: int | None, limit: int) -> list[Draft]:
    """Imports, newest first: one's own, to administrators all."""
    wanted = _told.order_by(core_import.c.id.desc()).limit(min(limit, 500))
    if not sees_all():
        wanted = wanted.where(core_import.c.user_id == actor().user_id)
    if model is not None:
        wanted = wanted.where(core_import.c.model == model)
    if before is not None:
        wanted = wanted.where(core_import.c.id < before)
    return [_shown(row) for row in db.session.execute(wanted)]


def locked(import_id: int) -> Any:
    """The row of an import, held until the transaction ends: two runners take turns, chunk by chunk."""
    return db.session.execute(select(core_import).where(core_import.c.id == import_id).with_for_update()).one()


def _shown(row: Any) -> Draft:
    state, sentence = row.state, row.sentence
    if row.undone_by is not None and state != "reverting":
        state = "reverted"
    elif state in AT_WORK:
        silent = row.changed_at < now() - SILENT if row.job_id is None else row.job_state not in ("queued", "running")
        if silent:
            # What is no sentence of ours is for the administrators' page of jobs.
            told = t(row.job_error) if row.job_error and "\n" not in row.job_error else sentence
            state, sentence = ("draft" if state == "checking" else "stopped"), told
    more = json.loads(row.samples)
    values = {name: getattr(row, name) for name in Draft.__slots__ if name not in ("samples", "days", "remembered", "since_1904")}
    return Draft(
        **{
            **values, "state": state, "sentence": sentence, "heading": json.loads(row.heading), "keys": json.loads(row.keys),
            "samples": _by_place(more.get("values", {})), "days": _by_place(more.get("days", {})),
            "remembered": bool(more.get("remembered")), "since_1904": bool(more.get("since_1904")),
            "mapping": _by_place(json.loads(row.mapping)), "day_order": _by_place(json.loads(row.day_order)),
        }
    )  # fmt: skip


def _by_place(found: dict[str, Any]) -> dict[int, Any]:
    return {int(place): value for place, value in found.items()}
