"""Files that are cut, changed, forged, newer or older: refused with a sentence, or upgraded; never half taken in."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.installation import Installation, new
from tests.core.test_backup import BOTH, FILL, changed, rows

pytestmark = pytest.mark.slow
OLDER = """
from pathlib import Path
from core.cli.house import connected
connected()
from core.backup import write_backup
from core.migrate import branches, migration_engine, run_to
engine = migration_engine("sqlite:///" + {database!r})
heads = {{name: branch.head for name, branch in branches().items()}}
heads["core"] = branches()["core"].revisions[-3]
with engine.connect() as connection:
    run_to(connection, heads)
    with connection.begin():
        connection.exec_driver_sql("INSERT INTO crm_client (name, status, version, custom) VALUES ('从前的客户', 'new', 1, '{{}}')")
write_backup(engine, None, Path({path!r}), files=False)
print(heads["core"], branches()["core"].head)
"""


@pytest.fixture(scope="module", params=BOTH)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = new(request.param, tmp_path_factory.mktemp("damaged"), "damaged")
    made.must("migrate")
    made.python(FILL)
    made.must("backup", made.folder / "saved.zip")
    return made


def refused(house: Installation, path: Path, *words: str) -> None:
    done = house.run("restore", "--yes", path)
    assert done.status == 1 and any(word in done.err for word in words), (path.name, done.text)
    assert "Traceback" not in done.text and len(done.err) < 1500, done.err


def test_cut_anywhere_or_one_bit_changed_is_refused_and_changes_nothing(full: Installation, tmp_path: Path) -> None:
    good, before, chance = (full.folder / "saved.zip").read_bytes(), rows(full), random.Random(5)
    for number in range(8):
        cut = tmp_path / f"cut-{number}.zip"
        cut.write_bytes(good[: chance.randrange(1, len(good))])
        refused(full, cut, "damaged")
    with zipfile.ZipFile(full.folder / "saved.zip") as source:
        members = [one for one in source.infolist() if one.compress_size > 30]
    for number in range(8):
        # Within the content of a member; what lies between members no reader looks at.
        one = chance.choice(members)
        place = one.header_offset + 30 + len(one.filename) + 20 + chance.randrange(one.compress_size - 4)
        flipped = tmp_path / f"flipped-{number}.zip"
        flipped.write_bytes(good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :])
        refused(full, flipped, "damaged", "no backup has")
    assert rows(full) == before


def manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def apply(old: bytes) -> bytes:
        found = json.loads(old)
        return json.dumps(change(found) or found).encode()

    return apply


def test_newer_foreign_and_forged_files_are_refused_with_what_to_do(full: Installation, tmp_path: Path) -> None:
    saved, before = full.folder / "saved.zip", rows(full)

    def with_manifest(name: str, change: Callable[[dict[str, Any]], Any], *words: str) -> None:
        changed(saved, tmp_path / name, "manifest.json", manifest(change))
        refused(full, tmp_path / name, *words)

    with_manifest("format.zip", lambda one: one.update(format=3, version="9.9"), "newer Mortise (9.9)")
    with_manifest("addon.zip", lambda one: one["migrations"].append("box_shelf_0001"), "addon box_shelf, which is not on disk")
    with_manifest("less.zip", lambda one: one.pop("columns"), "damaged")
    with_manifest("list.zip", lambda one: ["no", "object"], "damaged")
    with_manifest("words.zip", lambda one: one.update(tables=dict.fromkeys(one["tables"], "many")), "damaged")
    with_manifest("count.zip", lambda one: one["tables"].update(crm_client=99), "should have 99 rows")
    with_manifest("table.zip", lambda one: {**one, "tables": {"nowhere": 1}, "columns": {"nowhere": []}}, "missing in it")
    with_manifest("column.zip", lambda one: one["columns"]["crm_client"].__setitem__(0, "nowhere"), "columns that no migration")
    strange = ("../../outside.txt", "/etc/outside", "files/../../outside", "files/ab/..", "tables/ab_user.jsonl/x", "more", "files/zz/000")
    for name in strange:
        forged = tmp_path / "forged.zip"
        forged.write_bytes(saved.read_bytes())
        with zipfile.ZipFile(forged, "a") as target:
            target.writestr(name, b"outside")
        refused(full, forged, "which no backup has")
    twice = tmp_path / "twice.zip"
    twice.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(twice, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr("secret-key", b"another")
    refused(full, twice, "same name twice")
    assert not list(full.folder.rglob("*outside*")) and rows(full) == before


def test_rows_that_cannot_be_put_back_are_told_with_their_table(full: Installation, tmp_path: Path) -> None:
    before = rows(full)
    forged: dict[str, tuple[Callable[[list[Any]], Any], str]] = {
        "cut": (lambda row: "[1", "delimiter"),
        "short": (lambda row: row[:-1], "zip"),
        "date": (lambda row: [one[:4] if isinstance(one, str) and one[10:11] == "T" else one for one in row], "isoformat"),
        "missing": (lambda row: [None] * len(row), ""),
    }
    for name, (change, why) in forged.items():
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(full.folder / "saved.zip") as source, zipfile.ZipFile(path, "w") as target:
            parts = {one: source.read(one) for one in source.namelist()}
            told = json.loads(parts["manifest.json"])
            first, *rest = parts["tables/ab_user.jsonl"].splitlines(keepends=True)
            made = change(json.loads(first))
            line = made if isinstance(made, str) else json.dumps(made)
            parts["tables/ab_user.jsonl"] = b"".join([line.encode() + b"\n", *rest])
            told["sha256"]["tables/ab_user.jsonl"] = hashlib.sha256(parts["tables/ab_user.jsonl"]).hexdigest()
            parts["manifest.json"] = json.dumps(told).encode()
            for one, content in parts.items():
                target.writestr(one, content)
        done = full.run("restore", "--yes", path)
        assert done.status == 1 and "table ab_user holds a row" in done.err and why in done.err, done.text
        assert "nothing was changed" in done.err and "Warning" not in done.err, done.err
    assert rows(full) == before


def test_a_bomb_is_refused_before_it_is_unpacked(full: Installation, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    bomb.write_bytes((full.folder / "saved.zip").read_bytes())
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("files/ab/" + "0" * 62, b"\0" * 2**20)
        # As forged by hand: the directory says that this is more than any disk holds.
        target.getinfo("files/ab/" + "0" * 62).file_size = 2**60
    refused(full, bomb, "MB unpacked")
    key = tmp_path / "key.zip"
    changed(full.folder / "saved.zip", key, "secret-key", lambda old: old * 1000)
    refused(full, key, "MB unpacked", "damaged")


@pytest.mark.parametrize("kind", BOTH)
def test_a_file_of_an_older_version_is_upgraded(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "older")
    house.must("migrate")
    path = house.folder / "older.zip"
    old, head = house.python(OLDER.format(database=str(tmp_path / "old.db"), path=str(path))).split()
    assert old != head
    house.must("restore", "--yes", path)
    assert house.ask("SELECT name FROM crm_client") == [("从前的客户",)]
    assert head in {row[0] for row in house.ask("SELECT version_num FROM alembic_version")}
    assert "all in order" in house.must("check")
