"""Level, region and birthday of a client."""

import sqlalchemy as sa
from alembic import op

revision = "crm_client_0002"
down_revision = "crm_client_0001"


def upgrade():
    op.add_column("crm_client", sa.Column("level", sa.String(64)))
    op.add_column("crm_client", sa.Column("region", sa.String(64)))
    op.add_column("crm_client", sa.Column("birthday", sa.Date()))


def downgrade():
    with op.batch_alter_table("crm_client", table_kwargs={"sqlite_autoincrement": True}) as batch:
        for name in ("birthday", "region", "level"):
            batch.drop_column(name)
