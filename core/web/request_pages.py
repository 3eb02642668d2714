"""Requests about accounts, on screens and over REST: people file their own, administrators answer those of people below (S0-08)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, jsonify, redirect, request
from sqlalchemy import select

from core import account_requests as requests
from core import mail
from core.account_requests import AccountRequest, differences, may_answer, open_requests
from core.context import actor, local
from core.db import db
from core.errors import Conflict, Invalid
from core.i18n import gettext as _
from core.model import fields_of
from core.people import Department, User
from core.records import records
from core.titles import titles
from core.web.api import as_json, body_of_request, readable
from core.web.menu import is_administrator, only_administrators
from core.web.shell import drawn, say

request_pages = Blueprint("request_pages", __name__)
SHOWN = 20
FACTS = ("name", "phone", "email")


# -- one's own -----------------------------------------------------------------------------------------------------------


@request_pages.get("/account/requests")
def mine() -> Any:
    """One's own requests, and a form for another."""
    return drawn("requests_own.html", _own_page({}, {}))


@request_pages.post("/account/requests")
def file() -> Any:
    """Ask for a change of one's account, or for a new password; what is left as it is, is not asked for."""
    typed = {name: request.form.get(name, "").strip()[:400] for name in (*FACTS, "department", "note", "wish")}
    values: dict[str, Any] = {"wish": "password" if typed["wish"] == "password" else "change", "note": typed["note"][:1000] or None}
    if values["wish"] == "change":
        now_is = _facts()
        values |= {f"new_{name}": typed[name] for name in FACTS if typed[name] and typed[name] != now_is[name]}
        if typed["department"] and typed["department"] != now_is["department"]:
            values["new_department"] = typed["department"]
    try:
        records(AccountRequest).create(values)
    except Invalid as problem:
        errors = {key.removeprefix("new_"): sentence for key, sentence in problem.errors.items()}
        return drawn("requests_own.html", _own_page(typed, errors), 422)
    say(_("Your request is filed; you see here what becomes of it."))
    return redirect("/account/requests")


@request_pages.post("/account/requests/<int:number>/withdraw")
def take_back(number: int) -> Any:
    """Take one's own open request back."""
    requests.withdraw(number)
    say(_("The request is withdrawn."))
    return redirect("/account/requests")


def _facts() -> dict[str, str]:
    user = db.session.execute(select(User.__table__).where(User.__table__.c.id == actor().user_id)).one()
    post = requests.primary_post(user.id)
    return {**{name: getattr(user, name) or "" for name in FACTS}, "department": str(post.department_id) if post else ""}


def _own_page(typed: dict[str, str], errors: dict[str, str]) -> SimpleNamespace:
    query = select(AccountRequest).where(AccountRequest.person_id == actor().user_id)  # type: ignore[attr-defined]
    found = db.session.execute(query.order_by(AccountRequest.id.desc()).limit(SHOWN)).scalars().all()
    fields, values = fields_of(User), {**_facts(), "note": "", **typed}
    departments = db.session.execute(select(Department.id, Department.name).order_by(Department.name).limit(500)).all()
    return SimpleNamespace(
        boxes=[(name, fields[name].title, values[name], errors.get(name, "")) for name in FACTS],
        departments=[(str(one.id), one.name) for one in departments],
        department=values["department"],
        note=values["note"],
        errors=errors,
        rows=[_shown(one) for one in found],
    )


# -- the administrators' -------------------------------------------------------------------------------------------------


@request_pages.get("/settings/requests")
def waiting() -> Any:
    """The open requests of people whom this administrator may edit."""
    only_administrators()
    return drawn("requests.html", _page({}))


@request_pages.post("/settings/requests/<int:number>")
def answer(number: int) -> Any:
    """Accept or decline."""
    only_administrators()
    wanted, reason = request.form.get("answer", ""), request.form.get("reason", "")
    try:
        with db.session.begin_nested():
            made, person = _answer(number, wanted, reason)
    except (Invalid, Conflict) as problem:
        return drawn("requests.html", _page({number: problem.sentence}), problem.status)
    if made:
        say(_("Write this down, it is shown once only: %(passwords)s", passwords=f"{person}: {made}"), icon="key", sticky=True)
    else:
        say(_("The request is declined.") if wanted == "decline" else _("The request is accepted."))
    return redirect("/settings/requests")


@request_pages.post("/api/v1/core_account_request/<int:number>/_answer")
def answer_over_rest(number: int) -> Any:
    """``{"answer": "accept", "link", "password", "decline" or "withdraw", "reason": …}``; a temporary password is told here alone."""
    body, _version = body_of_request()
    wanted, reason = body.get("answer"), body.get("reason", "")
    if not isinstance(wanted, str) or not isinstance(reason or "", str) or set(body) - {"answer", "reason"}:
        raise Invalid({"answer": _("Please give “answer”, and “reason” as text.")})
    made = ""
    if wanted == "withdraw":
        requests.withdraw(number)
    else:
        made, _person = _answer(number, wanted, reason or "")
    record = records(AccountRequest).get(number)
    told = {"password": made} if made else {}
    return jsonify(result=as_json(AccountRequest, [record], list(readable(AccountRequest)))[0], **told)


def _answer(number: int, wanted: str, reason: str) -> tuple[str, str]:
    """(temporary password or nothing, login name of the person)."""
    made = ""
    if wanted == "decline":
        requests.decline(number, reason)
    elif wanted in ("accept", "link", "password"):
        made = requests.accept(number, wanted)
    else:
        raise Invalid({"answer": _("Please choose an answer.")})
    return made, records(AccountRequest).get(number).person.username if made else ""


def _page(errors: dict[int, str]) -> SimpleNamespace:
    found, count = open_requests()
    return SimpleNamespace(
        rows=[_shown(one, errors.get(one.id, "")) for one in found],
        count=count,
        more=count - len(found),
        problem=mail.problem() or "",
        errors=[sentence for number, sentence in errors.items() if number not in {one.id for one in found}],
    )


def _shown(one: Any, error: str = "") -> SimpleNamespace:
    fields = fields_of(AccountRequest)
    people = titles(User, [one.person_id, one.answered_by_id])
    return SimpleNamespace(
        id=one.id,
        person=people.get(one.person_id, ""),
        person_url=f"/ab_user/{one.person_id}",
        has_mail=bool(one.person and one.person.email),
        wish=one.wish,
        wish_text=fields["wish"].text(one.wish),
        changes=differences(one) if one.state == "open" and one.wish == "change" else _wanted(one),
        note=one.note or "",
        signed_in=one.signed_in,
        state=one.state,
        state_text=fields["state"].text(one.state),
        reason=one.reason or "",
        by=people.get(one.answered_by_id, "") if one.answered_by_id else "",
        at=local(one.created_at).strftime("%Y-%m-%d %H:%M"),
        answered=local(one.answered_at).strftime("%Y-%m-%d %H:%M") if one.answered_at else "",
        may_answer=one.state == "open" and is_administrator() and may_answer(one),
        error=error,
    )


def _wanted(one: Any) -> list[tuple[str, str, str]]:
    """Of an answered request what was asked for; what was before is in the history of the person."""
    fields = fields_of(User)
    found = [(fields[name].title, "", getattr(one, f"new_{name}")) for name in FACTS if getattr(one, f"new_{name}")]
    if one.new_department_id is not None:
        found.append((_("Department"), "", titles(Department, [one.new_department_id]).get(one.new_department_id, "")))
    return found
