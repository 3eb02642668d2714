"""What the store of files needs every night: uploads that no record took are removed, and bytes that nothing names any more."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from core.backup import STORED
from core.context import now
from core.db import db
from core.files import File, place, store_folder, store_lock
from core.jobs import checkpoint, job
from core.journal import JournalRow
from core.mail import kept_for_mails
from core.settings import setting
from core.transfer.draft_tables import kept_for_imports

A_DAY = 24 * 3600
CHUNK = 200


@job(every="1 day", at="03:40", system=True)
def clean_store() -> None:
    """Removes uploads of more than a day ago that no record took, and content that neither a file nor the journal's memory needs."""
    if not store_folder().is_dir():
        return
    _remove_unclaimed()
    for draft in (store_folder() / "incoming").glob("*"):
        if _is_old(draft):
            draft.unlink(missing_ok=True)
    for folder in sorted(store_folder().glob("[0-9a-f][0-9a-f]")):
        _remove_unused(folder)


def _remove_unclaimed() -> None:
    while True:
        query = select(File).where(File.model.is_(None), File.created_at < now() - timedelta(days=1)).order_by(File.id.desc()).limit(CHUNK)
        rows = db.session.execute(query, execution_options={"mortise_rules": False}).scalars().all()
        for row in rows:
            db.session.delete(row)
        db.session.flush()
        checkpoint()
        if len(rows) < CHUNK:
            return


def _remove_unused(folder: Path) -> None:
    """Remove content that no row names and no deletion of the last months could bring back by undo."""
    old = [one for one in folder.iterdir() if _is_old(one)]
    for draft in [one for one in old if one.name.startswith(".") and one.name.endswith(".part")]:
        draft.unlink(missing_ok=True)  # of a restore of an earlier version that was killed
    found = {f"{folder.name}{one.name}": one for one in old if STORED.fullmatch(one.name)}
    if not found:
        return
    named = set(db.session.execute(select(File.__table__.c.hash).where(File.__table__.c.hash.startswith(folder.name))).scalars())
    named |= kept_for_imports() | kept_for_mails()
    journal = JournalRow.__table__.c
    # What comes back out of the trash comes back with its files.
    since = now() - timedelta(days=max(setting("files.keep_deleted_days"), setting("trash.keep_days")))
    for content_hash in sorted(set(found) - named):
        # Only what a record had can come back with it; an upload that no record took is gone for good.
        of_a_record = journal.changes.contains('"model":')
        deleted = select(journal.id).where(journal.model == "core_file", journal.verb == "delete", journal.at > since, of_a_record)
        if db.session.execute(deleted.where(journal.changes.contains(content_hash)).limit(1)).first():
            continue
        with store_lock(alone=True):
            # Asked again under the lock: the same bytes may have come in a moment ago, which made them young.
            if _is_old(place(content_hash)):
                place(content_hash).unlink(missing_ok=True)
    checkpoint()


def _is_old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - A_DAY
    except OSError:
        return False
