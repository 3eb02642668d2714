"""No link, join or loader leads to a record that the person may not see, by any way of following it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import contains_eager, joinedload, selectinload, subqueryload

from core.context import clock, system
from core.db import db
from tests.core.facts import NOW, WHOLE, random_facts, write
from tests.core.kernel import acts, model
from tests.core.oracle import Facts


@pytest.fixture(autouse=True)
def at_that_moment(house: str):
    clock.set(NOW)
    yield
    clock.reset()


def pairs(facts: Facts, user: int, part: str, whole: str) -> set[tuple[int, int]]:
    """(part, whole) where the person may read both."""
    seen = facts.visible(user, whole)
    return {(one, facts.rows[part][one].whole) for one in facts.visible(user, part) if facts.rows[part][one].whole in seen}  # type: ignore[misc]


def joined(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    return {(row[0], row[1]) for row in db.session.execute(select(part.id, whole.id).join(link))}


def joined_on(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    column = getattr(part, f"{link.key}_id")
    return {(row[0], row[1]) for row in db.session.execute(select(part.id, whole.id).join(whole, whole.id == column))}


def joined_without_naming(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    column = getattr(part, f"{link.key}_id")
    return {(row[0], row[1]) for row in db.session.execute(select(part.id, column).join(link))}


def has(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    column = getattr(part, f"{link.key}_id")
    return {(row[0], row[1]) for row in db.session.execute(select(part.id, column).where(link.has(whole.id > 0)))}


def has_any(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    column = getattr(part, f"{link.key}_id")
    return {(row[0], row[1]) for row in db.session.execute(select(part.id, column).where(link.has()))}


def lazy(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    found = [(one, getattr(one, link.key)) for one in db.session.execute(select(part)).scalars()]
    return {(one.id, other.id) for one, other in found if other is not None}


def loaded_by(option: Any) -> Callable[[Any, Any, Any], set[tuple[int, int]]]:
    def ask(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
        found = [(one, getattr(one, link.key)) for one in db.session.execute(select(part).options(option(link))).scalars()]
        return {(one.id, other.id) for one, other in found if other is not None}

    ask.__name__ = option.__name__
    return ask


def eager_from_join(part: Any, whole: Any, link: Any) -> set[tuple[int, int]]:
    found = db.session.execute(select(part).join(link).options(contains_eager(link))).scalars()
    return {(one.id, getattr(one, link.key).id) for one in found}


LINKS = [
    joined, joined_on, joined_without_naming, has, has_any, lazy, loaded_by(selectinload), loaded_by(joinedload), loaded_by(subqueryload),
    eager_from_join,
]  # fmt: skip


@pytest.mark.parametrize("way", LINKS, ids=lambda way: way.__name__)
def test_no_link_leads_to_a_hidden_record(house: str, way: Callable[[Any, Any, Any], set[tuple[int, int]]]):
    for seed in (60, 61):
        facts = random_facts(seed)
        write(facts)
        for user in facts.levels:
            for part, column in WHOLE.items():
                whole = "Step" if part == "Paper" else "Matter"
                link = getattr(model(part), column.removesuffix("_id"))
                with acts(user):
                    assert way(model(part), model(whole), link) == pairs(facts, user, part, whole), (seed, user, part)


@pytest.mark.parametrize("option", [joinedload, selectinload, lambda link: joinedload("*")], ids=["joined", "select in", "all joined"])
def test_the_filter_of_one_load_does_not_stick_to_what_it_loaded(house: str, option: Callable[[Any], Any]):
    facts = random_facts(60)
    write(facts)
    deed = model("Deed")
    user = next(one for one in facts.levels if facts.visible(one, "Deed") and len(facts.visible(one, "Matter")) < 14)
    with acts(user):
        found = db.session.execute(select(deed).options(option(deed.matter))).unique().scalars().all()
        hidden = [one for one in found if one.matter is None]
        assert {one.id for one in found} == facts.visible(user, "Deed")
        assert {one.matter_id for one in found if one.matter} <= facts.visible(user, "Matter")
        with system("the house itself looks"):
            for one in hidden:
                db.session.expire(one, ["matter"])
                assert one.matter is not None
