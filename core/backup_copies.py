"""Copies of the data that the house makes before it changes them: encrypted as the scheduled backups are, a number of each kind kept.

Kinds: before migrations, before an addon is removed, before a restore (`core.restore` writes that one, with files and key).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine, inspect, select

from core.backup import fresh_name, write_backup
from core.backup_list import LOCKED, NOTE, write_note
from core.config import Config, secret_key
from core.db import make_engine
from core.secret_box import table as secrets
from core.secret_box import unseal

PASSPHRASE = "backup.passphrase"  # noqa: S105 - the name under which the one of scheduled backups is kept
KEPT_COPIES = {"migrate": 5, "remove": 5, "restore": 5}
"""So many copies of each kind; by another kind none is lost."""


def copies_passphrase(engine: Engine, config: Config) -> str:
    """The passphrase of scheduled backups; empty when none is kept, or when it was kept by another installation."""
    with engine.connect().execution_options(mortise_read_only=True) as connection:
        # A database that waits for its migrations may have no secrets yet.
        if not inspect(connection).has_table(secrets.name):
            return ""
        sealed = connection.execute(select(secrets.c.sealed).where(secrets.c.name == PASSPHRASE)).scalar()
    return (unseal(PASSPHRASE, sealed, secret_key(config)) or "") if sealed else ""


def told(path: Path) -> str:
    """Where a copy lies, and whether a passphrase opens it."""
    return f"{path}{', locked with the passphrase of scheduled backups' if path.name.endswith(LOCKED) else ''}"


def copy_before(engine: Engine, data_dir: Path, reason: str, passphrase: str = "") -> Path:
    """Copy the database before something changes it: with a passphrase as a backup that it locks, else as the database's own tools do.

    ``reason`` begins with its kind (`KEPT_COPIES`), of which the newest are kept.
    """
    folder = data_dir / "backups"
    if passphrase:
        path = _locked(engine, folder, reason, passphrase)
    elif engine.dialect.name == "sqlite":
        path = fresh_name(folder, f"before-{reason}", ".sqlite3")
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(str(engine.url.database))) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
    else:
        path = _dump(engine, folder, reason)
    remove_old_copies(folder, reason.partition("-")[0])
    return path


def remove_old_copies(folder: Path, kind: str, wanted: Path | None = None) -> list[str]:
    """Delete the oldest copies of a kind, with what is noted of them; never the one that is ``wanted``. Returns their names."""
    copies = [one for one in folder.glob(f"before-{kind}-*") if not one.name.endswith(NOTE)]
    gone = sorted(copies, key=lambda one: (one.stat().st_mtime, one.name))[: -KEPT_COPIES[kind]]
    gone = [one for one in gone if wanted is None or one.resolve() != wanted.resolve()]
    for one in gone:
        one.unlink(missing_ok=True)
        one.with_name(one.name + NOTE).unlink(missing_ok=True)
    return [one.name for one in gone]


def _locked(engine: Engine, folder: Path, reason: str, passphrase: str) -> Path:
    path = fresh_name(folder, f"before-{reason}", LOCKED)
    # With the habits of the house: on SQLite others may write while it is read.
    reading = make_engine(engine.url.render_as_string(hide_password=False), pool_size=1)
    try:
        write_note(path, write_backup(reading, None, path, files=False, passphrase=passphrase))
    finally:
        reading.dispose()
    return path


def _dump(engine: Engine, folder: Path, reason: str) -> Path:
    """By pg_dump where it is and knows this server's version; else as a backup of our own."""
    program = shutil.which("pg_dump")
    if program:
        path = fresh_name(folder, f"before-{reason}", ".dump")
        url = engine.url
        given = {**os.environ, "PGPASSWORD": str(url.password or ""), "PGCONNECT_TIMEOUT": "10"}
        words = [
            program,
            "-Fc",
            "--no-password",
            "-f",
            str(path),
            "-h",
            url.host or "",
            "-p",
            str(url.port or 5432),
            "-U",
            url.username or "",
            url.database or "",
        ]
        for name, value in url.query.items():
            if name == "sslmode":
                given["PGSSLMODE"] = str(value)
        done = subprocess.run(words, env=given, capture_output=True)
        if done.returncode == 0:
            path.chmod(0o600)
            return path
        path.unlink(missing_ok=True)
    path = fresh_name(folder, f"before-{reason}", ".zip")
    write_backup(engine, None, path, files=False)
    return path
