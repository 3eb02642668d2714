"""Mail for administrators: the server and a test, and links by which people choose their passwords; the list is an ordinary one."""

from __future__ import annotations

import secrets
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, request
from sqlalchemy import func, select

from core import journal, mail
from core.context import actor, now
from core.db import db
from core.errors import Invalid, Missing, Refused
from core.i18n import gettext as _
from core.mail import Letter, as_html, as_text, mails
from core.mail_sending import NotSent, Ready, composed, hand_over
from core.mail_settings import PASSWORD, SECURITY, mail_address, mail_server, may_set_mail, must_be_set_up
from core.people import User
from core.records import records
from core.rules import may
from core.secret_box import has_secret, keep_secret
from core.secret_links import send_link
from core.settings import setting
from core.web.account_pages import outranks
from core.web.menu import only_administrators
from core.web.settings_pages import boxes_of, save_typed
from core.web.shell import drawn, safe_next, say

mail_pages = Blueprint("mail_pages", __name__)
PATIENCE = 15.0
"""Seconds that a person waits for the answer of a mail server."""


@mail_pages.get("/settings/mail")
def settings() -> Any:
    """How mail is sent, and how it goes."""
    only_administrators()
    return drawn("mail.html", _page({}, {}))


@mail_pages.post("/settings/mail")
def save() -> Any:
    """Save the settings; the password only when one was typed or is to be forgotten."""
    only_administrators()
    if not may_set_mail():
        raise Refused(_("Only a system administrator may change how mail is sent."))
    errors = save_typed("mail", request.form)
    typed = request.form.get("password", "")
    if len(typed) > 500 or not typed.isascii() or any(ord(one) < 32 for one in typed):
        errors["password"] = _("Mail servers take passwords of Latin letters, digits and signs only.")
    if errors:
        return drawn("mail.html", _page(request.form, errors), 422)
    if typed or request.form.get("forget"):
        keep_secret(PASSWORD, typed or None)
        journal.write("core_setting", 0, "mail-password", {})
    say(_("The settings were saved; they hold at once, everywhere."))
    return redirect("/settings/mail")


@mail_pages.post("/settings/mail/test")
def test() -> Any:
    """Send a message to oneself at once, and say what the server answered."""
    only_administrators()
    must_be_set_up()
    address = db.session.execute(select(User.__table__.c.email).where(User.__table__.c.id == actor().user_id)).scalar()
    recipient, server, language = _own(address), mail_server(), actor().language
    letter = Letter(_("Test from %(firm)s", firm=setting("firm.name")), [_("This message shows that mail from here arrives.")])
    body = SimpleNamespace(language=language, text=as_text(letter, False), html=as_html(letter, language, False), files="[]")
    number = f"<{secrets.token_hex(16)}@{server.sender.rpartition('@')[2]}>"
    made = SimpleNamespace(recipient=recipient, subject=letter.subject, created_at=now(), message_id=number)
    message = composed(Ready(made, body), server)
    db.remove()
    try:
        hand_over(message, server, recipient, PATIENCE)
    except NotSent as why:
        say(_("The test failed: %(why)s", why=why.sentence), icon="alert-triangle", sticky=True)
    else:
        say(_("The server took the message for %(address)s. Look whether it has come.", address=recipient), icon="mail-check", sticky=True)
    return redirect("/settings/mail")


def _own(address: str | None) -> str:
    try:
        return mail_address(address or "")
    except ValueError as wrong:
        raise Invalid({"": _("Your own account has no usable e-mail address: %(why)s", why=str(wrong))}) from None


@mail_pages.post("/ab_user/<int:person>/password-link")
def password_link(person: int) -> Any:
    """Mail somebody of a lower level a link with which he chooses his password."""
    user = records(User).get(person)
    if not (verdict := may("edit", user, "active")) or not outranks(user):
        raise Refused(_("You may change people of a lower level only."), verdict)
    purpose = request.form.get("purpose", "")
    if purpose not in ("reset", "invite"):
        raise Missing(_("There is no page at this address."))
    try:
        send_link(user, purpose)
    except Invalid as problem:
        say(problem.sentence, icon="alert-triangle", sticky=True)
    else:
        say(_("A link is on its way to %(address)s.", address=user.email), icon="mail-forward")
    return redirect(safe_next(f"/ab_user/{user.id}"))


def _page(typed: Any, errors: dict[str, str]) -> SimpleNamespace:
    counted = select(mails.c.state, func.count()).where(mails.c.state.in_(["waiting", "failed"])).group_by(mails.c.state)
    counts = dict(db.session.execute(counted, execution_options={"mortise_rules": False}).all())  # type: ignore[arg-type]
    return SimpleNamespace(
        boxes=boxes_of("mail", typed, errors, SECURITY),
        errors=errors,
        has_password=has_secret(PASSWORD),
        may_set=may_set_mail(),
        problem=mail.problem(),
        waiting=counts.get("waiting", 0),
        failed=counts.get("failed", 0),
    )
