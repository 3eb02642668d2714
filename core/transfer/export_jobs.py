"""Exports that take a while: a job writes the file, only whoever asked may fetch it, and after some days it is removed."""

from __future__ import annotations

import logging
import shutil
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from flask import current_app

from core.asof_list import count_then
from core.context import acting, actor, today
from core.db import db
from core.errors import Broken, Missing, Refused
from core.i18n import gettext as _
from core.jobs import Running, cancelled, checkpoint, current_job, job, progress, remembered
from core.model import model_label, model_of
from core.reach import extent, still_within
from core.reading import spans
from core.records import records
from core.rules import may
from core.settings import declare_setting, number_between, setting
from core.transfer.exporting import Unwritable, count_rows, export_fields, run_export, tell_the_journal

log = logging.getLogger("mortise.exports")
A_DAY = 24 * 3600

declare_setting("exports.keep_days", 7, "Days that an exported file can be fetched", check=number_between(1, 30))


class _Stopped(Exception):
    """Somebody cancelled the export, or another runner took it over."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A finished export that the acting person may fetch."""

    path: Path
    name: str
    table: str
    rows: int


def exports_folder() -> Path:
    """Where finished exports lie, named by their job: out of reach of the web server and of the store of files."""
    return current_app.config["MORTISE"].data / "exports"


@job(retries=3, lease=60.0, timeout=6 * 3600.0, tells=True)
def write_export(
    table: str, ending: str, fields: Sequence[str] = (), filter: Any = None, search: str | None = None, order: str | None = None,
    ids: Sequence[int] | None = None, as_of: str | None = None,
) -> None:  # fmt: skip
    """Export

    With the rights that whoever asked has by now; memory does not grow with the rows. A run that dies leaves a folder of
    its own, which the next run removes: the file appears when it is whole.
    """
    run = current_job()
    number = run.id if run else 0
    if has_file(number, remembered()):
        return  # an earlier run died between its last word and its end
    asked: dict[str, Any] = {"filter": filter, "search": search}
    day = date.fromisoformat(as_of) if as_of else None
    try:
        with _only_reading():
            names = [one.name for one in export_fields(model_of(table), fields)]
            reach = _reach(model_of(table))
            if day is None:
                asked["ids"] = ids
                total, _more = count_rows(model_of(table), **asked)
            else:
                total, _more = count_then(model_of(table), day, **asked, verb="export")
            work = _fresh_folder(number, run)
            left = array("q")
            told = run_export(
                table, work / f"export.{ending}", fields=names, order=order, left=left, day=day,
                after_page=lambda done: _go_on(done, total), **asked,
            )  # fmt: skip
        # Only the run that still holds the job puts its file in place.
        checkpoint()
        told.path.replace(exports_folder() / f"{number}.{ending}")
    except _Stopped:
        return
    except Unwritable as problem:
        log.error("The file of export job %s could not be written: %s", number, problem)
        raise Broken(
            _("The file could not be written; perhaps the disk is full. Please tell your administrator, then try again.")
        ) from None
    finally:
        # Only this run's own: another one may have taken the job over and be writing.
        shutil.rmtree(_folder_of(number, run), ignore_errors=True)
    progress(told.rows, told.rows)
    model = model_of(table)
    facts = {"filter": filter, "search": search, "fields": names, "format": ending, "job": number or None, "as_of": as_of}
    tell_the_journal(model, {"rows": told.rows, "ids": spans(left), **facts})
    name = f"{model_label(model, many=True)}-{as_of or today().isoformat()}.{ending}"
    checkpoint(export={"table": table, "ending": ending, "name": name, "rows": told.rows, "fields": names, "reach": reach})


def _reach(model: type) -> dict[str, list[str]]:
    """How far the acting person sees and exports records of this model."""
    return {verb: extent(model, verb) for verb in ("read", "export")}


def _folder_of(number: int, run: Running | None) -> Path:
    return exports_folder() / f"{number}-{run.token if run else 'now'}"


def _fresh_folder(number: int, run: Running | None) -> Path:
    """A folder for this run, after what a run that died has left is removed."""
    _sweep(number)
    work = _folder_of(number, run)
    work.mkdir(parents=True, mode=0o700)
    exports_folder().chmod(0o700)
    return work


def _sweep(number: int) -> None:
    for left in exports_folder().glob(f"{number}-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _only_reading() -> Iterator[None]:
    """A session of its own that only reads, as the same person: a job's own may write, and on SQLite others would wait for each page."""
    with current_app.app_context(), acting(replace(actor(), memo={})):
        db.read_only()
        try:
            yield
        finally:
            db.remove()


def _go_on(done: int, total: int) -> None:
    progress(done, total)
    if cancelled():
        raise _Stopped


def export_file(job_id: int, memory: dict[str, Any], user_id: int | None) -> ExportFile:
    """The file that a job wrote, for whoever asked for it, as long as he may still export those fields, and his rights reach as far.

    Raises `Missing` when it is somebody else's or removed, `Refused` when the right is gone. Tells the journal.
    """
    facts = memory.get("export")
    if not facts or user_id is None or user_id != actor().user_id:
        raise Missing(_("There is no such file, or it is not visible to you."))
    model = model_of(facts["table"])
    records(model)
    verdict = may("export", model)
    if not verdict:
        raise Refused(_("You may not export %(label)s.", label=model_label(model, many=True)), verdict)
    try:
        export_fields(model, facts["fields"])
    except Broken:
        raise Refused(_("This file holds a field that you may not see any more. Please export again.")) from None
    before, now = facts.get("reach", {}), _reach(model)
    if not all(still_within(before.get(verb), now[verb]) for verb in now):
        raise Refused(_("You see fewer of these records now than when this file was written. Please export again."))
    path = exports_folder() / f"{job_id}.{facts['ending']}"
    if not path.is_file():
        raise Missing(_("This file was removed after some days. Please export again."))
    tell_the_journal(model, {"rows": facts["rows"], "format": facts["ending"], "fetched": job_id})
    return ExportFile(path, facts["name"], facts["table"], facts["rows"])


def has_file(job_id: int, memory: dict[str, Any]) -> bool:
    """Is the file of this job still there?"""
    facts = memory.get("export")
    return bool(facts) and (exports_folder() / f"{job_id}.{facts['ending']}").is_file()


@job(every="1 day", at="03:50", system=True)
def remove_old_exports() -> None:
    """Removes exported files when their days are over, and what a run that died left behind."""
    oldest = time.time() - setting("exports.keep_days") * A_DAY
    for one in exports_folder().glob("*"):
        limit = min(oldest, time.time() - A_DAY) if one.is_dir() else oldest
        try:
            if one.stat().st_mtime >= limit:
                continue
        except FileNotFoundError:
            continue
        if one.is_dir():
            shutil.rmtree(one, ignore_errors=True)
        else:
            one.unlink(missing_ok=True)
