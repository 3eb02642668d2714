"""A request that comes twice: by the header ``Idempotency-Key`` of programs, or by the word that each page puts into its forms."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any

from flask import Response, g, request
from markupsafe import Markup
from werkzeug.datastructures import FileStorage

from core.context import actor
from core.db import db
from core.errors import Conflict
from core.i18n import gettext as _
from core.idempotency import Answer, Unanswered, claim, digest, keep, key_of, release
from core.rules import rights

FIELD = "_once"
HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
READING = {"exports.ask", "exports.write", "backup_pages.upload", "backup_pages.check"}
"""Endpoints that are posted to and read for long; on SQLite they must not hold up those who write."""
AT_THE_DOOR = {"signin", "again"}
"""Blueprints that write sessions in transactions of their own, which would wait for ours."""
PATIENCE = 5.0
"""Seconds to wait for the answer of a request that commits before its end, as the upload of an import does: it is read for long."""


def once_input() -> Markup:
    """The word of this page for its forms: a form that is posted twice, by two clicks or by loading the answer anew, has one effect."""
    if "once" not in g:
        g.once = secrets.token_urlsafe(16)
    return Markup(f'<input type="hidden" name="{FIELD}" value="{g.once}">')  # noqa: S704


def begin() -> Response | None:
    """Claim the key of this request, if it has one; the answer of its first time, if there was one."""
    if (who := actor()).user_id is None or request.endpoint in READING or request.blueprint in AT_THE_DOOR:
        return None
    if (given := request.headers.get(HEADER)) is not None:
        key, asked = key_of(given, who.user_id), digest(_asked(), _standing())
    elif (word := request.form.get(FIELD)) and "HX-Request" not in request.headers:
        # Another form of the page, or the same one filled in anew, is another request.
        asked = _asked()
        key = digest("form", str(who.user_id), word[:100], asked)
    else:
        return None
    if (answer := _claimed(key, asked)) is None:
        g.claimed = key, asked
        return None
    if answer.status == 200 and not answer.body:
        raise Conflict(_("This was sent already, and is done. Load the page anew to see how things are now."))
    if who.door == "screen":
        from core.web.shell import say

        say(_("This was sent already, and is done."), icon="info-circle")
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})


def _claimed(key: str, asked: str) -> Answer | None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return claim(key, asked)
        except Unanswered:
            # On SQLite the other one waits for our lock.
            db.session.rollback()
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def give_up() -> None:
    """The request was refused: its key is free again, also when the claim was committed on the way."""
    db.session.rollback()
    if "claimed" in g:
        with db.short() as connection:
            release(g.claimed[0], connection)


def end(response: Response) -> None:
    """Keep the answer of a request that goes well, in its transaction."""
    if "claimed" not in g or db.is_read_only:
        # Whoever can only read has given back the claim, too.
        return
    key, asked = g.claimed
    page = response.mimetype == "text/html" and response.status_code == 200
    if response.is_streamed or "Content-Disposition" in response.headers or (page and "batch_id" not in actor().memo):
        # A file is fetched again by whoever asks again; a page that only shows or asks something has done nothing.
        release(key, db.session.connection())
        return
    headers = {name: response.headers[name] for name in ("Content-Type", "Location", "ETag") if name in response.headers}
    # What a page showed is not kept: it may be old when it is asked for again.
    keep(key, asked, Answer(response.status_code, headers, "" if page else response.get_data(as_text=True)))


def _asked() -> str:
    return digest(request.method, request.full_path, request.headers.get("If-Match", ""), _body())


def _standing() -> str:
    """What the person may do: an answer is not given again to somebody whose rights have changed since."""
    return digest(*(sorted(map(str, part)) if isinstance(part, frozenset) else str(part) for part in rights().kind))  # type: ignore[arg-type]


def _body() -> str:
    if request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        fields: list[Any] = [(name, value) for name, value in request.form.items(multi=True) if name not in ("csrf_token", FIELD)]
        return digest(*map(repr, fields), *(f"{name} {_content(one)}" for name, one in request.files.items(multi=True)))
    return digest(request.get_data().hex()) if request.mimetype == "application/json" else ""


def _content(file: FileStorage) -> str:
    """A file by its name and its bytes, all of them: of two that differ by one figure in the middle, the second is no repetition."""
    found = hashlib.file_digest(file.stream, "sha256").hexdigest()
    file.stream.seek(0)
    return digest(str(file.filename), found)
