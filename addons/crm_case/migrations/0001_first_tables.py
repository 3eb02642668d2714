"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "crm_case_0001"
down_revision = None


def upgrade():
    op.create_records(
        "crm_stage",
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
    )
    op.create_records(
        "crm_case",
        sa.Column("name", sa.String(200), nullable=False, index=True),
        sa.Column("number", sa.String(60), unique=True),
        sa.Column("category", sa.String(64)),
        sa.Column("kind", sa.String(64)),
        sa.Column("cause", sa.String(200)),
        sa.Column("urgency", sa.String(64), nullable=False),
        sa.Column("opened_on", sa.Date()),
        sa.Column("due_on", sa.Date(), index=True),
        sa.Column("closed_on", sa.Date()),
        sa.Column("summary", sa.Text()),
        sa.Column("remarks", sa.Text()),
        sa.Column("owner_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
        sa.Column("department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
        sa.Column("client_id", sa.Integer(), sa.ForeignKey("crm_client.id", ondelete="RESTRICT"), nullable=False, index=True),
        sa.Column("stage_id", sa.Integer(), sa.ForeignKey("crm_stage.id", ondelete="RESTRICT"), index=True),
    )
    op.create_records(
        "crm_case_note",
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("done_on", sa.Date()),
        sa.Column("amount", sa.Numeric(precision=20, scale=2)),
        sa.Column("details", sa.Text()),
        sa.Column("case_id", sa.Integer(), sa.ForeignKey("crm_case.id", ondelete="RESTRICT"), nullable=False, index=True),
    )


def downgrade():
    op.drop_table("crm_case_note")
    op.drop_table("crm_case")
    op.drop_table("crm_stage")
