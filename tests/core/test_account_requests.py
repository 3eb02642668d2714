"""People ask for another account or password, administrators above them answer, through every door with the same checks (S0-08, D17)."""

from __future__ import annotations

import re

from sqlalchemy import select, text

from core.account_requests import AccountRequest
from core.accounts import check_password
from core.db import db
from core.jobs import run_jobs
from core.journal import journal
from core.people import MortiseUser, Post
from core.testing import PASSWORD, both_databases
from tests.core.mailbox import mailbox, set_up

table, users = AccountRequest.__table__, MortiseUser.__table__


def work():
    db.session.commit()
    run_jobs(once=True)
    db.session.rollback()


def found():
    db.session.rollback()
    return db.session.execute(select(table).order_by(table.c.id)).all()


def person(user_id):
    db.session.rollback()
    return db.session.execute(select(users).where(users.c.id == user_id)).one()


def post(browser, url, **data):
    token = browser.get("/login/ask").text.split('name="csrf_token" value="')[1].split('"')[0]
    return browser.post(url, data={"csrf_token": token, **data})


@both_databases
def test_a_change_is_asked_for_shown_old_and_new_and_made_through_the_gate(app, create_user, create, login_as):
    east, west = create("core_department", name="East"), create("core_department", name="West")
    li = create_user("li", name="Li", phone="13800001111", department=east)
    his = login_as(li)
    page = his.get("/account/requests").text
    assert 'value="Li"' in page and "No request yet" in page and "/account/requests" in his.get("/account").text
    same = {"wish": "change", "name": "Li", "phone": "13800001111", "email": "li@example.com", "department": str(east.id)}
    assert his.post("/account/requests", data=same).status_code == 422
    assert his.post("/account/requests", data={**same, "email": "no address"}).status_code == 422
    assert his.post("/account/requests", data={**same, "department": "99"}).status_code == 422
    asked = his.post("/account/requests", data={**same, "name": "Li Lei", "department": str(west.id), "note": "I moved"})
    assert asked.status_code == 302
    (one,) = found()
    assert (one.person_id, one.new_name, one.new_phone, one.new_department_id, one.state) == (li.id, "Li Lei", None, west.id, "open")
    assert "Withdraw" in his.get("/account/requests").text
    boss = login_as("boss", level="administrator")
    page = boss.get("/settings/requests").text
    assert re.search(r"<del[^>]*>Li</del> → <ins[^>]*>Li Lei</ins>", page) and re.search(r"<del[^>]*>East</del> → <ins[^>]*>West", page)
    assert "I moved" in page and '<span class="m-count">1</span>' in page
    assert boss.post(f"/settings/requests/{one.id}", data={"answer": "accept"}).status_code == 302
    assert person(li.id).name == "Li Lei"
    assert db.session.execute(select(Post.department_id).where(Post.user_id == li.id)).scalars().all() == [west.id]
    done = found()[0]
    assert done.state == "accepted" and done.answered_at and done.answered_by_id != li.id
    assert "Accepted" in his.get("/account/requests").text and "Nobody asks" in boss.get("/settings/requests").text
    # The change is the administrator's, like any other, and can be found and undone.
    edits = journal.c.model == "ab_user", journal.c.verb == "edit"
    changes = db.session.execute(select(journal.c.user_id, journal.c.changes).where(*edits)).all()
    assert any(row.user_id == done.answered_by_id and "Li Lei" in row.changes for row in changes)
    assert boss.post(f"/settings/requests/{one.id}", data={"answer": "accept"}).status_code == 409


@both_databases
def test_a_password_is_given_or_a_link_is_sent_or_it_is_declined_with_a_reason(app, create_user, login_as):
    li = create_user("li")
    his, boss = login_as(li), login_as("boss", level="administrator")
    his.post("/account/requests", data={"wish": "password", "name": "Not asked for"})
    first = found()[0]
    assert (first.wish, first.new_name) == ("password", None)
    refused = boss.post(f"/settings/requests/{first.id}", data={"answer": "decline"})
    assert refused.status_code == 422 and "say why" in refused.text and found()[0].state == "open"
    refused = boss.post(f"/settings/requests/{first.id}", data={"answer": "link"})
    assert refused.status_code == 422 and "not set up" in refused.text and found()[0].state == "open"
    assert boss.post(f"/settings/requests/{first.id}", data={"answer": "accept"}).status_code == 422
    assert boss.post(f"/settings/requests/{first.id}", data={"answer": "password"}).status_code == 302
    given = re.search(r"li: (\S+?)<", boss.get("/settings/requests").text)[1]
    now = person(li.id)
    assert check_password(now.password, given) and now.must_change_password and not check_password(now.password, PASSWORD)
    assert his.get("/account").status_code == 302, "his sessions ended"
    li = db.session.get(MortiseUser, li.id)
    li.must_change_password = False
    his = login_as(li)
    with mailbox() as box:
        set_up(box.port)
        his.post("/account/requests", data={"wish": "password"})
        assert boss.post(f"/settings/requests/{found()[1].id}", data={"answer": "link"}).status_code == 302
        work()
        assert len(box.taken) == 1 and box.code()
        his.post("/account/requests", data={"wish": "change", "phone": "13900009999"})
        third = found()[2]
        assert boss.post(f"/settings/requests/{third.id}", data={"answer": "decline", "reason": "Use the 公司 phone"}).status_code == 302
        work()
        assert "Use the 公司 phone" in box.text() and "Use the 公司 phone" in his.get("/account/requests").text
    assert [one.state for one in found()] == ["accepted", "accepted", "declined"] and person(li.id).phone is None
    everything = str(db.session.execute(select(journal)).all())
    assert given not in everything


@both_databases
def test_only_those_above_a_person_see_and_answer_his_request(app, create_user, login_as, api_as):
    equal = create_user("equal", level="administrator", name="Equal")
    login_as(equal).post("/account/requests", data={"wish": "change", "name": "Boss of all"})
    (one,) = found()
    boss, li = login_as("boss", level="administrator"), login_as("li")
    assert "Boss of all" not in boss.get("/settings/requests").text
    for browser, codes in ((boss, (403,)), (login_as("equal"), (403,)), (li, (403, 404))):
        for answer in ({"answer": "accept"}, {"answer": "decline", "reason": "x"}):
            assert browser.post(f"/settings/requests/{one.id}", data=answer).status_code in codes
    for browser in (boss, li):
        assert browser.post(f"/account/requests/{one.id}/withdraw").status_code in (403, 404)
    assert found()[0].state == "open" and person(equal.id).name == "Equal"
    assert li.get("/settings/requests").status_code == 403


@both_databases
def test_a_system_administrator_answers_administrators(app, create_user, login_as):
    equal = create_user("equal", level="administrator", name="Equal")
    login_as(equal).post("/account/requests", data={"wish": "change", "name": "Other"})
    chief = login_as("chief", level="system_administrator")
    assert "Other" in chief.get("/settings/requests").text
    assert chief.post(f"/settings/requests/{found()[0].id}", data={"answer": "accept"}).status_code == 302
    assert person(equal.id).name == "Other"


@both_databases
def test_requests_over_rest_pass_the_same_gate(app, create_user, api_as):
    li, wang = create_user("li"), create_user("wang")
    his, hers, boss = api_as(li), api_as(wang), api_as("boss", level="administrator")
    url = "/api/v1/core_account_request/"
    mine = ({"person": wang.id}, {"state": "accepted"}, {"signed_in": False}, {"reason": "x"})
    for values in (*mine, {}, {"wish": "other"}, {"new_email": "x"}):
        assert his.post(url, json={"new_name": "X", **values} if values else {}).status_code == 422, values
    made = his.post(url, json={"new_name": "Li Lei"})
    assert made.status_code == 201 and made.json["result"]["person"] == li.id
    one = made.json["result"]["id"]
    assert his.get(f"{url}{one}").status_code == 200 and hers.get(f"{url}{one}").status_code == 404
    assert [row["id"] for row in boss.get(url).json["result"]] == [one] and hers.get(url).json["result"] == []
    for program in (his, hers, boss):
        assert program.put(f"{url}{one}", json={"new_name": "Other"}).status_code in (403, 404)
        assert program.delete(f"{url}{one}").status_code in (403, 404)
    assert hers.post(f"{url}{one}/_answer", json={"answer": "accept"}).status_code == 404
    assert his.post(f"{url}{one}/_answer", json={"answer": "accept"}).status_code == 403
    decline = {"answer": "decline"}
    for wrong in ({}, {"answer": 1}, {"answer": "x"}, {"answer": "accept", "more": 1}, decline, {**decline, "reason": 1}):
        assert boss.post(f"{url}{one}/_answer", json=wrong).status_code == 422, wrong
    assert boss.post(f"{url}{one}/_answer", json={"answer": "accept"}).json["result"]["state"] == "accepted"
    assert person(li.id).name == "Li Lei"
    assert boss.post(f"{url}{one}/_answer", json={"answer": "accept"}).status_code == 409
    second = his.post(url, json={"wish": "password"}).json["result"]["id"]
    told = boss.post(f"{url}{second}/_answer", json={"answer": "password"}).json
    assert check_password(person(li.id).password, told["password"]) and told["password"] not in boss.get(url).text
    third = hers.post(url, json={"new_phone": "13800001111"}).json["result"]["id"]
    assert boss.post(f"{url}{third}/_answer", json={"answer": "withdraw"}).status_code == 403
    assert hers.post(f"{url}{third}/_answer", json={"answer": "withdraw"}).json["result"]["state"] == "withdrawn"
    assert boss.post(f"{url}99/_answer", json={"answer": "accept"}).status_code == 404


@both_databases
def test_what_cannot_be_done_is_said_and_leaves_the_request_open(app, create_user, login_as):
    create_user("wang")
    li = create_user("li")
    login_as(li).post("/account/requests", data={"wish": "change", "email": "wang@example.com", "name": "New"})
    boss = login_as("boss", level="administrator")
    refused = boss.post(f"/settings/requests/{found()[0].id}", data={"answer": "accept"})
    assert refused.status_code == 422 and "already exists" in refused.text
    assert found()[0].state == "open" and person(li.id).name == "li"


@both_databases
def test_five_open_requests_are_enough_and_one_can_be_taken_back(app, create_user, login_as):
    li = create_user("li")
    his = login_as(li)
    codes = [his.post("/account/requests", data={"wish": "change", "name": f"N{turn}"}).status_code for turn in range(6)]
    assert codes == [302] * 5 + [422]
    one = found()[0].id
    assert login_as("wang").post(f"/account/requests/{one}/withdraw").status_code == 404
    assert his.post(f"/account/requests/{one}/withdraw").status_code == 302 and found()[0].state == "withdrawn"
    assert his.post(f"/account/requests/{one}/withdraw").status_code == 409
    assert his.post("/account/requests", data={"wish": "password"}).status_code == 302


@both_databases
def test_somebody_who_is_not_signed_in_asks_and_learns_nothing(app, create_user, login_as):
    li = create_user("li")
    answers = []
    for name in ("li", "nobody", "li@example.com"):
        answers.append(post(app.test_client(), "/login/ask", username=name, note="Room 7"))
        work()
    assert len({re.sub(r'csrf_token" value="[^"]+|nonce-[^"]+', "", one.text) for one in answers}) == 1
    (one,) = found()
    assert (one.person_id, one.wish, one.signed_in, one.note, one.state) == (li.id, "password", False, "Room 7", "open")
    page = login_as("boss", level="administrator").get("/settings/requests").text
    assert "Asked without being signed in" in page and "Room 7" in page
    codes = [post(app.test_client(), "/login/ask", username="x").status_code for _turn in range(6)]
    assert 429 in codes and post(app.test_client(), "/login/ask", username="").status_code == 422
    assert db.session.execute(text("SELECT count(*) FROM core_account_request")).scalar() == 1


@both_databases
def test_hostile_input_is_answered_with_a_sentence_at_every_door(app, create_user, login_as, api_as):
    boss, api, li = login_as("boss", level="administrator"), api_as("boss"), login_as("li")
    far = 10**25
    nowhere = (f"/settings/requests/{far}", f"/account/requests/{far}/withdraw", f"/ab_user/{far}/password-link")
    for url in (*nowhere, f"/settings/requests/{2**31}"):
        assert boss.post(url, data={"answer": "accept", "purpose": "reset"}).status_code == 404, url
    assert api.post(f"/api/v1/core_account_request/{far}/_answer", json={"answer": "accept"}).status_code == 404
    strange = "a\x00b\ud7ff\U0001f375" + "长" * 3000
    for url in ("/login/forgot", "/login/ask"):
        assert post(app.test_client(), url, username=strange, note=strange).status_code in (200, 400, 422, 429), url
    work()
    assert post(app.test_client(), "/login/choose", code=strange, new=strange, again=strange).status_code in (400, 422)
    for name in ("name", "phone", "email", "department", "note", "wish"):
        assert li.post("/account/requests", data={"wish": "change", "name": "New", name: strange}).status_code in (302, 400, 422), name
    assert boss.get("/settings/requests").status_code == 200
    for one in found():
        assert boss.post(f"/settings/requests/{one.id}", data={"answer": "decline", "reason": strange}).status_code in (302, 400, 409, 422)
        assert boss.post(f"/settings/requests/{one.id}", data={"answer": "accept"}).status_code in (302, 400, 409, 422)
        answer = {"answer": "decline", "reason": strange}
        assert api.post(f"/api/v1/core_account_request/{one.id}/_answer", json=answer).status_code in (400, 409, 422)
    chief = login_as("chief", level="system_administrator")
    of_mail = ("host", "port", "security", "user", "sender", "sender_name", "reply_to", "certificate", "keep_days")
    for key in (*(f"mail.{name}" for name in of_mail), "house.address", "password"):
        assert chief.post("/settings/mail", data={key: strange}).status_code in (302, 400, 422), key
        assert chief.get("/settings/mail").status_code == 200
