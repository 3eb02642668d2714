"""The proof: backup, restore and export of every model are equal to the byte across both databases, while people write, and after kills."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.core.installation import ROOT, Installation, new
from tests.core.test_serve import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
KINDS = ["sqlite", "postgresql"]
MAKE = """
from core.cli.house import house
with house(title="Many"):
    from core import records
    from core.db import db
    from core.model import model_of
    clients, contacts = records(model_of("crm_client")), records(model_of("crm_contact"))
    for start in range({first}, {last}, 500):
        made = clients.create_many([
            {{"name": f"客户 {{one}} “{{one * 7}}”, 第{{one % 9}}行", "phones": f"138{{one:08d}}", "remarks": "a\\nb" * (one % 3)}}
            for one in range(start, min(start + 500, {last}))
        ])
        contacts.create_many([{{"name": f"王 {{one.record.id}}", "client": one.record.id}} for one in made[::5]])
        db.session.commit()
"""
EXPORT = """
import hashlib, json
from core.cli.house import house
with house():
    from core.model import models
    from core.transfer.exporting import Unwritable, csv_lines, export_rows
    sums = {}
    for table, model in sorted(models().items()):
        digest = hashlib.sha256()
        for piece in csv_lines(export_rows(model, order="id")):
            digest.update(piece)
        sums[table] = digest.hexdigest()
    print(json.dumps(sums))
"""


def exports(house: Installation) -> dict[str, str]:
    import json

    return json.loads(house.python(EXPORT).splitlines()[-1])


def all_the_way_round(first: str, second: str, tmp_path: Path, records: int) -> None:
    """From the first database into the second and back into another one of the first kind."""
    full, other, back = (new(kind, tmp_path / name, name) for kind, name in ((first, "full"), (second, "other"), (first, "back")))
    for house in (full, other, back):
        house.must("migrate", "--no-copy")
    full.python(MAKE.format(first=0, last=records))
    before = exports(full)
    assert len(before) > 20 and len(set(before.values())) > 5
    full.must("backup", tmp_path / "one.zip")
    other.must("restore", "--yes", tmp_path / "one.zip")
    same(before, exports(other))
    other.must("backup", tmp_path / "two.zip")
    back.must("restore", "--yes", tmp_path / "two.zip")
    same(before, exports(back))
    assert back.ask("SELECT count(*) FROM crm_client") == [(records,)]


def same(before: dict[str, str], after: dict[str, str]) -> None:
    # Of what the house does itself the journal tells, and it has done something: backups and restores.
    told = {"core_journal", "core_batch"}
    different = {table for table in before.keys() | after.keys() if before.get(table) != after.get(table)} - told
    assert not different, different


@pytest.mark.parametrize(("first", "second"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_exports_are_equal_to_the_byte(first: str, second: str, tmp_path: Path) -> None:
    all_the_way_round(first, second, tmp_path, 2500)


@pytest.mark.soak
@pytest.mark.parametrize(("first", "second"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_exports_of_a_hundred_thousand_are_equal_to_the_byte(first: str, second: str, tmp_path: Path) -> None:
    all_the_way_round(first, second, tmp_path, 100_000)


WRITE = """
import sys, time
from pathlib import Path
from core.cli.house import house
with house(title="Writer {number}"):
    from core import records
    from core.db import db
    from core.model import model_of
    clients, contacts = records(model_of("crm_client")), records(model_of("crm_contact"))
    until = time.monotonic() + 120
    while time.monotonic() < until and not Path({over!r}).exists():
        # A client and its contacts are one transaction: a backup holds both or neither.
        one = clients.create({{"name": f"pair {number} {{time.monotonic()}}"}})
        contacts.create_many([{{"name": "王芳", "client": one.id}}, {{"name": "李伟", "client": one.id}}])
        db.session.commit()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_is_of_one_moment_while_people_write(kind: str, tmp_path: Path) -> None:
    full, other = new(kind, tmp_path / "full", "full"), new("sqlite", tmp_path / "other", "")
    for house in (full, other):
        house.must("migrate", "--no-copy")
    full.python(MAKE.format(first=0, last=1000))
    over = tmp_path / "over"
    codes = [WRITE.format(number=number, over=str(over)) for number in (1, 2)]
    writers = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=full.environment) for code in codes]
    counts = []
    try:
        for number in (1, 2):
            wait_for(lambda number=number: full.ask(f"SELECT count(*) FROM crm_client WHERE name LIKE 'pair {number} %'") != [(0,)], 60)
        for number in range(3):
            full.must("backup", tmp_path / f"{number}.zip")
            counts.append(full.ask("SELECT count(*) FROM crm_client WHERE name LIKE 'pair%'")[0][0])
            assert [one.poll() for one in writers] == [None, None], "they write as long as backups are made"
            time.sleep(1)
    finally:
        over.touch()
        ended = [one.wait(timeout=90) for one in writers]
    assert ended == [0, 0] and counts[0] > 0 and counts[-1] > counts[0], "people wrote meanwhile, and nobody was turned away"
    for number in range(3):
        other.must("restore", "--yes", tmp_path / f"{number}.zip")
        lone = """SELECT count(*) FROM crm_client c WHERE name LIKE 'pair%'
            AND (SELECT count(*) FROM crm_contact k WHERE k.client_id = c.id) <> 2"""
        assert other.ask(lone) == [(0,)]
        missing = """SELECT count(*) FROM crm_client c
            WHERE NOT EXISTS (SELECT 1 FROM core_journal j WHERE j.model = 'crm_client' AND j.record_id = c.id)"""
        assert other.ask(missing) == [(0,)], "the journal is of the same moment"
        assert other.ask("SELECT count(*) FROM crm_client WHERE name LIKE 'pair%'")[0][0] <= counts[number]


FIND = """
from core.cli.house import house
with house():
    from core import records
    from core.model import model_of
    print(len(records(model_of("crm_client")).find(search="客户 299").rows))
"""


# It dies some milliseconds after a statement that comes once the restore has reached a function of its own.
KILL = """
import os, signal, threading
from sqlalchemy import event
from sqlalchemy.engine import Engine
import core.restore as restore
known, seen = restore.{begin}, []
def die():
    threading.Timer({pause}, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
def reached(*args, **more):
    seen.append("begun")
    if {number} == 0:
        die()
    return known(*args, **more)
restore.{begin} = reached
@event.listens_for(Engine, "before_cursor_execute")
def count(*_what):
    if seen:
        seen.append("statement")
        if len(seen) == {number} + 1:
            die()
from core.cli import main
raise SystemExit(main(["restore", "--yes", {path!r}]))
"""
BUILDING, SWAPPING, FINISHING = "building", "swapping", "finishing"
AGAIN, ENDED = "Restore the backup once more", "was brought to its end"


def moment(kind: str, phase: str, chance: random.Random) -> dict[str, Any]:
    """Where a restore dies: in the function ``begin``, after so many statements (0: at once) and so many seconds."""
    if phase == BUILDING:
        return {"begin": "_build", "number": chance.randint(1, 300), "pause": chance.uniform(0, 0.01)}
    if phase == SWAPPING:
        return {"begin": "_empty_log" if kind == "sqlite" else "_replaced", "number": 0, "pause": chance.uniform(0, 0.06)}
    return {"begin": "_after", "number": chance.randint(1, 15), "pause": chance.uniform(0, 0.003)}


def kills(kind: str, tmp_path: Path, count: int, records: int) -> None:
    """Kill ``count`` restores in each phase; afterwards the data are the old or the new ones, whole, and the house says what to do."""
    house, source = new(kind, tmp_path / "house", "killed"), new("sqlite", tmp_path / "source", "")
    for one in (house, source):
        one.must("migrate", "--no-copy")
    source.python(MAKE.format(first=0, last=records))
    source.must("backup", tmp_path / "new.zip")
    house.python(MAKE.format(first=0, last=300))
    house.must("backup", tmp_path / "old.zip")
    old, fresh = 300, records
    chance, died, seen = random.Random(kind), Counter[str](), []
    for phase in (BUILDING, SWAPPING, FINISHING):
        turns = 0
        while died[phase] < count:
            turns += 1
            assert turns < 3 * count + 3, f"the moments have to lie within the restore: {died}"
            words = moment(kind, phase, chance)
            done = house._forked({"words": [], "code": KILL.format(path=str(tmp_path / "new.zip"), **words)}, None)
            assert done.status in (-9, 0), done.text
            died[phase] += done.status == -9
            (found,) = house.ask("SELECT count(*) FROM crm_client")[0]
            # What a killed one leaves is whole before anybody has looked after it.
            assert "is whole" in house.must("check", "journal")
            left = half_built(house)
            told = house.must("migrate", "--no-copy")
            # A restore dies while it builds, and the house says so when it starts, and that what was half built is gone.
            assert bool(left) == ("half-built" in told) and not half_built(house), (words, left, told)
            assert left or done.status != -9 or phase != BUILDING or words["number"] == 0, words
            if done.status == -9 and phase != SWAPPING:
                assert found == (old if phase == BUILDING else fresh), (words, found)
            if done.status == -9:
                assert (AGAIN if found == old else ENDED) in told, (words, found, told)
            check_whole(house, source, found, (old, fresh))
            seen.append((phase, done.status, found))
            if found == fresh:
                house.must("restore", "--yes", tmp_path / "old.zip")
    print("after kills:", seen)


def half_built(house: Installation) -> list[str]:
    """What a restore builds before it swaps, if it is there."""
    if house.url:
        return [name for (name,) in house.ask("SELECT nspname FROM pg_namespace WHERE nspname = 'mortise_restore'")]
    return [one.name for one in house.data.iterdir() if one.name.endswith((".restore", ".restore-wal", ".restore-shm"))]


def check_whole(house: Installation, source: Installation, found: int, ways: tuple[int, int]) -> None:
    """All of the old data, or all of the new."""
    assert found in ways
    assert house.ask("SELECT count(*) FROM crm_client") == [(found,)]
    assert house.ask("SELECT count(*) FROM crm_contact")[0][0] == -(-found // 5)
    assert "all in order" in house.must("check", "--no-tables")
    assert "is whole" in house.must("check", "journal")
    assert int(house.python(FIND)) > 0, "the search index is there"
    assert (house.data / "secret-key").read_text() == (source.data / "secret-key").read_text() or found == ways[0]
    assert not (house.data / "restore-unfinished").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_restores_leave_the_old_data_or_the_new(kind: str, tmp_path: Path) -> None:
    kills(kind, tmp_path, 1, 1500)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_restores_killed_a_hundred_times_leave_the_old_data_or_the_new(kind: str, tmp_path: Path) -> None:
    kills(kind, tmp_path, 17, 3000)
