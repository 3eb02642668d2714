"""The search box: one index of words, characters, pinyin and digits for every model, on both databases."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, ColumnElement, Integer, Text, func, select, text
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

from core.context import actor
from core.db import PREPARED, db, put_rows
from core.errors import Broken, Misbuilt
from core.fields import Field
from core.i18n import gettext as _
from core.model import FabModel, fields_of, is_half
from core.search_words import All, Token, question, title_key, tokens

__all__ = [
    "add", "anywhere", "create_search", "drop_search", "index_records", "look_up", "matches", "rebuild", "search_fields", "settle",
    "title_key", "words_of",
]  # fmt: skip

KINDS_SEARCHED = ("text", "long", "code", "email", "phone")
LONGEST_QUESTION = 200
CHUNK = 500

# Not in the shared metadata: it is made by `create_search`, holds nothing that cannot be computed again, and stays out of backups.
metadata = sa.MetaData()
core_search = sa.Table(
    "core_search",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("record_id", Integer, nullable=False),
    Column("tokens", Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
)
_fts = sa.table("core_search_fts", sa.column("rowid", Integer), sa.column("tokens", Text))

_CREATE = {
    "postgresql": (
        "CREATE TABLE IF NOT EXISTS core_search (id BIGINT PRIMARY KEY, record_id INTEGER NOT NULL, tokens TSVECTOR NOT NULL)",
        "CREATE INDEX IF NOT EXISTS ix_core_search_tokens ON core_search USING gin (tokens)",
        # So many words have their frequency known to the planner. With the usual hundredth of it, it held every rare word for one of
        # thousands of rows, and started parallel processes for five.
        "ALTER TABLE core_search ALTER COLUMN tokens SET STATISTICS 1000",
    ),
    "sqlite": (
        "CREATE TABLE IF NOT EXISTS core_search (id INTEGER PRIMARY KEY, record_id INTEGER NOT NULL, tokens TEXT NOT NULL)",
        # Every token is ASCII letters and digits, or lies outside of ASCII; for this tokenizer both are one word between blanks.
        "CREATE VIRTUAL TABLE IF NOT EXISTS core_search_fts USING fts5("
        "tokens, content='core_search', content_rowid='id', tokenize='ascii', detail=none, columnsize=0)",
    ),
}
_DROP = ("DROP TABLE IF EXISTS core_search_fts", "DROP TABLE IF EXISTS core_search")


def create_search(connection: sa.Connection) -> None:
    """Make the tables of the search index where they are missing; used by the migration and by tests."""
    for statement in _CREATE[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def drop_search(connection: sa.Connection) -> None:
    """Take the search index out of the database."""
    for statement in _DROP if connection.dialect.name == "sqlite" else _DROP[1:]:
        connection.exec_driver_sql(statement)


@sa.event.listens_for(FabModel.metadata, "after_create")
def _with_all_tables(_target: Any, connection: sa.Connection, **_more: Any) -> None:
    create_search(connection)


_bases: dict[int, str] = {}


def _base(model: Any) -> int:
    """The number before all rows of one model: a row's id is this plus the record's id."""
    name = model.__tablename__
    base = (zlib.crc32(name.encode()) & 0x7FFFFFFF) << 32
    if _bases.setdefault(base, name) != name:
        raise Misbuilt(f"The tables {name} and {_bases[base]} have the same number in the search index; rename one of the models.")
    return base


def search_fields(model: Any) -> dict[str, Field]:
    """The fields whose values the search box finds: those marked ``search``, and the title. Sleeping addons' fields included."""
    whole = model.half_of if is_half(model) else model
    known = {**whole.__fields__, **fields_of(whole)}
    return {
        name: one for name, one in known.items()
        if (one.search or name == whole.title_field) and one.kind.name in KINDS_SEARCHED and not one.sensitive
    }  # fmt: skip


# -- writing ----------------------------------------------------------------------------------------------------------


def index_records(session: Any, model: Any, records: Sequence[Any], deleted: bool = False) -> None:
    """Bring the index up to date for some records of one model; called once a flush. Never commits."""
    if not records:
        return
    if deleted:
        _forget(session, model, [one.id for one in records])
        return
    fields = search_fields(model)
    if fields:
        _write(session, model, {one.id: [(each.get(one), each.kind.name) for each in fields.values()] for one in records})


def _write(session: Any, model: Any, values: dict[int, list[tuple[Any, str]]]) -> None:
    rows = []
    for record_id, pairs in values.items():
        rows.append((record_id, words_of(pairs)))
    base = _base(model)
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # The model is a token too, so that a small model never reads through the hits of a big one.
        mark = f" m{model.__tablename__}"
        connection.execute(_PG_WRITE, {"base": base, "ids": [one[0] for one in rows], "texts": [(one[1] + mark).strip() for one in rows]})
        return
    packed = json.dumps(rows, ensure_ascii=False)
    for statement in _SQLITE_WRITE:
        connection.exec_driver_sql(statement, (base, packed))


_PG_WRITE = text(
    "INSERT INTO core_search (id, record_id, tokens)"
    " SELECT CAST(:base AS bigint) + given.id, given.id, array_to_tsvector(string_to_array(given.words, ' '))"
    " FROM unnest(:ids, :texts) AS given(id, words)"
    " ON CONFLICT (id) DO UPDATE SET tokens = excluded.tokens WHERE core_search.tokens <> excluded.tokens"
).bindparams(sa.bindparam("ids", type_=sa.ARRAY(Integer)), sa.bindparam("texts", type_=sa.ARRAY(Text))).execution_options(**PREPARED)
_IDS = "SELECT ? + json_extract(value, '$[0]') FROM json_each(?)"
_SQLITE_FORGET = "INSERT INTO core_search_fts (core_search_fts, rowid, tokens) SELECT 'delete', id, tokens FROM core_search WHERE id IN"
# Straight to the driver: on their way through SQLAlchemy three statements for each saved record take longer than to run.
_SQLITE_WRITE = (
    f"{_SQLITE_FORGET} ({_IDS})",
    "INSERT INTO core_search (id, record_id, tokens)"
    " SELECT ? + json_extract(value, '$[0]'), json_extract(value, '$[0]'), json_extract(value, '$[1]')"
    " FROM json_each(?) WHERE true"
    " ON CONFLICT (id) DO UPDATE SET tokens = excluded.tokens",
    f"INSERT INTO core_search_fts (rowid, tokens) SELECT id, tokens FROM core_search WHERE id IN ({_IDS})",  # noqa: S608
)
_SQLITE_DELETE = (f"{_SQLITE_FORGET} ({_IDS})", f"DELETE FROM core_search WHERE id IN ({_IDS})")  # noqa: S608
_PG_DELETE = text("DELETE FROM core_search WHERE id = ANY(:ids)").bindparams(sa.bindparam("ids", type_=sa.ARRAY(BigInteger)))


def _forget(session: Any, model: Any, ids: Iterable[int]) -> None:
    base, connection = _base(model), session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(_PG_DELETE, {"ids": [base + one for one in ids]})
        return
    packed = json.dumps([[one] for one in ids])
    for statement in _SQLITE_DELETE:
        connection.exec_driver_sql(statement, (base, packed))


def rebuild(session: Any, model: Any, after: int = 0) -> int | None:
    """Index the next 500 records after an id anew, and return the last one's id; None when there are no more.

    For a job that commits between the steps: after a restore, a new searchable field, or text normalised otherwise.
    """
    fields = search_fields(model)
    query = select(model.id, *(one.column(model) for one in fields.values())).where(model.id > after).order_by(model.id).limit(CHUNK)
    found = session.execute(query, execution_options={"mortise_rules": False}).all()
    if not found:
        return None
    kinds = [one.kind.name for one in fields.values()]
    _forget(session, model, [row[0] for row in found])
    if fields:
        _write(session, model, {row[0]: list(zip(row[1:], kinds, strict=True)) for row in found})
    return found[-1][0]


def words_of(pairs: Iterable[tuple[Any, str]]) -> str:
    """The tokens of one record's (value, kind of field), as the index stores them."""
    return " ".join(sorted(set().union(*(tokens(value, kind) for value, kind in pairs if isinstance(value, str) and value))))


def add(session: Any, model: Any, ids: Sequence[int], texts: Sequence[str]) -> None:
    """Index new records, whose tokens (`words_of`) are known already; none may be in it yet."""
    base, connection = _base(model), session.connection()
    if connection.dialect.name == "postgresql":
        mark = f" m{model.__tablename__}"
        texts = [words + mark for words in texts]
    put_rows(
        connection, core_search, ("id", "record_id", "tokens"), [(base + one, one, words) for one, words in zip(ids, texts, strict=True)]
    )
    if connection.dialect.name == "sqlite":
        put_rows(connection, _fts, ("rowid", "tokens"), [(base + one, words) for one, words in zip(ids, texts, strict=True)])


def settle(connection: Any) -> None:
    """Put what an import has left in the index's waiting list in its place (PostgreSQL; searches were 8 times slower before)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT gin_clean_pending_list('ix_core_search_tokens')"))


# -- asking -----------------------------------------------------------------------------------------------------------


def matches(model: Any, words: str) -> ColumnElement[bool]:
    """The SQL condition “this record is found by these words”; blank words find every record.

    All words must be found in the record. What lies only in a field that the person may not see is not found.
    """
    if not words.strip():
        return sa.true()
    hits = look_up(model, words)
    return sa.false() if hits is None else sa.and_(hits.among(), *hits.visible)


def matches_told(model: Any, entity: Any, tokens: Any, words: str) -> ColumnElement[bool]:
    """`matches` for rows that are not in the index: ``entity`` has their columns, ``tokens`` is what `words_of` says of them."""
    if not words.strip():
        return sa.true()
    hits = look_up(model, words, entity)
    return sa.false() if hits is None else sa.and_(_held(hits.wanted, tokens), *hits.visible)


def look_up(model: Any, words: str, entity: Any = None) -> Hits | None:
    """What the index is asked for these words; None when there is nothing in them to look for."""
    if len(words) > LONGEST_QUESTION:
        raise Broken(_("Please search for at most %(count)s characters.", count=LONGEST_QUESTION))
    asked = question(words)
    if asked.wanted is None:
        return None
    seen = _seen(model)
    visible = [] if seen is None else [_visibly(model, seen, piece, model if entity is None else entity) for piece in asked.pieces]
    return Hits(model, _base(model), asked.wanted, visible)


def anywhere(words: str, models: Iterable[Any], most: int, without: Iterable[Any] = ()) -> dict[Any, list[int]]:
    """{model: ids} of up to ``most`` records of any of the ``models`` that the index holds for these words; no right is asked yet.

    One look-up for all models. ``without`` leaves models out that have been answered already.
    """
    asked = question(words[:LONGEST_QUESTION])
    if asked.wanted is None:
        return {}
    known = {_base(one): one for one in models}
    left_out = [_base(one) for one in without]
    if db.is_sqlite:
        found = sa.column("core_search_fts", is_literal=True).op("MATCH")(_fts_words(asked.wanted))
        elsewhere = [~_fts.c.rowid.between(one, one + 0xFFFFFFFF) for one in left_out]
        query = select(_fts.c.rowid).where(found, *elsewhere)
    else:
        marks = "".join(f" & !'m{one.__tablename__}'" for one in without)
        held = core_search.c.tokens.op("@@")(sa.cast(sa.literal(_ts_words(asked.wanted) + marks, Text), TSQUERY))
        query = select(core_search.c.id).where(held)
    hits: dict[Any, list[int]] = {}
    for number in db.session.execute(query.limit(most)).scalars():
        if (model := known.get(number >> 32 << 32)) is not None:
            hits.setdefault(model, []).append(number & 0xFFFFFFFF)
    return hits


@dataclass(slots=True)
class Hits:
    """The records that the index holds for a question, in the three ways a statement can use them."""

    model: Any
    base: int
    wanted: Any
    visible: list[ColumnElement[bool]]
    """Conditions beside the index: that a field which the person sees explains the hit."""

    def among(self) -> ColumnElement[bool]:
        """The record is one of all hits: right when these are few, or when nothing else limits the rows."""
        return self.model.id.in_(select(self._record_id()).where(*self._found()).correlate(None))

    def join(self, query: Any, narrow: bool = False) -> Any:
        """``query`` over the model, led by the hits as they come from the index: it can stop early.

        When the query is ``narrow``, few rows beside many hits, its rows are looked up one by one instead.
        """
        if narrow and not db.is_sqlite:
            # The planner knows how common the words are, and may begin at either end: from here by the index of the one column,
            # from there by that of the record.
            row = core_search.c.id == self.model.id + sa.literal(self.base, BigInteger)
            return query.join(core_search, sa.and_(row, self.model.id == self._record_id())).where(*self._found(), *self.visible)
        if narrow and self._many():
            return query.where(self.each(self.model.id), *self.visible)
        if db.is_sqlite:
            return query.join(_fts, self.model.id == self._record_id()).where(*self._found(), *self.visible)
        # In the order of the key: for common words PostgreSQL then walks the model's own part of the index until it has enough,
        # where it would read the table from its beginning, which is another model's.
        mine = core_search.c.id.between(sa.literal(self.base, BigInteger), sa.literal(self.base + 0xFFFFFFFF, BigInteger))
        found = query.join(core_search, self.model.id == self._record_id()).where(mine, *self._found(), *self.visible)
        return found.order_by(core_search.c.id)

    def _many(self) -> bool:
        """Has the index more than a thousand hits? (SQLite, whose planner cannot know.)"""
        some = select(_fts.c.rowid).where(*self._found()).limit(1001)
        return db.session.execute(select(func.count()).select_from(some.subquery())).scalar_one() > 1000

    def each(self, record_id: Any) -> ColumnElement[bool]:
        """One record at a time is looked up: right for a few hundred rows, when many of them are hits."""
        held = _held(self.wanted, core_search.c.tokens) if db.is_sqlite else self._matching(_ts_words(self.wanted))
        row = core_search.c.id == record_id + sa.literal(self.base, BigInteger)
        # With an OFFSET PostgreSQL does look up one at a time. Of the beginnings of numbers it expects a tenth of what there are, and
        # would collect all of them first.
        return select(1).select_from(core_search).where(row, held).offset(0).exists()

    def _record_id(self) -> Any:
        return _fts.c.rowid - sa.literal(self.base, BigInteger) if db.is_sqlite else core_search.c.record_id

    def _found(self) -> list[ColumnElement[bool]]:
        if db.is_sqlite:
            found = sa.column("core_search_fts", is_literal=True).op("MATCH")(_fts_words(self.wanted))
            return [found, _fts.c.rowid.between(self.base, self.base + 0xFFFFFFFF)]
        return [self._matching(f"'m{self.model.__tablename__}' & {_ts_words(self.wanted)}")]

    def _matching(self, words: str) -> ColumnElement[bool]:
        return core_search.c.tokens.op("@@")(sa.cast(sa.literal(words, Text), TSQUERY))


def _held(wanted: Any, tokens: Any) -> ColumnElement[bool]:
    """The question asked of one row's tokens, a text (on SQLite also of the index, where asking FTS5 row by row begins anew each time)."""
    if isinstance(wanted, Token):
        place = func.instr if db.is_sqlite else func.strpos
        return place(sa.literal(" ", Text).concat(tokens).concat(" "), f" {wanted.text}" + ("" if wanted.prefix else " ")) > 0
    return (sa.and_ if isinstance(wanted, All) else sa.or_)(*(_held(one, tokens) for one in wanted.parts))


def _ts_words(wanted: Any) -> str:
    if isinstance(wanted, Token):
        return f"'{wanted.text}'" + (":*" if wanted.prefix else "")
    return "(" + (" & " if isinstance(wanted, All) else " | ").join(map(_ts_words, wanted.parts)) + ")"


def _fts_words(wanted: Any) -> str:
    if isinstance(wanted, Token):
        return f'"{wanted.text}"' + (" *" if wanted.prefix else "")
    return "(" + (" AND " if isinstance(wanted, All) else " OR ").join(map(_fts_words, wanted.parts)) + ")"


def _seen(model: Any) -> dict[str, Field] | None:
    """The searched fields that the person sees; None when that is all of them."""
    from core.filters import filter_fields

    if actor().system and not is_half(model):
        return None
    every, mine = search_fields(model), filter_fields(model)
    seen = {name: one for name, one in every.items() if name in mine}
    return None if len(seen) == len(every) else seen


def _visibly(model: Any, seen: dict[str, Field], piece: str, entity: Any) -> ColumnElement[bool]:
    """True when a field the person sees explains the hit; the index alone does not say which field it was."""
    ways: list[ColumnElement[bool]] = []
    for one in seen.values():
        column = func.lower(one.column(entity))
        if piece.isdigit() and one.kind.name in ("phone", "code"):
            for between in " -().+":
                column = func.replace(column, between, "")
        ways.append(column.contains(piece, autoescape=True))
    key = getattr(entity, "title_key", None)
    if key is not None and not is_half(model) and model.title_field in seen and piece.isascii() and piece.isalnum():
        ways.append(func.replace(func.replace(key, "~", ""), " ", "").contains(piece))
        ways.append(key.like("%" + "%".join(f"~{letter}" for letter in piece[:20]) + "%"))
    return sa.case((sa.or_(sa.false(), *ways), sa.true()), else_=sa.false())
