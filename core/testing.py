"""What tests of Mortise and of addons stand on: an app on a fresh database for each test, people, and clients that sign in as them.

A pytest plugin. The database is prepared once and copied for each test, so that a test starts in a few milliseconds.
`both_databases` runs a test on SQLite and on PostgreSQL; the folders of addons come from the fixture `addon_folders`;
`core.testing_browser` drives a real browser.
"""

from __future__ import annotations

import contextvars
import itertools
import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask, has_app_context
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import Engine, event, make_url, select
from werkzeug.test import TestResponse

import core.tables  # noqa: F401 - the prepared database needs all of them
from core import accounts, context
from core.config import ROOT, load
from core.context import Actor
from core.db import db, make_engine
from core.model import FabModel, model_of
from core.people import Department, MortiseUser, Post, RoleRow
from core.settings import setting

PASSWORD = "correct horse 1"  # noqa: S105 - of people who live for one test
both_databases = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)

generations = itertools.count(1000, 1000)
"""The first generation of each database of a process, so that nothing kept by it is taken for another's.

Far apart: a test that changes the configuration must not reach the number that the next one begins with.
"""
_numbers = itertools.count(1)


class Browser(FlaskClient):
    """A client whose requests know nothing of the test around them: no session, no actor and no application context is shared.

    What the test has written is committed before each request. Requests of somebody signed in carry the form token by themselves;
    ``form_token=False`` leaves it out.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers: dict[str, str] = {}
        self.form_token: str | None = None

    def open(self, *args: Any, form_token: bool = True, **kwargs: Any) -> TestResponse:
        """Send one request. Its answer is read to the end and its files are closed, as a server does; ``buffered=False`` leaves that."""
        settle()
        kwargs.setdefault("buffered", True)
        headers = {**self.headers, **({"X-CSRFToken": self.form_token} if form_token and self.form_token else {})}
        if headers:
            kwargs["headers"] = {**headers, **dict(kwargs.get("headers") or {})}
        return contextvars.Context().run(lambda: FlaskClient.open(self, *args, **kwargs))


def settle() -> None:
    """Commit what the test has written, and forget what it has read: a request in between may change it."""
    if has_app_context() and db.ready:
        db.session.commit()
        context.actor().memo.clear()


# -- the database -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def addon_folders() -> list[Path]:
    """Where the addons for these tests lie; override it in conftest.py."""
    return [ROOT / "addons"]


class House:
    """One application for all tests of this process, and the databases that are copied for them."""

    def __init__(self, folder: Path, addon_folders: list[Path]) -> None:
        self.folder, self.addon_folders = folder, addon_folders
        self.prepared: dict[str, str] = {}
        self.tables: dict[str, int] = {}
        """How many tables each prepared database has: addons that other tests of the process read stay among the models."""
        self.names: set[str] = set()
        self._app: Flask | None = None

    def load(self) -> None:
        """Read the addons, unless they are read; other tests of the process may have read others."""
        from core.addons import addons, broken, load_all

        if not self.names or set(addons()) != self.names or broken():
            self.names = set(load_all(self.addon_folders, strict=True))

    @property
    def app(self) -> Flask:
        """The application; made at first use."""
        if self._app is None:
            from core.app import create_app

            extra = ":".join(str(one) for one in self.addon_folders if one != ROOT / "addons")
            config = load(
                {"MORTISE_ENV": "test"}, data_dir=str(self.folder / "data"), addon_folders=extra, database_url=self.template("sqlite"),
                secret_key=secrets.token_hex(20), firm_name="Test & Co",
            )  # fmt: skip
            self._app = create_app(config, check_schema=False)
            self._app.testing = False  # errors become pages here too, as they do for people
            self._app.test_client_class = Browser
            db.remove()
        return self._app

    def template(self, kind: str) -> str:
        """The address of the prepared database of this kind."""
        if kind not in self.prepared:
            self.load()
            if kind == "sqlite":
                url = f"sqlite:///{self.folder / 'template.db'}"
            else:
                from tests.servers import fresh_database

                url = fresh_database("template")
            with on_database(url):
                self._make_tables(kind)
                _seed(self.folder)
            self.prepared[kind] = url
        elif self.tables[kind] != len(FabModel.metadata.tables):
            with on_database(self.prepared[kind]):
                self._make_tables(kind)
        return self.prepared[kind]

    def _make_tables(self, kind: str) -> None:
        assert db.engine is not None
        FabModel.metadata.create_all(db.engine)
        if kind == "sqlite":
            # Only the file itself is copied; what the application's own connection keeps open stays in the write-ahead log.
            connection = sqlite3.connect(self.folder / "template.db")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
        self.tables[kind] = len(FabModel.metadata.tables)

    def fresh(self, kind: str, name: str) -> str:
        """The address of a copy of the prepared database."""
        url = self.template(kind)
        if kind == "sqlite":
            place = self.folder / f"{name}.db"
            shutil.copyfile(self.folder / "template.db", place)
            with sqlite3.connect(place) as connection:
                connection.execute("INSERT OR REPLACE INTO core_state (name, value) VALUES ('generation', ?)", (next(generations),))
            connection.close()
            return f"sqlite:///{place}"
        return _copy_postgresql(url, name)

    def drop(self, url: str) -> None:
        """Remove a copy."""
        if url.startswith("sqlite"):
            place = Path(url.removeprefix("sqlite:///"))
            for one in (place, place.with_name(place.name + "-wal"), place.with_name(place.name + "-shm")):
                one.unlink(missing_ok=True)
        else:
            from tests.servers import drop_database

            drop_database(url)


def _seed(folder: Path) -> None:
    from core.first import seed

    data = folder / "seed"
    data.mkdir(exist_ok=True)
    seed(load({}, data_dir=str(data), admin_password=PASSWORD, firm_name="Test & Co", firm_zone="Asia/Shanghai"))


def _copy_postgresql(template: str, name: str) -> str:
    import psycopg
    from psycopg import sql
    source = make_url(template)
    copy = source.set(database=f"{source.database}_{name}"[:60])
    server = source.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    words = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(str(copy.database)), sql.Identifier(str(source.database)))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(str(copy.database))))
        connection.execute(words)
    plain = copy.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO core_state (name, value) VALUES ('generation', %s) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
            (next(generations),),
        )
    return copy.render_as_string(hide_password=False)


@contextmanager
def on_database(url: str) -> Iterator[None]:
    """The house on the database at ``url``; what it stood on before comes back afterwards."""
    before, engine = db.engine, _engine_of(make_url(url).get_backend_name())
    stood_at = engine.url
    engine.dispose()
    engine.url = make_url(url)
    db.engine = engine
    db.session.configure(bind=engine)
    try:
        yield
    finally:
        db.session.remove()
        engine.dispose()
        engine.url = stood_at
        db.engine = before
        db.session.configure(bind=before)


@cache
def _engine_of(kind: str) -> Engine:
    """The one engine of this process for databases of a kind, wherever ``engine.url`` points it.

    What SQLAlchemy has compiled it keeps by engine: with one for each test, a tenth of a test was compiling.
    """
    engine = make_engine(f"{kind}://", query_cache_size=5000)
    engine.hide_parameters = True

    @event.listens_for(engine, "do_connect")
    def on_connect(dialect: Any, _record: Any, places: list[Any], words: dict[str, Any]) -> None:
        places[:], more = dialect.create_connect_args(engine.url)
        words.update(more)

    return engine


@pytest.fixture(scope="session")
def house_for_tests(tmp_path_factory: pytest.TempPathFactory, addon_folders: list[Path]) -> Iterator[House]:
    """The application and the prepared databases of this process."""
    accounts.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    made = House(tmp_path_factory.mktemp("house"), addon_folders)
    yield made
    for kind, url in made.prepared.items():
        if kind != "sqlite":
            made.drop(url)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on: sqlite, or what `both_databases` says."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def app(house_for_tests: House, database: str, tmp_path: Path) -> Iterator[Flask]:
    """The application on a database of the test's own. The test itself acts as the system."""
    made = house_for_tests.app
    house_for_tests.load()
    url = house_for_tests.fresh(database, f"t{next(_numbers)}")
    config = made.config["MORTISE"]
    config["data_dir"] = str(tmp_path / "data")
    config.data.mkdir()
    with on_database(url), made.app_context():
        token = context.set_actor(Actor(door="system", name="test", system=True))
        try:
            yield made
        finally:
            db.session.remove()
            context.reset_actor(token)
            context.clock.reset()
    house_for_tests.drop(url)


# -- people, clients, records -----------------------------------------------------------------------------------------


@pytest.fixture
def client(app: Flask) -> Browser:
    """A browser in which nobody is signed in."""
    return app.test_client()  # type: ignore[return-value]


@pytest.fixture
def clock(app: Flask) -> context.Clock:
    """The one clock: ``clock.set(moment)``, ``clock.advance(delta)``."""
    return context.clock


@pytest.fixture
def create(app: Flask) -> Callable[..., Any]:
    """``create(Client, name="Li", owner=user)`` or ``create("crm_client", …)``: a record, made by the system and committed."""

    def make(model: Any, /, **values: Any) -> Any:
        from core.prepare import prepare

        record = (model_of(model) if isinstance(model, str) else model)(**values)
        prepare(record, "create")
        db.session.add(record)
        db.session.commit()
        return record

    return make


@pytest.fixture
def create_user(app: Flask, create: Callable[..., Any]) -> Callable[..., MortiseUser]:
    """``create_user("li", level="administrator", roles=["Case agent"], department="Sales")``: a person with the password `PASSWORD`.

    Roles are names or `Role` objects; roles and departments that are not there yet are made.
    """
    hashed: list[str] = []

    def make(
        login: str, *, level: str = "employee", roles: Any = (), department: Any = None, password: str = PASSWORD, **values: Any
    ) -> MortiseUser:
        if not hashed:
            hashed.append(accounts.hash_password(PASSWORD))
        user = MortiseUser(
            username=login, first_name=login, last_name="", name=values.pop("name", login), email=f"{login}@example.com", level=level,
            active=values.pop("active", True), password=hashed[0] if password == PASSWORD else accounts.hash_password(password),
            must_change_password=values.pop("must_change_password", False), **values,
        )  # fmt: skip
        for role in roles:
            name = getattr(role, "name", role)
            row = db.session.scalars(select(RoleRow).where(RoleRow.name == name)).first() or RoleRow(name=name)
            user.role_rows.append(row)
        db.session.add(user)
        db.session.flush()
        if department is not None:
            if isinstance(department, str):
                department = db.session.scalars(select(Department).where(Department.name == department)).first() or create(
                    Department, name=department
                )
            db.session.add(Post(user_id=user.id, department_id=department.id, is_primary=True))
        db.session.commit()
        return user

    return make


@pytest.fixture
def acting_as(app: Flask, create_user: Callable[..., MortiseUser]) -> Callable[..., Any]:
    """``with acting_as("li"):`` — the block runs with this person's rights, as a screen's request would."""

    @contextmanager
    def act(who: str | MortiseUser, **values: Any) -> Iterator[Actor]:
        user = _user(who, create_user, values)
        zone = user.zone or setting("firm.zone")
        with context.acting(Actor(user_id=user.id, login=user.username, name=user.name or "", door="screen", zone=zone)) as person:
            yield person

    return act


@pytest.fixture
def login_as(app: Flask, create_user: Callable[..., MortiseUser]) -> Callable[..., Browser]:
    """``login_as("li")``: a browser in which this person is signed in; a person who is not there yet is made as an employee.

    More words make him otherwise: ``login_as("li", level="administrator")``.
    """

    def sign_in(who: str | MortiseUser, **values: Any) -> Browser:
        user = _user(who, create_user, values)
        browser: Browser = app.test_client()  # type: ignore[assignment]
        token, form_token = f"{next(_numbers):043d}", f"{next(_numbers):040d}"
        row = accounts.SignInSession(
            id=accounts.session_key(token), user_id=user.id, data=json.dumps({"csrf_token": form_token}), created_at=context.now(),
            seen_at=context.now(),
        )  # fmt: skip
        db.session.add(row)
        db.session.commit()
        browser.set_cookie(app.config["SESSION_COOKIE_NAME"], token)
        browser.form_token = str(URLSafeTimedSerializer(app.secret_key, salt="wtf-csrf-token").dumps(form_token))  # type: ignore[arg-type]
        return browser

    return sign_in


@pytest.fixture
def api_as(app: Flask, create_user: Callable[..., MortiseUser]) -> Callable[..., Browser]:
    """``api_as("li")``: a program that holds an access token of this person."""

    def sign_in(who: str | MortiseUser, **values: Any) -> Browser:
        from flask_jwt_extended import create_access_token

        user = _user(who, create_user, values)
        program: Browser = app.test_client()  # type: ignore[assignment]
        user_id = user.id
        settle()
        token = contextvars.Context().run(_in_app, app, lambda: create_access_token(identity=str(user_id)))
        program.headers = {"Authorization": f"Bearer {token}"}
        return program

    return sign_in


def _user(who: str | MortiseUser, create_user: Callable[..., MortiseUser], values: dict[str, Any]) -> MortiseUser:
    if isinstance(who, MortiseUser):
        return who
    found = db.session.scalars(select(MortiseUser).where(MortiseUser.username == who)).first()
    return found or create_user(who, **values)


def _in_app(app: Flask, work: Callable[[], Any]) -> Any:
    with app.app_context():
        try:
            return work()
        finally:
            db.remove()


# -- looking at the database ------------------------------------------------------------------------------------------


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every SQL statement that runs inside the block, without the house's pragmas and transaction words."""
    found: list[str] = []
    engine = db.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN", "SET TRANSACTION", "SAVEPOINT", "RELEASE")):
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)
