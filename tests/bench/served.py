"""The house as it is measured: `core.app.create_app`, which leaves the statements of a request that asks for it (header X-Probe)."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from sqlalchemy import event

from core.app import create_app
from core.db import db
from tests.bench.probe import keep


def create() -> Flask:
    """The application for gunicorn."""
    app = create_app()
    app.before_request_funcs.setdefault(None, []).insert(0, _ready)
    app.teardown_request(_told)
    assert db.engine is not None
    event.listen(db.engine, "before_cursor_execute", _begun)
    event.listen(db.engine, "after_cursor_execute", _ended)
    return app


def _ready() -> None:
    if "X-Probe" in request.headers:
        g.ran, g.probe = [], request.headers["X-Probe"]


def _begun(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
    if has_request_context() and "ran" in g:
        context.bench_began = time.perf_counter()


def _ended(_connection: Any, _cursor: Any, statement: str, values: Any, context: Any, _many: bool) -> None:
    if has_request_context() and "ran" in g:
        g.ran.append((statement, values, time.perf_counter() - context.bench_began))


def _told(_problem: BaseException | None) -> Response | None:
    if "ran" in g:
        keep(g.probe, g.ran)
    return None
