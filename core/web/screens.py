"""The generic screens: list, form, deletion, bulk actions, related lists, lookups; one set of routes for every model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response

from core.db import db
from core.errors import Conflict, Invalid, Missing, Problem, Refused
from core.filters import filter_fields
from core.guard import refusal
from core.i18n import gettext as _
from core.i18n import listed, ngettext, t
from core.journal import write
from core.model import model_label, models
from core.preferences import prefer_columns, share_columns
from core.reading import PRINT, saw
from core.records import records
from core.rules import may
from core.settings import Setting
from core.titles import titles
from core.web.bulk_jobs import EDIT, SHARE, act, queue
from core.web.bulk_pages import AT_ONCE, asked, chosen, edit_page, first_of, refuse_many
from core.web.forms import RecordForm
from core.web.history import history_page
from core.web.lists import list_actions, list_page, may_create, more_rows, related_page
from core.web.record_page import record_page, save
from core.web.share_pages import share_page
from core.web.shell import drawn, safe_next, say, say_queued
from core.web.views import View, view_at, view_of

screens = Blueprint("screens", __name__)
SHOWN_BY_NAME = 10
"""So many new records of a session are remembered by the form they came from."""


@screens.get("/<table>/")
def listing(table: str) -> str:
    """The list."""
    # A form sends one “group” for each of its menus, an address of ours holds them all in one.
    query = request.args.to_dict() | {"group": ",".join(request.args.getlist("group"))}
    return render_template("list.html", page=list_page(view_at(table), query))


@screens.get("/<table>/_rows")
def rows(table: str) -> str:
    """The rows of a group that was unfolded, as a piece of the list."""
    return render_template("_group_rows.html", page=more_rows(view_at(table), request.args.to_dict()))


@screens.post("/<table>/_columns")
def columns(table: str) -> Response:
    """Keep the columns this person wants to see in this list, in his order; an administrator may choose them for everybody."""
    view = view_at(table)
    known = view.fields()
    chosen = [name for name in request.form.getlist("columns") if name in known] if not request.form.get("reset") else []
    if request.form.get("shared"):
        if not (verdict := may("edit", Setting)):
            raise Refused(_("Only an administrator chooses the columns of everybody."), verdict)
        share_columns(table, chosen)
        say(_("Whoever has chosen no columns sees these now."))
    prefer_columns(table, [] if request.form.get("shared") else chosen)
    return redirect(safe_next(f"/{table}/"))


@screens.route("/<table>/new", methods=["GET", "POST"])
def new(table: str) -> Any:
    """A new record; values in the address fill the first fields."""
    view = view_at(table)
    if not may_create(view):
        raise Refused(_("You may not make %(many)s here.", many=model_label(view.model, many=True)), may("create", view.model))
    given = _given(view) if request.method == "GET" else {}
    form = RecordForm(view, sent=request.form if request.method == "POST" else None, files=request.files, given=given)
    if request.method == "POST" and (record := save(form)) is not None:
        say(_("“%(title)s” was made.", title=str(record)), undo=True)
        return redirect(safe_next(f"/{table}/{record.id}", "_next"))
    page = record_page(form, next_url=request.values.get("_next", ""))
    return drawn("form.html", page, 422 if request.method == "POST" else 0)


@screens.route("/<table>/<int:record_id>", methods=["GET", "POST"])
def form(table: str, record_id: int) -> Any:
    """One record: to read, and to change on the same page."""
    view = view_at(table)
    record = records(view.model).get(record_id, lock=request.method == "POST")
    made = RecordForm(view, record, sent=request.form if request.method == "POST" else None, files=request.files)
    status = 0
    if request.method == "POST":
        clashes = bool(made.clashes())
        if not clashes and save(made, record) is not None:
            say(_("“%(title)s” was saved.", title=str(record)), undo=True)
            return redirect(safe_next(f"/{table}/{record_id}", "_next"))
        status = 409 if clashes else 422
        saw(view.model, (record_id,))
    page = record_page(made)
    return drawn("form.html", page, status)


@screens.post("/<table>/_printed")
def list_printed(table: str) -> Any:
    """The list goes to the printer, by the browser's own command."""
    model = view_at(table).model
    if not (verdict := may("read", model)):
        raise Refused(refusal("read", model), verdict)
    write(table, 0, PRINT, {})
    return jsonify(printed=True)


@screens.post("/<table>/<int:record_id>/_printed")
def printed(table: str, record_id: int) -> Any:
    """The page of a record goes to the printer, by the browser's own command."""
    write(table, records(view_at(table).model).get(record_id).id, PRINT, {})
    return jsonify(printed=True)


@screens.route("/<table>/<int:record_id>/delete", methods=["GET", "POST"])
def delete(table: str, record_id: int) -> Any:
    """Ask before a record is deleted, showing what goes along; then delete it."""
    view = view_at(table)
    gate = records(view.model)
    record = gate.get(record_id, lock=request.method == "POST")
    if not (verdict := may("delete", record)):
        # The question already tells how many records, hidden ones too, hang on this one.
        raise Refused(refusal("delete", view.model), verdict)
    if request.method == "POST":
        title = str(record)
        try:
            with db.session.begin_nested():
                gate.delete(record)
        except (Invalid, Conflict) as problem:
            return drawn("confirm.html", _deletion(view, [record], stops=problem.sentence), problem.status)
        say(_("“%(title)s” was deleted.", title=title), undo=True)
        return redirect(f"/{table}/")
    return render_template("confirm.html", page=_deletion(view, [record]))


@screens.post("/<table>/_bulk")
def bulk(table: str) -> Any:
    """Do something with several records at once: first the question, if there is one, then the deed."""
    view = view_at(table)
    name = request.form.get("action", "")
    if name not in {one.name for one in list_actions(view)}:
        raise Missing(_("There is no such action here, or it is not open to you."))
    back = safe_next(f"/{table}/")
    choice = chosen(view, request.form)
    if sentence := refuse_many(view, choice):
        say(sentence, icon="info-circle")
        return redirect(back)
    if name == EDIT:
        return edit_page(view, choice, back)
    if name == SHARE:
        return share_page(view, choice, back)
    ids = choice.ids
    action = next((one for one in view.actions() if one.name == name), None)
    if choice.large and getattr(getattr(action, "function", None), "sticky", False):
        say(_("This is done with at most %(count)s records at once. Please narrow the list by a filter first.", count=AT_ONCE))
        return redirect(back)
    question = action.confirm if action else True
    if (question or choice.large) and not request.form.get("confirmed"):
        found = first_of(view, choice, SHOWN_BY_NAME if choice.large else AT_ONCE)
        page = _deletion(view, found, many=choice.count) if action is None else _question(view, action, found, choice.count)
        page.hidden = [("action", name), ("confirmed", "1"), ("next", request.form.get("next", "")), *choice.carried()]
        page.back_url = back
        if choice.large:
            page.foot = _("This goes on in the background, and can be undone as a whole.")
        return asked("confirm.html", page)
    if choice.large:
        say_queued(queue(view, name, filter=choice.filter, search=choice.search, last=choice.last, total=choice.count))
        return redirect(back)
    try:
        # All or nothing: what a refusal in the middle left behind is taken back before the page says why.
        with db.session.begin_nested():
            said = _delete_all(view, ids) if action is None else act(view, action, ids)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(back)
    sticky = bool(getattr(action.function, "sticky", False)) if action else False
    say(said, undo=not sticky, sticky=sticky)
    return redirect(f"/{table}/" if action is None and back.startswith(f"/{table}/{ids[0]}") else back)


def _delete_all(view: View, ids: list[int]) -> str:
    count = records(view.model).delete_many(ids)
    return ngettext("%(count)s record was deleted.", "%(count)s records were deleted.", count)


def _question(view: View, action: Any, found: list[Any], many: int) -> SimpleNamespace:
    page = _named(view, found, many)
    page.title = page.yes = t(action.label)
    page.question = t(action.confirm) if action.confirm else _("%(what)s?", what=t(action.label))
    page.sentence = ngettext("This is meant for %(count)s record.", "This is meant for %(count)s records.", many)
    page.danger = action.danger
    return page


def _named(view: View, found: list[Any], many: int = 0) -> SimpleNamespace:
    table = view.model.__tablename__
    more = max(many, len(found)) - SHOWN_BY_NAME
    return SimpleNamespace(
        title="",
        question="",
        sentence="",
        records=[str(one) for one in found[:SHOWN_BY_NAME]],
        along=[],
        stops="",
        foot="",
        danger=False,
        yes="",
        more=ngettext("and %(count)s more", "and %(count)s more", more) if more > 0 else "",
        hidden=[],
        action_url=f"/{table}/_bulk",
        back_url=f"/{table}/",
    )


def _deletion(view: View, found: list[Any], *, stops: str = "", many: int = 0) -> SimpleNamespace:
    """The question before a deletion, with everything that goes along, is let go, or stands in the way."""
    from core.context import system
    from core.deletion import along

    page = _named(view, found, many)
    page.title = page.yes = _("Delete")
    page.danger, page.stops = True, stops
    if not many and found:
        page.question = _("Delete “%(title)s”?", title=str(found[0]))
        page.records = []
        page.action_url = f"/{view.model.__tablename__}/{found[0].id}/delete"
        page.back_url = f"/{view.model.__tablename__}/{found[0].id}"
    else:
        page.question = ngettext("Delete %(count)s record?", "Delete %(count)s records?", many)
    closed = next((one for one in found if not may("delete", one)), None)
    if closed is not None:
        page.stops = _("Not all of these records are open to you; nothing was changed. The first is “%(title)s”.", title=str(closed))
    if page.stops or many > len(found):
        return page
    with system("what a deletion takes along"):
        doomed, cleared, blocking = along(found)
        mine = {(type(one), one.id) for one in found}
        page.along = [
            *_counted([one for one in doomed if (type(one), one.id) not in mine], "trash", _("deleted with it")),
            *_counted([one for one, _link in cleared], "unlink", _("stay, without this link")),
        ]
        kinds = sorted({model_label(type(one), many=True) for one, _link in blocking})
    if kinds:
        page.stops = _(
            "This cannot be deleted: %(count)s records of %(names)s need it. Move or delete those first.",
            count=len(blocking),
            names=listed(kinds),
        )
    return page


def _counted(found: list[Any], icon: str, sentence: str) -> list[SimpleNamespace]:
    counts: dict[type, int] = {}
    for one in found:
        counts[type(one)] = counts.get(type(one), 0) + 1
    return [
        SimpleNamespace(icon=icon, title=model_label(model, many=True), count=count, sentence=sentence) for model, count in counts.items()
    ]


# -- pieces that pages fetch ----------------------------------------------------------------------------------------------


@screens.get("/<table>/<int:record_id>/_related/<other>/<link>")
def related(table: str, record_id: int, other: str, link: str) -> str:
    """A related list, as a piece of the record's page."""
    view = view_at(table)
    records(view.model).get(record_id)
    linking = models().get(other)
    pair = next((one for one in (view.links_from(linking) if linking is not None else []) if one[1].name == link), None)
    if pair is None:
        raise Missing(_("There is no such list here, or it is not open to you."))
    page = related_page(view_of(pair[0]), pair[1], record_id)
    page.id = f"related-{other}-{link}"
    return render_template("_related.html", page=page)


@screens.get("/<table>/<int:record_id>/_history")
def history(table: str, record_id: int) -> str:
    """The history of one record, as a piece of its page."""
    view = view_at(table)
    record = records(view.model).get(record_id)
    limit = request.args.get("limit", "", type=str)
    return render_template(
        "_history.html",
        page=history_page(view, record, min(int(limit), 500) if limit.isascii() and limit.isdigit() and len(limit) < 5 else 20),
    )


@screens.get("/<table>/_lookup")
def lookup(table: str) -> Response:
    """Records to choose from while somebody types: at most twenty, never all."""
    view = view_at(table)
    words = request.args.get("q", "").strip()[:100]
    gate, title = records(view.model), view.model.title_field
    known = filter_fields(view.model)
    order = title if title in known and known[title].kind.name not in ("long", "json") else "id"
    tree = None
    if words and title in known and not any(one.search for one in known.values()) and "contains" in known[title].kind.ops:
        tree, words = {"field": title, "op": "contains", "value": words}, ""
    found = gate.find(filter=tree, search=words or None, order=None if words else order, limit=20, count=False, columns=[])
    ids = [one.id for one in found.rows]
    names = titles(view.model, ids)
    return jsonify(results=[{"id": one, "title": names.get(one, f"#{one}")} for one in ids])


def _given(view: View) -> dict[str, Any]:
    """Values of the address for a new record (``?client=3``); what does not fit is left out."""
    found: dict[str, Any] = {}
    known = view.fields()
    for name, text in request.args.items():
        if name in known:
            try:
                found[name] = known[name].clean(text)
            except ValueError:
                continue
    return found
