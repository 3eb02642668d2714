"""Keys for programs: a long secret that acts as its person, within scopes of its own, until a day.

Of a key only its SHA-256 is kept. Its scopes narrow what the person may do, they never widen it: `Rights` asks them first.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, DateTime, Index, Integer, String, Text, delete, event, inspect, select, update
from sqlalchemy.orm import Mapped, mapped_column

from core import journal
from core.context import now
from core.db import db
from core.errors import Invalid, Missing
from core.i18n import gettext as _
from core.model import FabModel, models
from core.people import MortiseUser

PREFIX = "mk_"
READING = ("read", "export", "print")
MOST_KEYS = 50
TOUCH = timedelta(minutes=1)


class ApiKey(FabModel):
    """One key of one person."""

    __tablename__ = "core_api_key"
    __table_args__ = (Index("ix_core_api_key_user", "user_id"), {"info": {"addon": "core"}, "sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, nullable=False)
    name: Mapped[str] = mapped_column(String(80), nullable=False)
    start: Mapped[str] = mapped_column(String(16), nullable=False)
    """How the key begins, so that its person knows which it is."""
    digest: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    scopes: Mapped[str] = mapped_column(Text, nullable=False)
    """``read``, ``write`` (which holds reading), each for all records or as ``crm_client:read``; separated by blanks."""
    created_at: Mapped[datetime] = mapped_column(DateTime, nullable=False)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)
    used_at: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)
    address: Mapped[str | None] = mapped_column(String(64), nullable=True)


keys = ApiKey.__table__


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may do of all that its person may."""

    scopes: frozenset[str]

    def allow(self, table: str, verb: str) -> bool:
        """Does the key reach this verb on this kind of record?"""
        wanted = ("read", "write") if verb in READING else ("write",)
        model = table.partition(":")[0]
        return any(one in self.scopes or f"{model}:{one}" in self.scopes for one in wanted)


def make_key(user_id: int, name: str, scopes: list[str], expires_at: datetime | None) -> str:
    """A new key, in the caller's transaction; the only moment at which anybody sees it. Raises `Invalid`."""
    errors = {}
    if not name.strip():
        errors["name"] = _("Give the key a name that says which program uses it.")
    if not scopes or not all(_known(one) for one in scopes):
        errors["scopes"] = _("Please choose one of the values offered.")
    if expires_at is not None and expires_at <= now():
        errors["expires"] = _("This day is over; choose a later one.")
    mine = len(db.session.execute(select(keys.c.id).where(keys.c.user_id == user_id)).all())
    if mine >= MOST_KEYS:
        errors["name"] = _("There are %(count)s keys already; delete those that nobody uses.", count=mine)
    if errors:
        raise Invalid(errors)
    secret = PREFIX + secrets.token_urlsafe(32)
    facts = {"user_id": user_id, "name": name.strip()[:80], "scopes": " ".join(sorted(set(scopes)))}
    values = {**facts, "start": secret[:9], "digest": _digest(secret), "created_at": now(), "expires_at": expires_at}
    db.session.connection().execute(keys.insert().values(values))
    journal.write("ab_user", user_id, "api-key", {name: [None, value] for name, value in _facts(values).items()})
    return secret


def _facts(key: Any) -> dict[str, Any]:
    """Which key it is and how far it reaches, for the journal."""
    found = {"key": key["name"], "start": key["start"], "reach": key["scopes"], "until": key["expires_at"]}
    return {name: value for name, value in found.items() if value is not None}


def _known(scope: str) -> bool:
    table, _colon, verb = scope.rpartition(":")
    return verb in ("read", "write") and (not table or table in models())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def keys_of(user_id: int) -> list[Any]:
    """The keys of a person, the newest first, those that are over too."""
    return list(db.session.execute(select(keys).where(keys.c.user_id == user_id).order_by(keys.c.id.desc())))


def remove_key(user_id: int, key_id: int) -> None:
    """Delete a key of this person, in the caller's transaction. Raises `Missing`."""
    if not _end(user_id, db.session.connection(), keys.c.id == key_id):
        raise Missing(_("There is no such key any more."))


def key_behind(secret: str, address: str | None) -> tuple[int, Limits] | None:
    """(person, limits) of a key that is good now; None for any other text. Notes the use, at most once a minute."""
    if not re.fullmatch(rf"{PREFIX}[\w-]{{43}}", secret):
        return None
    moment = now()
    row = db.session.execute(select(keys).where(keys.c.digest == _digest(secret))).first()
    if row is None or (row.expires_at is not None and row.expires_at <= moment):
        return None
    if row.used_at is None or moment - row.used_at >= TOUCH:
        db.remove()
        with db.short() as connection:
            values = {"used_at": moment, "address": (address or "")[:64] or None}
            connection.execute(update(keys).where(keys.c.id == row.id).values(values))
        db.read_only()
    return row.user_id, Limits(frozenset(row.scopes.split()))


@event.listens_for(MortiseUser, "after_update")
def _end_with_the_account(_mapper: Any, connection: Connection, user: MortiseUser) -> None:
    # Opened again later, the account begins without keys that somebody may still hold; so it does after a password that somebody else
    # has given, since the old one may have been known to more than its owner.
    changed = inspect(user).attrs
    closed = changed.active.history.has_changes() and not user.active
    if closed or (changed.password.history.has_changes() and user.must_change_password):
        end_keys(user.id, connection)


def end_keys(user_id: int, connection: Connection | None = None) -> int:
    """Delete all keys of a person, in the caller's transaction; how many there were."""
    return _end(user_id, connection or db.session.connection())


def _end(user_id: int, connection: Connection, *which: Any) -> int:
    ended = connection.execute(delete(keys).where(keys.c.user_id == user_id, *which).returning(keys)).mappings().all()
    if ended:
        told = [{name: [value, None] for name, value in _facts(one).items()} for one in ended]
        journal.write_many([("ab_user", user_id, "api-key-end", facts, None) for facts in told])
    return len(ended)
