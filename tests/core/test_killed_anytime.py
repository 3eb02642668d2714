"""The job process killed at a random moment of an import, a change of many and their undo: the house is whole, the next one goes on."""

from __future__ import annotations

import random

import pytest

from tests.core.drafting import QUEUE_IMPORT
from tests.core.installation import Installation, new
from tests.firm import firm

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
LIST = firm(240, seed=7)
CHUNK = 30
"""Records in a chunk of all that is done here, so that a short list has several."""
MOMENTS = {"an import": 120, "a change of many": 60, "an undo": 60}
"""Statements among which the process is killed; each job has more."""

# It dies some milliseconds after a statement, so that a commit under way, the server's answer and our own code are hit alike.
KILL = """
import os, signal, threading
from sqlalchemy import event
from sqlalchemy.engine import Engine
import core.bulk, core.transfer.chunks as chunks
chunks.CHUNK = core.bulk.AT_ONCE = core.bulk.FEWEST = {chunk}
seen = []
@event.listens_for(Engine, "before_cursor_execute")
def count(_connection, _cursor, statement, *_more):
    # From the claim on: the start of the process is not what is tried here.
    if seen or "core_job" in statement and statement.startswith("UPDATE"):
        seen.append(1)
    if len(seen) == {number}:
        threading.Timer({pause}, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
from core.cli import main
raise SystemExit(main(["jobs", "--once"]))
"""
QUEUE_CHANGE = """
from core.cli.house import house
from core.model import model_of
from core.web.bulk_jobs import EDIT, queue
from core.web.views import view_of
with house(title="A change of many"):
    view = view_of(model_of("crm_client"))
    queue(view, EDIT, filter=None, search=None, last=10**6, total={total}, values={{"level": "{level}"}})
"""
QUEUE_UNDO = """
import core.undo_jobs
from core.cli.house import house
core.undo_jobs.AT_ONCE = 1
with house(title="An undo"):
    assert core.undo_jobs.undo_later({batch})
"""
# Forwards from the first row of the journal, as nothing in the house reads it: what comes out is what is stored.
REPLAY = """
import json
from sqlalchemy import select
from core.cli.house import house
from core.db import db
from core.journal import journal
from core.model import model_of
from core.past import values_of
with house():
    told = {}
    verbs = journal.c.verb.in_(("create", "edit", "delete"))
    for row in db.session.execute(select(journal).where(journal.c.model == "crm_client", verbs).order_by(journal.c.id)):
        changes = json.loads(row.changes)
        if row.verb == "delete":
            del told[row.record_id]
        else:
            old = told.setdefault(row.record_id, {})
            assert (row.verb == "create") == (not old), row
            for name, (before, after) in changes.items():
                assert old.get(name) == before, (row, old)
                old[name] = after
    model = model_of("crm_client")
    there = {one.id: values_of(one) for one in db.session.execute(select(model), execution_options={"mortise_rules": False}).scalars()}
    told = {one: {name: value for name, value in values.items() if value not in (None, [])} for one, values in told.items()}
    kept = {name for values in told.values() for name in values}
    there = {one: {name: value for name, value in values.items() if name in kept} for one, values in there.items()}
    wrong = [(one, there.get(one), told.get(one)) for one in {*there, *told} if there.get(one) != told.get(one)]
    assert not wrong, wrong[:2]
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request, tmp_path_factory):
    made = new(request.param, tmp_path_factory.mktemp("anytime"), "anytime")
    made.must("migrate", "--no-copy")
    LIST.write(made.folder / "clients.csv")
    return made


def killed_and_finished(place: Installation, chance: random.Random, what: str) -> int:
    """How often the process died; the next one ends what it had begun."""
    number, pause = chance.randint(1, MOMENTS[what]), chance.uniform(0, 0.015)
    done = place._forked({"words": [], "code": KILL.format(chunk=CHUNK, number=number, pause=pause)}, None)
    assert done.status in (-9, 0), done.text
    whole(place)
    with place.database() as connection:
        connection.exec_driver_sql("UPDATE core_job SET due_at = '2026-01-01 00:00:00' WHERE state IN ('running', 'queued')")
    place.must("jobs", "--once")
    whole(place)
    assert place.ask("SELECT name, state, last_error FROM core_job WHERE state NOT IN ('done', 'merged')") == []
    return done.status == -9


def whole(place: Installation) -> None:
    """The chain holds, the journal tells what is there, and every row an import has confirmed is there."""
    place.must("check", "journal")
    place.python(REPLAY)
    confirmed = "SELECT count(*) FROM core_import_row WHERE state = 'created' AND import_id = (SELECT max(id) FROM core_import)"
    created = place.ask("SELECT created FROM core_import ORDER BY id DESC")[0][0]
    assert place.ask(confirmed) == [(created,)]


LEVELS = ("a", "b", "c", "d", "a")
FEWEST = 3
"""Of each run so many processes have died at least: twelve of the four runs here, a hundred and two of the soak."""


def kills(place: Installation, seed: int) -> None:
    """An import, changes of many and their undo, each killed at a moment of its own."""
    chance, died = random.Random(seed), 0
    before = place.ask("SELECT count(*) FROM crm_client")[0][0]
    place.python(QUEUE_IMPORT)
    died += killed_and_finished(place, chance, "an import")
    assert place.ask("SELECT count(*), count(DISTINCT code) FROM crm_client") == [(LIST.good, LIST.good)] and before == 0
    changes = 0
    while changes == 0 or (died < FEWEST - 1 and changes < len(LEVELS)):
        level = LEVELS[changes]
        place.python(QUEUE_CHANGE.format(total=LIST.good, level=level))
        died += killed_and_finished(place, chance, "a change of many")
        assert place.ask("SELECT DISTINCT level FROM crm_client") == [(level,)]
        changes += 1
    batches = "SELECT DISTINCT batch_id FROM core_journal WHERE model = 'crm_client' AND verb = '{}' AND batch_id > {} ORDER BY 1 DESC"
    ours = "SELECT min(batch_id) FROM core_journal WHERE model = 'crm_client' AND record_id IN (SELECT id FROM crm_client)"
    since = place.ask(ours)[0][0] - 1
    changed, made = place.ask(batches.format("edit", since)), place.ask(batches.format("create", since))
    assert len(changed) == changes and len(made) == 1, "one deed is one batch, whoever finished it"
    for (batch,) in (*changed, *made):
        place.python(QUEUE_UNDO.format(batch=batch))
        died += killed_and_finished(place, chance, "an undo")
    assert place.ask("SELECT count(*) FROM crm_client") == [(0,)]
    assert died >= FEWEST, "the moments have to lie within the jobs"


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_a_random_moment_nothing_is_torn_and_nothing_is_lost(place, seed):
    kills(place, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 117))
def test_killed_a_hundred_times(place, seed):
    kills(place, seed)
