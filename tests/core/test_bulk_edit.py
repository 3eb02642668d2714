"""One new value for many records: what may be chosen, what it would change, and that it is written for all or for nobody."""

import re
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select

from core import job_runner
from core.context import system
from core.db import db
from core.job_list import job_status
from core.jobs import core_job
from core.journal import journal
from core.model import model_of
from core.options import Option
from core.people import FieldRight, RoleRight, RoleRow
from core.records import records
from core.testing import both_databases


@pytest.fixture
def house(app, login_as):
    """Five clients and an administrator's browser."""
    model = model_of("crm_client")
    rows = [{"name": f"Client {number}", "address": f"Street {number}"} for number in range(5)]
    ids = [one.record.id for one in records(model).create_many(rows)]
    db.session.commit()
    return SimpleNamespace(model=model, ids=ids, chief=login_as("chief", level="administrator"))


def fields_in(page):
    """What the last form of a page would send."""
    form = page[page.rindex('<form method="post" action="/crm_client/_edit"') :]
    form = form[: form.index("</form>")]
    sent = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form):
        sent.setdefault(name, []).append(value.replace("&#34;", '"').replace("&amp;", "&"))
    sent.pop("csrf_token", None)
    return sent


def look(browser, ids, field, value, **more):
    """The page that shows what would change."""
    return browser.post("/crm_client/_edit", data={"_ids": ids, "_field": field, field: value, "_step": "show", **more})


def apply(browser, page, **more):
    """Press the button below what would change."""
    return browser.post("/crm_client/_edit", data={**fields_in(page.text), "_step": "apply", **more})


def values(house, name):
    db.session.commit()
    return [getattr(one, name) for one in records(house.model).many(house.ids)]


@both_databases
def test_a_new_value_is_chosen_looked_at_applied_and_undone(house):
    assert 'name="action" value="_edit"' in house.chief.get("/crm_client/").text
    first = house.chief.post("/crm_client/_bulk", data={"action": "_edit", "ids": house.ids[:3], "next": "/crm_client/?q=Client"})
    assert first.status_code == 200 and "Edit 3 records" in first.text
    offered = re.findall(r'<option value="(\w+)"', first.text)
    # A number that is given once, and what the house keeps itself, is not for many.
    assert "status" in offered and "address" in offered and not {"code", "id", "created_at", "version"} & set(offered)
    second = house.chief.post("/crm_client/_edit", data={**fields_in(first.text), "_field": "status"})
    assert '<select class="m-value" id="field-status"' in second.text and "What changes" not in second.text
    third = house.chief.post("/crm_client/_edit", data={**fields_in(second.text), "_step": "show", "status": "signed"})
    assert re.search(r"Client 1.*Nobody in contact</span> → <b>Signed", third.text, re.DOTALL)
    assert "Change 3 records" in third.text and values(house, "status") == ["nobody_in_contact"] * 5
    done = apply(house.chief, third)
    assert done.status_code == 302 and done.location == "/crm_client/?q=Client"
    assert values(house, "status") == ["signed"] * 3 + ["nobody_in_contact"] * 2
    page = house.chief.get("/crm_client/").text
    assert "3 records were changed." in page
    assert house.chief.post(re.search(r"/undo/\d+", page)[0]).status_code == 302
    assert values(house, "status") == ["nobody_in_contact"] * 5


@both_databases
def test_an_empty_value_empties_the_field_unless_it_is_needed(house):
    page = look(house.chief, house.ids[:2], "address", "")
    assert re.search(r"Street 0</span> → <b>—", page.text)
    assert apply(house.chief, page).status_code == 302
    assert values(house, "address") == [None, None, "Street 2", "Street 3", "Street 4"]
    refused = look(house.chief, house.ids, "name", "")
    assert refused.status_code == 422 and "“Name” is needed." in refused.text and "What changes" not in refused.text


@both_databases
def test_a_value_of_the_wrong_kind_or_no_longer_offered_is_refused_beside_the_field(house):
    for field, value in (("email", "no address"), ("status", "nonsense"), ("owner", "999999"), ("owner", "x")):
        page = look(house.chief, house.ids, field, value)
        assert page.status_code == 422 and 'aria-invalid="true"' in page.text, (field, value)
        assert (
            house.chief.post("/crm_client/_edit", data={"_ids": house.ids, "_field": field, field: value, "_step": "apply"}).status_code
            == 422
        )
    option = db.session.scalars(select(Option).where(Option.key == "dead")).one()
    option.retired = True
    db.session.commit()
    assert look(house.chief, house.ids, "status", "dead").status_code == 422
    assert values(house, "status") == ["nobody_in_contact"] * 5
    assert db.session.scalar(select(func.count()).where(journal.c.verb == "edit", journal.c.model == "crm_client")) == 0


@both_databases
def test_a_record_that_was_changed_meanwhile_stops_it_and_is_shown_anew(house):
    page = look(house.chief, house.ids, "address", "Here")
    records(house.model).edit(house.ids[1], {"address": "Elsewhere"})
    clash = apply(house.chief, page)
    assert clash.status_code == 409 and "“Client 1” was changed meanwhile" in clash.text and "Elsewhere</span>" in clash.text
    assert values(house, "address")[1] == "Elsewhere" and "Here" not in values(house, "address")
    records(house.model).delete(house.ids[4])
    gone = apply(house.chief, clash)
    assert gone.status_code == 409 and "1 record is gone" in gone.text and "Change 4 records" in gone.text
    assert apply(house.chief, gone).status_code == 302
    assert values(house, "address") == ["Here"] * 4


@both_databases
def test_one_record_out_of_reach_stops_all_and_is_named(house, create, create_user, login_as):
    person = create_user("anna", roles=["Porter"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Porter")).one()
    for verb, scopes in {"read": "all", "edit": "own", "bulk": "all"}.items():
        create(RoleRight, role=role, model="crm_client", verb=verb, scopes=scopes)
    for number in house.ids[:4]:
        records(house.model).edit(number, {"owner": person.id})
    browser = login_as(person)
    page = look(browser, house.ids, "address", "Here")
    refused = apply(browser, page)
    assert refused.status_code == 422 and "Nothing was changed." in refused.text
    assert re.search(r"“Client 4”: You may not change this record", refused.text)
    assert "Client 0”" not in refused.text.split("What changes")[0]
    assert values(house, "address") == [f"Street {number}" for number in range(5)]
    assert apply(browser, look(browser, house.ids[:4], "address", "Here")).status_code == 302
    assert values(house, "address") == ["Here"] * 4 + ["Street 4"]


@both_databases
def test_hidden_and_read_only_fields_are_not_offered_and_not_taken(house, create, create_user, login_as):
    person = create_user("anna", roles=["Porter"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Porter")).one()
    for verb in ("read", "edit", "bulk"):
        create(RoleRight, role=role, model="crm_client", verb=verb, scopes="all")
    create(FieldRight, role=role, model="crm_client", field_name="address", access="hidden")
    create(FieldRight, role=role, model="crm_client", field_name="remarks", access="read_only")
    browser = login_as(person)
    first = browser.post("/crm_client/_bulk", data={"action": "_edit", "ids": house.ids}).text
    offered = re.findall(r'<option value="(\w+)"', first)
    assert "status" in offered and not {"address", "remarks"} & set(offered)
    for field in ("address", "remarks", "id", "code", "nothing"):
        page = browser.post("/crm_client/_edit", data={"_ids": house.ids, "_field": field, field: "X", "_step": "apply"})
        assert page.status_code == 200 and "Street" not in page.text and "What changes" not in page.text
    assert values(house, "address")[0] == "Street 0" and values(house, "remarks") == [None] * 5


@both_databases
def test_without_the_right_to_change_many_there_is_no_button_and_no_way(house, create, create_user, login_as):
    person = create_user("anna", roles=["Porter"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Porter")).one()
    for verb in ("read", "edit"):
        create(RoleRight, role=role, model="crm_client", verb=verb, scopes="all")
    browser = login_as(person)
    assert 'value="_edit"' not in browser.get("/crm_client/").text
    assert browser.post("/crm_client/_bulk", data={"action": "_edit", "ids": house.ids}).status_code == 404
    for step in ("", "show", "apply"):
        sent = {"_ids": house.ids, "_field": "status", "status": "signed", "_step": step}
        assert browser.post("/crm_client/_edit", data=sent).status_code == 403
    assert browser.post("/nothing/_edit", data={}).status_code == 404
    assert values(house, "status") == ["nobody_in_contact"] * 5


@both_databases
def test_all_that_match_get_the_new_value_by_a_job_that_refuses_with_reasons(house):
    rows = [{"name": f"More {number}", "remarks": "x"} for number in range(600)]
    more = [one.record.id for one in records(house.model).create_many(rows)]
    db.session.commit()
    tree = '{"field":"name","op":"contains","value":"More"}'
    first = house.chief.post("/crm_client/_bulk", data={"action": "_edit", "all": "1", "filter": tree})
    assert "Edit 600 records" in first.text
    sent = fields_in(first.text)
    page = house.chief.post("/crm_client/_edit", data={**sent, "_field": "status", "_step": "show", "status": "signed"})
    assert "Change 600 records" in page.text and "and 592 more" in page.text and "goes on in the background" in page.text
    assert apply(house.chief, page).status_code == 302
    assert "See how far it is" in house.chief.get("/crm_client/").text
    one = db.session.scalars(select(core_job.c.id)).one()
    db.session.commit()
    job_runner.perform(only=one, awake=["core"])
    with system():
        shown = job_status(one)
    assert shown["state"] == "done" and shown["memory"]["result"]["sentence"] == "Done with 600 records."
    assert "Edit “Status”: 600 Clients" in shown["text"]
    assert {each.status for each in records(house.model).many(more)} == {"signed"}
    assert values(house, "status") == ["nobody_in_contact"] * 5


@both_databases
def test_links_dates_and_words_are_given_like_on_the_form(house, create_user):
    li = create_user("li", name="Li Wei")
    page = look(house.chief, house.ids, "owner", str(li.id))
    assert "<b>Li Wei</b>" in page.text
    assert apply(house.chief, page).status_code == 302
    assert values(house, "owner_id") == [li.id] * 5
    page = look(house.chief, house.ids, "remarks", "<b>one</b>\nand “two”")
    assert "&lt;b&gt;one" in page.text
    sent = {**fields_in(page.text), "remarks": "<b>one</b>\nand “two”", "_step": "apply"}
    assert house.chief.post("/crm_client/_edit", data=sent).status_code == 302
    assert values(house, "remarks") == ["<b>one</b>\nand “two”"] * 5
