"""What has changed in one kind of record since a moment is found by an index, for lists of the past and what is new to a person."""

from alembic import op

revision = "core_0013"
down_revision = "core_0012"


def upgrade():
    op.create_index("ix_core_journal_model_at", "core_journal", ["model", "at", "record_id"])


def downgrade():
    op.drop_index("ix_core_journal_model_at", "core_journal")
