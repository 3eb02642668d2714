"""Backups as they are asked for: each with the passphrase that was given for it, read back, and nobody waits meanwhile."""

from __future__ import annotations

import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from core.backup_file import inspect_backup
from core.db import db
from core.errors import Problem
from core.jobs import core_job
from core.locked_file import is_locked
from core.migrate import branches
from core.testing import both_databases
from tests.core.drafting import run
from tests.core.installation import new
from tests.core.test_backup import BOTH
from tests.core.test_migrate import SHELF

FIRST, SECOND = "correct horse battery", "another staple of words"


def made(app: Any) -> list[Path]:
    folder = app.config["MORTISE"].data / "backups"
    return sorted(one for one in folder.iterdir() if not one.name.endswith(".json")) if folder.is_dir() else []


@pytest.fixture(autouse=True)
def migrated(request: pytest.FixtureRequest) -> None:
    """The prepared database of tests has all tables, and nothing that says by which migrations."""
    if "app" in request.fixturenames:
        request.getfixturevalue("app")
        db.session.execute(text("CREATE TABLE alembic_version (version_num varchar(80))"))
        heads = [{"head": one.head} for one in branches().values() if one.head]
        db.session.execute(text("INSERT INTO alembic_version VALUES (:head)"), heads)
        db.session.commit()


def work() -> None:
    waiting = select(core_job.c.id).where(core_job.c.name.like("%make_backup"), core_job.c.state == "queued").order_by(core_job.c.id)
    for number in db.session.execute(waiting).scalars().all():
        run(number)


@both_databases
def test_each_backup_has_the_passphrase_it_was_asked_with(app: Any, login_as: Any) -> None:
    chief = login_as("chief", level="system_administrator")
    for words in ("", FIRST, SECOND, ""):
        assert chief.post("/backups/make", data={"passphrase": words, "again": words}).status_code == 302
    work()
    found = made(app)
    assert [is_locked(one) for one in found].count(True) == 2, found
    opened = set()
    for one in found:
        for words in (FIRST, SECOND) if is_locked(one) else ("",):
            try:
                opened.add((one.name, words, bool(inspect_backup(one, words))))
            except Problem:
                continue
    assert len(opened) == len(found) == 3 and {words for _name, words, _whole in opened} == {"", FIRST, SECOND}
    assert not db.session.execute(text("SELECT name FROM core_secret")).all()


@both_databases
def test_a_backup_that_would_not_fit_unpacked_is_a_backup_and_one_that_is_broken_leaves_nothing(
    app: Any, login_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chief = login_as("chief", level="system_administrator")
    usage = namedtuple("usage", "total used free")
    # A disk this full cannot be had in a test.
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage(10**9, 10**9 - 10**6, 10**6))
    chief.post("/backups/make", data={"passphrase": "", "again": ""})
    work()
    (whole,) = made(app)
    assert "checked" in chief.get("/backups").text
    with pytest.raises(Problem, match="free on the disk"):
        inspect_backup(whole)
    whole.unlink()

    def damaged(*_given: Any, **_more: Any) -> Any:
        raise Problem("It is damaged.")

    monkeypatch.setattr("core.backup_jobs.read_back", damaged)
    chief.post("/backups/make", data={"passphrase": "", "again": ""})
    work()
    assert made(app) == []
    assert "It is damaged." in chief.get("/jobs/").text


@pytest.mark.slow
def test_nobody_waits_for_a_backup_on_the_command_line(tmp_path: Path) -> None:
    house = new("sqlite", tmp_path, "asked")
    house.must("migrate")
    large = house.data / "files" / "ab" / ("0" * 62)
    large.parent.mkdir(parents=True)
    with large.open("wb") as stream:
        stream.truncate(200 * 2**20)
    path = tmp_path / "saved.zip"
    process = house.start("backup", path)
    seen = 0
    with sqlite3.connect(house.data / "mortise.db", timeout=0) as other:
        while process.poll() is None:
            if list(tmp_path.glob(".saved.zip.*.part")):
                other.execute("BEGIN IMMEDIATE")
                other.rollback()
                seen += 1
    assert process.returncode == 0 and seen > 5
    assert house.ask("SELECT count(*) FROM core_journal WHERE verb = 'backup'") == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_a_backup_that_is_restored_is_not_made_once_more(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "again")
    house.must("migrate", "--no-copy")
    house.python("""
from core.cli.house import house
with house(title="Ask"):
    from core.backup_jobs import ask_for_backup
    ask_for_backup("correct horse battery")
""")
    house.must("jobs", "--once")
    (path,) = (house.data / "backups").glob("backup-*.locked")
    house.settings = {"MORTISE_BACKUP_PASSPHRASE": FIRST}
    house.must("restore", "--yes", path)
    made_by = "FROM core_job WHERE name LIKE '%make_backup'"
    assert house.ask(f"SELECT state, due_at {made_by}") == [("cancelled", None)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_the_data_of_an_addon_whose_folder_is_gone_are_saved_all_the_same(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "gone")
    house.must("migrate", "--no-copy")
    house.addon("box_shelf", SHELF)
    house.must("migrate", "--make", "box_shelf")
    house.must("migrate", "--no-copy")
    with house.database() as connection:
        connection.exec_driver_sql("INSERT INTO box_shelf (name, version, custom) VALUES ('Oak', 1, '{}')")
    (house.addons / "box_shelf").rename(tmp_path / "elsewhere")
    house.must("backup", tmp_path / "typed.zip")
    house.python("from core.cli.house import house\nwith house():\n    from core.backup_jobs import ask_for_backup\n    ask_for_backup()")
    house.must("jobs", "--once")
    (made_by_job,) = (house.data / "backups").glob("backup-*.zip")
    for one in (tmp_path / "typed.zip", made_by_job):
        # What it needs is said by its restore, and then it is all there.
        assert "addon box_shelf, which is not on disk" in house.run("restore", "--check", one).err
    (tmp_path / "elsewhere").rename(house.addons / "box_shelf")
    house.must("restore", "--yes", made_by_job)
    assert house.ask("SELECT name FROM box_shelf") == [("Oak",)]
