"""Imports in the browser: a file is sent, its columns are matched, a dry run tells, a job imports, and all of it can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from core.db import db
from core.errors import Broken, Busy, Conflict, Missing, Problem, Refused
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import model_label
from core.rules import may
from core.transfer import drafts
from core.transfer.facts import AT_WORK, Draft
from core.web import import_steps as steps
from core.web.export_pages import outlive
from core.web.import_rows import rows_page
from core.web.lists import may_import
from core.web.shell import drawn, safe_next, say
from core.web.views import View, view_at

imports = Blueprint("imports", __name__)
"""So many uploads of a session are remembered by the form they came from."""
KINDS = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
DEEDS: dict[str, Callable[[int], Draft]] = {
    "check": drafts.check_later, "run": drafts.run_later, "resume": drafts.resume, "cancel": drafts.cancel,
}  # fmt: skip
DONE_ALREADY = {
    "check": ("checking",), "run": ("queued", "running", "done"), "resume": ("queued", "running", "done"), "cancel": ("cancelled", "done"),
}  # fmt: skip
"""In these states a deed was done already: whoever sends its form once more is led to where it went."""


def _view(table: str) -> View:
    view = view_at(table)
    if not may_import(view):
        raise Refused(_("You may not import %(label)s.", label=model_label(view.model, many=True)), may("import", view.model))
    return view


def _import(table: str, import_id: int) -> tuple[View, Draft]:
    view, one = _view(table), drafts.draft(min(import_id, LARGEST_ID))
    if one.model != table:
        raise Missing(_("There is no such import, or it is not visible to you."))
    return view, one


# -- the file ---------------------------------------------------------------------------------------------------------


@imports.get("/<table>/_import")
def start(table: str) -> str:
    """Where a file is chosen, and where earlier imports are found again."""
    return render_template("import.html", page=steps.start_page(_view(table), before=_number(request.args.get("before"))))


@imports.post("/<table>/_import")
def upload(table: str) -> Any:
    """Take the file; a job reads it."""
    view = _view(table)
    given = request.files.get("file")
    try:
        if given is None or not given.filename:
            raise Broken(_("Please choose a file first."))
        one = drafts.begin(table, given.stream, given.filename)
    except (Broken, Busy) as problem:
        return drawn("import.html", steps.start_page(view, sentence=problem.sentence), problem.status)
    return redirect(steps.address_of(table, one.id))


@imports.get("/<table>/_import/template.<kind>")
def template(table: str, kind: str) -> Response:
    """An empty file with the firm's own columns and options."""
    view = _view(table)
    if kind not in KINDS:
        raise Missing(_("There is no page at this address."))
    name = _("%(label)s template", label=model_label(view.model, many=True))
    return _as_file(Response(drafts.template_file(table, kind), mimetype=KINDS[kind]), f"{table}-template.{kind}", f"{name}.{kind}")


# -- the import as it stands --------------------------------------------------------------------------------------------


@imports.get("/<table>/_import/<int:import_id>")
def show(table: str, import_id: int) -> Any:
    """An import where it is: at work, unreadable, waiting for its columns, tried, or over."""
    view, one = _import(table, import_id)
    if one.state in AT_WORK:
        return render_template("import_work.html", page=steps.work_page(view, one))
    if one.state == "broken" or not one.heading:
        return render_template("import_broken.html", page=steps.broken_page(view, one))
    if one.state == "draft" and not one.checked:
        return redirect(f"{steps.address_of(table, one.id)}/columns")
    return render_template("import_rows.html", page=rows_page(view, one, request.args.to_dict()))


@imports.get("/<table>/_import/<int:import_id>/_progress")
def progress(table: str, import_id: int) -> Any:
    """How far it is, as a piece of its page; once it is through, the page is to load itself anew."""
    view, one = _import(table, import_id)
    if one.state not in AT_WORK:
        return "", 200, {"HX-Refresh": "true"}
    return render_template("_import_progress.html", page=steps.work_page(view, one))


@imports.post("/<table>/_import/<int:import_id>/<any(check, run, resume, cancel):deed>")
def act(table: str, import_id: int, deed: str) -> Response:
    """Try it, import it, stop it, go on with it."""
    _view_of, one = _import(table, import_id)
    here = steps.address_of(table, one.id)
    if one.state in DONE_ALREADY[deed]:
        return redirect(here)
    try:
        with db.session.begin_nested():
            DEEDS[deed](one.id)
    except (Broken, Conflict) as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(f"{here}/columns" if isinstance(problem, Broken) else here)
    if deed == "cancel":
        say(_("It stops after the rows at hand."), icon="player-stop")
    return redirect(here)


@imports.post("/<table>/_import/<int:import_id>/forget")
def forget(table: str, import_id: int) -> Response:
    """Throw a draft away."""
    _view(table)
    try:
        with db.session.begin_nested():
            drafts.forget(_import(table, import_id)[1].id)
    except Missing:
        pass  # thrown away already, by the same form
    except Conflict as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(steps.address_of(table, import_id))
    else:
        say(_("The draft was thrown away; nothing of it was imported."), icon="trash")
    return redirect(f"/{table}/_import")


@imports.get("/<table>/_import/<int:import_id>/wrong.csv")
def wrong(table: str, import_id: int) -> Response:
    """The wrong rows with the reason of each, to be corrected in a spreadsheet and imported again."""
    _view_of, one = _import(table, import_id)
    stem = one.file_name.rpartition(".")[0] or one.file_name
    response = Response(outlive(drafts.wrong_file(one.id)), mimetype="text/csv")
    return _as_file(response, f"{table}-wrong.csv", _("%(file)s wrong rows", file=stem) + ".csv")


# -- columns ------------------------------------------------------------------------------------------------------------


@imports.route("/<table>/_import/<int:import_id>/columns", methods=["GET", "POST"])
def columns(table: str, import_id: int) -> Any:
    """Which column goes into which field, what tells known records, and what happens to those; then the dry run."""
    view, one = _import(table, import_id)
    here = steps.address_of(table, one.id)
    if one.state not in drafts.OPEN or not one.heading:
        return redirect(here)
    if request.method == "GET":
        return render_template("import_columns.html", page=steps.columns_page(view, one))
    sent = steps.Sent.of(request.form, len(one.heading))
    try:
        with db.session.begin_nested():
            drafts.choose(one.id, sent.mapping, keys=sent.keys, known=sent.known, day_order=sent.day_order)
            if one.batch_id is None:
                drafts.check_later(one.id)
    except Broken as problem:
        return drawn("import_columns.html", steps.columns_page(view, one, sent, problem.sentence), 422)
    except Conflict as problem:
        if drafts.draft(one.id).state != "checking":
            say(problem.sentence, icon="alert-triangle")
    return redirect(here)


@imports.post("/<table>/_import/<int:import_id>/heading")
def heading(table: str, import_id: int) -> Any:
    """Read the file anew with another line as its heading."""
    _view_of, one = _import(table, import_id)
    here = steps.address_of(table, one.id)
    line = 0 if request.form.get("none") else _number(request.form.get("line"))
    if line is None:
        say(_("Please write the number of the line that holds the headings."), icon="alert-triangle")
        return redirect(f"{here}/columns")
    if one.state != "reading":
        try:
            drafts.read_again(one.id, line)
        except Conflict as problem:
            say(problem.sentence, icon="alert-triangle")
    return redirect(here)


# -- wrong rows, and the way back ---------------------------------------------------------------------------------------


@imports.post("/<table>/_import/<int:import_id>/row/<int:line>")
def row(table: str, import_id: int, line: int) -> Response:
    """Correct one wrong row; then the next wrong one is open."""
    _view_of, one = _import(table, import_id)
    line, after = min(line, LARGEST_ID), _number(request.form.get("after"))
    texts = {
        place: request.form[f"cell-{place}"].replace("\r\n", "\n") for place in range(len(one.heading)) if f"cell-{place}" in request.form
    }
    try:
        with db.session.begin_nested():
            now = drafts.fix_row(one.id, line, texts)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
    else:
        if "refused" in (now.state, now.expected):
            say(_("Line %(line)s is not right yet; the sentences beside its fields say why.", line=line), icon="alert-triangle")
            return redirect(steps.row_address(one, line, after))
        said = _("Line %(line)s was imported.", line=line) if now.state != "waiting" else _("Line %(line)s can be imported now.", line=line)
        say(said)
    following = drafts.rows(one.id, "refused", after=line, limit=1) or drafts.rows(one.id, "refused", limit=1)
    if not following:
        return redirect(steps.row_address(one, None))
    wanted, last = following[0].line, _number(request.form.get("last")) or 0
    # The table stays where it is as long as the next row is on its page.
    return redirect(steps.row_address(one, wanted, after if (after or 0) < wanted <= last else wanted - 1))


@imports.route("/<table>/_import/<int:import_id>/revert", methods=["GET", "POST"])
def revert(table: str, import_id: int) -> Any:
    """Ask before a whole import is taken back, saying what has been changed since; then do it."""
    view, one = _import(table, import_id)
    here = steps.address_of(table, one.id)
    if one.state in ("reverting", "reverted"):
        return redirect(here)
    if request.method == "GET":
        return render_template("confirm.html", page=steps.revert_page(view, one))
    try:
        after = drafts.revert(one.id)
    except Conflict as problem:
        return drawn("confirm.html", steps.revert_page(view, one, problem.sentence), problem.status)
    if after.state == "reverted":
        count = one.created + one.changed
        say(ngettext("The import was undone: %(count)s record.", "The import was undone: %(count)s records.", count), icon="arrow-back-up")
    return redirect(safe_next(here))


def _as_file(response: Response, plain: str, name: str) -> Response:
    """Let a browser save the answer under ``name``; headers hold plain letters only, so that it is written as RFC 6266 says."""
    response.headers["Content-Disposition"] = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return response


def _number(text: Any) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
