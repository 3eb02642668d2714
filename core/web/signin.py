"""Signing in and out, choosing a password, and the first page of a new installation."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request, session, url_for

from core import accounts, journal
from core.accounts import Person
from core.api_keys import end_keys, keys_of
from core.config import Config
from core.context import actor, now, system
from core.db import db
from core.errors import Invalid, Missing
from core.i18n import LANGUAGES, ngettext
from core.i18n import gettext as _
from core.logs import log
from core.people import User
from core.second_factor import codes_left
from core.settings import set_setting, setting
from core.web import sessions
from core.web.shell import say

signin = Blueprint("signin", __name__)
HALF = "half"
HALF_TIME = timedelta(minutes=5)
"""How long the right password waits for its code."""


@signin.before_request
def switch_language() -> None:
    """``?language=zh_Hans`` on these pages: for somebody who cannot read them yet."""
    wanted = request.args.get("language")
    if wanted in LANGUAGES:
        session["language"] = wanted
        if not getattr(g.user, "language", None):
            actor().language = wanted


@signin.get("/login/")
def login() -> Any:
    """The sign-in page."""
    if actor().user_id is not None:
        return redirect(_next())
    error = _("This page was open for too long. Please sign in again.") if "again" in request.args else None
    return _login_page(error)


@signin.post("/login/")
def sign_in() -> Any:
    """Signing in: a new session, whatever the browser had before."""
    typed, password = request.form.get("username", "").strip()[:320], request.form.get("password", "")
    if not typed or not password:
        return _login_page(_("Please give your user name and your password."), 422)
    done = accounts.sign_in(typed, password, g.limits["tries"], agent=request.user_agent.string)
    if done.person is None:
        log("signin").warning("sign-in refused", waiting=done.wait_seconds or None, address=actor().address)
        response = _login_page(done.sentence, 429 if done.wait_seconds else 401)
        if done.wait_seconds:
            response.headers["Retry-After"] = str(done.wait_seconds)
        return response
    remove_first_password(password)
    if done.person.has_factor:
        # Half in: a signed mark of the browser's, which opens nothing but the page that asks for the code.
        session[HALF] = {"id": done.person.id, "stamp": done.person.stamp, "at": now().isoformat(), "next": _next()}
        return redirect(url_for("signin.code"))
    return _enter(done.person, _next())


@signin.route("/login/code", methods=["GET", "POST"])
def code() -> Any:
    """The second step: a code of the authenticator, or a recovery code."""
    person, there = half_in()
    if person is None:
        return redirect(url_for("signin.login", again=1))
    if request.method == "GET":
        return render_template("login_code.html", error="")
    tried = accounts.second_step(person, request.form.get("code", "")[:40], g.limits["tries"], agent=request.user_agent.string)
    if tried.person is None:
        log("signin").warning("second step refused", waiting=tried.wait_seconds or None, address=actor().address)
        response = make_response(render_template("login_code.html", error=tried.sentence), 429 if tried.wait_seconds else 401)
        if tried.wait_seconds:
            response.headers["Retry-After"] = str(tried.wait_seconds)
        return response
    answer = _enter(person, there)
    if tried.by == "recovery":
        left = codes_left(person.id)
        say(ngettext("%(count)s recovery code is left.", "%(count)s recovery codes are left.", left), sticky=True, icon="lifebuoy")
    return answer


def half_in() -> tuple[Person | None, str]:
    """(who has given the right password at this browser within the last minutes and owes a code, where he wanted to go)."""
    kept = session.get(HALF)
    if not isinstance(kept, dict):
        return None, "/"
    person = accounts.person_by_id(kept["id"])
    fresh = now() - datetime.fromisoformat(kept["at"]) < HALF_TIME
    good = person is not None and fresh and person.stamp == kept["stamp"] and person.has_factor
    db.remove()
    return (person, kept["next"]) if good else (None, "/")


def _enter(person: Person, there: str) -> Any:
    sessions.start(session, person, request.remote_addr, request.user_agent.string)  # type: ignore[arg-type]
    note_entry(person)
    return redirect(url_for("signin.password") if person.must_change_password else there)


@signin.post("/logout/")
def logout() -> Any:
    """Signing out at this browser."""
    sessions.end(session)  # type: ignore[arg-type]
    journal.write("ab_user", g.user.id, "sign-out", {})
    response = redirect(url_for("signin.login"))
    # Drafts and the records opened last lie in the browser; whoever leaves on purpose leaves nothing.
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


@signin.route("/account/password", methods=["GET", "POST"])
def password() -> Any:
    """Choosing a password; every other browser of the person is signed out by it."""
    person: Person = g.user
    if request.method == "GET":
        return _password_page({})
    current, new, again = (request.form.get(name, "") for name in ("current", "new", "again"))
    errors: dict[str, str] = {}
    # Looking at a password takes its time; no transaction is open while it does. Guessing here is counted as guessing at the door.
    tried = accounts.sign_in(person.login, current, g.limits["tries"], entering=False)
    if tried.person is None:
        errors["current"] = tried.sentence if tried.wait_seconds else _("This is not your present password.")
    elif problem := accounts.password_problem(new, person.login, person.name):
        errors["new"] = problem
    elif new == current:
        errors["new"] = _("This is your present password; choose another one.")
    elif new != again:
        errors["again"] = _("The two new passwords differ.")
    if errors:
        db.remove()
        return _password_page(errors), 422
    hashed = accounts.hash_password(new)
    with system("a person changes his own password"):
        user = db.session.get(User, person.id)
        if user is None:
            raise Missing(_("There is no such record, or it is not visible to you."))
        user.password, user.must_change_password = hashed, False
        db.session.flush()
        journal.write("ab_user", person.id, "password", {})
        if request.form.get("keys"):
            end_keys(person.id)
    db.session.commit()
    db.remove()
    sessions.start(session, person, request.remote_addr, request.user_agent.string)  # type: ignore[arg-type]
    return redirect("/")


def _password_page(errors: dict[str, str]) -> str:
    person: Person = g.user
    return render_template("password.html", forced=person.must_change_password, errors=errors, keys=len(keys_of(person.id)))


@signin.route("/setup", methods=["GET", "POST"])
def setup() -> Any:
    """The firm's name, zone, language and currency, asked of the first system administrator."""
    person: Person = g.user
    if person.level != "system_administrator":
        raise Missing(_("There is no such page."))
    config: Config = current_app.config["MORTISE"]
    names = ("name", "zone", "language", "currency")
    if request.method == "GET":
        values = {name: config[f"firm_{name}"] or (setting(f"firm.{name}") if name == "currency" else "") for name in names}
        values["language"] = values["language"] or actor().language
        return render_template("setup.html", values=values, errors={}, zones=zones())
    values = {name: request.form.get(name, "").strip()[:200] for name in names}
    errors: dict[str, str] = {}
    for name in names:
        try:
            set_setting(f"firm.{name}", values[name])
        except Invalid as problem:
            errors[name] = " ".join(problem.errors.values())
    if errors:
        db.remove()
        return render_template("setup.html", values=values, errors=errors, zones=zones()), 422
    return redirect("/")


def note_entry(person: Person) -> None:
    """Journal that ``person`` has come in, by whichever door this request came."""
    who = actor()
    who.user_id, who.login, who.name = person.id, person.login, person.name
    journal.write("ab_user", person.id, "sign-in", {})


def zones() -> list[str]:
    """Names of time zones to choose from."""
    left_out = ("Etc/", "posix/", "right/", "SystemV/")
    return [*sorted(name for name in available_timezones() if "/" in name and not name.startswith(left_out)), "UTC"]


def remove_first_password(password: str) -> None:
    """The file with the first administrator's password goes as soon as it has been used."""
    config: Config = current_app.config["MORTISE"]
    place = config.first_password_file
    try:
        if place.exists() and hmac.compare_digest(place.read_text().strip().encode(), password.encode()):
            place.unlink()
    except OSError as problem:
        log("signin").warning("first password file not removed", problem=str(problem))


def _login_page(error: str | None, status: int = 200) -> Response:
    typed = request.form.get("username", "").strip()[:320]
    page = render_template("login.html", error=error, next=request.values.get("next", ""), username=typed)
    return make_response(page, status)


def _next() -> str:
    """Where the person wanted to go, if that is a page of ours."""
    wanted = request.values.get("next", "")
    parts = urlsplit(wanted)
    ours = wanted.startswith("/") and not wanted.startswith("//") and not parts.scheme and not parts.netloc
    return wanted if ours and "\\" not in wanted and wanted.isprintable() else "/"
