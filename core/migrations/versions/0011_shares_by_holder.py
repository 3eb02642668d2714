"""What is shared with a person, a department or a team is read from an index alone."""

from alembic import op

revision = "core_0011"
down_revision = "core_0010"
HOLDERS = ("user", "department", "team")


def upgrade():
    for holder in HOLDERS:
        columns = [f"{holder}_id", "model", "record_id", "until", "access"]
        op.create_index(f"ix_core_share_{holder}_reach", "core_share", columns, unique=False)
    op.drop_index("ix_core_share_user_model_record", table_name="core_share")


def downgrade():
    op.create_index("ix_core_share_user_model_record", "core_share", ["user_id", "model", "record_id"], unique=False)
    for holder in HOLDERS:
        op.drop_index(f"ix_core_share_{holder}_reach", table_name="core_share")
