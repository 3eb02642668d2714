"""Indexes of long lists: one owner's clients by date and by name, one department's, and what they are counted by."""

from alembic import op

revision = "crm_client_0003"
down_revision = "crm_client_0002"

INDEXES = {
    "ix_crm_client_department_id_changed_at": ["department_id", "changed_at", "id"],
    "ix_crm_client_owner_id_category_source_changed_at": ["owner_id", "category", "source", "changed_at", "id"],
    "ix_crm_client_owner_id_changed_at": ["owner_id", "changed_at", "id"],
    "ix_crm_client_owner_id_title_key": ["owner_id", "title_key", "id"],
    "ix_crm_client_region_category": ["region", "category", "id"],
}


def upgrade():
    for name, columns in INDEXES.items():
        op.create_index(name, "crm_client", columns, unique=False)


def downgrade():
    for name in INDEXES:
        op.drop_index(name, table_name="crm_client")
