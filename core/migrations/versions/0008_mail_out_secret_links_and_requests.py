"""mail out, secret links and requests."""

import sqlalchemy as sa
from alembic import op

revision = "core_0008"
down_revision = "core_0007"


def upgrade():
    op.create_table(
        "core_secret",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "core_secret_link",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("asked_by_id", sa.Integer()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime()),
        sqlite_autoincrement=True,
    )
    op.create_records(
        "core_mail",
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("tries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("trouble", sa.String(64)),
        sa.Column("answer", sa.String(400)),
        sa.Column("next_at", sa.DateTime()),
        sa.Column("sent_at", sa.DateTime()),
        sa.Column("message_id", sa.String(400), nullable=False),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
    )
    op.create_records(
        "core_account_request",
        sa.Column("wish", sa.String(64), nullable=False),
        sa.Column("new_name", sa.String(130)),
        sa.Column("new_phone", sa.String(200)),
        sa.Column("new_email", sa.String(320)),
        sa.Column("note", sa.Text()),
        sa.Column("signed_in", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("answered_at", sa.DateTime()),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
        sa.Column("new_department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
        sa.Column("answered_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
    )
    op.create_table(
        "core_mail_body",
        sa.Column("mail_id", sa.Integer(), sa.ForeignKey("core_mail.id", ondelete="RESTRICT"), primary_key=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Integer(), index=True),
    )
    op.create_index("ix_core_secret_link_user", "core_secret_link", ["user_id"], unique=False)
    op.create_index("ix_core_mail_state_id", "core_mail", ["state", "id"], unique=False)
    op.create_index("ix_core_account_request_state_id", "core_account_request", ["state", "id"], unique=False)


def downgrade():
    op.drop_table("core_mail_body")
    op.drop_table("core_account_request")
    op.drop_table("core_mail")
    op.drop_table("core_secret_link")
    op.drop_table("core_secret")
