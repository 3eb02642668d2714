"""What was done with one record: also by pages of lists and by exports that held it among others."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from core import journal_among
from core.context import Actor, acting
from core.db import db
from core.journal import batches, journal
from core.journal_among import among
from core.journal_erase import thin
from core.journal_query import Question, batches_of, rows_of
from core.settings import set_setting
from core.testing import both_databases
from tests.core.test_asof import FIRST
from tests.core.test_journal_keep import seal_all


@pytest.fixture
def clients(app: Any, create: Any, clock: Any) -> list[int]:
    clock.set(FIRST)
    made = [create("crm_client", name=f"Hill {number}").id for number in range(5)]
    set_setting("journal.read_models", "crm_client")
    db.session.commit()
    return made


def of(record: int, **more: Any) -> list[tuple[str, int]]:
    """(action, number of its record) of the answer, newest first."""
    db.session.rollback()
    with acting(Actor(system=True)):
        found = [(row.verb, row.record_id) for row in rows_of(Question(model="crm_client", record=record, **more))]
    db.session.rollback()
    return found


@both_databases
def test_lists_that_were_read_and_exports_are_found_by_each_record_that_they_held(
    app: Any, clients: list[int], login_as: Any, api_as: Any, clock: Any
) -> None:  # fmt: skip
    first, *_rest, last = clients
    clock.advance(timedelta(days=2))
    boss = login_as("boss", level="administrator")
    boss.get("/crm_client/")
    boss.get("/crm_client/?q=Hill+4")
    api_as("boss").get(f'/api/v1/crm_client/?filter={{"field":"id","op":"in","value":[{clients[1]},{last}]}}')
    boss.post("/crm_client/_export", data={"format": "csv", "rows": "ticked", "ids": [clients[0], clients[1], clients[3]]}, buffered=True)
    assert of(first) == [("export", 0), ("read", 0), ("create", first)]
    assert of(clients[2]) == [("read", 0), ("create", clients[2])]
    assert of(clients[3]) == [("export", 0), ("read", 0), ("create", clients[3])]
    assert of(last) == [("read", 0), ("read", last), ("read", 0), ("create", last)]
    # With the other questions, too.
    assert of(first, verb="export") == [("export", 0)] and of(first, verb="create") == [("create", first)]
    assert of(first, door="api") == [] and of(last, door="api") == [("read", 0)]
    day = FIRST.date()
    assert of(first, until=day) == [("create", first)] and of(first, since=day + timedelta(days=1)) == [("export", 0), ("read", 0)]
    assert of(first, person=999) == [] and of(first, field="name") == [("create", first)]
    # At the doors: the page, its file.
    page = boss.get(f"/settings/journal?model=crm_client&record={clients[2]}").text
    assert page.count('class="m-event"') == 2 and "held this record among" in page and "looked through back" not in page
    assert "held this record among" not in boss.get("/settings/journal?model=crm_client").text
    lines = boss.get(f"/settings/journal/export?model=crm_client&record={first}").get_data(as_text=True)
    assert len({one.split(",")[0] for one in lines.splitlines()[1:]}) == 3


@both_databases
def test_a_bounded_number_of_entries_is_looked_through_and_the_page_says_how_far(
    app: Any, clients: list[int], login_as: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    login_as("boss", level="administrator")
    for _day in range(6):
        clock.advance(timedelta(days=1))
        login_as("boss").get("/crm_client/")
    monkeypatch.setattr(journal_among, "MOST", 3)
    monkeypatch.setattr(journal_among, "CHUNK", 2)
    assert [verb for verb, _id in of(clients[0])] == ["read", "read", "read", "create"]
    day, boss = (FIRST + timedelta(days=3)).date(), login_as("boss")
    page = boss.get(f"/settings/journal?model=crm_client&record={clients[0]}").text
    assert f"looked through back to {day}" in page
    assert [verb for verb, _id in of(clients[0], until=day)] == ["read", "read", "read", "create"], "and further back from there"
    assert boss.get(f"/settings/journal?model=crm_client&record={clients[0]}&until={day}").status_code == 200


@both_databases
def test_entries_whose_records_were_taken_away_are_not_found(app: Any, clients: list[int], login_as: Any, clock: Any) -> None:
    login_as("boss", level="administrator").get("/crm_client/")
    assert [verb for verb, _id in of(clients[0])] == ["read", "create"]
    db.session.commit()
    seal_all()
    with acting(Actor(system=True)):
        assert thin(("read",), FIRST + timedelta(days=400)) == 1
        db.session.commit()
    assert [verb for verb, _id in of(clients[0])] == ["create"]


@both_databases
def test_pages_of_the_answer_hold_each_batch_once(app: Any, clients: list[int]) -> None:
    at, first = datetime(2030, 1, 1), clients[0]
    db.session.execute(insert(batches), [{"id": number, "at": at, "door": "screen"} for number in range(5001, 5101)])
    common = {"tx": 1, "at": at, "door": "screen", "model": "crm_client"}
    rows = [
        {**common, "batch_id": number, "record_id": 0, "verb": "read", "changes": json.dumps({"ids": clients})}
        if number % 2
        else {**common, "batch_id": number, "record_id": first, "verb": "edit", "changes": '{"name":["a","b"]}'}
        for number in range(5001, 5101)
    ]
    db.session.execute(insert(journal), rows)
    db.session.commit()
    asked = Question(model="crm_client", record=first, since=at.date())
    with acting(Actor(system=True)):
        beside, met, before = among(asked), [], None
        while page := batches_of(asked, before, 30, beside):
            met += page
            before = page[-1]
        assert met == list(range(5100, 5000, -1))
        assert [row.batch_id for row in rows_of(asked, None, 70)] == met[:70]
