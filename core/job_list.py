"""What people see of jobs and may do with them: the list, how far one is, cancel, try again."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select, update

from core import journal
from core.context import actor, now
from core.db import db
from core.errors import Conflict, Missing
from core.i18n import gettext as _
from core.i18n import t
from core.jobs import core_job, jobs
from core.people import ADMINISTRATORS


def job_list(*, state: str | None = None, mine: bool = False, before: int | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Jobs, newest first, as `job_status` gives them: one's own, to administrators all; ``before`` is the last id of the page before."""
    wanted = select(core_job).order_by(core_job.c.id.desc()).limit(min(limit, 500))
    if mine or not _sees_all():
        wanted = wanted.where(core_job.c.user_id == actor().user_id)
    if state:
        wanted = wanted.where(core_job.c.state == state)
    if before is not None:
        wanted = wanted.where(core_job.c.id < before)
    return [_shown(row) for row in db.session.execute(wanted)]


def job_status(job_id: int) -> dict[str, Any]:
    """State, progress and last error of one job; Missing when there is none that this person may see."""
    return _shown(_row(job_id))


def cancel(job_id: int) -> str:
    """Stop a job: one that waits is over at once, one that runs stops at its next look. Returns what became of it."""
    row = _row(job_id)
    if row.state not in ("queued", "running"):
        raise Conflict(_("This job is over already; there is nothing left to cancel."))
    waits = (core_job.c.id == job_id) & (core_job.c.state == "queued")
    over = {"state": "cancelled", "due_at": None, "finished_at": now(), "cancel_asked": True}
    journal.write(core_job.name, job_id, "job-cancel", {})
    if db.session.execute(update(core_job).where(waits).values(over)).rowcount:
        return "cancelled"
    db.session.execute(update(core_job).where(core_job.c.id == job_id, core_job.c.state == "running").values(cancel_asked=True))
    return "running"


def try_again(job_id: int) -> None:
    """Queue a job anew that had failed for good or was cancelled."""
    row = _row(job_id)
    if row.name == "core.undo_jobs:undo_large":
        from core.undo import ask_again

        ask_again(json.loads(row.arguments)["batch_id"])
    again = {"state": "queued", "due_at": now(), "attempts": 0, "cancel_asked": False, "finished_at": None, "handed_until": None}
    over = (core_job.c.id == row.id) & core_job.c.state.in_(["dead", "cancelled"])
    if not db.session.execute(update(core_job).where(over).values(again)).rowcount:
        raise Conflict(_("Only a job that failed or was cancelled can be tried again."))
    journal.write(core_job.name, job_id, "job-again", {})


def job_memory(job_id: int) -> tuple[dict[str, Any], int | None]:
    """(what the job remembered, whose it is); Missing when there is none that this person may see."""
    row = _row(job_id)
    return (json.loads(row.memory) if row.memory else {}), row.user_id


def _sees_all() -> bool:
    from core.rules import rights

    return actor().system or rights().level in ADMINISTRATORS


def _row(job_id: int) -> Any:
    row = db.session.execute(select(core_job).where(core_job.c.id == job_id)).first()
    if row is None or (row.user_id != actor().user_id and not _sees_all()) or (row.user_id is None and not _sees_all()):
        raise Missing(_("There is no such job; it may have been finished long ago."))
    return row


def _shown(row: Any) -> dict[str, Any]:
    known = jobs().get(row.name)
    names = "id name addon state attempts user_id created_at started_at finished_at cancel_asked done total text"
    title = t(known.title) if known else row.name
    # Our own sentences were kept in English, since nobody in particular read them then.
    error = t(row.last_error) if row.last_error else None
    return {
        **{name: getattr(row, name) for name in names.split()},
        "due_at": row.due_at,
        "title": title,
        "last_error": error,
        **_for_the_page(row),
    }


def _for_the_page(row: Any) -> dict[str, Any]:
    """What the job was asked to do and what it left behind, for the page of jobs."""
    return {"arguments": json.loads(row.arguments), "memory": json.loads(row.memory) if row.memory else {}}
