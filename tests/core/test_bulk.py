"""Everything that meets a filter is changed by a job: counted first, in chunks, with the rights of then, and undone as a whole."""

import re
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from core import bulk, job_runner, jobs
from core.context import system
from core.db import db
from core.errors import Problem
from core.job_list import cancel
from core.jobs import core_job
from core.journal import batches, journal
from core.model import model_of
from core.people import RoleRight, RoleRow
from core.records import records
from core.testing import both_databases
from core.web.views import action, view_of
from tests.core.drafting import after_checkpoint, run

MANY = 620
ALL = {"all": "1", "filter": '{"field":"status","op":"is","value":"nobody_in_contact"}', "q": ""}


class Killed(BaseException):
    """What a runner that is killed leaves: nothing is noted, and its transaction is gone."""


@pytest.fixture
def client_model():
    return model_of("crm_client")


@pytest.fixture
def clients(app, client_model):
    """Clients of nobody in particular, with the ids of them all."""
    rows = [{"name": f"Client {number}"} for number in range(MANY)]
    made = [one.record.id for one in records(client_model).create_many(rows)]
    db.session.commit()
    return made


@pytest.fixture
def porter(login_as, create, create_user):
    """Somebody who reads all clients, and changes and deletes his own."""
    person = create_user("anna", roles=["Porter"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Porter")).one()
    for verb, scopes in {"read": "all", "edit": "own", "delete": "own", "bulk": "all"}.items():
        create(RoleRight, role=role, model="crm_client", verb=verb, scopes=scopes)
    return person, login_as(person)


def give(client_model, person, ids):
    db.session.execute(
        update(client_model.__table__).where(client_model.id.in_(ids)).values(owner_id=person.id), execution_options={"mortise_core": True}
    )
    db.session.commit()


def start(browser, **sent):
    """Confirm what the question page asks, and give the job that was queued."""
    asked = browser.post("/crm_client/_bulk", data={**ALL, **sent})
    assert asked.status_code == 200, asked.text
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked.text)
    form = {name: value.replace("&#34;", '"') for name, value in hidden if name not in ("csrf_token", "next")}
    assert browser.post("/crm_client/_bulk", data=form).status_code == 302
    return asked.text, db.session.scalars(select(core_job.c.id).order_by(core_job.c.id.desc())).first()


def stages(client_model):
    db.session.commit()
    return Counter(db.session.scalars(select(client_model.status)))


def sign(monkeypatch, deed=None):
    """Give the clients' view an action."""

    def do_sign(_view, found):
        for one in found:
            if deed is not None:
                deed(one)
            one.status = "signed"

    told = action("Sign", icon="check")(do_sign)
    monkeypatch.setattr(type(view_of(model_of("crm_client"))), "sign", told, raising=False)


@both_databases
def test_a_deletion_of_all_that_match_counts_first_then_runs_as_a_job_and_is_undone_as_a_whole(login_as, client_model, clients):
    chief = login_as("chief", level="administrator")
    asked, one = start(chief, action="delete")
    assert "Delete 620 records?" in asked and "and 610 more" in asked
    # What comes after the number was shown is not meant.
    late = records(client_model).create({"name": "Late"}).id
    shown = run(one)
    assert shown["state"] == "done" and (shown["done"], shown["total"]) == (MANY, MANY)
    assert shown["result"]["sentence"] == "Done with 620 records." and "Delete: 620 Clients" in shown["text"]
    assert list(db.session.scalars(select(client_model.id))) == [late]
    batch = shown["result"]["batch"]
    assert db.session.scalar(select(func.count()).where(journal.c.verb == "delete", journal.c.batch_id != batch)) == 0
    answer = chief.post(f"/undo/{batch}", data={"next": "/jobs/"}, follow_redirects=True)
    assert "goes on in the background" in answer.text
    back = run(db.session.scalars(select(core_job.c.id).order_by(core_job.c.id.desc())).first())
    assert back["result"]["sentence"] == "620 records are as they were."
    assert sorted(db.session.scalars(select(client_model.id))) == [*clients, late]
    assert "This was undone already" in chief.post(f"/undo/{batch}", follow_redirects=True).text
    assert "undone" in chief.get("/jobs/").text
    # And the undo itself can be taken back.
    chief.post(f"/undo/{back['result']['batch']}")
    run(db.session.scalars(select(core_job.c.id).order_by(core_job.c.id.desc())).first())
    assert list(db.session.scalars(select(client_model.id))) == [late]
    assert db.session.scalar(select(batches.c.undone_by).where(batches.c.id == batch)) is None


@both_databases
def test_what_a_person_may_not_change_is_refused_with_its_name_and_the_rest_is_done(porter, client_model, clients, monkeypatch):
    person, browser = porter
    give(client_model, person, clients[7:])
    sign(monkeypatch)
    _asked, one = start(browser, action="sign")
    shown = run(one)
    assert stages(client_model) == {"signed": MANY - 7, "nobody_in_contact": 7}
    assert shown["result"]["sentence"] == "Done with 613 records. 7 were refused:"
    assert len(shown["result"]["lines"]) == 6 and "“Client 0”" in shown["result"]["lines"][0]
    assert shown["result"]["lines"][-1] == "and 2 more"
    page = browser.get("/jobs/").text
    assert "7 were refused" in page and "Client 0" in page and f"/undo/{shown['result']['batch']}" in page


@both_databases
def test_rights_are_those_of_the_moment_not_those_of_the_click(porter, client_model, clients):
    person, browser = porter
    give(client_model, person, clients)
    _asked, one = start(browser, action="delete")
    db.session.delete(db.session.scalars(select(RoleRight).where(RoleRight.verb == "bulk")).one())
    db.session.commit()
    shown = run(one)
    assert shown["state"] == "dead" and "one by one only" in shown["last_error"]
    assert len(list(db.session.scalars(select(client_model.id)))) == MANY
    assert browser.post("/crm_client/_bulk", data={**ALL, "action": "delete"}).status_code == 403


@both_databases
def test_the_right_is_asked_before_each_chunk(porter, client_model, clients, monkeypatch):
    person, browser = porter
    give(client_model, person, clients)
    sign(monkeypatch)
    _asked, one = start(browser, action="sign")

    def lose_it(_memory):
        with db.short() as connection:
            connection.execute(delete(RoleRight.__table__).where(RoleRight.__table__.c.verb == "bulk"))

    after_checkpoint(monkeypatch, "core.bulk.checkpoint", lose_it)
    shown = run(one)
    done = stages(client_model)["signed"]
    assert shown["state"] == "dead" and "one by one only" in shown["last_error"] and 0 < done < MANY
    # What was done until then is one batch, and told.
    assert shown["result"]["sentence"] == f"Done with {done} records. {MANY - done} are left." and shown["result"]["batch"]


@both_databases
def test_a_record_that_was_changed_meanwhile_and_meets_the_filter_no_more_is_left_alone(login_as, client_model, clients):
    chief = login_as("chief", level="administrator")
    _asked, one = start(chief, action="delete")
    records(client_model).edit(clients[3], {"status": "signed"})
    shown = run(one)
    assert shown["result"]["sentence"] == "Done with 619 records. 1 did not meet the filter any more."
    assert list(db.session.scalars(select(client_model.id))) == [clients[3]]


@both_databases
def test_a_killed_job_goes_on_where_it_was_and_stays_one_batch(login_as, client_model, clients, monkeypatch, clock):
    chief = login_as("chief", level="administrator")
    seen = []
    sign(monkeypatch, lambda one: seen.append(one.id))
    _asked, one = start(chief, action="sign")
    kept, steps = bulk.checkpoint, []

    def die_in_the_second_chunk(**memory):
        steps.append(memory["position"])
        if len(steps) == 2:
            raise Killed
        kept(**memory)

    monkeypatch.setattr("core.bulk.checkpoint", die_in_the_second_chunk)
    db.session.commit()
    with pytest.raises(Killed):
        job_runner.perform(only=one, awake=["core"])
    done = stages(client_model)["signed"]
    assert 0 < done < MANY
    assert "running" in chief.get("/jobs/").text
    monkeypatch.setattr("core.bulk.checkpoint", kept)
    clock.advance(timedelta(minutes=2))
    shown = run(one)
    assert shown["state"] == "done" and shown["attempts"] == 2 and shown["result"]["sentence"] == "Done with 620 records."
    assert stages(client_model) == {"signed": MANY}
    # The chunk that was lost with its runner was done again, and nothing twice that had been committed.
    assert Counter(seen)[clients[0]] == 1 and max(Counter(seen).values()) <= 2
    signed = select(journal.c.batch_id, func.count()).where(journal.c.verb == "edit", journal.c.model == "crm_client").group_by("batch_id")
    assert db.session.execute(signed).all() == [(shown["result"]["batch"], MANY)]


@both_databases
def test_a_cancelled_job_says_what_it_has_done_and_that_much_can_be_undone(login_as, client_model, clients, monkeypatch):
    chief = login_as("chief", level="administrator")
    sign(monkeypatch)
    _asked, one = start(chief, action="sign")

    def stop_after_the_first(_memory):
        cancel(one)
        db.session.commit()
        job_runner.running.get().asked = -1000.0

    after_checkpoint(monkeypatch, "core.bulk.checkpoint", stop_after_the_first)
    with system():
        shown = run(one)
    done = stages(client_model)["signed"]
    assert shown["state"] == "cancelled" and 0 < done < MANY
    assert shown["result"]["sentence"] == f"Done with {done} records. {MANY - done} are left."
    with system():
        chief.post(f"/undo/{shown['result']['batch']}")
    monkeypatch.setattr("core.bulk.checkpoint", jobs.checkpoint)
    later = db.session.scalars(select(core_job.c.id).order_by(core_job.c.id.desc())).first()
    if later != one:
        run(later)
    assert stages(client_model) == {"nobody_in_contact": MANY}


@both_databases
def test_what_was_taken_back_in_the_middle_is_not_gone_on_with(login_as, client_model, clients, monkeypatch):
    chief = login_as("chief", level="administrator")
    sign(monkeypatch)
    _asked, one = start(chief, action="sign")

    def take_back(memory):
        db.session.execute(update(batches).where(batches.c.id == memory["batch"]).values(undone_by=memory["batch"]))
        db.session.commit()

    after_checkpoint(monkeypatch, "core.bulk.checkpoint", take_back)
    assert 0 < run(one)["done"] < MANY


@both_databases
def test_one_hook_that_refuses_costs_only_its_own_record(login_as, client_model, clients, monkeypatch):
    def refuse(one):
        if one.id == clients[333]:
            raise Problem("This one is sacred.")

    sign(monkeypatch, refuse)
    _asked, one = start(login_as("chief", level="administrator"), action="sign")
    shown = run(one)
    assert shown["result"]["lines"] == ["“Client 333”: This one is sacred."]
    assert stages(client_model) == {"signed": MANY - 1, "nobody_in_contact": 1}


@both_databases
def test_few_that_match_are_done_at_once(login_as, client_model, clients):
    chief = login_as("chief", level="administrator")
    few = {**ALL, "q": "", "filter": '{"field":"name","op":"is","value":"Client 7"}', "action": "delete"}
    asked = chief.post("/crm_client/_bulk", data=few)
    assert "Delete 1 record?" in asked.text and f'name="ids" value="{clients[7]}"' in asked.text
    assert chief.post("/crm_client/_bulk", data={**few, "confirmed": "1"}).status_code == 302
    assert db.session.scalar(select(func.count()).select_from(client_model)) == MANY - 1
    assert db.session.scalar(select(func.count()).select_from(core_job)) == 0


def test_more_ticks_than_can_be_done_at_once_are_refused_not_cut_off(login_as, client_model, clients):
    chief = login_as("chief", level="administrator")
    answer = chief.post("/crm_client/_bulk", data={"action": "delete", "ids": clients, "confirmed": "1"}, follow_redirects=True)
    assert "More than 500 records are ticked" in answer.text
    assert db.session.scalar(select(func.count()).select_from(client_model)) == MANY
