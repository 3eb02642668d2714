"""The past and the trash over REST: the same gates as on the pages, and two who bring the same back at once."""

from __future__ import annotations

import contextvars
import io
import re
import threading
from typing import Any

from sqlalchemy import func, select

from core.addons import disable, enable
from core.custom import CustomField
from core.db import db
from core.journal import journal
from core.model import model_of
from core.people import FieldRight, RoleRow
from core.records import records
from core.testing import both_databases


def number_of(table: str, record_id: int) -> int:
    """The row of the journal that has deleted a record."""
    query = select(journal.c.id).where(journal.c.verb == "delete", journal.c.model == table, journal.c.record_id == record_id)
    found = db.session.execute(query.order_by(journal.c.id.desc()).limit(1)).scalar_one()
    db.session.commit()
    return found


@both_databases
def test_states_differences_and_the_way_back(app, api_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", phones="13800138000", owner=li)
    ada, ben = create("crm_contact", client=client, name="Ada"), create("crm_contact", client=client, name="Ben")
    number, ada_id, ben_id = client.id, ada.id, ben.id
    his, url = api_as(li), f"/api/v1/crm_client/{number}/past"
    made = his.get(url).json["result"][-1]
    his.put(f"/api/v1/crm_client/{number}", json={"name": "Near Hills", "phones": None})
    his.delete(f"/api/v1/crm_contact/{ada_id}")
    his.put(f"/api/v1/crm_contact/{ben_id}", json={"name": "Benjamin"})
    known = his.get(url).json["result"]
    assert len(known) == 4 and [one["row"] for one in known] == sorted(one["row"] for one in known) and known[-1]["user"] == li.id
    then = his.get(f"{url}?row={made['row']}").json
    assert then["values"]["name"] == "Far Hills" and then["values"]["phones"] == "13800138000" and then["there"]
    assert [(one["id"], one["values"]["name"]) for one in then["lines"]["crm_contact"]] == [(ada_id, "Ada"), (ben_id, "Ben")]
    assert his.get(f"{url}?at={made['at']}").json["values"] == then["values"]
    early = his.get(f"{url}?at=2001-01-01T00:00:00Z").json
    assert (early["there"], early["moment"], early["values"]) == (False, None, {})
    told = his.get(f"{url}?row={made['row']}&with={known[-1]['row']}").json
    assert told["changes"] == {"name": ["Far Hills", "Near Hills"], "phones": ["13800138000", None]}
    assert [(one["id"], one["kind"]) for one in told["changed_lines"]["crm_contact"]] == [(ada_id, "gone"), (ben_id, "edited")]
    for wrong in ("row=x", "at=x", f"row={made['row']}&at=2001-01-01", "with=3", "row=1&with=y", "other=1"):
        assert his.get(f"{url}?{wrong}").status_code == 400, wrong
    for body in (
        {}, {"row": "1", "all": True}, {"row": made["row"]}, {"row": made["row"], "all": True, "fields": ["name"]}, {"row": 1, "x": 1},
        {"row": 1, "lines": [1]}, {"row": 1, "fields": "name"}, {"row": 1, "all": False}, {"row": 1, "lines": [{"model": "x", "id": "1"}]},
    ):  # fmt: skip
        assert his.post(url, json=body).status_code == 400, body
    # A field alone, a line alone, then all of it.
    assert his.post(url, json={"row": made["row"], "fields": ["phones"]}).json["changed"] == 1
    assert his.get(f"/api/v1/crm_client/{number}").json["result"]["phones"] == "13800138000"
    assert his.post(url, json={"row": made["row"], "lines": [{"model": "crm_contact", "id": ada_id}]}).json["changed"] == 1
    assert his.get(f"/api/v1/crm_contact/{ada_id}").json["result"]["name"] == "Ada"
    assert his.post(url, json={"row": made["row"], "all": True}).json["changed"] == 2
    assert his.get(f"/api/v1/crm_client/{number}").json["result"]["name"] == "Far Hills"
    assert his.get(f"/api/v1/crm_contact/{ben_id}").json["result"]["name"] == "Ben"


@both_databases
def test_others_learn_nothing_and_hidden_fields_stay_hidden(app, api_as, login_as, create, create_user):
    li, wang, ann = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"]), create_user("ann")
    client = create("crm_client", name="Far Hills", phones="13800138000", owner=li)
    create("core_personal_right", user=ann, model="crm_client", verb="read", scopes="all")
    number = client.id
    url = f"/api/v1/crm_client/{number}/past"
    row = api_as("chief", level="administrator").get(url).json["result"][-1]["row"]
    api_as("chief").put(f"/api/v1/crm_client/{number}", json={"phones": "13900139000"})
    assert api_as(wang).get(url).status_code == 404 and api_as(wang).get(f"{url}?row={row}").status_code == 404
    assert api_as(wang).post(url, json={"row": row, "all": True}).status_code == 404
    reader = api_as(ann)
    assert reader.get(f"{url}?row={row}").json["values"]["phones"] == "13800138000"
    assert reader.post(url, json={"row": row, "all": True}).status_code == 403
    role = db.session.query(RoleRow).filter_by(name="Salesperson").one()
    create(FieldRight, role=role, model="crm_client", field_name="phones", access="hidden")
    his = api_as(li)
    answer = his.get(f"{url}?row={row}&with=99999999")
    assert "phones" not in answer.json["values"] and answer.json["changes"] == {} and "138001" not in answer.text
    # Whether it was another is not told by a refusal, either.
    now_row = his.get(url).json["result"][-1]["row"]
    answers = [his.post(url, json={"row": one, "fields": ["phones"]}) for one in (row, now_row)]
    assert [one.status_code for one in answers] == [422, 422] and answers[0].json["errors"] == answers[1].json["errors"]
    assert his.post(url, json={"row": row, "all": True}).json["changed"] == 0


@both_databases
def test_the_trash_over_rest_has_the_gates_of_its_page(app, api_as, create, create_user):
    li, wang = create_user("li", roles=["Sales manager"]), create_user("wang", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    create("crm_contact", client=client, name="Ada")
    number = client.id
    his = api_as(li)
    assert his.delete(f"/api/v1/crm_client/{number}").status_code == 200
    (entry,) = his.get("/api/v1/_trash?model=crm_client").json["result"]
    assert (entry["title"], entry["lines"], entry["may_restore"], entry["user"]) == ("Far Hills", 1, True, li.id)
    hers = api_as(wang)
    assert hers.get("/api/v1/_trash").json["result"] == [] and hers.post(f"/api/v1/_trash/{entry['row']}").status_code == 404
    assert hers.post("/api/v1/_trash/x").status_code == 404
    for wrong, status in (("model=nothing", 404), ("before=x", 400), ("limit=0", 400), ("x=1", 400)):
        assert his.get(f"/api/v1/_trash?{wrong}").status_code == status, wrong
    answer = his.post(f"/api/v1/_trash/{entry['row']}")
    assert answer.status_code == 200 and answer.json == {"model": "crm_client", "id": number, "title": "Far Hills", "stayed": []}
    answer = his.post(f"/api/v1/_trash/{entry['row']}")
    assert answer.status_code == 409 and "there again already" in answer.json["message"]
    assert his.get("/api/v1/_trash").json["result"] == []


@both_databases
def test_while_its_addon_sleeps_a_sentence_says_so(app, api_as, login_as, create):
    client = create("crm_client", name="Far Hills")
    gone_id, number = create("crm_client", name="Gone Hills").id, client.id
    chief = api_as("chief", level="system_administrator")
    chief.delete(f"/api/v1/crm_client/{gone_id}")
    row = number_of("crm_client", gone_id)
    disable("crm_client")
    db.session.commit()
    try:
        for answer in (
            chief.post(f"/api/v1/_trash/{row}"), chief.get(f"/api/v1/crm_client/{number}/past"),
            chief.post(f"/api/v1/crm_client/{number}/past", json={"row": row, "all": True}),
            chief.get("/api/v1/crm_client/?as_of=2026-01-01"),
        ):  # fmt: skip
            assert answer.status_code == 404 and "switched off" in answer.json["message"], answer.text
        page = login_as("chief").post(f"/trash/{row}", follow_redirects=True)
        assert page.status_code == 200 and "switched off" in page.text
        assert "Gone Hills" not in chief.get("/api/v1/_trash").text and "Far Hills" not in chief.get("/api/v1/_changes?scope=all").text
    finally:
        enable("crm_client")
        db.session.commit()
    assert chief.post(f"/api/v1/_trash/{row}").status_code == 200


@both_databases
def test_of_two_who_bring_the_same_back_at_once_one_does_and_the_other_hears_why(app, api_as, create):
    """Real transactions side by side, ten times; whoever comes second finds it there, with its lines once."""
    chief, deputy = api_as("chief", level="administrator"), api_as("deputy", level="administrator")
    client, contact = model_of("crm_client"), model_of("crm_contact")
    for turn in range(10):
        made = create("crm_client", name=f"Hills {turn}")
        create("crm_contact", client=made, name="Ada")
        number = made.id
        chief.delete(f"/api/v1/crm_client/{number}")
        row = number_of("crm_client", number)
        together, answers = threading.Barrier(2), []

        def bring(program: Any, row: int = row, together: Any = together, answers: Any = answers) -> None:
            together.wait(10)
            answers.append(program.post(f"/api/v1/_trash/{row}"))

        db.remove()
        threads = [threading.Thread(target=contextvars.Context().run, args=(bring, one)) for one in (chief, deputy)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        assert sorted(one.status_code for one in answers) == [200, 409], [one.text for one in answers]
        (late,) = (one for one in answers if one.status_code == 409)
        assert "there again already" in late.json["message"], late.text
        count = select(func.count()).select_from(client).where(client.id == number)
        assert db.session.execute(count).scalar_one() == 1
        lines = select(func.count()).select_from(contact).where(contact.client_id == number)
        assert db.session.execute(lines).scalar_one() == 1
        db.session.commit()


@both_databases
def test_a_line_that_came_from_another_record_is_a_moment_and_goes_back_there(app, api_as, login_as, create, create_user):
    li = create_user("li", roles=["Sales manager"])
    far, near = create("crm_client", name="Far Hills", owner=li).id, create("crm_client", name="Near Hills", owner=li).id
    his, url = api_as(li), f"/api/v1/crm_client/{near}/past"
    ada = his.post("/api/v1/crm_contact/", json={"client": far, "name": "Ada"}).json["id"]
    contact = f"/api/v1/crm_contact/{ada}"
    made = his.get(url).json["result"][-1]["row"]
    assert his.put(contact, json={"client": near}).status_code == 200
    came = his.get(url).json["result"][-1]["row"]
    assert came > made and [one["id"] for one in his.get(f"{url}?row={came}").json["lines"]["crm_contact"]] == [ada]
    page = login_as(li).get(f"/crm_client/{near}/_past?row={made}").text
    assert "Ada" in page and "not there then" in page
    assert his.post(url, json={"row": made, "all": True}).json["changed"] == 1
    assert his.get(contact).json["result"]["client"] == far
    # Both moments stay, also once the line has left for good; and the history tells of them.
    assert his.put(contact, json={"client": near}).status_code == 200
    assert his.delete(contact).status_code in (200, 204)
    assert len(his.get(url).json["result"]) == 5
    told = login_as(li).get(f"/crm_client/{near}/_history").text
    assert told.count('<span class="m-dim">Contact ') == 4, told
    # Where it came from is gone by now: a sentence, and nothing half done.
    ben = his.post("/api/v1/crm_contact/", json={"client": far, "name": "Ben"}).json["id"]
    assert his.put(f"/api/v1/crm_contact/{ben}", json={"client": near}).status_code == 200
    assert his.delete(f"/api/v1/crm_client/{far}").status_code in (200, 204)
    answer = his.post(url, json={"row": made, "all": True})
    assert answer.status_code in (409, 422) and "message" in answer.json, answer.text
    assert his.get(f"/api/v1/crm_contact/{ben}").json["result"]["client"] == near


@both_databases
def test_a_field_that_is_required_since_does_not_keep_the_rest_from_coming_back(app, api_as, acting_as, create_user):
    chief = create_user("chief", level="system_administrator")
    his = api_as(chief)
    number = his.post("/api/v1/crm_client/", json={"name": "Far Hills"}).json["id"]
    ada = his.post("/api/v1/crm_contact/", json={"client": number, "name": "Ada"}).json["id"]
    url = f"/api/v1/crm_client/{number}/past"
    made = his.get(url).json["result"][-1]["row"]
    with acting_as(chief):
        for table in ("crm_client", "crm_contact"):
            records(CustomField).create({"model": table, "title": "Size", "kind": "integer", "required": True})
        db.session.commit()
    assert his.put(f"/api/v1/crm_client/{number}", json={"name": "Near Hills", "x_size": 4}).status_code == 200
    assert his.put(f"/api/v1/crm_contact/{ada}", json={"name": "Adele", "x_size": 5}).status_code == 200
    answer = his.post(url, json={"row": made, "all": True})
    assert answer.status_code == 200 and answer.json["changed"] == 2, answer.text
    told = [his.get(f"/api/v1/{one}").json["result"] for one in (f"crm_client/{number}", f"crm_contact/{ada}")]
    assert [(one["name"], one["x_size"]) for one in told] == [("Far Hills", 4), ("Ada", 5)]
    # Asked for by its name it is told why not.
    assert his.post(url, json={"row": made, "fields": ["x_size"]}).status_code == 422


@both_databases
def test_a_line_comes_back_with_its_files_and_shares(app, api_as, login_as, create, create_user):
    chief, wang = create_user("chief", level="system_administrator"), create_user("wang")
    his, screen = api_as(chief), login_as(chief)
    create(CustomField, model="crm_contact", title="Scan", kind="file")
    number = his.post("/api/v1/crm_client/", json={"name": "Far Hills"}).json["id"]
    ada = his.post("/api/v1/crm_contact/", json={"client": number, "name": "Ada"}).json["id"]
    sent = {"name": "Ada", "client": number, "x_scan": (io.BytesIO(b"a lease"), "lease.txt")}
    assert screen.post(f"/crm_contact/{ada}", data=sent).status_code == 302
    create("core_share", model="crm_contact", record_id=ada, user=wang, access="read")
    url, line = f"/api/v1/crm_client/{number}/past", f"/api/v1/crm_contact/{ada}"
    file, row = his.get(line).json["result"]["x_scan"], his.get(url).json["result"][-1]["row"]
    assert his.delete(line).status_code == 200 and screen.get(f"/file/{file}").status_code == 404
    answer = his.post(url, json={"row": row, "lines": [{"model": "crm_contact", "id": ada}]})
    assert answer.status_code == 200 and his.get(line).json["result"]["x_scan"] == file, answer.text
    with screen.get(f"/file/{file}") as saved:
        assert saved.status_code == 200 and saved.data == b"a lease"
    shares = model_of("core_share")
    assert db.session.execute(select(func.count()).select_from(shares).where(shares.record_id == ada)).scalar_one() == 1


@both_databases
def test_what_somebody_changed_meanwhile_is_not_overwritten_unseen(app, api_as, login_as, create_user):
    li = create_user("li", roles=["Sales manager"])
    his, screen = api_as(li), login_as(li)
    number = his.post("/api/v1/crm_client/", json={"name": "Far Hills"}).json["id"]
    one, url = f"/api/v1/crm_client/{number}", f"/api/v1/crm_client/{number}/past"
    row = his.get(url).json["result"][-1]["row"]
    his.put(one, json={"name": "Near Hills"})
    seen, page = his.get(one).json["result"]["version"], f"/crm_client/{number}/_past?row={row}"
    form = {name: re.search(f'name="{name}" value="([0-9]+)"', screen.get(page).text)[1] for name in ("row", "now")}
    his.put(one, json={"name": "Long Hills"})
    for more in ({"json": {"row": row, "all": True, "version": seen}},
                 {"json": {"row": row, "all": True}, "headers": {"If-Match": f'"{seen}"'}}):  # fmt: skip
        answer = his.post(url, **more)
        assert answer.status_code == 409 and "meanwhile" in answer.json["message"], answer.text
    told = screen.post(f"/crm_client/{number}/_past", data={**form, "all": "1"}, follow_redirects=True).text
    assert "changed this record meanwhile" in told and "Long Hills" in told and his.get(one).json["result"]["name"] == "Long Hills"
    # A line that somebody wrote counts as well.
    form["now"] = re.search('name="now" value="([0-9]+)"', told)[1]
    assert his.post("/api/v1/crm_contact/", json={"client": number, "name": "Ada"}).status_code == 201
    told = screen.post(f"/crm_client/{number}/_past", data={**form, "all": "1"}, follow_redirects=True).text
    assert "changed this record meanwhile" in told and his.get(one).json["result"]["name"] == "Long Hills"
    form["now"] = re.search('name="now" value="([0-9]+)"', told)[1]
    told = screen.post(f"/crm_client/{number}/_past", data={**form, "all": "1"}, follow_redirects=True).text
    assert "things are as they were" in told and his.get(one).json["result"]["name"] == "Far Hills"
    version = his.get(one).json["result"]["version"]
    assert his.post(url, json={"row": row, "all": True, "version": version}).json["changed"] == 0
