"""One deed for all records that meet a filter: in chunks through the gate, with the rights of then, as one batch of the journal."""

from __future__ import annotations

import time as stopwatch
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import func, update

from core.context import actor, look_again, now
from core.db import db
from core.errors import Asleep, Busy, Problem, Refused
from core.filters import compile_filter
from core.i18n import gettext as _
from core.i18n import ngettext
from core.jobs import RESULT, cancelled, checkpoint, leave_result, progress, remembered
from core.journal import batch, batches, undone
from core.records import records
from core.rules import may
from core.search import matches

AT_ONCE = 500
"""So many records are changed while the person waits; more by a job, in chunks of as many."""
LONGEST = 1.0
"""After so many seconds a chunk is committed as far as it has come, since nobody else writes to SQLite meanwhile."""
FEWEST = 50
NAMED = 5
"""So many refused records are named with the reason; the others are counted."""

Deed = Callable[[list[int]], object]
"""Does it with these records, all or none; raises `Problem` with the sentence that says why not."""


def _meeting(model: Any, filter: Any, search: str | None) -> Any:
    query = records(model).select()
    if filter:
        query = query.where(compile_filter(filter, model))
    return query.where(matches(model, search)) if search else query


def frozen(model: Any, filter: Any, search: str | None) -> tuple[int, int]:
    """(how many records meet this exactly, the last id among them): what comes later is not meant."""
    query = _meeting(model, filter, search).with_only_columns(func.count(), func.max(model.id), maintain_column_froms=True)
    count, last = db.session.execute(query).one()
    return count, last or 0


def next_ids(model: Any, filter: Any, search: str | None, *, after: int, last: int, limit: int) -> list[int]:
    """The next ids of records that meet this now."""
    some = _meeting(model, filter, search).where(model.id > after, model.id <= last).order_by(model.id).limit(limit)
    return list(db.session.execute(some.with_only_columns(model.id, maintain_column_froms=True)).scalars())


def piecewise(deed: Deed, ids: list[int]) -> Iterator[tuple[list[int], Problem | None]]:
    """Do it with all at once; when that is refused, with ever smaller parts, so that each record that stands in the way is found.

    Gives (ids, None) of those it was done with, and ([id], problem) of each that was refused, in the order of ``ids``.
    """
    waiting = [ids]
    while waiting:
        lot = waiting.pop()
        try:
            with db.session.begin_nested():
                deed(lot)
        except (Asleep, Busy):
            raise
        except Problem as problem:
            if len(lot) > 1:
                half = len(lot) // 2
                waiting += [lot[half:], lot[:half]]
            else:
                yield lot, problem
        else:
            yield lot, None


def refusals(deed: Deed, ids: list[int], most: int = NAMED) -> list[tuple[int, str]]:
    """(id, sentence) of the first records that refuse this deed; nothing of the attempt stays."""
    found: list[tuple[int, str]] = []
    began = stopwatch.monotonic()
    with db.session.begin_nested() as attempt:
        for lot, problem in piecewise(deed, ids):
            if problem is not None:
                found.append((lot[0], problem.sentence))
            if len(found) == most or (found and stopwatch.monotonic() - began > LONGEST):
                break
        attempt.rollback()
    return found


def named(model: Any, refused: list[tuple[int, str]]) -> list[str]:
    """Refusals as lines: which record, and why."""
    titles = {one.id: str(one) for one in records(model).many([number for number, _sentence in refused])}
    return [_("“%(title)s”: %(sentence)s", title=titles.get(number, f"#{number}"), sentence=sentence) for number, sentence in refused]


class Walk:
    """A job on its way through the records of a frozen filter; killed and begun again, it goes on where it last committed."""

    def __init__(self, model: Any, deed: Deed, *, filter: Any, search: str | None, last: int, total: int, title: str, url: str) -> None:
        self.model, self.deed, self.title, self.url = model, deed, title, url
        self.question = {"filter": filter, "search": search}
        self.last, self.total = last, total
        kept = {name: value for name, value in remembered().items() if name != RESULT}
        self.state: dict[str, Any] = {"position": 0, "batch": None, "done": 0, "refused": 0, "lines": [], **kept}
        self.size = AT_ONCE

    def run(self) -> None:
        """Do it with all of them, until there are no more or somebody asks to stop."""
        with batch(self.title, known=self.state["batch"]):
            while not cancelled() and not self._taken_back():
                look_again()
                if not (verdict := may("bulk", self.model)):
                    raise Refused(_("You may change these records one by one only, not many at once."), verdict)
                ids = next_ids(self.model, **self.question, after=self.state["position"], last=self.last, limit=self.size)
                if not ids:
                    self._keep(over=True)
                    return
                self._chunk(ids)

    def _taken_back(self) -> bool:
        """Has somebody undone what was done so far? Then the rest is not wanted either."""
        return self.state["batch"] is not None and bool(undone([self.state["batch"]]))

    def _chunk(self, ids: list[int]) -> None:
        state, began, first = self.state, stopwatch.monotonic(), stopwatch.monotonic()
        for lot, problem in piecewise(self.deed, ids):
            if problem is None:
                state["done"] += len(lot)
            else:
                state["refused"] += 1
                if len(state["lines"]) < NAMED:
                    state["lines"] += named(self.model, [(lot[0], problem.sentence)])
            state["position"] = lot[-1]
            if lot[-1] != ids[-1] and stopwatch.monotonic() - began > LONGEST:
                self._keep()
                began = stopwatch.monotonic()
        self._keep()
        slow = stopwatch.monotonic() - first > LONGEST
        self.size = max(FEWEST, self.size // 2) if slow else min(AT_ONCE, self.size * 2)

    def _keep(self, over: bool = False) -> None:
        """Commit what was done, with how far it has come and what is told of it."""
        state = self.state
        state["batch"] = actor().memo.get("batch_id") or state["batch"]
        if state["batch"] is not None:
            # Whoever waits for a long job has his time to take it back from its end on.
            db.session.execute(update(batches).where(batches.c.id == state["batch"]).values(at=now()))
        more = state["refused"] - len(state["lines"])
        lines = [*state["lines"], ngettext("and %(count)s more", "and %(count)s more", more)] if more > 0 else state["lines"]
        leave_result(self.url, _("Open the list"), sentence=self._sentence(over), lines=lines, batch=state["batch"])
        progress(self.total if over else min(state["done"] + state["refused"], self.total), self.total, self.title)
        checkpoint(**state)

    def _sentence(self, over: bool) -> str:
        done, refused = self.state["done"], self.state["refused"]
        left = max(self.total - done - refused, 0)
        said = [ngettext("Done with %(count)s record.", "Done with %(count)s records.", done)]
        if refused:
            said.append(ngettext("%(count)s was refused:", "%(count)s were refused:", refused))
        if left and over:
            said.insert(1, ngettext("%(count)s did not meet the filter any more.", "%(count)s did not meet the filter any more.", left))
        elif left:
            said.insert(1, ngettext("%(count)s is left.", "%(count)s are left.", left))
        return " ".join(said)
