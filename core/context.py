"""Who acts, through which door, in which language, and what time it is: one context, read everywhere, passed nowhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DOORS = ("screen", "api", "command line", "import", "job", "system")


@dataclass(slots=True)
class Actor:
    """The one on whose behalf code runs: a person at a door, or the system itself."""

    user_id: int | None = None
    login: str = ""
    name: str = ""
    door: str = "system"
    address: str | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    language: str = "en"
    zone: str = "UTC"
    system: bool = False
    on_behalf_id: int | None = None
    batch_title: str | None = None
    limits: Any = None
    """What narrows a person's rights at this door, such as the scopes of an API key; it has ``allow(table, verb)``."""
    memo: dict[Any, Any] = field(default_factory=dict)
    """What is true for this actor during one request or job: loaded rights, dictionaries, titles."""


_current: ContextVar[Actor | None] = ContextVar("mortise_actor", default=None)


def actor() -> Actor:
    """The acting person; an actor without any right when nobody was set."""
    # Nobody's memory lasts no longer than the question: what he learnt must not answer for a later state of the house.
    return _current.get() or Actor(door="system")


def set_actor(new: Actor | None) -> Any:
    """Make ``new`` the actor of this context and return the token that `reset_actor` takes."""
    return _current.set(new)


def reset_actor(token: Any) -> None:
    """Undo `set_actor`."""
    _current.reset(token)


@contextmanager
def acting(new: Actor) -> Iterator[Actor]:
    """Run a block as ``new``."""
    token = _current.set(new)
    try:
        yield new
    finally:
        _current.reset(token)


def look_again() -> None:
    """Forget what the acting person has learnt: long work asks rights and switches anew before each chunk. Its batch stays."""
    memo = actor().memo
    for name in [name for name in memo if name not in ("batch_id", "undoes")]:
        del memo[name]


@contextmanager
def system(reason: str = "") -> Iterator[Actor]:
    """Run a block with the system's eyes: every row is visible, no right is asked, the journal still says who acted.

    What was loaded inside is flushed and leaves the session at the end, so that a person's later reads cannot find it there.
    """
    from core.db import db

    before = actor()
    if before.system:
        yield before
        return
    session = db.session() if db.ready else None
    # Inside a flush nothing can be flushed; what is pending there is checked by that flush itself.
    flushes = session is not None and not session._flushing
    if session is not None and flushes and (session.new or session.dirty or session.deleted):
        # What the person has left pending is checked with the person's rights, never with the system's.
        session.flush()
    seen = set(session.identity_map.values()) if session is not None else set()
    own = replace(before, system=True)
    token = _current.set(own)
    try:
        yield own
        if session is not None and flushes and before.user_id is not None:
            session.flush()
    finally:
        if session is not None and before.user_id is not None:
            for record in list(session.identity_map.values()):
                if record not in seen and (flushes or not session.is_modified(record)):
                    session.expunge(record)
        _current.reset(token)


class Clock:
    """The one clock. Tests set it; nothing else in the house asks the operating system for the time of a rule."""

    def __init__(self) -> None:
        self._fixed: datetime | None = None
        self._shift = timedelta()

    def now(self) -> datetime:
        """The moment, in UTC, without zone, as the database stores it."""
        if self._fixed is not None:
            return self._fixed
        return datetime.now(UTC).replace(tzinfo=None) + self._shift

    def set(self, moment: datetime) -> None:
        """Stand still at ``moment`` (UTC)."""
        self._fixed = moment

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Inside, stand still at ``moment`` (UTC); afterwards go on as before."""
        kept, self._fixed = self._fixed, moment
        try:
            yield
        finally:
            self._fixed = kept

    def advance(self, delta: timedelta) -> None:
        """Go forward by ``delta``."""
        if self._fixed is not None:
            self._fixed += delta
        else:
            self._shift += delta

    def reset(self) -> None:
        """Follow the operating system again."""
        self._fixed, self._shift = None, timedelta()


clock = Clock()


def now() -> datetime:
    """The moment in UTC, as stored (`DESIGN` 12)."""
    return clock.now()


def zone_of(name: str) -> ZoneInfo:
    """The zone called ``name``; UTC when the name is unknown here."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def today() -> date:
    """Today in the firm's zone, which rules deadlines."""
    from core.settings import setting

    return now().replace(tzinfo=UTC).astimezone(zone_of(setting("firm.zone"))).date()


def local(moment: datetime) -> datetime:
    """A stored moment as the acting person's wall clock shows it (display only)."""
    return moment.replace(tzinfo=UTC).astimezone(zone_of(actor().zone))


def until_words(moment: datetime | None) -> str:
    """The end of a share, right or key as people name it: a day that ends at midnight is told by its own date, not by the next one."""
    if moment is None:
        return ""
    end = local(moment)
    if (end.hour, end.minute, end.second) == (0, 0, 0):
        return f"{end - timedelta(days=1):%Y-%m-%d}"
    return f"{end:%Y-%m-%d %H:%M}"
