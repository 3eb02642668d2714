"""An import at work: chunks of 500 rows go through the gate, each committed together with what became of its rows, all in one batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ARRAY, Integer, Text, bindparam, select, text, update

from core import journal
from core.context import look_again, now
from core.db import among, db
from core.errors import Broken, Conflict, Refused
from core.i18n import Notes, as_made, noting, retold
from core.i18n import gettext as _
from core.jobs import look
from core.model import fields_of, model_label, model_of
from core.numbering import rehearsing
from core.recognise import LINE
from core.records import CHUNK, Done, records
from core.rules import may
from core.transfer.draft_tables import core_import, core_import_row
from core.transfer.facts import Draft, draft, locked
from core.transfer.lines import Line, Shape, as_stored

COUNTED = ("created", "changed", "same", "skipped", "refused")
Tell = Callable[[int, int], None]
Stop = Callable[[], bool]
_rows = core_import_row.c


class Overtaken(Exception):
    """Another process has done this chunk meanwhile."""


class _Work:
    """One import, its rows and how they are read; the same for the dry run."""

    def __init__(self, one: Draft, *, dry: bool) -> None:
        self.one, self.dry = one, dry
        self.gate = records(model_of(one.model))
        self.shape = Shape.of(one)
        self.chain = [tuple(one.keys), ()] if one.keys else self.shape.key_chain
        self.earlier: set[int] | None = set() if dry else None
        others = (core_import.c.model == one.model) & (core_import.c.id != one.id) & core_import.c.batch_id.is_not(None)
        self.has_memory = db.session.execute(select(core_import.c.id).where(others).limit(1)).first() is not None

    def look_again(self) -> None:
        """Each chunk is judged by the rights and switches of now, not by those of when a long import began."""
        look_again()
        self.gate = records(self.gate.model)
        if not (verdict := may("import", self.gate.model)):
            raise Refused(_("You may not import %(label)s.", label=model_label(self.gate.model, many=True)), verdict)

    def store(self, lot: Sequence[Any], lines: Sequence[Line]) -> list[Done]:
        """Put some rows through the gate; those with a wrong link or shape do not get there, but are told all their other faults too."""
        self.shape.resolve(lines)
        answers: dict[int, Done] = {}
        good: list[int] = []
        for at, line in enumerate(lines):
            if line.errors:
                answers[at] = Done(at, action="refused", errors={**self.gate.clean(line.values)[1], **line.errors})
            else:
                good.append(at)
        memory = self._memory(lot)
        before = {place: memory[lot[at].line] for place, at in enumerate(good) if lot[at].line in memory}
        done = self.gate.create_many(
            [lines[at].values for at in good],
            keys=self.chain,
            skip=self.one.known == "skip",
            lines=before,
            earlier=self.earlier,
            sketched=True,
        )
        answers |= dict(zip(good, done, strict=True))
        # Found by its key and refused, a row is wrong now, however it fared before: perhaps one may not change that record.
        wrong = (at for at, one in answers.items() if one.errors and one.record is None and lot[at].line in memory)
        self._forgive({at: memory[lot[at].line] for at in wrong}, answers)
        return [answers[at] for at in range(len(lot))]

    def _forgive(self, wrong: dict[int, int], answers: dict[int, Done]) -> None:
        """A wrong line that somebody has corrected in an earlier import is wrong in the file still, but known."""
        if wrong:
            stored = {record.id: record for record in self.gate.many(wrong.values())}
            for at, record_id in wrong.items():
                if record_id in stored:
                    answers[at] = Done(at, stored[record_id], "same", matched=LINE)

    def _memory(self, lot: Sequence[Any]) -> dict[int, int]:
        """{line: id of the record} that the same lines of earlier imports of this model became."""
        if not self.has_memory or not lot:
            return {}
        wanted = select(_rows.line, _rows.hash, _rows.record_id).join(core_import, core_import.c.id == _rows.import_id)
        wanted = wanted.where(
            core_import.c.model == self.one.model, core_import.c.id != self.one.id, _rows.record_id.is_not(None),
            among(_rows.hash, {row.hash for row in lot}),
        )  # fmt: skip
        found = {(row.line, row.hash): row.record_id for row in db.session.execute(wanted.order_by(_rows.import_id))}
        return {row.line: found[row.line, row.hash] for row in lot if (row.line, row.hash) in found}


# -- all of it --------------------------------------------------------------------------------------------------------


def start(import_id: int, *, dry: bool) -> None:
    """Note that the rows are gone through now; the counts begin anew unless some of them are stored already."""
    row = locked(import_id)
    if row.undo_batch_id is not None or not row.file_hash:
        # Half taken back, or so old that the texts of its lines are gone.
        raise Conflict(_("This import is not waiting to be resumed."))
    values: dict[str, Any] = {"state": "checking" if dry else "running", "changed_at": now(), "cancel_asked": False, "sentence": None}
    if row.batch_id is None:
        values |= {"position": 0, "read": 0, **dict.fromkeys(COUNTED, 0)}
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(values))


def run_chunks(import_id: int, *, dry: bool, tell: Tell | None = None, stop: Stop | None = None) -> Draft:
    """Put all rows that wait through the gate; commits after each chunk.

    In a dry run each chunk is rolled back, and what would have become of its rows is noted. Stops after a chunk when
    `drafts.cancel` asked for it or ``stop`` says so; the import can be resumed then, also by another process.
    """
    row = locked(import_id)
    # An old dry run that is tried again must not go through the rows of an import at work, nor the other way round.
    if row.state not in _at_work(dry):
        raise Conflict(_("This import was stopped or taken back by somebody else meanwhile."))
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(state="checking" if dry else "running"))
    one = draft(import_id)
    db.session.commit()
    if one.cancel_asked:
        _end(import_id, "draft" if dry else "cancelled")
        return draft(import_id)
    with _one_batch(one), noting() as notes:
        work = _Work(one, dry=dry)
        position, read = one.position, one.read
        db.session.commit()
        while lot := _waiting(import_id, position):
            notes.clear()
            lines = work.shape.lines([(row.line, json.loads(row.cells)) for row in lot])
            work.look_again()
            db.session.commit()
            try:
                asked = _chunk(work, lot, lines, position, notes)
            except Overtaken:
                db.session.rollback()
                one = draft(import_id)
                position, read = one.position, one.read
                db.session.commit()
                continue
            position, read = lot[-1].line, read + len(lot)
            if tell is not None:
                tell(read, one.total)
            if asked or (stop is not None and stop()):
                _end(import_id, "draft" if dry else "cancelled", position=0 if dry else position)
                return draft(import_id)
        _finish(work)
    return draft(import_id)


def _at_work(dry: bool) -> tuple[str, ...]:
    return ("checking",) if dry else ("queued", "running")


@contextmanager
def _one_batch(one: Draft) -> Any:
    # The name of the file alone: the door says that it was an import, to each reader in his language.
    with journal.batch(one.file_name, known=one.batch_id):
        yield


def _waiting(import_id: int, position: int) -> Sequence[Any]:
    wanted = select(_rows.line, _rows.cells, _rows.hash).where(_rows.import_id == import_id, _rows.line > position)
    wanted = wanted.where(_rows.state == "waiting")
    # Beside the transaction: other people's saves come in between two chunks.
    with look() as connection:
        return connection.execute(wanted.order_by(_rows.line).limit(CHUNK)).all()


def _chunk(work: _Work, lot: Sequence[Any], lines: Sequence[Line], position: int, notes: Notes) -> bool:
    """One chunk, committed; returns whether somebody asked to stop."""
    one = work.one
    row = locked(one.id)
    if row.state not in _at_work(work.dry) or _taken_away(row.batch_id):
        raise Conflict(_("This import was stopped or taken back by somebody else meanwhile."))
    if row.position != position:
        raise Overtaken
    token = rehearsing.set(work.dry)
    try:
        answers = work.store(lot, lines)
    finally:
        rehearsing.reset(token)
    values = {"position": lot[-1].line, "changed_at": now(), "read": core_import.c.read + len(lot)}
    if work.dry:
        db.session.rollback()
        if locked(one.id).position != position:
            raise Overtaken
    else:
        values["batch_id"] = journal.batch_id()
    _note(one.id, lot, answers, notes, dry=work.dry)
    values |= {name: core_import.c[name] + count for name, count in Counter(done.action for done in answers).items()}
    db.session.execute(update(core_import).where(core_import.c.id == one.id).values(values))
    db.session.commit()
    return bool(row.cancel_asked)


def _taken_away(batch_id: int | None) -> bool:
    """Has somebody undone the batch? Held until the commit, so that an undo sees all of a chunk or stops the next."""
    wanted = select(journal.batches.c.undone_by).where(journal.batches.c.id == batch_id).with_for_update()
    return batch_id is not None and db.session.execute(wanted).scalar() is not None


_WRITE = "UPDATE core_import_row SET state = ?, expected = ?, record_id = ?, matched = ?, errors = ? WHERE import_id = ? AND line = ?"
# One statement instead of 500, which are read and planned one by one.
_PG_WRITE = text(
    "UPDATE core_import_row AS r SET state = g.s, expected = g.x, record_id = g.r, matched = g.m, errors = g.e"
    " FROM unnest(:at, :s, :x, :r, :m, :e) AS g (at, s, x, r, m, e) WHERE r.import_id = :of AND r.line = g.at"
).bindparams(*(bindparam(name, type_=ARRAY(Integer if name in "at r".split() else Text)) for name in "at s x r m e".split()))


def _note(import_id: int, lot: Sequence[Any], answers: Sequence[Done], notes: Notes, *, dry: bool) -> None:
    """Write what became of rows, or would, into them; what is wrong so that each reader is told in his language."""
    facts = [
        (
            "waiting" if dry else done.action, done.action if dry else None, None if dry or done.record is None else done.record.id,
            as_stored(done.matched), _kept(done.errors, notes) if done.errors else None, import_id, row.line,
        )
        for row, done in zip(lot, answers, strict=True)
    ]  # fmt: skip
    if db.is_sqlite:
        db.session.connection().exec_driver_sql(_WRITE, facts)
    else:
        columns = dict(zip(("s", "x", "r", "m", "e", "of", "at"), map(list, zip(*facts, strict=True)), strict=True))
        db.session.execute(_PG_WRITE, {**columns, "of": import_id})


def _kept(errors: Mapping[str, str], notes: Notes) -> str:
    return json.dumps({name: as_made(said, notes) for name, said in errors.items()}, ensure_ascii=False)


def errors_of(kept: str | None) -> dict[str, str]:
    """{field: sentence} of a row, in the acting person's language."""
    return {name: retold(made) for name, made in json.loads(kept or "{}").items()}


def _end(import_id: int, state: str, **values: Any) -> None:
    over = {"state": state, "changed_at": now(), "cancel_asked": False, **values}
    db.session.execute(update(core_import).where(core_import.c.id == import_id).values(over))
    db.session.commit()


def _finish(work: _Work) -> None:
    if work.dry:
        _end(work.one.id, "draft", checked=True, position=0)
        return
    row = locked(work.one.id)
    if row.state != "done":
        facts = {name: [None, getattr(row, name)] for name in ("read", "created", "changed", "same", "refused")}
        if row.skipped:
            facts["skipped"] = [None, row.skipped]
        journal.write(work.one.model, 0, "import", {"file": [None, work.one.file_name], **facts})
        _end(work.one.id, "done", finished_at=now(), batch_id=journal.batch_id())
        _settle_search()
        db.session.commit()


def _settle_search() -> None:
    from core.search import settle

    settle(db.session.connection())


# -- one row ----------------------------------------------------------------------------------------------------------


def fix(one: Draft, line: int, texts: Mapping[str | int, str]) -> None:
    """Correct one refused row and put it through the gate alone; before the import has run it is only tried. Never commits."""
    # First: the same form sent twice must find the row as the first one has left it.
    if locked(one.id).undo_batch_id is not None:
        raise Conflict(_("This import was stopped or taken back by somebody else meanwhile."))
    row = db.session.execute(select(core_import_row).where(_rows.import_id == one.id, _rows.line == line)).first()
    dry = one.batch_id is None
    if row is None or row.cells is None or (row.expected if row.state == "waiting" else row.state) != "refused":
        raise Conflict(_("This row is not wrong, or its texts are not kept any more."))
    cells = json.loads(row.cells)[: len(one.heading)]
    cells += [""] * (len(one.heading) - len(cells))
    for named, typed in texts.items():
        at = named if isinstance(named, int) else one.heading.index(named) if named in one.heading else -1
        if not 0 <= at < len(cells):
            raise Broken(_("This file has no column “%(name)s”.", name=str(named)[:60]))
        cells[at] = typed
    with _one_batch(one), noting() as notes:
        work = _Work(one, dry=dry)
        token = rehearsing.set(dry)
        try:
            if dry:
                with _taken_back():
                    answers = work.store([row], work.shape.lines([(line, cells)]))
            else:
                answers = work.store([row], work.shape.lines([(line, cells)]))
        finally:
            rehearsing.reset(token)
        _note(one.id, [row], answers, notes, dry=dry)
    kept = json.dumps(cells, ensure_ascii=False, separators=(",", ":"))
    db.session.execute(update(core_import_row).where(_rows.import_id == one.id, _rows.line == line).values(cells=kept))
    if (action := answers[0].action) != "refused" and (one.batch_id is not None or one.checked):
        moved = {action: core_import.c[action] + 1, "refused": core_import.c.refused - 1, "changed_at": now()}
        db.session.execute(update(core_import).where(core_import.c.id == one.id).values(moved))


@contextmanager
def _taken_back() -> Any:
    inside = db.session.begin_nested()
    try:
        yield
    finally:
        inside.rollback()


def words(model: type, errors: Mapping[str, str]) -> str:
    """What is wrong with a row, in one cell: each sentence behind the name of its field."""
    fields = fields_of(model)
    return " ".join(fields[name].title + _(": ") + text if name in fields else text for name, text in errors.items())
