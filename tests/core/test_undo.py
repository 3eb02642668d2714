"""Undo of what many did: stopped in the middle and asked again, brought back and undone once more."""

import pytest
from sqlalchemy import select

from core import job_runner, jobs
from core.context import system
from core.db import db
from core.errors import Problem
from core.job_list import cancel, try_again
from core.jobs import core_job
from core.journal import batch, batch_id, batches
from core.model import model_of
from core.records import records
from core.testing import both_databases
from core.undo import undo
from tests.core.drafting import after_checkpoint, ran, run, sent
from tests.core.sheets import count, everything

MANY = 1100


@both_databases
@pytest.mark.parametrize("ended", ["cancelled", "dead"])
def test_an_undo_that_stopped_in_the_middle_goes_on_when_it_is_asked_again(login_as, app, monkeypatch, ended):
    chief = login_as("chief", level="administrator")
    # Made, then changed, in the same batch: what the first half of the undo did is nobody else's change.
    rows = [[f"K{number}", f"client {number}"] for number in range(MANY)]
    made = ran(sent([["code", "name"], *rows, *([f"K{number}", f"new name {number}"] for number in range(60))]))
    chief.post(f"/undo/{made.batch_id}")
    one = db.session.scalars(select(core_job.c.id).order_by(core_job.c.id.desc())).first()

    def stop_after_the_first(memory):
        if not memory["count"]:
            return
        if ended == "dead":
            raise Problem("The power went.")
        with system():
            cancel(one)
        db.session.commit()
        job_runner.running.get().asked = -1000.0

    after_checkpoint(monkeypatch, "core.undo_jobs.checkpoint", stop_after_the_first)
    assert run(one)["state"] == ended and 0 < count() < MANY
    monkeypatch.setattr("core.undo_jobs.checkpoint", jobs.checkpoint)
    records(model_of("crm_client")).edit(everything()[7]["id"], {"name": "changed since"})
    answer = chief.post(f"/undo/{made.batch_id}", follow_redirects=True)
    assert "goes on in the background" in answer.text
    again = db.session.scalars(select(core_job.c.id).order_by(core_job.c.id.desc())).first()
    shown = run(again)
    assert again != one and shown["state"] == "done"
    assert shown["result"]["sentence"] == f"{MANY + 60 - 1} records are as they were. 1 thing had been changed since and stays."
    assert shown["result"]["lines"] == ["Client changed since: The record was changed since it was made; it stays."]
    assert [row["name"] for row in everything()] == ["changed since"]
    undos = db.session.execute(select(batches.c.id).where(batches.c.undoes == made.batch_id)).scalars().all()
    assert undos == [shown["result"]["batch"]], "one undo, that can be taken back as one"
    # The old job, tried again, does no harm.
    with system():
        try_again(one)
    assert run(one)["state"] == "done" and count() == 1
    assert "This was undone already" in chief.post(f"/undo/{made.batch_id}", follow_redirects=True).text


@both_databases
def test_what_was_undone_brought_back_and_undone_once_more_is_gone(app):
    made = ran(sent([["name"], ["one"], ["two"]]))
    first = undo(made.batch_id)
    again = undo(first.batch_id)
    assert (again.count, again.clashes, count()) == (2, [], 2)
    last = undo(made.batch_id)
    assert (last.count, last.clashes, count()) == (2, [], 0)


@both_databases
def test_what_others_changed_and_took_back_again_does_not_stand_in_the_way(app):
    """Made, changed, the change undone: it is as it was made, so the making can be undone as well."""
    made = ran(sent([["name"], ["one"]]))
    client = records(model_of("crm_client"))
    with batch("An edit"):
        client.edit(client.get(everything()[0]["id"]), {"name": "another"})
        edited = batch_id()
    with pytest.raises(Problem, match="all of it has been changed since"):
        undo(made.batch_id)
    undo(edited)
    db.session.commit()
    again = undo(made.batch_id)
    assert (again.count, again.clashes, count()) == (1, [], 0)
