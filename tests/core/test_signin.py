"""Signing in, staying signed in, and being signed out: through the form and through the API, on both databases."""

import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from core import accounts
from core.db import db
from core.journal import journal
from core.people import MortiseUser, SignInAttempt, SignInSession
from core.settings import set_setting
from core.testing import PASSWORD, both_databases


def form_token(response):
    return re.search(r'name="csrf_token" value="([^"]+)"', response.text)[1]


def enter(browser, login, password=PASSWORD, **more):
    page = browser.get("/login/")
    return browser.post("/login/", data={"username": login, "password": password, "csrf_token": form_token(page), **more})


def cookie(browser, app):
    return browser.get_cookie(app.config["SESSION_COOKIE_NAME"])


def sessions():
    db.session.commit()
    return db.session.scalars(select(SignInSession)).all()


@both_databases
def test_a_person_signs_in_and_out(app, client, create_user):
    create_user("li")
    done = enter(client, "li")
    assert done.status_code == 302 and done.location == "/"
    assert client.get("/").status_code == 200
    (row,) = sessions()
    token, user_id = cookie(client, app).value, row.user_id
    assert row.id == accounts.session_key(token) and token not in row.data
    client.form_token = form_token(client.get("/account/password"))
    assert client.post("/logout/").status_code == 302
    assert sessions() == []
    told = select(journal.c.verb, journal.c.door).where(journal.c.user_id == user_id).order_by(journal.c.id)
    verbs = db.session.execute(told).all()
    assert verbs == [("sign-in", "screen"), ("sign-out", "screen")]
    client.set_cookie(app.config["SESSION_COOKIE_NAME"], token)
    assert client.get("/").location.startswith("/login/")


@pytest.mark.parametrize("typed", [" wang ", "WANG", "wang@EXAMPLE.com", "Wang"])
def test_the_name_is_found_in_capitals_and_by_e_mail(client, create_user, typed):
    create_user("Wang")
    assert enter(client, typed).status_code == 302


def test_the_cookie_is_closed_to_scripts_and_other_sites(client, create_user):
    create_user("li")
    header = enter(client, "li").headers["Set-Cookie"]
    assert "HttpOnly" in header and "SameSite=Lax" in header and "Path=/" in header


def test_signing_in_changes_the_token_and_nothing_of_before_is_kept(app, client, create_user):
    create_user("li")
    client.get("/login/?language=zh_Hans")
    before, page = cookie(client, app).value, client.get("/login/")
    assert 'lang="zh-Hans"' in page.text
    enter(client, "li")
    first = cookie(client, app).value
    assert first != before
    assert 'lang="zh-Hans"' in client.get("/account/password").text  # the chosen language is what comes along
    old_form = form_token(page)
    assert client.post("/logout/", data={"csrf_token": old_form}).status_code == 400


def test_visitors_make_no_rows(client):
    for _ in range(3):
        client.get("/login/")
    assert sessions() == []


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ("/crm_tag/", "/crm_tag/"), ("/crm_tag/?q=1&order=-name", "/crm_tag/?q=1&order=-name"), ("//evil.example", "/"),
        ("https://evil.example/", "/"), ("/\\evil.example", "/"), ("javascript:alert(1)", "/"), ("/a\r\nSet-Cookie: x=1", "/"), ("", "/"),
    ],
)  # fmt: skip
def test_the_person_lands_where_he_wanted_to_go_if_it_is_ours(client, create_user, wanted, place):
    create_user("li")
    assert enter(client, "li", next=wanted).location == place


def test_a_page_asks_to_sign_in_and_remembers_itself(client):
    assert client.get("/crm_tag/?q=a").location == "/login/?next=/crm_tag/?q%3Da"


@both_databases
def test_wrong_passwords_and_unknown_names_are_told_alike(client, create_user):
    create_user("li")
    wrong, unknown = enter(client, "li", "not the one"), enter(client, "nobody", "not the one")
    assert wrong.status_code == unknown.status_code == 401
    sentence = "The user name or the password is not right."
    assert sentence in wrong.text and sentence in unknown.text
    assert enter(client, "li", "").status_code == 422


@both_databases
def test_the_pause_grows_with_each_failure_and_holds_for_the_right_password(app, client, create_user, clock):
    create_user("li")
    clock.set(clock.now())
    for _ in range(5):
        assert enter(client, "li", "wrong").status_code == 401
    waits = []
    for _ in range(4):
        refused = enter(client, "li")
        assert refused.status_code == 429
        waits.append(int(refused.headers["Retry-After"]))
        clock.advance(timedelta(seconds=waits[-1] + 1))
        assert enter(client, "li", "wrong").status_code == 401
    assert waits[0] <= 2 and waits == sorted(waits) and waits[-1] >= 4 * waits[0]
    clock.advance(timedelta(minutes=16))
    assert enter(client, "li").status_code == 302
    assert enter(app.test_client(), "li", "wrong").status_code == 401  # a success starts from nothing


def test_form_and_api_count_the_same_failures(client, create_user):
    create_user("li")
    for turn in range(5):
        if turn % 2:
            assert enter(client, "li", "wrong").status_code == 401
        else:
            assert client.post("/api/v1/security/login", json={"username": "li", "password": "wrong"}).status_code == 401
    refused = client.post("/api/v1/security/login", json={"username": "li@example.com", "password": PASSWORD})
    assert refused.status_code == 429 and refused.json["error"] == "too_many_tries" and refused.headers["Retry-After"]
    assert enter(client, "li").status_code == 429


def test_one_address_cannot_try_many_accounts(client, create_user):
    create_user("li")
    answers = [client.post("/api/v1/security/login", json={"username": f"u{turn}", "password": "wrong"}).status_code for turn in range(25)]
    assert answers[:20] == [401] * 20 and set(answers[20:]) == {429}
    assert enter(client, "li").status_code == 429


@both_databases
def test_tries_at_once_are_all_counted(app, create_user):
    create_user("li")
    db.session.commit()
    answers = []

    def attempt():
        browser = app.test_client()
        answers.append(browser.post("/api/v1/security/login", json={"username": "li", "password": "wrong"}).status_code)

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(set(answers)) == [401, 429] and answers.count(401) <= 6


def test_an_administrator_unlocks_an_account(client, create_user):
    create_user("li")
    for _ in range(5):
        enter(client, "li", "wrong")
    assert enter(client, "li").status_code == 429
    assert accounts.unlock("li") is True
    db.session.commit()
    assert enter(client, "li").status_code == 302
    assert {row.key for row in db.session.scalars(select(SignInAttempt))} == {"address:127.0.0.1"}


@both_databases
def test_a_session_ends_when_it_is_not_used_and_in_any_case_after_its_time(login_as, clock):
    browser = login_as("li")
    for _ in range(3):
        clock.advance(timedelta(minutes=100))
        assert browser.get("/").status_code == 200
    clock.advance(timedelta(minutes=121))
    assert browser.get("/").status_code == 302

    browser = login_as("li")
    for _ in range(120):
        clock.advance(timedelta(minutes=100))
        if browser.get("/").status_code != 200:
            break
    else:
        raise AssertionError("the session never ended")


def test_the_limits_are_settings(login_as, clock):
    set_setting("session.idle_minutes", 10)
    browser = login_as("li")
    clock.advance(timedelta(minutes=11))
    assert browser.get("/").status_code == 302


def test_use_is_written_at_most_once_a_minute(login_as, clock):
    clock.set(clock.now())
    browser = login_as("li")
    made = sessions()[0].seen_at
    clock.advance(timedelta(seconds=30))
    browser.get("/")
    assert sessions()[0].seen_at == made
    clock.advance(timedelta(seconds=31))
    browser.get("/")
    assert sessions()[0].seen_at > made


@both_databases
def test_a_new_password_ends_all_other_sessions_and_tokens(app, login_as, api_as, create_user):
    user = create_user("li")
    here, there, program = login_as("li"), login_as("li"), api_as("li")
    assert there.get("/").status_code == 200 and program.get("/api/v1/_openapi").status_code == 200
    before = cookie(here, app).value
    done = here.post("/account/password", data={"current": PASSWORD, "new": "another fine word", "again": "another fine word"})
    assert done.status_code == 302
    assert cookie(here, app).value != before
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 302
    assert program.get("/api/v1/_openapi").status_code == 401
    db.session.refresh(user)
    assert accounts.check_password(user.password, "another fine word") and "another" not in user.password


def test_a_closed_account_is_out_at_once_and_stays_out(login_as, api_as, client, create_user):
    user = create_user("li")
    browser, program = login_as("li"), api_as("li")
    user.active = False
    db.session.commit()
    assert browser.get("/").status_code == 302
    assert program.get("/api/v1/_openapi").status_code == 401
    assert enter(client, "li").status_code == 401
    db.session.get(MortiseUser, user.id).active = True
    db.session.commit()
    assert browser.get("/").status_code == 302
    assert enter(client, "li").status_code == 302


@pytest.mark.parametrize(
    ("current", "new", "again", "sentence"),
    [
        ("not it", "another fine word", "another fine word", "This is not your present password."),
        (PASSWORD, "short", "short", "at least 10 characters"),
        (PASSWORD, "aaaaaaaaaaaa", "aaaaaaaaaaaa", "repeats itself"),
        (PASSWORD, "my name is liwei", "my name is liwei", "name of the account"),
        (PASSWORD, "qwertyuiop", "qwertyuiop", "easy to guess"),
        (PASSWORD, "Password123!", "Password123!", "easy to guess"),
        (PASSWORD, "1qaz2wsx3edc", "1qaz2wsx3edc", "easy to guess"),
        (PASSWORD, "a1b2c3d4e5", "a1b2c3d4e5", "easy to guess"),
        (PASSWORD, PASSWORD, PASSWORD, "choose another one"),
        (PASSWORD, "another fine word", "another find word", "differ"),
    ],
)
def test_a_bad_new_password_is_refused_with_a_sentence(login_as, create_user, current, new, again, sentence):
    user = create_user("liwei")
    done = login_as("liwei").post("/account/password", data={"current": current, "new": new, "again": again})
    assert done.status_code == 422 and sentence in done.text
    db.session.refresh(user)
    assert accounts.check_password(user.password, PASSWORD)


def test_a_given_password_has_to_be_changed_before_anything_else(client, create_user):
    create_user("li", must_change_password=True)
    assert enter(client, "li").location == "/account/password"
    assert client.get("/crm_tag/").location == "/account/password"
    assert client.get("/api/v1/crm_tag/").status_code == 403
    program = client.post("/api/v1/security/login", json={"username": "li", "password": PASSWORD})
    assert program.status_code == 403 and "Sign in on the screen" in program.json["message"]
    token = form_token(client.get("/account/password"))
    data = {"current": PASSWORD, "new": "another fine word", "again": "another fine word", "csrf_token": token}
    assert client.post("/account/password", data=data).status_code == 302
    assert client.get("/").status_code == 200


def test_the_file_with_the_first_password_goes_at_its_first_use(app, client, create_user):
    place = app.config["MORTISE"].first_password_file
    place.write_text("first-pass-word-1\n")
    create_user("first", level="system_administrator", password="first-pass-word-1", must_change_password=True)
    create_user("li")
    enter(app.test_client(), "li")
    assert place.exists()
    enter(client, "first", "first-pass-word-1")
    assert not place.exists()


def test_the_first_page_asks_for_the_firm_until_it_is_answered(login_as):
    set_setting("firm.name", None)
    employee, browser = login_as("li"), login_as("chief", level="system_administrator")
    assert employee.get("/").status_code == 200
    assert employee.get("/setup").status_code == 404
    assert browser.get("/").location == "/setup"
    wrong = browser.post("/setup", data={"name": " ", "zone": "Mars", "language": "zh_Hans", "currency": "CNY"})
    assert wrong.status_code == 422 and "time zone" in wrong.text
    assert browser.get("/").location == "/setup"
    done = browser.post("/setup", data={"name": "榫卯", "zone": "Asia/Shanghai", "language": "zh_Hans", "currency": "CNY"})
    assert done.status_code == 302
    assert "榫卯" in browser.get("/").text


def test_a_page_left_open_overnight_shows_a_fresh_form(client, create_user):
    create_user("li")
    stale = client.post("/login/", data={"username": "li", "password": PASSWORD, "csrf_token": "old"})
    assert stale.status_code == 302 and "again=1" in stale.location
    assert "open for too long" in client.get(stale.location).text


def test_the_person_s_language_beats_the_browser_s(login_as, client):
    assert 'lang="zh-Hant"' in client.get("/login/", headers={"Accept-Language": "zh-TW,zh;q=0.9"}).text
    assert 'lang="zh-Hans"' in client.get("/login/", headers={"Accept-Language": "zh-CN"}).text
    assert 'lang="en"' in client.get("/login/", headers={"Accept-Language": "fr"}).text
    browser = login_as("li", language="zh_Hans")
    assert 'lang="zh-Hans"' in browser.get("/", headers={"Accept-Language": "en"}).text


def test_a_refresh_token_gives_new_access_until_the_password_changes(client, create_user):
    user = create_user("li")
    got = client.post("/api/v1/security/login", json={"username": "li", "password": PASSWORD, "refresh": True}).json
    renew = {"Authorization": f"Bearer {got['refresh_token']}"}
    fresh = client.post("/api/v1/security/refresh", headers=renew)
    assert fresh.status_code == 200
    assert client.get("/api/v1/_openapi", headers={"Authorization": f"Bearer {fresh.json['access_token']}"}).status_code == 200
    assert client.post("/api/v1/security/refresh", headers={"Authorization": f"Bearer {got['access_token']}"}).status_code == 401
    assert client.get("/api/v1/_openapi", headers=renew).status_code == 401
    accounts.set_password(user, "another fine word")
    db.session.commit()
    assert client.post("/api/v1/security/refresh", headers=renew).status_code == 401


@pytest.mark.parametrize(
    "body", [{}, {"username": "li"}, {"username": 1, "password": 2}, {"username": "li", "password": "x", "provider": "ldap"}]
)
def test_a_sign_in_that_is_not_one_is_told_field_by_field(client, body):
    refused = client.post("/api/v1/security/login", json=body)
    assert refused.status_code == 422 and refused.json["errors"]


def test_a_token_that_ran_out_or_is_made_up_is_refused_with_json(client):
    for header in ("Bearer nonsense", "Bearer a.b.c", "Basic bGk6cHc=", "Bearer"):
        refused = client.get("/api/v1/crm_tag/", headers={"Authorization": header})
        assert refused.status_code == 401 and refused.json["error"] == "not_signed_in" and refused.json["message"].endswith(".")
        refused = client.post("/api/v1/security/refresh", headers={"Authorization": header})
        assert refused.status_code == 401 and refused.json["error"] == "not_signed_in"


@pytest.mark.browser
def test_in_a_browser_a_person_signs_in_and_out(page_as, create_user):
    create_user("li", level="administrator", language="en")
    page = page_as(None, locale="zh-CN")
    page.goto("/crm_tag/")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    page.fill("#username", "li")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    page.wait_for_selector("#error")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/crm_tag/")
    cookies = {one["name"]: one for one in page.context.cookies()}
    assert cookies["mortise"]["httpOnly"] and cookies["mortise"]["sameSite"] == "Lax"
    page.click(".m-me summary")
    page.click(".m-me-out")
    page.wait_for_url("**/login/")
