"""History as people read it: the journal of one record by days, and of the whole house by batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from core.context import local, now
from core.db import db
from core.fields import Field
from core.i18n import gettext as _
from core.i18n import ngettext, t
from core.journal import LOOKING, batches
from core.model import fields_of, model_label, models
from core.past import parts_of, rows_with_parts
from core.reading import spans
from core.records import titles
from core.rules import may, visible_ids
from core.seal import lifted
from core.web.cells import change_texts, linked_in, record_url
from core.web.views import View, view_of

ICONS = {
    "create": "plus",
    "edit": "pencil",
    "delete": "trash",
    "export": "download",
    "import": "upload",
    "sign-in": "login",
    "sign-in-failed": "alert-triangle",
    "sign-out": "logout",
    "password": "key",
    "view-as": "eye",
    "session-end": "logout",
    "api-key": "key",
    "api-key-end": "key-off",
    "journal-removed": "archive",
    "journal-erased": "eraser",
    "journal-thinned": "eraser",
    "journal-checked": "shield-check",
    "read": "eye",
    "download": "download",
    "print": "printer",
    "second-factor": "device-mobile",
    "unlock": "lock-open",
}
MOST_CHANGES = 8
QUIET = {"mortise_rules": False}


def verb_words() -> dict[str, str]:
    """What happened, as a person reads it."""
    return {
        "create": _("created"),
        "edit": _("changed"),
        "delete": _("deleted"),
        "export": _("exported"),
        "import": _("imported"),
        "sign-in": _("signed in"),
        "sign-in-failed": _("could not sign in"),
        "sign-out": _("signed out"),
        "password": _("changed the password"),
        "view-as": _("viewed the house as"),
        "session-end": _("ended sessions"),
        "api-key": _("made an API key"),
        "api-key-end": _("deleted an API key"),
        "journal-removed": _("took old entries out of the journal"),
        "journal-erased": _("erased values from the journal"),
        "journal-thinned": _("took persons and values out of old entries of the journal"),
        "journal-checked": _("checked the journal"),
        "read": _("read"),
        "download": _("saved a file"),
        "print": _("printed"),
        "second-factor": _("changed the second factor"),
        "unlock": _("unlocked"),
        "backup": _("made a backup"),
        "backup-uploaded": _("uploaded a backup"),
        "backup-downloaded": _("downloaded a backup"),
        "backup-deleted": _("deleted a backup"),
        "backup-passphrase": _("changed the passphrase of backups"),
        "restore-asked": _("asked for a restore"),
        "restore": _("restored a backup"),
        "restore-failed": _("could not restore a backup"),
        "seed": _("came with its addon"),
        "demo": _("filled in demo data"),
        "demo removed": _("removed demo data"),
        "mail-again": _("had a mail sent again"),
        "mail-cancel": _("cancelled a mail"),
        "mail-password": _("changed the password of the mail server"),
        "job-cancel": _("cancelled a job"),
        "job-again": _("had a job tried again"),
        "remove": _("removed an addon for good"),
        "password-link": _("made a link for a new password"),
    }


def door_words() -> dict[str, str]:
    """Through which door."""
    return {
        "screen": "",
        "api": _("by the API"),
        "command line": _("on the command line"),
        "import": _("by an import"),
        "job": _("by a job"),
        "system": _("by the system"),
    }


def people(ids: Any) -> dict[int, str]:
    """Names for the history: everybody may read who did something to a record he may read."""
    from core.people import User

    wanted = sorted({one for one in ids if one})
    if not wanted:
        return {}
    return dict(db.session.execute(select(User.id, User.name).where(User.id.in_(wanted)), execution_options=QUIET).all())


def fact_texts(verb: str, facts: dict[str, Any]) -> list[dict[str, str]]:
    """What a row says that tells of no change, as lines like those of changes: how many were taken along, which ones."""
    words = {"rows": _("Rows"), "ids": _("Numbers of the records"), "groups": _("Groups and totals of"), "name": _("File")}
    made = []
    if verb in ("api-key", "api-key-end"):
        return _key_texts(facts)
    for name, label in words.items() if verb in (*LOOKING, "export") else ():
        value = facts[name][1] if isinstance(facts.get(name), list) and verb == "export" else facts.get(name)
        if value not in (None, ""):
            new = spans(value) if name == "ids" and isinstance(value, list) else " ".join(value) if isinstance(value, list) else str(value)
            made.append({"label": label, "old": "", "new": new})
    return made


def _key_texts(facts: dict[str, Any]) -> list[dict[str, str]]:
    from core.web.key_pages import reach_words, until_words

    read = {
        "key": (_("API key"), str), "start": (_("Begins with"), str), "reach": (_("It may"), lambda value: reach_words(value.split())),
        "until": (_("Until"), lambda value: until_words(datetime.fromisoformat(value.removesuffix("Z")))),
    }  # fmt: skip
    # Of keys made before this was told there is a name and no more.
    told = {name: facts[name] for name in read if isinstance(facts.get(name), list)}
    return [
        {"label": read[name][0], **{when: read[name][1](one) if one else "" for when, one in zip(("old", "new"), pair, strict=True)}}
        for name, pair in told.items()
    ]


def facts_of(row: Any) -> dict[str, Any]:
    """What a row of the journal says: ``{field: [old, new]}``, or facts of what is no change."""
    try:
        found = json.loads(row.changes)
    except ValueError:
        return {}
    found = found if isinstance(found, dict) else {}
    return _by_names(models().get(row.model), found) if row.verb == "delete" else found


def _by_names(model: Any, found: dict[str, Any]) -> dict[str, Any]:
    """What a deletion has kept by column, by the names of the fields; custom ones each for itself."""
    names = {one.key: one.name for one in model.__fields__.values()} if model is not None else {}
    custom = found.pop("custom", None)
    own = custom[0] if isinstance(custom, list) and custom and isinstance(custom[0], dict) else {}
    return {names.get(key, key): pair for key, pair in found.items()} | {name: [value, None] for name, value in own.items()}


def _event(
    row: Any, model: type | None, facts: dict[str, Any], fields: dict[str, Any], linked: dict[str, dict[int, str]]
) -> SimpleNamespace:
    changes = change_texts(model, facts, fields, linked) if model is not None and row.verb != "delete" else []
    changes = changes or fact_texts(row.verb, facts)
    shown = [one for one in changes if one["old"] or one["new"]]
    more = len(shown) - MOST_CHANGES
    return SimpleNamespace(
        verb=row.verb,
        line="",
        kind="call" if row.verb == "create" else "rule" if row.verb == "delete" else "",
        icon=ICONS.get(row.verb, "git-commit"),
        what=verb_words().get(row.verb, row.verb),
        changes=shown[:MOST_CHANGES],
        moment=row.at.isoformat() + "Z",
        time=local(row.at).strftime("%H:%M"),
        full=local(row.at).strftime("%Y-%m-%d %H:%M:%S"),
        more=ngettext("%(count)s more field", "%(count)s more fields", more) if more > 0 else "",
    )


def day_label(moment: datetime) -> str:
    """Today, yesterday, or the date."""
    there, here = local(moment).date(), local(now()).date()
    if there == here:
        return _("Today")
    return _("Yesterday") if there == here - timedelta(days=1) else there.isoformat()


def by_days(entries: Iterable[tuple[datetime, Any]]) -> list[SimpleNamespace]:
    """(moment, entry), newest first, as days: each with its ``label`` and its ``entries``."""
    days: list[SimpleNamespace] = []
    for moment, entry in entries:
        label = day_label(moment)
        if not days or days[-1].label != label:
            days.append(SimpleNamespace(label=label, entries=[]))
        days[-1].entries.append(entry)
    return days


def seen_parts(model: type) -> list[tuple[type, Field]]:
    """The kinds of lines whose records the acting person may read at all."""
    from core.addons import enabled

    return [(other, link) for other, link in parts_of(model) if enabled(other.addon) and may("read", other)]


def stored_ids(other: Any, ids: list[int]) -> set[int]:
    """Those of these ids that are in the table, whoever may read them."""
    if not ids:
        return set()
    query = select(other.id).where(other.id.in_(ids))
    return set(db.session.execute(query, execution_options={"mortise_rules": False}).scalars())


def _of_lines(rows: list[Any], parts: list[tuple[Any, Field]]) -> dict[int, SimpleNamespace]:
    """{row of the journal: the event of a line}; without lines that are out of the person's reach now."""
    found: dict[int, SimpleNamespace] = {}
    for other, link in parts:
        some = [row for row in rows if row.model == other.__tablename__]
        if not some:
            continue
        hidden = stored_ids(other, list({row.record_id for row in some}))
        seen = visible_ids(other, hidden)
        hidden -= seen
        fields = {name: one for name, one in view_of(other).fields().items() if name != link.name}
        known = titles(other, seen)
        facts = {row.id: facts_of(row) for row in some if row.record_id not in hidden}
        linked = linked_in(fields, list(facts.values()))
        for row in some:
            if row.id not in facts:
                continue
            event = _event(row, other, facts[row.id], fields, linked)
            told = facts[row.id].get(other.title_field) if other.title_field in fields else None
            words = [each for each in told or [] if isinstance(each, str)] if isinstance(told, list) else []
            event.line = f"{model_label(other)} {known.get(row.record_id) or (words[-1] if words else f'#{row.record_id}')}"
            found[row.id] = event
    return found


def history_page(view: View, record: Any, limit: int) -> SimpleNamespace:
    """The journal rows of one record and its lines by days, newest first.

    Five statements and one for the titles that links name; for each kind of line that has changed three more, and one for its links.
    """
    parts = seen_parts(view.model)
    rows = rows_with_parts(view.model, record.id, parts, limit + 1)
    older, rows = len(rows) > limit, rows[:limit]
    lines, own = _of_lines(rows, parts), view.model.__tablename__
    rows = [row for row in rows if row.model == own or row.id in lines]
    names, fields = people(row.user_id for row in rows), view.fields()
    facts = [facts_of(row) for row in rows]
    linked = linked_in(fields, [found for row, found in zip(rows, facts, strict=True) if row.model == own])
    undone = _undone({row.batch_id for row in rows})
    may_undo = bool(may("edit", record))
    told: list[tuple[datetime, SimpleNamespace]] = []
    undoable = True
    for row, found in zip(rows, facts, strict=True):
        mine = row.model == own
        event = _event(row, view.model, found, fields, linked) if mine else lines[row.id]
        event.who = names.get(row.user_id) or _("The system")
        event.door = door_words().get(row.door, row.door)
        # Only the newest change is offered here: an older one would meet the newer as a conflict.
        newest = may_undo and undoable and mine and row.verb == "edit" and row.batch_id not in undone
        event.undo_url = f"/undo/{row.batch_id}" if newest else ""
        undoable = undoable and not mine
        told.append((row.at, event))
    here = record_url(view.model.__tablename__, record.id)
    return SimpleNamespace(days=by_days(told), more_url=f"{here}/_history?limit={limit * 5}" if older else "", record_url=here)


def _undone(ids: set[int]) -> set[int]:
    rows = db.session.execute(select(batches.c.id).where(batches.c.id.in_(sorted(ids) or [0]), batches.c.undone_by.is_not(None)))
    return set(rows.scalars())


def nobody(rows: list[Any]) -> str:
    """Who did what names no person (any more)."""
    gone = any(lifted(row.veil) for row in rows)
    return _("No longer kept") if gone else _("The system")


def who_did(row: Any, names: Mapping[int, str], otherwise: str) -> str:
    """Who did what a row tells; whoever looked with another's eyes is named before him."""
    name = names.get(row.user_id) or otherwise
    return _("%(viewer)s, with the eyes of %(person)s", viewer=names[row.behalf_id], person=name) if row.behalf_id in names else name


def batch_blocks(ids: list[int], heads: dict[int, Any], rows: list[Any], more: Mapping[int, str]) -> list[SimpleNamespace]:
    """Batches in words: their rows, and how many ``more`` there are, by the number of the batch."""
    names = people([*(one for row in rows for one in (row.user_id, row.behalf_id)), *(row.user_id for row in heads.values())])
    by_model: dict[str, list[Any]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    drawn: dict[int, list[SimpleNamespace]] = {}
    for table, mine in by_model.items():
        model = models().get(table)
        for row, event in zip(mine, events(model, mine), strict=True):
            event.at = row.id
            drawn.setdefault(row.batch_id, []).append(event)
    found = []
    for number in ids:
        head, told = heads.get(number), sorted(drawn.get(number, []), key=lambda one: -one.at)
        if head is None:
            continue
        # As the chained rows say it, where they say one thing; no hash holds the head of a batch.
        some = [row for row in rows if row.batch_id == number]
        one = some[0] if len({(row.user_id, row.behalf_id, row.door) for row in some}) == 1 else None
        found.append(
            SimpleNamespace(
                number=number,
                who=who_did(one, names, nobody(some)) if one else names.get(head.user_id) or nobody(some),
                title=t(head.title) if head.title else "",
                door=door_words().get((one or head).door, (one or head).door),
                moment=head.at.isoformat() + "Z",
                full=local(head.at).strftime("%Y-%m-%d %H:%M:%S"),
                time=f"{day_label(head.at)} {local(head.at).strftime('%H:%M')}",
                undone=head.undone_by is not None,
                undo_url=f"/undo/{number}" if any(one.verb in ("create", "edit", "delete") for one in told) else "",
                events=told,
                more=more.get(number, ""),
            )
        )
    return found


def events(model: type | None, rows: list[Any]) -> list[SimpleNamespace]:
    """The journal rows of one model as events; a fixed number of statements."""
    facts = [facts_of(row) for row in rows]
    fields = fields_of(model) if model is not None else {}
    fields = {name: one for name, one in fields.items() if not one.sensitive}
    linked = linked_in(fields, facts)
    ids = {row.record_id for row in rows}
    seen = visible_ids(model, ids) if model is not None else set()
    known = titles(model, seen) if model is not None else {}
    # What is gone is told to whoever may read such records at all; who may not is told that something happened, not what.
    told = model is None or bool(may("read", model))
    made = []
    for row, found in zip(rows, facts if told else [{}] * len(facts), strict=True):
        event = _event(row, model, found, fields, linked)
        label = model_label(model) if model is not None else row.model
        old = found.get(getattr(model, "title_field", ""), [None])
        # An import or an export is about a model, not about one record.
        numbered = f"#{row.record_id}" if row.record_id else ""
        name = known.get(row.record_id) or (old[0] if isinstance(old, list) and isinstance(old[0], str) else None) or numbered
        event.title, event.url = f"{label} {name}", record_url(row.model, row.record_id) if row.record_id in seen else ""
        made.append(event)
    return made
