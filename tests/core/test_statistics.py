"""SQLite learns at night how many rows its tables hold; what it knows decides which index a list walks."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from core.context import system
from core.db import db
from core.jobs import run_jobs
from core.model import model_of
from core.testing import both_databases
from tests.contract.values import make


def known() -> dict[str, int]:
    rows = db.session.execute(text("SELECT tbl, stat FROM sqlite_stat1 WHERE tbl LIKE 'crm_%'")).all()
    return {table: int(told.split()[0]) for table, told in rows}


def test_sizes_are_learnt_in_the_night(app, clock):
    with system("some clients"):
        for number in range(30):
            make(model_of("crm_client"), number)
    db.session.commit()
    run_jobs(once=True)
    clock.advance(timedelta(days=1))
    run_jobs(once=True)
    assert known()["crm_client"] == 30
    with system("more clients"):
        for number in range(30, 50):
            make(model_of("crm_client"), number)
    db.session.commit()
    clock.advance(timedelta(days=1))
    run_jobs(once=True)
    assert known()["crm_client"] == 50


@both_databases
def test_the_night_passes_on_either_database(app, clock):
    for _night in range(2):
        clock.advance(timedelta(days=1))
        run_jobs(once=True)
    failed = db.session.execute(text("SELECT name, last_error FROM core_job WHERE last_error IS NOT NULL")).all()
    assert not failed
