"""The answer to a question to the journal as lines: for its CSV file, and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import func, select

from core.context import actor, local
from core.db import db
from core.errors import Refused
from core.i18n import gettext as _
from core.journal import JournalRow, journal
from core.journal_query import NAMES, question, rows_of
from core.model import fields_of, model_label, models
from core.people import ADMINISTRATORS
from core.rules import may, rights
from core.web.cells import change_texts, linked_in
from core.web.history import door_words, fact_texts, facts_of, nobody, people, verb_words, who_did

AT_ONCE = 600
MOST_LINES = 200_000


def told(words: Mapping[str, str], limit: int = MOST_LINES) -> Iterator[Any]:
    """The rows that answer, newest batch first; journalled that they are taken along.

    Raises `Refused` for anybody below an administrator and `Broken` for what means nothing, at once.
    """
    from core.transfer.exporting import tell_the_journal

    if not actor().system and rights().level not in ADMINISTRATORS:
        raise Refused(_("Only an administrator may read the journal."))
    asked = question(words)
    tell_the_journal(JournalRow, {name: words[name] for name in NAMES if words.get(name)})
    top = db.session.execute(select(func.max(journal.c.id))).scalar() or 0
    return rows_of(asked, top + 1, limit)


def lines(rows: Iterator[Any]) -> Iterator[list[str]]:
    """Heading and a line for each field that changed, in the reader's words."""
    heads = (_("Number"), _("When"), _("Who"), _("Door"), _("IP address"), _("Action"), _("Batch"), _("Kind of record"), _("Record"))
    yield [*heads, _("Field"), _("Old"), _("New"), _("Hash")]
    yield from _by_lots(rows, _lines)


def objects(rows: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Each row as an object for JSON: stored values, moments in UTC, and of values those alone that the reader may see."""
    yield from _by_lots(rows, _objects)


def _by_lots(rows: Iterator[Any], made: Callable[[list[Any]], Iterator[Any]]) -> Iterator[Any]:
    while lot := list(islice(rows, AT_ONCE)):
        yield from made(lot)


def _fields(table: str) -> dict[str, Any] | None:
    """The fields whose values the reader may see; None when he may not read such records at all, or there are none any more."""
    model = models().get(table)
    if model is None or not may("read", model):
        return None
    seen = fields_of(model) if actor().system else rights().fields_seen(model)
    return {name: one for name, one in seen.items() if not one.sensitive}


def _lines(rows: list[Any]) -> Iterator[list[str]]:
    names, verbs, doors = people(one for row in rows for one in (row.user_id, row.behalf_id)), verb_words(), door_words()
    facts = {row.id: facts_of(row) for row in rows}
    texts: dict[int, list[dict[str, str]]] = {}
    for table in {row.model for row in rows}:
        if (fields := _fields(table)) is not None:
            mine = [row for row in rows if row.model == table]
            linked = linked_in(fields, [facts[row.id] for row in mine])
            texts |= {row.id: change_texts(models()[table], facts[row.id], fields, linked) for row in mine}
    for row in rows:
        label = model_label(models()[row.model], many=True) if row.model in models() else row.model
        head = [
            str(row.id), local(row.at).strftime("%Y-%m-%d %H:%M:%S"), who_did(row, names, nobody([row])),
            doors.get(row.door, "") or row.door, row.address or "", verbs.get(row.verb, row.verb), str(row.batch_id), label,
            str(row.record_id or ""),
        ]  # fmt: skip
        said = texts.get(row.id) or (fact_texts(row.verb, facts[row.id]) if row.id in texts else [])
        for one in said or [{"label": "", "old": "", "new": ""}]:
            yield [*head, one["label"], one["old"], one["new"], row.hash or ""]


def _objects(rows: list[Any]) -> Iterator[dict[str, Any]]:
    names = people(one for row in rows for one in (row.user_id, row.behalf_id))
    known = {table: _fields(table) for table in {row.model for row in rows}}
    for row in rows:
        yield {
            "id": row.id, "seal": row.seal, "at": row.at.isoformat() + "Z", "person": names.get(row.user_id), "person_id": row.user_id,
            "on_behalf_id": row.behalf_id, "door": row.door, "address": row.address, "request": row.request_id, "verb": row.verb,
            "batch": row.batch_id, "model": row.model, "record": row.record_id or None, "changes": _seen_facts(row, known[row.model]),
            "erased": row.digest is not None, "hash": row.hash,
        }  # fmt: skip


def _seen_facts(row: Any, fields: dict[str, Any] | None) -> dict[str, Any]:
    facts = facts_of(row)
    if row.verb not in ("create", "edit", "delete"):
        return facts if fields is not None or row.model not in models() else {}
    seen = {key: name for name, one in (fields or {}).items() for key in (name, one.key)}
    return {seen[key]: pair for key, pair in facts.items() if key in seen}
