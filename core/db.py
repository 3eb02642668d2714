"""The database: one engine, one session a request, and the few habits that make SQLite and PostgreSQL behave alike."""

from __future__ import annotations

import random
import select
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import psycopg
from flask import has_app_context
from flask.globals import app_ctx
from psycopg.pq import TransactionStatus
from sqlalchemy import ARRAY, ColumnElement, Connection, Engine, any_, create_engine, event, literal, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import immutabledict

LOCK_TIMEOUT_SECONDS = 30
IDLE_SECONDS = 10
PREPARED = {"mortise_prepared": True}
"""Option of a statement that each request asks, and whose plan does not depend on what is asked for: PostgreSQL plans it once."""


def _scope() -> Any:
    return id(app_ctx._get_current_object()) if has_app_context() else threading.get_ident()


class MortiseSession(Session):
    """The session of a request, job or command; `core.guard` and `core.journal` listen to it."""

    def _refuse(self, *_anything: Any, **_more: Any) -> None:
        raise RuntimeError("Records are written through records(…) or the session; no right and no journal sees a bulk method.")

    after_flushes: ClassVar[list[Callable[[Session], None]]] = []
    """Called after each flush, when the session can flush again: hooks may write and ask through the gate."""

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what is pending, and what hooks make of it. Within a flush it does nothing: that flush takes it along."""
        if self._flushing:
            return
        super().flush(objects)
        for listener in self.after_flushes:
            listener(self)

    bulk_save_objects = bulk_insert_mappings = bulk_update_mappings = _refuse


class Database:
    """The application's database; made once by `connect`, asked everywhere as `db`."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.session: scoped_session[MortiseSession] = scoped_session(
            sessionmaker(class_=MortiseSession, autoflush=False), scopefunc=_scope
        )

    @property
    def ready(self) -> bool:
        """True once `connect` was called."""
        return self.engine is not None

    @property
    def is_sqlite(self) -> bool:
        """True on the embedded database."""
        return self.engine is not None and self.engine.dialect.name == "sqlite"

    def connect(self, url: str, *, pool_size: int = 10) -> None:
        """Point the house at ``url``; an earlier engine is closed."""
        if self.engine is not None:
            self.session.remove()
            self.engine.dispose()
        self.engine = make_engine(url, pool_size=pool_size)
        self.session.configure(bind=self.engine)

    def read_only(self, *, singly: bool = False) -> None:
        """Make the rest of this request, or all until `remove`, unable to write: GET and HEAD never change anything.

        With ``singly`` each statement is a transaction of its own (PostgreSQL), where one or two are asked: beginning and ending cost
        as much as these.
        """
        session = self.session()
        options = {"mortise_read_only": True, "mortise_singly": singly}
        session.execution_options = immutabledict(session.execution_options).union(options)

    @property
    def is_read_only(self) -> bool:
        """True after `read_only`."""
        return bool(self.session().execution_options.get("mortise_read_only"))

    def remove(self) -> None:
        """Give the session's connection back; what was not committed is gone."""
        self.session.remove()

    def begin_anew(self) -> None:
        """End what has been read so far in this request; what follows may write."""
        session = self.session()
        session.close()
        session.execution_options = immutabledict()
        session.info.clear()

    def run(self, statement: Any, facts: Any = None) -> Any:
        """The result of a statement of the house itself, in the session's transaction: no record rule is added, nothing becomes an object.

        It spares what the session does for records, which takes longer than such a statement.
        """
        return self.session().connection().execute(statement, facts)

    def one_at_a_time(self, what: int, which: int = 0) -> None:
        """Wait until no other transaction is at ``what`` (a ``TURN_OF_…``) for ``which``, and keep the turn to the end.

        For checks of several rows that two transactions could each find right and break together. On SQLite all writers take turns.
        """
        if not self.is_sqlite:
            self.session.execute(text("SELECT pg_advisory_xact_lock(:what, :which)"), {"what": what, "which": which})

    @contextmanager
    def short(self) -> Iterator[Connection]:
        """A short transaction on a connection of its own, committed at the end (numbers, sign-in counters, leases)."""
        assert self.engine is not None
        with self.engine.connect() as connection:
            with connection.begin():
                yield connection


def make_engine(url: str, *, pool_size: int = 10, **more: Any) -> Engine:
    """An engine with the house's habits; `_sqlite_habits` says what SQLite needs."""
    if url.startswith("sqlite"):
        engine = create_engine(
            url, connect_args={"timeout": LOCK_TIMEOUT_SECONDS}, pool_size=pool_size, max_overflow=pool_size * 2, poolclass=QueuePool,
            **more,
        )  # fmt: skip
        _sqlite_habits(engine)
    else:
        if url.startswith("postgres://"):
            url = "postgresql://" + url.removeprefix("postgres://")
        if url.startswith("postgresql://"):
            url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
        # Only what is `PREPARED` is prepared on the server: its generic plan for a search was 1000 times slower than one for the words.
        engine = create_engine(
            url, connect_args={"prepare_threshold": sys.maxsize}, pool_size=pool_size, max_overflow=pool_size,
            pool_recycle=1800, **more,
        )  # fmt: skip
        event.listen(engine, "checkin", _write_again)
        event.listen(engine, "checkout", _still_there)
        event.listen(engine, "do_execute", _prepared)
        dialect: Any = engine.dialect
        dialect.do_rollback = _end
    return engine


def _write_again(connection: Any, record: Any) -> None:
    record.info["given_back"] = time.monotonic()
    if connection is not None and connection.read_only:
        connection.read_only, connection.autocommit = None, False


def _prepared(cursor: Any, statement: str, facts: Any, context: Any) -> bool:
    """Run a statement that is `PREPARED`: true, the engine has no more to do with it."""
    if not context.execution_options.get("mortise_prepared"):
        return False
    cursor.execute(statement, facts, prepare=True)
    return True


def _end(connection: Any) -> None:
    """Take back what was written, or end what has only read: at a rollback the driver forgets all that is prepared."""
    if connection.read_only and connection.driver_connection.info.transaction_status == TransactionStatus.INTRANS:
        connection.commit()
    else:
        connection.rollback()


def _still_there(connection: Any, record: Any, _proxy: Any) -> None:
    """Take no connection from the pool whose server has gone. Only one that was idle for long is asked, which costs a way there and back.

    A server that ends its connections says so: then there is something to read, though nothing was asked.
    """
    poll = select.poll()
    idle = time.monotonic() - record.info.get("given_back", time.monotonic())
    try:
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0) or idle >= IDLE_SECONDS:
            _ask(connection)
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def _ask(connection: Any) -> None:
    before, connection.autocommit = connection.autocommit, True
    connection.execute("SELECT 1")
    connection.autocommit = before


def _sqlite_habits(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own BEGIN is deferred and too late; SQLAlchemy's begin event below emits the right one.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={LOCK_TIMEOUT_SECONDS * 1000}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "cache_size=-32000",
            "mmap_size=268435456",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        read_only = bool(connection.get_execution_options().get("mortise_read_only"))
        # Straight to the driver: on its way through SQLAlchemy such a word takes as long as the statement of a page.
        raw: Any = connection.connection.driver_connection
        if connection.info.get("read_only") is not read_only:
            raw.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
            connection.info["read_only"] = read_only
        if read_only:
            raw.execute("BEGIN")
        else:
            # Two requests that read first and write later can neither dead-lock nor lose an update (DESIGN 9).
            _wait_for_turn(connection)


def _wait_for_turn(connection: Connection) -> None:
    """BEGIN IMMEDIATE, asked for every few milliseconds while somebody else writes.

    SQLite's own waiting sleeps up to 100 ms at a time, during which those who came later pass: of eight writers some
    waited for over a second while the median waited 50 ms.
    """
    raw: Any = connection.connection.driver_connection
    (patience,) = raw.execute("PRAGMA busy_timeout").fetchone()
    until = time.monotonic() + patience / 1000
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    break
            time.sleep(0.001 + random.random() * 0.003)  # noqa: S311
        # Once more through SQLAlchemy, which tells what is wrong in its own words.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        raw.execute(f"PRAGMA busy_timeout={patience}")


@event.listens_for(MortiseSession, "after_begin")
def _begin_read_only(session: Session, _transaction: Any, connection: Connection) -> None:
    if session.execution_options.get("mortise_read_only") and connection.dialect.name == "postgresql":
        # Said in the driver's BEGIN, which it sends with the first statement: a statement less.
        raw: Any = connection.connection.driver_connection
        raw.read_only = True
        raw.autocommit = bool(session.execution_options.get("mortise_singly"))


db = Database()

TURN_OF_PEOPLE, TURN_OF_POSTS, TURN_OF_SEALS = 7216, 7217, 7218
"""What takes turns on PostgreSQL: rights, levels, superiors, departments, judged by all of them; one person's posts; the chain of seals."""


def among(column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """``column`` is one of ``values``; on PostgreSQL as one array: 500 parameters take longer to be read than to be answered."""
    if db.is_sqlite:
        return column.in_(list(values))  # type: ignore[no-any-return]
    return column == any_(literal(list(values), ARRAY(column.type)))


def put_rows(connection: Connection, table: Any, names: Iterable[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, whose values stand in the order of ``names``, without a parameter each by name; on PostgreSQL by COPY.

    Raises SQLAlchemy's errors (IntegrityError, DataError, …) like any insert.
    """
    if not rows:
        return
    dialect: Any = connection.dialect
    columns = [table.c[name] for name in names]
    stored = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns]
    values = [map(process, each) if process else each for process, each in zip(stored, zip(*rows, strict=True), strict=True)]
    into = f'"{table.name}" ({", ".join(column.name for column in columns)})'
    if dialect.name == "sqlite":
        places = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {into} VALUES ({places})", list(zip(*values, strict=True)))  # noqa: S608
        return
    raw: Any = connection.connection.driver_connection
    try:
        with raw.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
            for row in zip(*values, strict=True):
                copy.write_row(row)
    except dialect.dbapi.Error as error:
        raise DBAPIError.instance(f"COPY {into}", None, error, dialect.dbapi.Error, dialect=dialect) from error
