"""What an import writes as rows is what a flush would have written: same records, journal, index, refusals and numbers."""

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from core import hooks, sketches
from core.db import db, put_rows
from core.journal import batch, journal
from core.model import model_of
from core.records import records
from core.search import _base, core_search
from core.search_words import tokens
from core.testing import both_databases
from tests.core.sheets import as_person, everything
from tests.firm import HEADING, firm

NAMED = dict(zip(HEADING, ["name", "source", "category", "status", "phones", None, "email", "address", "remarks", None], strict=True))
KEYS = [("code",), ("name", "phones"), ()]


def rows(count, other):
    """A firm's rows as the gate gets them, with what makes trouble: repeated lines, a code that is taken, owners out of reach."""
    found = []
    for number, cells in enumerate(firm(count).rows):
        row = {name: cell for name, cell in zip(NAMED.values(), cells, strict=False) if name and cell}
        row |= {"birthday": "1990-05-04"} if number % 3 else {}
        row |= {"x_shoe_size": str(number)} if number % 4 else {}
        found.append(row)
    found[7] = found[5]
    found[11]["code"] = found[12]["code"] = "TAKEN-1"
    found[13]["code"] = "OWN-7"
    found[20]["owner"] = str(other.id)
    found[21]["owner"] = "999999"
    return found


def written(person, given, *, sketched):
    """(what became of each row, client rows, journal rows, index rows), numbers and ids as their places; all is taken back."""
    with as_person(person), batch("both ways"), db.session.begin_nested() as inside:
        done = records(model_of("crm_client")).create_many(given, keys=KEYS, sketched=sketched)
        told = [(one.row, one.action, one.errors, one.matched) for one in done]
        connection, table = db.session.connection(), model_of("crm_client").__table__
        stored = [dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()]
        places = {row["id"]: place for place, row in enumerate(stored)}
        numbered = {row["id"]: row["code"] for row in stored}
        codes = {row["code"]: f"number {place}" for place, row in enumerate(stored) if row["code"].startswith("C20")}
        latest = select(journal.c.batch_id).order_by(journal.c.id.desc()).limit(1).scalar_subquery()
        query = select(journal).where(journal.c.batch_id == latest).order_by(journal.c.id)
        notes = [dict(row) for row in connection.execute(query).mappings()]
        mine = core_search.c.id.in_([_base(model_of("crm_client")) + one for one in places])
        words = [
            (places[row.record_id], sorted(set(str(row.tokens).replace("'", "").split()) - tokens(numbered[row.record_id], "code")))
            for row in connection.execute(select(core_search).where(mine).order_by(core_search.c.record_id))
        ]  # fmt: skip
        for row in stored:
            row["id"], row["code"] = places[row["id"]], codes.get(row["code"], row["code"])
        for row in notes:
            for code, place in codes.items():
                row["changes"] = row["changes"].replace(f'"{code}"', f'"{place}"')
            row["record_id"] = places.get(row["record_id"])
        ids = [places.get(getattr(one.record, "id", None)) for one in done]
        inside.rollback()
    same = [{name: value for name, value in row.items() if name not in ("id", "tx", "batch_id", "request_id")} for row in notes]
    return told, ids, stored, same, words


@both_databases
@pytest.mark.parametrize("who", ["salesperson", "administrator"])
def test_rows_and_records_leave_the_same(app, clock, create, create_user, who):
    person = (
        create_user("li", roles=["Salesperson"], department="华东") if who == "salesperson" else create_user("li", level="administrator")
    )
    other = create_user("other", department="华东")
    create("crm_client", name="theirs", code="TAKEN-1", owner=other)
    create("core_custom_field", model="crm_client", title="Shoe size", kind="integer", search=False)
    create("core_custom_field", model="crm_client", title="Double", kind="formula", formula="x_shoe_size * 2")
    clock.set(datetime(2026, 11, 25, 9, 30))
    given = rows(620, other)
    assert sketches.sketcher(model_of("crm_client")) is not None
    flushed, sketched = written(person, given, sketched=False), written(person, given, sketched=True)
    for by_flush, by_rows in zip(flushed, sketched, strict=True):
        for one, two in zip(by_flush, by_rows, strict=True):
            assert one == two
    actions = {action for _row, action, _errors, _matched in sketched[0]}
    assert actions >= {"created", "refused"} and len(sketched[2]) > 590 and {row["custom"] is None for row in sketched[2]} == {True, False}


@both_databases
def test_what_the_database_refuses_is_tried_one_by_one(app, create, monkeypatch):
    """An id that is there stands for any constraint that only the database knows."""
    there = create("crm_client", name="there").id
    monkeypatch.setattr(sketches, "_fresh_ids", lambda _model, count: [there] * count)
    done = records(model_of("crm_client")).create_many([{"name": "one"}, {"name": "two"}], sketched=True)
    assert [one.action for one in done] == ["created", "created"] and len({there, *(one.record.id for one in done)}) == 3
    assert [row["name"] for row in everything()] == ["there", "one", "two"]


def test_a_hook_gets_real_records(app, monkeypatch):
    client, seen = model_of("crm_client"), []
    kept = list(hooks._pending)
    try:
        hooks.hook.after_save(client)(lambda record, changes: seen.append((type(record), record.id, sorted(changes))))
        hooks.register_all([])
        assert sketches.sketcher(client) is None
        done = records(client).create_many([{"name": "one"}, {"name": "two"}], sketched=True)
    finally:
        hooks._pending[:] = kept
        from core.addons import _order

        hooks.register_all(_order)
    assert [(kind, number) for kind, number, _names in seen] == [(client, one.record.id) for one in done]


def test_an_id_that_was_given_is_not_given_again(app, create):
    """The newest record is gone, and the rows after it still get new ids, on SQLite too, where we count ourselves."""
    gate = records(model_of("crm_client"))
    (first,) = gate.create_many([{"name": "one"}], sketched=True)
    number = first.record.id
    gate.delete(number)
    (second,) = gate.create_many([{"name": "two"}], sketched=True)
    assert second.record.id > number
    third = gate.create({"name": "three"})
    assert third.id > second.record.id


@both_databases
def test_rows_put_in_fail_as_any_insert(app, create):
    there, table = create("crm_client", name="there").id, model_of("crm_client").__table__
    rows = [(there, "again", "again", "signed", 1)]
    with pytest.raises(IntegrityError), db.session.begin_nested():
        put_rows(db.session.connection(), table, ("id", "name", "code", "status", "version"), rows)
    with pytest.raises(DBAPIError), db.session.begin_nested():
        put_rows(db.session.connection(), table, ("id", "name", "code", "status", "version"), [(there + 1, object(), "c", "signed", 1)])
    put_rows(db.session.connection(), table, ("id",), [])
    assert [row["name"] for row in everything()] == ["there"]
