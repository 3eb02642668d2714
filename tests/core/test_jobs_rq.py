"""Real processes that die or stop in the middle of a job leave one effect: by the job process and by rq, on both databases."""

import os
import signal
import socket
import threading
import time
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from core.db import db
from core.jobs import core_job
from tests import servers
from tests.core.job_probe import LEASE, Nursery, clear_rows, connected, leave_many, leave_one, notes, states

POINTS = [
    "before claim", "inside claim", "after claim", "before job", "job begins", "job wrote",
    "after job", "after flush", "before commit", "after commit", "after all",
]  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    with Nursery(tmp_path_factory.mktemp("jobs")) as found:
        yield found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request, tmp_path_factory):
    found = f"sqlite:///{tmp_path_factory.mktemp('db')}/jobs.db" if request.param == "sqlite" else servers.fresh_database("jobs_rq")
    with connected(found):
        yield found


@pytest.fixture(autouse=True)
def empty(url, nursery, tmp_path):
    nursery.folder = tmp_path
    clear_rows()
    yield
    nursery.clear()


def attempts(made):
    with db.short() as connection:
        return {made[one]: count for one, count in connection.execute(select(core_job.c.id, core_job.c.attempts))}


# Before the claim is written nothing was tried; after the commit nothing is left to try.
EXPECTED_ATTEMPTS = {point: 1 if point in ("before claim", "inside claim", "after commit", "after all") else 2 for point in POINTS}


def queue_one_for_each_point():
    made = {leave_one.later(note=point): point for point in POINTS}
    db.session.commit()
    return made


def until(true, nursery, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{states()}\n{nursery.log()}"
        time.sleep(0.05)


def test_a_process_killed_at_any_point_of_a_job_leaves_one_effect(nursery, url):
    made = queue_one_for_each_point()
    started = [(point, nursery.start("perform", url, id=one, kill_at=point)) for one, point in made.items()]
    assert {point: nursery.wait(pid) for point, pid in started} == dict.fromkeys(POINTS, -signal.SIGKILL)
    assert notes() == ["after all", "after commit"]
    time.sleep(LEASE + 0.1)
    assert nursery.wait(nursery.start("loop", url, once=True)) == 0, nursery.log()
    assert notes() == sorted(POINTS)
    assert set(states().values()) == {"done"}
    assert attempts(made) == EXPECTED_ATTEMPTS


def test_a_process_paused_beyond_its_lease_has_no_second_effect(nursery, url):
    # On SQLite the pause is before the first write: whoever holds its only lock cannot be overtaken anyway.
    paused = {}
    for point in ["job begins", *(["job wrote", "after flush"] if not db.is_sqlite else [])]:
        one = leave_one.later(note=point)
        db.session.commit()
        paused[point] = nursery.start("perform", url, id=one, stop_at=point)
    assert [nursery.wait(pid, stopped=True) for pid in paused.values()] == ["stopped"] * len(paused)
    time.sleep(LEASE + 0.1)
    assert nursery.wait(nursery.start("loop", url, once=True)) == 0, nursery.log()
    assert set(states().values()) == {"done"}
    for pid in paused.values():
        os.kill(pid, signal.SIGCONT)
    assert [nursery.wait(pid) for pid in paused.values()] == [0] * len(paused), nursery.log()
    assert notes() == sorted(paused)
    assert nursery.log().count("was silent beyond its lease and taken over") == len(paused)


def test_a_process_paused_within_its_transaction_still_has_one_effect(nursery, url):
    one = leave_one.later(note="held")
    db.session.commit()
    paused = nursery.start("perform", url, id=one, stop_at="before commit")
    assert nursery.wait(paused, stopped=True) == "stopped"
    time.sleep(LEASE + 0.1)
    # The row is locked by the paused one: the other finds nothing to take on PostgreSQL, and waits for the lock on SQLite.
    other = nursery.start("perform", url, id=one)
    if not db.is_sqlite:
        assert nursery.wait(other) == 0
    os.kill(paused, signal.SIGCONT)
    assert nursery.wait(paused) == 0
    if db.is_sqlite:
        assert nursery.wait(other) == 0
    assert notes() == ["held"]
    assert states() == {one: "done"}


def test_a_job_in_chunks_goes_on_where_it_died(nursery, url):
    one = leave_many.later(count=6)
    db.session.commit()
    for number in (1, 4):
        assert nursery.wait(nursery.start("perform", url, id=one, kill_at=f"chunk {number}")) == -signal.SIGKILL
        time.sleep(LEASE + 0.1)
    assert nursery.wait(nursery.start("loop", url, once=True)) == 0
    assert notes() == [f"part {number}" for number in range(6)]
    assert states() == {one: "done"}


def test_a_paused_process_commits_no_chunk_of_a_job_that_another_is_running(nursery, url):
    one = leave_many.later(count=4)
    db.session.commit()
    # On SQLite the chunk may not be begun, since its writer holds the only lock.
    points = ("between 0", "between 1") if db.is_sqlite else ("chunk 1", "chunk 2")
    first = nursery.start("perform", url, id=one, stop_at=points[0])
    assert nursery.wait(first, stopped=True) == "stopped"
    time.sleep(LEASE + 0.1)
    second = nursery.start("perform", url, id=one, stop_at=points[1])
    assert nursery.wait(second, stopped=True) == "stopped"
    os.kill(first, signal.SIGCONT)
    assert nursery.wait(first) == 0
    os.kill(second, signal.SIGCONT)
    assert nursery.wait(second) == 0
    assert notes() == [f"part {number}" for number in range(4)]
    assert states() == {one: "done"}
    assert "was silent beyond its lease and taken over" in nursery.log()


def test_four_runners_share_two_hundred_jobs_and_none_is_done_twice(nursery, url):
    for number in range(200):
        leave_one.later(note=f"{number:03}")
    db.session.commit()
    pids = [nursery.start("loop", url, once=True) for _ in range(4)]
    assert [nursery.wait(pid) for pid in pids] == [0] * 4, nursery.log()
    assert notes() == [f"{number:03}" for number in range(200)]


def test_a_runner_that_is_told_to_stop_finishes_its_job_and_leaves_the_next(nursery, url):
    first, second = leave_one.later(note="first"), leave_one.later(note="second")
    db.session.commit()
    loop = nursery.start("loop", url, stop_at="job begins")
    assert nursery.wait(loop, stopped=True) == "stopped"
    os.kill(loop, signal.SIGTERM)
    os.kill(loop, signal.SIGCONT)
    assert nursery.wait(loop) == 0
    assert states() == {first: "done", second: "queued"}


def test_a_job_whose_process_dies_each_time_is_given_up(nursery, url):
    one = leave_one.later(note="deadly")
    db.session.commit()
    with db.short() as connection:
        connection.execute(core_job.update().values(attempts=leave_one.retries))
    assert nursery.wait(nursery.start("perform", url, id=one, kill_at="job wrote")) == -signal.SIGKILL
    time.sleep(LEASE + 0.1)
    assert nursery.wait(nursery.start("loop", url, once=True)) == 0
    assert states() == {one: "dead"}
    assert notes() == []


# -- rq ---------------------------------------------------------------------------------------------------------------


@pytest.mark.redis
def test_workers_of_rq_killed_at_any_point_leave_one_effect(nursery, url):
    redis = {"redis": servers.redis_url(), "queue": f"mortise-{uuid.uuid4().hex}"}
    made = queue_one_for_each_point()
    # The first to hand over dies before it can note that it did: each id is delivered twice.
    assert nursery.wait(nursery.start("loop", url, kill_at="handed over", **redis)) == -signal.SIGKILL
    loop = nursery.start("loop", url, **redis)
    workers = [nursery.start("work", url, points={one: {"kill": point} for one, point in made.items()}, **redis) for _ in range(2)]
    until(lambda: set(states().values()) == {"done"}, nursery)
    assert notes() == sorted(POINTS)
    assert attempts(made) == EXPECTED_ATTEMPTS
    assert nursery.log().count("Work-horse terminated unexpectedly") >= len(POINTS) - 1, nursery.log()
    assert nursery.end(loop) == 0
    assert [nursery.end(pid) for pid in workers] == [0, 0]


@pytest.mark.redis
def test_a_worker_of_rq_paused_beyond_its_lease_has_no_second_effect(nursery, url):
    redis = {"redis": servers.redis_url(), "queue": f"mortise-{uuid.uuid4().hex}"}
    one = leave_one.later(note="paused")
    db.session.commit()
    points = {one: {"stop": "job begins" if db.is_sqlite else "job wrote"}}
    pids = [nursery.start("loop", url, **redis), *(nursery.start("work", url, points=points, **redis) for _ in range(2))]
    until(lambda: states()[one] == "done", nursery)
    assert notes() == ["paused"]
    os.kill(int((nursery.folder / f"pid-{one}").read_text()), signal.SIGCONT)
    until(lambda: "was silent beyond its lease and taken over" in nursery.log(), nursery)
    assert notes() == ["paused"]
    assert [nursery.end(pid) for pid in pids] == [0, 0, 0]


@pytest.mark.redis
def test_a_redis_that_goes_away_loses_nothing(nursery, url):
    gate = Gate(servers.redis_url())
    redis = {"redis": gate.url, "queue": f"mortise-{uuid.uuid4().hex}"}
    gate.open()
    loop, worker = nursery.start("loop", url, **redis), nursery.start("work", url, **{**redis, "redis": servers.redis_url()})
    leave_one.later(note="with")
    db.session.commit()
    until(lambda: notes() == ["with"], nursery)
    gate.close()
    leave_one.later(note="without")
    db.session.commit()
    until(lambda: "Redis does not answer" in nursery.log(), nursery)
    assert notes() == ["with"]
    gate.open()
    until(lambda: notes() == ["with", "without"], nursery)
    gate.close()
    assert [nursery.end(loop), nursery.end(worker)] == [0, 0]


class Gate:
    """A port in front of the real Redis that can be shut, as if Redis were gone."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.behind = (parts.hostname, parts.port or 6379)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}").geturl()
        self.sockets = []

    def open(self):
        self.door = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._let_in, args=[self.door], daemon=True).start()

    def close(self):
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        for one in self.sockets:
            _shut(one)
        self.sockets.clear()

    def _let_in(self, door):
        while True:
            try:
                near = door.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self.behind)
            self.sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=[source, target], daemon=True).start()

    def _pass_on(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return
        finally:
            _shut(source)
            _shut(target)


def _shut(one):
    # Closing alone would not wake whoever reads from it.
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
