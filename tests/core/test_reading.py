"""Who has read what: of marked models each reading, by every door; saved files and prints of all."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from sqlalchemy import select

from core.context import today
from core.db import db
from core.jobs import run_jobs
from core.journal import journal
from core.journal_keep import check
from core.model import model_of
from core.reading import spans
from core.settings import set_setting
from core.testing import both_databases, settle
from tests.core.test_journal_keep import seal_all


def reads(*verbs):
    """(person, behalf, door, verb, record, ids) of the journal's readings, oldest first."""
    db.session.rollback()
    names = (journal.c.user_id, journal.c.behalf_id, journal.c.door, journal.c.verb, journal.c.record_id, journal.c.changes)
    query = select(*names).where(journal.c.verb.in_(verbs or ("read",))).order_by(journal.c.id)
    found = [(*row[:5], json.loads(row[5]).get("ids")) for row in db.session.execute(query)]
    settle()
    return found


@pytest.fixture
def clients(app, create):
    made = [create("crm_client", name=name).id for name in ("Far Hills", "Near Hills")]
    set_setting("journal.read_models", "crm_client")
    db.session.commit()
    return made


@both_databases
def test_each_door_leaves_one_line_with_the_records_it_showed(app, login_as, api_as, clients, create_user):
    first, second = clients
    boss = create_user("boss", level="administrator")
    browser, api = login_as(boss), api_as(boss)
    doors = {
        f"/crm_client/{first}": ("screen", first, None),
        "/crm_client/": ("screen", 0, [first, second]),
        f"/crm_client/{second}/_history": ("screen", second, None),
        f"/crm_client/{second}/_past": ("screen", second, None),
        f"/api/v1/crm_client/{first}": ("api", first, None),
        "/api/v1/crm_client/": ("api", 0, [first, second]),
        "/api/v1/crm_client/?q=Near": ("api", second, None),
    }
    for address, (door, record, ids) in doors.items():
        before = len(reads())
        assert (api if door == "api" else browser).get(address).status_code == 200
        assert reads()[before:] == [(boss.id, None, door, "read", record, ids)], address


@both_databases
def test_other_models_refusals_and_names_alone_leave_nothing(app, login_as, clients, create, create_user):
    tag = create("crm_tag", name="华东")
    boss = login_as("boss", level="administrator")
    for address in (f"/crm_tag/{tag.id}", "/crm_tag/", "/find?q=Hills", "/crm_client/_lookup?q=Far", "/crm_client/999999", "/"):
        boss.get(address)
    li = login_as(create_user("li", roles=["Salesperson"]))
    assert li.get(f"/crm_client/{clients[0]}").status_code == 404
    assert reads() == []


@both_databases
def test_whoever_sees_with_anothers_eyes_is_named_beside_him(app, login_as, clients, create_user):
    li = create_user("li", roles=["Salesperson"])
    record = db.session.get(model_of("crm_client"), clients[0])
    record.owner_id = li.id
    db.session.commit()
    chief = create_user("chief", level="system_administrator")
    browser = login_as(chief)
    assert browser.post(f"/ab_user/{li.id}/view-as").status_code == 302
    assert browser.get(f"/crm_client/{clients[0]}").status_code == 200
    assert reads() == [(li.id, chief.id, "screen", "read", clients[0], None)]


@both_databases
def test_saved_files_are_journalled_for_all_models(app, login_as, create, create_user):
    boss = create_user("boss", level="administrator")
    browser = login_as(boss)
    made = browser.post("/file/", data={"file": (io.BytesIO(b"hello"), "note.txt")}, content_type="multipart/form-data").json["id"]
    assert browser.get(f"/file/{made}").status_code == 200
    row = reads("download")
    assert [one[:4] for one in row] == [(boss.id, None, "screen", "download")]
    login_as("li", roles=["Salesperson"]).get(f"/file/{made}")
    assert len(reads("download")) == 1


@both_databases
def test_the_journal_answers_who_has_read_a_record_and_its_chain_holds(app, login_as, clients):
    boss = login_as("boss", level="administrator")
    told = boss.get(f"/crm_client/{clients[0]}/_history").text.count("<li")
    boss.get(f"/crm_client/{clients[0]}")
    boss.get("/crm_client/")
    lines = boss.get(f"/settings/journal/export?model=crm_client&record={clients[0]}").get_data(as_text=True).splitlines()
    # The page of the list held it among others.
    assert [one.split(",")[8] for one in lines if ",read," in one] == ["", str(clients[0]), str(clients[0])]
    # The history beside the record, which all may read who may read it, tells of changes alone.
    assert boss.get(f"/crm_client/{clients[0]}/_history").text.count("<li") == told > 0
    seal_all()
    assert check().fine


@both_databases
def test_a_system_administrator_chooses_the_kinds_of_records(app, login_as, create):
    client = create("crm_client", name="Far Hills")
    chief, boss = login_as("chief", level="system_administrator"), login_as("boss", level="administrator")
    assert boss.post("/settings/journal/reads", data={"tables": "crm_client"}).status_code == 403
    assert chief.post("/settings/journal/reads", data={"tables": ["crm_client", "nothing"]}).status_code == 302
    assert "no kind of record" in chief.get("/settings/journal/keep").text
    chief.post("/settings/journal/reads", data={"tables": ["crm_client", "crm_tag"]})
    boss.get(f"/crm_client/{client.id}")
    assert [one[4] for one in reads()] == [client.id]
    chief.post("/settings/journal/reads", data={})
    boss.get(f"/crm_client/{client.id}")
    assert len(reads()) == 1


@pytest.mark.browser
def test_what_goes_to_the_printer_is_journalled(page: Any, clients: Any) -> None:
    page.goto(f"/crm_client/{clients[0]}")
    for address, record in ((f"/crm_client/{clients[0]}", clients[0]), ("/crm_client/", 0)):
        page.goto(address)
        with page.expect_response(lambda answer: answer.url.endswith("_printed")) as printed:
            page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert printed.value.status == 200
        assert [one[4] for one in reads("print")][-1] == record


@pytest.mark.browser
def test_a_button_prints_a_record_and_a_list_and_both_are_journalled(page: Any, clients: Any) -> None:
    for address, record in ((f"/crm_client/{clients[0]}", clients[0]), ("/crm_client/", 0)):
        page.goto(address)
        # Chromium without a screen has no printer; what it tells the page before printing is what it always tells.
        page.evaluate("print = () => dispatchEvent(new Event('beforeprint'))")
        with page.expect_response(lambda answer: answer.url.endswith("_printed")) as printed:
            page.get_by_role("button", name="Print", exact=True).click()
        assert printed.value.status == 200
        assert [one[4] for one in reads("print")][-1] == record


@pytest.mark.browser
def test_prints_of_lists_of_a_day_of_groups_and_of_a_past_are_told_and_other_pages_are_none(page: Any, clients: Any) -> None:
    """A record as it was is the record; a page that shows no records of its own leaves nothing, and fails nowhere."""
    first, sent = clients[0], []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    page.on("pageerror", lambda problem: sent.append(str(problem)))
    for address in ("/", "/settings/journal", "/jobs/", "/crm_client/new", "/crm_client/_export/ask", "/trash", "/account"):
        page.goto(address)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.wait_for_timeout(150)
    assert not [one for one in sent if "_printed" in one or "http" not in one] and not reads("print")
    day = today().isoformat()
    for address, record in ((f"/crm_client/?as_of={day}", 0), ("/crm_client/?group=status", 0), (f"/crm_client/{first}/_past", first)):
        before = len(reads("print"))
        page.goto(address)
        with page.expect_response(lambda answer: answer.url.endswith("_printed")) as printed:
            page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert printed.value.status == 200, address
        assert [one[4] for one in reads("print")][before:] == [record], address


# -- what leaves, and what is counted -----------------------------------------------------------------------------------------


def told(verb: str) -> list[dict[str, Any]]:
    db.session.rollback()
    query = select(journal.c.changes).where(journal.c.verb == verb).order_by(journal.c.id)
    found = [json.loads(one) for one in db.session.execute(query).scalars()]
    settle()
    return found


def test_numbers_are_told_in_few_words_and_no_more_than_fit():
    assert spans([]) == "" and spans([3]) == "3" and spans([9, 8, 7, 3, 8]) == "3 7-9"
    assert spans(range(1, 1_000_001)) == "1-1000000"
    assert spans(range(0, 100, 2), most=3) == "0 2 4 …" and spans([0, 2, 4], most=3) == "0 2 4" and spans([0, 2, 4, 5], most=3) == "0 2 4-5"


@both_databases
def test_an_export_tells_which_records_left_by_each_of_its_doors(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    made = [create("crm_client", name=name, owner=li if name != "Far" else None).id for name in ("A", "B", "Far", "C")]
    set_setting("journal.read_models", "crm_client")
    db.session.commit()
    boss = login_as("boss", level="administrator")
    every = f"{made[0]}-{made[-1]}" if made[-1] - made[0] == 3 else " ".join(map(str, made))
    assert boss.get("/crm_client/_export").status_code == 200
    for ending in ("csv", "xlsx"):
        assert boss.post("/crm_client/_export", data={"format": ending, "rows": "all"}).status_code == 200
        assert (
            boss.post("/crm_client/_export", data={"format": ending, "rows": "ticked", "ids": [str(made[3]), str(made[0])]}).status_code
            == 200
        )
    few = f"{made[0]} {made[3]}"
    assert [(one["ids"][1], one["rows"][1]) for one in told("export")] == [(every, 4), (every, 4), (few, 2), (every, 4), (few, 2)]
    assert not told("read"), "the line of the export tells of them"
    page = boss.get("/settings/journal?verb=export").text
    assert "Numbers of the records" in page and few in page


@both_databases
def test_a_job_that_exports_tells_which_records_left(app, create, acting_as, create_user):
    made = [create("crm_tag", name=name).id for name in ("a", "b", "c")]
    with acting_as(create_user("boss", level="administrator")):
        from core.transfer.export_jobs import write_export

        write_export.later(table="crm_tag", ending="csv", ids=[made[2], made[0]])
        db.session.commit()
    run_jobs(once=True)
    (one,) = told("export")
    assert one["ids"] == [None, spans([made[0], made[2]])] and one["rows"] == [None, 2] and one["job"][1]


@both_databases
def test_groups_totals_and_the_preview_of_a_change_of_many_are_readings(app, login_as, api_as, clients):
    boss = login_as("boss", level="administrator")
    assert boss.get("/crm_client/?group=status").status_code == 200
    assert api_as("boss").get("/api/v1/crm_client/_groups?by=status").status_code == 200
    assert [one.get("groups") for one in told("read")] == [["status"], ["status"]]
    before = len(told("read"))
    sent = {"_ids": list(map(str, clients)), "_field": "email", "_step": "show", "email": "x@example.com"}
    answer = boss.post("/crm_client/_edit", data=sent)
    assert answer.status_code == 200 and "Far Hills" in answer.text
    assert [one.get("ids") for one in told("read")[before:]] == [clients]


@both_databases
def test_the_setting_is_asked_once_a_page(app, login_as, create, monkeypatch):
    import core.reading

    for number in range(30):
        create("crm_tag", name=f"t{number}")
    boss = login_as("boss", level="administrator")
    asked, real = [], core.reading.setting
    monkeypatch.setattr(core.reading, "setting", lambda key: asked.append(key) or real(key))
    assert boss.get("/crm_tag/").status_code == 200
    assert asked.count("journal.read_models") == 1
