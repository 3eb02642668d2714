"""Jobs: what happens later, or every so often; queued in the same transaction as the change that asks for them."""

from __future__ import annotations

import inspect
import json
import re
import time as stopwatch
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import update_wrapper
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    event,
    insert,
    or_,
    select,
    update,
)

from core.context import actor, now, zone_of
from core.db import MortiseSession, db
from core.errors import Misbuilt
from core.model import Model, loading, words

KEPT_FOR = timedelta(days=30)
RESULT = "result"
"""Under this name `leave_result` keeps its word among what a job remembers."""
_id = BigInteger().with_variant(Integer(), "sqlite")

core_job = Table(
    "core_job",
    Model.metadata,
    Column("id", _id, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("addon", String(80), nullable=False),
    Column("key", String(200)),
    Column("arguments", Text, nullable=False),
    Column("state", String(12), nullable=False),  # queued running done dead cancelled merged
    # When somebody has to look at it: a queued one is to begin, a running one's lease ends; empty when it is over.
    Column("due_at", DateTime, index=True),
    Column("handed_until", DateTime),
    Column("token", String(32)),
    Column("attempts", Integer, nullable=False, default=0),
    Column("user_id", Integer, index=True),
    Column("behalf_id", Integer),
    Column("by_system", Boolean, nullable=False, default=False),
    Column("language", String(10), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("request_id", String(40)),
    Column("created_at", DateTime, nullable=False),
    Column("started_at", DateTime),
    Column("finished_at", DateTime, index=True),
    Column("cancel_asked", Boolean, nullable=False, default=False),
    Column("done", Integer),
    Column("total", Integer),
    Column("text", String(300)),
    Column("memory", Text),
    Column("last_error", Text),
    info={"addon": "core"},
    sqlite_autoincrement=True,
)
Index("ix_core_job_name_key", core_job.c.name, core_job.c.key)

core_schedule = Table(
    "core_schedule",
    Model.metadata,
    Column("name", String(200), primary_key=True),
    Column("addon", String(80), nullable=False),
    Column("every", String(60), nullable=False),
    Column("next_at", DateTime, nullable=False, index=True),
    Column("last_at", DateTime),
    info={"addon": "core"},
)

core_heartbeat = Table(
    "core_heartbeat",
    Model.metadata,
    Column("name", String(80), primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("info", String(300)),
    info={"addon": "core"},
)


class LeaseLost(Exception):
    """Somebody else has taken this job over, because it was silent for too long; nothing more of it may be written here."""


# -- what a job is ----------------------------------------------------------------------------------------------------

_jobs: dict[str, Job] = {}


def jobs() -> dict[str, Job]:
    """Every job of every addon on disk, by ``module:function``."""
    return _jobs


def forget(addon: str) -> None:
    """Drop what a broken addon had registered before it failed."""
    for name in [name for name, one in _jobs.items() if one.addon == addon]:
        del _jobs[name]


class Job:
    """A function that may also run later: call it, and it runs now; ``.later(…)``, and a runner does it after the commit."""

    def __init__(
        self, function: Callable[..., Any], *, every: str | None, at: str | None, system: bool, tells: bool, **times: float
    ) -> None:  # fmt: skip
        self.function, self.addon, self.system = function, loading["addon"], system
        self.name = f"{function.__module__}:{function.__name__}"
        self.title = (inspect.getdoc(function) or words(function.__name__)).split("\n")[0]
        self.retries = int(times["retries"])
        self.retry_after, self.lease, self.timeout = times["retry_after"], times["lease"], times["timeout"]
        self.every, self.at, self.tells = every, at, tells
        self.signature = inspect.signature(function)
        update_wrapper(self, function)
        if function.__qualname__ != function.__name__:
            raise Misbuilt(f"{self.name}: a job is a function of its own at the top of a file; write {function.__qualname__} there.")
        for one in self.signature.parameters.values():
            if one.name in ("at", "key") or one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL):
                raise Misbuilt(f"{self.name}: a job takes arguments by name, and “at” and “key” belong to .later(); rename {one.name!r}.")
        if at is not None and every != "1 day":
            raise Misbuilt(f'{self.name}: at="{at}" needs every="1 day".')
        if every is not None:
            self.step, self.clock_time = _step(self.name, every), _clock_time(self.name, at)
            try:
                self.signature.bind()
            except TypeError:
                raise Misbuilt(f"{self.name}: nobody gives arguments to a job that runs every {every}; give each a default.") from None

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        return self.function(*args, **arguments)

    @property
    def rhythm(self) -> str:
        """How often it runs by itself, in words: “1 day at 03:00”."""
        return " at ".join(part for part in (self.every, self.at) if part)

    def later(self, *, at: datetime | timedelta | None = None, key: str | None = None, **arguments: Any) -> int:
        """Queue this job in the current transaction and return its id; when that is rolled back, the job never existed.

        ``at`` is the moment (UTC), or how long to wait. Of several with one ``key`` that wait for the same person, one runs;
        what was written before this call is visible to it. Arguments are plain JSON: pass ids, not records.
        """
        try:
            self.signature.bind(**arguments)
        except TypeError as problem:
            raise TypeError(f"{self.name}: {problem}; write the names its function has.") from None
        text = _as_json(self.name, arguments)
        moment = _moment(at)
        who, session = actor(), db.session()
        if key is not None:
            # The share lock keeps a runner from starting that row before we commit; an old one is left to the runner,
            # so that a steady stream of transactions cannot hold it back for ever.
            fresh = or_(core_job.c.due_at > now(), core_job.c.created_at > now() - timedelta(seconds=5))
            waiting = same_work(self.name, key, who.user_id, core_job.c.state == "queued")
            same = select(core_job.c.id).where(waiting, core_job.c.due_at <= moment, fresh)
            found = session.execute(same.order_by(core_job.c.id).limit(1).with_for_update(read=True, skip_locked=True)).scalar()
            if found is not None:
                return found
        values = {
            "name": self.name, "addon": self.addon, "key": key, "arguments": text, "state": "queued", "due_at": moment, "created_at": now(),
            "user_id": who.user_id, "behalf_id": who.on_behalf_id, "by_system": self.system or (who.system and who.user_id is None),
            "language": who.language, "zone": who.zone, "request_id": who.request_id,
        }  # fmt: skip
        return session.execute(insert(core_job).values(values).returning(core_job.c.id)).scalar_one()

    def next_after(self, previous: datetime | None, moment: datetime) -> datetime:
        """When a repeated job is due next; runs that were missed meanwhile are one run."""
        if self.clock_time is not None:
            from core.settings import setting

            zone = zone_of(setting("firm.zone"))
            day = moment.replace(tzinfo=UTC).astimezone(zone).date()
            local = (datetime.combine(day + timedelta(days=more), self.clock_time, zone) for more in range(3))
            return next(one for one in (_moment(time) for time in local) if one > moment)
        if previous is None:
            return moment + min(self.step, timedelta(seconds=60))
        return previous + self.step * ((moment - previous) // self.step + 1)


def job(
    function: Callable[..., Any] | None = None,
    *,
    every: str | None = None,
    at: str | None = None,
    system: bool = False,
    tells: bool = False,
    retries: int = 5,
    retry_after: float = 10.0,
    lease: float = 60.0,
    timeout: float = 3600.0,
) -> Any:
    """Make a function of an addon's jobs.py a job: ``@job``, ``@job(every="1 day")``, ``@job(every="1 day", at="03:00")``.

    It runs with the rights that whoever queued it has by then; ``system=True`` sees everything and should be rare. What a
    rhythm started, nobody queued: such a run is the system's. With ``tells`` whoever queued it is notified of its end. It is tried
    again ``retries`` times, first after some ``retry_after`` seconds, then ever more rarely. A runner silent for ``lease`` seconds
    loses it; ``timeout`` (seconds) ends it.
    """

    def register(one: Callable[..., Any]) -> Job:
        times = {"retries": retries, "retry_after": retry_after, "lease": lease, "timeout": timeout}
        made = Job(one, every=every, at=at, system=system, tells=tells, **times)
        _jobs[made.name] = made
        return made

    return register if function is None else register(function)


def _step(name: str, every: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d*) (second|minute|hour|day|week)s?", every)
    if found is None:
        raise Misbuilt(f'{name}: every="{every}" is not understood; write “5 minutes”, “2 hours”, “1 day” or “1 week”.')
    return timedelta(**{f"{found[2]}s": int(found[1])})


def _clock_time(name: str, at: str | None) -> time | None:
    try:
        return None if at is None else time.fromisoformat(at)
    except ValueError:
        raise Misbuilt(f'{name}: at="{at}" is not a time of day; write “03:00”.') from None


def _moment(at: datetime | timedelta | None) -> datetime:
    if isinstance(at, timedelta):
        return now() + at
    if at is not None and at.tzinfo is not None:
        return at.astimezone(UTC).replace(tzinfo=None)
    return at or now()


def _as_json(name: str, arguments: dict[str, Any]) -> str:
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        text = ""
    if not text or json.loads(text) != arguments:
        raise TypeError(f"{name}: a job takes text, numbers, yes/no, lists and dictionaries; pass a record's id, and a date as text.")
    return text


def same_work(name: str, key: str, user_id: int | None, state: Any) -> Any:
    """Rows in ``state`` that do the same for the same person."""
    return (core_job.c.name == name) & (core_job.c.key == key) & core_job.c.user_id.is_not_distinct_from(user_id) & state


# -- inside a running job ---------------------------------------------------------------------------------------------


@dataclass
class Running:
    """A claimed job: the row, the function, and the token that says it is still ours."""

    id: int
    job: Job | None
    token: str
    attempt: int
    row: Any
    lease: float
    retries: int
    ends: float
    """When its time-out passes, on the stopwatch of this process."""
    lost: bool = False
    finishing: bool = False
    cancel_seen: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    told: float = 0.0
    asked: float = 0.0

    @property
    def message_id(self) -> str:
        """The same at each attempt: what goes outside carries it, so that the other side can tell a repetition."""
        return f"mortise-job-{self.id}"

    @property
    def ours(self) -> Any:
        """The row, as long as it is ours."""
        return (core_job.c.id == self.id) & (core_job.c.token == self.token) & (core_job.c.state == "running")

    def claim_still_holds(self, **values: Any) -> None:
        """Write ``values`` and a new lease to the row in the job's own transaction; LeaseLost when it is not ours any more."""
        due = {"due_at": now() + timedelta(seconds=self.lease)}
        if not db.session.execute(update(core_job).where(self.ours).values({**due, **self.values, **values})).rowcount:
            self.lost = True
            raise LeaseLost(f"Job {self.id} was taken over by another runner.")


running: ContextVar[Running | None] = ContextVar("mortise_job", default=None)


@event.listens_for(MortiseSession, "before_commit")
def _commit_only_with_the_claim(session: Any) -> None:
    """Whoever commits inside a job (a chunk of an import, `checkpoint`), does so only as long as the job is ours."""
    run = running.get()
    if run is not None and not run.finishing and not session.in_nested_transaction():
        session.flush()  # the row of the job is locked last and shortest, and hooks may still tell their progress
        run.claim_still_holds()


def current_job() -> Running | None:
    """The job that is running here: its ``id``, ``attempt`` and ``message_id``; None outside a job."""
    return running.get()


def checkpoint(**memory: Any) -> None:
    """Commit what the job did so far, and remember ``memory`` with it: if the job dies, the next attempt goes on there.

    For work over two seconds: nobody else can write to SQLite in the meantime. Outside a job it does nothing.
    """
    run = running.get()
    if run is not None:
        if memory:
            kept = {name: value for name, value in remembered().items() if name == RESULT}
            run.values["memory"] = _as_json(run.row.name, {**kept, **memory})
        db.session.commit()


def remembered() -> dict[str, Any]:
    """What the last `checkpoint` of this job remembered, also of an earlier attempt."""
    run = running.get()
    text = run and run.values.get("memory", run.row.memory)
    return json.loads(text) if text else {}


def leave_result(url: str = "", label: str = "", *, sentence: str = "", lines: Sequence[str] = (), batch: int | None = None) -> None:
    """Say what came of the running job, for the page of jobs; kept with the next commit, and a later word replaces it.

    ``url`` is a page of ours or a file, with the ``label`` of its link; ``lines`` say more, such as what was refused and why;
    ``batch`` is the one of the journal that takes all of it back. Outside a job it does nothing.
    """
    run = running.get()
    if run is not None:
        told = {"url": url, "label": label, "sentence": sentence, "lines": list(lines), "batch": batch}
        run.values["memory"] = _as_json(run.row.name, {**remembered(), RESULT: told})


def describe(job_id: int, text: str, total: int | None = None) -> None:
    """Say of a queued job what it is about, beside its title: “Delete 12,345 clients”."""
    db.session.execute(update(core_job).where(core_job.c.id == job_id).values(text=text[:300], total=total))


def progress(done: int, total: int | None = None, text: str = "") -> None:
    """Tell whoever waits how far the job is; cheap to call often."""
    run = running.get()
    if run is None:
        return
    run.values |= {"done": done, "total": total, "text": text[:300] or None}
    if stopwatch.monotonic() - run.told < 0.5 or (db.is_sqlite and db.session().in_transaction()):
        return  # on SQLite we would wait for ourselves: it goes along with the next commit
    run.told = stopwatch.monotonic()
    with db.short() as connection:
        connection.execute(update(core_job).where(run.ours).values(run.values))


def cancelled() -> bool:
    """True when somebody asked to stop this job, or it is not ours any more: finish the chunk and return."""
    run = running.get()
    if run is None:
        return False
    if not run.cancel_seen and stopwatch.monotonic() - run.asked >= 0.5:
        run.asked = stopwatch.monotonic()
        with look() as connection:
            asked = connection.execute(select(core_job.c.cancel_asked).where(run.ours)).scalar()
        run.lost, run.cancel_seen = run.lost or asked is None, bool(asked)
    return run.cancel_seen or run.lost


def look() -> Any:
    """A connection that only reads, so that a look at the queue never takes SQLite's one place for writers."""
    assert db.engine is not None
    return db.engine.connect().execution_options(mortise_read_only=True)


# -- the loop, and what it does for itself ------------------------------------------------------------------------------


def run_jobs(once: bool = False, poll: float = 1.0) -> int:
    """Run what is due until told to stop (SIGTERM), or with ``once`` until nothing is due; returns how many jobs were run."""
    from core.job_runner import run_jobs as run

    return run(once=once, poll=poll)


@job(every="1 day", system=True)
def forget_old_jobs() -> None:
    """Removes jobs that were over 30 days ago; those that failed stay three times as long."""
    gone = or_(
        core_job.c.finished_at < now() - KEPT_FOR * 3,
        (core_job.c.finished_at < now() - KEPT_FOR) & core_job.c.state.in_(["done", "cancelled", "merged"]),
    )
    while True:
        some = select(core_job.c.id).where(gone, core_job.c.due_at.is_(None)).limit(2000)
        if not db.session.execute(delete(core_job).where(core_job.c.id.in_(some.scalar_subquery()))).rowcount:
            return
        checkpoint()
