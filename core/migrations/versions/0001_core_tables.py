"""Core tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "core_0001"
down_revision = None


def upgrade():
    op.create_table(
        "ab_group",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("label", sa.String(150)),
        sa.Column("description", sa.String(512)),
    )
    op.create_table(
        "ab_permission",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
    )
    op.create_table(
        "ab_register_user",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("first_name", sa.String(64), nullable=False),
        sa.Column("last_name", sa.String(64), nullable=False),
        sa.Column("username", sa.String(128), nullable=False, unique=True),
        sa.Column("password", sa.String(256)),
        sa.Column("email", sa.String(320), nullable=False, unique=True),
        sa.Column("registration_date", sa.DateTime()),
        sa.Column("registration_hash", sa.String(256)),
    )
    op.create_table(
        "ab_user",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("first_name", sa.String(64), nullable=False),
        sa.Column("last_name", sa.String(64), nullable=False),
        sa.Column("username", sa.String(128), nullable=False, unique=True),
        sa.Column("password", sa.String(256)),
        sa.Column("active", sa.Boolean()),
        sa.Column("email", sa.String(320), nullable=False, unique=True),
        sa.Column("last_login", sa.DateTime()),
        sa.Column("login_count", sa.Integer()),
        sa.Column("fail_login_count", sa.Integer()),
        sa.Column("created_on", sa.DateTime()),
        sa.Column("changed_on", sa.DateTime()),
        sa.Column("created_by_fk", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_fk", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("name", sa.String(130)),
        sa.Column("phone", sa.String(200)),
        sa.Column("level", sa.String(64), nullable=False),
        sa.Column("language", sa.String(64)),
        sa.Column("zone", sa.String(64)),
        sa.Column("theme", sa.String(64)),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("locked_until", sa.DateTime()),
        sa.Column("created_at", sa.DateTime(), index=True),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT")),
        sa.Column("changed_at", sa.DateTime(), index=True),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT")),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("custom", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
        sa.Column("title_key", sa.String(120).with_variant(sa.String(120, collation="C"), "postgresql"), index=True),
        sa.Column("superior_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ab_view_menu",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(250), nullable=False, unique=True),
    )
    op.create_table(
        "core_batch",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("user_id", sa.Integer(), index=True),
        sa.Column("door", sa.String(20), nullable=False),
        sa.Column("title", sa.String(200)),
        sa.Column("undoes", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("undone_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "core_heartbeat",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("info", sa.String(300)),
    )
    op.create_table(
        "core_job",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("addon", sa.String(80), nullable=False),
        sa.Column("key", sa.String(200)),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("due_at", sa.DateTime(), index=True),
        sa.Column("handed_until", sa.DateTime()),
        sa.Column("token", sa.String(32)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), index=True),
        sa.Column("behalf_id", sa.Integer()),
        sa.Column("by_system", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(10), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(40)),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime()),
        sa.Column("finished_at", sa.DateTime(), index=True),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("done", sa.Integer()),
        sa.Column("total", sa.Integer()),
        sa.Column("text", sa.String(300)),
        sa.Column("memory", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_core_job_name_key", "core_job", ["name", "key"], unique=False)
    op.create_table(
        "core_journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("tx", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seal", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), unique=True),
        sa.Column("hash", sa.String(64)),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, index=True),
        sa.Column("at", sa.DateTime(), nullable=False, index=True),
        sa.Column("user_id", sa.Integer()),
        sa.Column("behalf_id", sa.Integer()),
        sa.Column("door", sa.String(20), nullable=False),
        sa.Column("address", sa.String(64)),
        sa.Column("request_id", sa.String(40)),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(20), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_core_journal_model_record", "core_journal", ["model", "record_id", "id"], unique=False)
    op.create_index("ix_core_journal_unsealed", "core_journal", ["id"], unique=False, postgresql_where=sa.text("seal IS NULL"), sqlite_where=sa.text("seal IS NULL"))
    op.create_index("ix_core_journal_user_at", "core_journal", ["user_id", "at"], unique=False)
    op.create_table(
        "core_schedule",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("addon", sa.String(80), nullable=False),
        sa.Column("every", sa.String(60), nullable=False),
        sa.Column("next_at", sa.DateTime(), nullable=False, index=True),
        sa.Column("last_at", sa.DateTime()),
    )
    op.create_table(
        "core_session",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.Integer(), index=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False, index=True),
        sa.Column("address", sa.String(64)),
        sa.Column("agent", sa.String(200)),
    )
    op.create_table(
        "core_sign_in_attempt",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", sa.DateTime()),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "core_spent_name",
        sa.Column("model", sa.String(80), primary_key=True),
        sa.Column("name", sa.String(60), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
    )
    op.create_table(
        "core_state",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "ab_api_key",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False, unique=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("key_hash", sa.String(256), nullable=False),
        sa.Column("lookup_hash", sa.String(256), unique=True),
        sa.Column("key_prefix", sa.String(16), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("scopes", sa.Text()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_on", sa.DateTime()),
        sa.Column("expires_on", sa.DateTime()),
        sa.Column("revoked_on", sa.DateTime()),
        sa.Column("last_used_on", sa.DateTime()),
    )
    op.create_index("idx_api_key_lookup_hash", "ab_api_key", ["lookup_hash"], unique=True)
    op.create_index("idx_api_key_prefix", "ab_api_key", ["key_prefix"], unique=False)
    op.create_index("idx_api_key_user_id", "ab_api_key", ["user_id"], unique=False)
    op.create_table(
        "ab_permission_view",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("permission_id", sa.Integer(), sa.ForeignKey("ab_permission.id"), nullable=False),
        sa.Column("view_menu_id", sa.Integer(), sa.ForeignKey("ab_view_menu.id"), nullable=False),
        sa.UniqueConstraint("permission_id", "view_menu_id", name=op.f("uq_ab_permission_view_permission_id_view_menu_id")),
    )
    op.create_index("idx_permission_id", "ab_permission_view", ["permission_id"], unique=False)
    op.create_index("idx_view_menu_id", "ab_permission_view", ["view_menu_id"], unique=False)
    op.create_table(
        "ab_role",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("note", sa.Text()),
        sa.Column("created_at", sa.DateTime(), index=True),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT")),
        sa.Column("changed_at", sa.DateTime(), index=True),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT")),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("custom", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
        sa.Column("title_key", sa.String(120).with_variant(sa.String(120, collation="C"), "postgresql"), index=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ab_user_group",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE")),
        sa.Column("group_id", sa.Integer(), sa.ForeignKey("ab_group.id", ondelete="CASCADE")),
        sa.UniqueConstraint("user_id", "group_id", name=op.f("uq_ab_user_group_user_id_group_id")),
    )
    op.create_index("idx_user_group_id", "ab_user_group", ["group_id"], unique=False)
    op.create_index("idx_user_id", "ab_user_group", ["user_id"], unique=False)
    op.create_records(
        "core_addon",
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
    )
    op.create_records(
        "core_custom_field",
        sa.Column("model", sa.String(80), nullable=False, index=True),
        sa.Column("name", sa.String(60)),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("titles", sa.JSON()),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("help", sa.String(500)),
        sa.Column("choices", sa.String(120)),
        sa.Column("target", sa.String(80)),
        sa.Column("formula", sa.String(500)),
        sa.Column("indexed", sa.Boolean(), nullable=False),
        sa.Column("index_ready", sa.Boolean(), nullable=False),
        sa.Column("search", sa.Boolean(), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("hidden", sa.Boolean(), nullable=False),
    )
    op.create_index("uq_core_custom_field", "core_custom_field", ["model", "name"], unique=True)
    op.create_records(
        "core_department",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("parent_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
        sa.Column("head_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
    )
    op.create_records(
        "core_dictionary",
        sa.Column("key", sa.String(120), unique=True),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("titles", sa.JSON()),
        sa.Column("addon_name", sa.String(80)),
        sa.Column("closed", sa.Boolean(), nullable=False),
    )
    op.create_records(
        "core_field_setting",
        sa.Column("model", sa.String(80), nullable=False, index=True),
        sa.Column("field_name", sa.String(80), nullable=False),
        sa.Column("title", sa.String(120)),
        sa.Column("titles", sa.JSON()),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("help", sa.String(500)),
    )
    op.create_index("uq_core_field_setting", "core_field_setting", ["model", "field_name"], unique=True)
    op.create_records(
        "core_file",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, index=True),
        sa.Column("media_type", sa.String(120), nullable=False),
        sa.Column("version_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.String(80)),
        sa.Column("record_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("field_name", sa.String(80)),
        sa.Column("uploader_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
        sa.Column("version_of_id", sa.Integer(), sa.ForeignKey("core_file.id", ondelete="RESTRICT"), index=True),
    )
    op.create_index("ix_core_file_model_record", "core_file", ["model", "record_id"], unique=False)
    op.create_records(
        "core_number_rule",
        sa.Column("key", sa.String(150), nullable=False, unique=True),
        sa.Column("pattern", sa.String(80), nullable=False),
        sa.Column("reset", sa.String(64), nullable=False),
        sa.Column("next_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("period", sa.String(10)),
        sa.Column("gapless", sa.Boolean(), nullable=False),
    )
    op.create_records(
        "core_personal_right",
        sa.Column("model", sa.String(80), nullable=False, index=True),
        sa.Column("verb", sa.String(40), nullable=False),
        sa.Column("denied", sa.Boolean(), nullable=False),
        sa.Column("scopes", sa.String(80), nullable=False),
        sa.Column("until", sa.DateTime()),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), nullable=False, index=True),
    )
    op.create_records(
        "core_setting",
        sa.Column("key", sa.String(120), nullable=False, unique=True),
        sa.Column("value", sa.JSON()),
    )
    op.create_records(
        "core_team",
        sa.Column("name", sa.String(200), nullable=False),
    )
    op.create_table(
        "ab_group_role",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("group_id", sa.Integer(), sa.ForeignKey("ab_group.id", ondelete="CASCADE")),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="CASCADE")),
        sa.UniqueConstraint("group_id", "role_id", name=op.f("uq_ab_group_role_group_id_role_id")),
    )
    op.create_index("idx_group_id", "ab_group_role", ["group_id"], unique=False)
    op.create_index("idx_group_role_id", "ab_group_role", ["role_id"], unique=False)
    op.create_table(
        "ab_permission_view_role",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("permission_view_id", sa.Integer(), sa.ForeignKey("ab_permission_view.id", ondelete="CASCADE")),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="CASCADE")),
        sa.UniqueConstraint("permission_view_id", "role_id", name=op.f("uq_ab_permission_view_role_permission_view_id_role_id")),
    )
    op.create_index("idx_permission_view_id", "ab_permission_view_role", ["permission_view_id"], unique=False)
    op.create_index("idx_role_id", "ab_permission_view_role", ["role_id"], unique=False)
    op.create_table(
        "ab_user_role",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE")),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="CASCADE")),
        sa.UniqueConstraint("user_id", "role_id", name=op.f("uq_ab_user_role_user_id_role_id")),
    )
    op.create_records(
        "core_field_right",
        sa.Column("model", sa.String(80), nullable=False, index=True),
        sa.Column("field_name", sa.String(80), nullable=False),
        sa.Column("access", sa.String(64), nullable=False),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="RESTRICT"), nullable=False, index=True),
    )
    op.create_index("uq_core_field_right", "core_field_right", ["role_id", "model", "field_name"], unique=True)
    op.create_records(
        "core_option",
        sa.Column("key", sa.String(64)),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("titles", sa.JSON()),
        sa.Column("colour", sa.String(64)),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("dictionary_id", sa.Integer(), sa.ForeignKey("core_dictionary.id", ondelete="RESTRICT"), nullable=False, index=True),
    )
    op.create_index("uq_core_option", "core_option", ["dictionary_id", "key"], unique=True)
    op.create_records(
        "core_post",
        sa.Column("title", sa.String(200)),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), nullable=False, index=True),
        sa.Column("department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), nullable=False, index=True),
    )
    op.create_records(
        "core_role_right",
        sa.Column("model", sa.String(80), nullable=False, index=True),
        sa.Column("verb", sa.String(40), nullable=False),
        sa.Column("scopes", sa.String(80), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="RESTRICT"), nullable=False, index=True),
    )
    op.create_index("uq_core_role_right", "core_role_right", ["role_id", "model", "verb"], unique=True)
    op.create_records(
        "core_share",
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("record_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("access", sa.String(64), nullable=False),
        sa.Column("until", sa.DateTime()),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), index=True),
        sa.Column("department_id", sa.Integer(), sa.ForeignKey("core_department.id", ondelete="RESTRICT"), index=True),
        sa.Column("team_id", sa.Integer(), sa.ForeignKey("core_team.id", ondelete="RESTRICT"), index=True),
    )
    op.create_index("ix_core_share_model_record", "core_share", ["model", "record_id"], unique=False)
    op.create_index("ix_core_share_user_model_record", "core_share", ["user_id", "model", "record_id"], unique=False)
    op.create_table(
        "core_team_members",
        sa.Column("left_id", sa.Integer(), sa.ForeignKey("core_team.id", ondelete="RESTRICT"), primary_key=True),
        sa.Column("right_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="RESTRICT"), primary_key=True, index=True),
    )


def downgrade():
    op.drop_table("core_team_members")
    op.drop_table("core_share")
    op.drop_table("core_role_right")
    op.drop_table("core_post")
    op.drop_table("core_option")
    op.drop_table("core_field_right")
    op.drop_table("ab_user_role")
    op.drop_table("ab_permission_view_role")
    op.drop_table("ab_group_role")
    op.drop_table("core_team")
    op.drop_table("core_setting")
    op.drop_table("core_personal_right")
    op.drop_table("core_number_rule")
    op.drop_table("core_file")
    op.drop_table("core_field_setting")
    op.drop_table("core_dictionary")
    op.drop_table("core_department")
    op.drop_table("core_custom_field")
    op.drop_table("core_addon")
    op.drop_table("ab_user_group")
    op.drop_table("ab_role")
    op.drop_table("ab_permission_view")
    op.drop_table("ab_api_key")
    op.drop_table("core_state")
    op.drop_table("core_spent_name")
    op.drop_table("core_sign_in_attempt")
    op.drop_table("core_session")
    op.drop_table("core_schedule")
    op.drop_table("core_journal")
    op.drop_table("core_job")
    op.drop_table("core_heartbeat")
    op.drop_table("core_batch")
    op.drop_table("ab_view_menu")
    op.drop_table("ab_user")
    op.drop_table("ab_register_user")
    op.drop_table("ab_permission")
    op.drop_table("ab_group")
