"""Two imports that change the same records from opposite ends: they take turns, neither waits for the other in a ring."""

import json
import subprocess
import sys

import pytest

from tests.core.installation import ROOT, new
from tests.core.sheets import write

MANY = 400

# Both are inside their transaction before either changes a row, and each stops half-way until the other is there, too, or is held up.
CROSSING = """
import sys, time
from pathlib import Path
import core.transfer.chunks as chunks, core.transfer.drafts
from core.db import db
from core.records import Records
from sqlalchemy import text
me, other, seen = {me!r}, {other!r}, []
def wait(name, seconds):
    end = time.monotonic() + seconds
    while not Path(name).exists() and time.monotonic() < end:
        time.sleep(0.02)
store, change = chunks._Work.store, Records._change_known
def stored(self, *args):
    db.session.execute(text("SELECT 1"))
    Path("began-" + me).touch()
    wait("began-" + other, 60)
    return store(self, *args)
def changed(self, *args):
    seen.append(1)
    if len(seen) == {half}:
        Path("half-" + me).touch()
        wait("half-" + other, 3)
    return change(self, *args)
chunks._Work.store, Records._change_known = stored, changed
from core.cli import main
raise SystemExit(main(["import", "crm_client", me + ".csv"]))
"""


@pytest.mark.slow
@pytest.mark.postgres
def test_two_imports_from_opposite_ends_both_finish(tmp_path):
    """On PostgreSQL: SQLite has one place for writers, where nobody can wait in a ring."""
    place = new("postgresql", tmp_path, "crossing")
    place.must("migrate", "--no-copy")
    rows = [[f"K{number}", f"client {number}"] for number in range(MANY)]
    write(tmp_path / "first.csv", [["code", "name"], *rows])
    place.must("import", "crm_client", "first.csv")
    write(tmp_path / "up.csv", [["code", "remarks"], *([code, "up"] for code, _name in rows)])
    write(tmp_path / "down.csv", [["code", "remarks"], *([code, "down"] for code, _name in reversed(rows))])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CROSSING.format(me=me, other=other, half=MANY // 2)], cwd=tmp_path, text=True,
            env=place.environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for me, other in (("up", "down"), ("down", "up"))
    ]  # fmt: skip
    said = ["".join(one.communicate(timeout=150)) for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    assert all((tmp_path / name).exists() for name in ("began-up", "began-down")), "both were at work at once"
    ((last, count),) = place.ask("SELECT remarks, count(*) FROM crm_client GROUP BY remarks")
    assert count == MANY, "whoever came second changed all of them"
    first = {"up": "down", "down": "up"}[last]
    told = place.ask("SELECT changes, count(*) FROM core_journal WHERE model = 'crm_client' AND verb = 'edit' GROUP BY changes")
    steps = [(json.loads(changes)["remarks"], count) for changes, count in told if "remarks" in json.loads(changes)]
    # Each change began with what was stored.
    assert sorted(steps, key=str) == sorted([([None, first], MANY), ([first, last], MANY)], key=str)
