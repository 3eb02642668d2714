"""For people who cannot sign in: ask for a link, ask an administrator, and choose a password with the link of a mail.

Nothing here tells whether an account exists: the answer is the same, and what is done about it is done later by a job. The token of a
link stands behind the ``#`` of its address, which browsers send to nobody; it comes in the body of a form and is in no log.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for

from core import accounts, journal, mail, secret_links
from core.account_jobs import answer_forgotten
from core.api_keys import end_keys
from core.config import Config
from core.context import actor, system
from core.db import db
from core.i18n import gettext as _
from core.logs import log
from core.people import User
from core.web.shell import say
from core.web.signin import switch_language

link_pages = Blueprint("links", __name__)
link_pages.before_request(switch_language)


@link_pages.after_request
def tell_nobody(response: Response) -> Response:
    """Where a link leads on from here, nothing is said of this page."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@link_pages.get("/login/forgot")
def forgot() -> Any:
    """Ask for a link by mail; without mail the page says whom to ask."""
    return _page("forgot.html", problem=mail.problem())


@link_pages.post("/login/forgot")
def send_me_a_link() -> Any:
    """The same answer for every name."""
    typed = request.form.get("username", "").strip()[:320]
    if not typed:
        return _page("forgot.html", 422, error=_("Please give your user name or your e-mail address."))
    if wait := accounts.wait_after_asking("forgot", typed):
        return _later("forgot.html", wait)
    if sentence := mail.problem():
        return _page("forgot.html", 422, problem=sentence)
    answer_forgotten.later(typed=typed)
    return _page("forgot.html", done=True)


@link_pages.get("/login/ask")
def ask() -> Any:
    """Ask an administrator for a new password."""
    return _page("ask.html")


@link_pages.post("/login/ask")
def ask_an_administrator() -> Any:
    """File a request for whoever has this name; the same answer for every name (S0-08)."""
    typed, note = request.form.get("username", "").strip()[:320], request.form.get("note", "").strip()[:500]
    if not typed:
        return _page("ask.html", 422, error=_("Please give your user name or your e-mail address."))
    if wait := accounts.wait_after_asking("ask", typed):
        return _later("ask.html", wait)
    answer_forgotten.later(typed=typed, note=note)
    return _page("ask.html", done=True)


@link_pages.get("/login/choose")
def choose() -> Any:
    """Where the link of a mail leads; the page hands over what stands behind the ``#`` by itself."""
    return _page("choose.html")


@link_pages.post("/login/choose")
def choose_password() -> Any:
    """First the token alone, then with a password: that ends the link, all sessions, and leads to the sign-in page."""
    code = request.form.get("code", "").strip().rpartition("#")[2][:80]
    link, user = secret_links.link_behind(code)
    if link is None:
        log("signin").warning("password link refused", address=actor().address)
        return _page("choose.html", 422, over=True)
    known = {"code": code, "login": user.username, "name": user.name or user.username, "invited": link.purpose == "invite"}
    if "new" not in request.form:
        return _page("choose.html", **known)
    new, again = request.form.get("new", ""), request.form.get("again", "")
    errors: dict[str, str] = {}
    if sentence := accounts.password_problem(new, user.username, user.name):
        errors["new"] = sentence
    elif new != again:
        errors["again"] = _("The two new passwords differ.")
    if errors:
        return _page("choose.html", 422, errors=errors, **known)
    # Hashing takes its time; no transaction is open while it does.
    db.remove()
    hashed = accounts.hash_password(new)
    with system("a person chooses a password by a link"):
        if not secret_links.use_link(link.id):
            return _page("choose.html", 422, over=True)
        person = db.session.get(User, user.id)
        assert person is not None, "people are never deleted"
        person.password, person.must_change_password = hashed, False
        end_keys(person.id)
        db.session.flush()
        accounts.end_sessions(person.id)
        accounts.unlock(person.username)
        _note(person)
    _forget_first_password(user.username)
    say(_("Your password is saved. Sign in with it now."), sticky=True)
    return redirect(url_for("signin.login"))


def _note(person: Any) -> None:
    # In the name of whom it is: nobody is signed in here.
    who = actor()
    who.user_id, who.login, who.name = person.id, person.username, person.name or person.username
    journal.write("ab_user", person.id, "password", {})


def _forget_first_password(login: str) -> None:
    config: Config = current_app.config["MORTISE"]
    if login == config.admin_name:
        config.first_password_file.unlink(missing_ok=True)


def _later(template: str, wait: int) -> Response:
    response = _page(template, 429, error=_("There were too many tries. Wait %(count)s seconds, then try again.", count=wait))
    response.headers["Retry-After"] = str(wait)
    return response


def _page(template: str, status: int = 200, **facts: Any) -> Response:
    if status >= 400:
        db.remove()
        db.read_only()
    shown = {"error": "", "problem": "", "done": False, "over": False, "code": "", "errors": {}, **facts}
    typed = request.form.get("username", "").strip()[:320] if request.method == "POST" else request.args.get("username", "")[:320]
    drawn = render_template(template, username=typed, **shown)
    return Response(drawn, status, mimetype="text/html")
