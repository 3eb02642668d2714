"""Imports and exports that workers of rq do, and a Redis that is killed in the middle of one: nothing is lost, doubled or half written."""

import subprocess
import sys
import time

import pytest

from tests import servers
from tests.core.drafting import QUEUE_IMPORT
from tests.core.installation import ROOT, new
from tests.firm import firm

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.postgres]
LIST = firm(1600, seed=5)
CLIENTS = "SELECT count(*), count(DISTINCT code) FROM crm_client"

# The worker stops after its first chunk (its first page) until it is told to go on.
WORKER = """
import time
from pathlib import Path
import core.app, core.transfer.chunks as chunks, core.transfer.export_jobs as export_jobs
def pause():
    Path("in the middle").touch()
    end = time.monotonic() + 120
    while not Path("go on").exists() and time.monotonic() < end:
        time.sleep(0.02)
def around(module, name):
    known = getattr(module, name)
    def called(*args, **more):
        found = known(*args, **more)
        pause()
        return found
    setattr(module, name, called)
if Path("pausing").exists():
    around(chunks, "_chunk"), around(export_jobs, "_go_on")
from core.cli import main
raise SystemExit(main(["jobs", "--worker"]))
"""

QUEUE_EXPORT = """
from core.cli.house import house
from core.transfer.export_jobs import write_export
with house():
    print(write_export.later(table="crm_client", ending="csv"))
"""


class Crew:
    """An installation whose jobs run on rq: the process that hands over, a worker, and a Redis of its own."""

    def __init__(self, kind, folder, pausing):
        self.place = new(kind, folder, "rq")
        self.url, self.redis = servers.own_redis("KILL")
        self.place.must("migrate", "--no-copy")
        LIST.write(folder / "clients.csv")
        if pausing:
            (folder / "pausing").touch()
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_about):
        for one in self.running:
            one.kill()
            one.wait()
        self.redis.stop()

    def queue(self, code):
        return int(self.place.python(code).split()[-1])

    def start(self):
        """The loop and a worker; what they say stands in files."""
        lines = {"loop": [str(ROOT / "run.py"), "jobs"], "worker": ["-c", WORKER]}
        environment = self.place.environment | {"MORTISE_REDIS_URL": self.url, "PYTHONPATH": str(ROOT)}
        for name, line in lines.items():
            with (self.place.folder / f"{name}.log").open("w") as log:
                made = subprocess.Popen([sys.executable, *line], cwd=self.place.folder, env=environment, stdout=log, stderr=log)
            self.running.append(made)

    def said(self, name):
        return (self.place.folder / f"{name}.log").read_text(errors="replace")

    def job(self, number):
        return self.place.ask(f"SELECT state, attempts FROM core_job WHERE id = {number}")[0]

    def until(self, true, seconds=120):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{self.said('loop')}\n{self.said('worker')}"
            time.sleep(0.1)

    def files(self):
        return sorted(one.name for one in (self.place.data / "exports").rglob("*"))


def lines(path):
    return len(path.read_text(encoding="utf-8-sig").splitlines())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_of_rq_imports_a_list_and_exports_it(tmp_path, kind):
    with Crew(kind, tmp_path, pausing=False) as crew:
        one = crew.queue(QUEUE_IMPORT)
        crew.start()
        crew.until(lambda: crew.job(one)[0] == "done")
        assert crew.place.ask(CLIENTS) == [(LIST.good,) * 2]
        assert crew.place.ask("SELECT state, created, refused FROM core_import") == [("done", LIST.good, len(LIST.wrong))]
        two = crew.queue(QUEUE_EXPORT)
        crew.until(lambda: crew.job(two)[0] == "done")
        assert crew.files() == [f"{two}.csv"] and lines(crew.place.data / "exports" / f"{two}.csv") >= LIST.good + 1
        assert crew.job(one) == crew.job(two) == ("done", 1) and "Traceback" not in crew.said("loop") + crew.said("worker")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_import_goes_on_when_redis_and_its_worker_are_killed_in_the_middle(tmp_path, kind):
    with Crew(kind, tmp_path, pausing=True) as crew:
        one = crew.queue(QUEUE_IMPORT)
        crew.start()
        crew.until((tmp_path / "in the middle").exists)
        crew.redis.stop()
        crew.running[1].kill()
        crew.running[1].wait()
        # What is asked for now waits in the database, and the loop says so, once, in one sentence.
        two = crew.queue(QUEUE_EXPORT)
        crew.until(lambda: "Redis does not answer" in crew.said("loop"))
        assert "jobs wait in the database until it does" in crew.said("loop") and "Traceback" not in crew.said("loop")
        assert crew.said("loop").count("Redis does not answer") == 1 and crew.job(two)[0] == "queued"
        done, _codes = crew.place.ask(CLIENTS)[0]
        assert 0 < done < LIST.good and crew.place.ask("SELECT created FROM core_import") == [(done,)], "whole chunks only"
        (number,) = crew.place.ask("SELECT id FROM core_import")[0]
        told = crew.place.must("import", "--resume", number)
        assert f"New: {LIST.good:,}, changed: 0, already there: 0, wrong: {len(LIST.wrong)}" in told
        (tmp_path / "go on").touch()
        assert crew.place.ask(CLIENTS) == [(LIST.good,) * 2]
        # A job process without Redis does the rest; the old job of the import finds nothing to do, and does no harm.
        crew.running[0].terminate()
        assert crew.running[0].wait(timeout=60) == 0
        with crew.place.database() as connection:
            connection.exec_driver_sql("UPDATE core_job SET due_at = '2026-01-01 00:00:00' WHERE state IN ('running', 'queued')")
        crew.place.run("jobs", "--once")
        assert crew.job(two)[0] == "done" and lines(crew.place.data / "exports" / f"{two}.csv") >= LIST.good + 1
        assert crew.place.ask(CLIENTS) == [(LIST.good,) * 2] and crew.place.ask("SELECT state FROM core_import") == [("done",)]
        batches = crew.place.ask("SELECT DISTINCT batch_id FROM core_journal WHERE model = 'crm_client' AND record_id > 0")
        assert len(batches) == 1 and crew.job(one)[0] in ("queued", "done", "dead")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_a_worker_has_begun_is_finished_without_redis(tmp_path, kind):
    with Crew(kind, tmp_path, pausing=True) as crew:
        crew.place.must("import", "crm_client", "clients.csv")
        one = crew.queue(QUEUE_EXPORT)
        crew.start()
        crew.until((tmp_path / "in the middle").exists)
        crew.redis.stop()
        assert all(not name.endswith(f"{one}.csv") for name in crew.files()), "the file appears when it is whole"
        (tmp_path / "go on").touch()
        crew.until(lambda: crew.job(one)[0] == "done")
        assert crew.files() == [f"{one}.csv"] and lines(crew.place.data / "exports" / f"{one}.csv") >= LIST.good + 1
        exported = crew.place.ask("SELECT count(*) FROM core_journal WHERE verb = 'export'")
        assert exported == [(1,)] and crew.job(one) == ("done", 1)
