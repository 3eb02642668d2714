"""The doors of export: the question first, a small list at once, a large one as a job, and the file when it is ready."""

from __future__ import annotations

import contextvars
import io
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, send_file
from werkzeug.wrappers import Response

from core.asof_list import count_then, page_then, read_day
from core.context import acting, actor, today
from core.db import db
from core.errors import Broken, Refused
from core.fields import LARGEST_ID
from core.filters import filter_fields
from core.i18n import gettext as _
from core.i18n import ngettext
from core.job_list import job_memory
from core.listing import MOST_COUNTED
from core.model import model_label
from core.preferences import chosen_columns
from core.rules import may
from core.web.facets import facets, read_filter, write_filter
from core.web.lists import address
from core.web.shell import safe_next, say
from core.web.views import View

exports = Blueprint("exports", __name__)
AT_ONCE = {"csv": 5000, "xlsx": 2000}
"""So many rows are written while the person waits; more are a job. A workbook takes about three times as long as CSV."""
MOST_TICKED = 5000
MEDIA_TYPES = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


@exports.get("/<table>/_export")
def stream(table: str) -> Response:
    """The list as CSV, streamed: what it shows, in its order; fields of the address (``fields=name``) or all that the person sees."""
    view = _view(table)
    given = request.args
    return csv_answer(view.model, _tree(given), _words(given), _order(view, given), given.getlist("fields"), day=_day(given))


@exports.route("/<table>/_export/ask", methods=["GET", "POST"])
def ask(table: str) -> str:
    """What to export: format, columns, rows; with the number of rows. Posted by the bulk bar with what is ticked."""
    db.read_only()
    return render_template("export.html", page=_question(_view(table), request.values))


@exports.post("/<table>/_export")
def write(table: str) -> Any:
    """Export what was asked for: a small list at once, a large one as a job."""
    # Whether it can be, and how long it is, is asked by reading: on SQLite nobody has to wait for that.
    db.read_only()
    view, form = _view(table), request.form
    model, ending = view.model, form.get("format", "csv")
    if ending not in AT_ONCE:
        raise Broken(_("Please choose CSV or Excel."))
    from core.listing import page
    from core.transfer.exporting import export_fields

    names = [one.name for one in export_fields(model, _fields(view, form))]
    day = _day(form)
    ids = _ticked(form) if form.get("rows") == "ticked" and day is None else None
    if ids == []:
        raise Broken(_("Please select records first."))
    asked: dict[str, Any] = {"filter": _tree(form), "search": _words(form), "order": _order(view, form)} if ids is None else {"ids": ids}
    # A filter or an order that there is not is told now, not by a job that fails later.
    question = asked.get("filter"), asked.get("search"), asked.get("order") or "id"
    if day is None:
        page(model, *question, limit=1, count=False, columns=[])
    else:
        page_then(model, day, *question, limit=1, count=False, columns=["id"])
    _count, more = _count_of(model, day, *question[:2], ids, AT_ONCE[ending])
    if more:
        from core.transfer.export_jobs import write_export

        db.remove()
        write_export.later(table=table, ending=ending, fields=names, **asked, **({"as_of": day.isoformat()} if day else {}))
        say(_("The export runs in the background; its file waits for you there."), icon="clock", link=("/jobs/", _("Have a look")))
        return redirect(safe_next(f"/{table}/"))
    if ending == "csv":
        return csv_answer(model, fields=names, day=day, **asked)
    from core.transfer import run_export

    with tempfile.TemporaryDirectory() as folder:
        told = run_export(table, Path(folder) / f"{table}.xlsx", fields=names, day=day, **asked)
        content = io.BytesIO(told.path.read_bytes())
    name = f"{table}-{(day or today()).isoformat()}.xlsx"
    return send_file(content, mimetype=MEDIA_TYPES["xlsx"], as_attachment=True, download_name=name)


@exports.get("/jobs/<int:job_id>/file")
def fetch(job_id: int) -> Response:
    """The file that an export left, for whoever asked for it."""
    from core.transfer.export_jobs import export_file

    job_id = min(job_id, LARGEST_ID)
    memory, user_id = job_memory(job_id)
    found = export_file(job_id, memory, user_id)
    ending = found.path.suffix[1:]
    return send_file(found.path, mimetype=MEDIA_TYPES[ending], as_attachment=True, download_name=found.name, max_age=0)


def csv_answer(
    model: type, filter: Any = None, search: str | None = None, order: str | None = None, fields: Any = (), ids: Any = None,
    day: date | None = None,
) -> Response:  # fmt: skip
    """Records as a streamed CSV file, with ``day`` as they were at its end."""
    from core.transfer.exporting import csv_lines, export_rows

    rows = export_rows(model, filter=filter, search=search, order=order, fields=fields, ids=ids, day=day)
    response = Response(outlive(csv_lines(rows)), mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=f"{model.__tablename__}-{(day or today()).isoformat()}.csv")
    return response


def outlive(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give out ``pieces`` after the request has ended: with a session of its own, still as the same person."""
    app, who = current_app._get_current_object(), replace(actor(), memo={})  # type: ignore[attr-defined]

    def flow() -> Generator[bytes, None, None]:
        with app.app_context(), acting(who):
            db.read_only()
            try:
                yield from pieces
            finally:
                db.remove()

    def walk() -> Iterator[bytes]:
        # The server may ask for each piece from another place: the request's own context is gone, so the flow brings one along.
        own, steps = contextvars.Context(), flow()
        try:
            while (piece := own.run(next, steps, None)) is not None:
                yield piece
        finally:
            own.run(steps.close)

    return walk()


# -- the question -----------------------------------------------------------------------------------------------------


def _view(table: str) -> View:
    from core.web.views import view_at

    view = view_at(table)
    if not (verdict := may("export", view.model)):
        raise Refused(_("You may not export %(label)s.", label=model_label(view.model, many=True)), verdict)
    return view


def _tree(given: Any) -> Any:
    return read_filter(given.get("filter"))


def _day(given: Any) -> date | None:
    return read_day(given["as_of"]) if given.get("as_of") else None


def _count_of(model: Any, day: date | None, tree: Any, words: str | None, ids: list[int] | None, most: int) -> tuple[int, bool]:
    from core.transfer.exporting import count_rows

    return count_rows(model, tree, words, ids, most) if day is None else count_then(model, day, tree, words, most, verb="export")


def _words(given: Any) -> str | None:
    return (given.get("q") or "").strip()[:200] or None


def _order(view: View, given: Any) -> str:
    """The order of the rows: the one that was chosen, else the one in which the list shows them anyway."""
    return given.get("order") or view.order or "-id"


def _ticked(form: Any) -> list[int]:
    found = [int(one) for one in form.getlist("ids") if one.isascii() and one.isdigit() and len(one) < 11]
    if len(found) > MOST_TICKED:
        raise Broken(_("That are more than %(count)s records. Please narrow the list by a filter first.", count=MOST_TICKED))
    return found


def _shown(view: View) -> list[str]:
    return [one.name for one in view.column_fields(chosen_columns(view.model.__tablename__))]


def _fields(view: View, form: Any) -> list[str]:
    """The fields asked for: those the list shows, those chosen; none means all."""
    wanted = form.get("columns", "all")
    if wanted == "chosen":
        if not (chosen := form.getlist("fields")):
            raise Broken(_("Please choose at least one column."))
        return list(chosen)
    return _shown(view) if wanted == "shown" else []


def _question(view: View, given: Any) -> SimpleNamespace:
    model, table, tree, day = view.model, view.model.__tablename__, _tree(given), _day(given)
    from core.transfer.exporting import count_rows

    count, more = _count_of(model, day, tree, _words(given), None, MOST_COUNTED)
    ids = [] if given.get("all") or day else _ticked(given)
    ticked = count_rows(model, ids=ids)[0] if ids else 0
    shown, known = set(_shown(view)), filter_fields(model)
    columns = [
        SimpleNamespace(name=name, label=one.title, shown=name in shown)
        for name, one in known.items()
        if one.kind.name not in ("json", "file")
    ]
    # As an export of all columns has them; what the house writes itself comes last, since few want it.
    rank = {model.title_field: -1, "owner": 1, "department": 1}
    columns.sort(key=lambda one: (known[one.name].system, rank.get(one.name, 0)))
    total = f"{count:,}" + ("+" if more else "")
    state = {"filter": write_filter(tree), "q": _words(given) or "", "order": given.get("order") or ""}
    state["as_of"] = day.isoformat() if day else ""
    return SimpleNamespace(
        title=_("Export %(label)s", label=model_label(model, many=True)),
        action_url=f"/{table}/_export",
        back_url=address(f"/{table}/", **state),
        **state,
        ids=ids,
        facets=facets(tree, known),
        columns=columns,
        all_text=ngettext("%(total)s record of this list", "All %(total)s records of this list", count, total=total),
        ticked_text=ngettext("%(count)s record that you selected", "%(count)s records that you selected", ticked),
        none=not ticked and not count,
        large=f"{AT_ONCE['csv']:,}",
    )
