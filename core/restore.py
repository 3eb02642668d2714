"""Putting a backup back: checked first, built beside the present data, and swapped in when it is whole."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import sqlite3
import time as stopwatch
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from core.backup import EMPTY, Went, backup, data_tables, fresh_name
from core.backup_copies import PASSPHRASE, remove_old_copies
from core.backup_copies import told as lies
from core.backup_file import inspect_backup, opened, read_back
from core.config import Config
from core.db import db
from core.errors import Problem
from core.i18n import gettext as _
from core.i18n import ngettext
from core.restore_leftovers import BUILD, building, builds
from core.restore_mark import RestoreMark, forget_mark, put_mark, read_mark, swapped, write_mark

CHUNK = 500
Say = Callable[[str], Any]
Stage = Callable[[str, int, int], Any]
LONGEST_LINE = 256 * 2**20
"""Bytes of one row at most: a forged file must not fill the memory."""


@dataclass
class _Told:
    """Whom the building tells what."""

    say: Say
    rows: Callable[[int], Any]
    done: int = 0

    def more(self, rows: int) -> None:
        """So many rows more are in."""
        self.done += rows
        self.rows(self.done)


def restore(config: Config, path: Path, say: Say = print, *, passphrase: str = "", went: Stage = lambda stage, done, total: None) -> None:
    """Replace all data by what ``path`` holds. The present data are backed up first; a failure leaves them as they were.

    ``went`` is told the stage (check, copy, files, rows, search), how much of it is done, and of how much.
    """
    manifest = inspect_backup(path, passphrase, lambda done, total: went("check", done, total))
    assert db.engine is not None
    with alone(config):
        _nobody_connected(db.engine)
        if inspect(db.engine).has_table("alembic_version"):
            finish(config)
            went("copy", 0, 0)
            say(f"The data before this are in {lies(_copy(config, lambda done, total: went('copy', done, total)))}.")
        with opened(path, passphrase) as source:
            went("files", 0, 0)
            _put_files(config, source, manifest)
            manifest["mark"] = _mark(config, source, say)
            told = _Told(say, lambda done: went("rows", done, sum(manifest["tables"].values())))
            try:
                (_into_sqlite if db.is_sqlite else _into_postgres)(config, source, manifest, told)
            except BaseException:
                forget_mark(config)
                raise
        say("Making the search index anew …")
        went("search", 0, 0)
        finish(config)
        for name in remove_old_copies(config.data / "backups", "restore", path):
            say(f"{name} was removed, since there are newer copies.")


def _copy(config: Config, went: Went) -> Path:
    """The backup of the present data; encrypted as those of the schedule are, so that no restore leaves all in the clear."""
    from core.app import create_app
    from core.backup_list import LOCKED, note
    from core.secret_box import kept_secret, table

    assert db.engine is not None
    with create_app(config, check_schema=False).app_context():
        # A database that waits for its migrations may have no secrets yet.
        passphrase = kept_secret(PASSPHRASE) if inspect(db.engine).has_table(table.name) else None
        db.remove()
        path = fresh_name(config.data / "backups", "before-restore", LOCKED if passphrase else ".zip")
        backup(config, path, passphrase=passphrase or "", went=went)
        # Whoever needs it has nothing else.
        note(config, path, read_back(path, passphrase or ""), checked=True)
        db.remove()
    return path


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """Refuses while a server or job process of this data folder runs, and keeps them from starting."""
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.data / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(_("Mortise is running on this data folder; stop it first, then restore.")) from None
        yield


def _nobody_connected(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    for _look in range(10):
        if not (others := _connections(engine)):
            return
        # What has just been stopped may take a moment to leave.
        stopwatch.sleep(0.5)
    raise Problem(
        ngettext(
            "%(count)s other connection uses this database; stop the servers and job processes on all machines first.",
            "%(count)s other connections use this database; stop the servers and job processes on all machines first.",
            others,
        )
    )


def _connections(engine: Engine) -> int:
    engine.dispose()
    query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend' AND usename = current_user"""
    with engine.connect() as connection:
        others = connection.scalar(text(query))
    engine.dispose()
    return int(others or 0)


# -- building -----------------------------------------------------------------------------------------------------------


def _into_sqlite(config: Config, source: zipfile.ZipFile, manifest: dict[str, Any], told: _Told) -> None:
    from core.migrate import migration_engine

    assert db.engine is not None
    place = Path(str(db.engine.url.database))
    leftovers = building(place)
    fresh = leftovers[0]
    for one in leftovers:
        one.unlink(missing_ok=True)
    engine = migration_engine(f"sqlite:///{fresh}")
    try:
        with engine.connect() as connection:
            _build(connection, source, manifest, told)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3)
            connection.rollback()
            if broken:
                raise Problem(_("The backup holds rows that point at nothing (%(row)s), so nothing was changed.", row=broken[0]))
        raw = engine.raw_connection()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
        raw.close()
        engine.dispose()
        fresh.chmod(0o600)
        with fresh.open("rb") as whole:
            os.fsync(whole.fileno())
        url = str(config.database)
        db.remove()
        db.engine.dispose()
        _empty_log(place)
        # The old log must not be applied to the new file.
        for ending in ("-wal", "-shm"):
            Path(f"{place}{ending}").unlink(missing_ok=True)
        os.replace(fresh, place)
        db.connect(url, pool_size=2)
    finally:
        engine.dispose()
        for one in leftovers:
            one.unlink(missing_ok=True)


def _empty_log(place: Path) -> None:
    """Put what the present database has only in its log into its file: whoever kills us before the swap must find it whole."""
    if place.exists():
        with closing(sqlite3.connect(place)) as old:
            busy, *_rest = old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Problem(_("Somebody else uses this database; stop the servers and job processes, then restore."))


def _into_postgres(config: Config, source: zipfile.ZipFile, manifest: dict[str, Any], told: _Told) -> None:
    """Built in a schema of its own, whose tables then take the place of the present ones in one transaction."""
    assert db.engine is not None
    url = db.engine.url
    plain = create_engine(url, poolclass=NullPool)
    inside = create_engine(url, poolclass=NullPool, connect_args={"options": f"-csearch_path={BUILD}"})
    try:
        with builds(plain):
            _in_schema(plain, inside, source, manifest, told)
    finally:
        inside.dispose()
        plain.dispose()
        db.engine.dispose()


def _in_schema(plain: Engine, inside: Engine, source: zipfile.ZipFile, manifest: dict[str, Any], told: _Told) -> None:
    with plain.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {BUILD} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {BUILD}"))
    try:
        with inside.connect() as connection:
            _build(connection, source, manifest, told)
        with plain.begin() as connection:
            look = inspect(connection)
            new, home = set(look.get_table_names(schema=BUILD)), connection.scalar(text("SELECT current_schema()"))
            for name in _replaced(look, new):
                connection.execute(text(f'DROP TABLE "{home}"."{name}" CASCADE'))
            for name in sorted(new):
                connection.execute(text(f'ALTER TABLE {BUILD}."{name}" SET SCHEMA "{home}"'))
    finally:
        with suppress(Exception), plain.begin() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {BUILD} CASCADE"))


def _replaced(look: Any, new: set[str]) -> list[str]:
    """Tables of ours that stand in the way, and those of addons that went away: they point at ours."""
    from core.migrations.writing import metadata

    there = set(look.get_table_names())
    ours = there & (new | set(metadata().tables) | {"alembic_version", "core_search"})
    grown = True
    while grown:
        pointing = {name for name in there - ours if any(key["referred_table"] in ours for key in look.get_foreign_keys(name))}
        grown = bool(pointing)
        ours |= pointing
    return sorted(ours)


def _build(connection: Connection, source: zipfile.ZipFile, manifest: dict[str, Any], told: _Told) -> None:
    """Tables as they were when the backup was made, then its rows, then what newer code needs."""
    from core.migrate import run_to
    from core.search import create_search

    heads = {head.rsplit("_", 1)[0]: head for head in manifest["migrations"]}
    run_to(connection, heads)
    with connection.begin():
        tables = {table.name: table for table in data_tables(connection)}
        if unknown := sorted(name for name, rows in manifest["tables"].items() if rows and name not in tables):
            raise Problem(_("The backup holds the table %(name)s, which no migration here makes; nothing was changed.", name=unknown[0]))
        keys = _defer_references(connection)
        for name in manifest["tables"]:
            if name in tables and name not in EMPTY:
                _load(connection, source, tables[name], manifest["columns"][name], manifest["tables"][name], told)
        _check_references(connection, keys)
        _set_last_ids(connection, manifest["last_ids"])
    told.say(f"{sum(manifest['tables'].values())} rows put back.")
    run_to(connection, None)
    with connection.begin():
        create_search(connection)
        put_mark(connection, manifest["mark"])


def _load(connection: Connection, source: zipfile.ZipFile, table: Table, columns: list[str], count: int, told: _Told) -> None:
    readers = [_reader(table.c[name].type) if name in table.c else None for name in columns]
    if None in readers:
        raise Problem(_("The backup’s table %(name)s has columns that no migration here makes; nothing was changed.", name=table.name))
    number, rows = 0, []
    with _row_by_row(table.name), source.open(f"tables/{table.name}.jsonl") as stream:
        while line := stream.readline(LONGEST_LINE):
            values = json.loads(line)
            rows.append({name: None if value is None else read(value) for name, read, value in zip(columns, readers, values, strict=True)})  # type: ignore[misc]
            number += 1
            if len(rows) >= CHUNK:
                connection.execute(table.insert(), rows)
                told.more(len(rows))
                rows = []
        if rows:
            connection.execute(table.insert(), rows)
            told.more(len(rows))
    if number != count:
        sentence = _(
            "The backup should have %(wanted)s rows of %(name)s, but has %(found)s; nothing was changed.",
            wanted=count, name=table.name, found=number,
        )  # fmt: skip
        raise Problem(sentence)


@contextmanager
def _row_by_row(name: str) -> Iterator[None]:
    """Rows that read as none, or that this database does not take, are told with the table that they are of."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, DBAPIError) as problem:
        why = (str(getattr(problem, "orig", problem)).strip().splitlines() or [type(problem).__name__])[0][:200]
        sentence = _("The backup’s table %(name)s holds a row that cannot be put back (%(why)s); nothing was changed.", name=name, why=why)
        raise Problem(sentence) from problem


def _reader(kind: Any) -> Callable[[Any], Any]:
    try:
        python = kind.python_type
    except NotImplementedError:
        python = None
    if python is datetime:
        return datetime.fromisoformat
    if python is date:
        return date.fromisoformat
    if python is time:
        return time.fromisoformat
    if python is Decimal:
        return lambda value: Decimal(str(value))
    if python is bytes:
        return lambda value: base64.b64decode(value["base64"])
    if python is bool:
        return bool
    return lambda value: value


def _defer_references(connection: Connection) -> list[tuple[str, str]]:
    """Let rows come in any order: PostgreSQL looks at references only at the end (SQLite's are off while building)."""
    if connection.dialect.name != "postgresql":
        return []
    query = """SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint
        WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"""
    keys = [(table, name) for table, name in connection.execute(text(query))]
    for table, name in keys:
        connection.execute(text(f"ALTER TABLE {table} ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED"))
    return keys


def _check_references(connection: Connection, keys: list[tuple[str, str]]) -> None:
    if not keys:
        return
    connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    for table, name in keys:
        connection.execute(text(f"ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE"))


def _set_last_ids(connection: Connection, last: dict[str, int]) -> None:
    for name, number in last.items():
        if number and inspect(connection).has_table(name):
            set_last_id(connection, name, number)


def set_last_id(connection: Connection, table: str, number: int) -> None:
    """The next id of ``table`` will be higher than ``number``."""
    if connection.dialect.name == "sqlite":
        if not connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table)).rowcount:
            connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))
        return
    sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:name, 'id')"), {"name": f'"{table}"'})
    if sequence:
        highest = f'SELECT greatest(:number, coalesce(max(id), 0), 1) FROM "{table}"'  # noqa: S608 - the name of one of our tables
        connection.execute(text(f"SELECT setval(:sequence, ({highest}))"), {"sequence": sequence, "number": number})


# -- beside the database ------------------------------------------------------------------------------------------------


def _put_files(config: Config, source: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
    """Files are named by their content, parts of the journal by their second: what is there already is the same; none is removed."""
    # Written where uploads are, which the night sweeps: what we leave when we are killed is no content of the store.
    incoming = config.data / "files" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in manifest["sha256"]:
        folder = name.partition("/")[0]
        if folder not in ("files", "journal") or (folder == "journal" and (config.data / name).exists()):
            continue
        target = (config.data / name).resolve()
        if not target.is_relative_to((config.data / folder).resolve()):
            raise Problem(_("The backup names a file outside of its folder (%(name)s); nothing was changed.", name=name))
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = incoming / f"restore-{os.getpid()}"
        with source.open(name) as stream, draft.open("wb") as copy:
            while piece := stream.read(1 << 20):
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        os.replace(draft, target)


def _mark(config: Config, source: zipfile.ZipFile, say: Say) -> int:
    """Note what has to follow the swap, so that it also follows when we are killed between the two."""
    key = source.read("secret-key").decode().strip() if "secret-key" in source.namelist() else ""
    if key and config.secret_key:
        say("The backup's key is left out, since MORTISE_SECRET_KEY is set; make sure that it is the same one.")
        key = ""
    return write_mark(config, key)


def finish(config: Config) -> str:
    """Do what follows the swap of a restore, also of one that was killed. What came of it, in a sentence; empty when there was none."""
    mark: RestoreMark | None = read_mark(config)
    if mark is None:
        return ""
    assert db.engine is not None
    if not swapped(db.engine, mark):
        mark.path.unlink(missing_ok=True)
        return "A restore was interrupted before it had changed anything: the data are those from before it. Restore the backup once more."
    if mark.key:
        put_key(config, mark.key)
    _after(config)
    mark.path.unlink(missing_ok=True)
    return "A restore that had been interrupted was brought to its end."


def put_key(config: Config, key: str) -> None:
    """Put the installation's key in place of the present one, in one step."""
    place = config.data / "secret-key"
    draft = place.with_name(f".{place.name}.restored")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(key + "\n")
    os.replace(draft, place)


def _after(config: Config) -> None:
    """What is computed from rows: the search index, indexes of custom fields, what code asks for. A first password opens nothing now."""
    from core.backup_jobs import end_those_of_then
    from core.context import Actor, acting, system
    from core.custom_jobs import ensure_indexes
    from core.first import seed
    from core.model import models
    from core.search import rebuild
    from core.state import bump, forget_cached

    config.first_password_file.unlink(missing_ok=True)
    forget_cached()
    with acting(Actor(door="system", batch_title="Restore")), system("restore"):
        for model in list(models().values()):
            last: int | None = 0
            while last is not None:
                last = rebuild(db.session(), model, last)
                db.session.commit()
        ensure_indexes()
        end_those_of_then()
        bump()
        db.session.commit()
    seed(config)
    db.remove()
