"""What the journal needs done: its seals by the minute, its trash by the night, its check by the week, its oldest months by the month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import func, select

from core.context import now
from core.db import db
from core.errors import Refused
from core.i18n import gettext as _
from core.i18n import lazy
from core.jobs import checkpoint, job, leave_result, progress
from core.journal import journal, write
from core.journal_erase import Erased, erase_person, thin
from core.journal_keep import CHECKED, check, removable, remove
from core.notifications import Notification
from core.people import ADMINISTRATORS, MortiseUser
from core.rules import rights
from core.seal import seal
from core.settings import declare_setting, number_between, setting
from core.trash import empty
from core.zones import zone_of

A_DAY = 24 * 3600.0
PAGE = "/settings/journal/keep"
DAMAGED = Notification("journal", lazy("The journal does not hold"), "shield-x")
MONTHS = number_between(0, 1_200)
EARLIER = "0 as long as the journal itself"
declare_setting("journal.keep_months", 0, "Months that the journal is kept, 0 for good", check=MONTHS, page="journal")
declare_setting("journal.sign_in_months", 0, "Months that it says who signed in and out", EARLIER, check=MONTHS, page="journal")
declare_setting("journal.reading_months", 0, "Months that it says who has read what", EARLIER, check=MONTHS, page="journal")
declare_setting("journal.file_months", 0, "Months that it says who exported, saved and printed what", EARLIER, check=MONTHS, page="journal")
KINDS = {
    "journal.sign_in_months": ("sign-in", "sign-in-failed", "sign-out", "session-end"),
    "journal.reading_months": ("read",),
    "journal.file_months": ("export", "download", "print", "backup-downloaded"),
}
"""{setting: verbs of entries that may be emptied earlier}. Changes are not among them: undo and earlier states lean on them."""


@job(every="1 minute", system=True)
def seal_journal() -> None:
    """Numbers and chains the rows that were committed since; a chunk a transaction, so that nobody waits long."""
    while seal(1000):
        db.session.commit()


@job(every="1 day", at="04:00", system=True)
def empty_trash() -> None:
    """Empties what was deleted longer ago than the setting trash.keep_days says."""
    bound = now() - timedelta(days=setting("trash.keep_days"))
    while empty(bound):
        db.session.commit()


# -- is it whole? -----------------------------------------------------------------------------------------------------------


@job(timeout=A_DAY, tells=True)
def check_journal() -> None:
    """Checks the journal"""
    if rights().level not in ADMINISTRATORS:
        raise Refused(_("Only an administrator may check the journal."))
    found = _checked()
    leave_result(PAGE, _("Look at it"), sentence=_("The journal is whole.") if found.fine else _("The journal has been tampered with."))


@job(every="1 week", timeout=A_DAY, system=True)
def check_journal_by_the_week() -> None:
    """Checks the journal, and tells system administrators when it does not hold"""
    found = _checked()
    if not found.fine:
        table = MortiseUser.__table__
        highest = select(table.c.id).where(table.c.level == "system_administrator", table.c.active.is_(True))
        people = list(db.session.execute(highest, execution_options={"mortise_rules": False}).scalars())
        words = lazy("The weekly check found entries of the journal that were altered, taken out or put in.")
        DAMAGED.send(people, words, url=PAGE, topic="journal")


def _checked() -> Any:
    def told(done: int, total: int) -> None:
        # SQLite keeps what was written meanwhile aside for as long as somebody reads.
        checkpoint()
        progress(done, total)

    found = check(tell=told)
    facts = {"rows": found.rows, "removed": found.removed, "erased": found.erased, "unsealed": found.unsealed, "head": list(found.head)}
    write(journal.name, 0, CHECKED, {**facts, "faults": found.faults})
    return found


def erase_later(person: int) -> int | None:
    """Queue the erasing of what the journal has sealed of a person by now; the number of the job, or None when it waits already."""
    until = db.session.execute(select(func.max(journal.c.seal))).scalar() or 0
    return erase_one_person.later(person=person, until=until, key=f"person {person}")


@job(timeout=A_DAY, tells=True)
def erase_one_person(person: int, until: int) -> None:
    """Erases one person's values from the journal"""

    def told(_done: int) -> None:
        db.session.commit()
        checkpoint()

    found = erase_person(person, told, until)
    leave_result(PAGE, _("Look at it"), sentence=words_of(found))


def words_of(found: Erased) -> str:
    """What an erasing of one person's values has done, as a sentence."""
    done = _(
        "Emptied entries: %(values)s. Entries without their address now: %(addresses)s.", values=found.values, addresses=found.addresses
    )
    if not found.older:
        return done
    older = _("%(count)s entries of an older version keep their address until their month leaves.", count=found.older)
    return f"{done} {older}"


# -- how long it is kept ------------------------------------------------------------------------------------------------------


@job(every="1 day", at="04:20", timeout=A_DAY, system=True)
def move_old_months_out() -> None:
    """Moves months of the journal that are older than the setting says into files of the data folder"""
    before = kept_since(now(), setting("journal.keep_months"), setting("trash.keep_days"), setting("firm.zone"))
    if before is None or not removable(before)[0]:
        return
    remove(before, current_app.config["MORTISE"].data / "journal" / archive_name(before))


@job(every="1 day", at="04:40", timeout=A_DAY, system=True)
def thin_old_entries() -> None:
    """Takes persons and values out of sign-ins, readings and exports that are older than the settings say"""
    for months, verbs in KINDS.items():
        before = kept_since(now(), setting(months), 0, setting("firm.zone"))
        while before is not None and thin(verbs, before):
            db.session.commit()


def kept_since(moment: datetime, months: int, trash_days: int, zone: str) -> datetime | None:
    """What was written before this moment (UTC) may leave the journal now; None when all is kept (S2-37, D19).

    Whole months of the firm's zone go, when as many full months lie between them and ``moment``. What the trash may still
    bring back stays: its deletions are read from the journal.
    """
    if not months:
        return None
    place = zone_of(zone)
    here = moment.replace(tzinfo=UTC).astimezone(place)
    past = min(here.year * 12 + here.month - 1 - months, _month_of(moment - timedelta(days=trash_days), place))
    year, month = divmod(past, 12)
    return datetime(year, month + 1, 1, tzinfo=place).astimezone(UTC).replace(tzinfo=None) if year > 0 else None


def _month_of(moment: datetime, place: Any) -> int:
    here = moment.replace(tzinfo=UTC).astimezone(place)
    return here.year * 12 + here.month - 1


def archive_name(before: datetime) -> str:
    """The file for what is taken out now, older than ``before``."""
    return f"journal-before-{before:%Y-%m-%d}-{now():%Y%m%d%H%M%S}.jsonl.gz"
