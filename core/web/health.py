"""Is the house fit to serve? `/healthz` says that the process lives, `/readyz` that database, schema, jobs and disk are well."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from core import hooks
from core.config import Config
from core.context import Actor, acting, now
from core.db import db
from core.i18n import gettext as _
from core.logs import log

health = Blueprint("health", __name__)
LEAST_FREE_MB = 200
HEARTBEAT_SECONDS = 120
LOOK_AGAIN_SECONDS = 2.0

_lock = threading.Lock()
_schema: dict[str, Any] = {"sentence": None, "good": False, "looked": 0.0, "generation": None}


def schema_problem() -> str | None:
    """Why no page can be served: code and schema differ, in a sentence; None when they agree.

    Once they agree nothing is asked again until `look_again`.
    """
    if _schema["good"]:
        return None
    with _lock:
        if _schema["good"] or time.monotonic() - _schema["looked"] < LOOK_AGAIN_SECONDS:
            return None if _schema["good"] else _schema["sentence"]
        _schema["sentence"] = _compare()
        _schema["looked"], _schema["good"] = time.monotonic(), _schema["sentence"] is None
    return _schema["sentence"]


def look_again(generation: int | None = None) -> None:
    """Compare schema and code at the next request: a table was missing, or the generation has changed."""
    if generation is None or _schema["generation"] not in (None, generation):
        _schema["good"], _schema["looked"] = False, 0.0
    if generation is not None:
        _schema["generation"] = generation


def _compare() -> str | None:
    if not current_app.config["MORTISE_CHECK_SCHEMA"]:
        return None
    from core.migrate import status

    try:
        found = status()
    except Exception as problem:  # no database at all
        log("health").error("schema cannot be read", problem=str(getattr(problem, "orig", problem))[:300])
        return _("The database cannot be reached.")
    return None if found.ok else found.sentence


def start_hooks(app: Any) -> None:
    """Call `app_ready` once in this process, as soon as there are tables."""
    if app.extensions.get("mortise_ready") or schema_problem() is not None:
        return
    app.extensions["mortise_ready"] = True
    with acting(Actor(door="system")):
        hooks.call("app_ready", app=app)
        db.remove()


@health.get("/healthz")
def healthz() -> Response:
    """The process answers; asks nothing of anybody."""
    return jsonify(status="ok")


@health.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Each part with “ok” or a sentence; 503 when one of them is not well."""
    config: Config = current_app.config["MORTISE"]
    found = {"database": _database(), "migrations": schema_problem() or "ok", "jobs": "ok", "disk": _disk(config.data)}
    if found["database"] == "ok" and found["migrations"] == "ok":
        found["jobs"] = _jobs()
    good = all(value == "ok" for value in found.values())
    return jsonify(status="ok" if good else "not ready", **found), 200 if good else 503


def _database() -> str:
    try:
        assert db.engine is not None
        with db.engine.connect().execution_options(mortise_read_only=True) as connection:
            connection.execute(text("SELECT 1"))
    except Exception as problem:
        log("health").error("database cannot be reached", problem=str(getattr(problem, "orig", problem))[:300])
        return "The database cannot be reached."
    return "ok"


def _disk(folder: Path) -> str:
    try:
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free // 2**20
    except OSError:
        return f"The data folder {folder} cannot be read."
    return "ok" if free >= LEAST_FREE_MB else f"Only {free} MB are free in the data folder; at least {LEAST_FREE_MB} MB are needed."


def _jobs() -> str:
    from core.jobs import core_heartbeat

    try:
        assert db.engine is not None
        with db.engine.connect().execution_options(mortise_read_only=True) as connection:
            beat = connection.execute(select(func.max(core_heartbeat.c.at))).scalar()
    except DBAPIError as problem:
        log("health").error("heartbeat cannot be read", problem=str(problem.orig)[:300])
        return "The heartbeat of the job process cannot be read."
    if beat is None:
        return "No job process has ever reported; start one by: run.py jobs"
    age = int((now() - beat).total_seconds())
    return "ok" if age < HEARTBEAT_SECONDS else f"The job process was last seen {age} seconds ago; start it again by: run.py jobs"
