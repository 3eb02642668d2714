"""Imports that are killed at any moment, by `run.py import` and by the job process: they go on without doubling, or go away as a whole."""

import time

import pytest

from tests.core.drafting import QUEUE_IMPORT
from tests.core.installation import new
from tests.firm import firm

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
CLIENTS = "SELECT count(*), count(DISTINCT code), count(DISTINCT name) FROM crm_client"
POINTS = ["while the file is read", "before a chunk", "after the rows", "before the commit", "after the commit", "at the end"]
CHUNK = 100
"""Lines in a chunk of a process that will be killed, so that a short list has several; whoever goes on takes the usual ones."""
LIST, LONG_LIST = firm(320, seed=5), firm(1600, seed=5)

# The process kills itself at a point of its third chunk (of the first, where there is but one).
KILL_AT = """
import os, signal, sys
import core.transfer.chunks as chunks, core.transfer.taking as taking, core.transfer.drafts
point, seen = {point!r}, []
chunks.CHUNK = {chunk}
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def around(module, name, before=None, after=None, at=3):
    known = getattr(module, name)
    def called(*args, **more):
        seen.append(name)
        if before == point and seen.count(name) == at:
            die()
        found = known(*args, **more)
        if after == point and seen.count(name) == at:
            die()
        return found
    setattr(module, name, called)
around(taking, "put_rows", after="while the file is read", at=1)
around(chunks._Work, "store", before="before a chunk", after="after the rows")
around(chunks, "_note", after="before the commit")
around(chunks, "_chunk", after="after the commit")
around(chunks, "_finish", before="at the end", at=1)
from core.cli import main
raise SystemExit(main({words!r}))
"""


def killed(place, point, *words):
    done = place._forked({"words": [], "code": KILL_AT.format(point=point, chunk=CHUNK, words=[str(word) for word in words])}, None)
    assert done.status == -9, done.text


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def template(request, tmp_path_factory):
    made = new(request.param, tmp_path_factory.mktemp("killed"), "killed")
    made.must("migrate", "--no-copy")
    LIST.write(made.folder / "clients.csv")
    LONG_LIST.write(made.folder / "long.csv")
    return made


def at_points(points, on_postgresql):
    """Each point on SQLite; on PostgreSQL those where the database itself may make a difference."""
    both = [*(("sqlite", point) for point in points), *(("postgresql", point) for point in on_postgresql)]
    return pytest.mark.parametrize(("template", "point"), both, indirect=["template"])


@pytest.fixture
def place(template):
    """The installation with empty tables of clients and imports."""
    with template.database() as connection:
        for table in ("crm_client", "core_import", "core_import_row", "core_journal", "core_batch", "core_search", "core_job"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        if not template.url:
            connection.exec_driver_sql("INSERT INTO core_search_fts (core_search_fts) VALUES ('delete-all')")
    return template


def state(place):
    return place.ask("SELECT state, read, created, refused FROM core_import")[0]


@at_points(POINTS, ["while the file is read", "before the commit", "after the commit"])
def test_a_killed_command_goes_on_where_it_was_without_doubling(place, point):
    killed(place, point, "import", "crm_client", "clients.csv")
    there = place.ask(CLIENTS)[0][0]
    _state, read, created, _refused = state(place)
    assert there == created == place.ask("SELECT count(*) FROM core_journal WHERE model = 'crm_client'")[0][0], "whole chunks only"
    assert read % CHUNK == 0 or read == 320
    (number,) = place.ask("SELECT id FROM core_import")[0]
    if point == "while the file is read":
        done = place.run("import", "--resume", number)
        assert done.status == 1 and "import the file again" in done.text
        told = place.must("import", "crm_client", "clients.csv")
    else:
        told = place.must("import", "--resume", number)
    assert f"New: {LIST.good:,}, changed: 0, already there: 0, wrong: {len(LIST.wrong)}" in told
    assert place.ask(CLIENTS) == [(LIST.good,) * 3]
    batches = place.ask("SELECT DISTINCT batch_id FROM core_journal WHERE model = 'crm_client'")
    assert len(batches) == 1, "one import is one batch, whoever finished it"
    told = place.must("import", "crm_client", "clients.csv")
    assert f"New: 0, changed: 0, already there: {LIST.good:,}" in told and "Name + Phones" in told


@at_points(["before a chunk", "before the commit", "after the commit"], ["after the commit"])
def test_a_killed_command_is_taken_back_as_a_whole(place, point):
    killed(place, point, "import", "crm_client", "clients.csv")
    (number,) = place.ask("SELECT id FROM core_import")[0]
    assert 0 < place.ask(CLIENTS)[0][0] == state(place)[2] < LIST.good
    assert "was taken back" in place.must("import", "--revert", number)
    assert place.ask(CLIENTS) == [(0, 0, 0)] and place.ask("SELECT count(*) FROM core_search") == [(0,)]
    assert "reverted" in place.must("import", "--list")
    assert place.run("import", "--resume", number).status == 1


def queued(place):
    return int(place.python(QUEUE_IMPORT).split()[-2])


def expire_leases(place):
    with place.database() as connection:
        connection.exec_driver_sql("UPDATE core_job SET due_at = '2026-01-01 00:00:00' WHERE state IN ('running', 'queued')")


@at_points(POINTS[1:], ["after the rows", "at the end"])
def test_a_killed_job_is_gone_on_with_by_the_next_runner(place, point):
    number = queued(place)
    killed(place, point, "jobs", "--once")
    there = place.ask(CLIENTS)[0][0]
    assert there == state(place)[2] and (there < LIST.good or point == "at the end")
    expire_leases(place)
    place.must("jobs", "--once")
    assert state(place) == ("done", 320, LIST.good, len(LIST.wrong)) and place.ask(CLIENTS) == [(LIST.good,) * 3]
    assert len(place.ask("SELECT DISTINCT batch_id FROM core_journal WHERE model = 'crm_client'")) == 1
    created = f"FROM core_import_row WHERE import_id = {number} AND state = 'created'"
    assert place.ask(f"SELECT count(*), count(DISTINCT record_id) {created}") == [(LIST.good, LIST.good)]


def test_two_processes_that_go_on_with_one_import_take_turns(place):
    killed(place, "after the commit", "import", "crm_client", "long.csv")
    (number,) = place.ask("SELECT id FROM core_import")[0]
    both = [place.start("import", "--resume", number, "--wrong", place.folder / f"wrong-{n}.csv") for n in range(2)]
    said = ["".join(one.communicate(timeout=600)) for one in both]
    assert place.ask(CLIENTS) == [(LONG_LIST.good,) * 3] and state(place)[:3] == ("done", 1600, LONG_LIST.good), said


def test_ctrl_c_leaves_an_import_that_can_be_resumed(place):
    import signal

    running = place.start("import", "crm_client", "long.csv")
    end = time.monotonic() + 600
    while not place.ask(CLIENTS)[0][0] and running.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    said = "".join(running.communicate(timeout=600))
    (number,) = place.ask("SELECT id FROM core_import")[0]
    if running.returncode:
        assert f"run.py import --resume {number}" in said and "Traceback" not in said
        place.must("import", "--resume", number)
    assert place.ask(CLIENTS) == [(LONG_LIST.good,) * 3]
