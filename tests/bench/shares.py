"""Lists of people with many shares: page and count by the row filter's own statements, against those of an administrator.

`python -m tests.bench.shares ROWS WHO [TURNS]` runs inside the installation and prints JSON. As many clients as `SHARES` says are opened to
one person after the other, and as many to others; then, and before, each person's first page is asked for.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from tests.bench import rows

SHARES = 20_000
TIMES, AT_LEAST = 3.0, 15.0
"""Page and count together may take so many times the administrator's, or so many milliseconds, whichever is more."""
ORDERS = {"date": "-changed_at", "name": "name"}
TURNS, WARM = 25, 3
NONE, FEW, SOME, MANY, ALL = range(5)
"""Places of `rows.PEOPLE`."""


@dataclass
class Shared:
    """One person's list in one order; milliseconds are middles of `TURNS`."""

    sees: str
    """By his role and place."""
    shares: int
    """Clients of others that are open to him."""
    order: str
    page: float
    """Rights and page, without the number of rows."""
    both: float
    """Rights, page and number of rows."""
    first: float
    """The same, when nothing of the last five minutes is remembered."""
    administrator: float
    """What ``both`` is for an administrator."""

    @property
    def times(self) -> float:
        """How many times the administrator's."""
        return self.both / self.administrator

    @property
    def met(self) -> bool:
        """Is it as quick as is asked?"""
        return self.both <= max(TIMES * self.administrator, AT_LEAST)


def told(facts: dict[str, Any]) -> tuple[str, bool]:
    """A case as a line of the bench, and whether it is met."""
    one = Shared(**facts)
    name = f"shares: sees {one.sees}, {one.shares:,} shared, by {one.order}"
    return (
        f"{name:58}{one.page:>7.1f} page{one.both - one.page:>7.1f} count{one.both:>7.1f} both{one.first:>8.1f} first"
        f"{one.administrator:>7.1f} administrator{one.times:>6.1f} times"
    ), one.met  # fmt: skip


def main(count: int, who: dict[str, list[Any]], turns: int = TURNS) -> list[dict[str, Any]]:
    """Every case of this installation."""
    from core.app import create_app
    from core.config import load as settings
    from core.db import db

    app = create_app(settings(log_level="error"))
    found: list[Shared] = []
    people = who["people"]
    with app.app_context():
        boss = people[len(rows.PEOPLE)]
        share(count, who, None)
        level(boss, "administrator")
        for place, one in enumerate(rows.PEOPLE):
            found += cases(people[place], one.sees, boss, turns)
        for place, one in enumerate(rows.PEOPLE):
            share(count, who, people[place])
            found += cases(people[place], one.sees, boss, turns)
        level(boss, "employee")
        share(count, who, None, 0)
        db.remove()
    return [asdict(one) for one in found]


def share(count: int, who: dict[str, list[Any]], holder: int | None, shares: int = SHARES) -> None:
    """Open ``shares`` clients to ``holder`` and as many to others, every fourth of these to a department; all others' shares go."""
    from core.db import db
    from core.people import Share
    from core.statistics_jobs import LOOKED_AT

    assert db.engine is not None
    table = Share.__table__
    shares = min(shares, count // 4)
    others = [one for place, one in enumerate(who["people"][: len(rows.PEOPLE) + rows.SALESPEOPLE]) if place != NONE and one != holder]
    # Departments of which nobody who is measured is a member.
    places = who["departments"][3 : rows.DEPARTMENTS - 6]
    made: list[dict[str, Any]] = []
    for number in range(shares):
        record = 1 + number * count // shares
        empty = {"model": "crm_client", "access": "read", "version": 1, "user_id": None, "department_id": None}
        if holder is not None:
            made.append({**empty, "record_id": record, "user_id": holder})
        beside = {"department_id": places[number % len(places)]} if number % 4 == 3 else {"user_id": others[number % len(others)]}
        made.append({**empty, "record_id": record + 1, **beside})
    with db.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.model == "crm_client"))
        if made:
            connection.execute(sa.insert(table), made)
        # As it is done at night.
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA analysis_limit={LOOKED_AT}")
        connection.exec_driver_sql(f"ANALYZE {table.name}")
    if db.engine.dialect.name == "postgresql":
        # As PostgreSQL does by itself within a minute of so large a change.
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"VACUUM {table.name}")


def level(user: int, word: str) -> None:
    """Make somebody an administrator for a while."""
    from core.db import db
    from core.people import MortiseUser

    assert db.engine is not None
    table = MortiseUser.__table__
    with db.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.id == user).values(level=word))


def cases(user: int, sees: str, boss: int, turns: int) -> Iterator[Shared]:
    """The lists of one person, each asked for in turn with the administrator's, so that the machine's other work weighs on both."""
    from core.db import db
    from core.people import Share

    table = Share.__table__
    mine = sa.select(sa.func.count()).select_from(table).where(table.c.user_id == user, table.c.model == "crm_client")
    number = int(db.session.execute(mine, execution_options={"mortise_rules": False}).scalar_one())
    for order in ORDERS:
        ways = ((user, False, False), (user, True, False), (user, True, True), (boss, True, False))
        spent = [[_page(one, ORDERS[order], count, forget) for one, count, forget in ways] for _turn in range(WARM + turns)]
        yield Shared(sees, number, order, *(statistics.median(one) for one in zip(*spent[WARM:], strict=True)))


def _page(user: int, order: str, count: bool, forget: bool) -> float:
    """Milliseconds of a page as a request asks for it: his rights are loaded anew, no object is kept."""
    from core import reach
    from core.context import Actor, acting
    from core.db import db
    from core.listing import page
    from core.model import model_of

    if forget:
        reach._wide.clear()
    with acting(Actor(user_id=user, door="screen", zone="Asia/Shanghai")):
        db.read_only()
        began = time.perf_counter()
        page(model_of("crm_client"), order=order, limit=50, count=count)
        spent = (time.perf_counter() - began) * 1000
        db.remove()
    return spent


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), json.loads(sys.argv[2]), *map(int, sys.argv[3:]))) + "\n")
