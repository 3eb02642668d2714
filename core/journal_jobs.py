"""What the journal needs done by the minute: its seals."""

from __future__ import annotations

from core.db import db
from core.jobs import job
from core.seal import seal


@job(every="1 minute", system=True)
def seal_journal() -> None:
    """Numbers and chains the rows that were committed since; a chunk a transaction, so that nobody waits long."""
    while seal(1000):
        db.session.commit()
