"""Every change as a dated, attributed, reversible row, written in the same transaction by one listener on the session."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    DateTime,
    Index,
    Integer,
    String,
    Text,
    bindparam,
    event,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.orm.base import NO_VALUE

from core import hooks
from core.context import acting, actor, look_again, now
from core.db import PREPARED, MortiseSession, db, put_rows
from core.fields import Field
from core.model import FabModel, Recorded, part_of

_big = BigInteger().with_variant(Integer(), "sqlite")


class Batch(FabModel):
    """What belongs together: one request, one import, one undo."""

    __tablename__ = "core_batch"
    __table_args__ = {"sqlite_autoincrement": True, "info": {"addon": "core"}}

    id: Mapped[int] = mapped_column(_big, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime, nullable=False, index=True)
    user_id: Mapped[int | None] = mapped_column(Integer, nullable=True, index=True)
    door: Mapped[str] = mapped_column(String(20), nullable=False)
    title: Mapped[str | None] = mapped_column(String(200), nullable=True)
    undoes: Mapped[int | None] = mapped_column(_big, nullable=True)
    undone_by: Mapped[int | None] = mapped_column(_big, nullable=True)


_kept_deletion = text("verb = 'delete' AND digest IS NULL")
RARE = {
    "verb": text("verb NOT IN ('create', 'edit', 'delete')"),
    "door": text("door NOT IN ('screen', 'import')"),
}
"""What an index finds; the usual ones stand in nearly every batch, so that walking back finds them at once."""


class JournalRow(FabModel):
    """One change of one record. Rows are only ever added; ``seal`` and ``hash`` are filled once, by `core.seal`."""

    __tablename__ = "core_journal"
    __table_args__ = (
        Index("ix_core_journal_model_record", "model", "record_id", "id"),
        Index("ix_core_journal_user_at", "user_id", "at"),
        Index(
            "ix_core_journal_model_part", "model", "part_of_id", "id",
            postgresql_where=text("part_of_id IS NOT NULL"), sqlite_where=text("part_of_id IS NOT NULL"),
        ),
        Index("ix_core_journal_deleted", "id", postgresql_where=_kept_deletion, sqlite_where=_kept_deletion),
        Index("ix_core_journal_model_batch", "model", "batch_id"),
        Index("ix_core_journal_model_at", "model", "at", "record_id"),
        Index("ix_core_journal_user_batch", "user_id", "batch_id"),
        Index("ix_core_journal_verb", "verb", "batch_id", postgresql_where=RARE["verb"], sqlite_where=RARE["verb"]),
        Index("ix_core_journal_door", "door", "batch_id", postgresql_where=RARE["door"], sqlite_where=RARE["door"]),
        {"sqlite_autoincrement": True, "info": {"addon": "core"}},
    )

    id: Mapped[int] = mapped_column(_big, primary_key=True)
    tx: Mapped[int] = mapped_column(_big, nullable=False)
    """Transaction number: PostgreSQL's own, on SQLite the id of the transaction's first row."""
    seal: Mapped[int | None] = mapped_column(_big, nullable=True, unique=True)
    """Consecutive, given after commit: “after row N” means after seal N, never after id N."""
    hash: Mapped[str | None] = mapped_column(String(64), nullable=True)
    batch_id: Mapped[int] = mapped_column(_big, nullable=False, index=True)
    at: Mapped[datetime] = mapped_column(DateTime, nullable=False, index=True)
    user_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    behalf_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    door: Mapped[str] = mapped_column(String(20), nullable=False)
    address: Mapped[str | None] = mapped_column(String(64), nullable=True)
    request_id: Mapped[str | None] = mapped_column(String(40), nullable=True)
    model: Mapped[str] = mapped_column(String(80), nullable=False)
    record_id: Mapped[int] = mapped_column(Integer, nullable=False)
    verb: Mapped[str] = mapped_column(String(20), nullable=False)
    part_of_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    """Of a line the record that it is, or until this change was, a part of: what finds lines that are gone."""
    changes: Mapped[str] = mapped_column(Text, nullable=False)
    """Canonical JSON: ``{field: [old, new]}``; of a deletion the whole row, ``{column: [value, null]}``."""
    digest: Mapped[str | None] = mapped_column(String(64), nullable=True)
    """SHA-256 of ``changes`` once they were erased for privacy (`core.journal_erase`); they are ``{}`` then."""
    veil: Mapped[str | None] = mapped_column(String(64), nullable=True)
    """Beside person and record in the hash: a random number, or once these were taken away the digest of both (`core.seal`)."""
    address_veil: Mapped[str | None] = mapped_column(String(64), nullable=True)
    """The same beside the address."""


journal, batches = JournalRow.__table__, Batch.__table__
LOOKING = ("read", "download", "print")
"""Verbs of those who change nothing: they stand in the journal, and not in the history that everybody reads beside a record."""
Index("ix_core_journal_unsealed", journal.c.id, postgresql_where=journal.c.seal.is_(None), sqlite_where=journal.c.seal.is_(None))


def canonical(value: Any) -> str:
    """JSON with one spelling for one value, so that its hash means something."""
    return _spell(value)


def plain(value: Any) -> Any:
    """A stored value as JSON knows it."""
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


_spell = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=plain).encode


@contextmanager
def batch(title: str, known: int | None = None) -> Iterator[None]:
    """Everything written inside belongs together and can be undone as one, also over several commits.

    ``known`` is the batch of an earlier process, which goes on here.
    """
    with acting(replace(actor(), batch_title=title[:200], memo={} if known is None else {"batch_id": known})):
        yield


def batch_id() -> int:
    """The batch of this request, job or `batch` block; made with the first change in it."""
    who = actor()
    found = who.memo.get("batch_id")
    if found is not None and db.session().info.pop("check_batch", False):
        if not db.session.execute(select(batches.c.id).where(batches.c.id == found)).first():
            found = None
    if found is None:
        session = db.session()
        values = {"at": now(), "user_id": who.user_id, "door": who.door, "title": who.batch_title, "undoes": who.memo.get("undoes")}
        found, newest = db.run(_NEW_BATCH, values).one()
        session.info.setdefault("tx", (newest or 0) + 1)
        who.memo["batch_id"] = found
        session.info["new_batch"] = (who.memo, session.get_nested_transaction() or session.get_transaction())
    return found


def undone(ids: list[int]) -> set[int]:
    """Those of these batches that have been taken back."""
    wanted = select(batches.c.id).where(batches.c.id.in_(ids), batches.c.undone_by.is_not(None))
    return set(db.session.execute(wanted).scalars()) if ids else set()


def write(model: str, record_id: int, verb: str, changes: dict[str, Any]) -> None:
    """Journal something that is not a change of a record: an export, a sign-in, a removal."""
    write_many([(model, record_id, verb, changes, None)])


def write_many(rows: Iterable[tuple[str, int, str, dict[str, Any], int | None]]) -> None:
    """Journal several of (model, id, verb, changes, whole that it is part of) by one statement."""
    _insert(db.session(), [_row(*row) for row in rows])


def write_beside(rows: Iterable[tuple[str, int, str, dict[str, Any], int | None]]) -> None:
    """Journal several in a short transaction of their own, as one batch, whatever becomes of the request."""
    with db.short() as connection:
        write_on(connection, rows)


def write_on(connection: Connection, rows: Iterable[tuple[str, int, str, dict[str, Any], int | None]]) -> None:
    """The same, in a short transaction that is there already."""
    who = actor()
    values = {"at": now(), "user_id": who.user_id, "door": who.door, "title": who.batch_title, "undoes": None}
    _put(connection, {}, connection.execute(_NEW_BATCH, values).scalar_one(), [_row(*row) for row in rows])


def _row(model: str, record_id: int, verb: str, changes: dict[str, Any], part_of_id: int | None = None) -> dict[str, Any]:
    return {"model": model, "record_id": record_id, "verb": verb, "part_of_id": part_of_id, "changes": canonical(changes)}


def _insert(session: Session, rows: list[dict[str, Any]]) -> None:
    number = batch_id()
    _put(session.connection(), session.info, number, rows)


def _put(connection: Connection, info: Any, batch: int, rows: list[dict[str, Any]]) -> None:
    who = actor()
    common = {
        "batch_id": batch, "at": now(), "user_id": who.user_id, "behalf_id": who.on_behalf_id, "door": who.door,
        "address": who.address, "request_id": who.request_id,
    }  # fmt: skip
    if not db.is_sqlite:
        # One statement for all rows: sent one by one, each is read and planned by the server.
        connection.execute(_PG_INSERT, {**common, **{name: [row[name] for row in rows] for name in ROW}})
        return
    tx = info.get("tx")
    if tx is None:
        tx = info["tx"] = (connection.execute(_NEWEST).scalar() or 0) + 1
    names = ("tx", *common, *ROW)
    put_rows(connection, journal, names, [(tx, *common.values(), *row.values()) for row in rows])


# Made once: making a statement takes longer than running it.
_NEWEST = select(func.max(journal.c.id))
_NEW_BATCH = insert(batches).returning(batches.c.id, _NEWEST.scalar_subquery()).execution_options(**PREPARED)
ROW = ("model", "record_id", "verb", "part_of_id", "changes")
_PG_INSERT = text(
    "INSERT INTO core_journal"
    " (tx, batch_id, at, user_id, behalf_id, door, address, request_id, model, record_id, verb, part_of_id, changes)"
    " SELECT pg_current_xact_id()::text::bigint, CAST(:batch_id AS bigint), CAST(:at AS timestamp), CAST(:user_id AS int),"
    " CAST(:behalf_id AS int), CAST(:door AS text), CAST(:address AS text), CAST(:request_id AS text),"
    " g.model, g.record_id, g.verb, g.part_of_id, g.changes"
    " FROM unnest(:model, :record_id, :verb, :part_of_id, :changes) WITH ORDINALITY"
    " AS g (model, record_id, verb, part_of_id, changes, place) ORDER BY g.place"
).bindparams(
    bindparam("model", type_=ARRAY(Text)), bindparam("record_id", type_=ARRAY(Integer)), bindparam("verb", type_=ARRAY(Text)),
    bindparam("part_of_id", type_=ARRAY(Integer)), bindparam("changes", type_=ARRAY(Text)),
).execution_options(**PREPARED)  # fmt: skip


# -- the listener -----------------------------------------------------------------------------------------------------


def changes_of(record: Any) -> dict[str, tuple[Any, Any]]:
    """``{field: (old, new)}`` of what the session would write for ``record``, by field name, custom fields included."""
    state = inspect(record)
    found: dict[str, tuple[Any, Any]] = {}
    fields = type(record).__fields__
    fresh = state.key is None
    if fresh:
        return _first_values(record, state)
    for one in fields.values():
        if one.kind.name == "links":
            history = state.attrs[one.name].history
            if history.added or history.deleted:
                before = sorted(item.id for item in [*history.unchanged, *history.deleted])
                found[one.name] = (before, sorted(item.id for item in [*history.unchanged, *history.added]))
            continue
        old, new, changed = _change(state, one)
        if changed and old != new:
            found[one.name] = (one.kind.json(old) if old is not None else None, one.kind.json(new) if new is not None else None)
    if "custom" in state.attrs:
        history = state.attrs["custom"].history
        if history.added or history.deleted:
            new_values = dict(record.custom or {})
            old_values = dict((history.deleted[0] if history.deleted else None) or {})
            for name in sorted(set(new_values) | set(old_values)):
                if old_values.get(name) != new_values.get(name):
                    found[name] = (old_values.get(name), new_values.get(name))
    return found


def _first_values(record: Any, state: Any) -> dict[str, tuple[Any, Any]]:
    """What a new record begins with. An import makes thousands of them, and asking SQLAlchemy's history for each value is slow."""
    given, found = state.dict, {}
    for one in type(record).__fields__.values():
        if one.kind.name == "links":
            # What is made in the same flush has no id yet; its own row in the journal tells of it.
            new = sorted(item.id for item in given.get(one.name) or () if item.id is not None) or None
        elif one.kind.name == "link" and one.name in given:
            # The author may have set the object instead of its id.
            new = _change(state, one)[1]
        else:
            new = given.get(one.key)
        if new is not None:
            found[one.name] = (None, one.kind.json(new))
    return found | {name: (None, value) for name, value in sorted((given.get("custom") or {}).items()) if value is not None}


def _change(state: Any, one: Field) -> tuple[Any, Any, bool]:
    history = state.attrs[one.key].history
    if not history.added and not history.deleted:
        return None, None, False
    return (history.deleted[0] if history.deleted else None), (history.added[0] if history.added else None), True


def complete(record: Any) -> None:
    """Bring what the author has written into the form in which rights, hooks and the journal read it.

    A link set by its object (``case.owner = u``) gets its id at once; the id of an object that is new itself follows during
    the flush. Of custom values changed in place, what was stored before is read, since only the new ones are in memory.
    """
    state = inspect(record)
    for one in type(record).__fields__.values():
        if one.kind.name == "link" and one.name in state.dict:
            history = state.attrs[one.name].history
            if history.added or history.deleted:
                related = state.dict[one.name]
                setattr(record, one.key, related.id if related is not None else None)
    if state.key is not None and state.committed_state.get("custom") is NO_VALUE:
        table = type(record).__table__
        stored = db.session.execute(select(table.c.custom).where(table.c.id == record.id)).scalar()
        state.committed_state["custom"] = stored


def snapshot(record: Any) -> dict[str, Any]:
    """All stored columns of a record, for the journal row of its deletion."""
    kept = {attribute.key: getattr(record, attribute.key) for attribute in inspect(type(record)).column_attrs}
    for hidden in ("password", *(one.key for one in type(record).__fields__.values() if one.sensitive)):
        kept.pop(hidden, None)
    for one in type(record).__fields__.values():
        if one.kind.name == "links":
            kept[one.name] = one.get(record)
    return {name: value for name, value in kept.items() if value is not None}


@event.listens_for(MortiseSession, "before_flush")
def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    from core.guard import check_writes
    from core.prepare import prepare

    pending: dict[Any, tuple[str, dict[str, tuple[Any, Any]]]] = {}
    for _round in range(10):
        fresh = [one for one in (*session.new, *session.dirty, *session.deleted) if one not in pending and isinstance(one, Recorded)]
        if not fresh:
            break
        for record in fresh:
            model = type(record)
            complete(record)
            if record in session.deleted:
                if hooks.has("before_delete", model):
                    hooks.call("before_delete", model, record=record)
                pending[record] = ("delete", {})
                continue
            if inspect(record).key is not None and not session.is_modified(record):
                continue
            verb = "create" if inspect(record).key is None else "edit"
            if hooks.has("before_save", model):
                hooks.call("before_save", model, record=record, changes=changes_of(record))
            prepare(record, verb)
            pending[record] = (verb, {})
    # What hooks and the house itself have put in is written, journalled and checked like everything else.
    pending = {record: (verb, {} if verb == "delete" else changes_of(record)) for record, (verb, _none) in pending.items()}
    check_writes(session, pending)
    session.info["pending"] = {
        record: (verb, {name: [value, None] for name, value in snapshot(record).items()} if verb == "delete" else changes)
        for record, (verb, changes) in pending.items()
    }


@event.listens_for(MortiseSession, "after_flush")
def _after_flush(session: Session, _context: Any) -> None:
    from core.search import index_records, search_fields

    # Asked again now: the flush has given ids to what was new, and links to new records theirs.
    pending = {
        record: (verb, changes if verb == "delete" else changes_of(record))
        for record, (verb, changes) in session.info.pop("pending", {}).items()
    }
    rows = []
    by_model: dict[type, tuple[list[Any], list[Any]]] = {}
    for record, (verb, changes) in pending.items():
        model = type(record)
        if verb == "edit" and not changes:
            continue
        hidden = {one.name for one in model.__fields__.values() if one.sensitive}
        told = {name: ["…", "…"] if name in hidden else list(pair) for name, pair in changes.items()}
        rows.append(_row(model.__tablename__, record.id, verb, told, _whole(record, verb, changes)))
        if verb != "edit" or not changes.keys().isdisjoint(search_fields(model)):
            by_model.setdefault(model, ([], []))[verb == "delete"].append(record)
    if rows:
        with session.no_autoflush:
            _insert(session, rows)
            for model, (saved, deleted) in by_model.items():
                if saved:
                    index_records(session, model, saved)
                if deleted:
                    index_records(session, model, deleted, deleted=True)
    session.info.setdefault("saved", []).extend((record, verb, changes) for record, (verb, changes) in pending.items() if changes)


listeners: list[Callable[[list[tuple[Any, str, Any]]], None]] = []
"""Of the house itself: called with (record or sketch, verb, changes) of all that was written by one flush, many records at once."""


def _tell_hooks(session: Session) -> None:
    """Call the after-hooks of what a flush has written; what they change themselves is flushed, and told, in turn."""
    for _round in range(20):
        saved = session.info.pop("saved", [])
        for record, verb, changes in saved:
            name = "after_delete" if verb == "delete" else "after_save"
            if not hooks.has(name, type(record)):
                continue
            arguments: dict[str, Any] = {"record": record}
            if verb != "delete":
                arguments["changes"] = {key: tuple(pair) for key, pair in changes.items()}
            hooks.call(name, type(record), **arguments)
        for listener in listeners if saved else ():
            listener(saved)
        if not saved or not (session.new or session.dirty or session.deleted):
            return
        Session.flush(session)
    raise RuntimeError("Hooks set each other off without end; a hook may only change what is not yet as it should be.")


MortiseSession.after_flushes.append(_tell_hooks)


@event.listens_for(MortiseSession, "after_commit")
def _after_commit(session: Session) -> None:
    # Also called for each savepoint, which keeps nothing yet.
    if not session.in_nested_transaction():
        for key in ("pending", "saved", "tx", "new_batch"):
            session.info.pop(key, None)


@event.listens_for(MortiseSession, "after_soft_rollback")
def _after_rollback(session: Session, ended: Any) -> None:
    for key in ("pending", "saved", "tx"):
        session.info.pop(key, None)
    memo, made_in = session.info.get("new_batch", (None, None))
    inside = made_in
    while inside is not None and inside is not ended:
        inside = inside.parent
    if memo is not None and inside is ended:
        memo.pop("batch_id", None)
        session.info.pop("new_batch")
    memo = actor().memo
    uncommitted = ended.nested and memo.get("uncommitted")
    look_again()
    if uncommitted:
        # Written before the savepoint, and still not true for others.
        memo["uncommitted"] = True


def _whole(record: Any, verb: str, changes: dict[str, Any]) -> int | None:
    """Of a line the id of the record that it was part of before this change, or is when it was not there yet."""
    link = part_of(type(record))
    if link is None:
        return None
    if verb == "edit" and link.name in changes:
        return changes[link.name][0]
    return link.get(record)
