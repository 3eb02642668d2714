"""The past of a record: at every moment what a test wrote down then, with lines, custom and deleted fields."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import func, select

from core.context import system
from core.custom import CustomField
from core.db import db
from core.journal import batch, journal
from core.model import model_of
from core.past import moments, parts_of, pasts, values_of
from core.records import records
from core.testing import both_databases
from core.undo import undo

NAMES = ("Far Hills", "Near Hills", "远山", "近山 & Söhne", "x" * 40)


def stand(client_id: int) -> tuple[int, Any]:
    """(newest number of the journal, the client with its contacts as it is now)."""
    db.session.commit()
    model, contact = model_of("crm_client"), model_of("crm_contact")
    quiet = {"mortise_rules": False, "populate_existing": True}
    record = db.session.execute(select(model).where(model.id == client_id), execution_options=quiet).scalars().first()
    lines = db.session.execute(select(contact).where(contact.client_id == client_id), execution_options=quiet).scalars()
    seen = (values_of(record) if record else None, {one.id: values_of(one) for one in lines})
    return db.session.execute(select(func.max(journal.c.id))).scalar_one(), seen


def step(chance: random.Random, client_id: int, other: int, told: list[str]) -> None:
    client, contact = records(model_of("crm_client")), records(model_of("crm_contact"))
    mine = [one for one in client.find(limit=50).rows if one.id == client_id]
    lines = [one for one in contact.find(limit=50).rows if one.client_id == client_id]
    kind = chance.choice(["edit", "edit", "custom", "line", "line", "change line", "move line", "drop line", "delete", "undo"])
    told.append(kind)
    if kind == "undo":
        of_clients = select(journal.c.batch_id).where(journal.c.model.in_(["crm_client", "crm_contact"]))
        newest = db.session.execute(of_clients.order_by(journal.c.id.desc()).limit(1)).scalar_one()
        with system("a test"):
            undo(newest)
        return
    with batch(kind):
        if kind == "edit" and mine:
            client.edit(mine[0], {"name": chance.choice(NAMES), "phones": chance.choice([None, "13800138000"])})
        elif kind == "custom" and mine:
            client.edit(mine[0], {"x_shoe_size": chance.choice([None, 39, 44])})
        elif kind == "line" and mine:
            contact.create({"client": client_id, "name": chance.choice(NAMES)})
        elif kind == "change line" and lines:
            contact.edit(chance.choice(lines), {"name": chance.choice(NAMES)})
        elif kind == "move line" and lines:
            contact.edit(chance.choice(lines), {"client": other})
        elif kind == "drop line" and lines:
            contact.delete(chance.choice(lines))
        elif kind == "delete" and mine and chance.random() < 0.3:
            client.delete(mine[0])


@both_databases
@pytest.mark.parametrize("seed", range(12))
def test_what_a_record_was_at_each_moment_is_what_was_seen_then(app, acting_as, create_user, seed):
    chance = random.Random(seed)
    told: list[str] = []
    with acting_as(create_user("chief", level="system_administrator")):
        field = records(CustomField).create({"model": "crm_client", "title": "Shoe size", "kind": "integer"})
        db.session.commit()
        with batch("made"):
            made = records(model_of("crm_client")).create({"name": "Far Hills", "x_shoe_size": 40})
            other = records(model_of("crm_client")).create({"name": "Other"})
        client_id, other_id = made.id, other.id
        seen = [stand(client_id)]
        for _number in range(14):
            try:
                step(chance, client_id, other_id, told)
            except Exception as problem:  # an undo that meets a conflict is no step
                told.append(type(problem).__name__)
                assert type(problem).__name__ in ("Conflict", "Refused"), problem
                db.session.rollback()
            seen.append(stand(client_id))
        if seed % 2:
            records(CustomField).delete(field)
            db.session.commit()
        model = model_of("crm_client")
        parts = parts_of(model)
        found = pasts(model, client_id, [row for row, _state in seen], parts)
        for number, (past, (_row, state)) in enumerate(zip(found, seen, strict=True)):
            assert (past.values, past.parts.get(model_of("crm_contact"), {})) == state, (number, told)
        known = moments(model, client_id, parts)
        assert [one.row for one in known] == sorted(one.row for one in known)
        # Between two moments nothing changes: a state that was seen is that of the newest moment before it.
        for row, state in seen:
            newest = max((one.row for one in known if one.row <= row), default=0)
            assert pasts(model, client_id, [newest], parts)[0].values == state[0]


def _prepare(create: Any, li: Any) -> tuple[Any, Any, Any]:
    client = create("crm_client", name="Far Hills", phones="13800138000", owner=li)
    return client, create("crm_contact", client=client, name="Ada"), create("crm_contact", client=client, name="Ben")


def _rows(client_id: int) -> list[int]:
    model = model_of("crm_client")
    return [one.row for one in moments(model, client_id, parts_of(model))]


@both_databases
def test_the_page_shows_two_moments_and_brings_back_what_is_ticked(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    client, *lines = _prepare(create, li)
    ada, ben = (one.id for one in lines)
    his = login_as(li)
    made = _rows(client.id)[-1]
    his.post(f"/crm_client/{client.id}", data={"name": "Near Hills", "phones": "", "owner": li.id})
    his.post(f"/crm_contact/{ada}/delete")
    his.post(f"/crm_contact/{ben}", data={"name": "Benjamin", "client": client.id})
    page = his.get(f"/crm_client/{client.id}/_past?row={made}").text
    assert "Far Hills" in page and "Near Hills" in page and "not there any more" in page and "Benjamin" in page
    # One value only.
    his.post(f"/crm_client/{client.id}/_past", data={"row": made, "field": "phones"})
    model, contact = model_of("crm_client"), model_of("crm_contact")
    assert db.session.get(model, client.id).phones == "13800138000" and db.session.get(model, client.id).name == "Near Hills"
    # All of it; the dropped line comes back under its own number.
    answer = his.post(f"/crm_client/{client.id}/_past", data={"row": made, "all": "1"}, follow_redirects=True)
    assert "things are as they were" in answer.text
    lines = db.session.execute(select(contact.id, contact.name).where(contact.client_id == client.id).order_by(contact.id)).all()
    assert db.session.get(model, client.id).name == "Far Hills" and [tuple(one) for one in lines] == [(ada, "Ada"), (ben, "Ben")]
    # It is one action, which can be undone as one.
    newest = db.session.execute(select(journal.c.batch_id).order_by(journal.c.id.desc()).limit(1)).scalar_one()
    his.post(f"/undo/{newest}")
    db.session.expire_all()
    assert db.session.get(model, client.id).name == "Near Hills" and db.session.get(contact, ada) is None


@both_databases
def test_who_may_only_read_sees_the_past_but_brings_nothing_back(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    client, _ada, _ben = _prepare(create, li)
    made = _rows(client.id)[0]
    login_as(li).post(f"/crm_client/{client.id}", data={"name": "Near Hills", "owner": li.id})
    hers = login_as(wang)
    assert hers.get(f"/crm_client/{client.id}/_past").status_code == 404
    assert hers.post(f"/crm_client/{client.id}/_past", data={"row": made, "all": "1"}).status_code == 404
    create("core_share", model="crm_client", record_id=client.id, user=wang, access="read")
    page = hers.get(f"/crm_client/{client.id}/_past?row={made}")
    assert page.status_code == 200 and "Far Hills" in page.text and "Make everything as it was" not in page.text
    hers.post(f"/crm_client/{client.id}/_past", data={"row": made, "all": "1"})
    assert db.session.get(model_of("crm_client"), client.id).name == "Near Hills"


@both_databases
def test_a_hidden_field_and_a_field_that_is_gone_do_not_come_out_by_the_past(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    field = create(CustomField, model="crm_client", title="Secret", kind="text")
    client = create("crm_client", name="Far Hills", email="hidden@example.com", owner=li, custom={"x_secret": "quiet words"})
    made = _rows(client.id)[0]
    chief = login_as("chief", level="administrator")
    chief.post(f"/crm_client/{client.id}", data={"name": "Near Hills", "email": "new@example.com", "owner": li.id, "x_secret": ""})
    role = db.session.execute(select(model_of("ab_role")).where(model_of("ab_role").name == "Salesperson")).scalar_one()
    create("core_field_right", role=role, model="crm_client", field_name="email", access="hidden")
    page = login_as(li).get(f"/crm_client/{client.id}/_past?row={made}").text
    assert "Far Hills" in page and "hidden@example.com" not in page and "quiet words" in page
    chief.post(f"/settings/fields/crm_client/{field.name}/delete").close()
    page = login_as(li).get(f"/crm_client/{client.id}/_past?row={made}").text
    assert "quiet words" not in page
    assert "quiet words" in chief.get(f"/crm_client/{client.id}/_past?row={made}").text


def test_addresses_that_mean_nothing_answer_politely(app, login_as, create):
    chief = login_as("chief", level="administrator")
    client = create("crm_client", name="Far Hills")
    for words in ("row=0", "row=x", "n=999", "n=-1", "row=99999999999999999999", "with=1&n=0", "m=0"):
        assert chief.get(f"/crm_client/{client.id}/_past?{words}").status_code == 200, words
    for data in ({}, {"row": "x", "all": "1"}, {"row": "1", "line": "crm_contact"}, {"row": "1", "field": "nothing"}):
        assert chief.post(f"/crm_client/{client.id}/_past", data=data).status_code == 302, data


@both_databases
def test_the_history_tells_of_lines_too_and_opens_in_few_statements(app, login_as, create, create_user):
    from core.journal import write_many
    from core.testing import statements

    li = create_user("li", roles=["Salesperson"])
    client, *lines = _prepare(create, li)
    other = create("crm_client", name="Other Hills", owner=li)
    ada, ben = (one.id for one in lines)
    his, number, other_id = login_as(li), client.id, other.id
    his.post(f"/crm_contact/{ada}", data={"name": "Adele", "client": number})
    his.post(f"/crm_contact/{ben}", data={"name": "Ben", "client": other_id})
    page = his.get(f"/crm_client/{number}/_history").text
    assert "Contact Adele" in page and ">Ada</span> → " in page and "Contact Ben" in page
    # A line that came from another record is told there as well.
    assert "Contact Ben" in his.get(f"/crm_client/{other_id}/_history").text
    his.post(f"/crm_contact/{ada}/delete")
    assert "deleted <span" in his.get(f"/crm_client/{number}/_history").text
    with system("a test"), batch("many"):
        for start in range(5):
            for place in range(500):
                rows = [("crm_client", number, "edit", {"owner": [li.id, li.id], "name": [f"A{start}", f"B{place}"]}, None)]
                rows.append(("crm_contact", ben, "edit", {"title": [None, str(place)], "client": [number, number]}, number))
                write_many(rows)
    db.session.commit()
    for address in (f"/crm_client/{number}/_history", f"/crm_client/{number}/_history?limit=500", f"/crm_client/{number}/_past"):
        his.get(address)
        with statements() as ran:
            assert his.get(address).status_code == 200
        assert len(ran) <= 15, (address, len(ran), ran)


@both_databases
def test_the_history_hides_lines_out_of_reach(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    client, *_lines = _prepare(create, li)
    create("core_personal_right", user=li, model="crm_contact", verb="read", denied=True)
    page = login_as(li).get(f"/crm_client/{client.id}/_history").text
    assert "Ada" not in page and "created" in page


@both_databases
def test_the_past_shows_files_of_then_and_of_fields_that_are_gone(app, login_as, create):
    import io

    chief = login_as("chief", level="system_administrator")
    client = create("crm_client", name="Far Hills")
    number = client.id
    field = create(CustomField, model="crm_client", title="Contract", kind="file")
    name, field_id = field.name, field.id

    def put(text: str) -> int:
        sent = {"name": "Far Hills", name: (io.BytesIO(text.encode()), f"{text}.txt")}
        assert chief.post(f"/crm_client/{number}", data=sent).status_code == 302
        db.session.expire_all()
        return db.session.get(model_of("crm_client"), number).custom[name]

    first, second = put("lease"), put("rent")
    assert first != second
    known = _rows(number)
    page = chief.get(f"/crm_client/{number}/_past?row={known[-2]}").text
    assert "lease.txt" in page and "rent.txt" in page and f'href="/file/{second}"' in page
    # The file of then has a link as long as it is there.
    there = db.session.execute(select(model_of("core_file").id).where(model_of("core_file").id == first)).first()
    assert (f'href="/file/{first}"' in page) == bool(there)
    with chief.get(f"/file/{first}") as answer:
        assert not there or answer.data == b"lease"
    assert "lease.txt" in chief.get(f"/crm_client/{number}/_history").text
    with system("a test"):
        records(CustomField).delete(db.session.get(CustomField, field_id))
        db.session.commit()
    page = chief.get(f"/crm_client/{number}/_past?row={known[-2]}").text
    assert "a field that is gone" in page and "lease.txt" in page and "rent.txt" in page
