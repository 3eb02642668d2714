"""Other people save while an import runs: each waits for one chunk at most, on both databases."""

import subprocess
import sys
import time

import pytest

from tests.core.installation import ROOT, new
from tests.firm import firm

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.postgres]
LIST = firm(10_000)

SAVE = """
import time
from core import records
from core.cli.house import house
from core.db import db
from core.model import model_of
from core.transfer.draft_tables import core_import
from sqlalchemy import select
waits = []
with house():
    gate = records(model_of("crm_client"))
    end = time.monotonic() + 120
    while time.monotonic() < end:
        began = time.perf_counter()
        gate.create({"name": f"neighbour {len(waits)}"})
        db.session.commit()
        waits.append(time.perf_counter() - began)
        found = db.session.execute(select(core_import.c.state)).scalars().all()
        db.session.commit()
        if found and "done" in found:
            break
        time.sleep(0.02)
print(max(waits), len(waits))
"""
TIMED = """
import time
import core.transfer.chunks as chunks
known, spent = chunks._chunk, []
def timed(*args):
    began = time.perf_counter()
    try:
        return known(*args)
    finally:
        spent.append(time.perf_counter() - began)
chunks._chunk = timed
from core.cli import main
status = main(["import", "crm_client", "clients.csv"])
print("LONGEST", max(spent))
raise SystemExit(status)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whoever_saves_while_an_import_runs_waits_for_one_chunk_at_most(tmp_path, kind, capsys):
    place = new(kind, tmp_path, "neighbours")
    place.must("migrate", "--no-copy")
    LIST.write(tmp_path / "clients.csv")
    neighbour = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SAVE}"], cwd=tmp_path, env=place.environment,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.5)
    said = place.python(TIMED)
    longest = float(said.split("LONGEST")[1])
    wait, saves = neighbour.communicate(timeout=180)[0].split()
    with capsys.disabled():
        print(f"\n{kind}: longest wait of {saves} saves {float(wait):.2f} s, longest chunk {longest:.2f} s")
    assert int(saves) >= 5 and float(wait) <= longest * 1.5 + 0.5
    assert place.ask("SELECT count(*) FROM crm_client WHERE name LIKE 'neighbour %'") == [(int(saves),)]
    assert place.ask("SELECT created FROM core_import") == [(LIST.good,)]
