"""Imports in the background: reading the file, the dry run, the import itself, taking it back, and forgetting old lines."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from sqlalchemy import delete, select, update

from core.context import acting, actor, now
from core.db import db
from core.errors import Broken, Problem
from core.jobs import cancelled, checkpoint, current_job, job, progress
from core.transfer import chunks, reverting, taking
from core.transfer.draft_tables import KEPT_FOR, core_import, core_import_row
from core.transfer.facts import AT_WORK, draft, locked

A_DAY = 24 * 3600.0
LOT = 5000


def _by_import() -> AbstractContextManager[object]:
    """The journal says that an import wrote this, not just some job."""
    return acting(replace(actor(), door="import"))


@job(timeout=A_DAY)
def take_in_file(import_id: int, heading_line: int | None = None) -> None:
    """Reads the file of an import"""
    draft(import_id)
    row, run = locked(import_id), current_job()
    if row.state != "reading" or (run is not None and row.job_id != run.id):
        return  # read already: an attempt died after its last word, or another job reads it
    try:
        taking.take_in(import_id, heading_line, progress)
    except Broken as problem:
        # Not the job has failed but the file; whoever sent it reads why.
        db.session.rollback()
        values = {"state": "broken", "sentence": problem.sentence, "changed_at": now()}
        db.session.execute(delete(core_import_row).where(core_import_row.c.import_id == import_id))
        db.session.execute(update(core_import).where(core_import.c.id == import_id).values(values))


def _is_over(import_id: int) -> bool:
    """Has an earlier attempt of this job come to the end, and died before its job was noted as done?"""
    row, run = locked(import_id), current_job()
    return run is not None and row.job_id == run.id and row.state not in AT_WORK


@job(timeout=A_DAY)
def check_rows(import_id: int) -> None:
    """Tries an import without storing anything"""
    if _is_over(import_id):
        return
    with _by_import():
        chunks.run_chunks(import_id, dry=True, tell=progress, stop=cancelled)


@job(timeout=A_DAY, tells=True)
def run_rows(import_id: int) -> None:
    """Imports a file"""
    if _is_over(import_id):
        return
    with _by_import():
        try:
            chunks.run_chunks(import_id, dry=False, tell=progress, stop=cancelled)
        except Problem as problem:
            db.session.rollback()
            values = {"sentence": problem.sentence, "changed_at": now()}
            db.session.execute(update(core_import).where(core_import.c.id == import_id).values(values))
            db.session.commit()
            raise


@job(timeout=A_DAY, tells=True)
def revert_rows(import_id: int) -> None:
    """Takes an import back"""
    with _by_import():
        reverting.revert_chunks(import_id, tell=progress, stop=cancelled)


@job(every="1 day", at="03:20", system=True)
def forget_old_lines() -> None:
    """Empties the texts of imports that were over 30 days ago, and removes drafts that nobody went on with for as long"""
    old = core_import.c.changed_at < now() - KEPT_FOR
    for import_id in db.session.execute(select(core_import.c.id).where(old, core_import.c.batch_id.is_(None))).scalars().all():
        taking.forget(import_id)
        checkpoint()
    wanted = select(core_import.c.id).where(old, core_import.c.file_hash != "")
    for import_id in db.session.execute(wanted).scalars().all():
        _empty(import_id)


def _empty(import_id: int) -> None:
    """Line, hash and record stay: they tell whether the same line comes again."""
    rows, after = core_import_row.c, 0
    while True:
        wanted = select(rows.line).where(rows.import_id == import_id, rows.line > after).order_by(rows.line).limit(LOT)
        lines = db.session.execute(wanted).scalars().all()
        if not lines:
            break
        some = (rows.import_id == import_id) & rows.line.between(lines[0], lines[-1])
        db.session.execute(update(core_import_row).where(some).values(cells=None, errors=None))
        checkpoint()
        after = lines[-1]
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(file_hash="", samples="{}"))
    checkpoint()
