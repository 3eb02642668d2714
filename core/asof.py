"""Records of one model as they were at a moment: what has changed since is read backwards, all else is what the table holds.

Both are asked by the same SQL: the records of then go to the database as rows, so that a filter, a search and an order mean one thing.
Rights are those of today: a record that is there is told to whoever may read it now, one that is gone to whoever sees it in the trash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Integer, Text, func, inspect, literal, select, true, union_all
from sqlalchemy.dialects.postgresql import JSONB

from core.context import actor
from core.db import db
from core.errors import Broken
from core.fields import Field
from core.filters import Compiler
from core.i18n import gettext as _
from core.journal import journal
from core.journal_keep import REMOVED
from core.listing import id_among
from core.model import SYSTEM_FIELDS, model_label
from core.past import QUIET, WRITES, Values, before
from core.reach import reach_of
from core.rules import rights, visible_ids
from core.search import matches, matches_told, search_fields, title_key, words_of
from core.trash import oldest, sees_all
from core.undo import stored

MADE = ("created_at", "created_by_id")
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""The character that PostgreSQL has no place for, as JSON writes it; after an odd backslash more it is six letters that somebody typed."""
MOST_CHANGES = 10_000
"""So many changes of one kind of record are read backwards for one page; it takes about a second."""


class Then:
    """The records of one model at a moment, as far as they were others than those of today.

    Raises `Broken` with a sentence when too much has changed since, or the journal does not reach back so far.
    """

    def __init__(self, model: Any, moment: datetime, searched: bool = False) -> None:
        self.model, self.moment, self.searched = model, moment, searched
        self.reach, self.visible = self._reach()
        self.where = self._where()
        rows = self._rows()
        self.number_of_changes = len(rows)
        self.changed = {row.record_id for row in rows}
        """Ids whose rows in the table are not what they were."""
        self.gone: set[int] = set()
        """Ids of records of then that are not there any more."""
        self.unknown = 0
        """How many are left out, since what they were has been erased."""
        self.links: dict[str, dict[int, list[int]]] = {}
        """{field of several links: {id: ids of then}}."""
        self._told = self._rewound(rows)
        self._tables: dict[str, Any] = {}

    # -- what has changed ---------------------------------------------------------------------------------------------

    def _reach(self) -> tuple[Any, list[int] | None]:
        """(condition on the table for what the person may read, ids of that if they are few)."""
        if actor().system:
            return None, None
        branches = rights().branches(self.model, "read")
        _within, visible = reach_of(self.model, branches, fresh=True)
        return rights().row_filter(self.model, "read", each=visible is None), visible

    def _where(self) -> list[Any]:
        where = [journal.c.model == self.model.__tablename__, journal.c.at >= self.moment, journal.c.verb.in_(WRITES)]
        if self.visible is None or sees_all(self.model):
            return where
        gone = select(journal.c.record_id).where(*where, journal.c.verb == "delete", journal.c.user_id == actor().user_id).distinct()
        his = list(db.session.execute(gone.limit(MOST_CHANGES)).scalars())
        return [*where, id_among(journal.c.record_id, sorted({*self.visible, *his}))]

    def _rows(self) -> list[Any]:
        removed = select(journal.c.changes).where(journal.c.model == journal.name, journal.c.record_id == 0, journal.c.verb == REMOVED)
        for text in db.session.execute(removed.order_by(journal.c.id.desc()).limit(1)).scalars():
            if _cleared_to(text) >= self.moment:
                raise Broken(_("The journal was cleared since, so what lists were on that day cannot be told. Please choose a later day."))
        columns = [journal.c[name] for name in ("id", "at", "user_id", "record_id", "verb", "changes", "digest")]
        rows = db.session.execute(select(*columns).where(*self.where).order_by(journal.c.id.desc()).limit(MOST_CHANGES + 1)).all()
        if len(rows) > MOST_CHANGES:
            raise Broken(
                _("%(many)s have changed more than %(count)s times since that day, which is too much to be read back. Choose a later day.",
                  many=model_label(self.model, many=True), count=f"{MOST_CHANGES:,}")
            )  # fmt: skip
        return list(rows)

    def overtaken(self) -> bool:
        """Has something changed while the answer was put together? Then its parts do not belong together."""
        return not db.is_sqlite and self.stale()

    def stale(self) -> bool:
        """Has something changed since this was read?"""
        some = select(literal(1)).where(*self.where).limit(MOST_CHANGES + 1).subquery()
        return bool(db.session.execute(select(func.count()).select_from(some)).scalar_one() != self.number_of_changes)

    # -- what was -----------------------------------------------------------------------------------------------------

    def _rewound(self, rows: list[Any]) -> list[dict[str, Any]]:
        """The records of then that the person may know of, as the columns of the table hold them."""
        if not rows:
            return []
        present = present_of(self.model, self.changed)
        by_record: dict[int, list[Any]] = {}
        for row in rows:
            by_record.setdefault(row.record_id, []).append(row)
        seen, every, since = visible_ids(self.model, present), sees_all(self.model), oldest()
        stamps = self._stamps()
        found = []
        for number, changes in by_record.items():
            newest = changes[0]
            if number in present:
                if number not in seen:
                    continue
                values, kept = present[number]
            else:
                deletion = next((row for row in changes if row.verb == "delete"), newest)
                if not (every or deletion.user_id == actor().user_id) or deletion.at < since:
                    continue
                values, kept = None, json.loads(deletion.changes)
                kept = {name: pair[0] for name, pair in kept.items() if isinstance(pair, list)}
            state: Values | None = values
            erased = False
            for row in changes:
                # What came before an erased deletion tells of single fields only; an older deletion has kept them all.
                erased = row.verb != "create" and (row.digest is not None if row.verb == "delete" else erased)
                state = None if erased else before(self.model, state, row)
            self.unknown += erased
            if state is None:
                continue
            if number not in present:
                self.gone.add(number)
            found.append(self._columns(number, state, kept, stamps.get(number)))
        return found

    def _stamps(self) -> dict[int, Any]:
        """{id: the newest change before the moment}: when and by whom each was changed last then."""
        newest = select(func.max(journal.c.id).label("id")).where(
            journal.c.model == self.model.__tablename__, id_among(journal.c.record_id, sorted(self.changed)),
            journal.c.at < self.moment, journal.c.verb.in_(WRITES),
        ).group_by(journal.c.record_id).subquery()  # fmt: skip
        query = select(journal.c.record_id, journal.c.at, journal.c.user_id).join(newest, journal.c.id == newest.c.id)
        return {row.record_id: row for row in db.session.execute(query)}

    def _columns(self, number: int, values: Values, kept: dict[str, Any], stamp: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"id": number, "created_at": stored(sa.column("x", sa.DateTime), kept.get("created_at"))}
        found["created_by_id"] = kept.get("created_by_id")
        found |= {"changed_at": stamp.at if stamp else None, "changed_by_id": stamp.user_id if stamp else None}
        rest = dict(values)
        for one in self.model.__fields__.values():
            value = rest.pop(one.name, None)
            if one.kind.name == "links":
                self.links.setdefault(one.name, {})[number] = value or []
            elif not one.sensitive:
                found[one.key] = _read(self.model, one, value)
        found["custom"] = rest or None
        found["title_key"] = title_key(str(values.get(self.model.title_field) or ""))
        if self.searched:
            # Taking names apart takes longer than all else.
            found["tokens"] = words_of([(values.get(name), one.kind.name) for name, one in search_fields(self.model).items()])
        return found

    # -- for statements -----------------------------------------------------------------------------------------------

    @property
    def unchanged(self) -> list[Any]:
        """Conditions on the table: what is as it was, and within the person's reach."""
        where = [_not_among(self.model.id, sorted(self.changed))] if self.changed else []
        if self.visible is not None:
            return [*where, id_among(self.model.id, self.visible)]
        return where if self.reach is None else [*where, self.reach]

    @property
    def table(self) -> Any:
        """The records that were others then, as something to select from, with the columns of the model by their names."""
        if "" not in self._tables:
            self._tables[""] = _as_table(self._types(), self._told, f"then_{self.model.__tablename__}")
        return self._tables[""]

    @property
    def entity(self) -> Any:
        """The columns of `table` as attributes, as a field looks for them."""
        return SimpleNamespace(**dict(self.table.c.items()))

    def pairs(self, name: str) -> Any:
        """The ties of a field of several links then, with the columns ``near`` and ``far``."""
        if name not in self._tables:
            rows = [{"near": near, "far": far} for near, ids in self.links.get(name, {}).items() for far in ids]
            self._tables[name] = _as_table({"near": Integer(), "far": Integer()}, rows, f"ties_{self.model.__tablename__}_{name}")
        return self._tables[name]

    @property
    def any(self) -> bool:
        """Is there a record that was another then?"""
        return bool(self._told)

    def _types(self) -> dict[str, Any]:
        columns = {attribute.key: attribute.columns[0].type for attribute in inspect(self.model).column_attrs}
        names = ["id", *(one.key for one in SYSTEM_FIELDS.values()), "custom", "title_key"]
        names += [one.key for one in self.model.__fields__.values() if one.kind.name != "links" and not one.sensitive]
        return {name: columns[name] for name in dict.fromkeys(names) if name in columns and name != "version"} | {"tokens": Text()}


def _cleared_to(text: str) -> datetime:
    """Up to when (UTC) rows were taken out, as an entry says; one that makes no sense, since it was altered, means to the end."""
    try:
        ends = [datetime.fromisoformat(str(one["last"]).removesuffix("Z")) for one in json.loads(text)["segments"]]
        return max(ends, default=datetime.min)
    except (KeyError, TypeError, ValueError):
        return datetime.max


def present_of(model: Any, ids: Iterable[int]) -> dict[int, tuple[Values, dict[str, Any]]]:
    """{id: (values, when and by whom it was made)} of those of these records that are there, whoever may read them."""
    wanted = sorted(ids)
    fields = [one for one in model.__fields__.values() if not one.sensitive]
    plain = [one for one in fields if one.kind.name != "links"]
    made = [getattr(model, name).label(f"_{name}") for name in MADE if hasattr(model, name)]
    custom = [model.custom.label("custom")] if hasattr(model, "custom") else []
    query = select(model.id, *(getattr(model, one.key).label(one.key) for one in plain), *made, *custom)
    rows = db.session.execute(query.where(id_among(model.id, wanted)), execution_options=QUIET).all()
    linked = {one.name: ties_of(model, one, wanted) for one in fields if one.kind.name == "links"}
    found = {}
    for row in rows:
        values = {one.name: one.kind.json(value) for one in plain if (value := getattr(row, one.key)) not in (None, [])}
        values |= {name: few for name, links in linked.items() if (few := links.get(row.id))}
        values |= {name: value for name, value in ((row.custom if custom else None) or {}).items() if value is not None}
        found[row.id] = values, {name: getattr(row, f"_{name}", None) for name in MADE}
    return found


def ties_of(model: Any, one: Field, ids: list[int]) -> dict[int, list[int]]:
    """{id: ids it is tied to} of a field of several links today, whoever may read them."""
    _own, near, far = Compiler().ends(one, model)
    found: dict[int, list[int]] = {}
    query = select(near, far).where(id_among(near, ids)).order_by(far)
    for left, right in db.session.execute(query, execution_options=QUIET):
        found.setdefault(left, []).append(right)
    return found


def _read(model: Any, one: Field, value: Any) -> Any:
    """A value of the journal as its column holds it; what does not fit any more is nothing."""
    column = inspect(model).column_attrs[one.key].columns[0]
    try:
        value = stored(column, value)
    except (ValueError, ArithmeticError):
        return None
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _not_among(column: Any, ids: list[int]) -> Any:
    """``column NOT IN ids`` as one bound value; PostgreSQL hashes a sub-query, and older ones walk an array anew for each row."""
    if db.is_sqlite:
        return ~id_among(column, ids)
    return column.not_in(select(func.unnest(sa.cast(ids, sa.ARRAY(Integer)))))


def _as_table(types: dict[str, Any], rows: list[dict[str, Any]], name: str) -> Any:
    """Rows that are sent along, as one bound text, so that the statement stays the same for any number of them."""
    if not db.is_sqlite:
        sent = json.dumps([{key: _as_json(value) for key, value in row.items() if key in types} for row in rows], ensure_ascii=False)
        columns = [sa.column(key, type_) for key, type_ in types.items()]
        made = func.jsonb_to_recordset(sa.cast(literal(NUL.sub(r"\1", sent), Text), JSONB))
        return select(made.table_valued(*columns).render_derived(with_types=True)).cte(name)
    dialect = db.engine.dialect  # type: ignore[union-attr]
    processors = [(key, type_.dialect_impl(dialect).bind_processor(dialect)) for key, type_ in types.items()]
    sent = json.dumps([[put(row.get(key)) if put else row.get(key) for key, put in processors] for row in rows], ensure_ascii=False)
    each = func.json_each(literal(sent, Text)).table_valued("value")
    columns = [
        sa.type_coerce(func.json_extract(each.c.value, sa.literal_column(f"'$[{place}]'")), type_).label(key)
        for place, (key, type_) in enumerate(types.items())
    ]
    return select(*columns).select_from(each).cte(name)


def _as_json(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value


class AsOf(Compiler):
    """Compiles a filter for a moment: of one model, either for what is as it was, or for the rows of then."""

    def __init__(self, moment: datetime, day: date, told: bool, thens: dict[type, Then]) -> None:
        super().__init__()
        self.moment, self.day_then, self.told, self.thens = moment, day, told, thens

    def then(self, model: type) -> Then:
        """What was of a model; read once a page."""
        if model not in self.thens:
            self.thens[model] = Then(model, self.moment)
        return self.thens[model]

    def today(self) -> date:
        """The chosen day: a filter for “due today” asks what was due then."""
        return self.day_then

    def entity(self, model: type) -> Any:
        """The table, or the rows of then."""
        return self.then(model).entity if self.told else model

    def search(self, text: Any, model: type, negated: bool) -> Any:
        """Found by these words then."""
        if not isinstance(text, str):
            raise Broken(_("“search” in a filter needs a text."))
        found = matches_told(model, self.entity(model), self.entity(model).tokens, text) if self.told else matches(model, text)
        return sa.not_(found) if negated else found

    def inside(self, inner: Field, target: Any, op: str, value: Any) -> Any:
        """The ids of those records of a link's target that met a condition then."""
        then, outer, counted = self.then(target), self.told, self.values
        parts = []
        for told in (False, True):
            self.told, self.values = told, counted
            met = self.compare(inner, target, op, value, False, checked=True)
            if told:
                parts.append(select(then.table.c.id).where(met).correlate(None))
            else:
                parts.append(select(target.__table__.c.id).where(met, *then.unchanged).correlate(None))
        self.told = outer
        return union_all(*parts) if then.changed else parts[0]

    def ends(self, field: Field, model: Any) -> tuple[Any, Any, Any]:
        """The ties of then, for the rows of then."""
        if not self.told:
            return super().ends(field, model)
        ties = self.then(model).pairs(field.name)
        return self.entity(model).id, ties.c.near, ties.c.far


def condition(tree: Any, words: str | None, model: type, moment: datetime, day: date, told: bool, thens: dict[type, Then]) -> Any:
    """The SQL condition of a filter and a search then."""
    compiler = AsOf(moment, day, told, thens)
    made = [true()] if tree in (None, {}) else [compiler.node(tree, model, 1, False)]
    if words and words.strip():
        made.append(compiler.search(words, model, False))
    return sa.and_(true(), *made)


