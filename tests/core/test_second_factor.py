"""The second factor: set up, asked for at every door, taken once, demanded, lost and helped with; and who waits after failures."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pyotp
import pytest
from sqlalchemy import select, update

from core import second_factor
from core.accounts import attempts
from core.context import now
from core.db import db
from core.journal import journal
from core.people import RoleRow, SignInSession
from core.second_factor import factors, recovery, take
from core.settings import set_setting
from core.testing import both_databases
from tests.core.installation import Installation

PASSWORD = "correct horse battery"
EPOCH = datetime(1970, 1, 1)


def code_of(key: str, steps: int = 0) -> str:
    return pyotp.TOTP(key).generate_otp(int((now() - EPOCH).total_seconds()) // 30 + steps)


def with_factor(create_user, name="li", **values):
    """(person, key, recovery codes) of somebody who has set one up two minutes ago."""
    user = create_user(name, password=PASSWORD, **values)
    key, _address = second_factor.begin(user.id, name)
    codes = second_factor.confirm(user.id, code_of(key, -1))
    db.session.commit()
    assert codes
    return user, key, codes


def enter(client, name="li", password=PASSWORD):
    """The answer to a name and a password; afterwards the browser has the form token of the page that comes next."""
    know_token(client, "/login/")
    answer = client.post("/login/", data={"username": name, "password": password})
    know_token(client, "/login/code" if answer.location == "/login/code" else "/account/second-factor" if answer.location else "/login/")
    return answer


def code_in(client, code):
    answer = client.post("/login/code", data={"code": code})
    know_token(client, "/account/second-factor" if answer.status_code == 302 else "/login/code")
    return answer


def know_token(client, address):
    client.page = client.get(address).text
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.page)
    client.form_token = found[1] if found else None


@both_databases
def test_it_is_set_up_with_a_picture_and_counts_after_its_first_code(app, client, create_user):
    user = create_user("li", password=PASSWORD)
    assert enter(client).location == "/"
    page = client.get("/account/second-factor").text
    assert "No second factor yet" in page
    assert client.post("/account/second-factor/start", data={"password": "wrong"}).status_code == 422
    assert db.session.execute(select(factors)).first() is None
    client.post("/account/second-factor/start", data={"password": PASSWORD})
    page = client.get("/account/second-factor").text
    assert '<svg' in page and "style=" not in page[page.index("<svg"):page.index("</svg>")]
    key = re.search(r'm-break">([A-Z2-7 ]+)<', page)[1].replace(" ", "")
    # Not confirmed yet, it is not asked for.
    other = app.test_client()
    assert enter(other).location == "/"
    assert client.post("/account/second-factor/confirm", data={"code": "000000"}).status_code == 422
    page = client.post("/account/second-factor/confirm", data={"code": code_of(key)}).text
    codes = re.findall(r"<code>([2-9a-z]{5}-[2-9a-z]{5})</code>", page)
    assert len(set(codes)) == 10
    # Neither key nor codes lie in the database as they are, nor are they shown again; other browsers are signed out.
    stored = " ".join(map(str, [*db.session.execute(select(factors)).all(), *db.session.execute(select(recovery)).all()]))
    assert key not in stored and not any(one in stored or one.replace("-", "") in stored for one in codes)
    assert codes[0] not in client.get("/account/second-factor").text and key not in client.get("/account/second-factor").text
    assert other.get("/").status_code == 302
    of_it = select(journal.c.changes).where(journal.c.verb == "second-factor", journal.c.record_id == user.id)
    told = db.session.execute(of_it).scalar_one()
    assert key not in told and told == '{"on":[false,true]}'


@both_databases
def test_signing_in_takes_the_password_then_the_code_and_each_code_once(app, client, create_user, clock):
    clock.set(datetime(2026, 5, 4, 9, 30, 15))
    user, key, codes = with_factor(create_user)
    clock.advance(timedelta(minutes=2))
    assert enter(client).location == "/login/code"
    # Half in is out: every page sends to the sign-in.
    assert client.get("/crm_client/").location.startswith("/login/")
    assert client.get("/api/v1/crm_client/").status_code == 401
    assert code_in(client, "123").status_code == 401
    good = code_of(key)
    assert code_in(client, f"{good[:3]} {good[3:]}").location == "/"
    assert client.get("/account").status_code == 200
    for late, fits in ((timedelta(0), False), (timedelta(seconds=30), True)):
        clock.advance(late)
        again = app.test_client()
        enter(again)
        assert (code_in(again, code_of(key)).status_code == 302) is fits, late
    # One step early or late is taken, two are not.
    for steps, fits in ((2, False), (-2, False), (1, True)):
        other = app.test_client()
        enter(other)
        assert (code_in(other, code_of(key, steps)).status_code == 302) is fits, steps
    # A recovery code, however it is written, and only once.
    for typed, fits in ((codes[0].upper().replace("-", " "), True), (codes[0], False), (codes[1], True)):
        other = app.test_client()
        enter(other)
        answer = code_in(other, typed)
        assert (answer.status_code == 302) is fits, typed
    assert "8 recovery codes are left" in other.page
    assert second_factor.codes_left(user.id) == 8


@both_databases
def test_the_right_password_waits_five_minutes_and_ends_with_a_new_password(app, client, create_user, clock):
    clock.set(datetime(2026, 5, 4, 9, 30, 15))
    user, key, _codes = with_factor(create_user)
    for late, there in ((timedelta(minutes=4, seconds=59), 200), (timedelta(minutes=5), 302)):
        browser = app.test_client()
        enter(browser)
        clock.advance(late)
        assert browser.get("/login/code").status_code == there, late
    browser = app.test_client()
    enter(browser)
    user.password = "x"
    db.session.commit()
    answer = code_in(browser, code_of(key))
    assert answer.location.startswith("/login/") and browser.get("/account").status_code == 302


@both_databases
def test_guessed_codes_lock_the_account_and_the_right_password_forgives_none(app, client, create_user, clock):
    clock.set(datetime(2026, 5, 4, 9, 30, 15))
    _user, key, codes = with_factor(create_user)
    statuses = []
    for _number in range(7):
        # The password is given anew each time, as a guesser would.
        assert enter(client).location == "/login/code"
        statuses.append(code_in(client, "000000").status_code)
    assert statuses[:5] == [401] * 5 and 429 in statuses[5:]
    clock.advance(timedelta(seconds=1))
    enter(client)
    answer = code_in(client, code_of(key))
    assert answer.status_code in (302, 429)
    clock.advance(timedelta(minutes=16))
    enter(client)
    assert code_in(client, codes[0]).status_code == 302
    assert db.session.execute(select(attempts.c.key).where(attempts.c.key.like("code:%"))).first() is None


@both_databases
def test_tokens_need_the_code_too(app, client, create_user, clock):
    clock.set(datetime(2026, 5, 4, 9, 30, 15))
    _user, key, codes = with_factor(create_user)
    sent = {"username": "li", "password": PASSWORD}
    for body, status, code in (
        (sent, 401, "second_factor_needed"), ({**sent, "code": 5}, 422, "invalid"),
        ({**sent, "code": "000000"}, 401, "second_factor_needed"),
        ({**sent, "password": "wrong", "code": code_of(key, 1)}, 401, "not_signed_in"), ({**sent, "code": code_of(key, 1)}, 200, None),
        ({**sent, "code": code_of(key, 1)}, 401, "second_factor_needed"), ({**sent, "code": codes[3]}, 200, None),
    ):  # fmt: skip
        answer = client.post("/api/v1/security/login", json=body)
        assert (answer.status_code, answer.json.get("error")) == (status, code), body


@both_databases
def test_who_must_have_one_reaches_nothing_before(app, client, create_user, login_as, api_as, create):
    role = create(RoleRow, name="Careful", second_factor=True)
    create_user("li", password=PASSWORD, roles=["Careful", "Salesperson"])
    assert role.id
    assert enter(client).location == "/"
    for address in ("/", "/crm_client/", "/account", "/account/keys", "/ab_user/1", "/jobs/", "/file/1"):
        answer = client.get(address)
        assert answer.status_code in (302, 404) and (answer.status_code == 404 or answer.location == "/account/second-factor"), address
    assert client.get("/api/v1/crm_client/").status_code == 403
    assert client.post("/crm_client/new", data={"name": "x"}).location == "/account/second-factor"
    assert app.test_client().post("/api/v1/security/login", json={"username": "li", "password": PASSWORD}).status_code == 403
    page = client.get("/account/second-factor").text
    assert "Your account must have a second factor" in page
    client.post("/account/second-factor/start", data={"password": PASSWORD})
    key = re.search(r'm-break">([A-Z2-7 ]+)<', client.get("/account/second-factor").text)[1].replace(" ", "")
    page = client.post("/account/second-factor/confirm", data={"code": code_of(key)}).text
    codes = re.findall(r"<code>([2-9a-z]{5}-[2-9a-z]{5})</code>", page)
    assert client.get("/crm_client/").status_code == 200
    # Demanded, it cannot be taken away; new codes need password and code.
    assert client.post("/account/second-factor/off", data={"password": PASSWORD, "code": codes[0]}).status_code == 403
    assert client.post("/account/second-factor/codes", data={"password": PASSWORD, "code": "nonsense"}).status_code == 422
    page = client.post("/account/second-factor/codes", data={"password": PASSWORD, "code": codes[1]}).text
    fresh = re.findall(r"<code>([2-9a-z]{5}-[2-9a-z]{5})</code>", page)
    assert len(fresh) == 10 and not set(fresh) & set(codes)


@both_databases
@pytest.mark.parametrize(("rule", "met"), [("nobody", ()), ("administrators", ("administrator", "system_administrator")), ("everybody", (
    "employee", "administrator", "system_administrator"))])  # fmt: skip
def test_the_setting_demands_it_by_level(app, login_as, rule, met):
    from core.context import system

    with system("a test"):
        set_setting("firm.name", "Test & Co")
        set_setting("second_factor.for", rule)
    db.session.commit()
    for level in ("employee", "administrator", "system_administrator"):
        answer = login_as(f"one_{level}", level=level).get("/account")
        assert (answer.status_code == 302) is (level in met), level


@both_databases
def test_an_administrator_helps_those_below_him_and_nobody_else_does(app, login_as, create_user):
    li, _key, _codes = with_factor(create_user)
    equal, _key2, _codes2 = with_factor(create_user, "equal", level="administrator")
    mine = login_as("deputy", level="administrator")
    assert "Remove the second factor" in mine.get(f"/ab_user/{li.id}").text
    assert mine.post(f"/ab_user/{equal.id}/second-factor/remove").status_code == 403
    assert login_as("clerk").post(f"/ab_user/{li.id}/second-factor/remove").status_code in (403, 404)
    assert second_factor.has_factor(li.id) and second_factor.has_factor(equal.id)
    his = login_as(li)
    assert mine.post(f"/ab_user/{li.id}/second-factor/remove").status_code == 302
    assert not second_factor.has_factor(li.id) and second_factor.codes_left(li.id) == 0
    assert his.get("/account").status_code == 302
    assert db.session.execute(select(journal.c.user_id).where(journal.c.verb == "second-factor", journal.c.record_id == li.id)).first()


def test_no_door_shows_keys_or_digests(app, login_as, create_user):
    _user, key, codes = with_factor(create_user, "boss", level="system_administrator")
    boss = login_as("chief", level="system_administrator")
    sealed = db.session.execute(select(factors.c.sealed)).scalar_one()
    for address in ("/ab_user/1", "/api/v1/ab_user/", "/settings/journal", "/api/v1/_openapi", "/ab_user/_export?columns=username"):
        text = boss.get(address).text
        assert key not in text and sealed not in text and codes[0] not in text, address
    for table in ("core_second_factor", "core_recovery_code"):
        assert boss.get(f"/{table}/").status_code == 404 and boss.get(f"/api/v1/{table}/").status_code == 404


@both_databases
def test_of_two_who_come_with_the_same_code_at_once_one_gets_in(app, create_user):
    user, key, codes = with_factor(create_user)
    user_id = user.id
    db.remove()
    for one in (code_of(key, 1), codes[0]):
        def attempt(_number, one=one):
            with app.app_context(), db.short() as connection:
                return take(connection, user_id, one)

        with ThreadPoolExecutor(8) as pool:
            taken = [found for found in pool.map(attempt, range(8)) if found]
        assert len(taken) == 1, one


def test_a_key_of_another_installation_opens_nothing(app, client, create_user):
    _user, key, _codes = with_factor(create_user)
    db.session.execute(update(factors).values(sealed="gAAAAABnonsense"))
    db.session.commit()
    enter(client)
    assert code_in(client, code_of(key)).status_code == 401


@both_databases
def test_locked_accounts_and_addresses_are_listed_and_unlocked_by_those_above_them(app, client, create_user, login_as, clock):
    clock.set(datetime(2026, 5, 4, 9, 30))
    li = create_user("li", password=PASSWORD)
    create_user("peer", password=PASSWORD, level="administrator")
    for name in ("li", "peer", "nobody_here"):
        for _number in range(6):
            enter(client, name, "wrong")
    admin = login_as("deputy", level="administrator")
    page = admin.get("/settings/locked").text
    assert f"/ab_user/{li.id}" in page and "no such account" in page and "waits until" in page and "127.0.0.1" in page
    told = {one["key"]: one for one in admin.get("/api/v1/_locked").json["result"]}
    assert told["login:li"]["user"] == li.id and told["login:li"]["failures"] >= 5 and told["login:li"]["address"] == "127.0.0.1"
    assert "Unlock" in admin.get(f"/ab_user/{li.id}").text
    clerk = login_as("clerk")
    assert clerk.get("/settings/locked").status_code == 403 and clerk.get("/api/v1/_locked").status_code == 403
    assert clerk.post("/settings/locked/unlock", data={"key": "login:li"}).status_code == 403
    assert admin.post("/settings/locked/unlock", data={"key": "login:peer"}).status_code == 403
    assert admin.post("/settings/locked/unlock", data={"key": "login:unknown"}).status_code == 404
    assert admin.post("/settings/locked/unlock", data={"key": "login:li"}).status_code == 302
    assert admin.post("/settings/locked/unlock", data={"key": "address:127.0.0.1"}).status_code == 302
    assert enter(client, "li").status_code == 302
    verbs = db.session.execute(select(journal.c.record_id).where(journal.c.verb == "unlock").order_by(journal.c.id)).scalars().all()
    assert verbs == [li.id, 0]
    clock.advance(timedelta(days=1, seconds=1))
    assert "Nobody waits" in login_as("deputy2", level="administrator").get("/settings/locked").text


def test_the_command_line_is_the_way_out_for_the_last_administrator(tmp_path):
    house = Installation(tmp_path)
    house.run("migrate")
    house.python(
        "from core.cli.house import house\nfrom core import second_factor\nfrom core.context import now\nfrom core.db import db\n"
        "with house():\n    second_factor.begin(1, 'admin')\n    db.session.connection().execute(second_factor.factors.update()"
        ".values(confirmed_at=now()))\n"
    )
    answer = house.run("user", "reset-second-factor", "admin")
    assert "by password alone" in answer.text
    assert "had no second factor" in house.run("user", "reset-second-factor", "admin").text


@both_databases
def test_asking_who_is_there_keeps_no_session_alive_and_needs_no_session(app, client, login_as, clock):
    clock.set(datetime(2026, 5, 4, 9, 30))
    li = login_as("li")
    clock.advance(timedelta(minutes=10))
    told = li.get("/login/alive").json
    assert told["person"] and told["token"]
    seen = db.session.execute(select(SignInSession.seen_at)).scalar_one()
    assert seen == datetime(2026, 5, 4, 9, 30)
    assert client.get("/login/alive").json["person"] is None
    # Idle until 11:30, asked or not.
    clock.set(datetime(2026, 5, 4, 11, 30, 1))
    assert li.get("/login/alive").json["person"] is None


def test_signing_in_again_takes_form_token_password_code_and_the_same_person(app, client, create_user, clock):
    clock.set(datetime(2026, 5, 4, 9, 30, 15))
    li, key, _codes = with_factor(create_user)
    wang = create_user("wang", password=PASSWORD)
    body = {"person": li.id, "username": "li", "password": PASSWORD}
    assert client.post("/login/again", json=body).status_code == 400, "no form token"
    client.form_token = client.get("/login/alive").json["token"]
    for change, status in (
        ({"password": "wrong"}, 401), ({}, 401), ({"code": "000000"}, 401), ({"username": "wang"}, 409), ({"username": 5}, 422),
        ({"code": 5}, 422), ({"person": wang.id, "code": code_of(key, 1)}, 409), ({"code": code_of(key, 1)}, 200),
    ):  # fmt: skip
        answer = client.post("/login/again", json={**body, **change})
        assert answer.status_code == status, (change, answer.text)
    assert client.get("/account").status_code == 200


@both_databases
def test_keys_end_with_a_password_that_somebody_else_gave_and_on_wish(app, client, login_as, create_user):
    from core.api_keys import keys_of, make_key

    li = create_user("li", password=PASSWORD)
    make_key(li.id, "a program", ["read"], None)
    db.session.commit()
    enter(client)
    assert "Delete my API key as well" in client.get("/account/password").text
    fresh = "another " + PASSWORD
    new = {"current": PASSWORD, "new": fresh, "again": fresh}
    know_token(client, "/account/password")
    assert client.post("/account/password", data=new).status_code == 302 and len(keys_of(li.id)) == 1
    know_token(client, "/account/password")
    new = {"current": fresh, "new": PASSWORD, "again": PASSWORD, "keys": "1"}
    assert client.post("/account/password", data=new).status_code == 302 and not keys_of(li.id)
    make_key(li.id, "a program", ["read"], None)
    db.session.commit()
    chief = login_as("deputy", level="administrator")
    chief.post("/ab_user/_bulk", data={"action": "give_password", "ids": li.id, "confirmed": "1"})
    db.session.expire_all()
    assert li.must_change_password and not keys_of(li.id)
