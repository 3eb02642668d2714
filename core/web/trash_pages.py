"""The trash on screens: what was deleted, by whom and when, and the way back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request

from core.context import local
from core.db import db
from core.errors import Asleep, Broken, Conflict, Invalid, Missing, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import model_label
from core.rules import may
from core.settings import setting
from core.trash import Deleted, deleted, kinds, restore
from core.undo import Clash
from core.undo_jobs import MOST_TOLD, stayed
from core.web.cells import record_url
from core.web.history import by_days, people
from core.web.lists import address
from core.web.shell import safe_next, say

trash_pages = Blueprint("trash_pages", __name__)
URL = "/trash"
MOST_NAMED = 3
"""So many things that could not come back are named where there is little room."""


@trash_pages.get("/trash")
def trash() -> str:
    """What was deleted, newest first; one kind of record or all."""
    known = {one.__tablename__: one for one in kinds()}
    chosen = request.args.get("model", "")
    text = request.args.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    entries, after = deleted(known.get(chosen), before)
    names = people(one.user_id for one in entries)
    told = [
        (
            one.at,
            SimpleNamespace(
                row=one.row, title=one.title, kind=model_label(one.model), who=names.get(one.user_id or 0) or _("The system"),
                time=local(one.at).strftime("%H:%M"), full=local(one.at).strftime("%Y-%m-%d %H:%M:%S"), moment=one.at.isoformat() + "Z",
                parts=ngettext("with %(count)s line", "with %(count)s lines", one.parts) if one.parts else "",
                may_restore=bool(may("create", one.model)),
            ),
        )
        for one in entries
    ]  # fmt: skip
    page = SimpleNamespace(
        url=URL, days=by_days(told), model=chosen if chosen in known else "", here=address(URL, model=chosen, before=before),
        models=sorted(((table, model_label(one, many=True)) for table, one in known.items()), key=lambda pair: pair[1]),
        kept=ngettext("Kept for %(count)s day.", "Kept for %(count)s days.", setting("trash.keep_days")),
        next_url=address(URL, model=chosen, before=after) if after else "", first_url=address(URL, model=chosen) if before else "",
    )  # fmt: skip
    return render_template("trash.html", page=page)


@trash_pages.post("/trash/<int:number>")
def back(number: int) -> Any:
    """Bring one back, with all that went along."""
    here = safe_next(URL)
    left: list[Clash] = []
    try:
        with db.session.begin_nested():
            record = restore(number, left)
    except (Asleep, Conflict, Refused, Invalid) as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(here)
    sentence = _("“%(title)s” is back.", title=str(record))
    say(" ".join([sentence, *stayed(left, MOST_NAMED)]), undo=True, sticky=bool(left))
    return redirect(record_url(type(record).__tablename__, record.id))


# -- over REST ------------------------------------------------------------------------------------------------------------


@trash_pages.get("/api/v1/_trash")
def api_list() -> Response:
    """What was deleted, newest first: ``model``, ``limit``, ``before`` (the mark ``next`` of another page)."""
    from core.web.api import number_of, only_known

    only_known(("model", "limit", "before"))
    known = {one.__tablename__: one for one in kinds()}
    name, text = request.args.get("model", ""), request.args.get("before", "")
    if name and name not in known:
        raise Missing(_("There are no such records, or they are not open to you."))
    if text and not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Broken(_("“%(name)s” takes a number.", name="before"))
    entries, after = deleted(known.get(name), int(text) if text else None, number_of("limit", 50, 500))
    return jsonify(result=[_json(one) for one in entries], next=after)


@trash_pages.post("/api/v1/_trash/<pk>")
def api_back(pk: str) -> Response:
    """Bring an entry back, with all that went along; the answer names the record, and what of it could not come back."""
    number = int(pk) if pk.isascii() and pk.isdigit() and len(pk) < 16 else 0
    left: list[Clash] = []
    record = restore(number, left)
    return jsonify(model=type(record).__tablename__, id=record.id, title=str(record), stayed=stayed(left, MOST_TOLD))


def _json(one: Deleted) -> dict[str, Any]:
    return {
        "row": one.row, "model": one.model.__tablename__, "record_id": one.record_id, "title": one.title,  # type: ignore[attr-defined]
        "at": one.at.isoformat() + "Z", "user": one.user_id, "lines": one.parts, "may_restore": bool(may("create", one.model)),
    }  # fmt: skip
