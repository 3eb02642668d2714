"""Taking a whole import back, the newest change first, in chunks that other people's saves wait for one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable

from sqlalchemy import func, select, update

from core.context import actor, now
from core.db import db
from core.errors import Conflict, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.journal import batches, journal
from core.transfer.draft_tables import core_import
from core.transfer.facts import Draft, draft, locked
from core.undo import OWN_UNDO, mark_undone, may_undo, new_undo_batch, undo_part

CHUNK = 500
AT_ONCE = 500
MOST_COUNTED = 1000
"""So many records are brought back within one request; more by a job."""


def may_revert(import_id: int, *, even_at_work: bool = False) -> Draft:
    """The import, if the acting person may take it back now; raises `Refused`, or `Conflict` with a sentence.

    ``even_at_work`` is for whoever knows that its process was killed; a runner that lives all the same finds it reverted.
    """
    one = draft(import_id)
    if one.batch_id is None:
        raise Conflict(_("This import has stored nothing; there is nothing to take back."))
    if one.state == "reverted":
        raise Conflict(_("This was undone already."))
    if one.state in ("running", "queued", "reverting") and not even_at_work:
        raise Conflict(_("This import is at work; cancel it first."))
    row = db.session.execute(select(batches).where(batches.c.id == one.batch_id)).one()
    verdict = may_undo(row)
    # The journal counts 15 minutes from the first row; whoever waits for the last one should not find them over.
    own = one.user_id is not None and one.user_id == actor().user_id
    if not verdict and not (own and (one.finished_at is None or now() - one.finished_at <= OWN_UNDO)):
        raise Refused(_("You may not undo this."), verdict)
    return one


def changed_since(one: Draft) -> int:
    """How many records that the import has stored have a later change that is not the import's; never more than 1,001."""
    if one.batch_id is None:
        return 0
    own, later = journal.alias(), journal.alias()
    same = (later.c.model == own.c.model) & (later.c.record_id == own.c.record_id) & (later.c.id > own.c.id)
    wanted = select(later.c.record_id).distinct().select_from(own.join(later, same))
    wanted = wanted.where(own.c.batch_id == one.batch_id, own.c.record_id > 0, later.c.batch_id != one.batch_id).limit(MOST_COUNTED + 1)
    return len(db.session.execute(wanted).all())


def revert_chunks(import_id: int, tell: Callable[[int, int], None] | None = None, stop: Callable[[], bool] | None = None) -> Draft:
    """Undo the batch of an import chunk by chunk, each committed; goes on where an earlier attempt was killed.

    What somebody has changed since stays, and is counted in the import's sentence.
    """
    one = draft(import_id)
    total, done = one.created + one.changed, _taken_back(import_id)
    while True:
        row = locked(import_id)
        own = row.undo_batch_id or new_undo_batch(row.batch_id, one.file_name)
        wanted = select(journal).where(journal.c.batch_id == row.batch_id)
        if row.undo_position is not None:
            wanted = wanted.where(journal.c.id < row.undo_position)
        lot = db.session.execute(wanted.order_by(journal.c.id.desc()).limit(CHUNK)).all()
        values = {"undo_batch_id": own, "changed_at": now(), "state": "reverting" if lot else "reverted"}
        if lot:
            result = undo_part(row.batch_id, own, [one for one in lot if one.verb in ("create", "edit", "delete")])
            facts = json.loads(row.samples)
            left = facts.get("left", 0) + len({(one.model, one.record_id) for one in result.clashes})
            done += len(lot)
            # With the position: an attempt that goes on after this one was killed counts on.
            values |= {"undo_position": lot[-1].id, "samples": json.dumps({**facts, "left": left}, ensure_ascii=False)}
            if left:
                values["sentence"] = ngettext(
                    "%(count)s record has been changed since; it stays.", "%(count)s records have been changed since; they stay.", left
                )
        else:
            mark_undone(row.batch_id, own)
        db.session.execute(update(core_import).where(core_import.c.id == import_id).values(values))
        db.session.commit()
        if tell is not None:
            tell(min(done, total), total)
        if not lot or (stop is not None and stop()):
            return draft(import_id)


def _taken_back(import_id: int) -> int:
    """How many journal rows of the import an earlier attempt is through with."""
    row = db.session.execute(select(core_import.c.batch_id, core_import.c.undo_position).where(core_import.c.id == import_id)).one()
    if row.undo_position is None:
        return 0
    through = (journal.c.batch_id == row.batch_id) & (journal.c.id >= row.undo_position)
    return db.session.execute(select(func.count()).where(through)).scalar_one()
