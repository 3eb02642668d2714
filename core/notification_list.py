"""Reading notifications: one's own entries, and of these only what one may read at this very moment; count and list agree.

An entry whose record is out of reach, gone, or asleep with its addon is not there; it is there again when the record is.
Source: S4-68, D32.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, func, literal, or_, select, update

from core.addons import addons, enabled
from core.context import actor, now
from core.db import db
from core.errors import Broken, Missing, Refused
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.i18n import retold
from core.model import model_label, models
from core.notifications import CHANNELS, CHOSEN, UNREAD, Notification, kinds, table
from core.people import MortiseUser
from core.preferences import prefer, preferences
from core.rules import may, rights, sees_title
from core.titles import know_titles, titles

MOST_COUNTED = 99
PAGE = 30
QUIET = {"mortise_rules": False}
COLUMN = "core_notification"
"""How the scopes of API keys and the memory of a request call notifications."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One notification, as its reader is told."""

    id: int
    kind: str
    label: str
    icon: str
    text: str
    title: str
    """Of the record, for who may read it; nothing where it is about none, or about several."""
    model: str | None
    record_id: int | None
    records: str
    """What records of its kind are called."""
    url: str
    count: int
    at: datetime
    unread: bool


def _mine(tables: Iterable[str | None]) -> Any:
    """Which entries the acting person may know of, given the models that they are about."""
    awake = ["core", *(name for name in addons() if enabled(name))]
    ways = [table.c.model.is_(None)]
    for name in sorted({one for one in tables if one}):
        model: Any = models().get(name)
        if model is None or not enabled(model.addon) or not may("read", model):
            continue
        records = model.__table__
        reach = None if actor().system else rights().row_filter(model, "read")
        # By the key of each entry, not by all that he may see: entries are few, records may be a million.
        seen = select(literal(1)).select_from(records).where(records.c.id == table.c.record_id, *(() if reach is None else (reach,)))
        ways.append(and_(table.c.model == name, or_(table.c.record_id.is_(None), exists(seen.correlate(table)))))
    return and_(table.c.user_id == actor().user_id, table.c.addon.in_(awake), or_(*ways))


def _tables() -> list[str | None]:
    query = select(table.c.model).where(table.c.user_id == actor().user_id).distinct()
    return list(db.session.execute(query, execution_options=QUIET).scalars())


def only_own() -> None:
    """Raises `Refused` for whoever comes with an API key that is for some kinds of records only."""
    limits = actor().limits
    if limits is not None and not limits.allow(COLUMN, "read"):
        raise Refused(_("This key does not reach notifications."))


def unread_count(tables: Iterable[str | None] | None = None) -> int:
    """How many unread entries the acting person has, at most 100; one statement when ``tables`` (what they are about) are known."""
    some = select(table.c.id).where(_mine(_tables() if tables is None else tables), UNREAD).limit(MOST_COUNTED + 1)
    return int(db.session.execute(select(func.count()).select_from(some.subquery()), execution_options=QUIET).scalar_one())


def page(*, unread: bool = False, after: str = "", limit: int = PAGE) -> tuple[list[Entry], str]:
    """(entries, newest first, mark of the next page or nothing). Raises `Broken` for a mark that is none.

    A bounded number of statements, however many entries there are: the kinds of records, the entries, their titles.
    """
    query = select(table).where(_mine(_tables()), *((UNREAD,) if unread else ()))
    if after:
        at, number = _place(after)
        query = query.where(or_(table.c.at < at, and_(table.c.at == at, table.c.id < number)))
    rows = db.session.execute(query.order_by(table.c.at.desc(), table.c.id.desc()).limit(limit + 1), execution_options=QUIET).all()
    shown = rows[:limit]
    return _entries(shown), _mark(shown[-1]) if len(rows) > limit else ""


def entry(number: int) -> Entry:
    """One entry. Raises `Missing` when there is none, or none that the acting person may know of."""
    row = None
    if 0 < number <= LARGEST_ID:
        row = db.session.execute(select(table).where(_mine(_tables()), table.c.id == number), execution_options=QUIET).first()
    if row is None:
        raise Missing(_("There is no such notification any more, or what it is about is not visible to you."))
    return _entries([row])[0]


def mark_read(number: int | None = None) -> int:
    """Mark one entry as read, or all that the acting person may know of; returns how many were unread. Never commits."""
    some = [table.c.id == number] if number is not None else []
    return int(db.session.execute(update(table).where(_mine(_tables()), UNREAD, *some).values(read_at=now())).rowcount)  # type: ignore[attr-defined]


def _mark(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.at.isoformat()} {row.id}".encode()).decode().rstrip("=")


def _place(mark: str) -> tuple[datetime, int]:
    try:
        at, number = base64.urlsafe_b64decode(mark[:100] + "=" * (-len(mark[:100]) % 4)).decode().split(" ")
        place = datetime.fromisoformat(at), int(number)
        if place[0].tzinfo is not None or not 0 < place[1] <= LARGEST_ID:
            raise ValueError
    except (ValueError, UnicodeError):
        raise Broken(_("This mark of a page is not one of ours; begin at the first page.")) from None
    return place


def _entries(rows: Any) -> list[Entry]:
    about: dict[type, set[int]] = {MortiseUser: {one.actor_id for one in rows if one.actor_id}}
    for one in rows:
        if one.record_id is not None:
            about.setdefault(models()[one.model], set()).add(one.record_id)
    know_titles(about)
    named = {model.__tablename__: titles(model, ids) for model, ids in about.items()}  # type: ignore[attr-defined]
    return [_entry(one, named) for one in rows]


def _entry(row: Any, named: dict[str, dict[int, str]]) -> Entry:
    known: Notification | None = kinds().get(row.kind)
    several = row.model is not None and row.record_id is None
    message, values = json.loads(row.many if several and row.many else row.text)
    records = model_label(models()[row.model], many=True) if row.model else ""
    who = named["ab_user"].get(row.actor_id) or _("The system")
    said = retold([message, {**values, "who": who, "count": f"{row.count:,}", "records": records}])
    url = f"/{row.model}/{row.record_id}" if row.record_id is not None else row.url or (f"/{row.model}/" if row.model else "")
    title = ""
    if row.record_id is not None:
        # Gone this very moment, or its title is hidden from this person: it is called by its number.
        title = named[row.model].get(row.record_id, "") if sees_title(models()[row.model]) else ""
        title = title or f"#{row.record_id}"
    return Entry(
        row.id, row.kind, str(known.label) if known else "", known.icon if known else "bell", said, title, row.model, row.record_id,
        records, url, 1 if several else row.count, row.at, row.read_at is None,
    )  # fmt: skip


# -- which kinds one wants ----------------------------------------------------------------------------------------------


def offered() -> list[Notification]:
    """The kinds that one can choose now: of core and of addons that are on."""
    return [one for one in kinds().values() if one.addon == "core" or enabled(one.addon)]


def choose(wanted: Iterable[tuple[str, str]]) -> None:
    """Keep which (kind, channel) the acting person wants, of those offered now. Never commits."""
    wanted = set(wanted)
    kept = {name: dict(channels) for name, channels in preferences().get(CHOSEN, {}).items()}
    for one in offered():
        refused = {channel: False for channel in CHANNELS if (one.name, channel) not in wanted}
        kept[one.name] = {name: value for name, value in kept.get(one.name, {}).items() if name not in CHANNELS} | refused
    prefer(**{CHOSEN: {name: channels for name, channels in kept.items() if channels}})
