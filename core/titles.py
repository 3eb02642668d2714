"""Titles: what records are called, for links on pages and in files, with the rights of whoever reads."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import String, cast, literal, select, union_all

from core.context import actor
from core.db import db
from core.rules import may, rights, sees_title


def titles(model: type, ids: Iterable[int | None], *, stored: bool = False) -> dict[int, str]:
    """{id: title} of those records that the acting person may read, in his language or as ``stored``; one statement."""
    wanted = {one for one in ids if one is not None}
    if not wanted or not may("read", model):
        return {}
    known: dict[int, str] = actor().memo.setdefault(("titles", model, actor().system, stored), {})
    if missing := wanted - known.keys():
        one = model.__fields__[model.title_field] if model.title_field != "id" and sees_title(model) else None
        column = model.id if one is None else one.column(model)
        shown = str if stored or one is None or one.kind.name != "text" else one.text
        rows = db.session.execute(select(model.id, column).where(model.id.in_(sorted(missing))))
        known |= {row[0]: shown(row[1] or f"#{row[0]}") for row in rows}
    return {one: known[one] for one in wanted if one in known}


def know_titles(wanted: dict[type, set[int]]) -> None:
    """Read the titles of records of several models by one statement; `titles` then answers from memory.

    Whatever a page links to, it costs one statement, not one a model. What this cannot read so is left to `titles`.
    """
    parts, kept = [], {}
    for model, ids in wanted.items():
        one = model.__fields__.get(model.title_field)
        if one is None or not sees_title(model) or one.kind.name not in ("text", "code", "email", "phone") or not may("read", model):
            continue
        known: dict[int, str] = actor().memo.setdefault(("titles", model, actor().system, False), {})
        if not (missing := ids - known.keys()):
            continue
        table, reach = model.__table__, None if actor().system else rights().row_filter(model, "read")
        query = select(literal(len(parts)), table.c.id, cast(table.c[one.key], String)).where(table.c.id.in_(sorted(missing)))
        parts.append(query if reach is None else query.where(reach))
        kept[len(parts) - 1] = known, one
    if parts:
        query = union_all(*parts) if len(parts) > 1 else parts[0]
        for place, record_id, title in db.session.execute(query, execution_options={"mortise_rules": False}):
            known, one = kept[place]
            known[record_id] = one.text(title or f"#{record_id}") if one.kind.name == "text" else title or f"#{record_id}"
