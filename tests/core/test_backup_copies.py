"""Copies that the house makes before it changes the data: encrypted as the scheduled backups are, and a number of each kind kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.backup_copies import KEPT_COPIES, copy_before, remove_old_copies
from core.backup_list import NOTE, backups
from core.db import db
from core.locked_file import is_locked
from tests.core.installation import new
from tests.core.test_backup_locked import KEEP
from tests.core.test_migrate import SHELF

WORDS = "the one of the schedule"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_the_copies_before_migrations_and_removals_are_encrypted_as_those_of_the_schedule_are(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "copies")
    house.must("migrate")
    house.addon("box_shelf", SHELF)
    house.must("migrate", "--make", "box_shelf")
    assert "locked" not in house.must("migrate"), "no passphrase is kept, so nobody could open it"
    house.python(KEEP)
    house.must("user", "create", "stays.out")
    models = house.addons / "box_shelf" / "models.py"
    models.write_text(models.read_text() + "    width: Mapped[int | None] = field()\n")
    house.must("migrate", "--make", "box_shelf", "-m", "Width of a shelf")
    assert "locked with the passphrase of scheduled backups" in house.must("migrate")
    assert "locked with the passphrase of scheduled backups" in house.must("addon", "remove", "box_shelf", "--yes")
    folder = house.data / "backups"
    locked = [one for one in folder.glob("before-*.zip.locked") if is_locked(one)]
    assert sorted(one.name.rsplit("-", 2)[0] for one in locked) == ["before-migrate", "before-remove-box_shelf"]
    for one in locked:
        assert one.stat().st_mode & 0o077 == 0 and b"stays.out" not in one.read_bytes() and b"manifest" not in one.read_bytes()
        assert one.with_name(one.name + NOTE).stat().st_mode & 0o077 == 0
    # What is inside leads back, by the passphrase alone.
    (copy,) = (one for one in locked if "remove" in one.name)
    assert "box_shelf" not in house.tables()
    house.settings = {"MORTISE_BACKUP_PASSPHRASE": "quite another passphrase"}
    assert "passphrase does not open" in house.run("restore", "--yes", copy).err
    house.settings = {"MORTISE_BACKUP_PASSPHRASE": WORDS}
    house.must("restore", "--yes", copy)
    assert house.ask("SELECT name, width FROM box_shelf") == []
    assert {row[0] for row in house.ask("SELECT username FROM ab_user")} == {"admin", "stays.out"}


def test_of_each_kind_of_copy_its_own_number_is_kept(app: Any) -> None:
    config = app.config["MORTISE"]
    folder = config.data / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    older = {"restore": 7, "migrate": 4, "remove-crm_case": 6}
    for kind, count in older.items():
        for number in range(count):
            made = folder / f"before-{kind}-2026010{number}-000000.zip"
            made.write_bytes(b"")
            made.with_name(made.name + NOTE).write_text("{}")
            for one in (made, made.with_name(made.name + NOTE)):
                os.utime(one, (1_000_000 + number, 1_000_000 + number))
    assert db.engine is not None
    path = copy_before(db.engine, config.data, "migrate")

    def left(kind: str) -> list[str]:
        return sorted(one.name for one in folder.glob(f"before-{kind}-*") if not one.name.endswith(NOTE))

    assert len(left("migrate")) == KEPT_COPIES["migrate"] and path.name in left("migrate")
    assert len(left("restore")) == 7 and len(left("remove")) == 6, "copies of another kind are not counted, and stay"
    oldest = folder / left("restore")[0]
    second = left("restore")[1]
    assert remove_old_copies(folder, "restore", wanted=oldest) == [second], "the one that is being restored stays"
    assert left("restore")[0] == oldest.name and len(left("restore")) == KEPT_COPIES["restore"] + 1
    remove_old_copies(folder, "remove")
    assert left("remove") == [f"before-remove-crm_case-2026010{number}-000000.zip" for number in range(1, 6)]
    assert not [one for one in folder.glob(f"*{NOTE}") if not one.with_name(one.name.removesuffix(NOTE)).exists()], "notes go along"
    assert {one.kind for one in backups(config)} == {"before"}
