"""A write that is asked for twice has one effect: the first answer is kept for a day, and given again.

Source: draft-ietf-httpapi-idempotency-key-header, but that a second request waits for the first instead of being refused.
The row is written in the transaction of the effect itself: both are there, or neither. A second request with the same key waits
for the first on the row's own key, and then finds what it answered.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, DateTime, Index, String, Text, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from core.context import now
from core.db import PREPARED, db
from core.errors import Broken, Conflict
from core.i18n import gettext as _
from core.jobs import job
from core.model import FabModel
from core.secret_box import seal, unseal

KEPT = timedelta(hours=24)
LONGEST = 255


class AnsweredOnce(FabModel):
    """What one request with a key was answered."""

    __tablename__ = "core_answered_once"
    __table_args__ = (Index("ix_core_answered_once_at", "at"), {"info": {"addon": "core"}})

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of whose key it is and of the key itself."""
    request: Mapped[str] = mapped_column(String(64), nullable=False)
    """SHA-256 of what was asked: method, address and body."""
    answer: Mapped[str | None] = mapped_column(Text, nullable=True)
    """The answer, sealed (`core.secret_box`), since some tell a secret once; None while the first request is at work."""
    at: Mapped[datetime] = mapped_column(DateTime, nullable=False)


table = AnsweredOnce.__table__
# Made once: making a statement takes longer than running it.
_ANSWERED = update(table).where(table.c.key == bindparam("claimed")).execution_options(**PREPARED)


@cache
def _claiming(on_sqlite: bool) -> Any:
    make = (sqlite if on_sqlite else postgresql).insert(table)
    return make.on_conflict_do_nothing().returning(table.c.key).execution_options(**PREPARED)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers worth keeping, and body."""

    status: int
    headers: dict[str, str]
    body: str


def digest(*words: str) -> str:
    """One name for several words; SHA-256 in hex."""
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def key_of(given: str, user_id: int) -> str:
    """The name under which the answer to somebody's key is kept. Raises `Broken` for a key that is none."""
    if not 0 < len(given) <= LONGEST or not given.isascii() or not given.isprintable():
        raise Broken(_("An Idempotency-Key has 1 to %(count)s plain signs, such as a UUID.", count=LONGEST))
    return digest("key", str(user_id), given)


def claim(key: str, request: str) -> Answer | None:
    """Take a key for this transaction: None when nobody has used it, else what its request was answered.

    Waits while another transaction is at work with it. Raises `Broken` (422) when the key was used for something else, and
    `Unanswered` when its request has committed without an answer so far.
    """
    if db.run(_claiming(db.is_sqlite), {"key": key, "request": request, "at": now()}).first():
        return None
    row = db.run(select(table.c.request, table.c.answer, table.c.at).where(table.c.key == key)).one()
    if row.at < now() - KEPT:
        fresh = update(table).where(table.c.key == key, table.c.at == row.at).values(request=request, answer=None, at=now())
        if db.run(fresh).rowcount:
            return None
    if row.request != request:
        raise Reused(_("This Idempotency-Key was used for another request, or before your rights changed. Take a new one for each thing."))
    told = unseal(key, row.answer) if row.answer else None
    if told is None:
        raise Unanswered(_("A request with this key has begun, and its answer is not known. Look whether it is done before you try again."))
    return Answer(**json.loads(told))


class Reused(Broken):
    """A key that was used for another request."""

    status, code = 422, "idempotency_key_reused"


class Unanswered(Conflict):
    """A key whose request has committed something, and is at work still or has died."""


def keep(key: str, request: str, answer: Answer) -> None:
    """Keep what the request of a claimed key is answered; in its transaction."""
    told = json.dumps({"status": answer.status, "headers": answer.headers, "body": answer.body})
    values = {"answer": seal(key, told), "request": request, "at": now()}
    if not db.run(_ANSWERED, {"claimed": key, **values}).rowcount:
        # The request took back all that it had written, the claim too, and then wrote again.
        db.run(_claiming(db.is_sqlite), {"key": key, **values})


def release(key: str, connection: Connection) -> None:
    """Let a claimed key go: what its request did may be done again. A key that somebody else has answered meanwhile stays."""
    connection.execute(delete(table).where(table.c.key == key, table.c.answer.is_(None)))


@job(every="1 day", at="03:50", system=True)
def forget_old_answers() -> None:
    """Removes answers kept for requests that are sent again, after a day"""
    db.session.execute(delete(table).where(table.c.at < now() - KEPT))
