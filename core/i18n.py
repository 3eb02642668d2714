"""English in the source, the person's language on the page: gettext over the catalogues of core and every addon."""

from __future__ import annotations

import gettext as _gettext
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.context import actor

LANGUAGES = {"en": "English", "zh_Hans": "简体中文", "zh_Hant": "繁體中文"}
MOST_KNOWN = 20_000
_folders: list[Path] = [Path(__file__).parent / "translations"]


def add_catalogue(folder: Path) -> None:
    """Let an addon's ``translations/`` take part; earlier folders win for the same English words."""
    if folder not in _folders:
        _folders.append(folder)
        catalogue.cache_clear()
        _known.cache_clear()


def catalogues_known() -> int:
    """How many folders of catalogues take part; with each new one the same sentence may read otherwise."""
    return len(_folders)


@lru_cache(maxsize=16)
def catalogue(language: str) -> _gettext.NullTranslations:
    """All catalogues of one language, merged; an empty one for English."""
    merged: _gettext.NullTranslations = _gettext.NullTranslations()
    if language == "en":
        return merged
    for folder in reversed(_folders):
        compiled = folder / language / "LC_MESSAGES" / "messages.mo"
        if not compiled.exists():
            continue
        with compiled.open("rb") as stream:
            found = _gettext.GNUTranslations(stream)
        found.add_fallback(merged)
        merged = found
    return merged


@lru_cache(maxsize=16)
def _known(language: str) -> dict[str, str]:
    """What `gettext` has answered in this language; a page asks for some five hundred sentences, of always the same few thousand."""
    return {}


def best_language(accepted: str | None) -> str:
    """The house's language for a browser's Accept-Language header (``zh-TW`` and ``zh-HK`` read zh_Hant)."""
    for part in (accepted or "").lower().split(","):
        tag = part.split(";")[0].strip().replace("_", "-")
        if tag.startswith("zh"):
            return "zh_Hant" if any(mark in tag for mark in ("hant", "tw", "hk", "mo")) else "zh_Hans"
        if tag.startswith("en"):
            return "en"
    return "en"


def gettext(message: str, **values: Any) -> str:
    """``message`` in the acting person's language, with ``%(name)s`` filled in."""
    if not message:
        return ""
    message, language = str.__str__(message), actor().language
    known = _known(language)
    found = known.get(message)
    if found is None:
        found = catalogue(language).gettext(message)
        # Titles that people gave to things come here, too: they may not fill the memory.
        if len(known) < MOST_KNOWN:
            known[message] = found
    said = found % values if values else found
    if (notes := _notes.get()) is not None:
        notes[said] = [message, values]
    return said


gettext.foldable = True  # type: ignore[attr-defined]  # a template's fixed sentences become part of it, see core/web/folding.py


def ngettext(one: str, many: str, count: int, **values: Any) -> str:
    """The form of the sentence for ``count``, which is available as ``%(count)s``."""
    said = catalogue(actor().language).ngettext(one, many, count) % {"count": count, **values}
    if (notes := _notes.get()) is not None:
        notes[said] = [one, values, many, count]
    return said


# -- sentences that are kept and read by somebody else ------------------------------------------------------------------

Notes = dict[str, list[Any]]
_notes: ContextVar[Notes | None] = ContextVar("mortise_notes", default=None)


@contextmanager
def noting() -> Iterator[Notes]:
    """Inside, what each sentence was made of is noted, so that `as_made` can keep it for readers of other languages."""
    notes: Notes = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def as_made(said: Any, notes: Notes) -> Any:
    """A sentence as JSON keeps it: its English words and what is filled in; one that nobody noted as it is."""
    if not isinstance(said, str):
        return said if said is None or isinstance(said, (bool, int, float)) else str(said)
    if said not in notes:
        return str.__str__(said)
    message, values, *many = notes[said]
    if message is None:
        return [None, [as_made(value, notes) for value in values]]
    # What is nothing but its one value is not made of itself.
    return [message, {name: str(value) if value == said else as_made(value, notes) for name, value in values.items()}, *many]


def retold(made: Any) -> Any:
    """What `as_made` gave, in the acting person's language."""
    if not isinstance(made, list):
        return made
    message, values, *many = made
    if message is None:
        return listed(map(retold, values))
    filled = {name: retold(value) for name, value in values.items()}
    return ngettext(message, *many, **filled) if many else gettext(message, **filled)




class Lazy(str):
    """A sentence that is translated when it is shown, not when the module is read."""

    __slots__ = ()

    def __str__(self) -> str:
        return gettext(str.__str__(self))

    def __html__(self) -> str:
        from markupsafe import escape

        return str(escape(str(self)))

    @property
    def source(self) -> str:
        """The English words."""
        return str.__str__(self)


def lazy(message: str) -> Lazy:
    """Mark ``message`` for translation at the moment it is shown; for class attributes and decorators."""
    return Lazy(message)


def t(label: str) -> str:
    """A label of a model, field or option in the acting person's language."""
    return gettext(str.__str__(label))


def listed(words: Iterable[str]) -> str:
    """Words one after the other, with the sign between them that the acting person's language uses."""
    words = list(words)
    said = gettext(", ").join(words)
    if (notes := _notes.get()) is not None and len(words) > 1:
        notes[said] = [None, words]
    return said


_ = gettext
