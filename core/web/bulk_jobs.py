"""What is done with many records at once: deletion, a view's own action, a new value; at once, or as a job for all that match."""

from __future__ import annotations

from typing import Any

from core.bulk import Deed, Walk
from core.errors import Invalid, Missing, Problem
from core.i18n import gettext as _
from core.i18n import t
from core.jobs import describe, job
from core.model import model_label, model_of
from core.prepare import flush
from core.records import records
from core.rules import may
from core.sharing import share
from core.web.facets import write_filter
from core.web.lists import address
from core.web.views import View, view_of

A_DAY = 24 * 3600.0
DELETE, EDIT, SHARE = "delete", "_edit", "_share"
"""The names of the house's own deeds beside the actions of a view; no method that is an action begins with a stroke."""


def deed_of(view: View, name: str, values: dict[str, Any] | None = None) -> Deed:
    """What to do with a list of ids. Raises `Missing` when there is no such action or it is not open to the person any more."""
    if name == DELETE and view.may_delete and may("delete", view.model):
        return lambda ids: _delete(view, ids)
    if name == EDIT and values:
        return lambda ids: edit(view, ids, values)
    if name == SHARE and values:
        return lambda ids: share(view.model, ids, values)
    action = next((one for one in view.actions() if one.name == name), None)
    if action is None:
        raise Missing(_("There is no such action here, or it is not open to you."))
    return lambda ids: act(view, action, ids)


def _delete(view: View, ids: list[int]) -> None:
    gate = records(view.model)
    if len(ids) == 1:
        gate.delete(ids[0])
    else:
        gate.delete_many(ids)


def edit(view: View, ids: list[int], values: dict[str, Any]) -> None:
    """Give these records new values, all or none; what the view keeps as it is, is kept here too."""
    gate = records(view.model)
    for record in gate.many(ids, lock=True):
        for name, sentence in view.fixed(record).items():
            if name in values:
                raise Invalid({name: sentence})
    if len(ids) == 1:
        # The sentence for one record says what is wrong with it, not that some of many are refused.
        gate.edit(ids[0], values)
    else:
        gate.edit_many(ids, values)


def act(view: View, action: Any, ids: list[int]) -> str:
    """Do a view's own action with these records, all or none; returns what to tell the person."""
    found = records(view.model).many(ids, lock=True)
    for record in found:
        verdict = may(action.verb, record)
        if not verdict:
            raise Problem(_("“%(title)s” is not open to you for this; nothing was changed.", title=str(record)))
    said = action.function(found)
    flush()
    return str(said) if said else _("%(what)s: done with %(count)s.", what=t(action.label), count=len(found))


def label_of(view: View, name: str) -> str:
    """A deed in words, for the title of its batch."""
    if name in (DELETE, EDIT, SHARE):
        return {DELETE: _("Delete"), EDIT: _("Edit"), SHARE: _("Share")}[name]
    return next((t(one.label) for one in view.actions() if one.name == name), name)


@job(timeout=A_DAY, tells=True)
def do_to_all(
    table: str, deed: str, filter: Any, search: str | None, last: int, total: int, values: dict[str, Any] | None = None
) -> None:  # fmt: skip
    """Changes many records"""
    view = view_of(model_of(table))
    url = address(f"/{table}/", filter=write_filter(filter), q=search)
    title = _title(view, deed, total, values)
    Walk(view.model, deed_of(view, deed, values), filter=filter, search=search, last=last, total=total, title=title, url=url).run()


def queue(
    view: View, deed: str, *, filter: Any, search: str | None, last: int, total: int, values: dict[str, Any] | None = None
) -> int:  # fmt: skip
    """Queue a deed for all records that meet a filter up to the id ``last``; returns the job's id."""
    deed_of(view, deed, values)
    made = do_to_all.later(
        table=view.model.__tablename__, deed=deed, filter=filter, search=search, last=last, total=total, values=values
    )  # fmt: skip
    describe(made, _title(view, deed, total, values), total)
    return made


def _title(view: View, deed: str, total: int, values: dict[str, Any] | None) -> str:
    known = view.fields()
    what = label_of(view, deed)
    name = next(iter(values or {}), None)
    if deed == EDIT and name in known:
        what = _("%(what)s “%(label)s”", what=what, label=known[name].title)
    return _("%(what)s: %(count)s %(many)s", what=what, count=f"{total:,}", many=model_label(view.model, many=True))
