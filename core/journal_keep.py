"""Keeping the journal: is its chain whole, and taking old segments out; what is erased is `core.journal_erase`.

Whatever is taken out or erased leaves a row of its own, which no removal takes along; the check leans on those rows.
Source: S1-103, S2-37, D19.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import String, delete, func, select, type_coerce

from core.context import actor
from core.db import db
from core.errors import Conflict, Refused
from core.i18n import gettext as _
from core.journal import RARE, batches, canonical, journal, write
from core.rules import rights
from core.seal import lifted, row_hash, whom

REMOVED, ERASED, THINNED, CHECKED = "journal-removed", "journal-erased", "journal-thinned", "journal-checked"
KEPT = (REMOVED, ERASED, THINNED)
CHUNK = 5_000
LOWEST = -(2**62)
AT_ONCE = 1_000
MOST_FAULTS = 20


@dataclass(slots=True)
class Checked:
    """What a check of the journal has found."""

    rows: int = 0
    unsealed: int = 0
    removed: int = 0
    erased: int = 0
    head: tuple[int, str] = (0, "")
    """Number and hash of the newest sealed row: written down elsewhere, they prove later that nothing before was altered."""
    faults: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Nothing was altered, taken out or put in."""
        return not self.faults


def check(head: tuple[int, str] | None = None, tell: Callable[[int, int], Any] = lambda _done, _total: None) -> Checked:
    """Walk the chain from its first row to its newest; names up to twenty rows that were altered, taken out or put in unseen.

    ``head`` is the number and hash that an earlier check has told: what has been written anew since then, chain and all, differs.
    ``tell(rows so far, rows)`` is called after each few thousand.
    """
    # The highest number, by its index; how many rows there still are would have to be counted.
    total = db.session.execute(select(func.max(journal.c.seal))).scalar() or 0
    found = Checked(unsealed=db.session.execute(select(func.count()).where(journal.c.seal.is_(None))).scalar_one())
    told = entries_of_gaps()
    number, chain = 0, ""  # None as the hash of a row that is missing: what follows cannot be compared with it
    for row in _sealed(LOWEST):
        if type(row["seal"]) is not int or row["seal"] <= number:
            # No seal gives such a number; somebody has put it in below the first one.
            _fault(found, not_as_sealed(row))
            continue
        if row["seal"] != number + 1:
            number, chain = _over(found, told.gaps, number, chain, row)
        number = row["seal"]
        if chain is not None and not _holds(row, number, chain):
            _fault(found, not_as_sealed(row))
        elif gone := _gone(row):
            found.erased += 1
            if not told.allows(row, gone):
                sentence = _("Row %(id)s (seal %(seal)s, %(model)s %(record)s) was emptied, and no entry says so.", **_named(row))
                _fault(found, sentence)
        # Going on from what is stored: one altered row is one fault, not all that follow.
        chain = row["hash"]
        found.rows += 1
        if found.rows % CHUNK == 0:
            tell(found.rows, total)
        if head is not None and number == head[0] and chain != head[1]:
            _fault(found, _("The chain has been written anew: seal %(seal)s had another hash.", seal=number))
    found.head = (number, chain or "")
    if head is not None and head[0] > number:
        _fault(found, _("The rows after seal %(seal)s are missing.", seal=number))
    elif number < max((gap["to"] for gap in told.gaps.values()), default=0):
        _fault(found, _("The rows after seal %(seal)s are missing.", seal=number))
    return found


def not_as_sealed(row: Any) -> str:
    """The sentence about a row that somebody has altered or put in."""
    return _("Row %(id)s (seal %(seal)s, %(model)s %(record)s) is not as it was sealed.", **_named(row))


def _holds(row: Any, number: int, chain: str) -> bool:
    """Is a row as it was sealed? One that holds what no column takes, as SQLite stores it, is not."""
    try:
        return bool(row_hash(row, number, chain) == row["hash"])
    except (AttributeError, TypeError, ValueError):
        return False


def _named(row: Any) -> dict[str, Any]:
    return {"id": row["id"], "seal": row["seal"], "model": row["model"], "record": row["record_id"]}


def _fault(found: Checked, sentence: str) -> None:
    if len(found.faults) < MOST_FAULTS:
        found.faults.append(sentence)


def _over(found: Checked, gaps: dict[int, Any], number: int, chain: str | None, row: Any) -> tuple[int, str | None]:
    """Step over what was taken out with an entry; what is missing without one is a fault."""
    while number + 1 < row["seal"] and (gap := gaps.get(number + 1)) is not None:
        number, chain = gap["to"], gap["hash"]
        found.removed += gap["count"]
    if number + 1 != row["seal"]:
        _fault(found, _("Rows %(first)s to %(last)s (by seal) are missing, and no entry says so.", first=number + 1, last=row["seal"] - 1))
        chain = None
    return number, chain


@dataclass(slots=True)
class _Told:
    """What the journal's own entries say of rows that were taken out or emptied."""

    gaps: dict[int, Any] = field(default_factory=dict)
    """What was taken out, by its first seal."""
    erased: set[int] = field(default_factory=set)
    """Ids of rows whose values were erased."""
    people: dict[int, int] = field(default_factory=dict)
    """{person: up to which seal the addresses of what he did were erased}."""
    thinned: dict[str, int] = field(default_factory=dict)
    """{verb: up to which seal person, record, address and values were taken away}."""

    def add(self, verb: str, facts: Any) -> None:
        """Take in what an entry says. Raises what Python raises when it makes no sense."""
        if verb == REMOVED:
            for gap in facts["segments"]:
                known = {name: int(gap[name]) for name in ("from", "to", "count")} | {"hash": str(gap["hash"])}
                # One that ends before it begins would be walked for ever.
                if known["from"] <= known["to"]:
                    self.gaps[known["from"]] = known
        elif verb == THINNED:
            seal = int(facts["seal"])
            self.thinned |= {str(one): max(seal, self.thinned.get(one, 0)) for one in facts["verbs"]}
        else:
            self.erased.update(facts["rows"])
            if "person" in facts:
                person = int(facts["person"])
                self.people[person] = max(int(facts["seal"]), self.people.get(person, 0))

    def allows(self, row: Any, gone: set[str]) -> bool:
        """Does an entry say that these parts of the row were taken away, and are they gone?"""
        empty = {
            "changes": row["changes"] == "{}", "whom": whom(row) == [None, None, 0, None], "address": row["address"] is None,
        }  # fmt: skip
        said = set(gone) if row["seal"] <= self.thinned.get(row["verb"], 0) else set()
        if row["id"] in self.erased:
            said.add("changes")
        if any(row["seal"] <= self.people.get(one, 0) for one in (row["user_id"], row["behalf_id"])):
            said.add("address")
        return gone <= said and all(empty[one] for one in gone)


def _gone(row: Any) -> set[str]:
    """Which parts of a row were taken away."""
    parts = {"changes": row["digest"] is not None, "whom": lifted(row["veil"]), "address": lifted(row["address_veil"])}
    return {name for name, away in parts.items() if away}


def entries_of_gaps() -> _Told:
    """What the journal's own entries say was taken out or emptied."""
    found = _Told()
    query = select(journal.c.id, journal.c.verb, journal.c.changes).where(
        journal.c.model == journal.name, journal.c.verb.in_(KEPT), RARE["verb"]
    )
    # Put in order here: asked to do it, SQLite walks through the whole table.
    for row in sorted(db.session.execute(query), key=lambda one: one.id):
        # An entry that was altered says nothing here; the chain names it.
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            found.add(row.verb, json.loads(row.changes))
    return found


def _sealed(last: int = 0) -> Iterator[Any]:
    """The rows with a higher number than ``last``, in their order."""
    columns = [type_coerce(one, String).label("at") if one is journal.c.at and db.is_sqlite else one for one in journal.c]
    while True:
        query = select(*columns).where(journal.c.seal > last).order_by(journal.c.seal).limit(CHUNK)
        rows = db.session.execute(query).mappings().all()
        if not rows:
            return
        yield from ({**row, "at": _moment(row["at"])} for row in rows) if db.is_sqlite else rows
        last = rows[-1]["seal"]


def _moment(text: Any) -> Any:
    """A moment as SQLite keeps it; what is none is told as it is, for the chain to find."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return text


# -- taking out -----------------------------------------------------------------------------------------------------------


def only_the_highest() -> None:
    """Refuse anybody but a system administrator (D19)."""
    if not actor().system and rights().level != "system_administrator":
        raise Refused(_("Only a system administrator may take entries out of the journal."))


def highest_before(before: datetime) -> int:
    """The seal of the newest row such that it and all rows before it are sealed and older than ``before`` (UTC); 0 without one."""
    # From the lowest seal of what stays downward: whatever goes is passed over, never all that stays. The first rows by time hold
    # the lowest id among them, also when several were written at the same moment.
    first = select(journal.c.id).where(journal.c.at >= before).order_by(journal.c.at).limit(AT_ONCE).subquery()
    lowest = db.session.execute(select(func.min(first.c.id))).scalar()
    unsealed = db.session.execute(select(func.min(journal.c.id)).where(journal.c.seal.is_(None))).scalar()
    stays = min((one for one in (lowest, unsealed) if one is not None), default=2**62)
    # The sum keeps SQLite from walking through the ids instead.
    above = db.session.execute(select(func.min(journal.c.seal)).where(journal.c.id + 0 >= stays)).scalar()
    return (above or (db.session.execute(select(func.max(journal.c.seal))).scalar() or 0) + 1) - 1


def removable(before: datetime) -> tuple[int, int]:
    """(number of rows, highest seal) that `remove` would take out: whole and sealed, older than ``before`` (UTC)."""
    # The newest sealed row stays: the next number goes on from it.
    newest = db.session.execute(select(func.max(journal.c.seal))).scalar() or 0
    top = min(highest_before(before), newest - 1)
    rows = select(func.count()).where(journal.c.seal <= top, journal.c.verb.not_in(KEPT))
    return db.session.execute(rows).scalar_one(), top


def remove(before: datetime, archive: Path | None = None) -> int:
    """Take all sealed rows older than ``before`` (UTC) out, into the file ``archive`` first if one is given; returns how many.

    What remains is an entry with range, count and hash of each segment. Never commits. Raises `Refused` for anybody but a system
    administrator and `Conflict` when there is nothing so old, or the file exists.
    """
    only_the_highest()
    count, top = removable(before)
    if not count:
        raise Conflict(_("There is nothing so old in the journal."))
    segments: list[dict[str, Any]] = []
    leaving = _leaving(top, segments)
    # Row by row: an old journal does not fit into memory.
    name = _archived(archive, leaving) if archive is not None else None
    for _row in leaving:
        pass
    db.session.execute(delete(journal).where(journal.c.seal <= top, journal.c.verb.not_in(KEPT)))
    left = select(journal.c.batch_id).where(journal.c.batch_id == batches.c.id).exists()
    db.session.execute(delete(batches).where(batches.c.at < before, ~left))
    write(journal.name, 0, REMOVED, {"segments": segments, "archive": name})
    return count


def _leaving(top: int, segments: list[dict[str, Any]]) -> Iterator[Any]:
    """The rows up to the seal ``top`` that go; ``segments`` is filled as they are read."""
    last = 0
    for row in _sealed():
        if row["seal"] > top:
            return
        if row["verb"] in KEPT:
            last = 0
            continue
        if not last or row["seal"] != last + 1:
            segments.append({"from": row["seal"], "count": 0, "first": row["at"], "to": 0, "hash": "", "last": row["at"]})
        segments[-1] |= {"to": row["seal"], "hash": row["hash"], "last": row["at"], "count": segments[-1]["count"] + 1}
        last = row["seal"]
        yield row


def _archived(path: Path, rows: Iterable[Any]) -> str:
    """The rows as JSON lines, packed, in a new file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(_("The file %(name)s exists already; choose another name.", name=path.name)) from None
    with os.fdopen(number, "wb") as raw, gzip.open(raw, "wt", encoding="utf-8") as stream:
        for row in rows:
            stream.write(canonical(dict(row)) + "\n")
    return path.name
