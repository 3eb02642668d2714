"""Models: a class body becomes table, fields, links and labels; nothing has to be registered anywhere else."""

from __future__ import annotations

import builtins
import inspect as pyinspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from flask_appbuilder import Model as FabModel
from sqlalchemy import Column, DateTime, ForeignKey, Integer, String, Table
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import JSON

from core.errors import Misbuilt
from core.fields import BY_PYTHON, KINDS, Declared, Field
from core.indexes import indexes_of

FabModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

_models: dict[str, type] = {}
_pointing: dict[str, list[tuple[type, Field]]] = {}
_halves: dict[type, frozenset[str]] = {}
_option_seeds: dict[str, tuple[str, list[str]]] = {}
_option_labels: dict[str, dict[str, str]] = {}
_extensions: list[tuple[type, str, Any]] = []
loading: dict[str, str] = {"addon": "core"}
"""Which addon's files are being read; set by `core.addons` while it loads."""

RESERVED = {"id", "created_at", "created_by", "changed_at", "changed_by", "version", "custom", "metadata", "registry", "title_key"}


def models() -> dict[str, type]:
    """Every model of every addon on disk by table name, in the order of loading."""
    return _models


def model_of(table: str) -> type:
    """The model whose table is ``table``; KeyError when there is none."""
    return _models[table]


def option_seeds() -> dict[str, tuple[str, list[str]]]:
    """Dictionaries that code asks for: key → (addon, option keys), in the order written."""
    return _option_seeds


def option_labels(dictionary: str) -> dict[str, str]:
    """The English labels that code gives with the options of a dictionary: key → label; empty where the keys say enough."""
    return _option_labels.get(dictionary, {})


def words(name: str) -> str:
    """``CaseNote`` and ``answer_by`` as words of a label: “Case note”, “Answer by”."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:].lower() if spaced else spaced


def plural(label: str) -> str:
    """The English plural of a label, for menus and headings."""
    if re.search(r"[^aeiou]y$", label):
        return label[:-1] + "ies"
    return label + ("es" if re.search(r"(s|x|z|ch|sh)$", label) else "s")


def table_name(addon: str, class_name: str) -> str:
    """``crm_case`` + ``CaseNote`` → ``crm_case_note``: the addon's area and the model's name."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()
    return f"{addon.split('_', 1)[0]}_{snake}"


def _json() -> Any:
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _annotation(cls: type, owner: type, name: str) -> tuple[Any, bool, bool]:
    """(python type or class name, optional, many) of an annotated attribute."""
    note = owner.__dict__.get("__annotations__", {}).get(name)
    if note is None:
        raise Misbuilt(f"{cls.__name__}.{name}: write its type, like `{name}: Mapped[str] = field()`.")
    names = {**vars(sys.modules[owner.__module__]), owner.__name__: owner, "Mapped": Mapped}
    if isinstance(note, str):
        inner = re.fullmatch(r"\s*Mapped\[(.*)\]\s*", note, re.DOTALL)
        if inner is None:
            raise Misbuilt(f"{cls.__name__}.{name}: the type has to be Mapped[…].")
        note_inner: Any = inner.group(1).strip("\"' ")
    else:
        if get_origin(note) is not Mapped:
            raise Misbuilt(f"{cls.__name__}.{name}: the type has to be Mapped[…].")
        note_inner = get_args(note)[0]
    if isinstance(note_inner, typing.ForwardRef):
        note_inner = note_inner.__forward_arg__
    many = optional = False
    if isinstance(note_inner, str):
        parts = [part.strip("\"' ") for part in note_inner.strip("\"' ").split("|")]
        optional = "None" in parts
        (text,) = [part for part in parts if part != "None"] or ["None"]
        if found := re.fullmatch(r"list\[(.*)\]", text):
            text, many = found.group(1).strip("\"' "), True
        note_inner = names.get(text, getattr(builtins, text, text))
        if get_origin(note_inner) is Mapped:
            note_inner = get_args(note_inner)[0]
    if get_origin(note_inner) in (typing.Union, types.UnionType):
        optional = type(None) in get_args(note_inner)
        (note_inner,) = [part for part in get_args(note_inner) if part is not type(None)]
    if get_origin(note_inner) is list:
        many, note_inner = True, get_args(note_inner)[0]
    return note_inner, optional, many


def _target(cls: type, name: str, wanted: Any) -> tuple[str, Any]:
    """(table, class or its name for SQLAlchemy) of what a link leads to."""
    if isinstance(wanted, str) or isinstance(wanted, typing.ForwardRef):
        wanted = wanted if isinstance(wanted, str) else wanted.__forward_arg__
        if wanted == cls.__name__:
            return cls.__tablename__, cls
        for model in _models.values():
            if model.__name__ == wanted:
                return model.__tablename__, model
        raise Misbuilt(f"{cls.__name__}.{name}: there is no model called {wanted!r}; import it from the addon that has it.")
    if not isinstance(wanted, type) or not hasattr(wanted, "__tablename__"):
        raise Misbuilt(f"{cls.__name__}.{name}: a link needs a model as its type, not {wanted!r}.")
    return wanted.__tablename__, wanted


def _build_field(
    cls: type, owner: type, name: str, declared: Declared, addon: str, always_optional: bool = False
) -> tuple[Field, dict[str, Any]]:
    """The Field of one declaration and the SQLAlchemy attributes that belong to it."""
    spec = declared.spec
    wanted, optional, many = _annotation(cls, owner, name)
    optional = optional or always_optional
    made = Field(
        name=name, kind=KINDS["text"], label=spec.get("label") or words(name), help=spec.get("help", ""), required=not optional,
        readonly=spec.get("readonly", False), hidden=spec.get("hidden", False), addon=addon, part_of=spec.get("part_of", False),
    )  # fmt: skip
    info = {"addon": addon}
    if spec.get("is_links"):
        made.kind, made.required = KINDS["links"], False
        made.target_table, target = _target(cls, name, wanted)
        table, overlaps = spec.get("table"), "roles,user"
        if table is None:
            left, right = cls.__tablename__, made.target_table
            overlaps = None
            table = Table(
                f"{left}_{name}",
                FabModel.metadata,
                Column("left_id", Integer, ForeignKey(f"{left}.id", ondelete="RESTRICT"), primary_key=True),
                Column("right_id", Integer, ForeignKey(f"{right}.id", ondelete="RESTRICT"), primary_key=True, index=True),
                info=info,
            )
        return made, {name: relationship(target, secondary=table, lazy="select", overlaps=overlaps)}
    if spec.get("is_link"):
        made.kind, made.indexed = KINDS["link"], True
        made.target_table, target = _target(cls, name, wanted)
        column = mapped_column(
            f"{name}_id", Integer, ForeignKey(f"{made.target_table}.id", ondelete="RESTRICT"), nullable=optional, index=spec["index"],
            active_history=True, info=info,
        )  # fmt: skip
        # A link to a record of the same kind points up, at one; without this SQLAlchemy takes it for a list of those below.
        remote = {"remote_side": lambda: cls.id} if target is cls else {}
        return made, {
            f"{name}_id": column,
            name: relationship(target, foreign_keys=[column], lazy="select", **remote),
        }
    kind = spec["kind"] or ("choice" if spec["choices"] is not None else "long" if spec["long"] else BY_PYTHON.get(wanted))
    if kind == "choice" and many:
        kind = "choices"
    if kind not in KINDS:
        raise Misbuilt(
            f"{cls.__name__}.{name}: {getattr(wanted, '__name__', wanted)!r} is not a type of field; "
            "use str, int, Decimal, date, datetime or bool."
        )
    made.kind = KINDS[kind]
    for key in ("unique", "default", "search", "max_length", "sensitive", "long", "translated"):
        setattr(made, key, spec[key])
    made.number_rule = spec["number"]
    made.indexed = spec["index"] or spec["unique"]
    if spec["required"] is not None:
        made.required = spec["required"]
    if kind == "yesno" and made.required and made.default is None:
        made.default = False
    if kind in ("choice", "choices"):
        if isinstance(spec["choices"], str):
            made.choices = spec["choices"]
        else:
            made.choices = f"{cls.__tablename__}.{name}"
            _option_seeds[made.choices] = (addon, list(spec["choices"] or []))
            _option_labels[made.choices] = dict(spec["choices"]) if isinstance(spec["choices"], Mapping) else {}
    column = mapped_column(
        name, made.kind.column_type(made), nullable=not made.required or made.number_rule is not None, unique=spec["unique"] or None,
        index=spec["index"] or None, active_history=True, info=info,
    )  # fmt: skip
    return made, {name: column}


class Recorded:
    """What turns a class with declared fields into a model; `Model` and the user table both stand on it."""

    addon: str
    label: str
    label_many: str
    title_field: str
    description: str
    __fields__: dict[str, Field]
    open_to_team = False
    """True: no owner rule applies, everyone with the right on the model may (D24)."""
    sensitive = False  # True: each reading of these records is kept in the journal (`core.reading`)
    indexes: tuple[str, ...] = ()
    """Lists that stay quick with millions of records: ``("owner changed_at", "owner name")`` for one owner's, by date and by name.

    Each is an index over these fields, a title by its sort key, ended by the id.
    """
    system_model = False
    """True: belongs to system administrators and is kept out of personal shares."""
    share_access: tuple[str, ...] = ("read", "edit")
    """What a share of such a record may open; ``("read",)`` where sharing never hands over editing (D15), ``()`` for no sharing."""

    def __init_subclass__(cls, **options: Any) -> None:
        if cls.__dict__.get("__abstract__"):
            super().__init_subclass__(**options)
            return
        addon = loading["addon"]
        if "__tablename__" not in cls.__dict__ and not getattr(cls, "__table__", None) is not None:
            cls.__tablename__ = table_name(addon, cls.__name__)
        table = cls.__tablename__
        if table in _models:
            other = _models[table]
            both = " and ".join(f"{one.__module__}.{one.__name__} of addon {name}" for one, name in ((other, other.addon), (cls, addon)))
            raise Misbuilt(f"Two models want the table {table}: {both}. Rename one of them.")
        cls.addon = addon
        cls.label = cls.__dict__.get("label") or words(cls.__name__)
        cls.label_many = cls.__dict__.get("label_many") or plural(cls.label)
        cls.description = (pyinspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ") if cls.__dict__.get("__doc__") else ""
        cls.__fields__ = {}
        declared: dict[str, tuple[type, Declared]] = {}
        for owner in reversed(cls.__mro__):
            declared |= {name: (owner, value) for name, value in vars(owner).items() if isinstance(value, Declared)}
        own_notes = dict(cls.__dict__.get("__annotations__", {}))
        for name, (owner, value) in declared.items():
            if name in RESERVED:
                raise Misbuilt(f"{cls.__name__}.{name}: every model has a field of this name already; choose another.")
            made, attributes = _build_field(cls, owner, name, value, addon)
            cls.__fields__[name] = made
            own_notes.pop(name, None)
            for attribute, mapped in attributes.items():
                setattr(cls, attribute, mapped)
        cls.__annotations__ = own_notes
        cls.title_field = cls.__dict__.get("title_field") or _title_of(cls.__fields__)
        arguments = cls.__dict__.get("__table_args__", ())
        if "__tablename__" in cls.__dict__ and issubclass(cls, FabModel):
            places = arguments if isinstance(arguments, tuple) and not (arguments and isinstance(arguments[-1], dict)) else arguments[:-1]
            places = (*places, *indexes_of(cls, SYSTEM_FIELDS))
            cls.__table_args__ = (*places, {"sqlite_autoincrement": True, "info": {"addon": addon}})
        _models[table] = cls
        _pointing.clear()
        super().__init_subclass__(**options)

    def __str__(self) -> str:
        from core.rules import sees_title

        model: Any = type(self)
        value = getattr(self, model.title_field, None) if sees_title(model) else None
        title = model.__fields__.get(model.title_field)
        return str((title.text(value) if title is not None and title.translated else value) or f"#{self.id}")  # type: ignore[attr-defined]


def _title_of(fields: dict[str, Field]) -> str:
    for wanted in ("name", "title", "subject", "number", "code", "label"):
        if wanted in fields:
            return wanted
    for name, one in fields.items():
        if one.kind.name in ("text", "code", "long", "email", "phone"):
            return name
    return next(iter(fields), "id")


SYSTEM_FIELDS = {
    "id": Field("id", KINDS["integer"], "Id", system=True, readonly=True, indexed=True),
    "created_at": Field("created_at", KINDS["datetime"], "Created at", system=True, readonly=True, indexed=True),
    "created_by": Field("created_by", KINDS["link"], "Created by", system=True, readonly=True, target_table="ab_user"),
    "changed_at": Field("changed_at", KINDS["datetime"], "Changed at", system=True, readonly=True, indexed=True),
    "changed_by": Field("changed_by", KINDS["link"], "Changed by", system=True, readonly=True, target_table="ab_user"),
    "version": Field("version", KINDS["integer"], "Version", system=True, readonly=True, hidden=True),
}


def system_columns() -> dict[str, Any]:
    """Fresh columns that every record has beside its own fields; the names of `SYSTEM_FIELDS` plus ``custom`` and ``title_key``."""
    return {
        "created_at": mapped_column(DateTime, nullable=True, index=True, sort_order=900),
        # Where a model has no owner its author counts as one, so the guard must know who it was before.
        "created_by_id": mapped_column(
            Integer, ForeignKey("ab_user.id", ondelete="RESTRICT"), nullable=True, active_history=True, sort_order=901
        ),
        "changed_at": mapped_column(DateTime, nullable=True, index=True, sort_order=902),
        "changed_by_id": mapped_column(Integer, ForeignKey("ab_user.id", ondelete="RESTRICT"), nullable=True, sort_order=903),
        "version": mapped_column(Integer, nullable=False, default=1, server_default="1", sort_order=904),
        "custom": mapped_column(MutableDict.as_mutable(_json()), nullable=True, active_history=True, sort_order=905),
        # Compared by bytes, as SQLite does: lists then stand in the same order on every database.
        "title_key": mapped_column(
            String(120).with_variant(String(120, collation="C"), "postgresql"), nullable=True, index=True, sort_order=906
        ),
    }


class Model(Recorded, FabModel):
    """A kind of record. Subclass it, declare fields, and every door knows it."""

    __abstract__ = True
    __allow_unmapped__ = True

    def __init_subclass__(cls, **options: Any) -> None:
        if not cls.__dict__.get("__abstract__"):
            cls.id = mapped_column("id", Integer, primary_key=True, sort_order=-100)
            for name, column in system_columns().items():
                setattr(cls, name, column)
            cls.__mapper_args__ = {"version_id_col": cls.__dict__["version"], **cls.__dict__.get("__mapper_args__", {})}
        super().__init_subclass__(**options)


def extend(model: type) -> Callable[[type], type]:
    """Add nullable fields and properties to another addon's model: ``@extend(Case) class CaseAnswer: answer_by: … = field()``."""

    def apply(extra: type) -> type:
        addon = loading["addon"]
        for name, value in list(vars(extra).items()):
            if isinstance(value, Declared):
                if name in model.__fields__ or name in RESERVED:
                    raise Misbuilt(
                        f"{addon}: {model.__name__} has a field {name!r} already "
                        f"(from {getattr(model.__fields__.get(name), 'addon', 'core')})."
                    )
                made, attributes = _build_field(model, extra, name, value, addon, always_optional=True)
                made.required = False
                model.__fields__[name] = made
                _pointing.clear()
                for attribute, mapped in attributes.items():
                    _attach(addon, model, attribute, mapped)
            elif isinstance(value, property) or (callable(value) and not name.startswith("__")):
                if hasattr(model, name):
                    raise Misbuilt(
                        f"{addon}: {model.__name__} has {name!r} already; an addon cannot replace another's method, it asks for a hook."
                    )
                _attach(addon, model, name, value)
        return extra

    return apply


def _attach(addon: str, model: type, name: str, value: Any) -> None:
    if addon == "core":
        setattr(model, name, value)
    else:
        _extensions.append((model, name, value))


def finish_extensions() -> None:
    """Put on the models what the addon that was just read adds to them: only now, since what is mapped cannot be taken off again."""
    for model, name, value in _extensions:
        setattr(model, name, value)
    _extensions.clear()


def forget_extensions(addon: str) -> None:
    """Drop what a broken addon wanted to add to other models."""
    _extensions.clear()
    _pointing.clear()
    for model in _models.values():
        for name in [name for name, one in model.__fields__.items() if one.addon == addon and model.addon != addon]:
            del model.__fields__[name]


def half(model: type, names: str) -> type:
    """A second, read-only class on the same table with just the columns in ``names`` (DESIGN 4).

    It needs a rule of its own (none: nobody reads it); nothing can be written through it and no link leads to it.
    """
    wanted = names.split()
    for name in wanted:
        if name not in model.__fields__:
            raise Misbuilt(f"half({model.__name__}): {model.__name__} has no field {name!r}.")
    keys = ["id", *(model.__fields__[name].key for name in wanted)]
    made = type(f"{model.__name__}Half", (object,), {"__doc__": model.__doc__, "__tablename__": model.__tablename__})
    FabModel.registry.map_imperatively(made, model.__table__, include_properties=keys, exclude_properties=[])
    made.addon, made.label, made.label_many = loading["addon"], model.label, model.label_many
    made.title_field = model.title_field if model.title_field in wanted else wanted[0]
    made.__fields__ = {name: model.__fields__[name] for name in wanted}
    made.open_to_team = made.system_model = False
    made.half_of, made.sensitive = model, model.sensitive
    _halves[made] = frozenset(keys)
    return made


def is_half(model: type) -> bool:
    """True for a class made by `half`."""
    return model in _halves


def fields_of(model: type) -> dict[str, Field]:
    """Every field of ``model`` as it is now: from code, from extensions of addons that are on, and made by administrators."""
    if model in _halves:
        return {"id": SYSTEM_FIELDS["id"], **model.__fields__}
    from core.custom import fields_now

    return fields_now(model)


def links_to(model: type) -> list[tuple[type, Field]]:
    """(model, link field) of everything that points at ``model``, sleeping addons included."""
    table = model.__tablename__
    if table not in _pointing:
        _pointing[table] = [(other, one) for other in _models.values() for one in other.__fields__.values() if one.target_table == table]
    return _pointing[table]


def part_of(model: type) -> Field | None:
    """The link that makes ``model`` a part of another, if it has one."""
    return next((one for one in model.__fields__.values() if one.part_of), None)


def model_label(model: type, many: bool = False) -> str:
    """What a model is called in the acting person's language."""
    from core.i18n import t

    return t(model.label_many if many else model.label)


def is_owned(model: type) -> bool:
    """True when records of ``model`` have an owner and a department."""
    return "owner" in model.__fields__ and "department" in model.__fields__


def mapped_columns(record: Any) -> list[str]:
    """Names of the column attributes of a record's class."""
    return [one.key for one in sa_inspect(type(record)).column_attrs]
