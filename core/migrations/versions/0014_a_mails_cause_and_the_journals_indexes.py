"""Of a mail the change that it tells of; and what a question to a journal of many millions of rows needs.

Indexes by person, and by what is rare of actions and doors.
"""

import sqlalchemy as sa
from alembic import op

revision = "core_0014"
down_revision = "core_0013"
RARE = {"verb": sa.text("verb NOT IN ('create', 'edit', 'delete')"), "door": sa.text("door NOT IN ('screen', 'import')")}


def upgrade():
    op.add_column("core_mail_body", sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True))
    op.create_index("ix_core_mail_body_batch_id", "core_mail_body", ["batch_id"], unique=False)
    op.create_index("ix_core_journal_user_batch", "core_journal", ["user_id", "batch_id"])
    for name, rare in RARE.items():
        op.create_index(f"ix_core_journal_{name}", "core_journal", [name, "batch_id"], postgresql_where=rare, sqlite_where=rare)


def downgrade():
    for name in ("door", "verb", "user_batch"):
        op.drop_index(f"ix_core_journal_{name}", "core_journal")
    op.drop_index("ix_core_mail_body_batch_id", "core_mail_body")
    op.drop_column("core_mail_body", "batch_id")
