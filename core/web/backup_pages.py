"""Backups for system administrators: what there is, one now, by which schedule, and the way back from a file. Source: S1-98, S1-99, D20."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, send_file
from sqlalchemy import select

from core import journal
from core.backup import data_tables, fresh_name, present_rows
from core.backup_copies import PASSPHRASE
from core.backup_file import opens
from core.backup_jobs import (
    TABLE,
    WORDS,
    ask_for_backup,
    ask_for_check,
    begun,
    check_backup,
    make_backup,
    only_system_administrators,
    scheduled_backup,
)  # fmt: skip
from core.backup_list import LOCKED, Kept, backups, find, folder, free, remove
from core.backup_plan import next_slot
from core.config import Config
from core.context import now, zone_of
from core.db import db
from core.errors import Invalid, Missing, Problem
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.job_list import job_status
from core.jobs import core_job
from core.locked_file import MAGIC, good_passphrase
from core.model import model_label, models
from core.restore_request import ask, forget_state, has_keeper, is_asked, state
from core.secret_box import has_secret, keep_secret, kept_secret
from core.settings import setting
from core.standstill import AGAIN_SECONDS, stage_words
from core.web.cells import short_moment
from core.web.settings_pages import boxes_of, save_typed
from core.web.shell import drawn, say

backup_pages = Blueprint("backup_pages", __name__, url_prefix="/backups")
URL = "/backups"
OVER = ("done", "failed", "interrupted")
TYPED = "restore"
"""The word that one types before everything is replaced; the same in all languages."""


@backup_pages.before_request
def guard() -> None:
    """These pages are for system administrators."""
    only_system_administrators()


def _config() -> Config:
    return current_app.config["MORTISE"]


def _tell(verb: str, **facts: Any) -> None:
    journal.write(TABLE, 0, verb, {name: [None, value] for name, value in facts.items()})


# -- the list -------------------------------------------------------------------------------------------------------------


@backup_pages.get("")
def listing() -> Any:
    """All backups, what is free, the schedule."""
    return drawn("backups.html", _page({}, {}))


@backup_pages.post("/make")
def make() -> Any:
    """Make one now, in the background."""
    words, again = request.form.get("passphrase", ""), request.form.get("again", "")
    try:
        if words or again:
            good_passphrase(words)
        if words != again:
            raise Invalid({"passphrase": _("These are two different passphrases; please type it twice.")})
    except Invalid as problem:
        return drawn("backups.html", _page({}, {"make": problem.sentence}), 422)
    number = ask_for_backup(words)
    link = (f"/jobs/#job-{number}", _("See how far it is"))
    say(_("The backup is being made; it appears here when it is whole."), icon="database-export", link=link)
    return redirect(URL)


@backup_pages.post("/settings")
def settings() -> Any:
    """Save the schedule; the passphrase only when one was typed or is to be forgotten."""
    errors = save_typed("backup", request.form)
    words = request.form.get("passphrase", "")
    try:
        if words:
            good_passphrase(words)
    except Invalid as problem:
        errors["passphrase"] = problem.sentence
    if errors:
        return drawn("backups.html", _page(request.form, errors), 422)
    if words or request.form.get("forget"):
        keep_secret(PASSPHRASE, words or None)
        _tell("backup-passphrase")
    say(_("The settings were saved; they hold at once, everywhere."))
    return redirect(URL)


@backup_pages.get("/<name>/file")
def download(name: str) -> Response:
    """The file, to be saved; journalled before the first byte leaves."""
    one = find(_config(), name)
    # A GET cannot write, so it is told beside it.
    journal.write_beside([(TABLE, 0, "backup-downloaded", {"file": [None, one.name], "size": [None, one.size]}, None)])
    db.remove()
    kind = "application/octet-stream"
    return send_file(one.path, mimetype=kind, as_attachment=True, download_name=one.name, conditional=False, max_age=0)


@backup_pages.get("/<name>/delete")
def ask_to_delete(name: str) -> str:
    """One question before a backup goes."""
    one = find(_config(), name)
    page = SimpleNamespace(
        title=_("Delete a backup"), question=_("Delete this backup?"), action_url=f"{URL}/{one.name}/delete", hidden=[],
        sentence=_("%(name)s of %(when)s is removed from the disk.", name=one.name, when=short_moment(one.made_at)), records=[], more="",
        along=[], stops="", foot=_("This cannot be undone."), back_url=URL, danger=True, yes=_("Delete"),
    )  # fmt: skip
    return render_template("confirm.html", page=page)


@backup_pages.post("/<name>/delete")
def delete(name: str) -> Any:
    """Delete a backup."""
    one = find(_config(), name)
    journal.write(TABLE, 0, "backup-deleted", {"file": [one.name, None]})
    remove(one)
    say(_("%(name)s was deleted.", name=one.name), icon="trash")
    return redirect(URL)


@backup_pages.post("/upload")
def upload() -> Any:
    """Bring a backup from one's own computer; it is then checked and restored like the others."""
    given = request.files.get("file")
    if given is None or not given.filename:
        return drawn("backups.html", _page({}, {"upload": _("Please choose a file first.")}), 422)
    given.stream.seek(0, os.SEEK_END)
    size = given.stream.tell()
    given.stream.seek(0)
    if size > free(_config()):
        return drawn("backups.html", _page({}, {"upload": _("There is not so much room on the disk.")}), 422)
    first = given.stream.read(len(MAGIC))
    given.stream.seek(0)
    if first != MAGIC and not first.startswith(b"PK"):
        return drawn("backups.html", _page({}, {"upload": _("This is no backup of Mortise.")}), 422)
    path = fresh_name(folder(_config()), "uploaded", LOCKED if first == MAGIC else ".zip")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            shutil.copyfileobj(given.stream, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _tell("backup-uploaded", file=path.name, size=size)
    return redirect(f"{URL}/{path.name}/restore")


# -- the way back ---------------------------------------------------------------------------------------------------------


@backup_pages.get("/<name>/restore")
def restore_page(name: str) -> Response:
    """The check that comes first; with ``?check=`` the number of its job: how far that is, then what would come."""
    one = find(_config(), name)
    found = _check_of(one, request.args.get("check", ""))
    manifest, wrong = found.get("memory", {}).get("holds"), ""
    if found and manifest is None:
        wrong = found["last_error"] if found["state"] == "dead" else _("The check was cancelled.") if found["state"] == "cancelled" else ""
    page = _restore_page(one, manifest, wrong)
    page.work = found if found.get("state") in ("queued", "running") else None
    answer = make_response(render_template("restore.html", page=page))
    if page.work:
        answer.headers["Refresh"] = str(AGAIN_SECONDS)
    return answer


def _check_of(one: Kept, number: str) -> dict[str, Any]:
    """The job that checks this backup, or has; nothing when there is none any more."""
    if not (number.isascii() and number.isdigit() and len(number) < 11):
        return {}
    try:
        found = job_status(min(int(number), LARGEST_ID))
    except Missing:
        return {}
    return found if found["name"] == check_backup.name and found["arguments"].get("file") == one.name else {}


@backup_pages.post("/<name>/check")
def check(name: str) -> Any:
    """Check the file whole, in the background, since a large one takes minutes; changes nothing."""
    one = find(_config(), name)
    try:
        number = ask_for_check(one, request.form.get("passphrase", ""))
    except Problem as problem:
        return drawn("restore.html", _restore_page(one, wrong=problem.sentence), 422)
    return redirect(f"{URL}/{one.name}/restore?check={number}")


@backup_pages.post("/<name>/restore")
def restore(name: str) -> Any:
    """Ask for the restore, after the word was typed; whoever serves the house then stands it still."""
    one, words = find(_config(), name), request.form.get("passphrase", "")
    if request.form.get("word", "").strip().lower() != TYPED:
        return drawn("restore.html", _restore_page(one, wrong=_("Nothing was changed: please type the word “%(word)s”.", word=TYPED)), 422)
    if not has_keeper():
        return drawn("restore.html", _restore_page(one), 409)
    try:
        opens(one.path, words)
        _tell("restore-asked", file=one.name)
        db.session.commit()
        ask(_config(), one.name, words)
    except Problem as problem:
        return drawn("restore.html", _restore_page(one, wrong=problem.sentence), 422)
    return redirect(f"{URL}/restoring")


@backup_pages.get("/restoring")
def restoring() -> Any:
    """How far it is; looks again by itself."""
    found = state(_config())
    if found.get("state") not in ("asked", "running"):
        return redirect(URL)
    answer = make_response(render_template("restoring.html", page=SimpleNamespace(sentence=stage_words(found))))
    # By the head and not by the page, since what answers next is not this server.
    answer.headers["Refresh"] = str(AGAIN_SECONDS)
    return answer


@backup_pages.post("/read")
def read() -> Any:
    """What came of the last restore was read."""
    if not is_asked(_config()):
        forget_state(_config())
    return redirect(URL)


def _restore_page(one: Kept, manifest: dict[str, Any] | None = None, wrong: str = "") -> SimpleNamespace:
    lines, heads = (_lines(manifest), _newer(manifest)) if manifest else ([], 0)
    return SimpleNamespace(
        url=URL, one=_shown(one), wrong=wrong, manifest=manifest, lines=lines, newer=heads, keeper=has_keeper(), word=TYPED, work=None,
        command=f"run.py restore {one.path}", copy_locked=bool(kept_secret(PASSPHRASE)),
    )  # fmt: skip


def _lines(manifest: dict[str, Any]) -> list[SimpleNamespace]:
    """Each kind of record: how many there are, how many would be there."""
    connection = db.session.connection()
    here = present_rows(connection, data_tables(connection))
    found = []
    for table in sorted({*here, *manifest["tables"]}):
        present, coming = here.get(table, 0), manifest["tables"].get(table, 0)
        if present or coming:
            label = model_label(models()[table], many=True) if table in models() else table
            found.append(SimpleNamespace(label=label, table=table, present=present, coming=coming, known=table in models()))
    return sorted(found, key=lambda one: (not one.known, one.label))


def _newer(manifest: dict[str, Any]) -> int:
    """How many steps bring the backup's tables up to date."""
    from core.migrate import branches, compare

    return sum(compare(set(map(str, manifest["migrations"])), branches()).pending.values())


def _page(typed: Any, errors: dict[str, str]) -> SimpleNamespace:
    config, last = _config(), state(_config())
    zone, rhythm, hour = zone_of(setting("firm.zone")), setting("backup.rhythm"), setting("backup.hour")
    running = select(core_job.c.id).where(core_job.c.name.in_([make_backup.name, scheduled_backup.name]), core_job.c.due_at.is_not(None))
    ahead, slot = next_slot(now(), rhythm, hour, zone), begun()
    found = backups(config)
    return SimpleNamespace(
        url=URL,
        rows=[_shown(one) for one in found],
        free=_mb(free(config)),
        used=_mb(sum(one.size for one in found)),
        running=db.session.execute(running.limit(1), execution_options={"mortise_rules": False}).scalar(),
        next=short_moment(ahead) if ahead else "",
        last=short_moment(slot) if slot else "",
        boxes=boxes_of("backup", typed, errors, WORDS),
        errors=errors,
        has_passphrase=has_secret(PASSPHRASE),
        lost=has_secret(PASSPHRASE) and not kept_secret(PASSPHRASE),
        restored=SimpleNamespace(**{"sentence": "", "file": "", **last}) if last.get("state") in OVER else None,
        upload_mb=f"{setting('backup.upload_mb'):,}",
    )


def _shown(one: Kept) -> SimpleNamespace:
    facts = one.facts
    kinds = {
        "backup": _("made by hand"), "scheduled": _("by the schedule"), "uploaded": _("uploaded"), "before": _("made before a change"),
    }  # fmt: skip
    counts = _("%(rows)s rows, %(files)s files", rows=f"{facts['rows']:,}", files=f"{facts['files']:,}") if "rows" in facts else ""
    database = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(str(facts.get("database")), "")
    return SimpleNamespace(
        name=one.name, kind=kinds[one.kind], size=_mb(one.size), locked=one.locked, restorable=one.restorable, counts=counts,
        version=facts.get("version", ""), database=database, moment=one.made_at.isoformat() + "Z", time=short_moment(one.made_at),
        checked=short_moment(one.checked_at) if one.checked_at else "", url=f"{URL}/{one.name}",
    )  # fmt: skip


def _mb(size: int) -> str:
    if size < 10**6:
        return _("%(size)s kB", size=f"{size / 1e3:,.0f}")
    return _("%(size)s MB", size=f"{size / 1e6:,.1f}") if size < 10**9 else _("%(size)s GB", size=f"{size / 1e9:,.1f}")
