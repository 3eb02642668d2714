"""Jobs for the tests of jobs, and the processes that run, pause and die in the middle of them.

`Nursery` starts one process that has everything imported and forks off, for each request, a real process of its own: one that
runs jobs, hands ids to rq or is an rq worker, and that kills or stops itself at a named point.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flask import Flask
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

import core.addons
import core.journal
import core.people
import core.settings
import core.state  # noqa: F401  (their tables)
from core import job_runner
from core.config import Config
from core.context import actor
from core.db import db
from core.errors import Refused
from core.jobs import cancelled, checkpoint, core_heartbeat, core_job, core_schedule, current_job, job, progress, remembered
from core.model import Model

ROOT = Path(__file__).resolve().parents[2]
LEASE = 1.0
own = MetaData()
effect = Table("probe_effect", own, Column("id", Integer, primary_key=True), Column("note", String(100)), Column("who", String(100)))


def make_app(url: str, redis_url: str = "") -> Flask:
    """An application that is just enough for jobs: the process's one database, and whether there is a Redis."""
    app = Flask("probe")
    app.config["MORTISE"] = Config(redis_url=redis_url)
    db.connect(url)
    return app


def make_tables() -> None:
    """Everything core has, and one table that jobs leave their effect in."""
    Model.metadata.create_all(db.engine)
    own.create_all(db.engine)


@contextmanager
def connected(url: str) -> Iterator[Flask]:
    """The probe's application on ``url`` in this process; whatever database other tests use here comes back afterwards."""
    before = db.engine
    db.session.remove()
    db.engine = None
    app = make_app(url)
    make_tables()
    with app.app_context():
        yield app
        db.session.remove()
    db.engine.dispose()
    db.engine = before
    db.session.configure(bind=before)


def clear_rows() -> None:
    """No jobs, no schedules, no effects."""
    db.session.remove()
    with db.short() as connection:
        for table in (core_job, core_schedule, core_heartbeat, effect):
            connection.execute(table.delete())


def notes() -> list[str]:
    """What jobs have left."""
    with db.short() as connection:
        return sorted(connection.execute(select(effect.c.note)).scalars())


def states() -> dict[int, str]:
    """The state of each job by its id."""
    with db.short() as connection:
        return dict(connection.execute(select(core_job.c.id, core_job.c.state)).all())


def leave(note: str) -> None:
    """The effect of a job: a row that says who did what."""
    who = actor()
    words = f"{who.login}/{who.language}/{who.zone}/{who.door}/{'system' if who.system else 'person'}"
    db.session.execute(insert(effect).values(note=note, who=words))


@job(lease=LEASE, retry_after=0.01)
def leave_one(note):
    """Leaves one effect."""
    job_runner.reached("job begins")
    leave(note)
    job_runner.reached("job wrote")


@job(lease=LEASE, retry_after=0.01)
def leave_many(count):
    """Leaves many effects, each in a transaction of its own."""
    for number in range(remembered().get("next", 0), count):
        leave(f"part {number}")
        progress(number + 1, count, f"part {number}")
        job_runner.reached(f"chunk {number}")
        checkpoint(next=number + 1)
        job_runner.reached(f"between {number}")
        if cancelled():
            return


@job
def leave_many_until_cancelled(count):
    """Leaves effects, and asks each time whether it is still wanted."""
    for number in range(count):
        if cancelled():
            return
        leave(f"part {number}")
        current_job().asked = 0.0
        progress(number + 1, count, f"part {number}")
        job_runner.reached(f"part {number}")
        checkpoint()


@job(retries=2, retry_after=100)
def fail(note):
    """Writes something and fails."""
    leave(note)
    raise RuntimeError(f"{note} went wrong")


@job
def be_refused():
    """Does what the person may not."""
    leave("refused")
    raise Refused("You may not do this; ask the owner.")


@job(retries=0)
def leave_the_process():
    """Calls sys.exit, as badly behaved code does."""
    sys.exit(3)


@job(retries=0, timeout=0.2)
def sleep_too_long():
    """Takes longer than it may."""
    leave("too long")
    time.sleep(5)


@job(system=True)
def look_with_all_eyes(note):
    """Runs as the system."""
    leave(note)


@job
def commit_after_the_lease_is_lost(note):
    """Commits by itself, as a chunk of an import does, after another runner has taken the job."""
    with db.short() as connection:
        connection.execute(core_job.update().where(core_job.c.id == current_job().id).values(token="somebody else"))
    leave(note)
    db.session.commit()


def main() -> None:
    """Read a request a line, fork for it, answer a line; the end of the input is the end."""
    children = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "start":
            pid = os.fork()
            if pid == 0:
                _child(asked)
            children.add(pid)
            answer = {"pid": pid}
        elif asked["do"] == "clear":
            answer = {"cleared": len(children)}
            _clear(children)
        else:
            flags = os.WNOHANG | (os.WUNTRACED if asked["stopped"] else 0)
            pid, status = os.waitpid(asked["pid"], flags)
            answer = {"status": None}
            if pid:
                answer["status"] = "stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
                if answer["status"] != "stopped":
                    children.discard(pid)
        print(json.dumps(answer), flush=True)
    _clear(children)


def _clear(children: set) -> None:
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    children.clear()


def _child(asked: dict) -> None:
    try:
        os.dup2(os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        _arm(asked)
        app = make_app(asked["url"], asked.get("redis", ""))
        with app.app_context():
            if asked["action"] == "perform":
                job_runner.perform(only=asked["id"])
            elif asked["action"] == "loop":
                job_runner.run_jobs(once=asked.get("once", False), poll=0.1)
        if asked["action"] == "work":
            from core import rq_runner

            rq_runner.work(app, asked["redis"])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _arm(asked: dict) -> None:
    """Make this process die or stop at the points asked for; in an rq worker each job has a point of its own, once."""
    here = {"kill": asked.get("kill_at"), "stop": asked.get("stop_at")}

    def reached(point: str) -> None:
        if point == here["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if point == here["stop"]:
            os.kill(os.getpid(), signal.SIGSTOP)

    job_runner.reached = reached
    if asked.get("redis"):
        from core import rq_runner

        rq_runner.reached, rq_runner.QUEUE, rq_runner.HANDED_FOR = reached, asked["queue"], 1.0
        run_it = rq_runner.perform_here

        def perform(only: int) -> bool:
            mark = Path(asked["log"]).parent / f"pid-{only}"
            if not mark.exists():
                here.update(asked.get("points", {}).get(str(only), {}))
                mark.write_text(str(os.getpid()))
            return run_it(only=only)

        rq_runner.perform_here = perform


class Nursery:
    """The process that real processes are forked from; used in tests as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self):
        words = [sys.executable, "-c", "from tests.core.job_probe import main; main()"]
        self.process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_error):
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    def _ask(self, **asked):
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, action: str, url: str, **more) -> int:
        """A new process; returns its id."""
        return self._ask(do="start", action=action, url=url, log=str(self.folder / "log"), **more)["pid"]

    def wait(self, pid: int, *, stopped: bool = False, seconds: float = 40) -> int | str:
        """How a process ended (minus the signal), or “stopped”."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status = self._ask(do="wait", pid=pid, stopped=stopped)["status"]
            if status is not None:
                return status
            time.sleep(0.02)
        raise AssertionError(f"Process {pid} neither ended nor stopped in time:\n{self.log()}")

    def end(self, pid: int) -> int | str:
        """Ask a process to end in order, and wait for it."""
        os.kill(pid, signal.SIGTERM)
        return self.wait(pid)

    def clear(self) -> None:
        """Kill whatever a test that failed has left."""
        self._ask(do="clear")

    def log(self) -> str:
        """What all processes wrote."""
        place = self.folder / "log"
        return place.read_text() if place.exists() else ""
