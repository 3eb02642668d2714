"""The doors of an addon: every screen and every address of its API answers an administrator, and is closed to a stranger."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from core.db import db
from core.model import fields_of
from core.records import records
from core.rules import EVERYONE, rules_of
from core.web.bulk_pages import may_edit_many
from core.web.lists import write_filter
from core.web.views import view_of
from tests.contract.addresses import pages, posts, resources, typed
from tests.contract.values import fill, make, value, values

SCREENS = {"listing", "columns", "new", "form", "delete", "bulk", "related", "history", "lookup", "rows", "printed", "list_printed"}
"""Every address of the generic screens; a new one has to be tried here too."""


NEEDS = {"/new": "create", "/delete": "delete", "/_export": "export", "/_import": "import"}
"""The right that an address asks for; the others ask for “read”."""


@pytest.fixture
def ids(app, addon):
    return fill(addon)


@pytest.fixture
def chief(login_as):
    return login_as("chief", level="administrator")


def test_all_addresses_of_the_screens_are_tried_here(app):
    there = {rule.endpoint.removeprefix("screens.") for rule in app.url_map.iter_rules() if rule.endpoint.startswith("screens.")}
    assert there == SCREENS


def test_every_screen_answers_an_administrator(addon, its_models, ids, chief):
    for model in its_models:
        table = model.__tablename__
        for url in pages(model, ids[table][0]):
            answer = chief.get(url)
            assert answer.status_code == 200, (url, answer.status_code)
            assert answer.get_data(), url
        assert chief.get(f"/{table}/new").status_code == (200 if view_of(model).may_create else 403)
        assert chief.post(f"/{table}/_columns", data={"columns": list(model.__fields__)[:2]}).status_code == 302
        assert chief.post(f"/{table}/_bulk", data={"action": "nothing", "ids": ids[table]}).status_code == 404
        assert [chief.post(f"/{table}/{one}_printed").status_code for one in ("", f"{ids[table][0]}/")] == [200, 200]
        answer = chief.post(f"/{table}/_edit", data={"_ids": ids[table]})
        assert answer.status_code == (200 if may_edit_many(view_of(model)) else 403), (table, answer.status_code)


def test_every_field_can_be_shown_sorted_and_filtered_by(its_models, ids, chief):
    for model in its_models:
        table = model.__tablename__
        shown = [one for one in fields_of(model).values() if not (one.hidden or one.sensitive)]
        leaves = [{"field": one.name, "op": "not_empty"} for one in shown if "not_empty" in one.kind.ops]
        leaves += [{"field": one.name, "op": "is", "value": value(one, 1)} for one in shown if "is" in one.kind.ops and not one.system]
        answer = chief.get(f"/{table}/", query_string={"filter": write_filter({"or": [{"and": leaves}, *leaves]})})
        assert answer.status_code == 200, table
        assert chief.post(f"/{table}/_columns", data={"columns": [one.name for one in shown]}).status_code == 302
        page = chief.get(f"/{table}/").get_data(as_text=True)
        for one in shown:
            assert one.title in page, (table, one.name)
            # What cannot be sorted by says so.
            answer = chief.get(f"/api/v1/{table}/?order=-{one.name}")
            assert answer.status_code in (200, 400), (table, one.name)
            assert answer.status_code == 200 or answer.json["message"].endswith(".")


def test_a_record_is_made_changed_and_deleted_on_the_screen(its_models, ids, chief):
    for model in its_models:
        table, view = model.__tablename__, view_of(model)
        if not view.may_create:
            continue
        answer = chief.post(f"/{table}/new", data=typed(model, 77))
        assert answer.status_code == 302, (table, answer.status_code, answer.get_data(as_text=True)[-3000:])
        where = answer.headers["Location"]
        assert chief.get(where).status_code == 200
        assert chief.post(where, data=typed(model, 78)).status_code == 302
        assert chief.post(f"{where}/delete").status_code == 302
        assert chief.get(where).status_code == 404


def test_every_resource_answers_an_administrator(its_models, ids, api_as):
    chief = api_as("boss", level="administrator")
    paths = chief.get("/api/v1/_openapi").json["paths"]
    for model in its_models:
        table = model.__tablename__
        for url in resources(model, ids[table][0]):
            answer = chief.get(url)
            assert answer.status_code == 200, (url, answer.json)
        assert {f"/api/v1/{table}/", f"/api/v1/{table}/{{id}}", f"/api/v1/{table}/_info"} <= set(paths)
        sent = values(model, 80)
        made = chief.post(f"/api/v1/{table}/", json=sent)
        assert made.status_code == 201, (table, made.json)
        url = made.headers["Location"]
        for name, given in sent.items():
            one = fields_of(model)[name]
            assert made.json["result"][name] == one.json(one.clean(given)), (table, name)
        changed = chief.put(url, json={**values(model, 81), "version": made.json["result"]["version"]})
        assert changed.status_code == 200, (table, changed.json)
        assert chief.put(url, json={**values(model, 82), "version": made.json["result"]["version"]}).status_code == 409
        assert chief.delete(url).status_code == 200
        assert chief.get(url).status_code == 404


def everybody(model):
    """What the addon's own rules open to everybody."""
    return {verb for one in rules_of(model) if one.role == EVERYONE for verb in one.verbs}


def stored(model):
    return db.session.execute(select(func.count()).select_from(model.__table__)).scalar()


def test_nobody_and_a_stranger_are_kept_out(its_models, ids, client, login_as, api_as):
    stranger, program = login_as("stranger"), api_as("stranger")
    for model in its_models:
        table, first, opened = model.__tablename__, ids[model.__tablename__][0], everybody(model)
        looked = [*pages(model, first), f"/{table}/new"]
        posted = posts(model, first)
        for url in looked:
            answer = client.get(url)
            assert answer.status_code == 302 and "/login/" in answer.headers["Location"], url
        for url in posted:
            assert client.post(url, data={}).status_code in (400, 401), url
        for url in resources(model, first):
            assert client.get(url).status_code == 401, url
        for url in looked:
            # What an addon opens to everybody is no secret; a related list is as open as the model that it lists.
            needs = next((verb for end, verb in NEEDS.items() if end in url), "read")
            if needs not in opened and not (needs == "delete" and "read" in opened) and not ("_related" in url and opened):
                assert stranger.get(url).status_code in (403, 404), url
        before = stored(model)
        for url in posted:
            if not opened:
                assert stranger.post(url, data=typed(model, 90)).status_code in (403, 404), url
        for url in resources(model, first):
            if "read" not in opened:
                assert program.get(url).status_code == 403, url
        if "create" not in opened:
            assert program.post(f"/api/v1/{table}/", json=values(model, 91)).status_code == 403
        if "edit" not in opened:
            assert program.put(f"/api/v1/{table}/{first}", json={}).status_code in (403, 404)
        if "delete" not in opened:
            assert program.delete(f"/api/v1/{table}/{first}").status_code in (403, 404)
        assert stored(model) == before


def test_an_id_is_never_given_twice(its_models, ids, chief):
    for model in its_models:
        newest = make(model, 40)
        number = newest.id
        records(model).delete(newest)
        db.session.commit()
        again = make(model, 41)
        assert again.id > number, model.__tablename__


def test_wrong_input_is_answered_in_a_sentence(its_models, ids, api_as):
    chief = api_as("boss", level="administrator")
    for model in its_models:
        table = model.__tablename__
        for body in ({"nothing_of_this_name": 1}, {name: {"a": [1]} for name in values(model, 1)}):
            answer = chief.post(f"/api/v1/{table}/", json=body)
            assert answer.status_code == 422 and answer.json["errors"], (table, answer.json)
            assert all(sentence.endswith((".", "。")) for sentence in answer.json["errors"].values()), answer.json["errors"]
        tree = json.dumps({"field": "nothing_of_this_name", "op": "is", "value": 1})
        assert chief.get(f"/api/v1/{table}/", query_string={"filter": tree}).status_code == 400
        assert chief.get(f"/api/v1/{table}/999999999").status_code == 404
