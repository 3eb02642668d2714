"""The gate: values, required and unique fields, links, versions, deletion with its parts, and ids that never come back."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from core import records
from core.context import system
from core.db import db
from core.errors import Conflict, Invalid, Missing
from core.people import Share
from core.records import titles
from tests.core.kernel import acts, model
from tests.core.office import Office, office

__all__ = ["office"]


def wrong(office: Office, name: str, values: dict[str, Any], record: int | None = None) -> dict[str, str]:
    """The sentences that refuse these values."""
    with acts(office.admin), pytest.raises(Invalid) as told:
        if record is None:
            records(model(name)).create(values)
        else:
            records(model(name)).edit(record, values)
    return told.value.errors


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x", "amount": "much"}, {"name": "x", "amount": 10**30}, {"name": "x", "amount": True},
        {"name": "x", "heard_on": "2026-02-30"},
        {"name": "x", "heard_on": 5}, {"name": "x", "status": "unheard of"}, {"name": "x", "status": ["new"]},
        {"name": "x", "court": "first"},
        {"name": "x", "court": 10**12}, {"name": "x", "court": -1}, {"name": "x", "court": True}, {"name": "x", "topics": 7},
        {"name": "x", "topics": [[1]]}, {"name": "y" * 201}, {"name": 5}, {"name": ["a"]}, {"name": None}, {"name": "  \u3000"},
        {"name": "\x00"},
        {"name": "x", "": 1}, {"name": "x", "__class__": 1}, {"name": "x", "owner_id": 1}, {"name": "x", "amount": float("nan")},
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_values_are_refused_with_a_sentence_each(office: Office, values: dict[str, Any]):
    errors = wrong(office, "Matter", values)
    assert len(errors) == 1 and all(text.endswith((".", "；", "。")) for text in errors.values())


def test_every_wrong_field_gets_its_own_sentence(office: Office):
    assert set(wrong(office, "Matter", {"amount": "x", "heard_on": "x", "color": 1})) >= {"amount", "heard_on", "color"}


def test_values_are_read_as_people_write_them(office: Office):
    with acts(office.admin):
        made = records(model("Matter")).create(
            {"name": " 王 府  ", "amount": "￥１,２３４.５", "heard_on": "2026年5月4日", "status": "Open"}
        )
        number = made.id
        db.session.commit()
        stored = office.stored("law_matter", number)
        assert (stored.name, str(stored.amount), str(stored.heard_on), stored.status) == ("王 府", "1234.50", "2026-05-04", "open")


def test_a_required_field_cannot_be_emptied(office: Office):
    mine = office.matter(office.clerk)
    assert set(wrong(office, "Matter", {"name": ""}, mine)) == {"name"}
    assert set(wrong(office, "Step", {"title": "No matter"})) == {"matter"}
    assert office.stored("law_matter", mine).name == "Matter"


def test_a_unique_value_is_taken_once(office: Office):
    with acts(office.admin):
        first = records(model("Tag")).create({"name": "Urgent"})
        db.session.commit()
        number = first.id
    assert set(wrong(office, "Tag", {"name": "Urgent"})) == {"name"}
    with acts(office.admin):
        second = records(model("Tag")).create({"name": "Other"})
        db.session.commit()
        other = second.id
    assert set(wrong(office, "Tag", {"name": "Urgent"}, other)) == {"name"}
    with acts(office.admin):
        assert records(model("Tag")).edit(number, {"name": "Urgent", "note": "itself"}).note == "itself"
        done = records(model("Tag")).create_many([{"name": "Twice"}, {"name": "Twice"}, {"name": "Urgent"}, {"name": "Once"}])
        assert [one.action for one in done] == ["created", "refused", "refused", "created"]


def test_a_second_run_with_keys_doubles_nothing(office: Office):
    rows = [{"name": f"Run {number}", "note": "first"} for number in range(5)]
    with acts(office.admin):
        gate = records(model("Tag"))
        assert {one.action for one in gate.create_many(rows, keys=["name"])} == {"created"}
        db.session.commit()
        assert {one.action for one in gate.create_many(rows, keys=["name"])} == {"same"}
        again = gate.create_many([{"name": "Run 0", "note": "second"}, *rows[1:], {"name": "Run 9"}], keys=["name"])
        db.session.commit()
        assert [one.action for one in again] == ["changed", "same", "same", "same", "same", "created"]
        assert again[0].record.note == "second"


def test_links_are_set_changed_and_emptied_by_ids(office: Office):
    court, first, second = office.part("court", name="Court of links"), office.part("topic"), office.part("topic")
    with acts(office.admin):
        made = records(model("Matter")).create({"name": "Linked", "court": str(court), "topics": [second, first, first]})
        db.session.commit()
        assert made.court.id == court and sorted(one.id for one in made.topics) == [first, second]
        records(model("Matter")).edit(made, {"court": None, "topics": []})
        db.session.commit()
        assert made.court is None and made.topics == []
    for values in ({"court": 999_999}, {"topics": [first, 999_999]}):
        assert len(wrong(office, "Matter", {"name": "x"} | values)) == 1


def test_a_version_that_somebody_else_has_changed_is_a_conflict(office: Office):
    mine = office.matter(office.clerk)
    with acts(office.clerk):
        version = records(model("Matter")).get(mine).version
        records(model("Matter")).edit(mine, {"name": "First"}, version=version)
        db.session.commit()
    with acts(office.clerk), pytest.raises(Conflict):
        records(model("Matter")).edit(mine, {"name": "Second"}, version=version)
    stored = office.stored("law_matter", mine)
    assert (stored.name, stored.version) == ("First", version + 1)


def test_a_change_under_ones_feet_is_a_conflict_and_no_lost_update(office: Office):
    mine = office.matter(office.clerk)
    with acts(office.clerk):
        held = records(model("Matter")).get(mine)
        assert held.name == "Matter"
        db.session.commit()
        assert held.version == 1
        held_version = held.version
        db.session.rollback()
        with db.short() as connection:
            table = model("Matter").__table__
            connection.execute(table.update().where(table.c.id == mine).values(name="Theirs", version=held_version + 1))
        with pytest.raises(Conflict):
            records(model("Matter")).edit(mine, {"name": "Mine"}, version=held_version)
    assert office.stored("law_matter", mine).name == "Theirs"


def test_a_deletion_takes_parts_clears_links_and_shares_along_hidden_ones_too(office: Office):
    whole = office.matter(office.clerk)
    step = office.step(whole)
    bill = office.part("bill", matter_id=whole, owner_id=office.other)
    child = office.matter(office.other, parent_id=whole)
    topic = office.part("topic")
    office.share(whole, office.other)
    office.share(step, office.other, table="law_step")
    with acts(office.admin):
        made = records(model("Paper")).create({"title": "Deep", "step": step})
        records(model("Matter")).edit(whole, {"topics": [topic]})
        db.session.commit()
        paper = made.id
    with acts(office.partner):
        records(model("Matter")).delete(whole)
        db.session.commit()
    gone = [("law_matter", whole), ("law_step", step), ("law_paper", paper), ("law_bill", bill)]
    assert all(office.stored(*one) is None for one in gone)
    assert office.stored("law_matter", child).parent_id is None and office.stored("law_topic", topic)
    with db.short() as connection:
        share = Share.__table__
        assert not connection.execute(select(share.c.id).where(share.c.record_id == whole, share.c.model == "law_matter")).all()
        assert not connection.execute(select(share.c.id).where(share.c.record_id == step, share.c.model == "law_step")).all()


def test_a_required_link_of_another_record_keeps_what_it_points_at(office: Office):
    whole = office.matter(office.clerk, name="Needed")
    office.part("deed", matter_id=whole)
    with acts(office.partner), pytest.raises(Invalid) as told:
        records(model("Matter")).delete(whole)
    assert "Needed" in told.value.sentence and "Deeds" in told.value.sentence
    with acts(office.partner):
        with pytest.raises(Invalid):
            records(model("Matter")).delete(whole)
        assert db.session.execute(select(model("Vault"))).scalars().all() == []
        db.session.commit()
    assert office.stored("law_matter", whole)


def test_what_others_link_to_as_one_of_several_can_be_deleted(office: Office):
    topic, mine = office.part("topic"), office.matter(office.clerk)
    with acts(office.admin):
        records(model("Matter")).edit(mine, {"topics": [topic]})
        db.session.commit()
    start = office.last_row()
    with acts(office.admin):
        records(model("Topic")).delete(topic)
        db.session.commit()
    assert office.stored("law_topic", topic) is None
    told = {(one.model, one.verb): one.changes for one in office.journal_after(start)}
    assert told["law_matter", "edit"] == f'{{"topics":[[{topic}],[]]}}'


def test_a_person_deletes_a_record_whose_links_he_only_partly_sees(office: Office):
    topic, mine = office.part("topic"), office.matter(office.clerk, department_id=office.top)
    with acts(office.admin):
        records(model("Matter")).edit(mine, {"topics": [topic]})
        db.session.commit()
    office.matrix("Everyone", "law_topic", "read", "none")
    try:
        with acts(office.partner):
            found = db.session.get(model("Matter"), mine)
            assert found.topics == []
            records(model("Matter")).delete(found)
            db.session.commit()
    finally:
        with db.short() as connection:
            from core.people import RoleRight

            connection.execute(RoleRight.__table__.delete())
    assert office.stored("law_matter", mine) is None


@pytest.mark.parametrize("name", ["Memo", "Matter", "Tag"])
def test_an_id_is_never_used_twice(office: Office, name: str):
    with acts(office.admin):
        gate = records(model(name))
        first = gate.create({"name": f"Newest {name}"})
        number = first.id
        gate.delete(first)
        db.session.commit()
        assert gate.create({"name": f"Next {name}"}).id > number
        db.session.commit()


def test_a_missing_and_a_broken_id_answer_alike(office: Office):
    for number in (0, -1, 999_999, 2**40, "abc", "１２", "1 OR 1=1", None, True, 1.5, [], "9" * 400):
        with acts(office.admin), pytest.raises(Missing):
            records(model("Matter")).get(number)


def test_many_records_cost_a_fixed_number_of_statements(office: Office):
    from sqlalchemy import event

    counts = []
    for size in (20, 400):
        said: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any, said: list[str] = said) -> None:
            said.append(statement)

        event.listen(db.engine, "before_cursor_execute", note)
        try:
            with acts(office.clerk):
                done = records(model("Matter")).create_many([{"name": f"Many {number}"} for number in range(size)])
                db.session.commit()
                assert all(one.record for one in done)
        finally:
            event.remove(db.engine, "before_cursor_execute", note)
        # On SQLite, whose statements make no journey, each record is an INSERT of its own.
        counts.append(len([one for one in said if not (office.kind == "sqlite" and one.startswith("INSERT INTO law_matter "))]))
    assert counts[1] <= counts[0] + 4, counts


def test_row_by_row_and_in_a_lot_leave_the_same_database_and_journal(office: Office):
    rows = [{"name": "Alike", "amount": "5", "status": "open"}, {"name": ""}, {"name": "Alike two", "heard_on": "2026-01-01"}]
    found = []
    for lot in (True, False):
        start = office.last_row()
        with acts(office.clerk):
            gate = records(model("Matter"))
            if lot:
                made = [one.record.id for one in gate.create_many(rows) if one.record]
            else:
                made = []
                for values in rows:
                    try:
                        made.append(gate.create(values).id)
                    except Invalid:
                        continue
            db.session.commit()
        stored = [office.stored("law_matter", number)._asdict() for number in made]
        for one in stored:
            for name in ("id", "created_at", "changed_at"):
                del one[name]
        found.append((stored, [(one.verb, one.changes) for one in office.journal_after(start)]))
    assert found[0] == found[1]


def test_titles_are_told_only_of_what_one_may_read(office: Office):
    mine, hidden = office.matter(office.clerk, name="Mine"), office.matter(office.other, name="Hidden")
    with acts(office.clerk):
        assert titles(model("Matter"), [mine, hidden, None, 999_999]) == {mine: "Mine"}
        with system("all of them"):
            assert set(titles(model("Matter"), [mine, hidden])) == {mine, hidden}
        assert titles(model("Matter"), [hidden]) == {}
    with acts(office.nobody):
        assert titles(model("Matter"), [mine]) == {}


def test_a_family_of_emoji_stays_one_family_and_control_characters_go():
    from core.kinds import tidy

    assert tidy("\u0000👨‍👩‍👧\u202e 李\u200b ") == "👨‍👩‍👧 李"
