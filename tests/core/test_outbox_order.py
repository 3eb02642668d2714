"""Two transactions that overlap and commit in the other order: the outbox misses no job, the seal misses no row."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from core.context import Actor, acting
from core.db import db
from core.job_list import job_status
from core.jobs import forget_old_jobs, run_jobs
from core.journal import journal, write
from core.seal import seal


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_commits_late_with_a_lower_number_is_missed_by_nobody(app):
    late_wrote, early_done, late_done = threading.Event(), threading.Event(), threading.Event()
    made: dict[str, int] = {}

    def late() -> None:
        """Takes its numbers first and commits last."""
        with app.app_context(), acting(Actor(door="system", system=True)):
            made["late"] = forget_old_jobs.later(key="late")
            write("core_setting", 1, "export", {"who": "late"})
            late_wrote.set()
            early_done.wait(20)
            db.session.commit()
            db.remove()
        late_done.set()

    db.remove()
    thread = threading.Thread(target=late)
    thread.start()
    assert late_wrote.wait(20)
    made["early"] = forget_old_jobs.later(key="early")
    write("core_setting", 2, "export", {"who": "early"})
    db.session.commit()
    assert made["late"] < made["early"]
    run_jobs(once=True)
    assert job_status(made["early"])["state"] == "done"
    seal()
    db.session.commit()
    db.remove()
    early_done.set()
    assert late_done.wait(20)
    thread.join()
    run_jobs(once=True)
    assert job_status(made["late"])["state"] == "done"
    while seal():
        db.session.commit()
    written = select(journal.c.record_id, journal.c.seal).where(journal.c.model == "core_setting", journal.c.verb == "export")
    rows = db.session.execute(written).all()
    assert {one.record_id for one in rows} == {1, 2} and all(one.seal for one in rows)
    seals = db.session.scalars(select(journal.c.seal).order_by(journal.c.seal)).all()
    assert seals == list(range(1, len(seals) + 1))
