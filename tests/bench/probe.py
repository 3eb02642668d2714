"""What a request asked of the database: kept beside the servers that are measured, then asked again by itself, with its plan."""

from __future__ import annotations

import pickle
import re
import sqlite3
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

BIG = ("crm_client", "crm_contact", "core_search", "core_journal")
"""Tables that no page may read from end to end."""
HOUSEKEEPING = ("PRAGMA", "BEGIN", "SET TRANSACTION", "SAVEPOINT", "RELEASE", "COMMIT")


def keep(place: str, ran: list[tuple[str, Any, float]]) -> None:
    """Leave the statements of a request in a file."""
    Path(place).write_bytes(pickle.dumps(ran))


@dataclass
class Probed:
    """The statements of one page."""

    count: int = 0
    ms: float = 0.0
    """Milliseconds of all its statements together, each run by itself: the median of five."""
    scans: list[str] = field(default_factory=list)
    """Where a big table is read from end to end."""
    slowest: str = ""


def look(place: Path, url: str, reading: bool = True) -> Probed:
    """Read what `keep` has left, and ask each statement again; those that write are only counted, with the time they took."""
    ran: list[tuple[str, Any, float]] = [one for one in pickle.loads(place.read_bytes()) if not one[0].startswith(HOUSEKEEPING)]
    found = Probed(len(ran))
    if not reading:
        found.ms = sum(seconds for _sql, _values, seconds in ran) * 1000
        return found
    connection: Any
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        for pragma in ("cache_size=-32000", "mmap_size=268435456", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
    else:
        connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=None)
    with connection:
        worst = 0.0
        for sql, values, _seconds in ran:
            took = statistics.median(_once(connection, sql, values) for _turn in range(5)) * 1000
            found.ms += took
            if took > worst:
                worst, found.slowest = took, f"{took:.2f} ms: {' '.join(sql.split())}"
            found.scans += scans(connection, sql, values)
    connection.close()
    return found


def _once(connection: Any, sql: str, values: Any) -> float:
    began = time.perf_counter()
    connection.execute(sql, values).fetchall()
    return time.perf_counter() - began


def scans(connection: Any, sql: str, values: Any) -> list[str]:
    """Lines of the statement's plan that read a big table from end to end."""
    if isinstance(connection, sqlite3.Connection):
        lines = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        aliases = dict(re.findall(r"\b(\w+) AS (\w+)", sql))
        names = {alias for name, alias in aliases.items() if name in BIG} | set(BIG)
        return [
            f"{line} in {sql}" for line in lines if (found := re.match(r"SCAN (\S+)", line)) and found[1] in names and "USING" not in line
        ]
    plan = connection.execute(f"EXPLAIN (FORMAT TEXT) {sql}", values).fetchall()
    return [f"{line.strip()} in {sql}" for (line,) in plan if (found := re.search(r"Seq Scan on (\w+)", line)) and found[1] in BIG]
