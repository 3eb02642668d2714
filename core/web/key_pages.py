"""API keys on screens: one's own, made here and shown once; administrators take away those of people below them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request

from core import api_keys
from core.addons import enabled
from core.context import actor, local, now, until_words
from core.errors import Invalid, Refused
from core.i18n import gettext as _
from core.i18n import listed
from core.model import model_label, models
from core.people import User
from core.records import records
from core.rules import may
from core.sharing import end_of_day
from core.web.account_pages import outranks
from core.web.shell import drawn, say

key_pages = Blueprint("key_pages", __name__)


@key_pages.get("/account/keys")
def keys() -> str:
    """One's own keys, and a form for another."""
    return render_template("keys.html", page=_page({}, {}))


@key_pages.post("/account/keys")
def make() -> Any:
    """Make a key; the page that answers is the only one that ever shows it."""
    typed = {name: request.form.get(name, "").strip()[:200] for name in ("name", "reach", "until")}
    tables = request.form.getlist("tables")
    reach = typed["reach"] or "read"
    errors: dict[str, str] = {}
    until = None
    try:
        until = end_of_day(typed["until"]) if typed["until"] else None
    except ValueError as wrong:
        errors["expires"] = str(wrong)
    secret = ""
    try:
        if not errors:
            scopes = [f"{table}:{reach}" for table in tables] or [reach]
            secret = api_keys.make_key(actor().user_id or 0, typed["name"], scopes, until)
    except Invalid as problem:
        errors = problem.errors
    if errors:
        return drawn("keys.html", _page(typed | {"tables": tables}, errors), 422)
    page = _page({}, {})
    page.secret, page.name = secret, typed["name"]
    return render_template("keys.html", page=page)


@key_pages.post("/account/keys/<int:key_id>/delete")
def remove(key_id: int) -> Any:
    """Delete one of one's own keys; what uses it is shut out at once."""
    api_keys.remove_key(actor().user_id or 0, key_id)
    say(_("The key is deleted; whatever used it is shut out."))
    return redirect("/account/keys")


@key_pages.post("/ab_user/<int:person>/keys/<int:key_id>/delete")
def take_away(person: int, key_id: int) -> Any:
    """Delete a key of somebody of a lower level."""
    user = records(User).get(person)
    if not (verdict := may("edit", user, "active")) or not outranks(user):
        raise Refused(_("You may change people of a lower level only."), verdict)
    api_keys.remove_key(person, key_id)
    say(_("The key is deleted; whatever used it is shut out."))
    return redirect(f"/ab_user/{person}")


def lines_of(user_id: int) -> list[SimpleNamespace]:
    """The keys of a person as lines of a page."""
    return [
        SimpleNamespace(
            id=one.id,
            name=one.name,
            start=one.start,
            reach=reach_words(one.scopes.split()),
            until=until_words(one.expires_at),
            over=one.expires_at is not None and one.expires_at <= now(),
            used=_when(one.used_at) if one.used_at else "",
            address=one.address or "",
        )
        for one in api_keys.keys_of(user_id)
    ]


def reach_words(scopes: list[str]) -> str:
    """How far a key with these scopes reaches, as a person reads it."""
    words = {"read": _("read"), "write": _("read and write")}
    tables = [one.rpartition(":")[0] for one in scopes]
    verb = words.get(scopes[0].rpartition(":")[2], "") if scopes else ""
    known = [model_label(models()[one], many=True) if one in models() else one for one in tables if one]
    return _("%(verb)s: %(label)s", verb=verb, label=listed(known)) if known else verb


def _when(moment: Any) -> str:
    return local(moment).strftime("%Y-%m-%d %H:%M")


def _page(typed: dict[str, Any], errors: dict[str, str]) -> SimpleNamespace:
    mine = [one for one in models().values() if enabled(one.addon) and may("read", one)]
    return SimpleNamespace(
        keys=lines_of(actor().user_id or 0),
        errors=errors,
        typed={"name": "", "reach": "read", "until": "", "tables": [], **typed},
        tables=[
            (one.__tablename__, model_label(one, many=True))
            for one in sorted(mine, key=lambda one: (one.addon == "core", one.addon, model_label(one, many=True)))
        ],
        secret="",
        name="",
    )
