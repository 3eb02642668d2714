"""One's own notifications: the page behind the bell, opening one, the number for the frame, and the same over REST.

Nobody else's are reachable here, for administrators neither, and not while viewing as somebody else.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, g, jsonify, redirect, render_template, request, session

from core.context import actor
from core.errors import Broken, Invalid, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.notification_list import COLUMN, PAGE, Entry, choose, entry, mark_read, offered, only_own, page, unread_count
from core.notifications import CHANNELS, wants
from core.preferences import preferences
from core.web.cells import short_moment
from core.web.shell import safe_next, say

notification_pages = Blueprint("notification_pages", __name__)
URL = "/notifications"
MOST = 100


@notification_pages.before_request
def _private() -> None:
    if "viewer" in g:
        raise Refused(_("Notifications are private: only the person himself sees them."))
    only_own()


@notification_pages.get(URL)
def listing() -> str:
    """The entries, newest first: the unread ones, or all."""
    everything, after = request.args.get("show") == "all", request.args.get("after", "")
    entries, following = page(unread=not everything, after=after)
    kept = "?show=all" if everything else ""
    shown = SimpleNamespace(
        entries=[_line(one) for one in entries], everything=everything, unread_url=URL, all_url=f"{URL}?show=all",
        here=f"{URL}{kept}", first_url=f"{URL}{kept}" if after else "",
        next_url=f"{URL}{kept}{'&' if kept else '?'}after={following}" if following else "",
    )  # fmt: skip
    return render_template("notifications.html", page=shown)


def _line(one: Entry) -> SimpleNamespace:
    return SimpleNamespace(
        id=one.id, text=one.text, title=one.title, icon=one.icon, records=one.records if one.title else "", unread=one.unread,
        times=_("%(count)s times", count=f"{one.count:,}") if one.count > 1 else "", opens=bool(one.url),
        moment=one.at.isoformat() + "Z", time=short_moment(one.at),
    )  # fmt: skip


@notification_pages.post(f"{URL}/<int:number>/open")
def open_one(number: int) -> Any:
    """Mark an entry as read and go to what it is about, whose own gate asks once more."""
    one = entry(number)
    mark_read(one.id)
    return redirect(one.url or URL)


@notification_pages.post(f"{URL}/<int:number>/read")
def read_one(number: int) -> Any:
    """Mark an entry as read."""
    mark_read(entry(number).id)
    return redirect(safe_next(URL))


@notification_pages.post(f"{URL}/read")
def read_all() -> Any:
    """Mark all entries as read."""
    count = mark_read()
    say(ngettext("%(count)s notification is marked as read.", "%(count)s notifications are marked as read.", count))
    return redirect(safe_next(URL))


@notification_pages.get(f"{URL}/count")
def count() -> Response:
    """The number at the bell, for its script; that a page asks for it does not keep its session alive."""
    session.touch = False  # type: ignore[attr-defined]
    number = unread_count(g.user.unread) if g.user.unread is not None else 0
    answer = jsonify(unread=number)
    answer.set_etag(str(number))
    return answer.make_conditional(request)


@notification_pages.get("/account/notifications")
def settings() -> str:
    """Which kinds one wants."""
    chosen = preferences()
    kinds = [
        SimpleNamespace(name=one.name, label=str(one.label), icon=one.icon, on={each: wants(chosen, one.name, each) for each in CHANNELS})
        for one in offered()
    ]
    labels = {"bell": _("At the bell"), "mail": _("By mail")}
    return render_template("notification_kinds.html", page=SimpleNamespace(kinds=kinds, channels=[(one, labels[one]) for one in CHANNELS]))


@notification_pages.post("/account/notifications")
def keep_settings() -> Any:
    """Keep which kinds one wants: ``<channel>=<kind>`` for each that is ticked."""
    choose((kind, channel) for channel in CHANNELS for kind in request.form.getlist(channel))
    say(_("Saved."))
    return redirect("/account/notifications")


# -- over REST ----------------------------------------------------------------------------------------------------------


def as_json(one: Entry) -> dict[str, Any]:
    """An entry as programs read it."""
    return {
        "id": one.id, "kind": one.kind, "text": one.text, "title": one.title or None, "model": one.model, "record_id": one.record_id,
        "url": one.url or None, "count": one.count, "at": one.at.isoformat() + "Z", "unread": one.unread,
    }  # fmt: skip


@notification_pages.get("/api/v1/_notifications")
def api_list() -> Response:
    """One's own entries: ``unread=1``, ``limit``, ``after``; with how many are unread, which stops at 100."""
    if unknown := set(request.args) - {"unread", "limit", "after"}:
        raise Broken(_("There is no parameter “%(name)s”.", name=sorted(unknown)[0][:60]))
    given, wanted = request.args.get("limit", str(PAGE)), request.args.get("unread", "0")
    if not (given.isascii() and given.isdigit() and 0 < int(given[:6]) <= MOST):
        raise Broken(_("“limit” is a whole number from 1 to %(most)s.", most=MOST))
    if wanted not in ("0", "1"):
        raise Broken(_("“unread” is 0 or 1."))
    entries, following = page(unread=wanted == "1", after=request.args.get("after", ""), limit=int(given))
    return jsonify(result=[as_json(one) for one in entries], next=following or None, unread=unread_count())


@notification_pages.get("/api/v1/_notifications/<pk>")
def api_get(pk: str) -> Response:
    """One entry."""
    number = _number(pk)
    return jsonify(id=number, result=as_json(entry(number)))


@notification_pages.put("/api/v1/_notifications/<pk>")
def api_read(pk: str) -> Response:
    """Mark one entry as read: ``{"unread": false}``."""
    number = _number(pk)
    _may_mark()
    one = entry(number)
    mark_read(one.id)
    return jsonify(id=number, result=as_json(entry(number)))


@notification_pages.post("/api/v1/_notifications/_read")
def api_read_all() -> Response:
    """Mark all entries as read: ``{"unread": false}``."""
    _may_mark()
    return jsonify(read=mark_read())


def _number(pk: str) -> int:
    from core.web.api import id_of

    return id_of(pk)


def _may_mark() -> None:
    from core.web.api import body_of_request

    limits = actor().limits
    if limits is not None and not limits.allow(COLUMN, "edit"):
        raise Refused(_("This key may only read."))
    body, _version = body_of_request()
    if set(body) != {"unread"} or body["unread"] is not False:
        raise Invalid({"unread": _('Send {"unread": false}: a notification is marked as read, never as unread.')})
