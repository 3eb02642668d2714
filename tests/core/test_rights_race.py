"""Two changes of rights at the same moment, each harmless alone: only one of them is kept, whatever the database."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, select

from core.db import MortiseSession, db
from core.people import Department, MortiseUser, PersonalRight, Post, RoleRow
from core.right_tests import RightTest, counter_of
from core.testing import both_databases

QUIET = {"mortise_rules": False}
pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 0.6
"""How long a transaction stays open after its writes. Where the other cannot write meanwhile, that is as good an answer."""


@contextmanager
def overlapping() -> Iterator[list[bool]]:
    """Inside, a transaction that has written stays open until another has written as well; who met the other is noted."""
    meeting, met, waited = threading.Barrier(2), [], threading.local()

    def wait(_session: Any, _context: Any) -> None:
        if threading.current_thread() is threading.main_thread() or getattr(waited, "done", False):
            return
        waited.done = True
        try:
            meeting.wait(PATIENCE_SECONDS)
            met.append(True)
        except threading.BrokenBarrierError:
            met.append(False)

    event.listen(MortiseSession, "after_flush_postexec", wait)
    try:
        yield met
    finally:
        event.remove(MortiseSession, "after_flush_postexec", wait)


def at_once(*requests: Callable[[], Any]) -> list[Any]:
    """The answers to requests that are sent at the same moment, each by a thread of its own."""
    answers: list[Any] = [None] * len(requests)
    db.session.commit()
    db.remove()

    def send(place: int) -> None:
        answers[place] = requests[place]()

    threads = [threading.Thread(target=contextvars.Context().run, args=(send, place)) for place in range(len(requests))]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    return answers


def role_of(name: str) -> Any:
    return db.session.execute(select(RoleRow).where(RoleRow.name == name), execution_options=QUIET).scalars().one()


@pytest.fixture
def east_and_west(app, create, create_user):
    """Li of the East must never see clients of the West. A post in the West breaks that only with a right to his departments."""
    east, west = create(Department, name="East"), create(Department, name="West")
    li = create_user("li", roles=["Salesperson"])
    create(Post, user=li, department=east)
    create("crm_client", name="Hers", department=west)
    role = role_of("Salesperson")
    test = create(
        RightTest, role=role, of_department=east, expected="never", verb="read", model="crm_client", rows="department", row_department=west
    )
    return li.id, west.id, test.id


@both_databases
def test_two_changes_that_only_together_break_a_permission_test(east_and_west, api_as):
    li, west, test = east_and_west
    one, other = api_as("chief", level="administrator"), api_as("boss", level="administrator")
    right = {"user": li, "model": "crm_client", "verb": "read", "scopes": "department"}
    with overlapping() as met:
        answers = at_once(
            lambda: one.post("/api/v1/core_post/", json={"user": li, "department": west}),
            lambda: other.post("/api/v1/core_personal_right/", json=right),
        )
    assert met and (db.is_sqlite or all(met)), "the two did not overlap"
    assert sorted(answer.status_code for answer in answers) == [201, 422], [answer.json for answer in answers]
    refused = next(answer for answer in answers if answer.status_code == 422)
    assert "Hers" in refused.json["message"]
    db.session.expire_all()
    assert counter_of(db.session.get(RightTest, test)) is None
    kept = [db.session.execute(select(func.count()).select_from(table).where(table.user_id == li), execution_options=QUIET).scalar()
            for table in (Post, PersonalRight)]  # fmt: skip
    assert kept in ([2, 0], [1, 1])


@both_databases
def test_a_new_test_and_a_change_that_breaks_it(app, create, create_user, api_as):
    """Whichever comes second knows of the first: no test is noted as holding that does not hold."""
    li = create_user("li", roles=["Salesperson"]).id
    create("crm_client", name="Hers")
    one, other = api_as("chief", level="administrator"), api_as("boss", level="administrator")
    sentence = {"role": role_of("Salesperson").id, "expected": "never", "verb": "read", "model": "crm_client", "rows": "others"}
    with overlapping():
        answers = at_once(
            lambda: one.post("/api/v1/core_right_test/", json=sentence),
            lambda: other.post("/api/v1/core_personal_right/", json={"user": li, "model": "crm_client", "verb": "read", "scopes": "all"}),
        )
    assert answers[0].status_code == 201 and answers[1].status_code in (201, 422), [answer.json for answer in answers]
    db.session.expire_all()
    test = db.session.execute(select(RightTest), execution_options=QUIET).scalars().one()
    assert test.holds == (counter_of(test) is None) == (answers[1].status_code == 422)


@both_databases
@pytest.mark.parametrize("change", [{"level": "employee"}, {"active": False}], ids=["demoted", "deactivated"])
@pytest.mark.parametrize("whom", ["himself", "the other"])
def test_the_last_two_system_administrators_go_at_once(app, create_user, api_as, change, whom):
    user = MortiseUser.__table__
    before = [one.id for one in db.session.scalars(select(MortiseUser).where(MortiseUser.level == "system_administrator"))]
    first, second = (create_user(login, level="system_administrator").id for login in ("first", "second"))
    for one in before:
        db.session.get(MortiseUser, one).active = False
    one, other = api_as("first"), api_as("second")
    of_one, of_other = (first, second) if whom == "himself" else (second, first)
    with overlapping() as met:
        answers = at_once(
            lambda: one.put(f"/api/v1/ab_user/{of_one}", json=change), lambda: other.put(f"/api/v1/ab_user/{of_other}", json=change)
        )
    assert met
    # Who changes the other also refers to him as who changed; PostgreSQL then may end one of the two, which is told as “busy”.
    late = {"himself": [422], "the other": [401, 403, 422, 503]}[whom]
    assert sorted(answer.status_code for answer in answers) in [[200, one] for one in late], [answer.json for answer in answers]
    left = select(func.count()).select_from(user).where(user.c.level == "system_administrator", user.c.active.is_(True))
    assert db.session.execute(left, execution_options=QUIET).scalar() == 1
