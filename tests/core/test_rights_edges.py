"""Rights at their edges: a share that ends while its page is open, one whose addon sleeps, and what “Why?” must not give away."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from sqlalchemy import func, select

from core.db import db
from core.journal import journal
from core.people import Department, FieldRight, PersonalRight, Post, RoleRow, Share, Team
from core.testing import both_databases

NOON = datetime(2026, 5, 4, 12, 0)
QUIET = {"mortise_rules": False}


def rows_written():
    return db.session.execute(select(func.count()).select_from(journal)).scalar_one()


def stored(client):
    db.session.expire_all()
    return db.session.get(type(client), client.id).name


@both_databases
def test_a_share_that_ends_while_its_form_is_open_writes_nothing(app, login_as, api_as, create, create_user, clock):
    clock.set(NOON)
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    share = create(Share, model="crm_client", record_id=client.id, user=wang, access="edit", until=NOON + timedelta(minutes=5))
    hers, program = login_as(wang), api_as(wang)
    url = f"/crm_client/{client.id}"
    assert 'name="name"' in hers.get(url).text
    clock.set(share.until - timedelta(microseconds=1))
    assert hers.post(url, data={"name": "Near Hills", "status": "in_negotiation"}).status_code == 302
    # The moment of the end belongs to the end.
    clock.set(share.until)
    before = rows_written()
    assert hers.post(url, data={"name": "Her Hills", "status": "in_negotiation"}).status_code == 404
    assert hers.post(f"{url}/delete").status_code == 404
    many = {"_ids": client.id, "_field": "name", "name": "x", "_step": "apply"}
    assert hers.post("/crm_client/_edit", data=many).status_code in (403, 404)
    assert program.put(f"/api/v1{url}", json={"name": "Her Hills"}).status_code == 404
    for page in ("", "/_why", "/_history", "/_share", "/delete"):
        assert hers.get(url + page).status_code in (403, 404), page
    assert stored(client) == "Near Hills" and rows_written() == before


@both_databases
def test_a_share_that_falls_back_to_reading_while_its_form_is_open_writes_nothing(app, login_as, api_as, create, create_user, clock):
    clock.set(NOON)
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    east = create(Department, name="East")
    create(Post, user=wang, department=east)
    create(Share, model="crm_client", record_id=client.id, department=east, access="read")
    create(Share, model="crm_client", record_id=client.id, user=wang, access="edit", until=NOON + timedelta(minutes=5))
    hers, url = login_as(wang), f"/crm_client/{client.id}"
    assert 'name="name"' in hers.get(url).text
    clock.set(NOON + timedelta(minutes=5))
    before = rows_written()
    answer = hers.post(url, data={"name": "Her Hills", "status": "in_negotiation"})
    assert answer.status_code == 422 and "You may not change this record" in answer.text
    assert api_as(wang).put(f"/api/v1{url}", json={"name": "Her Hills"}).status_code == 403
    assert hers.get(url).status_code == 200 and stored(client) == "Far Hills" and rows_written() == before


@both_databases
def test_shares_of_a_sleeping_addon_open_nothing_and_are_there_again(app, login_as, api_as, create, create_user, clock):
    clock.set(NOON)
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    create(Share, model="crm_client", record_id=client.id, user=wang, access="edit")
    short = create(Share, model="crm_client", record_id=client.id, user=create_user("third", roles=["Salesperson"]), access="read",
                   until=NOON + timedelta(hours=1))  # fmt: skip
    hers, program, boss = login_as(wang), api_as(wang), login_as("boss", level="system_administrator")
    url = f"/crm_client/{client.id}"
    boss.post("/settings/addons/crm_client/off")
    before = rows_written()
    for page in ("", "/_share", "/_why"):
        assert hers.get(url + page).status_code == 404, page
    assert login_as(li).post("/crm_client/_share", data={"_ids": client.id, "_step": "apply", "users": wang.id}).status_code == 404
    assert login_as(li).post(f"{url}/_share/{short.id}/end").status_code == 404
    assert program.get(f"/api/v1{url}").status_code == 404 and program.get(f"/api/v1{url}/shares").status_code == 404
    assert rows_written() == before
    clock.set(NOON + timedelta(hours=1))
    hers, boss = login_as(wang), login_as("boss")
    boss.post("/settings/addons/crm_client/on")
    # What ended meanwhile has ended; the other is as it was.
    assert hers.get(url).status_code == 200 and login_as("third").get(url).status_code == 404
    assert hers.post(url, data={"name": "Near Hills", "status": "in_negotiation"}).status_code == 302


@both_databases
def test_why_calls_by_number_what_the_asker_may_not_read(app, login_as, api_as, create, create_user):
    """Names of people, departments, teams and records stand in chains; whoever may not read them reads their numbers."""
    li, secret = create_user("li", roles=["Law clerk"]), create_user("hidden-one", roles=["Law clerk"])
    place = create(Department, name="Secret place")
    create(Post, user=li, department=place)
    team = create(Team, name="Secret team", members=[li, secret])
    matter = create("law_matter", name="Secret matter", owner=secret, department=place, status="new")
    step = create("law_step", title="Letter", matter=matter)
    create(Share, model="law_matter", record_id=matter.id, department=place, access="edit")
    create(PersonalRight, user=li, model="law_matter", verb="read", scopes="department team")
    for model in ("core_department", "core_team"):
        create(PersonalRight, user=li, model=model, verb="read", denied=True)
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Law clerk")).one()
    create(FieldRight, role=role, model="law_matter", field_name="name", access="hidden")
    browser, program = login_as(li), api_as(li)
    told = []
    for table, number in (("law_matter", matter.id), ("law_step", step.id)):
        for verb in ("read", "edit", "delete"):
            page = browser.get(f"/{table}/{number}/_why?verb={verb}")
            answer = program.get(f"/api/v1/{table}/_why?record={number}&verb={verb}")
            assert page.status_code == answer.status_code == 200
            told += [page.text, answer.text]
    for text in told:
        assert "Secret place" not in text and "Secret team" not in text and "Secret matter" not in text
        assert f"/core_department/{place.id}" not in text and f"/core_team/{team.id}" not in text
    assert any(f"#{place.id}" in text for text in told)


@both_databases
def test_why_says_nothing_of_what_is_not_seen_nor_of_others(app, login_as, api_as, create, create_user):
    li, other = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    hidden = create("crm_client", name="Secret Springs", owner=other)
    contact = create("crm_contact", name="Mr Secret", client=hidden)
    browser, program = login_as(li), api_as(li)
    for url in (
        f"/crm_client/{hidden.id}/_why", f"/crm_contact/{contact.id}/_why", f"/crm_client/{hidden.id}/_why?verb=edit&field=name",
        f"/crm_client/_why?person={other.id}", f"/ab_user/{other.id}/_rights", f"/ab_user/_why?person={other.id}",
    ):  # fmt: skip
        answer = browser.get(url)
        assert answer.status_code in (403, 404), url
        assert "Secret" not in answer.text, url
    for words in (f"record={hidden.id}", f"person={other.id}", f"record={hidden.id}&person={other.id}"):
        answer = program.get(f"/api/v1/crm_client/_why?{words}")
        assert answer.status_code in (403, 404) and "Secret" not in answer.text, words
    # There and not there are told apart by nothing.
    gone = browser.get(f"/crm_client/{hidden.id + 1000}/_why").text
    seen = browser.get(f"/crm_client/{hidden.id}/_why").text
    assert _plain(gone) == _plain(seen)


def _plain(text):
    """The page without what differs between any two requests."""
    return re.sub(r"[0-9a-f]{12}|nonce-?=?\S+|/crm_client/\d+|crm_client%2F\d+|csrf\S+|content=\"\S+\"", "", text)
