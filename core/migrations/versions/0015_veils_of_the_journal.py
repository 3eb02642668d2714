"""Random numbers beside person and address in the journal's hashes, so that both can be taken away and the chain holds."""

import sqlalchemy as sa
from alembic import op

revision = "core_0015"
down_revision = "core_0014"


def upgrade():
    for name in ("veil", "address_veil"):
        op.add_column("core_journal", sa.Column(name, sa.String(64), nullable=True))


def downgrade():
    for name in ("address_veil", "veil"):
        op.drop_column("core_journal", name)
