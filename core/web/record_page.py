"""The page of one record: what its template shows, and how a sent form is saved."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from sqlalchemy import func, select

from core import hooks
from core.context import actor, local
from core.db import db
from core.errors import Conflict, Invalid, Problem, Refused, Wrong
from core.files import store
from core.i18n import gettext as _
from core.i18n import t
from core.model import model_label
from core.prepare import alone
from core.records import records, titles
from core.rules import may, rights
from core.sharing import shareable
from core.web.facets import write_filter
from core.web.forms import RecordForm
from core.web.views import view_of

COUNTED = 1000
"""Beyond so many, the header of a record says “1,000+”; the list itself goes on counting."""


def save(form: RecordForm, record: Any = None) -> Any:
    """Write what the form holds through the gate; None when something has to be put right, told in the form."""
    values = form.values()
    if form.errors:
        _ask_the_gate(form, record, values)
        return None
    gate = records(form.view.model)
    try:
        # A failed write must leave nothing half done, while the page still has to be drawn from the same session.
        with db.session.begin_nested() if form.files else alone():
            values |= _files(form)
            return gate.create(values) if record is None else gate.edit(record, values)
    except Invalid as problem:
        form.take_errors(problem.errors)
    except (Conflict, Refused) as problem:
        form.top_errors.append(problem.sentence)
    if record is not None:
        db.session.refresh(record)
    return None


def _ask_the_gate(form: RecordForm, record: Any, values: dict[str, Any]) -> None:
    """Some fields are unreadable already: let the gate say what else is wrong, so that all is told at once."""
    try:
        with db.session.begin_nested() as attempt:
            gate = records(form.view.model)
            if record is None:
                gate.create(values)
            else:
                gate.edit(record, values)
            attempt.rollback()
    except Invalid as problem:
        form.take_errors({name: sentence for name, sentence in problem.errors.items() if name not in form.errors})
    except Problem as problem:
        form.top_errors.append(problem.sentence)
    if record is not None:
        db.session.refresh(record)


def _files(form: RecordForm) -> dict[str, Any]:
    """Uploaded files as ids of stored files, and None where one is taken away."""
    found: dict[str, Any] = {}
    for name, one in form.fields.items():
        if one.kind.name != "file" or name in form.locked:
            continue
        upload = form.files.get(name) if form.files else None
        if upload is not None and upload.filename:
            try:
                found[name] = store(upload.stream, upload.filename).id
            except Wrong as wrong:
                raise Invalid({name: str(wrong)}) from None
        elif form.sent is not None and form.sent.get(f"{name}-remove") == "1":
            found[name] = None
    return found


def record_page(form: RecordForm, *, next_url: str = "") -> SimpleNamespace:
    """What `form.html` shows."""
    view, record = form.view, form.record
    model, table = view.model, view.model.__tablename__
    one, many = model_label(model), model_label(model, many=True)
    here = f"/{table}/{record.id}" if record is not None else f"/{table}/new"
    page = SimpleNamespace(
        title=str(record) if record is not None else _("New: %(what)s", what=one),
        crumb=_("No. %(id)s", id=record.id) if record is not None else _("New"),
        subtitle=t(model.description) if record is None else "",
        list_url=f"/{table}/",
        list_title=many,
        record_id=record.id if record is not None else None,
        tags=[],
        facts=[],
        errors=form.error_list(),
        conflict=None,
        locked="",
        save_url=here,
        discard_url=here if record is not None else f"/{table}/",
        version=record.version if record is not None else "",
        seen=json.dumps(form.was, ensure_ascii=False),
        next=next_url,
        sections=form.shown(),
        related=[],
        notes=[],
        history_url="",
        why_url="",
        past_url="",
        share_url="",
        stamp=[],
        actions=[],
        delete_url="",
        bulk_url=f"/{table}/_bulk",
        may_save=True,
    )
    if record is None:
        return page
    verdict = may("edit", record)
    page.may_save = bool(verdict) and view.may_edit
    if not page.may_save:
        kept = _("This is kept by the house and only shown here.")
        page.locked = _("You may read this record, but not change it.") if view.may_edit else kept
        for section in page.sections:
            for field in section.fields:
                # The sentence above the form says it once; forty locks would say nothing more.
                field.control, field.locked, field.help, field.required = "output", "", "", False
    if form.clashes():
        page.conflict = SimpleNamespace(
            sentence=_("Somebody else changed the same fields while you were writing."), fields=form.comparison()
        )
    page.actions = [
        SimpleNamespace(name=each.name, label=t(each.label), icon=each.icon, danger=each.danger)
        for each in view.actions()
        if each.on_page and not view.withheld(each.name, record) and may(each.verb, record)
    ]
    page.delete_url = f"{here}/delete" if view.may_delete and may("delete", record) else ""
    panels = _panels(form)
    counts = _counts(panels, record.id)
    page.related = [_related(form, other, link, here, count) for (other, link), count in zip(panels, counts, strict=True)]
    page.notes = _notes(form)
    page.history_url = f"{here}/_history"
    page.why_url = f"{here}/_why"
    page.past_url = f"{here}/_past"
    page.share_url = f"{here}/_share" if shareable(model) and may("share", record) else ""
    page.stamp = _stamp(record)
    return page


def _answers(record: Any) -> list[Any]:
    """What the hook `panels` of the addons that are on gives for this record; asked once a request."""
    memo = actor().memo
    key = ("panels", type(record), record.id)
    if key not in memo:
        memo[key] = [each for answer in hooks.call("panels", type(record), record=record) for each in answer or []]
    return memo[key]


def _panels(form: RecordForm) -> list[tuple[type, Any]]:
    """The related lists of the view, then those that hooks add."""
    found = form.view.panel_links()
    for extra in _answers(form.record):
        if isinstance(extra, type):
            found += [pair for pair in form.view.links_from(extra) if pair not in found]
    return found


def _notes(form: RecordForm) -> list[SimpleNamespace]:
    """Panels that hooks have drawn themselves: objects with a title and HTML, whose author answers for it."""
    drawn = [*form.view.notes(form.record), *(one for one in _answers(form.record) if not isinstance(one, type))]
    return [SimpleNamespace(title=t(one.title), html=Markup(one.html)) for one in drawn]  # noqa: S704


def _counts(panels: list[tuple[Any, Any]], record_id: int) -> list[str]:
    """How many records each related list has for this person, as he reads it; one statement for all lists, each counted so far."""
    if not panels:
        return []
    parts = []
    for other, link in panels:
        reach = None if actor().system else rights().row_filter(other, "read")
        query = select(other.id).where(link.column(other) == record_id, *(() if reach is None else (reach,)))
        parts.append(select(func.count()).select_from(query.limit(COUNTED + 1).subquery()).scalar_subquery())
    found = db.session.execute(select(*parts), execution_options={"mortise_rules": False}).one()
    return [f"{COUNTED:,}+" if count > COUNTED else f"{count:,}" for count in found]


def _related(form: RecordForm, other: type, link: Any, here: str, count: str) -> SimpleNamespace:
    table, record = other.__tablename__, form.record  # type: ignore[attr-defined]
    one, many = model_label(other), model_label(other, many=True)
    several = sum(1 for each, _link in _panels(form) if each is other) > 1
    may_add = view_of(other).may_create and may("create", other) and (not link.part_of or may("edit", record))
    query = urlencode({link.name: record.id, "_next": here})
    return SimpleNamespace(
        id=f"related-{table}-{link.name}",
        title=f"{many} ({link.title})" if several else many,
        one_title=one,
        count=count,
        url=f"{here}/_related/{table}/{link.name}",
        list_url=f"/{table}/?{urlencode({'filter': write_filter({'field': link.name, 'op': 'is', 'value': record.id})})}",
        add_url=f"/{table}/new?{query}" if may_add else "",
    )


def _stamp(record: Any) -> list[tuple[str, str]]:
    from core.people import User

    names = titles(User, [record.created_by_id, record.changed_by_id])
    lines = []
    for label, moment, who in (
        (_("Created"), record.created_at, record.created_by_id),
        (_("Changed"), record.changed_at, record.changed_by_id),
    ):
        if moment is not None:
            lines.append((label, " ".join(filter(None, [local(moment).strftime("%Y-%m-%d %H:%M"), names.get(who)]))))
    return lines
