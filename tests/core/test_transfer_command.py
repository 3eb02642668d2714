"""`run.py import` and `run.py export` on a firm's list of 10,000 clients, as people type them."""

import csv
import io
import time

import pytest
from openpyxl import Workbook

from tests.core.installation import new
from tests.firm import firm

CLIENTS = "SELECT count(*), count(DISTINCT code), count(DISTINCT name || coalesce(phones, '')) FROM crm_client"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = new("sqlite", tmp_path_factory.mktemp("import"), "import")
    made.must("migrate", "--no-copy")
    return made


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


@pytest.mark.slow
def test_ten_thousand_rows_come_in_once_whatever_the_encoding_and_go_out_again(place, capsys):
    """The main job of the kernel, on real input: S0-10, S0-29."""
    made = firm(10_000)
    utf8, gb18030 = made.write(place.folder / "clients.csv"), made.write(place.folder / "clients-gb.csv", "gb18030")

    done = place.run("import", "crm_client", utf8)
    with capsys.disabled():
        print(f"\nimport of 10,000 rows on SQLite: {10_000 / done.processor:,.0f} rows for a second of the processor, start included")
    assert f"New: {made.good:,}, changed: 0, already there: 0, wrong: {len(made.wrong)}" in done.text
    assert place.ask(CLIENTS) == [(made.good,) * 3]
    heading, *rows = read(place.folder / "clients.csv.wrong.csv")
    assert heading[-1] == "Reason" and len(rows) == len(made.wrong) and all(row[10].endswith((".", "?")) for row in rows)

    before = place.ask("SELECT * FROM crm_client ORDER BY id")
    told = place.must("import", "crm_client", gb18030)
    assert f"New: 0, changed: 0, already there: {made.good:,}" in told

    for name in ("out.csv", "out.xlsx"):
        assert f"{made.good:,}" in place.must("export", "crm_client", place.folder / name)
        told = place.must("import", "crm_client", place.folder / name)
        assert f"New: 0, changed: 0, already there: {made.good:,}, wrong: 0" in told
    assert place.ask("SELECT * FROM crm_client ORDER BY id") == before
    verbs = dict(place.ask("SELECT verb, count(*) FROM core_journal WHERE model = 'crm_client' AND record_id = 0 GROUP BY verb"))
    assert verbs == {"import": 4, "export": 2}
    assert place.ask("SELECT DISTINCT door FROM core_journal WHERE model = 'crm_client'") == [("command line",)]
    assert done.processor < 30, "an import should take some seconds"


@pytest.mark.slow
def test_an_import_that_was_killed_goes_on_without_doubling(tmp_path):
    place = new("sqlite", tmp_path, "killed")
    place.must("migrate", "--no-copy")
    made = firm(2500, seed=11)
    path = made.write(tmp_path / "clients.csv")
    running = place.start("import", "crm_client", path)
    for _wait in range(600):
        if (place.ask(CLIENTS)[0][0]) >= 500:
            break
        time.sleep(0.05)
    running.kill()
    running.communicate()
    there = place.ask(CLIENTS)[0][0]
    assert 0 < there < made.good, "it should have been killed in the middle"
    assert place.ask("SELECT count(*) FROM core_journal WHERE model = 'crm_client'") == [(there,)]
    told = place.must("import", "crm_client", path)
    assert f"New: {made.good - there:,}, changed: 0, already there: {there:,}" in told
    assert place.ask(CLIENTS) == [(made.good,) * 3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("import", "crm_client", "nothing.csv"), "cannot be opened"), (("import", "crm_nothing", "f.csv"), "crm_nothing"),
        (("import", "crm_client", "stock.csv"), "No heading of this file names a field of “Clients”"),
        (("import", "crm_client", "picture.csv"), "does not hold a table"), (("export", "crm_client", "f.pdf"), ".csv or .xlsx"),
        (("import", "crm_client", "clients.csv", "--key", "stauts"), "has no field “stauts”"),
        (("import", "crm_client", "broken.xlsx"), "is not an Excel workbook, or it is damaged"),
        (("import", "crm_client", "cut.xlsx"), "is not an Excel workbook, or it is damaged"),
        (("import", "crm_client", "twice.csv"), "Two columns are meant for “Name”: “name” and “name”"),
        (("import", "crm_client", "headless.csv"), "No heading of this file names a field of “Clients”"),
        (("import", "crm_client", "open.csv"), "a quotation mark in line 2 is not closed"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(place, words, sentence):
    (place.folder / "stock.csv").write_text("品名,库存\n螺丝,7\n", encoding="utf-8")
    (place.folder / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    firm(10).write(place.folder / "clients.csv")
    book = io.BytesIO()
    Workbook().save(book)
    middle = len(book.getvalue()) // 2
    # Whole at both ends, where a zip says what it holds, and spoilt or cut in between.
    (place.folder / "broken.xlsx").write_bytes(book.getvalue()[: middle - 400] + b"\0" * 800 + book.getvalue()[middle + 400 :])
    (place.folder / "cut.xlsx").write_bytes(book.getvalue()[:middle])
    (place.folder / "twice.csv").write_text("name,name\na,b\n", encoding="utf-8")
    (place.folder / "headless.csv").write_text("Ann Lee,13800138000\nBob,13900139000\n", encoding="utf-8")
    (place.folder / "open.csv").write_text('name,remarks\na,"b\nc,d\n', encoding="utf-8")
    tables = ("core_journal", "core_import", "core_import_row", "crm_client")
    before = [place.ask(f"SELECT count(*) FROM {name}") for name in tables]
    files = {one.name for one in place.folder.iterdir()}
    done = place.run(*words)
    assert done.status == 1 and sentence in done.text and len(done.text.strip().splitlines()) == 1, done.text
    assert [place.ask(f"SELECT count(*) FROM {name}") for name in tables] == before
    assert {one.name for one in place.folder.iterdir()} == files
