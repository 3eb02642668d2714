"""Notifications."""

import sqlalchemy as sa
from alembic import op

revision = "core_0009"
down_revision = "core_0008"


def upgrade():
    op.create_table(
        "core_notification",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(120), nullable=False),
        sa.Column("addon", sa.String(80), nullable=False),
        sa.Column("model", sa.String(80)),
        sa.Column("record_id", sa.Integer()),
        sa.Column("topic", sa.String(200)),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("many", sa.Text()),
        sa.Column("url", sa.String(200)),
        sa.Column("actor_id", sa.Integer()),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("read_at", sa.DateTime()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_core_notification_user_at", "core_notification", ["user_id", "at", "id"], unique=False)
    unread = sa.text("read_at IS NULL")
    op.create_index(
        "ix_core_notification_unread", "core_notification", ["user_id", "model"], unique=False,
        postgresql_where=unread, sqlite_where=unread,
    )  # fmt: skip
    op.create_index(
        "uq_core_notification_unread", "core_notification", ["user_id", "kind", "topic"], unique=True,
        postgresql_where=unread, sqlite_where=unread,
    )  # fmt: skip


def downgrade():
    op.drop_table("core_notification")
