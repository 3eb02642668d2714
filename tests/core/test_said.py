"""What a page tells after something was done: once, to this browser alone, sealed, and without a write to the database."""

from __future__ import annotations

import json

from flask import flash, has_request_context, redirect, request
from sqlalchemy import event, select, update

from core.accounts import sessions
from core.db import MortiseSession, db
from core.errors import Conflict
from core.secret_box import unseal
from core.testing import both_databases, settle, statements
from core.web.sessions import LONGEST_SAID, SAID, _sealed


def said(browser, app):
    return browser.get_cookie(f"{app.config['SESSION_COOKIE_NAME']}_said")


def row():
    settle()
    found = db.session.execute(select(sessions.c.data, sessions.c.seen_at)).one()
    settle()
    return found


@both_databases
def test_what_was_done_is_told_once_and_the_session_is_not_written_for_it(app, login_as):
    boss = login_as("boss", level="administrator")
    before = row()
    with statements() as ran:
        assert boss.post("/crm_tag/new", data={"name": "华东"}).status_code == 302
        sealed = said(boss, app)
        page = boss.get("/crm_tag/").text
    assert sealed is not None and sealed.http_only and sealed.same_site == "Lax" and "华东" not in sealed.decoded_value
    assert page.count("“华东” was made.") == 1
    assert "was made." not in boss.get("/crm_tag/").text and said(boss, app) is None
    assert not [one for one in ran if one.startswith("UPDATE core_session")] and row() == before


def test_what_is_left_from_before_the_cookie_is_told_no_more(app, login_as):
    boss = login_as("boss", level="administrator")
    data = json.dumps({**json.loads(row().data), "_flashes": [["message", {"text": "An old word"}]]})
    with db.short() as connection:
        connection.execute(update(sessions).values(data=data))
    assert "An old word" not in boss.get("/crm_tag/").text


def test_a_made_up_cookie_says_nothing_and_one_of_another_browser_cannot_be_made(app, login_as):
    boss = login_as("boss", level="administrator")
    boss.set_cookie(f"{app.config['SESSION_COOKIE_NAME']}_said", json.dumps([["message", {"text": "Send me your password"}]]))
    answer = boss.get("/crm_tag/")
    assert answer.status_code == 200 and "Send me" not in answer.text


def test_signing_out_takes_along_what_was_not_yet_told(app, login_as):
    boss = login_as("boss", level="administrator")
    boss.post("/crm_tag/new", data={"name": "华东"})
    assert said(boss, app) is not None
    boss.post("/logout/")
    assert said(boss, app) is None and "华东" not in boss.get("/login/").text


def test_long_and_many_words_fit_into_a_cookie(app, login_as):
    boss = login_as("boss", level="administrator")
    for number in range(5):
        boss.post("/crm_client/new", data={"name": f"{number}" + "长" * 190})
    assert len(said(boss, app).value) < 4000
    page = boss.get("/crm_tag/").text
    assert page.count("was made.") == 3 and "“4长" in page and "“1长" not in page
    with app.test_request_context():
        sealed = _sealed([("message", {"text": "长" * 2000})])
        assert len(sealed) < 4000 and unseal(SAID, sealed).count("长") == LONGEST_SAID - 1 and "…" in unseal(SAID, sealed)


def test_what_a_refused_request_would_have_told_is_not_told(app, login_as, create):
    boss = login_as("boss", level="administrator")
    tag = create("crm_tag", name="华东")
    assert boss.post(f"/crm_tag/{tag.id}", data={"name": "", "_seen": json.dumps({"name": "华东"})}).status_code == 422
    assert said(boss, app) is None


def test_words_of_a_library_break_nothing(app, login_as):
    app.view_functions["screens.columns"], kept = (
        lambda table: (flash("Plain words"), redirect("/crm_tag/"))[1],
        app.view_functions["screens.columns"],
    )
    try:
        boss = login_as("boss", level="administrator")
        assert boss.post("/crm_tag/_columns").status_code == 302 and said(boss, app) is None
    finally:
        app.view_functions["screens.columns"] = kept


def test_what_did_not_come_to_be_is_not_told(app, login_as, create):
    def fail(_session):
        if has_request_context() and request.method == "POST":
            raise Conflict("Somebody was quicker.")

    boss = login_as("boss", level="administrator")
    event.listen(MortiseSession, "before_commit", fail)
    try:
        answer = boss.post("/crm_tag/new", data={"name": "华东"})
    finally:
        event.remove(MortiseSession, "before_commit", fail)
    assert answer.status_code == 409 and said(boss, app) is None
    page = boss.get("/crm_tag/").text
    assert "was made." not in page and "华东" not in page
