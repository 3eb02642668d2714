"""The journal's page answers questions, as a page and as a file, tells nobody what he may not see, and is kept by those who may."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core import journal as journal_module
from core.context import Actor, acting
from core.custom import CustomField
from core.db import db
from core.jobs import run_jobs
from core.journal import batch, batches, journal
from core.model import model_of
from core.people import MortiseUser
from core.records import records
from core.testing import both_databases
from core.web.history import verb_words
from tests.core.test_journal_keep import seal_all


def checked(chief) -> str:
    """What the page tells after a check by the job."""
    assert chief.post("/settings/journal/check").location == "/settings/journal/keep"
    run_jobs(once=True)
    return chief.get("/settings/journal/keep").text


@pytest.fixture
def told(app, login_as, create, create_user, clock):
    """Two people made and changed three clients on different days; the browser of a system administrator."""
    clock.set(datetime(2030, 1, 10, 9))
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    his, hers = login_as(li), login_as(wang)
    his.post("/crm_client/new", data={"name": 'Far "Hills" \\ Co', "email": "=cmd()@example.com", "_once": "a"})
    first = db.session.execute(select(func.max(model_of("crm_client").id))).scalar_one()
    clock.set(datetime(2030, 2, 10, 9))
    hers = login_as(wang)
    hers.post("/crm_client/new", data={"name": "Near Hills", "_once": "b"})
    second = db.session.execute(select(func.max(model_of("crm_client").id))).scalar_one()
    clock.set(datetime(2030, 2, 28, 15, 59, 59))
    his = login_as(li)
    his.post(f"/crm_client/{first}", data={"name": "Far Valley", "owner": li.id})
    chief = login_as("chief", level="system_administrator")
    return chief, first, second, li.id, wang.id


def numbers(chief, **words) -> set[tuple[str, str, str]]:
    """(record, action, field) of the file that answers a question."""
    answer = chief.get("/settings/journal/export", query_string={"model": "crm_client", **words})
    assert answer.status_code == 200, answer.text
    lines = list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"))))
    return {(line["Record"], line["Action"], line["Field"]) for line in lines}


@both_databases
def test_the_journal_answers_by_person_time_record_field_value_door_and_batch(told):
    chief, first, second, li, wang = told
    assert {one[0] for one in numbers(chief)} == {str(first), str(second)}
    assert {one[0] for one in numbers(chief, person=wang)} == {str(second)}
    assert {one[1] for one in numbers(chief, person=li)} == {"created", "changed"}
    assert {one[0] for one in numbers(chief, record=first, verb="create")} == {str(first)}
    # The firm is in Shanghai: 15:59:59 UTC is the last second of its day.
    assert {one[:2] for one in numbers(chief, since="2030-02-28", until="2030-02-28")} == {(str(first), "changed")}
    assert numbers(chief, since="2030-03-01") == set() and {one[0] for one in numbers(chief, until="2030-01-31")} == {str(first)}
    assert {one[1] for one in numbers(chief, field="name", value="Valley")} == {"changed"}
    assert {one[1] for one in numbers(chief, field="name", value='"Hills" \\ ')} == {"created", "changed"}
    assert numbers(chief, field="name", value="example.com") == set()
    assert {one[1] for one in numbers(chief, field="email", value="example.com")} == {"created"}
    assert numbers(chief, door="api") == set() and len(numbers(chief, door="screen")) == len(numbers(chief))
    batch = db.session.execute(select(journal.c.batch_id).where(journal.c.record_id == second, journal.c.model == "crm_client")).scalar()
    assert {one[0] for one in numbers(chief, batch=batch)} == {str(second)}
    page = chief.get(f"/settings/journal?model=crm_client&person={wang}").text
    assert "Near Hills" in page and "Far Valley" not in page
    assert "No entry here" in chief.get("/settings/journal?since=2031-01-01").text


@both_databases
def test_a_question_that_means_nothing_gets_a_sentence(told):
    chief = told[0]
    for words, sentence in {
        "record=x": "takes a number", "batch=99999999999999999999": "takes a number", "since=yesterday": "takes a day",
        "until=0001-01-01": "takes a day", "value=x": "choose the kind of record", "model=crm_client&field=Bobby');--": "There is no field",
        "model=crm_client&value=x&field=hash": "",
    }.items():  # fmt: skip
        answer = chief.get(f"/settings/journal?{words}")
        assert answer.status_code == (400 if sentence else 200), words
        assert sentence in answer.text
        assert chief.get(f"/settings/journal/export?{words}").status_code == answer.status_code, words


@both_databases
def test_the_file_holds_no_formula_is_journalled_and_is_for_administrators(told, login_as):
    chief, first, *_rest = told
    text = chief.get(f"/settings/journal/export?model=crm_client&record={first}").get_data().decode("utf-8-sig")
    assert "'=cmd()@example.com" in text and ",=cmd" not in text
    row = db.session.execute(select(journal.c.changes).where(journal.c.model == "core_journal", journal.c.verb == "export")).scalar_one()
    assert f'"record":[null,"{first}"]' in row
    clerk = login_as("clerk", roles=["Salesperson"])
    for address in ("", "/export", "/keep"):
        assert clerk.get(f"/settings/journal{address}").status_code == 403
    for address in ("check", "remove", "erase"):
        assert clerk.post(f"/settings/journal/{address}").status_code == 403


@both_databases
def test_an_administrator_finds_no_values_of_a_field_hidden_from_him(told, login_as, create, create_user):
    role = create("ab_role", name="Half blind")
    create("core_field_right", role=role, model="crm_client", field_name="email", access="hidden")
    half = create_user("half", level="administrator")
    half.role_rows = [role]
    db.session.commit()
    browser = login_as(half)
    if "email" not in browser.get(f"/crm_client/{told[1]}").text:
        answer = browser.get("/settings/journal?model=crm_client&field=email&value=example.com")
        assert answer.status_code == 400 and "There is no field" in answer.text
    assert "example.com" not in browser.get("/settings/journal/export?model=crm_client").text or "email" in browser.get(
        f"/crm_client/{told[1]}"
    ).text


@both_databases
def test_entries_are_taken_out_after_the_number_was_typed_and_erased_after_the_record_was_named_twice(told, login_as, app):
    chief, first, *_rest = told
    seal_all()
    assert "The journal is whole." in checked(chief)
    page = chief.post("/settings/journal/remove", data={"before": "2030-02-01"})
    assert page.status_code == 200 and "Type this number" in page.text
    from core.journal_keep import removable

    count, _top = removable(datetime(2030, 1, 31, 16))
    before = db.session.execute(select(func.count()).select_from(journal)).scalar_one()
    assert chief.post("/settings/journal/remove", data={"before": "2030-02-01", "count": str(count + 1)}).status_code == 422
    assert db.session.execute(select(func.count()).select_from(journal)).scalar_one() == before
    answer = chief.post("/settings/journal/remove", data={"before": "2030-02-01", "count": str(count)}, follow_redirects=True)
    assert "taken out and lies in the file" in answer.text
    assert len(list((app.config["MORTISE"].data / "journal").iterdir())) == 1
    lesser = login_as("lesser", level="administrator")
    assert "Take old entries out" not in lesser.get("/settings/journal/keep").text
    assert lesser.post("/settings/journal/remove", data={"before": "2030-02-01", "count": "1"}).status_code == 403
    for data in ({"before": ""}, {"before": "x"}, {"before": "0001-01-01"}, {"before": "9999-12-31"}):
        assert chief.post("/settings/journal/remove", data=data).status_code in (200, 302), data
    seal_all()
    named = {"model": "crm_client", "record": str(first)}
    assert "twice the same" in chief.post("/settings/journal/erase", data={**named, "again": "77"}, follow_redirects=True).text
    assert "emptied" in chief.post("/settings/journal/erase", data={**named, "again": str(first)}, follow_redirects=True).text
    assert "Valley" not in chief.get("/settings/journal/export?model=crm_client").text
    seal_all()
    assert "The journal is whole." in checked(chief)


@both_databases
def test_what_a_deleted_record_held_is_found_by_link_and_own_field_as_well(app, login_as):
    chief = login_as("chief", level="system_administrator")
    with acting(Actor(system=True)):
        records(CustomField).create({"model": "crm_client", "title": "Shoe size", "kind": "text"})
        db.session.commit()
        boss = db.session.execute(select(MortiseUser.id).where(MortiseUser.username == "chief")).scalar_one()
        name = db.session.execute(select(CustomField.name)).scalar_one()
        made = records(model_of("crm_client")).create({"name": "Far Hills", "owner": boss, name: "forty-two"})
        db.session.commit()
        number = made.id
    assert chief.delete(f"/api/v1/crm_client/{number}").status_code < 300
    for words in ({"field": name}, {"field": name, "value": "forty"}, {"field": "owner"}, {"field": "owner", "value": str(boss)}):
        found = numbers(chief, record=number, **words)
        assert {one[1] for one in found} == {"created", "deleted"}, (words, found)
    assert (str(number), "deleted", "Shoe size") in numbers(chief) and (str(number), "deleted", "Owner") in numbers(chief)
    assert numbers(chief, field=name, value="Far Hills") == set()


@both_databases
def test_columns_behind_the_fields_are_no_way_round_what_is_hidden(told):
    chief = told[0]
    for name in ("custom", "owner_id"):
        answer = chief.get(f"/settings/journal?model=crm_client&field={name}&value=1")
        assert answer.status_code == 400 and "There is no field" in answer.text, name


@both_databases
def test_a_large_batch_hides_nothing_of_those_below_it_and_is_seen_whole_by_its_link(app, login_as):
    chief = login_as("chief", level="system_administrator")
    chief.post("/crm_tag/new", data={"name": "Lonely", "_once": "a"})
    with acting(Actor(system=True)), batch("Many at once"):
        for number in range(700):
            records(model_of("crm_tag")).create({"name": f"Tag {number}"})
        db.session.commit()
    page = chief.get("/settings/journal?model=crm_tag").text
    assert "Tag Lonely" in page and page.count("Tag Tag ") == 8
    assert "and more than 592 more" in page
    number = db.session.execute(select(func.max(journal.c.batch_id)).where(journal.c.model == "crm_tag")).scalar_one()
    assert f'href="/settings/journal?batch={number}"' in page
    whole = chief.get(f"/settings/journal?batch={number}").text
    assert whole.count("Tag Tag ") == 600 and "and more; the file tells them all" in whole


def test_every_action_that_is_journalled_has_a_word():
    """Every constant that stands as an action in a call of the journal, in core and in the addons."""
    told, root = set(), Path(journal_module.__file__).parent
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        told |= set(re.findall(r'journal\.write(?:_beside|_many)?\(\[?\(?[^\n"]*(?:"[a-z_]+")?, [^\n"]*"([a-z][a-z -]+)", \{', text))
        told |= set(re.findall(r'^(?:VERB|FAILED) = "([a-z-]+)"$', text, re.MULTILINE))
        told |= set(re.findall(r'_tell\("([a-z-]+)"', text))
    assert {"seed", "demo", "mail-again", "mail-cancel", "password-link", "sign-in-failed", "sign-out", "backup-deleted"} <= told, told
    assert told <= set(verb_words()), told - set(verb_words())


@both_databases
def test_the_page_tells_who_and_by_which_door_from_the_rows_that_are_chained(told):
    chief, *_rest, wang = told
    table = batches
    mine = select(journal.c.batch_id).where(journal.c.model == "crm_client", journal.c.user_id == wang)
    li = db.session.execute(select(MortiseUser.id).where(MortiseUser.username == "li")).scalar_one()
    db.session.execute(update(table).where(table.c.id.in_(mine)).values(user_id=li, door="import"))
    db.session.commit()
    page = chief.get(f"/settings/journal?model=crm_client&person={wang}").text
    assert "<b>wang</b>" in page and "<b>li</b>" not in page and "by an import</span>" not in page
