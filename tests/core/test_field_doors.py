"""Rights to fields by chance, from code and from rows: each door shows, takes and refuses what the oracle says."""

from __future__ import annotations

import csv
import io
import json
import random
import re

import pytest
from sqlalchemy import select

from core.db import db
from core.explain import explain
from core.model import fields_of, model_of
from core.people import FieldRight, PersonalRight, RoleRow
from core.testing import both_databases
from tests.core.facts import NOW, SHAPES, code_closed, code_lines
from tests.core.kernel import model as model_named
from tests.core.oracle import Closed, Facts, Line, Personal, Row

pytestmark = pytest.mark.slow
ROLES = ("Law clerk", "Law partner", "Law guest")
FIELDS = {"Matter": ("name", "status", "amount"), "Opinion": ("name", "draft", "fee")}
VALUES = {"name": "Alpha", "status": "open", "amount": "271828.18", "draft": "Beta", "fee": "Gamma"}
NEW = {"name": "Alpha 2", "status": "closed", "amount": "7.50", "draft": "Beta 2", "fee": "Gamma 2"}


@pytest.fixture
def firm(app, create, create_user, seed):
    """Three people with roles by chance who may all do everything with their own records, and fields closed by chance."""
    dice = random.Random(seed)
    facts = Facts(SHAPES, NOW, code=code_lines(), code_closed=code_closed())
    made, logins = {}, {}
    for role in ROLES:
        row = db.session.scalars(select(RoleRow).where(RoleRow.name == role)).one()
        for name, fields in FIELDS.items():
            if dice.random() < 0.3:
                scopes = dice.choice(["none", "own"])
                create("core_role_right", role=row, model=f"law_{name.lower()}", verb="read", scopes=scopes)
                facts.matrix.append(Line(role, name, "read", {scopes}))
            for one in fields:
                if dice.random() < 0.5:
                    access = dice.choice(["hidden", "read_only", "open"])
                    create(FieldRight, role=row, model=f"law_{name.lower()}", field_name=one, access=access)
                    facts.closed.append(Closed(role, name, one, access))
    for place in range(3):
        roles = dice.sample(ROLES, dice.randint(min(place, 1), 2))
        user = create_user(f"person{place}", roles=roles)
        logins[user.id] = f"person{place}"
        facts.levels[user.id], facts.active[user.id], facts.roles[user.id] = "employee", True, set(roles)
        for name in FIELDS:
            for verb in ("read", "edit", "export", "create"):
                create(PersonalRight, user=user, model=f"law_{name.lower()}", verb=verb, scopes="own")
                facts.personal.append(Personal(user.id, name, verb, False, {"own"}))
            given = {one: VALUES[one] for one in FIELDS[name]}
            record = create(model_named(name), owner=user, **given)
            facts.rows.setdefault(name, {})[record.id] = Row(record.id, owner=user.id, author=user.id)
            made[user.id, name] = record.id
    db.session.commit()
    return facts, made, logins


def shows(text: str, one: str) -> bool:
    """Can the value of this field be read here?"""
    return re.search(re.escape(VALUES[one]), text.replace(",", "")) is not None


@both_databases
@pytest.mark.parametrize("seed", [2, 4, 5])
def test_every_door_keeps_to_the_rights_to_fields(app, firm, login_as, api_as, seed):
    facts, made, logins = firm
    asked = set()
    for (user, name), number in made.items():
        table = f"law_{name.lower()}"
        login = logins[user]
        browser, program = login_as(login), api_as(login)
        url = f"/{table}/{number}"
        browser.post(f"/{table}/_columns", data={"columns": list(FIELDS[name])})
        page, listed = browser.get(url).text, browser.get(f"/{table}/").text
        answer, told = program.get(f"/api/v1{url}").json["result"], program.get(f"/api/v1/{table}/").json["result"][0]
        file = browser.get(f"/{table}/_export")
        head = next(csv.reader(io.StringIO(file.get_data().decode("utf-8-sig"))))
        known = [one["name"] for one in program.get(f"/api/v1/{table}/_info").json["fields"]]
        for field in FIELDS[name]:
            access = facts.access(user, name, field)
            asked.add(access)
            seen, where = access != "hidden", (user, name, field, access)
            title = fields_of(model_of(table))[field].title
            assert (field in answer, field in told, field in known, title in head) == (seen,) * 4, where
            if field != "status":
                assert (shows(page, field), shows(listed, field), shows(file.text, field)) == (seen,) * 3, where
            assert bool(re.search(rf'<(input|select|textarea)[^>]*name="{field}"', page)) == (access == "open"), where
            expected = 200 if seen else 400
            for words in (
                {"filter": json.dumps({"field": field, "op": "is", "value": VALUES[field]})}, {"order": field}, {"columns": field},
            ):  # fmt: skip
                assert program.get(f"/api/v1/{table}/", query_string=words).status_code == expected, (where, words)
            tree = {"filter": json.dumps({"field": field, "op": "not_empty"})}
            assert browser.get(f"/{table}/_export", query_string=tree).status_code == expected, where
            if field == "status":
                assert program.get(f"/api/v1/{table}/_groups?by={field}").status_code == expected, where
            if field == "name" and name == "Matter":
                # The name is what a search looks through.
                assert bool(program.get(f"/api/v1/{table}/?q=Alpha").json["result"]) == seen, where
            for verb in ("read", "edit", "export"):
                told_why = program.get(f"/api/v1/{table}/_why", query_string={"record": number, "verb": verb, "field": field})
                may = facts.may_field(user, verb, name, facts.rows[name][number], field)
                record = db.session.get(model_named(name), number)
                assert explain(user, verb, record, field).allowed == may, (where, verb)
                if seen and verb != "export":
                    assert told_why.json["allowed"] == may, (where, verb)
            changed = program.put(f"/api/v1{url}", json={field: NEW[field]})
            assert changed.status_code == (200 if access == "open" else 422), (where, changed.json)
            browser.post(url, data={**{one: VALUES[one] for one in FIELDS[name]}, field: NEW[field]})
            db.session.expire_all()
            stored = str(getattr(db.session.get(model_named(name), number), field))
            assert stored in ({VALUES[field], NEW[field]} if access == "open" else {VALUES[field]}), where
            assert program.put(f"/api/v1{url}", json={field: VALUES[field]}).status_code == changed.status_code
    assert len(asked) > 1
