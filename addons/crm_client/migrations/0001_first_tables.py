"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "crm_client_0001"
down_revision = None


def upgrade():
    op.create_records(
        "crm_client",
        sa.Column("name", sa.String(200), nullable=False, index=True),
        sa.Column("code", sa.String(60), unique=True),
        sa.Column("category", sa.String(64)),
        sa.Column("source", sa.String(64)),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("phones", sa.String(200)),
        sa.Column("email", sa.String(320)),
        sa.Column("address", sa.String(200)),
        sa.Column("remarks", sa.Text()),
        sa.Column("owner_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
        sa.Column("department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
    )
    op.create_records(
        "crm_contact",
        sa.Column("name", sa.String(200), nullable=False, index=True),
        sa.Column("title", sa.String(200)),
        sa.Column("phones", sa.String(200)),
        sa.Column("email", sa.String(320)),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("remarks", sa.Text()),
        sa.Column("client_id", sa.Integer(), sa.ForeignKey("crm_client.id", ondelete="RESTRICT"), nullable=False, index=True),
    )


def downgrade():
    op.drop_table("crm_contact")
    op.drop_table("crm_client")
