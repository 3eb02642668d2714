"""What can be reached at all, by whom, and what a request costs before it does its own work."""

import re
import tracemalloc

import pytest
from flask import Flask
from sqlalchemy import text

from core.db import db
from core.testing import statements
from core.web.api import Resource
from core.web.gate import NO_PERSON, PUBLIC


@pytest.fixture
def chief(login_as):
    return login_as("chief", level="administrator")


def test_no_page_of_flask_appbuilder_can_be_reached(app, chief):
    for rule in app.url_map.iter_rules():
        where = app.view_functions[rule.endpoint]
        where = getattr(where, "func", where)
        assert not where.__module__.startswith("flask_appbuilder"), f"{rule} is served by {where.__module__}"
    for url in ("/users/list/", "/roles/list/", "/resetmypassword/form", "/userinfo", "/lang/zh", "/swagger/v1", "/api/v1/menu/",
                "/static/appbuilder/js/ab.js", "/back", "/permissionviews/list/", "/api/v1/security/users/", "/register/form"):  # fmt: skip
        assert chief.get(url, follow_redirects=True).status_code == 404, url


def test_everything_needs_somebody_signed_in(app, client):
    for rule in app.url_map.iter_rules():
        if rule.endpoint in NO_PERSON | PUBLIC:
            continue
        url = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in rule.methods - {"OPTIONS", "HEAD"}:
            answer = client.open(url, method=method)
            if answer.status_code == 302:
                assert answer.location.startswith("/login/"), (method, url)
            else:
                assert answer.status_code in (401, 404), (method, url, answer.status_code)


def test_no_permissions_are_written_for_flask_appbuilder(chief):
    chief.get("/crm_tag/")
    for table in ("ab_permission", "ab_view_menu", "ab_permission_view"):
        assert db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0


# -- cost -------------------------------------------------------------------------------------------------------------


def test_a_page_spends_few_statements_before_its_own(api_as, login_as, create_user, create):
    user = create_user("clerk", roles=["Law clerk"], department="North")
    create("law_matter", name="a", owner=user)
    for browser, url in ((login_as(user), "/law_matter/"), (api_as(user), "/api/v1/law_matter/")):
        browser.get(url)
        with statements() as ran:
            assert browser.get(url).status_code == 200
        own = next(at for at, one in enumerate(ran) if "FROM law_matter" in one)
        assert own <= 5, ran


def test_files_and_health_ask_no_database(client):
    with statements() as ran:
        with client.get("/static/favicon.svg") as file:
            assert file.status_code == 200
        assert client.get("/healthz").status_code == 200
    assert ran == []


def test_the_resource_of_a_model_takes_little_memory(app):
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    spare = Flask("spare")
    kept = []
    for number in range(50):
        made = type(f"R{number}", (Resource,), {"model": type("M", (), {"__tablename__": f"t{number}"})})()
        spare.register_blueprint(made.create_blueprint(None))
        kept.append(made)
    spent = (tracemalloc.get_traced_memory()[0] - before) / 50
    tracemalloc.stop()
    assert spent < 120_000
