"""What the tests share that ask the REST API what its own description allows, and what it does not: requests, answers, finds."""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from sqlalchemy import func, select, update

from core.accounts import FAILED
from core.context import system
from core.db import db
from core.journal import LOOKING, journal
from core.model import models
from core.people import MortiseUser
from core.testing import _copy_postgresql, generations, on_database
from tests.contract.values import fill
from tests.servers import drop_database

EXAMPLES = int(os.environ.get("MORTISE_FUZZ", 0))
"""Requests for each operation, of every operation: what `make fuzz` sets. Without it a sample is asked, another one each day."""
SEED = int(os.environ.get("MORTISE_FUZZ_SEED", 0)) or datetime.now(UTC).toordinal()
ADDONS = ("crm_client", "crm_case", "crm_tag", "law_case")
PERSONS = {
    "employee": ("Salesperson", "Case agent", "Lawyer", "Law clerk"),
    "administrator": (),
    "system_administrator": (),
}
"""Level: roles."""
CHECKED = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
IDS = [
    "0", "00", "-1", "1.0", "1e3", "x", "１", "%00", "2147483648", "9223372036854775807", "9223372036854775808", "9" * 40, "1%2F2",
    "%ED%A0%80",
]  # fmt: skip
WORDS = [
    "", " ", "\x00", "a\x00b", "榫卯", "%", "_", "'", '"', "\\", "-", "-id", "id,id", "__class__", "custom", "1e999999", "NaN",
    "0000-01-01", "10000-01-01", "9" * 40, "x" * 3000, "{", "[]", "null", '{"and": []}', '{"or": [{}]}',
    '{"field": "id", "op": "is", "value": 1e400}',
    '{"field": "id", "op": "in", "value": [9223372036854775808]}', '{"field": "id", "op": "is", "value": "' + "9" * 40 + '"}',
    '{"field": "name", "op": "contains", "value": "\\u0000"}', '{"field": "name", "op": "is", "value": "\\ud800"}',
    '{"and": [' * 900 + "]}" * 900, '{"not": ' * 60 + "{}" + "}" * 60,
]  # fmt: skip
BODIES = [
    "", "{", "[]", "1", "null", '"x"', "[" * 20_000, '{"a":' * 20_000, '{"version": NaN}', "\x00", "\ufeff{}", '{"name": "a", "name": "b"}',
]  # fmt: skip
PIECES = [
    "1e999999", "1e-999999", "-1e400", "NaN", "Infinity", "-Infinity", "9" * 400, "-" + "9" * 40, "9223372036854775808", "2147483648", "0",
    "-1", "1.5", "true", "false", "null", '""', '" "', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"1e99999999"', '"9e400"', '"NaN"', '"-0"',
    '"0000-01-01"', '"10000-01-01"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"0001-01-01"', '"9999-12-31"',
    '["\\u0000"]', '"2026-02-30"', '"' + "x" * 70_000 + '"', '"' + "9" * 5000 + '"', "[]", "{}", "[null]", "[1, 1]",
    "[9223372036854775808]", '{"a": 1, "a": 2}', "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, '"=1+1"', '"榫卯 🪚"',
    '"1"', '"yes"', "[[1]]", "1e2",
]  # fmt: skip
"""Values of JSON as text, some of which `json.dumps` would not write."""


OPERATORS = "is is_not contains starts in not_in lt le gt ge between empty not_empty has has_not within".split()
ODD = st.sampled_from([*WORDS[:20], True, None, 0, 1, -1, 2.5, 10**40, "2026-01-01", "2026-01-01T00:00:00Z", "yes", "me", "today"])


@dataclass
class Told:
    """What came of it."""

    operations: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    finds: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(kind of operation, what is wrong): who asked what and was answered how, each time."""

    def __str__(self) -> str:
        numbers = ", ".join(f"{code}: {count}" for code, count in sorted(self.answers.items()))
        return f"{self.operations} operations, {self.answers.total()} requests ({numbers}), {len(self.finds)} finds"

    def complain(self) -> str:
        """All finds, and how to see them again."""
        again = f"Again: MORTISE_FUZZ_SEED={SEED}" + (f" MORTISE_FUZZ={EXAMPLES}" if EXAMPLES else "")
        lines = [f"{name}: {what} ({len(times)} times)\n{times[0]}" for (name, what), times in self.finds.items()]
        return "\n\n".join([f"{len(self.finds)} finds. {again}", *lines])


def furnish() -> None:
    """Records of every addon and of core; half of those that somebody owns are the employee's."""
    for addon in ADDONS:
        fill(addon)
    employee = select(MortiseUser.id).where(MortiseUser.username == "employee").scalar_subquery()
    with system("records for a test"):
        for model in models().values():
            table = model.__table__
            if "owner_id" in table.c:
                db.session.connection().execute(update(table).where(table.c.id % 2 == 1).values(owner_id=employee))
    db.session.commit()


@contextmanager
def copy_of(url: str, folder: Path) -> Iterator[None]:
    """The house on a copy of the database at ``url``, until the block ends: what one operation spoils, the next does not meet."""
    db.remove()
    assert db.engine is not None
    db.engine.dispose()
    if url.startswith("sqlite"):
        place = folder / "copy.db"
        with sqlite3.connect(url.removeprefix("sqlite:///")) as source, sqlite3.connect(place) as target:
            source.backup(target)
            target.execute("INSERT OR REPLACE INTO core_state (name, value) VALUES ('generation', ?)", (next(generations),))
        source.close(), target.close()
        with on_database(f"sqlite:///{place}"):
            yield
        for ending in ("", "-wal", "-shm"):
            place.with_name(place.name + ending).unlink(missing_ok=True)
    else:
        copy = _copy_postgresql(url, "fuzz")
        with on_database(copy):
            yield
        drop_database(copy)


def operations(app: Any, person: Any) -> list[Any]:
    """All operations of the description as this person is given it."""
    load_all_checks()
    answer = person.get("/api/v1/_openapi")
    assert answer.status_code == 200
    spec = answer.json
    for path in spec["paths"].values():
        for operation in path.values():
            # A made-up token would be refused before anything is tried.
            operation.pop("security", None)
    loaded = schemathesis.openapi.from_dict(spec)
    loaded.app = app
    return [one.ok() for one in loaded.get_all_operations()]


def sample(all_of_them: list[Any], count: int, salt: str) -> list[Any]:
    """``count`` operations by the seed; each day others, all of them with `make fuzz`."""
    return all_of_them if EXAMPLES else random.Random(f"{SEED} {salt}").sample(all_of_them, min(count, len(all_of_them)))


def known_ids() -> dict[str, list[int]]:
    """The ids that are there, by table."""
    with system("looking at a test's rows"):
        found = {
            table: list(db.session.execute(select(model.__table__.c.id).limit(20), execution_options={"mortise_rules": False}).scalars())
            for table, model in models().items()
        }
    db.session.rollback()
    return found


def batched(found: list[Any], count: int) -> Iterator[list[Any]]:
    """``found`` by so many: each batch has a fresh copy of the database, which costs more on PostgreSQL than the requests of a few."""
    for place in range(0, len(found), count):
        yield found[place : place + count]


def ask(told: Told, person: Any, operation: Any, examples: int) -> None:
    """``examples`` requests of one operation: a third as the description says, a third against it, a third with malice."""
    told.operations += 1
    ids = known_ids()
    if not operation.path.endswith("/login"):
        address = re.sub(r"\{[^}]+\}", "1", operation.path.replace("{version}", "v1"))
        stranger = person.open(address, method=operation.method, headers={"Authorization": "Bearer x"})
        if stranger.status_code != 401:
            told.finds[f"{operation.label}", "open to strangers"] = [f"    {stranger.status_code}"]
    for way in WAYS:
        _ask(told, person, operation, max(examples // len(WAYS), 1), way, ids)


WAYS = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE, None)
"""As the description says, against it, and with malice."""


def _ask(told: Told, person: Any, operation: Any, examples: int, way: GenerationMode | None, ids: dict[str, list[int]]) -> None:
    mine, shares = ids.get(operation.path.split("/")[3], []) or [1], ids["core_share"] or [1]

    @seed(SEED)
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=way or GenerationMode.POSITIVE), st.data())
    def send(case: Any, data: Any) -> None:
        words = dict(case.as_transport_kwargs())
        words["headers"] = dict(words["headers"])
        words.pop("cookies", None)
        sent_as_made = way
        if "{id}" in operation.path and data.draw(st.integers(0, 3)):
            sent_as_made = None
            record, share = data.draw(st.sampled_from(mine)), data.draw(st.sampled_from(shares))
            words["path"] = operation.path.replace("{id}", str(record)).replace("{share_id}", str(share))
        if way is GenerationMode.POSITIVE and data.draw(st.integers(0, 3)):
            steer(words, operation, data, ids)
        if way is None:
            spoil(words, case, operation, data)
        check(told, person, operation, case, words, sent_as_made)

    # Against a description that asks for nothing there is nothing to send.
    with suppress(Unsatisfiable):
        send()


def trees(names: Any) -> Any:
    """Filters over fields of these names, as JSON."""
    leaf = st.fixed_dictionaries({"field": names, "op": st.sampled_from(OPERATORS), "value": ODD | st.lists(ODD, max_size=3)})
    tree = leaf | st.dictionaries(st.sampled_from(["and", "or", "not"]), st.lists(leaf, max_size=3), min_size=1, max_size=1)
    return tree.map(json.dumps)


def steer(words: dict[str, Any], operation: Any, data: Any, ids: dict[str, list[int]]) -> None:
    """Put names of fields, filters and ids that are there where the description can only say “text” or “a number”."""
    table = operation.path.split("/")[3]
    facts = operation.schema.raw_schema["components"]["schemas"].get(table, {}).get("properties", {})
    names = st.sampled_from(sorted(facts) or ["id"])
    query = words["query_string"] = {name: text for name, text in dict(words["query_string"]).items() if name not in ("after", "before")}
    for name in query:
        if name in ("order", "columns", "sums", "by"):
            before, after = {"order": ["", "-"]}.get(name, [""]), {"by": ["", "", ":month", ":year"]}.get(name, [""])
            parts = st.tuples(st.sampled_from(before), names, st.sampled_from(after)).map("".join)
            query[name] = ",".join(data.draw(st.lists(parts, min_size=1, max_size=3)))
        elif name == "filter":
            query[name] = data.draw(trees(names))
        elif name == "field":
            query[name] = data.draw(names)
        elif name == "verb":
            query[name] = data.draw(st.sampled_from(["read", "create", "edit", "delete", "import", "export", "bulk", "share", "transfer"]))
        elif name in ("record", "person"):
            query[name] = str(data.draw(st.sampled_from(ids.get(table if name == "record" else "ab_user") or [1])))
    for name, value in words["json"].items() if isinstance(words.get("json"), dict) else ():
        said = facts.get(name, {}).get("description", "").rpartition("Ids of ")[2].rstrip(".")
        there = ids.get(table if name == "ids" else said)
        if there:
            words["json"][name] = [data.draw(st.sampled_from(there))] if isinstance(value, list) else data.draw(st.sampled_from(there))


def spoil(words: dict[str, Any], case: Any, operation: Any, data: Any) -> None:
    """Put something nasty into one place of the request."""
    names = [one.name for one in operation.query]
    places = [*(["path"] if "{" in operation.path else []), *(["query"] if names else []), *(["body"] * 3 if operation.body else [])]
    place = data.draw(st.sampled_from(places or ["query"]))
    if place == "path":
        parts = [data.draw(st.sampled_from(IDS)) if one.startswith("{") else one for one in operation.path.split("/")]
        words["path"] = "/".join(parts)
    elif place == "query":
        name = data.draw(st.sampled_from([*names, "unknown"]))
        words["query_string"] = f"{name}={quote(data.draw(st.sampled_from(WORDS)))}"
    else:
        words.pop("json", None)
        words["headers"]["Content-Type"] = "application/json"
        body = case.body if isinstance(case.body, dict) else {}
        known = _properties(operation)
        text = {name: json.dumps(value) for name, value in body.items()}
        for name in data.draw(st.lists(st.sampled_from(known or ["name"]), min_size=1, max_size=2)):
            text[name] = data.draw(st.sampled_from(PIECES))
        whole = "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in text.items()) + "}"
        words["data"] = data.draw(st.sampled_from([whole] * 9 + [data.draw(st.sampled_from(BODIES))])).encode("utf-8", "replace")


def _properties(operation: Any) -> list[str]:
    for one in operation.body:
        found = one.definition.get("schema", {})
        name = found.get("$ref", "").rpartition("/")[2]
        schemas = operation.schema.raw_schema["components"]["schemas"]
        return sorted(schemas.get(name, found).get("properties", {}))
    return []


def written() -> int:
    """How many changes the journal tells. That somebody looked, or typed a wrong password, is none."""
    return db.session.execute(select(func.count()).where(journal.c.verb.not_in((*LOOKING, FAILED)))).scalar_one()


def check(told: Told, person: Any, operation: Any, case: Any, words: dict[str, Any], way: GenerationMode | None) -> None:
    """Send it, and note what is wrong with the answer."""
    before = written()
    answer = person.open(**words)
    told.answers[answer.status_code] += 1
    checks = [*CHECKED, *(["negative_data_rejection"] if way is GenerationMode.NEGATIVE else [])]
    wrong: list[str] = []
    try:
        case.validate_response(answer, checks=[CHECKS.get_one(name) for name in checks])
    except* Exception as problems:
        wrong = [f"{type(one).__name__}: {one}" for one in problems.exceptions]
    text = answer.get_data(as_text=True) if answer.mimetype == "application/json" else ""
    if answer.status_code >= 400:
        if written() != before:
            wrong.append("Written: what is refused has changed something")
        if text and not str(json.loads(text).get("message", "")).endswith((".", "。")):
            wrong.append("Sentence: the message is none")
    if isinstance(words.get("json"), dict) and not all(str(each).isprintable() for each in words["json"].values()):
        # Text is freed of what nobody sees before it is measured.
        wrong = [one for one in wrong if "violates `maxLength`" not in one]
    for one in wrong:
        sent = {name: value for name, value in words.items() if name not in ("headers", "method")}
        name = f"{operation.method.upper()} /{'/'.join(['*', *operation.path.split('/')[4:]])}"
        kind = f"{answer.status_code} {one.splitlines()[0][:200]}"
        times = told.finds.setdefault((name, kind), [])
        times.append(f"    {person.called}: {operation.label} {str(sent)[:600]}\n    {one[:700]}\n    {text[:300]}")
