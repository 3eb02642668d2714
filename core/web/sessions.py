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
from core.secret_box import seal, unseal
from core.settings import setting
from core.state import GENERATION, know_generation

VISITOR_SECONDS = 24 * 3600
TOUCH = timedelta(minutes=1)
SAID = "_flashes"
"""Flask's name for what the next page tells. It travels in a sealed cookie of its own: telling something writes to no database."""
LONGEST_SAID = 800
"""Characters of all messages together; a cookie holds 4096 bytes, a Chinese character takes four of them."""
QUERY = (
    select(sessions.c.user_id, sessions.c.data, sessions.c.created_at, sessions.c.seen_at, GENERATION, *PERSON_COLUMNS)
    .join(user_table, user_table.c.id == sessions.c.user_id)
    .where(sessions.c.id == bindparam("key"))
    .execution_options(**PREPARED)
)


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
        self.said: list[Any] = []
        """What the cookie holds that the next page tells."""
        self.stored = self.kept()
        """What the row holds, or of a visitor the cookie."""

    def kept(self) -> dict[str, Any]:
        """What is to be remembered for longer than until the next page."""
        return {name: value for name, value in self.items() if name != SAID}


class DatabaseSessions(SessionInterface):
    """Flask's door to `BrowserSession`; `open_session` reads no database, `load` does when the gate asks for it."""

    def open_session(self, app: Flask, request: Request) -> BrowserSession:
        """The session of this request, from its cookie alone."""
        session = self._opened(app, request.cookies.get(self.get_cookie_name(app), ""))
        if sealed := request.cookies.get(self._name_of_said(app)):
            session.said = json.loads(unseal(SAID, sealed) or "[]")
            if session.said:
                session.setdefault(SAID, list(session.said))
        session.modified = False
        return session

    def _opened(self, app: Flask, raw: str) -> BrowserSession:
        if raw.startswith("v."):
            try:
                data = _visitors(app).loads(raw[2:], max_age=VISITOR_SECONDS)
            except BadSignature:
                return BrowserSession()
            return BrowserSession(data if isinstance(data, dict) else None)
        return BrowserSession(token=raw if re.fullmatch(r"[\w-]{43}", raw) else None)

    def _name_of_said(self, app: Flask) -> str:
        return f"{self.get_cookie_name(app)}_said"

    def save_session(self, app: Flask, session: BrowserSession, response: Response) -> None:  # type: ignore[override]
        """Write what changed, after the request's own transaction has ended."""
        cookie: dict[str, Any] = {
            "path": "/", "httponly": True, "samesite": "Lax", "secure": app.config["SESSION_COOKIE_SECURE"],
        }  # fmt: skip
        name = self.get_cookie_name(app)
        # What a library says by itself is no message of ours, and is shown nowhere.
        said = [one for one in session.get(SAID) or () if isinstance(one[1], dict)]
        if said and said != session.said:
            response.set_cookie(self._name_of_said(app), _sealed(said), **cookie)
        elif session.said and not said:
            response.delete_cookie(self._name_of_said(app), **cookie)
        changed = session.modified and session.kept() != session.stored
        if session.token and not session.ended:
            if session.touch or changed:
                _write(session)
            if session.fresh:
                response.set_cookie(name, session.token, max_age=90 * 86400, **cookie)
        elif session.ended and not session.kept():
            response.delete_cookie(name, **cookie)
        elif not session.token and (changed or session.ended):
            response.set_cookie(name, "v." + str(_visitors(app).dumps(session.kept())), max_age=VISITOR_SECONDS, **cookie)


def _sealed(said: list[Any]) -> str:
    """Messages for a cookie: the last three, cut where they are long. Sealed, since some tell a first password."""
    last = said[-3:]
    longest = LONGEST_SAID // len(last)
    short = [(category, {**one, "text": _cut(one["text"], longest)}) for category, one in last]
    return seal(SAID, json.dumps(short, ensure_ascii=False))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


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
    session.update({name: value for name, value in json.loads(row.data).items() if name != SAID})
    session.modified, session.stored = False, session.kept()
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
                id=session_key(session.token), user_id=person.id, data=json.dumps(session.kept()), created_at=now(), seen_at=now(),
                address=(address or "")[:64] or None, agent=(agent or "")[:200] or None,
            )
        )  # fmt: skip
    session.modified, session.stored = False, session.kept()


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


def _write(session: BrowserSession) -> None:
    # On SQLite a second writer would wait for the first one, and both are ours.
    db.remove()
    values = {"seen_at": now(), "data": json.dumps(session.kept())}
    try:
        with db.short() as connection:
            connection.execute(update(sessions).where(sessions.c.id == session_key(session.token or "")).values(values))
    except OperationalError as problem:
        # Worth less than the answer that is ready.
        log("web").warning("session not saved", problem=str(problem.orig))
