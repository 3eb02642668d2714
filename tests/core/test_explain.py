"""“Why?” says what is enforced, and names what would change it: made true, each answer turns into its opposite."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from core.context import Actor, acting, clock
from core.db import db
from core.explain import Explanation
from core.model import FabModel
from core.people import FieldRight, MortiseUser, PersonalRight, Post, RoleRight, RoleRow, Share, Team, assoc_user_role
from core.rules import WRITES, may
from core.verdicts import Fact
from tests.core.facts import NOW, key, random_facts, write
from tests.core.kernel import acts, model
from tests.core.questions import Question, by_chance, disagreements, explained, stored

QUIET = {"mortise_rules": False, "mortise_core": True}
MEMBERS = Team.members.property.secondary
user, role, right, personal, closed = (one.__table__ for one in (MortiseUser, RoleRow, RoleRight, PersonalRight, FieldRight))
FLIPPED = 3
"""Of so many questions one is answered once more with other facts."""


@pytest.fixture(autouse=True)
def at_that_moment(house: str):
    clock.set(NOW)
    yield
    clock.reset()


def role_id(name: str) -> int:
    return run(select(role.c.id).where(role.c.name == name)).scalar_one()


def run(statement: Any) -> Any:
    return db.session.execute(statement, execution_options=QUIET)


def set_right(fact: Fact) -> None:
    """The role's right becomes none, whether a row or a line of code gave it."""
    of = (right.c.role_id == role_id(fact.role), right.c.model == fact.model, right.c.verb == fact.verb)
    if not run(update(right).where(*of).values(scopes="none", shared=False)).rowcount:
        run(insert(right).values(role_id=role_id(fact.role), model=fact.model, verb=fact.verb, scopes="none", shared=False, version=1))


def open_field(fact: Fact, question: Question) -> None:
    """The role may write the field, whether a row or a line of code closed it."""
    of = (closed.c.role_id == role_id(fact.role), closed.c.model == key(question.model), closed.c.field_name == question.field)
    if not run(update(closed).where(*of).values(access="open")).rowcount:
        given = {"role_id": role_id(fact.role), "model": key(question.model), "field_name": question.field}
        run(insert(closed).values(**given, access="open", version=1))


def change(fact: Fact, question: Question) -> None:
    """Make the fact untrue; or, of a refusal, true."""
    person, verb, name = question.person, question.verb, question.model
    table, _colon, number = fact.source.partition(":")
    row = int(number) if number.isdigit() else 0
    stock = model(name).__table__
    match fact.kind:
        case "level":
            run(update(user).where(user.c.id == row).values(level="employee"))
        case "role":
            run(delete(assoc_user_role).where(assoc_user_role.c.user_id == person, assoc_user_role.c.role_id == row))
        case "right" | "rule":
            set_right(fact)
        case "grant" | "denial":
            run(delete(personal).where(personal.c.id == row))
        case "own" | "author":
            one = FabModel.metadata.tables[table]
            run(update(one).where(one.c.id == row).values({"owner_id" if fact.kind == "own" else "created_by_id": None}))
        case "post":
            run(delete(Post.__table__).where(Post.__table__.c.id == row))
        case "member":
            run(delete(MEMBERS).where(MEMBERS.c.left_id == row, MEMBERS.c.right_id == person))
        case "shared":
            run(delete(Share.__table__).where(Share.__table__.c.id == row))
        case "field_hidden" | "field_read":
            open_field(fact, question)
        case "key":
            pass
        case "closed":
            run(update(user).where(user.c.id == row).values(active=True))
        case "would_role":
            run(insert(assoc_user_role).values(user_id=person, role_id=row))
        case "would_own":
            run(update(stock).where(stock.c.id == row).values(owner_id=person))
        case "would_post":
            run(insert(Post.__table__).values(user_id=person, department_id=row, is_primary=False, version=1))
        case "would_team":
            made = run(insert(Team.__table__).values(name="new", version=1)).inserted_primary_key[0]
            for one in {person, row}:
                run(insert(MEMBERS).values(left_id=made, right_id=one))
        case "would_share":
            run(insert(Share.__table__).values(model=table, record_id=row, user_id=person, access="edit", version=1))
        case "would_grant":
            run(insert(personal).values(user_id=person, model=key(name), verb=verb, denied=False, scopes="all", version=1))
        case _:
            raise AssertionError(f"nobody can change {fact}")


def asked_of(seed: int, count: int) -> None:
    """A firm by chance, and so many questions about it: all answer alike, and what “Why?” names changes the answer."""
    facts, dice = random_facts(seed), random.Random(seed)
    write(facts)
    wrong = []
    for place, question in enumerate(by_chance(facts, dice, count)):
        if found := disagreements(facts, question):
            wrong.append((found, question))
        told = explained(question)
        assert told.chains and (told.steps or question.verb in WRITES) and all(told.steps), (question, told)
        if place % FLIPPED == 0 and told.steps:
            flip(told, question, dice)
    assert not wrong, wrong


def flip(told: Explanation, question: Question, dice: random.Random) -> None:
    """Change one fact of each step; the answer must be the opposite."""
    chosen = [dice.choice(step) for step in told.steps]
    key_stays = any(fact.kind == "key" for fact in chosen)
    with acts(None):
        for fact in dict.fromkeys(chosen):
            change(fact, question)
        limits = None if key_stays else question.limits
        with acting(Actor(user_id=question.person, door="screen", limits=limits)):
            again = stored(question.model, question.record)
            assert bool(may(question.verb, again, question.field)) != told.allowed, (question, chosen, told)
        db.session.rollback()


@pytest.mark.parametrize("seed", range(60, 64))
def test_why_is_what_is_enforced_and_what_would_change_it_does(house: str, seed: int):
    asked_of(seed, 150)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1040))
def test_ten_thousand_questions(house: str, seed: int):
    asked_of(seed, 250)
