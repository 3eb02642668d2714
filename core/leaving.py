"""What is still open when somebody leaves: the records he is named in, what he heads, and handing it all over (S0-16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, literal, select, union_all

from core.addons import enabled
from core.bulk import AT_ONCE
from core.context import actor
from core.db import db
from core.fields import Field
from core.model import links_to
from core.people import MortiseUser
from core.records import records
from core.rules import may, rights

MOST = 10_000
"""A count goes no further."""


@dataclass(frozen=True, slots=True)
class Open:
    """Records of one kind that name somebody in one field."""

    model: Any
    link: Field
    count: int

    @property
    def key(self) -> str:
        """How forms name it."""
        return f"{self.model.__tablename__}.{self.link.name}"

    @property
    def filter(self) -> dict[str, Any]:
        """The filter of a list that shows them, given the person."""
        return {"field": self.link.name, "op": "is"}


def open_of(user_id: int) -> list[Open]:
    """Every kind of record, of addons that are on, that names this person in a link of its own and that the acting person may see.

    Who has made or changed a record last stays as it is, and what is a part of the person (posts, personal rights) goes with him. One
    statement; counts end at 10,000.
    """
    known: list[tuple[Any, Field]] = []
    for model, link in links_to(MortiseUser):
        hidden = not actor().system and link.name not in rights().fields_seen(model)
        if link.kind.name == "link" and not link.part_of and not link.system and enabled(model.addon) and may("read", model) and not hidden:
            known.append((model, link))
    if not known:
        return []
    parts = []
    for place, (model, link) in enumerate(known):
        reach = None if actor().system else rights().row_filter(model, "read")
        some = select(model.id).where(link.column(model) == user_id, *(() if reach is None else (reach,))).limit(MOST)
        parts.append(select(literal(place).label("place"), func.count().label("count")).select_from(some.subquery()))
    counts = dict(db.session.execute(union_all(*parts), execution_options={"mortise_rules": False}).all())
    return [Open(model, link, counts[place]) for place, (model, link) in enumerate(known) if counts[place]]


def hand_over(one: Open, user_id: int, successor: int | None) -> int:
    """Name ``successor`` (None: nobody) in all of these records, at most 500, through the gate; returns how many. Never commits.

    Raises what an edit raises, and then nothing is written.
    """
    gate = records(one.model)
    ids = list(db.session.execute(gate.select().where(one.link.column(one.model) == user_id).limit(AT_ONCE)).scalars())
    return gate.edit_many([each.id for each in ids], {one.link.name: successor}) if ids else 0
