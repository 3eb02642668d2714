"""Pages that belong to no model: the start page, what can be made, one's own account, and undo."""

from __future__ import annotations

from types import SimpleNamespace

from babel.dates import format_date
from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from core.context import actor, local, now
from core.db import db
from core.errors import Conflict
from core.i18n import gettext as _
from core.undo import undo
from core.undo_jobs import told, undo_later
from core.web.menu import creatable
from core.web.shell import safe_next, say, say_queued

pages = Blueprint("pages", __name__)


@pages.get("/")
def start() -> str:
    """The start page."""
    return render_template("start.html", page=SimpleNamespace(date=format_date(local(now()), "full", locale=actor().language)))


@pages.get("/new")
def new() -> str:
    """Everything the person may make."""
    return render_template("new.html", page=SimpleNamespace(entries=creatable(request.path)))


@pages.post("/undo/<int:batch_id>")
def take_back(batch_id: int) -> Response:
    """Undo what one request, import or job did."""
    back = safe_next("/")
    try:
        if (job_id := undo_later(batch_id)) is not None:
            say_queued(job_id, _("This is much to take back; it goes on in the background."))
            return redirect(back)  # type: ignore[return-value]
        with db.session.begin_nested():
            done = undo(batch_id)
    except Conflict as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(back)
    say(told(done.count, len(done.clashes)), icon="arrow-back-up")
    return redirect(back)
