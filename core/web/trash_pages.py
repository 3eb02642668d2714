"""The trash on screens: what was deleted, by whom and when, and the way back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request

from core.context import local
from core.db import db
from core.errors import Conflict, Invalid, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import model_label
from core.rules import may
from core.settings import setting
from core.trash import deleted, kinds, restore
from core.web.cells import record_url
from core.web.history import day_label, people
from core.web.lists import address
from core.web.shell import safe_next, say

trash_pages = Blueprint("trash_pages", __name__)
URL = "/trash"


@trash_pages.get("/trash")
def trash() -> str:
    """What was deleted, newest first; one kind of record or all."""
    known = {one.__tablename__: one for one in kinds()}
    chosen = request.args.get("model", "")
    text = request.args.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    entries, after = deleted(known.get(chosen), before)
    names = people(one.user_id for one in entries)
    days: list[SimpleNamespace] = []
    for one in entries:
        if not days or days[-1].label != day_label(one.at):
            days.append(SimpleNamespace(label=day_label(one.at), entries=[]))
        days[-1].entries.append(
            SimpleNamespace(
                row=one.row, title=one.title, kind=model_label(one.model), who=names.get(one.user_id or 0) or _("The system"),
                time=local(one.at).strftime("%H:%M"), full=local(one.at).strftime("%Y-%m-%d %H:%M:%S"), moment=one.at.isoformat() + "Z",
                parts=ngettext("with %(count)s line", "with %(count)s lines", one.parts) if one.parts else "",
                may_restore=bool(may("create", one.model)),
            )
        )  # fmt: skip
    page = SimpleNamespace(
        url=URL, days=days, model=chosen if chosen in known else "", here=address(URL, model=chosen, before=before),
        models=sorted(((table, model_label(one, many=True)) for table, one in known.items()), key=lambda pair: pair[1]),
        kept=ngettext("Kept for %(count)s day.", "Kept for %(count)s days.", setting("trash.keep_days")),
        next_url=address(URL, model=chosen, before=after) if after else "", first_url=address(URL, model=chosen) if before else "",
    )  # fmt: skip
    return render_template("trash.html", page=page)


@trash_pages.post("/trash/<int:number>")
def back(number: int) -> Any:
    """Bring one back, with all that went along."""
    here = safe_next(URL)
    try:
        with db.session.begin_nested():
            record = restore(number)
    except (Conflict, Refused, Invalid) as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(here)
    say(_("“%(title)s” is back.", title=str(record)), undo=True)
    return redirect(record_url(type(record).__tablename__, record.id))
