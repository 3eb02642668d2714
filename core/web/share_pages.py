"""Sharing on screens: who has a share of a record, and opening one or many to people, departments and teams."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request

from core.bulk import AT_ONCE
from core.context import until_words
from core.db import db
from core.errors import Invalid, Problem, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import model_label
from core.options import option_label
from core.people import Department, MortiseUser, Team
from core.records import records
from core.rules import may
from core.sharing import RECIPIENTS, clean, end_share, share, shareable, shares_of
from core.titles import titles
from core.web.bulk_jobs import SHARE, queue
from core.web.bulk_pages import Chosen, asked, chosen, first_of, refuse_many
from core.web.cells import record_url
from core.web.shell import drawn, safe_next, say, say_queued
from core.web.views import View, view_at

share_pages = Blueprint("share_pages", __name__)
SHOWN = 8


def _view(table: str) -> View:
    view = view_at(table)
    model: Any = view.model
    if not shareable(model):
        raise Refused(_("You may not share %(label)s.", label=model_label(model, many=True)), may("share", model))
    return view


@share_pages.get("/<table>/<int:record_id>/_share")
def shares(table: str, record_id: int) -> str:
    """Who has a share of this record, and a form for more."""
    view = _view(table)
    record = records(view.model).get(record_id)
    if not (verdict := may("share", record)):
        raise Refused(_("You may not share “%(title)s” in this way; nothing was changed.", title=str(record)), verdict)
    back = f"/{table}/{record_id}"
    page = _page(view, Chosen(1, [record_id]), back, f"{back}/_share")
    page.title, page.kind, page.records = _("Share “%(title)s”", title=str(record)), "", []
    page.list_url, page.list_title, page.record_title = f"/{table}/", model_label(view.model, many=True), str(record)
    page.shares = _shares(record)
    return render_template("share.html", page=page)


@share_pages.post("/<table>/<int:record_id>/_share/<int:share_id>/end")
def end(table: str, record_id: int, share_id: int) -> Any:
    """Close what one share has opened."""
    view = _view(table)
    end_share(records(view.model).get(record_id, lock=True), share_id)
    say(_("The share has ended."), undo=True)
    return redirect(f"/{table}/{record_id}/_share")


@share_pages.post("/<table>/_share")
def share_many(table: str) -> Any:
    """Open the chosen records, or all that meet a filter by a job."""
    view = _view(table)
    choice = chosen(view, request.form, "_")
    back = safe_next(f"/{table}/", "_next")
    if sentence := refuse_many(view, choice):
        say(sentence, icon="info-circle")
        return redirect(back)
    return share_page(view, choice, back)


def share_page(view: View, choice: Chosen, back: str) -> Any:
    """The form, empty or with what was sent and what is wrong with it; or the deed."""
    page = _page(view, choice, back, back)
    if request.form.get("_step") != "apply":
        return asked("share.html", page)
    sent = {name: [int(one) if one.isascii() and one.isdigit() else one for one in page.sent[name]] for name in RECIPIENTS}
    try:
        values = clean(view.model, {**sent, "access": page.access, "until": page.until})
        if choice.large:
            until = values["until"].isoformat() if values["until"] else None
            question = {"filter": choice.filter, "search": choice.search, "last": choice.last, "total": choice.count}
            say_queued(queue(view, SHARE, **question, values={**values, "until": until}))
            return redirect(back)
        with db.session.begin_nested():
            done = share(view.model, choice.ids, values)
    except Invalid as problem:
        page.errors = problem.errors
        return drawn("share.html", page, problem.status)
    except Problem as problem:
        page.stops = problem.sentence
        return drawn("share.html", page, problem.status)
    if not done:
        say(_("They have this share already."), icon="info-circle")
    else:
        say(ngettext("%(count)s share was made.", "%(count)s shares were made.", done), undo=True)
    return redirect(back)


def _page(view: View, choice: Chosen, back: str, following: str) -> SimpleNamespace:
    model: Any = view.model
    table = model.__tablename__
    sent = {name: [one for one in request.form.getlist(name) if one][:200] for name in RECIPIENTS}
    found = first_of(view, choice, SHOWN)
    more = choice.count - len(found)
    return SimpleNamespace(
        title=ngettext("Share %(count)s record", "Share %(count)s records", choice.count),
        kind=model_label(model, many=True),
        records=[str(one) for one in found],
        more=ngettext("and %(count)s more", "and %(count)s more", more) if more > 0 else "",
        action_url=f"/{table}/_share",
        back_url=back,
        hidden=[*choice.carried("_"), ("_next", following)],
        sent=sent,
        fields=[_field(name, target, sent[name]) for name, target in RECIPIENTS.items() if may("read", target)],
        accesses=[(one, option_label("core_share.access", one)) for one in model.share_access],
        access=request.form.get("access", "read"),
        until=request.form.get("until", "")[:40],
        errors={},
        stops="",
        shares=[],
        large=choice.count > AT_ONCE,
    )


def _field(name: str, target: Any, sent: list[str]) -> SimpleNamespace:
    known = titles(target, [int(one) for one in sent if one.isascii() and one.isdigit() and len(one) < 11])
    label = {"users": _("People"), "departments": _("Departments"), "teams": _("Teams")}[name]
    named = {str(number): title for number, title in known.items()}
    options = [SimpleNamespace(key=one, label=named.get(one, f"#{one}" if one.isdigit() else one)) for one in sent]
    return SimpleNamespace(name=name, label=label, lookup_url=f"/{target.__tablename__}/_lookup", options=options)


def _shares(record: Any) -> list[SimpleNamespace]:
    found = []
    table = type(record).__tablename__
    for one in shares_of(record):
        for target, number in ((MortiseUser, one.user_id), (Department, one.department_id), (Team, one.team_id)):
            if number is not None:
                found.append(
                    SimpleNamespace(
                        whom=titles(target, [number]).get(number, f"#{number}"),
                        kind=model_label(target),
                        url=record_url(target.__tablename__, number),
                        access=option_label("core_share.access", one.access),
                        until=until_words(one.until),
                        end_url=f"/{table}/{record.id}/_share/{one.id}/end",
                    )
                )
    return found
