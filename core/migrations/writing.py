"""Revisions written from models: what differs between a database and the code, each difference with the addon it belongs to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.autogenerate import render as alembic_render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, ForeignKeyConstraint, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.exc import SAWarning

from core.migrations import NEWEST_SHAPE, SHAPES
from core.model import FabModel

TEMPLATE = '''"""{message}"""

{imports}

revision = "{revision}"
down_revision = {down_revision}


def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''


def metadata() -> MetaData:
    """All tables that code on disk asks for."""
    return FabModel.metadata


def owner_of(thing: Any) -> str:
    """The addon whose migration branch makes a table, column, index or constraint of the metadata.

    A table belongs to the addon that declares it, a column to the one that placed it there (`extend`), and an index or
    constraint to that of its last-placed column.
    """
    if isinstance(thing, Table):
        return str(thing.info.get("addon", "core"))
    if isinstance(thing, Column):
        return str(thing.info.get("addon") or owner_of(thing.table))
    table = getattr(thing, "table", None)
    if table is None:
        return "core"
    home = owner_of(table)
    return next((owner for owner in map(owner_of, thing.columns) if owner != home), home)


def is_record_table(table: Table) -> bool:
    """True when the table has exactly the shape that `op.create_records` makes."""
    shape = SHAPES[NEWEST_SHAPE]()
    identity = table.columns.get("id")
    if (
        not table.dialect_options["sqlite"]["autoincrement"]
        or identity is None
        or not identity.primary_key
        or len(table.primary_key.columns) > 1
    ):
        return False
    if type(identity.type) is not sa.Integer or identity.default is not None:
        return False
    return all(
        wanted.name in table.c
        and table.c[wanted.name].nullable == wanted.nullable
        and bool(table.c[wanted.name].index) == bool(wanted.index)
        and table.c[wanted.name].type.compile() == wanted.type.compile()
        and len(table.c[wanted.name].foreign_keys) == len(wanted.foreign_keys)
        for wanted in shape
    )


class Difference:
    """Compares one database with the models, for one addon or for all."""

    def __init__(self, connection: Connection, addon: str | None = None, made_by_addon: frozenset[tuple[str, str]] = frozenset()) -> None:
        """``made_by_addon`` names (table, column) and (table, "") that only this addon's own revisions have made."""
        self.addon = addon
        self.made = made_by_addon
        options = {"target_metadata": metadata(), "compare_type": True, "include_object": self._wanted, "render_as_batch": True}
        self.context = MigrationContext.configure(connection, opts=options)
        with warnings.catch_warnings():
            # Addons that extend one another's models link in circles; `_in_order` below needs only the tables of one addon.
            warnings.filterwarnings("ignore", "Cannot correctly sort tables", SAWarning)
            script = produce_migrations(self.context, metadata())
        assert script.upgrade_ops is not None
        self.upgrade = script.upgrade_ops
        if connection.dialect.name == "sqlite":
            _forget_inline_references(connection, self.upgrade.ops)
        self.upgrade.ops = _in_order(list(_flattened(self.upgrade.ops, addon)))

    def _wanted(self, thing: Any, name: str | None, kind: str, reflected: bool, counterpart: Any) -> bool:
        if name == "alembic_version":
            return False
        if self.addon is None:
            # Tables that code makes at run time (search indexes of SQLite) and of addons that went away are no difference.
            return not (kind == "table" and reflected and counterpart is None)
        known = thing if not reflected else counterpart
        if known is not None:
            # A table of another addon is looked at for our columns on it, but never made by us.
            return owner_of(known) == self.addon or (kind == "table" and (reflected or counterpart is not None))
        if kind == "table":
            return (str(name), "") in self.made
        if kind == "column":
            return (thing.table.name, str(name)) in self.made
        # An index or constraint that is only in the database: ours if it stands on our table or on our columns.
        home = metadata().tables.get(thing.table.name)
        columns = [str(column.name) for column in getattr(thing, "columns", ())]
        ours = (home is not None and owner_of(home) == self.addon) or (thing.table.name, "") in self.made
        return ours or any((thing.table.name, column) in self.made for column in columns)

    def is_empty(self) -> bool:
        """True when the database has what the models ask for."""
        return not self.upgrade.ops

    def sentences(self) -> list[str]:
        """The differences in words, one each."""
        return [text for one in self.upgrade.ops for text in _told(one)]

    def render(self, message: str, revision: str, down_revision: str | None) -> str:
        """A revision file that brings the difference into a database, and takes it out again."""
        imports: set[str] = set()
        body = {}
        created = {one.table_name for one in self.upgrade.ops if isinstance(one, ops.CreateTableOp)}
        back = self.upgrade.reverse()
        back.ops = [one for one in back.ops if not (isinstance(one, ops.DropIndexOp) and one.table_name in created)]
        for direction, operations in (("upgrade", self.upgrade), ("downgrade", back)):
            autogen = AutogenContext(self.context, opts={"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None,
                                                         "render_item": None, "render_as_batch": True})  # fmt: skip
            autogen.imports = imports
            lines = [line for one in operations.ops for line in _rendered(one, autogen)]
            body[direction] = "\n".join(f"    {line}".rstrip() for line in lines) or "    pass"
        text = "\n".join(body.values())
        heads = (
            (["import sqlalchemy as sa"] if "sa." in text else [])
            + ["from alembic import op"]
            + sorted(i for i in imports if i.startswith("from sqla"))
        )
        return TEMPLATE.format(
            message=message.replace('"', "'").rstrip(".") + ".", imports="\n".join(heads), revision=revision,
            down_revision=f'"{down_revision}"' if down_revision else "None", **body,
        )  # fmt: skip


def _forget_inline_references(connection: Connection, operations: Iterable[Any]) -> None:
    """SQLAlchemy does not read what a reference within a column says about deletion; SQLite itself does."""
    for modify in operations:
        if not isinstance(modify, ops.ModifyTableOps):
            continue
        there = {
            (row[3], row[2], row[4] or "id", row[6]) for row in connection.exec_driver_sql(f'PRAGMA foreign_key_list("{modify.table_name}")')
        }  # fmt: skip
        wanted = [one for one in modify.ops if isinstance(one, ops.CreateForeignKeyOp) and len(one.local_cols) == 1]
        fine = {
            one.local_cols[0] for one in wanted
            if (one.local_cols[0], one.referent_table, one.remote_cols[0], str(one.kw.get("ondelete") or "NO ACTION").upper()) in there
        }  # fmt: skip
        modify.ops = [one for one in modify.ops if _reference_column(one) not in fine]


def _reference_column(operation: Any) -> str | None:
    made = operation.reverse() if isinstance(operation, ops.DropConstraintOp) and operation.constraint_type == "foreignkey" else operation
    return made.local_cols[0] if isinstance(made, ops.CreateForeignKeyOp) else None


def _flattened(operations: Iterable[Any], addon: str | None) -> Iterator[Any]:
    """The operations without what a created table brings along itself, and without batches around plain index operations."""
    operations = list(operations)
    created = {one.table_name for one in operations if isinstance(one, ops.CreateTableOp)}
    for one in operations:
        if isinstance(one, ops.ModifyTableOps):
            if one.table_name in created:
                one.ops = [each for each in one.ops if not _comes_with_column(each)]
            if addon is not None:
                one.ops = [each for each in one.ops if not _foreign(each, addon)]
            yield from _plain(one)
        else:
            yield one


def _in_order(operations: list[Any]) -> list[Any]:
    """New tables before those that refer to them, and before all else; the order that SQLAlchemy gives up where addons link in circles."""
    waiting = {one.table_name: one for one in operations if isinstance(one, ops.CreateTableOp)}
    sorted_ones: list[Any] = []

    def place(name: str) -> None:
        one = waiting.pop(name, None)
        if one is not None:
            for reference in sorted(metadata().tables[name].foreign_keys, key=lambda each: each.target_fullname):
                place(reference.target_fullname.split(".")[0])
            sorted_ones.append(one)

    for name in list(waiting):
        place(name)
    return sorted_ones + [one for one in operations if not isinstance(one, ops.CreateTableOp)]


def _comes_with_column(operation: Any) -> bool:
    if not isinstance(operation, ops.CreateIndexOp):
        return False
    table = metadata().tables[operation.table_name]
    names = [getattr(column, "name", None) for column in operation.columns] if operation.columns else []
    if len(names) == 1 and names[0] is None:
        names = [str(operation.columns[0])]
    index = next((each for each in table.indexes if each.name == operation.index_name), None)
    return index is not None and _is_column_index(index)


def _is_column_index(index: sa.Index) -> bool:
    columns = list(index.expressions)
    plain = len(columns) == 1 and isinstance(columns[0], Column) and bool(columns[0].index)
    return plain and not index.dialect_kwargs and str(index.name) == f"ix_{index.table.name}_{columns[0].name}"


def _foreign(operation: Any, addon: str) -> bool:
    """An index on another addon's extension columns, seen because its table is ours."""
    if isinstance(operation, ops.CreateIndexOp):
        table = metadata().tables.get(operation.table_name)
        index = next((each for each in table.indexes if each.name == operation.index_name), None) if table is not None else None
        return index is not None and owner_of(index) != addon
    return False


def _plain(modify: ops.ModifyTableOps) -> Iterator[Any]:
    """New columns with their references in one statement each, which SQLite can do without copying the table; the rest as a batch."""
    added = {each.column.name: each for each in modify.ops if isinstance(each, ops.AddColumnOp)}
    simple = (ops.AddColumnOp, ops.CreateIndexOp, ops.DropIndexOp, ops.CreateForeignKeyOp)
    if not all(isinstance(each, simple) for each in modify.ops) or not all(
        each.local_cols[0] in added and len(each.local_cols) == 1 for each in modify.ops if isinstance(each, ops.CreateForeignKeyOp)
    ):
        yield modify
        return
    yield from (each for each in modify.ops if not isinstance(each, ops.CreateForeignKeyOp))


def _rendered(operation: Any, autogen: AutogenContext) -> Iterator[str]:
    if isinstance(operation, ops.CreateTableOp) and operation.table_name in metadata().tables:
        yield from _table_lines(metadata().tables[operation.table_name], autogen)
    elif isinstance(operation, ops.AddColumnOp):
        table = metadata().tables[operation.table_name]
        column = table.c[operation.column.name]
        inline = ", inline_references=True" if column.foreign_keys else ""
        yield f'op.add_column("{operation.table_name}", {_column(column, autogen, index=False)}{inline})'
    elif isinstance(operation, ops.DropColumnOp):
        keep = ', table_kwargs={"sqlite_autoincrement": True}' if _keeps_ids(operation.table_name) else ""
        yield f'with op.batch_alter_table("{operation.table_name}"{keep}) as batch:'
        yield f'    batch.drop_column("{operation.column_name}")'
    elif isinstance(operation, ops.DropTableOp):
        yield f'op.drop_table("{operation.table_name}")'
    else:
        lines = "\n".join(str(part) for part in alembic_render.render_op(autogen, operation))
        lines = _double_quoted(lines)
        if isinstance(operation, ops.ModifyTableOps) and _keeps_ids(operation.table_name):
            # SQLite rebuilds the table, and would forget that an id is never used twice.
            lines = lines.replace("schema=None", 'table_kwargs={"sqlite_autoincrement": True}', 1)
        first, *others = lines.splitlines()
        yield first
        # Alembic leaves the indentation of a block to its own printer.
        yield from (f"    {line.strip()}" if first.endswith(":") and line.strip() else line for line in others)


def _double_quoted(text: str) -> str:
    return text if '"' in text else text.replace("'", '"')


def _keeps_ids(table_name: str) -> bool:
    table = metadata().tables.get(table_name)
    return table is None or bool(table.dialect_options["sqlite"]["autoincrement"])


def _table_lines(table: Table, autogen: AutogenContext) -> Iterator[str]:
    """One line a column: type, references, whether it may be empty, index."""
    home = owner_of(table)
    records = is_record_table(table)
    shaped = {"id", *(column.name for column in SHAPES[NEWEST_SHAPE]())} if records else set()
    yield "op.create_records(" if records else "op.create_table("
    yield f'    "{table.name}",'
    for column in table.columns:
        if column.name not in shaped and owner_of(column) == home:
            yield f"    {_column(column, autogen)},"
    for constraint in sorted(table.constraints, key=lambda one: str(one.name)):
        if isinstance(constraint, PrimaryKeyConstraint) or owner_of(constraint) != home:
            continue
        if isinstance(constraint, (ForeignKeyConstraint, UniqueConstraint)) and len(constraint.columns) == 1:
            continue
        yield f"    {_double_quoted(str(alembic_render._render_constraint(constraint, autogen, metadata())))},"
    if not records and table.dialect_options["sqlite"]["autoincrement"]:
        yield "    sqlite_autoincrement=True,"
    yield ")"


def _column(column: Column[Any], autogen: AutogenContext, index: bool = True) -> str:
    parts = [f'"{column.name}"', _type(column, autogen)]
    for key in column.foreign_keys:
        rule = f', ondelete="{key.ondelete}"' if key.ondelete else ""
        name = "" if index else f', name="fk_{column.table.name}_{column.name}"'
        parts.append(f'sa.ForeignKey("{key.target_fullname}"{rule}{name})')
    if column.primary_key:
        parts.append("primary_key=True")
    elif not column.nullable:
        parts.append("nullable=False")
    if index and column.index and any(_is_column_index(each) and each.columns[0] is column for each in column.table.indexes):
        parts.append("index=True")
    if column.unique and index:
        parts.append("unique=True")
    if isinstance(column.server_default, sa.DefaultClause):
        default = column.server_default.arg
        parts.append(f"server_default={default!r}" if isinstance(default, str) else f'server_default=sa.text("{default}")')
    return f"sa.Column({', '.join(parts)})".replace("'", '"')


def _type(column: Column[Any], autogen: AutogenContext) -> str:
    text = alembic_render._repr_type(column.type, autogen)
    for noise in ("none_as_null=True, ", "none_as_null=True", "astext_type=Text()", "length="):
        text = text.replace(noise, "")
    return text


def _told(operation: Any) -> Iterator[str]:
    if isinstance(operation, ops.ModifyTableOps):
        for each in operation.ops:
            yield from _told(each)
        return
    table = getattr(operation, "table_name", None) or getattr(operation, "source_table", "")
    home = metadata().tables.get(table)
    owner = owner_of(home) if home is not None else "core"
    if isinstance(operation, ops.CreateTableOp):
        yield f"{owner}: the table {table} is not made by any migration."
    elif isinstance(operation, ops.AddColumnOp):
        owner = owner_of(home.c[operation.column.name]) if home is not None else owner
        yield f"{owner}: the column {table}.{operation.column.name} is not made by any migration."
    elif isinstance(operation, ops.DropColumnOp):
        yield f"{owner}: the column {table}.{operation.column_name} is made by a migration, but no model has it."
    elif isinstance(operation, ops.AlterColumnOp):
        yield f"{owner}: the column {table}.{operation.column_name} differs between model and migrations (type, or whether it may be empty)."
    else:
        name = getattr(operation, "index_name", None) or getattr(operation, "constraint_name", None) or ""
        yield f"{owner}: {type(operation).__name__.removesuffix('Op')} {name} on {table} is not made by any migration."
