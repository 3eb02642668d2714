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
        {"or": [{"field": "name", "op": "is", "value": "Zed"}, {"and": [{"field": "x_size", "op": "lt", "value": 41}, {"search": "yuan"}]}]},
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
        page = records(model).find_then(day, **question) if day else records(model).find(**question)
        found += [(row.id, row.name, row.phones, row.owner_id, json.dumps(row.custom or {}, sort_keys=True), row.changed_at) for row in page.rows]
        count, mark = page.count, page.next
        if mark is None:
            assert count == len(found), (count, found)
            return found


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
            seen[(FIRST + timedelta(days=number)).date()] = here
        the_clock.set(FIRST + timedelta(days=30))
        for day, lists in seen.items():
            for place, (order, rows) in lists.items():
                told = asked(model, day, filters(people)[place], order)
                if order == "owner":
                    # A link is sorted by what it is called today.
                    told, rows = sorted(told), sorted(rows)
                assert told == rows, (day, filters(people)[place], order)
