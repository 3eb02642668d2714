"""The journal is found whole or not, old segments go with an entry, one record's values can be erased; nobody else gets at it."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, func, insert, select, update

from core.context import Actor, acting
from core.db import db
from core.errors import Conflict, Refused
from core.journal import batch, journal
from core.journal_erase import erase
from core.journal_keep import check, remove
from core.model import model_of
from core.past import moments, parts_of, pasts
from core.records import records
from core.seal import seal
from core.testing import both_databases


@pytest.fixture
def sealed(app, acting_as, create_user, clock):
    """Three clients, made in three months and changed in a fourth, all of it sealed; the acting person is a system administrator."""
    chief = create_user("chief", level="system_administrator")
    with acting_as(chief):
        gate, ids = records(model_of("crm_client")), []
        for month in (1, 2, 3):
            clock.set(datetime(2030, month, 10, 9))
            with batch("made"):
                ids.append(gate.create({"name": f"Client {month}", "email": f"person{month}@example.com"}).id)
            db.session.commit()
        clock.set(datetime(2030, 4, 10, 9))
        for one in ids:
            with batch("changed"):
                gate.edit(gate.get(one), {"email": f"new{one}@example.com"})
        db.session.commit()
        seal_all()
        yield ids


def seal_all() -> None:
    with acting(Actor(system=True)):
        while seal():
            db.session.commit()
        db.session.commit()


def seals(**where) -> list[int]:
    query = select(journal.c.seal).filter_by(**where).order_by(journal.c.seal)
    return list(db.session.execute(query).scalars())


@both_databases
def test_whatever_is_altered_taken_out_or_put_in_is_found_and_named(sealed):
    head = check()
    assert head.fine and head.rows == head.head[0] > 6 and not head.unsealed
    one = seals(model="crm_client", verb="create")[1]
    stored = db.session.execute(select(journal).where(journal.c.seal == one)).mappings().one()
    column = journal.c
    forged = {**stored, "id": stored["id"] + 10_000, "seal": head.head[0] + 1, "hash": "0" * 64}
    attacks = {
        "altered": update(journal).where(column.seal == one).values(changes='{"name":[null,"Another"]}'),
        "somebody else": update(journal).where(column.seal == one).values(user_id=None),
        "another time": update(journal).where(column.seal == one).values(at=stored["at"] - timedelta(hours=1)),
        "another door": update(journal).where(column.seal == one).values(door="api"),
        "another record": update(journal).where(column.seal == one).values(record_id=999),
        "taken out": delete(journal).where(column.seal == one),
        "put in": insert(journal).values(**forged),
        "emptied": update(journal).where(column.seal == one).values(changes="{}", digest="0" * 64),
    }
    from core.seal import digest_of

    attacks["emptied well"] = update(journal).where(column.seal == one).values(changes="{}", digest=digest_of(stored["changes"]))
    attacks["another text beside the digest"] = (
        update(journal).where(column.seal == one).values(changes='{"a":[1,2]}', digest=digest_of(stored["changes"]))
    )
    for name, attack in attacks.items():
        db.session.execute(attack)
        found = check()
        assert len(found.faults) == 1, (name, found.faults)
        assert str(one if name != "put in" else forged["seal"]) in found.faults[0], name
        db.session.rollback()
        assert check().fine, name
    # Who cuts off the end, or writes the whole chain anew, is found by what an earlier check had told.
    db.session.execute(delete(journal).where(column.seal == head.head[0]))
    assert check().fine and not check(head.head).fine
    db.session.rollback()
    db.session.execute(update(journal).where(column.seal == one).values(changes='{"name":[null,"Another"]}'))
    db.session.execute(update(journal).values(seal=None, hash=None))
    with acting(Actor(system=True)):
        while seal():
            pass
    assert check().fine and not check(head.head).fine and check(head.head).faults


@both_databases
def test_old_segments_are_taken_out_into_a_file_and_leave_an_entry_that_stays(sealed, tmp_path, acting_as, create_user):
    before = check()
    first = tmp_path / "old.jsonl.gz"
    count = remove(datetime(2030, 2, 1), first)
    db.session.commit()
    seal_all()
    with gzip.open(first, "rt", encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    assert len(lines) == count and all(line["at"] < "2030-02" for line in lines)
    after = check()
    assert after.fine and after.removed == count and after.rows == before.rows - count + 1
    entry = json.loads(db.session.execute(select(journal.c.changes).where(journal.c.verb == "journal-removed")).scalar_one())
    assert entry["archive"] == "old.jsonl.gz"
    assert [(gap["from"], gap["to"], gap["count"]) for gap in entry["segments"]] == [(1, count, count)]
    assert entry["segments"][0]["hash"] == lines[-1]["hash"]
    # Taken out once more, later: the first entry stays, and both gaps are known.
    remove(datetime(2031, 1, 1))
    db.session.commit()
    seal_all()
    last = check()
    assert last.fine and last.rows == 2 and last.removed == before.rows
    with pytest.raises(Conflict, match="nothing so old"):
        remove(datetime(2031, 1, 1))
    # The entry is what the check leans on: without it, or with another range, rows are missing.
    db.session.execute(delete(journal).where(journal.c.verb == "journal-removed"))
    assert check().rows == 0
    db.session.rollback()
    db.session.execute(delete(journal).where(journal.c.seal == seals(verb="journal-removed")[0]))
    assert not check().fine
    db.session.rollback()


@both_databases
def test_only_a_system_administrator_takes_out_and_only_sealed_rows_go(sealed, acting_as, create_user, clock):
    for level in ("employee", "administrator"):
        with acting_as(create_user(f"some_{level}", level=level)), pytest.raises(Refused, match="Only a system administrator"):
            remove(datetime(2031, 1, 1))
    clock.set(datetime(2030, 5, 1))
    records(model_of("crm_client")).create({"name": "Not sealed"})
    db.session.commit()
    remove(datetime(2031, 1, 1))
    db.session.commit()
    left = db.session.execute(select(journal.c.model, journal.c.seal).order_by(journal.c.id)).all()
    # The newest sealed row stays, since the chain goes on from it.
    assert [row.model for row in left if row.seal is not None] == ["crm_client"] and ("crm_client", None) in [tuple(one) for one in left]
    seal_all()
    assert check().fine


@both_databases
def test_one_records_values_are_erased_and_the_chain_holds(sealed, acting_as, create_user):
    victim, other, _third = sealed
    with acting_as(create_user("clerk")), pytest.raises(Refused, match="Only an administrator"):
        erase(model_of("crm_client"), victim)
    assert erase(model_of("crm_client"), victim) == 2
    db.session.commit()
    seal_all()
    text = " ".join(db.session.execute(select(journal.c.changes)).scalars())
    assert f"person{1}@example.com" not in text and f"new{victim}@example.com" not in text and f"new{other}@example.com" in text
    found = check()
    assert found.fine and found.erased == 2
    # The record itself is untouched, and what the past does not know any more it does not make up.
    model = model_of("crm_client")
    known = moments(model, victim, parts_of(model))
    assert [one.erased for one in known] == [True, True]
    (past,) = pasts(model, victim, [known[0].row])
    assert past.values and past.values["email"] == f"new{victim}@example.com"
    with pytest.raises(Conflict, match="has kept no values"):
        erase(model, victim)
    from core.undo import undo

    of_victim = select(func.max(journal.c.batch_id)).where(journal.c.model == "crm_client", journal.c.record_id == victim)
    with pytest.raises(Conflict) as told:
        undo(db.session.execute(of_victim).scalar_one())
    assert [clash.sentence for clash in told.value.facts["clashes"]] == ["What this was before has been erased from the journal."]
