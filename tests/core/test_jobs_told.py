"""What people do to jobs of the background is told by the journal, as what they do to records."""

from __future__ import annotations

from sqlalchemy import select

from core.context import Actor, acting
from core.db import db
from core.journal import journal
from core.testing import both_databases, settle
from core.undo_jobs import undo_large


@both_databases
def test_whoever_stops_a_job_or_has_it_tried_again_stands_in_the_journal(app, login_as, create_user):
    li = create_user("li")
    with acting(Actor(user_id=li.id, door="screen")):
        made = undo_large.later(batch_id=0)
        db.session.commit()
    boss = create_user("boss", level="administrator")
    browser = login_as(boss)
    assert browser.post(f"/jobs/{made}/cancel").status_code == browser.post(f"/jobs/{made}/again").status_code == 302
    db.session.rollback()
    query = select(journal.c.user_id, journal.c.verb, journal.c.record_id).where(journal.c.model == "core_job").order_by(journal.c.id)
    told = [tuple(row) for row in db.session.execute(query)]
    settle()
    assert told == [(boss.id, "job-cancel", made), (boss.id, "job-again", made)]
    page = browser.get("/settings/journal").text
    assert "cancelled a job" in page and "had a job tried again" in page and "job-cancel</" not in page
