"""One number tells every process that fields, dictionaries, settings or addons have changed: read once a request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, event, select
from sqlalchemy.orm import Session

from core.context import actor
from core.db import MortiseSession, db
from core.model import Model

_metadata: MetaData = Model.metadata
core_state = Table(
    "core_state",
    _metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

_lock = threading.Lock()
_bumped = threading.local()


GENERATION = select(core_state.c.value).where(core_state.c.name == "generation").scalar_subquery().label("generation")
"""A column for a statement that every request asks anyhow."""


def generation() -> int:
    """The generation of the configuration that this request sees; at most one statement a request."""
    found = actor().memo.get("generation")
    return know_generation(db.session.execute(select(GENERATION)).scalar()) if found is None else found


def know_generation(found: int | None) -> int:
    """Take note of what the statement of a request has read as `GENERATION`."""
    number: int = actor().memo.setdefault("generation", found or 0)
    return number


def bump() -> None:
    """Say that configuration has changed; takes effect with the transaction it is part of, for all other processes."""
    session = db.session()
    done = session.execute(core_state.update().where(core_state.c.name == "generation").values(value=core_state.c.value + 1))
    if not done.rowcount:
        session.execute(core_state.insert().values(name="generation", value=1))
    memo = actor().memo
    batch = {name: memo[name] for name in ("batch_id", "undoes") if name in memo}
    memo.clear()
    memo.update(batch)
    actor().memo["generation"] = session.execute(select(core_state.c.value).where(core_state.c.name == "generation")).scalar()
    # What this transaction computes from now on is not yet true for others: it must not reach the process's caches.
    actor().memo["uncommitted"] = True


_steering: list[type] = []
_caches: list[dict[str, Any]] = []


def steers(model: type) -> type:
    """Mark a model whose rows are configuration: each change of one bumps the generation, through whichever door it comes."""
    _steering.append(model)
    return model


@event.listens_for(MortiseSession, "after_flush")
def _bump_after_flush(session: Session, _context: Any) -> None:
    if any(isinstance(one, tuple(_steering)) for one in (*session.new, *session.dirty, *session.deleted)):
        bump()


def cached_by_generation(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a function's results in this process until the generation changes.

    Results computed in a transaction that itself bumped the generation live only in the request's memo,
    since the transaction may still be rolled back.
    """
    kept: dict[str, Any] = {"generation": None, "values": {}}
    _caches.append(kept)

    @wraps(compute)
    def cached(*args: Any) -> Any:
        current = generation()
        memo = actor().memo
        if memo.get("uncommitted"):
            own = memo.setdefault(("uncommitted", compute), {})
            if args not in own:
                own[args] = compute(*args)
            return own[args]
        with _lock:
            if kept["generation"] != current:
                kept["generation"], kept["values"] = current, {}
            values = kept["values"]
        if args not in values:
            values[args] = compute(*args)
        return values[args]

    return cached


def forget_cached() -> None:
    """Other data have come into the database, whose generation may be the number that is known: keep nothing in this process."""
    actor().memo.clear()
    with _lock:
        for kept in _caches:
            kept["generation"] = None
