"""Sharing: who opens what to whom, until when, singly and many at once, by screen and by program; and how it ends."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from core.context import now
from core.db import db
from core.errors import Invalid, Refused
from core.journal import journal
from core.model import model_of
from core.people import PersonalRight, Post, Share, Team
from core.records import records
from core.rules import may
from core.sharing import clean, share, shares_of
from core.testing import both_databases


def shared(client_id):
    rows = db.session.execute(select(Share).where(Share.record_id == client_id), execution_options={"mortise_rules": False})
    return [(one.user_id, one.department_id, one.team_id, one.access) for one in rows.scalars()]


def send(browser, client_id, **values):
    form = {"_ids": client_id, "_step": "apply", "access": "read", "_next": f"/crm_client/{client_id}", **values}
    return browser.post("/crm_client/_share", data=form)


@both_databases
def test_a_share_opens_a_record_to_read_or_to_edit_until_its_day_is_over(app, login_as, create, create_user, clock):
    clock.set(datetime(2026, 5, 4, 9, 30))
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    his, hers = login_as(li), login_as(wang)
    assert hers.get(f"/crm_client/{client.id}").status_code == 404
    assert send(his, client.id, users=wang.id, until="2026-05-04").status_code == 302
    page = hers.get(f"/crm_client/{client.id}")
    assert page.status_code == 200 and "may read this record, but not change it" in page.text
    # Her day ends at 16:00 UTC, since the firm is in Shanghai.
    clock.set(datetime(2026, 5, 4, 15, 59, 59))
    his, hers = login_as(li), login_as(wang)
    assert hers.get(f"/crm_client/{client.id}").status_code == 200
    clock.set(datetime(2026, 5, 4, 16, 0))
    assert hers.get(f"/crm_client/{client.id}").status_code == 404
    assert send(his, client.id, users=wang.id, access="edit").status_code == 302
    assert shared(client.id) == [(wang.id, None, None, "edit")]
    page = hers.get(f"/crm_client/{client.id}")
    assert page.status_code == 200 and "but not change it" not in page.text


@both_databases
def test_departments_and_teams_get_shares_and_those_who_come_later_too(app, acting_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    east = create("core_department", name="East")
    pair = create(Team, name="Pair", members=[])
    first, second = create("crm_client", name="One", owner=li), create("crm_client", name="Two", owner=li)
    model = model_of("crm_client")
    with acting_as(li):
        assert share(model, [first.id], clean(model, {"departments": [east.id]})) == 1
        assert share(model, [second.id], clean(model, {"teams": [pair.id]})) == 1
        assert share(model, [second.id], clean(model, {"teams": [pair.id]})) == 0
    with acting_as(wang):
        assert records(model).count() == 0
    create(Post, user=wang, department=east)
    with acting_as(wang):
        assert [one.id for one in records(model).find().rows] == [first.id]
    pair.members.append(wang)
    db.session.commit()
    with acting_as(wang):
        assert records(model).count() == 2


@both_databases
def test_nobody_opens_what_is_not_his_and_nothing_is_half_done(app, acting_as, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    third = create_user("third", roles=["Salesperson"])
    hers, his = create("crm_client", name="Hers", owner=wang), create("crm_client", name="His", owner=li)
    browser = login_as(li)
    assert send(browser, hers.id, users=third.id).status_code == 404
    assert browser.get(f"/crm_client/{hers.id}/_share").status_code == 404
    create(Share, model="crm_client", record_id=hers.id, user=li, access="edit")
    # With an edit share he may change it, but not open it further.
    answer = send(browser, hers.id, users=third.id)
    assert answer.status_code == 403 and "Hers" in answer.text
    assert browser.get(f"/crm_client/{hers.id}/_share").status_code == 403
    model = model_of("crm_client")
    create(PersonalRight, user=li, model="crm_client", verb="bulk", scopes="all")
    with acting_as(li), pytest.raises(Refused, match="Hers"):
        share(model, [his.id, hers.id], clean(model, {"users": [third.id]}))
    assert shared(his.id) == []
    create(PersonalRight, user=li, model="crm_client", verb="edit", denied=True)
    with acting_as(li), pytest.raises(Refused):
        share(model, [his.id], clean(model, {"users": [third.id], "access": "edit"}))
    create(PersonalRight, user=li, model="crm_client", verb="share", denied=True)
    assert "_share" not in browser.get(f"/crm_client/{his.id}").text
    assert browser.post("/crm_client/_share", data={"_ids": his.id}).status_code == 403


@both_databases
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    browser = login_as(li)
    for values, sentence in (
        ({}, "Choose at least one person"),
        ({"users": wang.id, "until": "2020-01-01"}, "This day is over"),
        ({"users": wang.id, "until": "some day"}, "2026-11-30"),
        ({"users": wang.id, "access": "own"}, "Please choose one of the values offered."),
        ({"users": 99999}, "There is no such record"),
        ({"users": "x"}, "There is no such record"),
        ({"teams": "99999999999999999999"}, "There is no such record"),
    ):
        answer = send(browser, client.id, **values)
        assert answer.status_code == 422 and sentence in answer.text, values
        if values.get("users") == wang.id:
            assert f'<option value="{wang.id}" selected>wang</option>' in answer.text
    assert shared(client.id) == []


@both_databases
def test_a_share_is_seen_ended_and_brought_back(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    browser = login_as(li)
    assert send(browser, client.id, users=wang.id, until="2099-12-31").status_code == 302
    page = browser.get(f"/crm_client/{client.id}/_share").text
    assert "until 2099-12-31" in page and "2100" not in page
    (row,) = db.session.execute(select(Share.id), execution_options={"mortise_rules": False}).scalars()
    assert f"/ab_user/{wang.id}" in page and f"/_share/{row}/end" in page
    assert login_as(wang).post(f"/crm_client/{client.id}/_share/{row}/end").status_code == 403
    assert browser.post(f"/crm_client/{client.id}/_share/{row}/end").status_code == 302
    assert shared(client.id) == [] and browser.post(f"/crm_client/{client.id}/_share/{row}/end").status_code == 404
    told = db.session.execute(select(journal.c.verb, journal.c.user_id).where(journal.c.model == "core_share").order_by(journal.c.id)).all()
    assert [tuple(one) for one in told] == [("create", li.id), ("delete", li.id)]
    last = db.session.execute(select(journal.c.batch_id).where(journal.c.model == "core_share").order_by(journal.c.id.desc())).scalar()
    assert browser.post(f"/undo/{last}").status_code == 302
    assert shared(client.id) == [(wang.id, None, None, "read")]


@both_databases
def test_all_that_match_are_shared_by_a_job_which_is_undone_as_a_whole(app, login_as, acting_as, create, create_user):
    from core.job_runner import perform

    head = create_user("head", roles=["Sales manager"])
    wang = create_user("wang", roles=["Salesperson"])
    model = model_of("crm_client")
    for number in range(12):
        create("crm_client", name=f"Client {number}", owner=head)
    browser = login_as(head)
    page = browser.post("/crm_client/_bulk", data={"action": "_share", "all": "1"}).text
    assert "Share 12 records" in page and "and 4 more" in page
    ids = [one.id for one in db.session.execute(select(model), execution_options={"mortise_rules": False}).scalars()]
    answer = browser.post("/crm_client/_share", data={"_ids": ids, "_step": "apply", "users": wang.id, "access": "read"})
    assert answer.status_code == 302 and len(shared(ids[0])) == 1
    with acting_as(wang):
        assert records(model).count() == 12
    job = browser.post(
        "/crm_client/_share",
        data={"_all": "1", "_last": ids[-1], "_count": "501", "_step": "apply", "users": wang.id, "access": "edit", "until": "2099-01-01"},
    )
    assert job.status_code == 302
    db.session.commit()
    assert perform()
    assert {one[3] for number in ids for one in shared(number)} == {"edit"}


def test_programs_share_and_end_shares(app, api_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    program = api_as(li)
    answer = program.post("/api/v1/crm_client/_share", json={"ids": [client.id], "users": [wang.id], "until": "2099-12-31"})
    assert answer.status_code == 200 and answer.json == {"shares": 1}
    (row,) = program.get(f"/api/v1/crm_client/{client.id}/shares").json["result"]
    assert row["user"] == wang.id and row["access"] == "read" and row["until"].startswith("2099-12-31T16:00")
    assert api_as(wang).get(f"/api/v1/crm_client/{client.id}/shares").json["result"] == []
    for body, status in (
        ({"ids": []}, 422),
        ({"ids": ["1"]}, 422),
        ({"ids": [True]}, 422),
        ({"ids": [client.id]}, 422),
        ({"ids": [10**30], "users": [wang.id]}, 422),
        ({"ids": [client.id], "users": "1"}, 422),
        ({"ids": [client.id], "owner": 1}, 400),
        ({"ids": [99999], "users": [wang.id]}, 404),
    ):
        assert program.post("/api/v1/crm_client/_share", json=body).status_code == status, body
    assert api_as(wang).delete(f"/api/v1/crm_client/{client.id}/shares/{row['id']}").status_code == 403
    assert program.delete(f"/api/v1/crm_client/{client.id}/shares/{row['id']}").status_code == 200
    assert program.get(f"/api/v1/crm_client/{client.id}/shares").json["result"] == []


def test_an_addon_may_offer_less(app, acting_as, login_as, create, create_user, monkeypatch):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client, model = create("crm_client", name="Far Hills", owner=li), model_of("crm_client")
    monkeypatch.setattr(model, "share_access", ("read",))
    with acting_as(li), pytest.raises(Invalid):
        clean(model, {"users": [wang.id], "access": "edit"})
    monkeypatch.setattr(model, "share_access", ())
    assert login_as(li).get(f"/crm_client/{client.id}/_share").status_code == 403
    with acting_as(li):
        assert may("share", client) and shares_of(client) == []
        with pytest.raises(Refused):
            values = {"users": [wang.id], "departments": [], "teams": [], "access": "read", "until": now() + timedelta(days=1)}
            share(model, [client.id], values)
