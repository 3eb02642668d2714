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
    chance = random.Random(seed)  # noqa: S311
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
