"""Who has read what: for models that are marked, each page that shows records leaves one line in the journal with their ids.

A model is marked by its developer (``sensitive = True``) or by a system administrator (the setting ``journal.read_models``).
Files that are saved are told of for all models. What the system reads for itself is not reading. Source: issue of the journal, S2-37.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
DOORS = ("screen", "api")
MOST_SPANS = 1_000


def known_tables(value: Any) -> str:
    """Names of models, each once, separated by blanks."""
    names = dict.fromkeys(str(value).split())
    if unknown := [name for name in names if name not in models()]:
        raise Wrong(_("There is no kind of record “%(name)s”.", name=unknown[0][:60]))
    return " ".join(names)


declare_setting("journal.read_models", "", "Kinds of records of which each reading is journalled", check=known_tables, page="journal")
GUARDED["journal."] = lazy("Only a system administrator may say what the journal keeps, and how long.")


def watched(model: Any) -> bool:
    """Is each reading of these records kept in the journal? Asked once a request and model."""
    known: dict[str, bool] = actor().memo.setdefault("watched", {})
    table = model.__tablename__
    if table not in known:
        known[table] = bool(model.sensitive) or table in setting("journal.read_models").split()
    return known[table]


def _looks(model: Any) -> bool:
    who = actor()
    # Through other doors nobody looks: what leaves by a job or on the command line is told of by its own line.
    return not who.system and who.user_id is not None and who.door in DOORS and watched(model)


def saw(model: Any, ids: Iterable[int]) -> None:
    """The acting person has these records before him, if this request goes well."""
    if _looks(model):
        actor().memo.setdefault("saw", {}).setdefault(model.__tablename__, set()).update(ids)


def saw_groups(model: Any, names: Iterable[str]) -> None:
    """The acting person has groups or sums of these fields before him."""
    if _looks(model):
        actor().memo.setdefault("saw_groups", {}).setdefault(model.__tablename__, set()).update(names)


def saved(model: str | None, record_id: int | None, name: str) -> None:
    """The acting person takes a file along."""
    actor().memo.setdefault("saved_files", []).append((model or "core_file", record_id or 0, name))


def pending() -> dict[str, Any]:
    """What `note` has to tell so far: a request that is taken back forgets what it has learnt, and its page has shown it."""
    return {name: actor().memo[name] for name in ("saw", "saw_groups", "saved_files") if name in actor().memo}


def note() -> None:
    """Journal what this request has shown or given, on a connection of its own: the request itself only reads."""
    memo = actor().memo
    seen, grouped = memo.pop("saw", {}), memo.pop("saw_groups", {})
    rows = [_reading(table, seen.get(table, ()), grouped.get(table, ())) for table in {**seen, **grouped}]
    rows += [(model, record_id, DOWNLOAD, {"name": name}, None) for model, record_id, name in memo.pop("saved_files", [])]
    if rows := [row for row in rows if row]:
        journal.write_beside(rows)


def _reading(table: str, ids: Collection[int], groups: Collection[str]) -> Any:
    if not ids and not groups:
        return None
    facts = {"ids": sorted(ids)} if len(ids) > 1 else {}
    return table, next(iter(ids)) if len(ids) == 1 else 0, READ, facts | ({"groups": sorted(groups)} if groups else {}), None


def spans(ids: Iterable[int], most: int = MOST_SPANS) -> str:
    """Numbers of records in few words, like ``3 7-12``: in order, at most ``most`` pieces, then “…”."""
    pieces: list[list[int]] = []
    for one in sorted(set(ids)):
        if pieces and one == pieces[-1][1] + 1:
            pieces[-1][1] = one
        elif len(pieces) == most:
            return f"{_joined(pieces)} …"
        else:
            pieces.append([one, one])
    return _joined(pieces)


def _joined(pieces: list[list[int]]) -> str:
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in pieces)
