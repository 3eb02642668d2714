"""Requests for another password or other facts of one's account, answered by an administrator who may edit that person (S0-08, D17)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, func, select

from core import journal, mail
from core.accounts import set_password
from core.context import actor, now, system
from core.db import db
from core.errors import Conflict, Invalid, Refused
from core.fields import field, link
from core.first import new_password
from core.hooks import hook
from core.i18n import gettext as _
from core.i18n import t
from core.model import Mapped, Model, fields_of
from core.people import LEVELS, Department, MortiseUser, Post
from core.people_rules import rank
from core.records import records
from core.rules import everyone, may, rights, rule
from core.secret_links import send_link
from core.settings import setting
from core.titles import titles

QUIET = {"mortise_rules": False}
MOST_OPEN = 5
"""Requests that one person may have open."""
WANTED = ("name", "phone", "email", "department")
"""What may be asked for; the request keeps it under the same name with ``new_`` before."""
STATES = {"open": "Unanswered", "accepted": "Accepted", "declined": "Declined", "withdrawn": "Withdrawn by the person"}


class AccountRequest(Model):
    """A wish of somebody about his own account, and what an administrator answered."""

    system_model = True
    title_field = "id"
    person: Mapped[MortiseUser | None] = link(readonly=True)
    wish: Mapped[str] = field(choices={"change": "Change of the account", "password": "A new password"}, default="change")
    new_name: Mapped[str | None] = field(max_length=130, label="New full name")
    new_phone: Mapped[str | None] = field(kind="phone", label="New phone")
    new_email: Mapped[str | None] = field(kind="email", label="New e-mail")
    new_department: Mapped[Department | None] = link(label="New department")
    note: Mapped[str | None] = field(long=True, max_length=1000)
    signed_in: Mapped[bool] = field(default=True, readonly=True, label="Asked while signed in")
    state: Mapped[str] = field(choices=STATES, default="open", readonly=True)
    reason: Mapped[str | None] = field(long=True, readonly=True)
    answered_by: Mapped[MortiseUser | None] = link(readonly=True)
    answered_at: Mapped[datetime | None] = field(readonly=True)
    __table_args__ = (Index("ix_core_account_request_state_id", "state", "id"),)

    def __str__(self) -> str:
        return _("Request %(number)s", number=self.id)


rule(AccountRequest, everyone, "read create", "own")


@hook.before_save(AccountRequest)
def everybody_asks_for_himself(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """Whoever files a request is its person; afterwards only an answer changes it."""
    who = actor()
    if who.system:
        return
    if record.id is not None:
        raise Refused(_("A request is not changed; it is answered or withdrawn."))
    if who.user_id is None:
        raise Refused(_("Please sign in first."))
    record.person_id = who.user_id
    record.state, record.signed_in, record.reason, record.answered_by_id, record.answered_at = "open", True, None, None, None
    if record.wish == "password":
        record.new_name = record.new_phone = record.new_email = record.new_department_id = None
    elif not any(getattr(record, key) for key in ("new_name", "new_phone", "new_email", "new_department_id")):
        raise Invalid({"": _("Please say what is to be changed.")})
    mine = AccountRequest.__table__.c
    query = select(func.count()).where(mine.person_id == who.user_id, mine.state == "open")
    if db.session.execute(query, execution_options=QUIET).scalar_one() >= MOST_OPEN:
        raise Invalid({"": _("You have %(count)s open requests. Withdraw one, or wait for the answer.", count=MOST_OPEN)})


@hook.before_delete(AccountRequest)
def requests_are_kept(record: Any) -> None:
    """What was asked and answered stays known."""
    raise Refused(_("Requests are not deleted; they can be withdrawn or declined."))


def file_forgotten(user_id: int, note: str) -> None:
    """A request for a new password by somebody who is not signed in; one that is open already is enough. Only as the system."""
    table = AccountRequest.__table__.c
    waits = select(table.id).where(table.person_id == user_id, table.wish == "password", table.state == "open")
    if db.session.execute(waits, execution_options=QUIET).first() is None:
        record = AccountRequest(person_id=user_id, wish="password", note=note[:1000] or None, signed_in=False, state="open")
        record.created_by_id = user_id
        db.session.add(record)
        db.session.flush()


# -- looking -------------------------------------------------------------------------------------------------------------


def open_requests(limit: int = 200) -> tuple[list[Any], int]:
    """(the oldest open requests of people whom the acting administrator may edit, how many there are)."""
    mine = rank(rights().level)
    below = LEVELS if mine == 2 else LEVELS[:mine]
    if not below or not may("edit", MortiseUser):
        return [], 0
    table, user = AccountRequest, MortiseUser.__table__.c
    theirs = select(user.id).where(user.level.in_(below))
    wanted = table.state == "open", table.person_id.in_(theirs)  # type: ignore[attr-defined]
    count = db.session.execute(select(func.count()).select_from(table).where(*wanted), execution_options=QUIET).scalar_one()
    found = db.session.execute(select(table).where(*wanted).order_by(table.id).limit(limit)).scalars().all()
    return list(found), int(count)


def may_answer(request: Any) -> bool:
    """May the acting person answer: an administrator who may edit whom it is about (D17)?"""
    level = rights().level
    if level not in LEVELS[1:] or request.person is None or not may("edit", request.person, "active"):
        return False
    return level == "system_administrator" or rank(level) > rank(request.person.level)


def differences(request: Any) -> list[tuple[str, str, str]]:
    """(label, what it is now, what it shall be) of each fact that is asked for."""
    person, found = request.person, []
    fields = fields_of(MortiseUser)
    for name in ("name", "phone", "email"):
        if (wanted := getattr(request, f"new_{name}")) is not None:
            found.append((fields[name].title, getattr(person, name) or "", wanted))
    if request.new_department_id is not None:
        post = primary_post(person.id)
        names = titles(Department, [request.new_department_id, *([post.department_id] if post else [])])
        found.append((t("Department"), names.get(post.department_id, "") if post else "", names.get(request.new_department_id, "")))
    return found


def primary_post(user_id: int) -> Any:
    """The post of somebody that counts as his own: the primary one, else the first."""
    query = select(Post).where(Post.user_id == user_id).order_by(Post.is_primary.desc(), Post.id).limit(1)
    return db.session.execute(query, execution_options=QUIET).scalars().first()


# -- answering -----------------------------------------------------------------------------------------------------------


def accept(request_id: int, by: str = "") -> str:
    """Do what is asked for, with the rights of the acting administrator; returns a temporary password when one was made.

    ``by`` is ``link`` or ``password`` where a new password is asked for. Raises `Refused`, `Conflict` or `Invalid`.
    """
    request = _to_answer(request_id)
    made = ""
    if request.wish == "change":
        _change(request)
    elif by == "link":
        send_link(request.person)
    elif by == "password":
        made = new_password()
        set_password(request.person, made, must_change=True)
        db.session.flush()
        journal.write("ab_user", request.person_id, "password", {})
    else:
        raise Invalid({"by": _("Please choose: a link by mail, or a temporary password.")})
    _answered(request, "accepted", None)
    if by != "link":
        _tell(request)
    return made


def decline(request_id: int, reason: str) -> None:
    """Refuse with a reason, which the person reads. Raises `Refused`, `Conflict` or `Invalid`."""
    request = _to_answer(request_id)
    reason = reason.strip()[:1000]
    if not reason:
        raise Invalid({"reason": _("Please say why, so that the person knows what to do.")})
    _answered(request, "declined", reason)
    _tell(request)


def withdraw(request_id: int) -> None:
    """Take one's own open request back. Raises `Missing` or `Conflict`."""
    request = records(AccountRequest).get(request_id, lock=True)
    if request.person_id != actor().user_id:
        raise Refused(_("Only the person himself takes his request back."))
    _must_be_open(request)
    _answered(request, "withdrawn", None)


def _to_answer(request_id: int) -> Any:
    request = records(AccountRequest).get(request_id, lock=True)
    if not may_answer(request):
        raise Refused(_("Only an administrator who may edit this person answers the request."))
    _must_be_open(request)
    return request


def _must_be_open(request: Any) -> None:
    if request.state != "open":
        raise Conflict(_("This request was answered already."))


def _change(request: Any) -> None:
    """Through the gate, as if the administrator had typed it himself."""
    new = {name: getattr(request, f"new_{name}") for name in ("name", "phone", "email")}
    if values := {name: value for name, value in new.items() if value is not None}:
        records(MortiseUser).edit(request.person_id, values)
    if request.new_department_id is not None:
        post = primary_post(request.person_id)
        if post is None:
            place = {"user": request.person_id, "department": request.new_department_id, "is_primary": True}
            records(Post).create(place)
        else:
            records(Post).edit(post.id, {"department": request.new_department_id})


def _answered(request: Any, state: str, reason: str | None) -> None:
    db.session.flush()
    with system("a request is answered"):
        request.state, request.reason = state, reason
        request.answered_by_id, request.answered_at = actor().user_id, now()
        db.session.flush()


def _tell(request: Any) -> None:
    """By mail, where that is possible; on the screen the person sees it in any case."""
    person, accepted, wish = request.person, request.state == "accepted", request.wish
    if mail.problem() or not person.email:
        return
    reason = request.reason or ""

    def letter() -> mail.Letter:
        said = _("Your request was accepted.") if accepted else _("Your request was declined: %(reason)s", reason=reason)
        if accepted and wish == "password":
            said = _("You have been given a new password; ask your administrator for it.")
        lines = [_("Hello %(name)s,", name=person.name or person.username), said]
        return mail.Letter(_("Your request at %(firm)s", firm=setting("firm.name")), lines, _("Open the house"), "/account/requests")

    try:
        mail.send(person, letter)
    except Invalid:
        return  # an address that no mail reaches must not stand in the way of the answer
