"""Fills an installation with the measured firm, past all gates, as fast as it goes: `python -m tests.bench.load ROWS FLOOR`.

The rows are made once by all cores and written as they come: clients and their search rows, then contacts. Indexes are taken off
before and made again after. The same rows go into the floor's own tables (`tests.bench.floor_tables`) at the address FLOOR.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import sqlalchemy as sa

from core.statistics_jobs import LOOKED_AT
from tests.bench import floor_tables, rows

CHUNK = 10_000
_kinds: list[tuple[str, str]] = []
"""(column, kind) of what the search box finds; set before the workers are forked."""


def people() -> dict[str, list[Any]]:
    """Departments, people, posts and roles; returns the ids of people and departments in the order of `rows`."""
    from core import accounts
    from core.context import Actor, acting, now
    from core.db import db
    from core.people import Department, MortiseUser, Post, RoleRight, RoleRow
    from core.settings import set_setting

    def row(name: str) -> Any:
        found = db.session.scalars(sa.select(RoleRow).where(RoleRow.name == name)).first() or RoleRow(name=name)
        db.session.add(found)
        db.session.flush()
        return found

    hashed = accounts.hash_password("correct horse 1")
    with acting(Actor(system=True)):
        set_setting("firm.name", "Bench")
        roof = Department(name="Department 00")
        places = [
            Department(name=f"Department {n:02d}", parent=roof if n >= rows.DEPARTMENTS - 5 else None)
            for n in range(1, rows.DEPARTMENTS + 1)
        ]
        db.session.add_all([*places, roof])
        makers = [row(f"Maker {n}") for n in range(0, 30, 3)]
        for verb in ("read", "create", "edit", "transfer"):
            for name in ("crm_client", "crm_contact"):
                db.session.add(RoleRight(role=row("Bench reader"), model=name, verb=verb, scopes="all"))
        made = []
        for place, one in enumerate([*rows.PEOPLE, *sales()]):
            name = f"{'王李张刘陈'[place % 5]}{one.login}"
            user = MortiseUser(
                username=one.login, first_name=one.login, last_name="", name=name, email=f"{one.login}@example.com", level="employee",
                active=True, password=hashed, must_change_password=False, language="zh_Hans", zone="Asia/Shanghai",
                created_at=now(), changed_at=now(),
            )  # fmt: skip
            user.role_rows += [row(one.role), *(makers if place < len(rows.PEOPLE) else [])]
            db.session.add(user)
            made.append((user, [*places, roof][one.department - 1]))
        db.session.flush()
        db.session.add_all([Post(user_id=user.id, department_id=place.id, is_primary=True) for user, place in made])
        db.session.commit()
        return {"people": [user.id for user, _place in made], "departments": [place.id for place in [*places, roof]],
                "names": [user.name for user, _place in made]}  # fmt: skip


def sales() -> Iterator[rows.Person]:
    """The other salespeople, and those who claim."""
    for number in range(rows.SALESPEOPLE):
        yield rows.Person(f"sales{number:03d}", "Salesperson", 1 + number % rows.DEPARTMENTS, "")
    for number in range(rows.CLAIMERS):
        yield rows.Person(f"claim{number:03d}", "Bench reader", 1, "")


def _with_tokens(chunk: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from core.search_words import title_key, tokens

    for one in chunk:
        words = set().union(*(tokens(one[name], kind) for name, kind in _kinds if one.get(name)))
        one["tokens"], one["title_key"] = " ".join(sorted(words)), title_key(one["name"])
    return chunk


def main(count: int, floor: str) -> None:
    """Fill the database of this installation and the floor's."""
    from core.app import create_app
    from core.config import load
    from core.db import db
    from core.model import fields_of, model_of
    from core.options import options
    from core.search import _base, search_fields

    with create_app(load(log_level="error")).app_context():
        begun = time.perf_counter()
        who = people()
        sys.stderr.write(f"people {time.perf_counter() - begun:.1f} s\n")
        client, base = model_of("crm_client"), _base(model_of("crm_client"))
        choices = {
            one.name: [each.key for each in options(one.choices or "")] for one in fields_of(client).values() if one.kind.name == "choice"
        }
        _kinds[:] = [(one.name, one.kind.name) for one in search_fields(client).values()]
        columns = [name for name in client.__table__.columns.keys() if name != "custom"]
        db.remove()
        engine, floor_engine = db.engine, sa.create_engine(floor)
        assert engine is not None
        held = {table: _take_indexes(engine, table) for table in ("crm_client", "core_search", "crm_contact")}
        floor_tables.create(floor_engine)
        made = rows.clients(count, choices)
        chunks = iter(lambda: list(islice(made, CHUNK)), [])
        with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool, _Writer(engine) as own, _Writer(floor_engine) as theirs:
            for chunk in pool.imap(_with_tokens, chunks):
                for one in chunk:
                    one |= {"owner_id": who["people"][one["owner"]] if one["owner"] is not None else None,
                            "department_id": who["departments"][one["department"] - 1], "created_by_id": who["people"][0], "version": 1,
                            "changed_by_id": who["people"][0]}  # fmt: skip
                own.write("crm_client", columns, ([one.get(name) for name in columns] for one in chunk))
                mark = "" if own.sqlite else " mcrm_client"
                own.write(
                    "core_search",
                    ["id", "record_id", "tokens"],
                    ([base + one["id"], one["id"], own.vector(one["tokens"] + mark)] for one in chunk),
                )
                theirs.write(
                    "client",
                    floor_tables.COLUMNS,
                    ([*(one.get(name) for name in floor_tables.COLUMNS[:-1]), theirs.vector(one["tokens"])] for one in chunk),
                )
            some = list(rows.contacts(count))
            stamp = {"is_primary": False, "version": 1, "created_at": rows.FIRST_DAY, "changed_at": rows.FIRST_DAY}
            names = ["id", "client_id", "name", "phones", "email", *stamp]
            own.write("crm_contact", names, ([*one.values(), *stamp.values()] for one in some))
            theirs.write("contact", ["id", "client_id", "name", "phones", "email"], ([*one.values()] for one in some))
            theirs.write("person", ["id", "name"], zip(who["people"], who["names"], strict=True))
        _finish(engine, held)
        floor_tables.finish(floor_engine)
    sys.stdout.write(json.dumps(who) + "\n")


def _take_indexes(engine: sa.Engine, table: str) -> list[str]:
    """Drop what a bulk load would keep up to date row by row; returns how to make it again."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            found = connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?", (table,)
            ).all()
        else:
            found = connection.exec_driver_sql(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname NOT IN (SELECT conname FROM pg_constraint)",
                (table,),
            ).all()
        for name, _words in found:
            connection.exec_driver_sql(f'DROP INDEX "{name}"')
    return [words for _name, words in found]


def _finish(engine: sa.Engine, held: dict[str, list[str]]) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET maintenance_work_mem = '512MB'")
        for words in (each for some in held.values() for each in some):
            connection.exec_driver_sql(words)
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("INSERT INTO core_search_fts (core_search_fts) VALUES ('rebuild')")
        else:
            for table in ("crm_client", "crm_contact"):
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            # As the house itself learns them at night.
            connection.exec_driver_sql(f"PRAGMA analysis_limit={LOOKED_AT}")
        connection.exec_driver_sql("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE")
        # On SQLite the house begins a transaction even here (`core.db`): what was learnt would be rolled back.
        connection.commit()


class _Writer:
    """Rows into the tables of one database: COPY on PostgreSQL, executemany on SQLite; one transaction a table and call."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self.sqlite = engine, engine.dialect.name == "sqlite"

    def __enter__(self) -> _Writer:
        self.held = self.engine.raw_connection()
        self.raw: Any = self.held.driver_connection
        if self.sqlite:
            self.raw.isolation_level = None
            self.raw.execute("PRAGMA query_only=OFF")
            self.raw.execute("PRAGMA foreign_keys=OFF")
            self.raw.execute("PRAGMA synchronous=OFF")
        else:
            self.raw.execute("SET session_replication_role = replica")
            self.raw.execute("SET synchronous_commit = off")
            self.raw.commit()
        return self

    def __exit__(self, *_problem: Any) -> None:
        self.held.invalidate()

    def vector(self, words: str) -> str:
        """Tokens as this database takes them: a tsvector's own text on PostgreSQL."""
        return words if self.sqlite else " ".join(f"'{word}'" for word in words.split())

    def write(self, table: str, columns: list[str], many: Any) -> None:
        """Write the rows."""
        names = ", ".join(columns)
        if self.sqlite:
            self.raw.execute("BEGIN IMMEDIATE")
            self.raw.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", ([_text(one) for one in row] for row in many)
            )
            self.raw.execute("COMMIT")
            return
        with self.raw.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in many:
                copy.write_row(row)
        self.raw.commit()


def _text(value: Any) -> Any:
    """A moment as SQLAlchemy writes it into SQLite."""
    if hasattr(value, "hour"):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat() if hasattr(value, "isoformat") else value


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
