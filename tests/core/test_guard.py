"""Whatever code writes: nobody makes, changes, steals, gives away, deletes or links what his rights do not cover."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from core import records
from core.context import now, system
from core.db import db
from core.errors import Invalid, Missing, Problem, Refused
from tests.core.kernel import acts, model
from tests.core.office import Office, office, unfiltered

__all__ = ["office"]


def refused(*kinds: type[Problem]) -> Any:
    return pytest.raises(kinds or (Refused,))


def written(record: Any) -> Any:
    db.session.add(record)
    db.session.flush()
    db.session.commit()
    return record


# -- making -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["nothing", "id", "object"])
def test_a_clerk_makes_matters_of_his_own(office: Office, by: str):
    from core.people import User

    with acts(office.clerk):
        values = {"nothing": {}, "id": {"owner_id": office.clerk}, "object": {"owner": db.session.get(User, office.clerk)}}[by]
        made = written(model("Matter")(name="Mine", **values))
        assert (made.owner_id, made.department_id, made.created_by_id) == (office.clerk, office.litigation, office.clerk)


@pytest.mark.parametrize("by", ["id", "object"])
def test_nobody_makes_a_record_for_somebody_out_of_his_reach(office: Office, by: str):
    from core.people import User

    with acts(office.clerk):
        values = {"owner_id": office.other} if by == "id" else {"owner": db.session.get(User, office.other)}
        with refused():
            written(model("Matter")(name="Foreign", **values))
    with acts(office.clerk), refused():
        records(model("Matter")).create({"name": "Foreign", "owner": office.other})


def test_without_the_right_to_create_nothing_is_made(office: Office):
    for user in (office.guest, office.nobody, None):
        with acts(user), refused():
            written(model("Matter")(name="No"))
        with acts(user), refused():
            records(model("Matter")).create({"name": "No"})
    with acts(office.clerk), refused():
        written(model("Vault")(name="No"))


# -- changing -----------------------------------------------------------------------------------------------------------------


def test_a_hidden_record_cannot_be_changed_however_it_was_found(office: Office):
    hidden = office.matter(office.other)
    with acts(office.clerk), refused():
        found = unfiltered("Matter", hidden)
        found.name = "Changed"
        written(found)
    with acts(office.clerk):
        with system("found by the system"):
            found = unfiltered("Matter", hidden)
        with refused():
            found.name = "Changed"
            written(found)
    with acts(office.clerk), refused(Missing):
        records(model("Matter")).edit(hidden, {"name": "Changed"})
    with acts(office.clerk), refused():
        found = unfiltered("Matter", hidden)
        found.name = "Changed"
        with system("whoever hides behind the system"):
            db.session.flush()
    assert office.stored("law_matter", hidden).name == "Matter"


@pytest.mark.parametrize("by", ["owner_id", "owner", "department_id", "department"])
def test_nobody_steals_a_record_by_changing_its_owner_or_department(office: Office, by: str):
    from core.people import Department, User

    office_rights = office.partner
    hidden = office.matter(office.other, department_id=office.elsewhere)
    with acts(office_rights), refused():
        found = unfiltered("Matter", hidden)
        if by.startswith("owner"):
            setattr(found, by, office_rights if by == "owner_id" else db.session.get(User, office_rights))
        else:
            setattr(found, by, office.top if by == "department_id" else db.session.get(Department, office.top))
        written(found)
    row = office.stored("law_matter", hidden)
    assert (row.owner_id, row.department_id) == (office.other, office.elsewhere)


@pytest.mark.parametrize("loaded", [True, False])
def test_nobody_steals_a_memo_by_becoming_its_author(office: Office, loaded: bool):
    memo = office.part("memo", created_by_id=office.other)
    with acts(office.clerk), refused():
        found = unfiltered("Memo", memo)
        if not loaded:
            db.session.expire(found)
        found.created_by_id = office.clerk
        found.name = "Mine now"
        written(found)
    assert office.stored("law_memo", memo).created_by_id == office.other


@pytest.mark.parametrize("by", ["owner_id", "owner", "department_id", "gate"])
def test_nobody_gives_a_record_away_without_the_right_to_transfer(office: Office, by: str):
    from core.people import User

    def give(record: int) -> None:
        found = db.session.get(model("Bill"), record)
        if by == "gate":
            records(model("Bill")).edit(found, {"owner": office.other, "department": office.elsewhere})
        elif by == "owner":
            found.owner, found.department_id = db.session.get(User, office.other), office.elsewhere
        elif by == "owner_id":
            found.owner_id, found.department_id = office.other, office.elsewhere
        else:
            found.owner_id, found.department_id = None, office.elsewhere
        db.session.flush()
        db.session.commit()

    mine = office.matter(office.clerk)
    first = office.part("bill", matter_id=mine, owner_id=office.clerk, department_id=office.litigation)
    with acts(office.clerk), refused():
        give(first)
    assert office.stored("law_bill", first).owner_id == office.clerk
    office.grant(office.clerk, "law_bill", "transfer", "own")
    with acts(office.clerk):
        give(first)
    assert office.stored("law_bill", first).department_id == office.elsewhere
    with db.short() as connection:
        from core.people import PersonalRight

        connection.execute(PersonalRight.__table__.delete())


def test_a_share_for_reading_is_none_for_writing_and_ends_on_its_day(office: Office):
    shared, opened, ended = (office.matter(office.other) for _ in range(3))
    office.share(shared, office.clerk)
    office.share(opened, office.clerk, "edit")
    office.share(ended, office.clerk, "edit", until=now() - timedelta(seconds=1))
    for record, works in ((shared, False), (opened, True), (ended, False)):
        with acts(office.clerk):
            found = unfiltered("Matter", record)
            found.name = "Changed"
            if works:
                written(found)
            else:
                with refused():
                    written(found)
        assert (office.stored("law_matter", record).name == "Changed") is works


def test_a_personal_denial_stops_even_an_administrator(office: Office):
    mine = office.matter(office.clerk)
    office.grant(office.admin, "law_matter", "edit", denied=True)
    try:
        with acts(office.admin), refused():
            found = unfiltered("Matter", mine)
            found.name = "Changed"
            written(found)
    finally:
        with db.short() as connection:
            from core.people import PersonalRight

            connection.execute(PersonalRight.__table__.delete())


# -- parts --------------------------------------------------------------------------------------------------------------------


def test_parts_follow_what_they_are_part_of(office: Office):
    mine, hidden = office.matter(office.clerk), office.matter(office.other)
    step, foreign = office.step(mine), office.step(hidden)
    with acts(office.clerk):
        found = db.session.get(model("Step"), step)
        found.title = "Done"
        written(found)
        made = written(model("Step")(title="New", matter_id=mine))
        assert made.id
    with acts(office.clerk), refused():
        found = unfiltered("Step", foreign)
        found.title = "Done"
        written(found)
    with acts(office.clerk), refused():
        found = unfiltered("Step", foreign)
        found.matter_id = mine
        written(found)
    with acts(office.clerk), refused(Refused, Invalid):
        found = db.session.get(model("Step"), step)
        found.matter_id = hidden
        written(found)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_part_is_made_by_naming_the_record_itself(office: Office, fresh: bool):
    mine = office.matter(office.clerk)
    with acts(office.clerk):
        whole = model("Matter")(name="Whole") if fresh else db.session.get(model("Matter"), mine)
        step = model("Step")(title="First", matter=whole)
        paper = model("Paper")(title="Paper", step=step)
        db.session.add_all([whole, step, paper])
        db.session.flush()
        assert step.matter_id == whole.id and paper.step_id == step.id


def test_a_part_of_a_hidden_record_is_not_made_by_naming_the_record_itself(office: Office):
    hidden = office.matter(office.other)
    with acts(office.clerk), refused(Refused, Invalid):
        written(model("Step")(title="First", matter=unfiltered("Matter", hidden)))


# -- deleting and linking -----------------------------------------------------------------------------------------------------


def test_nobody_deletes_what_is_out_of_his_reach(office: Office):
    hidden, mine = office.matter(office.other), office.matter(office.clerk)
    for user, record in ((office.clerk, hidden), (office.clerk, mine), (office.partner, hidden), (office.guest, mine), (None, mine)):
        with acts(user), refused():
            db.session.delete(unfiltered("Matter", record))
            db.session.flush()
        with acts(user), refused(Refused, Missing):
            records(model("Matter")).delete(record)
        assert office.stored("law_matter", record)
    with acts(office.partner):
        records(model("Matter")).delete(mine)
        db.session.commit()
    assert office.stored("law_matter", mine) is None


def test_a_link_leads_only_to_what_one_may_read(office: Office):
    hidden, mine = office.matter(office.other), office.matter(office.clerk)
    topic = office.part("topic")
    with acts(office.clerk):
        records(model("Matter")).edit(mine, {"topics": [topic]})
        db.session.commit()
    office.matrix("Everyone", "law_topic", "read", "none")
    try:
        with acts(office.clerk), refused(Invalid):
            records(model("Matter")).create({"name": "Linked", "parent": hidden})
        with acts(office.clerk), refused(Invalid):
            records(model("Matter")).create({"name": "Linked", "topics": [topic]})
        with acts(office.clerk), refused(Invalid):
            records(model("Matter")).create({"name": "Linked", "parent": 2_000_000})
        with acts(office.clerk), refused(Invalid):
            written(model("Matter")(name="Linked", parent_id=hidden))
        with acts(office.clerk), refused(Invalid):
            written(model("Matter")(name="Linked", parent=unfiltered("Matter", hidden)))
        with acts(office.clerk), refused(Invalid):
            written(model("Matter")(name="Linked", topics=[unfiltered("Topic", topic)]))
        with acts(office.clerk):
            found = db.session.get(model("Matter"), mine)
            assert found.topics == []
            records(model("Matter")).edit(found, {"name": "Renamed", "topics": []})
            db.session.commit()
        with acts(office.admin):
            assert [one.id for one in db.session.get(model("Matter"), mine).topics] == [topic], "a hidden link is left alone"
    finally:
        with db.short() as connection:
            from core.people import RoleRight

            connection.execute(RoleRight.__table__.delete())


# -- bulk and half ------------------------------------------------------------------------------------------------------------


def test_bulk_statements_on_a_model_are_refused_for_everybody(office: Office):
    mine = office.matter(office.clerk)
    Matter, links = model("Matter"), model("Matter").topics.property.secondary
    ways = [
        lambda: db.session.execute(update(Matter).values(name="x")),
        lambda: db.session.execute(delete(Matter)),
        lambda: db.session.execute(insert(Matter).values(name="x")),
        lambda: db.session.execute(insert(Matter), [{"name": "x"}]),
        lambda: db.session.execute(update(Matter), [{"id": mine, "name": "x"}]),
        lambda: db.session.execute(update(Matter.__table__).values(name="x")),
        lambda: db.session.execute(delete(Matter.__table__)),
        lambda: db.session.execute(insert(Matter.__table__).values(name="x")),
        lambda: db.session.execute(update(model("MatterHalf")).values(name="x")),
        lambda: db.session.query(Matter).update({"name": "x"}),
        lambda: db.session.query(Matter).delete(),
        lambda: db.session.bulk_insert_mappings(Matter, [{"name": "x"}]),
        lambda: db.session.bulk_update_mappings(Matter, [{"id": mine, "name": "x"}]),
        lambda: db.session.bulk_save_objects([Matter(name="x")]),
        lambda: db.session.execute(insert(links).values(left_id=mine, right_id=1)),
        lambda: db.session.execute(delete(links)),
    ]
    for user in (office.clerk, office.admin):
        for number, way in enumerate(ways):
            with acts(user):
                with pytest.raises(RuntimeError, match="records"):
                    way()
                    pytest.fail(f"way {number} went through")
    with acts(office.admin), system("even so"), pytest.raises(RuntimeError):
        db.session.execute(delete(Matter))


def test_a_half_visible_class_is_never_written(office: Office):
    mine, Half = office.matter(office.clerk), model("MatterHalf")

    def change(found: Any) -> None:
        found.name = "Changed"

    for user in (office.guest, office.admin):
        for way in (change, lambda found: db.session.delete(found), lambda _found: db.session.add(Half(name="New", status="new"))):
            with acts(user), refused():
                way(db.session.execute(select(Half).where(Half.id == mine)).scalars().one())
                db.session.flush()
        with refused(), acts(user), system("even so"):
            change(db.session.execute(select(Half).where(Half.id == mine)).scalars().one())
            db.session.flush()
    with acts(office.admin), refused():
        records(Half).create({"name": "New"})
    with acts(office.guest), refused(Refused, Missing):
        records(Half).edit(mine, {"name": "New"})
    with acts(office.admin), refused():
        records(Half).delete(mine)
    assert office.stored("law_matter", mine).name == "Matter"


# -- many ---------------------------------------------------------------------------------------------------------------------


def test_many_are_changed_or_none(office: Office):
    mine, hidden = office.matter(office.clerk), office.matter(office.other)
    gate = model("Matter")
    with acts(office.clerk), refused(Missing):
        records(gate).edit_many([mine, hidden], {"name": "Changed"})
    with acts(office.partner), refused(Missing):
        records(gate).delete_many([mine, hidden])
    office.share(hidden, office.clerk)
    with acts(office.clerk), refused():
        records(gate).edit_many([mine, hidden], {"name": "Changed"})
    assert office.stored("law_matter", mine).name == office.stored("law_matter", hidden).name == "Matter"
    with acts(office.clerk):
        assert records(gate).edit_many([mine], {"name": "Changed"}) == 1
        db.session.commit()
    assert office.stored("law_matter", mine).name == "Changed"


def test_rows_of_a_chunk_say_each_for_itself_what_is_wrong(office: Office):
    hidden = office.matter(office.other)
    with acts(office.clerk):
        done = records(model("Matter")).create_many(
            [{"name": "Good"}, {"name": "Foreign", "owner": office.other}, {"name": "Linked", "parent": hidden}, {"name": ""}, {"nam": 1}]
        )
        db.session.commit()
        assert [one.action for one in done] == ["created", "refused", "refused", "refused", "refused"]
        assert set(done[2].errors) == {"parent"} and "name" in done[3].errors and set(done[4].errors) >= {"nam"}
        assert db.session.execute(select(model("Matter").name).where(model("Matter").name == "Foreign")).first() is None


def test_fields_closed_to_a_role_are_not_written(office: Office):
    from core.people import FieldRight, RoleRow
    from tests.core.office import row_of

    mine = office.matter(office.clerk)
    with db.short() as connection:
        role = connection.execute(select(RoleRow.__table__.c.id).where(RoleRow.__table__.c.name == "Law clerk")).scalar_one()
    row_of(FieldRight, role_id=role, model="law_matter", field_name="amount", access="hidden", version=1)
    row_of(FieldRight, role_id=role, model="law_matter", field_name="name", access="read_only", version=1)
    try:
        for values in ({"amount": "5"}, {"name": "x"}, {"id": 5}, {"created_by": office.clerk}, {"version": 3}, {"custom": {}}):
            with acts(office.clerk), refused(Invalid):
                records(model("Matter")).edit(mine, values)
    finally:
        with db.short() as connection:
            connection.execute(FieldRight.__table__.delete())
