"""Made-up people, rights and records: the same facts written into the database and told to the oracle."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, inspect, select, text

from core.db import db
from core.model import FabModel
from core.people import Department, FieldRight, MortiseUser, PersonalRight, Post, RoleRight, RoleRow, Share, Team, assoc_user_role
from core.rules import lines_by_model, model_key, roles_of_code
from core.state import core_state
from tests.core.kernel import model
from tests.core.oracle import Closed, Facts, Line, Opened, Personal, Row, Shape

NOW = datetime(2026, 5, 4, 9, 30)
SHAPES = {
    one.name: one
    for one in (
        Shape("Court"), Shape("Topic"), Shape("Matter", owned=True), Shape("Step", part_of="Matter"), Shape("Paper", part_of="Step"),
        Shape("Bill", owned=True, part_of="Matter"), Shape("Deed"), Shape("Letter", owned=True, open_to_team=True), Shape("Memo"),
        Shape("Vault"), Shape("MatterHalf", half_of="Matter"), Shape("Opinion", owned=True),
    )
}  # fmt: skip
WHOLE = {"Step": "matter_id", "Paper": "step_id", "Bill": "matter_id", "Deed": "matter_id"}
VERBS = ("read", "create", "edit", "delete", "transfer")
SCOPES = ("own", "department", "below", "team", "all", "none")
MORE_VERBS = (*VERBS, "export", "print", "share", "sign", "seal")
"""With those that programs and screens ask less often, and those that an addon has added."""
FIELDS = {
    "Matter": ("name", "status", "amount", "owner"), "Opinion": ("name", "draft", "fee", "department"), "Memo": ("name",),
    "Step": ("title", "matter"), "Bill": ("name", "owner"), "Letter": ("name",), "MatterHalf": ("name", "status"),
}  # fmt: skip
ROLES = ("Law clerk", "Law partner", "Law guest", "Everyone")
LINK = Team.members.property.secondary


def code_lines() -> list[Line]:
    """The rules that the code of the law office states, with the default scopes that DESIGN and SPINE name."""
    every = [
        ("Everyone", "Court", "read", "all", False), ("Everyone", "Topic", "read", "all", False),
        ("Law clerk", "Matter", "read create edit", "own", True),
        ("Law partner", "Matter", "read create edit delete", "below team", True),
        ("Law clerk", "Step", "read create edit delete", "parent", False),
        ("Law partner", "Step", "read create edit delete", "parent", False),
        ("Law clerk", "Paper", "read create", "parent", False),
        ("Law clerk", "Bill", "read create edit", "own department", False),
        ("Law partner", "Bill", "read create edit delete", "below", False),
        ("Law partner", "Deed", "read create", "all", False), ("Law clerk", "Letter", "read create edit", "all", False),
        ("Law clerk", "Memo", "read create edit delete", "own", False), ("Law partner", "Memo", "read", "all", True),
        ("Law guest", "MatterHalf", "read", "all", False), ("Law clerk", "Opinion", "read edit sign", "own", True),
        ("Law partner", "Opinion", "read edit sign seal", "below team", False),
        ("Law partner", "Opinion", "export print", "own", False), ("Law guest", "Opinion", "read", "department", True),
    ]  # fmt: skip
    return [Line(role, name, verb, set(scopes.split()), shared) for role, name, verbs, scopes, shared in every for verb in verbs.split()]


def code_closed() -> list[Closed]:
    """The fields that the code of the law office closes."""
    every = [
        ("Law clerk", "draft", "hidden"), ("Law clerk", "fee", "read_only"), ("Law partner", "draft", "read_only"),
        ("Law guest", "draft", "hidden"), ("Law guest", "fee", "hidden"),
    ]  # fmt: skip
    return [Closed(role, "Opinion", name, access) for role, name, access in every]


def key(name: str) -> str:
    """How rights tables call a model."""
    return model_key(model(name))


def empty() -> None:
    """Take away everything that an earlier set of facts has written; only the roles of code are there again."""
    db.remove()
    with db.short() as connection:
        # Models that another file of this process has declared may have no tables here.
        there = set(inspect(connection).get_table_names())
        tables = [table for table in FabModel.metadata.tables.values() if table.name != "core_state" and table.name in there]
        if db.is_sqlite:
            connection.execute(text("PRAGMA defer_foreign_keys=ON"))
            for table in tables:
                connection.execute(table.delete())
        else:
            connection.execute(text(f"TRUNCATE {', '.join(table.name for table in tables)} RESTART IDENTITY"))
        connection.execute(insert(RoleRow.__table__), [{"name": role, "version": 1, "second_factor": False} for role in roles_of_code()])


def bump() -> None:
    """Let every process forget what it knows of the configuration."""
    with db.short() as connection:
        if not connection.execute(
            core_state.update().where(core_state.c.name == "generation").values(value=core_state.c.value + 1)
        ).rowcount:
            connection.execute(core_state.insert().values(name="generation", value=1))


def random_facts(seed: int, people: int = 6, records: int = 14) -> Facts:
    """A firm made by chance: every kind of fact in it, and nothing that a person would have thought of."""
    dice = random.Random(seed)
    facts = Facts(SHAPES, NOW, code=code_lines(), code_closed=code_closed())
    users = list(range(1, people + 1))
    for number in users:
        facts.levels[number] = dice.choice(["employee"] * 8 + ["administrator", "system_administrator"])
        facts.active[number] = dice.random() > 0.08
        facts.roles[number] = set(dice.sample(ROLES[:3], dice.choice([0, 1, 1, 1, 2, 3])))
    departments = list(range(1, 6))
    for number in departments:
        facts.parents[number] = dice.choice([None, *range(1, number)])
    facts.posts = [(user, place) for user in users for place in dice.sample(departments, dice.choice([0, 1, 1, 2]))]
    for number in range(1, 4):
        facts.teams[number] = set(dice.sample(users, dice.randint(0, 3)))
    seen: set[tuple[str, str, str]] = set()
    for _turn in range(dice.randint(0, 14)):
        role, name, verb = dice.choice(ROLES), dice.choice(list(SHAPES)), dice.choice(["read", "read", "read", *VERBS])
        if (role, name, verb) not in seen:
            seen.add((role, name, verb))
            facts.matrix.append(Line(role, name, verb, set(dice.sample(SCOPES, dice.randint(0, 3))), dice.random() < 0.5))
    moment = (None, NOW - timedelta(minutes=1), NOW + timedelta(minutes=1), NOW)
    for _turn in range(dice.randint(0, 8)):
        facts.personal.append(
            Personal(
                dice.choice(users), dice.choice(list(SHAPES)), dice.choice(["read", "read", *VERBS]), dice.random() < 0.4,
                set(dice.sample(SCOPES, dice.randint(0, 2))), dice.choice(moment),
            )
        )  # fmt: skip
    somebody: list[int | None] = [None, *users]
    for name in SHAPES:
        if SHAPES[name].half_of:
            continue
        facts.rows[name] = {}
        for number in range(1, records + 1):
            made = Row(number, author=dice.choice(somebody))
            if SHAPES[name].owned:
                made.owner, made.department = dice.choice(somebody), dice.choice([None, *departments])
            if name in WHOLE:
                made.whole = dice.randint(1, records)
            facts.rows[name][number] = made
    for _turn in range(dice.randint(5, 25)):
        whom = dice.choice(["user", "department", "team"])
        facts.shares.append(
            Opened(
                dice.choice(["Matter", "Matter", "Memo", "Bill", "Step"]), dice.randint(1, records), dice.choice(["read", "edit"]),
                until=dice.choice(moment), **{whom: dice.choice({"user": users, "department": departments, "team": [1, 2, 3]}[whom])},
            )
        )  # fmt: skip
    _more(facts, dice, users, departments, records)
    return facts


def _more(facts: Facts, dice: random.Random, users: list[int], departments: list[int], records: int) -> None:
    """Rights to fields, rights to the verbs of an addon, and shares that end at this very moment or just beside it."""
    moment = (None, NOW - timedelta(microseconds=1), NOW, NOW + timedelta(microseconds=1))
    for role in ROLES:
        for name, fields in FIELDS.items():
            for one in fields:
                if dice.random() < 0.15:
                    facts.closed.append(Closed(role, name, one, dice.choice(["hidden", "read_only", "open"])))
    for role in ROLES[:3]:
        for verb in ("sign", "export"):
            if dice.random() < 0.3:
                facts.matrix.append(Line(role, "Opinion", verb, set(dice.sample(SCOPES, dice.randint(0, 2))), dice.random() < 0.5))
    for _turn in range(dice.randint(0, 4)):
        facts.personal.append(
            Personal(
                dice.choice(users), dice.choice(["Opinion", "Matter", "MatterHalf"]), dice.choice(MORE_VERBS[5:]), dice.random() < 0.4,
                set(dice.sample(SCOPES, dice.randint(0, 2))), dice.choice(moment),
            )
        )  # fmt: skip
    for _turn in range(dice.randint(4, 12)):
        whom = dice.choice(["user", "department", "team"])
        facts.shares.append(
            Opened(
                "Opinion", dice.randint(1, records), "read", until=dice.choice(moment),
                **{whom: dice.choice({"user": users, "department": departments, "team": [1, 2, 3]}[whom])},
            )
        )  # fmt: skip


def write(facts: Facts) -> None:
    """Put the facts into the database, by plain inserts; what was there before goes."""
    empty()
    with db.short() as connection:

        def put(table: Any, rows: list[dict[str, Any]]) -> None:
            if rows:
                connection.execute(insert(table), rows)

        role_ids = dict(connection.execute(select(RoleRow.__table__.c.name, RoleRow.__table__.c.id)).all())
        put(MortiseUser.__table__, [
            {"id": one, "username": f"u{one}", "name": f"u{one}", "email": f"u{one}@example.com", "first_name": "", "last_name": "",
             "level": level, "active": facts.active[one], "must_change_password": False}
            for one, level in facts.levels.items()
        ])  # fmt: skip
        put(assoc_user_role, [{"user_id": one, "role_id": role_ids[role]} for one, roles in facts.roles.items() for role in roles])
        put(Department.__table__, [{"id": one, "name": f"d{one}", "parent_id": parent} for one, parent in facts.parents.items()])
        put(Post.__table__, [{"user_id": user, "department_id": place, "is_primary": False} for user, place in facts.posts])
        put(Team.__table__, [{"id": one, "name": f"t{one}"} for one in facts.teams])
        put(LINK, [{"left_id": one, "right_id": user} for one, members in facts.teams.items() for user in members])
        put(RoleRight.__table__, [
            {"role_id": role_ids[one.role], "model": key(one.model), "verb": one.verb, "scopes": " ".join(sorted(one.scopes)) or "none",
             "shared": one.shared} for one in facts.matrix
        ])  # fmt: skip
        put(FieldRight.__table__, [
            {"role_id": role_ids[one.role], "model": key(one.model), "field_name": one.field, "access": one.access} for one in facts.closed
        ])  # fmt: skip
        put(PersonalRight.__table__, [
            {"user_id": one.user, "model": key(one.model), "verb": one.verb, "denied": one.denied,
             "scopes": " ".join(sorted(one.scopes)) or "none", "until": one.until} for one in facts.personal
        ])  # fmt: skip
        put(Share.__table__, [
            {"model": key(one.model), "record_id": one.record, "access": one.access, "user_id": one.user,
             "department_id": one.department, "team_id": one.team, "until": one.until} for one in facts.shares
        ])  # fmt: skip
        for name, rows in facts.rows.items():
            put(model(name).__table__, [_columns(name, one) for one in rows.values()])
        if not db.is_sqlite:
            for table in (MortiseUser, Department, Team, *(model(name) for name in facts.rows)):
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table.__tablename__}', 'id'), 1000)"))
    bump()


def _columns(name: str, one: Row) -> dict[str, Any]:
    values: dict[str, Any] = {"id": one.id, "created_by_id": one.author, "version": 1}
    values["title" if name in ("Step", "Paper") else "name"] = f"{name} {one.id}"
    if SHAPES[name].owned:
        values |= {"owner_id": one.owner, "department_id": one.department}
    if name in WHOLE:
        values[WHOLE[name]] = one.whole
    if name == "Matter":
        values |= {"status": "new", "court_id": one.id}
    return values


def rules_stated() -> set[tuple[str, str, str]]:
    """(role, model key, verb) of every rule that code states, to see that `code_lines` has forgotten none."""
    return {(one.role, name, verb) for name, lines in lines_by_model.items() for one in lines for verb in one.verbs}
