"""Jobs on many machines: the job process hands ids to rq over Redis, and rq's workers take them under the same claim."""

from __future__ import annotations

import logging
import os
import time as stopwatch
from datetime import timedelta
from typing import Any

from flask import Flask
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from sqlalchemy import update

from core.context import now
from core.db import db
from core.job_runner import due_now, reached
from core.job_runner import perform as perform_here
from core.jobs import core_job, look

log = logging.getLogger("mortise.jobs")
QUEUE = "mortise"
HANDED_FOR = 60.0
"""Seconds after which an id that nobody took is handed over again: Redis may have lost it, or a worker died with it."""
FOR_RQ = {"job_timeout": -1, "result_ttl": 0, "failure_ttl": 3600}
"""rq only carries: time-outs, results and failures are kept in our own row."""
_made: dict[str, Any] = {}


def queue_at(url: str) -> Queue:
    """The queue over the Redis at ``url``; JSON, so that Redis can never make a worker run code of its own."""
    connection = Redis.from_url(url, socket_connect_timeout=3, socket_timeout=10, health_check_interval=30)
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


class Hatch:
    """Where the job process passes due ids through to rq. Rows stay in the outbox until they are done, so nothing is lost with Redis."""

    def __init__(self, url: str) -> None:
        self.queue, self.silent_until = queue_at(url), 0.0

    def hand_over(self, awake: list[str], limit: int = 200) -> int:
        """Hand over what is due; returns how many ids. A Redis that is gone is a line in the log, once a minute."""
        with look() as connection:
            rows = connection.execute(due_now(awake).limit(limit)).all()
        handed = []
        try:
            for row in rows:
                name = f"mortise-{row.id}-{row.attempts}"
                if row.handed_until is None or self.queue.get_job_position(name) is None:
                    self.queue.enqueue("core.rq_runner.perform", row.id, job_id=name, **FOR_RQ)
                handed.append(row.id)
                reached("handed over")
        except (RedisError, OSError) as problem:
            if stopwatch.monotonic() > self.silent_until:
                self.silent_until = stopwatch.monotonic() + 60
                log.warning("Redis does not answer (%s); jobs wait in the database until it does.", type(problem).__name__)
        if handed:
            with db.short() as connection:
                marked = update(core_job).where(core_job.c.id.in_(handed), core_job.c.due_at <= now())
                connection.execute(marked.values(handed_until=now() + timedelta(seconds=HANDED_FOR)))
        return len(handed) if len(handed) == limit else 0


def perform(job_id: int) -> bool:
    """What a worker runs for each id. Two deliveries of one id have one effect: the second finds nothing to take."""
    with _app().app_context():
        return perform_here(only=job_id)


def work(app: Flask, url: str, *, burst: bool = False) -> None:
    """Be an rq worker until told to stop. The application is made once, here; each job runs in a fork of this process."""
    _made.update(app=app, pid=os.getpid())
    with app.app_context():
        db.remove()
    if db.engine is not None:
        db.engine.dispose()
    queue = queue_at(url)
    # A worker waits for work by a blocking call, which must not run into the time-out of short questions.
    queue.connection.connection_pool.connection_kwargs["socket_timeout"] = None
    Worker([queue], connection=queue.connection, serializer=JSONSerializer).work(burst=burst, logging_level="WARNING")


def _app() -> Flask:
    if "app" not in _made:
        from core.app import create_app

        _made.update(app=create_app(), pid=os.getpid())
    if _made["pid"] != os.getpid() and db.engine is not None:
        # Connections do not survive a fork: those of the parent are its own.
        db.engine.dispose(close=False)
        _made["pid"] = os.getpid()
    return _made["app"]
