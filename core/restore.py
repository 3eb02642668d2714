"""Putting a backup back: checked first, built beside the present data, and swapped in when it is whole."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from core.backup import EMPTY, FORMAT, backup, data_tables, fresh_name
from core.config import Config, write_private
from core.db import db
from core.errors import Problem

BUILD = "mortise_restore"
CHUNK = 500
Say = Callable[[str], Any]


def inspect_backup(path: Path) -> dict[str, Any]:
    """The manifest of a backup that is whole and fits this code; raises `Problem` with the reason when it is not."""
    if not path.is_file():
        raise Problem(f"There is no file {path}.")
    try:
        with zipfile.ZipFile(path) as source:
            manifest = json.loads(source.read("manifest.json"))
            if not isinstance(manifest, dict) or "format" not in manifest:
                raise KeyError
            if manifest["format"] > FORMAT:
                raise Problem(f"{path} was written by a newer Mortise ({manifest.get('version')}); restore it with that version.")
            _check_members(path, source, manifest)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, EOFError, OSError) as problem:
        raise Problem(f"{path} is damaged or no backup of Mortise, so nothing was changed. ({type(problem).__name__})") from problem
    _check_migrations(path, manifest)
    return manifest


def _check_members(path: Path, source: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
    names = set(source.namelist()) - {"manifest.json"}
    if missing := sorted(set(manifest["sha256"]) - names):
        raise Problem(f"{path} is damaged: {missing[0]} is missing in it. Nothing was changed.")
    for name, wanted in manifest["sha256"].items():
        digest = hashlib.sha256()
        with source.open(name) as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
        if digest.hexdigest() != wanted:
            raise Problem(f"{path} is damaged: {name} has changed since the backup was made. Nothing was changed.")


def _check_migrations(path: Path, manifest: dict[str, Any]) -> None:
    from core.migrate import branches

    known = branches()
    for head in manifest["migrations"]:
        addon = head.rsplit("_", 1)[0]
        if addon not in known:
            raise Problem(f"{path} holds data of the addon {addon}, which is not on disk here: put its folder into addons, then try again.")
        if head not in known[addon].revisions:
            raise Problem(
                f"{path} is newer than this code ({head} is not known here):"
                f" install the version {manifest['version']} or newer, then try again."
            )


def restore(config: Config, path: Path, say: Say = print) -> None:
    """Replace all data by what ``path`` holds. The present data are backed up first; a failure leaves them as they were."""
    manifest = inspect_backup(path)
    assert db.engine is not None
    with alone(config):
        _nobody_connected(db.engine)
        if inspect(db.engine).has_table("alembic_version"):
            before = fresh_name(config.data / "backups", "before-restore", ".zip")
            _copy(config, before)
            say(f"The data before this are in {before}.")
        with zipfile.ZipFile(path) as source:
            _put_files(config, source, manifest)
            (_into_sqlite if db.is_sqlite else _into_postgres)(config, source, manifest, say)
            _put_key(config, source, say)
        say("Making the search index anew …")
        _after(config)


def _copy(config: Config, path: Path) -> None:
    from core.app import create_app

    with create_app(config, check_schema=False).app_context():
        backup(config, path)
        db.remove()


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """Refuses while a server or job process of this data folder runs, and keeps them from starting."""
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.data / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem("Mortise is running on this data folder; stop it first, then restore.") from None
        yield


def _nobody_connected(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    engine.dispose()
    query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend' AND usename = current_user"""
    with engine.connect() as connection:
        others = connection.scalar(text(query))
    engine.dispose()
    if others:
        raise Problem(
            f"{others} other connection{'s use' if others > 1 else ' uses'} this database;"
            " stop the servers and job processes on all machines first."
        )


# -- building -----------------------------------------------------------------------------------------------------------


def _into_sqlite(config: Config, source: zipfile.ZipFile, manifest: dict[str, Any], say: Say) -> None:
    from core.migrate import migration_engine

    assert db.engine is not None
    place = Path(str(db.engine.url.database))
    fresh = place.with_name(f".{place.name}.restore")
    leftovers = [Path(f"{one}{ending}") for one in (fresh,) for ending in ("", "-wal", "-shm")]
    for one in leftovers:
        one.unlink(missing_ok=True)
    engine = migration_engine(f"sqlite:///{fresh}")
    try:
        with engine.connect() as connection:
            _build(connection, source, manifest, say)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3)
            connection.rollback()
            if broken:
                raise Problem(f"The backup holds rows that point at nothing ({broken[0]}), so nothing was changed.")
        raw = engine.raw_connection()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
        raw.close()
        engine.dispose()
        fresh.chmod(0o600)
        url = str(config.database)
        db.remove()
        db.engine.dispose()
        # The old log must not be applied to the new file.
        for ending in ("-wal", "-shm"):
            Path(f"{place}{ending}").unlink(missing_ok=True)
        os.replace(fresh, place)
        db.connect(url, pool_size=2)
    finally:
        engine.dispose()
        for one in leftovers:
            one.unlink(missing_ok=True)


def _into_postgres(config: Config, source: zipfile.ZipFile, manifest: dict[str, Any], say: Say) -> None:
    """Built in a schema of its own, whose tables then take the place of the present ones in one transaction."""
    assert db.engine is not None
    url = db.engine.url
    plain = create_engine(url, poolclass=NullPool)
    inside = create_engine(url, poolclass=NullPool, connect_args={"options": f"-csearch_path={BUILD}"})
    with plain.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {BUILD} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {BUILD}"))
    try:
        with inside.connect() as connection:
            _build(connection, source, manifest, say)
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
        inside.dispose()
        plain.dispose()
        db.engine.dispose()


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


def _build(connection: Connection, source: zipfile.ZipFile, manifest: dict[str, Any], say: Say) -> None:
    """Tables as they were when the backup was made, then its rows, then what newer code needs."""
    from core.migrate import run_to
    from core.search import create_search

    heads = {head.rsplit("_", 1)[0]: head for head in manifest["migrations"]}
    run_to(connection, heads)
    with connection.begin():
        tables = {table.name: table for table in data_tables(connection)}
        if unknown := sorted(name for name, rows in manifest["tables"].items() if rows and name not in tables):
            raise Problem(f"The backup holds the table {unknown[0]}, which no migration here makes; nothing was changed.")
        keys = _defer_references(connection)
        for name in manifest["tables"]:
            if name in tables and name not in EMPTY:
                _load(connection, source, tables[name], manifest["columns"][name], manifest["tables"][name])
        _check_references(connection, keys)
        _set_last_ids(connection, manifest["last_ids"])
    say(f"{sum(manifest['tables'].values())} rows put back.")
    run_to(connection, None)
    with connection.begin():
        create_search(connection)


def _load(connection: Connection, source: zipfile.ZipFile, table: Table, columns: list[str], count: int) -> None:
    readers = [_reader(table.c[name].type) if name in table.c else None for name in columns]
    if None in readers:
        raise Problem(f"The backup's table {table.name} has columns that no migration here makes; nothing was changed.")
    number, rows = 0, []
    with source.open(f"tables/{table.name}.jsonl") as stream:
        for line in stream:
            values = json.loads(line)
            rows.append({name: None if value is None else read(value) for name, read, value in zip(columns, readers, values, strict=True)})  # type: ignore[misc]
            number += 1
            if len(rows) >= CHUNK:
                connection.execute(table.insert(), rows)
                rows = []
    if rows:
        connection.execute(table.insert(), rows)
    if number != count:
        raise Problem(f"The backup should have {count} rows of {table.name}, but has {number}; nothing was changed.")


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
    """Files are named by their content, so those that are there already are the same; none is removed here."""
    for name in manifest["sha256"]:
        if not name.startswith("files/"):
            continue
        target = (config.data / name).resolve()
        if not target.is_relative_to((config.data / "files").resolve()):
            raise Problem(f"The backup names a file outside of its folder ({name}); nothing was changed.")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = target.with_name(f".{target.name}.part")
        with source.open(name) as stream, draft.open("wb") as copy:
            while piece := stream.read(1 << 20):
                copy.write(piece)
        os.replace(draft, target)


def _put_key(config: Config, source: zipfile.ZipFile, say: Say) -> None:
    if "secret-key" not in source.namelist():
        return
    if config.secret_key:
        say("The backup's key is left out, since MORTISE_SECRET_KEY is set; make sure that it is the same one.")
        return
    place = config.data / "secret-key"
    place.unlink(missing_ok=True)
    write_private(place, source.read("secret-key").decode().strip())


def _after(config: Config) -> None:
    """What is computed from rows: the search index, indexes of custom fields, what code asks for. A first password opens nothing now."""
    from core.context import Actor, acting, system
    from core.custom_jobs import ensure_indexes
    from core.first import seed
    from core.model import models
    from core.search import rebuild
    from core.state import bump

    config.first_password_file.unlink(missing_ok=True)
    with acting(Actor(door="command line")), system("restore"):
        for model in list(models().values()):
            last: int | None = 0
            while last is not None:
                last = rebuild(db.session(), model, last)
                db.session.commit()
        ensure_indexes()
        bump()
        db.session.commit()
    seed(config)
    db.remove()
