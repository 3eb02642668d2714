"""Days on which people came and go, and their pictures."""

import sqlalchemy as sa
from alembic import op

revision = "core_0006"
down_revision = "core_0005"


def upgrade():
    op.add_column("ab_user", sa.Column("hired_on", sa.Date(), nullable=True))
    op.add_column("ab_user", sa.Column("left_on", sa.Date(), nullable=True))
    op.add_column("ab_user", sa.Column("picture", sa.Integer(), nullable=True))


def downgrade():
    op.drop_column("ab_user", "picture")
    op.drop_column("ab_user", "left_on")
    op.drop_column("ab_user", "hired_on")
