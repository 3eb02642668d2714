"""Undo: what a batch did is done backwards from its journal rows; what has changed since is shown, never overwritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Date, DateTime, Numeric, exists, insert, inspect, select, update

from core.context import acting, actor, now, system
from core.db import db
from core.deletion import along
from core.errors import Conflict, Missing, Refused
from core.i18n import gettext as _
from core.journal import batches, journal
from core.model import fields_of, models
from core.people import ADMINISTRATORS
from core.prepare import flush
from core.rules import Verdict, rights
from core.unique import taken
from core.verdicts import Fact

OWN_UNDO = timedelta(minutes=15)
"""How long a person may undo his own last actions; an administrator may undo any batch at any time."""

QUIET = {"mortise_rules": False}
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Clash:
    """One thing an undo left alone, because it is not any more as the batch had left it."""

    model: str
    record_id: int
    field: str
    sentence: str


@dataclass(slots=True)
class Undone:
    """What an undo did."""

    batch_id: int
    count: int = 0
    """Records brought back to what they were."""
    clashes: list[Clash] = field(default_factory=list)
    withdrawn: int = 0
    """Mails that told of it and had not left yet; they do not go any more."""
    left: int = 0
    """Mails that told of it and have left the house: no undo reaches them."""


def may_undo(batch: Any) -> Verdict:
    """May the acting person undo this row of core_batch?"""
    who = actor()
    if who.system or rights().level in ADMINISTRATORS:
        return Verdict(True, (Fact("level", f"ab_user:{who.user_id}"),))
    if who.user_id is not None and batch.user_id == who.user_id and now() - batch.at <= OWN_UNDO:
        return Verdict(True, (Fact("undo"),))
    return Verdict(False, (Fact("late"),))


def undoable(batch_id: int) -> Any:
    """The row of core_batch, locked, if the acting person may undo it now. Raises `Missing`, `Refused` and `Conflict`."""
    batch = db.session.execute(select(batches).where(batches.c.id == batch_id).with_for_update()).first()
    if batch is None:
        raise Missing(_("There is no such action in the journal."))
    verdict = may_undo(batch)
    if not verdict:
        raise Refused(_("You may not undo this."), verdict)
    if batch.undone_by is not None:
        raise Conflict(_("This was undone already."))
    return batch


def last_own(again: bool = False) -> int | None:
    """The batch that Ctrl-Z takes back: the newest that the acting person did by hand in the last fifteen minutes and that still stands.

    With ``again`` the newest undo, if nothing was done since: what Ctrl-Shift-Z takes back. None when there is none.
    """
    found = select(batches.c.id, batches.c.undoes).where(
        batches.c.user_id == actor().user_id, batches.c.at >= now() - OWN_UNDO, batches.c.undone_by.is_(None),
        batches.c.door.in_(("screen", "job", "import")),
        exists().where(journal.c.batch_id == batches.c.id, journal.c.verb.in_(("create", "edit", "delete"))),
    )  # fmt: skip
    if not again:
        found = found.where(batches.c.undoes.is_(None))
    newest = db.session.execute(found.order_by(batches.c.id.desc()).limit(1)).first()
    return newest.id if newest is not None and (newest.undoes is not None) is again else None


def ask_again(batch_id: int) -> None:
    """Raise `Refused` when the acting person may not undo this batch now: its job, cancelled then, is to be tried again."""
    batch = db.session.execute(select(batches).where(batches.c.id == batch_id)).first()
    if batch is not None and not (verdict := may_undo(batch)):
        raise Refused(_("You may not undo this."), verdict)


def undo(batch_id: int) -> Undone:
    """Undo a batch as a new batch of its own (so that it can be undone again). Never commits.

    Raises `Missing`, `Refused`, and `Conflict` when it was undone already or nothing of it can be undone.
    """
    from core.mail_jobs import withdraw_mails

    batch = undoable(batch_id)
    rows = db.session.execute(select(journal).where(journal.c.batch_id == batch_id).order_by(journal.c.id.desc())).all()
    if rows and not any(row.verb in ("create", "edit", "delete") for row in rows):
        raise Conflict(_("This changed no record: what it did has left the house, or is over. There is nothing to undo."))
    title = _("Undo: %(title)s", title=batch.title or f"#{batch_id}")[:200]
    with acting(replace(actor(), batch_title=title, memo={"undoes": batch_id})), system("undo"):
        own = _own_batch(batch_id)
        work = _Work(batch_id, Undone(own))
        work.run(rows)
        if not work.result.count:
            raise Conflict(_("Nothing was undone: all of it has been changed since."), clashes=work.result.clashes)
        db.session.execute(update(batches).where(batches.c.id == batch_id).values(undone_by=own))
        if batch.undoes is not None:
            db.session.execute(update(batches).where(batches.c.id == batch.undoes).values(undone_by=None))
        work.result.withdrawn, work.result.left = withdraw_mails(batch_id, all_undone=not work.result.clashes)
    return work.result


def undo_part(batch_id: int, own: int, rows: Sequence[Any]) -> Undone:
    """Undo some rows of a batch, given newest first, as part of the batch ``own``; for undoing a large batch in several commits.

    Whoever calls it has asked the rights, hands over all rows in turn, and marks the batch as undone at the end.
    """
    with acting(replace(actor(), memo={"batch_id": own, "undoes": batch_id})), system("undo"):
        work = _Work(batch_id, Undone(own))
        work.run(list(rows))
    return work.result


def take_back(rows: Sequence[Any]) -> list[Clash]:
    """Do these rows of the journal, newest first, backwards within the present batch; returns what could not be. Asks no rights."""
    # Like an undo, it brings nobody what he could not give (`core.people_rules`).
    actor().memo.setdefault("undoes", None)
    with system("a part of an action is taken back"):
        work = _Work(0, Undone(0))
        work.run(list(rows))
    return work.result.clashes


def mark_undone(batch_id: int, own: int | None) -> None:
    """Note that ``own`` has undone a batch; None when it is as it was again."""
    db.session.execute(update(batches).where(batches.c.id == batch_id).values(undone_by=own))


def new_undo_batch(batch_id: int, title: str) -> int:
    """A batch for what `undo_part` does."""
    with acting(replace(actor(), batch_title=_("Undo: %(title)s", title=title)[:200], memo={})):
        return _own_batch(batch_id)


def _own_batch(undoes: int) -> int:
    who = actor()
    values = {"at": now(), "user_id": who.user_id, "door": who.door, "title": who.batch_title, "undoes": undoes}
    made = db.session.execute(insert(batches).values(values).returning(batches.c.id)).scalar_one()
    who.memo["batch_id"] = made
    return made


class _Work:
    """One undo at work: first what was deleted comes back, then values, then what was created goes."""

    def __init__(self, batch_id: int, result: Undone) -> None:
        self.batch_id = batch_id
        self.result = result
        self.later: list[Any] = []
        """Rows whose unique values another record has, which may go yet with what the batch made."""
        self.held: set[tuple[str, int, str]] = set()
        """(table, id, field) of values that wait so, and with them what the batch had made of them before."""
        self.again = False

    def run(self, rows: list[Any]) -> None:
        known = [row for row in rows if row.model in models()]
        for row in rows:
            if row.model not in models() and row.verb in ("create", "edit", "delete"):
                self.clash(row, "", _("The addon of this record is gone."))
            elif row.digest is not None and row.verb != "create":
                self.clash(row, "", _("What this was before has been erased from the journal."))
        known = [row for row in known if row.digest is None or row.verb == "create"]
        self.bring_back([row for row in known if row.verb == "delete"])
        self.set_back([(row, json.loads(row.changes)) for row in known if row.verb == "edit"])
        self.take_away([row for row in known if row.verb == "create"])
        if self.later:
            self.again = True
            self.bring_back([row for row in self.later if row.verb == "delete"])
            self.set_back(self.held_steps())

    def held_steps(self) -> list[tuple[Any, dict[str, Any]]]:
        """What waits of edits, several steps of one field as one: (the newest row, its changes) a record."""
        found: dict[tuple[str, int], tuple[Any, dict[str, Any]]] = {}
        for row in self.later:
            for name, (old, new) in json.loads(row.changes).items() if row.verb == "edit" else ():
                if (row.model, row.record_id, name) in self.held:
                    changes = found.setdefault((row.model, row.record_id), (row, {}))[1]
                    changes[name] = [old, changes[name][1] if name in changes else new]
        return list(found.values())

    def stands_in_the_way(self, row: Any, name: str, sentence: str) -> None:
        """Another record has what this one had: tried once more at the end, then told."""
        if self.again:
            self.clash(row, name, sentence)
            return
        self.held.add((row.model, row.record_id, name))
        if row not in self.later:
            self.later.append(row)

    def clash(self, row: Any, name: str, sentence: str) -> None:
        self.result.clashes.append(Clash(row.model, row.record_id, name, sentence))

    def bring_back(self, rows: list[Any]) -> None:
        waiting = []
        for row in rows:
            model = models()[row.model]
            if db.session.execute(select(model.id).where(model.id == row.record_id), execution_options=QUIET).first():
                self.clash(row, "", _("A record with this number exists again."))
            else:
                waiting.append((row, {name: pair[0] for name, pair in json.loads(row.changes).items()}))
        links_later: list[tuple[Any, str, list[int]]] = []
        while waiting:
            # A record of a tree comes after the one above it; what links to records that are gone for good stays away.
            gone = {(row.model, row.record_id) for row, _values in waiting}
            ready = [one for one in waiting if not (self.needs(*one) & gone)]
            if not ready:
                for row, _values in waiting:
                    self.clash(row, "", _("A record that this one needs is gone."))
                break
            waiting = [one for one in waiting if one not in ready]
            waits = {(row.model, row.record_id) for row in self.later} if not self.again else set()
            for row, values in ready:
                if self.needs(row, values) & waits:
                    self.later.append(row)
                    waits.add((row.model, row.record_id))
                    continue
                missing = [need for need in self.needs(row, values) if not self.exists(*need)]
                if missing:
                    self.clash(row, "", _("A record that this one needs is gone."))
                    continue
                links_later += self.insert(row, values)
            flush()
        for record, name, ids in links_later:
            target = type(record).__fields__[name].target
            setattr(
                record, name, list(db.session.execute(select(target).where(target.id.in_(ids or [0])), execution_options=QUIET).scalars())
            )
        flush()

    @staticmethod
    def needs(row: Any, values: dict[str, Any]) -> set[tuple[str, int]]:
        """(table, id) of the records that must be there before this one: what it links to, and of a file or a share what it belongs to."""
        fields = models()[row.model].__fields__.values()
        found = {(one.target_table, values[one.key]) for one in fields if one.kind.name == "link" and values.get(one.key) is not None}
        if values.get("model") in models() and values.get("record_id"):
            found.add((values["model"], values["record_id"]))
        return found

    @staticmethod
    def exists(table: str, record_id: int) -> bool:
        target = models()[table]
        return db.session.execute(select(target.id).where(target.id == record_id), execution_options=QUIET).first() is not None

    def insert(self, row: Any, values: dict[str, Any]) -> list[tuple[Any, str, list[int]]]:
        model = models()[row.model]
        record = model()
        columns = {attribute.key: attribute.columns[0] for attribute in inspect(model).column_attrs}
        later = []
        for name, value in values.items():
            if name in columns:
                if name != "version":
                    setattr(record, name, stored(columns[name], value))
            elif name in model.__fields__:
                later.append((record, name, value))
        if sentence := taken(record, row.record_id):
            self.stands_in_the_way(row, "", sentence)
            return []
        record.id = row.record_id
        db.session.add(record)
        self.result.count += 1
        return later

    @staticmethod
    def load(rows: list[Any]) -> dict[tuple[str, int], Any]:
        """The records of journal rows, one statement a model and 500 rows."""
        found: dict[tuple[str, int], Any] = {}
        for table in {row.model for row in rows}:
            model, ids = models()[table], sorted({row.record_id for row in rows if row.model == table})
            for start in range(0, len(ids), CHUNK):
                some = select(model).where(model.id.in_(ids[start : start + CHUNK]))
                found |= {(table, one.id): one for one in db.session.execute(some, execution_options=QUIET).scalars()}
        return found

    def set_back(self, steps: list[tuple[Any, dict[str, Any]]]) -> None:
        records = self.load([row for row, _changes in steps])
        for row, changes in steps:
            record, gone = records.get((row.model, row.record_id)), (row.model, row.record_id, "") in self.held
            if record is None and (self.again or not gone):
                self.clash(row, "", _("The record was deleted since."))
                continue
            touched = False
            for name, (old, new) in changes.items():
                if not self.again and (gone or (row.model, row.record_id, name) in self.held):
                    self.stands_in_the_way(row, name, "")
                else:
                    touched |= self.set_field(row, record, name, old, new)
            self.result.count += touched
        flush()

    def set_field(self, row: Any, record: Any, name: str, old: Any, new: Any) -> bool:
        """Give a field its old value; returns whether that changed anything. What has it again already is neither a change nor a clash."""
        one = type(record).__fields__.get(name)
        if one is None and (made := fields_of(type(record)).get(name)) is not None and made.kind.name == "formula":
            return False  # made of other fields when it is saved
        if one is not None and one.sensitive:
            self.clash(row, name, _("The journal does not keep values of this field."))
            return False
        if one is None:
            custom = dict(record.custom or {})
            if custom.get(name) == old:
                return False
            if custom.get(name) != new:
                self.clash(row, name, _("This was changed again since."))
                return False
            if old is None:
                custom.pop(name, None)
            else:
                custom[name] = old
            record.custom = custom or None
            return True
        if one.kind.name == "links":
            if one.get(record) == sorted(old or []):
                return False
            if one.get(record) != sorted(new or []):
                self.clash(row, name, _("This was changed again since."))
                return False
            target = one.target
            setattr(
                record, name, list(db.session.execute(select(target).where(target.id.in_(old or [0])), execution_options=QUIET).scalars())
            )
            return True
        value = one.json(one.get(record))
        if value == old:
            return False
        if value != new:
            self.clash(row, name, _("This was changed again since."))
            return False
        if one.kind.name == "link" and old is not None and not self.exists(one.target_table, old):
            self.clash(row, name, _("The record it pointed at is gone."))
            return False
        column = inspect(type(record)).column_attrs[one.key].columns[0]
        if taken(record, row.record_id, one.key, stored(column, old)):
            flush()  # what this undo has set back so far may have let it go
            if sentence := taken(record, row.record_id, one.key, stored(column, old)):
                self.stands_in_the_way(row, name, sentence)
                return False
        one.set(record, stored(column, old))
        return True

    def take_away(self, rows: list[Any]) -> None:
        lot = {(row.model, row.record_id) for row in rows}
        records = self.load(rows)
        touched = self.touched_since(rows)
        going = []
        for row in rows:
            record = records.get((row.model, row.record_id))
            if record is None or inspect(record).deleted or record in db.session.deleted:
                continue
            if (row.model, row.record_id) in touched:
                self.clash(row, "", _("The record was changed since it was made; it stays."))
            else:
                going.append((row, record))
        # Nearly always nothing else hangs on them, which one look tells; only then is it asked record by record.
        alone = not self.others([record for _row, record in going], lot)
        for row, record in going:
            if not alone and self.others([record], lot):
                self.clash(row, "", _("Other records have been added to it since; it stays."))
                continue
            for one in type(record).__fields__.values():
                if one.kind.name == "links":
                    getattr(record, one.name)
            db.session.delete(record)
            self.result.count += 1
        flush()

    @staticmethod
    def others(found: list[Any], lot: set[tuple[str, int]]) -> bool:
        """True when something beside ``lot`` would go or lose its link along with these records."""
        doomed, cleared, blocking = along(found)
        gone = {id(one) for one in found}
        also = [one for one in doomed if id(one) not in gone] + [one for one, _link in (*cleared, *blocking)]
        return any((type(one).__tablename__, one.id) not in lot for one in also)

    def touched_since(self, rows: list[Any]) -> set[tuple[str, int]]:
        """(table, id) of records that anybody else has changed since these rows, and that are not as the batch had left them.

        What was changed and taken back again is no change; an earlier undo of the batch itself is none either.
        """
        made = {(row.model, row.record_id): row.id for row in rows}
        was: dict[tuple[str, int], dict[str, Any]] = {}
        found: set[tuple[str, int]] = set()
        own = self.undone_and_redone()
        for table in {row.model for row in rows}:
            ids, fields = sorted({row.record_id for row in rows if row.model == table}), models()[table].__fields__
            for start in range(0, len(ids), CHUNK):
                since = select(journal.c.id, journal.c.record_id, journal.c.changes, journal.c.digest).where(
                    journal.c.model == table, journal.c.record_id.in_(ids[start : start + CHUNK]),
                    journal.c.batch_id.not_in(own), journal.c.verb == "edit",
                )  # fmt: skip
                now: dict[tuple[str, int], dict[str, Any]] = {}
                for row in db.session.execute(since.order_by(journal.c.id)):
                    where = (table, row.record_id)
                    if row.id <= made[where]:
                        continue
                    for name, (old, new) in json.loads(row.changes).items():
                        was.setdefault(where, {}).setdefault(name, old)
                        now.setdefault(where, {})[name] = new
                        if name in fields and fields[name].sensitive:
                            found.add(where)  # the journal does not tell what it is now
                    if row.digest is not None:
                        found.add(where)
                found |= {where for where, values in now.items() if values != was[where]}
        return found

    def undone_and_redone(self) -> list[int]:
        """The batch, and whatever has taken it back (perhaps in part), brought it again, and so on."""
        found, fresh = {self.batch_id, self.result.batch_id}, [self.batch_id]
        while fresh:
            fresh = list(db.session.execute(select(batches.c.id).where(batches.c.undoes.in_(fresh), batches.c.id.not_in(found))).scalars())
            found.update(fresh)
        return sorted(found)


def stored(column: Any, value: Any) -> Any:
    """A value of the journal as its column stores it."""
    if value is None or not isinstance(value, str):
        return value
    if isinstance(column.type, DateTime):
        return datetime.fromisoformat(value.removesuffix("Z"))
    if isinstance(column.type, Date):
        return date.fromisoformat(value)
    return Decimal(value) if isinstance(column.type, Numeric) else value
