"""API keys."""

import sqlalchemy as sa
from alembic import op

revision = "core_0005"
down_revision = "core_0004"


def upgrade():
    op.create_table(
        "core_api_key",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("start", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("used_at", sa.DateTime()),
        sa.Column("address", sa.String(64)),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_core_api_key_user", "core_api_key", ["user_id"], unique=False)


def downgrade():
    op.drop_table("core_api_key")
