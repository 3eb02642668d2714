"""Accounts and addresses that wait after failed sign-ins: who, until when, from where; and letting them in again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from core.accounts import FORGIVEN_AFTER, QUIET, attempts, sign_ins, user_table
from core.context import now
from core.db import db

KINDS = ("login", "code", "address")
MOST = 200


@dataclass(frozen=True, slots=True)
class Lock:
    """One account, or one address, with failed sign-ins of the last day."""

    key: str
    """As `core_sign_in_attempt` has it: ``login:…``, ``code:…`` (of the second factor) or ``address:…``."""
    what: str
    """The login name that was typed, or the address."""
    failures: int
    until: datetime | None
    """It waits until then (UTC); None or past when it may try at once."""
    last: datetime
    user_id: int | None
    """Whose account it is; None for addresses and for names that no account has."""
    address: str | None
    """From where the account was tried last."""

    @property
    def waits(self) -> bool:
        """Is it locked at this moment?"""
        return self.until is not None and self.until > now()


def locks(user_id: int | None = None) -> list[Lock]:
    """Failed sign-ins of the last day that were not followed by one that worked, the locked ones first; at most 200."""
    since = now() - FORGIVEN_AFTER
    query = select(attempts).where(attempts.c.failures > 0, attempts.c.changed_at > since)
    query = query.order_by(func.coalesce(attempts.c.blocked_until, since).desc(), attempts.c.changed_at.desc()).limit(MOST)
    if user_id is not None:
        mine = select(func.lower(user_table.c.username)).where(user_table.c.id == user_id)
        name = (db.session.execute(mine, execution_options=QUIET).scalar() or "")[:190]
        query = query.where(attempts.c.key.in_([f"login:{name}", f"code:{name}"]))
    rows = [row for row in db.session.execute(query).all() if row.key.partition(":")[0] in KINDS]
    names = {row.key.partition(":")[2] for row in rows if not row.key.startswith("address:")}
    low = func.lower(user_table.c.username)
    people = dict(db.session.execute(select(low, user_table.c.id).where(low.in_(names or {""})), execution_options=QUIET).all())
    places = _last_addresses(list(people.values()))
    found = []
    for row in rows:
        kind, _colon, what = row.key.partition(":")
        person = people.get(what) if kind != "address" else None
        place = what if kind == "address" else places.get(person or 0)
        found.append(Lock(row.key, what, row.failures, row.blocked_until, row.changed_at, person, place))
    return found


def _last_addresses(ids: list[int]) -> dict[int, str]:
    newest = select(func.max(sign_ins.c.id)).where(sign_ins.c.user_id.in_(ids or [0]), ~sign_ins.c.worked).group_by(sign_ins.c.user_id)
    rows = db.session.execute(select(sign_ins.c.user_id, sign_ins.c.address).where(sign_ins.c.id.in_(newest)), execution_options=QUIET)
    return {row.user_id: row.address for row in rows if row.address}


def lock_of(key: str) -> Lock | None:
    """The lock under this key, if there is one."""
    return next((one for one in locks() if one.key == key), None)


def unlock_key(key: str) -> bool:
    """Forget the failures under this key; True when there were any. In the caller's transaction."""
    done: Any = db.session.execute(delete(attempts).where(attempts.c.key == key))
    return bool(done.rowcount)
