"""Preferences of people: columns and density."""

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"


def upgrade():
    op.create_table(
        "core_preference",
        sa.Column("user_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
    )


def downgrade():
    op.drop_table("core_preference")
