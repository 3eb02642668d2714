"""Taking away what entries of the journal say, while the entries stay and their hashes hold: of one record, of one person, of old kinds.

Each leaves an entry of its own that says so, on which the check leans. Source: S2-37, D19, issue of the journal (privacy).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, select, true, update

from core.accounts import attempts, sessions, sign_ins, user_table
from core.context import actor, now
from core.db import db
from core.errors import Conflict, Missing, Refused
from core.i18n import gettext as _
from core.journal import RARE, batches, journal, write
from core.journal_keep import ERASED, THINNED, entries_of_gaps, highest_before
from core.model import links_to, model_of
from core.people import ADMINISTRATORS
from core.rules import rights
from core.seal import digest_of, veiled, whom

CHUNK = 2_000
AFTER = Callable[[int], Any]


def only_administrators() -> None:
    """Refuse anybody below an administrator."""
    if not actor().system and rights().level not in ADMINISTRATORS:
        raise Refused(_("Only an administrator may erase values from the journal."))


# -- one record -----------------------------------------------------------------------------------------------------------


def erase(model: type, record_id: int) -> int:
    """Empty what the journal has kept of one record and its lines, for privacy; returns the number of rows.

    The rows stay, with a digest of what they said, so that the chain holds; who did something when is still told. Of a record
    that is there, the newest values are in its own row and not touched. Never commits. Raises `Refused` for anybody below an
    administrator, and `Conflict` when rows are not sealed yet or there is nothing to erase.
    """
    only_administrators()
    rows = values_of(model, record_id)
    if not rows:
        raise Conflict(_("The journal has kept no values of this record."))
    empty_rows(rows, {"model": model.__tablename__, "record": record_id})
    return len(rows)


def values_of(model: Any, record_id: int) -> list[Any]:
    """The rows (``id``, ``changes``, ``batch_id``) that say something of a record and its lines; `Conflict` when some are not sealed."""
    where = (journal.c.model == model.__tablename__) & (journal.c.record_id == record_id)
    for other, link in links_to(model):
        if link.part_of:
            where |= (journal.c.model == other.__tablename__) & (journal.c.part_of_id == record_id)
    columns = (journal.c.id, journal.c.changes, journal.c.batch_id, journal.c.seal)
    rows = db.session.execute(select(*columns).where(where, journal.c.digest.is_(None), journal.c.changes != "{}")).all()
    if any(row.seal is None for row in rows):
        raise Conflict(_("The newest entries are not sealed yet. Please try again in a minute."))
    return list(rows)


def empty_rows(rows: Sequence[Any], about: dict[str, Any]) -> None:
    """Empty sealed rows (``id``, ``changes`` and ``batch_id`` of each), leaving digests and an entry that names them.

    Titles of batches that name one of these values go, too. Rights are the caller's to ask.
    """
    if rows:
        put = update(journal).where(journal.c.id == bindparam("row")).values(changes="{}", digest=bindparam("digest_then"))
        db.session.connection().execute(put, [{"row": row.id, "digest_then": digest_of(row.changes)} for row in rows])
        _forget_titles(rows)
    write(journal.name, 0, ERASED, {**about, "rows": [row.id for row in rows]})


def _forget_titles(rows: Sequence[Any]) -> None:
    said = {row.batch_id: set[str]() for row in rows}
    for row in rows:
        # Two Chinese characters are a name; two letters are in every title.
        said[row.batch_id] |= {text for text in _texts(json.loads(row.changes)) if len(text) > (1 if not text.isascii() else 3)}
    numbers, named = list(said), []
    for start in range(0, len(numbers), CHUNK):
        titled = batches.c.id.in_(numbers[start : start + CHUNK]) & batches.c.title.is_not(None)
        for number, title in db.session.execute(select(batches.c.id, batches.c.title).where(titled)):
            if any(text in title for text in said[number]):
                named.append({"batch": number})
    if named:
        put = update(batches).where(batches.c.id == bindparam("batch")).values(title=None)
        db.session.connection().execute(put, named)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


# -- one person -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Erased:
    """What was taken away of one person, in rows of the journal."""

    values: int
    """Rows about his account and its lines that were emptied."""
    addresses: int
    """Rows of what he did that have lost their address."""
    older: int
    """Rows that keep their address, since they were sealed before addresses could be taken away."""


def account_named(name: str) -> int:
    """The number of an account, by its sign-in name, or of one that is gone by the number itself; raises `Missing`."""
    name = name.strip()
    found = db.session.execute(select(user_table.c.id).where(func.lower(user_table.c.username) == name.lower())).scalar()
    if found is not None:
        return int(found)
    known = (journal.c.model == user_table.name) & (journal.c.record_id == int(name)) if name.isdecimal() and len(name) < 10 else None
    if known is None or not db.session.execute(select(journal.c.id).where(known).limit(1)).first():
        raise Missing(_("There is no account “%(name)s”.", name=name[:60]))
    return int(name)


def erase_person(person: int, after: AFTER = lambda _done: None, until: int | None = None) -> Erased:
    """Take one person's values away: those of his account in all entries, and the addresses and programs he came from.

    That he did something when is still told, under the name that his account has now. Idempotent; ``after`` is called after each few
    thousand rows, and may commit. With ``until`` the addresses of what was sealed later stay, and an attempt that died goes on. Raises
    `Refused` for anybody below an administrator, `Conflict` when the newest entries are not sealed yet or there is nothing to erase.
    """
    only_administrators()
    rows = values_of(model_of(user_table.name), person)
    mine = (journal.c.user_id == person) | (journal.c.behalf_id == person)
    with_address = mine & journal.c.address.is_not(None) & (true() if until is None else journal.c.seal <= until)
    said = entries_of_gaps().people
    top = db.session.execute(select(func.max(journal.c.seal)).where(with_address, journal.c.address_veil.is_not(None))).scalar()
    if not rows and top is None and not _came_from(person) and (until is None or person not in said):
        raise Conflict(_("The journal has kept no values of this person."))
    login = db.session.execute(select(user_table.c.username).where(user_table.c.id == person)).scalar()
    for table in (sign_ins, sessions):
        db.session.execute(update(table).where(table.c.user_id == person).values(address=None, agent=None))
    if login is not None:
        # A pause that lasts still keeps somebody who guesses out, so its row goes when it is over.
        over = attempts.c.blocked_until.is_(None) | (attempts.c.blocked_until < now())
        keys = [f"{kind}:{login.lower()[:190]}" for kind in ("login", "code")]
        db.session.execute(delete(attempts).where(attempts.c.key.in_(keys), over))
    # An attempt that died on its way has left its entry, and goes on from there.
    if rows or (top or 0) > said.get(person, 0) or person not in said:
        empty_rows(rows, {"model": user_table.name, "person": person, "seal": top or 0})
    done = 0
    # The entry that says so is there first: a run that is killed on its way leaves nothing that the check does not know.
    after(done)
    where, last = with_address & (journal.c.seal <= (top or 0)) & journal.c.address_veil.is_not(None), 0
    while lot := _addressed(where & (journal.c.id > last)):
        last = lot[-1].id
        put = update(journal).where(journal.c.id == bindparam("row")).values(address=None, address_veil=bindparam("then"))
        db.session.connection().execute(put, [{"row": row.id, "then": veiled(row.address_veil, row.address)} for row in lot])
        done += len(lot)
        after(done)
    older = select(func.count()).where(with_address, journal.c.seal.is_not(None), journal.c.address_veil.is_(None))
    return Erased(len(rows), done, db.session.execute(older).scalar_one())


def _came_from(person: int) -> bool:
    """Is there a sign-in or a session of this person with an address or a program?"""
    for table in (sign_ins, sessions):
        told = table.c.address.is_not(None) | table.c.agent.is_not(None)
        if db.session.execute(select(table.c.user_id).where(table.c.user_id == person, told).limit(1)).first():
            return True
    return False


def _addressed(where: Any) -> Sequence[Any]:
    columns = (journal.c.id, journal.c.address, journal.c.address_veil)
    return db.session.execute(select(*columns).where(where).order_by(journal.c.id).limit(CHUNK)).all()


# -- old kinds ------------------------------------------------------------------------------------------------------------


def thin(verbs: Iterable[str], before: datetime) -> int:
    """Take person, record, address and values out of the next sealed rows of these verbs that are older than ``before`` (UTC).

    Returns how many, at most a few thousand; 0 when there are no more. An entry says of which verbs and up to which seal.
    Never commits; rights are the caller's to ask.
    """
    verbs = sorted(verbs)
    columns = journal.c
    done = _thinned_to(verbs)
    where = columns.verb.in_(verbs), RARE["verb"], columns.seal > done, columns.seal <= highest_before(before)
    rows = db.session.execute(select(journal).where(*where).order_by(columns.seal).limit(CHUNK)).mappings().all()
    if not rows:
        return 0
    put = update(journal).where(columns.id == bindparam("row")).values(
        changes="{}", digest=bindparam("told"), user_id=None, behalf_id=None, record_id=0, part_of_id=None, veil=bindparam("who"),
        address=None, address_veil=bindparam("where_from"),
    )  # fmt: skip
    lots = [_thinned(row) for row in rows if row["veil"] is not None]
    if lots:
        db.session.connection().execute(put, lots)
    if old := [row for row in rows if row["veil"] is None and row["digest"] is None and row["changes"] != "{}"]:
        # Sealed before persons could be taken away: these keep them until their months leave.
        put = update(journal).where(columns.id == bindparam("row")).values(changes="{}", digest=bindparam("told"))
        db.session.connection().execute(put, [{"row": row["id"], "told": digest_of(row["changes"])} for row in old])
    _forget_people(sorted({row["batch_id"] for row in rows}))
    write(journal.name, 0, THINNED, {"verbs": verbs, "before": before, "seal": rows[-1]["seal"], "count": len(rows)})
    return len(rows)


def _thinned_to(verbs: list[str]) -> int:
    """Up to which seal rows of all these verbs were thinned already."""
    thinned = entries_of_gaps().thinned
    return min(thinned.get(verb, 0) for verb in verbs)


def _thinned(row: Any) -> dict[str, Any]:
    told = row["digest"] or (digest_of(row["changes"]) if row["changes"] != "{}" else None)
    return {
        "row": row["id"], "told": told, "who": veiled(row["veil"], whom(row)), "where_from": veiled(row["address_veil"], row["address"]),
    }  # fmt: skip


def _forget_people(numbers: list[int]) -> None:
    """Batches of which no row names a person any more name none either."""
    named = select(journal.c.id).where(journal.c.batch_id == batches.c.id, journal.c.user_id.is_not(None)).exists()
    for start in range(0, len(numbers), CHUNK):
        some = batches.c.id.in_(numbers[start : start + CHUNK])
        db.session.execute(update(batches).where(some, ~named).values(user_id=None, title=None))
