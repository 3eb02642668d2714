"""An index of batches by their time: a question for days long past begins there, not at today."""

from alembic import op

revision = "core_0016"
down_revision = "core_0015"


def upgrade():
    op.create_index("ix_core_batch_at", "core_batch", ["at"])


def downgrade():
    op.drop_index("ix_core_batch_at", "core_batch")
