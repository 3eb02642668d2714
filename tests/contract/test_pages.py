"""What a page costs and shows: few statements, the same for five records as for fifty, and every change at the next request."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core.db import db
from core.model import part_of
from core.people import MortiseUser, RoleRow
from core.rules import EVERYONE, VERBS, rules_of
from core.testing import statements
from tests.contract.values import fill, make, values

MOST = {"list": 12, "form": 12, "api list": 12, "api form": 12}


@pytest.fixture
def clerk(create_user, create):
    """An employee who may do everything by a role; that role gets its rights by `allow`."""
    return create_user("clerk", roles=["Contract"], department="North").id


@pytest.fixture
def allow(create, clerk):
    role_id = db.session.execute(select(RoleRow.id).where(RoleRow.name == "Contract")).scalar_one()

    def give(model, verbs=VERBS, scopes="all"):
        return [create("core_role_right", role_id=role_id, model=model.__tablename__, verb=verb, scopes=scopes).id for verb in verbs]

    return give


def cost(browser, url):
    """The statements of one page, after the process has seen it once."""
    assert browser.get(url).status_code == 200, url
    with statements() as found:
        assert browser.get(url).status_code == 200
    return found


def test_a_page_costs_few_statements_whatever_it_shows(addon, its_models, allow, login_as, api_as):
    fill(addon, 5)
    for model in its_models:
        allow(model)
    db.session.commit()
    clerk, program = login_as("clerk"), api_as("clerk")
    few, many = {}, {}
    for found in (few, many):
        for model in its_models:
            table = model.__tablename__
            newest = db.session.execute(select(model.id).order_by(model.id.desc()).limit(1)).scalar()
            urls = {"list": f"/{table}/", "form": f"/{table}/{newest}"}
            urls |= {f"api {kind}": f"/api/v1{url}" for kind, url in urls.items()}
            for kind, url in urls.items():
                found[table, kind] = cost(program if "api" in kind else clerk, url)
        if found is few:
            for model in its_models:
                for number in range(100, 145):
                    make(model, number)
            db.session.commit()
    for (table, kind), found in many.items():
        assert len(found) <= MOST[kind], "\n".join([table, kind, *(one.replace("\n", " ") for one in found)])
        assert len(found) <= len(few[table, kind]), (table, kind, found, few[table, kind])


def test_a_changed_right_row_or_field_shows_at_the_next_request(addon, its_models, allow, clerk, login_as, api_as):
    ids = fill(addon, 1)
    person, program, chief = login_as("clerk"), api_as("clerk"), api_as("chief", level="administrator")
    urls = {model: f"/api/v1/{model.__tablename__}/{ids[model.__tablename__][0]}" for model in its_models}
    closed = [model for model in its_models if not any(one.role == EVERYONE for one in rules_of(model))]
    for model in closed:
        assert program.get(urls[model]).status_code == 403
    for model in its_models:
        allow(model)
        # A part is seen with what it is a part of.
        if (link := part_of(model)) is not None and link.target not in its_models:
            allow(link.target, ("read", "edit"))
    for model, url in urls.items():
        table = model.__tablename__
        assert program.get(url).status_code == 200 and person.get(f"/{table}/{ids[table][0]}").status_code == 200
        # A row that somebody else has just written.
        title = model.title_field
        given = values(model, 55).get(title)
        if given is not None:
            assert chief.put(url, json={title: given}).status_code == 200
            assert program.get(url).json["result"][title] == model.__fields__[title].json(model.__fields__[title].clean(given))
            assert str(given) in person.get(f"/{table}/").get_data(as_text=True)
        # A field that the administrator has just made.
        made = chief.post("/api/v1/core_custom_field/", json={"model": table, "title": "Shoe size", "kind": "integer"})
        assert made.status_code == 201, made.json
        name = made.json["result"]["name"]
        assert program.get(url).json["result"][name] is None
        assert "Shoe size" in person.get(f"/{table}/{ids[table][0]}").get_data(as_text=True)
        assert program.put(url, json={name: 43}).status_code == 200
        assert program.get(url).json["result"][name] == 43
        assert chief.put(f"/api/v1/core_custom_field/{made.json['id']}", json={"hidden": True}).status_code == 200
        assert "Shoe size" not in person.get(f"/{table}/{ids[table][0]}").get_data(as_text=True)
    # Rights that are taken away, a record that is deleted, a person who is locked out.
    rights = chief.get("/api/v1/core_role_right/?limit=500").json["result"]
    for model, url in reversed(urls.items()):
        for right in rights:
            if right["model"] == model.__tablename__:
                assert chief.put(f"/api/v1/core_role_right/{right['id']}", json={"scopes": "none"}).status_code == 200
        if model in closed:
            assert program.get(url).status_code in (403, 404)
            assert person.get(f"/{model.__tablename__}/").status_code == 403
        if chief.delete(url).status_code == 200:
            assert chief.get(url).status_code == 404 and program.get(url).status_code in (403, 404)
    assert chief.put(f"/api/v1/{MortiseUser.__tablename__}/{clerk}", json={"active": False}).status_code == 200
    assert program.get("/api/v1/_openapi").status_code == 401
    assert person.get("/").status_code == 302
