"""Files: bytes in a store named by their hash, rows that say whose they are, opened by whoever may read the record."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flask import current_app
from sqlalchemy import Index, event, func, select, update
from sqlalchemy.orm import Mapped, Session

from core.context import actor, system
from core.db import MortiseSession, db
from core.errors import Busy, Invalid, Missing, Refused, Wrong
from core.fields import LARGEST_ID, Field, field, link, tidy
from core.file_types import type_of
from core.i18n import gettext as _
from core.model import Model, fields_of, model_of, models
from core.people import MortiseUser
from core.rules import may
from core.settings import declare_setting, number_between, setting

CHUNK = 256 * 1024
HEAD = 8192
QUIET = {"mortise_rules": False}

declare_setting("files.max_megabytes", 50, "Largest file that can be uploaded, in megabytes", check=number_between(1, 2_048))
declare_setting("files.keep_deleted_days", 365, "Days that a deleted file can be brought back", check=number_between(1, 36_500))


class File(Model):
    """A file that somebody uploaded.

    What it holds lies in the store, named by its hash.
    """

    system_model = True
    title_field = "name"
    name: Mapped[str] = field(search=True, readonly=True)
    size: Mapped[int] = field(readonly=True, help="In bytes")
    hash: Mapped[str] = field(readonly=True, index=True, max_length=64, help="SHA-256 of the content")
    media_type: Mapped[str] = field(readonly=True, max_length=120, help="Found by looking at the content")
    uploader: Mapped[MortiseUser | None] = link(readonly=True)
    version_of: Mapped[File | None] = link(readonly=True)
    version_number: Mapped[int] = field(readonly=True, default=1, label="Version of the file")
    model: Mapped[str | None] = field(readonly=True, max_length=80, label="Kind of record")
    record_id: Mapped[int | None] = field(readonly=True, label="Record")
    field_name: Mapped[str | None] = field(readonly=True, max_length=80, label="Field")
    __table_args__ = (Index("ix_core_file_model_record", "model", "record_id"),)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that the acting person may read: what is known of it, and where its bytes are."""

    id: int
    name: str
    size: int
    hash: str
    media_type: str
    path: Path
    model: str | None = None
    record_id: int | None = None
    """What it is attached to."""


# -- the store --------------------------------------------------------------------------------------------------------


def store_folder() -> Path:
    """The folder of the store."""
    return current_app.config["MORTISE"].data / "files"


def place(content_hash: str) -> Path:
    """Where the bytes with this hash lie: ``ab/cdef…``."""
    if not re.fullmatch(r"[0-9a-f]{64}", content_hash):
        raise ValueError("not a hash")
    return store_folder() / content_hash[:2] / content_hash[2:]


@contextmanager
def store_lock(alone: bool = False) -> Iterator[None]:
    """Held while bytes are put in place, and alone while unused ones are removed, so that neither misses the other."""
    folder = store_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _receive(stream: IO[bytes], name: str) -> tuple[Path, str, int, str]:
    """Write a stream beside the store; returns (draft, hash, size, media type). `Wrong` when it is too large or not what it says."""
    draft, content_hash, size, head = _write_down(stream, name, setting("files.max_megabytes"))
    try:
        return draft, content_hash, size, type_of(head, name)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _write_down(stream: IO[bytes], name: str, limit: int) -> tuple[Path, str, int, bytes]:
    incoming = store_folder() / "incoming"
    incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
    number, draft = tempfile.mkstemp(dir=incoming)
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        with os.fdopen(number, "wb") as target:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if size > limit * 2**20:
                    raise Wrong(_("“%(name)s” is larger than %(limit)s MB.", name=name, limit=limit))
                head = head + chunk[: HEAD - len(head)] if len(head) < HEAD else head
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        if size == 0:
            raise Wrong(_("“%(name)s” is empty.", name=name))
        return Path(draft), digest.hexdigest(), size, head
    except OSError as error:
        Path(draft).unlink(missing_ok=True)
        raise Busy(_("The file could not be stored; perhaps the disk is full. Please tell your administrator.")) from error
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def keep_bytes(stream: IO[bytes], name: str, limit: int) -> tuple[str, int]:
    """Take bytes of at most ``limit`` MB into the store for core's own use, without a row of core_file; returns (hash, size).

    Whoever keeps the hash tells `core.file_jobs`, or the night takes the bytes away. Raises `Wrong` or `Busy`.
    """
    draft, content_hash, size, _head = _write_down(stream, name, limit)
    try:
        _put(draft, content_hash)
    finally:
        draft.unlink(missing_ok=True)
    return content_hash, size


def _put(draft: Path, content_hash: str) -> None:
    target = place(content_hash)
    with store_lock():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Also over an equal file: the new one is young, so that clean-up leaves it alone.
        os.replace(draft, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def tidy_name(name: str | None) -> str:
    """A file's name without folders, control characters and marks that turn the direction of writing; at most 150 characters."""
    last = re.split(r"[/\\]", tidy(name or ""))[-1]
    last = " ".join(re.sub(r'[<>:"|?*\n\t]', "_", last).split()).strip(". ")
    stem, dot, suffix = last.rpartition(".")
    if dot and len(suffix) <= 10:
        last = f"{stem[:139]}.{suffix}"
    return last[:150] or "file"


# -- writing ----------------------------------------------------------------------------------------------------------


def store(stream: IO[bytes], name: str | None, *, version_of: int | None = None) -> File:
    """Take a file into the store; it belongs to nobody but its uploader until a record names it in a field, or `attach` is called.

    ``version_of`` makes it the next version of a file that the person may edit, attached where that one is.
    Raises `Wrong` with a sentence when the file is too large, empty, a program, or not what its name says.
    """
    who = actor()
    if who.user_id is None and not who.system:
        raise Refused(_("Please sign in to upload a file."))
    before = _for_new_version(version_of) if version_of is not None else None
    name = tidy_name(name)
    draft, content_hash, size, media_type = _receive(stream, name)
    try:
        _put(draft, content_hash)
    finally:
        draft.unlink(missing_ok=True)
    made = File(name=name, size=size, hash=content_hash, media_type=media_type, uploader_id=who.user_id, version_number=1)
    session = db.session()
    session.flush()  # what else waits is written with the person's own rights
    with system("a file comes in"):
        if before is not None:
            table = File.__table__.c
            made.version_of_id = before.version_of_id or before.id
            family = (table.id == made.version_of_id) | (table.version_of_id == made.version_of_id)
            newest = select(func.max(table.version_number)).where(family)
            made.version_number = session.execute(newest, execution_options=QUIET).scalar_one() + 1
            made.model, made.record_id, made.field_name = before.model, before.record_id, before.field_name
        session.add(made)
        session.flush()
    return made


def _for_new_version(file_id: int) -> Any:
    from core.records import records

    row = _row(file_id)
    _check_right(row)
    if row.model is not None and not actor().system:
        record = records(model_of(row.model)).get(row.record_id)
        verdict = may("edit", record, row.field_name)
        if not verdict:
            raise Refused(_("You may not change the files of this record."), verdict)
    return row


def attach(file_id: int, record: Any, field_name: str | None = None) -> None:
    """Attach one's own freshly uploaded file to a record that one may edit, beside its fields or in one of them."""
    verdict = may("edit", record, field_name)
    if not verdict:
        raise Refused(_("You may not change the files of this record."), verdict)
    if sentence := not_usable(file_id, type(record).__tablename__, record.id, field_name):
        raise Invalid({field_name or "": sentence})
    _attach(db.session(), file_id, type(record).__tablename__, record.id, field_name)


def not_usable(file_id: Any, table: str, record_id: int | None, field_name: str | None) -> str | None:
    """Why this person may not put this file there: it has to be his own and free, or there already. None when he may."""
    row = _row_or_none(file_id)
    if row is not None and row.model is None and row.uploader_id is not None and row.uploader_id == actor().user_id:
        return None
    if row is not None and record_id is not None and _is_at(row, table, record_id, field_name):
        return None
    return _("There is no such file, or it is not one that you have just uploaded. Please upload it again.")


def _is_at(row: Any, table: str, record_id: int, field_name: str | None) -> bool:
    return (row.model, row.record_id, row.field_name) == (table, record_id, field_name)


def _attach(session: Session, file_id: int, table: str, record_id: int, field_name: str | None) -> None:
    columns = File.__table__.c
    there = (columns.model == table) & (columns.record_id == record_id)
    free = columns.model.is_(None) | there
    values = {"model": table, "record_id": record_id, "field_name": field_name}
    done = session.connection().execute(update(File.__table__).where(columns.id == file_id, free).values(values))
    if not done.rowcount:
        raise Invalid({field_name or "": _("This file belongs to another record by now. Please upload it again.")})


def remove(file_id: int) -> None:
    """Take an attachment, with all its versions, away from a record that one may edit; a field's file goes by emptying the field."""
    row = _for_new_version(file_id)
    if row.field_name is not None:
        raise Invalid({row.field_name: _("This file stands in a field; empty the field instead.")})
    session, table, first = db.session(), File.__table__.c, row.version_of_id or row.id
    session.flush()
    with system("a file goes"):
        for one in session.execute(select(File).where((table.id == first) | (table.version_of_id == first))).scalars():
            session.delete(one)
        session.flush()


def attached(model: type, ids: Sequence[int]) -> list[Any]:
    """The rows of all files of these records, older versions too; for core's own use, rights are not asked."""
    query = select(File).where(File.model == model.__tablename__, File.record_id.in_(list(ids) or [0])).order_by(File.id)
    return list(db.session.execute(query, execution_options=QUIET).scalars())


# -- reading ----------------------------------------------------------------------------------------------------------


def open_file(file_id: Any) -> Stored:
    """The file, when the acting person may read the record (and the field) it is attached to; one of no record is its uploader's.

    Raises `Missing`, also for a file that exists but is out of reach.
    """
    row = _row(file_id)
    _check_right(row)
    found = _stored(row)
    if not found.path.is_file():
        raise Missing(_("“%(name)s” is not in the store any more. Please tell your administrator.", name=row.name))
    return found


def versions(file_id: Any) -> list[Stored]:
    """All versions of a file, the newest first."""
    row = _row(file_id)
    _check_right(row)
    table, first = File.__table__, row.version_of_id or row.id
    query = select(table).where((table.c.id == first) | (table.c.version_of_id == first)).order_by(table.c.version_number.desc())
    return [_stored(one) for one in db.session.execute(query, execution_options=QUIET)]


def files_of(record: Any) -> list[Stored]:
    """The newest version of each file attached to a record beside its fields."""
    if not may("read", record):
        raise _missing()
    table = File.__table__
    where = (table.c.model == type(record).__tablename__, table.c.record_id == record.id, table.c.field_name.is_(None))
    newest: dict[int, Any] = {}
    for row in db.session.execute(select(table).where(*where).order_by(table.c.id), execution_options=QUIET):
        newest[row.version_of_id or row.id] = row
    return [_stored(row) for row in newest.values()]


def _stored(row: Any) -> Stored:
    return Stored(row.id, row.name, row.size, row.hash, row.media_type, place(row.hash), row.model, row.record_id)


def _row_or_none(file_id: Any) -> Any:
    if isinstance(file_id, bool) or not isinstance(file_id, int) or not 0 < file_id <= LARGEST_ID:
        return None
    return db.session.execute(select(File.__table__).where(File.__table__.c.id == file_id), execution_options=QUIET).first()


def _row(file_id: Any) -> Any:
    row = _row_or_none(file_id)
    if row is None:
        raise _missing()
    return row


def _check_right(row: Any) -> None:
    from core.records import records

    if actor().system:
        return
    if row.model is None:
        if row.uploader_id is None or row.uploader_id != actor().user_id:
            raise _missing()
        return
    if row.model not in models() or not may("read", model_of(row.model)):
        raise _missing()
    record = records(model_of(row.model)).get(row.record_id)
    if row.field_name is not None and not may("read", record, row.field_name):
        raise _missing()


def _missing() -> Missing:
    return Missing(_("There is no such file, or it is not visible to you."))


# -- records that name files in their fields --------------------------------------------------------------------------


def _file_fields(model: type) -> Iterable[Field]:
    return [one for one in fields_of(model).values() if one.kind.name == "file"] if hasattr(model, "__fields__") else []


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """A field may only name a file that its person has just uploaded, or one that it names already."""
    due = session.info["files_due"] = []
    for record in [*session.new, *session.dirty]:
        table = getattr(type(record), "__tablename__", "")
        for one in _file_fields(type(record)):
            file_id = one.get(record)
            row = _row_or_none(file_id) if file_id is not None else None
            if file_id is None or (row is not None and record.id is not None and _is_at(row, table, record.id, one.name)):
                continue
            # Undo brings back records before their files, and only files that were theirs.
            if not actor().system and (sentence := not_usable(file_id, table, record.id, one.name)):
                raise Invalid({one.name: sentence})
            if row is not None:
                due.append((record, one.name, file_id))


def _after_flush(session: Session, _context: Any) -> None:
    for record, name, file_id in session.info.pop("files_due", []):
        _attach(session, file_id, type(record).__tablename__, record.id, name)


event.listen(MortiseSession, "before_flush", _before_flush, insert=True)
event.listen(MortiseSession, "after_flush", _after_flush)
