"""The journal says which record a line is part of, and can forget what a row said; its seals are made anew."""

import sqlalchemy as sa
from alembic import op

revision = "core_0010"
down_revision = "core_0009"
SOME = sa.text("part_of_id IS NOT NULL")


def upgrade():
    op.add_column("core_journal", sa.Column("part_of_id", sa.Integer(), nullable=True))
    op.add_column("core_journal", sa.Column("digest", sa.String(64), nullable=True))
    # What a hash is made of has changed: the job of the minute seals all rows once more.
    op.execute("UPDATE core_journal SET seal = NULL, hash = NULL")
    op.create_index(
        "ix_core_journal_model_part", "core_journal", ["model", "part_of_id", "id"], postgresql_where=SOME, sqlite_where=SOME
    )
    gone = sa.text("verb = 'delete' AND digest IS NULL")
    op.create_index("ix_core_journal_deleted", "core_journal", ["id"], postgresql_where=gone, sqlite_where=gone)
    op.create_index("ix_core_journal_model_batch", "core_journal", ["model", "batch_id"])


def downgrade():
    op.drop_index("ix_core_journal_model_batch", "core_journal")
    op.drop_index("ix_core_journal_deleted", "core_journal")
    op.drop_index("ix_core_journal_model_part", "core_journal")
    op.drop_column("core_journal", "part_of_id")
    op.drop_column("core_journal", "digest")
    op.execute("UPDATE core_journal SET seal = NULL, hash = NULL")
