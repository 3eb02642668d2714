"""The log of a working day: each line is JSON with the number of its request, and none holds a password, a token or a phone."""

import io
import json
import logging

import pytest

from core.logs import start_logging
from core.testing import PASSWORD, settle

PHONE, OTHER = "13912345678", "0571-87654321"


@pytest.fixture
def lines(app, monkeypatch):
    """What this process writes to its log, as parsed lines."""
    stream, before = io.StringIO(), logging.getLevelName(logging.getLogger().level)
    monkeypatch.setattr("sys.stderr", stream)
    start_logging("debug", "json")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    monkeypatch.undo()
    start_logging(before, "json")


def test_a_working_day_leaves_no_secret_in_the_log(lines, app, client, create_user, login_as, api_as, monkeypatch):
    create_user("li", level="administrator")
    # Signing in, wrongly and rightly, on the page and over the API.
    page = client.get("/login/").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    for password in (f"wrong {PASSWORD}", PASSWORD):
        client.post("/login/", data={"username": "li", "password": password, "csrf_token": token})
    program = app.test_client()
    tokens = program.post("/api/v1/security/login", json={"username": "li", "password": PASSWORD, "provider": "db", "refresh": True}).json
    program.post("/api/v1/security/login", data=f'{{"username": "li", "password": "{PASSWORD}"', content_type="application/json")
    program.headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    # Typing phone numbers where one types them: searches, filters, forms, addresses, wrong requests.
    browser = login_as("li")
    browser.get(f"/crm_client/?q={PHONE}")
    browser.post("/crm_client/new", data={"name": "Hua", "status": "signed", "phones": f"{PHONE}, {OTHER}", "code": "A1"})
    browser.post("/crm_client/new", data={"name": "Hua", "status": "signed", "phones": PHONE, "code": "A1"})
    browser.get(f"/crm_client/{PHONE}")
    browser.get(f"/{PHONE}/")
    program.get("/api/v1/crm_client/", query_string={"filter": json.dumps({"field": "phones", "op": "contains", "value": PHONE})})
    program.post("/api/v1/crm_client/", json={"name": "Yao", "phones": PHONE, "status": "none"})
    program.post("/api/v1/crm_client/", json={"name": "Yao", "phones": PHONE, "code": "A1"})
    program.get(f"/api/v1/crm_client/?{PHONE}=1")
    # A fault of ours tells its place and its number, not what was typed.
    monkeypatch.setattr("core.web.screens.list_page", lambda *_words: int(f"call {PHONE}"))
    broken = browser.get("/crm_client/")
    settle()
    told = lines()
    text = json.dumps(told, ensure_ascii=False)
    assert broken.status_code == 500 and broken.headers["X-Request-Id"] in broken.text
    (fault,) = [one for one in told if one["level"] == "error"]
    assert fault["request_id"] == broken.headers["X-Request-Id"] and "screens" in json.dumps(fault)
    requests = [one for one in told if one["event"] == "request"]
    assert len(requests) > 12 and all(one["request_id"] and one["path"] and one["status"] for one in requests)
    for secret in (PHONE, PHONE[2:], OTHER, "87654321", PASSWORD, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in text, [one for one in told if secret in json.dumps(one, ensure_ascii=False)]


def test_no_request_writes_a_line_of_its_own_into_the_log(lines, app, client, create_user, login_as):
    """Line feeds, quotes and escape signs in addresses, names and headers stay inside the one JSON line that they came with."""
    forged = '\n{"event": "sign-in", "user": "boss"}\r\n\x1b[31mred\x1b[0m\u2028"}'
    browser = login_as(create_user("li", level="administrator"))
    browser.get("/crm_client/", query_string={"q": forged})
    browser.get(f"/{forged}/")
    browser.get("/", headers={"User-Agent": 'x"}{"event": "sign-in'})
    browser.post("/crm_client/new", data={"name": forged, "code": "A1"})
    client.post("/api/v1/security/login", json={"username": forged, "password": "none of these", "provider": "db"})
    found = lines()  # each line is JSON by itself, or this raises
    assert len(found) >= 5 and all(isinstance(one, dict) and one["level"] and one["timestamp"] for one in found)
    assert not [one for one in found if one["event"] == "sign-in"] and not [one for one in found if one.get("user") == "boss"]
