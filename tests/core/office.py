"""A law office with a few people and matters, for tests that write: who they are, and records made without gate."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from core.db import db
from core.journal import journal
from core.people import PersonalRight, RoleRight, RoleRow, Share
from core.state import core_state
from tests.core.kernel import acts, department, model, person, row, team

QUIET = {"mortise_rules": False}


class Office(SimpleNamespace):
    """Ids of people and departments, and short ways to make records and rights."""

    kind: str

    def matter(self, owner: int | None = None, **values: Any) -> int:
        """A new matter's id."""
        values = {"name": "Matter", "status": "new", "version": 1, "created_by_id": owner} | values
        return row("law_matter", owner_id=owner, **values)

    def step(self, matter: int, **values: Any) -> int:
        """A new step's id."""
        return row("law_step", **({"matter_id": matter, "title": "Step", "version": 1} | values))

    def part(self, table: str, **values: Any) -> int:
        """A new row of any table of the office."""
        return row(f"law_{table}", **({"name": table.title(), "version": 1} | values))

    def share(self, record: int, user: int, access: str = "read", table: str = "law_matter", until: Any = None) -> None:
        """Open a record to somebody."""
        row_of(Share, model=table, record_id=record, user_id=user, access=access, until=until, version=1)

    def grant(self, user: int, table: str, verb: str, scopes: str = "all", denied: bool = False) -> None:
        """Give a right to one person, or take it away."""
        row_of(PersonalRight, user_id=user, model=table, verb=verb, scopes=scopes, denied=denied, version=1)

    def matrix(self, role: str, table: str, verb: str, scopes: str, shared: bool = False) -> None:
        """Set a cell of the administrator's matrix."""
        with db.short() as connection:
            role_id = connection.execute(select(RoleRow.__table__.c.id).where(RoleRow.__table__.c.name == role)).scalar_one()
        row_of(RoleRight, role_id=role_id, model=table, verb=verb, scopes=scopes, shared=shared, version=1)

    def stored(self, table: str, record: int) -> Any:
        """A record's row as it stands in the database; None when it is gone."""
        with db.short() as connection:
            one = model_table(table)
            return connection.execute(select(one).where(one.c.id == record)).first()

    def last_row(self) -> int:
        """Id of the newest journal row."""
        with db.short() as connection:
            return connection.execute(select(journal.c.id).order_by(journal.c.id.desc()).limit(1)).scalar() or 0

    def journal_after(self, number: int) -> list[Any]:
        """The committed journal rows after this one."""
        with db.short() as connection:
            return list(connection.execute(select(journal).where(journal.c.id > number).order_by(journal.c.id)))


def model_table(table: str) -> Any:
    from core.model import model_of

    return model_of(table).__table__


def row_of(one: Any, **values: Any) -> None:
    """A row made without gate or journal, and every process told that rights have changed."""
    with db.short() as connection:
        connection.execute(insert(one.__table__).values(**values))
        connection.execute(update(core_state).where(core_state.c.name == "generation").values(value=core_state.c.value + 1))


def unfiltered(name: str, record: int) -> Any:
    """A record as code gets hold of it that has gone around the filter."""
    one = model(name)
    return db.session.execute(select(one).where(one.id == record), execution_options=QUIET).scalars().one()


@pytest.fixture(scope="module")
def office(house: str) -> Iterator[Office]:
    """The people of the office: a clerk (own matters), a partner (department and below, team), a guest, and an administrator."""
    top = department("Office")
    litigation = department("Litigation", top)
    elsewhere = department("Elsewhere")
    made = Office(kind=house, top=top, litigation=litigation, elsewhere=elsewhere)
    made.clerk = person("clerk", roles=("Law clerk",), department=litigation)
    made.other = person("other", roles=("Law clerk",), department=elsewhere)
    made.partner = person("partner", roles=("Law partner",), department=top)
    made.guest = person("guest", roles=("Law guest",))
    made.nobody = person("nobody")
    made.admin = person("admin", level="system_administrator")
    made.team = team("Pair", made.clerk, made.partner)
    yield made
    db.remove()


__all__ = ["Office", "acts", "model", "office", "unfiltered"]
