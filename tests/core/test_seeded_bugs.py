"""Faults put into filter and guard on purpose: for each of them the comparison with the oracle has to turn red."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from core import guard, rules
from core.context import clock, system
from core.db import db
from core.errors import Invalid, Refused
from core.verdicts import Fact, Source
from tests.core.facts import NOW, SHAPES, random_facts, write
from tests.core.faulty import FAULTS
from tests.core.kernel import ROOT, acts, kernel, model
from tests.core.oracle import Facts, Line, Opened, Personal, Row

ORIGINAL = rules.Rights._make_grant


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    """A firm that has each kind of fact, so that a fault in any of them shows; the faults do not depend on the database."""
    with kernel("sqlite", tmp_path_factory.mktemp("seeded")):
        clock.set(NOW)
        yield _facts()


def _facts() -> Facts:
    facts = random_facts(7, people=7)
    facts.levels |= dict.fromkeys(range(1, 7), "employee") | {7: "administrator"}
    facts.active |= dict.fromkeys(range(1, 8), True)
    facts.roles = {
        1: {"Law clerk"},
        2: {"Law partner"},
        3: {"Law clerk", "Law guest"},
        4: {"Law guest"},
        5: {"Law clerk"},
        6: set(),
        7: set(),
    }
    facts.posts, facts.parents = [(1, 2), (2, 1), (3, 3), (4, 1), (5, 2)], {1: None, 2: 1, 3: 2, 4: None, 5: 4}
    facts.teams = {1: {2, 6}, 2: {3}, 3: set()}
    facts.matrix = [
        Line("Law guest", "Matter", "read", {"department"}), Line("Law guest", "Matter", "edit", {"own"}),
        Line("Law clerk", "Bill", "read", {"none"}),
    ]  # fmt: skip
    facts.personal = [
        Personal(5, "Matter", "read", True, set()), Personal(5, "Matter", "read", False, {"all"}), Personal(7, "Memo", "read", True, set()),
        Personal(6, "Memo", "read", False, {"all"}, datetime(2026, 5, 4)), Personal(6, "Letter", "read", False, {"own"}),
    ]  # fmt: skip
    facts.shares = [
        Opened("Matter", 11, "read", user=1), Opened("Matter", 12, "edit", user=1), Opened("Matter", 13, "read", user=1, until=NOW),
        Opened("Memo", 11, "read", user=1),
    ]  # fmt: skip
    for number in range(1, 15):
        facts.rows["Matter"][number] = Row(number, owner=(number - 1) % 7 + 1, department=(number - 1) % 5 + 1)
        facts.rows["Matter"][number].owner = 6 if number > 9 else facts.rows["Matter"][number].owner
    write(facts)
    return facts


def differences(facts: Facts) -> list[str]:
    """Where the house and the oracle disagree: on what is read, and on who may change a matter."""
    found = []
    for user in facts.levels:
        for name in SHAPES:
            with acts(user):
                seen = set(db.session.execute(select(model(name).id)).scalars())
            if seen != facts.visible(user, name):
                found.append(f"user {user} reads {name}")
        for number in (1, 2, 3, 5, 6, 7, 8, 11, 12, 13):
            row = facts.rows["Matter"][number]
            if changes(user, number) != facts.may(user, "edit", "Matter", row):
                found.append(f"user {user} edits matter {number}")
        if links_to_hidden(facts, user):
            found.append(f"user {user} links to a hidden matter")
    return found


def changes(user: int, number: int) -> bool:
    """Can this person change this matter by code that goes around the filter? Nothing is kept."""
    with acts(user):
        one = model("Matter")
        found = db.session.execute(select(one).where(one.id == number), execution_options={"mortise_rules": False}).scalars().one()
        found.name = "Changed"
        try:
            db.session.flush()
        except (Refused, Invalid):
            return False
        finally:
            db.session.rollback()
    return True


def links_to_hidden(facts: Facts, user: int) -> bool:
    """Can this person make a part of his own matter out of a hidden one?"""
    mine = sorted(one for one in facts.visible(user, "Matter", "edit") if one in facts.visible(user, "Matter"))
    hidden = sorted(set(facts.rows["Matter"]) - facts.visible(user, "Matter"))
    if not mine or not hidden:
        return False
    with acts(user):
        found = db.session.get(model("Matter"), mine[0])
        if found is None:
            return False
        found.parent_id = hidden[0]
        try:
            db.session.flush()
        except (Refused, Invalid):
            return False
        finally:
            db.session.rollback()
    return True


def after_grant(change: Callable[[Any, Any, str, str], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def seed(patch: pytest.MonkeyPatch) -> None:
        def made(self: Any, one: type, key: str, verb: str) -> Any:
            grant = ORIGINAL(self, one, key, verb)
            before = set(grant.scopes), grant.shared
            change(self, grant, key, verb)
            if (grant.scopes, grant.shared) != before:
                # What gives it says the same, as it would if the fault were in the code.
                grant.sources = [Source(frozenset(grant.scopes), grant.shared, (Fact("nothing"),))]
            return grant

        patch.setattr(rules.Rights, "_make_grant", made)

    return seed


def forget_denials(patch: pytest.MonkeyPatch) -> None:
    def made(self: Any, one: type, key: str, verb: str) -> Any:
        self._personal = {place: [line for line in lines if not line[0]] for place, lines in self._personal.items()}
        return ORIGINAL(self, one, key, verb)

    patch.setattr(rules.Rights, "_make_grant", made)


def take_below_for_department(_self: Any, grant: Any, _key: str, _verb: str) -> None:
    if "department" in grant.scopes:
        grant.scopes.add("below")


def forget_the_lower_departments(_self: Any, grant: Any, _key: str, _verb: str) -> None:
    if "below" in grant.scopes:
        grant.scopes = (grant.scopes - {"below"}) | {"department"}


def only_the_first_role(patch: pytest.MonkeyPatch) -> None:
    def made(self: Any, one: type, key: str, verb: str) -> Any:
        self.roles = dict(sorted(self.roles.items())[:2])
        return ORIGINAL(self, one, key, verb)

    patch.setattr(rules.Rights, "_make_grant", made)


def code_wins_over_the_matrix(patch: pytest.MonkeyPatch) -> None:
    def made(self: Any, one: type, key: str, verb: str) -> Any:
        self._role_rows = {}
        return ORIGINAL(self, one, key, verb)

    patch.setattr(rules.Rights, "_make_grant", made)


def shares_never_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "now", lambda: datetime(2000, 1, 1))


def a_share_for_reading_writes(patch: pytest.MonkeyPatch) -> None:
    for name in ("_shared_ids", "_few_shared"):
        original = getattr(rules.Rights, name)
        patch.setattr(rules.Rights, name, lambda self, one, _verb, original=original: original(self, one, "read"))


def of_much_that_is_shared_each_opens_writing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "MOST_SHARED", 0)
    a_share_for_reading_writes(patch)


def everybody_shares_with_the_roles(_self: Any, grant: Any, _key: str, _verb: str) -> None:
    grant.shared = True


def parts_are_open(_self: Any, grant: Any, _key: str, _verb: str) -> None:
    if "parent" in grant.scopes:
        grant.scopes.add("all")


def the_filter_keeps_the_first_rights(patch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def rights() -> Any:
        if not kept:
            kept.append(rules.rights())
        return kept[0]

    patch.setattr(guard, "rights", rights)


def writes_are_judged_by_the_new_values(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "_old_value", getattr)
    original = rules.Rights.covers

    def covers(self: Any, record: Any, verb: str, *, old: bool = False) -> Any:
        verdict = original(self, record, "read", old=old)
        return dataclasses.replace(verdict, allowed=bool(verdict))

    patch.setattr(rules.Rights, "covers", covers)


def links_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "visible_ids", lambda _target, wanted: set(wanted))


def one_join_forgets_the_filter(patch: pytest.MonkeyPatch) -> None:
    original = guard._classes_in
    patch.setattr(guard, "_classes_in", lambda statement: original(statement) - {model("Paper")})


BUGS = [
    forget_denials, after_grant(take_below_for_department), after_grant(forget_the_lower_departments), only_the_first_role,
    code_wins_over_the_matrix, shares_never_end, a_share_for_reading_writes, of_much_that_is_shared_each_opens_writing,
    after_grant(everybody_shares_with_the_roles), after_grant(parts_are_open),
    the_filter_keeps_the_first_rights, writes_are_judged_by_the_new_values, links_are_not_checked,
    one_join_forgets_the_filter,
]  # fmt: skip
NAMES = [
    "denials are forgotten", "department means below too", "below means the department only", "only the first role counts",
    "code wins over the matrix", "shares never end", "a share for reading writes", "a share for reading writes, of many",
    "shares count without the tick", "parts are open",
    "the first person's rights stay", "whoever reads may write", "links are not checked", "a model is forgotten by the filter",
]  # fmt: skip


def test_without_a_fault_there_is_no_difference(firm: Facts):
    assert differences(firm) == []


@pytest.mark.parametrize("bug", BUGS, ids=NAMES)
def test_a_fault_turns_the_comparison_red(firm: Facts, monkeypatch: pytest.MonkeyPatch, bug: Callable[[pytest.MonkeyPatch], None]):
    clock.set(NOW)
    with system("nothing of before"):
        db.session.expire_all()
    bug(monkeypatch)
    assert differences(firm)


@pytest.mark.slow
@pytest.mark.parametrize("faults", ["0", "1"], ids=["as they are", "with their faults"])
def test_each_fault_turns_a_named_test_red(faults: str):
    """Faults in guard, field rights, “Why?”, sharing, keys, view-as and permission tests: for each, the test that stands for it."""
    line = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--tb=no", "-rA", "-p", "tests.core.faulty", *FAULTS]
    done = subprocess.run(line, cwd=ROOT, env={**os.environ, "MORTISE_FAULTS": faults}, capture_output=True, text=True, timeout=300)
    told = {name: word for word, name in re.findall(r"^(PASSED|FAILED|ERROR) (\S+::\S+)", done.stdout, re.MULTILINE)}
    assert set(told) == set(FAULTS), done.stdout[-3000:] + done.stderr[-2000:]
    wanted = "FAILED" if faults == "1" else "PASSED"
    assert [name for name, word in told.items() if word != wanted] == []
