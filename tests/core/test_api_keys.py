"""API keys: what opens, what does not, and how they end."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.api_keys import keys
from core.db import db
from core.journal import journal
from core.people import MortiseUser, PersonalRight
from core.testing import PASSWORD, both_databases, settle


def make(browser, **values):
    answer = browser.post("/account/keys", data={"name": "The till", "reach": "read", **values})
    assert answer.status_code == 200, answer.text[:500]
    return re.search(r"(mk_[\w-]{43})</code>", answer.text)[1]


def program(app, secret):
    made = app.test_client()
    made.headers = {"Authorization": f"Bearer {secret}"}
    return made


@both_databases
def test_a_key_reads_or_writes_what_its_person_may_and_no_more(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    his, hers = create("crm_client", name="His", owner=li), create("crm_client", name="Hers", owner=wang)
    browser = login_as(li)
    reading = program(app, make(browser))
    assert [one["name"] for one in reading.get("/api/v1/crm_client/").json["result"]] == ["His"]
    assert reading.get(f"/api/v1/crm_client/{hers.id}").status_code == 404
    refused = reading.put(f"/api/v1/crm_client/{his.id}", json={"address": "Here"})
    assert refused.status_code == 403 and refused.json["reasons"][0]["kind"] == "key"
    assert reading.post("/api/v1/crm_client/", json={"name": "New"}).status_code == 403
    writing = program(app, make(browser, reach="write"))
    assert writing.put(f"/api/v1/crm_client/{his.id}", json={"address": "Here"}).status_code == 200
    assert writing.put(f"/api/v1/crm_client/{hers.id}", json={"address": "Here"}).status_code == 404
    contacts = program(app, make(browser, reach="write", tables="crm_contact"))
    assert contacts.get("/api/v1/crm_client/").status_code == 403
    assert contacts.post("/api/v1/crm_contact/", json={"name": "Zhao", "client": his.id}).status_code in (201, 422)
    create(PersonalRight, user=li, model="crm_client", verb="read", denied=True)
    assert reading.get("/api/v1/crm_client/").status_code == 403


@both_databases
def test_an_administrators_key_is_narrowed_too(app, login_as, create):
    boss = login_as("boss", level="administrator")
    reading = program(app, make(boss))
    client = create("crm_client", name="One")
    assert reading.get("/api/v1/ab_user/").status_code == 200
    assert reading.delete(f"/api/v1/crm_client/{client.id}").status_code == 403
    body = {"username": "new", "name": "New", "email": "n@example.com", "active": True, "level": "employee"}
    assert reading.post("/api/v1/ab_user/", json=body).status_code == 403


@both_databases
def test_a_narrow_key_hides_nothing_from_permission_tests_and_explanations(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    hers = create("crm_client", name="Hers", owner=wang)
    role = li.role_rows[0]
    create("core_right_test", role=role, expected="never", verb="read", model="crm_client", rows="others")
    boss = login_as("boss", level="administrator")
    narrow = program(app, make(boss, reach="write", tables=["core_personal_right", "ab_user"]))
    body = {"user": li.id, "model": "crm_client", "verb": "read", "scopes": "all"}
    refused = narrow.post("/api/v1/core_personal_right/", json=body)
    # The record is named by its number where the key may not read its title.
    assert refused.status_code == 422 and f"#{hers.id}" in refused.json["message"]
    reading = program(app, make(boss, tables=["crm_client", "core_personal_right", "core_role_right", "ab_user"]))
    told = reading.get(f"/api/v1/crm_client/_why?record={hers.id}&verb=edit&person={wang.id}").json
    assert told["allowed"]
    assert not reading.get(f"/api/v1/crm_client/_why?record={hers.id}&verb=edit").json["allowed"]


@both_databases
def test_a_key_ends_with_its_day_its_deletion_and_its_account(app, login_as, create_user, clock):
    li = create_user("li", roles=["Salesperson"])
    browser, boss = login_as(li), login_as("boss", level="administrator")
    today = clock.now() + timedelta(hours=8)
    short, other, third = make(browser, until=f"{today:%Y-%m-%d}"), make(browser), make(browser)
    assert program(app, short).get("/api/v1/crm_client/").status_code == 200
    clock.advance(timedelta(days=1, minutes=1))
    assert program(app, short).get("/api/v1/crm_client/").status_code == 401
    assert program(app, other).get("/api/v1/crm_client/").status_code == 200
    rows = db.session.execute(select(keys).order_by(keys.c.id)).all()
    assert rows[0].used_at is not None and rows[2].used_at is None and other not in str(rows)
    browser = login_as(li)
    page = browser.get("/account/keys").text
    assert "over" in page and other not in page and "never used" in page
    assert login_as("wang").post(f"/account/keys/{rows[1].id}/delete").status_code == 404
    assert browser.post(f"/account/keys/{rows[1].id}/delete").status_code == 302
    assert program(app, other).get("/api/v1/crm_client/").status_code == 401
    boss = login_as("boss")
    assert f"/ab_user/{li.id}/keys/{rows[2].id}/delete" in boss.get(f"/ab_user/{li.id}").text
    li.active = False
    db.session.commit()
    assert program(app, third).get("/api/v1/crm_client/").status_code == 401
    assert db.session.execute(select(keys.c.id)).all() == []


def test_keys_open_the_api_alone_and_nothing_else_is_one(app, login_as, create_user):
    secret = make(login_as(create_user("li", roles=["Salesperson"])))
    one = program(app, secret)
    assert one.get("/crm_client/").status_code in (302, 401) and one.get("/account").status_code in (302, 401)
    for wrong in ("mk_", secret[:-1], secret + "x", "mk_" + "a" * 43, secret.upper(), "mk_ü"):
        assert program(app, wrong).get("/api/v1/crm_client/").status_code == 401, wrong


def test_an_administrator_takes_keys_away_below_him(app, login_as, create_user):
    equal = create_user("equal", level="administrator")
    make(login_as(equal))
    (number,) = db.session.execute(select(keys.c.id)).scalars()
    assert login_as("boss", level="administrator").post(f"/ab_user/{equal.id}/keys/{number}/delete").status_code == 403
    assert login_as("chief", level="system_administrator").post(f"/ab_user/{equal.id}/keys/{number}/delete").status_code == 302


@pytest.mark.parametrize(("values", "said"), [
    ({"name": " "}, "Give the key a name"), ({"reach": "own"}, "Please choose one of the values offered."),
    ({"tables": "nothing"}, "Please choose one of the values offered."), ({"until": "2020-01-01"}, "This day is over"),
    ({"until": "some day"}, "2026-11-30"),
])  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_made(app, login_as, values, said):
    answer = login_as("li").post("/account/keys", data={"name": "The till", "reach": "read", **values})
    assert answer.status_code == 422 and said in answer.text
    assert db.session.execute(select(keys.c.id)).all() == []


def told(verb):
    """What the journal tells of keys with this verb, oldest first."""
    db.session.rollback()
    found = db.session.execute(select(journal.c.record_id, journal.c.changes).where(journal.c.verb == verb).order_by(journal.c.id)).all()
    settle()
    return [(row.record_id, json.loads(row.changes)) for row in found]


@both_databases
def test_the_journal_tells_which_key_was_made_or_ended_and_how_far_it_reached(app, login_as, create_user):
    li = create_user("li", roles=["Salesperson"])
    boss = login_as("boss", level="administrator")
    browser = login_as(li)
    make(browser)
    make(browser, name="The shop", reach="write", tables="crm_client", until="2099-12-31")
    made = told("api-key")
    assert [person for person, _facts in made] == [li.id, li.id]
    assert made[0][1].keys() == {"key", "start", "reach"} and made[0][1]["reach"] == [None, "read"]
    assert made[1][1]["key"] == [None, "The shop"] and made[1][1]["reach"] == [None, "crm_client:write"] and made[1][1]["until"][0] is None
    page = boss.get("/settings/journal?verb=api-key").text
    assert "The shop" in page and "read and write: Clients" in page
    # Ended by its owner, together with a password, and with the account: each is told, and which one it was.
    one = db.session.scalars(select(keys.c.id).where(keys.c.name == "The shop")).one()
    db.session.rollback()
    browser.post(f"/account/keys/{one}/delete")
    assert [(person, facts["key"]) for person, facts in told("api-key-end")] == [(li.id, ["The shop", None])]
    words = {"current": PASSWORD, "new": "another long horse", "again": "another long horse", "keys": "1"}
    assert browser.post("/account/password", data=words).status_code == 302
    assert [facts["key"] for _person, facts in told("api-key-end")] == [["The shop", None], ["The till", None]]
    wang = create_user("wang", roles=["Salesperson"])
    make(login_as(wang), name="The last")
    user = db.session.get(MortiseUser, wang.id)
    user.active = False
    db.session.commit()
    assert [facts["key"] for _person, facts in told("api-key-end")][2:] == [["The last", None]]
