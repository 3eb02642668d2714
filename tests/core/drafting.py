"""What the tests of imports share: a file sent, its jobs run, and the counts of what became of its rows."""

import io

from core.context import system
from core.db import db
from core.job_list import job_status
from core.job_runner import perform
from core.jobs import RESULT, checkpoint
from core.transfer import chunks, drafts

QUEUE_IMPORT = """
from core.cli.house import house
from core.db import db
from core.job_runner import perform
from core.transfer import drafts
with house():
    with open("clients.csv", "rb") as stream:
        one = drafts.begin("crm_client", stream, "clients.csv")
    db.session.commit()
    assert perform(only=one.job_id)
    print(one.id, drafts.run_later(one.id).job_id)
"""
"""Inside an installation: an import of its clients.csv that waits for a runner; prints its id and that of its job."""


def work():
    """Let the jobs run that are queued."""
    db.session.commit()
    while perform():
        pass


def run(one):
    """Do one job of core; what the page of jobs knows of it then."""
    db.session.commit()
    perform(only=one, awake=["core"])
    db.session.expire_all()
    with system():
        shown = job_status(one)
    return {**shown, "result": shown["memory"].get(RESULT)}


def after_checkpoint(monkeypatch, name, do):
    """Call ``do`` with what a job remembers, each time after it has committed by the `checkpoint` called ``name``."""

    def told(**memory):
        checkpoint(**memory)
        do(memory)

    monkeypatch.setattr(name, told)


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
