"""Many processes that read a record and then write it: no update is lost, none is told “locked”, and nobody waits long."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.db import db
from tests.core.kernel import ROOT
from tests.core.office import Office, office

__all__ = ["office"]

PROCESSES, TIMES = 8, 50
pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_eight_processes_write_one_record_and_no_update_is_lost(office: Office, tmp_path: Path):
    matter, start = office.matter(office.clerk, amount=0), office.last_row()
    url = db.engine.url.render_as_string(hide_password=False)
    line = [sys.executable, "-m", "tests.core.race", url, str(matter), str(office.clerk), str(TIMES), str(tmp_path / "go")]
    db.remove()
    running = [subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    until = time.monotonic() + 120
    while len(list(tmp_path.glob("ready-*"))) < PROCESSES and time.monotonic() < until:
        time.sleep(0.05)
    (tmp_path / "go").touch()
    answers = [one.communicate(timeout=240) for one in running]
    assert [one.returncode for one in running] == [0] * PROCESSES, "\n".join(errors[-800:] for _out, errors in answers)
    took = sorted(second for out, _errors in answers for second in json.loads(out))
    assert len(took) == PROCESSES * TIMES
    stored = office.stored("law_matter", matter)
    assert (int(stored.amount), stored.version) == (PROCESSES * TIMES, PROCESSES * TIMES + 1), "an update was lost"
    rows = [one for one in office.journal_after(start) if one.record_id == matter]
    assert len(rows) == PROCESSES * TIMES and rows == sorted(rows, key=lambda one: one.id)
    seen = [json.loads(one.changes)["amount"] for one in rows]
    assert all(float(after[0]) == float(before[1]) for before, after in zip(seen, seen[1:], strict=False)), "a change built on an old value"
    late, median = took[int(len(took) * 0.95)], took[len(took) // 2]
    print(f"p95 {late * 1000:.0f} ms, median {median * 1000:.0f} ms on {db.engine.dialect.name}")
    # Turns are taken: nobody waits for longer than it takes to let each of the others pass once.
    assert late < PROCESSES * median, f"p95 was {late * 1000:.0f} ms, the median {median * 1000:.0f} ms"
