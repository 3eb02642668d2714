"""Is this file a backup, whole, and does it fit? Read with suspicion: whoever made it may have meant harm.

What a zip file says of itself is limited before it is used: names, number and size of its members, the size of the manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from core.backup import FORMAT, MOVED_OUT, Went
from core.errors import Problem
from core.i18n import gettext as _
from core.locked_file import MAGIC, Unlocked

NAMES = re.compile(
    r"manifest\.json|secret-key|tables/[A-Za-z0-9_]{1,63}\.jsonl|files/[0-9a-f]{2}/[0-9a-f]{8,128}|journal/" + MOVED_OUT.pattern
)
LARGEST_MANIFEST = 256 * 2**20
LARGEST_KEY = 4096
SPARE = 64 * 2**20
"""Bytes that must stay free on the disk."""
PARTS: dict[str, type] = {
    "format": int, "version": str, "made_at": str, "database": str, "tables": dict, "columns": dict, "migrations": list, "last_ids": dict,
    "files": int, "sha256": dict,
}  # fmt: skip
BROKEN = (
    zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, zlib.error, struct.error, NotImplementedError, RuntimeError, OverflowError,
    TypeError,
)  # fmt: skip
"""What reading a damaged zip file or manifest ends with."""


@contextmanager
def opened(path: Path, passphrase: str = "") -> Iterator[zipfile.ZipFile]:
    """The zip file within; a locked one needs its passphrase."""
    with path.open("rb") as stream:
        locked = stream.read(len(MAGIC)) == MAGIC
        stream.seek(0)
        if locked and not passphrase:
            raise Problem(_("%(name)s is locked: please give its passphrase. Nothing was changed.", name=path.name))
        with zipfile.ZipFile(Unlocked(stream, passphrase, path.name) if locked else stream) as source:
            yield source


def opens(path: Path, passphrase: str = "") -> None:
    """Raises `Problem` when a backup cannot be opened: no zip file within, or another passphrase. Nothing else is looked at."""
    with _told_in_words(path), opened(path, passphrase):
        pass


def inspect_backup(path: Path, passphrase: str = "", went: Went = lambda done, total: None) -> dict[str, Any]:
    """The manifest of a backup that is whole and fits this code; raises `Problem` with the reason when it is not."""
    if not path.is_file():
        raise Problem(_("There is no file %(name)s.", name=path))
    manifest = _read_whole(path, passphrase, went, room=True)
    _check_migrations(path, manifest)
    return manifest


def read_back(path: Path, passphrase: str = "") -> dict[str, Any]:
    """The manifest of a backup that has just been made, if it is whole; raises `Problem` when it is not.

    Whether the disk could take it unpacked, and whether all its addons are on disk, is asked by whoever wants to restore it.
    """
    return _read_whole(path, passphrase, lambda done, total: None, room=False)


def _read_whole(path: Path, passphrase: str, went: Went, room: bool) -> dict[str, Any]:
    with _told_in_words(path), opened(path, passphrase) as source:
        _check_names(path, source, room)
        manifest = _manifest(path, source)
        _check_members(path, source, manifest, went)
    return manifest


@contextmanager
def _told_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except Problem:
        raise
    except BROKEN as problem:
        why = type(problem).__name__
        raise Problem(_("%(name)s is damaged or no backup of Mortise, so nothing was changed. (%(why)s)", name=path, why=why)) from problem


def read_manifest(path: Path) -> dict[str, Any] | None:
    """What an unlocked backup says of itself, unchecked; None when it cannot be read."""
    try:
        with opened(path) as source:
            return _manifest(path, source)
    except (Problem, *BROKEN):
        return None


def _damaged(path: Path, name: str) -> NoReturn:
    raise Problem(_("%(file)s is damaged: %(part)s is missing in it. Nothing was changed.", file=path, part=name))


def _check_names(path: Path, source: zipfile.ZipFile, room: bool) -> None:
    members = source.infolist()
    names = [one.filename for one in members]
    for name in names:
        if not NAMES.fullmatch(name):
            raise Problem(_("%(file)s holds “%(part)s”, which no backup has. Nothing was changed.", file=path, part=name[:80]))
    if len(names) != len(set(names)):
        raise Problem(_("%(file)s holds the same name twice, which no backup does. Nothing was changed.", file=path))
    limits = {"manifest.json": LARGEST_MANIFEST, "secret-key": LARGEST_KEY}
    free = shutil.disk_usage(path.parent).free - SPARE
    size = sum(one.file_size for one in members)
    if (room and size > free) or any(one.file_size > limits.get(one.filename, one.file_size) for one in members):
        raise Problem(
            _(
                "%(file)s would be %(size)s MB unpacked, and %(free)s MB are free on the disk. Nothing was changed.",
                file=path, size=f"{size // 10**6:,}", free=f"{max(free, 0) // 10**6:,}",
            )  # fmt: skip
        )


def _manifest(path: Path, source: zipfile.ZipFile) -> dict[str, Any]:
    if source.getinfo("manifest.json").file_size > LARGEST_MANIFEST:
        raise KeyError("manifest.json")
    manifest = json.loads(source.read("manifest.json"))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise KeyError("format")
    if manifest["format"] > FORMAT:
        version = str(manifest.get("version"))[:40]
        raise Problem(
            _("%(file)s was written by a newer Mortise (%(version)s); restore it with that version.", file=path, version=version)
        )
    if any(not isinstance(manifest.get(name), kind) for name, kind in PARTS.items()):
        raise KeyError("manifest")
    for name, rows in manifest["tables"].items():
        if not isinstance(rows, int) or rows < 0 or not isinstance(manifest["columns"].get(name), list):
            raise KeyError(name)
    return manifest


def _check_members(path: Path, source: zipfile.ZipFile, manifest: dict[str, Any], went: Went) -> None:
    names = set(source.namelist()) - {"manifest.json"}
    wanted = {*manifest["sha256"], *(f"tables/{name}.jsonl" for name in manifest["tables"])}
    if missing := sorted(wanted - names):
        _damaged(path, missing[0])
    if more := sorted(names - set(manifest["sha256"])):
        raise Problem(_("%(file)s holds “%(part)s”, which no backup has. Nothing was changed.", file=path, part=more[0][:80]))
    done, total = 0, sum(one.file_size for one in source.infolist())
    for name, right in manifest["sha256"].items():
        digest = hashlib.sha256()
        with source.open(name) as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
                done += len(piece)
                went(done, total)
        if digest.hexdigest() != right:
            raise Problem(_("%(file)s is damaged: %(part)s has changed since it was made. Nothing was changed.", file=path, part=name))


def _check_migrations(path: Path, manifest: dict[str, Any]) -> None:
    from core.migrate import branches

    known = branches()
    for head in map(str, manifest["migrations"]):
        addon = head.rsplit("_", 1)[0]
        if addon not in known:
            raise Problem(
                _(
                    "%(file)s holds data of the addon %(addon)s, which is not on disk here: put its folder into addons, then try again.",
                    file=path, addon=addon[:80],
                )  # fmt: skip
            )
        if head not in known[addon].revisions:
            raise Problem(
                _(
                    "%(file)s is newer than this code (%(head)s is not known here):"
                    " install the version %(version)s or newer, then try again.",
                    file=path, head=head[:80], version=manifest["version"][:40],
                )  # fmt: skip
            )
