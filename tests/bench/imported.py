"""An import of 10,000 rows; on PostgreSQL also a bare COPY of the same rows into the same indexes; and what the journal costs of it.

`python -m tests.bench.imported FILE COUNT [TURNS]` runs in an installation; with ``TURNS``, as many imports with the journal and without.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(path: Path, count: int) -> dict[str, Any]:
    """Seconds of both; the rows are taken away again. ``count`` is the last id that the house was built with."""
    from core.cli.house import house
    from core.db import db
    from core.transfer import run_import
    from tests.bench.facts import tidy

    with house(title="Import of the bench", as_login=IMPORTER):
        began = time.perf_counter()
        told = run_import("crm_client", path)
        found: dict[str, Any] = {"seconds": time.perf_counter() - began, "created": told.created, "read": told.read}
        db.remove()
        assert db.engine is not None
        if db.engine.dialect.name == "postgresql":
            with db.engine.connect() as connection:
                kept = {
                    table: connection.exec_driver_sql(f"SELECT * FROM {table} WHERE {key} > {count}").all() for table, key in TABLES.items()
                }
                names = {table: list(connection.exec_driver_sql(f"SELECT * FROM {table} LIMIT 0").keys()) for table in TABLES}
            with db.engine.begin() as connection:
                tidy(connection, count)
            found["copy"] = _copied(db.engine, kept, names)
        with db.engine.begin() as connection:
            tidy(connection, count)
        return found


def journalled(path: Path, count: int, turns: int) -> dict[str, list[float]]:
    """Seconds of the same import with its journal (``on``) and, all else alike, without (``off``), in turn; the first is not counted."""
    from core import journal
    from core.cli.house import house
    from core.db import db
    from core.transfer import run_import
    from tests.bench.facts import tidy

    write_many, spent = journal.write_many, {"on": [], "off": []}
    for turn in range(2 * turns + 1):
        kind = "off" if turn % 2 else "on"
        journal.write_many = write_many if kind == "on" else lambda rows: None
        with house(title="Import of the bench", as_login=IMPORTER):
            began = time.perf_counter()
            told = run_import("crm_client", path)
            spent[kind].append(time.perf_counter() - began)
            assert told.created > turns, told
            db.remove()
            assert db.engine is not None
            with db.engine.begin() as connection:
                tidy(connection, count)
    return {"on": spent["on"][1:], "off": spent["off"]}


IMPORTER = "bench_some"
TABLES = {"crm_client": "id", "core_search": "record_id"}


def _copied(engine: Any, kept: dict[str, list[Any]], names: dict[str, list[str]]) -> float:
    """Seconds of COPY and commit."""
    held = engine.raw_connection()
    raw = held.driver_connection
    began = time.perf_counter()
    for table, rows in kept.items():
        with raw.cursor().copy(f"COPY {table} ({', '.join(names[table])}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    raw.commit()
    spent = time.perf_counter() - began
    held.close()
    return spent


if __name__ == "__main__":
    file, number = Path(sys.argv[1]), int(sys.argv[2])
    sys.stdout.write(json.dumps(journalled(file, number, int(sys.argv[3])) if len(sys.argv) > 3 else main(file, number)) + "\n")
