"""The way of each request through the house: who asks, may he come in, one transaction, and safe headers on what leaves."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from typing import Any

from flask import Flask, Response, current_app, g, redirect, request, session, url_for
from flask_jwt_extended import verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_wtf.csrf import CSRFError, CSRFProtect
from jwt import PyJWTError

from core import api_keys, reading
from core.accounts import Person, person_by_id
from core.addons import enabled
from core.context import Actor, actor, set_actor
from core.db import db
from core.errors import Asleep, Broken, Busy, Problem, Refused
from core.i18n import LANGUAGES, best_language
from core.i18n import gettext as _
from core.logs import log
from core.model import models
from core.settings import is_set, setting
from core.state import generation
from core.transfer.reading import LARGEST_FILE
from core.web import health, once, sessions, view_as
from core.web.folding import LanguageApp
from core.web.security import Unauthorized, nobody
from core.web.shell import stamp

SAFE = ("GET", "HEAD", "OPTIONS")
NO_PERSON = {"static", "health.healthz", "health.readyz", "favicon"}
"""Endpoints that know nobody and read no database."""
BY_MAIL = {"links.forgot", "links.send_me_a_link", "links.ask", "links.ask_an_administrator", "links.choose", "links.choose_password"}
"""What somebody does who cannot sign in; also open at a browser in which somebody is."""
AT_THE_DOOR = {"signin.login", "signin.sign_in", "signin.code", "again.alive", "again.sign_in_again"} | BY_MAIL
PUBLIC = {"SignInApi.login", "SignInApi.refresh"} | AT_THE_DOOR
"""Endpoints for people who are not signed in."""
WHILE_FORCED = {"signin.password", "signin.logout"} | AT_THE_DOOR
"""What a person may do before his password is his own."""
WHILE_UNPROVED = WHILE_FORCED | {f"factor_pages.{name}" for name in ("factor", "start", "confirm")}
"""What a person may do before he has the second factor that he must have."""
WHILE_SETTING_UP = WHILE_FORCED | {"signin.setup"}
STAMPED_SECONDS = 365 * 86400
SHOWING = (200, 206, 409, 422)
"""Answers that show what was read: pages, files by pieces too, and forms that come back with what was wrong."""
MOST_JSON_BYTES = 8 * 2**20
LARGE_UPLOADS = {"imports.upload": LARGEST_FILE + 2**20}
"""Endpoints that take more than ``max_upload_mb``, with the bytes of a whole request: the file, and the form around it."""
UPLOADED_BACKUP = "backup_pages.upload"
"""How large this may be is a setting."""
ADDRESS_IN_DIGITS = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])", re.IGNORECASE)

csrf = CSRFProtect()


class Mortise(LanguageApp):
    """Flask, with the request's one commit before its answer leaves: a commit that fails becomes an error page."""

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        """How many seconds a browser keeps a static file unasked: long where its address changes with its content, else not at all."""
        return STAMPED_SECONDS if filename and request.args.get("v") == stamp(filename) != "" else None

    def dispatch_request(self) -> Any:
        """Answer the request and end its transaction."""
        writes = request.method not in SAFE
        if writes and (answered := once.begin()) is not None:
            return answered
        try:
            response = self.make_response(super().dispatch_request())
        except Problem:
            if writes:
                once.give_up()
            raise
        if writes:
            if response.status_code < 400:
                once.end(response)
                try:
                    db.session.commit()
                except Exception:
                    # What the next page would tell has not happened.
                    session.pop(sessions.SAID, None)
                    raise
            else:
                shown = reading.pending()
                once.give_up()
                actor().memo.update(shown)
        if response.status_code in SHOWING:
            reading.note()
        return response


def register(app: Flask) -> None:
    """Put the gate before and behind every view of ``app``."""
    csrf.init_app(app)
    app.before_request(arrive)
    app.before_request(enter)
    app.after_request(leave)
    app.teardown_request(gone)
    app.jinja_env.globals["csp_nonce"] = csp_nonce


def belongs_to(app: Flask, blueprint: str, addon: str) -> None:
    """While ``addon`` sleeps, every address of this blueprint answers 404."""
    app.extensions.setdefault("mortise_blueprints", {})[blueprint] = addon


def arrive() -> None:
    """Before anything is known: a number for the request, the door, a language."""
    g.started = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    set_actor(
        Actor(
            door="api" if request.path.startswith("/api/") else "screen",
            address=request.remote_addr,
            request_id=given if re.fullmatch(r"[\w.-]{8,40}", given) else uuid.uuid4().hex[:12],
            language=chosen_language(None),
        )
    )
    g.user = g._login_user = nobody()
    if request.endpoint not in ("health.healthz", "health.readyz") and not _known_host(request.host):
        raise Broken(_("This server is not known as “%(host)s”. Add the name to the setting MORTISE_HOSTS.", host=request.host[:80]))


def enter() -> Response | None:
    """Let the request in, send it to the sign-in page, or refuse it."""
    if request.routing_exception is not None or request.endpoint in NO_PERSON:
        return None
    if sentence := health.schema_problem():
        raise Busy(sentence)
    health.start_hooks(current_app)
    safe = request.method in SAFE
    # Who asks is read before the writing transaction starts: reading a slow client's form must not hold SQLite's lock.
    db.read_only(singly=not safe)
    person = _person()
    health.look_again(generation())
    who = actor()
    who.language = chosen_language(person)
    who.zone = (person.zone if person else None) or setting("firm.zone")
    g.limits = {"tries": setting("sign_in.tries")}
    if request.endpoint == UPLOADED_BACKUP:
        # Read now: reading a form may not begin a transaction.
        g.limits["upload"] = setting("backup.upload_mb") * 2**20 + 2**20
    if person is not None:
        if not g.get("by_token"):
            person = view_as.seen_as(person)
        who.user_id, who.login, who.name = person.id, person.login, person.name
        who.on_behalf_id = g.viewer.id if "viewer" in g else None
        who.memo["level"], who.memo["theme"] = person.level, person.theme
        who.memo["preferences"] = person.preferences
        g.user = g._login_user = person
    _check_addon()
    set_up = person is None or person.level != "system_administrator" or is_set("firm.name")
    if not safe:
        db.begin_anew()
    if (answer := _turn_away(person, set_up)) is not None:
        return answer
    if not safe:
        view_as.refuse_writing()
        if request.endpoint in LARGE_UPLOADS:
            request.max_content_length = max(LARGE_UPLOADS[request.endpoint], current_app.config["MAX_CONTENT_LENGTH"])
        if request.endpoint == UPLOADED_BACKUP:
            request.max_content_length = g.limits["upload"]
        json = request.mimetype == "application/json"
        if json:
            # A value is text or a number; files come by form.
            request.max_content_length = min(MOST_JSON_BYTES, current_app.config["MAX_CONTENT_LENGTH"])
        if (answer := _check_form()) is not None:
            return answer
        if json:
            request.get_data()
    return None


def _person() -> Person | None:
    """Whoever the token or the cookie stands for. A request with a token is never judged by its cookie."""
    if request.headers.get("Authorization"):
        if request.endpoint == "SignInApi.refresh":
            return None
        if (given := request.headers["Authorization"]).startswith(f"Bearer {api_keys.PREFIX}"):
            return _person_of_key(given.removeprefix("Bearer "))
        try:
            verify_jwt_in_request()
        except (JWTExtendedException, PyJWTError):
            if request.endpoint in PUBLIC:
                return None
            raise Unauthorized(_("This token is no longer good; please sign in again.")) from None
        g.by_token = True
        return g.user if isinstance(g.user, Person) else None
    return sessions.load(session._get_current_object())  # type: ignore[attr-defined]


def _person_of_key(secret: str) -> Person | None:
    """Whose key this is; it opens the API alone, and only as far as its scopes go."""
    found = api_keys.key_behind(secret, request.remote_addr) if actor().door == "api" else None
    person = person_by_id(found[0]) if found else None
    if found is None or person is None:
        raise Unauthorized(_("This key is not good, or not good any more."))
    g.by_token, actor().limits = True, found[1]
    return person


def _check_addon() -> None:
    addon = current_app.extensions.get("mortise_blueprints", {}).get(request.blueprint)
    table = (request.view_args or {}).get("table")
    if addon is None and isinstance(table, str) and table in models():
        addon = models()[table].addon
    if addon is not None and not enabled(addon):
        raise Asleep(_("This belongs to an addon that is switched off."))


def _turn_away(person: Person | None, set_up: bool) -> Response | None:
    """The answer for somebody who has to sign in, to choose a password or to say who the firm is, before he goes on."""
    api = actor().door == "api"
    if person is None:
        if request.endpoint in PUBLIC:
            return None
        if api:
            raise Unauthorized(_("Please sign in: this address needs an access token."))
        if request.method in SAFE and "HX-Request" not in request.headers:
            return redirect(url_for("signin.login", next=request.full_path.rstrip("?") if request.path != "/" else None))  # type: ignore[return-value]
        raise Unauthorized(_("Your session has ended. Please sign in again; what you typed is still on the page."))
    if person.must_change_password and request.endpoint not in WHILE_FORCED:
        if api:
            raise Refused(_("The password of this account was given by somebody else. Sign in on the screen and choose your own first."))
        return redirect(url_for("signin.password"))  # type: ignore[return-value]
    if person.needs_factor and request.endpoint not in WHILE_UNPROVED:
        if api:
            raise Refused(_("This account must have a second factor. Sign in on the screen and set one up first."))
        return redirect(url_for("factor_pages.factor"))  # type: ignore[return-value]
    if not set_up and not api and request.endpoint not in WHILE_SETTING_UP and request.method in SAFE:
        return redirect(url_for("signin.setup"))  # type: ignore[return-value]
    return None


def _check_form() -> Response | None:
    """A request that changes something must come from our own pages, or carry a token that no other page has."""
    if g.get("by_token") or request.endpoint in ("SignInApi.login", "SignInApi.refresh"):
        return None
    try:
        csrf.protect()
    except CSRFError:
        if request.endpoint == "signin.sign_in":
            # The page was open overnight: show a fresh one rather than an error.
            return redirect(url_for("signin.login", next=request.form.get("next") or None, again=1))  # type: ignore[return-value]
        raise
    return None


def chosen_language(person: Person | None) -> str:
    """The person's language, else the one chosen at this browser, else the browser's, else the firm's."""
    for wanted in (person.language if person else None, session.get("language")):
        if wanted in LANGUAGES:
            return wanted
    accepted = request.headers.get("Accept-Language", "")
    if not accepted and request.endpoint not in NO_PERSON and actor().memo.get("generation") is not None:
        return str(setting("firm.language"))
    return best_language(accepted)


def _known_host(host: str) -> bool:
    """Is this a name of ours? A foreign name pointed at our address could make a browser read our pages for somebody else."""
    name = host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host.lower()
    name = name.rstrip(".")
    for known in current_app.config["MORTISE_HOST_NAMES"]:
        if name == known or (known.startswith(".") and (name.endswith(known) or name == known[1:])):
            return True
    return bool(ADDRESS_IN_DIGITS.fullmatch(name))


def csp_nonce() -> str:
    """The word that lets a script tag of this page run; asked only by pages that need one."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return g.csp_nonce


def leave(response: Response) -> Response:
    """Safe headers, and one line in the log; never the query, where people type names and numbers."""
    nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
    headers = response.headers
    headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'self'; script-src 'self'{nonce}; style-src 'self'{nonce}; img-src 'self' data: blob:; font-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    )
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers.setdefault("Referrer-Policy", "same-origin")
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    if current_app.config["SESSION_COOKIE_SECURE"]:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    headers["X-Request-Id"] = actor().request_id
    if request.endpoint not in NO_PERSON:
        spent = round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1)
        log("web").info("request", method=request.method, path=request.path, status=response.status_code, ms=spent, door=actor().door)
    return response


def gone(_error: BaseException | None) -> None:
    """Nothing of this request stays: its connection goes back, nobody acts."""
    db.remove()
    set_actor(None)
