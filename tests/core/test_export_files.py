"""The file of an export: with whose eyes it is written and fetched, what is left when its job dies, and whom it lets wait."""

import csv
import io
from contextlib import closing
from datetime import datetime

import pytest
from openpyxl import load_workbook
from sqlalchemy import select, text, update

from core import records
from core.addons import disable, enable
from core.context import system
from core.custom import CustomField
from core.db import db
from core.job_runner import perform
from core.jobs import core_job
from core.model import model_of
from core.people import FieldRight, PersonalRight, RoleRow
from core.testing import both_databases, settle
from core.transfer import exporting
from core.transfer.export_jobs import exports_folder
from core.web import export_pages
from tests.core.sheets import journalled

pytestmark = pytest.mark.usefixtures("long_lists")
FORM = {"format": "xlsx", "rows": "all", "columns": "shown"}


@pytest.fixture
def long_lists(monkeypatch):
    """Every list is too long to be written while somebody waits."""
    monkeypatch.setattr(export_pages, "AT_ONCE", {"csv": 0, "xlsx": 0})


def many(count):
    model = model_of("crm_client")
    db.session.add_all([model(name=f"client {number:05}", code=f"X{number}") for number in range(1, count + 1)])
    db.session.commit()


def asked(browser, **form):
    """The job of an export that goes to the background."""
    answer = browser.post("/crm_client/_export", data=FORM | form)
    assert answer.status_code == 302, answer.text
    settle()
    return db.session.execute(select(core_job.c.id).order_by(core_job.c.id.desc()).limit(1)).scalar_one()


def run(job_id):
    """Do this job once; its row afterwards."""
    settle()
    assert perform(only=job_id)
    settle()
    return db.session.execute(select(core_job).where(core_job.c.id == job_id)).one()


def fetched(browser, job_id):
    return browser.get(f"/jobs/{job_id}/file", buffered=True)


def sheet(answer):
    assert answer.status_code == 200, answer.text
    return [[cell.value for cell in row] for row in load_workbook(io.BytesIO(answer.data)).active.iter_rows()]


def lines(answer):
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


def granted(person, *verbs, scopes="all"):
    for verb in verbs:
        db.session.add(PersonalRight(user_id=person.id, model="crm_client", verb=verb, scopes=scopes))
    db.session.commit()
    return person


def take_away(person, verb):
    for one in db.session.scalars(select(PersonalRight).where(PersonalRight.user_id == person.id, PersonalRight.verb == verb)):
        db.session.delete(one)
    db.session.commit()


def hide(field_name):
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name=field_name, access="hidden"))
    db.session.commit()


def left():
    return sorted(one.name for one in exports_folder().rglob("*")) if exports_folder().exists() else []


# -- with whose eyes --------------------------------------------------------------------------------------------------


@both_databases
def test_the_file_is_written_with_the_columns_order_language_and_zone_of_whoever_asked(app, create_user, login_as, create):
    db.session.add(CustomField(model="crm_client", title="Budget", kind="money"))
    db.session.commit()
    budget = db.session.scalars(select(CustomField.name)).one()
    wang = create_user("wang", level="administrator", language="zh_Hans", zone="Asia/Tokyo")
    one = records(model_of("crm_client")).create({"name": "甲", budget: 12})
    db.session.commit()
    create("crm_client", name="乙")
    table = model_of("crm_client").__table__
    db.session.connection().execute(update(table).where(table.c.id == one.id).values(created_at=datetime(2026, 3, 1, 20)))
    db.session.commit()
    browser = login_as(wang)
    job_id = asked(browser, columns="chosen", fields=["name", budget, "created_at"], order="-id")
    assert run(job_id).state == "done"
    rows = sheet(fetched(browser, job_id))
    assert rows[0] == ["名称", "Budget", "创建时间"] and rows[1][0] == "乙"
    assert rows[2] == ["甲", 12, "2026-03-02 05:00:00"]


@both_databases
def test_the_right_to_export_lost_before_the_job_or_before_the_download_counts(app, create_user, login_as, create):
    reader = granted(create_user("reader"), "read", "export")
    create("crm_client", name="a")
    browser = login_as(reader)
    early, late = asked(browser), asked(browser)
    assert run(early).state == "done" and fetched(browser, early).status_code == 200
    take_away(reader, "export")
    row = run(late)
    assert row.state == "dead" and "may not export" in row.last_error and "may not export" in browser.get("/jobs/").text
    assert fetched(browser, early).status_code == 403 and fetched(browser, late).status_code == 404
    assert left() == [f"{early}.xlsx"]


@both_databases
def test_a_file_is_not_handed_out_any_more_when_its_asker_sees_fewer_records(app, create_user, login_as, create):
    mate, li = create_user("mate"), create_user("li")
    sales, law = create("core_department", name="Sales"), create("core_department", name="Law")
    for place in (sales, law):
        create("core_post", title="Clerk", user=li, department=place)
    team = create("core_team", name="One", members=[li, mate])
    granted(li, "read", "export", scopes="own department team")
    create("crm_client", name="ours", department=law)
    create("crm_client", name="my mate's", owner=mate)
    browser = login_as(li)
    job_id = asked(browser)
    assert run(job_id).state == "done" and len(sheet(fetched(browser, job_id))) == 3

    # What is given to him besides does no harm; the same is enough.
    more = create("core_post", title="Guest", user=li, department=create("core_department", name="More"))
    assert fetched(browser, job_id).status_code == 200
    with system("posts"):
        db.session.delete(more)
        db.session.commit()
    assert fetched(browser, job_id).status_code == 200

    with system("teams"):
        team.members = [li]
        db.session.commit()
    answer = fetched(browser, job_id)
    assert answer.status_code == 403 and "fewer of these records" in answer.text and "export again" in answer.text
    again = asked(browser)
    assert run(again).state == "done" and [row[0] for row in sheet(fetched(browser, again))[1:]] == ["ours"]
    take_away(li, "read")
    granted(li, "read", scopes="own")
    assert fetched(browser, again).status_code == 403


@both_databases
def test_a_column_hidden_between_question_and_job_is_not_written(app, create_user, login_as, create):
    li = create_user("li", roles=["Salesperson"])
    create("crm_client", name="a", owner=li, phones="13800138000")
    browser = login_as(li)
    named = asked(browser, columns="chosen", fields=["name", "phones"])
    sorted_by = asked(browser, columns="chosen", fields=["name"], order="phones")
    filtered = asked(browser, columns="chosen", fields=["name"], filter='{"field":"phones","op":"contains","value":"138"}')
    hide("phones")
    for job_id in (named, sorted_by, filtered):
        assert run(job_id).state == "dead" and fetched(browser, job_id).status_code == 404
    assert left() == []


@both_databases
def test_what_one_may_read_but_not_export_is_neither_counted_nor_written(app, create_user, login_as, create):
    li = granted(granted(create_user("li"), "read"), "export", scopes="own")
    mine, theirs = create("crm_client", name="mine", owner=li), create("crm_client", name="theirs")
    browser = login_as(li)
    assert "1 record of this list" in browser.get("/crm_client/_export/ask").text
    page = browser.post("/crm_client/_export/ask", data={"ids": [mine.id, theirs.id]}).text
    assert "1 record that you selected" in page
    job_id = asked(browser)
    assert run(job_id).state == "done"
    assert [row[0] for row in sheet(fetched(browser, job_id))[1:]] == ["mine"]
    answer = browser.get("/crm_client/_export", buffered=True)
    assert [row[0] for row in lines(answer)[1:]] == ["mine"]
    assert '"rows":[null,1]' in journalled("export")[-1]["changes"]


@both_databases
def test_ticked_records_pass_the_gate_at_once_and_in_the_job(app, create_user, login_as, create, monkeypatch):
    li = granted(create_user("li"), "read", "export", scopes="own")
    mine, theirs = create("crm_client", name="mine", owner=li), create("crm_client", name="theirs")
    browser = login_as(li)
    ids = [theirs.id, mine.id, 999_999]
    job_id = asked(browser, rows="ticked", ids=ids)
    assert run(job_id).state == "done" and [row[0] for row in sheet(fetched(browser, job_id))[1:]] == ["mine"]
    monkeypatch.setattr("core.web.export_pages.AT_ONCE", {"csv": 10, "xlsx": 10})
    answer = browser.post("/crm_client/_export", data={"format": "csv", "rows": "ticked", "ids": ids}, buffered=True)
    assert [row[0] for row in lines(answer)[1:]] == ["mine"]


def test_while_its_addon_sleeps_there_is_no_file(app, admin, create):
    create("crm_client", name="a")
    job_id = asked(admin)
    assert run(job_id).state == "done"
    with system("switching"):
        disable("crm_client")
        db.session.commit()
    for address in (f"/jobs/{job_id}/file", "/crm_client/_export/ask", "/crm_client/_export"):
        assert admin.get(address).status_code == 404
    assert admin.post("/crm_client/_export", data=FORM).status_code == 404
    with system("switching"):
        enable("crm_client")
        db.session.commit()
    assert fetched(admin, job_id).status_code == 200


def test_a_job_whose_addon_was_switched_off_waits_for_it(app, admin, create):
    create("crm_client", name="a")
    job_id = asked(admin)
    with system("switching"):
        disable("crm_client")
        db.session.commit()
    assert run(job_id).state == "queued" and left() == []


# -- when it goes wrong -----------------------------------------------------------------------------------------------


@both_databases
def test_an_export_that_fails_in_the_middle_is_written_anew_and_journalled_once(app, admin, monkeypatch):
    many(1200)
    job_id, real, calls = asked(admin), exporting._exportable, []

    def fails_once(model, found):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("gone")
        return real(model, found)

    monkeypatch.setattr(exporting, "_exportable", fails_once)
    assert run(job_id).state == "queued" and left() == [] and journalled("export") == []
    db.session.execute(update(core_job).values(due_at=core_job.c.created_at))
    db.session.commit()
    assert run(job_id).state == "done" and len(sheet(fetched(admin, job_id))) == 1201
    assert ['"fetched"' in one["changes"] for one in journalled("export")] == [False, True]


@both_databases
def test_a_cancelled_export_stops_at_the_next_page_and_leaves_nothing(app, admin, monkeypatch):
    many(1200)
    job_id, seen = asked(admin), []
    monkeypatch.setattr("core.transfer.export_jobs.cancelled", lambda: seen.append(1) or len(seen) == 2)
    run(job_id)
    assert len(seen) == 2 and left() == [] and journalled("export") == []


@both_databases
def test_nobody_waits_at_the_database_while_a_file_is_written_or_sent(app, admin, monkeypatch):
    many(1100)
    job_id, real, free = asked(admin), exporting._write_workbook, []

    def write(path, rows, *more):
        def watched():
            for place, row in enumerate(rows):
                if place in (1, 600, 1100):
                    free.append(nobody_waits())
                yield row

        real(path, watched(), *more)

    monkeypatch.setattr(exporting, "_write_workbook", write)
    assert run(job_id).state == "done" and free == [True] * 3
    answer = admin.get("/crm_client/_export")
    with closing(answer.iter_encoded()) as pieces:
        next(pieces), next(pieces)
        assert nobody_waits()


def nobody_waits():
    """Could somebody write here, and has nobody a transaction open?"""
    if db.is_sqlite:
        with db.short() as connection:
            connection.execute(update(core_job).values(text="still here"))
        return True
    idle = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")
    with db.engine.connect() as connection:
        return connection.execute(idle).scalar() == 0
