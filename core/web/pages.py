"""Pages that belong to no model: the start page, what can be made, one's own account, and undo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import SimpleNamespace

from babel.dates import format_date
from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from core.context import actor, local, now
from core.db import db
from core.errors import Conflict
from core.i18n import gettext as _
from core.model import models
from core.rules import visible_ids
from core.undo import Clash, last_own, undo
from core.undo_jobs import stayed, told, undo_later
from core.web.menu import creatable
from core.web.shell import safe_next, say, say_queued

pages = Blueprint("pages", __name__)
MOST_NAMED = 3
"""So many things that an undo left alone are named where there is little room."""


@pages.get("/")
def start() -> str:
    """The start page."""
    return render_template("start.html", page=SimpleNamespace(date=format_date(local(now()), "full", locale=actor().language)))


@pages.get("/new")
def new() -> str:
    """Everything the person may make."""
    return render_template("new.html", page=SimpleNamespace(entries=creatable(request.path)))


@pages.post("/undo/last")
def take_back_last() -> Response:
    """Undo what the person did last (Ctrl-Z), or do it again (Ctrl-Shift-Z)."""
    again = request.form.get("again") == "1"
    if (batch_id := last_own(again)) is None:
        nothing = _("There is nothing that could be done again.")
        say(nothing if again else _("You have done nothing in the last 15 minutes that could be undone."), icon="info-circle")
        return redirect(safe_next("/"))  # type: ignore[return-value]
    return take_back(batch_id)


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
        _say_what_stayed(problem.sentence, problem.facts.get("clashes", ()), "alert-triangle")
        return redirect(back)
    _say_what_stayed(told(done.count, len(done.clashes), done.withdrawn, done.left), done.clashes, "arrow-back-up")
    return redirect(_still_there(back))


def _say_what_stayed(sentence: str, clashes: Sequence[Clash], icon: str) -> None:
    say(" ".join([sentence, *stayed(clashes, MOST_NAMED)]), icon=icon, sticky=bool(clashes))


def _still_there(address: str) -> str:
    """The address, or the list where its record is gone with what was undone."""
    found = re.match(r"/(\w+)/(\d{1,18})\b", address)
    if found is None or (model := models().get(found[1])) is None or visible_ids(model, [int(found[2])]):
        return address
    return f"/{found[1]}/"
