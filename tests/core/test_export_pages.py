"""Export from a list: the question first, a small list at once, a large one as a job whose file only one person may fetch."""

import io
import os
import re
from datetime import timedelta

import pytest
from openpyxl import load_workbook
from sqlalchemy import insert, select

from core.context import now
from core.db import db
from core.jobs import core_job, run_jobs
from core.model import model_of
from core.people import FieldRight, RoleRow
from core.testing import both_databases
from core.transfer.export_jobs import exports_folder, remove_old_exports
from core.web import export_pages
from core.web.views import view_of
from tests.core.sheets import journalled


def csv_of(answer):
    return [line.split(",") for line in answer.get_data(as_text=True).lstrip("\ufeff").splitlines()]


def made(count, **values):
    table = model_of("crm_client").__table__
    common = {"created_at": now(), "modified_at": now(), "version": 1, "status": "signed", **values}
    names = {one.name for one in table.columns}
    for start in range(0, count, 5000):
        rows = [
            {**{k: v for k, v in common.items() if k in names}, "name": f"client {number}", "code": f"X{number}"}
            for number in range(start, min(start + 5000, count))
        ]
        db.session.connection().execute(insert(table), rows)
    db.session.commit()


def work():
    db.session.commit()
    db.remove()
    run_jobs(once=True)


def jobs_of(name="write_export"):
    with db.short() as connection:
        return connection.execute(select(core_job).where(core_job.c.name.endswith(name)).order_by(core_job.c.id)).all()


@pytest.fixture
def small(monkeypatch):
    """Lists of more than three rows are a job."""
    monkeypatch.setattr(export_pages, "AT_ONCE", {"csv": 3, "xlsx": 3})


@both_databases
def test_a_small_list_comes_at_once_in_the_columns_and_rows_asked_for(app, create, admin, login_as):
    ids = [create("crm_client", name=name, phones="13800138000").id for name in ("甲", "乙", "丙")]
    browser = admin
    asked = browser.post("/crm_client/_export/ask", data={"ids": ids[:2]})
    assert asked.status_code == 200 and "2 records that you selected" in asked.text and "All 3 records" in asked.text
    sent = {"format": "csv", "rows": "ticked", "ids": ids[:2], "columns": "chosen", "fields": ["name", "phones"]}
    heading, *rows = csv_of(browser.post("/crm_client/_export", data=sent, buffered=True))
    assert len(heading) == 2 and sorted(row[0] for row in rows) == ["乙", "甲"]
    everything = browser.post("/crm_client/_export", data={"format": "xlsx", "rows": "all", "columns": "all", "order": "-id"})
    lines = list(load_workbook(io.BytesIO(everything.data)).active.values)
    assert [line[0] for line in lines[1:]] == ["丙", "乙", "甲"]
    assert len(journalled("export")) == 2


@both_databases
@pytest.mark.parametrize("order", ["", "name", "-code"])
def test_the_rows_come_in_the_order_in_which_the_list_shows_them(app, create, admin, login_as, monkeypatch, order):
    for name in ("b", "c", "a"):
        create("crm_client", name=name)
    monkeypatch.setattr(type(view_of(model_of("crm_client"))), "order", "-name")
    browser = admin
    page = browser.get(f"/crm_client/?order={order}").text
    shown = re.findall(r'<a [^>]*href="/crm_client/\d+"[^>]*>(?:<[^>]*>)*([abc])<', page)
    assert sorted(shown) == ["a", "b", "c"]
    # What the bar below the list sends, once with rows ticked and once with all of them.
    bar = {name: re.search(rf'name="{name}" value="([^"]*)"', page[page.index("data-list") :])[1] for name in ("filter", "q", "order")}
    ids = re.findall(r'name="ids" value="(\d+)"', page)
    for rows, more in (("ticked", {"ids": ids}), ("all", {"all": "1"})):
        question = browser.post("/crm_client/_export/ask", data={**bar, **more}).text
        sent = {name: re.search(rf'name="{name}" value="([^"]*)"', question)[1] for name in ("filter", "q", "order")}
        sent |= {"format": "csv", "rows": rows, "columns": "chosen", "fields": "name"}
        sent["ids"] = re.findall(r'name="ids" value="(\d+)"', question)
        answer = browser.post("/crm_client/_export", data=sent, buffered=True)
        assert [row[0] for row in csv_of(answer)[1:]] == shown, rows


@both_databases
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_long_list_becomes_a_file_that_only_one_person_may_fetch(app, create_user, admin, login_as, small, ending):
    made(1200)
    browser = admin
    answer = browser.post("/crm_client/_export", data={"format": ending, "rows": "all", "columns": "all"}, follow_redirects=True)
    assert "in the background" in answer.text and 'href="/jobs/"' in answer.text and journalled("export") == []
    assert "waiting" in browser.get("/jobs/").text
    work()
    (job,) = jobs_of()
    page = browser.get("/jobs/").text
    assert f"/jobs/{job.id}/file" in page and "1,200 rows" in page
    file = browser.get(f"/jobs/{job.id}/file")
    lines = csv_of(file) if ending == "csv" else list(load_workbook(io.BytesIO(file.data)).active.values)
    assert len(lines) == 1201
    told = journalled("export")
    assert '"rows":[null,1200]' in told[0]["changes"] and '"fetched"' in told[1]["changes"] and len(told) == 2
    other = login_as(create_user("other", level="administrator"))
    assert other.get(f"/jobs/{job.id}/file").status_code == 404
    assert login_as("stranger").get(f"/jobs/{job.id}/file").status_code == 404
    assert [one.name for one in exports_folder().iterdir()] == [f"{job.id}.{ending}"]


@both_databases
def test_who_may_not_export_any_more_fetches_nothing_more(app, create, create_user, login_as, small):
    li = create_user("li", roles=["Salesperson"])
    for number in range(5):
        create("crm_client", name=f"mine {number}", owner=li, phones="13800138000")
    browser = login_as(li)
    assert browser.post("/crm_client/_export", data={"format": "csv", "columns": "all"}).status_code == 302
    work()
    (job,) = jobs_of()
    assert browser.get(f"/jobs/{job.id}/file").text.count("13800138000") == 5
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name="phones", access="hidden"))
    db.session.commit()
    refused = browser.get(f"/jobs/{job.id}/file")
    assert refused.status_code == 403 and "may not see any more" in refused.text
    assert "phones" not in browser.get("/crm_client/_export/ask").text
    for sent in (
        {"columns": "chosen", "fields": "phones"},
        {"order": "phones"},
        {"filter": '{"field":"phones","op":"contains","value":"138"}'},
    ):
        assert browser.post("/crm_client/_export", data={"format": "csv", **sent}).status_code == 400, sent


@both_databases
def test_rights_are_those_at_the_time_the_job_runs(app, create, create_user, login_as, small):
    li = create_user("li", roles=["Salesperson"])
    for number in range(5):
        create("crm_client", name=f"mine {number}", owner=li)
    browser = login_as(li)
    browser.post("/crm_client/_export", data={"format": "csv", "columns": "all"})
    user = db.session.get(type(li), li.id)
    user.role_rows = []
    db.session.commit()
    work()
    (job,) = jobs_of()
    assert job.state == "dead" and "may not" in job.last_error
    assert "You may not read" in browser.get("/jobs/").text
    assert not exports_folder().exists()


def test_without_the_right_there_is_no_way_in(app, create, login_as):
    create("crm_client", name="a")
    browser = login_as("stranger")
    assert browser.get("/crm_client/_export/ask").status_code == 403
    assert browser.post("/crm_client/_export", data={"format": "csv"}).status_code == 403
    assert "_export" not in browser.get("/").text


def test_what_cannot_be_meant_is_told(app, create, admin, login_as):
    create("crm_client", name="a")
    browser = admin
    for sent in ({"format": "pdf"}, {"columns": "chosen"}, {"rows": "ticked"}, {"filter": '{"field":"nothing","op":"is","value":1}'}):
        assert browser.post("/crm_client/_export", data=sent).status_code == 400, sent


def test_a_cancelled_job_leaves_no_file_and_can_be_tried_again(app, admin, login_as, small):
    made(10)
    browser = admin
    browser.post("/crm_client/_export", data={"format": "csv", "columns": "all"})
    (job,) = jobs_of()
    assert browser.post(f"/jobs/{job.id}/cancel", follow_redirects=True).status_code == 200
    work()
    assert jobs_of()[0].state == "cancelled" and not exports_folder().exists()
    assert browser.post(f"/jobs/{job.id}/cancel").status_code == 409
    assert login_as("stranger").post(f"/jobs/{job.id}/again").status_code == 404
    browser.post(f"/jobs/{job.id}/again")
    work()
    assert jobs_of()[0].state == "done"


def test_files_go_when_their_days_are_over(app, admin, login_as, small):
    made(10)
    browser = admin
    browser.post("/crm_client/_export", data={"format": "csv", "columns": "all"})
    work()
    (job,) = jobs_of()
    remove_old_exports()
    path = exports_folder() / f"{job.id}.csv"
    assert path.is_file()
    old = path.stat().st_mtime - timedelta(days=8).total_seconds()
    os.utime(path, (old, old))
    remove_old_exports()
    assert browser.get(f"/jobs/{job.id}/file").status_code == 404
    assert "removed after some days" in browser.get("/jobs/").text


def test_a_page_of_jobs_without_jobs_says_so_and_htmx_gets_a_piece(app, admin, login_as):
    browser = admin
    assert "Nothing runs in the background" in browser.get("/jobs/").text
    piece = browser.get("/jobs/", headers={"HX-Request": "true"}).text
    assert "Nothing runs" in piece and "<html" not in piece
    assert browser.get("/jobs/?state=nonsense").status_code == 404


@both_databases
def test_rest_exports_csv_through_the_same_gate(app, create, admin, login_as):
    for name in ("甲", "乙"):
        create("crm_client", name=name)
    found = admin.get("/api/v1/crm_client/_export?columns=name&order=-id", buffered=True)
    assert found.status_code == 200, found.text
    assert found.mimetype == "text/csv" and [line[0] for line in csv_of(found)][1:] == ["乙", "甲"]
    assert login_as("stranger").get("/api/v1/crm_client/_export").status_code == 403
    assert admin.get("/api/v1/crm_client/_export?columns=nothing").status_code == 400
