"""A list, a search, a form and a claim at 20,000 clients: few statements, no table read from end to end, not far from the floor."""

from __future__ import annotations

import json

import pytest

from tests import servers
from tests.bench.crowd import claim
from tests.bench.house import house
from tests.bench.measure import measure, running
from tests.bench.work import works
from tests.core.installation import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ROWS, TURNS = 20_000, 5
GENEROUS = 6
"""What is asked is 4 times the floor, and not met yet: lists cost some 10 to 12 times its processor time (`docs/performance.md`).

This only keeps them from growing; it comes down to 3 when they are.
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def built(request, tmp_path):
    def database(name: str, _fresh: bool) -> str:
        return servers.fresh_database(f"bench_{name[0]}")

    return house(request.param, ROWS, tmp_path, database)


def test_pages_cost_few_statements_and_stay_near_the_floor(built):
    facts = json.loads(built.python("tests.bench.facts", built.count, json.dumps(built.ids), built.floor).splitlines()[-1])
    wrong = []
    with running(built, facts) as now:
        for work in works(facts, built.ids):
            found = measure(now, work, TURNS)
            # The processor's time, not the clock's: other tests may be running.
            if found.floor_cpu and found.cpu > GENEROUS * work.times * found.floor_cpu:
                wrong.append(f"{work.name}: {found.cpu:.0f} ms of the processor, the floor {found.floor_cpu:.1f}")
            if not work.writes and found.statements > work.statements:
                wrong.append(f"{work.name}: {found.statements} statements")
            wrong += [f"{work.name}: {scan}" for scan in found.scans or []]
        told = claim(now)
    assert not wrong, "\n".join(wrong)
    assert told.right, told


def test_everything_that_is_asked_is_measured():
    goals = (ROOT / "docs" / "performance.md").read_text()
    for word in ("first page", "depth", "search", "open form", "create", "import", "group", "claim", "8 clients", "statements", "restart"):
        assert word in goals, word
