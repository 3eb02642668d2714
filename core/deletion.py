"""Deleting: what goes along, what stands in the way, read with the system's eyes so that sleeping and hidden rows count too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import inspect, select

from core.context import system
from core.db import db
from core.errors import Invalid
from core.fields import Field
from core.i18n import gettext as _
from core.i18n import listed
from core.model import links_to, model_label
from core.people import Share
from core.prepare import flush


def along(found: Sequence[Any]) -> tuple[list[Any], list[tuple[Any, Field]], list[tuple[Any, Field]]]:
    """What a deletion of ``found`` means: (records that are deleted, links that are cleared, required links in the way).

    Read with the system's eyes: rows that sleep or that the person may not see count like all others.
    """
    doomed = {(type(one), one.id): one for one in found}
    cleared: list[tuple[Any, Field]] = []
    blocking: list[tuple[Any, Field]] = []
    queue: list[Any] = list(found)
    while queue:
        lot, queue = queue, []
        for model in {type(one) for one in lot}:
            ids = [one.id for one in lot if type(one) is model]
            for other, link in links_to(model):
                for record in _pointing(other, link, ids):
                    if (other, record.id) in doomed:
                        continue
                    if link.part_of:
                        doomed[other, record.id] = record
                        queue.append(record)
                    else:
                        (blocking if link.required else cleared).append((record, link))
    blocking = [(record, link) for record, link in blocking if (type(record), record.id) not in doomed]
    cleared = [(record, link) for record, link in cleared if (type(record), record.id) not in doomed]
    return list(doomed.values()), cleared, blocking


def _pointing(other: Any, link: Field, ids: list[int]) -> Sequence[Any]:
    """The records of ``other`` whose ``link`` leads to one of ``ids``."""
    if link.kind.name == "links":
        relation = inspect(other).relationships[link.name]
        ((_mine, near),) = relation.synchronize_pairs
        ((_theirs, far),) = relation.secondary_synchronize_pairs
        where = other.id.in_(select(near).where(far.in_(ids)))
    else:
        where = getattr(other, link.key).in_(ids)
    return db.session.execute(select(other).where(where), execution_options={"mortise_rules": False}).scalars().all()


def _all_links(record: Any, name: str) -> list[Any]:
    """What a record links to by a field of several links, hidden ones too: a person may have loaded only those he sees."""
    db.session.expire(record, [name])
    found: list[Any] = getattr(record, name)
    return found


def delete_with_parts(found: Sequence[Any]) -> None:
    from core.files import attached

    for one in found:
        if sentence := getattr(type(one), "never_deleted", None):
            raise Invalid({"": str(sentence)})
    session = db.session()
    with system("a deletion takes its parts along"):
        doomed, cleared, blocking = along(found)
        if blocking:
            names = sorted({model_label(type(record), many=True) for record, _link in blocking})
            raise Invalid(
                {
                    "": _(
                        "“%(title)s” cannot be deleted: %(count)s records of %(names)s need it. Move or delete those first.",
                        title=str(found[0]),
                        count=len(blocking),
                        names=listed(names),
                    )
                }
            )
        with session.begin_nested():
            going = {(type(one), one.id) for one in doomed}
            for record, link in cleared:
                if link.kind.name == "links":
                    setattr(record, link.name, [one for one in _all_links(record, link.name) if (type(one), one.id) not in going])
                else:
                    setattr(record, link.key, None)
            for model in {type(one) for one in doomed}:
                ids = [one.id for one in doomed if type(one) is model]
                for share in session.execute(select(Share).where(Share.model == model.__tablename__, Share.record_id.in_(ids))).scalars():
                    session.delete(share)
                for file in attached(model, ids):
                    session.delete(file)
            for record in doomed:
                for one in type(record).__fields__.values():
                    if one.kind.name == "links":
                        _all_links(record, one.name)
                session.delete(record)
            flush()
