"""Everything of an installation in one file: tables as JSON lines, files, what was moved out of the journal, the key, and a manifest with
a checksum of each.

The file fits SQLite and PostgreSQL alike. Left out is what can be made again or must not come back: the search index,
sessions, counters of failed sign-ins, heartbeats. Settings of the environment belong to the machine and stay there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, Engine, MetaData, Table, func, inspect, select, text
from sqlalchemy.exc import SAWarning

from core.config import ROOT, Config
from core.context import now
from core.db import db
from core.errors import Problem
from core.locked_file import Locking

# Indexes of custom fields are made anew after a restore; that nobody reads them off the tables is nothing to tell people.
warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)

FORMAT = 2
"""1 has no parts that were moved out of the journal, and is written where there are none."""
EMPTY = frozenset({"core_session", "core_sign_in_attempt", "core_heartbeat", "core_answered_once"})
"""Tables whose rows stay out."""
STORED = re.compile(r"[0-9a-f]{62}")
"""How the store names content within its folder (`core.files.place`)."""
MOVED_OUT = re.compile(r"journal-before-[0-9-]{1,40}\.jsonl\.gz")
"""How a part that was moved out of the journal is named (`core.journal_jobs.archive_name`)."""
CHUNK = 1000
Went = Callable[[int, int], Any]
"""Told how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a backup holds."""

    tables: int
    rows: int
    files: int
    size: int
    locked: bool
    made_at: str
    version: str
    database: str


def backup(config: Config, path: Path, *, files: bool = True, passphrase: str = "", went: Went = lambda done, total: None) -> Told:
    """Write the whole installation into ``path``, a new zip file that only its owner may read. All rows are of one moment.

    With a ``passphrase`` the file is locked by it (`core.locked_file`). ``went`` is told how many rows are written, of how many.
    """
    assert db.engine is not None
    return write_backup(db.engine, config, path, files=files, passphrase=passphrase, went=went)


def write_backup(
    engine: Engine, config: Config | None, path: Path, *, files: bool = True, passphrase: str = "", went: Went = lambda done, total: None
) -> Told:
    """The backup of the database behind ``engine``, and of the data folder when there is one."""
    if path.exists():
        raise Problem(f"{path} exists already; a backup never overwrites anything.")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    store = config.data / "files" if config and files else None
    try:
        with (
            open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as stream,
            Locking(stream, passphrase) if passphrase else nullcontext(stream) as clear,
            zipfile.ZipFile(clear, "w", zipfile.ZIP_DEFLATED, compresslevel=5) as target,
        ):
            made = _Writer(target)
            # Files come first under a lock that keeps clean-up away: what the rows name is then surely there.
            with _no_cleaning(store):
                with _moment(engine) as connection:
                    facts = _tables(connection, made, went)
                count = _files(store, made) if store else 0
            moved = _moved_out(config.data / "journal", made) if config and files else 0
            if config and (config.data / "secret-key").exists():
                made.put("secret-key", (config.data / "secret-key").read_bytes())
            manifest = {
                "format": FORMAT if moved else 1, "version": (ROOT / "VERSION").read_text().strip(),
                "made_at": f"{now():%Y-%m-%d %H:%M:%S} UTC", "database": engine.dialect.name, **facts, "files": count, "sha256": made.sums,
            }  # fmt: skip
            target.writestr("manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1))
        with draft.open("rb") as whole:
            os.fsync(whole.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    size = path.stat().st_size
    rows, about = sum(facts["tables"].values()), (manifest["made_at"], manifest["version"], manifest["database"])
    return Told(len(facts["tables"]), rows, count, size, bool(passphrase), *about)


class _Writer:
    """Puts members into the zip file and keeps their checksums."""

    def __init__(self, target: zipfile.ZipFile) -> None:
        self.target = target
        self.sums: dict[str, str] = {}

    def put(self, name: str, content: bytes) -> None:
        self.stream(name, iter([content]))

    def stream(self, name: str, pieces: Iterator[bytes], stored: bool = False) -> None:
        digest = hashlib.sha256()
        member = zipfile.ZipInfo(name, date_time=now().timetuple()[:6])
        member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        with self.target.open(member, "w", force_zip64=True) as stream:
            for piece in pieces:
                digest.update(piece)
                stream.write(piece)
        self.sums[name] = digest.hexdigest()


def _no_cleaning(store: Path | None) -> Any:
    if store is None or not store.is_dir():
        return nullcontext()
    from core.files import store_lock

    return store_lock()


def _moment(engine: Engine) -> Any:
    """A connection that sees the database as it is now, whatever others write meanwhile."""
    if engine.dialect.name == "postgresql":
        return engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.connect().execution_options(mortise_read_only=True)


def data_tables(connection: Connection) -> list[Table]:
    """Every table that holds data, as the database has it: also those of addons that are broken or gone."""
    from core.search import core_search

    virtual: set[str] = set()
    if connection.dialect.name == "sqlite":
        made = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")
        virtual = {name for (name,) in made}
    names = [
        name for name in sorted(inspect(connection).get_table_names())
        if name not in ("alembic_version", core_search.name) and not any(name == one or name.startswith(f"{one}_") for one in virtual)
    ]  # fmt: skip
    known = MetaData()
    found = [Table(name, known, autoload_with=connection, resolve_fks=False) for name in names]
    for table in found:
        for column in table.c:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return found


def present_rows(connection: Connection, tables: list[Table]) -> dict[str, int]:
    """How many rows a backup would hold of each table now."""
    return {one.name: 0 if one.name in EMPTY else connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables}


def _tables(connection: Connection, made: _Writer, went: Went) -> dict[str, Any]:
    counts, columns, before = {}, {}, 0
    tables = data_tables(connection)
    total = sum(present_rows(connection, tables).values())
    for table in tables:
        number = 0

        def lines(table: Table = table, before: int = before) -> Iterator[bytes]:
            nonlocal number
            if table.name in EMPTY:
                return
            order = list(table.primary_key.columns)
            for row in connection.execute(select(table).order_by(*order).execution_options(yield_per=CHUNK)):
                number += 1
                if number % CHUNK == 0:
                    went(before + number, total)
                yield json.dumps([_plain(value) for value in row], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

        made.stream(f"tables/{table.name}.jsonl", lines())
        counts[table.name], columns[table.name] = number, [column.name for column in table.c]
        before += number
        went(before, total)
    heads = sorted(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    return {"tables": counts, "columns": columns, "migrations": heads, "last_ids": last_ids(connection)}


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, memoryview)):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    return value


def last_ids(connection: Connection) -> dict[str, int]:
    """The highest id that was ever given in each table, so that none is given twice after a restore."""
    if connection.dialect.name == "sqlite":
        if not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").first():
            return {}
        return {row[0]: row[1] for row in connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")}
    found = {}
    query = """SELECT t.relname, s.relname FROM pg_class s
        JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' JOIN pg_class t ON t.oid = d.refobjid
        WHERE s.relkind = 'S' AND t.relnamespace = current_schema()::regnamespace"""
    for name, sequence in connection.execute(text(query)).all():
        last = connection.execute(
            select(func.coalesce(func.pg_sequence_last_value(text("CAST(:name AS regclass)").bindparams(name=f'"{sequence}"')), 0))
        ).scalar()
        found[name] = int(last or 0)
    return found


def _files(store: Path, made: _Writer) -> int:
    count = 0
    for folder in sorted(store.glob("[0-9a-f][0-9a-f]")):
        # What else lies there is no content of ours, such as what a restore that was killed has left half written.
        for path in sorted(one for one in folder.iterdir() if STORED.fullmatch(one.name)):
            made.stream(f"files/{folder.name}/{path.name}", _pieces(path), stored=True)
            count += 1
    return count


def _moved_out(folder: Path, made: _Writer) -> int:
    """What is written after the rows are read is of entries that are in the backup, too."""
    parts = sorted(one for one in folder.iterdir() if MOVED_OUT.fullmatch(one.name)) if folder.is_dir() else []
    for path in parts:
        made.stream(f"journal/{path.name}", _pieces(path), stored=True)
    return len(parts)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            yield piece


def fresh_name(folder: Path, name: str, ending: str) -> Path:
    """A file name with date and time that is not taken yet."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = f"{name}-{now():%Y%m%d-%H%M%S}"
    path, number = folder / f"{stem}{ending}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path
