"""Undo where somebody else has by now what was unique; it stays and is named, and all else comes back."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select

from core.custom import CustomField
from core.db import db
from core.journal import batch, batches
from core.model import model_of
from core.people import Share
from core.records import records
from core.testing import both_databases, settle


def last_batch() -> int:
    return db.session.execute(select(batches.c.id).order_by(batches.c.id.desc()).limit(1)).scalar_one()


def stands(table: str = "crm_client", name: str = "code") -> list[Any]:
    db.session.rollback()
    found = model_of(table).__table__
    told = db.session.execute(select(found.c[name]).order_by(found.c.id)).scalars().all()
    settle()
    return told


@both_databases
def test_one_whose_code_is_taken_stays_away_and_the_others_come_back(app, login_as, create, create_user):
    chief, wang = login_as("chief", level="administrator"), create_user("wang")
    clients = [create("crm_client", name=f"Client {number}", code=f"K{number}") for number in range(3)]
    for one in clients:
        create("crm_contact", client=one, name=f"Of {one.name}")
        create(Share, model="crm_client", record_id=one.id, user=wang, access="read")
    ids = [one.id for one in clients]
    assert chief.post("/crm_client/_bulk", data={"action": "delete", "ids": ids, "confirmed": "1"}).status_code == 302
    number = last_batch()
    other = create("crm_client", name="Other", code="K1").id
    shown = chief.post(f"/undo/{number}", follow_redirects=True).text
    assert stands() == ["K0", "K2", "K1"] and stands("crm_contact", "name") == ["Of Client 0", "Of Client 2"]
    assert stands("core_share", "record_id") == [ids[0], ids[2]]
    assert f"Client #{ids[1]}: Another record has the same “Code” by now." in shown
    # When it is free again, the trash gives it back, with its line.
    row = next(one.split('"')[0] for one in chief.get("/trash").text.split('action="/trash/')[1:])
    assert "This cannot come back: Another record has the same" in chief.post(f"/trash/{row}", follow_redirects=True).text
    records(model_of("crm_client")).edit(other, {"code": "K9"})
    chief.post(f"/trash/{row}")
    assert sorted(stands()) == ["K0", "K1", "K2", "K9"] and len(stands("crm_contact", "name")) == 3


@both_databases
def test_a_code_that_is_taken_stays_as_it_is_and_what_the_batch_itself_took_is_free_again(app, login_as, create, api_as):
    chief, api = login_as("chief", level="administrator"), api_as("chief")
    first = create("crm_client", name="First", code="K1").id
    assert api.put(f"/api/v1/crm_client/{first}", json={"code": "K9", "name": "New name"}).status_code == 200
    number = last_batch()
    second = create("crm_client", name="Second", code="K1").id
    shown = chief.post(f"/undo/{number}", follow_redirects=True).text
    assert stands(name="name") == ["First", "Second"] and stands() == ["K9", "K1"]
    assert "Client First · Code: Another record has the same “Code” by now." in shown
    # In one batch: deleted, its code given to another and to a new one.
    with batch("All at once"):
        clients = records(model_of("crm_client"))
        clients.delete(second)
        clients.edit(first, {"code": "K1"})
        db.session.flush()
        clients.edit(first, {"code": "K2"})
        clients.create({"name": "Third", "code": "K1"})
        db.session.commit()
    assert stands() == ["K2", "K1"]
    shown = chief.post(f"/undo/{last_batch()}", follow_redirects=True).text
    assert ">3 records are as they were.<" in shown and stands(name="name") == ["First", "Second"] and stands() == ["K9", "K1"]


@both_databases
def test_what_a_formula_makes_of_other_fields_is_no_change_of_somebody_else(app, login_as, create, api_as):
    chief, api = login_as("chief", level="administrator"), api_as("chief")
    fields = records(CustomField)
    names = [fields.create({"model": "crm_client", "title": title, "kind": "integer"}).name for title in ("Length", "Width")]
    fields.create({"model": "crm_client", "title": "Area", "kind": "formula", "formula": " * ".join(names)})
    number = create("crm_client", name="A").id
    for values in ({names[0]: 1, names[1]: 3}, {names[0]: 2}):
        assert api.put(f"/api/v1/crm_client/{number}", json=values).status_code == 200
    middle = last_batch()
    assert api.put(f"/api/v1/crm_client/{number}", json={names[1]: 4}).status_code == 200
    shown = chief.post(f"/undo/{middle}", follow_redirects=True).text
    assert "1 record is as it was." in shown and "changed since" not in shown
    assert stands(name="custom") == [{names[0]: 1, names[1]: 4, "x_area": "4"}]


@both_databases
def test_the_trash_says_what_could_not_come_along(app, login_as, create, api_as):
    chief, api = login_as("chief", level="administrator"), api_as("chief")
    heads = [create("core_department", name=name).id for name in ("Firm", "Other")]
    below = create("core_department", name="Shop", parent_id=heads[0]).id
    for _door in ("screen", "api"):
        assert api.delete(f"/api/v1/core_department/{heads[0]}").status_code == 200
        assert api.put(f"/api/v1/core_department/{below}", json={"parent": heads[1]}).status_code == 200
        (entry,) = api.get("/api/v1/_trash?model=core_department").json["result"]
        wanted = "Department Shop · Parent: This was changed again since."
        if _door == "screen":
            shown = chief.post(f"/trash/{entry['row']}", follow_redirects=True).text
            assert wanted in shown and 'data-toast="sticky"' in shown, "it does not pass before it is read"
            # What was brought back can be taken back, as all else.
            (undo_url,) = re.findall(r'class="m-toast .*?action="(/undo/\d+)"', shown)
            assert chief.post(undo_url).status_code == 302 and stands("core_department", "name") == ["Other", "Shop"]
            assert "is back" in chief.post(f"/trash/{entry['row']}", follow_redirects=True).text
            assert api.put(f"/api/v1/core_department/{below}", json={"parent": heads[0]}).status_code == 200
        else:
            assert api.post(f"/api/v1/_trash/{entry['row']}").json["stayed"] == [wanted]
