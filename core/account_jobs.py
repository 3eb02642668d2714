"""What accounts need later: old sign-ins go at night, and whoever forgot his password is answered where nobody can measure it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from core import mail
from core.account_requests import file_forgotten
from core.accounts import sign_ins
from core.context import now
from core.db import db
from core.errors import Invalid
from core.jobs import job
from core.secret_links import account_called, asked_too_often, send_link
from core.settings import setting


@job(every="1 day", at="03:40", system=True)
def forget_old_sign_ins() -> None:
    """Removes sign-ins that are older than the setting says"""
    before = now() - timedelta(days=setting("sign_in.keep_days"))
    db.session.execute(delete(sign_ins).where(sign_ins.c.at < before))


@job(system=True)
def answer_forgotten(typed: str, note: str | None = None) -> None:
    """Answers somebody who cannot sign in"""
    user = account_called(typed)
    if user is None:
        return
    if note is not None:
        file_forgotten(user.id, note)
    elif not mail.problem() and not asked_too_often(user.id):
        try:
            send_link(user)
        except Invalid:
            return  # an account without an address that mail reaches
