"""What has changed in a person's records since he last looked: what is new to him, gone from him, and edited, a record at a time.

Rights are those of today. Of a record that is gone, deleted or out of his reach, he is told what it was called when he last looked,
if it was his to see then by the rights that he has now; nothing else of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, literal, or_, select

from core.asof import present_of
from core.context import actor
from core.db import db
from core.errors import Broken
from core.fields import Field
from core.i18n import gettext as _
from core.journal import journal
from core.listing import id_among
from core.model import fields_of, is_owned, models, part_of
from core.past import QUIET, WRITES, Values, before, parts_of
from core.reading import saw
from core.rules import may, rights, visible_ids
from core.sketch import Sketch
from core.titles import titles
from core.trash import kinds

MOST_CHANGES = 5_000
MOST_WALKED = 300_000
"""So many rows of the whole journal are looked through."""
HIDDEN_KINDS = ("json",)


@dataclass(slots=True)
class Change:
    """What became of one record, or of one of its lines."""

    model: type
    record_id: int
    kind: str
    """``new``, ``gone`` or ``edited``."""
    row: int
    at: datetime
    user_id: int | None
    title: str = ""
    there: bool = True
    """False: it was deleted, or made since (``new``); True: it only came to the person, or left his reach."""
    changes: dict[str, list[Any]] = field(default_factory=dict)
    """``{field: [before, now]}`` as JSON, of the fields that the person may see."""
    lines: list[Change] = field(default_factory=list)


def news_kinds() -> list[type]:
    """The kinds of records that the acting person may ask for; lines come with what they are part of."""
    return [one for one in kinds() if part_of(one) is None]


def news(where: Any, model: type | None = None, mine: bool = True) -> list[Change]:
    """What the rows of the journal that meet ``where`` mean for the acting person, the newest first.

    Of his own records only (``mine``: those that he owns, or has made where there is no owner), or of all that he may see. Some three
    statements, and as many for each kind of record that changed. Raises `Broken` with a sentence when that is too much.
    """
    asked = [model] if model is not None else news_kinds()
    walked = select(literal(1)).where(where).limit(MOST_WALKED + 1).subquery()
    if db.session.execute(select(func.count()).select_from(walked)).scalar_one() > MOST_WALKED:
        raise Broken(_("Too much has changed in the house since then. Please choose a later day."))
    rows = _rows(where, asked, mine)
    found: dict[tuple[type, int], Change] = {}
    lines: list[tuple[Change, set[int]]] = []
    for table in sorted({row.model for row in rows}):
        kind = models()[table]
        mine_only = mine and kind in asked
        for change, wholes in _changes(kind, [row for row in rows if row.model == table], mine_only):
            if kind in asked:
                found[kind, change.record_id] = change
            else:
                lines.append((change, wholes))
    _with_lines(found, lines, mine)
    _titled(found.values())
    for kind, number in found:
        saw(kind, (number,))
    return sorted((one for one in found.values() if one.kind != "edited" or one.changes or one.lines), key=lambda one: -one.row)


# -- which rows -----------------------------------------------------------------------------------------------------------


def _rows(where: Any, asked: Iterable[type], mine: bool) -> list[Any]:
    ways = []
    for one in asked:
        ways.append(_of_kind(one, mine))
        for other, link in parts_of(one):
            if may("read", other):
                ways.append(_of_lines(one, other, link, mine))
    if not ways:
        return []
    # First which records, then all rows of these: what one was is known only when nothing that happened to it is left out.
    named = select(journal.c.model, journal.c.record_id).where(where, journal.c.verb.in_(WRITES), or_(*ways)).distinct()
    concerned: dict[str, list[int]] = {}
    for table, number in db.session.execute(named.limit(MOST_CHANGES + 1), execution_options=QUIET):
        concerned.setdefault(table, []).append(number)
    if not concerned:
        return []
    columns = [journal.c[name] for name in ("id", "at", "user_id", "model", "record_id", "verb", "changes", "digest")]
    these = [and_(journal.c.model == table, id_among(journal.c.record_id, sorted(ids))) for table, ids in concerned.items()]
    query = select(*columns).where(where, journal.c.verb.in_(WRITES), or_(*these))
    rows = db.session.execute(query.order_by(journal.c.id.desc()).limit(MOST_CHANGES + 1), execution_options=QUIET).all()
    if len(rows) > MOST_CHANGES:
        raise Broken(
            _("There were more than %(count)s changes since then, too many to be put together. Choose a later day or one kind of record.",
              count=f"{MOST_CHANGES:,}")
        )  # fmt: skip
    return list(rows)


def _within(model: Any, mine: bool) -> Any:
    """SELECT of the ids that are his, or that he sees; None for all."""
    table, reach = model.__table__, None if actor().system else rights().row_filter(model, "read")
    if mine:
        owner = table.c.owner_id if is_owned(model) else table.c.created_by_id
        return select(table.c.id).where(owner == actor().user_id, *(() if reach is None else (reach,))).correlate(None)
    return None if reach is None else select(table.c.id).where(reach).correlate(None)


def _of_kind(model: Any, mine: bool) -> Any:
    own, this = _within(model, mine), journal.c.model == model.__tablename__
    if own is None:
        return this
    me = actor().user_id
    ways = [journal.c.record_id.in_(own)]
    if mine:
        key = "owner_id" if is_owned(model) else "created_by_id"
        ways.append((journal.c.verb == "delete") & journal.c.changes.contains(f'"{key}":[{me},null]', autoescape=True))
        # Whoever has lost a record was its owner, or wrote it away.
        ways.append((journal.c.verb == "edit") & journal.c.changes.contains(f'"owner":[{me},', autoescape=True))
    else:
        ways.append(journal.c.verb == "delete")
        moved = [journal.c.changes.contains(f'"{name}":[', autoescape=True) for name in ("owner", "department")]
        ways.append((journal.c.verb == "edit") & or_(*moved))
    return and_(this, or_(*ways))


def _of_lines(model: Any, other: Any, link: Field, mine: bool) -> Any:
    own, this = _within(model, mine), journal.c.model == other.__tablename__
    if own is None:
        return this
    lines = select(other.__table__.c.id).where(other.__table__.c[link.key].in_(own)).correlate(None)
    return and_(this, or_(journal.c.part_of_id.in_(own), journal.c.record_id.in_(lines)))


# -- what they mean -------------------------------------------------------------------------------------------------------


def _changes(model: Any, rows: list[Any], mine: bool) -> list[tuple[Change, set[int]]]:
    """(what became of a record, ids of what it was or is a part of), from its rows, newest first."""
    by_record: dict[int, list[Any]] = {}
    for row in rows:
        by_record.setdefault(row.record_id, []).append(row)
    present = present_of(model, by_record)
    seen, shown, link = visible_ids(model, present), seen_fields(model), part_of(model)
    found = []
    for number, some in by_record.items():
        values, kept = present.get(number, (None, {}))
        if values is None:
            deletion = next((row for row in some if row.verb == "delete"), None)
            if deletion is None or any(row.digest is not None for row in some if row.verb == "delete"):
                continue
            kept = {name: pair[0] for name, pair in json.loads(deletion.changes).items() if isinstance(pair, list)}
        then: Values | None = values
        for row in some:
            then = before(model, then, row)
        was = then is not None and _his(model, number, then, kept, mine) and _covered(model, number, then, kept)
        here = number in seen and values is not None and _his(model, number, values, kept, mine)
        if not (was or here):
            continue
        newest = some[0]
        made = Change(model, number, "edited" if was and here else "new" if here else "gone", newest.id, newest.at, newest.user_id)
        if made.kind == "edited":
            told = dict.fromkeys((*(then or {}), *(values or {})))
            pairs = {name: [(then or {}).get(name), (values or {}).get(name)] for name in told if name in shown}
            made.changes = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        elif made.kind == "new":
            made.there = then is not None
        else:
            made.there = values is not None
            title = (then or {}).get(model.title_field) if model.title_field in shown else None
            made.title = str(title or f"#{number}")
        wholes = {state[link.name] for state in (then, values) if state and state.get(link.name)} if link is not None else set()
        found.append((made, wholes))
    return found


def seen_fields(model: Any) -> dict[str, Field]:
    """The fields of which the acting person is told."""
    seen = fields_of(model) if actor().system else rights().fields_seen(model)
    return {name: one for name, one in seen.items() if not (one.hidden or one.sensitive or one.kind.name in HIDDEN_KINDS)}


def _his(model: Any, number: int, values: Values, kept: dict[str, Any], mine: bool) -> bool:
    if not mine:
        return True
    owner = values.get("owner") if is_owned(model) else kept.get("created_by_id")
    return owner is not None and owner == actor().user_id


def _covered(model: Any, number: int, values: Values, kept: dict[str, Any]) -> bool:
    """Would a record with these values be within the person's reach, by the rights of today?"""
    if actor().system:
        return True
    keys = {one.key: values.get(one.name) for one in model.__fields__.values() if one.kind.name == "link"}
    blank = dict.fromkeys(one.name for one in model.__fields__.values())
    # A share of a record that is gone went with it.
    made = Sketch(model, {**blank, **keys, "id": number, "created_by_id": kept.get("created_by_id")})
    return bool(rights().covers(made, "read"))


def _with_lines(found: dict[tuple[type, int], Change], lines: list[tuple[Change, set[int]]], mine: bool) -> None:
    """Put what became of lines below what they are part of, as far as that is there and the person's."""
    wholes: dict[type, set[int]] = {}
    for change, ids in lines:
        link: Any = part_of(change.model)
        wholes.setdefault(link.target, set()).update(ids)
    reached = {}
    for model, ids in wholes.items():
        own = _within(model, mine)
        query = select(model.__table__.c.id).where(id_among(model.__table__.c.id, sorted(ids)))
        his = db.session.execute(query if own is None else query.where(model.__table__.c.id.in_(own)), execution_options=QUIET)
        reached[model] = set(his.scalars())
    for change, ids in lines:
        model = part_of(change.model).target  # type: ignore[union-attr]
        for number in sorted(ids & reached[model]):
            whole = found.get((model, number))
            if whole is None:
                whole = found[model, number] = Change(model, number, "edited", change.row, change.at, change.user_id)
            if whole.kind == "edited" and (change.kind != "edited" or change.changes):
                whole.lines.append(change)
                if change.row > whole.row:
                    whole.row, whole.at, whole.user_id = change.row, change.at, change.user_id


def _titled(found: Iterable[Change]) -> None:
    """Give each its name of today; one statement a kind of record."""
    every = [each for one in found for each in (one, *one.lines) if each.kind != "gone"]
    for model in {one.model for one in every}:
        some = [one for one in every if one.model is model]
        known = titles(model, {one.record_id for one in some})
        for one in some:
            one.title = known.get(one.record_id) or f"#{one.record_id}"
