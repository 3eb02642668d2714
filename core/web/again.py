"""Signing in again without leaving the page: its form, with all that was typed and chosen, goes on afterwards."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, jsonify, request, session
from flask_wtf.csrf import generate_csrf

from core import accounts
from core.context import actor
from core.db import db
from core.errors import Conflict, Invalid, Refused
from core.i18n import gettext as _
from core.web import sessions
from core.web.api import body_of_request
from core.web.security import Unauthorized
from core.web.signin import note_entry

again = Blueprint("again", __name__)


class CodeWanted(Unauthorized):
    """The password was right; the dialog asks for the code."""

    code = "second_factor_needed"


@again.get("/login/alive")
def alive() -> Any:
    """Who is signed in at this browser, and the form token of now. Asking does not keep a session alive."""
    session.touch = False  # type: ignore[attr-defined]
    return jsonify(person=actor().user_id, token=generate_csrf())


@again.post("/login/again")
def sign_in_again() -> Any:
    """Sign in as the person whose page is open: ``{"person", "username", "password", "code"}``; answers with the new form token."""
    body, _version = body_of_request()
    name, password, code, person = (body.get(one) for one in ("username", "password", "code", "person"))
    wrong = {one: _("Please give text.") for one, value in {"username": name, "password": password}.items() if not isinstance(value, str)}
    if code is not None and not isinstance(code, str):
        wrong["code"] = _("Please give text.")
    if wrong:
        raise Invalid(wrong)
    agent = request.user_agent.string
    tried = accounts.sign_in(str(name), str(password), g.limits["tries"], agent=agent)
    if tried.person is None:
        raise Unauthorized(tried.sentence)
    if tried.person.id != person:
        raise Conflict(_("This page belongs to somebody else. Load it again to go on as “%(name)s”.", name=tried.person.name))
    if tried.person.has_factor:
        if not code:
            raise CodeWanted(_("Type the code that your authenticator shows now, or a recovery code."))
        step = accounts.second_step(tried.person, str(code)[:40], g.limits["tries"], agent=agent)
        if step.person is None:
            raise CodeWanted(step.sentence)
    if tried.person.must_change_password or tried.person.needs_factor:
        raise Refused(_("Something has to be set up at the sign-in first. Load the page again, and sign in there."))
    db.remove()
    sessions.start(session, tried.person, request.remote_addr, agent)  # type: ignore[arg-type]
    note_entry(tried.person)
    return jsonify(person=tried.person.id, token=generate_csrf())
