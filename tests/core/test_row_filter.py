"""What a person reads is what the oracle says, by every way of asking, for every model, whoever asked before in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import and_, exists, func, literal, or_, select, union_all
from sqlalchemy.orm import aliased, joinedload, selectinload, subqueryload

from core import records, rules
from core.context import clock, system
from core.db import db
from core.errors import Missing, Refused
from core.people import Share
from core.rules import may
from tests.core.facts import NOW, SHAPES, VERBS, WHOLE, code_lines, key, random_facts, rules_stated, write
from tests.core.kernel import acts, model
from tests.core.oracle import Facts, Line, Opened, Personal, Row


def ids(statement: Any) -> set[int]:
    return set(db.session.execute(statement).scalars())


def by_list(one: Any) -> set[int]:
    return {record.id for record in db.session.execute(select(one)).scalars()}


def by_column(one: Any) -> set[int]:
    return ids(select(one.id))


def by_query(one: Any) -> set[int]:
    return {record.id for record in db.session.query(one).all()}


def by_alias(one: Any) -> set[int]:
    other = aliased(one)
    return {record.id for record in db.session.execute(select(other)).scalars()}


def by_alias_column(one: Any) -> set[int]:
    other = aliased(one, name="other")
    return ids(select(other.id).where(other.id > 0))


def by_subquery(one: Any) -> set[int]:
    inner = select(one.id).subquery()
    return ids(select(inner.c.id))


def by_cte(one: Any) -> set[int]:
    inner = select(one.id.label("a")).cte("inner_rows")
    return ids(select(inner.c.a))


def by_union(one: Any) -> set[int]:
    return ids(union_all(select(one.id).where(one.id % 2 == 0), select(one.id).where(one.id % 2 == 1)))


def by_union_subquery(one: Any) -> set[int]:
    inner = union_all(select(one.id).where(one.id % 2 == 0), select(one.id).where(one.id % 2 == 1)).subquery()
    return ids(select(inner.c.id))


def by_in(one: Any) -> set[int]:
    other = aliased(one)
    return ids(select(one.id).where(one.id.in_(select(other.id))))


def by_exists(one: Any) -> set[int]:
    numbers = [number for number in range(1, 20) if db.session.execute(select(exists().where(one.id == number))).scalar()]
    return set(numbers)


def by_exists_of_select(one: Any) -> set[int]:
    return {
        number
        for number in range(1, 20)
        if db.session.execute(select(literal(1)).where(select(one.id).where(one.id == number).exists())).first()
    }


def by_scalar_subquery(one: Any) -> set[int]:
    return {
        number for number in range(1, 20) if db.session.execute(select(select(one.id).where(one.id == number).scalar_subquery())).scalar()
    }


def by_get(one: Any) -> set[int]:
    return {number for number in range(1, 20) if db.session.get(one, number) is not None}


def by_aliased_subquery(one: Any) -> set[int]:
    other = aliased(one, select(one).where(one.id < 100).subquery())
    return {record.id for record in db.session.execute(select(other)).scalars()}


def by_select_from(one: Any) -> set[int]:
    other = aliased(one)
    return ids(select(other.id).select_from(one).join(other, and_(other.id == one.id, or_(other.id > 0, one.id < 0))))


def by_outer_join(one: Any) -> set[int]:
    first, second = aliased(one), aliased(one)
    found = db.session.execute(select(second.id).select_from(first).outerjoin(second, second.id == first.id))
    return {value for value in found.scalars() if value is not None}


def by_group(one: Any) -> set[int]:
    return {row[0] for row in db.session.execute(select(one.id, func.count(one.id)).group_by(one.id))}


def by_values(one: Any) -> set[int]:
    return {row.id for row in db.session.query(one.id).distinct()}


WAYS: list[Callable[[Any], set[int]]] = [
    by_list, by_column, by_query, by_alias, by_alias_column, by_subquery, by_cte, by_union, by_union_subquery, by_in, by_exists,
    by_exists_of_select, by_scalar_subquery, by_get, by_aliased_subquery, by_select_from, by_outer_join, by_group, by_values,
]  # fmt: skip


def compare(facts: Facts, users: Any = None, ways: Any = None) -> list[str]:
    """Every difference between the house and the oracle, in words; an empty list when they agree."""
    wrong = []
    for user in users or [None, *facts.levels]:
        for name in SHAPES:
            expected, one = facts.visible(user, name), model(name)
            for way in ways or (by_list,):
                with acts(user):
                    seen = way(one)
                if seen != expected:
                    wrong.append(f"user {user} {way.__name__} {name}: sees {sorted(seen)}, should see {sorted(expected)}")
    return wrong


@pytest.fixture(autouse=True)
def at_that_moment(house: str):
    clock.set(NOW)
    yield
    clock.reset()


def test_the_oracle_knows_every_rule_that_the_code_states():
    told = {(one.role, key(one.model), one.verb) for one in code_lines()}
    assert told == {one for one in rules_stated() if one[1].startswith("law_")}


@pytest.mark.parametrize("seed", range(8))
def test_lists_show_what_the_oracle_says(house: str, seed: int):
    facts = random_facts(seed)
    write(facts)
    assert compare(facts) == []


@pytest.mark.parametrize("seed", range(8, 12))
def test_those_with_whom_much_is_shared_see_what_the_oracle_says(house: str, monkeypatch: pytest.MonkeyPatch, seed: int):
    # More than so many shares stay a sub-query; here one is more.
    monkeypatch.setattr(rules, "MOST_SHARED", 0)
    facts = random_facts(seed)
    write(facts)
    assert facts.shares and compare(facts, ways=[by_list, by_select_from]) == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_of_asking_gives_the_same_rows(house: str, way: Callable[[Any], set[int]]):
    facts = random_facts(100)
    write(facts)
    assert compare(facts, ways=[way]) == []


@pytest.mark.parametrize("seed", range(20, 25))
def test_counts_and_the_gate_agree_with_the_oracle(house: str, seed: int):
    facts = random_facts(seed)
    write(facts)
    for user in [None, *facts.levels]:
        for name in SHAPES:
            expected, one = facts.visible(user, name), model(name)
            with acts(user):
                assert db.session.execute(select(func.count()).select_from(one)).scalar() == len(expected), (user, name)
                assert db.session.execute(select(func.count(one.id))).scalar() == len(expected), (user, name)
                if name == "MatterHalf":
                    continue
                gate = records(one)
                if not any(facts.given(user, name, "read")):
                    with pytest.raises(Refused):
                        gate.select()
                    continue
                assert gate.count() == len(expected), (user, name)
                assert [record.id for record in gate.many(range(1, 20))] == sorted(expected)
                for number in range(1, 16):
                    if number in expected:
                        assert gate.get(number).id == number
                    else:
                        with pytest.raises(Missing):
                            gate.get(number)


@pytest.mark.parametrize("seed", range(40, 45))
def test_verdicts_are_those_of_the_oracle_and_carry_reasons(house: str, seed: int):
    facts = random_facts(seed)
    write(facts)
    for user in facts.levels:
        with acts(user):
            with system("all records, to ask about each"):
                stock = {name: db.session.execute(select(model(name))).scalars().all() for name in facts.rows}
            for name, found in stock.items():
                for record in found:
                    for verb in VERBS:
                        if verb == "create":
                            continue
                        verdict = may(verb, record)
                        assert bool(verdict) == facts.may(user, verb, name, facts.rows[name][record.id]), (
                            user,
                            verb,
                            name,
                            record.id,
                            verdict,
                        )
                        assert verdict.reasons


# -- several links -------------------------------------------------------------------------------------------------------


def test_a_list_of_links_shows_only_what_may_be_seen(house: str):
    facts = plain_facts()
    facts.matrix.append(Line("Everyone", "Topic", "read", {"none"}))
    write(facts)
    topics = model("Matter").topics.property.secondary
    with db.short() as connection:
        connection.execute(topics.insert(), [{"left_id": 1, "right_id": 1}, {"left_id": 1, "right_id": 2}])
    matter, seen = model("Matter"), facts.visible(1, "Topic")
    assert seen & {1, 2} == {1}
    with acts(1):
        assert [one.id for one in db.session.get(matter, 1).topics] == [1]
        assert db.session.execute(select(model("Topic").id).select_from(matter).join(matter.topics)).scalars().all() == [1]
        assert db.session.execute(select(matter.id).where(matter.topics.any(id=2))).scalars().all() == []
        assert db.session.execute(select(matter.id).where(matter.topics.any())).scalars().all() == [1]
        for option in (joinedload, selectinload, subqueryload):
            db.session.expunge_all()
            found = db.session.execute(select(matter).where(matter.id == 1).options(option(matter.topics))).unique().scalars().one()
            assert [one.id for one in found.topics] == [1]


# -- five people of five scopes ----------------------------------------------------------------------------------------------


def plain_facts() -> Facts:
    """Five people, one for each scope; everybody owns a matter, and some lie elsewhere."""
    facts = Facts(SHAPES, NOW, code=code_lines())
    scopes = ["own", "department", "below", "team", "all"]
    for number, scope in enumerate(scopes, 1):
        facts.levels[number], facts.active[number] = "employee", True
        facts.roles[number] = {ROLE_OF[scope]}
    facts.parents = {1: None, 2: 1, 3: 2, 4: None}
    facts.posts = [(1, 1), (2, 4), (3, 1), (4, 4), (5, 4)]
    facts.teams = {1: {4, 1}, 2: {5}}
    for name in SHAPES:
        if name == "MatterHalf":
            continue
        facts.rows[name] = {}
        for number in range(1, 11):
            made = Row(number, author=(number - 1) % 5 + 1)
            if SHAPES[name].owned:
                made.owner, made.department = (number - 1) % 5 + 1, (number + 1) % 5 or None
            if name in WHOLE:
                made.whole = (number + 3) % 10 + 1
            facts.rows[name][number] = made
    for scope, role in ROLE_OF.items():
        for name in SHAPES:
            facts.matrix.append(Line(role, name, "read", {scope}))
            facts.matrix.append(Line(role, name, "edit", {scope}))
    return facts


ROLE_OF = {"own": "Law clerk", "department": "Law partner", "below": "Law guest", "team": "Sales manager", "all": "Salesperson"}


def test_five_people_of_five_scopes_in_one_process_in_every_order(house: str):
    facts = plain_facts()
    write(facts)
    expected = {(user, name): facts.visible(user, name) for user in facts.levels for name in SHAPES}
    assert len({frozenset(expected[user, "Matter"]) for user in facts.levels}) == 5, "five scopes have to show five different lists"
    orders = list(itertools.permutations(facts.levels))
    for order in orders if house == "sqlite" else orders[::8]:
        for user in order:
            with acts(user):
                assert by_list(model("Matter")) == expected[user, "Matter"], (order, user)
    for user in reversed(list(facts.levels)):
        assert compare(facts, users=[user], ways=WAYS[:8]) == []


# -- single sentences, so that a difference is told by name --------------------------------------------------------------------


def one_person(scopes: str = "", shared: bool = False, **more: Any) -> Facts:
    facts = Facts(
        SHAPES, NOW, code=code_lines(), levels={1: "employee", 2: "employee"}, active={1: True, 2: True}, roles={1: {"Law guest"}}
    )
    facts.parents, facts.posts = {1: None, 2: 1, 3: 1}, [(1, 1), (2, 2)]
    facts.rows = {name: {} for name in SHAPES if name != "MatterHalf"}
    facts.rows["Court"] = {number: Row(number) for number in range(1, 7)}
    facts.rows["Matter"] = {
        1: Row(1, owner=1, department=3), 2: Row(2, owner=2, department=1), 3: Row(3, owner=2, department=2), 4: Row(4, owner=2),
        5: Row(5, owner=None, department=None), 6: Row(6, owner=2, department=3),
    }  # fmt: skip
    facts.matrix = [Line("Law guest", "Matter", "read", set(scopes.split()), shared)]
    for name, value in more.items():
        setattr(facts, name, value)
    return facts


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ("none", set()), ("own", {1}), ("department", {2}), ("below", {1, 2, 3, 6}), ("own department", {1, 2}),
        ("all", {1, 2, 3, 4, 5, 6}),
        ("none own", {1}), ("team", set()), ("own team", {1}),
    ],
)  # fmt: skip
def test_scopes_add_up(house: str, scopes: str, expected: set[int]):
    facts = one_person(scopes)
    write(facts)
    assert facts.visible(1, "Matter") == expected
    assert compare(facts) == []


def test_a_denial_wins_over_grant_role_and_level_until_its_date(house: str):
    for until, expected in ((None, set()), (NOW, {1, 2, 3, 4, 5, 6})):
        facts = one_person(
            "own", personal=[Personal(1, "Matter", "read", True, set(), until), Personal(1, "Matter", "read", False, {"all"})]
        )
        facts.levels[2], facts.personal = "administrator", [*facts.personal, Personal(2, "Matter", "read", True, set(), until)]
        write(facts)
        assert facts.visible(1, "Matter") == facts.visible(2, "Matter") == expected
        assert compare(facts) == []


def test_a_share_opens_one_record_to_those_whose_role_reads_shared_ones(house: str):
    shares = [
        Opened("Matter", 3, "read", user=1),
        Opened("Matter", 4, "edit", department=1),
        Opened("Matter", 6, "read", user=1, until=NOW),
    ]
    for shared, expected in ((True, {3, 4}), (False, set())):
        facts = one_person("", shared, shares=shares)
        write(facts)
        assert facts.visible(1, "Matter") == expected
        assert compare(facts) == []


def test_a_share_that_is_taken_back_opens_nothing_in_the_same_request(house: str):
    write(one_person("own", True, shares=[Opened("Matter", 3, "edit", user=1), Opened("Matter", 6, "read", department=1)]))
    matter = model("Matter")
    with acts(1):
        assert by_list(matter) == {1, 3, 6}
        with system("the owner takes it back"):
            for one in db.session.execute(select(Share).where(Share.record_id == 3)).scalars():
                db.session.delete(one)
            db.session.flush()
        assert by_list(matter) == {1, 6} and not may("edit", matter(id=3, owner_id=2))
        db.session.rollback()


def test_more_shared_records_than_are_named_by_id_are_all_seen(house: str):
    facts = one_person("own", True)
    facts.rows["Court"] |= {number: Row(number) for number in range(7, 320)}
    facts.rows["Matter"] |= {number: Row(number, owner=2) for number in range(7, 320)}
    facts.shares = [Opened("Matter", number, "read" if number % 2 else "edit", user=1) for number in range(7, 300)]
    write(facts)
    assert len(facts.shares) > rules.MOST_SHARED and len(facts.visible(1, "Matter")) == 294
    assert compare(facts, users=[1, 2]) == []


def test_a_half_visible_class_shows_its_columns_and_nothing_else(house: str):
    facts = one_person("none")
    write(facts)
    half = model("MatterHalf")
    with acts(1):
        assert by_list(half) == {1, 2, 3, 4, 5, 6} and by_list(model("Matter")) == set()
        found = db.session.execute(select(half)).scalars().first()
        for name in ("owner_id", "owner", "amount", "court", "custom", "topics", "created_by_id"):
            assert not hasattr(found, name) and not hasattr(half, name)
    with acts(2):
        assert by_list(half) == set(), "without a rule of its own nobody reads a half-visible class"


def test_what_the_system_read_is_not_left_for_the_person(house: str):
    facts = one_person("own")
    write(facts)
    with acts(1):
        with system("looking at all"):
            assert by_list(model("Matter")) == {1, 2, 3, 4, 5, 6}
        assert by_get(model("Matter")) == {1}
    with acts(1):
        with pytest.raises(ZeroDivisionError), system("breaks off"):
            held = db.session.execute(select(model("Matter"))).scalars().all()
            raise ZeroDivisionError
        assert by_get(model("Matter")) == {1} and held


def test_rights_are_loaded_by_two_statements(house: str):
    from sqlalchemy import event

    facts = random_facts(3)
    write(facts)
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        said.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        with acts(1):
            for name in SHAPES:
                by_list(model(name))
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len([one for one in said if one.startswith(("SELECT", "WITH"))]) - len(SHAPES) <= 2
