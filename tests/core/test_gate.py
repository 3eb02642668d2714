"""The way of a request: who asks, forms that come from elsewhere, one commit, safe headers, and errors as sentences."""

import json
import logging
import re
import threading
import time

import pytest
from flask import has_request_context
from sqlalchemy import event, select, text
from werkzeug.routing import Rule

from core import addons
from core.db import db
from core.errors import Conflict
from core.logs import hide_secrets
from core.model import model_of
from core.testing import both_databases
from core.web import health


def tags():
    db.session.commit()
    return list(db.session.scalars(select(model_of("crm_tag").__table__.c.name)))


@pytest.fixture
def chief(login_as):
    return login_as("chief", level="administrator")


# -- forms from elsewhere ---------------------------------------------------------------------------------------------


@both_databases
def test_a_cookie_alone_changes_nothing(chief, create):
    record = create("crm_tag", name="a")
    for method, url, sent in (
        ("POST", "/crm_tag/new", {"data": {"name": "b"}}),
        ("POST", f"/crm_tag/{record.id}/delete", {"data": {"confirm": "yes"}}),
        ("POST", "/api/v1/crm_tag/", {"json": {"name": "b"}}),
        ("PUT", f"/api/v1/crm_tag/{record.id}", {"json": {"name": "b"}}),
        ("DELETE", f"/api/v1/crm_tag/{record.id}", {}),
        ("POST", "/logout/", {}),
    ):
        refused = chief.open(url, method=method, form_token=False, **sent)
        assert refused.status_code == 400, (method, url)
        assert "Load the page again" in (refused.json["message"] if url.startswith("/api/") else refused.text)
    assert tags() == ["a"]
    assert chief.post("/api/v1/crm_tag/", json={"name": "b"}).status_code == 201


def test_somebody_else_s_form_token_is_worth_nothing(chief, login_as):
    other = login_as("other")
    chief.form_token = other.form_token
    assert chief.post("/api/v1/crm_tag/", json={"name": "b"}).status_code == 400


def test_a_request_with_a_token_is_never_judged_by_its_cookie(app, chief, login_as):
    bad = chief.post("/api/v1/crm_tag/", json={"name": "b"}, headers={"Authorization": "Bearer nonsense"})
    assert bad.status_code == 401
    assert chief.get("/crm_tag/", headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert tags() == []


def test_a_form_whose_session_ended_is_told_so(client):
    for headers in ({}, {"HX-Request": "true"}):
        refused = client.post("/crm_tag/new", data={"name": "b"}, headers=headers)
        assert refused.status_code == 401 and "session has ended" in refused.text


# -- one transaction --------------------------------------------------------------------------------------------------


@both_databases
def test_a_get_cannot_write(app, chief, database):
    def careless():
        db.session.execute(text("UPDATE ab_role SET name = 'changed'"))
        return "written"

    with view(app, "GET", careless) as url:
        assert chief.get(url).status_code == 500
    db.session.commit()
    assert db.session.execute(text("SELECT count(*) FROM ab_role WHERE name = 'changed'")).scalar() == 0


@both_databases
def test_what_an_error_page_answers_is_not_saved(app, chief):
    def half():
        db.session.add(model_of("crm_tag")(name="half"))
        db.session.flush()
        return "not good", 422

    with view(app, "POST", half) as url:
        assert chief.post(url).status_code == 422
    assert tags() == []


@both_databases
def test_a_commit_that_fails_becomes_an_error_page(app, chief):
    def stubborn(_session):
        if has_request_context():
            raise Conflict("The very last moment.")

    def work():
        db.session.add(model_of("crm_tag")(name="late"))
        return "saved"

    event.listen(db.session.session_factory, "before_commit", stubborn)
    try:
        with view(app, "POST", work) as url:
            failed = chief.post(url)
    finally:
        event.remove(db.session.session_factory, "before_commit", stubborn)
    assert failed.status_code == 409 and "The very last moment." in failed.text and "saved" not in failed.text
    assert tags() == []


@both_databases
def test_no_update_is_lost_and_nothing_is_locked(app, api_as, create):
    program = api_as("chief", level="administrator")
    record_id = create("law_court", name="0").id
    db.session.commit()
    answers, spent = [], []

    def add_one():
        browser = app.test_client()
        browser.headers = program.headers
        for _ in range(10):
            started = time.perf_counter()
            while True:
                seen = browser.get(f"/api/v1/law_court/{record_id}").json["result"]
                done = browser.put(f"/api/v1/law_court/{record_id}", json={"name": str(int(seen["name"]) + 1), "version": seen["version"]})
                answers.append(done.status_code)
                if done.status_code != 409:
                    break
            spent.append(time.perf_counter() - started)

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(answers) <= {200, 409}
    db.session.commit()
    assert db.session.execute(select(model_of("law_court").__table__.c.name)).scalar_one() == "40"


def test_a_locked_database_is_503_and_not_a_crash(app, chief, monkeypatch):
    chief.get("/crm_tag/")
    blocker = db.engine.connect()
    blocker.exec_driver_sql("SELECT 1")  # BEGIN IMMEDIATE
    event.listen(db.engine, "checkout", impatient)
    try:
        refused = chief.post("/api/v1/crm_tag/", json={"name": "b"})
        assert refused.status_code == 503 and refused.json["error"] == "busy" and refused.headers["Retry-After"]
        assert chief.get("/api/v1/crm_tag/").status_code == 200
    finally:
        event.remove(db.engine, "checkout", impatient)
        blocker.close()


def impatient(connection, _record, _proxy):
    connection.execute("PRAGMA busy_timeout=50")


# -- what leaves ------------------------------------------------------------------------------------------------------


def test_every_answer_has_safe_headers(client, chief):
    for url in ("/login/", "/crm_tag/", "/nowhere/at/all", "/healthz", "/api/v1/crm_tag/"):
        response = (client if url in ("/login/", "/healthz") else chief).get(url)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff" and response.headers["Cache-Control"] == "no-store"
        assert re.fullmatch(r"[\w.-]{8,40}", response.headers["X-Request-Id"])


def test_pages_keep_to_their_own_policy(client, chief):
    for page in (client.get("/login/"), chief.get("/"), chief.get("/crm_tag/"), chief.get("/nowhere/at/all")):
        assert not re.search(r"<[^>]+\s(style|on\w+)=", page.text)
        assert not re.search(r"<script(?![^>]*\s(src=|type=\"application/json\"))", page.text) and "<style" not in page.text


def test_a_request_keeps_the_number_it_brings(client):
    assert client.get("/login/", headers={"X-Request-Id": "proxy-12345678"}).headers["X-Request-Id"] == "proxy-12345678"
    assert client.get("/login/", headers={"X-Request-Id": "a b<script>"}).headers["X-Request-Id"] != "a b<script>"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("127.0.0.1:8000", 200), ("192.168.1.7:8000", 200), ("[::1]:8000", 200), ("evil.example", 400),
        ("localhost.evil.example", 400),
    ],
)  # fmt: skip
def test_only_our_own_names_are_served(client, host, status):
    answer = client.get("/login/", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert "MORTISE_HOSTS" in answer.text


# -- errors -----------------------------------------------------------------------------------------------------------


def test_a_missing_page_is_told_to_people_and_to_programs(client, chief):
    page = chief.get("/nowhere/at/all")
    assert page.status_code == 404 and "There is no such page." in page.text and page.headers["X-Request-Id"] in page.text
    program = client.get("/api/v1/nothing/")
    assert program.status_code == 404 and set(program.json) == {"error", "message", "request_id"}
    assert chief.open("/login/", method="DELETE").status_code == 405
    assert chief.get("/no_such_table/").status_code == 404


@both_databases
def test_a_fault_of_ours_shows_its_number_and_nothing_else(app, chief, caplog):
    def broken():
        secret = "the inner works"
        raise RuntimeError(secret)

    with view(app, "GET", broken) as url, caplog.at_level(logging.ERROR):
        page = chief.get(url)
        program = chief.get(url, headers={"Accept": "application/json"})
    assert page.status_code == 500 and "inner works" not in page.text and "Traceback" not in page.text
    assert page.headers["X-Request-Id"] in page.text
    assert program.json["error"] == "unexpected" and "inner" not in program.text
    assert "inner works" in caplog.text


@both_databases
def test_what_the_database_refuses_becomes_a_sentence(app, chief, create):
    create("crm_tag", name="a")

    def run(statement):
        return db.session.connection().execute(statement)  # past the guard, as nothing but a fault of ours would go

    def twice():
        run(model_of("crm_tag").__table__.insert().values(name="a", colour="red", version=1))
        return "no"

    def empty():
        run(model_of("crm_tag").__table__.insert().values(name=None, colour="red", version=1))
        return "no"

    def orphan():
        run(model_of("law_step").__table__.insert().values(title="x", matter_id=999, version=1))
        db.session.commit()
        return "no"

    def huge():
        column = model_of("crm_tag").__table__.c.id
        run(select(column).where(column == 2**80)).all()
        return "no"

    for work, status, words in (
        (twice, 409, "the same Name"),
        (empty, 422, "is needed"),
        (orphan, 409, "record that this one needs is gone"),
        (huge, 400, "too large"),
    ):
        with view(app, "POST", work) as url:
            refused = chief.post(url, headers={"Accept": "application/json"})
        assert refused.status_code == status and words in refused.json["message"], (work.__name__, refused.text)
    assert tags() == ["a"]


def test_what_is_too_large_is_refused(app, chief):
    limit = app.config["MAX_CONTENT_LENGTH"]
    app.config["MAX_CONTENT_LENGTH"] = 1000
    try:
        refused = chief.post("/api/v1/crm_tag/", json={"name": "x" * 5000})
    finally:
        app.config["MAX_CONTENT_LENGTH"] = limit
    assert refused.status_code == 413 and refused.json["message"].startswith("This is too large")


def test_an_error_page_stands_without_the_database(app, chief, monkeypatch):
    def gone(*_args, **_kwargs):
        raise OSError("no database at all")

    monkeypatch.setattr(db.engine.pool, "connect", gone)
    page = chief.get("/crm_tag/")
    assert page.status_code == 500 and "<h1>" in page.text and page.headers["X-Request-Id"] in page.text


def test_garbage_is_answered_and_never_a_crash(app, client, chief):
    name = app.config["SESSION_COOKIE_NAME"]
    for value in ("v.", "v.x.y.z", "x" * 43, "x" * 3900, "\u00ff", "v." + "A" * 3000, "; ;", '"'):
        client.set_cookie(name, value)
        assert client.get("/crm_tag/").status_code == 302, value
        assert client.get("/login/").status_code == 200, value
    client.delete_cookie(name)
    for path in (
        "/%00", "/%ff", "/crm_tag/%00", "/%2e%2e/%2e%2e/etc/passwd", "/crm_tag/99999999999999999999999", "/crm_tag/-1", "/" + "a" * 3000,
        "/api/v1/%ff/", "/api/v1/crm_tag/%00", "/static/../../config.py", "/static/%2e%2e/app.py", "/file/99999999999999999999",
    ):  # fmt: skip
        assert chief.get(path).status_code in (404, 308), path
    for query in ("a=%ff", "order=%00", "q=%ff%fe", "filter=%7B", "page=-1", "limit=abc", "_next=//evil.example", "x" * 4000):
        assert chief.get(f"/crm_tag/?{query}").status_code in (200, 400), query
        assert chief.get(f"/api/v1/crm_tag/?{query}").status_code == 400 or query.startswith("q="), query
    for header in ({"Accept-Language": "\u00ff;q=x,,;"}, {"Accept": "x/y;q=z"}, {"If-Match": "x"}, {"Content-Type": "multipart/form-data"}):
        assert chief.get("/crm_tag/", headers=header).status_code == 200, header
        assert chief.post("/crm_tag/new", data=b"\xff\x00", headers=header).status_code in (400, 422), header


def test_a_part_of_a_page_sends_the_whole_page_to_the_sign_in(client):
    refused = client.get("/crm_tag/", headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/crm_tag/3"})
    assert refused.status_code == 401 and refused.headers["HX-Redirect"] == "/login/?next=/crm_tag/3"


def test_json_may_be_large_but_not_endless(chief):
    refused = chief.post("/api/v1/crm_tag/", data=b'{"name": "' + b"x" * (9 * 2**20) + b'"}', content_type="application/json")
    assert refused.status_code == 413 and refused.json["message"].endswith(".")


# -- addons, schema, health -------------------------------------------------------------------------------------------


@both_databases
def test_pages_of_a_sleeping_addon_are_404_at_the_next_request(chief, create):
    record = create("crm_tag", name="a")
    urls = ["/crm_tag/", "/crm_tag/new", f"/crm_tag/{record.id}", "/api/v1/crm_tag/"]
    assert [chief.get(url).status_code for url in urls] == [200] * 4
    addons.disable("crm_tag")
    assert [chief.get(url).status_code for url in urls] == [404] * 4
    assert chief.post("/crm_tag/new", data={"name": "b"}).status_code == 404
    addons.enable("crm_tag")
    assert [chief.get(url).status_code for url in urls] == [200] * 4
    assert tags() == ["a"]


def test_code_and_schema_that_differ_are_503_with_a_sentence_until_they_agree(app, client, chief, monkeypatch):
    found = {"sentence": "The database is older than the code; type: run.py migrate"}
    monkeypatch.setattr(health, "_compare", lambda: found["sentence"])
    monkeypatch.setattr(health, "LOOK_AGAIN_SECONDS", 0.0)
    health.look_again()
    try:
        for url in ("/", "/login/", "/crm_tag/", "/api/v1/crm_tag/"):
            refused = chief.get(url)
            assert refused.status_code == 503 and "run.py migrate" in refused.text
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json["migrations"].endswith("run.py migrate")
        assert answers(client, "/static/favicon.svg")
        found["sentence"] = None
        assert chief.get("/crm_tag/").status_code == 200
    finally:
        found["sentence"] = None
        health.look_again()


@both_databases
def test_health_is_told_part_by_part(client, database):
    assert client.get("/healthz").json == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 503 and ready.json["database"] == "ok" and "run.py jobs" in ready.json["jobs"]
    from core.context import now
    from core.jobs import core_heartbeat

    db.session.execute(core_heartbeat.insert().values(name="test", at=now(), pid=1))
    assert client.get("/readyz").json == {"status": "ok", "database": "ok", "migrations": "ok", "jobs": "ok", "disk": "ok"}


# -- log --------------------------------------------------------------------------------------------------------------


def test_passwords_and_phone_numbers_stay_out_of_the_log():
    harmless = {"path": "/crm_client/12", "ms": 12.5, "at": "2026-11-22T01:20:43.209267Z", "id": "04df8f49c5ee"}
    secret = {"event": "client 13800138000 saved", "password": "x", "access_token": "x", "phones": "x"}
    body = {"mobile": "x", "note": "call +86 138 0013 8000 or 010-88886666"}
    told = hide_secrets(None, "info", {**harmless, **secret, "body": body})
    text_of_it = json.dumps(told, ensure_ascii=False)
    assert "138" not in text_of_it and "8888" not in text_of_it and '"x"' not in text_of_it
    assert harmless.items() <= told.items()


# -- small means ---------------------------------------------------------------------------------------------------


def answers(browser, url):
    with browser.get(url) as response:
        return response.status_code == 200


class view:
    """A page that lives as long as the block: ``with view(app, "GET", work) as url``. Afterwards the addresses are what they were."""

    def __init__(self, app, method, work):
        self.app, self.method, self.work, self.kept = app, method, work, app.url_map

    def __enter__(self):
        made = self.app.url_map_class()
        made.converters = self.kept.converters
        for rule in [*(one.empty() for one in self.kept.iter_rules()), Rule("/made/for/a/test", endpoint="made", methods=[self.method])]:
            made.add(rule)
        self.app.url_map, self.app.view_functions["made"] = made, self.work
        return "/made/for/a/test"

    def __exit__(self, *_exc):
        self.app.url_map = self.kept
        del self.app.view_functions["made"]
