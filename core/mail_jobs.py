"""What sends mails: one job a mail, again after a while when the server was not ready, and at night the old ones go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from core import journal
from core.context import actor, now
from core.db import db
from core.errors import Conflict
from core.i18n import gettext as _
from core.jobs import checkpoint, core_job, job
from core.logs import log
from core.mail import GIVE_UP_AFTER, LINK, Mail, bodies, body_of, mails
from core.mail_sending import NotSent, Ready, composed, hand_over
from core.mail_settings import MailServer, mail_server, problem
from core.secret_links import forget_old_links, token_of
from core.settings import setting

PAUSES = (1, 2, 5, 15, 30, 60, 120, 240)
"""Minutes after each try that failed; the last one goes on until `GIVE_UP_AFTER`."""
CHUNK = 1000
LATE = timedelta(minutes=10)
"""A mail that should have been tried so long ago may have lost its job: cancelled by somebody, or ended with each process that ran it."""


def reached(point: str) -> None:
    """Tests kill the process at such a point; otherwise nothing happens here."""


@job(system=True, lease=60.0, timeout=300.0, retries=50, retry_after=30.0)
def deliver(mail_id: int) -> None:
    """Sends one mail"""
    row = db.session.execute(select(mails).where(mails.c.id == mail_id)).first()
    if row is None or row.state != "waiting" or (row.next_at and row.next_at > now()):
        return  # cancelled, sent by an earlier attempt, or a later try has its own job
    try:
        if problem():
            raise NotSent("not_set_up")
        ready, server = _ready(row), mail_server()
        # The network is slow, and nobody else writes to SQLite meanwhile: what was read is enough.
        checkpoint()
        _hand_over(ready, server)
    except NotSent as why:
        _not_sent(row, why)
        return
    reached("after acceptance")
    _note(row, state="sent", tries=row.tries + 1, trouble=None, answer=None, next_at=None, sent_at=now())


def _ready(row: Any) -> Ready:
    body = body_of(row.id)
    token = token_of(body.link_id) if body.link_id else ""
    if token is None:
        raise NotSent("link_over", for_good=True)
    return Ready(row, body, f"{setting('house.address')}/login/choose#{token}" if token else "")


def _hand_over(ready: Ready, server: MailServer) -> None:
    hand_over(composed(ready, server), server, ready.mail.recipient)


def _not_sent(row: Any, why: NotSent) -> None:
    if why.for_good or now() - row.created_at >= GIVE_UP_AFTER:
        log("mail").warning("mail failed for good", mail=row.id, trouble=why.trouble, tries=row.tries + 1)
        _note(row, state="failed", tries=row.tries + 1, trouble=why.trouble, answer=why.answer or None, next_at=None)
    else:
        _again(row, why, timedelta(minutes=PAUSES[min(row.tries, len(PAUSES) - 1)]), tries=row.tries + 1)


def _again(row: Any, why: NotSent, pause: timedelta, **more: Any) -> None:
    moment = now() + pause
    _note(row, trouble=why.trouble, answer=why.answer or None, next_at=moment, **more)
    deliver.later(mail_id=row.id, at=moment)


def _note(row: Any, **values: Any) -> None:
    """Write what came of a try; a mail that was cancelled meanwhile stays so unless it has gone out."""
    mine = mails.c.id == row.id
    if values.get("state") != "sent":
        mine &= mails.c.state == "waiting"
    db.session.connection().execute(update(mails).where(mine).values(**values, changed_at=now()))


# -- what administrators do with them --------------------------------------------------------------------------------------


def send_now(mail: Any) -> None:
    """Try a mail that waits, failed or was cancelled once more, at once."""
    over = mails.c.state.in_(["waiting", "failed", "cancelled"])
    body = body_of(mail.id)
    if body is not None and body.link_id and token_of(body.link_id) is None:
        raise Conflict(_("The link in this mail is over; send a new one from the page of the person."))
    fresh = update(mails).where(mails.c.id == mail.id, over).values(state="waiting", next_at=now(), changed_at=now())
    if not db.session.connection().execute(fresh).rowcount:
        raise Conflict(_("This mail was sent already."))
    deliver.later(mail_id=mail.id)
    journal.write("core_mail", mail.id, "mail-again", {})


def cancel_mail(mail: Any) -> None:
    """Stop a mail that waits; one that is being handed over this moment may still arrive."""
    waits = update(mails).where(mails.c.id == mail.id, mails.c.state == "waiting")
    values = {"state": "cancelled", "next_at": None, "changed_at": now(), "changed_by_id": actor().user_id}
    if not db.session.connection().execute(waits.values(values)).rowcount:
        raise Conflict(_("This mail does not wait any more."))
    journal.write("core_mail", mail.id, "mail-cancel", {})


def withdraw_mails(batch_id: int, *, all_undone: bool) -> tuple[int, int]:
    """Of a change that was undone stop the mails that have not left; returns how many were stopped, and how many had left already.

    What was undone in part only (``all_undone`` is False) still tells something true, and goes. One that is being handed over this
    moment may still arrive.
    """
    connection = db.session.connection()
    told = select(bodies.c.mail_id).where(bodies.c.batch_id == batch_id).scalar_subquery()
    left = connection.execute(select(func.count()).where(mails.c.id.in_(told), mails.c.state == "sent")).scalar_one()
    if not all_undone:
        return 0, left
    waits = update(mails).where(mails.c.id.in_(told), mails.c.state == "waiting").returning(mails.c.id)
    values = {"state": "cancelled", "next_at": None, "changed_at": now(), "changed_by_id": actor().user_id}
    stopped = connection.execute(waits.values(values)).scalars().all()
    if stopped:
        journal.write_many([("core_mail", one, "mail-cancel", {}, None) for one in stopped])
    return len(stopped), left


def shown_text(mail: Mail) -> str | None:
    """What a mail says, to its reader and its writer; None for everybody else. Its secret link is shown to nobody."""
    if actor().user_id is None or actor().user_id not in (mail.person_id, mail.created_by_id):  # type: ignore[attr-defined]
        return None
    body = body_of(mail.id)
    return body.text.replace(LINK, "[…]") if body else ""


@job(every="10 minutes", system=True)
def pick_up_mails() -> None:
    """Finds mails that wait though no job is left that would send them"""
    late = select(mails.c.id).where(mails.c.state == "waiting", mails.c.next_at < now() - LATE).order_by(mails.c.id).limit(CHUNK)
    for number in db.session.execute(late, execution_options={"mortise_rules": False}).scalars().all():
        same = core_job.c.name == deliver.name, core_job.c.arguments == f'{{"mail_id": {number}}}', core_job.c.due_at.is_not(None)
        if db.session.execute(select(core_job.c.id).where(*same).limit(1)).first() is None:
            deliver.later(mail_id=number)


@job(every="1 day", at="03:50", system=True)
def forget_old_mails() -> None:
    """Removes mails that are older than the setting says, and links that are long over"""
    before = now() - timedelta(days=setting("mail.keep_days"))
    old = (mails.c.created_at < before) & (mails.c.state != "waiting")
    forget_old_links()
    while True:
        some = db.session.execute(select(mails.c.id).where(old).limit(CHUNK), execution_options={"mortise_rules": False}).scalars().all()
        if not some:
            return
        connection = db.session.connection()
        connection.execute(delete(bodies).where(bodies.c.mail_id.in_(some)))
        connection.execute(delete(mails).where(mails.c.id.in_(some)))
        checkpoint()
