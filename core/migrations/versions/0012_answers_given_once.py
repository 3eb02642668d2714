"""Answers of requests with a key: a write that is asked for twice has one effect."""

import sqlalchemy as sa
from alembic import op

revision = "core_0012"
down_revision = "core_0011"


def upgrade():
    op.create_table(
        "core_answered_once",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("at", sa.DateTime(), nullable=False),
    )
    op.create_index("ix_core_answered_once_at", "core_answered_once", ["at"], unique=False)


def downgrade():
    op.drop_table("core_answered_once")
