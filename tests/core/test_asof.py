"""Lists of the past: on every day what was written down on that day, for any filter, order, reader and kind of record."""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from core.context import clock as the_clock
from core.context import system
from core.custom import CustomField
from core.db import db
from core.journal import batch
from core.model import model_of
from core.records import records
from core.testing import both_databases
from core.transfer.exporting import export_rows

FIRST = datetime(2026, 10, 1, 4, 0)
NAMES = ("Far Hills", "near hills", "远山", "近山 & Söhne", "Zed", "ähre")


def filters(people: list[int]) -> list[Any]:
    """Filters over every kind of condition; the last ones follow links."""
    return [
        None,
        {"field": "name", "op": "contains", "value": "HILLS"},
        {"field": "name", "op": "in", "value": ["Zed", "远山"]},
        {"not": {"field": "phones", "op": "starts", "value": "138"}},
        {"field": "phones", "op": "empty"},
        {"field": "owner", "op": "is", "value": people[0]},
        {"field": "owner", "op": "is_not", "value": people[0]},
        {"field": "x_size", "op": "ge", "value": 40},
        {"field": "x_size", "op": "empty"},
        {"field": "x_due", "op": "between", "value": ["2026-10-02", "2026-10-06"]},
        {"field": "x_due", "op": "lt", "value": "today"},
        {"field": "x_sure", "op": "is", "value": True},
        {"field": "created_at", "op": "ge", "value": "2026-10-03"},
        {"field": "changed_at", "op": "lt", "value": {"days": -2}},
        {"search": "hills"},
        {"not": {"search": "远山"}},
        {"or": [
            {"field": "name", "op": "is", "value": "Zed"},
            {"and": [{"not": {"field": "x_size", "op": "ge", "value": 41}}, {"search": "yuan"}]},
        ]},
        {"field": "owner.name", "op": "contains", "value": "li"},
        {"not": {"field": "owner.name", "op": "is", "value": "wang"}},
    ]


ORDERS = ("name", "-name", "x_size", "-x_due", "owner", "-changed_at", "phones", "-id", None)


def asked(model: Any, day: date | None, tree: Any, order: Any) -> list[tuple[Any, ...]]:
    """The whole list, walked by pages of four: ids and values."""
    names = ["name", "phones", "owner", "x_size", "x_due", "x_sure", "changed_at"]
    found: list[tuple[Any, ...]] = []
    mark, count = None, None
    while True:
        question = {"filter": tree, "order": order, "limit": 4, "after": mark, "columns": names}
        page = records(model).find(day, **question)
        for row in page.rows:
            found.append((row.id, row.name, row.phones, row.owner_id, json.dumps(row.custom or {}, sort_keys=True), row.changed_at))
        count, mark = page.count, page.next
        if mark is None:
            assert count == len(found), (count, found)
            return found


def added_up(model: Any, day: date | None, tree: Any, order: Any) -> list[Any]:
    """The same list in groups, its sums, and what an export of it holds."""
    gate, question = records(model), {"filter": tree, "sums": ["x_size"]}
    found = gate.groups(["owner", "x_due:month"], day, **question)
    groups = sorted(([one.values, one.count, one.sums, one.above] for one in found.groups), key=repr)
    sums = gate.totals(["x_size"], filter=tree) if day is None else gate.find(day, **question).totals
    assert found.totals in ((), sums), (found.totals, sums)
    # What a link leads to is called as today, so it is no column here.
    names = ["name", "phones", "x_size", "x_due", "x_sure", "created_at"]
    rows = list(export_rows(model, tree, order=None if order == "owner" else order, fields=names, day=day))
    assert len(rows) == 1 + found.count
    return [groups, found.number, found.count, sums, rows]


def step(chance: random.Random, people: list[int]) -> None:
    """One change to the clients."""
    gate = records(model_of("crm_client"))
    rows = gate.find(limit=50).rows
    kind = chance.choice(["create", "create", "edit", "edit", "edit", "delete"])
    values = {
        "name": chance.choice(NAMES), "phones": chance.choice([None, "13800138000", "13900139000"]), "owner": chance.choice(people),
        "x_size": chance.choice([None, 39, 40, 44]), "x_sure": chance.choice([None, True, False]),
        "x_due": chance.choice([None, "2026-10-02", "2026-10-05", "2026-10-09"]),
    }  # fmt: skip
    with batch(kind):
        if kind == "create" or not rows:
            gate.create(values)
        elif kind == "edit":
            gate.edit(chance.choice(rows), dict(chance.sample(sorted(values.items()), 2)))
        else:
            gate.delete(chance.choice(rows))
        db.session.commit()


@both_databases
@pytest.mark.parametrize("seed", range(2))
def test_each_list_of_each_day_is_what_was_seen_on_that_day(app, acting_as, create_user, clock, seed):
    chance, model = random.Random(seed), model_of("crm_client")
    clock.set(FIRST - timedelta(days=1))
    people = [create_user(name).id for name in ("li", "wang")]
    with acting_as(create_user("chief", level="system_administrator")):
        for title, kind in (("Size", "integer"), ("Due", "date"), ("Sure", "yesno")):
            records(CustomField).create({"model": "crm_client", "title": title, "kind": kind})
        db.session.commit()
        seen: dict[date, dict[int, list[Any]]] = {}
        summed: dict[date, dict[int, list[Any]]] = {}
        for number in range(6):
            the_clock.set(FIRST + timedelta(days=number))
            for _change in range(chance.randrange(5)):
                the_clock.advance(timedelta(minutes=7))
                step(chance, people)
            if number == 4:
                # A link's target is called otherwise from now on.
                wang = db.session.get(model_of("ab_user"), people[1])
                records(model_of("ab_user")).edit(wang, {"name": "wang lin"})
                db.session.commit()
            every = filters(people)
            orders = {place: ORDERS[(place + number) % len(ORDERS)] for place in range(len(every))}
            with the_clock.at(FIRST + timedelta(days=number, hours=1)):
                here = {place: (orders[place], asked(model, None, tree, orders[place])) for place, tree in enumerate(every)}
                sums = {place: added_up(model, None, every[place], orders[place]) for place in list(here)[number % 2 :: 2]}
            seen[(FIRST + timedelta(days=number)).date()] = here
            summed[(FIRST + timedelta(days=number)).date()] = sums
        the_clock.set(FIRST + timedelta(days=30))
        for day, lists in seen.items():
            for place, (order, rows) in lists.items():
                told = asked(model, day, filters(people)[place], order)
                if order == "owner":
                    # A link is sorted by what it is called today.
                    told, rows = sorted(told), sorted(rows)
                assert told == rows, (day, filters(people)[place], order)
                if place in summed[day]:
                    assert added_up(model, day, filters(people)[place], order) == summed[day][place], (day, filters(people)[place], order)


def day_before(clock: Any, days: int = 1) -> str:
    """A day of the clock, and the clock goes on to the next."""
    day = the_clock.now().date().isoformat()
    clock.advance(timedelta(days=days))
    return day


@both_databases
def test_the_list_of_a_day_shows_what_was_under_the_rights_of_today(app, login_as, api_as, create, create_user, clock):
    clock.set(FIRST)
    li, wang = create_user("li", roles=["Sales manager"]), create_user("wang", roles=["Salesperson"])
    kept, sold = create("crm_client", name="Far Hills", owner=li), create("crm_client", name="Near Hills", owner=li)
    gone, _hers = create("crm_client", name="Gone Hills", owner=li), create("crm_client", name="Her Hills", owner=wang)
    kept_id, sold_id, gone_id = kept.id, sold.id, gone.id
    day = day_before(clock)
    his, chief, program = login_as(li), login_as("chief", level="administrator"), api_as("li")
    # Sold to her, renamed, deleted by an administrator, and a new one: only what he may read today is told.
    chief.post(f"/crm_client/{sold_id}", data={"name": "Near Hills", "owner": wang.id})
    chief.post(f"/crm_client/{kept_id}", data={"name": "Long Valley", "owner": li.id})
    chief.post(f"/crm_client/{gone_id}/delete", data={})
    create("crm_client", name="Fresh Hills", owner=li)
    page = his.get(f"/crm_client/?as_of={day}").text
    assert "Far Hills" in page and "Back to today" in page and f"at the end of {day}" in page
    for hidden in ("Long Valley", "Near Hills", "Gone Hills", "Her Hills", "Fresh Hills", 'name="ids"', "/crm_client/new"):
        assert hidden not in page.split("<main", 1)[1], hidden
    chief.get("/crm_client/")  # tells what was saved
    page = chief.get(f"/crm_client/?as_of={day}&order=name").text
    for told in ("Far Hills", "Near Hills", "Gone Hills", "Her Hills", "deleted since", "4 records"):
        assert told in page, told
    assert "Fresh Hills" not in page and "Long Valley" not in page and f'href="/crm_client/{gone_id}' not in page
    assert f'href="/crm_client/{kept_id}/_past?row=' in page
    answer = program.get(f"/api/v1/crm_client/?as_of={day}&columns=name,owner").json
    assert answer["result"] == [{"id": kept_id, "name": "Far Hills", "owner": li.id}] and answer["gone"] == [] and answer["count"] == 1
    answer = api_as("chief").get(f"/api/v1/crm_client/?as_of={day}&filter=" + json.dumps({"search": "hills"})).json
    assert answer["count"] == 4 and answer["gone"] == [gone_id] and "version" not in answer["result"][0]
    # What he has deleted himself he sees in the trash, and here.
    his.post(f"/crm_client/{kept_id}/delete", data={})
    assert program.get(f"/api/v1/crm_client/?as_of={day}").json["gone"] == [kept_id]
    for wrong in ("2126-01-01", "yesterday", "1066-10-14"):
        assert program.get(f"/api/v1/crm_client/?as_of={wrong}").status_code == 400
        assert his.get(f"/crm_client/?as_of={wrong}").status_code == 400
    assert program.get(f"/api/v1/crm_client/?as_of={day}&sums=x").status_code == 400


@both_databases
def test_several_links_and_a_two_file_addon_are_told_as_they_were(app, api_as, create, create_user, clock):
    clock.set(FIRST)
    ann, bob = create_user("ann"), create_user("bob")
    team, tag = create("core_team", name="Blue", members=[ann]), create("crm_tag", name="Old", colour="red")
    team_id, tag_id = team.id, tag.id
    day = day_before(clock)
    chief = api_as("chief", level="administrator")
    assert chief.put(f"/api/v1/core_team/{team_id}", json={"members": [bob.id]}).status_code == 200
    assert chief.put(f"/api/v1/crm_tag/{tag_id}", json={"name": "New", "colour": "green"}).status_code == 200
    assert chief.post("/api/v1/crm_tag/", json={"name": "Newest"}).status_code == 201

    def found(table: str, tree: Any) -> list[Any]:
        answer = chief.get(f"/api/v1/{table}/?as_of={day}&filter={json.dumps(tree)}")
        assert answer.status_code == 200, answer.text
        return answer.json["result"]

    assert [one["members"] for one in found("core_team", {"field": "members", "op": "has", "value": [ann.id]})] == [[ann.id]]
    assert found("core_team", {"field": "members", "op": "has", "value": [bob.id]}) == []
    assert len(found("core_team", {"not": {"field": "members", "op": "has", "value": [bob.id]}})) == 1
    assert found("core_team", {"field": "members.name", "op": "is", "value": "bob"}) == []
    assert [(one["name"], one["colour"]) for one in found("crm_tag", {"field": "colour", "op": "is", "value": "red"})] == [("Old", "red")]
    assert [one["name"] for one in found("crm_tag", {})] == ["Old"]


@both_databases
def test_what_is_hidden_stays_hidden_and_too_much_is_said_plainly(app, api_as, login_as, create, create_user, clock, monkeypatch):
    from core.people import FieldRight, RoleRow

    clock.set(FIRST)
    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", phones="13800138000", owner=li)
    role = db.session.query(RoleRow).filter_by(name="Salesperson").one()
    client_id = client.id
    day = day_before(clock)
    chief = api_as("chief", level="administrator")
    chief.put(f"/api/v1/crm_client/{client_id}", json={"phones": "13900139000"})
    create(FieldRight, role=role, model="crm_client", field_name="phones", access="hidden")
    his = api_as(li)
    answer = his.get(f"/api/v1/crm_client/?as_of={day}")
    assert "phones" not in answer.json["result"][0] and "138" not in answer.text
    for tree in ({"field": "phones", "op": "starts", "value": "138"}, {"search": "13800138000"}):
        answer = his.get(f"/api/v1/crm_client/?as_of={day}&filter={json.dumps(tree)}")
        assert answer.status_code == 400 or answer.json["result"] == [], answer.text
    assert chief.get(f"/api/v1/crm_client/?as_of={day}&q=13800138000").json["count"] == 1
    monkeypatch.setattr("core.asof.MOST_CHANGES", 0)
    answer = chief.get(f"/api/v1/crm_client/?as_of={day}")
    assert answer.status_code == 400 and "Choose a later day" in answer.json["message"]
    page = login_as("chief").get(f"/crm_client/?as_of={day}")
    assert page.status_code == 200 and "Choose a later day" in page.text and "Back to today" in page.text


@both_databases
def test_a_page_of_the_past_takes_few_statements(app, acting_as, create, create_user, clock):
    from core.testing import statements

    clock.set(FIRST)
    li = create_user("li", roles=["Sales manager"])
    clients = [create("crm_client", name=f"Hill {number}", owner=li) for number in range(30)]
    day = the_clock.now().date()
    clock.advance(timedelta(days=2))
    counts = []
    for number in (0, 20):
        with system("a test"):
            for one in clients[:number]:
                records(model_of("crm_client")).edit(one, {"name": f"Hillock {one.id}"})
            db.session.commit()
        with acting_as(li):
            model = model_of("crm_client")
            records(model).find(day, limit=10)
            with statements() as told:
                page = records(model).find(day, limit=10, filter={"field": "name", "op": "starts", "value": "Hill "}, order="name")
            counts.append(len(told))
            assert page.count == 30 and len(page.rows) == 10 and page.rows[0].name == "Hill 0"
    assert max(counts) <= 14, counts


@both_databases
def test_a_record_that_was_erased_is_counted_and_not_shown_without_its_values(app, api_as, login_as, create, create_user, clock):
    from core.journal_erase import erase
    from core.seal import seal

    clock.set(FIRST)
    chief = create_user("chief", level="system_administrator")
    number = create("crm_client", name="Far Hills", owner=chief).id
    create("crm_client", name="Near Hills", owner=chief)
    day, his = day_before(clock), api_as(chief)
    # Edited between that day and the deletion: that row alone would tell a record without a name.
    assert his.put(f"/api/v1/crm_client/{number}", json={"name": "Long Hills"}).status_code == 200
    assert his.delete(f"/api/v1/crm_client/{number}").status_code in (200, 204)
    seal(5000)
    db.session.commit()
    with system("a test"):
        erase(model_of("crm_client"), number)
        db.session.commit()
    told = his.get(f"/api/v1/crm_client/?as_of={day}").json
    assert [one["name"] for one in told["result"]] == ["Near Hills"] and (told["gone"], told["unknown"]) == ([], 1)


@both_databases
def test_letters_that_json_writes_for_a_missing_character_do_not_close_a_day(app, api_as, create, create_user, clock):
    clock.set(FIRST)
    li = create_user("li", roles=["Sales manager"])
    names = ["end\\u0000", "mid\\u0000dle", "two\\\\u0000"]
    ids = [create("crm_client", name=name, owner=li).id for name in names]
    day, his = day_before(clock), api_as(li)
    for number in ids:
        assert his.put(f"/api/v1/crm_client/{number}", json={"name": "Plain"}).status_code == 200
    answer = his.get(f"/api/v1/crm_client/?as_of={day}&order=id")
    assert answer.status_code == 200, answer.text
    assert [one["name"] for one in answer.json["result"]] == names
