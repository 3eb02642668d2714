"""What a record was: two moments side by side, chosen by sliders, and the way back for fields, lines or all of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request
from sqlalchemy import select

from core.context import local
from core.custom import spent_names
from core.db import db
from core.errors import Problem, Refused
from core.fields import Field
from core.files import File
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import model_label
from core.past import Moment, Past, Values, is_gone, moments, pasts
from core.past_back import changed_meanwhile, differing, restore
from core.records import records
from core.rules import may, rights, visible_ids
from core.web.cells import change_texts, linked_in, names_of_files
from core.web.history import day_label, people, seen_parts, stored_ids
from core.web.lists import address
from core.web.shell import say
from core.web.views import view_at, view_of

past_pages = Blueprint("past_pages", __name__)


@past_pages.get("/<table>/<int:record_id>/_past")
def past(table: str, record_id: int) -> str:
    """The record as it was after one of its changes, beside what it is now or was after another one."""
    view = view_at(table)
    record = records(view.model).get(record_id)
    return render_template("past.html", page=_page(view, record))


@past_pages.post("/<table>/<int:record_id>/_past")
def back(table: str, record_id: int) -> Any:
    """Bring back what was chosen: ``all``, or the names in ``field`` and the lines in ``line`` (``table:id``)."""
    view = view_at(table)
    record = records(view.model).get(record_id, lock=True)
    if not (verdict := may("edit", record)):
        raise Refused(_("You may not change “%(title)s”.", title=str(record)), verdict)
    row = _number(request.form.get("row", ""))
    here = address(f"/{table}/{record_id}/_past", row=row)
    # What has changed since the page was shown is looked at first, and not overwritten unseen.
    newest = moments(view.model, record_id, seen_parts(view.model))[-1:]
    if newest and newest[0].row != _number(request.form.get("now", str(newest[0].row))):
        say(changed_meanwhile(), icon="alert-triangle")
        return redirect(here)
    names: list[str] | None = None
    lines: list[tuple[str, int]] | None = None
    if not request.form.get("all"):
        names = request.form.getlist("field")
        pairs = [one.rpartition(":") for one in request.form.getlist("line")]
        lines = [(kind, _number(number)) for kind, _colon, number in pairs]
        if not names and not lines:
            say(_("Nothing was chosen. Tick what is to be as it was."), icon="info-circle")
            return redirect(here)
    try:
        with db.session.begin_nested():
            count = restore(record, row, names, lines)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(here)
    told = ngettext("%(count)s thing is as it was.", "%(count)s things are as they were.", count)
    say(told if count else _("Nothing had to be changed."), undo=bool(count))
    return redirect(f"/{table}/{record_id}")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _page(view: Any, record: Any) -> SimpleNamespace:
    model, table = view.model, view.model.__tablename__
    parts = seen_parts(model)
    known = moments(model, record.id, parts)
    page = SimpleNamespace(
        title=_("Earlier states of “%(title)s”", title=str(record)), list_url=f"/{table}/", list_title=model_label(model, many=True),
        record_url=f"/{table}/{record.id}", record_title=str(record), url=f"/{table}/{record.id}/_past", last=len(known) - 1,
        one=None, other=None, changed=[], same=[], lines=[], gone=False, may_restore=False, now=0, before_url="", after_url="",
    )  # fmt: skip
    if not known:
        return page
    first = _place(known, request.args.get("row"), request.args.get("n"), max(0, len(known) - 2))
    second = _place(known, request.args.get("with"), request.args.get("m"), len(known) - 1)
    then, here = pasts(model, record.id, [known[first].row, known[second].row], parts)
    names = people([known[first].user_id, known[second].user_id])
    page.now = known[-1].row
    page.one, page.other = _moment(known, first, names), _moment(known, second, names)
    page.gone = then.values is None or here.values is None
    now = second == len(known) - 1
    beside = {} if now else {"with": known[second].row}
    page.before_url = address(page.url, row=known[first - 1].row, **beside) if first else ""
    page.after_url = address(page.url, row=known[first + 1].row, **beside) if first < page.last else ""
    page.may_restore = now and not page.gone and bool(may("edit", record))
    page.changed, page.same = _fields(model, view.fields(), then.values or {}, here.values or {}, page.may_restore)
    page.lines = [made for other, link in parts if (made := _lines(other, link, then, here)).rows]
    return page


def _place(known: list[Moment], row: str | None, place: str | None, otherwise: int) -> int:
    """Which moment the address means: by a number of the journal, the newest that is not after it, or by its place on the slider."""
    if row:
        return max((place for place, one in enumerate(known) if one.row <= _number(row)), default=0)
    return min(_number(place), len(known) - 1) if place else otherwise


def _moment(known: list[Moment], place: int, names: dict[int, str]) -> SimpleNamespace:
    one = known[place]
    when = _("%(day)s %(time)s", day=day_label(one.at), time=local(one.at).strftime("%H:%M"))
    return SimpleNamespace(
        place=place, row=one.row, when=when, full=local(one.at).strftime("%Y-%m-%d %H:%M:%S"),
        who=names.get(one.user_id or 0) or _("The system"), now=place == len(known) - 1,
        erased=any(later.erased for later in known[place + 1 :]),
    )  # fmt: skip


def _fields(
    model: type, seen: dict[str, Field], then: Values, here: Values, may_restore: bool
) -> tuple[list[SimpleNamespace], list[SimpleNamespace]]:
    """(what differs, what is the same), fields that the person may see; of fields that are gone only administrators learn."""
    shown = {name: one for name, one in seen.items() if name in then or name in here}
    pairs = {name: [then.get(name), here.get(name)] for name in shown}
    linked = linked_in(shown, [pairs])
    texts = {name: change_texts(model, {name: pair}, shown, linked)[0] for name, pair in pairs.items()}
    gate, changes = records(model), set(differing(model, then, here))
    files = stored_ids(File, [each for name, one in shown.items() if one.kind.name == "file" for each in pairs[name] if each])
    changed, same = [], []
    for name, one in shown.items():
        line = SimpleNamespace(name=name, label=texts[name]["label"], then=texts[name]["old"], here=texts[name]["new"], pick=False)
        line.then_url, line.here_url = (_file_url(one, value, files) for value in pairs[name])
        if pairs[name][0] == pairs[name][1]:
            same.append(line)
            continue
        line.pick = may_restore and name in changes and gate.writable(name, one) is None
        changed.append(line)
    if rights().level in ("administrator", "system_administrator"):
        changed += _gone_fields(model, then, here)
    return changed, same


def _file_url(one: Field, value: Any, files: set[int]) -> str:
    """Where the file of then is to be had, as long as it is there; its own door asks the rights once more."""
    return f"/file/{value}" if one.kind.name == "file" and value in files else ""


def _gone_fields(model: type, then: Values, here: Values) -> list[SimpleNamespace]:
    names = [name for name in dict.fromkeys((*then, *here)) if is_gone(model, name)]
    if not names:
        return []
    # What kind a field was is known for good, since no other may have its name.
    spent = spent_names.c
    asked = select(spent.name).where(spent.model == model.__tablename__, spent.kind == "file", spent.name.in_(names))  # type: ignore[attr-defined]
    of_files = set(db.session.execute(asked).scalars())
    ids = [value for name in of_files for value in (then.get(name), here.get(name)) if isinstance(value, int)]
    called, stored = names_of_files(ids), stored_ids(File, ids)
    lines = []
    for name in names:
        one, other = then.get(name), here.get(name)
        line = SimpleNamespace(name=name, label=_("%(name)s (a field that is gone)", name=name), pick=False)
        line.then, line.here = (called.get(each, _raw(each)) if name in of_files else _raw(each) for each in (one, other))
        line.then_url, line.here_url = (f"/file/{each}" if name in of_files and each in stored else "" for each in (one, other))
        lines.append(line)
    return lines


def _raw(value: Any) -> str:
    return "" if value is None else str(value)[:200]


def _lines(other: Any, link: Field, then: Past, here: Past) -> SimpleNamespace:
    """How the lines of one kind differ; those out of the person's reach now are left out."""
    before, after = then.parts.get(other, {}), here.parts.get(other, {})
    differ = [one for one in sorted({*before, *after}) if before.get(one) != after.get(one)]
    stored = stored_ids(other, differ)
    hidden = stored - visible_ids(other, stored)
    seen = {name: one for name, one in view_of(other).fields().items() if name != link.name}
    facts = {
        one: {name: [before.get(one, {}).get(name), after.get(one, {}).get(name)] for name in seen}
        for one in differ
        if one not in hidden
    }
    linked = linked_in(seen, list(facts.values()))
    rows = []
    for one, pairs in facts.items():
        told = change_texts(other, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}, seen, linked)
        title = next((value for value in pairs.get(other.title_field, [None, None])[::-1] if value), None) or f"#{one}"
        kind = "gone" if one not in after else "new" if one not in before else "changed"
        rows.append(SimpleNamespace(id=one, pick=f"{other.__tablename__}:{one}", title=str(title), kind=kind, changes=told))
    kept = len([one for one in before if before.get(one) == after.get(one)])
    same = ngettext("%(count)s is the same.", "%(count)s are the same.", kept) if kept else ""
    return SimpleNamespace(title=model_label(other, many=True), rows=rows, same=same)

