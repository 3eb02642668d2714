"""Finding records of every kind by a few characters, for whoever does not know where to look; only what he may read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, case, cast, literal, select, union_all

from core.addons import enabled
from core.db import db
from core.filters import filter_fields
from core.listing import id_among, page
from core.model import models
from core.rules import may, sees_title
from core.search import anywhere, look_up, search_fields
from core.titles import know_titles, titles

OF_EACH = 5
IN_ALL = 20
LOOKED_AT = 2000
"""So many hits of all models are looked through; of commoner words the big models are asked one by one."""
ASKED_ALONE = 3
CORE_TABLES = ("ab_user", "core_department", "core_team")
"""What of core's own records a person looks for by name."""


@dataclass(frozen=True, slots=True)
class Found:
    """One record that was found."""

    model: Any
    id: int
    title: str


def find_records(words: str) -> list[Found]:
    """Up to five records of each model and twenty in all that these words find, models with the most hits last.

    One look-up answers for all models, one statement reads the titles through the person's rights. Only a word that more than
    2,000 records have costs more: its biggest models are searched like their lists.
    """
    words = words.strip()
    if not words or (len(words) < 2 and words.isascii()):
        return []
    searched = [one for one in models().values() if _searched(one)]
    hits = anywhere(words, searched, LOOKED_AT + 1)
    common: list[Any] = []
    if sum(map(len, hits.values())) > LOOKED_AT:
        common = sorted(hits, key=lambda one: -len(hits[one]))[:ASKED_ALONE]
        hits = anywhere(words, searched, LOOKED_AT, without=common)
    found = _titled(words, dict(sorted(hits.items(), key=lambda pair: len(pair[1]))[:IN_ALL]))
    for model in common:
        for row in page(model, search=words, order="-id", limit=OF_EACH, count=False, columns=[]).rows:
            found.append((model, row.id))
    return named_records(found[:IN_ALL])


def named_records(wanted: Iterable[tuple[Any, int]]) -> list[Found]:
    """These records with their titles, in this order, without those that the person may not read."""
    pairs = list(wanted)
    ids: dict[Any, set[int]] = {}
    for model, record_id in pairs:
        ids.setdefault(model, set()).add(record_id)
    know_titles(ids)
    known = {model: titles(model, some) for model, some in ids.items()}
    for model, told in known.items():
        if not sees_title(model):
            known[model] = {one: f"#{one}" for one in told}
    return [Found(model, record_id, known[model][record_id]) for model, record_id in pairs if record_id in known[model]]


def openable(table: str) -> Any:
    """The model of this table, if its addon is on and the person may read some of it; else None."""
    model: Any = models().get(table)
    return model if model is not None and enabled(model.addon) and may("read", model) else None


def _searched(model: Any) -> bool:
    if model.addon == "core" and model.__tablename__ not in CORE_TABLES:
        return False
    # What is found only by fields that are closed to the person would never show.
    return enabled(model.addon) and bool(may("read", model)) and bool(search_fields(model).keys() & filter_fields(model).keys())


def _titled(words: str, hits: dict[Any, list[int]]) -> list[tuple[Any, int]]:
    """The best hits of each model that the person may see: those called so first, then the newest. One statement."""
    parts, order = [], []
    for model, ids in hits.items():
        asked = look_up(model, words)
        if asked is None:
            continue
        best: Any = literal(0)
        if model.title_field != "id" and sees_title(model):
            title = cast(model.__fields__[model.title_field].column(model), String)
            best = case((title.istartswith(words, autoescape=True), 0), (title.icontains(words, autoescape=True), 1), else_=2)
        inner = select(literal(len(order)).label("place"), model.id.label("id"), best.label("best"))
        inner = inner.where(id_among(model.id, ids), *asked.visible).order_by(best, model.id.desc()).limit(OF_EACH)
        parts.append(select(inner.subquery()))
        order.append(model)
    if not parts:
        return []
    rows = db.session.execute(parts[0] if len(parts) == 1 else union_all(*parts)).all()
    rows = sorted(rows, key=lambda row: (row.place, row.best, -row.id))
    return [(order[row.place], row.id) for row in rows]
