"""Dictionaries: the options of every drop-down, seeded by code, named, coloured, ordered and retired by administrators."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Index, String, cast, event, func, insert, inspect, select
from sqlalchemy.orm import Mapped, Session

from core.context import actor, now
from core.db import MortiseSession, db
from core.errors import Invalid, Wrong
from core.fields import Field, field, link, narrow, tidy
from core.i18n import LANGUAGES, catalogue, lazy, listed, t
from core.i18n import gettext as _
from core.model import Model, fields_of, model_label, models, option_labels, option_seeds, words
from core.pinyin import is_han, syllables
from core.state import bump, cached_by_generation, steers

COLOURS = ("stone", "clay", "amber", "olive", "green", "teal", "dai", "indigo", "plum", "rose")
NAMED_IN_A_SENTENCE = 12
KEPT = lazy("Options are not deleted, because records may have them. Retire the option instead.")


@steers
class Dictionary(Model):
    """The options of one drop-down."""

    label, label_many = "Dictionary", "Dictionaries"
    title_field = "title"
    never_deleted = KEPT
    key: Mapped[str | None] = field(unique=True, readonly=True, max_length=120, help="Stable; made from the label")
    title: Mapped[str] = field(label="Label", search=True, max_length=120)
    titles: Mapped[dict | None] = field(kind="json", label="Labels by language")
    addon_name: Mapped[str | None] = field(label="Addon", readonly=True, max_length=80)
    closed: Mapped[bool] = field(default=False, readonly=True, label="Fixed", help="The program knows these options: none can be added")


@steers
class Option(Model):
    """One option of a dictionary; records store its key, people read its label."""

    title_field = "title"
    never_deleted = KEPT
    dictionary: Mapped[Dictionary] = link(part_of=True)
    key: Mapped[str | None] = field(readonly=True, max_length=64, help="Stable; made from the label")
    title: Mapped[str] = field(label="Label", search=True, max_length=120)
    titles: Mapped[dict | None] = field(kind="json", label="Labels by language")
    colour: Mapped[str | None] = field(choices=COLOURS)
    position: Mapped[int | None] = field()
    retired: Mapped[bool] = field(default=False, help="Stays on records that have it, is no longer offered")
    __table_args__ = (Index("uq_core_option", "dictionary_id", "key", unique=True),)


@dataclass(frozen=True, slots=True)
class OptionValue:
    """One option as the acting person sees it."""

    key: str
    label: str
    colour: str | None = None
    retired: bool = False


_seed_titles: dict[str, dict[str, str]] = {}


def name_options(dictionary: str, titles: dict[str, str]) -> None:
    """Give seeded options English labels where the key's own words would not do (``yesno`` → “Yes or no”)."""
    _seed_titles.setdefault(dictionary, {}).update(titles)


name_options("ab_user.language", LANGUAGES)


def slug(text: str, limit: int = 40) -> str:
    """A label in lower-case ASCII with underscores, Chinese as pinyin; empty when nothing is left."""
    text = unicodedata.normalize("NFKD", text)
    if any(is_han(char) for char in text):
        text = "".join(f" {syllables(char)[0]} " if is_han(char) else char for char in text)
    return re.sub(r"[^a-z0-9]+", "_", text.encode("ascii", "ignore").decode().lower()).strip("_")[:limit].strip("_")


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    key: str
    title: str
    titles: dict[str, str]
    colour: str | None
    retired: bool

    def label(self, language: str) -> str:
        return self.titles.get(language) or catalogue(language).gettext(self.title)


@cached_by_generation
def _dictionaries() -> dict[str, list[_Stored]]:
    """All options of all dictionaries, in one statement a generation; dictionaries not yet seeded come from the code."""
    found: dict[str, list[_Stored]] = {}
    for key, (_addon, option_keys) in option_seeds().items():
        found[key] = [_Stored(one, _seed_title(key, one), {}, None, False) for one in option_keys]
    one, many = Dictionary.__table__.c, Option.__table__.c
    statement = (
        select(one.key.label("dictionary"), many.key, many.title, many.titles, many.colour, many.retired)
        .select_from(Dictionary.__table__.outerjoin(Option.__table__, many.dictionary_id == one.id))
        .order_by(one.id, func.coalesce(many.position, 1_000_000), many.id)
    )
    stored: dict[str, list[_Stored]] = {}
    for row in db.session.execute(statement, execution_options={"mortise_rules": False}):
        options_of_it = stored.setdefault(row.dictionary, [])
        if row.key is not None:
            options_of_it.append(_Stored(row.key, row.title, dict(row.titles or {}), row.colour, bool(row.retired)))
    return {**found, **stored}


def _seed_title(dictionary: str, key: str) -> str:
    return option_labels(dictionary).get(key) or _seed_titles.get(dictionary, {}).get(key) or words(key)


@cached_by_generation
def _options(dictionary: str, language: str) -> list[OptionValue]:
    return [OptionValue(one.key, one.label(language), one.colour, one.retired) for one in _dictionaries().get(dictionary, [])]


def options(dictionary: str) -> list[OptionValue]:
    """The options of a dictionary in the administrator's order, labels in the acting person's language; retired ones too."""
    return _options(dictionary, actor().language)


def dictionary_exists(key: str) -> bool:
    """True for a dictionary that code or an administrator has made."""
    return key in _dictionaries()


@cached_by_generation
def _labels(dictionary: str, language: str) -> dict[str, str]:
    return {one.key: one.label for one in _options(dictionary, language)}


def option_label(dictionary: str, key: Any) -> str:
    """What a person reads for a stored key; the key itself when the dictionary does not know it."""
    return _labels(dictionary, actor().language).get(key, str(key))


def _fold(typed: str) -> str:
    return " ".join(narrow(tidy(typed)).casefold().split())


@cached_by_generation
def _readings(dictionary: str) -> dict[str, tuple[str, bool]]:
    """Everything that may be typed for an option: its key and its label in every language → (key, retired)."""
    found: dict[str, tuple[str, bool]] = {}
    stored = sorted(_dictionaries().get(dictionary, []), key=lambda one: one.retired)
    for one in stored:
        found.setdefault(_fold(one.key), (one.key, one.retired))
    for one in stored:
        for text in (one.title, *one.titles.values(), *(one.label(language) for language in LANGUAGES)):
            found.setdefault(_fold(text), (one.key, one.retired))
    return found


def option_key(dictionary: str, typed: str, allow_retired: bool = True) -> str:
    """The stable key for what was typed: a key, or a label of any language, in capitals or not.

    Raises `Wrong` naming the choices; a retired option is refused unless ``allow_retired``.
    """
    found = _readings(dictionary).get(_fold(typed))
    if found is not None and (allow_retired or not found[1]):
        return found[0]
    offered = [one.label for one in options(dictionary) if not one.retired]
    if not offered:
        raise Wrong(_("“%(value)s” is not an option: this list has none yet.", value=typed[:40]))
    names = listed([*offered[:NAMED_IN_A_SENTENCE], *(["…"] if len(offered) > NAMED_IN_A_SENTENCE else [])])
    if found is not None:
        label = option_label(dictionary, found[0])
        raise Wrong(_("“%(value)s” is no longer in use; choose one of: %(options)s.", value=label, options=names))
    raise Wrong(_("“%(value)s” is not one of the options; choose one of: %(options)s.", value=typed[:40], options=names))


@cached_by_generation
def _has_retired(dictionary: str) -> bool:
    return any(one.retired for one in _dictionaries().get(dictionary, []))


def retired_choices(fields: dict[str, Field], values: dict[str, Any], record: Any = None) -> dict[str, str]:
    """{field: sentence} of cleaned ``values`` that newly choose a retired option; what ``record`` has already may stay."""
    wrong: dict[str, str] = {}
    if actor().system:
        return wrong
    for name, value in values.items():
        one = fields[name]
        if one.kind.name not in ("choice", "choices") or not value or not _has_retired(one.choices or ""):
            continue
        before = one.get(record) if record is not None else None
        kept = set(before or []) if isinstance(before, list) else {before}
        for key in value if isinstance(value, list) else [value]:
            try:
                if key not in kept:
                    option_key(one.choices or "", key, allow_retired=False)
            except Wrong as refusal:
                wrong[name] = str(refusal)
    return wrong


# -- seeding ----------------------------------------------------------------------------------------------------------


def seed_options(session: Session | None = None) -> int:
    """Bring dictionaries and options that code asks for into the database; what is there stays as it is. Returns how many were added."""
    connection = (session or db.session()).connection()
    dictionary, option = Dictionary.__table__, Option.__table__
    known = dict(connection.execute(select(dictionary.c.key, dictionary.c.id)).all())
    there: dict[int, set[str]] = {}
    for dictionary_id, key in connection.execute(select(option.c.dictionary_id, option.c.key)):
        there.setdefault(dictionary_id, set()).add(key)
    fresh = []
    for key, (addon, option_keys) in option_seeds().items():
        if key not in known:
            values = {"key": key, "title": dictionary_title(key), "addon_name": addon, "closed": addon == "core", "created_at": now()}
            known[key] = connection.execute(insert(dictionary).values(values).returning(dictionary.c.id)).scalar_one()
        used = there.get(known[key], set())
        for place, one in enumerate(option_keys):
            if one not in used:
                fresh.append({
                    "dictionary_id": known[key], "key": one, "title": _seed_title(key, one), "position": (place + 1) * 10,
                    "retired": False, "created_at": now(),
                })  # fmt: skip
    if fresh:
        connection.execute(insert(option), fresh)
        bump()
    return len(fresh)


def dictionary_title(key: str) -> str:
    """The English label of a dictionary that a field of code made: “Case: Stage”."""
    table, _dot, name = key.partition(".")
    model = models().get(table)
    one = model.__fields__.get(name) if model is not None else None
    return f"{model.label}: {one.label}" if model is not None and one is not None else words(key.replace(".", " "))


def dictionary_label(key: str, title: str, titles: dict[str, str] | None = None) -> str:
    """A dictionary's label in the acting person's language; both halves of “Case: Stage” are translated."""
    given = (titles or {}).get(actor().language)
    return given or _(": ").join(t(part) for part in title.split(": "))


# -- what administrators may do ---------------------------------------------------------------------------------------


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    if not any(isinstance(one, (Dictionary, Option)) for one in (*session.new, *session.dirty, *session.deleted)):
        return
    for record in session.deleted:
        # The gate never deletes one (`never_deleted`); the undo of its making may, as long as no record has it.
        if isinstance(record, Option) and (user := _who_has(session, record)) is not None:
            raise Invalid({"": _("%(model)s have the option “%(title)s”, so it stays.", model=user, title=record.title)})
    for record in [*session.new, *session.dirty]:
        if isinstance(record, (Dictionary, Option)):
            _check(session, record)


def _check(session: Session, record: Any) -> None:
    if not (record.title or "").strip():
        raise Invalid({"title": _("Please give a label.")})
    if bad := bad_titles(record.titles):
        raise Invalid({"titles": bad})
    for name in ("key", "dictionary_id"):
        if name in type(record).__mapper__.column_attrs and record.id is not None and _changed(record, name):
            raise Invalid({name.removesuffix("_id"): _("This is stored in records and never changes; change the label instead.")})
    if record not in session.new:
        return
    if isinstance(record, Dictionary):
        record.closed = bool(record.closed)
        record.addon_name = record.addon_name or "core"
        if not record.key:
            column = Dictionary.__table__.c.key
            record.key = free_name("x_" + (slug(record.title) or "list"), set(session.connection().execute(select(column)).scalars()))
        return
    _prepare_option(session, record)


def _prepare_option(session: Session, record: Option) -> None:
    owner = record.dictionary or (session.get(Dictionary, record.dictionary_id) if record.dictionary_id else None)
    if owner is None:
        raise Invalid({"dictionary": _("Please choose the dictionary of this option.")})
    if owner.closed and not actor().system:
        raise Invalid({"": _("The program knows the options of this list; they can be renamed and coloured, but none can be added.")})
    record.retired = bool(record.retired)
    columns = Option.__table__.c
    rows = session.connection().execute(select(columns.key, columns.position).where(columns.dictionary_id == owner.id)).all()
    waiting = [one for one in session.new if isinstance(one, Option) and one is not record and (one.dictionary or owner) is owner]
    used = {row.key for row in rows} | {one.key for one in waiting if one.key}
    if not record.key:
        record.key = free_name(slug(record.title, 48) or "option", used)
    elif record.key in used:
        raise Invalid({"key": _("There is an option with this key already.")})
    if record.position is None:
        record.position = max([0, *(row.position or 0 for row in rows), *(one.position or 0 for one in waiting)]) + 10


def _who_has(session: Session, option: Option) -> str | None:
    """What records have this option, by name; None when none does."""
    columns = Dictionary.__table__.c
    dictionary = session.connection().execute(select(columns.key).where(columns.id == option.dictionary_id)).scalar()
    for model in models().values():
        for one in fields_of(model).values():
            if one.choices == dictionary and one.kind.name in ("choice", "choices"):
                column = one.column(model)
                several = one.kind.name == "choices"
                has = cast(column, String).contains(f'"{option.key}"', autoescape=True) if several else column == option.key
                if session.execute(select(model.id).where(has).limit(1), execution_options={"mortise_rules": False}).first():
                    return model_label(model, many=True)
    return None


def _changed(record: Any, name: str) -> bool:
    history = inspect(record).attrs[name].history
    return bool(history.deleted) and history.deleted[0] is not None and history.deleted[0] != getattr(record, name)


def bad_titles(titles: Any) -> str | None:
    """The sentence for labels per language that are not ``{"zh_Hans": "…"}``; None when they are."""
    if titles is None:
        return None
    fits = isinstance(titles, dict) and all(one in LANGUAGES and isinstance(text, str) and len(text) <= 200 for one, text in titles.items())
    if not fits:
        return _("Give one label for each language, at most 200 characters: %(languages)s.", languages=listed(LANGUAGES))
    return None


def free_name(wanted: str, used: set[str]) -> str:
    """``wanted``, or the first of ``wanted_2``, ``wanted_3`` … that is not in ``used``."""
    name, count = wanted, 1
    while name in used:
        count += 1
        name = f"{wanted}_{count}"
    return name


# First of all listeners: what is filled in here belongs to what the journal writes.
event.listen(MortiseSession, "before_flush", _before_flush, insert=True)
