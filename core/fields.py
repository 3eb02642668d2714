"""Fields: what a record can know, declared in a class body or made by an administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from core.i18n import t
from core.kinds import BY_PYTHON, KINDS, LARGEST_ID, LARGEST_INTEGER, Kind, narrow, tidy

__all__ = ["BY_PYTHON", "Declared", "Field", "KINDS", "LARGEST_ID", "LARGEST_INTEGER", "field", "link", "links", "narrow", "tidy"]


@dataclass(slots=True)
class Field:
    """One field of a model, as every door sees it."""

    name: str
    kind: Kind
    label: str = ""
    help: str = ""
    required: bool = False
    unique: bool = False
    default: Any = None
    choices: str | None = None
    """Key of the dictionary, ``crm_case.stage``."""
    target_table: str | None = None
    """Table of the model that a link leads to."""
    part_of: bool = False
    search: bool = False
    long: bool = False
    indexed: bool = False
    readonly: bool = False
    hidden: bool = False
    system: bool = False
    custom: bool = False
    translated: bool = False
    """Stored in English where code brings it along, read in the person's language."""
    sensitive: bool = False
    """Values never enter the journal (password hashes)."""
    max_length: int | None = None
    addon: str = "core"
    number_rule: str | None = None
    formula: str | None = None
    group: str = ""

    @property
    def key(self) -> str:
        """Name of the attribute that holds the stored value: ``client_id`` for the link ``client``."""
        return f"{self.name}_id" if self.kind.name == "link" and not self.custom else self.name

    @property
    def target(self) -> Any:
        """The model class that a link leads to."""
        from core.model import model_of

        return model_of(self.target_table) if self.target_table else None

    @property
    def title(self) -> str:
        """The label in the acting person's language."""
        return t(self.label)

    def column(self, model: Any) -> Any:
        """The SQL expression of this field for select, where and order by."""
        if self.custom:
            from core.custom import custom_column

            return custom_column(model, self)
        return getattr(model, self.key)

    def get(self, record: Any) -> Any:
        """The stored value: an id for links, a list of ids for several links."""
        if self.custom:
            from core.custom import stored_value

            return stored_value(record, self)
        value = getattr(record, self.key)
        return sorted(one.id for one in value) if self.kind.name == "links" else value

    @property
    def getter(self) -> Callable[[Any], Any]:
        """`get` for many records: what a value is read by is worked out once."""
        return self.get if self.custom or self.kind.name == "links" else attrgetter(self.key)

    def set(self, record: Any, value: Any) -> None:
        """Put a cleaned value into the record."""
        if self.custom:
            custom = dict(record.custom or {})
            if value is None:
                custom.pop(self.name, None)
            else:
                custom[self.name] = self.kind.json(value)
            record.custom = custom or None
        else:
            setattr(record, self.key, value)

    def clean(self, value: Any) -> Any:
        """A cleaned value; empty text, an empty list and None are all “nothing”."""
        if value is None or (isinstance(value, str) and not tidy(value)) or (isinstance(value, (list, tuple)) and not value):
            if self.kind.name == "yesno" and self.required:
                return False
            return [] if self.kind.name == "links" else None
        return self.kind.clean(value, self)

    def json(self, value: Any) -> Any:
        """The value in REST, journal and export."""
        return None if value is None else self.kind.json(value)

    def text(self, value: Any) -> str:
        """The value as a person reads it."""
        return "" if value is None else t(value) if self.translated else self.kind.text(value, self)


class Declared:
    """What `field()` and `link()` leave in a class body until the model is built."""

    def __init__(self, **spec: Any) -> None:
        self.spec = spec


def field(
    *, label: str | None = None, help: str = "", unique: bool = False, default: Any = None,
    choices: Iterable[str] | Mapping[str, str] | str | None = None, long: bool = False, kind: str | None = None, search: bool = False,
    index: bool = False, readonly: bool = False, hidden: bool = False,
    max_length: int | None = None, sensitive: bool = False, number: str | None = None, required: bool | None = None,
    translated: bool = False,
) -> Any:  # fmt: skip
    """One thing a record knows; its kind follows from the annotation (``Mapped[date | None]``).

    ``choices`` seeds a dictionary that administrators edit, or names one; its keys make the labels, unless they come with
    labels of their own (``{"hong_kong": "Hong Kong"}``). ``search`` lets the search box find it; ``number`` is the pattern
    of a number rule (``"C{yyyy}-{00000}"``), ``kind`` overrides the annotation. ``translated`` is for names that come along
    in ``data/``: English in the database, read in the person's language.
    """
    spec = dict(locals())
    return Declared(**spec)


def link(
    *, label: str | None = None, help: str = "", part_of: bool = False, index: bool = True, readonly: bool = False, hidden: bool = False,
    many_label: str | None = None,
) -> Any:  # fmt: skip
    """Another record (``client: Mapped[Client] = link()`` makes the column ``client_id`` too).

    ``part_of`` says that this record is a part of the other: it is seen with it and deleted with it.
    A required link that is not ``part_of`` keeps its target from being deleted; an optional one is cleared.
    """
    spec = dict(locals())
    return Declared(is_link=True, **spec)


def links(*, label: str | None = None, help: str = "", readonly: bool = False, hidden: bool = False, table: Any = None) -> Any:
    """Several other records, kept in a link table (``tags: Mapped[list[Tag]] = links()``)."""
    spec = dict(locals())
    return Declared(is_links=True, **spec)
