"""The floor: the same rows by hand-written SQL, a pool and one compiled template — what one Python process can reach.

No ORM, no rights, no translation, no menu of one's own. Served by gunicorn like the house: `gunicorn tests.bench.floor:app`,
with the database's address in MORTISE_FLOOR_URL.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from flask import Flask, Response, g, redirect, request, session
from jinja2 import Environment

from tests.bench.probe import keep

URL = os.environ["MORTISE_FLOOR_URL"]
SQLITE = URL.startswith("sqlite")
PAGE = 50
app = Flask(__name__)
app.secret_key = "bench only"
pages = Environment(autoescape=True)
LIST = pages.from_string(
    """<!doctype html><html><head><title>Clients</title></head><body>
<nav>{% for n in range(30) %}<a href="/m/{{ n }}">Menu {{ n }}</a>{% endfor %}</nav>
<p>{{ total }}</p><table><tbody>
{% for r in rows %}<tr class="row"><td><a href="/c/{{ r[0] }}">{{ r[1] }}</a></td>{% for v in r[2:] %}<td>{{ v }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></body></html>"""
)
FORM = pages.from_string(
    """<!doctype html><html><body><form method="post">
{% for v in row %}<label>{{ loop.index }}<input name="f{{ loop.index }}" value="{{ v }}"></label>
{% endfor %}<select name="owner">{% for s in people %}<option value="{{ s[0] }}">{{ s[1] }}</option>{% endfor %}</select></form>
<table>{% for c in contacts %}<tr class="row">{% for v in c %}<td>{{ v }}</td>{% endfor %}</tr>{% endfor %}</table></body></html>"""
)

SHOWN = "c.id, c.name, c.code, c.category, c.status, c.phones, p.name, c.changed_at"
ROWS = f"SELECT {SHOWN} FROM client c LEFT JOIN person p ON p.id = c.owner_id"
ORDERS = {
    "date": ("c.changed_at DESC, c.id DESC", "(c.changed_at, c.id) < (:at, :id)"),
    "name": ("c.title_key, c.id", "(c.title_key, c.id) > (:at, :id)"),
}
FOUND = "c.id IN (SELECT rowid FROM client_fts WHERE client_fts MATCH :words)" if SQLITE else "c.tokens @@ CAST(:words AS tsquery)"
ONE = "SELECT c.*, p.name FROM client c LEFT JOIN person p ON p.id = c.owner_id WHERE c.id = :id"
CONTACTS = "SELECT id, name, phones, email FROM contact WHERE client_id = :id"
PEOPLE = "SELECT id, name FROM person ORDER BY name LIMIT 200"
WRITTEN = ["name", "category", "source", "status", "phones", "owner_id"]
# One parameter has one type on PostgreSQL, wherever it stands.
NAME = "CAST(:name AS varchar)"
INSERT = (
    f"INSERT INTO client ({', '.join(WRITTEN)}, version, created_at, changed_at, title_key, tokens)"
    f" VALUES ({', '.join(':' + one for one in WRITTEN)}, 1, :now, :now, {NAME}, {NAME if SQLITE else f'to_tsvector({NAME})'}) RETURNING id"
)
UPDATE = "UPDATE client SET phones = :phones, version = version + 1, changed_at = :now WHERE id = :id RETURNING version"
AUDIT = "INSERT INTO audit (client_id, who, at, what) VALUES (:id, :who, :now, :what)"


def _connect() -> Any:
    if not SQLITE:
        # A generic plan of a search is a thousand times slower than one made for its words.
        options = "-c plan_cache_mode=force_custom_plan"
        return psycopg.connect(URL.replace("+psycopg", ""), autocommit=True, prepare_threshold=1, options=options)
    made = sqlite3.connect(URL.removeprefix("sqlite:///"), check_same_thread=False, isolation_level=None, timeout=30)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-32000", "mmap_size=268435456", "temp_store=MEMORY"):
        made.execute(f"PRAGMA {pragma}")
    return made


class Pool:
    """Eight connections, lent and given back."""

    def __init__(self) -> None:
        self.free: queue.LifoQueue[Any] = queue.LifoQueue()
        for _number in range(8):
            self.free.put(_connect())

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """One of them, for a block."""
        one = self.free.get()
        try:
            yield one
        finally:
            self.free.put(one)


pool = Pool()


def run(connection: Any, sql: str, **values: Any) -> list[Any]:
    """The rows of one statement."""
    if not SQLITE:
        for name in values:
            sql = sql.replace(f":{name}", f"%({name})s")
    began = time.perf_counter()
    found = connection.execute(sql, values).fetchall() if "INSERT INTO audit" not in sql else connection.execute(sql, values) and []
    if "ran" in g:
        g.ran.append((sql, values, time.perf_counter() - began))
    return found


def ask(sql: str, **values: Any) -> list[Any]:
    """The rows of one statement on a connection of its own."""
    with pool.connection() as connection:
        return run(connection, sql, **values)


@app.get("/login")
def login() -> str:
    """Whoever comes is let in."""
    session["uid"] = int(request.args["uid"])
    return "ok"


@app.before_request
def guard() -> Any:
    """Only who has been let in."""
    if "X-Probe" in request.headers:
        g.ran = []
    if "uid" not in session and request.path != "/login":
        return redirect("/login")
    return None


@app.after_request
def told(response: Response) -> Response:
    """Leave what ran for whoever wants to know."""
    if "ran" in g:
        keep(request.headers["X-Probe"], g.ran)
    return response


def _whose() -> tuple[str, dict[str, Any]]:
    """Whose rows: own ones, and those of one's departments."""
    args, ways, values = request.args, [], {}
    if mine := args.get("owner"):
        ways.append("c.owner_id = :owner")
        values["owner"] = int(mine)
    if places := args.get("departments"):
        ways.append(f"c.department_id IN ({','.join(str(int(one)) for one in places.split(','))})")
    return (f"({' OR '.join(ways)})" if ways else ""), values


@app.get("/list")
def lists() -> str:
    """A list: whose, filtered, searched, sorted, from a place on."""
    args = request.args
    whose, values = _whose()
    where = [whose] if whose else []
    for name in ("category", "source", "region"):
        if name in args:
            where.append(f"c.{name} = :{name}")
            values[name] = args[name]
    if "words" in args:
        where.append(FOUND)
        values["words"] = args["words"]
    sorting, beyond = ORDERS[args.get("order", "date")]
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    most = 1001 if "words" in args else 10_001
    total = ask(f"SELECT count(*) FROM (SELECT 1 FROM client c{condition} LIMIT {most}) t", **values)[0][0]
    if "id" in args:
        where.append(beyond if SQLITE or args.get("order") == "name" else beyond.replace(":at", "CAST(:at AS timestamp)"))
        values |= {"at": args["at"], "id": int(args["id"])}
        condition = f" WHERE {' AND '.join(where)}"
    rows = ask(f"{ROWS}{condition} ORDER BY {sorting} LIMIT {PAGE}", **values)
    return LIST.render(rows=rows, total=total)


@app.get("/group")
def group() -> str:
    """How many of each two values there are."""
    first, second = (name for name in request.args["by"].split(",") if name in ("source", "category", "region"))
    where, values = _whose()
    rows = ask(f"SELECT 0, {first}, {second}, count(*) FROM client c{where and f' WHERE {where}'} GROUP BY 2, 3 ORDER BY 2, 3", **values)
    return LIST.render(rows=rows, total=len(rows))


@app.get("/c/<int:i>")
def form(i: int) -> str:
    """One client with contacts and the people to choose from."""
    with pool.connection() as c:
        row, contacts, people = run(c, ONE, id=i)[0], run(c, CONTACTS, id=i), run(c, PEOPLE)
    return FORM.render(row=row, contacts=contacts, people=people)


@contextmanager
def _written() -> Iterator[Any]:
    with pool.connection() as c:
        if not SQLITE:
            with c.transaction():
                yield c
            return
        c.execute("BEGIN IMMEDIATE")
        yield c
        c.execute("COMMIT")


@app.post("/new")
def new() -> Any:
    """Make a client, with a line in the audit."""
    sent = {name: request.form.get(name) or None for name in WRITTEN}
    now = datetime.now(UTC).replace(tzinfo=None)
    stamp = now.isoformat(" ") if SQLITE else now
    with _written() as c:
        i = run(c, INSERT, **sent, now=stamp)[0][0]
        if SQLITE:
            c.execute("INSERT INTO client_fts (rowid, tokens) VALUES (?, ?)", (i, sent["name"]))
        run(c, AUDIT, id=i, who=session["uid"], now=stamp, what="create")
    return redirect(f"/c/{i}")


@app.post("/c/<int:i>")
def edit(i: int) -> Any:
    """Change a client's number, with a line in the audit."""
    now = datetime.now(UTC).replace(tzinfo=None)
    stamp = now.isoformat(" ") if SQLITE else now
    with _written() as c:
        run(c, UPDATE, id=i, phones=request.form["phones"], now=stamp)
        run(c, AUDIT, id=i, who=session["uid"], now=stamp, what="edit")
    return redirect(f"/c/{i}")
