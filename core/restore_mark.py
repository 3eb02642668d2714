"""What still has to follow when a restore has swapped the data: noted on disk before the swap, proved by a number in the new data."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select

from core.config import Config
from core.state import core_state

NAME = "restore"
"""Under this name the state of the restored data keeps the number."""


@dataclass(frozen=True, slots=True)
class RestoreMark:
    """The note: its file, the number, and the key that belongs to the new data (empty: the present one stays)."""

    path: Path
    number: int
    key: str


def _place(config: Config) -> Path:
    return config.data / "restore-unfinished"


def write_mark(config: Config, key: str) -> int:
    """Note that a restore is under way; returns its number."""
    number, place = secrets.randbits(62), _place(config)
    draft = place.with_name(f".{place.name}.part")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump({"number": number, "key": key}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, place)
    return number


def put_mark(connection: Connection, number: int) -> None:
    """Put the number into the data that are being built."""
    connection.execute(core_state.delete().where(core_state.c.name == NAME))
    connection.execute(core_state.insert().values(name=NAME, value=number))


def read_mark(config: Config) -> RestoreMark | None:
    """The note of a restore that is not finished; None when there is none."""
    place = _place(config)
    try:
        found = json.loads(place.read_text())
        return RestoreMark(place, int(found["number"]), str(found["key"]))
    except FileNotFoundError:
        return None


def forget_mark(config: Config) -> None:
    """The restore has failed before the swap: nothing has to follow."""
    _place(config).unlink(missing_ok=True)


def swapped(engine: Engine, mark: RestoreMark) -> bool:
    """Are the present data those that the restore has built?"""
    with engine.connect() as connection:
        there = inspect(connection).has_table(core_state.name)
        found = connection.execute(select(core_state.c.value).where(core_state.c.name == NAME)).scalar() if there else None
        connection.rollback()
    return found == mark.number
