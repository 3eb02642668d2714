"""Each usual question to the journal is answered from an index: the database's own plan names no walk through the whole table."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import insert, text

from core.context import Actor, acting
from core.db import db
from core.journal import RARE, batches, journal
from core.journal_keep import check, removable
from core.journal_query import Question, batches_of, history, rows_of
from core.model import model_of
from core.past import moments
from core.testing import both_databases
from tests.core.journal_plans import QUESTIONS, SCANS, plans
from tests.core.test_journal_keep import seal_all

ROWS, A_BATCH = 8_000, 4


@pytest.fixture
def large(app):
    """Rows as a house makes them: nearly all by screens on clients, a few rare ones among them; sealed."""
    begin = datetime(2030, 1, 1)
    db.session.execute(
        insert(batches), [{"id": one + 1001, "at": begin + timedelta(minutes=30 * one), "door": "screen"} for one in range(ROWS // A_BATCH)]
    )
    rows = []
    for number in range(ROWS):
        rare = number % 400 == 399
        rows.append({
            "tx": 1, "batch_id": number // A_BATCH + 1001, "at": begin + timedelta(minutes=30 * (number // A_BATCH)),
            "record_id": number % 5000,
            "user_id": 7 if rare else number % 3, "door": "command line" if rare else "screen",
            "model": "crm_case" if rare else "crm_client",
            "verb": "sign-in" if rare else "edit", "changes": f'{{"name":["a{number}","b"]}}',
        })  # fmt: skip
    db.session.execute(insert(journal), rows)
    db.session.commit()
    seal_all()
    db.session.execute(text("ANALYZE"))
    db.session.commit()


@both_databases
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_from_an_index(large, name):
    with acting(Actor(system=True)):
        for found in (plans(lambda: batches_of(QUESTIONS[name], None, 31)), plans(lambda: list(rows_of(QUESTIONS[name], None, 50)))):
            assert found and not [one for one in found if SCANS.search(one)], found


@both_databases
def test_history_past_check_and_removal_are_answered_from_an_index(large):
    with acting(Actor(system=True)):
        client = model_of("crm_client")
        for ask in (lambda: history(client, 77), lambda: moments(client, 77), lambda: removable(datetime(2030, 1, 5)), check):
            found = plans(ask)
            assert found and not [one for one in found if SCANS.search(one)], found


@both_databases
def test_a_plan_without_its_index_is_seen(large):
    """The measure itself can fail: without the index of doors the same question walks through the table."""
    for name in ("ix_core_journal_door", "ix_core_journal_model_batch"):
        db.session.execute(text(f"DROP INDEX {name}"))
    db.session.commit()
    where = journal.select().where(journal.c.door == "command line", RARE["door"])
    assert any(SCANS.search(one) for one in plans(lambda: db.session.execute(where).all()))


@both_databases
def test_days_are_found_whenever_their_batches_began(app):
    """A job that works for long has rows of later days than its own number; others begin and end meanwhile."""
    day = datetime(2030, 5, 1)
    begun = {2001: day, 2002: day + timedelta(days=1), 2003: day + timedelta(days=2), 2004: day + timedelta(days=3)}
    db.session.execute(insert(batches), [{"id": one, "at": at, "door": "screen"} for one, at in begun.items()])
    facts = {"tx": 1, "user_id": 1, "door": "screen", "model": "crm_client", "record_id": 1, "verb": "edit", "changes": "{}"}
    rows = [(batch, at + timedelta(minutes=1)) for batch, at in begun.items()] + [(2001, day + timedelta(days=2, hours=1))]
    db.session.execute(insert(journal), [facts | {"batch_id": batch, "at": at} for batch, at in rows])
    db.session.commit()

    def found(since: int, until: int) -> list[int]:
        asked = Question(since=date(2030, 5, since), until=date(2030, 5, until))
        assert sorted({one.batch_id for one in rows_of(asked)}, reverse=True) == batches_of(asked, None, 31)
        return batches_of(asked, None, 31)

    with acting(Actor(system=True, zone="UTC")):
        assert found(3, 3) == [2003, 2001] and found(2, 2) == [2002] and found(1, 2) == [2002, 2001]
        assert found(1, 9) == [2004, 2003, 2002, 2001] and found(6, 9) == [] and found(4, 4) == [2004]
        asked = Question(until=date(2020, 1, 1))
        assert batches_of(asked, None, 31) == [] == list(rows_of(asked))
