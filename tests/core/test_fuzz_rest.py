"""The REST API answers whatever its own description allows, and whatever it forbids, as the description says: never with a fault of ours.

In `make test` a sample of the operations, another one each day; `make fuzz` asks all of them (CONTRIBUTING.md).
"""

import sys

import pytest

from core.db import db
from core.testing import both_databases
from tests.core.fuzzing import EXAMPLES, PERSONS, SEED, Told, ask, batched, copy_of, furnish, operations, sample

pytestmark = pytest.mark.slow

SAMPLE, FEW = 8, 9
"""Operations of each person and database, and requests for each, in `make test`."""


@both_databases
@pytest.mark.parametrize("level", PERSONS)
def test_the_api_answers_as_its_description_says(app, create_user, api_as, tmp_path, capsys, level):
    person = api_as(create_user(level, level=level, roles=PERSONS[level], department="Sales"))
    person.called = level
    if level != "employee":
        create_user("employee", roles=PERSONS["employee"], department="Sales")
    furnish()
    asked = operations(app, person)
    url = db.engine.url.render_as_string(hide_password=False)
    told = Told()
    for some in batched(sample(asked, SAMPLE, level), 1 if EXAMPLES else SAMPLE):
        with copy_of(url, tmp_path):
            for one in some:
                ask(told, person, one, EXAMPLES or FEW)
    if EXAMPLES:
        with capsys.disabled():
            sys.stdout.write(f"\n{level}, {db.engine.name}, seed {SEED}: {told}\n")
    assert not told.finds, told.complain()
