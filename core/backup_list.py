"""The backups that lie in the data folder: what each is, beside it a small note with what a locked file does not tell unasked."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.backup import Told
from core.backup_file import read_manifest
from core.config import Config
from core.context import now
from core.errors import Missing
from core.i18n import gettext as _
from core.locked_file import is_locked

LOCKED = ".zip.locked"
ENDINGS = (".zip", LOCKED, ".sqlite3", ".dump")
NOTE = ".note.json"
KINDS = ("backup", "scheduled", "uploaded", "before")
"""How a name begins: made by hand, by the schedule, brought by a browser, made by the house before it changed something."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file in the folder of backups."""

    path: Path
    kind: str
    size: int
    made_at: datetime
    """UTC."""
    locked: bool
    facts: dict[str, Any]
    """version, database, rows, tables, files; empty when the file does not tell."""
    checked_at: datetime | None

    @property
    def name(self) -> str:
        """Its file name, by which it is asked for."""
        return self.path.name

    @property
    def restorable(self) -> bool:
        """Can `core.restore` read it? Copies of a database alone are for its own tools."""
        return self.path.name.endswith((".zip", LOCKED))


def folder(config: Config) -> Path:
    """Where backups lie."""
    return config.data / "backups"


def backups(config: Config) -> list[Kept]:
    """All of them, the newest first."""
    place = folder(config)
    files = [one for one in place.iterdir() if one.name.endswith(ENDINGS) and not one.name.startswith(".")] if place.is_dir() else []
    found = [made for one in files if (made := _read(one)) is not None]
    return sorted(found, key=lambda one: (one.made_at, one.name), reverse=True)


def find(config: Config, name: str) -> Kept:
    """The backup of this name; raises `Missing`."""
    for one in backups(config):
        if one.name == name:
            return one
    raise Missing(_("There is no backup called “%(name)s”.", name=name[:80]))


def free(config: Config) -> int:
    """Free bytes on the disk of the data folder."""
    return shutil.disk_usage(config.data).free


def note(config: Config, path: Path, told: Told | dict[str, Any], checked: bool = False) -> None:
    """Write down what is known of a backup in our folder; ``told`` is what making it told, or a checked manifest."""
    if path.parent.resolve() == folder(config).resolve():
        write_note(path, told, checked)


def write_note(path: Path, told: Told | dict[str, Any], checked: bool = False) -> None:
    """`note` for whoever knows that the file lies in our folder."""
    if isinstance(told, Told):
        facts = {"rows": told.rows, "tables": told.tables, "files": told.files, "version": told.version, "made_at": told.made_at}
        facts["database"] = told.database
    else:
        facts = _facts(told)
    facts["checked_at"] = now().isoformat() if checked else None
    place = path.with_name(path.name + NOTE)
    draft = place.with_name(f".{place.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(facts, stream)
    os.replace(draft, place)


def remove(one: Kept) -> None:
    """Delete a backup and what is noted of it."""
    one.path.unlink(missing_ok=True)
    one.path.with_name(one.name + NOTE).unlink(missing_ok=True)


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows": sum(manifest["tables"].values()), "tables": len(manifest["tables"]), "files": manifest["files"],
        "version": manifest["version"], "made_at": manifest["made_at"], "database": manifest["database"],
    }  # fmt: skip


def _read(path: Path) -> Kept | None:
    try:
        stat, locked = path.stat(), is_locked(path)
    except OSError:
        return None  # deleted just now
    facts = _noted(path)
    if facts is None and path.name.endswith(".zip"):
        manifest = read_manifest(path)
        facts = _facts(manifest) if manifest else None
    facts = facts or {}
    moment = _moment(str(facts.get("made_at", "")).removesuffix(" UTC"))
    made_at = moment or datetime.fromtimestamp(stat.st_mtime, UTC).replace(tzinfo=None)
    kind = next((one for one in KINDS if path.name.startswith(f"{one}-")), "backup")
    return Kept(path, kind, stat.st_size, made_at, locked, facts, _moment(str(facts.get("checked_at") or "")))


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.with_name(path.name + NOTE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if re.match(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None
