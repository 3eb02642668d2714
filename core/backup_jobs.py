"""Backups that the house makes and checks: on request with progress, by its schedule, and what goes when newer ones are there.

Source: S1-98. Who may ask for one may read everything: system administrators alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import select, update

from core import journal
from core.backup import backup, fresh_name
from core.backup_copies import PASSPHRASE
from core.backup_file import inspect_backup, opens, read_back
from core.backup_list import LOCKED, Kept, backups, find, folder, note, remove
from core.backup_plan import RHYTHMS, due, to_remove
from core.config import Config
from core.context import actor, now, zone_of
from core.db import db
from core.errors import Problem, Refused
from core.hooks import hook
from core.i18n import gettext as _
from core.i18n import lazy
from core.jobs import cancelled, checkpoint, core_job, current_job, describe, job, leave_result, progress
from core.notifications import Notification
from core.people import MortiseUser
from core.rules import rights
from core.secret_box import forget_old_secrets, has_secret, keep_secret, kept_secret
from core.settings import Setting, declare_setting, number_between, one_of, setting
from core.state import core_state

TABLE = "core_backup"
"""Under this name the journal tells of backups; there is no such table."""
ONCE, CHECK = "backup.once.", "backup.check."
"""Before the number of a job that makes or checks a backup: under this name its passphrase waits, sealed."""
HOLDS = ("tables", "migrations", "made_at", "version")
"""What is remembered of a manifest."""
LATE = timedelta(hours=6)
FAILED = Notification("backup", lazy("A scheduled backup has failed"), "database-x")
WORDS: dict[str, str] = {"never": lazy("No schedule"), "daily": lazy("Every day"), "weekly": lazy("Every Sunday")}

declare_setting("backup.rhythm", "never", "How often", check=one_of(*RHYTHMS), page="backup")
declare_setting("backup.hour", 2, "At this hour", "0 to 23, by the clock of the firm", check=number_between(0, 23), page="backup")
declare_setting("backup.keep_daily", 7, "Days of which one is kept", check=number_between(0, 366), page="backup")
declare_setting("backup.keep_weekly", 4, "Weeks of which one is kept", check=number_between(0, 520), page="backup")
declare_setting("backup.keep_monthly", 12, "Months of which one is kept", check=number_between(0, 240), page="backup")
declare_setting(
    "backup.upload_mb", 4096, "Largest backup that is uploaded, in MB", "Larger ones are restored on the command line",
    check=number_between(1, 1_000_000), page="backup",
)  # fmt: skip


def only_system_administrators() -> None:
    """A backup holds everything that anybody may read, and its restore changes all of it."""
    if not actor().system and rights().level != "system_administrator":
        raise Refused(_("Only a system administrator may see or make backups."))


@hook.before_save(Setting)
def only_system_administrators_set_backups(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """Whoever switches backups off could hide what he does next."""
    _guard(record.key)


@hook.before_delete(Setting)
def only_system_administrators_forget_backups(record: Any) -> None:
    """The way back to the default is a change, too."""
    _guard(record.key)


def _guard(key: str | None) -> None:
    if (key or "").startswith("backup.") and actor().user_id is not None and rights().level != "system_administrator":
        raise Refused(_("Only a system administrator may see or make backups."))


# -- made on request ------------------------------------------------------------------------------------------------------


def ask_for_backup(passphrase: str = "") -> int:
    """Queue a backup; the passphrase waits sealed, not among the job's arguments. Returns the number of the job."""
    only_system_administrators()
    # Each that is to be locked is a job of its own: joined with another, it would be written in the clear or with other words.
    number = make_backup.later(key=None if passphrase else "backup", locked=bool(passphrase))
    keep_secret(f"{ONCE}{number}", passphrase or None)
    return number


@job(system=True, retries=1, timeout=6 * 3600.0, lease=120.0)
def make_backup(locked: bool = False) -> None:
    """Backup

    Only a system administrator can have queued it: `ask_for_backup` asks for that.
    """
    run = current_job()
    assert run is not None
    name = f"{ONCE}{run.id}"
    passphrase = (kept_secret(name) or "") if locked else ""
    if locked and not passphrase:
        raise Problem(_("The passphrase is not there any more; please ask for the backup once more."))
    path = _made("backup", passphrase)
    keep_secret(name, None)
    leave_result("/backups", _("All backups"), sentence=_("%(name)s was written and checked.", name=path.name))


def _made(kind: str, passphrase: str) -> Path:
    config: Config = current_app.config["MORTISE"]
    # The session lets go of the database: on SQLite nobody may wait while the file is written.
    db.session.commit()
    path = fresh_name(folder(config), kind, LOCKED if passphrase else ".zip")
    told = backup(config, path, passphrase=passphrase, went=lambda done, total: progress(done, total))
    try:
        manifest = read_back(path, passphrase)
    except Problem:
        # It would only fill the disk, one a night and attempt.
        path.unlink()
        raise
    note(config, path, manifest, checked=True)
    facts = {"file": path.name, "rows": told.rows, "locked": told.locked, "version": told.version}
    journal.write(TABLE, 0, "backup", {one: [None, value] for one, value in facts.items()})
    return path


# -- checked on request ---------------------------------------------------------------------------------------------------


def ask_for_check(one: Kept, passphrase: str = "") -> int:
    """Queue the check of a backup; raises `Problem` at once when the passphrase does not open it. Returns the number of the job."""
    only_system_administrators()
    opens(one.path, passphrase)
    number = check_backup.later(file=one.name, locked=one.locked)
    describe(number, one.name)
    keep_secret(f"{CHECK}{number}", passphrase or None)
    return number


@job(system=True, retries=1, timeout=6 * 3600.0, lease=120.0)
def check_backup(file: str, locked: bool = False) -> None:
    """Check of a backup

    Reads it to its end; what it holds is remembered for the page that asks whether to restore it. Only a system administrator can have
    queued it: `ask_for_check` asks for that.
    """
    run = current_job()
    assert run is not None
    config: Config = current_app.config["MORTISE"]
    one, name = find(config, file), f"{CHECK}{run.id}"
    passphrase = kept_secret(name) or "" if locked else ""
    if locked and not passphrase:
        raise Problem(_("The passphrase is not there any more; please ask for the check once more."))
    # On SQLite nobody may wait while the file is read.
    db.session.commit()
    try:
        manifest = inspect_backup(one.path, passphrase, lambda done, total: _read_on(done, total, file))
    except _Stopped:
        return
    finally:
        # A process that dies in the middle leaves it to the next attempt, and after a day it is swept away.
        keep_secret(name, None)
        db.session.commit()
    note(config, one.path, manifest, checked=True)
    checkpoint(holds={name: manifest[name] for name in HOLDS})
    url = f"/backups/{file}/restore?check={run.id}"
    leave_result(url, _("What would come"), sentence=_("The file is whole and fits."))


class _Stopped(Exception):
    """Somebody cancelled the check, or another runner took it over."""


def _read_on(done: int, total: int, file: str) -> None:
    # In percent, since bytes are more than the column holds.
    progress(100 * done // total if total else 100, 100, file)
    if cancelled():
        raise _Stopped


def end_those_of_then() -> None:
    """After a restore: a backup holds the job that was making it as one at work, which a runner would take over and do again."""
    names = [one.name for one in (make_backup, check_backup, scheduled_backup)]
    wanted = core_job.c.name.in_(names) & core_job.c.state.in_(["queued", "running"])
    over = {"state": "cancelled", "due_at": None, "finished_at": now(), "cancel_asked": True}
    db.session.execute(update(core_job).where(wanted).values(over))


# -- by the schedule ------------------------------------------------------------------------------------------------------


def begun() -> datetime | None:
    """The slot of the schedule that was begun last."""
    return _state("backup")


def _state(name: str) -> datetime | None:
    found = db.session.execute(select(core_state.c.value).where(core_state.c.name == name)).scalar()
    return datetime.fromtimestamp(found, UTC).replace(tzinfo=None) if found is not None else None


def _set_state(name: str, moment: datetime) -> None:
    value = int(moment.replace(tzinfo=UTC).timestamp())
    if not db.session.execute(core_state.update().where(core_state.c.name == name).values(value=value)).rowcount:
        db.session.execute(core_state.insert().values(name=name, value=value))


@job(every="5 minutes", system=True)
def look_for_backups() -> None:
    """Queues the scheduled backup whose time has come, also one that was missed while nobody worked"""
    for prefix in (ONCE, CHECK):
        forget_old_secrets(prefix, now() - timedelta(days=1))
    zone = zone_of(setting("firm.zone"))
    slot = due(now(), setting("backup.rhythm"), setting("backup.hour"), zone, begun())
    if slot is not None:
        _set_state("backup", slot)
        scheduled_backup.later(key="scheduled")
        return
    _look_for_late()


def _look_for_late() -> None:
    """A backup whose process died each time cannot tell by itself."""
    slot = begun()
    if slot is None or setting("backup.rhythm") == "never" or now() < slot + LATE or _state("backup told") == slot:
        return
    if not any(one.kind == "scheduled" and one.made_at >= slot for one in backups(current_app.config["MORTISE"])):
        _set_state("backup told", slot)
        tell_of_failure(_("it did not come to its end"))


@job(system=True, retries=3, retry_after=300.0, timeout=6 * 3600.0, lease=120.0)
def scheduled_backup() -> None:
    """Scheduled backup"""
    try:
        if has_secret(PASSPHRASE) and not kept_secret(PASSPHRASE):
            raise Problem(_("the passphrase was kept by another installation and has to be given again"))
        path = _made("scheduled", kept_secret(PASSPHRASE) or "")
        gone = remove_old()
    except Exception as problem:
        db.session.rollback()
        tell_of_failure(str(problem) if isinstance(problem, (Problem, OSError)) else type(problem).__name__)
        db.session.commit()
        raise
    leave_result("/backups", _("All backups"), sentence=_("%(name)s was written and checked.", name=path.name), lines=gone)


def tell_of_failure(why: str) -> None:
    """Tell the system administrators by the bell."""
    people = db.session.execute(
        select(MortiseUser.id).where(MortiseUser.level == "system_administrator", MortiseUser.active.is_(True)),
        execution_options={"mortise_rules": False},
    ).scalars()
    text = lazy("The scheduled backup has failed: %(why)s")
    FAILED.send(list(people), text, url="/backups", topic="backup", why=why[:300])


def remove_old() -> list[str]:
    """Delete the scheduled backups that the settings do not keep; those made by hand stay. Returns their names."""
    config: Config = current_app.config["MORTISE"]
    made = {one.name: one for one in backups(config) if one.kind == "scheduled"}
    keep = [setting(f"backup.keep_{span}") for span in ("daily", "weekly", "monthly")]
    gone = to_remove([(one.name, one.made_at) for one in made.values()], zone_of(setting("firm.zone")), *keep)
    for name in gone:
        remove(made[name])
        journal.write(TABLE, 0, "backup-deleted", {"file": [name, None]})
    return gone
