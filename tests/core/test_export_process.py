"""Forty thousand rows go out by a real job process: in the memory of a thousand, whole or not at all, killed or out of disk."""

import json
import signal
import subprocess
import sys
import time

import pytest

from core.config import ROOT
from tests.core.installation import new

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
COUNT = 40_000
FEW = '{"field": "code", "op": "starts", "value": "X39"}'
SOME = '{"field": "code", "op": "starts", "value": "X0"}'
"""The clients of these filters: a thousand, and ten thousand."""
MOST_GROWTH = 25
"""Megabytes that forty times the rows may cost: what the library keeps of a workbook, and the database's own buffers."""
MANY = f"""
from sqlalchemy import insert
from core.cli.house import house
from core.context import now
from core.db import db
from core.model import model_of
with house(title="Many"):
    table = model_of("crm_client").__table__
    row = {{"status": "signed", "created_at": now(), "version": 1, "address": "上海市人民路一号"}}
    for start in range(0, {COUNT}, 5_000):
        some = [{{**row, "name": f"client {{n}}", "code": f"X{{n:05}}"}} for n in range(start, start + 5_000)]
        db.session.connection().execute(insert(table), some)
"""
QUEUE = """
from core.cli.house import house
from core.transfer.export_jobs import write_export
with house(title="Export"):
    print(write_export.later(table="crm_client", ending="{ending}", filter={filter}))
"""
PERFORM = """
import json, resource, time
from core.app import create_app
from core.config import load
from core.job_runner import perform
app = create_app(load())
with app.app_context():
    if {limit}:
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    begun = time.monotonic()
    assert perform(only={job_id}, awake=["core"])
    print(json.dumps([round(time.monotonic() - begun, 1), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request, tmp_path_factory):
    """An installation with very many clients."""
    made = new(request.param, tmp_path_factory.mktemp("many"), "exports")
    made.must("migrate")
    made.python(MANY)
    return made


def queue(house, ending, filter="None"):
    return int(house.python(QUEUE.format(ending=ending, filter=filter)))


def start(house, job_id, limit=0):
    code = PERFORM.format(job_id=job_id, limit=limit)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=house.environment, text=True, stdout=subprocess.PIPE)


def perform(house, job_id, limit=0):
    """(seconds, megabytes at the highest) of a process that does this job."""
    out, _err = start(house, job_id, limit).communicate()
    return json.loads(out.splitlines()[-1])


def state(house, job_id):
    return house.ask(f"SELECT state, last_error FROM core_job WHERE id = {job_id}")[0]


def left(house):
    return sorted(str(one.relative_to(house.data / "exports")) for one in (house.data / "exports").rglob("*"))


def told(house):
    return house.ask("SELECT count(*) FROM core_journal WHERE verb = 'export'")[0][0]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_memory_does_not_grow_with_the_rows(house, ending, capsys):
    few, all_of_them = queue(house, ending, FEW), queue(house, ending)
    _seconds, small = perform(house, few)
    seconds, large = perform(house, all_of_them)
    with capsys.disabled():
        sys.stdout.write(f"\n{COUNT:,} rows, {ending}, {'PostgreSQL' if house.url else 'SQLite'}: {seconds} s, +{large - small:.1f} MB\n")
    assert state(house, all_of_them)[0] == "done" and large - small < MOST_GROWTH
    sizes = [(house.data / "exports" / f"{one}.{ending}").stat().st_size for one in (few, all_of_them)]
    assert sizes[1] > 20 * sizes[0]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_process_killed_in_the_middle_leaves_no_file_and_the_next_one_writes_it_whole(house, ending):
    job_id, before, journalled = queue(house, ending, SOME), left(house) if (house.data / "exports").exists() else [], told(house)
    process = start(house, job_id)
    until = time.monotonic() + 60
    while not any(one.stat().st_size > 100_000 for one in (house.data / "exports").glob(f"{job_id}-*/*")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert state(house, job_id)[0] == "running" and not (house.data / "exports" / f"{job_id}.{ending}").exists()
    with house.database() as connection:
        connection.exec_driver_sql(f"UPDATE core_job SET due_at = created_at WHERE id = {job_id}")  # its lease is over
    perform(house, job_id)
    assert state(house, job_id) == ("done", None)
    assert sorted({*left(house)} - {*before}) == [f"{job_id}.{ending}"] and told(house) == journalled + 1
    if ending == "csv":
        assert (house.data / "exports" / f"{job_id}.csv").read_bytes().count(b"\r\n") == 10_001


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing(house, ending):
    job_id, journalled = queue(house, ending), told(house)
    perform(house, job_id, limit=1_000_000)
    assert state(house, job_id)[0] == "dead" and "perhaps the disk is full" in state(house, job_id)[1]
    assert str(house.data) not in state(house, job_id)[1]
    assert [one for one in left(house) if one.startswith(f"{job_id}")] == [] and told(house) == journalled
