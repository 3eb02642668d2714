"""What was: every kind of record has a history, comes back as it was, out of the trash too, and its last change is undone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from core.context import today
from core.db import db
from core.journal import journal
from core.model import fields_of, part_of
from core.web.views import view_of
from tests.contract.values import fill, values


@pytest.fixture
def ids(app, addon):
    return fill(addon)


@pytest.fixture
def made(its_models, ids, api_as):
    """For each kind of record that people may make: what one was first, what it is now, and whoever did it, by REST."""
    chief = api_as("chief", level="administrator")
    found = []
    for model in its_models:
        if not view_of(model).may_create:
            continue
        table = model.__tablename__
        answer = chief.post(f"/api/v1/{table}/", json=values(model, 77))
        assert answer.status_code == 201, (table, answer.json)
        number = answer.json["id"]
        first = state(chief, table, number)
        answer = chief.put(f"/api/v1/{table}/{number}", json=changed(model), headers={"If-Match": f'"{first["version"]}"'})
        assert answer.status_code == 200, (table, answer.json)
        found.append((model, number, first, state(chief, table, number)))
    return chief, found


def changed(model):
    """New values for all fields that may get any, links excepted: they would lead elsewhere what the first may depend upon."""
    given = values(model, 78)
    return {name: one for name, one in given.items() if fields_of(model)[name].kind.name not in ("link", "links")}


def state(chief, table, number):
    return chief.get(f"/api/v1/{table}/{number}").json["result"]


def said(before, after):
    """Two states without what every writing changes."""
    left = ("version", "changed_at", "changed_by")
    return [{name: one for name, one in each.items() if name not in left} for each in (before, after)]


def test_a_record_tells_what_it_was_and_becomes_it_again(made):
    chief, found = made
    for model, number, first, now in found:
        table = model.__tablename__
        moments = chief.get(f"/api/v1/{table}/{number}/past").json["result"]
        assert len(moments) == 2, (table, moments)
        then = chief.get(f"/api/v1/{table}/{number}/past", query_string={"row": moments[0]["row"], "with": moments[1]["row"]}).json
        told = {name: one for name, one in then["values"].items() if name in changed(model)}
        assert told == {name: first[name] for name in told} and (told or not changed(model)), table
        assert {one for one in changed(model) if first[one] != now[one]} <= set(then["changes"]), table
        answer = chief.post(f"/api/v1/{table}/{number}/past", json={"row": moments[0]["row"], "all": True})
        assert answer.status_code == 200, (table, answer.json)
        before, after = said(first, state(chief, table, number))
        assert before == after, table


def test_a_deleted_record_comes_back_out_of_the_trash(made):
    chief, found = made
    for model, number, _first, now in found:
        table = model.__tablename__
        answer = chief.delete(f"/api/v1/{table}/{number}", headers={"If-Match": f'"{now["version"]}"'})
        assert answer.status_code in (200, 204), (table, answer.json)
        assert chief.get(f"/api/v1/{table}/{number}").status_code == 404
        entries = chief.get("/api/v1/_trash", query_string={"model": table}).json["result"]
        row = next(one["row"] for one in entries if one["record_id"] == number)
        assert chief.post(f"/api/v1/_trash/{row}").status_code == 200, table
        before, after = said(now, state(chief, table, number))
        assert before == after, table


def test_the_journal_tells_each_change_and_a_batch_is_taken_back(made, login_as):
    chief, found = made
    boss = login_as("boss", level="system_administrator")
    for model, number, first, now in found:
        table = model.__tablename__
        mine = select(journal.c.verb, journal.c.batch_id).where(journal.c.model == table, journal.c.record_id == number)
        rows = db.session.execute(mine.order_by(journal.c.id)).all()
        assert [one.verb for one in rows] == ["create", "edit"], table
        page = boss.get("/settings/journal", query_string={"model": table, "record": number})
        assert page.status_code == 200 and f"/{table}/{number}" in page.text, table
        assert boss.post(f"/undo/{rows[1].batch_id}").status_code == 302
        before, after = said(first, state(chief, table, number))
        assert before == after, (table, now)


def test_lists_of_a_past_day_and_what_changed_know_every_kind(made):
    chief, found = made
    for model, number, _first, _now in found:
        table = model.__tablename__
        then = chief.get(f"/api/v1/{table}/", query_string={"as_of": (today() - timedelta(days=1)).isoformat()})
        assert then.status_code == 200 and then.json["result"] == [], (table, then.json)
        if part_of(model):
            # A line is a change of its whole.
            continue
        told = chief.get("/api/v1/_changes", query_string={"model": table, "scope": "all"})
        assert told.status_code == 200, (table, told.json)
        assert number in [one.get("id", one.get("record_id")) for one in told.json["result"]], (table, told.json)
