"""Opening records to others: to people, departments and teams, to read or to edit, perhaps until a day.

Whoever may share a record opens it to whom he sees; to edit, only if he may edit it himself. Core knows reading and editing; an
addon may offer less by ``share_access`` of its model. Source: S1-08, S3-49, D15.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import select

from core.context import actor, now, system, zone_of
from core.db import among, db
from core.errors import Invalid, Missing, Refused
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.model import is_half, model_label
from core.people import Department, MortiseUser, Share, Team
from core.records import records
from core.rules import may, visible_ids
from core.spelling import narrow, read_day

RECIPIENTS: dict[str, Any] = {"users": MortiseUser, "departments": Department, "teams": Team}
COLUMNS = {"users": "user", "departments": "department", "teams": "team"}
MOST = 100
"""Up to so many people, departments and teams at once; a department or a team is the better word for more."""


def shareable(model: Any) -> bool:
    """May the acting person share any records of this kind?"""
    return not is_half(model) and not model.system_model and bool(model.share_access) and bool(may("share", model))


def clean(model: Any, values: dict[str, Any]) -> dict[str, Any]:
    """What a page or program sent, as `share` takes it: users, departments and teams as ids, access, until as a moment in UTC.

    ``until`` may be a day: the share then lasts to its end in the person's zone. Raises `Invalid` with a sentence for each word.
    """
    errors: dict[str, str] = {}
    made: dict[str, Any] = {}
    for name, target in RECIPIENTS.items():
        given = values.get(name) or []
        ids = {one for one in given if _is_id(one)} if isinstance(given, list) else set()
        if not isinstance(given, list) or len(ids) != len(set(map(str, given))) or len(visible_ids(target, ids)) != len(ids):
            errors[name] = _("There is no such record, or it is not visible to you.")
        made[name] = sorted(ids)
    count = sum(len(made[name]) for name in RECIPIENTS)
    if not count and not errors:
        errors["users"] = _("Choose at least one person, department or team.")
    if count > MOST:
        errors["users"] = _("At most %(count)s at once; a department or a team says more with one name.", count=MOST)
    made["access"] = values.get("access") or "read"
    if made["access"] not in model.share_access:
        errors["access"] = _("Please choose one of the values offered.")
    made["until"] = None
    if values.get("until"):
        try:
            made["until"] = end_of_day(str(values["until"]))
        except ValueError as wrong:
            errors["until"] = str(wrong)
        else:
            if made["until"] <= now():
                errors["until"] = _("This day is over; choose a later one.")
    if errors:
        raise Invalid(errors)
    return made


def _is_id(one: Any) -> bool:
    return isinstance(one, int) and not isinstance(one, bool) and 0 < one <= LARGEST_ID


def end_of_day(text: str) -> datetime:
    """The moment (UTC) at which a day ends in the person's zone. Raises `Wrong` for what is no day."""
    morning_after = datetime.combine(read_day(narrow(text).strip()) + timedelta(days=1), time(), zone_of(actor().zone))
    return morning_after.astimezone(UTC).replace(tzinfo=None)


def share(model: Any, ids: Sequence[int], values: dict[str, Any]) -> int:
    """Open these records, all or none, as `clean` has put it; who has a share already gets its new access and end.

    Returns how many shares were made or changed. Raises `Missing` and `Refused`, naming the record that stands in the way.
    """
    if not shareable(model):
        raise Refused(_("You may not share %(label)s.", label=model_label(model, many=True)), may("share", model))
    found = records(model).many(ids, lock=True)
    if len(found) != len(set(ids)):
        raise Missing(_("There is no such record, or it is not visible to you."))
    for record in found:
        verdict = may("share", record)
        if verdict and values["access"] == "edit":
            verdict = may("edit", record)
        if not verdict:
            raise Refused(_("You may not share “%(title)s” in this way; nothing was changed.", title=str(record)), verdict)
    until = values["until"]
    if isinstance(until, str):
        until = datetime.fromisoformat(until)
    table = model.__tablename__
    done, fresh = 0, []
    with system("a share, by somebody who may share the records"):
        stored = db.session.execute(select(Share).where(Share.model == table, among(Share.record_id, ids))).scalars().all()
        known = {(one.record_id, name, getattr(one, f"{COLUMNS[name]}_id")): one for one in stored for name in RECIPIENTS}
        for record in found:
            for name in RECIPIENTS:
                for recipient in values[name]:
                    row = known.get((record.id, name, recipient))
                    if row is None:
                        given = {COLUMNS[name]: recipient, "model": table, "record_id": record.id}
                        fresh.append({**given, "access": values["access"], "until": until})
                    elif (row.access, row.until) == (values["access"], until):
                        continue
                    else:
                        records(Share).edit(row, {"access": values["access"], "until": until})
                    done += 1
        # All at once: whoever gets many is told of them in one entry.
        records(Share).create_many(fresh, one=True)
    return done


def shares_of(record: Any) -> list[Any]:
    """The shares of a record, for somebody who may share it; the oldest first, those that are over left out."""
    if not may("share", record):
        return []
    query = select(Share).where(Share.model == type(record).__tablename__, Share.record_id == record.id).order_by(Share.id)
    found = db.session.execute(query, execution_options={"mortise_rules": False}).scalars()
    return [one for one in found if one.until is None or one.until > now()]


def end_share(record: Any, share_id: int) -> None:
    """Close what a share has opened. Raises `Refused` without the right to share the record, `Missing` when there is no such share."""
    if not (verdict := may("share", record)):
        raise Refused(_("You may not share “%(title)s” in this way; nothing was changed.", title=str(record)), verdict)
    row = next((one for one in shares_of(record) if one.id == share_id), None)
    if row is None:
        raise Missing(_("There is no such share any more."))
    with system("a share ends, by somebody who may share the record"):
        records(Share).delete(row)
