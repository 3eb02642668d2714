"""A sign-in that was refused is an entry of the journal, by whichever door; what was typed is not in it, and it goes as the others do."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from core.context import Actor, acting
from core.db import db
from core.journal import journal
from core.journal_erase import erase_person
from core.journal_jobs import thin_old_entries
from core.journal_keep import check
from core.settings import set_setting
from core.testing import both_databases
from tests.core.test_journal_keep import seal_all
from tests.core.test_signin import enter


def failures() -> list[dict]:
    db.session.rollback()
    return list(db.session.execute(select(journal).where(journal.c.verb == "sign-in-failed").order_by(journal.c.id)).mappings())


@both_databases
def test_refused_sign_ins_are_entries_by_every_door(app, client, create_user, login_as):
    li = create_user("li").id
    assert enter(client, "li", "Wr0ng-secret").status_code == 401
    assert client.post("/api/v1/security/login", json={"username": "li@example.com", "password": "wrong"}).status_code == 401
    assert enter(client, "my-Password-typed-here", "wrong").status_code == 401
    told = [(one["model"], one["record_id"], one["user_id"], one["door"], one["changes"]) for one in failures()]
    assert told == [("ab_user", li, li, "screen", "{}"), ("ab_user", li, li, "api", "{}"), ("ab_user", 0, None, "screen", "{}")]
    assert all(one["address"] for one in failures())
    for _more in range(9):
        last = enter(client, "li", "wrong").status_code
    assert last == 429 and len(failures()) == 6, "tries during a pause fill no table"
    chief = login_as("chief", level="system_administrator")
    page = chief.get(f"/settings/journal?verb=sign-in-failed&person={li}").text
    assert page.count("could not sign in") >= 5 and "Password-typed" not in page
    assert enter(app.test_client(), "li", "wrong").status_code == 429


@both_databases
def test_they_go_with_the_persons_address_and_with_their_months(app, client, create_user, clock):
    clock.set(datetime(2031, 1, 10, 9))
    li = create_user("li").id
    assert enter(client, "li", "wrong").status_code == 401
    seal_all()
    with acting(Actor(system=True)):
        erase_person(li)
        db.session.commit()
    seal_all()
    assert [(one["user_id"], one["address"]) for one in failures()] == [(li, None)] and check().fine
    set_setting("journal.sign_in_months", 1)
    db.session.commit()
    clock.set(datetime(2031, 1, 10, 9) + timedelta(days=70))
    thin_old_entries()
    db.session.commit()
    seal_all()
    assert [(one["user_id"], one["record_id"]) for one in failures()] == [(None, 0)] and check().fine
