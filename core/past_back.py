"""Bringing a record back to what it was: single fields, lines that were dropped, or all of it, through the same gate as any edit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select

from core.addons import enabled
from core.context import actor
from core.db import db
from core.errors import Conflict, Invalid, Refused
from core.i18n import gettext as _
from core.journal import batch, journal
from core.model import fields_of
from core.past import Past, Values, parts_of, pasts, values_of
from core.records import records
from core.rules import may
from core.trash import went_along
from core.undo import take_back

Line = tuple[str, int]
"""(table, id) of a line."""


def differing(model: type, then: Values, here: Values) -> list[str]:
    """Names of fields whose values were others; what the house keeps itself and what is no field any more are left out."""
    known = fields_of(model)
    names = [name for name in dict.fromkeys((*then, *here)) if name in known and then.get(name) != here.get(name)]
    return [name for name in names if not known[name].system and known[name].kind.name != "formula"]


def changed_meanwhile() -> str:
    """What is told when the record is not any more what the difference was shown to."""
    return _("Somebody changed this record meanwhile. Look at what differs once more, then bring it back.")


def restore(record: Any, row: int, names: Collection[str] | None = None, lines: Collection[Line] | None = None) -> int:
    """Make ``record`` what it was after this row of the journal; of its fields only ``names``, of its lines only ``lines``.

    None means all that the acting person may write. Returns how many things were changed: fields, and lines. Never commits.
    Raises `Refused`, `Invalid` when a value of then cannot be stored any more, `Conflict` when a line cannot come back.
    """
    model = type(record)
    parts = parts_of(model)
    newest = db.session.execute(select(journal.c.id).order_by(journal.c.id.desc()).limit(1)).scalar_one()
    then, here = pasts(model, record.id, [row, newest], parts)
    if then.values is None or here.values is None:
        raise Conflict(_("The record did not exist then, so it cannot be made what it was."))
    with batch(_("Made what it was: %(title)s", title=str(record))):
        count = _fields(model, record, then.values, here.values, names)
        for other, link in parts:
            count += _lines(other, link.name, then, here, lines, record)
    return count


def _fields(model: type, record: Any, then: Values, here: Values, names: Collection[str] | None) -> int:
    gate, known = records(model), fields_of(model)
    # Whatever is named is judged before it is compared: the answer must not tell whether a hidden field was another.
    if wrong := {name: sentence for name in names or () if (sentence := gate.writable(name, known.get(name)))}:
        raise Invalid(wrong)
    changed = differing(model, then, here)
    wanted = [name for name in changed if name in names] if names is not None else _possible(gate, changed, then)
    if wanted:
        gate.edit(record, {name: then.get(name) for name in wanted})
    return len(wanted)


def _possible(gate: Any, changed: list[str], then: Values) -> list[str]:
    """Those that the person may write, without what must not be empty today and was: a field that was made, or made required, since."""
    known = fields_of(gate.model)
    some = [name for name in changed if gate.writable(name, known[name]) is None]
    return [name for name in some if not (known[name].required and then.get(name) in (None, "", []))]


def _lines(other: Any, link: str, then: Past, here: Past, lines: Collection[Line] | None, record: Any) -> int:
    table, count = other.__tablename__, 0
    before, after, elsewhere = (some.get(other, {}) for some in (then.parts, here.parts, then.elsewhere))
    chosen = [one for one in sorted({*before, *after}) if before.get(one) != after.get(one) and (lines is None or (table, one) in lines)]
    if not chosen or (lines is None and not actor().system and not enabled(other.addon)):
        # What sleeps with its addon stays as it is; named, it is refused below.
        return 0
    gate = records(other)
    gone = [one for one in chosen if one not in after]
    if gone:
        _come_back(other, gone, record)
    stored = {one.id: one for one in gate.many(chosen)}
    # What came from another record goes back there: to where it was then, or was made since.
    fresh = [one for one in chosen if one not in before]
    homes = _made_in(other, fresh) | {one: values[link] for one, values in elsewhere.items() if values.get(link)}
    for one in chosen:
        if one not in stored:
            raise Refused(_("A line of then is out of your reach, so nothing was changed."))
        if one not in before and homes.get(one, record.id) != record.id:
            gate.edit(stored[one], {link: homes[one]})
        elif one not in before:
            gate.delete(stored[one])
        else:
            present = values_of(stored[one])
            names = _possible(gate, differing(other, before[one], present), before[one])
            if names:
                gate.edit(stored[one], {name: before[one].get(name) for name in names})
        count += 1
    return count


def _made_in(other: Any, ids: list[int]) -> dict[int, int]:
    """{line: the record that it was made as a part of}."""
    if not ids:
        return {}
    made = (journal.c.model == other.__tablename__) & journal.c.record_id.in_(ids) & (journal.c.verb == "create")
    rows = db.session.execute(select(journal.c.record_id, journal.c.part_of_id).where(made).order_by(journal.c.id.desc()))
    # What came back out of the trash has several; the first counts.
    return {row.record_id: row.part_of_id for row in rows}


def _come_back(other: Any, ids: list[int], record: Any) -> None:
    """Lines that were deleted, under their own numbers; those that moved to another record are moved back by an edit."""
    there = set(db.session.execute(select(other.id).where(other.id.in_(ids)), execution_options={"mortise_rules": False}).scalars())
    wanted = [one for one in ids if one not in there]
    if not wanted:
        return
    for verdict in (may("create", other), may("edit", record)):
        if not verdict:
            raise Refused(_("You may not bring back lines here."), verdict)
    query = select(journal).where(
        journal.c.model == other.__tablename__, journal.c.record_id.in_(wanted), journal.c.verb == "delete"
    )
    rows = {row.record_id: row for row in db.session.execute(query.order_by(journal.c.id))}
    # With its files, shares and whatever else went with it.
    every = {one.id: one for row in rows.values() for one in went_along(row)}
    for clash in take_back([every[number] for number in sorted(every, reverse=True)]):
        if clash.model == other.__tablename__ and clash.record_id in wanted:
            raise Conflict(clash.sentence)
