"""Sign-ins that worked or were refused."""

import sqlalchemy as sa
from alembic import op

revision = "core_0004"
down_revision = "core_0003"


def upgrade():
    op.create_table(
        "core_sign_in",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("worked", sa.Boolean(), nullable=False),
        sa.Column("door", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("agent", sa.String(length=200), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_core_sign_in_at", "core_sign_in", ["at"])
    op.create_index("ix_core_sign_in_user_at", "core_sign_in", ["user_id", "at"])


def downgrade():
    op.drop_table("core_sign_in")
