"""Sessions kept on the server: the cookie holds a random token, the row its hash; people can be signed out from here."""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import OperationalError
from werkzeug.datastructures import CallbackDict

from core.accounts import PERSON_COLUMNS, Person, person_of, session_key, sessions, user_table
from core.context import now
from core.db import PREPARED, db
from core.logs import log
from core.settings import setting
from core.state import GENERATION, know_generation

VISITOR_SECONDS = 24 * 3600
TOUCH = timedelta(minutes=1)
QUERY = (
    select(sessions.c.user_id, sessions.c.data, sessions.c.created_at, sessions.c.seen_at, GENERATION, *PERSON_COLUMNS)
    .join(user_table, user_table.c.id == sessions.c.user_id)
    .where(sessions.c.id == bindparam("key"))
    .execution_options(**PREPARED)
)
KEEP = update(sessions).where(sessions.c.id == bindparam("key")).execution_options(**PREPARED)


class BrowserSession(CallbackDict, SessionMixin):
    """What the house remembers of one browser.

    Of somebody who is not signed in only a signed cookie is kept (language, form token), so that visitors make no rows.
    """

    def __init__(self, data: dict[str, Any] | None = None, token: str | None = None) -> None:
        def changed(_self: Any) -> None:
            self.modified = True

        super().__init__(data, changed)
        self.modified = False
        self.token = token
        self.person: Person | None = None
        self.fresh = False
        """The cookie has to be sent: the token is new."""
        self.ended = False
        """The cookie has to go."""
        self.touch = False
        """The row has not been marked as seen for a minute."""

    @property
    def unkept(self) -> bool:
        """True when the row has to be written."""
        return self.token is not None and not self.ended and (self.modified or self.touch)


class DatabaseSessions(SessionInterface):
    """Flask's door to `BrowserSession`; `open_session` reads no database, `load` does when the gate asks for it."""

    def open_session(self, app: Flask, request: Request) -> BrowserSession:
        """The session of this request, from its cookie alone."""
        raw = request.cookies.get(self.get_cookie_name(app), "")
        if raw.startswith("v."):
            try:
                data = _visitors(app).loads(raw[2:], max_age=VISITOR_SECONDS)
            except BadSignature:
                return BrowserSession()
            return BrowserSession(data if isinstance(data, dict) else None)
        return BrowserSession(token=raw if re.fullmatch(r"[\w-]{43}", raw) else None)

    def save_session(self, app: Flask, session: BrowserSession, response: Response) -> None:  # type: ignore[override]
        """Write what changed since the request's own transaction has ended, or of a request that has none."""
        cookie: dict[str, Any] = {
            "path": "/", "httponly": True, "samesite": "Lax", "secure": app.config["SESSION_COOKIE_SECURE"],
        }  # fmt: skip
        name = self.get_cookie_name(app)
        if session.token and not session.ended:
            if session.unkept:
                _write(session)
            if session.fresh:
                response.set_cookie(name, session.token, max_age=90 * 86400, **cookie)
        elif session.ended and not session:
            response.delete_cookie(name, **cookie)
        elif session.modified and not session.token:
            response.set_cookie(name, "v." + str(_visitors(app).dumps(dict(session))), max_age=VISITOR_SECONDS, **cookie)


def _visitors(app: Flask) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(app.secret_key, salt="mortise-visitor")  # type: ignore[arg-type]


def load(session: BrowserSession) -> Person | None:
    """Who is signed in at this browser: one statement for the session and the person; None when it has ended."""
    if not session.token:
        return None
    row = db.run(QUERY, {"key": session_key(session.token)}).first()
    if row:
        know_generation(row.generation)
    person = person_of(row, row.user_id) if row else None
    moment = now()
    if person is not None and (
        moment - row.seen_at > timedelta(minutes=setting("session.idle_minutes"))
        or moment - row.created_at > timedelta(hours=setting("session.absolute_hours"))
    ):
        person = None
    if person is None:
        session.ended, session.token = True, None
        return None
    session.update(json.loads(row.data))
    session.modified = False
    session.touch = moment - row.seen_at >= TOUCH
    session.person = person
    return person


def start(session: BrowserSession, person: Person, address: str | None, agent: str | None) -> None:
    """Sign ``person`` in at this browser: a new token, a new form token, nothing kept of before but the language.

    Uses a short transaction of its own: none may be open.
    """
    old, language = session.token, session.get("language")
    session.clear()
    if language:
        session["language"] = language
    session["csrf_token"] = secrets.token_hex(20)
    session.token, session.person, session.fresh, session.ended = secrets.token_urlsafe(32), person, True, False
    with db.short() as connection:
        if old:
            connection.execute(delete(sessions).where(sessions.c.id == session_key(old)))
        _tidy(connection)
        connection.execute(
            insert(sessions).values(
                id=session_key(session.token), user_id=person.id, data=json.dumps(dict(session)), created_at=now(), seen_at=now(),
                address=(address or "")[:64] or None, agent=(agent or "")[:200] or None,
            )
        )  # fmt: skip
    session.modified = False


def end(session: BrowserSession) -> None:
    """Sign out at this browser: the row goes, so that a copied cookie is worth nothing. No transaction may be open."""
    if session.token:
        with db.short() as connection:
            connection.execute(delete(sessions).where(sessions.c.id == session_key(session.token)))
    language = session.get("language")
    session.clear()
    session.token, session.person, session.ended = None, None, True
    if language:
        session["language"] = language


def _tidy(connection: Connection) -> None:
    """Drop sessions that ended by time; done at each sign-in, which is rare enough and often enough."""
    moment = now()
    # The longest limits that can be set: this must not read settings, since a transaction is open.
    old = (sessions.c.seen_at < moment - timedelta(days=7)) | (sessions.c.created_at < moment - timedelta(days=90))
    connection.execute(delete(sessions).where(old))


def keep(session: BrowserSession, connection: Connection) -> None:
    """Write what is `unkept` in the transaction of ``connection``."""
    facts: dict[str, Any] = {"key": session_key(session.token or ""), "seen_at": now()}
    if session.modified:
        facts["data"] = json.dumps(dict(session))
    connection.execute(KEEP, facts)
    session.modified = session.touch = False


def _write(session: BrowserSession) -> None:
    # On SQLite a second writer would wait for the first one, and both are ours.
    db.remove()
    try:
        with db.short() as connection:
            keep(session, connection)
    except OperationalError as problem:
        # Worth less than the answer that is ready.
        log("web").warning("session not saved", problem=str(problem.orig))
