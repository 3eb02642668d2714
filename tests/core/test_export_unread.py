"""Somebody who may export a kind of record but not read it takes nothing out by any door, and no empty file tells him otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from core.db import db
from core.errors import Refused
from core.model import model_of
from core.people import PersonalRight
from core.testing import both_databases
from core.transfer.exporting import count_rows
from core.web import export_pages
from tests.core.installation import new
from tests.core.sheets import as_person, journalled
from tests.core.test_asof import FIRST, day_before
from tests.core.test_export_pages import jobs_of, work


@pytest.fixture
def clerk(create_user: Any) -> Any:
    """May export all clients, and read none."""
    made = create_user("clerk")
    db.session.add(PersonalRight(user_id=made.id, model="crm_client", verb="export", scopes="all"))
    db.session.commit()
    return made


@both_databases
@pytest.mark.parametrize("past", [False, True])
def test_no_page_and_no_program_writes_a_file(
    app: Any, create: Any, login_as: Any, api_as: Any, clerk: Any, clock: Any, past: bool
) -> None:  # fmt: skip
    clock.set(FIRST)
    create("crm_client", name="Far Hills")
    day = day_before(clock)
    browser, program = login_as(clerk), api_as(clerk)
    db.session.commit()
    more = {"as_of": day} if past else {}
    answers = {
        "asked": browser.get("/crm_client/_export/ask", query_string=more),
        "streamed": browser.get("/crm_client/_export", query_string=more),
        "csv": browser.post("/crm_client/_export", data={"format": "csv", **more}),
        "xlsx": browser.post("/crm_client/_export", data={"format": "xlsx", **more}),
        "ticked": browser.post("/crm_client/_export", data={"format": "csv", "rows": "ticked", "ids": "1", **more}),
        "program": program.get("/api/v1/crm_client/_export", query_string=more),
        "listed": program.get("/api/v1/crm_client/", query_string=more),
        "grouped": program.get("/api/v1/crm_client/_groups", query_string={"by": "status", **more}),
    }  # fmt: skip
    assert {name: one.status_code for name, one in answers.items() if one.status_code != 403} == {}
    assert not [name for name, one in answers.items() if "may not read" not in one.get_data(as_text=True)]
    assert not jobs_of() and not journalled("export")


@both_databases
@pytest.mark.parametrize("past", [False, True])
def test_a_job_that_waits_while_the_right_to_read_goes_writes_no_file(
    app: Any, create: Any, login_as: Any, clerk: Any, clock: Any, monkeypatch: Any, past: bool
) -> None:  # fmt: skip
    monkeypatch.setattr(export_pages, "AT_ONCE", {"csv": 0, "xlsx": 0})
    clock.set(FIRST)
    create("crm_client", name="Far Hills")
    day = day_before(clock)
    read = create(PersonalRight, user=clerk, model="crm_client", verb="read", scopes="all")
    sent = {"format": "csv", "columns": "all", **({"as_of": day} if past else {})}
    assert login_as(clerk).post("/crm_client/_export", data=sent).status_code == 302
    db.session.delete(db.session.get(PersonalRight, read.id))
    db.session.commit()
    work()
    (job,) = jobs_of()
    assert job.state == "dead" and "may not read" in job.last_error
    assert not journalled("export")


@both_databases
def test_a_question_below_the_doors_is_refused_too(app: Any, create: Any, clerk: Any, clock: Any) -> None:
    from core.asof_list import count_then, walk_then
    from core.listing import page

    clock.set(FIRST)
    create("crm_client", name="Far Hills")
    model = model_of("crm_client")
    with as_person(clerk):
        for ask in (
            lambda: page(model, columns=[]),
            lambda: page(model, columns=[], search="Far"),
            lambda: list(walk_then(model, FIRST.date(), verb="export")),
            lambda: count_then(model, FIRST.date(), verb="export"),
            lambda: count_rows(model),
        ):
            with pytest.raises(Refused, match="may not read"):
                ask()


@pytest.mark.slow
def test_the_command_writes_no_file_for_such_a_person(tmp_path: Any) -> None:
    place = new("sqlite", tmp_path, "unread")
    place.must("migrate", "--no-copy")
    place.must("user", "create", "clerk", "--name", "Clerk")
    place.python(
        "from core.cli.house import house\n"
        "from core.db import db\n"
        "from core.people import MortiseUser, PersonalRight\n"
        "with house(title='test'):\n"
        "    clerk = db.session.query(MortiseUser).filter_by(username='clerk').one()\n"
        "    db.session.add(PersonalRight(user_id=clerk.id, model='crm_client', verb='export', scopes='all'))\n"
        "    db.session.commit()\n"
    )
    file = tmp_path / "clients.csv"
    done = place.run("export", "crm_client", file, "--as", "clerk")
    assert done.status and "may not read" in done.text and not file.exists()
