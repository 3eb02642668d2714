"""Pages that belong to no model: the start page, what can be made, one's own account, and undo."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date
from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.context import actor, local, now, system
from core.db import db
from core.errors import Conflict
from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.people import User
from core.preferences import prefer
from core.undo import undo
from core.undo_jobs import told, undo_later
from core.web.menu import creatable
from core.web.shell import drawn, safe_next, say, say_queued

pages = Blueprint("pages", __name__)


@pages.get("/")
def start() -> str:
    """The start page."""
    return render_template("start.html", page=SimpleNamespace(date=format_date(local(now()), "full", locale=actor().language)))


@pages.get("/new")
def new() -> str:
    """Everything the person may make."""
    return render_template("new.html", page=SimpleNamespace(entries=creatable(request.path)))


@pages.get("/account")
def account() -> str:
    """One's own settings."""
    return render_template("account.html", page=_account(actor().zone, {}))


@pages.post("/account/preferences")
def preferences() -> Any:
    """Keep language, zone, colours and density of the person."""
    errors: dict[str, str] = {}
    zone = request.form.get("zone", "").strip()[:64]
    if zone and not _known_zone(zone):
        errors["zone"] = _("There is no time zone of this name; write one like Asia/Shanghai.")
        return drawn("account.html", _account(zone, errors), 422)
    with system("a person's own preferences"):
        user = db.session.get(User, actor().user_id)
        if user is not None:
            if request.form.get("language") in LANGUAGES:
                user.language = request.form["language"]
            if request.form.get("theme") in ("auto", "light", "dark"):
                user.theme = request.form["theme"]
            if zone:
                user.zone = zone
            db.session.flush()
    if request.form.get("density") in ("comfortable", "compact"):
        prefer(density=request.form["density"])
    return redirect(safe_next("/account"))


def _account(zone: str, errors: dict[str, str]) -> SimpleNamespace:
    from core.web.signin import zones

    return SimpleNamespace(zone=zone, zones=zones(), errors=errors, password_url=url_for("signin.password"))


def _known_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


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
