"""Every change gives one row that says what was before and after, whoever wrote it and however; what is rolled back gives none."""

from __future__ import annotations

import json
import threading
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text

from core import hooks, records
from core.context import Actor, acting, system
from core.db import db
from core.errors import Invalid
from core.hooks import hook
from core.journal import batch, batches, journal
from core.journal_query import history
from core.people import User
from core.seal import row_hash, seal
from tests.core.kernel import acts, model
from tests.core.office import Office, office

__all__ = ["office"]


def told(office: Office, before: int) -> list[tuple[str, str, dict[str, Any]]]:
    """(model, verb, changes) of the journal rows since."""
    return [(one.model, one.verb, json.loads(one.changes)) for one in office.journal_after(before)]


@pytest.fixture
def listener():
    """What hooks are told: a list of (hook, record's id, changes); the hooks go again after the test."""
    heard: list[Any] = []
    kept = list(hooks._pending)

    @hook.before_save(model("Matter"))
    def note_before(record, changes):
        heard.append(("before_save", record.id, dict(changes)))

    @hook.after_save(model("Matter"))
    def note_after(record, changes):
        heard.append(("after_save", record.id, dict(changes)))

    @hook.before_delete(model("Matter"))
    def note_before_delete(record):
        heard.append(("before_delete", record.id))

    @hook.after_delete(model("Matter"))
    def note_after_delete(record):
        heard.append(("after_delete", record.id))

    from core.addons import _order

    hooks.register_all(_order)
    yield heard
    hooks._pending[:] = kept
    hooks.register_all(_order)


# -- what a row says ------------------------------------------------------------------------------------------------------------


def test_making_changing_and_deleting_each_give_their_row(office: Office):
    start = office.last_row()
    court, topic = office.part("court", name=f"Court {start}"), office.part("topic")
    with acts(office.admin, address="10.0.0.7", request_id="abc") as who:
        made = records(model("Matter")).create(
            {"name": "New", "amount": "12.50", "heard_on": "2026-05-04", "court": court, "topics": [topic], "owner": office.clerk}
        )
        db.session.commit()
        number = made.id
        records(model("Matter")).edit(made, {"name": "Renamed", "topics": [], "amount": None})
        db.session.commit()
        records(model("Matter")).delete(made)
        db.session.commit()
        assert who.memo["batch_id"]
    created, edited, deleted = told(office, start)
    assert created == (
        "law_matter", "create",
        {
            "name": [None, "New"], "status": [None, "new"], "amount": [None, "12.50"], "heard_on": [None, "2026-05-04"],
            "court": [None, court], "owner": [None, office.clerk], "department": [None, office.litigation], "topics": [None, [topic]],
        },
    )  # fmt: skip
    assert edited == ("law_matter", "edit", {"name": ["New", "Renamed"], "topics": [[topic], []], "amount": ["12.50", None]})
    assert deleted[1] == "delete"
    kept = {name: pair[0] for name, pair in deleted[2].items()}
    assert kept["name"] == "Renamed" and kept["owner_id"] == office.clerk and kept["created_by_id"] == office.admin
    assert kept["heard_on"] == "2026-05-04" and kept["id"] == number and all(pair[1] is None for pair in deleted[2].values())
    rows = office.journal_after(start)
    assert {(one.user_id, one.door, one.address, one.request_id, one.record_id) for one in rows} == {
        (office.admin, "screen", "10.0.0.7", "abc", number)
    }
    assert len({one.batch_id for one in rows}) == 1
    with acts(office.admin):
        assert [row.verb for row in history(model("Matter"), number)] == ["delete", "edit", "create"]


def test_what_code_adds_to_the_session_is_journalled_alike(office: Office):
    start = office.last_row()
    with acts(office.clerk):
        made = model("Matter")(name="By code", amount=Decimal("3"))
        db.session.add(made)
        db.session.commit()
        made.name, made.heard_on = "By code too", date(2026, 1, 2)
        db.session.commit()
        number = made.id
    with acts(office.admin):
        db.session.delete(db.session.get(model("Matter"), number))
        db.session.commit()
    assert [one[1] for one in told(office, start)] == ["create", "edit", "delete"]
    assert told(office, start)[1][2] == {"name": ["By code", "By code too"], "heard_on": [None, "2026-01-02"]}


def test_a_change_to_the_same_value_gives_no_row(office: Office):
    mine = office.matter(office.clerk, name="Same")
    start = office.last_row()
    with acts(office.clerk):
        found = records(model("Matter")).edit(mine, {"name": "Same"})
        found.status = "open"
        found.status = "new"
        db.session.commit()
    assert told(office, start) == [] and office.stored("law_matter", mine).version == 1


@pytest.mark.parametrize("by", ["owner_id", "owner", "gate"])
def test_a_link_is_told_by_the_name_of_its_field_however_it_was_written(office: Office, listener: list[Any], by: str):
    mine = office.matter(office.clerk)
    start = office.last_row()
    with acts(office.admin):
        found = db.session.get(model("Matter"), mine)
        if by == "gate":
            records(model("Matter")).edit(found, {"owner": office.other})
        else:
            setattr(found, by, office.other if by == "owner_id" else db.session.get(User, office.other))
        db.session.commit()
    assert told(office, start) == [("law_matter", "edit", {"owner": [office.clerk, office.other]})]
    change = {"owner": (office.clerk, office.other)}
    assert listener == [("before_save", mine, change), ("after_save", mine, change)]


def test_links_to_records_made_in_the_same_breath_are_kept(office: Office):
    start = office.last_row()
    with acts(office.admin):
        topic = model("Topic")(name="Fresh")
        whole = model("Matter")(name="Whole", topics=[topic])
        step = model("Step")(title="First", matter=whole)
        db.session.add_all([step, whole])
        db.session.commit()
        facts = {one[0]: one[2] for one in told(office, start)}
        assert facts["law_step"]["matter"] == [None, whole.id] and facts["law_matter"]["topics"] == [None, [topic.id]]


def test_several_links_are_a_change_of_their_owner(office: Office):
    first, second = office.part("topic"), office.part("topic")
    mine = office.matter(office.clerk)
    start = office.last_row()
    with acts(office.clerk):
        found = db.session.get(model("Matter"), mine)
        found.topics.append(db.session.get(model("Topic"), first))
        db.session.commit()
        found.topics.append(db.session.get(model("Topic"), second))
        db.session.commit()
        found.topics.remove(db.session.get(model("Topic"), first))
        db.session.commit()
    both = sorted([first, second])
    assert [one[2] for one in told(office, start)] == [
        {"topics": [[], [first]]}, {"topics": [[first], both]}, {"topics": [both, [second]]},
    ]  # fmt: skip


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("by", ["in place", "anew"])
def test_custom_values_are_told_one_by_one(office: Office, by: str, loaded: bool):
    mine = office.matter(office.clerk, custom={"x_a": 1, "x_b": "old"})
    start = office.last_row()
    with acts(office.clerk):
        found = db.session.get(model("Matter"), mine)
        if not loaded:
            db.session.expire(found)
        if by == "anew":
            found.custom = {"x_b": "new", "x_c": True}
        else:
            found.custom["x_b"] = "new"
            found.custom["x_c"] = True
            del found.custom["x_a"]
        db.session.commit()
    assert told(office, start) == [("law_matter", "edit", {"x_a": [1, None], "x_b": ["old", "new"], "x_c": [None, True]})]


def test_parts_and_cleared_links_of_a_deletion_are_in_the_same_batch(office: Office):
    whole, child = office.matter(office.clerk), None
    step = office.step(whole)
    child = office.matter(office.clerk, parent_id=whole)
    start = office.last_row()
    with acts(office.admin):
        records(model("Matter")).delete(whole)
        db.session.commit()
    rows = {(one.model, one.record_id, one.verb) for one in office.journal_after(start)}
    assert rows == {("law_matter", whole, "delete"), ("law_step", step, "delete"), ("law_matter", child, "edit")}
    assert len({one.batch_id for one in office.journal_after(start)}) == 1


def test_passwords_never_enter_the_journal(office: Office):
    start = office.last_row()
    with acts(office.admin):
        found = db.session.get(User, office.nobody)
        found.password = "pbkdf2:secret"
        found.phone = "13800138000"
        db.session.commit()
    assert "secret" not in "".join(one.changes for one in office.journal_after(start))


def test_hooks_see_each_record_of_a_lot(office: Office, listener: list[Any]):
    with acts(office.admin):
        done = records(model("Matter")).create_many([{"name": f"Lot {number}"} for number in range(3)])
        db.session.commit()
        ids = [one.record.id for one in done]
        listener.clear()
        records(model("Matter")).edit_many(ids, {"status": "open"})
        db.session.commit()
        assert sorted(one[1] for one in listener if one[0] == "after_save") == ids
        assert all(one[2] == {"status": ("new", "open")} for one in listener)
        listener.clear()
        records(model("Matter")).delete_many(ids)
        db.session.commit()
        assert sorted(one[1] for one in listener if one[0] == "after_delete") == ids


# -- what is rolled back ------------------------------------------------------------------------------------------------------------


def test_a_rolled_back_change_leaves_no_row_and_no_batch(office: Office):
    mine, start = office.matter(office.clerk), office.last_row()
    with db.short() as connection:
        before = connection.execute(select(batches.c.id).order_by(batches.c.id.desc()).limit(1)).scalar()
    with acts(office.clerk):
        records(model("Matter")).edit(mine, {"name": "Not kept"})
        db.session.rollback()
        records(model("Matter")).edit(mine, {"name": "Kept"})
        db.session.commit()
    rows = office.journal_after(start)
    assert [json.loads(one.changes) for one in rows] == [{"name": ["Matter", "Kept"]}]
    with db.short() as connection:
        assert list(connection.execute(select(batches.c.id).where(batches.c.id > before)).scalars()) == [rows[0].batch_id]


def test_a_refused_row_of_a_lot_leaves_the_others_in_a_batch_that_exists(office: Office):
    start, kept = office.last_row(), list(hooks._pending)
    from core.addons import _order

    @hook.after_save(model("Memo"))
    def refuse_the_bad(record, changes):
        if record.name == "Bad":
            raise Invalid({"name": "Not this one."})

    hooks.register_all(_order)
    try:
        with acts(office.admin):
            done = records(model("Memo")).create_many([{"name": "Bad"}, {"name": "Good"}, {"name": "Bad"}, {"name": "Fine"}])
            db.session.commit()
        assert [one.action for one in done] == ["refused", "created", "refused", "created"]
    finally:
        hooks._pending[:] = kept
        hooks.register_all(_order)
    rows = office.journal_after(start)
    assert [json.loads(one.changes)["name"][1] for one in rows] == ["Good", "Fine"]
    with db.short() as connection:
        stored = set(connection.execute(select(batches.c.id)).scalars())
    assert {one.batch_id for one in rows} <= stored and len({one.batch_id for one in rows}) == 1


def test_a_named_batch_holds_together_over_several_commits(office: Office):
    mine, start = office.matter(office.clerk), office.last_row()
    with acts(office.clerk):
        with batch("Tidying up"):
            for name in ("One", "Two"):
                records(model("Matter")).edit(mine, {"name": name})
                db.session.commit()
        records(model("Matter")).edit(mine, {"name": "Three"})
        db.session.commit()
    rows = office.journal_after(start)
    assert rows[0].batch_id == rows[1].batch_id != rows[2].batch_id
    with db.short() as connection:
        assert connection.execute(select(batches.c.title).where(batches.c.id == rows[0].batch_id)).scalar() == "Tidying up"


# -- the seal -------------------------------------------------------------------------------------------------------------------


def verify() -> int:
    """How many rows are sealed; fails when a number is missing or the chain does not hold."""
    with db.short() as connection:
        rows = connection.execute(select(journal).where(journal.c.seal.is_not(None)).order_by(journal.c.seal)).mappings().all()
    chain = ""
    for place, one in enumerate(rows, 1):
        assert one["seal"] == place
        chain = row_hash(one, place, chain)
        assert chain == one["hash"]
    return len(rows)


def seal_all() -> None:
    db.remove()
    with acting(Actor(system=True)):
        while seal():
            db.session.commit()
        db.session.commit()
    db.remove()


def unsealed() -> int:
    with db.short() as connection:
        return len(connection.execute(select(journal.c.id).where(journal.c.seal.is_(None))).all())


def test_the_seal_is_consecutive_and_its_chain_tells_tampering(office: Office):
    mine = office.matter(office.clerk)
    with acts(office.clerk):
        for name in "abc":
            records(model("Matter")).edit(mine, {"name": name})
            db.session.commit()
    seal_all()
    count = verify()
    assert count and unsealed() == 0
    with acts(office.clerk):
        records(model("Matter")).edit(mine, {"name": "d"})
        db.session.commit()
    seal_all()
    assert verify() == count + 1
    with db.short() as connection:
        kept = connection.execute(select(journal.c.changes).where(journal.c.seal == 1)).scalar()
        connection.execute(journal.update().where(journal.c.seal == 1).values(changes="{}"))
    with pytest.raises(AssertionError):
        verify()
    with db.short() as connection:
        connection.execute(journal.update().where(journal.c.seal == 1).values(changes=kept))
    verify()


def test_transactions_that_commit_in_the_other_order_are_all_sealed(office: Office):
    if office.kind == "sqlite":
        return _one_writer_at_a_time(office)
    first, second = office.matter(office.clerk), office.matter(office.clerk)
    seal_all()
    wrote, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        with acts(office.clerk):
            records(model("Matter")).edit(first, {"name": "Slow"})
            wrote.set()
            assert may_commit.wait(20)
            db.session.commit()

    start, thread = office.last_row(), threading.Thread(target=slow)
    thread.start()
    try:
        assert wrote.wait(20)
        with acts(office.clerk):
            records(model("Matter")).edit(second, {"name": "Quick"})
            db.session.commit()
        with db.short() as connection:
            busy = connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")).scalar()
            assert busy, "both transactions have to be open at once"
        seal_all()
        assert [json.loads(one.changes)["name"][1] for one in office.journal_after(start)] == ["Quick"]
        assert unsealed() == 1, "the quick row waits, since an older transaction is still open"
    finally:
        may_commit.set()
        thread.join()
    seal_all()
    verify()
    rows = office.journal_after(start)
    assert unsealed() == 0 and [json.loads(one.changes)["name"][1] for one in rows] == ["Slow", "Quick"]
    assert rows[0].seal + 1 == rows[1].seal


def _one_writer_at_a_time(office: Office) -> None:
    """On SQLite a second writer waits, so that ids are in the order of the commits."""
    first, second = office.matter(office.clerk), office.matter(office.clerk)
    seal_all()
    start, wrote, order = office.last_row(), threading.Event(), []

    def slow() -> None:
        with acts(office.clerk):
            records(model("Matter")).edit(first, {"name": "Slow"})
            wrote.set()
            threading.Event().wait(0.3)
            order.append("Slow")
            db.session.commit()

    thread = threading.Thread(target=slow)
    thread.start()
    assert wrote.wait(20)
    with acts(office.clerk):
        records(model("Matter")).edit(second, {"name": "Quick"})
        order.append("Quick")
        db.session.commit()
    thread.join()
    seal_all()
    verify()
    assert [json.loads(one.changes)["name"][1] for one in office.journal_after(start)] == order == ["Slow", "Quick"] and unsealed() == 0


def test_the_system_writes_in_the_name_of_who_acts(office: Office):
    mine, start = office.matter(office.other), office.last_row()
    with acts(office.clerk), system("a deadline has passed"):
        found = db.session.get(model("Matter"), mine)
        found.status = "closed"
        db.session.flush()
        db.session.commit()
    (row,) = office.journal_after(start)
    assert (row.user_id, row.verb) == (office.clerk, "edit")
