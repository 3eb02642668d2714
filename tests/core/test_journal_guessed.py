"""Passwords and codes that are guessed by somebody who is in already are told like those at the door."""

from __future__ import annotations

from sqlalchemy import select

from core.accounts import FAILED
from core.db import db
from core.journal import journal
from core.testing import both_databases, settle


@both_databases
def test_a_wrong_password_at_an_open_browser_stands_in_the_journal(app, login_as, create_user):
    li = create_user("li")
    browser = login_as(li)
    words = {"current": "a guess of mine", "new": "another long horse", "again": "another long horse"}
    assert browser.post("/account/password", data=words).status_code == 422
    db.session.rollback()
    rows = db.session.execute(
        select(journal.c.user_id, journal.c.record_id, journal.c.door, journal.c.changes).where(journal.c.verb == FAILED)
    )
    told = [tuple(row) for row in rows]
    settle()
    assert told == [(li.id, li.id, "screen", "{}")]
