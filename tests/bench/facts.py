"""What the measuring process must know of a house before it begins: signed-in people, places deep in lists, words to look for.

`python -m tests.bench.facts` runs inside the installation and prints JSON. It also takes away what an earlier run has written.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import sqlalchemy as sa
from itsdangerous import URLSafeTimedSerializer

from tests.bench import load, rows

SEARCHES = {
    "rare term": rows.RARE,
    "common 科技": "科技",
    "common 有限": "有限",
    "two characters": "曜石",
    "five digits": "48271",
    "initials": "bjhd",
    "one character": "华",
    "three digits": "138",
    "two initials": "bj",
}
DEEP = 10_000
"""The page that is opened by its mark; in fewer rows the one in the middle."""


def main(count: int, who: dict[str, list[Any]], floor: str) -> dict[str, Any]:
    """The facts of this installation."""
    from core import accounts
    from core.app import create_app
    from core.config import load as settings
    from core.context import now
    from core.cursors import order_of, write_cursor
    from core.db import db
    from core.model import fields_of, model_of
    from core.options import options
    from core.search import _fts_words, _ts_words
    from core.search_words import question

    app = create_app(settings(log_level="error"))
    people = []
    with app.app_context():
        assert db.engine is not None
        # On SQLite a session that may write would keep others from writing.
        db.read_only()
        client = model_of("crm_client")
        with db.engine.begin() as connection:
            tidy(connection, count)
            table = accounts.SignInSession.__table__
            connection.execute(sa.delete(table))
            for place, user in enumerate(who["people"]):
                login = [*rows.PEOPLE, *load.sales()][place].login
                if login.startswith("sales"):
                    continue
                token, form = f"{user:043d}", f"{user:040d}"
                connection.execute(sa.insert(table).values(
                    id=accounts.session_key(token), user_id=user, data=json.dumps({"csrf_token": form}), created_at=now(), seen_at=now()
                ))  # fmt: skip
                signed = URLSafeTimedSerializer(str(app.secret_key), salt="wtf-csrf-token").dumps(form)
                people.append({"login": login, "id": user, "cookie": f"{app.config['SESSION_COOKIE_NAME']}={token}", "form": signed})
            share_some(connection, who)
        marks = {}
        table = client.__table__
        below = who["departments"][rows.DEPARTMENTS - 6 :]
        for name, order, where in (
            ("all", "-changed_at", sa.true()), ("all", "name", sa.true()), ("many", "-changed_at", table.c.department_id.in_(below)),
        ):  # fmt: skip
            steps = order_of(client, order)
            column = table.c.title_key if order == "name" else table.c.changed_at
            sorting = [column.asc(), table.c.id.asc()] if order == "name" else [column.desc(), table.c.id.desc()]
            total = count if name == "all" else int(count * rows.MANY)
            offset = min(DEEP * 50, total // 2) if name == "all" else min(DEEP, total // 2)
            with db.engine.connect() as connection:
                at = connection.execute(sa.select(column, table.c.id).where(where).order_by(*sorting).limit(1).offset(offset)).one()
            marks[f"{name} {order}"] = {"mark": write_cursor(client, steps, list(at)), "at": str(at[0]), "id": at[1]}
        words = _fts_words if db.is_sqlite else _ts_words
        known = fields_of(client)
        choices = {
            name: [one.key for one in options(known[name].choices or "")] for name in ("category", "source", "region") if name in known
        }
        db.remove()
        with db.engine.connect() as connection:
            mine = connection.execute(sa.select(table.c.id).where(table.c.owner_id == who["people"][2]).limit(200)).scalars().all()
        found = {
            "people": people, "marks": marks, "choices": choices, "mine": list(mine), "below": below,
            "searches": {name: {"text": text, "words": words(question(text).wanted)} for name, text in SEARCHES.items()},
        }  # fmt: skip
    engine = sa.create_engine(floor)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM client WHERE id > {count}")
        connection.exec_driver_sql("DELETE FROM audit")
    return found


def tidy(connection: sa.Connection, count: int) -> None:
    """Take away the clients that earlier runs have made, with their traces."""
    sqlite = connection.dialect.name == "sqlite"
    new = f"SELECT id FROM crm_client WHERE id > {count}"
    if sqlite:
        connection.exec_driver_sql(
            "INSERT INTO core_search_fts (core_search_fts, rowid, tokens)"
            f" SELECT 'delete', id, tokens FROM core_search WHERE record_id > {count}"
        )
    connection.exec_driver_sql(f"DELETE FROM core_search WHERE record_id > {count}")
    connection.exec_driver_sql("DELETE FROM core_journal WHERE model = 'crm_client'")
    connection.exec_driver_sql(f"DELETE FROM crm_client WHERE id IN ({new})")
    # Those that were claimed belong to nobody again.
    connection.exec_driver_sql(f"UPDATE crm_client SET owner_id = NULL WHERE id <= {rows.UNOWNED}")


def share_some(connection: sa.Connection, who: dict[str, list[Any]]) -> None:
    """Three clients of others are shared with each person who sees some rows but not all: as it is in any firm."""
    from core.people import Share

    table = Share.__table__
    connection.execute(sa.delete(table).where(table.c.model == "crm_client"))
    others = sa.text("SELECT id FROM crm_client WHERE department_id = :place AND owner_id > :last ORDER BY id LIMIT 9")
    known = {"place": who["departments"][4], "last": who["people"][len(rows.PEOPLE) - 1]}
    for place, record_id in enumerate(connection.execute(others, known).scalars()):
        user = who["people"][1 + place // SHARED]
        connection.execute(sa.insert(table).values(model="crm_client", record_id=record_id, access="read", user_id=user, version=1))


SHARED = 3

if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])) + "\n")
