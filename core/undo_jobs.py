"""Undo of what is too large for one request: transaction by transaction, the newest first, as one batch that can be undone again."""

from __future__ import annotations

from sqlalchemy import func, select

from core.db import db
from core.i18n import ngettext
from core.jobs import cancelled, checkpoint, describe, job, leave_result, progress, remembered
from core.journal import batches, journal
from core.undo import mark_undone, new_undo_batch, undo_part, undoable

AT_ONCE = 500
"""So many journal rows are undone while the person waits; more by a job."""


def undo_later(batch_id: int) -> int | None:
    """Queue the undo of a large batch and return the job's id; None when it is small enough to be undone at once. Raises as `undo`."""
    batch = undoable(batch_id)
    rows = db.session.execute(select(func.count()).where(journal.c.batch_id == batch_id)).scalar_one()
    if rows <= AT_ONCE:
        return None
    # The right to it is asked here: the fifteen minutes must not run out while the job waits for its turn.
    made = undo_large.later(batch_id=batch_id, key=f"undo {batch_id}")
    describe(made, batch.title or f"#{batch_id}", rows)
    return made


@job(timeout=24 * 3600.0)
def undo_large(batch_id: int) -> None:
    """Takes back a change of many records"""
    batch = db.session.execute(select(batches).where(batches.c.id == batch_id).with_for_update()).one()
    state = {"own": None, "below": None, "done": 0, "count": 0, "clashes": 0, **remembered()}
    if state["own"] is None:
        if batch.undone_by is not None:
            return
        state["own"] = new_undo_batch(batch_id, batch.title or f"#{batch_id}")
    elif batch.undone_by not in (None, state["own"]):
        return
    # Anew after it was cancelled in the middle, too.
    mark_undone(batch_id, state["own"])
    rows = db.session.execute(select(func.count()).where(journal.c.batch_id == batch_id)).scalar_one()
    title = batch.title or f"#{batch_id}"
    while not cancelled():
        newest = select(func.max(journal.c.id)).where(journal.c.batch_id == batch_id)
        if state["below"] is not None:
            newest = newest.where(journal.c.id < state["below"])
        top = db.session.execute(newest).scalar()
        if top is None:
            if batch.undoes is not None:
                mark_undone(batch.undoes, None)
            break
        # A whole transaction of then at a time: inside it, what belongs together may stand in any order.
        tx = select(journal.c.tx).where(journal.c.id == top).scalar_subquery()
        lot = select(journal).where(journal.c.batch_id == batch_id, journal.c.tx == tx).order_by(journal.c.id.desc())
        found = db.session.execute(lot).all()
        result = undo_part(batch_id, state["own"], [one for one in found if one.verb in ("create", "edit", "delete")])
        state |= {"below": found[-1].id, "done": state["done"] + len(found)}
        state["count"], state["clashes"] = state["count"] + result.count, state["clashes"] + len(result.clashes)
        leave_result(sentence=told(state["count"], state["clashes"]), batch=state["own"])
        progress(min(state["done"], rows), rows, title)
        checkpoint(**state)
    if cancelled():
        # What is not undone yet can be undone by asking again.
        mark_undone(batch_id, None)


def told(count: int, clashes: int) -> str:
    """What an undo did, in a sentence."""
    sentence = ngettext("%(count)s record is as it was.", "%(count)s records are as they were.", count)
    if clashes:
        sentence += " " + ngettext(
            "%(count)s thing had been changed since and stays.", "%(count)s things had been changed since and stay.", clashes
        )
    return sentence
