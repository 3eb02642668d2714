"""What runs in the background: one's own jobs with their progress, what they left, and how to stop or repeat them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request

from core.context import actor, now
from core.errors import Missing
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.i18n import ngettext
from core.job_list import cancel, job_list, try_again
from core.jobs import RESULT
from core.journal import undone
from core.model import model_label, models
from core.web.cells import short_moment
from core.web.lists import address
from core.web.menu import is_administrator
from core.web.shell import say

job_pages = Blueprint("job_pages", __name__, url_prefix="/jobs")
PAGE = 30
STATES = ("queued", "running", "done", "dead", "cancelled")


@job_pages.get("/")
def listing() -> str:
    """The jobs of this person, newest first; of everybody for administrators who ask. A piece of the page when htmx asks."""
    page = _page(request.args)
    return render_template("_jobs.html" if "HX-Request" in request.headers else "jobs.html", page=page)


@job_pages.post("/<int:job_id>/cancel")
def stop(job_id: int) -> Any:
    """Cancel a job."""
    became = cancel(min(job_id, LARGEST_ID))
    say(_("It was cancelled.") if became == "cancelled" else _("It stops at the end of the step it is at."), icon="x")
    return redirect(_back())


@job_pages.post("/<int:job_id>/again")
def again(job_id: int) -> Any:
    """Queue a job once more that had failed or was cancelled."""
    try_again(min(job_id, LARGEST_ID))
    say(_("It was queued again."), icon="refresh")
    return redirect(_back())


def _back() -> str:
    from core.web.shell import safe_next

    return safe_next("/jobs/")


def _page(query: Any) -> SimpleNamespace:
    state, everybody = query.get("state", ""), is_administrator() and query.get("all") == "1"
    if state and state not in STATES:
        raise Missing(_("There is no page at this address."))
    text = query.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None
    found = job_list(state=state or None, mine=not everybody, before=before, limit=PAGE + 1)
    batches = [one["memory"].get(RESULT, {}).get("batch") for one in found]
    taken_back = undone([each for each in batches if each])
    rows = [_shown(one, taken_back) for one in found[:PAGE]]
    kept = {"state": state, "all": "1" if everybody else ""}
    return SimpleNamespace(
        url="/jobs/",
        here=address("/jobs/", **kept, before=before),
        rows=rows,
        live=any(row.live for row in rows),
        state=state,
        everybody=everybody,
        may_see_all=is_administrator(),
        states=[(each, _state(each)) for each in STATES],
        next_url=address("/jobs/", **kept, before=found[PAGE - 1]["id"]) if len(found) > PAGE else "",
        first_url=address("/jobs/", **kept) if before else "",
    )


def _state(state: str) -> str:
    return {
        "queued": _("waiting"), "running": _("running"), "done": _("done"), "dead": _("failed"), "cancelled": _("cancelled"),
        "merged": _("done together with another"),
    }[state]  # fmt: skip


def _shown(one: dict[str, Any], taken_back: set[int]) -> SimpleNamespace:
    from core.transfer.export_jobs import has_file

    mine, memory = one["user_id"] is not None and one["user_id"] == actor().user_id, one["memory"]
    facts, result = memory.get("export", {}), memory.get(RESULT, {})
    batch = result.get("batch")
    done, total = one["done"], one["total"]
    begun, over = one["started_at"], one["finished_at"]
    return SimpleNamespace(
        id=one["id"],
        title=_title(one),
        state=one["state"],
        state_text=_("is being cancelled") if one["state"] == "running" and one["cancel_asked"] else _state(one["state"]),
        live=one["state"] in ("queued", "running"),
        may_cancel=one["state"] in ("queued", "running") and not one["cancel_asked"],
        may_again=one["state"] in ("dead", "cancelled"),
        done=min(done, total) if done is not None and total else 0,
        total=total or 0,
        progress=_("%(done)s of %(total)s", done=f"{done:,}", total=f"{total:,}") if done is not None and total else (one["text"] or ""),
        moment=one["created_at"].isoformat() + "Z",
        time=short_moment(one["created_at"]),
        took=_took(((over or now()) - begun).total_seconds()) if begun else "",
        error=_error(one),
        file_url=f"/jobs/{one['id']}/file" if mine and has_file(one["id"], memory) else "",
        file_gone=_("The file was removed after some days.") if mine and facts and not has_file(one["id"], memory) else "",
        about=one["text"] or "" if one["state"] != "running" or done is not None else "",
        result=SimpleNamespace(**{"url": "", "label": "", "sentence": "", "lines": [], **result}),
        undo_url=f"/undo/{batch}" if batch and batch not in taken_back and one["state"] not in ("queued", "running") else "",
        undone=batch in taken_back,
        rows=ngettext("%(rows)s row", "%(rows)s rows", facts["rows"], rows=f"{facts['rows']:,}") if facts else "",
    )


def _title(one: dict[str, Any]) -> str:
    table = one["arguments"].get("table")
    if isinstance(table, str) and table in models():
        return f"{one['title']}{_(': ')}{model_label(models()[table], many=True)}"
    return str(one["title"])


def _error(one: dict[str, Any]) -> str:
    """Why it failed. What is no sentence of ours is for administrators; others are told whom to ask."""
    text = one["last_error"]
    if not text or one["state"] == "done":
        return ""
    if "\n" in text and not is_administrator():
        return _("Something went wrong in the program. Please tell your administrator the number %(number)s.", number=one["id"])
    first = str(text.split("\n")[0])
    return _("It is tried again after: %(why)s", why=first) if one["state"] == "queued" else first


def _took(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 60:
        return _("%(count)s s", count=whole)
    if whole < 3600:
        return _("%(minutes)s min %(seconds)s s", minutes=whole // 60, seconds=whole % 60)
    return _("%(hours)s h %(minutes)s min", hours=whole // 3600, minutes=whole % 3600 // 60)
