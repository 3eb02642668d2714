"""One's own account: what it shows, where one is signed in, who has signed in when, and who is online."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from core.accounts import sessions, sign_ins
from core.db import db
from core.settings import set_setting
from core.testing import PASSWORD, both_databases
from core.web.account_pages import browser_of

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"


def enter(browser, login, password=PASSWORD, agent=WINDOWS):
    token = browser.get("/login/").text.split('name="csrf_token" value="')[1].split('"')[0]
    data = {"username": login, "password": password, "csrf_token": token}
    return browser.post("/login/", data=data, headers={"User-Agent": agent})


def kept():
    return [(one.user_id, one.worked, one.door) for one in db.session.execute(select(sign_ins).order_by(sign_ins.c.id))]


@both_databases
def test_sign_ins_are_kept_those_refused_too_and_shown_to_the_person(app, client, login_as, create_user):
    li = create_user("li", phone="13800001111", roles=["Salesperson"])
    assert enter(client, "li", "not this one").status_code == 401
    assert enter(client, "nobody here", "not this one").status_code == 401
    assert enter(client, "li").status_code == 302
    db.session.rollback()
    assert kept() == [(li.id, False, "screen"), (None, False, "screen"), (li.id, True, "screen")]
    page = client.get("/account").text
    assert page.count("Chrome, Windows") >= 3 and "refused" in page and "13800001111" in page and "Salesperson" in page
    assert "refused" not in login_as(create_user("wang")).get("/account").text
    boss = login_as("boss", level="administrator")
    assert "Chrome, Windows" in boss.get(f"/ab_user/{li.id}").text
    assert "Sign-ins" not in client.get(f"/ab_user/{li.id}").text


@both_databases
def test_tries_during_a_pause_fill_no_table(app, client, create_user):
    create_user("li")
    set_setting("sign_in.tries", 3)
    db.session.commit()
    for _turn in range(8):
        enter(client, "li", "not this one")
    db.session.rollback()
    assert len(kept()) == 3


@both_databases
def test_one_session_or_all_others_are_ended_and_never_somebody_elses(app, login_as, create_user):
    li, wang = create_user("li"), create_user("wang")
    here, there, third, hers = login_as(li), login_as(li), login_as(li), login_as(wang)
    keys = dict(db.session.execute(select(sessions.c.id, sessions.c.user_id)).all())
    page = here.get("/account").text
    mine = [key for key, user in keys.items() if user == li.id and f'value="{key}"' in page]
    (other,) = [key for key, user in keys.items() if user == wang.id]
    assert len(mine) == 2 and other not in page and "this one" in page
    assert here.post("/account/sessions/end", data={"session": other}).status_code == 404
    for wrong in ("", "x", "others ", "%", "0" * 64):
        assert here.post("/account/sessions/end", data={"session": wrong}).status_code == 404, wrong
    assert here.post("/account/sessions/end", data={"session": mine[0]}).status_code == 302
    assert sorted(one.get("/account").status_code for one in (here, there, third)) == [200, 200, 302]
    assert here.post("/account/sessions/end", data={"session": "others"}).status_code == 302
    assert [one.get("/account").status_code for one in (here, there, third, hers)] == [200, 302, 302, 200]


@both_databases
def test_an_administrator_signs_people_out_below_him(app, login_as, create_user):
    li, equal = create_user("li"), create_user("equal", level="administrator")
    his, other = login_as(li), login_as(equal)
    boss = login_as("boss", level="administrator")
    assert boss.post(f"/ab_user/{equal.id}/sign-out").status_code == 403 and other.get("/account").status_code == 200
    assert boss.post(f"/ab_user/{li.id}/sign-out").status_code == 302 and his.get("/account").status_code == 302
    assert login_as(li).post(f"/ab_user/{equal.id}/sign-out").status_code == 403


@both_databases
def test_online_are_those_who_clicked_within_the_minutes_of_the_setting(app, login_as, create_user, clock):
    boss, li = login_as("boss", level="administrator"), login_as("li")
    clock.advance(timedelta(minutes=4))
    boss.get("/account")
    assert ">li</a>" in boss.get("/settings/online").text
    clock.advance(timedelta(minutes=2))
    boss.get("/account")
    page = boss.get("/settings/online").text
    assert ">boss</a>" in page and ">li</a>" not in page
    assert li.get("/settings/online").status_code == 403


@pytest.mark.parametrize(("agent", "said"), [
    (WINDOWS, "Chrome, Windows"), (WINDOWS + " Edg/130.0", "Edge, Windows"), ("curl/8.5.0", "curl"), ("", "unknown"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 MicroMessenger/8.0.44", "WeChat, iPhone"),
    ("<script>x</script>", "<script>x</script>"),
])  # fmt: skip
def test_browsers_are_named_in_short(app, agent, said):
    assert browser_of(agent) == said


def test_old_sign_ins_go_at_night(app, client, create_user, clock):
    from core.account_jobs import forget_old_sign_ins

    create_user("li")
    enter(client, "li")
    clock.advance(timedelta(days=364))
    forget_old_sign_ins()
    assert len(kept()) == 1
    clock.advance(timedelta(days=2))
    forget_old_sign_ins()
    assert kept() == []


@both_databases
def test_a_lower_level_ends_all_sessions_and_a_higher_one_none(app, login_as, create_user):
    wang = create_user("wang", level="administrator")
    boss, hers = login_as("boss", level="system_administrator"), login_as(wang)
    version = wang.version
    for level, stays in (("system_administrator", True), ("administrator", False)):
        done = boss.post(f"/ab_user/{wang.id}", data={"level": level, "version": version, "_fields": "level"})
        assert done.status_code == 302, done.text[-2000:]
        db.session.rollback()
        version = db.session.get(type(wang), wang.id).version
        assert (hers.get("/account").status_code == 200) is stays, level
    assert login_as(wang).get("/account").status_code == 200
