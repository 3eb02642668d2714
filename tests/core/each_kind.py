"""One job of every kind the house has, queued inside an installation by `queue_all`; a kind without a case is a `KeyError`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from flask import current_app
from sqlalchemy import func, select

from core import undo_jobs
from core.account_jobs import answer_forgotten
from core.backup_jobs import ask_for_backup, ask_for_check, scheduled_backup
from core.backup_list import backups
from core.context import actor
from core.custom import CustomField
from core.custom_jobs import build_index, drop_index, recompute_formulas
from core.db import db
from core.job_runner import perform
from core.jobs import Job, jobs
from core.journal import batch, journal
from core.journal_jobs import check_journal, erase_later
from core.model import model_of
from core.notification_jobs import tell_many
from core.records import records
from core.seal import seal
from core.settings import set_setting
from core.telling import JOB
from core.transfer import drafts, reverting
from core.transfer.export_jobs import write_export
from core.web.bulk_jobs import EDIT, queue
from core.web.views import view_of

OUTSIDE = {
    "core.mail_jobs:deliver": "a mail leaves the house: at least once, under one message id (tests/core/test_mail_killed.py)",
}  # fmt: skip
"""Kinds whose effect is not in the database alone, and where they are tried."""
FIELD = "x_height"


def prepare() -> None:
    """What the jobs work on."""
    set_setting("backup.rhythm", "daily")
    client = records(model_of("crm_client")).create({"name": "华东物流"})
    records(model_of("crm_contact")).create_many([{"name": f"王 {one}", "client": client.id} for one in range(4)])
    records(CustomField).create({"model": "crm_contact", "title": "Height", "kind": "integer", "indexed": True})
    db.session.commit()


def read_in(name: str) -> int:
    """An import whose file is read."""
    one = drafts.begin("crm_client", io.BytesIO(f"name\n{name} 1\n{name} 2\n".encode()), f"{name}.csv")
    db.session.commit()
    assert perform(only=one.job_id)
    return one.id


def stored(name: str) -> int:
    """An import that is done."""
    one = drafts.run_later(read_in(name))
    db.session.commit()
    assert perform(only=one.job_id)
    return one.id


def check_a_backup() -> int:
    number = ask_for_backup()
    db.session.commit()
    assert perform(only=number)
    return ask_for_check(backups(current_app.config["MORTISE"])[0])


def take_back_an_import() -> int | None:
    reverting.AT_ONCE = 0
    return drafts.revert(stored("Reverted")).job_id


def take_back_a_batch() -> int | None:
    with batch("Four teams"):
        records(model_of("core_team")).create_many([{"name": f"Team {one}"} for one in range(4)])
    db.session.commit()
    undo_jobs.AT_ONCE = 1
    newest = db.session.execute(select(func.max(journal.c.batch_id)).where(journal.c.model == "core_team")).scalar_one()
    return undo_jobs.undo_later(newest)


def erase_a_person() -> int | None:
    while seal():
        db.session.commit()
    return erase_later(actor().user_id)


def change_many() -> int:
    view = view_of(model_of("crm_contact"))
    return queue(view, EDIT, filter=None, search=None, last=10**6, total=4, values={"title": "Chief"})


def tell() -> int:
    told = JOB.told("This is told to many.", url="/", topic="many")
    return tell_many.later(people=[actor().user_id], told={name: getattr(told, name) for name in type(told).__slots__}, by=None)


CASES: dict[str, Callable[[], Any]] = {
    "core.account_jobs:answer_forgotten": lambda: answer_forgotten.later(typed="admin", note="It was on paper."),
    "core.backup_jobs:check_backup": check_a_backup,
    "core.backup_jobs:make_backup": ask_for_backup,
    "core.backup_jobs:scheduled_backup": lambda: scheduled_backup.later(),
    "core.custom_jobs:build_index": lambda: build_index.later(model="crm_contact", name=FIELD),
    "core.custom_jobs:drop_index": lambda: drop_index.later(model="crm_contact", name="x_never_there"),
    "core.custom_jobs:recompute_formulas": lambda: recompute_formulas.later(model="crm_contact"),
    "core.journal_jobs:check_journal": lambda: check_journal.later(),
    "core.journal_jobs:erase_one_person": erase_a_person,
    "core.notification_jobs:tell_many": tell,
    "core.transfer.export_jobs:write_export": lambda: write_export.later(table="crm_contact", ending="csv"),
    "core.transfer.import_jobs:take_in_file": lambda: drafts.begin("crm_client", io.BytesIO(b"name\nRead 1\nRead 2\n"), "read.csv").job_id,
    "core.transfer.import_jobs:check_rows": lambda: drafts.check_later(read_in("Checked")).job_id,
    "core.transfer.import_jobs:run_rows": lambda: drafts.run_later(read_in("Imported")).job_id,
    "core.transfer.import_jobs:revert_rows": take_back_an_import,
    "core.undo_jobs:undo_large": take_back_a_batch,
    "core.web.bulk_jobs:do_to_all": change_many,
}
"""Each kind that is queued with something to do; those that run every so often are queued as they are."""


def case_of(one: Job) -> Callable[[], Any]:
    """How a job of this kind is queued; raises `KeyError` for a kind that nobody has thought of here."""
    return one.later if one.every else CASES[one.name]


def queue_all() -> dict[str, int]:
    """Queue one of each; their ids by their names."""
    found = {}
    for name, one in sorted(jobs().items()):
        if name not in OUTSIDE:
            number = case_of(one)()
            assert isinstance(number, int), name
            found[name] = number
            db.session.commit()
    return found
