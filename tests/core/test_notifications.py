"""Notifications: who is told of what, once, in his own language, and only as long as he may read what it is about."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from core.context import actor, now
from core.db import db
from core.errors import Misbuilt
from core.i18n import lazy
from core.job_runner import perform
from core.journal import batches
from core.model import model_of
from core.notification_jobs import forget_old_notifications
from core.notification_list import page
from core.notifications import AT_ONCE, Notification, kinds
from core.people import PersonalRight, RoleRow
from core.preferences import prefer
from core.rules import Role
from core.sharing import clean, share
from core.testing import both_databases, statements
from tests.core.bells import stored, told


@pytest.fixture
def late():
    made = Notification("tried", lazy("Tried"))
    yield made
    del kinds()[made.name]


@pytest.fixture
def li(create_user):
    return create_user("li", roles=["Salesperson"], name="Li Wei")


@pytest.fixture
def wang(create_user):
    return create_user("wang", roles=["Salesperson"], name="Wang Fang")


@both_databases
def test_an_entry_is_there_as_long_as_its_record_may_be_read(app, acting_as, login_as, api_as, create, li, wang, clock):
    client, model = create("crm_client", name="Far Hills", owner=li), model_of("crm_client")
    with acting_as(li):
        share(model, [client.id], clean(model, {"users": [wang.id], "until": (now() + timedelta(days=3)).date().isoformat()}))
        db.session.commit()
    (row,) = stored(wang)
    hers, program = login_as(wang), api_as(wang)

    def everywhere():
        """What each door says: (on the page, count of the frame, count of the script, ETag, over REST, one, opened)."""
        count, rest = hers.get("/notifications/count"), program.get("/api/v1/_notifications").json
        frame = 'data-bell="1"' in hers.get("/account").text
        shown = "Far Hills" in hers.get("/notifications?show=all").text
        one = program.get(f"/api/v1/_notifications/{row.id}").status_code
        return shown, frame, count.json["unread"], count.headers["ETag"], len(rest["result"]), rest["unread"], one

    open_, shut = (True, True, 1, '"1"', 1, 1, 200), (False, False, 0, '"0"', 0, 0, 404)
    assert everywhere() == open_
    denial = create(PersonalRight, user=wang, model="crm_client", verb="read", denied=True)
    assert everywhere() == shut
    for answer in (hers.post(f"/notifications/{row.id}/open"), hers.post(f"/notifications/{row.id}/read")):
        assert answer.status_code == 404 and "Far Hills" not in answer.text
    assert program.put(f"/api/v1/_notifications/{row.id}", json={"unread": False}).status_code == 404
    db.session.delete(denial)
    db.session.commit()
    assert everywhere() == open_
    # The addon sleeps, and wakes.
    chief = login_as("chief", level="administrator")
    assert chief.post("/settings/addons/crm_client/off", data={"confirm": "1"}).status_code == 302
    assert everywhere() == shut
    chief.post("/settings/addons/crm_client/on", data={"confirm": "1"})
    assert everywhere() == open_
    # The record is deleted, and brought back.
    db.session.expire_all()
    assert chief.post(f"/crm_client/{client.id}/delete").status_code == 302
    assert everywhere() == shut
    batch = db.session.execute(select(func.max(batches.c.id))).scalar()
    assert chief.post(f"/undo/{batch}").status_code == 302
    assert everywhere() == open_
    # The share ends, though nobody is told of that.
    clock.advance(timedelta(days=5))
    hers, program = login_as(wang), api_as(wang)
    assert everywhere() == shut
    assert len(stored(wang)) == 1


def test_the_title_of_a_record_is_hidden_where_its_field_is(app, login_as, acting_as, create, li, wang):
    client, model = create("crm_client", name="Far Hills", owner=li), model_of("crm_client")
    with acting_as(li):
        share(model, [client.id], clean(model, {"users": [wang.id]}))
        db.session.commit()
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    create("core_field_right", role=role, model="crm_client", field_name="name", access="hidden")
    seen = login_as(wang).get("/notifications").text
    assert "Far Hills" not in seen and f'<span class="m-note-title">#{client.id}</span>' in seen


@both_databases
def test_opening_goes_to_the_record_and_marks_as_read(app, login_as, acting_as, create, li, wang, late):
    first, second = create("crm_client", name="One", owner=wang), create("crm_client", name="Two", owner=wang)
    with acting_as(li):
        for client in (first, second, first):
            late.send(wang, lazy("%(who)s says %(what)s."), record=client, what="hello")
        late.send([wang], lazy("About nothing."), url="/account")
        db.session.commit()
    hers = login_as(wang)
    assert [one.count for one in stored(wang)] == [2, 1, 1]
    assert 'aria-label="Notifications, unread: 3"' in hers.get("/").text
    answer = hers.post(f"/notifications/{stored(wang)[0].id}/open")
    assert answer.status_code == 302 and answer.headers["Location"] == f"/crm_client/{first.id}"
    assert hers.get("/notifications/count").json == {"unread": 2}
    assert hers.get("/notifications/count", headers={"If-None-Match": '"2"'}).status_code == 304
    assert hers.post("/notifications/read").status_code == 302
    page_now = hers.get("/notifications").text
    assert "Nothing unread" in page_now and "2 notifications are marked as read." in page_now
    assert "Li Wei says hello." in hers.get("/notifications?show=all").text
    # What was read is over: of the same record a new entry begins.
    with acting_as(li):
        late.send(wang, lazy("%(who)s says %(what)s."), record=first, what="again")
        db.session.commit()
    assert [one.count for one in stored(wang)] == [2, 1, 1, 1]


def test_everybody_reads_in_his_own_language(app, acting_as, login_as, create, create_user, li):
    chen = create_user("chen", roles=["Salesperson"], language="zh_Hans")
    with acting_as(li):
        Notification.send(kinds()["core.account"], chen.id, lazy("%(what)s of %(who)s"), what=lazy("Password"))
        db.session.commit()
    with acting_as(chen):
        actor().language = "zh_Hans"
        (one,), _next = page()
    assert one.text == "密码 of Li Wei"


@both_databases
def test_nobody_reaches_the_notifications_of_another(app, login_as, api_as, acting_as, create_user, li, wang, late):
    chief = create_user("chief", level="system_administrator")
    with acting_as(li):
        late.send(wang, lazy("For Wang alone."))
        db.session.commit()
    (row,) = stored(wang)
    for who in (li, chief):
        browser, program = login_as(who), api_as(who)
        assert "For Wang alone." not in browser.get("/notifications?show=all").text
        for url in (f"/notifications/{row.id}/open", f"/notifications/{row.id}/read"):
            assert browser.post(url).status_code == 404
        assert browser.post("/notifications/read").status_code == 302
        assert program.get("/api/v1/_notifications").json == {"result": [], "next": None, "unread": 0}
        assert program.get(f"/api/v1/_notifications/{row.id}").status_code == 404
        assert program.put(f"/api/v1/_notifications/{row.id}", json={"unread": False}).status_code == 404
        assert program.post("/api/v1/_notifications/_read", json={"unread": False}).json == {"read": 0}
        assert program.get("/api/v1/core_notification/").status_code == 404
    assert stored(wang)[0].read_at is None
    # Not even an administrator who sees the house with her eyes.
    browser = login_as(chief)
    assert browser.post(f"/ab_user/{wang.id}/view-as").status_code == 302
    assert "data-bell" not in browser.get("/").text
    for url in ("/notifications", "/notifications/count", "/account/notifications", "/api/v1/_notifications"):
        answer = browser.get(url)
        assert answer.status_code == 403 and "Wang alone" not in answer.text, url
    assert app.test_client().get("/notifications/count").status_code == 302
    assert app.test_client().get("/api/v1/_notifications").status_code == 401


def test_a_narrow_key_reaches_none_and_a_reading_one_marks_none(app, acting_as, client, create_user, wang, late, create, li):
    from core.api_keys import make_key

    record = create("crm_client", name="Far Hills", owner=wang)
    with acting_as(li):
        late.send(wang, lazy("Here."), record=record)
    keys = {scope: make_key(wang.id, scope, [scope], None) for scope in ("read", "write", "crm_client:read")}
    db.session.commit()

    def ask(scope, method="get", url="/api/v1/_notifications", **more):
        return getattr(app.test_client(), method)(url, headers={"Authorization": f"Bearer {keys[scope]}"}, **more)

    assert ask("crm_client:read").status_code == 403
    assert len(ask("read").json["result"]) == 1
    mark = {"method": "post", "url": "/api/v1/_notifications/_read", "json": {"unread": False}}
    assert ask("read", **mark).status_code == 403
    assert ask("write", **mark).json == {"read": 1}


def test_programs_read_pages_and_mark(app, acting_as, api_as, wang, li, late):
    with acting_as(li):
        for number in range(7):
            late.send(wang, lazy("Number %(number)s."), number=number)
        db.session.commit()
    program, seen, after = api_as(wang), [], ""
    while True:
        answer = program.get("/api/v1/_notifications", query_string={"limit": 3, "after": after}).json
        seen += [one["text"] for one in answer["result"]]
        if not (after := answer["next"]):
            break
    assert seen == [f"Number {number}." for number in reversed(range(7))]
    one = answer["result"][0]["id"]
    assert program.put(f"/api/v1/_notifications/{one}", json={"unread": False}).json["result"]["unread"] is False
    assert len(program.get("/api/v1/_notifications?unread=1").json["result"]) == 6
    for url in ("?limit=0", "?limit=x", "?limit=101", "?after=x", "?after=%00", "?unread=2", "?limit=" + "9" * 30, "?other=1"):
        assert program.get(f"/api/v1/_notifications{url}").status_code == 400, url
    for body in ({"unread": True}, {}, {"read": True}, {"unread": False, "id": 1}):
        assert program.put(f"/api/v1/_notifications/{one}", json=body).status_code == 422, body
    for number in ("0", "9" * 18, "9" * 40):
        assert program.get(f"/api/v1/_notifications/{number}").status_code == 404, number
    assert program.post("/api/v1/_notifications/_read", json={"unread": False}).json == {"read": 6}


@both_databases
def test_who_does_not_want_a_kind_is_not_told(app, login_as, acting_as, create, li, wang, late):
    hers = login_as(wang)
    seen = hers.get("/account/notifications").text
    assert "A record becomes mine" in seen and seen.count("checked") >= 5
    kept = [one for one in kinds() if one != late.name]
    assert hers.post("/account/notifications", data={"bell": kept}).status_code == 302
    with acting_as(li):
        late.send(wang, lazy("Not wanted."))
        kinds()["core.account"].send(wang, lazy("Wanted."))
        db.session.commit()
    assert told(wang, acting_as) == [("Wanted.", "")]
    assert hers.post("/account/notifications", data={"bell": list(kinds())}).status_code == 302
    with acting_as(li):
        late.send(wang, lazy("Wanted again."))
        db.session.commit()
    assert ("Wanted again.", "") in told(wang, acting_as)
    with acting_as(wang):
        # Other preferences stay, and those of a channel to come as well.
        prefer(density="compact", notifications={late.name: {"mail": False}})
        db.session.commit()
    hers.post("/account/notifications", data={"bell": kept})
    with acting_as(wang):
        from core.preferences import preferences

        assert preferences() == {"density": "compact", "notifications": {late.name: {"mail": False, "bell": False}}}


@both_databases
def test_groups_are_told_by_their_people_of_now(app, acting_as, create, create_user, li, wang, late):
    boss = create_user("boss", roles=["Sales manager"])
    create(PersonalRight, user=boss, model="crm_client", verb="read", scopes="all")
    li.superior = boss
    db.session.commit()
    client = create("crm_client", name="Far Hills", owner=li)
    manager = db.session.scalars(select(RoleRow).where(RoleRow.name == "Sales manager")).one()
    asked = [("owner", {li}), ("superior", {boss}), (["owner", "superior"], {li, boss}), (manager, {boss})]
    for to, people in [*asked, (Role("Sales manager"), {boss}), ([wang, li.id], {li})]:
        with acting_as("somebody", roles=["Salesperson"]):
            late.send(to, lazy("Look."), record=client)
        assert {one.user_id for one in stored()} == {one.id for one in people}, to
        db.session.rollback()


@both_databases
def test_very_many_people_are_told_by_a_job_which_asks_the_rights_of_each(app, acting_as, create, create_user, li, late):
    client = create("crm_client", name="Far Hills", owner=li)
    many = [create_user(f"p{number}", level="administrator" if number % 2 else "employee") for number in range(AT_ONCE * 2 + 5)]
    with acting_as(li):
        late.send(many, lazy("%(who)s tells all."), record=client)
        db.session.commit()
    assert stored() == []
    db.session.rollback()
    assert perform()
    db.session.expire_all()
    assert {one.user_id for one in stored()} == {one.id for one in many[1::2]}
    assert {one.actor_id for one in stored()} == {li.id}
    assert told(many[1], acting_as) == [("Li Wei tells all.", "Far Hills")]


@both_databases
def test_two_who_tell_the_same_at_once_make_one_entry(app, acting_as, create, li, wang, late):
    import threading

    client = create("crm_client", name="Far Hills", owner=wang)
    number, ready, faults = client.id, threading.Barrier(4), []
    person, by = wang.id, li.id
    db.session.commit()

    def work():
        from core.context import Actor, acting

        try:
            with app.app_context(), acting(Actor(user_id=by, door="screen")):
                ready.wait()
                for _turn in range(5):
                    late.send(person, lazy("At once."), model=model_of("crm_client"), record_id=number)
                    db.session.commit()
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _each in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    assert [one.count for one in stored()] == [20]


@both_databases
def test_a_page_costs_as_many_statements_whatever_the_bell_holds(app, login_as, acting_as, create, li, wang, late):
    hers = login_as(wang)

    def cost(url):
        assert hers.get(url).status_code == 200
        with statements() as found:
            hers.get(url)
        return len(found)

    clients = [create("crm_client", name=f"Client {number}", owner=wang) for number in range(40)]
    empty = {url: cost(url) for url in ("/crm_client/", "/account", "/notifications")}
    costs = []
    for some in (clients[:2], clients[2:]):
        with acting_as(li):
            for client in some:
                late.send(wang, lazy("Look."), record=client)
            db.session.commit()
        costs.append({url: cost(url) for url in empty})
    assert costs[0] == costs[1]
    # Nothing unread: not one statement for the bell. Something: one, which asks what of it she may know.
    assert costs[1]["/crm_client/"] == empty["/crm_client/"] + 1
    assert costs[1]["/account"] == empty["/account"] + 1
    assert costs[1]["/notifications"] <= empty["/notifications"] + 2


@both_databases
def test_old_ones_are_forgotten(app, acting_as, clock, li, wang, late):
    with acting_as(li):
        for number in range(3):
            late.send(wang, lazy("Number %(number)s."), number=number)
        db.session.commit()
    with acting_as(wang):
        from core.notification_list import mark_read

        assert mark_read(stored()[0].id) == 1
        db.session.commit()
    clock.advance(timedelta(days=91))
    forget_old_notifications()
    assert len(stored()) == 2
    clock.advance(timedelta(days=400))
    forget_old_notifications()
    assert stored() == []


def test_an_author_who_forgets_a_value_is_told_at_once(app, create, li, wang, late):
    with pytest.raises(Misbuilt, match="what"):
        late.send(wang, lazy("%(who)s says %(what)s."))
    with pytest.raises(Misbuilt, match="no id yet"):
        late.send(wang, lazy("New."), record=model_of("crm_client")(name="New"))


def test_asking_for_the_number_keeps_no_session_alive(app, login_as, clock, wang):
    clock.set(now())
    hers = login_as(wang)
    for _minute in range(13):
        clock.advance(timedelta(minutes=10))
        answer = hers.get("/notifications/count")
        if answer.status_code != 200:
            break
    assert answer.status_code in (302, 401)


def test_values_that_look_like_markup_are_text(app, login_as, acting_as, li, wang, late):
    with acting_as(li):
        late.send(wang, lazy("%(what)s"), what="<b>bold</b> 100%", url="/account")
        db.session.commit()
    seen = login_as(wang).get("/notifications").text
    assert "&lt;b&gt;bold&lt;/b&gt; 100%" in seen
    assert json.loads(stored()[0].text) == ["%(what)s", {"what": "<b>bold</b> 100%"}]
