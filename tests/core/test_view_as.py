"""Viewing as somebody else: his eyes, no hands, a line in the journal, and an end."""

from __future__ import annotations

from sqlalchemy import select

from core.db import db
from core.journal import journal
from core.settings import set_setting
from core.testing import both_databases


@both_databases
def test_an_administrator_sees_with_his_eyes_and_can_change_nothing(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    his, hers = create("crm_client", name="His own", owner=li), create("crm_client", name="Hers alone", owner=wang)
    boss = create_user("boss", level="administrator")
    browser = login_as(boss)
    assert f"/ab_user/{li.id}/view-as" in browser.get(f"/ab_user/{li.id}").text
    assert browser.post(f"/ab_user/{li.id}/view-as").status_code == 302
    page = browser.get("/crm_client/").text
    assert "His own" in page and "Hers alone" not in page and "You are viewing as “li”" in page
    assert browser.get(f"/crm_client/{hers.id}").status_code == 404 and browser.get("/settings/").status_code == 403
    answer = browser.post(f"/crm_client/{his.id}", data={"name": "Changed", "_version": "1", "_seen": "{}"})
    assert answer.status_code == 403 and "can change nothing" in answer.text
    assert browser.post("/account/preferences", data={"theme": "dark"}).status_code == 403
    assert browser.post("/account/password", data={}).status_code == 403
    assert browser.post(f"/ab_user/{wang.id}/view-as").status_code == 403
    assert browser.post("/api/v1/crm_client/", json={"name": "By cookie"}).status_code == 403
    assert browser.post("/view-as/end").headers["Location"] == f"/ab_user/{li.id}"
    page = browser.get("/crm_client/").text
    assert "Hers alone" in page and "You are viewing" not in page
    told = db.session.execute(select(journal.c.user_id, journal.c.record_id).where(journal.c.verb == "view-as")).all()
    assert [tuple(one) for one in told] == [(boss.id, li.id)]


@both_databases
def test_nobody_views_as_his_equal_and_it_ends_with_the_right_to_it(app, login_as, create_user):
    li = create_user("li")
    boss, other = create_user("boss", level="administrator"), create_user("other", level="administrator")
    chief = create_user("chief", level="system_administrator")
    browser = login_as(boss)
    for person in (boss, other, chief):
        assert browser.post(f"/ab_user/{person.id}/view-as").status_code == 403
    assert login_as(li).post(f"/ab_user/{boss.id}/view-as").status_code == 403
    assert login_as(chief).post(f"/ab_user/{other.id}/view-as").status_code == 302
    assert browser.post(f"/ab_user/{li.id}/view-as").status_code == 302
    assert "You are viewing as" in browser.get("/account").text
    li.level = "administrator"
    db.session.commit()
    # She is his equal now: he is himself again, and may work.
    assert "You are viewing as" not in browser.get("/account").text
    assert browser.post("/account/preferences", data={"theme": "dark"}).status_code == 302


def test_signing_out_works_meanwhile_and_the_next_session_is_ones_own(app, login_as, create_user):
    li = create_user("li")
    browser = login_as("boss", level="administrator")
    browser.post(f"/ab_user/{li.id}/view-as")
    assert browser.post("/logout/").status_code == 302
    assert browser.post("/view-as/end").status_code in (302, 401, 403)


@both_databases
def test_the_journal_names_whoever_looked_with_anothers_eyes(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    his = create("crm_client", name="His own", owner=li)
    set_setting("journal.read_models", "crm_client")
    db.session.commit()
    boss, own = login_as(create_user("boss", level="administrator")), login_as(li)
    assert own.get(f"/crm_client/{his.id}").status_code == 200
    boss.post(f"/ab_user/{li.id}/view-as")
    assert boss.get(f"/crm_client/{his.id}").status_code == 200
    boss.post("/view-as/end")
    page = boss.get("/settings/journal?verb=read").text
    assert page.count("<b>boss, with the eyes of li</b>") == 1 and page.count("<b>li</b>") == 1
    lines = boss.get("/settings/journal/export?verb=read").get_data().decode("utf-8-sig").splitlines()
    assert len([one for one in lines if "boss, with the eyes of li" in one]) == 1 and len(lines) == 3
