"""Whatever goes wrong leaves as a full sentence: a page for browsers, JSON for programs, and no half-done work behind it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, Response, g, has_request_context, jsonify, make_response, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from markupsafe import Markup
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError, StatementError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException, InternalServerError

from core.context import actor
from core.db import db
from core.errors import Broken, Busy, Conflict, Invalid, Problem
from core.i18n import gettext as _
from core.logs import log
from core.model import models
from core.verdicts import plain

BUSY_WORDS = (
    "database is locked", "disk is full", "no space left", "disk i/o error", "connection refused", "could not connect",
    "server closed the connection", "too many clients", "remaining connection slots", "lock timeout", "deadlock",
    "starting up", "shutting down", "terminating connection", "unable to open database",
)  # fmt: skip
BUSY_STATES = ("40001", "40P01", "53100", "53300", "55P03", "57P03")
"""PostgreSQL: serialization, deadlock, disk full, too many connections, lock not available, cannot connect now."""


class Unexpected(Problem):
    """A fault of ours; only its number reaches the person."""

    status, code = 500, "unexpected"


class OfHttp(Problem):
    """What Flask itself answers: no such page, wrong method, too large."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code = status, code


def register(app: Flask) -> None:
    """Answer every exception of ``app``."""
    app.register_error_handler(Exception, answer)
    app.register_error_handler(HTTPException, answer)


def answer(error: Exception) -> Response:
    """The response for ``error``. What the request had written is taken back first."""
    if isinstance(error, HTTPException) and error.response is not None:
        return error.response  # type: ignore[return-value]
    _take_back()
    problem = told(error)
    if problem.status >= 500:
        unknown = isinstance(problem, Unexpected)
        log("web").error(
            "request failed", error=type(error).__name__, status=problem.status, path=request.path, exc_info=error if unknown else None,
            cause=None if unknown else str(getattr(error, "orig", problem.sentence))[:300],
        )  # fmt: skip
    elif problem.status in (401, 403) or isinstance(error, CSRFError):
        code = "forged" if isinstance(error, CSRFError) else problem.code
        log("security").warning("refused", code=code, method=request.method, path=request.path, address=actor().address)
    response = _json(problem) if wants_json() else _page(problem)
    response.status_code = problem.status
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after", "location"):
                response.headers[name] = value
    if problem.status in (429, 503):
        response.headers.setdefault("Retry-After", str(problem.facts.get("wait_seconds", 5)))
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
        if "HX-Request" in request.headers and request.method == "GET":
            # A part of a page was asked for by somebody whose session has ended: the whole page goes to the sign-in.
            response.headers["HX-Redirect"] = url_for("signin.login", next=urlsplit(request.headers.get("HX-Current-URL", "/")).path)
    response.headers["Cache-Control"] = "no-store"
    return response


def told(error: Exception) -> Problem:
    """``error`` as a problem with a sentence."""
    if isinstance(error, InternalServerError) and error.original_exception is not None:
        error = error.original_exception  # type: ignore[assignment]
    match error:
        case Problem():
            return error
        case CSRFError():
            return Broken(
                _("This page was open for too long, or the request came from elsewhere. Load the page again, then send it once more.")
            )
        case StaleDataError():
            return Conflict(_("Somebody else changed this record meanwhile. Your entries are still here; compare, then save again."))
        case IntegrityError():
            return integrity(error)
        case OverflowError() | DataError():
            return Broken(_("A value in this request is too large or of the wrong kind."))
        case OperationalError() if _is_busy(error):
            return Busy(_("The database is busy or cannot be reached. Nothing was saved; please try again in a moment."))
        case OperationalError() | ProgrammingError():
            _look_at_the_schema()
            return Unexpected(_unexpected())
        case StatementError() if isinstance(error.orig, (OverflowError, ValueError)):
            return Broken(_("A value in this request is too large or of the wrong kind."))
        case OSError() if error.errno == 28:
            return Busy(_("The disk is full. Nothing was saved; an administrator has to make room."))
        case HTTPException():
            return _http(error)
        case _:
            return Unexpected(_unexpected())


def integrity(error: IntegrityError) -> Problem:
    """What a constraint of the database has refused, with the field's name where it can be told."""
    text = str(error.orig)
    diagnosis = getattr(error.orig, "diag", None)
    state = getattr(error.orig, "sqlstate", "") or ""
    table, columns = getattr(diagnosis, "table_name", None), []
    if found := re.search(r"(?:UNIQUE|NOT NULL) constraint failed: ([\w.]+)((?:, [\w.]+)*)", text):
        pairs = [one.rpartition(".") for one in (found[1] + found[2]).split(", ")]
        table, columns = pairs[0][0], [one[2] for one in pairs]
    elif diagnosis is not None and (found := re.search(r"\(([^)]+)\)=\(", getattr(diagnosis, "message_detail", None) or "")):
        columns = [one.strip('" ') for one in found[1].split(",")]
    elif getattr(diagnosis, "column_name", None):
        columns = [diagnosis.column_name]
    labels = _labels(table, columns)
    if "NOT NULL" in text or state == "23502":
        needed = {name: _("“%(label)s” is needed.", label=label) for name, label in labels.items()}
        return Invalid(needed or {"": _("Something that is needed is missing.")})
    if "UNIQUE" in text or state == "23505":
        if labels:
            return Conflict(_("Another record has the same %(labels)s already; choose another value.", labels=", ".join(labels.values())))
        return Conflict(_("Another record with the same values exists already."))
    if "FOREIGN KEY" in text or state in ("23503", "23001"):
        return Conflict(
            _("Another record still needs this one, or a record that this one needs is gone. Load the page again and look.")
        )
    return Conflict(_("The database has refused these values; load the page again and look."))


def _labels(table: str | None, columns: list[str]) -> dict[str, str]:
    model = models().get(table or "")
    fields = getattr(model, "__fields__", {}).values()
    return {one.name: one.title for one in fields if one.key in columns}


def _is_busy(error: OperationalError) -> bool:
    text = str(error.orig).lower()
    return any(word in text for word in BUSY_WORDS) or getattr(error.orig, "sqlstate", None) in BUSY_STATES


def _look_at_the_schema() -> None:
    # A missing table or column may mean that the schema was changed under this process.
    from core.web import health

    health.look_again()


def _unexpected() -> str:
    return _(
        "Something went wrong that should not. Nothing was saved. "
        "Please try again; if it happens again, tell an administrator the number of this request."
    )


def _http(error: HTTPException) -> Problem:
    sentences = {
        400: _("The request cannot be understood."),
        401: _("Please sign in."),
        403: _("You may not do this."),
        404: _("There is no such page."),
        405: _("This address does not take such requests."),
        408: _("The request took too long; please send it again."),
        413: _("This is too large; at most %(count)s MB can be sent at once.", count=_limit()),
        414: _("This address is too long."),
        415: _("The request is of the wrong kind; send JSON with the header Content-Type: application/json."),
        429: _("There were too many requests; please wait a moment."),
    }
    code = re.sub(r"\W+", "_", error.name.lower()).strip("_")
    return OfHttp(error.code or 500, code, sentences.get(error.code or 500) or _("The request could not be answered."))


def _limit() -> int:
    # Lists to import may be larger than other uploads.
    return (request.max_content_length or 0) // 2**20


def _take_back() -> None:
    try:
        db.remove()
        if db.ready and has_request_context():
            # What the error page reads must not wait for the lock of a writer.
            db.read_only()
    except Exception as problem:  # the connection itself may be gone; the answer must go out all the same
        log("web").warning("rollback failed", problem=str(problem)[:300])


def wants_json() -> bool:
    """Does this client read JSON rather than pages?"""
    if request.path.startswith("/api/"):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"


def reasons_of(problem: Problem) -> list[dict[str, str]]:
    """The reasons of a refusal as plain values."""
    verdict = getattr(problem, "verdict", None)
    return plain(getattr(verdict, "reasons", ()))


def _json(problem: Problem) -> Response:
    body: dict[str, Any] = {"error": problem.code, "message": str(problem.sentence), "request_id": actor().request_id}
    if isinstance(problem, Invalid):
        body["errors"] = {name: str(text) for name, text in problem.errors.items()}
    if reasons := reasons_of(problem):
        body["reasons"] = reasons
    if "version" in problem.facts:
        body["version"] = problem.facts["version"]
    return jsonify(body)


def titles() -> dict[int, str]:
    """Headings of error pages in the acting person's language."""
    return {
        400: _("Not understood"), 401: _("Please sign in"), 403: _("Not allowed"), 404: _("Not found"), 405: _("Not understood"),
        409: _("Changed meanwhile"), 413: _("Too large"), 422: _("Please look again"), 429: _("Please wait"), 503: _("Not now"),
    }  # fmt: skip


def _why_url(problem: Problem) -> str:
    """The page that explains a refusal, where it is about records of a kind or about one of them."""
    if problem.status == 403 and request.path.startswith("/settings/"):
        return f"/why-page?page={quote(request.path)}"
    table, number = ((request.view_args or {}).get(name) for name in ("table", "record_id"))
    if problem.status != 403 or table not in models():
        return ""
    verb = next((one.verb for one in getattr(getattr(problem, "verdict", None), "reasons", ()) if one.verb), "")
    return f"/{table}/{number}/_why?verb={verb}" if number and verb else f"/{table}/_why" + (f"?verb={verb}" if verb else "")


def _page(problem: Problem) -> Response:
    facts = {
        "status": problem.status,
        "title": titles().get(problem.status) or _("Something went wrong"),
        "sentence": str(problem.sentence),
        "request_id": actor().request_id,
        "reasons": reasons_of(problem),
        "why_url": _why_url(problem),
        "sign_in_url": url_for("signin.login", next=request.path) if problem.status == 401 else "",
    }
    try:
        return make_response(render_template("error.html", **facts))
    except Exception as failure:  # an error page that fails must not hide the error
        log("web").error("error page failed", exc_info=failure)
        g.pop("_shell", None)
        _take_back()
        plain = Markup("<!doctype html><html lang='{0}'><meta charset='utf-8'><title>{1}</title><h1>{1}</h1><p>{2}</p><p>{3}</p></html>")
        return make_response(plain.format(actor().language, facts["title"], facts["sentence"], facts["request_id"]))
