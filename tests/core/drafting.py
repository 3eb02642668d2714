"""What the tests of imports share: a file sent, its jobs run, and the counts of what became of its rows."""

import io

from core.db import db
from core.job_runner import perform
from core.transfer import chunks, drafts


def work():
    """Let the jobs run that are queued."""
    db.session.commit()
    while perform():
        pass


def sent(rows, name="list.csv", table="crm_client"):
    """An import whose file is read; the rows as a list, or the bytes of a file."""
    if not isinstance(rows, bytes):
        rows = "\n".join(",".join(row) for row in rows).encode()
    one = drafts.begin(table, io.BytesIO(rows), name)
    work()
    return drafts.draft(one.id)


def ran(one):
    drafts.run_later(one.id)
    work()
    return drafts.draft(one.id)


def checked(one):
    drafts.check_later(one.id)
    work()
    return drafts.draft(one.id)


def counts(one):
    return one.created, one.changed, one.same, one.skipped, one.refused


def before_chunk(monkeypatch, number, do):
    """Call ``do`` before the chunk of this number is stored."""
    store, seen = chunks._Work.store, []

    def counted(self, lot, lines):
        seen.append(lot)
        if len(seen) == number:
            do()
        return store(self, lot, lines)

    monkeypatch.setattr(chunks._Work, "store", counted)
