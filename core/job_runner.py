"""The runner of jobs: takes what is due under a lease, runs it as the person who asked, and commits effect and end together."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import threading
import time as stopwatch
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from flask import Flask, current_app
from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.context import Actor, acting, now
from core.db import db
from core.errors import Asleep, Busy, Conflict, Problem
from core.i18n import gettext as _
from core.jobs import Job, LeaseLost, Running, core_heartbeat, core_job, core_schedule, jobs, look, running, same_work
from core.telling import tell_of_job

log = logging.getLogger("mortise.jobs")
HEARTBEAT = 10.0
LONGEST_PAUSE = 6 * 3600.0
_beating: dict[str, float] = {}


class TimedOut(Exception):
    """The job ran longer than it may."""


def reached(point: str) -> None:
    """Tests stop or kill the process at such a point; otherwise nothing happens here."""


@contextmanager
def _looking_around() -> Iterator[None]:
    """Read settings and switches in a session of its own, gone afterwards: the runner's short transactions must not wait for it."""
    with current_app._get_current_object().app_context(), acting(Actor(door="job", system=True)):
        db.read_only()
        try:
            yield
        finally:
            db.remove()


def awake_addons() -> list[str]:
    """Addons with jobs that are on; jobs of the others wait."""
    from core.addons import asleep

    with _looking_around():
        return sorted({"core", *(one.addon for one in jobs().values())} - set(asleep()))


# -- taking -----------------------------------------------------------------------------------------------------------


def claim(awake: list[str], only: int | None = None) -> Running | None:
    """Take the job that has been due longest (or the one with id ``only``) under a lease; None when there is none."""
    due = select(core_job).where(core_job.c.due_at <= now(), core_job.c.addon.in_(awake))
    if only is not None:
        due = due.where(core_job.c.id == only)
    with look() as connection:
        if connection.execute(due.with_only_columns(core_job.c.id).limit(1)).first() is None:
            return None
    reached("before claim")
    with db.short() as connection:
        row = connection.execute(due.order_by(core_job.c.due_at, core_job.c.id).limit(1).with_for_update(skip_locked=True)).first()
        if row is None:
            return None
        one = jobs().get(row.name)
        lease, retries = (one.lease, one.retries) if one else (60.0, 5)
        timeout = stopwatch.monotonic() + (one.timeout if one else 60.0)
        run = Running(row.id, one, uuid.uuid4().hex, row.attempts + 1, row, lease, retries, timeout)
        taken = {
            "state": "running", "token": run.token, "attempts": run.attempt, "started_at": now(), "handed_until": None,
            "due_at": now() + timedelta(seconds=lease),
        }  # fmt: skip
        connection.execute(update(core_job).where(core_job.c.id == row.id).values(taken))
        if row.key is not None:
            waiting = same_work(row.name, row.key, row.user_id, core_job.c.state == "queued") & (core_job.c.due_at <= now())
            others = select(core_job.c.id).where(waiting, core_job.c.id != row.id).with_for_update(skip_locked=True)
            if found := list(connection.execute(others).scalars()):
                over = {"state": "merged", "due_at": None, "finished_at": now()}
                connection.execute(update(core_job).where(core_job.c.id.in_(found)).values(over))
        reached("inside claim")
    reached("after claim")
    return run


# -- doing ------------------------------------------------------------------------------------------------------------


def perform(only: int | None = None, awake: list[str] | None = None) -> bool:
    """Take one due job and run it to its end, whatever that is; False when there was none to take."""
    run = claim(awake_addons() if awake is None else awake, only)
    if run is None:
        return False
    app: Flask = current_app._get_current_object()
    token = running.set(run)
    try:
        with app.app_context(), _kept_alive(run):
            try:
                _do(run)
            except LeaseLost:
                db.session.rollback()
                log.warning("Job %s (%s) was silent beyond its lease and taken over; its work here was rolled back.", run.id, run.row.name)
            except (Exception, SystemExit) as problem:
                db.session.rollback()
                _failed(run, problem)
            finally:
                db.remove()
    finally:
        running.reset(token)
    reached("after all")
    return True


def _do(run: Running) -> None:
    if run.job is None:
        raise LookupError(f"There is no job called {run.row.name} in this version.")
    if run.attempt > run.retries + 1:
        raise _Over(_("The process that ran this job ended in the middle of it each time."))
    if run.row.cancel_asked:
        run.cancel_seen = True
    with acting(_actor_of(run.row, run.job)):
        reached("before job")
        with _in_time(run.job.timeout):
            if not run.cancel_seen:
                run.job.function(**json.loads(run.row.arguments))
        reached("after job")
        session = db.session()
        session.flush()
        reached("after flush")
        run.finishing = True
        state = "cancelled" if run.cancel_seen else "done"
        tell_of_job(run, state)
        run.claim_still_holds(state=state, token=None, due_at=None, finished_at=now(), last_error=None)
        reached("before commit")
        session.commit()
        reached("after commit")


class _Over(Exception):
    """It is of no use to try this job again."""


def _actor_of(row: Any, one: Job) -> Actor:
    """Whoever queued the job, as he is now."""
    who = Actor(
        door="job", request_id=row.request_id or uuid.uuid4().hex[:12], language=row.language, zone=row.zone, system=row.by_system,
        on_behalf_id=row.behalf_id, user_id=row.user_id, batch_title=one.title[:200],
    )  # fmt: skip
    if row.user_id is not None:
        from core.people import User

        users = User.__table__
        with look() as connection:
            found = connection.execute(select(users.c.username, users.c.name, users.c.active).where(users.c.id == row.user_id)).first()
        if (found is None or not found.active) and not row.by_system:
            raise _Over(_("The person who asked for this may not sign in any more."))
        if found is not None:
            who.login, who.name = found.username, found.name or found.username
    return who


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    """Interrupt the block after ``seconds``; outside the main thread only the lease ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: Any) -> None:
        raise TimedOut(f"It ran longer than {seconds:g} seconds.")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _kept_alive(run: Running) -> Iterator[None]:
    """Extend the lease while this process lives and the job's time is not over."""
    over, session = threading.Event(), db.session()

    def keep() -> None:
        while not over.wait(min(run.lease / 3, 5.0)) and not run.lost and stopwatch.monotonic() < run.ends:
            # While the job writes to SQLite nobody can take it over; asking for the lock would only wait.
            if db.is_sqlite and session.in_transaction():
                continue
            try:
                with db.short() as connection:
                    longer = update(core_job).where(run.ours).values(due_at=now() + timedelta(seconds=run.lease))
                    run.lost = not connection.execute(longer).rowcount
                    for name in _beating:
                        beat(name, connection)
            except Exception as problem:
                log.warning("The lease of job %s could not be extended: %s", run.id, type(problem).__name__)

    thread = threading.Thread(target=keep, name=f"lease of job {run.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _failed(run: Running, problem: BaseException) -> None:
    """Keep the error, and say when to try again, or that it is over."""
    values: dict[str, Any] = {"token": None, "handed_until": None, "last_error": _sentence(problem)}
    for_good = isinstance(problem, _Over) or (isinstance(problem, Problem) and not isinstance(problem, (Conflict, Busy, Asleep)))
    if isinstance(problem, Asleep):  # the addon was switched off in the middle: the job waits for it, and this try does not count
        values |= {"state": "queued", "due_at": now() + timedelta(seconds=5), "attempts": run.attempt - 1}
    elif for_good or run.attempt > run.retries:
        values |= {"state": "dead", "due_at": None, "finished_at": now()}
        log.error("Job %s (%s) failed for good: %s", run.id, run.row.name, type(problem).__name__, exc_info=not for_good and problem)
    else:
        first = run.job.retry_after if run.job else 10.0
        pause = min(first * 4 ** (run.attempt - 1), LONGEST_PAUSE) * random.uniform(0.8, 1.3)  # noqa: S311
        values |= {"state": "queued", "due_at": now() + timedelta(seconds=pause)}
        kind = type(problem).__name__
        log.warning("Job %s (%s) failed, attempt %s; again in %d seconds: %s", run.id, run.row.name, run.attempt, pause, kind)
    try:
        with db.short() as connection:
            connection.execute(update(core_job).where(run.ours).values({**_progress_of(run), **values}))
    except Exception:
        log.exception("The failure of job %s could not be noted; its lease will end by itself.", run.id)
        return
    if values.get("state") == "dead":
        try:
            with db.short() as connection:
                tell_of_job(run, "dead", connection)
        except Exception:
            log.exception("Nobody could be told that job %s has failed.", run.id)


def _progress_of(run: Running) -> dict[str, Any]:
    # What a rolled-back chunk remembered must not be kept; what it told the person may be.
    return {name: value for name, value in run.values.items() if name != "memory"}


def _sentence(problem: BaseException) -> str:
    """The error for the screen: a sentence of ours as it is, else kind, text and the places in the code it came through."""
    if isinstance(problem, (Problem, _Over)):
        return str(problem)[:4000]
    text = str(getattr(problem, "orig", None) or problem)
    frames = traceback.extract_tb(problem.__traceback__)[-8:]
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}" for frame in frames]
    return "\n".join([f"{type(problem).__name__}: {text[:1000]}", *places])[:4000]


# -- every so often ---------------------------------------------------------------------------------------------------


def _put(connection: Connection, table: Any, name: str, values: dict[str, Any]) -> None:
    """Insert the row called ``name``, or write ``values`` into it."""
    fresh = (sqlite if db.is_sqlite else postgresql).insert(table).values(name=name, **values)
    connection.execute(fresh.on_conflict_do_update(index_elements=["name"], set_=values))


def write_schedules() -> None:
    """One row for every repeated job of the code on disk; a changed rhythm counts from now."""
    moment = now()
    with look() as connection:
        known = dict(connection.execute(select(core_schedule.c.name, core_schedule.c.every)).all())
    with _looking_around():
        changed = {one: one.next_after(None, moment) for one in jobs().values() if one.every and known.get(one.name) != one.rhythm}
    for one, first in changed.items():
        with db.short() as connection:
            _put(connection, core_schedule, one.name, {"addon": one.addon, "every": one.rhythm, "next_at": first})


def queue_repeated(awake: list[str]) -> int:
    """Queue each repeated job whose time has come, once, however many runners look and however many times were missed."""
    moment, queued = now(), 0
    with look() as connection:
        rows = connection.execute(select(core_schedule).where(core_schedule.c.next_at <= moment, core_schedule.c.addon.in_(awake))).all()
    known = [(row, jobs()[row.name]) for row in rows if row.name in jobs() and jobs()[row.name].every]
    if not known:
        return 0
    with _looking_around():
        due = [(row, one, one.next_after(row.next_at, moment)) for row, one in known]
    for row, one, following in due:
        with db.short() as connection:
            mine = update(core_schedule).where(core_schedule.c.name == row.name, core_schedule.c.next_at == row.next_at)
            if not connection.execute(mine.values(next_at=following, last_at=moment)).rowcount:
                continue
            still = select(core_job.c.id).where(core_job.c.name == row.name, core_job.c.key == "every", core_job.c.due_at.is_not(None))
            if connection.execute(still.limit(1)).first() is None:
                values = {
                    "name": one.name, "addon": one.addon, "key": "every", "arguments": "{}", "state": "queued", "due_at": moment,
                    "created_at": moment, "by_system": True, "language": "en", "zone": "UTC",
                }  # fmt: skip
                connection.execute(insert(core_job).values(values))
                queued += 1
    return queued


# -- the loop ---------------------------------------------------------------------------------------------------------


def beat(name: str, connection: Connection | None = None, info: str = "") -> None:
    """Leave word that this process lives, every ten seconds at most."""
    if stopwatch.monotonic() - _beating.get(name, -HEARTBEAT) < HEARTBEAT:
        return
    if connection is None:
        with db.short() as own:
            return beat(name, own, info)
    values = {"at": now(), "pid": os.getpid(), "info": (info or socket.gethostname())[:300]}
    _put(connection, core_heartbeat, name, values)
    _beating[name] = stopwatch.monotonic()


def job_health() -> dict[str, Any]:
    """For /readyz and the doctor: the runner's last word, how long the oldest due job waits (seconds), how many failed for good."""
    with look() as connection:
        last: datetime | None = connection.execute(select(core_heartbeat.c.at).where(core_heartbeat.c.name == "jobs")).scalar()
        oldest = connection.execute(select(func.min(core_job.c.due_at)).where(core_job.c.due_at <= now())).scalar()
        dead = connection.execute(select(func.count()).where(core_job.c.state == "dead")).scalar()
    return {
        "heartbeat_at": last,
        "heartbeat_age": (now() - last).total_seconds() if last else None,
        "waiting_for": (now() - oldest).total_seconds() if oldest else 0.0,
        "dead": dead,
    }


def run_jobs(once: bool = False, poll: float = 1.0, stop: threading.Event | None = None) -> int:
    """Run what is due until told to stop (SIGTERM), or with ``once`` until nothing is due; returns how many jobs were run.

    With a Redis in the configuration it only hands the ids to rq, whose workers do the rest.
    """
    stop, count, schedules_known = stop or threading.Event(), 0, False
    redis_url = current_app.config["MORTISE"].redis_url
    turn: Callable[[list[str]], int] = _perform_one
    if redis_url and not once:
        from core.rq_runner import Hatch

        turn = Hatch(redis_url).hand_over
    with _until_told() as told:
        while not told and not stop.is_set():
            try:
                if not schedules_known:
                    write_schedules()
                    schedules_known = True
                beat("jobs")
                awake = awake_addons()
                queue_repeated(awake)
                done = turn(awake)
            except Exception:
                if once:
                    raise
                log.exception("The job process could not look for work; it tries again in five seconds.")
                db.remove()
                stop.wait(5.0)
                continue
            count += done
            if not done:
                if once:
                    break
                stop.wait(poll)
    _beating.clear()
    return count


def _perform_one(awake: list[str]) -> int:
    return int(perform(awake=awake))


@contextmanager
def _until_told() -> Iterator[list[int]]:
    """A list that SIGTERM or SIGINT puts something into: the job at hand ends, then the loop. Told twice, it ends at once."""
    told: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield told
        return

    def tell(number: int, _frame: Any) -> None:
        # A list, since an Event may be locked by the very thread that the signal interrupts.
        told.append(number)
        if len(told) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def due_now(awake: list[str]) -> Any:
    """Statement for the jobs that are due and not in somebody's hands: id, attempts, whether handed over before."""
    waiting = or_(core_job.c.handed_until.is_(None), core_job.c.handed_until < now())
    wanted = select(core_job.c.id, core_job.c.attempts, core_job.c.handed_until)
    wanted = wanted.where(core_job.c.due_at <= now(), core_job.c.addon.in_(awake), waiting)
    return wanted.order_by(core_job.c.due_at, core_job.c.id)
