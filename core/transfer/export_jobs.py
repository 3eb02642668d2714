"""Exports that take a while: a job writes the file, only whoever asked may fetch it, and after some days it is removed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import current_app

from core.context import actor, today
from core.errors import Broken, Missing, Refused
from core.i18n import gettext as _
from core.jobs import cancelled, checkpoint, current_job, job, progress
from core.model import model_label, model_of
from core.records import records
from core.rules import may
from core.settings import declare_setting, number_between, setting
from core.transfer.exporting import count_rows, export_fields, run_export, tell_the_journal

A_DAY = 24 * 3600

declare_setting("exports.keep_days", 7, "Days that an exported file can be fetched", check=number_between(1, 365))


class Stopped(Exception):
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


@job(retries=3, lease=60.0, timeout=6 * 3600.0)
def write_export(
    table: str, ending: str, fields: Sequence[str] = (), filter: Any = None, search: str | None = None, order: str | None = None,
    ids: Sequence[int] | None = None,
) -> None:  # fmt: skip
    """Export

    With the rights that whoever asked has by now; memory does not grow with the rows. A run that dies leaves a folder of
    its own, which the next run removes: the file appears when it is whole.
    """
    run = current_job()
    number, token = (run.id, run.token) if run else (0, "now")
    model, names = model_of(table), [one.name for one in export_fields(model_of(table), fields)]
    total = count_rows(model, filter, search, ids)
    checkpoint()
    folder = exports_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.glob(f"{number}-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = folder / f"{number}-{token}"
    work.mkdir(mode=0o700)

    def after_page(done: int) -> None:
        progress(done, total)
        # Ends the transaction: on SQLite nobody could write meanwhile. Fails when another runner took the job over.
        checkpoint()
        if cancelled():
            raise Stopped

    try:
        told = run_export(
            table, work / f"export.{ending}", fields=names, filter=filter, search=search, order=order, ids=ids,
            after_page=after_page, quiet=True,
        )  # fmt: skip
        checkpoint()
        told.path.replace(folder / f"{number}.{ending}")
    except Stopped:
        return
    finally:
        shutil.rmtree(work, ignore_errors=True)
    progress(told.rows, told.rows)
    tell_the_journal(model, {"rows": told.rows, "filter": filter, "search": search, "fields": names, "format": ending})
    name = f"{model_label(model, many=True)}-{today().isoformat()}.{ending}"
    checkpoint(export={"table": table, "ending": ending, "name": name, "rows": told.rows, "fields": names})


def export_file(job_id: int, memory: dict[str, Any], user_id: int | None) -> ExportFile:
    """The file that a job wrote, for whoever asked for it, as long as he may still export those records and fields.

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
