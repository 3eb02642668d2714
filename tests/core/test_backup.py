"""What was saved comes back whole, on either database, and what is damaged or too new changes nothing."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.core.installation import Installation, new

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
FILL = """
from io import BytesIO
from core.cli.house import house
with house(title="Fill"):
    from core import records
    from core.model import model_of
    from core.custom import CustomField
    from core.custom_jobs import ensure_indexes
    from core.files import store
    clients = records(model_of("crm_client"))
    first = clients.create({"name": "北京宏远科技", "phones": "13800138000", "remarks": "第一行\\n“引号”, 逗号"})
    clients.create({"name": "Second"})
    gone = clients.create({"name": "Gone"})
    records(model_of("crm_contact")).create({"name": "王芳", "client": first.id})
    clients.delete(gone)
    records(CustomField).create({"model": "crm_client", "title": "Size", "kind": "integer", "indexed": True})
    ensure_indexes()
    store(BytesIO(b"hello, backup"), "hello.txt")
"""


FIND = """
from core.cli.house import house
with house():
    from core import records
    from core.model import model_of
    print([one.name for one in records(model_of("crm_client")).find(search="宏远").rows])
"""


@pytest.fixture(scope="module", params=BOTH)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation with records, a file and a key."""
    made = new(request.param, tmp_path_factory.mktemp("full"), "full")
    made.must("migrate")
    made.python(FILL)
    # That a backup was made is told after it, and so not in it.
    (made.folder / "rows.json").write_text(json.dumps(rows(made)))
    made.must("backup", made.folder / "saved.zip")
    return made


@pytest.fixture(params=BOTH)
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """Another installation, up to date, with data of its own."""
    made = new(request.param, tmp_path / "other", "other")
    made.must("migrate")
    return made


def rows(house: Installation) -> dict[str, list[str]]:
    """Every row of every table that a backup holds, as comparable text."""
    code = """
import json
from core.cli.house import connected
connected()
from core.backup import EMPTY, data_tables, _plain
from core.db import db
import sqlalchemy as sa
with db.engine.connect() as connection:
    for table in data_tables(connection):
        if table.name in EMPTY: continue
        columns = sorted(column.name for column in table.c)
        query = sa.select(*(table.c[name] for name in columns))
        found = [json.dumps([_plain(value) for value in row], ensure_ascii=False) for row in connection.execute(query)]
        print(json.dumps([table.name, sorted(found)], ensure_ascii=False))
"""
    return dict(map(json.loads, house.python(code).splitlines()))


@pytest.mark.slow
def test_what_was_saved_on_one_database_comes_back_on_either(full: Installation, other: Installation) -> None:
    before = json.loads((full.folder / "rows.json").read_text())
    said = other.must("restore", "--yes", full.folder / "saved.zip")
    assert "before-restore" in said
    after = rows(other)
    # A restore bumps the generation, so that every process forgets what it kept.
    assert before.pop("core_state") != after.pop("core_state")
    # Indexes of custom fields are made anew, which the journal notes.
    assert len(before.pop("core_custom_field")) == len(after.pop("core_custom_field")) == 1
    for name in ("core_journal", "core_batch"):
        assert set(before.pop(name)) <= set(after.pop(name))
    assert before == after
    assert sum(len(found) for found in before.values()) > 30
    assert (other.data / "secret-key").read_text() == (full.data / "secret-key").read_text()
    stored = [path for path in (other.data / "files").rglob("*") if path.is_file() and path.read_bytes() == b"hello, backup"]
    assert len(stored) == 1
    assert "北京宏远科技" in other.python(FIND)
    with other.database() as connection:
        catalogue = "pg_indexes WHERE indexname" if other.url else "sqlite_master WHERE name"
        assert connection.execute(sa.text(f"SELECT count(*) FROM {catalogue} LIKE 'ix_custom_crm_client_%'")).scalar() == 1
    with other.database() as connection:
        made = connection.execute(sa.text("INSERT INTO crm_client (name, status) VALUES ('New', 'new') RETURNING id")).scalar()
    assert made == 4, "the id of a record that was deleted before the backup is not given again"
    assert "all in order" in other.must("check")


def test_a_damaged_file_changes_nothing(full: Installation, tmp_path: Path) -> None:
    good = (full.folder / "saved.zip").read_bytes()
    before = rows(full)
    for name, content in {"half.zip": good[: len(good) // 2], "text.zip": b"not a zip at all", "empty.zip": b""}.items():
        (tmp_path / name).write_bytes(content)
    changed(
        full.folder / "saved.zip",
        tmp_path / "changed.zip",
        "tables/crm_client.jsonl",
        lambda old: old.replace("北京".encode(), "南京".encode()),
    )
    changed(full.folder / "saved.zip", tmp_path / "less.zip", "tables/crm_client.jsonl", lambda _old: None)
    for path in sorted(tmp_path.glob("*.zip")):
        done = full.run("restore", "--yes", path)
        assert done.status == 1 and "damaged" in done.err and "changed" in done.err, (path.name, done.text)
    assert "There is no file" in full.run("restore", "--yes", tmp_path / "nowhere.zip").err
    assert rows(full) == before


def test_a_newer_file_is_refused_with_what_to_install(full: Installation, tmp_path: Path) -> None:
    def newer(old: bytes) -> bytes:
        manifest = json.loads(old)
        return json.dumps({**manifest, "migrations": [*manifest["migrations"][1:], "core_9999"], "version": "9.9"}).encode()

    changed(full.folder / "saved.zip", tmp_path / "newer.zip", "manifest.json", newer)
    done = full.run("restore", "--yes", tmp_path / "newer.zip")
    assert done.status == 1 and "newer than this code" in done.err and "9.9" in done.err


def test_nothing_is_replaced_unasked(full: Installation) -> None:
    before = rows(full)
    for answer in ("", "no\n", "\n"):
        done = full.run("restore", full.folder / "saved.zip", given=answer)
        assert done.status == 1 and "Nothing was changed" in done.err
    assert "It is whole" in full.must("restore", "--check", full.folder / "saved.zip")
    assert "exists already" in full.run("backup", full.folder / "saved.zip").err
    assert rows(full) == before


def test_a_backup_is_for_its_owner_only_and_holds_no_sessions(full: Installation) -> None:
    path = full.folder / "saved.zip"
    assert path.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(path) as source:
        assert source.read("tables/core_session.jsonl") == b""
        assert {"manifest.json", "secret-key", "tables/ab_user.jsonl"} <= set(source.namelist())


def changed(source: Path, target: Path, member: str, change: Any) -> None:
    """A copy of a zip file in which one member is changed, or left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new_file:
        for name in old.namelist():
            content = old.read(name) if name != member else change(old.read(name))
            if content is not None:
                new_file.writestr(name, content)


def test_what_a_killed_restore_has_left_in_the_store_is_in_no_backup(full: Installation, tmp_path: Path) -> None:
    (stored,) = (one for one in (full.data / "files").rglob("*") if one.is_file() and one.read_bytes() == b"hello, backup")
    (stored.parent / f".{stored.name}.part").write_bytes(b"hel")
    full.must("backup", tmp_path / "after.zip")
    assert "It is whole" in full.must("restore", "--check", tmp_path / "after.zip")
    with zipfile.ZipFile(tmp_path / "after.zip") as source:
        assert [one for one in source.namelist() if one.startswith("files/")] == [f"files/{stored.parent.name}/{stored.name}"]


def test_what_was_moved_out_of_the_journal_is_saved_and_comes_back(full: Installation, other: Installation, tmp_path: Path) -> None:
    name = "journal-before-2026-01-01-20260301020304.jsonl.gz"
    for house, content in ((full, b"of then"), (other, b"of the other")):
        (house.data / "journal").mkdir(exist_ok=True)
        (house.data / "journal" / name).write_bytes(content)
    (full.data / "journal" / name.replace("2026-01", "2025-01")).write_bytes(b"older")
    (full.data / "journal" / "notes.txt").write_bytes(b"somebody's own")
    full.must("backup", tmp_path / "moved.zip")
    other.must("restore", "--yes", tmp_path / "moved.zip")
    here = {one.name: one.read_bytes() for one in (other.data / "journal").iterdir()}
    assert here == {name: b"of the other", name.replace("2026-01", "2025-01"): b"older"}, "what is there is never replaced"
    # A Mortise that does not know such parts says that it is too old, and not that the file is none.
    with zipfile.ZipFile(tmp_path / "moved.zip") as newer, zipfile.ZipFile(full.folder / "saved.zip") as plain:
        assert [json.loads(one.read("manifest.json"))["format"] for one in (newer, plain)] == [2, 1]
