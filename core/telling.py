"""What the house itself tells people: what was shared with them or became theirs, what became of their jobs, and of their account.

Nothing here watches a model, or imports could not write it the quick way (`core.sketches`): it hears of each flush as a whole.
Whoever gets many records by one batch (an import, a bulk action) is told of them by one entry that counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from core import journal
from core.context import actor, now
from core.db import db
from core.i18n import Lazy, lazy
from core.jobs import job
from core.model import is_owned, models
from core.notifications import AT_ONCE, Notification, doers, people_of, seen_by, tell_later, wanting, write, write_all
from core.numbering import rehearsing
from core.people import Department, MortiseUser, Share, Team
from core.sketch import model_behind

SHARED = Notification("shared", lazy("A record is shared with me"), "share")
GIVEN = Notification("given", lazy("A record becomes mine"), "user-check")
JOB = Notification("job", lazy("What I left to the background is over"), "clock-check")
ACCOUNT = Notification("account", lazy("Somebody changes my account or roles"), "user-cog")

SHARE_ONE, SHARE_MANY = lazy("%(who)s shares this with you."), lazy("%(who)s shares %(count)s records with you: %(records)s.")
GIVEN_ONE, GIVEN_MANY = lazy("%(who)s has made this yours."), lazy("%(who)s has made %(count)s records yours: %(records)s.")
Gathered = dict[tuple[Any, int], set[int]]
"""{(model, person): ids of records}"""


def _listen(saved: list[tuple[Any, str, Any]]) -> None:
    """One flush has written this."""
    who = actor()
    if who.user_id is None or rehearsing.get():
        # What nobody did, nobody tells of; whoever has a rule that hands out records tells of it himself.
        return
    given: Gathered = {}
    shares: list[Any] = []
    for record, verb, changes in saved:
        if verb == "delete":
            continue
        model = model_behind(record)
        if is_owned(model):
            if "owner" in changes and (owner := changes["owner"][1]) is not None and owner != who.user_id:
                given.setdefault((model, owner), set()).add(record.id)
        elif model is Share and verb == "create" and record.model in models():
            shares.append(record)
        elif model is MortiseUser and verb == "edit" and not changes.keys().isdisjoint(("level", "role_rows")):
            ACCOUNT.send(record.id, lazy("%(who)s has changed your level or your roles."), url="/account", topic="account")
    if given:
        _tell(GIVEN, given, GIVEN_ONE, GIVEN_MANY)
    if shares:
        _tell_of_shares(shares)


journal.listeners.append(_listen)


def _tell(kind: Notification, gathered: Gathered, one: str, many: str) -> None:
    """An entry for each person and kind of record in this batch; after the first time in a batch one statement for all of them."""
    entries = []
    known = db.session().info.setdefault("told", {})
    batch = actor().memo.get("batch_id")
    for (model, person), ids in sorted(gathered.items(), key=lambda each: (each[0][0].__tablename__, each[0][1])):
        place = kind.name, batch, model.__tablename__, person
        first = place not in known
        if first:
            known[place] = "asked" if wanting(people_of(person), kind.name) - doers() else "no"
        if known[place] == "no":
            continue
        if known[place] == "asked":
            seen = seen_by(person, model, sorted(ids))
            if len(seen) == len(ids):
                # The next chunks of an import are like the first; and each is asked again when it is opened.
                known[place] = "all"
            ids = {each for each in seen if each is not None}
        if ids:
            # One record is an entry by itself; of more, each batch is an entry, which grows while the batch goes on.
            topic = None if first and len(ids) == 1 else f"{batch}:{model.__tablename__}"
            told = kind.told(one, model, min(ids) if len(ids) == 1 else None, many=many, topic=topic, count=len(ids))
            entries.append((told, person))
    write_all(entries, actor().user_id)


def _tell_of_shares(shares: list[Any]) -> None:
    opened: dict[tuple[str, str, int], set[int]] = {}
    for one in shares:
        for name in ("user", "department", "team"):
            if (number := getattr(one, f"{name}_id")) is not None:
                opened.setdefault((one.model, name, number), set()).add(one.record_id)
    gathered: Gathered = {}
    for (table, name, number), ids in opened.items():
        people = {number} if name == "user" else _members(name, number) - doers()
        if len(people) <= AT_ONCE:
            for person in people:
                gathered.setdefault((models()[table], person), set()).update(ids)
            continue
        batch = None if len(ids) == 1 else f"{actor().memo.get('batch_id')}:{table}"
        record_id = min(ids) if len(ids) == 1 else None
        told = SHARED.told(SHARE_ONE, models()[table], record_id, many=SHARE_MANY, topic=batch, count=len(ids))
        tell_later(told, wanting({one for one in people if one is not None}, SHARED.name))
    _tell(SHARED, gathered, SHARE_ONE, SHARE_MANY)


def _members(name: str, number: int) -> set[Any]:
    group = db.session.get({"department": Department, "team": Team}[name], number, execution_options={"mortise_rules": False})
    return set(people_of(group)) if group is not None else set()


@job(every="1 day", at="07:00", system=True)
def tell_of_ending_shares() -> None:
    """Tells people what is shared with them for one more day only"""
    share = Share.__table__.c
    soon = share.until > now(), share.until <= now() + timedelta(days=1)
    rows = db.session.execute(select(share.model, share.record_id, share.user_id).where(*soon, share.user_id.is_not(None)))
    for table, record_id, person in rows.all():
        if table in models():
            words = lazy("This is shared with you for one more day.")
            SHARED.send(person, words, model=models()[table], record_id=record_id, topic=f"ends:{table}:{record_id}")


def tell_of_password(user_id: int | None) -> None:
    """Somebody has got a new password: from somebody else, or nobody needs to be told."""
    if user_id is not None and user_id != actor().user_id:
        ACCOUNT.send(user_id, lazy("%(who)s has given you a new password."), url="/account", topic="password")


def tell_of_job(run: Any, state: str, connection: Any = None) -> None:
    """A job is over: whoever queued it is told, where the job says so (``tells``)."""
    person = run.row.user_id
    if run.job is None or not run.job.tells or person is None or state == "cancelled":
        return
    words = lazy("In the background: “%(what)s” is done.") if state == "done" else lazy("In the background: “%(what)s” has failed.")
    told = JOB.told(words, url=f"/jobs/#job-{run.id}", topic=f"job:{run.id}", what=Lazy(run.job.title))
    write(told, wanting({person}, JOB.name, connection), person, connection)
