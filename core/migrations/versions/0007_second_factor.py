"""A second factor for people, and roles that demand one."""

import sqlalchemy as sa
from alembic import op

revision = "core_0007"
down_revision = "core_0006"


def upgrade():
    op.create_table(
        "core_second_factor",
        sa.Column("user_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime()),
        sa.Column("last_step", sa.Integer(), nullable=False),
    )
    op.create_table(
        "core_recovery_code",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.DateTime()),
    )
    op.create_index("ix_core_recovery_code_user_id", "core_recovery_code", ["user_id"], unique=False)
    op.add_column("ab_role", sa.Column("second_factor", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade():
    op.drop_column("ab_role", "second_factor")
    op.drop_table("core_recovery_code")
    op.drop_table("core_second_factor")
