"""What accounts need done at night: old sign-ins go."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from core.accounts import sign_ins
from core.context import now
from core.db import db
from core.jobs import job
from core.settings import setting


@job(every="1 day", at="03:40", system=True)
def forget_old_sign_ins() -> None:
    """Removes sign-ins that are older than the setting says"""
    before = now() - timedelta(days=setting("sign_in.keep_days"))
    db.session.execute(delete(sign_ins).where(sign_ins.c.at < before))
