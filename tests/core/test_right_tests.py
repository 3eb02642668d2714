"""Permission tests in sentences: what they say, what breaks them, and that no door lets a change through that would break one."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core import right_tests
from core.db import db
from core.errors import Invalid
from core.people import Department, PersonalRight, Post, RoleRight, RoleRow, Share
from core.right_tests import RightTest, counter_of, sentence
from core.testing import both_databases

QUIET = {"mortise_rules": False}


def role_of(name):
    return db.session.execute(select(RoleRow).where(RoleRow.name == name), execution_options=QUIET).scalars().one()


@pytest.fixture
def firm(app, create, create_user):
    """Two departments of sales, a salesperson and a client in each, and what each may not do with the other's."""

    class Firm:
        east, west = create(Department, name="East"), create(Department, name="West")
        li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])

    Firm.east_post, Firm.west_post = create(Post, user=Firm.li, department=Firm.east), create(Post, user=Firm.wang, department=Firm.west)
    Firm.his = create("crm_client", name="His", owner=Firm.li, department=Firm.east)
    Firm.hers = create("crm_client", name="Hers", owner=Firm.wang, department=Firm.west)
    Firm.never = create(
        RightTest, role=role_of("Salesperson"), of_department=Firm.east, expected="never", verb="read", model="crm_client",
        rows="department", row_department=Firm.west,
    )  # fmt: skip
    return Firm


def holds(test):
    db.session.expire_all()
    return db.session.execute(select(RightTest.holds).where(RightTest.id == test.id), execution_options=QUIET).scalar_one()


@both_databases
def test_a_sentence_is_read_and_holds(firm):
    assert sentence(firm.never) == "Salesperson of “East” – never: See, Clients of “West”"
    assert counter_of(firm.never) is None and holds(firm.never) is True


@both_databases
def test_a_change_that_would_break_it_is_refused_with_the_record_that_shows_it(firm, login_as, api_as):
    boss = login_as("boss", level="administrator")
    role = role_of("Salesperson")
    answer = boss.post(f"/ab_role/{role.id}/_rights/crm_client", data={"verb-read": "all"})
    assert answer.status_code == 422 and "Hers" in answer.text and "li" in answer.text and "never: See" in answer.text
    # The form is still there, with what was chosen.
    assert '<option value="all" selected>' in answer.text
    db.session.rollback()
    assert db.session.execute(select(RoleRight), execution_options=QUIET).first() is None
    program = api_as("chief", level="administrator")
    body = {"user": firm.li.id, "model": "crm_client", "verb": "read", "scopes": "all"}
    refused = program.post("/api/v1/core_personal_right/", json=body)
    assert refused.status_code == 422 and "Hers" in refused.json["message"]
    assert program.post("/api/v1/core_personal_right/", json={**body, "user": firm.wang.id}).status_code == 201
    # One more post in her department, with the scope of a manager, is refused as well.
    answer = boss.post("/core_post/new", data={"user": firm.li.id, "department": firm.west.id})
    assert answer.status_code == 302
    manager = role_of("Sales manager")
    answer = program.put(f"/api/v1/ab_user/{firm.li.id}", json={"role_rows": [role.id, manager.id]})
    assert answer.status_code == 422 and "Hers" in answer.json["message"]


def test_the_list_says_the_sentences_and_the_page_says_who_breaks_one(firm, create, login_as):
    create(RightTest, role=role_of("Salesperson"), expected="always", verb="read", model="crm_client", rows="all")
    boss = login_as("boss", level="administrator")
    page = boss.get("/core_right_test/").text
    assert "Salesperson of “East” – never: See, Clients of “West”" in page and "The sentence" in page
    assert "Salesperson – always: See, all Clients (does not hold)" in page
    broken = boss.get("/core_right_test/2").text
    assert "“wang” may not: See – His" in broken and "/_why?person=" in broken


def test_history_tells_rights_in_words(firm, create, api_as, login_as):
    chief = api_as("chief", level="administrator")
    body = {"user": firm.wang.id, "model": "crm_client", "verb": "bulk", "scopes": "own below"}
    number = chief.post("/api/v1/core_personal_right/", json=body).json["id"]
    page = login_as("boss", level="administrator").get(f"/core_personal_right/{number}/_history").text
    assert "Change many at once" in page and "those of the department and below" in page and "crm_client" not in page


@both_databases
def test_code_and_shares_pass_the_same_gate(firm, create, login_as):
    with pytest.raises(Invalid, match="Hers"):
        create(PersonalRight, user=firm.li, model="crm_client", verb="read", scopes="all")
    db.session.rollback()
    with pytest.raises(Invalid, match="Hers"):
        create(Share, model="crm_client", record_id=firm.hers.id, user=firm.li, access="read")
    db.session.rollback()
    hers = login_as(firm.wang)
    data = {"_ids": firm.hers.id, "_step": "apply", "users": firm.li.id, "access": "read"}
    assert hers.post("/crm_client/_share", data=data).status_code == 422
    create(Share, model="crm_client", record_id=firm.his.id, user=firm.wang, access="read")
    assert holds(firm.never)


def test_what_says_nothing_of_rights_asks_no_test(firm, monkeypatch):
    asked = []
    monkeypatch.setattr(right_tests, "ask_all", lambda: asked.append(1))
    firm.li.language = "en"
    db.session.commit()
    assert asked == []
    firm.li.level = "administrator"
    db.session.commit()
    assert asked == [1]


@both_databases
def test_a_made_up_person_stands_for_those_who_are_not_there_yet(firm, create, app):
    clerks = create(RoleRow, name="Clerk")
    test = create(RightTest, role=clerks, expected="never", verb="read", model="crm_client", rows="others")
    assert holds(test)
    with pytest.raises(Invalid, match="just these roles"):
        create(RoleRight, role=clerks, model="crm_client", verb="read", scopes="all")


@both_databases
def test_always_is_broken_by_what_takes_away(firm, create):
    test = create(RightTest, role=role_of("Salesperson"), expected="always", verb="edit", model="crm_client", rows="own")
    assert holds(test)
    with pytest.raises(Invalid, match="always: Edit"):
        create(PersonalRight, user=firm.li, model="crm_client", verb="edit", denied=True)
    db.session.rollback()
    firm.li.level = "administrator"
    db.session.commit()
    create(PersonalRight, user=firm.li, model="crm_client", verb="edit", denied=True)
    assert holds(test)


@both_databases
def test_one_that_was_broken_before_stops_nobody_and_shows_why(firm, create, login_as):
    manager = firm.wang
    manager.role_rows.append(role_of("Sales manager"))
    db.session.commit()
    test = create(RightTest, role=role_of("Sales manager"), expected="never", verb="read", model="crm_client", rows="all")
    assert not holds(test)
    boss = login_as("boss", level="administrator")
    page = boss.get(f"/core_right_test/{test.id}").text
    assert "It does not hold" in page and f"/_why?person={manager.id}" in page
    assert not counter_of(firm.never)
    create(PersonalRight, user=manager, model="crm_client", verb="print", scopes="all")


@both_databases
def test_sentences_without_sense_are_refused(firm, create, login_as):
    boss = login_as("boss", level="administrator")
    good = {"expected": "never", "verb": "read", "model": "crm_client", "rows": "others"}
    for wrong, said in (
        ({"model": "nothing"}, "Please choose one of the values offered."),
        ({"verb": "fly"}, "There is no right"),
        ({"rows": "department"}, "Say which department"),
        ({"model": "crm_contact", "rows": "other_departments"}, "belong to no department"),
    ):
        answer = boss.post("/core_right_test/new", data={**good, **wrong})
        assert answer.status_code == 422 and said in answer.text, wrong
    assert boss.post("/core_right_test/new", data=good).status_code == 302
    assert login_as(firm.li).get("/core_right_test/").status_code == 403


@both_databases
def test_what_belongs_to_nobody_is_not_the_made_up_persons_own(firm, create):
    create("crm_client", name="Nobody’s", department=firm.west)
    assert counter_of(firm.never) is None
