"""People: their days, faces and posts, the tree they work in, who may touch whom, and what is open when they leave."""

from __future__ import annotations

import io
import threading
from datetime import date, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from core.context import Actor, acting
from core.db import db
from core.errors import Conflict, Invalid, Refused
from core.journal import journal
from core.model import model_of
from core.people import Department, MortiseUser, Post, has_left
from core.records import records
from core.rules import Rights
from core.testing import both_databases
from core.undo import undo

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
PASSWORD = "correct horse battery"


@pytest.mark.parametrize(("last_day", "moment", "zone", "gone"), [
    (None, datetime(2026, 5, 4), "Asia/Shanghai", False),
    (date(2026, 5, 31), datetime(2026, 5, 31, 15, 59, 59), "Asia/Shanghai", False),
    (date(2026, 5, 31), datetime(2026, 5, 31, 16, 0), "Asia/Shanghai", True),
    (date(2026, 5, 31), datetime(2026, 5, 31, 16, 0), "UTC", False),
    (date(2026, 5, 31), datetime(2026, 6, 1), "UTC", True),
    (date(2026, 2, 28), datetime(2026, 3, 1, 4, 59), "America/New_York", False),
    (date(2026, 2, 28), datetime(2026, 3, 1, 5, 0), "America/New_York", True),
    (date(2025, 12, 31), datetime(2025, 12, 31, 16, 0), "Asia/Shanghai", True),
])  # fmt: skip
def test_the_last_day_ends_at_midnight_of_the_firm(last_day, moment, zone, gone):
    assert has_left(last_day, moment, zone) is gone


@both_databases
def test_after_the_last_day_nothing_opens_any_more_without_any_job(app, login_as, api_as, create_user, clock):
    from core.api_keys import make_key

    clock.set(datetime(2026, 5, 31, 9))
    li = create_user("li", roles=["Salesperson"], password=PASSWORD, left_on=date(2026, 5, 31))
    key = make_key(li.id, "a program", ["read"], None)
    db.session.commit()
    browser, token = login_as(li), api_as(li)
    with_key = app.test_client()
    with_key.headers = {"Authorization": f"Bearer {key}"}
    assert browser.get("/crm_client/").status_code == token.get("/api/v1/crm_client/").status_code == 200
    assert with_key.get("/api/v1/crm_client/").status_code == 200
    clock.set(datetime(2026, 5, 31, 16))
    assert browser.get("/crm_client/").status_code == 302
    assert token.get("/api/v1/crm_client/").status_code == with_key.get("/api/v1/crm_client/").status_code == 401
    assert app.test_client().post("/api/v1/security/login", json={"username": "li", "password": PASSWORD}).status_code == 401


@both_databases
def test_of_several_posts_one_is_primary_whatever_is_done_to_them(app, acting_as, create, create_user):
    li, east, west = create_user("li"), create(Department, name="East"), create(Department, name="West")

    def primary():
        db.session.commit()
        return db.session.execute(select(Post.id).where(Post.user_id == li.id, Post.is_primary).order_by(Post.id)).scalars().all()

    with acting_as(create_user("chief", level="administrator")):
        gate = records(Post)
        first = gate.create({"user": li.id, "department": east.id})
        assert primary() == [first.id], "the first is the primary one, asked for or not"
        second = gate.create({"user": li.id, "department": west.id, "is_primary": True})
        assert primary() == [second.id]
        newest = db.session.execute(select(journal.c.batch_id).order_by(journal.c.id.desc()).limit(1)).scalar_one()
        third = gate.create({"user": li.id, "department": east.id, "title": "Clerk"})
        assert primary() == [second.id] and newest
        with pytest.raises(Invalid, match="Make another one primary"):
            gate.edit(second, {"is_primary": False})
        db.session.rollback()
        gate.edit(third, {"is_primary": True})
        assert primary() == [third.id]
        gate.delete(third)
        assert primary() == [first.id], "the oldest of the others takes its place"
        other = create_user("other")
        gate.edit(gate.get(first.id), {"user": other.id})
        assert primary() == [second.id]
        gate.delete(second.id)
        assert primary() == []


@both_databases
def test_two_who_make_different_posts_primary_at_once_leave_one(app, create, create_user, acting_as):
    li, east = create_user("li"), create(Department, name="East")
    ids = [create(Post, user=li, department=east).id for _number in range(3)]
    chief = create_user("chief", level="administrator")
    who, person = chief.id, li.id
    db.session.commit()
    db.remove()
    start, ends = threading.Barrier(2), []

    def make_primary(number):
        with app.app_context(), acting(Actor(user_id=who, door="screen")):
            try:
                start.wait(5)
                records(Post).edit(records(Post).get(ids[number], lock=True), {"is_primary": True})
                db.session.commit()
                ends.append("done")
            except Conflict:
                db.session.rollback()
                ends.append("conflict")
            finally:
                db.remove()

    threads = [threading.Thread(target=make_primary, args=(number,)) for number in (1, 2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert len(ends) == 2 and "done" in ends
    primary = db.session.execute(select(Post.id).where(Post.user_id == person, Post.is_primary)).scalars().all()
    assert len(primary) == 1


def _at_once(app, who, moves):
    """Do all of these at once, each in a transaction of its own that has read before the others write; what became of each."""
    start, ends = threading.Barrier(len(moves)), [None] * len(moves)
    db.session.commit()
    db.remove()

    def run(place, move):
        with app.app_context(), acting(Actor(user_id=who[place], door="screen")):
            try:
                start.wait(5)
                move()
                db.session.commit()
                ends[place] = "done"
            except (Invalid, Conflict, Refused, OperationalError) as problem:
                # PostgreSQL ends one of two that wait for each other; the person is told to try again (503).
                db.session.rollback()
                ends[place] = type(problem).__name__
            finally:
                db.remove()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(moves)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    return ends


@both_databases
@pytest.mark.parametrize("attempt", range(3))
def test_two_branches_moved_below_each_other_at_once_make_no_circle(app, create, create_user, attempt):
    chief = create_user("chief", level="administrator")
    east, west = create(Department, name="East"), create(Department, name="West")
    gate = lambda: records(Department)  # noqa: E731
    ids = east.id, west.id
    moves = [lambda: gate().edit(ids[0], {"parent": ids[1]}), lambda: gate().edit(ids[1], {"parent": ids[0]})]
    ends = _at_once(app, [chief.id] * 2, moves)
    assert ends.count("done") == 1 and set(ends) <= {"done", "Invalid", "OperationalError"}, ends
    assert [one.parent_id for one in db.session.execute(select(Department)).scalars() if one.id in ids].count(None) == 1


@both_databases
def test_a_branch_moves_with_all_below_it_and_the_rights_follow(app, login_as, create, create_user):
    firm, east, west, shop = (create(Department, name=name) for name in ("Firm", "East", "West", "Shop"))
    shop.parent, east.parent, west.parent = east, firm, firm
    head, li = create_user("head", roles=["Sales manager"]), create_user("li", roles=["Salesperson"])
    create(Post, user=head, department=west)
    create(Post, user=li, department=shop)
    client = create("crm_client", name="Far Hills", owner=li, department=shop)
    his, chief = login_as(head), login_as("deputy", level="administrator")
    assert his.get(f"/crm_client/{client.id}").status_code == 404
    answer = chief.post(f"/core_department/{east.id}", data={"name": "East", "parent": west.id})
    assert answer.status_code == 302
    assert his.get(f"/crm_client/{client.id}").status_code == 200
    answer = chief.post(f"/core_department/{west.id}", data={"name": "West", "parent": shop.id})
    assert answer.status_code == 422 and "would make a circle" in answer.text
    page = chief.get("/departments").text
    assert page.index(">Firm<") < page.index(">West<") < page.index(">East<") < page.index(">Shop<") and "1 person" in page


LEVELS = ("employee", "administrator", "system_administrator")

def _change(app, login_as, api_as, door, who, person):
    """Try to change somebody's phone by one door."""
    if door == "api":
        api_as(who).put(f"/api/v1/ab_user/{person.id}", json={"phone": "13800138000"})
    elif door == "screen":
        login_as(who).post(f"/ab_user/{person.id}", data={"phone": "13800138000"})
    else:
        seen = f"{person.id}:{person.version}"
        form = {"_ids": person.id, "_step": "apply", "_field": "phone", "phone": "13800138000", "_versions": seen}
        login_as(who).post("/ab_user/_edit", data=form)


@both_databases
@pytest.mark.parametrize("door", ["screen", "api", "bulk"])
@pytest.mark.parametrize("mine", LEVELS)
def test_nobody_changes_an_equal_and_a_superior_level_may(app, login_as, api_as, create_user, door, mine):
    me = create_user("me", level=mine)
    for other in LEVELS:
        person = create_user(f"other_{other}", level=other)
        _change(app, login_as, api_as, door, me, person)
        db.session.expire_all()
        may = mine == "system_administrator" or LEVELS.index(mine) > LEVELS.index(other)
        assert (person.phone is not None) is may, (mine, other)


@both_databases
@pytest.mark.parametrize("mine", ["employee", "administrator"])
def test_nobody_raises_himself_by_any_door(app, login_as, api_as, create_user, create, mine):
    me = create_user("me", level=mine)
    role = create("ab_role", name="All powerful")
    browser, program = login_as(me), api_as(me)
    own = {"user": me.id, "model": "crm_client", "verb": "read", "scopes": "all"}
    for answer in (
        browser.post(f"/ab_user/{me.id}", data={"level": "system_administrator", "name": "me"}),
        program.put(f"/api/v1/ab_user/{me.id}", json={"level": "system_administrator"}),
        program.put(f"/api/v1/ab_user/{me.id}", json={"role_rows": [role.id]}),
        browser.post("/account/person", data={"phone": "", "level": "system_administrator", "role_rows": role.id}),
        browser.post("/account/preferences", data={"level": "system_administrator", "language": "en"}),
        program.post("/api/v1/core_personal_right/", json=own),
    ):
        assert answer.status_code < 500
    db.session.expire_all()
    assert me.level == mine and role not in me.role_rows
    if mine == "employee":
        assert not Rights(me.id).grant(model_of("crm_client"), "read").scopes


@both_databases
@pytest.mark.parametrize("change", [{"level": "employee"}, {"active": False}, {"left_on": "2026-12-31"}])
def test_the_last_system_administrator_stays_also_of_two_who_close_each_other(app, create_user, change):
    seed = db.session.execute(select(MortiseUser).where(MortiseUser.level == "system_administrator")).scalars().all()
    one, two = create_user("one", level="system_administrator"), create_user("two", level="system_administrator")
    for other in seed:
        other.active = False
    db.session.commit()
    gate = lambda: records(MortiseUser)  # noqa: E731
    ids = one.id, two.id
    ends = _at_once(app, ids, [lambda: gate().edit(ids[1], change), lambda: gate().edit(ids[0], change)])
    assert ends.count("done") == 1, ends
    there = select(MortiseUser.id).where(
        MortiseUser.level == "system_administrator", MortiseUser.active.is_(True), MortiseUser.left_on.is_(None)
    )
    assert len(db.session.execute(there).all()) == 1


@both_databases
def test_one_changes_his_own_picture_and_phone_and_pictures_are_pictures(app, login_as, create_user):
    li = create_user("li", roles=["Salesperson"])
    browser = login_as(li)
    bad = (io.BytesIO(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"), "me.svg")
    assert browser.post("/account/person", data={"phone": "13800138000", "picture": bad}).status_code == 422
    text = (io.BytesIO(b"no picture at all"), "me.txt")
    answer = browser.post("/account/person", data={"phone": "13800138000", "picture": text})
    assert answer.status_code == 422 and "Please choose a picture" in answer.text
    answer = browser.post("/account/person", data={"phone": "not a phone at all, really", "picture": (io.BytesIO(PIXEL), "me.png")})
    db.session.expire_all()
    assert li.picture is None and li.phone is None
    assert browser.post("/account/person", data={"phone": "13800138000", "picture": (io.BytesIO(PIXEL), "me.png")}).status_code == 302
    db.session.expire_all()
    assert li.phone == "13800138000" and li.picture
    assert f'src="/file/{li.picture}?show=1"' in browser.get("/crm_client/").text
    shown = login_as("wang").get(f"/file/{li.picture}?show=1")
    assert shown.status_code == 200 and shown.mimetype == "image/png" and shown.data == PIXEL
    shown.close()
    assert browser.post("/account/person", data={"phone": "", "picture-remove": "1"}).status_code == 302
    db.session.expire_all()
    assert li.picture is None and li.phone is None


@both_databases
def test_what_is_open_is_listed_handed_over_and_the_account_closed_as_one_action(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    east = create(Department, name="East", head=li)
    clients = [create("crm_client", name=f"Client {number}", owner=li) for number in range(3)]
    create_user("apprentice", superior=li)
    chief = login_as("deputy", level="administrator")
    page = chief.get(f"/ab_user/{li.id}/_leave").text
    assert "crm_client.owner" in page and "core_department.head" in page and "ab_user.superior" in page
    told = {(one["model"], one["field"]): one["count"] for one in chief.get(f"/api/v1/ab_user/{li.id}/open").json["result"]}
    assert told == {("crm_client", "owner"): 3, ("core_department", "head"): 1, ("ab_user", "superior"): 1}
    answer = chief.post(f"/ab_user/{li.id}/_leave", data={"crm_client.owner": "99999", "close": "1"})
    assert answer.status_code == 422
    db.session.expire_all()
    assert li.active and clients[0].owner_id == li.id, "nothing half done"
    form = {"crm_client.owner": wang.id, "core_department.head": "nobody", "ab_user.superior": "keep", "close": "1"}
    assert chief.post(f"/ab_user/{li.id}/_leave", data=form).status_code == 302
    db.session.expire_all()
    assert not li.active and {one.owner_id for one in clients} == {wang.id} and east.head_id is None
    left = chief.get(f"/api/v1/ab_user/{li.id}/open").json["result"]
    assert [(one["model"], one["count"]) for one in left] == [("ab_user", 1)]
    newest = db.session.execute(select(journal.c.batch_id).order_by(journal.c.id.desc()).limit(1)).scalar_one()
    from core.context import system

    with system("a test"):
        undo(newest)
    db.session.commit()
    db.session.expire_all()
    assert li.active and {one.owner_id for one in clients} == {li.id} and east.head_id == li.id


@both_databases
def test_leaving_is_for_those_above_and_tells_only_what_they_may_see(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    peer = create_user("peer", level="administrator")
    create("crm_client", name="Far Hills", owner=li)
    for who, person, status in (("clerk", li, 403), ("deputy", peer, 403), ("deputy", li, 200)):
        level = "employee" if who == "clerk" else "administrator"
        browser = login_as(who, level=level)
        assert browser.get(f"/ab_user/{person.id}/_leave").status_code == status, (who, person)
        if status == 403:
            assert browser.post(f"/ab_user/{person.id}/_leave", data={"close": "1"}).status_code == 403
    assert login_as("clerk").get(f"/api/v1/ab_user/{li.id}/open").status_code == 403
    assert li.active


@both_databases
def test_the_matrix_shows_all_kinds_of_records_and_where_two_roles_differ(app, login_as, create):
    chief = login_as("deputy", level="administrator")
    role = db.session.execute(select(model_of("ab_role")).where(model_of("ab_role").name == "Salesperson")).scalar_one()
    manager = db.session.execute(select(model_of("ab_role")).where(model_of("ab_role").name == "Sales manager")).scalar_one()
    page = chief.get(f"/ab_role/{role.id}/_rights").text
    assert f"/ab_role/{role.id}/_rights/crm_client" in page and "own ones" in page and "Departments" in page
    assert page.count("set here") == 1, "in the legend alone"
    chief.post(f"/ab_role/{role.id}/_rights/crm_client", data={"verb-delete": "all"})
    page = chief.get(f"/ab_role/{role.id}/_rights?beside={manager.id}").text
    assert page.count("set here") == 2 and "Sales manager: " in page
    assert chief.get(f"/ab_role/{role.id}/_rights?beside=x").status_code == 200
    assert login_as("clerk").get(f"/ab_role/{role.id}/_rights").status_code in (403, 404)
    assert chief.get("/ab_role/99999/_rights").status_code == 404


@both_databases
def test_whoever_has_left_has_no_rights_and_why_says_so(app, login_as, create_user, create, clock):
    clock.set(datetime(2026, 5, 31, 15, 59))
    li = create_user("li", roles=["Salesperson"], left_on=date(2026, 5, 31))
    client = create("crm_client", name="Far Hills", owner=li)
    chief = login_as("deputy", level="administrator")
    asked = f"/api/v1/crm_client/_why?record={client.id}&verb=edit&person={li.id}"
    assert chief.get(asked).json["allowed"] and Rights(li.id).level == "employee"
    clock.set(datetime(2026, 5, 31, 16))
    told = chief.get(asked).json
    assert not told["allowed"] and "last day is over" in told["chains"][0][0]["text"] and Rights(li.id).level == "nobody"
