"""REST shows the rows that the oracle says, person after person in one process: lists, counts, single records, links and search."""

from __future__ import annotations

import pytest

from core.db import db
from core.model import model_of
from core.people import MortiseUser
from core.testing import both_databases
from tests.core.facts import NOW, SHAPES, random_facts, write
from tests.core.kernel import model


@pytest.mark.slow
@both_databases
@pytest.mark.parametrize("seed", [61, 62])
def test_rest_shows_what_the_oracle_says(app, api_as, clock, seed):
    facts = random_facts(seed)
    write(facts)
    clock.set(NOW)
    people = {one: db.session.get(MortiseUser, one) for one in facts.levels if facts.active[one]}
    wrong = []
    for user, row in people.items():
        program = api_as(row)
        for name, shape in SHAPES.items():
            if shape.half_of:
                continue
            table, expected = model(name).__tablename__, facts.visible(user, name)
            answer = program.get(f"/api/v1/{table}/?limit=200")
            if answer.status_code == 403:
                seen = set()
            else:
                assert answer.status_code == 200, answer.text
                seen = {one["id"] for one in answer.json["result"]}
                assert answer.json["count"] == len(seen)
            if seen != expected:
                wrong.append(f"user {user} {name}: sees {sorted(seen)}, should see {sorted(expected)}")
            for record in facts.rows[name]:
                status = program.get(f"/api/v1/{table}/{record}").status_code
                if (status == 200) != (record in expected) or status not in (200, 403, 404):
                    wrong.append(f"user {user} {name} {record}: {status}")
    assert wrong == []
    assert model_of("law_matter") is model("Matter")
