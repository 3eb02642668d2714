"""Ways to read that are no plain 200: a file by pieces, a page that answers with a mistake and shows the record all the same."""

from __future__ import annotations

import io

from sqlalchemy import select

from core.db import db
from core.journal import journal
from core.settings import set_setting
from core.testing import both_databases, settle


def told(verb):
    """(person, record) of the journal's entries with this verb, oldest first."""
    db.session.rollback()
    found = db.session.execute(select(journal.c.user_id, journal.c.record_id).where(journal.c.verb == verb).order_by(journal.c.id)).all()
    settle()
    return [tuple(row) for row in found]


@both_databases
def test_a_file_fetched_by_pieces_is_saved_like_a_whole_one(app, login_as, create_user):
    boss = create_user("boss", level="administrator")
    browser = login_as(boss)
    made = browser.post("/file/", data={"file": (io.BytesIO(b"all our prices"), "prices.txt")}).json["id"]
    answer = browser.get(f"/file/{made}", headers={"Range": "bytes=0-"})
    assert answer.status_code == 206 and answer.data == b"all our prices"
    assert [person for person, _record in told("download")] == [boss.id]


@both_databases
def test_a_form_that_comes_back_with_a_mistake_has_shown_the_record(app, login_as, create, create_user):
    client = create("crm_client", name="Far Hills")
    set_setting("journal.read_models", "crm_client")
    db.session.commit()
    boss = create_user("boss", level="administrator")
    browser = login_as(boss)
    answer = browser.post(f"/crm_client/{client.id}", data={"name": "", "_version": client.version, "_seen": "{}"})
    assert answer.status_code == 422
    assert told("read") == [(boss.id, client.id)]
