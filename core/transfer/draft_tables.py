"""Where imports are kept while they are prepared, while they run, and afterwards: the import itself, and each line of its file."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, String, Table, Text, select

from core.context import now
from core.db import db
from core.model import Model

KEPT_FOR = timedelta(days=30)
"""How long a finished import keeps its file and the texts of its lines; a draft that nobody went on with is forgotten then."""

_big = BigInteger().with_variant(Integer(), "sqlite")

core_import = Table(
    "core_import",
    Model.metadata,
    Column("id", _big, primary_key=True),
    Column("model", String(80), nullable=False),
    Column("user_id", Integer, index=True),
    Column("created_at", DateTime, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    Column("finished_at", DateTime, index=True),
    # What came in.
    Column("file_name", String(200), nullable=False),
    Column("file_hash", String(64), nullable=False, index=True),
    Column("size", _big, nullable=False),
    Column("encoding", String(20)),
    Column("separator", String(1)),
    Column("heading", Text, nullable=False, default="[]"),
    Column("heading_line", Integer, nullable=False, default=0),
    Column("heading_hash", String(32)),
    Column("samples", Text, nullable=False, default="{}"),
    # What was chosen: {place of the column: field}, the key's fields, how days and months stand, …
    Column("mapping", Text, nullable=False, default="{}"),
    Column("keys", Text, nullable=False, default="[]"),
    Column("day_order", Text, nullable=False, default="{}"),
    Column("known", String(10), nullable=False, default="change"),
    # How far it is.
    Column("state", String(12), nullable=False),
    Column("checked", Boolean, nullable=False, default=False),
    Column("cancel_asked", Boolean, nullable=False, default=False),
    Column("total", Integer, nullable=False, default=0),
    Column("position", Integer, nullable=False, default=0),
    *(Column(name, Integer, nullable=False, default=0) for name in ("read", "created", "changed", "same", "skipped", "refused")),
    Column("batch_id", _big),
    Column("job_id", _big),
    Column("undo_batch_id", _big),
    Column("undo_position", _big),
    Column("sentence", Text),
    info={"addon": "core"},
    sqlite_autoincrement=True,
)
Index("ix_core_import_model_heading", core_import.c.model, core_import.c.heading_hash)

core_import_row = Table(
    "core_import_row",
    Model.metadata,
    Column("import_id", _big, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("cells", Text),
    # Of the line as it was in the file, also when it was corrected here: the memory of “this line was imported before”.
    Column("hash", String(24), nullable=False, index=True),
    # What became of it, and what a dry run expects: waiting, created, changed, same, skipped, refused.
    Column("state", String(10), nullable=False, default="waiting"),
    Column("expected", String(10)),
    Column("record_id", Integer),
    Column("matched", String(200)),
    Column("errors", Text),
    info={"addon": "core"},
)


def kept_for_imports() -> set[str]:
    """Hashes of the files that imports may still read."""
    fresh = select(core_import.c.file_hash).where(core_import.c.changed_at > now() - KEPT_FOR)
    return set(db.session.execute(fresh).scalars())
