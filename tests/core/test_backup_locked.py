"""A backup behind a passphrase: nobody reads it without, nothing of it can be changed unseen, and no memory is filled by it."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest

from core.errors import Invalid, Problem
from core.locked_file import HEAD, PIECE, TAG, Locking, Unlocked, is_locked
from tests.core.installation import new

WORDS = "correct horse battery 榫卯"


def locked(content: bytes) -> bytes:
    target = io.BytesIO()
    with Locking(target, WORDS) as stream:
        for start in range(0, len(content), 100_000):
            stream.write(content[start : start + 100_000])
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
def test_what_was_locked_opens_whole_and_from_any_place(size: int) -> None:
    content = random.Random(size).randbytes(size)
    stream = Unlocked(io.BytesIO(locked(content)), WORDS, "x")
    assert stream.read() == content
    for place in (0, size // 2, max(size - 3, 0), size):
        stream.seek(place)
        assert stream.read(1) == content[place : place + 1]
    assert stream.seek(-min(size, 2), io.SEEK_END) == size - min(size, 2)


def test_nothing_can_be_changed_cut_or_moved_unseen() -> None:
    content = random.Random(1).randbytes(3 * PIECE + 1000)
    whole = locked(content)
    chance = random.Random(7)
    cuts = [0, 5, HEAD.size - 1, HEAD.size, HEAD.size + TAG, *(HEAD.size + n * (PIECE + TAG) for n in (1, 2, 3)), len(whole) - 1]
    cuts += [chance.randrange(len(whole)) for _one in range(6)]
    damaged = {f"cut at {cut}": whole[:cut] for cut in cuts}
    damaged |= {"longer": whole + b"x", "longer by a piece": whole + whole[-1016:]}
    for _one in range(10):
        place = chance.randrange(HEAD.size, len(whole))
        damaged[f"changed at {place}"] = whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
    first, second = HEAD.size, HEAD.size + PIECE + TAG
    third = second + PIECE + TAG
    damaged["two pieces changed places"] = whole[:first] + whole[second:third] + whole[first:second] + whole[third:]
    for name, one in damaged.items():
        with pytest.raises(Problem, match="damaged"):
            Unlocked(io.BytesIO(one), WORDS, "x").read()
            pytest.fail(name)


def test_the_passphrase_decides() -> None:
    whole = locked(b"hello")
    for wrong in (WORDS + " ", "", WORDS.upper()):
        with pytest.raises(Problem, match="passphrase does not open"):
            Unlocked(io.BytesIO(whole), wrong, "x")
    with pytest.raises(Invalid, match="at least 12"):
        Locking(io.BytesIO(), "too short")
    # A forged head must not ask for gigabytes of memory.
    with pytest.raises(Problem, match="damaged"):
        Unlocked(io.BytesIO(whole[:17] + bytes([31]) + whole[18:]), WORDS, "x")
    assert locked(b"hello") != whole, "two files of one content have nothing in common"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_on_the_command_line(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "locked")
    house.must("migrate")
    house.must("user", "create", "locked.in")
    saved = house.folder / "saved"
    refused = house.run("backup", "--encrypt", saved)
    assert refused.status == 1 and "MORTISE_BACKUP_PASSPHRASE" in refused.err and not saved.exists()
    house.settings["MORTISE_BACKUP_PASSPHRASE"] = "short"
    assert "at least 12" in house.run("backup", "--encrypt", saved).err and not saved.exists()
    (tmp_path / "words").write_text(WORDS + "\n")
    house.settings = {"MORTISE_BACKUP_PASSPHRASE_FILE": str(tmp_path / "words")}
    assert "locked with the passphrase" in house.must("backup", "--encrypt", saved)
    assert saved.stat().st_mode & 0o077 == 0 and is_locked(saved) and not zipfile.is_zipfile(saved)
    assert b"manifest" not in saved.read_bytes() and b"ab_user" not in saved.read_bytes()
    house.settings = {}
    assert "MORTISE_BACKUP_PASSPHRASE" in house.run("restore", "--check", saved).err
    house.settings = {"MORTISE_BACKUP_PASSPHRASE": "quite another passphrase"}
    assert "passphrase does not open" in house.run("restore", "--yes", saved).err
    house.settings = {"MORTISE_BACKUP_PASSPHRASE": WORDS}
    assert "It is whole" in house.must("restore", "--check", saved)
    house.must("user", "create", "comes.later")
    house.must("restore", "--yes", saved)
    assert {row[0] for row in house.ask("SELECT username FROM ab_user")} == {"admin", "locked.in"}
    (copy,) = (one for one in (house.data / "backups").glob("before-restore-*") if not one.name.endswith(".json"))
    assert not is_locked(copy), "no passphrase is kept, so nobody could open it"


KEEP = """
from core.cli.house import house
with house(title="Keep"):
    from core.secret_box import keep_secret
    keep_secret("backup.passphrase", "the one of the schedule")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_the_copy_made_before_a_restore_is_encrypted_as_those_of_the_schedule_are(kind: str, tmp_path: Path) -> None:
    house = new(kind, tmp_path, "before")
    house.must("migrate")
    saved = house.folder / "saved.zip"
    house.must("backup", saved)
    house.python(KEEP)
    house.must("user", "create", "comes.later")
    assert "locked with the passphrase of scheduled backups" in house.must("restore", "--yes", saved)
    (copy,) = (one for one in (house.data / "backups").glob("before-restore-*") if not one.name.endswith(".json"))
    assert copy.name.endswith(".zip.locked") and is_locked(copy) and copy.stat().st_mode & 0o077 == 0
    assert b"comes.later" not in copy.read_bytes() and b"manifest" not in copy.read_bytes()
    # Its passphrase is the one of before, although the restored data know of none; and it leads back.
    assert not house.ask("SELECT name FROM core_secret")
    house.settings = {"MORTISE_BACKUP_PASSPHRASE": "the one of the schedule"}
    house.must("restore", "--yes", copy)
    assert {row[0] for row in house.ask("SELECT username FROM ab_user")} == {"admin", "comes.later"}
    assert house.ask("SELECT name FROM core_secret") == [("backup.passphrase",)]
