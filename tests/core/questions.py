"""Questions by chance – may this person do this with this record, and with this field of it? – asked of all who must agree.

The oracle answers from the facts; “Why?” explains; `may` judges; the row filter picks; and the gate lets it happen or refuses.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, true

from core.api_keys import Limits
from core.db import db
from core.errors import Invalid, Missing, Refused
from core.explain import Explanation, explain
from core.filters import filter_fields
from core.journal import journal
from core.records import records
from core.rules import may, rights
from tests.core.facts import FIELDS, MORE_VERBS, SHAPES, key
from tests.core.kernel import acts, model
from tests.core.oracle import Facts, Row

QUIET = {"mortise_rules": False, "mortise_core": True}
KEYS = (None, None, None, {"read"}, {"write"}, {"Matter:read"}, {"Matter:write", "Step:read"}, {"Opinion:read", "Step:write"})
NEW = {
    "name": "Another name",
    "title": "Another title",
    "draft": "Another draft",
    "fee": "Another fee",
    "status": "closed",
    "amount": "7.50",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

    person: int
    verb: str
    model: str
    record: int
    field: str | None
    key: frozenset[str] | None = None
    """The scopes of the API key with which the person has come in."""

    def expected(self, facts: Facts) -> bool:
        """What the oracle says."""
        facts.limits = set(self.key) if self.key is not None else None
        try:
            row = row_of(facts, self.model, self.record)
            if self.field is None:
                return facts.may(self.person, self.verb, self.model, row)
            return facts.may_field(self.person, self.verb, self.model, row, self.field)
        finally:
            facts.limits = None

    @property
    def limits(self) -> Limits | None:
        """The key's scopes as core knows them."""
        if self.key is None:
            return None
        named = [one.partition(":") for one in sorted(self.key)]
        return Limits(frozenset(f"{key(name)}:{verb}" if verb else name for name, _colon, verb in named))


def row_of(facts: Facts, name: str, number: int) -> Row:
    """The oracle's record."""
    return facts.rows[SHAPES[name].half_of or name][number]


def by_chance(facts: Facts, dice: random.Random, count: int) -> list[Question]:
    """So many questions about this firm; a person's with one key stand together, since they are one request."""
    found: list[Question] = []
    while len(found) < count:
        person, scopes = dice.choice(list(facts.levels)), dice.choice(KEYS)
        for _turn in range(min(20, count - len(found))):
            name = dice.choice(list(SHAPES))
            field = dice.choice([None, None, *FIELDS.get(name, ())])
            number = dice.choice(sorted(facts.rows[SHAPES[name].half_of or name]))
            verb = dice.choice(("read", "read", "edit", "edit", *(one for one in MORE_VERBS if one != "create")))
            found.append(Question(person, verb, name, number, field, frozenset(scopes) if scopes is not None else None))
    return found


def stored(name: str, number: int) -> Any:
    """The record itself, whoever acts."""
    one = model(name)
    return db.session.execute(select(one).where(one.id == number), execution_options=QUIET).scalars().one()


def explained(question: Question, asker: int | None = None) -> Explanation:
    """What “Why?” says to this asker, or to the person himself."""
    with acts(asker or question.person, limits=question.limits if asker is None else Limits(frozenset({"core_team:read"}))):
        return explain(question.person, question.verb, stored(question.model, question.record), question.field)


def disagreements(facts: Facts, question: Question) -> list[str]:
    """Who says otherwise than the oracle."""
    expected, found = question.expected(facts), []
    one, number, verb, name = model(question.model), question.record, question.verb, question.field
    with acts(question.person, "api" if question.key else "screen", limits=question.limits):
        record = stored(question.model, number)
        if explain(question.person, verb, record, name).allowed != expected:
            found.append("why")
        if bool(may(verb, record, name)) != expected:
            found.append("may")
        if name is None and not (SHAPES[question.model].half_of and verb != "read"):
            reach = rights().row_filter(one, verb)
            query = select(one.__table__.c.id).where(one.__table__.c.id == number, true() if reach is None else reach)
            if bool(db.session.execute(query, execution_options=QUIET).first()) != expected:
                found.append("filter")
        happened = happens(question, record)
        if happened is not None and happened != expected:
            found.append("gate")
    if question.key is None:
        # Asked by somebody else who came in with a narrow key: that narrows nobody but himself.
        boss = next((one for one, level in facts.levels.items() if one != question.person and level != "employee"), None)
        if boss is not None and explained(question, boss).allowed != expected:
            found.append("why, asked by another")
    return found


def happens(question: Question, record: Any) -> bool | None:
    """Does the gate let this person do it? Nothing is kept. None where the gate asks for more than this one right."""
    gate, verb, name = records(model(question.model)), question.verb, question.field
    if verb == "read":
        db.session.expunge_all()
        try:
            gate.get(question.record)
        except (Missing, Refused):
            return False
        return name is None or name in filter_fields(model(question.model))
    if verb not in ("edit", "delete") or (verb == "edit" and name not in NEW) or (verb == "delete" and name is not None):
        return None
    before = db.session.execute(select(func.count()).select_from(journal)).scalar_one()
    try:
        if verb == "edit":
            gate.edit(record, {str(name): NEW[str(name)]})
        else:
            gate.delete(record)
    except Refused:
        done = False
    except Invalid as problem:
        # A record that others need stays, whatever the rights; a closed field is named.
        done = verb == "delete" or str(name) not in problem.errors
    else:
        return True
    finally:
        after = db.session.execute(select(func.count()).select_from(journal)).scalar_one()
        db.session.rollback()
    assert verb == "delete" or after == before, f"{question}: refused, and yet written"
    return done
