"""Commands that run until they are told to stop: serve, jobs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from core.cli import Stop, say

Add = Callable[..., argparse.ArgumentParser]


def commands(add: Add) -> None:
    """serve, jobs"""
    serve = add(
        "serve",
        "bring the database up to date, then run the server and one job process",
        "  run.py serve                          on http://127.0.0.1:8000, data in the folder data\n"
        "  MORTISE_PORT=9000 run.py serve        on another port\n"
        "  run.py serve --strict                 stop when an addon is broken, instead of leaving it asleep\n"
        "  run.py serve --no-jobs                without the job process: it runs elsewhere, as run.py jobs",
    )
    serve.add_argument("--host", help="address to listen on; 0.0.0.0 lets other machines in")
    serve.add_argument("--port", type=int, help="port to listen on")
    serve.add_argument("--workers", type=int, help="number of server processes")
    serve.add_argument("--threads", type=int, help="threads in each server process")
    serve.add_argument("--strict", action="store_true", help="stop when an addon is broken")
    serve.add_argument("--no-jobs", action="store_true", help="do not run the job process")
    serve.add_argument("--no-migrate", action="store_true", help="do not touch the tables; they must be up to date")
    serve.set_defaults(run=_serve)
    jobs = add(
        "jobs",
        "run what is due, now and later: reminders, imports, whatever was queued",
        "  run.py jobs                 run until stopped (Ctrl-C, SIGTERM)\n"
        "  run.py jobs --once          run what is due now, then end\n"
        "  run.py jobs --worker        with MORTISE_REDIS_URL: be one of the rq workers, on any machine",
    )
    jobs.add_argument("--once", action="store_true", help="end when nothing is due any more")
    jobs.add_argument("--worker", action="store_true", help="be an rq worker; needs MORTISE_REDIS_URL")
    jobs.set_defaults(run=_jobs)


def _serve(chosen: Any) -> int:
    from core.config import load
    from core.serve import serve

    given = {name: getattr(chosen, name) for name in ("host", "port", "workers", "threads") if getattr(chosen, name) is not None}
    if chosen.strict:
        given["strict"] = True
    return serve(load(**given), jobs=not chosen.no_jobs, migrate=not chosen.no_migrate)


def _jobs(chosen: Any) -> int:
    from core.app import create_app
    from core.config import load
    from core.jobs import run_jobs
    from core.migrate import status
    from core.serve import running

    config = load()
    if chosen.worker and not config.redis_url:
        raise Stop("An rq worker needs a Redis: set MORTISE_REDIS_URL, or type “run.py jobs” without --worker.")
    with running(config):
        app = create_app(config)
        state = status()
        if not state.ok:
            raise Stop(state.sentence)
        if chosen.worker:
            from core.rq_runner import work

            work(app, config.redis_url)
            return 0
        with app.app_context():
            count = run_jobs(once=chosen.once)
    if chosen.once:
        say(f"{count} job{'' if count == 1 else 's'} run.")
    return 0
