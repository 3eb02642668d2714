"""The kernel without screens, for the tests of core: a real database, the addons made for tests, and people to act as."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

import core.people_rules
import core.tables  # noqa: F401  all tables, rules and hooks of the house
from core import addons, context
from core.context import Actor, acting, clock, system
from core.db import db, make_engine
from core.model import FabModel, model_of
from core.options import seed_options
from core.people import Department, MortiseUser, Post, RoleRow, Team, assoc_user_role
from core.rules import roles_of_code
from core.search import create_search
from core.state import core_state
from core.testing import generations
from tests import servers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDERS = [ROOT / "addons", HERE / "two_files", HERE / "law"]
_number = itertools.count(1)


def load() -> None:
    """Read the addons of the repository and those made for tests; a broken one stops the tests."""
    addons.load_all(FOLDERS, strict=True)


@contextmanager
def connected(url: str) -> Iterator[None]:
    """The house on the database at ``url``; what it stood on before comes back afterwards."""
    before = db.engine
    engine = make_engine(url)
    db.session.remove()
    db.engine = engine
    db.session.configure(bind=engine)
    token = context.set_actor(None)
    try:
        yield
    finally:
        context.reset_actor(token)
        clock.reset()
        db.session.remove()
        engine.dispose()
        db.engine = before
        db.session.configure(bind=before)


@contextmanager
def kernel(kind: str, folder: Path, name: str = "kernel") -> Iterator[None]:
    """The whole kernel on an empty database of this kind (``sqlite`` or ``postgresql``), all tables made, all roles there."""
    load()
    url = servers.fresh_database(name) if kind == "postgresql" else f"sqlite:///{folder / (name + '.db')}"
    with connected(url):
        assert db.engine is not None
        FabModel.metadata.create_all(db.engine)
        with db.short() as connection:
            create_search(connection)
        seed()
        with db.short() as connection:
            connection.execute(core_state.delete().where(core_state.c.name == "generation"))
            connection.execute(core_state.insert().values(name="generation", value=next(generations)))
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()
            if kind == "postgresql":
                servers.drop_database(url)


def seed() -> None:
    """What `run.py migrate` puts into an empty database: the roles of code, the dictionaries, a row for each addon."""
    with system("an empty house"):
        for role in roles_of_code():
            db.session.add(RoleRow(name=role))
        db.session.flush()
        seed_options()
        addons.register_new()
        db.session.commit()
    db.remove()


def person(login: str = "", *, level: str = "employee", roles: tuple[str, ...] = (), department: int | None = None, **more: Any) -> int:
    """A new user's id, made without gate or journal."""
    login = login or f"person{next(_number)}"
    with db.short() as connection:
        user_id = connection.execute(
            insert(MortiseUser.__table__).values(
                username=login, name=login, email=f"{login}@example.com", level=level, active=True, first_name=login, last_name="",
                must_change_password=False, **more,
            )
        ).inserted_primary_key[0]  # fmt: skip
        for role in roles:
            role_id = connection.execute(select(RoleRow.__table__.c.id).where(RoleRow.__table__.c.name == role)).scalar_one()
            connection.execute(insert(assoc_user_role).values(user_id=user_id, role_id=role_id))
        if department is not None:
            connection.execute(insert(Post.__table__).values(user_id=user_id, department_id=department, is_primary=True))
    return user_id


def department(name: str, parent: int | None = None) -> int:
    """A new department's id."""
    with db.short() as connection:
        return connection.execute(insert(Department.__table__).values(name=name, parent_id=parent)).inserted_primary_key[0]


def team(name: str, *members: int) -> int:
    """A new team's id."""
    link = Team.members.property.secondary
    with db.short() as connection:
        made = connection.execute(insert(Team.__table__).values(name=name)).inserted_primary_key[0]
        for user_id in members:
            connection.execute(insert(link).values(left_id=made, right_id=user_id))
    return made


def row(table: str, **values: Any) -> int:
    """A new row of a model's table, made without gate or journal."""
    with db.short() as connection:
        return connection.execute(insert(model_of(table).__table__).values(**values)).inserted_primary_key[0]


@contextmanager
def acts(user_id: int | None, door: str = "screen", **more: Any) -> Iterator[Actor]:
    """One request of a person: a session of its own, given back without commit at the end."""
    db.remove()
    with acting(Actor(user_id=user_id, login=f"u{user_id}", name=f"u{user_id}", door=door, **more)) as who:
        try:
            yield who
        finally:
            db.remove()


def model(name: str) -> Any:
    """A model of the test addons by its class name: ``model("Matter")``."""
    if name == "MatterHalf":
        return sys.modules["addons.law_case.models"].MatterHalf
    return model_of("crm_tag" if name == "Tag" else f"law_{name.lower()}")
