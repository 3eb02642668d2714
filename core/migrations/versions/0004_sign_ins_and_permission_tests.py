"""Sign-ins that worked or were refused; permission tests."""

import sqlalchemy as sa
from alembic import op

revision = "core_0004"
down_revision = "core_0003"


def upgrade():
    op.create_table(
        "core_sign_in",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer()),
        sa.Column("at", sa.DateTime(), nullable=False, index=True),
        sa.Column("worked", sa.Boolean(), nullable=False),
        sa.Column("door", sa.String(20), nullable=False),
        sa.Column("address", sa.String(64)),
        sa.Column("agent", sa.String(200)),
        sqlite_autoincrement=True,
    )
    op.create_records(
        "core_right_test",
        sa.Column("expected", sa.String(64), nullable=False),
        sa.Column("verb", sa.String(40), nullable=False),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("rows", sa.String(64), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("looked_at", sa.DateTime()),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="RESTRICT"), index=True),
        sa.Column("of_department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
        sa.Column("row_department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
    )
    op.create_index("ix_core_sign_in_user_at", "core_sign_in", ["user_id", "at"], unique=False)


def downgrade():
    op.drop_table("core_right_test")
    op.drop_table("core_sign_in")
