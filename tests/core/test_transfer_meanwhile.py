"""Imports, exports and bulk jobs while something changes: rights between two chunks, an undo, old jobs, numbers without gaps."""

import pytest
from sqlalchemy import delete, select

from core import hooks, job_runner, records
from core.context import system
from core.db import db
from core.errors import Conflict, Invalid
from core.job_list import cancel, job_status, try_again
from core.journal import batches
from core.model import model_of
from core.numbering import NumberRule
from core.people import PersonalRight
from core.testing import both_databases
from core.transfer import drafts, import_jobs
from core.undo_jobs import AT_ONCE
from tests.core.drafting import checked, counts, ran, sent, work
from tests.core.sheets import as_person, count, everything

LONG = [["code", "name"], *([f"K{number}", f"client {number}"] for number in range(1200))]


def after_chunk(monkeypatch, do):
    """Call ``do`` once, between the first chunk and the second: when nobody has a transaction open."""
    real, seen = import_jobs.progress, []

    def told(done, total):
        real(done, total)
        seen.append(done)
        if len(seen) == 1:
            do()

    monkeypatch.setattr(import_jobs, "progress", told)


def porter_of(create_user, *verbs):
    """Somebody with these rights to all clients."""
    made = create_user("porter")
    for verb in verbs:
        db.session.add(PersonalRight(user_id=made.id, model="crm_client", verb=verb, scopes="all"))
    db.session.commit()
    return made


def lose(verb):
    with db.short() as connection:
        connection.execute(delete(PersonalRight.__table__).where(PersonalRight.__table__.c.verb == verb))


@both_databases
@pytest.mark.parametrize("dry", [False, True])
def test_an_import_asks_its_right_before_each_chunk(app, create_user, monkeypatch, dry):
    with as_person(porter_of(create_user, "read", "create", "edit", "import")):
        one = sent(LONG)
        after_chunk(monkeypatch, lambda: lose("import"))
        one = (checked if dry else ran)(one)
    assert "may not import" in one.sentence and one.read == 500
    assert (one.state, count()) == (("draft", 0) if dry else ("stopped", 500))


@both_databases
def test_a_right_to_create_that_is_lost_between_two_chunks_counts_for_the_second(app, create_user, monkeypatch):
    with as_person(porter_of(create_user, "read", "create", "import")):
        one = sent(LONG)
        after_chunk(monkeypatch, lambda: lose("create"))
        one = ran(one)
    assert one.state == "stopped" and one.sentence and count() == 500


@both_databases
def test_an_import_at_work_is_not_undone_but_cancelled_first(app, monkeypatch):
    one, refused = sent(LONG), []

    def undo_it():
        with pytest.raises(Conflict, match="is at work; cancel it first") as told:
            drafts.revert(one.id)
        refused.append(told)
        db.session.rollback()

    after_chunk(monkeypatch, undo_it)
    one = ran(one)
    assert refused and (one.state, count()) == ("done", 1200)
    drafts.revert(one.id)
    work()
    assert (drafts.draft(one.id).state, count()) == ("reverted", 0)


@both_databases
def test_an_old_job_that_is_tried_again_does_no_harm(app, monkeypatch):
    one = sent(LONG)
    drafts.check_later(one.id)
    tried = drafts.draft(one.id).job_id
    cancel(tried)
    drafts.run_later(one.id)
    first = drafts.draft(one.id).job_id

    def cancel_it():
        cancel(first)
        db.session.commit()
        job_runner.running.get().asked = -1000.0

    after_chunk(monkeypatch, cancel_it)
    work()
    assert (drafts.draft(one.id).state, count()) == ("cancelled", 500)
    drafts.resume(one.id)
    work()
    over = drafts.draft(one.id)
    assert (over.state, counts(over), count()) == ("done", (1200, 0, 0, 0, 0), 1200)
    before = everything()
    for job_id in (tried, first):
        try_again(job_id)
        work()
        assert job_status(job_id)["state"] in ("dead", "queued"), "it has nothing to do any more"
    again = drafts.draft(one.id)
    assert (again.state, counts(again), again.batch_id) == ("done", counts(over), over.batch_id) and everything() == before


@both_databases
def test_a_refused_row_leaves_no_gap_in_numbers_that_have_none(app, monkeypatch):
    rule = next(one for one in records(NumberRule).find(limit=100).rows if one.key == "crm_client.code")
    records(NumberRule).edit(rule, {"gapless": True, "pattern": "G-{000}", "reset": "never", "next_number": 1})
    db.session.commit()
    real = hooks.call

    def refuse_one(name, model, **facts):
        if name == "before_save" and getattr(facts["record"], "name", "") == "client 3":
            raise Invalid({"name": "Not this one."})
        return real(name, model, **facts)

    monkeypatch.setattr(hooks, "has", lambda name, model: name == "before_save" and model is model_of("crm_client"))
    monkeypatch.setattr(hooks, "call", refuse_one)
    rows = [["name", "phones"], *([f"client {number}", "nothing" if number == 5 else ""] for number in range(8))]
    one = sent(rows)
    assert counts(checked(one)) == (6, 0, 0, 0, 2)
    assert counts(ran(one)) == (6, 0, 0, 0, 2)
    assert [row["code"] for row in everything()] == [f"G-{number:03}" for number in range(1, 7)]


@both_databases
def test_a_large_import_is_undone_from_the_history_by_a_job(app, login_as):
    one = ran(sent(LONG))
    chief = login_as("chief", level="administrator")
    assert f"/undo/{one.batch_id}" in chief.get("/settings/journal").text and one.created > AT_ONCE
    answer = chief.post(f"/undo/{one.batch_id}", data={"next": "/settings/journal"}, follow_redirects=True)
    assert "goes on in the background" in answer.text and count() == 1200
    work()
    assert (count(), drafts.draft(one.id).state) == (0, "reverted")
    with system():
        assert db.session.execute(select(batches.c.undone_by).where(batches.c.id == one.batch_id)).scalar()
