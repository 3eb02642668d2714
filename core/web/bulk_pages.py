"""Many records at once: whom it is meant for, the question with the exact number, and a new value with a look at what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request

from core.bulk import AT_ONCE, frozen, named, next_ids, refusals
from core.db import db
from core.errors import Problem, Refused
from core.fields import Field
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import model_label
from core.options import retired_choices
from core.records import records
from core.rules import may, visible_ids
from core.web.bulk_jobs import EDIT, edit, queue
from core.web.cells import Shown
from core.web.facets import read_filter, write_filter
from core.web.forms import RecordForm
from core.web.shell import drawn, safe_next, say, say_queued
from core.web.views import View, view_at

bulk_pages = Blueprint("bulk_pages", __name__)
SHOWN = 8
NEVER = ("file", "formula", "json")
"""Kinds of fields that are not given to many records alike."""


@dataclass
class Chosen:
    """Whom a bulk action is meant for: the ids, or a frozen filter when these are too many to wait for."""

    count: int
    ids: list[int]
    filter: Any = None
    search: str | None = None
    last: int = 0
    at_least: bool = False
    """More were ticked than may be done at once."""

    @property
    def large(self) -> bool:
        """Is this work for a job?"""
        return self.count > len(self.ids)

    def carried(self, prefix: str = "") -> list[tuple[str, str]]:
        """The choice as hidden fields of the next form."""
        if not self.large:
            return [(f"{prefix}ids", str(one)) for one in self.ids]
        told = {"all": "1", "filter": write_filter(self.filter), "q": self.search or "", "last": self.last, "count": self.count}
        return [(prefix + name, str(value)) for name, value in told.items()]


def chosen(view: View, form: Any, prefix: str = "") -> Chosen:
    """What the form says: those ticked, or all that meet the filter; these are counted exactly, once."""
    if not form.get(f"{prefix}all"):
        ids = [int(one) for one in dict.fromkeys(form.getlist(f"{prefix}ids")) if _is_number(one)]
        return Chosen(len(ids[:AT_ONCE]), ids[:AT_ONCE], at_least=len(ids) > AT_ONCE)
    tree, search = read_filter(form.get(f"{prefix}filter")), (form.get(f"{prefix}q") or "").strip()[:200] or None
    last, count = form.get(f"{prefix}last", ""), form.get(f"{prefix}count", "")
    if _is_number(last) and _is_number(count) and int(count) > AT_ONCE:
        return Chosen(int(count), [], tree, search, int(last))
    number, newest = frozen(view.model, tree, search)
    if number > AT_ONCE:
        return Chosen(number, [], tree, search, newest)
    ids = next_ids(view.model, tree, search, after=0, last=newest, limit=AT_ONCE)
    return Chosen(len(ids), ids)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


def first_of(view: View, choice: Chosen, most: int) -> list[Any]:
    """The first records of a choice."""
    ids = choice.ids[:most]
    if choice.large:
        ids = next_ids(view.model, choice.filter, choice.search, after=0, last=choice.last, limit=most)
    return records(view.model).many(ids)


def refuse_many(view: View, choice: Chosen) -> str:
    """Why nothing can be done with this choice: a sentence, or nothing. Raises `Refused` without the right to change many."""
    if choice.at_least:
        return _("More than %(count)s records are ticked. Use a filter and “Select all” instead.", count=AT_ONCE)
    if not choice.count:
        return _("Please select records first.")
    if choice.count > 1 and not (verdict := may("bulk", view.model)):
        raise Refused(_("You may change these records one by one only, not many at once."), verdict)
    return ""


def asked(template: str, page: Any) -> str:
    """A page that only asks: the writing transaction of its request ends before it is drawn."""
    db.remove()
    db.read_only()
    return render_template(template, page=page)


# -- a new value for many -------------------------------------------------------------------------------------------------


def editable(view: View) -> list[Field]:
    """The fields that the acting person may give a new value in many records alike."""
    gate = records(view.model)
    return [
        one
        for _title, fields in view.sections()
        for one in fields
        if one.kind.name not in NEVER and not one.unique and one.number_rule is None and gate.writable(one.name, one) is None
    ]


def may_edit_many(view: View) -> bool:
    """Is “Edit” offered for several records at once?"""
    return view.may_edit and bool(may("edit", view.model)) and bool(may("bulk", view.model)) and bool(editable(view))


@bulk_pages.post("/<table>/_edit")
def edit_many(table: str) -> Any:
    """Choose a field, write its new value, look at what changes, then apply it."""
    view = view_at(table)
    model = view.model
    if not may_edit_many(view):
        raise Refused(_("You may not change many of these records at once."), may("bulk", model))
    choice = chosen(view, request.form, "_")
    back = safe_next(f"/{table}/", "_next")
    if sentence := refuse_many(view, choice):
        say(sentence, icon="info-circle")
        return redirect(back)
    return edit_page(view, choice, back)


def edit_page(view: View, choice: Chosen, back: str) -> Any:
    """One step further: the page with what has been chosen so far, or the deed."""
    step = request.form.get("_step", "")
    fields = editable(view)
    one = next((each for each in fields if each.name == request.form.get("_field")), None)
    page = _bare(view, choice, back, fields)
    if one is None:
        return asked("bulk_edit.html", page)
    sent = request.form if one.name in request.form and step else None
    form = RecordForm(view, sent=sent, given={each.name: None for each in fields})
    page.chosen = one.name
    value: Any = form.form[one.name].control
    sentence = _wrong(view, form, one) if sent is not None else ""
    if sentence:
        form.errors[one.name] = [sentence]
    if sent is not None and not sentence and step == "apply":
        answer = _apply(view, choice, one, value, page, back)
        if answer is not None:
            return answer
    shown = [each for section in form.shown() for each in section.fields if each.name == one.name]
    page.f = shown[0]
    if sent is not None and not sentence:
        _sample(view, choice, one, form, page)
        page.values = [(one.name, each) for each in (value if isinstance(value, list) else [value])] or [(one.name, "")]
    status = 422 if sentence else page.status
    return drawn("bulk_edit.html", page, status) if status else asked("bulk_edit.html", page)


def _bare(view: View, choice: Chosen, back: str, fields: list[Field]) -> SimpleNamespace:
    table = view.model.__tablename__
    return SimpleNamespace(
        title=ngettext("Edit %(count)s record", "Edit %(count)s records", choice.count),
        kind=model_label(view.model, many=True),
        action_url=f"/{table}/_edit",
        back_url=back,
        hidden=[*choice.carried("_"), ("_next", back)],
        fields=[(one.name, one.title) for one in fields],
        chosen="",
        f=None,
        rows=[],
        label="",
        sample_sum="",
        stops=[],
        values=[],
        versions="",
        count=choice.count,
        large=choice.large,
        status=0,
    )


def _wrong(view: View, form: RecordForm, one: Field) -> str:
    """Why this value cannot be given to anybody: a sentence, or nothing. What depends on the record is seen when it is applied."""
    box = form.form[one.name]
    if box.process_errors:
        return str(box.process_errors[0])
    value = box.data
    if one.required and value in (None, "", []):
        return _("“%(label)s” is needed.", label=one.title)
    offered = view.options(one.name)
    words = str(value or "").split() if one.name in view.several else [value] if value else []
    if offered is not None and any(word not in dict(offered) and word != view.several.get(one.name) for word in words):
        return _("Please choose one of the values offered.")
    if retired := retired_choices({one.name: one}, {one.name: value}):
        return retired[one.name]
    if one.kind.name in ("link", "links") and value:
        ids = set(value) if isinstance(value, list) else {value}
        if ids - visible_ids(one.target, ids):
            return _("There is no such record, or it is not visible to you.")
    return ""


def _sample(view: View, choice: Chosen, one: Field, form: RecordForm, page: SimpleNamespace) -> None:
    """The first records with their value of now and the new one, and how many have it already."""
    found = first_of(view, choice, SHOWN if choice.large else AT_ONCE)
    shown, new = Shown(view.model, [one], found[:SHOWN]), form.text_of(one.name)
    page.label = one.title
    page.rows = [SimpleNamespace(title=str(each), old=shown.cell(each, one).text, new=new) for each in found[:SHOWN]]
    page.versions = "" if choice.large else " ".join(f"{each.id}:{each.version}" for each in found)
    more = choice.count - len(page.rows)
    page.more = ngettext("and %(count)s more", "and %(count)s more", more) if more > 0 else ""
    if not choice.large and one.kind.name != "links":
        same = sum(1 for each in found if one.get(each) == form.form[one.name].data)
        page.sample_sum = ngettext("%(count)s has this value already.", "%(count)s have this value already.", same) if same else ""


def _apply(view: View, choice: Chosen, one: Field, value: Any, page: SimpleNamespace, back: str) -> Any:
    """Write it, or queue it; None when something stands in the way, which the page then names, and nothing is written."""
    values = {one.name: value if value != "" else None}
    if choice.large:
        job_id = queue(
            view, EDIT, filter=choice.filter, search=choice.search, last=choice.last, total=choice.count, values=values
        )  # fmt: skip
        say_queued(job_id)
        return redirect(back)
    gate = records(view.model)
    seen = dict(pair.split(":", 1) for pair in request.form.get("_versions", "").split() if ":" in pair)
    found = gate.many(choice.ids, lock=True)
    changed = [each for each in found if seen.get(str(each.id)) != str(each.version)]
    if changed or len(found) != len(choice.ids):
        gone = len(choice.ids) - len(found)
        page.stops = [
            _("“%(title)s” was changed meanwhile. Look at the values once more, then apply.", title=str(each)) for each in changed
        ]
        if gone:
            page.stops.append(
                ngettext(
                    "%(count)s record is gone or not visible to you; nothing was changed.",
                    "%(count)s records are gone or not visible to you; nothing was changed.",
                    gone,
                )
            )
        choice.ids = [each.id for each in found]
        choice.count = page.count = len(found)
        page.hidden, page.status = [*choice.carried("_"), ("_next", back)], 409
        return None if found else redirect(back)
    try:
        with db.session.begin_nested():
            edit(view, choice.ids, values)
    except Problem as problem:
        refused = refusals(lambda ids: edit(view, ids, values), choice.ids)
        page.stops = named(view.model, refused) or [problem.sentence]
        page.status = 422
        return None
    say(ngettext("%(count)s record was changed.", "%(count)s records were changed.", choice.count), undo=True)
    return redirect(back)
