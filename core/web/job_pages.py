"""The page of jobs: what works for a person in the background, how far it is, what came of it, and how to stop or repeat it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from babel.dates import format_timedelta
from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from core.context import actor, local, now
from core.errors import Problem
from core.i18n import gettext as _
from core.job_list import cancel, job_list, job_status, sees_all, try_again
from core.journal import undone
from core.people import User
from core.records import titles
from core.web.cells import short_moment
from core.web.lists import address
from core.web.shell import safe_next, say

job_pages = Blueprint("job_pages", __name__)
PAGE = 30
SILENT = timedelta(seconds=60)
"""A job that has been due for so long and is not begun means that nobody runs jobs."""
ALIVE = ("queued", "running")
ICONS = {"queued": "clock", "running": "progress", "done": "circle-check", "dead": "circle-x", "cancelled": "ban"}
TRACE = re.compile(r"\A\w+: .*^\S+:\d+ in \S+$", re.DOTALL | re.MULTILINE)
"""How the runner notes what is no sentence of ours: kind, text, and places in the code."""


def state_words() -> dict[str, str]:
    """What has become of a job, as a person reads it."""
    return {
        "queued": _("waiting"), "running": _("running"), "done": _("done"), "dead": _("failed"), "cancelled": _("cancelled"),
    }  # fmt: skip


@job_pages.get("/jobs")
def jobs() -> str:
    """One's own jobs, newest first; administrators may look at everybody's."""
    return render_template("jobs.html", page=_page())


@job_pages.get("/jobs/_list")
def jobs_now() -> str:
    """The same list as a piece, for a page that waits."""
    return render_template("_jobs.html", page=_page())


@job_pages.get("/jobs/<int:job_id>")
def job(job_id: int) -> str:
    """One job."""
    return render_template("jobs.html", page=_one(job_id))


@job_pages.get("/jobs/<int:job_id>/_now")
def job_now(job_id: int) -> str:
    """The same job as a piece, for a page that waits."""
    return render_template("_jobs.html", page=_one(job_id))


@job_pages.post("/jobs/<int:job_id>/cancel")
def stop(job_id: int) -> Response:
    """Stop a job."""
    back = safe_next("/jobs")
    try:
        became = cancel(job_id)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(back)  # type: ignore[return-value]
    say(_("The job was cancelled.") if became == "cancelled" else _("The job stops at its next step; what it has done so far stays."))
    return redirect(back)  # type: ignore[return-value]


@job_pages.post("/jobs/<int:job_id>/again")
def again(job_id: int) -> Response:
    """Queue a job anew."""
    try:
        try_again(job_id)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
    else:
        say(_("The job is tried once more."))
    return redirect(safe_next("/jobs"))  # type: ignore[return-value]


def _page() -> SimpleNamespace:
    words = state_words()
    state = request.args.get("state", "")
    state = state if state in words else ""
    everybody = sees_all() and request.args.get("who") == "all"
    asked = request.args.get("before", "")
    before = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 16 else None
    found = job_list(state=state or None, mine=not everybody, before=before, limit=PAGE + 1)
    query = {"state": state, "who": "all" if everybody else ""}
    page = _drawn(found[:PAGE], everybody)
    page.title = _("Jobs") if everybody else _("My jobs")
    page.single = False
    page.state, page.states, page.everybody, page.may_see_all = state, list(words.items()), everybody, sees_all()
    page.filtered = bool(state)
    page.first_url = address("/jobs", **query) if before is not None else ""
    page.next_url = address("/jobs", **query, before=found[PAGE - 1]["id"]) if len(found) > PAGE else ""
    page.poll_url = address("/jobs/_list", **query, before=before) if page.alive else ""
    page.here = address("/jobs", **query, before=before)
    return page


def _one(job_id: int) -> SimpleNamespace:
    found = job_status(job_id)
    page = _drawn([found], everybody=found["user_id"] != actor().user_id)
    page.title, page.single, page.everybody, page.may_see_all = found["title"], True, False, False
    page.first_url = page.next_url = ""
    page.poll_url = f"/jobs/{job_id}/_now" if page.alive else ""
    page.here = f"/jobs/{job_id}"
    return page


def _drawn(found: list[dict[str, Any]], everybody: bool) -> SimpleNamespace:
    names = titles(User, sorted({one["user_id"] for one in found if one["user_id"]})) if everybody else {}
    taken_back = undone([one["result"]["batch"] for one in found if one["result"] and one["result"].get("batch")])
    moment = now()
    late = any(one["state"] == "queued" and one["due_at"] is not None and moment - one["due_at"] > SILENT for one in found)
    return SimpleNamespace(
        jobs=[_shown(one, names, taken_back) for one in found],
        alive=any(one["state"] in ALIVE for one in found),
        silent=_("Nobody runs jobs at the moment. Please tell your administrator that the job process is not running.") if late else "",
        stamp=int(moment.timestamp() * 1000),
        state="",
        filtered=False,
    )


def _shown(one: dict[str, Any], names: dict[int, str], taken_back: set[int]) -> SimpleNamespace:
    state, result = one["state"], one["result"] or {}
    sentence, details = _error(one["last_error"] or "") if state != "done" else ("", "")
    batch = result.get("batch")
    return SimpleNamespace(
        id=one["id"],
        title=one["title"],
        text=one["text"] or "",
        state=state,
        state_text=_("stopping") if state == "running" and one["cancel_asked"] else state_words().get(state, state),
        icon=ICONS.get(state, "clock"),
        who=names.get(one["user_id"], "" if one["user_id"] else _("the system")) if names or one["user_id"] is None else "",
        done=one["done"],
        total=one["total"],
        bar=state == "running" or (state in ("queued", "dead", "cancelled") and bool(one["done"])),
        started=_moment(one["started_at"] or one["created_at"]),
        waits=_("next attempt: %(when)s", when=short_moment(one["due_at"]))
        if state == "queued" and one["attempts"] and one["due_at"] is not None
        else "",
        lasted=_lasted(one),
        sentence=sentence,
        details=details if sees_all() else "",
        result=SimpleNamespace(
            url=result.get("url"),
            label=result.get("label") or _("Open the result"),
            sentence=result.get("sentence") or "",
            lines=result.get("lines") or [],
        ),
        undo_url=f"/undo/{batch}" if batch and state not in ALIVE and batch not in taken_back else "",
        undone=batch in taken_back,
        may_cancel=state in ALIVE and not one["cancel_asked"],
        may_try=state in ("dead", "cancelled"),
    )


def _moment(moment: datetime) -> SimpleNamespace:
    return SimpleNamespace(text=short_moment(moment), iso=moment.isoformat() + "Z", full=local(moment).strftime("%Y-%m-%d %H:%M:%S"))


def _lasted(one: dict[str, Any]) -> str:
    """How long it took, or takes already; nothing of a job that has not begun."""
    if one["started_at"] is None:
        return ""
    spent = (one["finished_at"] or now()) - one["started_at"]
    return format_timedelta(max(spent, timedelta(seconds=1)), threshold=1.5, locale=actor().language)


def _error(text: str) -> tuple[str, str]:
    """(sentence for people, details for administrators) of what the runner noted."""
    if TRACE.match(text):
        return _("Something went wrong that should not. What was done before it stays; please tell an administrator."), text
    return text, ""
