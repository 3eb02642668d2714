"""One's own second factor: set up with a QR code, recovery codes, taken away again; and for administrators the help for who lost his."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import qrcode
from flask import Blueprint, g, redirect, render_template, request, session
from markupsafe import Markup
from qrcode.image.svg import SvgPathImage
from sqlalchemy import delete

from core import accounts, journal, second_factor
from core.accounts import Person, end_sessions, session_key, sessions
from core.db import db
from core.errors import Refused
from core.i18n import gettext as _
from core.people import User
from core.records import records
from core.rules import may
from core.web.account_pages import outranks
from core.web.shell import drawn, safe_next, say

factor_pages = Blueprint("factor_pages", __name__)
URL = "/account/second-factor"


@factor_pages.get(URL)
def factor() -> Any:
    """Where it stands: none, one that waits for its first code, or one that counts."""
    return drawn("second_factor.html", _page({}), 0)


@factor_pages.post(f"{URL}/start")
def start() -> Any:
    """A fresh key, after the password was given once more."""
    person: Person = g.user
    if person.has_factor:
        return redirect(URL)
    if problem := _proved(person):
        return drawn("second_factor.html", _page({"password": problem}), 422)
    second_factor.begin(person.id, person.login)
    return redirect(URL)


@factor_pages.post(f"{URL}/confirm")
def confirm() -> Any:
    """The first code: from now on one is asked for at each sign-in. This page alone shows the recovery codes."""
    person: Person = g.user
    codes = second_factor.confirm(person.id, request.form.get("code", "")[:20])
    if codes is None:
        return drawn("second_factor.html", _page({"code": _("This code is not right. Is the clock of the device right?")}), 422)
    _end_others(person)
    journal.write("ab_user", person.id, "second-factor", {"on": [False, True]})
    person.has_factor, person.needs_factor = True, False
    return _with_codes(codes)


@factor_pages.post(f"{URL}/codes")
def codes() -> Any:
    """Ten new recovery codes, after the password and a code."""
    person: Person = g.user
    if problem := _proved_twice(person):
        return drawn("second_factor.html", _page(problem), 422)
    made = second_factor.new_codes(person.id)
    journal.write("ab_user", person.id, "second-factor", {"codes": [None, len(made)]})
    return _with_codes(made)


@factor_pages.post(f"{URL}/off")
def off() -> Any:
    """Take it away, after the password and a code; not where it is demanded."""
    person: Person = g.user
    if _is_demanded(person):
        raise Refused(_("Your account must have one, so it cannot be taken away."))
    if problem := _proved_twice(person):
        return drawn("second_factor.html", _page(problem), 422)
    second_factor.remove(person.id)
    _end_others(person)
    journal.write("ab_user", person.id, "second-factor", {"on": [True, False]})
    say(_("Signing in asks for your password only from now on."))
    return redirect(URL)


@factor_pages.post("/ab_user/<int:person>/second-factor/remove")
def remove(person: int) -> Any:
    """Help somebody who has lost his authenticator and his codes: he is signed out, and signs in by password alone next time."""
    user = records(User).get(person)
    if not (verdict := may("edit", user, "active")) or not outranks(user) or user.id == g.user.id:
        raise Refused(_("You may change people of a lower level only."), verdict)
    if second_factor.remove(user.id):
        end_sessions(user.id)
        journal.write("ab_user", user.id, "second-factor", {"on": [True, False]})
        say(_("The second factor of “%(person)s” is removed; make sure that it was he who asked for it.", person=str(user)), sticky=True)
    return redirect(safe_next(f"/ab_user/{user.id}"))


def _proved(person: Person) -> str:
    """Why the present password that was sent is not right; nothing when it is. Ends the transaction, since looking takes its time."""
    db.remove()
    tried = accounts.sign_in(person.login, request.form.get("password", ""), g.limits["tries"], entering=False)
    return "" if tried.person is not None else tried.sentence if tried.wait_seconds else _("This is not your present password.")


def _proved_twice(person: Person) -> dict[str, str]:
    if problem := _proved(person):
        return {"password": problem}
    tried = accounts.second_step(person, request.form.get("code", "")[:40], g.limits["tries"], entering=False)
    return {} if tried.person is not None else {"code": tried.sentence}


def _end_others(person: Person) -> None:
    here = sessions.c.id != session_key(session.token or "")  # type: ignore[attr-defined]
    db.session.execute(delete(sessions).where(sessions.c.user_id == person.id, here))


def _is_demanded(person: Person) -> bool:
    row = db.session.execute(accounts.PERSON_QUERY, {"user_id": person.id}, execution_options=accounts.QUIET).first()
    return row is not None and second_factor.demanded(row.level, row.role_demands_factor)


def _with_codes(made: list[str]) -> Any:
    page = _page({})
    page.codes = made
    return render_template("second_factor.html", page=page)


def _page(errors: dict[str, str]) -> SimpleNamespace:
    person: Person = g.user
    key = None if person.has_factor else second_factor.pending(person.id)
    return SimpleNamespace(
        url=URL, on=person.has_factor, needed=person.needs_factor, demanded=_is_demanded(person), errors=errors, codes=[],
        key=" ".join(key[start : start + 4] for start in range(0, len(key), 4)) if key else "",
        picture=picture_of(second_factor.address_of(key, person.login)) if key else "",
        left=second_factor.codes_left(person.id) if person.has_factor else 0,
    )  # fmt: skip


def picture_of(text: str) -> Markup:
    """A QR code as an SVG drawing, without styles of its own."""
    made = qrcode.QRCode(border=2, image_factory=SvgPathImage)
    made.add_data(text)
    stream = io.BytesIO()
    made.make_image().save(stream)
    drawing = stream.getvalue().decode()
    return Markup(drawing[drawing.index("<svg") :])  # noqa: S704 - drawn here, from our own text
