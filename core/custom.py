"""Fields made by administrators: rows that become real fields of a model by the next request."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Index, String, Table, event, func, inspect, select
from sqlalchemy.orm import Mapped, Session

from core.context import actor
from core.custom_sql import NAME, SHAPES, UNINDEXABLE, custom_column, index_sql
from core.db import MortiseSession, db
from core.errors import Invalid, Wrong
from core.fields import KINDS, LARGEST_INTEGER, Field, field
from core.formula import check_formula, evaluate, names_in, parse
from core.i18n import gettext as _
from core.model import SYSTEM_FIELDS, Model, model_label, models
from core.options import Dictionary, bad_titles, dictionary_exists, free_name, name_options, slug
from core.sketch import model_behind
from core.state import cached_by_generation, steers

__all__ = ["CustomField", "FieldSetting", "compute_formulas", "custom_column", "fields_now", "index_sql", "stored_value"]

CUSTOM_KINDS = (
    "text", "long", "integer", "decimal", "money", "date", "datetime", "yesno", "choice", "choices", "link", "file", "formula",
    "phone", "email",
)  # fmt: skip
NUMBERS = ("integer", "decimal", "money")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,29})(\.[0-9]{1,30})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z")
FIXED = ("model", "name", "kind", "choices", "target")

name_options("core_custom_field.kind", {
    "long": "Long text", "integer": "Whole number", "decimal": "Decimal number", "datetime": "Date and time", "yesno": "Yes or no",
    "choices": "Several choices", "link": "Link to a record", "email": "E-mail",
})  # fmt: skip


@steers
class CustomField(Model):
    """A field that an administrator added to a model.

    Its values live in the records' column ``custom``.
    """

    title_field = "title"
    model: Mapped[str] = field(max_length=80, index=True, help="Table of the model, like crm_client")
    name: Mapped[str | None] = field(readonly=True, max_length=60, help="Stable; made from the label")
    title: Mapped[str] = field(label="Label", search=True, max_length=120)
    titles: Mapped[dict | None] = field(kind="json", label="Labels by language")
    kind: Mapped[str] = field(choices=CUSTOM_KINDS, help="Never changes")
    required: Mapped[bool] = field(default=False)
    help: Mapped[str | None] = field(label="Help text", max_length=500)
    choices: Mapped[str | None] = field(label="Dictionary", max_length=120, help="Empty: the field gets a dictionary of its own")
    target: Mapped[str | None] = field(label="Links to", max_length=80)
    formula: Mapped[str | None] = field(max_length=500, help="Numbers of the same record, + - * / ( ), round, min, max")
    indexed: Mapped[bool] = field(default=False, help="Quick to filter and sort by, also in large lists")
    index_ready: Mapped[bool] = field(default=False, readonly=True, hidden=True)
    search: Mapped[bool] = field(default=False, label="In search")
    position: Mapped[int | None] = field()
    hidden: Mapped[bool] = field(default=False)
    __table_args__ = (Index("uq_core_custom_field", "model", "name", unique=True),)


@steers
class FieldSetting(Model):
    """What an administrator changed about a field that comes from code: its label, help, place, and whether it shows or is required."""

    title_field = "field_name"
    model: Mapped[str] = field(max_length=80, index=True)
    field_name: Mapped[str] = field(max_length=80, label="Field")
    title: Mapped[str | None] = field(label="Label", max_length=120)
    titles: Mapped[dict | None] = field(kind="json", label="Labels by language")
    hidden: Mapped[bool] = field(default=False)
    position: Mapped[int | None] = field()
    required: Mapped[bool] = field(default=False)
    help: Mapped[str | None] = field(label="Help text", max_length=500)
    __table_args__ = (Index("uq_core_field_setting", "model", "field_name", unique=True),)


spent_names = Table(
    "core_spent_name",
    Model.metadata,
    Column("model", String(80), primary_key=True),
    Column("name", String(60), primary_key=True),
    Column("kind", String(20), nullable=False),
    info={"addon": "core"},
)
"""Every name a custom field ever had: values of deleted fields sleep in the records, so no other field may get their name."""


# -- the fields of now ------------------------------------------------------------------------------------------------


@cached_by_generation
def _definitions() -> dict[str, list[Any]]:
    table = CustomField.__table__
    found: dict[str, list[Any]] = {}
    statement = select(table).order_by(func.coalesce(table.c.position, 1_000_000), table.c.id)
    for row in db.session.execute(statement, execution_options={"mortise_rules": False}):
        found.setdefault(row.model, []).append(row)
    return found


@cached_by_generation
def _settings() -> dict[tuple[str, str], Any]:
    statement = select(FieldSetting.__table__)
    return {(row.model, row.field_name): row for row in db.session.execute(statement, execution_options={"mortise_rules": False})}


def fields_now(model: type) -> dict[str, Field]:
    """All fields of ``model``: from code, of extensions whose addon is on, made by administrators; labels in the person's language."""
    return _fields(model, actor().language)


@cached_by_generation
def _fields(model: Any, language: str) -> dict[str, Field]:
    table = model.__tablename__
    placed: list[tuple[int, Field]] = []
    for place, one in enumerate(model.__fields__.values(), 1):
        if one.addon != model.addon and not _awake(one.addon):
            continue
        changed = _settings().get((table, one.name))
        placed.append(_apply(one, changed, language, place * 10))
    for place, row in enumerate(_definitions().get(table, []), len(model.__fields__) + 1):
        made = field_of(row, model, language)
        if made is not None:
            placed.append((place * 10 if row.position is None else row.position, made))
    placed.sort(key=lambda pair: pair[0])
    found = {one.name: one for _place, one in placed}
    for one in SYSTEM_FIELDS.values():
        found[one.name] = _apply(one, _settings().get((table, one.name)), language, 0)[1]
    return found


def _apply(one: Field, changed: Any, language: str, place: int) -> tuple[int, Field]:
    if changed is None:
        return place, one
    label = (changed.titles or {}).get(language) or changed.title or one.label
    hidden, required = one.hidden or bool(changed.hidden), one.required or bool(changed.required)
    made = replace(one, label=label, help=changed.help or one.help, hidden=hidden, required=required)
    return place if changed.position is None else changed.position, made


def field_of(row: Any, model: Any, language: str = "en") -> Field | None:
    """The field that a row of core_custom_field describes; None while what it links to is asleep or gone."""
    if row.kind not in KINDS or (row.kind == "link" and (row.target not in models() or not _awake(models()[row.target].addon))):
        return None
    return Field(
        row.name, KINDS[row.kind], (row.titles or {}).get(language) or row.title, row.help or "", required=bool(row.required),
        choices=row.choices, target_table=row.target, search=bool(row.search), long=row.kind == "long", hidden=bool(row.hidden),
        indexed=bool(row.indexed and row.index_ready), readonly=row.kind == "formula", custom=True, addon=model.addon, formula=row.formula,
    )  # fmt: skip


def _awake(addon: str) -> bool:
    if addon == "core":
        return True
    from core.addons import enabled

    return enabled(addon)


# -- values -----------------------------------------------------------------------------------------------------------


def stored_value(record: Any, field: Field) -> Any:
    """The Python value of a custom field in a record; None when nothing, or nothing that fits the kind, is stored."""
    return read_stored(field.kind.name, (record.custom or {}).get(field.name))


def read_stored(kind: str, value: Any) -> Any:
    """The Python value of what the JSON column holds for a kind of field."""
    fits = {
        "integer": type(value) is int and abs(value) <= LARGEST_INTEGER,
        "number": type(value) in (int, float) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None),
        "date": isinstance(value, str) and _DAY.fullmatch(value) is not None,
        "moment": isinstance(value, str) and _MOMENT.fullmatch(value) is not None,
        "yesno": isinstance(value, bool),
        "list": isinstance(value, list),
        "text": isinstance(value, str),
    }
    shape = SHAPES[kind]
    if not fits[shape]:
        return None
    try:
        if shape == "number":
            number = Decimal(str(value))
            return number if number.is_finite() else None
        if shape == "date":
            return date.fromisoformat(value)
        return datetime.fromisoformat(value.removesuffix("Z")) if shape == "moment" else value
    except ValueError:
        return None


@cached_by_generation
def _formulas(model: Any) -> list[Field]:
    rows = [row for row in _definitions().get(model.__tablename__, []) if row.kind == "formula" and row.formula]
    return [made for row in rows if (made := field_of(row, model)) is not None]


def compute_formulas(record: Any) -> None:
    """Bring a record's formula fields up to date with its numbers, before it is stored; what cannot be computed is empty."""
    wanted = _formulas(model_behind(record))
    if not wanted:
        return
    numbers = _numbers(model_behind(record))
    for one in wanted:
        value = evaluate(one.formula or "", lambda name: numbers[name].get(record) if name in numbers else None)
        if one.kind.json(value) != (record.custom or {}).get(one.name):
            one.set(record, value)


@cached_by_generation
def _numbers(model: Any) -> dict[str, Field]:
    """The number fields of a model by name, those of sleeping extensions too: off hides, it does not unbind."""
    found = {name: one for name, one in model.__fields__.items() if one.kind.name in NUMBERS}
    for row in _definitions().get(model.__tablename__, []):
        if row.kind in NUMBERS and (made := field_of(row, model)) is not None:
            found[row.name] = made
    return found


def number_fields(model: Any) -> dict[str, Field]:
    """The fields that a formula of ``model`` may use."""
    return _numbers(model)


# -- what administrators may do ---------------------------------------------------------------------------------------


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    mine = [one for one in (*session.new, *session.dirty, *session.deleted) if isinstance(one, (CustomField, FieldSetting))]
    for record in mine:
        if record in session.deleted:
            if isinstance(record, CustomField):
                _check_unused(record)
                _queue(record, wanted=False)
        elif isinstance(record, FieldSetting):
            _check_setting(record)
        elif record in session.new:
            _check_new(session, record)
        elif session.is_modified(record):
            _check_edit(record)


def _model(record: Any) -> Any:
    model = models().get(record.model or "")
    if model is None:
        raise Invalid({"model": _("There is no kind of record called “%(name)s”.", name=str(record.model)[:80])})
    return model


def _check_new(session: Session, record: CustomField) -> None:
    model = _model(record)
    for flag in ("required", "indexed", "search", "hidden"):
        setattr(record, flag, bool(getattr(record, flag)))
    record.index_ready = False
    if record.kind not in CUSTOM_KINDS:
        raise Invalid({"kind": _("Please choose a kind of field.")})
    _check_common(record)
    _name(session, record, model)
    if record.kind in ("choice", "choices"):
        _dictionary(session, record, model)
    else:
        record.choices = None
    if record.kind == "link":
        if record.target not in models():
            raise Invalid({"target": _("Please choose what this field links to.")})
    else:
        record.target = None
    _check_formula(record)
    if record.indexed:
        _queue(record, wanted=True)
    if record.formula:
        _queue_formula(record)


def _check_edit(record: CustomField) -> None:
    state = inspect(record)
    for name in FIXED:
        history = state.attrs[name].history
        if history.deleted and history.deleted[0] != getattr(record, name):
            raise Invalid({name: _("This never changes, because records have values of it. Make a new field instead, and hide this one.")})
    _check_common(record)
    _check_formula(record)
    if state.attrs["indexed"].history.has_changes():
        record.index_ready = False
        _queue(record, wanted=bool(record.indexed))
    if state.attrs["formula"].history.has_changes():
        _queue_formula(record)


def _check_common(record: CustomField) -> None:
    if not (record.title or "").strip():
        raise Invalid({"title": _("Please give a label.")})
    if bad := bad_titles(record.titles):
        raise Invalid({"titles": bad})
    if record.indexed and record.kind in UNINDEXABLE:
        raise Invalid({"indexed": _("A field of this kind cannot be indexed.")})


def _check_formula(record: CustomField) -> None:
    if record.kind != "formula":
        record.formula = None
        return
    record.required = False
    try:
        check_formula(record.formula or "", _numbers(_model(record)))
    except Wrong as wrong:
        raise Invalid({"formula": str(wrong)}) from None


def _name(session: Session, record: CustomField, model: Any) -> None:
    """Make the name, or accept the one that an undone deletion brings back: same kind, and not in use."""
    connection = session.connection()
    spent = dict(connection.execute(select(spent_names.c.name, spent_names.c.kind).where(spent_names.c.model == record.model)).all())
    used = {row.name for row in _definitions().get(record.model, [])} | set(model.__fields__) | set(SYSTEM_FIELDS)
    others = [one for one in session.new if isinstance(one, CustomField) and one is not record and one.model == record.model]
    used |= {one.name for one in others if one.name}
    if not record.name:
        record.name = free_name("x_" + (slug(record.title) or "field"), used | set(spent))
    elif not NAME.fullmatch(record.name):
        raise Invalid({"name": _("A name begins with x_ and has lower-case letters, digits and underscores.")})
    elif record.name in used or spent.get(record.name, record.kind) != record.kind:
        raise Invalid({"name": _("Another field has, or had, the name “%(name)s”; records may still keep its values.", name=record.name)})
    if record.name not in spent:
        connection.execute(spent_names.insert().values(model=record.model, name=record.name, kind=record.kind))


def _dictionary(session: Session, record: CustomField, model: Any) -> None:
    if record.choices:
        fresh = {one.key for one in session.new if isinstance(one, Dictionary)}
        if not dictionary_exists(record.choices) and record.choices not in fresh:
            raise Invalid({"choices": _("There is no dictionary called “%(name)s”.", name=record.choices[:80])})
        return
    record.choices = f"{record.model}.{record.name}"
    if not dictionary_exists(record.choices):
        session.add(Dictionary(key=record.choices, title=f"{model.label}: {record.title}"[:120], addon_name=model.addon, closed=False))


def _check_unused(record: CustomField) -> None:
    for row in _definitions().get(record.model, []):
        if row.kind == "formula" and row.name != record.name and record.name in names_in(parse(row.formula)):
            raise Invalid({"": _("The formula of “%(title)s” needs this field; change the formula first.", title=row.title)})


def _check_setting(record: FieldSetting) -> None:
    model = _model(record)
    one = {**SYSTEM_FIELDS, **model.__fields__}.get(record.field_name or "")
    if one is None:
        name = str(record.field_name)[:80]
        raise Invalid({"field_name": _("%(model)s has no field “%(name)s” from code.", model=model_label(model), name=name)})
    record.hidden, record.required = bool(record.hidden), bool(record.required)
    if bad := bad_titles(record.titles):
        raise Invalid({"titles": bad})
    if record.hidden and one.name == model.title_field:
        raise Invalid({"hidden": _("This field names the record in lists and links; it cannot be hidden.")})
    must = (one.required or record.required) and one.default is None and not one.number_rule and not one.readonly
    if record.hidden and must:
        raise Invalid({"hidden": _("A required field without a default cannot be hidden: nobody could fill it in.")})
    if record.required and (one.system or one.readonly):
        raise Invalid({"required": _("Nobody fills this field in by hand, so it cannot be required.")})


def _queue(record: CustomField, wanted: bool) -> None:
    from core.custom_jobs import build_index, drop_index

    if wanted:
        build_index.later(model=record.model, name=record.name)
    elif record.name:
        drop_index.later(model=record.model, name=record.name)


def _queue_formula(record: CustomField) -> None:
    from core.custom_jobs import recompute_formulas

    recompute_formulas.later(model=record.model)


event.listen(MortiseSession, "before_flush", _before_flush, insert=True)
