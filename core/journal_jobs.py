"""What the journal needs done: its seals by the minute, its trash by the night."""

from __future__ import annotations

from datetime import timedelta

from core.context import now
from core.db import db
from core.jobs import job
from core.seal import seal
from core.settings import setting
from core.trash import empty


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
