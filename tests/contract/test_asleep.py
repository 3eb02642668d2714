"""An addon that is off: nothing of it answers or runs, others go on working with their records, and on again nothing was lost."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from core import hooks
from core.addons import addons, dependants
from core.context import system
from core.db import db
from core.jobs import jobs, run_jobs
from core.model import fields_of, models
from core.records import records
from core.web.views import view_of
from tests.contract.addresses import pages, posts, resources, typed
from tests.contract.values import fill, make, rows, values


@pytest.fixture
def ids(app, addon):
    return fill(addon)


@pytest.fixture
def boss(login_as):
    return login_as("boss", level="system_administrator")


@pytest.fixture
def program(api_as, boss):
    return api_as("boss")


@pytest.fixture
def called(addon):
    """Names of the addon's hooks that were called."""
    found: list[str] = []

    def before(hook_name, hook_impls, kwargs):
        found.extend(f"{hook_name} of {one.plugin.addon}" for one in hook_impls if one.plugin.addon == addon)

    undo = hooks._manager.add_hookcall_monitoring(before, lambda outcome, hook_name, hook_impls, kwargs: None)
    yield found
    undo()


def switch(boss, addon, way):
    if way == "off":
        preview = boss.get(f"/settings/addons/{addon}/off")
        assert preview.status_code == 200
    assert boss.post(f"/settings/addons/{addon}/{way}").status_code == 302


def wake(boss, addon):
    for name in [addon, *dependants(addon)[::-1]]:
        switch(boss, name, "on")


def test_no_address_answers_while_it_is_off(addon, its_models, ids, boss, program):
    switch(boss, addon, "off")
    for model in its_models:
        table, first = model.__tablename__, ids[model.__tablename__][0]
        for url in [*pages(model, first), f"/{table}/new"]:
            assert boss.get(url).status_code == 404, url
        for url in (*posts(model, first), f"/{table}/_columns"):
            assert boss.post(url, data=typed(model, 5)).status_code == 404, url
        for url in resources(model, first):
            answer = program.get(url)
            assert answer.status_code == 404 and answer.json["error"] == "asleep", url
        assert program.post(f"/api/v1/{table}/", json=values(model, 6)).status_code == 404
        assert program.put(f"/api/v1/{table}/{first}", json={}).status_code == 404
        assert program.delete(f"/api/v1/{table}/{first}").status_code == 404
    tables = {model.__tablename__ for model in its_models}
    spec = program.get("/api/v1/_openapi").json
    assert not [path for path in spec["paths"] if path.split("/")[3] in tables]
    assert not [name for name in spec["components"]["schemas"] if name.split(".")[0] in tables]
    for url in ("/", "/new", "/settings/", "/account"):
        page = boss.get(url).get_data(as_text=True)
        assert not [table for table in tables if f'"/{table}/' in page], url
    wake(boss, addon)
    for model in its_models:
        assert boss.get(f"/{model.__tablename__}/{ids[model.__tablename__][0]}").status_code == 200
        assert program.get(f"/api/v1/{model.__tablename__}/").json["count"] >= 3


def test_its_fields_and_lists_are_gone_from_records_of_others(addon, bases, ids, boss, program):
    first = {model.__tablename__: program.get(f"/api/v1/{model.__tablename__}/?limit=1").json["result"][0]["id"] for model in bases}
    placed = {model.__tablename__: [one.name for one in model.__fields__.values() if one.addon == addon] for model in bases}
    lists = {one.__tablename__: [pair for pair in view_of(one).panel_links() if pair[0].addon == addon] for one in bases}
    switch(boss, addon, "off")
    for model in bases:
        table, url = model.__tablename__, f"/{model.__tablename__}/{first[model.__tablename__]}"
        page, info = boss.get(url).get_data(as_text=True), program.get(f"/api/v1/{table}/_info").json
        listed = boss.get(f"/{table}/").get_data(as_text=True)
        answer, schema = program.get(f"/api/v1{url}").json["result"], program.get("/api/v1/_openapi").json["components"]["schemas"][table]
        for name in placed[table]:
            assert name not in answer and name not in schema["properties"] and name not in [one["name"] for one in info["fields"]]
            assert f"field-{name}" not in page and f'order={name}"' not in listed
            tree = json.dumps({"field": name, "op": "not_empty"})
            assert program.get(f"/api/v1/{table}/", query_string={"filter": tree}).status_code == 400
            assert program.put(f"/api/v1{url}", json={name: None}).status_code == 422
        for other, link in lists[table]:
            assert f"_related/{other.__tablename__}/" not in page
            assert boss.get(f"{url}/_related/{other.__tablename__}/{link.name}").status_code == 404
    wake(boss, addon)
    for model in bases:
        table = model.__tablename__
        assert set(placed[table]) <= set(program.get(f"/api/v1/{table}/{first[table]}").json["result"])


def test_others_go_on_working_and_nothing_of_it_is_touched(addon, bases, ids, boss, program, called):
    before = rows(addon)
    switch(boss, addon, "off")
    assert rows(addon) == before
    called.clear()
    for model in bases:
        table = model.__tablename__
        given = values(model, 60)
        made = program.post(f"/api/v1/{table}/", json=given)
        assert made.status_code == 201, made.json
        url = made.headers["Location"]
        assert program.put(url, json=values(model, 61)).status_code == 200
        assert boss.get(f"/{table}/{made.json['id']}").status_code == 200
        for kept in program.get(f"/api/v1/{table}/?limit=5").json["result"]:
            title = model.title_field
            changed = program.put(f"/api/v1/{table}/{kept['id']}", json={title: values(model, 62 + kept["id"])[title]})
            assert changed.status_code == 200, changed.json
        assert boss.post(f"/{table}/{made.json['id']}/delete").status_code == 302
        run_jobs(once=True)
    assert not called
    assert touched(rows(addon), before) == {}
    wake(boss, addon)
    if not recomputes(addon):
        assert touched(rows(addon), before) == {}


def touched(now, before):
    """{table: rows} of what was there and is different now; columns on tables of others come with the rows of others."""
    found = {}
    for table, stored in before.items():
        left = {row[0]: row for row in now[table]}
        wrong = [row for row in stored if left.get(row[0]) != row]
        if wrong:
            found[table] = wrong
    return found


def recomputes(addon):
    return any(hasattr(plugin, "addon_enabled") for plugin in hooks._manager.get_plugins() if plugin.addon == addon)


def test_what_it_links_to_is_deleted_as_if_it_were_awake(addon, bases, ids, boss, program):
    """What is needed stays, what is a part goes along, other links are cleared; and on again, every page opens."""
    switch(boss, addon, "off")
    for model in bases:
        for kept in program.get(f"/api/v1/{model.__tablename__}/?limit=5").json["result"]:
            answer = program.delete(f"/api/v1/{model.__tablename__}/{kept['id']}")
            assert answer.status_code in (200, 409, 422), answer.json
            if answer.status_code != 200:
                assert answer.json["errors"][""].endswith(".") if "errors" in answer.json else answer.json["message"].endswith(".")
    sleeping = rows(addon)
    wake(boss, addon)
    if not recomputes(addon):
        assert rows(addon) == sleeping
    for table, old in ids.items():
        there = {row["id"] for row in program.get(f"/api/v1/{table}/").json["result"]}
        for one in old:
            assert boss.get(f"/{table}/{one}").status_code == (200 if one in there else 404)


def test_its_jobs_wait_until_it_is_on_again(addon, app, ids, boss, clock, monkeypatch, login_as):
    done: list[str] = []
    own = [one for one in jobs().values() if one.addon == addon]
    for one in own:
        monkeypatch.setattr(one, "function", lambda _name=one.name, **_given: done.append(_name))
    run_jobs(once=True)
    done.clear()
    with system("a test queues jobs"):
        for one in own:
            one.later(**dict.fromkeys(one.signature.parameters, 1))
    db.session.commit()
    switch(boss, addon, "off")
    clock.advance(timedelta(days=40))
    run_jobs(once=True)
    assert not done
    wake(login_as("waker", level="system_administrator"), addon)
    run_jobs(once=True)
    assert set(done) == {one.name for one in own}


def test_dependants_fall_asleep_with_it_and_are_named_before(addon, boss, program):
    page = boss.get(f"/settings/addons/{addon}/off").get_data(as_text=True)
    for name in dependants(addon):
        assert addons()[name].title in page
    switch(boss, addon, "off")
    with system("looking"):
        for model in models().values():
            expected = 404 if model.addon in (addon, *dependants(addon)) else 200
            if model.addon in addons():
                assert program.get(f"/api/v1/{model.__tablename__}/").status_code == expected
    for name in dependants(addon):
        switch(boss, name, "on")
        assert all(program.get(f"/api/v1/{one.__tablename__}/").status_code == 200 for one in models().values() if one.addon == addon)


def test_searching_and_filtering_through_it_finds_nothing_while_it_is_off(addon, its_models, bases, ids, boss, program):
    links = [(model, one) for model in models().values() for one in model.__fields__.values()
             if one.target_table in ids and one.kind.name == "link" and model.addon != addon and one.addon != addon]  # fmt: skip
    switch(boss, addon, "off")
    for model, link in links:
        if model.addon not in dependants(addon) and link.name in fields_of(model):
            tree = json.dumps({"field": f"{link.name}.id", "op": "is", "value": 1})
            assert program.get(f"/api/v1/{model.__tablename__}/", query_string={"filter": tree}).status_code == 400
    with system("the house itself still reads them"):
        for model in its_models:
            assert records(model).count() >= 3
            assert make(model, 30).id
