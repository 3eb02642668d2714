"""How tables come into the database: the revisions of core, and the words that every revision may use."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations
from sqlalchemy.dialects import postgresql


def shape_1() -> list[sa.Column[Any]]:
    """What every record had beside its own fields when version 1 was made.

    Old revisions say ``shape=1`` and must keep making this; when `core.model.system_columns` changes, write ``shape_2``
    beside it, and let each addon's next revision alter its tables.
    """
    return [
        sa.Column("created_at", sa.DateTime(), index=True),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT")),
        sa.Column("changed_at", sa.DateTime(), index=True),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT")),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("custom", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
        sa.Column("title_key", sa.String(120).with_variant(sa.String(120, collation="C"), "postgresql"), index=True),
    ]


SHAPES = {1: shape_1}
NEWEST_SHAPE = max(SHAPES)


@Operations.register_operation("create_records")
class CreateRecords(MigrateOperation):
    """``op.create_records("crm_tag", sa.Column("name", …))``: a table of records, with id, and who and when."""

    @classmethod
    def create_records(cls, operations: Operations, table_name: str, *columns: Any, shape: int = 1) -> sa.Table:
        """Create a model's table: ``id``, the columns given, and the system columns of that ``shape``; an id is never used twice."""
        identity = sa.Column("id", sa.Integer(), primary_key=True)
        return operations.create_table(table_name, identity, *columns, *SHAPES[shape](), sqlite_autoincrement=True)
