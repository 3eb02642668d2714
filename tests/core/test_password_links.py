"""A forgotten password: a link by mail that is good once, says nothing to strangers, and stands in no log, journal or list."""

from __future__ import annotations

import io
import logging
import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from core import accounts
from core.accounts import sessions
from core.db import db
from core.jobs import run_jobs
from core.mail import mails
from core.secret_links import KEPT_FOR, forget_old_links, links, send_link
from core.settings import set_setting
from core.testing import PASSWORD, both_databases
from tests.core.mailbox import mailbox, set_up

FRESH = "vier 白鹭 ziehn fort"


@pytest.fixture
def box(app):
    with mailbox() as made:
        set_up(made.port)
        yield made


def work():
    db.session.commit()
    run_jobs(once=True)
    db.session.rollback()


def post(browser, url, **data):
    page = browser.get(url).text
    token = page.split('name="csrf_token" value="')[1].split('"')[0] if "csrf_token" in page else ""
    return browser.post(url, data={"csrf_token": token, **data})


def forgotten(app, name):
    answer = post(app.test_client(), "/login/forgot", username=name)
    work()
    return answer


def choose(browser, code, new=FRESH, again=None):
    return post(browser, "/login/choose", code=code, new=new, again=new if again is None else again)


def sign_in(browser, login, password):
    return post(browser, "/login/", username=login, password=password).status_code


@both_databases
def test_a_link_leads_to_a_new_password_once_and_ends_every_session(app, box, create_user, login_as):
    li = create_user("li", must_change_password=True)
    inside = login_as(li)
    assert forgotten(app, "li@example.com").status_code == 200
    (came,) = box.taken
    assert came["To"] == "li@example.com" and "https://crm.firm.test/login/choose#" in box.text() and "localhost" not in box.text()
    visitor = app.test_client()
    page = visitor.get("/login/choose")
    assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["Cache-Control"] == "no-store"
    shown = post(visitor, "/login/choose", code=box.code())
    assert "“li”" in shown.text and shown.status_code == 200
    assert "needs at least" in choose(visitor, box.code(), "short").text
    assert "name of the account" in choose(visitor, box.code(), "my name is li and long").text
    assert "differ" in choose(visitor, box.code(), FRESH, "another one").text
    done = choose(visitor, f"https://crm.firm.test/login/choose#{box.code()}")
    assert done.status_code == 302 and done.location == "/login/"
    assert "Sign in with it now" in visitor.get("/login/").text, "it signs nobody in"
    assert db.session.execute(select(sessions).where(sessions.c.user_id == li.id)).all() == []
    assert inside.get("/account").status_code == 302
    for again in (post(visitor, "/login/choose", code=box.code()), choose(visitor, box.code(), "noch eine 白鹭 dort")):
        assert again.status_code == 422 and "This link is over" in again.text
    assert sign_in(app.test_client(), "li", PASSWORD) == 401
    browser = app.test_client()
    assert sign_in(browser, "li", FRESH) == 302 and browser.get("/account").status_code == 200


@both_databases
def test_nobody_learns_which_accounts_exist(app, box, create_user):
    create_user("li")
    create_user("gone", active=False)
    nameless = create_user("nomail")
    nameless.email = "-"
    answers = [forgotten(app, name) for name in ("li", "nobody", "gone", "nomail", "王")]
    pages = {re.sub(r'csrf_token" value="[^"]+|nonce-[^"]+', "", one.text) for one in answers}
    assert len(pages) == 1 and {one.status_code for one in answers} == {200}
    assert box.recipients == ["li@example.com"]
    # One job for each name, known or not: what is done for an account takes no time at the door.
    names = db.session.execute(text("SELECT count(*) FROM core_job WHERE name LIKE '%answer_forgotten' AND state = 'done'")).scalar()
    assert names == 5


@both_databases
def test_asking_too_often_has_to_wait_by_name_and_by_address(app, box, create_user, clock):
    create_user("li")
    answers = [forgotten(app, "li").status_code for _turn in range(6)]
    assert answers[:3] == [200, 200, 200] and 429 in answers
    strangers = [forgotten(app, "stranger").status_code for _turn in range(6)]
    assert strangers == answers, "of an account that is not there it is the same"
    assert len(box.taken) == 3
    clock.advance(timedelta(minutes=20))
    forgotten(app, "li@example.com")
    assert len(box.taken) == 3, "three links an hour, by whichever name they are asked for"
    many = [post(app.test_client(), "/login/forgot", username=f"n{turn}").status_code for turn in range(25)]
    assert 429 in many


@both_databases
def test_a_link_ends_by_time_by_a_newer_one_and_with_what_it_stands_for(app, box, create_user, login_as, clock):
    li = create_user("li")
    visitor = app.test_client()

    def fresh():
        send_link(li)
        work()
        return box.code()

    def good(code):
        return post(visitor, "/login/choose", code=code).status_code == 200

    first = fresh()
    second = fresh()
    assert not good(first) and good(second)
    clock.advance(timedelta(minutes=61))
    assert not good(second)
    for change in ({"email": "other@example.com"}, {"active": False}):
        code = fresh()
        for name, value in change.items():
            setattr(li, name, value)
        db.session.commit()
        assert not good(code), change
        li.active = True
        db.session.commit()
    code = fresh()
    chief = login_as("chief", level="system_administrator")
    chief.post("/ab_user/_bulk", data={"action": "give_password", "ids": [li.id], "confirmed": "1"})
    assert not good(code)
    for wrong in ("", "x", code[:-1], code + "A", "a" * 43, "ü" * 43, "%00" * 10):
        assert not good(wrong) or not wrong
    clock.advance(KEPT_FOR + timedelta(days=1))
    forget_old_links()
    assert db.session.execute(select(links)).all() == []


@both_databases
def test_of_many_at_once_one_gets_through(app, box, create_user, monkeypatch):
    li = create_user("li")
    # All four have found the link good before the first of them takes it.
    together, hashing = threading.Barrier(4, timeout=20), accounts.hash_password
    monkeypatch.setattr(accounts, "hash_password", lambda text: (together.wait(), hashing(text))[1])
    send_link(li)
    work()
    code, answers = box.code(), []
    browsers = [app.test_client() for _one in range(4)]
    tokens = [browser.get("/login/choose").text.split('name="csrf_token" value="')[1].split('"')[0] for browser in browsers]

    def go(place):
        data = {"csrf_token": tokens[place], "code": code, "new": f"{FRESH} {place}{place}", "again": f"{FRESH} {place}{place}"}
        answers.append(browsers[place].post("/login/choose", data=data).status_code)

    threads = [threading.Thread(target=go, args=(place,)) for place in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(answers) == [302, 422, 422, 422]


@both_databases
def test_the_token_is_in_no_table_log_journal_or_list(app, box, create_user, login_as, api_as):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        create_user("li")
        forgotten(app, "li")
        code = box.code()
        number = db.session.execute(select(mails.c.id)).scalar_one()
        boss, api = login_as("boss", level="administrator"), api_as("boss")
        seen = "".join(
            one.text
            for one in (
                boss.get("/core_mail/"), boss.get(f"/core_mail/{number}"), api.get("/api/v1/core_mail/"), boss.get("/settings/journal"),
                boss.get("/jobs/?all=1"), login_as("li").get(f"/core_mail/{number}"),
            )
        )  # fmt: skip
        assert code not in seen
        choose(app.test_client(), code)
    finally:
        logging.getLogger().removeHandler(handler)
    assert code not in stream.getvalue()
    tables = db.session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'") if db.is_sqlite else text(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")).scalars().all()  # fmt: skip
    for table in tables:
        rows = db.session.execute(text(f'SELECT * FROM "{table}"')).all()
        assert code not in str(rows), table


@both_databases
def test_the_host_header_decides_nothing(app, box, create_user):
    create_user("li")
    browser, here = app.test_client(), "http://127.0.0.1:9"
    token = browser.get("/login/forgot", base_url=here).text.split('name="csrf_token" value="')[1].split('"')[0]
    data, forwarded = {"username": "li", "csrf_token": token}, {"X-Forwarded-Host": "evil.test"}
    assert browser.post("/login/forgot", data=data, base_url=here, headers=forwarded).status_code == 200
    assert browser.post("/login/forgot", data=data, base_url="http://evil.test").status_code == 400
    work()
    assert len(box.taken) == 1 and "https://crm.firm.test/login/choose#" in box.text() and "evil" not in box.text()


@both_databases
def test_without_mail_the_page_says_whom_to_ask_in_three_languages(app, create_user):
    browser = app.test_client()
    assert "sends no mail yet" in browser.get("/login/forgot").text and "/login/forgot" in browser.get("/login/").text
    assert post(browser, "/login/forgot", username="li").status_code == 422 or "sends no mail" in browser.get("/login/forgot").text
    for language in ("zh_Hans", "zh_Hant"):
        assert browser.get(f"/login/forgot?language={language}").status_code == 200


@both_databases
def test_an_administrator_sends_links_to_people_below_and_invites_newcomers(app, box, create_user, login_as):
    li, equal = create_user("li", name="李雷", language="zh_Hans"), create_user("equal", level="administrator")
    boss = login_as("boss", level="administrator")
    page = boss.get(f"/ab_user/{li.id}").text
    assert "Send a link for a new password" in page and "Invite by mail" in page and "disabled aria-describedby=\"no-mail\"" not in page
    assert boss.post(f"/ab_user/{li.id}/password-link", data={"purpose": "invite"}).status_code == 302
    work()
    assert "李雷" in box.text()
    shown = post(app.test_client(), "/login/choose", code=box.code()).text
    assert "Welcome, 李雷" in shown
    (link,) = db.session.execute(select(links)).all()
    assert (link.purpose, link.expires_at - link.created_at) == ("invite", timedelta(days=7))
    assert choose(app.test_client(), box.code()).status_code == 302
    assert boss.post(f"/ab_user/{equal.id}/password-link", data={"purpose": "reset"}).status_code == 403
    assert login_as(li).post(f"/ab_user/{equal.id}/password-link", data={"purpose": "reset"}).status_code in (403, 404)
    assert boss.post(f"/ab_user/{li.id}/password-link", data={"purpose": "other"}).status_code == 404
    count = len(box.taken)
    assert boss.post("/ab_user/_bulk", data={"action": "invite", "ids": [li.id, equal.id], "confirmed": "1"}).status_code in (302, 403)
    work()
    assert len(box.taken) == count, "all or none"
    assert boss.post("/ab_user/_bulk", data={"action": "invite", "ids": [li.id], "confirmed": "1"}).status_code == 302
    work()
    assert len(box.taken) == count + 1
    set_setting("mail.host", None)
    page = boss.get(f"/ab_user/{li.id}").text
    assert "disabled aria-describedby=\"no-mail\"" in page and "Mail is not set up yet" in page
    boss.post(f"/ab_user/{li.id}/password-link", data={"purpose": "reset"})
    assert "Mail is not set up yet" in boss.get("/settings/").text
