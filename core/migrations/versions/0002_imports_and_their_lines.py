"""Imports and their lines."""

import sqlalchemy as sa
from alembic import op

revision = "core_0002"
down_revision = "core_0001"


def upgrade():
    op.create_table(
        "core_import",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("user_id", sa.Integer(), index=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), index=True),
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("file_hash", sa.String(64), nullable=False, index=True),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("encoding", sa.String(20)),
        sa.Column("separator", sa.String(1)),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("heading_line", sa.Integer(), nullable=False),
        sa.Column("heading_hash", sa.String(32)),
        sa.Column("samples", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("day_order", sa.Text(), nullable=False),
        sa.Column("known", sa.String(10), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("checked", sa.Boolean(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("same", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("undo_batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("undo_position", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("sentence", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "core_import_row",
        sa.Column("import_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("line", sa.Integer(), primary_key=True),
        sa.Column("cells", sa.Text()),
        sa.Column("hash", sa.String(24), nullable=False, index=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("expected", sa.String(10)),
        sa.Column("record_id", sa.Integer()),
        sa.Column("matched", sa.String(200)),
        sa.Column("errors", sa.Text()),
    )
    op.create_index("ix_core_import_model_heading", "core_import", ["model", "heading_hash"], unique=False)


def downgrade():
    op.drop_table("core_import_row")
    op.drop_table("core_import")
