"""One's own account, where somebody is signed in, who has signed in when; and for administrators who is online now."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, redirect, render_template, request, session, url_for
from sqlalchemy import delete, select

from core import journal
from core.accounts import QUIET, end_sessions, session_key, sessions, sign_ins
from core.context import actor, local, now, system
from core.db import db
from core.errors import Invalid, Missing, Refused, Wrong
from core.files import store
from core.i18n import LANGUAGES, listed, ngettext, t
from core.i18n import gettext as _
from core.people import Department, Post, User
from core.preferences import prefer
from core.prepare import flush
from core.records import records
from core.rules import EVERYONE, may, rights
from core.settings import setting
from core.titles import titles
from core.web.history import door_words
from core.web.menu import only_administrators
from core.web.shell import drawn, safe_next, say

account_pages = Blueprint("account_pages", __name__)
SHOWN = 20
MOST_ONLINE = 500
BROWSERS = {
    "MicroMessenger/": "WeChat", "DingTalk/": "DingTalk", "Edg": "Edge", "OPR/": "Opera", "QQBrowser/": "QQ Browser", "Firefox/": "Firefox",
    "Chrome/": "Chrome", "Safari/": "Safari", "curl/": "curl", "python-requests/": "Python",
}  # fmt: skip
SYSTEMS = {
    "HarmonyOS": "HarmonyOS", "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS X": "macOS",
    "Linux": "Linux",
}  # fmt: skip
"""Words by which browsers and systems name themselves, those first that others copy."""


@account_pages.get("/account")
def account() -> str:
    """One's own settings."""
    return render_template("account.html", page=_account(actor().zone, {}))


@account_pages.post("/account/preferences")
def preferences() -> Any:
    """Keep language, zone, colours and density of the person."""
    errors: dict[str, str] = {}
    zone = request.form.get("zone", "").strip()[:64]
    if zone and not _known_zone(zone):
        errors["zone"] = _("There is no time zone of this name; write one like Asia/Shanghai.")
        return drawn("account.html", _account(zone, errors), 422)
    with system("a person's own preferences"):
        user = db.session.get(User, actor().user_id)
        if user is not None:
            if request.form.get("language") in LANGUAGES:
                user.language = request.form["language"]
            if request.form.get("theme") in ("auto", "light", "dark"):
                user.theme = request.form["theme"]
            if zone:
                user.zone = zone
            db.session.flush()
    if request.form.get("density") in ("comfortable", "compact"):
        prefer(density=request.form["density"])
    return redirect(safe_next("/account"))


@account_pages.post("/account/person")
def person() -> Any:
    """Change what everybody may change of himself: phone and picture."""
    fields, errors, values = User.__fields__, {}, {}
    try:
        values["phone"] = fields["phone"].clean(request.form.get("phone", "").strip()[:200] or None)
    except Wrong as wrong:
        errors["phone"] = str(wrong)
    upload = request.files.get("picture")
    try:
        if upload is not None and upload.filename:
            values["picture"] = store(upload.stream, upload.filename).id
        elif request.form.get("picture-remove") == "1":
            values["picture"] = None
    except Wrong as wrong:
        errors["picture"] = str(wrong)
    if not errors:
        try:
            with db.session.begin_nested(), system("a person's own phone and picture"):
                user = db.session.get(User, actor().user_id)
                for name, value in values.items():
                    setattr(user, name, value)
                flush()
        except Invalid as problem:
            errors = problem.errors
    if errors:
        return drawn("account.html", _account(actor().zone, errors), 422)
    say(_("Saved."), undo=True)
    return redirect("/account")


@account_pages.post("/account/sessions/end")
def end_session() -> Any:
    """Sign oneself out at another browser, or at all others."""
    mine, here = sessions.c.user_id == actor().user_id, sessions.c.id != session_key(session.token or "")  # type: ignore[attr-defined]
    wanted = request.form.get("session", "")
    which = here if wanted == "others" else sessions.c.id == wanted
    if not re.fullmatch(r"others|[0-9a-f]{64}", wanted):
        raise Missing(_("There is no such session any more."))
    count = db.session.execute(delete(sessions).where(mine, here, which)).rowcount
    if not count and wanted != "others":
        raise Missing(_("There is no such session any more."))
    journal.write("ab_user", actor().user_id or 0, "session-end", {})
    say(ngettext("Signed out at %(count)s browser.", "Signed out at %(count)s browsers.", count))
    return redirect("/account#sessions")


@account_pages.post("/ab_user/<int:person>/sign-out")
def sign_out(person: int) -> Any:
    """Sign somebody out everywhere."""
    user = records(User).get(person)
    if not (verdict := may("edit", user, "active")):
        raise Refused(_("You may not change this person."), verdict)
    if not outranks(user):
        raise Refused(_("You may change people of a lower level only."))
    end_sessions(user.id)
    journal.write("ab_user", user.id, "session-end", {})
    say(_("“%(person)s” is signed out everywhere.", person=str(user)))
    return redirect(safe_next(f"/ab_user/{user.id}"))


def outranks(user: Any) -> bool:
    """Is the acting person of a higher level, or the very person?"""
    from core.people_rules import rank

    mine = rank(rights().level)
    return user.id == actor().user_id or mine == 2 or mine > rank(user.level)


@account_pages.get("/settings/online")
def online() -> str:
    """Who has clicked within the last minutes (S1-88, D36)."""
    only_administrators()
    since = now() - timedelta(minutes=setting("online.minutes"))
    query = select(sessions).where(sessions.c.seen_at >= since).order_by(sessions.c.seen_at.desc()).limit(MOST_ONLINE)
    found = db.session.execute(query, execution_options=QUIET).all()
    names = titles(User, [one.user_id for one in found])
    seen: dict[int, SimpleNamespace] = {}
    for one in found:
        if one.user_id in names and one.user_id not in seen:
            seen[one.user_id] = SimpleNamespace(name=names[one.user_id], url=f"/ab_user/{one.user_id}", **_place(one))
    return render_template("online.html", page=SimpleNamespace(people=list(seen.values()), minutes=setting("online.minutes")))


def browser_of(agent: str | None) -> str:
    """What a browser or program calls itself, in short: “Chrome, Windows”."""
    text = agent or ""
    found = [next((title for word, title in known.items() if word in text), "") for known in (BROWSERS, SYSTEMS)]
    return ", ".join(one for one in found if one) or text[:40] or _("unknown")


def _place(one: Any) -> dict[str, Any]:
    return {"browser": browser_of(one.agent), "address": one.address or "", "seen": _when(one.seen_at), "since": _when(one.created_at)}


def _when(moment: Any) -> str:
    return local(moment).strftime("%Y-%m-%d %H:%M")


def sessions_of(user_id: int) -> list[SimpleNamespace]:
    """Where somebody is signed in, the newest first; what has ended by time is left out."""
    idle, longest = timedelta(minutes=setting("session.idle_minutes")), timedelta(hours=setting("session.absolute_hours"))
    open_still = sessions.c.seen_at >= now() - idle, sessions.c.created_at >= now() - longest
    query = select(sessions).where(sessions.c.user_id == user_id, *open_still)
    own = session_key(session.token or "")  # type: ignore[attr-defined]
    return [
        SimpleNamespace(key=one.id, here=one.id == own, **_place(one))
        for one in db.session.execute(query.order_by(sessions.c.seen_at.desc()), execution_options=QUIET)
    ]


def entries_of(user_id: int, most: int = SHOWN) -> list[SimpleNamespace]:
    """The last sign-ins of somebody, those refused too (S0-02)."""
    query = select(sign_ins).where(sign_ins.c.user_id == user_id).order_by(sign_ins.c.at.desc(), sign_ins.c.id.desc()).limit(most)
    doors = door_words()
    return [
        SimpleNamespace(
            at=_when(one.at), browser=browser_of(one.agent), address=one.address or "", door=doors.get(one.door, ""), worked=one.worked
        )
        for one in db.session.execute(query, execution_options=QUIET)
    ]


def _account(zone: str, errors: dict[str, str]) -> SimpleNamespace:
    from core.web.signin import zones

    number = actor().user_id or 0
    user = db.session.execute(select(User).where(User.id == number), execution_options=QUIET).scalars().one()
    post = Post.__table__
    places = db.session.execute(select(post.c.department_id).where(post.c.user_id == number), execution_options=QUIET).scalars().all()
    facts = [
        (_("Login name"), user.username),
        (_("Full name"), user.name or ""),
        (_("E-mail"), user.email or ""),
        (_("Departments"), listed(sorted(titles(Department, places).values()))),
        (_("Roles"), listed(sorted(t(one) for one in rights().roles.values() if one != EVERYONE))),
        (_("Last sign-in"), _when(user.last_login) if user.last_login else ""),
    ]
    return SimpleNamespace(
        zone=zone,
        zones=zones(),
        errors=errors,
        phone=request.form.get("phone", user.phone or ""),
        picture=user.picture,
        facts=[(label, text) for label, text in facts if text],
        rights_url=f"/ab_user/{number}/_rights",
        password_url=url_for("signin.password"),
        sessions=sessions_of(number),
        entries=entries_of(number),
    )


def _known_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
