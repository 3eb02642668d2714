"""Notifications: telling people of something about a record, in the caller's transaction and only if they may read the record.

A kind of notification is made once, by core or an addon; each person chooses which kinds reach him. An entry keeps no word of its
record: the title is read when the entry is shown, with the rights that its reader has then (`core.notification_list`).
Source: S4-65, S4-68, D32.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, DateTime, Index, Integer, String, Text, and_, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from core.context import acting, actor, now, zone_of
from core.db import among, db
from core.errors import Misbuilt
from core.i18n import Lazy
from core.model import FabModel, loading, models
from core.people import Department, MortiseUser, Post, RoleRow, Team, assoc_user_role
from core.preferences import table as preference_table
from core.rules import Role, may, visible_ids
from core.settings import declare_setting, number_between, setting

AT_ONCE = 20
"""So many people are told at once, since the rights of each are looked up; more by a job."""
CHANNELS = ("bell",)
"""The ways to reach a person; each kind can be switched off for each of them."""
CHOSEN = "notifications"
"""Under this name a person's preferences keep what he does not want: ``{kind: {channel: false}}``."""
QUIET = {"mortise_rules": False}
_id = BigInteger().with_variant(Integer(), "sqlite")

declare_setting(
    "notifications.keep_days", 90, "Days that read notifications are kept", "Unread ones four times as long", check=number_between(1, 3_650)
)


class NotificationRow(FabModel):
    """One entry in somebody's bell; unread ones about the same thing are one entry with a count."""

    __tablename__ = "core_notification"
    __table_args__ = {"info": {"addon": "core"}, "sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, nullable=False)
    kind: Mapped[str] = mapped_column(String(120), nullable=False)
    addon: Mapped[str] = mapped_column(String(80), nullable=False)
    model: Mapped[str | None] = mapped_column(String(80), nullable=True)
    record_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    """Empty with a model: several records of this kind."""
    topic: Mapped[str | None] = mapped_column(String(200), nullable=True)
    text: Mapped[str] = mapped_column(Text, nullable=False)
    """As `core.i18n.retold` reads it: the English words and what is filled in."""
    many: Mapped[str | None] = mapped_column(Text, nullable=True)
    """The words for several records."""
    url: Mapped[str | None] = mapped_column(String(200), nullable=True)
    actor_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    count: Mapped[int] = mapped_column(Integer, nullable=False)
    at: Mapped[datetime] = mapped_column(DateTime, nullable=False)
    read_at: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)


table = NotificationRow.__table__
Index("ix_core_notification_user_at", table.c.user_id, table.c.at, table.c.id)
UNREAD = table.c.read_at.is_(None)
Index("ix_core_notification_unread", table.c.user_id, table.c.model, postgresql_where=UNREAD, sqlite_where=UNREAD)
# What is unread of one topic is one entry, whoever writes at the same time.
Index(
    "uq_core_notification_unread", table.c.user_id, table.c.kind, table.c.topic, unique=True, postgresql_where=UNREAD, sqlite_where=UNREAD
)

_unread = (
    select(func.coalesce(table.c.model, "").label("model")).where(table.c.user_id == MortiseUser.__table__.c.id, UNREAD).distinct()
).correlate(MortiseUser.__table__).subquery()  # fmt: skip
UNREAD_TABLES = (
    select(func.aggregate_strings(_unread.c.model, " ")).correlate(MortiseUser.__table__).scalar_subquery().label("unread_tables")
)
"""A column for the statement that asks for a person: what his unread entries are about; nothing when he has none."""

_kinds: dict[str, Notification] = {}


def kinds() -> dict[str, Notification]:
    """Every kind of notification of every addon on disk, by its name: ``core.shared``."""
    return _kinds


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry says, whoever it is for."""

    kind: str
    addon: str
    model: str | None
    record_id: int | None
    topic: str | None
    text: str
    many: str | None
    url: str | None
    count: int


class Notification:
    """A kind of notification: ``late = Notification("late", lazy("A visit is late"))``, then ``late.send(…)``.

    ``label`` is what people read where they choose which kinds they want; ``icon`` is a name of the icon font.
    """

    def __init__(self, name: str, label: str, icon: str = "bell") -> None:
        self.addon, self.label, self.icon = loading["addon"], label, icon
        self.name = f"{self.addon}.{name}"
        _kinds[self.name] = self

    def send(
        self, to: Any, text: str, *, record: Any = None, model: Any = None, record_id: int | None = None, many: str | None = None,
        url: str | None = None, topic: str | None = None, count: int = 1, own: bool = False, **values: Any,
    ) -> None:  # fmt: skip
        """Tell people, in the caller's transaction: whoever of them may read the record, wants this kind and did not do it himself.

        ``to``: people, departments (whoever has a post there), teams, roles, or the words “owner” and “superior” (of the record's
        owner); one or a list. ``record`` (or ``model`` and ``record_id``) is what it is about. ``text`` is a `lazy` sentence, in
        which ``%(who)s`` is whoever did it, ``%(records)s`` what records of this kind are called, and ``values`` (text, numbers,
        lazy sentences) the rest. Put nothing of the record there: its title is added when somebody reads, with his rights.

        What is unread about the same record, or of the same ``topic``, becomes one entry with a count; of several records it says
        ``many``, with ``%(count)s``, and leads to ``url``, a page of ours. ``own`` tells also whoever did it himself.
        """
        if record is not None:
            model, record_id = type(record), record.id
            if record_id is None:
                raise Misbuilt(f"{self.name}: the record has no id yet; tell of it in after_save, or flush the session first.")
        told = self.told(text, model, record_id, many=many, url=url, topic=topic, count=count, **values)
        people = wanting(people_of(to, record), self.name) - (set() if own else doers())
        if len(people) <= AT_ONCE:
            write(told, permitted(told, people), actor().user_id)
        else:
            tell_later(told, people)

    def told(
        self, text: str, model: Any = None, record_id: int | None = None, *, many: str | None = None, url: str | None = None,
        topic: str | None = None, count: int = 1, **values: Any,
    ) -> Told:  # fmt: skip
        """What an entry of this kind says."""
        place = model.__tablename__ if model is not None else None
        if topic is None and record_id is not None:
            topic = f"{place}:{record_id}"
        words, more = _made(text, values), _made(many, values) if many else None
        return Told(self.name, self.addon, place, record_id, topic[:200] if topic else None, words, more, url, count)


def doers() -> set[int | None]:
    """Who does what is told of: nobody hears of his own deeds."""
    return {actor().user_id, actor().on_behalf_id}


def tell_later(told: Told, people: Iterable[int]) -> None:
    """Have a job tell very many people, if this transaction commits; it asks for the rights of each."""
    from core.notification_jobs import tell_many

    tell_many.later(people=sorted(people), told={name: getattr(told, name) for name in Told.__slots__}, by=actor().user_id)


def _made(text: str, values: dict[str, Any]) -> str:
    """The sentence as it is kept. A name that nothing fills in is the author's fault, and shows here, not to the reader."""
    source = str.__str__(text)
    try:
        source % {**values, "who": "", "count": 1, "records": ""}
    except (KeyError, ValueError, TypeError) as fault:
        raise Misbuilt(f"A notification says {source!r}, in which {fault} is not given.") from None
    kept = {name: [one.source, {}] if isinstance(one, Lazy) else one for name, one in values.items()}
    return json.dumps([source, kept], ensure_ascii=False)


# -- who ----------------------------------------------------------------------------------------------------------------


def people_of(to: Any, record: Any = None) -> set[int]:
    """The ids of those who are meant and have an open account; one statement."""
    lot = list(to) if isinstance(to, (list, tuple, set, frozenset)) else [to]
    user, post, members = MortiseUser.__table__, Post.__table__, Team.members.property.secondary
    role, owner = RoleRow.__table__, getattr(record, "owner_id", None)
    ids = {one for one in lot if isinstance(one, int)} | {one.id for one in lot if isinstance(one, MortiseUser)}
    ids |= {owner} if "owner" in lot and owner else set()
    places = [one.id for one in lot if isinstance(one, Department)]
    teams = [one.id for one in lot if isinstance(one, Team)]
    roles = [one.id for one in lot if isinstance(one, RoleRow)]
    named = [one.name for one in lot if isinstance(one, Role)]
    ways = []
    if ids:
        ways.append(among(user.c.id, sorted(ids)))
    if "superior" in lot and owner:
        below = user.alias("below")
        ways.append(user.c.id.in_(select(below.c.superior_id).where(below.c.id == owner)))
    if places:
        ways.append(user.c.id.in_(select(post.c.user_id).where(post.c.department_id.in_(places))))
    if teams:
        ways.append(user.c.id.in_(select(members.c.right_id).where(members.c.left_id.in_(teams))))
    if roles or named:
        wanted = select(role.c.id).where(or_(role.c.id.in_(roles), role.c.name.in_(named)))
        ways.append(user.c.id.in_(select(assoc_user_role.c.user_id).where(assoc_user_role.c.role_id.in_(wanted))))
    if not ways:
        return set()
    today = now().replace(tzinfo=zone_of("UTC")).astimezone(zone_of(setting("firm.zone"))).date()
    here = and_(user.c.active.is_(True), or_(user.c.left_on.is_(None), user.c.left_on >= today))
    return set(db.session.execute(select(user.c.id).where(here, or_(*ways)), execution_options=QUIET).scalars())


def wants(chosen: dict[str, Any] | None, kind: str, channel: str = "bell") -> bool:
    """Does somebody with these preferences want to hear of this kind by this channel? Yes, until he says no."""
    return (chosen or {}).get(CHOSEN, {}).get(kind, {}).get(channel) is not False


def wanting(people: set[int], kind: str, connection: Any = None) -> set[int]:
    """Those of these people who want to hear of this kind; one statement."""
    if not people:
        return people
    columns = preference_table.c
    some = select(columns.user_id, columns.chosen).where(among(columns.user_id, sorted(people)))
    rows = (connection or db.session).execute(some)
    return people - {user_id for user_id, chosen in rows if not wants(chosen, kind)}


def permitted(told: Told, people: Iterable[int]) -> set[int]:
    """Those who may read what this is about: the record, or some records of its kind."""
    people = set(people)
    if told.model is None:
        return people
    model = models()[told.model]
    return {one for one in people if told.record_id in seen_by(one, model, [told.record_id])}


def seen_by(user_id: int, model: Any, ids: Sequence[int | None]) -> set[int | None]:
    """Those of these records that somebody may read; None stands for some records of this kind. Three statements."""
    who = actor()
    memo = {name: who.memo[name] for name in ("generation", "uncommitted") if name in who.memo}
    eyes = replace(who, user_id=user_id, system=False, limits=None, on_behalf_id=None, memo=memo)
    with acting(eyes):
        found: set[int | None] = set(visible_ids(model, [one for one in ids if one is not None]))
        return found | ({None} if None in ids and may("read", model) else set())


# -- writing ------------------------------------------------------------------------------------------------------------


def write(told: Told, people: Iterable[int], by: int | None, connection: Any = None) -> None:
    """Put an entry into these bells, or add to the unread one of the same topic. Never commits, asks no rights."""
    write_all([(told, one) for one in people], by, connection)


def write_all(entries: Iterable[tuple[Told, int]], by: int | None, connection: Any = None) -> None:
    """The same for several entries, each with its person; one statement for all of them."""
    # In the order of ids, so that two who tell the same people wait for each other instead of standing in a ring.
    found = sorted(set(entries), key=lambda each: (each[1], each[0].kind, each[0].topic or ""))
    common = {"actor_id": by, "at": now()}
    rows = [{**common, "user_id": person, **{name: getattr(told, name) for name in Told.__slots__}} for told, person in found]
    if rows:
        (connection or db.session).execute(_put(db.is_sqlite), rows)


@cache
def _put(on_sqlite: bool) -> Any:
    """The statement that writes; made once, since building it costs more than running it."""
    fresh = (sqlite if on_sqlite else postgresql).insert(table)
    added = {name: fresh.excluded[name] for name in ("text", "many", "url", "actor_id", "at")}
    same = case((table.c.record_id == fresh.excluded.record_id, table.c.record_id), else_=None)
    added |= {"count": table.c.count + fresh.excluded["count"], "record_id": same}
    return fresh.on_conflict_do_update(index_elements=["user_id", "kind", "topic"], index_where=UNREAD, set_=added)
