"""Whatever people do, through whatever door: it is done or refused, the past tells it as it was, and undone in reverse nothing is left."""

from __future__ import annotations

import pytest

from core.journal import batches, journal
from core.model import model_of
from core.past import parts_of, pasts
from core.testing import both_databases
from tests.core.deeds import TRACKED, State, Step, World, dried_up, newest, programs, state, taken_back, told, world


def hold(there: World, program: list[Step]) -> None:
    """Run a program, and compare."""
    there.log.clear()
    first, begun = newest(batches.c.id), state()
    seen: list[tuple[int, State]] = [(newest(journal.c.id), begun)]
    try:
        for step in program:
            there.do(*step)
            found = state()
            seen.append((newest(journal.c.id), found))
        compare(there, seen)
    finally:
        wrong = taken_back(first)
    assert not wrong, (there.log, wrong)
    assert told(state()) == told(begun), there.log


def compare(there: World, seen: list[tuple[int, State]]) -> None:
    """As of each step every record is what was seen then, with its lines."""
    places = [row for row, _state in seen]
    for table in TRACKED:
        model = model_of(table)
        parts = [pair for pair in parts_of(model) if pair[0].__tablename__ in TRACKED]
        for number in sorted({one for _row, found in seen for where, one in found if where == table}):
            for past, (_row, found), step in zip(pasts(model, number, places, parts), seen, ["", *there.log], strict=True):
                assert past.values == found.get((table, number)), (table, number, step, there.log)
                for other, link in parts:
                    name = other.__tablename__
                    lines = {one: values for (where, one), values in found.items() if where == name and values.get(link.name) == number}
                    assert past.parts.get(other, {}) == (lines if past.values is not None else {}), (table, number, step, there.log)


def examples(there: World, number: int, start: int) -> None:
    for program in programs(number, start):
        hold(there, program)
    assert not (few := dried_up(there.done)), (few, there.done)


@both_databases
def test_what_was_done_is_told_as_it_was_and_undone_in_reverse_is_gone(app, login_as, api_as, create_user, acting_as):
    examples(world(app, login_as, api_as, create_user, acting_as), 200, 5)


@pytest.mark.soak
@pytest.mark.slow
@both_databases
@pytest.mark.parametrize("start", range(100, 110))
def test_two_thousand_programs(app, login_as, api_as, create_user, acting_as, start):
    examples(world(app, login_as, api_as, create_user, acting_as), 200, start)
