"""What a restore or a backup that was killed has left half built: nobody needs it any more, and it may be as large as all data.

Looked for when the house starts (`run.py migrate`, which `run.py serve` runs first).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from core.config import Config
from core.errors import Problem
from core.i18n import gettext as _

BUILD = "mortise_restore"
"""On PostgreSQL a restore builds in a schema of this name."""
BUILD_KEY = 0x4D4F5255
"""Whoever builds there holds this advisory lock; it goes with its connection, so that of a killed one nobody holds it."""
DAY = 86_400.0
"""Seconds after which a draft that nobody writes to is one that was given up."""


def building(place: Path) -> list[Path]:
    """The file beside the embedded database ``place`` in which a restore builds, and those that SQLite keeps beside it."""
    return [place.with_name(f".{place.name}.restore{ending}") for ending in ("", "-wal", "-shm")]


@contextmanager
def builds(engine: Engine) -> Iterator[None]:
    """Says to others that the schema of a restore is being built. Raises `Problem` when somebody else builds in it already."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not _take(connection):
            raise Problem(_("A backup is being restored into this database from another machine; nothing was changed."))
        yield


def _take(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": BUILD_KEY}))


def remove_leftovers(engine: Engine, config: Config) -> list[str]:
    """Remove what was left; returns a sentence for each. Nobody restores into this data folder meanwhile (`core.serve.running`)."""
    found = [f"The half-built {one} of a restore that was interrupted was removed." for one in _databases(engine)]
    drafts = (config.data / "backups").glob(".*.part")
    old = time.time() - DAY  # by the clock of the machine, which dates files
    for one in [one for one in drafts if one.stat().st_mtime < old]:
        one.unlink(missing_ok=True)
        found.append(f"The draft {one.name} of a backup that was interrupted was removed.")
    return found


def _databases(engine: Engine) -> list[str]:
    if engine.dialect.name == "sqlite":
        there = [one for one in building(Path(str(engine.url.database))) if one.exists()]
        for one in there:
            one.unlink(missing_ok=True)
        return [f"database {one}" for one in there if not one.name.endswith(("-wal", "-shm"))]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": BUILD}) or not _take(connection):
            return []
        try:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {BUILD} CASCADE"))
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": BUILD_KEY})
    return [f"schema {BUILD}"]
