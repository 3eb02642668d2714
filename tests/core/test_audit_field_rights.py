"""A field closed to a role is closed at every door: pages, lists, sorting, filters, search, lookup, files, history and the API."""

import json
import re

import pytest
from sqlalchemy import select

from core import records
from core.context import Actor, acting
from core.db import db
from core.model import model_of
from core.people import FieldRight, PersonalRight, RoleRow
from core.testing import both_databases

SECRET = "271828.18"


@pytest.fixture
def clerk(create_user):
    return create_user("clerk", roles=["Law clerk"], department="North")


@pytest.fixture
def may_export(create, clerk):
    """The right to export, which clerks have not by their role."""
    create(PersonalRight, user=clerk, model="law_matter", verb="export", scopes="own")


@pytest.fixture
def close(create):
    """``close("law_matter", "amount", "hidden")``: what clerks may do with a field from now on."""

    def make(table, name, access):
        role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Law clerk")).one()
        create(FieldRight, role=role, model=table, field_name=name, access=access)

    return make


@pytest.fixture
def matter(create, clerk):
    """A matter of the clerk's whose amount an administrator has changed, so that the history tells of it."""
    found = create("law_matter", name="Lease", owner=clerk, status="new", amount=1)
    with acting(Actor(door="system", system=True)):
        records(model_of("law_matter")).edit(found, {"amount": SECRET})
        db.session.commit()
    return found.id


def shown(text):
    """Whether the amount can be read in an answer, however it is written."""
    return "271828" in text.replace(",", "").replace(" ", "")


@both_databases
def test_a_hidden_field_is_nowhere_on_the_screens(login_as, clerk, matter, close, may_export):
    browser = login_as(clerk)
    pages = ["/law_matter/", f"/law_matter/{matter}", f"/law_matter/{matter}/_history", "/law_matter/_export"]
    browser.post("/law_matter/_columns", data={"columns": ["name", "amount"]})
    assert [shown(browser.get(url).text) for url in pages] == [True] * 4
    close("law_matter", "amount", "hidden")
    for url in [*pages, "/law_matter/new", "/law_matter/new?amount=5", "/law_matter/_lookup", "/law_matter/?order=-amount"]:
        answer = browser.get(url)
        assert answer.status_code == 200 and not shown(answer.text), url
        assert not re.search(r'name="amount"|>\s*Amount\s*<', answer.text), url
    tree = json.dumps({"field": "amount", "op": "gt", "value": 1000})
    for url in ("/law_matter/", "/law_matter/_export"):
        assert browser.get(url, query_string={"filter": tree}).status_code == 400, url
    assert browser.get("/law_matter/_export?order=amount").status_code == 400


@both_databases
def test_a_hidden_field_cannot_be_written_from_a_form(login_as, clerk, matter, close):
    close("law_matter", "amount", "hidden")
    browser = login_as(clerk)
    browser.post(f"/law_matter/{matter}", data={"name": "Lease 2", "status": "new", "amount": "5"})
    browser.post("/law_matter/new", data={"name": "Loan", "status": "new", "amount": "5"})
    found = dict(db.session.execute(select(model_of("law_matter").name, model_of("law_matter").amount)).all())
    assert str(found.pop("Lease 2", found.pop("Lease", None))) == SECRET and set(found.values()) <= {None}


@both_databases
def test_a_read_only_field_is_shown_and_stays(login_as, clerk, matter, close):
    close("law_matter", "amount", "read_only")
    browser = login_as(clerk)
    page = browser.get(f"/law_matter/{matter}").text
    assert shown(page) and not re.search(r'<input[^>]*name="amount"', page)
    browser.post(f"/law_matter/{matter}", data={"name": "Lease", "status": "open", "amount": "5"})
    db.session.expire_all()
    assert str(db.session.get(model_of("law_matter"), matter).amount) == SECRET


@both_databases
def test_a_hidden_title_is_no_name_anywhere(login_as, api_as, create, clerk, close):
    mine = create("law_matter", name="Lease of the mill", owner=clerk, status="new")
    step = create("law_step", title="Letter", matter=mine)
    for verb in ("read", "export"):
        create(PersonalRight, user=clerk, model="law_step", verb=verb, scopes="all")
    browser, program = login_as(clerk), api_as(clerk)
    urls = [
        "/law_matter/", f"/law_matter/{mine.id}", "/law_matter/_lookup", f"/law_matter/{mine.id}/_history", "/law_step/",
        f"/law_step/{step.id}", f"/law_step/{step.id}/_history", "/law_step/_export", f"/law_matter/{mine.id}/_related/law_step/matter",
    ]  # fmt: skip
    told = [url for url in urls if "of the mill" in browser.get(url).text]
    assert len(told) > 5, told
    close("law_matter", "name", "hidden")
    for url in [*urls, "/law_matter/_lookup?q=mill", "/law_matter/?q=mill", "/law_matter/?order=name", "/law_step/?order=matter"]:
        answer = browser.get(url)
        assert answer.status_code == 200 and "of the mill" not in answer.text, url
    for url in ("/api/v1/law_matter/", f"/api/v1/law_matter/{mine.id}", "/api/v1/law_step/"):
        assert "of the mill" not in program.get(url).text, url
    tree = json.dumps({"field": "matter.name", "op": "contains", "value": "mill"})
    assert program.get("/api/v1/law_step/", query_string={"filter": tree}).status_code == 400
    assert program.get("/api/v1/law_matter/?q=mill").json["result"] == []
    done = browser.post(f"/law_matter/{mine.id}", data={"status": "open"}, follow_redirects=True)
    assert "of the mill" not in done.text


# -- rights of one person -------------------------------------------------------------------------------------------------

DOORS = ["/law_vault/", "/law_vault/_lookup", "/law_vault/?q=Seal", "/api/v1/law_vault/", "/api/v1/law_vault/_info"]


@both_databases
def test_a_right_of_ones_own_opens_every_door_and_a_denial_closes_them(login_as, api_as, create, clerk):
    vault = create("law_vault", name="Seal")
    doors = [*DOORS, f"/law_vault/{vault.id}", f"/api/v1/law_vault/{vault.id}", f"/law_vault/{vault.id}/_history", "/law_vault/_export"]
    browser, program = login_as(clerk), api_as(clerk)

    def answers():
        return {url: (program if url.startswith("/api") else browser).get(url) for url in doors}

    assert {url: one.status_code for url, one in answers().items() if one.status_code != 403} == {}
    for verb in ("read", "export"):
        create(PersonalRight, user=clerk, model="law_vault", verb=verb, scopes="all")
    found = answers()
    assert {one.status_code for one in found.values()} == {200}
    assert [url for url, one in found.items() if "Seal" not in one.text] == ["/api/v1/law_vault/_info"]
    create(PersonalRight, user=clerk, model="law_vault", verb="read", denied=True)
    found = answers()
    assert {url: one.status_code for url, one in found.items() if one.status_code != 403} == {}
    assert not [url for url, one in found.items() if "Seal" in one.text]
    # The menu and the description of the API do not name it either.
    assert "/law_vault/" not in browser.get("/law_matter/").text and "/api/v1/law_vault/" not in program.get("/api/v1/_openapi").text


@both_databases
def test_a_denial_holds_for_an_administrator_in_the_journal_too(login_as, create, create_user):
    boss = create_user("boss", level="administrator")
    with acting(Actor(door="system", system=True)):
        records(model_of("law_vault")).create({"name": "Seal"})
        db.session.commit()
    browser = login_as(boss)
    assert "Seal" in browser.get("/settings/journal").text
    create(PersonalRight, user=boss, model="law_vault", verb="read", denied=True)
    assert "Seal" not in browser.get("/settings/journal").text
