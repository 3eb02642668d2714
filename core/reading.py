"""Who has read what: for models that are marked, each page that shows records leaves one line in the journal with their ids.

A model is marked by its developer (``sensitive = True``) or by a system administrator (the setting ``journal.read_models``).
Files that are saved are told of for all models. What the system reads for itself is not reading. Source: issue of the journal, S2-37.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core import journal
from core.context import actor
from core.errors import Wrong
from core.i18n import gettext as _
from core.i18n import lazy
from core.model import models
from core.setting_guard import GUARDED
from core.settings import declare_setting, setting

READ, DOWNLOAD, PRINT = journal.LOOKING


def known_tables(value: Any) -> str:
    """Names of models, each once, separated by blanks."""
    names = dict.fromkeys(str(value).split())
    if unknown := [name for name in names if name not in models()]:
        raise Wrong(_("There is no kind of record “%(name)s”.", name=unknown[0][:60]))
    return " ".join(names)


declare_setting("journal.read_models", "", "Kinds of records of which each reading is journalled", check=known_tables, page="journal")
GUARDED["journal."] = lazy("Only a system administrator may say what the journal keeps, and how long.")


def watched(model: Any) -> bool:
    """Is each reading of these records kept in the journal?"""
    return bool(model.sensitive) or model.__tablename__ in setting("journal.read_models").split()


def saw(model: Any, ids: Iterable[int]) -> None:
    """The acting person has these records before him, if this request goes well."""
    who = actor()
    if not who.system and who.user_id is not None and watched(model):
        who.memo.setdefault("saw", {}).setdefault(model.__tablename__, set()).update(ids)


def saved(model: str | None, record_id: int | None, name: str) -> None:
    """The acting person takes a file along."""
    actor().memo.setdefault("saved_files", []).append((model or "core_file", record_id or 0, name))


def note() -> None:
    """Journal what this request has shown or given, on a connection of its own: the request itself only reads."""
    memo = actor().memo
    rows = [(table, next(iter(ids)) if len(ids) == 1 else 0, READ, {} if len(ids) == 1 else {"ids": sorted(ids)}, None)
            for table, ids in memo.pop("saw", {}).items() if ids]  # fmt: skip
    rows += [(model, record_id, DOWNLOAD, {"name": name}, None) for model, record_id, name in memo.pop("saved_files", [])]
    if rows:
        journal.write_beside(rows)
