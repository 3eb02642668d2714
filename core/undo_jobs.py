"""Undo of what is too large for one request: transaction by transaction, the newest first, as one batch that can be undone again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from sqlalchemy import func, select

from core.db import db
from core.i18n import gettext as _
from core.i18n import ngettext
from core.jobs import RESULT, cancelled, checkpoint, core_job, describe, job, leave_result, progress
from core.journal import batches, journal, undone
from core.mail_jobs import withdraw_mails
from core.model import model_label, models
from core.rules import rights
from core.titles import titles
from core.undo import Clash, mark_undone, new_undo_batch, undo_part, undoable

AT_ONCE = 500
"""So many journal rows are undone while the person waits; more by a job."""
MOST_TOLD = 20
"""So many things that stayed as they are now are named on the page of jobs."""


def undo_later(batch_id: int) -> int | None:
    """Queue the undo of a large batch and return the job's id; None when it is small enough to be undone at once. Raises as `undo`."""
    _free_what_died(batch_id)
    batch = undoable(batch_id)
    rows = db.session.execute(select(func.count()).where(journal.c.batch_id == batch_id)).scalar_one()
    if rows <= AT_ONCE:
        return None
    # The right to it is asked here: the fifteen minutes must not run out while the job waits for its turn.
    made = undo_large.later(batch_id=batch_id, key=_key(batch_id))
    describe(made, batch.title or f"#{batch_id}", rows)
    return made


def _key(batch_id: int) -> str:
    return f"undo {batch_id}"


def _left_off(batch_id: int) -> dict[str, Any]:
    """How far the undo of this batch has come, whichever job did it; empty when none has, or what it did was taken back itself."""
    wanted = select(core_job.c.memory).where(core_job.c.name == undo_large.name, core_job.c.key == _key(batch_id))
    memories = db.session.execute(wanted.where(core_job.c.memory.is_not(None)).order_by(core_job.c.id.desc()).limit(20)).scalars()
    known = [{name: value for name, value in json.loads(text).items() if name != RESULT} for text in memories]
    known = [one for one in known if one.get("own")]
    taken_back = undone([one["own"] for one in known])
    return min((one for one in known if one["own"] not in taken_back), key=lambda one: one["below"] or 0, default={})


def _free_what_died(batch_id: int) -> None:
    """A batch whose undo failed for good in the middle counts as undone; who asks again goes on with it."""
    newest = select(core_job.c.state).where(core_job.c.name == undo_large.name, core_job.c.key == _key(batch_id))
    newest = newest.where(core_job.c.state != "merged").order_by(core_job.c.id.desc()).limit(1)
    if db.session.execute(newest).scalar() != "dead":
        return
    marked = db.session.execute(select(batches.c.undone_by).where(batches.c.id == batch_id).with_for_update()).scalar()
    left = _left_off(batch_id)
    if left and left["own"] == marked and not left.get("over"):
        mark_undone(batch_id, None)


@job(timeout=24 * 3600.0, tells=True)
def undo_large(batch_id: int) -> None:
    """Takes back a change of many records"""
    batch = db.session.execute(select(batches).where(batches.c.id == batch_id).with_for_update()).one()
    # Asked again after a stop in the middle, it goes on there.
    state = {"own": None, "top": 0, "below": None, "done": 0, "count": 0, "clashes": 0, "stayed": [], **_left_off(batch_id)}
    if state["own"] is None:
        if batch.undone_by is not None:
            return
        state["own"] = new_undo_batch(batch_id, batch.title or f"#{batch_id}")
    elif batch.undone_by not in (None, state["own"]) or (batch.undone_by == state["own"] and state.get("over")):
        return
    # Anew after it was cancelled in the middle, too.
    mark_undone(batch_id, state["own"])
    top = db.session.execute(select(func.max(journal.c.id)).where(journal.c.batch_id == batch_id)).scalar() or 0
    if top > state["top"]:
        # An import that went on meanwhile has written more: the newest comes first, and what is as it was already is passed over.
        state |= {"top": top, "below": None, "done": 0}
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
            mails = withdraw_mails(batch_id, all_undone=not state["clashes"])
            leave_result(sentence=told(state["count"], state["clashes"], *mails), lines=state["stayed"], batch=state["own"])
            checkpoint(**state, over=True)
            return
        # A whole transaction of then at a time: inside it, what belongs together may stand in any order.
        tx = select(journal.c.tx).where(journal.c.id == top).scalar_subquery()
        lot = select(journal).where(journal.c.batch_id == batch_id, journal.c.tx == tx).order_by(journal.c.id.desc())
        found = db.session.execute(lot).all()
        result = undo_part(batch_id, state["own"], [one for one in found if one.verb in ("create", "edit", "delete")])
        state |= {"below": found[-1].id, "done": state["done"] + len(found)}
        state["count"], state["clashes"] = state["count"] + result.count, state["clashes"] + len(result.clashes)
        state["stayed"] = state["stayed"] + stayed(result.clashes, MOST_TOLD - len(state["stayed"]))
        leave_result(sentence=told(state["count"], state["clashes"]), lines=state["stayed"], batch=state["own"])
        progress(min(state["done"], rows), rows, title)
        checkpoint(**state)
    if cancelled():
        # What is not undone yet can be undone by asking again.
        mark_undone(batch_id, None)


def stayed(clashes: Iterable[Clash], most: int) -> list[str]:
    """What an undo left alone, and why, a line each; titles and fields only as the acting person may read them."""
    lines = []
    for one in islice(clashes, most):
        model = models().get(one.model)
        if model is None:
            what = f"{one.model} #{one.record_id}"
        else:
            title = titles(model, [one.record_id]).get(one.record_id) or f"#{one.record_id}"
            field = rights().fields_seen(model).get(one.field)
            what = f"{model_label(model)} {title}{f' · {field.title}' if field else ''}"
        lines.append(_("%(what)s: %(why)s", what=what, why=one.sentence))
    return lines


def told(count: int, clashes: int, withdrawn: int = 0, left: int = 0) -> str:
    """What an undo did, and what of it has left the house for good, in sentences."""
    sentence = ngettext("%(count)s record is as it was.", "%(count)s records are as they were.", count)
    if clashes:
        sentence += " " + ngettext(
            "%(count)s thing had been changed since and stays.", "%(count)s things had been changed since and stay.", clashes
        )
    if withdrawn:
        sentence += " " + ngettext(
            "%(count)s mail about it had not left and is withdrawn.", "%(count)s mails about it had not left and are withdrawn.", withdrawn
        )
    if left:
        sentence += " " + ngettext(
            "%(count)s mail about it was sent; that cannot be undone.", "%(count)s mails about it were sent; that cannot be undone.", left
        )
    return sentence
