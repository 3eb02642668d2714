"""A journal of ten million rows: its usual questions, the history of a record with 5,000 changes, and the oldest month moved out.

`python -m tests.bench.journal ROWS` runs inside an installation and prints JSON. What is missing of the rows is written first, sealed, in
the order in which they would have been; indexes are made anew afterwards.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

A_BATCH, A_DAY = 4, 9_000
"""Rows of a batch, and of a day: ten million rows are three years."""
BEGUN = datetime(2030, 1, 1)
CHANGED_MUCH, CHANGES = 7, 5_000
"""A client with so many changes, spread over the whole time."""
TURNS, PIECE = 5, 20_000


def told(facts: dict[str, Any], rows: int) -> list[tuple[str, bool]]:
    """Lines of the bench, and whether each is met."""
    found = []
    for name, one in facts["asked"].items():
        text = f"journal of {rows:,}: {name}"
        found.append(
            (f"{text:58}{one['ms']:>9.1f} ms{one['statements']:>4} statements{one['scans']:>3} walks through all of it", not one["scans"])
        )
    out = facts["moved"]
    found.append((
        f"journal of {rows:,}: {out['month']} moved out, {out['rows']:,} rows in {out['seconds']:.0f} s, {out['bytes'] / 1e6:.0f} MB;"
        f" the check of what stays: {out['checked']:.0f} s, {out['said'] or 'no fault'}", not out["said"],
    ))  # fmt: skip
    return found


def main(rows: int) -> dict[str, Any]:
    """Fill the journal, ask, and move its first month out; all of the latter is taken back. The house has no other journal."""
    from core.app import create_app
    from core.config import load as settings
    from core.context import Actor, acting
    from core.db import db
    from core.journal_keep import check, removable, remove
    from core.journal_query import batches_of, history, rows_of
    from core.model import model_of
    from core.past import moments
    from tests.core.journal_plans import QUESTIONS

    app = create_app(settings(log_level="error"))
    with app.app_context(), acting(Actor(system=True)):
        fill(rows)
        client = model_of("crm_client")
        asked = {
            f"by {name}, a page": lambda one=one: (batches_of(one, None, 31), list(rows_of(one, None, 50)))
            for name, one in QUESTIONS.items()
        }
        asked["history of a record with 5,000 changes, a page"] = lambda: history(client, CHANGED_MUCH)
        asked["moments of a record with 5,000 changes"] = lambda: moments(client, CHANGED_MUCH)
        month = BEGUN + timedelta(days=31)
        asked["how much is older than a month"] = lambda: removable(month)
        found = {name: _asked(ask) for name, ask in asked.items()}
        db.session.rollback()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "month.jsonl.gz"
            began = time.perf_counter()
            gone = remove(month, place)
            spent = time.perf_counter() - began
            moved = {"month": f"{BEGUN:%Y-%m}", "rows": gone, "seconds": spent, "bytes": place.stat().st_size}
            began = time.perf_counter()
            moved |= {"said": "; ".join(check().faults[:3]), "checked": time.perf_counter() - began}
        db.session.rollback()
        db.remove()
    return {"asked": found, "moved": moved}


def _asked(ask: Callable[[], Any]) -> dict[str, Any]:
    from core.db import db
    from tests.core.journal_plans import SCANS, plans

    spent = []
    for _turn in range(TURNS):
        began = time.perf_counter()
        ask()
        spent.append((time.perf_counter() - began) * 1000)
        db.session.expunge_all()
    kept = plans(ask)
    return {"ms": statistics.median(spent), "statements": len(kept), "scans": sum(bool(SCANS.search(one)) for one in kept)}


def fill(rows: int) -> None:
    """Write what is missing of ``rows`` rows, sealed."""
    from core.db import db
    from core.journal import batches, journal
    from core.seal import seal
    from core.statistics_jobs import LOOKED_AT

    assert db.engine is not None
    while seal():
        db.session.commit()
    db.session.rollback()
    with db.engine.connect() as connection:
        held = connection.execute(sa.select(sa.func.count()).select_from(journal)).scalar_one()
        last = connection.execute(sa.select(journal.c.id, journal.c.seal, journal.c.hash).order_by(journal.c.id.desc()).limit(1)).first()
        number = connection.execute(sa.select(sa.func.max(batches.c.id))).scalar() or 0
    made = _rows(rows - held, last, number) if held < rows else iter(())
    if held < rows:
        with db.engine.begin() as connection:
            for one in journal.indexes:
                one.drop(connection, checkfirst=True)
    while piece := [one for _place, one in zip(range(PIECE), made, strict=False)]:
        with db.engine.begin() as connection:
            _put(connection, batches, [one for one, _row in piece if one])
            _put(connection, journal, [row for _one, row in piece])
    with db.engine.begin() as connection:
        for one in journal.indexes:
            one.create(connection, checkfirst=True)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA analysis_limit={LOOKED_AT}")
        else:
            for table in (journal, batches):
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), (SELECT max(id) FROM {table.name}))"
                )
        connection.exec_driver_sql("ANALYZE")


def _put(connection: sa.Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    names = list(rows[0])
    if connection.dialect.name == "sqlite":
        connection.execute(sa.insert(table), rows)
        return
    with connection.connection.cursor().copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(list(row.values()))


def _rows(count: int, last: Any, batch: int) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any]]]:
    """(batch or none, row) as a house makes them: nearly all by screens on clients, a few rare ones among them."""
    from core.seal import row_hash

    lots = random.Random(5)
    number, seal, chain = (last.id, last.seal, last.hash) if last else (0, 0, "")
    much = max(count // CHANGES, 1)
    for place in range(count):
        number, seal = number + 1, seal + 1
        at = BEGUN + timedelta(days=1 / A_DAY) * (place // A_BATCH * A_BATCH)
        rare = place % 400 == 399
        made = None
        if place % A_BATCH == 0:
            batch += 1
            made = {"id": batch, "at": at, "user_id": 7 if place % 400 == 396 else 10 + lots.randrange(40), "door": "screen"}
        row = {
            "id": number, "tx": 1, "batch_id": batch, "at": at, "user_id": 7 if rare else 10 + batch % 40, "behalf_id": None,
            "door": "command line" if rare else "screen", "address": "10.0.0.8", "request_id": f"{batch:032x}",
            "model": "crm_case" if rare else "crm_client",
            "record_id": CHANGED_MUCH if place % much == 0 else 100 + lots.randrange(900_000),
            "verb": "sign-in" if rare else "edit", "part_of_id": None,
            "changes": f'{{"name":["a{place}","b{place}"],"phones":["13{place:09d}","13{place + 7:09d}"]}}', "digest": None,
        }  # fmt: skip
        chain = row_hash(row, seal, chain)
        yield made, row | {"seal": seal, "hash": chain}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
