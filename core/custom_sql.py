"""How a custom field looks to the database: one text per kind and dialect, the same for queries and for the index."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from sqlalchemy import Numeric, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal

from core.errors import Invalid
from core.fields import Field
from core.i18n import gettext as _

NAME = re.compile(r"x_[a-z0-9_]{1,58}")
SHAPES = {
    "text": "text", "long": "text", "code": "text", "email": "text", "phone": "text", "choice": "text",
    "integer": "integer", "link": "integer", "file": "integer", "decimal": "number", "money": "number", "formula": "number",
    "date": "date", "datetime": "moment", "yesno": "yesno", "choices": "list",
}  # fmt: skip
UNINDEXABLE = ("long", "choices")

# The path stands in the text as a literal: SQLite never uses an expression index for a bound path (DESIGN 6).
# Whatever does not read as the kind's value is NULL on both databases; nothing raises, not even on damaged values.
_DIGIT = "[0-9]"
_DAY = "-".join((_DIGIT * 4, _DIGIT * 2, _DIGIT * 2))
_TIME = ":".join((_DIGIT * 2,) * 3)
# SQLite returns the 30th of February unchanged until it has to compute: “+0 days” makes it compute.
_SQLITE = {
    "text": "{v}",
    "integer": "CASE WHEN json_type({c}, {p}) = 'integer' AND typeof({v}) = 'integer' THEN {v} END",
    "number": (
        "CASE WHEN json_type({c}, {p}) IN ('text', 'integer', 'real') THEN "
        "CASE WHEN json_valid({v}) AND (json_type({c}, {p}) <> 'text' OR {v} NOT GLOB '*[eE]*') THEN "
        "CASE WHEN json_type({v}) IN ('integer', 'real') THEN CAST({v} AS REAL) END END END"
    ),
    "date": f"CASE WHEN {{v}} GLOB '{_DAY}' THEN CASE WHEN {{v}} >= '0001' AND date({{v}}, '+0 days') = {{v}} THEN {{v}} END END",
    "moment": (
        f"CASE WHEN {{v}} GLOB '{_DAY}T{_TIME}Z' OR {{v}} GLOB '{_DAY}T{_TIME}.{_DIGIT * 6}Z' THEN "
        "CASE WHEN {v} >= '0001' AND strftime('%Y-%m-%dT%H:%M:%S', substr({v}, 1, 19), '+0 days') = substr({v}, 1, 19) THEN "
        # Spelt like SQLAlchemy binds a moment on SQLite, so that the two compare as text.
        "substr({v}, 1, 10) || ' ' || substr({v}, 12, 8) || '.' || substr(rtrim(substr({v}, 21), 'Z') || '000000', 1, 6) END END"
    ),
    "yesno": "CASE json_type({c}, {p}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
    "list": "CASE WHEN json_type({c}, {p}) = 'array' THEN {v} END",
}
# Days that exist, leap years included: casting a text to a date is not immutable on PostgreSQL and raises on 31 February.
_REAL_DAY = (
    r"(?!0000)(\d{4}-(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|\d{4}-(0[469]|11)-(0[1-9]|[12]\d|30)|\d{4}-02-(0[1-9]|1\d|2[0-8])"
    r"|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
)
_PART = "CAST(substr({v}, %s, %s) AS INTEGER)"
_PARTS = ", ".join(_PART % place for place in ((1, 4), (6, 2), (9, 2)))
_POSTGRES = {
    "text": "{v}",
    "integer": (
        r"CASE WHEN jsonb_typeof({c} -> {p}) = 'number' AND {v} ~ '^-?\d{{1,19}}$' THEN CASE WHEN CAST({v} AS NUMERIC) "
        "BETWEEN -9223372036854775808 AND 9223372036854775807 THEN CAST({v} AS BIGINT) END END"
    ),
    "number": r"CASE WHEN {v} ~ '^-?(0|[1-9]\d{{0,29}})(\.\d{{1,30}})?$' THEN CAST({v} AS NUMERIC) END",
    "date": f"CASE WHEN {{v}} ~ '^{_REAL_DAY.replace('{', '{{').replace('}', '}}')}$' THEN make_date({_PARTS}) END",
    "moment": (
        f"CASE WHEN {{v}} ~ '^{_REAL_DAY.replace('{', '{{').replace('}', '}}')}T"
        r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{{6}})?Z$' THEN "
        f"make_timestamp({_PARTS}, {_PART % (12, 2)}, {_PART % (15, 2)}, CAST(rtrim(substr({{v}}, 18), 'Z') AS DOUBLE PRECISION)) END"
    ),
    "yesno": "CASE {c} -> {p} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
    "list": "CASE WHEN jsonb_typeof({c} -> {p}) = 'array' THEN {c} -> {p} END",
}


def expression(shape: str, dialect: str, column: str, name: str) -> str:
    """The SQL text for the custom field ``name`` of a kind's ``shape``, in the JSON column called ``column``."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a custom field")
    if dialect == "postgresql":
        path = f"'{name}'"
        return "(" + _POSTGRES[shape].format(c=column, p=path, v=f"({column} ->> {path})") + ")"
    path = f"'$.\"{name}\"'"
    return _SQLITE[shape].format(c=column, p=path, v=f"json_extract({column}, {path})")


class CustomValue(ColumnElement[Any]):
    """A custom field as a column: selected, compared and sorted by like any other, and cached by its name."""

    _traverse_internals = [
        ("store", InternalTraversal.dp_clauseelement),
        ("field_name", InternalTraversal.dp_string),
        ("shape", InternalTraversal.dp_string),
        ("type", InternalTraversal.dp_type),
    ]

    def __init__(self, store: Any, field_name: str, shape: str, type_: Any) -> None:
        self.store = coercions.expect(roles.ExpressionElementRole, store, apply_propagate_attrs=self)
        self.field_name, self.shape, self.type = field_name, shape, type_

    @property
    def _from_objects(self) -> Any:
        return self.store._from_objects


@compiles(CustomValue)
def _compile(element: CustomValue, compiler: Any, **options: Any) -> str:
    options.pop("within_columns_clause", None)
    options.pop("add_to_result_map", None)
    column = compiler.process(element.store, **options)
    text = expression(element.shape, compiler.dialect.name, column, element.field_name)
    # psycopg reads a lone percent sign as a placeholder; sqlite3 does not.
    return text.replace("%", "%%") if compiler.preparer._double_percents else text


def custom_column(model: Any, field: Field) -> Any:
    """The SQL expression of a custom field of ``model`` (a class or an alias of one)."""
    kind = field.kind.name
    type_ = String() if SHAPES[kind] == "text" else Numeric(20, 6) if kind == "formula" else field.kind.column_type(field)
    return CustomValue(model.custom, field.name, SHAPES[kind], type_)


def index_name(table: str, name: str) -> str:
    """Name of a custom field's index; PostgreSQL allows 63 characters."""
    full = f"ix_custom_{table}_{name}"
    return full if len(full) <= 60 else f"{full[:48]}_{hashlib.sha256(full.encode()).hexdigest()[:10]}"


def index_sql(model: Any, field: Field, dialect: str) -> str:
    """The statement that makes the index of a custom field, from the very text that queries use; `id` serves key-set paging."""
    kind, table = field.kind.name, model.__tablename__
    if kind in UNINDEXABLE:
        raise Invalid({"indexed": _("A field of this kind cannot be indexed.")})
    text = expression(SHAPES[kind], dialect, "custom", field.name)
    # On PostgreSQL writers go on while the index is made; it must run outside a transaction.
    how = "CONCURRENTLY " if dialect == "postgresql" else ""
    return f"CREATE INDEX {how}IF NOT EXISTS {index_name(table, field.name)} ON {table} ({text}, id)"


def drop_index_sql(table: str, name: str, dialect: str) -> str:
    """The statement that removes the index of a custom field."""
    how = "CONCURRENTLY " if dialect == "postgresql" else ""
    return f"DROP INDEX {how}IF EXISTS {index_name(table, name)}"
