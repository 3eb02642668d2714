"""A job of any kind that is killed, run again and delivered twice by rq has the effect of one that runs once."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest

from core.jobs import jobs
from tests import servers
from tests.core.each_kind import OUTSIDE, case_of
from tests.core.installation import ROOT, Installation, new

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.postgres]
QUEUE = """
import json, sys
sys.path.insert(0, {root!r})
from core.cli.house import house
from tests.core.each_kind import prepare, queue_all
with house(title="Jobs", as_login="admin"):
    prepare()
    print(json.dumps(queue_all()))
"""
ONCE = """
from core.cli.house import house
from core.db import db
from core.job_runner import perform
with house():
    db.session.commit()
    for number in {numbers}:
        assert perform(only=number), number
"""
# The work is done, and not committed: the worst moment.
KILLED = """
import os, signal
from core import job_runner
from core.cli.house import house
from core.db import db
def reached(point):
    if point == "after job":
        os.kill(os.getpid(), signal.SIGKILL)
with house():
    for number in {numbers}:
        db.remove()
        db.engine.dispose()
        child = os.fork()
        if child == 0:
            job_runner.reached = reached
            job_runner.perform(only=number)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, number
"""
WORKER = """
from core import rq_runner
from core.app import create_app
rq_runner.QUEUE = {queue!r}
rq_runner.work(create_app(), {url!r}, burst=True)
"""
DELIVERED_TWICE = """
from core import rq_runner
rq_runner.QUEUE = {queue!r}
for number in {numbers}:
    for turn in "ab":
        rq_runner.queue_at({url!r}).enqueue("core.rq_runner.perform", number, job_id=f"{{number}}-{{turn}}", **rq_runner.FOR_RQ)
"""
ONLY_HOW = {"core_heartbeat", "core_schedule", "core_state", "core_answered_once", "core_journal", "core_job"}
"""Tables that tell how the work went, or whose rows are counted by kind."""
OF_FILES = {"journal core_backup backup-deleted"}
"""A backup is a file: that of the attempt that was killed stays, and the rule of what is kept removes it as the older one of its day."""


def effect(place: Installation) -> dict[str, int]:
    """How many rows each table holds; those of the journal by model and verb, those of jobs by name and state."""
    found = {name: place.ask(f'SELECT count(*) FROM "{name}"')[0][0] for name in place.tables() - ONLY_HOW}
    for model, verb, count in place.ask("SELECT model, verb, count(*) FROM core_journal GROUP BY model, verb"):
        found[f"journal {model} {verb}"] = count
    for name, state, count in place.ask("SELECT name, state, count(*) FROM core_job GROUP BY name, state"):
        found[f"job {name} {state}"] = count
    return found


def prepared(kind: str, folder) -> SimpleNamespace:
    place = new(kind, folder, folder.name)
    place.must("migrate", "--no-copy")
    numbers = json.loads(place.python(QUEUE.format(root=str(ROOT))).splitlines()[-1])
    return SimpleNamespace(place=place, numbers=numbers, before=effect(place))


def test_every_kind_of_job_has_a_case(app):
    for name, one in jobs().items():
        # Other tests of this process make kinds of their own.
        if one.function.__module__.startswith("core."):
            assert name in OUTSIDE or case_of(one), name


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_kind_of_job_killed_and_delivered_twice_has_one_effect(kind, tmp_path):
    once, often = prepared(kind, tmp_path / "once"), prepared(kind, tmp_path / "often")
    assert often.numbers == once.numbers and often.before == once.before and len(once.numbers) > 25
    numbers = list(once.numbers.values())
    once.place.python(ONCE.format(numbers=numbers))
    often.place.python(KILLED.format(numbers=numbers))
    with often.place.database() as connection:
        connection.exec_driver_sql("UPDATE core_job SET due_at = '2026-01-01 00:00:00' WHERE state = 'running'")
    words = {"queue": f"mortise-{uuid.uuid4().hex}", "url": servers.redis_url(), "numbers": numbers}
    often.place.python(DELIVERED_TWICE.format(**words))
    line, folder = [sys.executable, "-c", WORKER.format(**words)], often.place.folder
    environment = often.place.environment | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    workers = [subprocess.Popen(line, cwd=folder, env=environment, **pipes) for _worker in range(2)]
    said = [one.communicate(timeout=120)[0] for one in workers]
    assert [one.returncode for one in workers] == [0, 0], said
    asked = f"SELECT name, state, attempts, last_error FROM core_job WHERE id IN ({', '.join(map(str, numbers))})"
    wrong = [row for row in often.place.ask(asked) if row[1:3] != ("done", 2)]
    assert not wrong, (wrong, said)
    plain, after = effect(once.place), effect(often.place)
    differ = {name: (plain.get(name), after.get(name)) for name in {*plain, *after} - OF_FILES if plain.get(name) != after.get(name)}
    assert not differ, differ
    assert sum(plain[name] != once.before.get(name) for name in plain) > 10, "the jobs have done something"
