"""Lists of a past day as people use them: sums, groups, export and the empty list, and what happens when somebody writes meanwhile."""

from __future__ import annotations

import contextvars
import html
import io
import json
import re
import threading
from datetime import datetime
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import event, select

from core.asof_list import walk_then
from core.db import db
from core.model import model_of
from core.people import FieldRight, PersonalRight, RoleRow
from core.testing import both_databases
from core.transfer import exporting
from core.web import export_pages
from tests.core.sheets import journalled
from tests.core.test_asof import FIRST, day_before
from tests.core.test_export_pages import csv_of, jobs_of, work
from tests.core.test_grouping_screens import CLERK, heads, pieces


@pytest.fixture
def past(create: Any, create_user: Any, api_as: Any, clock: Any) -> dict[str, Any]:
    """Matters of two clerks on a day; since then one costs more, one is closed, one is deleted, one is new."""
    clock.set(FIRST)
    ann, bob = create_user("ann", roles=[CLERK]), create_user("bob", roles=[CLERK])
    made = [
        create("law_matter", name=name, status=status, amount=amount, owner=who).id
        for name, status, amount, who in (
            ("Alder", "new", "10.50", ann), ("Birch", "new", "2000", ann), ("Cedar", "open", "1", ann), ("Dogwood", "new", "70000", bob),
            ("Elm", "new", "5", bob),
        )
    ]  # fmt: skip
    day = day_before(clock)
    chief = api_as("chief", level="administrator")
    assert chief.put(f"/api/v1/law_matter/{made[0]}", json={"amount": "99999"}).status_code == 200
    assert chief.put(f"/api/v1/law_matter/{made[1]}", json={"status": "closed"}).status_code == 200
    assert chief.delete(f"/api/v1/law_matter/{made[4]}").status_code == 200
    assert chief.post("/api/v1/law_matter/", json={"name": "Fir", "status": "new", "amount": "8", "owner": ann.id}).status_code == 201
    return {"day": day, "ids": made, "ann": ann, "bob": bob}


@both_databases
def test_sums_and_groups_of_a_day_within_the_rights_of_today(app: Any, login_as: Any, api_as: Any, past: dict[str, Any]) -> None:
    day, url = past["day"], f"/law_matter/?as_of={past['day']}"
    his, chief = login_as(past["ann"]), login_as("chief")
    assert re.search(r"<tfoot>.*Total.*2,011\.50.*</tfoot>", his.get(url).text, re.DOTALL)
    assert re.search(r"<tfoot>.*Total.*72,016\.50.*</tfoot>", chief.get(url).text, re.DOTALL)
    page = his.get(f"{url}&group=status").text
    assert heads(page) == [("New", "2 records"), ("Open", "1 record")] and "2,010.50" in page and "2,011.50" in page
    assert "70,000" not in page and "99,999" not in page and 'name="ids"' not in page
    # A group unfolds into the rows of then, and opens as a list of that day.
    rows = his.get(pieces(page)[0]).text
    assert "Alder" in rows and "Birch" in rows and "Fir" not in rows and "10.50" in rows and "/_past?row=" in rows
    leads = [html.unescape(one) for one in re.findall(r'm-group-count" href="([^"]*)"', page)]
    listed = his.get(leads[0]).text
    assert f"at the end of {day}" in listed and "Birch" in listed and "2 records" in listed
    assert heads(chief.get(f"{url}&group=status").text)[0] == ("New", "4 records"), "the deleted one among them"
    answer = api_as("chief").get(f"/api/v1/law_matter/_groups?as_of={day}&by=status,owner&sums=amount").json
    assert answer["count"] == 5 and float(answer["sums"]["amount"]) == 72016.5 and answer["as_of"] == day and answer["unknown"] == 0
    told = [(one["values"]["status"], one["count"], float(one["sums"]["amount"])) for one in answer["result"]]
    assert sorted(told) == [("new", 2, 2010.5), ("new", 2, 70005.0), ("open", 1, 1.0)]
    for wrong in ("as_of=2126-01-01&by=status", f"as_of={day}&by=nope", f"as_of={day}&by=status&sums=name", "as_of=x&by=status"):
        assert api_as("chief").get(f"/api/v1/law_matter/_groups?{wrong}").status_code == 400, wrong
    # What is hidden from him today is neither summed nor grouped by.
    role = db.session.query(RoleRow).filter_by(name=CLERK).one()
    db.session.add(FieldRight(role_id=role.id, model="law_matter", field_name="amount", access="hidden"))
    db.session.commit()
    assert "2,011.50" not in his.get(url).text and "2,010.50" not in his.get(f"{url}&group=status").text
    for door in (f"_groups?as_of={day}&by=status&sums=amount", f"_groups?as_of={day}&by=amount"):
        assert api_as(past["ann"]).get(f"/api/v1/law_matter/{door}").status_code == 400, door


@both_databases
def test_a_list_of_a_day_is_exported_as_it_was(app: Any, login_as: Any, api_as: Any, past: dict[str, Any]) -> None:
    day, chief = past["day"], login_as("chief")
    asked = chief.get(f"/law_matter/?as_of={day}").text
    (link,) = {html.unescape(one) for one in re.findall(r'href="(/law_matter/_export/ask[^"]*)"', asked)}
    question = chief.get(link).text
    assert f'name="as_of" value="{day}"' in question and "All 5 records" in question and f"at the end of {day}" in question
    sent = {"format": "csv", "as_of": day, "order": "name", "columns": "chosen", "fields": ["name", "status", "amount", "owner"]}
    answer = chief.post("/law_matter/_export", data=sent, buffered=True)
    assert f"law_matter-{day}.csv" in answer.headers["Content-Disposition"]
    assert csv_of(answer)[1:] == [
        ["Alder", "New", "10.50", "ann"], ["Birch", "New", "2000.00", "ann"], ["Cedar", "Open", "1.00", "ann"],
        ["Dogwood", "New", "70000.00", "bob"], ["Elm", "New", "5.00", "bob"],
    ]  # fmt: skip
    everything = chief.post("/law_matter/_export", data={**sent, "format": "xlsx", "columns": "all", "order": "-name"})
    lines = list(load_workbook(io.BytesIO(everything.data)).active.values)
    assert [line[0] for line in lines[1:]] == ["Elm", "Dogwood", "Cedar", "Birch", "Alder"]
    told = [json.loads(one["changes"]) for one in journalled("export")]
    assert [(one["as_of"][1], one["rows"][1]) for one in told] == [(day, 5), (day, 5)]
    streamed = api_as("chief").get(f"/api/v1/law_matter/_export?as_of={day}&columns=name,id&order=name", buffered=True)
    assert streamed.status_code == 200, streamed.text
    assert [line[0] for line in csv_of(streamed)[1:]] == ["Alder", "Birch", "Cedar", "Dogwood", "Elm"]
    assert [int(line[1]) for line in csv_of(streamed)[1:]] == past["ids"]
    for wrong in ({"as_of": "2126-01-01"}, {"as_of": "x"}, {"order": "nope"}, {"filter": "x"}, {"fields": ["nope"]}):
        assert chief.post("/law_matter/_export", data={**sent, **wrong}).status_code == 400, wrong


@both_databases
def test_who_may_export_only_his_own_gets_no_more_of_a_past_day(
    app: Any, login_as: Any, create: Any, create_user: Any, clock: Any
) -> None:  # fmt: skip
    clock.set(FIRST)
    ann, bob = create_user("ann"), create_user("bob")
    for verb, scopes in (("read", "all"), ("export", "own"), ("edit", "all"), ("delete", "all")):
        db.session.add(PersonalRight(user_id=ann.id, model="crm_client", verb=verb, scopes=scopes))
    ids = [create("crm_client", name=name, owner=who).id for name, who in (("Mine", ann), ("Gone", ann), ("His", bob))]
    day, his = day_before(clock), login_as(ann)
    his.post(f"/crm_client/{ids[0]}", data={"name": "Mine now", "owner": ann.id})
    his.post(f"/crm_client/{ids[2]}", data={"name": "His now", "owner": bob.id})
    his.post(f"/crm_client/{ids[1]}/delete", data={})
    page = his.get(f"/crm_client/?as_of={day}").text
    assert all(name in page for name in ("Mine", "Gone", "His"))
    sent = {"format": "csv", "as_of": day, "columns": "chosen", "fields": "name"}
    assert csv_of(his.post("/crm_client/_export", data=sent, buffered=True))[1:] == [["Mine"]]
    assert "1 record of this list" in his.get(f"/crm_client/_export/ask?as_of={day}").text
    assert login_as("nobody").post("/crm_client/_export", data=sent).status_code == 403


@both_databases
def test_a_long_list_of_a_day_is_written_by_a_job(app: Any, login_as: Any, past: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(export_pages, "AT_ONCE", {"csv": 3, "xlsx": 3})
    day, chief = past["day"], login_as("chief")
    sent = {"format": "csv", "as_of": day, "order": "name", "columns": "chosen", "fields": ["name", "amount"]}
    answer = chief.post("/law_matter/_export", data=sent, follow_redirects=True)
    assert "in the background" in answer.text
    work()
    (job,) = jobs_of()
    file = chief.get(f"/jobs/{job.id}/file")
    assert [line[0] for line in csv_of(file)[1:]] == ["Alder", "Birch", "Cedar", "Dogwood", "Elm"]
    assert day in file.headers["Content-Disposition"]
    assert login_as("stranger").get(f"/jobs/{job.id}/file").status_code == 404


@pytest.mark.parametrize(
    ("language", "nothing", "none_fits", "back"),
    [
        ("en", "On {} there were no Clients yet", "On {} nothing fitted", "Back to today"),
        ("zh_Hans", "截至 {}，还没有客户", "{} 没有符合条件的记录", "返回今天"),
        ("zh_Hant", "截至 {}，還沒有客戶", "{} 沒有符合條件的紀錄", "返回今天"),
    ],
)
def test_an_empty_day_does_not_speak_of_today(
    app: Any, login_as: Any, create: Any, clock: Any, language: str, nothing: str, none_fits: str, back: str
) -> None:
    clock.set(FIRST)
    empty = day_before(clock)
    create("crm_client", name="Far Hills")
    full = day_before(clock)
    browser = login_as("boss", level="administrator", language=language)
    page = html.unescape(browser.get(f"/crm_client/?as_of={empty}").text)
    assert nothing.format(empty) in page and back in page and "so far" not in page and "暂无" not in page
    page = html.unescape(browser.get(f"/crm_client/?as_of={full}&q=nowhere").text)
    assert none_fits.format(full) in page and back in page
    assert "Far Hills" in browser.get(f"/crm_client/?as_of={full}").text


def beside(program: Any, url: str, values: dict[str, Any]) -> None:
    """Another request, in a thread of its own, which is over when this returns."""
    answers: list[Any] = []
    thread = threading.Thread(target=contextvars.Context().run, args=(lambda: answers.append(program.put(url, json=values)),))
    thread.start()
    thread.join(30)
    assert answers and answers[0].status_code == 200, answers and answers[0].text


@both_databases
@pytest.mark.parametrize("always", [False, True])
def test_what_is_written_between_two_statements_does_not_come_into_the_day(
    app: Any, api_as: Any, create: Any, clock: Any, always: bool
) -> None:
    clock.set(FIRST)
    ids = [create("crm_client", name=name).id for name in ("Alder", "Birch")]
    day = day_before(clock)
    reader, writer = api_as("chief", level="administrator"), api_as("deputy", level="administrator")
    writer.put(f"/api/v1/crm_client/{ids[1]}", json={"name": "Birch now"})
    reader.get(f"/api/v1/crm_client/?as_of={day}")
    written: list[str] = []
    mine = threading.get_ident()

    def between(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        # The changes since that day were just read; the table has not been.
        reads = "core_journal.changes" in statement and "ORDER BY core_journal.id DESC" in statement and "core_journal.digest" in statement
        if reads and threading.get_ident() == mine and (always or not written):
            written.append(f"Alder {len(written)}")
            beside(writer, f"/api/v1/crm_client/{ids[0]}", {"name": written[-1]})

    assert db.engine is not None
    event.listen(db.engine, "after_cursor_execute", between)
    try:
        answer = reader.get(f"/api/v1/crm_client/?as_of={day}&columns=name&order=name")
    finally:
        event.remove(db.engine, "after_cursor_execute", between)
    assert written
    if always and not db.is_sqlite:
        # On SQLite a request sees one moment. Here it was overtaken each time.
        assert len(written) == 4 and answer.status_code == 503 and "at this very moment" in answer.json["message"]
    else:
        assert [one["name"] for one in answer.json["result"]] == ["Alder", "Birch"], answer.text
    answer = reader.get(f"/api/v1/crm_client/?as_of={day}&columns=name&order=name")
    assert [one["name"] for one in answer.json["result"]] == ["Alder", "Birch"]


@both_databases
def test_what_changes_between_two_pages_of_an_export_stays_as_it_was(
    app: Any, api_as: Any, create: Any, acting_as: Any, create_user: Any, clock: Any
) -> None:
    clock.set(FIRST)
    names = [f"Hill {number}" for number in range(9)]
    ids = [create("crm_client", name=name).id for name in names]
    moment = datetime.fromisoformat(day_before(clock)).date()
    writer, chief = api_as("deputy", level="administrator"), create_user("chief", level="administrator")
    db.session.commit()
    found: list[str] = []
    with acting_as(chief):
        for page in walk_then(model_of("crm_client"), moment, order="name", columns=["name"], limit=2):
            found += [row.name for row in page.rows]
            # As an export does: no transaction is open while its rows go out.
            db.session.rollback()
            for number in (0, len(found), 8):
                if number < 9:
                    beside(writer, f"/api/v1/crm_client/{ids[number]}", {"name": f"A {len(found)} {number}"})
    assert found == names
    assert db.session.execute(select(model_of("crm_client").name)).scalars().all() != names


@both_databases
def test_an_export_of_a_day_reads_what_changed_once_unless_it_is_long(
    app: Any, login_as: Any, past: dict[str, Any], monkeypatch: Any
) -> None:  # fmt: skip
    chief, url = login_as("chief"), f"/law_matter/_export?as_of={past['day']}&order=name&fields=name&fields=owner"
    looks: list[str] = []

    def looked(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "core_journal.changes" in statement and "core_journal.digest" in statement and "ORDER BY core_journal.id DESC" in statement:
            looks.append(statement)

    assert db.engine is not None
    event.listen(db.engine, "after_cursor_execute", looked)
    try:
        short = csv_of(chief.get(url, buffered=True))
        assert len(looks) == 1 and [line[0] for line in short[1:]] == ["Alder", "Birch", "Cedar", "Dogwood", "Elm"]
        # A list of more pages than are held is asked for its numbers first: the journal has them before the first row leaves.
        monkeypatch.setattr(exporting, "HELD", 0)
        assert csv_of(chief.get(url, buffered=True)) == short and len(looks) == 3
    finally:
        event.remove(db.engine, "after_cursor_execute", looked)
    told = [json.loads(one["changes"]) for one in journalled("export")]
    assert [one["rows"][1] for one in told] == [5, 5] and told[0]["ids"] == told[1]["ids"]


@both_databases
def test_two_people_export_a_past_day_at_once_while_somebody_writes(app: Any, api_as: Any, past: dict[str, Any]) -> None:
    day, ready = past["day"], threading.Barrier(3)
    db.session.add(PersonalRight(user_id=past["ann"].id, model="law_matter", verb="export", scopes="all"))
    db.session.commit()
    ann, chief, writer = api_as(past["ann"]), api_as("chief"), api_as("deputy", level="administrator")
    names = {"ann": ["Alder", "Birch", "Cedar"], "chief": ["Alder", "Birch", "Cedar", "Dogwood", "Elm"]}
    found: dict[str, list[list[str]]] = {}

    def exports(name: str, program: Any) -> None:
        ready.wait(30)
        for turn in range(4):
            answer = program.get(f"/api/v1/law_matter/_export?as_of={day}&columns=name,amount&order=name", buffered=True)
            found[f"{name} {turn}"] = csv_of(answer) if answer.status_code == 200 else [[str(answer.status_code), answer.text]]

    def writes() -> None:
        ready.wait(30)
        for turn in range(6):
            assert writer.put(f"/api/v1/law_matter/{past['ids'][turn % 4]}", json={"amount": turn}).status_code == 200

    db.session.commit()
    db.remove()
    works = [(exports, ("ann", ann)), (exports, ("chief", chief)), (writes, ())]
    threads = [threading.Thread(target=contextvars.Context().run, args=(work, *given)) for work, given in works]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    wanted = {f"{name} {turn}": names[name] for name in names for turn in range(4)}
    assert {name: [line[0] for line in lines[1:]] for name, lines in found.items()} == wanted, found
    assert {name: lines[1][1] for name, lines in found.items()} == dict.fromkeys(wanted, "10.50"), "what it cost that day"
    told = [(one["user_id"], json.loads(one["changes"])["rows"][1]) for one in journalled("export")]
    assert sorted(rows for _who, rows in told) == [3] * 4 + [5] * 4 and len({who for who, _rows in told}) == 2
