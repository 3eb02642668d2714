"""Attacks from other sites: forged requests, a poisoned host, redirects that lead away, stolen cookies, pages in frames."""

import json
import re

import jwt
import pytest
from flask import Flask
from sqlalchemy import select

from core.app import flask_settings
from core.config import load
from core.db import db
from core.model import model_of
from core.testing import PASSWORD

SITE = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}


def tags():
    db.session.commit()
    return list(db.session.scalars(select(model_of("crm_tag").__table__.c.name)))


@pytest.fixture
def chief(login_as):
    return login_as("chief", level="administrator")


@pytest.fixture
def https(app):
    """The house as it stands behind TLS."""
    kept = dict(app.config)
    secure = flask_settings(load({}, data_dir=str(app.config["MORTISE"].data), https=True, secret_key="x" * 40))
    app.config.update({name: secure[name] for name in ("SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "PREFERRED_URL_SCHEME")})
    yield
    app.config.update(kept)


# -- forged requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; application/json", ""]
)
def test_json_in_a_form_of_another_site_changes_nothing(chief, kind):
    # A form of another site can send these without asking the browser; the cookie comes along when SameSite is not kept.
    for body in ('{"name": "b"}', 'name={"name": "b"}', '{"name": "b", "csrf_token": "x"}'):
        forged = chief.post("/api/v1/crm_tag/", data=body, content_type=kind, form_token=False, headers=SITE)
        assert forged.status_code == 400, (kind, body)
    # With the right token it is still no JSON.
    assert chief.post("/api/v1/crm_tag/", data='{"name": "b"}', content_type=kind).status_code in (400, 415)
    assert tags() == []


@pytest.mark.parametrize("token", ["", "x", "null", "undefined", "0" * 91, "\u00e9", "IjAi.x.y"])
def test_a_made_up_form_token_is_none(chief, token):
    sent = [{"headers": {"X-CSRFToken": token.encode("latin-1").decode("latin-1")}}, {"data": {"name": "b", "csrf_token": token}},
            {"query_string": {"csrf_token": chief.form_token}, "data": {"name": "b"}}]  # fmt: skip
    for more in sent:
        assert chief.post("/crm_tag/new", form_token=False, **more).status_code == 400, more
    assert tags() == []


def test_the_form_token_of_a_session_that_ended_is_worth_nothing(app, client, create_user, chief):
    create_user("li")
    client.post("/login/", data={"username": "li", "password": PASSWORD, "csrf_token": form_token(client.get("/login/"))})
    old = form_token(client.get("/account/password"))
    assert client.post("/logout/", data={"csrf_token": old}).status_code == 302
    fresh = form_token(client.get("/login/"))
    client.post("/login/", data={"username": "li", "password": PASSWORD, "csrf_token": fresh})
    for token in (old, fresh, chief.form_token):
        assert client.post("/logout/", data={"csrf_token": token}).status_code == 400
    assert client.get("/account").status_code == 200


def test_no_request_is_another_method_than_it_says(chief, api_as, create):
    number = create("crm_tag", name="a").id
    program = api_as("chief")
    words = {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE"}
    for url in (f"/api/v1/crm_tag/{number}", f"/api/v1/crm_tag/{number}?_method=DELETE"):
        assert program.get(url, headers=words).status_code == 200
        assert program.post(url, headers=words, json={"_method": "DELETE"}).status_code == 405
    assert chief.get(f"/crm_tag/{number}/delete?_method=POST&confirm=yes", headers=words).status_code == 200
    assert chief.post(f"/crm_tag/{number}", data={"_method": "DELETE", "name": "a"}, headers=words).status_code == 302
    for method in ("TRACE", "PATCH", "CONNECT", "PROPFIND", "FOO"):
        assert chief.open(f"/crm_tag/{number}", method=method, headers=SITE).status_code == 405, method
    assert tags() == ["a"]


def test_nobody_is_signed_in_by_another_site(app, client, create_user):
    create_user("mallory")
    typed = {"username": "mallory", "password": PASSWORD}
    for token in (None, "x", form_token(app.test_client().get("/login/"))):
        # The last one is good, but for the visitor cookie of another browser.
        forged = client.post("/login/", data={**typed, **({"csrf_token": token} if token else {})}, headers=SITE)
        assert forged.status_code == 302 and forged.location.startswith("/login/?")
        assert client.get("/account").status_code == 302
    assert client.post("/login/", data={**typed, "csrf_token": form_token(client.get("/login/"))}).location == "/"


def test_no_other_site_reads_answers(chief, api_as):
    program = api_as("chief")
    for url in ("/", "/crm_tag/", "/api/v1/crm_tag/", "/api/v1/_openapi", "/login/", "/nowhere"):
        for method in ("GET", "OPTIONS"):
            answer = (program if url.startswith("/api") else chief).open(
                url,
                method=method,
                headers={**SITE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-csrftoken"},
            )
            assert not [name for name in answer.headers.keys() if name.lower().startswith("access-control-")], (url, method)
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    # No function call around JSON, however it is asked for.
    assert program.get("/api/v1/crm_tag/?callback=steal").status_code == 400
    assert json.loads(program.get("/api/v1/crm_tag/").text)["result"] == []


# -- hosts and ways out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:localhost", "localhost:80@evil.example", "localhost/evil",
    "localhost:evil.example",
     "localhost, evil.example", "localhost\\evil", "localhost#x", "localhost?x", "127.0.0.1.evil.example", "[::1]evil", "localhost%00",
     "-", ""],
)  # fmt: skip
def test_a_poisoned_host_gets_no_page_and_no_link(client, host):
    for url in ("/login/", "/crm_tag/", "/api/v1/crm_tag/"):
        answer = client.get(url, headers={"Host": host})
        assert answer.status_code == 400 and "Location" not in answer.headers, (url, host)
        assert not re.search(r'(href|src|action)="[^"]*evil', answer.text)


def test_forwarded_names_are_not_believed_and_no_address_of_ours_is_absolute(client, chief, create):
    words = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Host": "evil.example", "X-Forwarded-Prefix": "/evil",
             "X-Original-URL": "/settings/", "X-Rewrite-URL": "/settings/", "X-Forwarded-For": "10.0.0.1"}  # fmt: skip
    answer = client.get("/crm_tag/", headers=words)
    assert answer.location == "/login/?next=/crm_tag/"
    for url in ("/", "/crm_tag/", "/account"):
        page = chief.get(url, headers=words)
        assert (
            page.status_code == 200 and "evil.example" not in page.text and not re.search(r'(href|src|action)="(https?:)?//', page.text)
        ), url
    made = chief.post("/api/v1/crm_tag/", json={"name": "a"}, headers=words)
    assert made.headers["Location"].startswith("/api/v1/crm_tag/")


AWAY = [
    "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "\\\\evil.example", "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)", "data:text/html,x", "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example",
    "/\r\nSet-Cookie: a=b",
    "evil.example", "@evil.example", "http:\\\\evil.example", "/\x00/evil.example", "/\u2028/evil.example", "//localhost@evil.example",
    "?x",
]  # fmt: skip


@pytest.mark.parametrize("wanted", AWAY)
def test_no_redirect_leads_away(client, create_user, chief, wanted):
    create_user("li")
    token = form_token(client.get("/login/", query_string={"next": wanted}))
    entered = client.post("/login/", data={"username": "li", "password": PASSWORD, "csrf_token": token, "next": wanted})
    assert entered.status_code == 302 and at_home(entered.location), entered.location
    assert at_home(client.get("/login/", query_string={"next": wanted}).location)
    for url, name, data in (
        ("/crm_tag/new", "_next", {"name": "a"}), ("/crm_tag/_columns", "next", {}), ("/crm_tag/_bulk", "next", {"action": "delete"}),
        ("/undo/99999", "next", {}), ("/account/preferences", "next", {"density": "compact"}),
    ):  # fmt: skip
        answer = chief.post(url, data={**data, name: wanted})
        assert at_home(answer.headers.get("Location", "/")), (url, answer.headers.get("Location"))


def at_home(location):
    """Whether a browser stays with us: it drops tabs and line ends, and reads \\ as /."""
    seen = re.sub(r"[\t\r\n]", "", location).strip().replace("\\", "/")
    return seen.startswith("/") and not seen.startswith("//")


@pytest.mark.parametrize(
    "path", ["//evil.example", "//evil.example/..", "///evil.example/x", "/%2f/evil.example", "/%5cevil.example", "/.//evil.example"]
)
def test_a_path_that_looks_like_a_host_leads_nowhere(app, chief, path):
    words = {"PATH_INFO": path.replace("%2f", "/").replace("%5c", "\\"), "RAW_URI": path, "REQUEST_URI": path}
    for method in ("GET", "POST"):
        answer = chief.open("/", method=method, environ_overrides=words)
        assert answer.status_code in (301, 302, 308, 400, 404, 405)
        assert at_home(answer.headers.get("Location", "/")) or answer.location.startswith("http://localhost/"), answer.location


# -- cookies and headers ----------------------------------------------------------------------------------------------


def test_behind_tls_the_cookie_is_bound_to_this_host_and_stays_on_https(app, https, create_user):
    create_user("li")
    browser = app.test_client()
    # As ProxyFix or the server would say it.
    secure = {"base_url": "https://localhost", "headers": {"Referer": "https://localhost/login/"}}
    page = browser.get("/login/", **secure)
    header = page.headers["Set-Cookie"]
    entered = browser.post("/login/", data={"username": "li", "password": PASSWORD, "csrf_token": form_token(page)}, **secure)
    assert entered.location == "/"
    left = browser.post("/logout/", data={"csrf_token": form_token(browser.get("/account/password", **secure))}, **secure)
    assert left.location == "/login/"
    for one in (header, entered.headers["Set-Cookie"], left.headers["Set-Cookie"]):
        assert one.startswith("__Host-mortise=") and "Domain" not in one, one
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in one.split(";")}, one
        assert len(one) < 4096
    assert entered.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    # A form of another site, with the cookie and even with the token, has another referrer.
    page = browser.get("/login/", **secure)
    forged = browser.post("/login/", data={"username": "li", "password": PASSWORD, "csrf_token": form_token(page)},
                          base_url="https://localhost", headers=SITE)  # fmt: skip
    assert forged.location.startswith("/login/?")


def test_leaving_takes_along_what_lies_in_the_browser(chief):
    left = chief.post("/logout/")
    assert left.headers["Clear-Site-Data"] == '"storage"'


ERRORS = [
    ("/nowhere/at/all", 404, {}), ("/law_vault/9", 404, {}), ("/file/9", 404, {}), ("/login/", 405, {"method": "DELETE"}),
    ("/crm_tag/new", 400, {"method": "POST"}),
    ("/crm_tag/?filter=%7B", 200, {}), ("/login/", 400, {"headers": {"Host": "evil.example"}}), ("/static/none.js", 404, {}),
    ("/crm_tag", 308, {}),
    ("/api/v1/crm_tag/9", 404, {}), ("/api/v1/nothing/", 404, {}), ("/healthz", 200, {}), ("/readyz", 503, {}), ("/favicon.ico", 200, {}),
]  # fmt: skip


@pytest.mark.parametrize(("url", "status", "how"), ERRORS)
def test_every_answer_forbids_frames_sniffing_foreign_scripts_and_keeping(chief, url, status, how):
    with chief.open(url, form_token=False, **how) as answer:
        assert answer.status_code in (status, 400), (url, answer.status_code)
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'" and policy["form-action"] == "'self'"
        assert "unsafe" not in str(policy) and "*" not in str(policy) and re.fullmatch(r"'self'( 'nonce-[\w-]{22}')?", policy["script-src"])
        assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin" and "camera=()" in answer.headers["Permissions-Policy"]
        assert answer.headers["Cross-Origin-Opener-Policy"] == answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "no-store" in answer.headers["Cache-Control"] or url.startswith(("/static", "/favicon"))
        assert "Strict-Transport-Security" not in answer.headers, "without https nobody is told to come by https"


def test_a_nonce_is_used_once(chief):
    seen = [chief.get(url) for url in ("/", "/", "/crm_tag/", "/crm_tag/new", "/nowhere")]
    nonces = [re.findall(r"'nonce-([\w-]+)'", page.headers["Content-Security-Policy"]) for page in seen]
    for page, found in zip(seen, nonces, strict=True):
        assert set(re.findall(r'nonce="([^"]*)"', page.text)) <= set(found)
    flat = [one for found in nonces for one in set(found)]
    assert len(flat) == len(set(flat))


def test_forged_and_refused_requests_are_in_the_log(app: Flask, chief, login_as, caplog):
    clerk = login_as("clerk")
    with caplog.at_level("WARNING"):
        chief.post("/crm_tag/new", data={"name": "b"}, form_token=False)
        clerk.get("/law_vault/", headers={"X-Forwarded-For": "10.6.6.6", "X-Real-IP": "10.6.6.6", "Forwarded": "for=10.6.6.6"})
        app.test_client().get("/api/v1/crm_tag/")
    told = [record.msg for record in caplog.records if isinstance(record.msg, dict) and record.msg.get("event") == "refused"]
    assert [(one["code"], one["method"], one["path"]) for one in told] == [
        ("forged", "POST", "/crm_tag/new"), ("refused", "GET", "/law_vault/"), ("not_signed_in", "GET", "/api/v1/crm_tag/"),
    ]  # fmt: skip
    assert all(one["address"] == "127.0.0.1" and one["timestamp"].endswith("Z") for one in told) and told[1]["user_id"]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_token_of_another_kind_key_or_algorithm_is_none(app, client, create_user):
    create_user("li")
    typed = {"username": "li", "password": PASSWORD, "provider": "db", "refresh": True}
    given = client.post("/api/v1/security/login", json=typed).json
    header, body, sign = given["access_token"].split(".")
    claims = jwt.decode(given["access_token"], options={"verify_signature": False})
    none = jwt.encode(claims, None, algorithm="none")
    made = {
        "refresh": given["refresh_token"], "none": none, "none with a signature": none + sign, "unsigned": f"{header}.{body}.",
        "another key": jwt.encode(claims, "k" * 40, "HS256"),
        "another algorithm": jwt.encode(claims, app.config["JWT_SECRET_KEY"], "HS512"),
        "a key of its own": jwt.encode(claims, "k" * 40, "HS256", headers={"jku": "https://evil.example", "jwk": {"kty": "oct", "k": "a"}}),
        "raised": f"{header}.{jwt.encode({**claims, 'sub': '1'}, 'k' * 40, 'HS256').split('.')[1]}.{sign}",
    }  # fmt: skip
    for name, token in made.items():
        assert client.get("/api/v1/crm_tag/", headers={"Authorization": f"Bearer {token}"}).status_code == 401, name
    assert client.get("/api/v1/ab_user/", headers={"Authorization": f"Bearer {given['access_token']}"}).status_code == 200
    again = client.post("/api/v1/security/refresh", headers={"Authorization": f"Bearer {given['access_token']}"})
    assert again.status_code == 401, "an access token is no refresh token"


def form_token(page):
    """The form token of a page."""
    found = re.search(
        r'name="csrf_token"[^>]*value="([^"]+)"|content="([^"]+)"[^>]*name="csrf-token"|name="csrf-token"[^>]*content="([^"]+)"', page.text
    )
    assert found, page.text[:500]
    return next(filter(None, found.groups()))
