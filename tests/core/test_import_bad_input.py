"""Bad files and bad days: each is one sentence, nothing is half written, and nothing that was confirmed is lost."""

import io
import struct
import subprocess
import sys
import zipfile

import pytest

from core.db import db
from core.transfer import drafts
from tests.core.drafting import sent
from tests.core.installation import ROOT, new
from tests.core.test_import_killed import CLIENTS
from tests.firm import firm

MB = 2**20


def workbook(sheet=b"", strings=b"", repeat=0):
    """A workbook made by hand; ``repeat`` MB of the letter x stand in its only text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("xl/sharedStrings.xml" if strings else "xl/worksheets/sheet1.xml", "w", force_zip64=True) as stream:
            stream.write(strings or sheet or b"<worksheet><t>")
            for _piece in range(repeat):
                stream.write(b"x" * MB)
    return packed.getvalue()


def saying(size, data):
    """The same workbook, whose directory says that its part has this size."""
    at = data.index(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]


BAD = {
    "nothing": (b"", "is empty"),
    "binary": (bytes(range(256)) * 40, "does not hold a table|neither UTF-8"),
    "damaged": ("name,remarks\n甲,很好很好很好很好很好\n".encode() + "乙,坏".encode()[:-1] + b"\n", "damaged in line 3"),
    "300 columns": (b"name" + b",x" * 300 + b"\na\n", "more than 200 columns"),
    "a line without end": (b"name\n" + b"x" * (5 * MB), "does not end"),
    "a text without end": (workbook(repeat=9), "too large when unpacked|damaged"),
    "200 MB of texts": (saying(200 * MB, workbook(strings=b"<sst>", repeat=1)), "too large when unpacked|damaged"),
    "a bomb": (saying(1_200_000_000, workbook(repeat=9)), "too large when unpacked"),
    "a bomb that lies": (saying(1000, workbook(repeat=9)), "too large when unpacked|damaged"),
    "no workbook": (b"PK\x03\x04 nothing of the kind", "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence_for_screens(app, name):
    data, words = BAD[name]
    import re

    from core.errors import Broken

    try:
        one = sent(data, "list.xlsx" if data[:2] == b"PK" else "list.csv")
        told, state = one.sentence, one.state
    except Broken as problem:
        told, state = problem.sentence, "broken"
    assert state == "broken" and re.search(words, told) and told.endswith(".")
    assert not db.session.execute(drafts.core_import_row.select()).all()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = new("sqlite", tmp_path_factory.mktemp("bad"), "bad")
    made.must("migrate", "--no-copy")
    return made


def test_a_line_of_two_gigabytes_needs_no_memory(place):
    path = place.folder / "long.csv"
    with path.open("wb") as stream:
        stream.write(b"name,phones\n")
        stream.truncate(2 * 2**30)
    short = place.folder / "half.csv"
    with short.open("wb") as stream:
        stream.write(b"name,phones\n")
        for _piece in range(60):
            stream.write(b"x" * MB)
    for one, words in ((path, "is larger than 512 MB"), (short, "does not end")):
        line = [sys.executable, str(ROOT / "run.py"), "import", "crm_client", str(one)]
        measured = "import resource, subprocess, sys\n"
        measured += f"done = subprocess.run({line!r}, capture_output=True, text=True)\nsys.stderr.write(done.stderr)\n"
        measured += "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", measured], capture_output=True, text=True, cwd=place.folder, env=place.environment)
        status, kilobytes = map(int, done.stdout.split())
        assert status == 1 and words in done.stderr and kilobytes < 260_000, (done, kilobytes)
        one.unlink()
    assert place.ask("SELECT count(*) FROM core_import") == [(0,)]


LIMITED = """
import resource, sys
import core.db
{before}
from core.cli import main
raise SystemExit(main({words!r}))
"""


def limited(place, before, *words):
    return place._forked({"words": [], "code": LIMITED.format(before=before, words=[str(word) for word in words])}, None)


FULL = {
    "no file may grow": "resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))",
    "no page is left": (
        "from sqlalchemy import event\nfrom sqlalchemy.engine import Engine\n"
        "event.listen(Engine, 'connect', lambda c, r: c.execute('PRAGMA max_page_count={pages}'))"
    ),
}


@pytest.mark.parametrize("how", FULL)
def test_a_full_disk_is_one_sentence_and_what_was_told_is_kept(tmp_path, how):
    place = new("sqlite", tmp_path, "full")
    place.must("migrate", "--no-copy")
    made = firm(3000)
    made.write(tmp_path / "clients.csv")
    (pages,), (size,) = place.ask("PRAGMA page_count") + place.ask("PRAGMA page_size")
    done = limited(place, FULL[how].format(size=(pages * size) + 1_500_000, pages=pages + 500), "import", "crm_client", "clients.csv")
    assert done.status == 1 and "Traceback" not in done.text and "full" in done.text or "error" in done.text, done.text
    assert place.ask("PRAGMA integrity_check") == [("ok",)]
    there = place.ask(CLIENTS)[0][0]
    assert there == place.ask("SELECT coalesce(sum(created), 0) FROM core_import")[0][0] < made.good
    found = place.ask("SELECT id, batch_id FROM core_import")
    words = ("import", "--resume", found[0][0]) if found and found[0][1] else ("import", "crm_client", "clients.csv")
    place.must(*words)
    assert place.ask(CLIENTS) == [(made.good,) * 3]


def test_a_database_locked_by_another_program_is_one_sentence(place):
    firm(30).write(place.folder / "clients.csv")
    with place.database() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        done = limited(place, "core.db.LOCK_TIMEOUT_SECONDS = 1", "import", "crm_client", "clients.csv")
        connection.exec_driver_sql("ROLLBACK")
    assert done.status == 1 and "locked" in done.text and len(done.text.strip().splitlines()) == 1, done.text
    assert place.ask(CLIENTS) == [(0, 0, 0)]


@pytest.mark.postgres
def test_a_table_locked_by_another_program_is_one_sentence(tmp_path):
    place = new("postgresql", tmp_path, "locked")
    place.must("migrate", "--no-copy")
    firm(30).write(place.folder / "clients.csv")
    with place.database() as connection:
        connection.exec_driver_sql("LOCK TABLE crm_client IN EXCLUSIVE MODE")
        place.settings["PGOPTIONS"] = "-c lock_timeout=500"
        done = place.run("import", "crm_client", "clients.csv")
    assert done.status == 1 and "lock timeout" in done.text and len(done.text.strip().splitlines()) == 1, done.text
    assert place.ask(CLIENTS) == [(0, 0, 0)]
    (number,) = place.ask("SELECT id FROM core_import")[0]
    assert f"New: {firm(30).good}" in place.must("import", "--resume", number)
