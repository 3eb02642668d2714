"""Numbers and codes like C202611-00042: never given twice, in blocks of their own transaction, or without gaps where a rule says so."""

from __future__ import annotations

import os
import re
import threading
import time as stopwatch
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, event, inspect, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, Session

from core.context import now, today
from core.db import MortiseSession, among, db
from core.errors import Busy, Invalid, Misbuilt
from core.fields import Field
from core.fields import field as model_field
from core.i18n import gettext as _
from core.i18n import lazy
from core.model import Model, models
from core.state import cached_by_generation, generation, steers

LARGEST_BLOCK = 64
MOST_AT_ONCE = 500
QUICKLY = 1.0
"""Seconds: whoever asks again within them gets a block, so that a busy hour does not ask the database for each number."""
rehearsing: ContextVar[bool] = ContextVar("mortise_rehearsing", default=False)
"""True while something is tried that will be rolled back: its numbers are taken so that they come back with it."""
_TOKEN = re.compile(r"\{(yyyy|yy|mm|dd|0+)\}")


@steers
class NumberRule(Model):
    """How the numbers of one field look and where they have got to."""

    title_field = "key"
    never_deleted = lazy("A number rule is not deleted: its numbers would be given again.")
    key: Mapped[str] = model_field(unique=True, readonly=True, max_length=150, help="Table and field, like crm_client.code")
    pattern: Mapped[str] = model_field(max_length=80, help="{yyyy} {yy} {mm} {dd} and one run of zeros, like C{yyyy}{mm}-{00000}")
    reset: Mapped[str] = model_field(choices=["never", "year", "month"], default="never", label="Starts again")
    next_number: Mapped[int] = model_field(default=1)
    period: Mapped[str | None] = model_field(readonly=True, hidden=True, max_length=10)
    gapless: Mapped[bool] = model_field(
        default=False, label="Without gaps", help="The number is taken just before saving; others wait meanwhile"
    )


# -- patterns ---------------------------------------------------------------------------------------------------------


def wrong_pattern(pattern: str, reset: str) -> str | None:
    """The sentence for a pattern that would not give numbers, or give one twice; None when it is right."""
    tokens = _TOKEN.findall(pattern)
    if len(pattern) > 40:
        return _("A pattern has at most 40 characters.")
    if sum(one.startswith("0") for one in tokens) != 1 or "{" in _TOKEN.sub("", pattern) or "}" in _TOKEN.sub("", pattern):
        return _("A pattern has one run of zeros and, if wanted, {yyyy} {yy} {mm} {dd}: C{yyyy}{mm}-{00000}.")
    has_year, has_month = "yyyy" in tokens or "yy" in tokens, "mm" in tokens
    if (reset in ("year", "month") and not has_year) or (reset == "month" and not has_month):
        return _("Numbers that start again need the year, and each month also the month, in their pattern; else they would be given twice.")
    return None


def reset_of(pattern: str) -> str:
    """When numbers of a pattern from code start again: with the month or year that it shows."""
    tokens = _TOKEN.findall(pattern)
    has_year = "yyyy" in tokens or "yy" in tokens
    return "month" if has_year and "mm" in tokens else "year" if has_year else "never"


def period_of(reset: str, day: date) -> str:
    """The stretch of time in which a rule counts on: ``2026``, ``202611``, or nothing."""
    return {"year": f"{day:%Y}", "month": f"{day:%Y%m}"}.get(reset, "")


def write_number(pattern: str, number: int, day: date, period: str = "") -> str:
    """``C{yyyy}-{00000}`` with a number and a day; a ``period`` later than the day (a clock that is behind) wins over it."""
    year, month = (period[:4] or f"{day:%Y}"), (period[4:6] or f"{day:%m}")
    parts = {"yyyy": year, "yy": year[2:], "mm": month, "dd": f"{day:%d}"}
    return _TOKEN.sub(lambda found: parts.get(found[1]) or str(number).zfill(len(found[1])), pattern)


# -- giving numbers ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Stock:
    """What is left of the block that this process took, and how eagerly it asks."""

    valid_for: Any = None
    numbers: list[str] = field(default_factory=list)
    asked_at: float = 0.0
    block: int = 1


_lock = threading.Lock()
_stocks: dict[str, _Stock] = {}


def _after_fork() -> None:
    """A forked process must not give the numbers that its parent has in stock."""
    global _lock
    _lock = threading.Lock()
    _stocks.clear()


os.register_at_fork(after_in_child=_after_fork)


def next_numbers(rule_key: str, count: int, pattern: str) -> list[str]:
    """The next ``count`` numbers of a rule, which is made from ``pattern`` when the database has none yet.

    On PostgreSQL they come from a short transaction of their own, in blocks: nobody waits, and numbers of a transaction
    that is rolled back are lost. On SQLite a second transaction would wait for ours, which holds the one write lock, so
    numbers are taken in the main transaction. A gapless rule is always taken there, with its row locked until the commit,
    and so is any in a dry run.
    """
    if count < 1:
        return []
    day = today()
    if db.is_sqlite or rehearsing.get() or is_gapless(rule_key):
        return _take(db.session.connection(), rule_key, count, pattern, day)
    valid_for = (db.engine, generation(), day)
    with _lock:
        stock = _stocks.setdefault(rule_key, _Stock())
        if stock.valid_for != valid_for:
            # Another database, another day, or an administrator has changed the rule.
            stock.valid_for, stock.numbers, stock.block = valid_for, [], 1
        found, stock.numbers = stock.numbers[:count], stock.numbers[count:]
        if len(found) < count:
            moment = stopwatch.monotonic()
            stock.block = min(stock.block * 2, LARGEST_BLOCK) if moment - stock.asked_at < QUICKLY else 1
            stock.asked_at = moment
            fresh = _take_short(rule_key, max(count - len(found), stock.block), pattern, day)
            missing = count - len(found)
            found, stock.numbers = found + fresh[:missing], fresh[missing:]
    return found


def number_records(model: type, records: Sequence[Any]) -> None:
    """Give those of some new records that have no number yet the next ones of their rules."""
    for one in model.__fields__.values():  # type: ignore[attr-defined]
        if one.number_rule is None or is_gapless(f"{model.__tablename__}.{one.name}"):  # type: ignore[attr-defined]
            continue  # gapless ones come with the flush, whose savepoint gives them back
        given = {one.get(record) for record in records}
        empty = [record for record in records if one.get(record) is None]
        if empty:
            for record, number in zip(empty, _free_numbers(model, one, len(empty), given), strict=True):
                one.set(record, number)


def _free_numbers(model: Any, one: Field, count: int, given: set[Any]) -> list[str]:
    """The next numbers of a rule; those that a record has already, from a file or typed, are passed over."""
    free: list[str] = []
    ask = count
    while len(free) < count:
        drawn = next_numbers(f"{model.__tablename__}.{one.name}", ask, one.number_rule or "")
        if one.unique:
            taken = set(given)
            if not db.is_sqlite:
                # Drawn by another transaction, perhaps long ago; on SQLite they were looked at in this one.
                column = one.column(model)
                taken.update(db.run(select(column).where(among(column, drawn))).scalars())
            drawn = [number for number in drawn if number not in taken]
        free += drawn
        # A whole stretch may be taken: ask for twice as many, to be beyond it soon.
        ask = max(count - len(free), min(ask * 2, MOST_AT_ONCE))
    return free[:count]


def _take_short(rule_key: str, count: int, pattern: str, day: date) -> list[str]:
    try:
        with db.short() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            return _take(connection, rule_key, count, pattern, day)
    except OperationalError as error:
        raise Busy(_("The next number is being held by somebody who changes its rule; please try again in a moment.")) from error


def _take(connection: Connection, rule_key: str, count: int, pattern: str, day: date) -> list[str]:
    """Count on in a rule's row, which stays locked until the connection's transaction ends."""
    rule = NumberRule.__table__
    row = _locked(connection, rule_key, pattern)
    pattern = row.pattern if wrong_pattern(row.pattern, row.reset) is None else pattern
    # The later period wins: a process whose clock is behind must not start the old one again.
    period = max(period_of(row.reset, day), row.period or "")
    number = row.next_number if period == (row.period or "") else 1
    found: list[str] = []
    step = count
    while len(found) < count:
        several = range(number, number + step)
        step = min(step * 2 + 20, 1000)
        made = [write_number(pattern, one, day, period) for one in several]
        used = _used(connection, rule_key, made)
        for one, code in zip(several, made, strict=True):
            if len(found) < count:
                number = one + 1
                if code not in used:
                    found.append(code)
    connection.execute(update(rule).where(rule.c.id == row.id).values(next_number=number, period=period or None))
    return found


def _locked(connection: Connection, rule_key: str, pattern: str) -> Any:
    rule = NumberRule.__table__
    query = select(rule).where(rule.c.key == rule_key).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        _insert_rule(connection, rule_key, pattern)
        row = connection.execute(query).one()
    return row


def _insert_rule(connection: Connection, rule_key: str, pattern: str) -> int:
    reset = reset_of(pattern)
    if wrong := wrong_pattern(pattern, reset):
        raise Misbuilt(f"{rule_key}: {pattern!r} is not a pattern of numbers. {wrong}")
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"key": rule_key, "pattern": pattern, "reset": reset, "next_number": 1, "gapless": False, "created_at": now(), "version": 1}
    return connection.execute(dialect.insert(NumberRule.__table__).values(values).on_conflict_do_nothing(index_elements=["key"])).rowcount


def _used(connection: Connection, rule_key: str, codes: list[str]) -> set[str]:
    """Those of ``codes`` that records have already, because somebody typed or imported them."""
    table, _dot, name = rule_key.rpartition(".")
    model = models().get(table)
    one = model.__fields__.get(name) if model is not None else None
    if model is None or one is None or not one.indexed:
        return set()
    column = model.__table__.c[one.key]
    return set(connection.execute(select(column).where(among(column, codes))).scalars())


@cached_by_generation
def _gapless() -> frozenset[str]:
    rule = NumberRule.__table__
    query = select(rule.c.key).where(rule.c.gapless.is_(True))
    return frozenset(db.session.execute(query, execution_options={"mortise_rules": False}).scalars())


def is_gapless(rule_key: str) -> bool:
    """True when an administrator wants this rule's numbers without gaps; they are then given during the flush."""
    return rule_key in _gapless()


def seed_number_rules(session: Session | None = None) -> int:
    """Make the rows of all rules that models ask for, so that administrators find them; returns how many were new."""
    connection = (session or db.session()).connection()
    rule = NumberRule.__table__
    known = set(connection.execute(select(rule.c.key)).scalars())
    wanted = {f"{table}.{name}": one.number_rule for table, model in models().items() for name, one in model.__fields__.items()}
    return sum(_insert_rule(connection, key, pattern) for key, pattern in wanted.items() if pattern and key not in known)


# -- in the flush -----------------------------------------------------------------------------------------------------


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """Give numbers to new records that have none yet, and check what administrators do to a rule.

    A gapless number is given here and not before, so that a savepoint that is rolled back gives it back; the record keeps
    a mark, and when it is tried again it takes a number again.
    """
    waiting: dict[tuple[type, str], list[Any]] = {}
    for record in session.new:
        if isinstance(record, NumberRule):
            _check(session, record)
        for name in _numbered(type(record)):
            if getattr(record, name) is None or name in record.__dict__.get("_numbered_in_flush", ()):
                waiting.setdefault((type(record), name), []).append(record)
    for record in session.dirty:
        if isinstance(record, NumberRule) and session.is_modified(record):
            _check(session, record)
    for (model, name), found in sorted(waiting.items(), key=lambda pair: (pair[0][0].__tablename__, pair[0][1])):
        numbers = next_numbers(f"{model.__tablename__}.{name}", len(found), model.__fields__[name].number_rule)
        for record, number in zip(found, numbers, strict=True):
            setattr(record, name, number)
            record.__dict__.setdefault("_numbered_in_flush", set()).add(name)


def _numbered(model: type) -> list[str]:
    return [one.key for one in getattr(model, "__fields__", {}).values() if one.number_rule]


def _check(session: Session, record: NumberRule) -> None:
    record.reset = record.reset or "never"
    if wrong := wrong_pattern(record.pattern or "", record.reset):
        raise Invalid({"pattern": wrong})
    changed = inspect(record).attrs
    if record.id is None or not changed["next_number"].history.has_changes():
        return
    rule = NumberRule.__table__
    stored = session.connection().execute(select(rule.c.next_number).where(rule.c.id == record.id).with_for_update()).scalar_one()
    if record.next_number < max(1, 1 if changed["pattern"].history.has_changes() else stored):
        raise Invalid({"next_number": _("Numbers up to %(last)s have been given; the next one cannot be lower.", last=stored - 1)})


event.listen(MortiseSession, "before_flush", _before_flush, insert=True)
