"""The journal on the command line: asked, old entries moved out, values erased, and after each the check says that it is whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
import stat
from pathlib import Path

import pytest

from tests.core.installation import Installation, new

SEAL = """
from core.cli.house import house
from core.db import db
from core.seal import seal
with house():
    while seal():
        db.session.commit()
"""
MADE = """
from core.cli.house import house
from core.journal import batch
from core.model import model_of
from core.records import records
with house(title="Chief at work", as_login="chief"):
    gate = records(model_of("crm_client"))
    made = gate.create({"name": "Far Hills", "email": "hills@example.com"})
    gate.edit(made, {"email": "valley@example.com"})
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A house with a system administrator, an administrator and an employee; the first has made and changed a client."""
    made = new(request.param, tmp_path_factory.mktemp("journal"), "journal_cli")
    made.must("migrate")
    for login, level in (("chief", "system_administrator"), ("boss", "administrator"), ("anna", "employee")):
        made.must("user", "create", login, "--name", login.title(), "--email", f"{login}@firm.example")
        with made.database() as connection:
            connection.exec_driver_sql(f"UPDATE ab_user SET level = '{level}', must_change_password = false WHERE username = '{login}'")
    made.python(MADE)
    return made


@pytest.fixture
def whole(house: Installation):
    """The house, its journal sealed, and found whole when the test is over."""
    house.python(SEAL)
    yield house
    house.python(SEAL)
    done = house.run("check", "journal")
    assert done.status == 0 and "The journal is whole" in done.out, done.text


def answered(house: Installation, *words: str) -> list[dict]:
    return json.loads(house.run("journal", "query", "--format", "json", *words).out)


def test_questions_are_answered_as_csv_and_json_and_are_entries_themselves(whole: Installation, tmp_path: Path) -> None:
    both = answered(whole, "--model", "crm_client", "--person", "chief")
    assert [one["verb"] for one in both] == ["edit", "create"] and both[0]["door"] == "command line" and both[0]["person"] == "Chief"
    assert both[0]["changes"]["email"] == ["hills@example.com", "valley@example.com"] and len(both[0]["hash"]) == 64
    record = str(both[0]["record"])
    lines = list(
        csv.DictReader(io.StringIO(whole.run("journal", "query", "--model", "crm_client", "--record", record).out.lstrip("\ufeff")))
    )
    assert ("changed", "hills@example.com", "valley@example.com") in {(one["Action"], one["Old"], one["New"]) for one in lines}
    known = {
        ("--field", "email", "--value", "valley"): ["edit"], ("--verb", "create"): ["create"],
        ("--batch", str(both[1]["batch"])): ["edit", "create"],
        ("--since", "2020-01-01"): ["edit", "create"], ("--until", "2020-01-01"): [], ("--door", "api"): [], ("--limit", "1"): ["edit"],
        ("--person", "anna"): [],
    }  # fmt: skip
    for words, verbs in known.items():
        assert [one["verb"] for one in answered(whole, "--model", "crm_client", *words)] == verbs, words
    place = tmp_path / "answer.json"
    assert str(place) in whole.must("journal", "query", "--model", "crm_client", "--out", place)
    assert len(json.loads(place.read_text())) == 2 and stat.S_IMODE(place.stat().st_mode) == 0o600
    (told,) = answered(whole, "--verb", "export", "--model", "core_journal", "--limit", "1")
    assert told["changes"]["model"] == [None, "core_journal"] or told["changes"]["model"] == [None, "crm_client"]


def test_what_means_nothing_and_who_may_not_get_a_sentence(whole: Installation, tmp_path: Path) -> None:
    for words, sentence in {
        ("query", "--record", "x"): "takes a number", ("query", "--since", "yesterday"): "takes a day",
        ("query", "--value", "x"): "choose the kind",
        ("query", "--person", "nobody"): "no account “nobody”", ("query", "--as", "anna"): "Only an administrator may read the journal",
        ("remove", "--before", "2031-01-01", "--as", "boss"): "Only a system administrator may take entries out",
        ("remove", "--before", "1999-01-01", "--as", "chief"): "nothing so old",
        ("erase", "crm_client", "1", "--as", "anna", "--yes"): "Only an administrator may erase",
        ("erase", "crm_client", "99999", "--as", "chief", "--yes"): "has kept no values of this record",
        ("erase", "nothing", "1", "--as", "chief", "--yes"): "no model with the table nothing",
        ("erase", "--person", "nobody", "--as", "chief", "--yes"): "no account “nobody”",
    }.items():  # fmt: skip
        done = whole.run("journal", *words)
        assert done.status == 1 and sentence in done.err, (words, done.text)
    for words in (
        (), ("remove", "--before", "2031-01-01"), ("remove", "--before", "soon", "--as", "chief"), ("query", "--limit", "0"),
        ("erase", "--as", "chief"), ("erase", "crm_client", "1", "--person", "anna", "--as", "chief"),
    ):  # fmt: skip
        assert whole.run("journal", *words).status == 2, words


def test_one_records_and_one_persons_values_are_erased(whole: Installation) -> None:
    (record,) = {one["record"] for one in answered(whole, "--model", "crm_client")}
    asked = whole.run("journal", "erase", "crm_client", record, "--as", "boss")
    assert asked.status == 1 and "type it again with --yes" in asked.err and answered(whole, "--model", "crm_client")[0]["changes"]
    assert "2 entries were emptied" in whole.must("journal", "erase", "crm_client", record, "--as", "boss", "--yes")
    assert [(one["changes"], one["erased"], one["person"]) for one in answered(whole, "--model", "crm_client")] == [({}, True, "Chief")] * 2
    assert "anna@firm.example" in whole.run("journal", "query", "--model", "ab_user").out
    number = whole.ask("SELECT id FROM ab_user WHERE username = 'anna'")[0][0]
    assert whole.run("journal", "erase", "--person", "anna", "--as", "chief").status == 1
    assert "Emptied entries: 2." in whole.must("journal", "erase", "--person", "anna", "--as", "chief", "--yes")
    assert "anna@firm.example" not in whole.run("journal", "query", "--model", "ab_user").out
    assert not whole.ask("SELECT id FROM core_batch WHERE title LIKE '%anna%'") and whole.ask(
        "SELECT id FROM core_batch WHERE title LIKE '%boss%'"
    )
    again = whole.run("journal", "erase", "--person", str(number), "--as", "chief", "--yes")
    assert again.status == 1 and "kept no values of this person" in again.err


def test_old_entries_move_into_a_file_only_when_their_number_was_typed(whole: Installation, tmp_path: Path) -> None:
    words = ("journal", "remove", "--before", "2035-01-01", "--as", "chief")
    asked = whole.run(*words)
    assert asked.status == 1
    count = int(asked.err.rsplit("--count ", 1)[1])
    wrong = whole.run(*words, "--count", str(count + 1))
    assert wrong.status == 1 and "another number" in wrong.err
    place = tmp_path / "old" / "entries.jsonl.gz"
    assert f"{count:,} entries were taken out" in whole.must(*words, "--count", str(count), "--file", place)
    with gzip.open(place, "rt", encoding="utf-8") as stream:
        assert len(list(stream)) == count
    whole.python(SEAL)
    assert f"{count:,} taken out" in whole.must("check", "journal")
    (entry,) = answered(whole, "--verb", "journal-removed")
    assert entry["person"] == "Chief" and entry["changes"]["archive"] == "entries.jsonl.gz"
    with whole.database() as connection:
        connection.exec_driver_sql(f"UPDATE core_journal SET user_id = 1 WHERE id = {entry['id']}")
    assert whole.run("check", "journal").status == 1
    with whole.database() as connection:
        connection.exec_driver_sql(f"UPDATE core_journal SET user_id = {entry['person_id']} WHERE id = {entry['id']}")
