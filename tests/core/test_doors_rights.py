"""Attacks from inside: rights brought back, values pushed in, ids of others, and what answers let slip of hidden records and fields."""

import io
import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.context import Actor, acting, today
from core.db import db
from core.journal import batches, journal
from core.model import model_of
from core.people import FieldRight, MortiseUser, PersonalRight, RoleRow, Share
from core.records import records
from core.testing import both_databases

WORD, NUMBER = "Peregrine", "271828.18"


@pytest.fixture
def clerk(create_user):
    return create_user("clerk", roles=["Law clerk"], department="North")


@pytest.fixture
def other(create_user):
    return create_user("other", roles=["Law clerk"], department="South")


def last_batch():
    db.session.commit()
    return db.session.execute(select(batches.c.id).order_by(batches.c.id.desc()).limit(1)).scalar_one()


def of(who, name):
    db.session.expire_all()
    return getattr(db.session.get(MortiseUser, who.id), name)


# -- rights brought back ----------------------------------------------------------------------------------------------


@both_databases
@pytest.mark.parametrize("large", [False, True])
def test_an_undo_raises_nobody_and_opens_no_equal(login_as, api_as, create_user, monkeypatch, large):
    if large:
        monkeypatch.setattr("core.undo_jobs.AT_ONCE", 0)
    chief, fallen = create_user("chief", level="system_administrator"), create_user("fallen", level="system_administrator")
    equal, program = create_user("equal", level="administrator"), api_as("chief")
    assert program.put(f"/api/v1/ab_user/{fallen.id}", json={"level": "administrator"}).status_code == 200
    demoted = last_batch()
    assert program.put(f"/api/v1/ab_user/{equal.id}", json={"active": False}).status_code == 200
    closed = last_batch()
    browser = login_as(fallen)
    for batch in (demoted, closed):
        browser.post(f"/undo/{batch}")
        db.session.commit()
        if large:
            from core.jobs import run_jobs

            run_jobs(once=True)
    assert of(fallen, "level") == "administrator" and of(equal, "active") is False
    # Who is above may take it back.
    assert login_as(chief).post(f"/undo/{demoted}").status_code == 302
    if large:
        db.session.commit()
        run_jobs(once=True)
    assert of(fallen, "level") == "system_administrator"


@both_databases
def test_nobody_sets_rights_of_his_own_or_of_an_equal(api_as, login_as, create, create_user):
    chief, boss, equal = (
        create_user(name, level=f"{level}administrator") for name, level in (("chief", "system_"), ("boss", ""), ("equal", ""))
    )
    li = create_user("li")
    program, url = api_as(boss), "/api/v1/core_personal_right/"
    for who in (chief, boss, equal):
        refused = program.post(url, json={"user": who.id, "model": "law_vault", "verb": "read", "denied": True})
        assert refused.status_code == 422 and "lower level" in refused.json["message"]
    below = program.post(url, json={"user": li.id, "model": "law_vault", "verb": "read", "denied": True})
    assert below.status_code == 201
    assert program.put(f"{url}{below.json['id']}", json={"user": chief.id}).status_code == 422
    denial = create(PersonalRight, user=boss, model="law_vault", verb="read", denied=True)
    assert program.delete(f"{url}{denial.id}").status_code == 422
    assert program.put(f"{url}{denial.id}", json={"denied": False}).status_code == 422
    login_as(boss).post("/core_personal_right/_bulk", data={"action": "delete", "ids": denial.id, "confirmed": "1"})
    login_as(boss).post(f"/core_personal_right/{denial.id}/delete", data={"confirm": "yes"})
    assert program.get("/api/v1/law_vault/").status_code == 403
    assert api_as(chief).delete(f"{url}{denial.id}").status_code == 200
    made = last_batch()
    assert program.get("/api/v1/law_vault/").status_code == 200
    assert program.delete(f"{url}{below.json['id']}").status_code == 200
    login_as(chief).post(f"/undo/{made}")
    denied_again = last_batch()
    assert program.get("/api/v1/law_vault/").status_code == 403
    login_as(boss).post(f"/undo/{denied_again}")
    assert program.get("/api/v1/law_vault/").status_code == 403


# -- values pushed in -------------------------------------------------------------------------------------------------


@both_databases
@pytest.mark.parametrize(
    "more",
    [
        {"id": 4242}, {"version": 99}, {"created_by": 1}, {"created_by_id": 1}, {"created_at": "2001-01-01T00:00:00Z"},
        {"changed_by_id": 1},
        {"owner": {"id": 1, "level": "system_administrator"}}, {"owner.level": "administrator"}, {"court": {"name": "made"}},
        {"court_id": 1},
        {"custom": {"x_a": 1}}, {"__class__": "x"}, {"metadata": {}}, {"steps": [{"title": "made"}]}, {"law_step": [{"title": "made"}]},
        {"topics": [{"name": "made"}]}, {"department_id": 1}, {"owner_id": 1}, {"_sa_instance_state": {}}, {"code": "x", "password": "y"},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_form_or_program_may_not_set_is_not_set(api_as, login_as, create, create_user, clerk, more):
    boss = create_user("boss", level="system_administrator")
    mine = create("law_matter", name="Lease", owner=clerk, status="new").id
    table = model_of("law_matter").__table__

    def all_rows():
        db.session.commit()
        names = ("law_matter", "law_step", "law_court", "law_topic")
        kept = [sorted(map(str, db.session.execute(select(model_of(name).__table__)).all())) for name in names]
        return [*kept, sorted(map(str, db.session.execute(select(MortiseUser.id, MortiseUser.level)).all()))]

    before = all_rows()
    program, browser = api_as(clerk), login_as(clerk)
    for method, url in (("POST", "/api/v1/law_matter/"), ("PUT", f"/api/v1/law_matter/{mine}")):
        refused = program.open(url, method=method, json={"name": "Lease", **more})
        assert refused.status_code in (400, 409, 422), (method, refused.status_code)
    assert all_rows() == before
    typed = {name: value if isinstance(value, str) else json.dumps(value) for name, value in more.items()}
    browser.post(f"/law_matter/{mine}", data={"name": "Lease", "status": "new", **typed})
    browser.post(f"/law_matter/{mine}", data={"name": "Lease", "status": "new", "custom": "x", **typed}, query_string=typed)
    db.session.commit()
    row = db.session.execute(select(table).where(table.c.id == mine)).one()
    assert (row.owner_id, row.created_by_id, row.court_id) == (clerk.id, None, None) and row.created_at.year > 2001
    assert all_rows()[1:] == before[1:] and of(boss, "level") == "system_administrator"


# -- ids of others ----------------------------------------------------------------------------------------------------


@both_databases
def test_an_id_of_others_opens_nothing_at_any_address(app, api_as, login_as, create, clerk, other):
    theirs = create("law_matter", name=WORD, owner=other, status="new", amount=NUMBER)
    mine = create("law_matter", name="Lease", owner=clerk, status="new")
    step = create("law_step", title=WORD, matter=theirs)
    share = create(Share, model="law_matter", record_id=theirs.id, user=other)
    create(PersonalRight, user=clerk, model="law_matter", verb="share", scopes="own")
    create(PersonalRight, user=clerk, model="law_matter", verb="delete", scopes="own")
    create(PersonalRight, user=clerk, model="law_matter", verb="bulk", scopes="own")
    number = (
        login_as(other)
        .post("/file/", data={"file": (io.BytesIO(WORD.encode()), f"{WORD}.txt")}, headers={"Accept": "application/json"})
        .json["id"]
    )
    with acting(Actor(user_id=other.id, door="screen")):
        records(model_of("law_matter")).edit(theirs.id, {"status": "open"})
        db.session.commit()
    batch = last_batch()
    with acting(Actor(door="system", system=True)):
        records(model_of("law_matter")).delete(create("law_matter", name=WORD, owner=other, status="new", amount=NUMBER))
        db.session.commit()
    bin_ = db.session.execute(select(journal.c.id).where(journal.c.verb == "delete", journal.c.model == "law_matter")).scalar_one()
    row = db.session.execute(select(journal.c.id).where(journal.c.verb == "create", journal.c.record_id == theirs.id)).scalars().first()
    browser, program = login_as(clerk), api_as(clerk)
    t, m, s, sh = theirs.id, mine.id, step.id, share.id
    asked = [
        ("GET", f"/law_matter/{t}"), ("POST", f"/law_matter/{t}"), ("GET", f"/law_matter/{t}/_history"), ("GET", f"/law_matter/{t}/_why"),
        ("GET", f"/law_matter/{t}/_share"), ("POST", f"/law_matter/{t}/_share/{sh}/end"), ("POST", f"/law_matter/{m}/_share/{sh}/end"),
        ("GET", f"/law_matter/{t}/delete"), ("POST", f"/law_matter/{t}/delete"), ("GET", f"/law_matter/{t}/_related/law_step/matter"),
        ("GET", f"/law_step/{s}"), ("GET", f"/file/{number}"), ("GET", f"/file/{number}?show=1"), ("GET", f"/file/{number}/versions"),
        ("POST", f"/undo/{batch}"), ("GET", f"/ab_user/{other.id}/_rights"), ("POST", f"/ab_user/{other.id}/sign-out"),
        ("POST", f"/ab_user/{other.id}/view-as"), ("POST", f"/ab_user/{other.id}/keys/1/delete"), ("GET",
        f"/ab_user/{other.id}/_copy-rights"),
        ("POST", f"/ab_user/{other.id}"), ("GET", f"/law_matter/_why?person={other.id}"), ("GET", "/ab_role/1/_rights/law_matter"),
        ("POST", "/jobs/1/cancel"), ("POST", "/jobs/1/again"), ("GET", "/jobs/1/file"), ("GET", "/law_matter/_import/1"),
        ("GET", f"/law_matter/{t}/_past"), ("GET", f"/law_matter/{t}/_past?row={row}"), ("POST", f"/law_matter/{t}/_past"),
        ("POST", f"/trash/{bin_}"), ("GET", "/settings/journal"), ("GET", f"/settings/journal?model=law_matter&record={t}"),
        ("GET", "/settings/journal/export"), ("GET", "/settings/journal/keep"), ("POST", "/settings/journal/check"),
        ("POST", "/settings/journal/erase"), ("POST", "/settings/journal/remove"),
        ("GET", f"/ab_user/{other.id}/_leave"), ("POST", f"/ab_user/{other.id}/_leave"),
    ]  # fmt: skip
    for method, url in asked:
        answer = browser.open(url, method=method, data={"name": "stolen", "confirm": "yes"} if method == "POST" else None)
        assert answer.status_code in (403, 404, 405, 422), (method, url, answer.status_code)
        assert WORD not in answer.text, url
    for method, url, body in (
        ("GET", f"law_matter/{t}", None), ("PUT", f"law_matter/{t}", {"name": "stolen"}), ("DELETE", f"law_matter/{t}", None),
        ("GET", f"law_matter/{t}/shares", None), ("DELETE", f"law_matter/{t}/shares/{sh}", None), ("DELETE",
        f"law_matter/{m}/shares/{sh}", None),
        ("GET", f"law_matter/_why?record={t}", None), ("POST", "law_matter/_share", {"ids": [t], "users": [clerk.id]}),
        ("PUT", f"law_matter/{m}", {"parent": t}), ("POST", "law_step/", {"matter": t, "title": "in"}), ("GET", f"core_share/{sh}", None),
        ("GET", f"core_file/{number}", None), ("GET", "core_job/1", None),
        ("GET", f"law_matter/{t}/past", None), ("GET", f"law_matter/{t}/past?row={row}&with={row}", None),
        ("POST", f"law_matter/{t}/past", {"row": row, "all": True}), ("POST", f"_trash/{bin_}", {}), ("POST", f"_trash/{bin_ - 1}", {}),
    ):  # fmt: skip
        answer = program.open(f"/api/v1/{url}", method=method, json=body)
        assert answer.status_code in (403, 404, 422) and WORD not in answer.text, (method, url, answer.status_code)
    day = today().isoformat()
    for url in ("/trash", "/changes", "/changes?scope=all", f"/changes?scope=all&since={day}", f"/law_matter/?as_of={day}"):
        answer = browser.get(url)
        assert answer.status_code == 200 and WORD not in answer.text, url
    for url in ("_trash", "_changes?scope=all", f"_changes?since={day}&scope=all&model=law_matter", f"law_matter/?as_of={day}"):
        answer = program.get(f"/api/v1/{url}")
        assert answer.status_code == 200 and WORD not in answer.text, url
    for url in (f"/law_matter/{t}", f"/api/v1/law_matter/{t}", f"/file/{number}"):
        nothing = (program if "api" in url else browser).head(url)
        assert nothing.status_code == 404 and "ETag" not in nothing.headers and "Last-Modified" not in nothing.headers
    for action in ("delete", "_edit", "_share"):
        browser.post("/law_matter/_bulk", data={"action": action, "ids": [t, m], "confirmed": "1"})
    db.session.commit()
    rows = db.session.execute(select(model_of("law_matter").__table__.c.name).order_by("name")).scalars().all()
    assert rows == ["Lease", WORD] and db.session.execute(select(Share.id)).scalars().all() == [sh]


# -- what answers let slip --------------------------------------------------------------------------------------------


@both_databases
def test_the_past_tells_neither_of_hidden_records_nor_of_hidden_fields(app, api_as, login_as, create, clerk, other, clock):
    """Yesterday, the trash and what changed: of what is out of reach today no word, number or count."""
    court = create("law_court", name="Court")
    theirs = create("law_matter", name=WORD, owner=other, status="closed", amount=NUMBER, court=court)
    mine = create("law_matter", name="Lease", owner=clerk, status="new", amount=NUMBER, parent=theirs, court=court)
    gone = create("law_matter", name=f"{WORD} gone", owner=other, status="new", amount=NUMBER)
    step = create("law_step", title=WORD, matter=theirs)
    ids = mine.id, theirs.id, step.id
    db.session.commit()
    day = (clock.now() + timedelta(hours=8)).date().isoformat()
    clock.advance(timedelta(days=1))
    with acting(Actor(door="system", system=True)):
        gate = records(model_of("law_matter"))
        gate.edit(theirs, {"name": "Peregrines", "amount": 1})
        gate.edit(mine, {"name": "Rent", "amount": 2})
        records(model_of("law_step")).edit(step, {"title": "Other"})
        gate.delete(gone)
        db.session.commit()
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Law clerk")).one()
    create(FieldRight, role=role, model="law_matter", field_name="amount", access="hidden")
    browser, program = login_as(clerk), api_as(clerk)
    past = f"/api/v1/law_matter/?as_of={day}"
    assert [one["name"] for one in program.get(past).json["result"]] == ["Lease"] and program.get(past).json["count"] == 1
    trees = [
        {"field": "parent.name", "op": "contains", "value": WORD[:4]}, {"field": "status", "op": "is", "value": "closed"},
        {"search": WORD}, {"search": "271828"},
    ]  # fmt: skip
    for tree in trees:
        answer = program.get("/api/v1/law_matter/", query_string={"as_of": day, "filter": json.dumps(tree)})
        assert answer.status_code == 200 and answer.json["result"] == [] and answer.json["count"] == 0, tree
    for tree in ({"field": "amount", "op": "gt", "value": 1}, {"not": {"field": "parent.amount", "op": "gt", "value": 1}}):
        assert program.get("/api/v1/law_matter/", query_string={"as_of": day, "filter": json.dumps(tree)}).status_code == 400, tree
    for words in ("order=amount", "columns=amount", "order=-amount"):
        assert program.get(f"{past}&{words}").status_code == 400, words
    for url in (
        past, f"{past}&order=parent", "/api/v1/_trash", "/api/v1/_changes?scope=all", f"/api/v1/_changes?scope=all&since={day}",
        f"/api/v1/law_matter/{ids[0]}/past", f"/api/v1/law_matter/{ids[0]}/past?at={day}T23:00:00Z&with=99999999",
        f"/law_matter/?as_of={day}", f"/law_matter/?as_of={day}&order=parent", "/trash", "/changes?scope=all", "/changes",
        f"/law_matter/{ids[0]}/_past", f"/law_matter/{ids[0]}/_history", f"/law_step/?as_of={day}",
    ):  # fmt: skip
        answer = (program if url.startswith("/api") else browser).get(url)
        assert answer.status_code == 200 and not told(answer.text), url
        assert not re.search(r'name="amount"|>\s*Amount\s*<|"amount"', answer.text), url


def told(text):
    plain = text.replace(",", "").replace(" ", "")
    return WORD in text or "271828" in plain


@both_databases
def test_nothing_tells_of_a_hidden_record(app, api_as, login_as, create, clerk, other):
    court = create("law_court", name="Court")
    theirs = create("law_matter", name=WORD, owner=other, status="closed", amount=NUMBER, court=court)
    mine = create("law_matter", name="Lease", owner=clerk, status="new", parent=theirs, court=court)
    for verb in ("export", "import", "bulk", "delete"):
        create(PersonalRight, user=clerk, model="law_matter", verb=verb, scopes="own")
    browser, program = login_as(clerk), api_as(clerk)
    is_closed = json.dumps({"field": "status", "op": "is", "value": "closed"})
    by_parent = json.dumps({"field": "parent.name", "op": "contains", "value": WORD[:4]})
    by_amount = json.dumps({"field": "parent.amount", "op": "gt", "value": 1000})
    urls = [
        "",
        "?order=-amount",
        "?order=parent",
        "?group=status",
        "?group=court",
        "?group=parent",
        f"?q={WORD}",
        f"?filter={is_closed}",
        f"?filter={by_parent}",
    ]
    for url in [*(f"/law_matter/{one}" for one in urls), *(f"/law_matter/_export{one}" for one in urls if "group" not in one),
    "/law_matter/_lookup",
                f"/law_matter/_lookup?q={WORD}", f"/find?q={WORD}", f"/find?recent=law_matter/{theirs.id}", f"/law_matter/{mine.id}",
                f"/law_matter/{mine.id}/_history", f"/law_court/{court.id}", f"/law_court/{court.id}/_related/law_matter/court",
                "/jobs/", "/",
                f"/law_matter/new?parent={theirs.id}", f"/law_matter/{mine.id}/_why", f"/law_matter/{mine.id}/delete"]:  # fmt: skip
        answer = browser.get(url)
        shown = answer.text if f"q={WORD}" not in url else re.sub(rf'value="{WORD}"|q={WORD}|“{WORD}”', "", answer.text)
        assert answer.status_code in (200, 400) and not told(shown), url
    assert ">1<" in re.sub(r"\s", "", browser.get(f"/law_court/{court.id}").text) or "(1)" in browser.get(f"/law_court/{court.id}").text
    for query in (f"filter={is_closed}", f"filter={by_parent}", f"filter={by_amount}", f"q={WORD}"):
        found = program.get(f"/api/v1/law_matter/?{query}").json
        assert (found["result"], found["count"]) == ([], 0), query
        assert program.get(f"/api/v1/law_matter/_groups?by=status&{query}").json["result"] == []
    for by in ("status", "court", "parent"):
        groups = program.get(f"/api/v1/law_matter/_groups?by={by}&sums=amount")
        assert groups.status_code == 200 and not told(groups.text) and [one["count"] for one in groups.json["result"]] == [1], by
    # The number of all that can be chosen, and what is asked before they go.
    page = browser.post("/law_matter/_bulk", data={"action": "delete", "all": "1"})
    assert not told(page.text) and "Delete 1 record?" in page.text
    # What must be unique is compared with all, and says no more than the value that was typed.
    create("law_court", name="Hidden court")
    twin = program.post("/api/v1/law_matter/", json={"name": "x", "parent": theirs.id, "court": 999})
    assert twin.status_code == 422 and not told(twin.text)
    assert twin.json["errors"]["parent"] == twin.json["errors"]["court"]


@both_databases
def test_nothing_tells_of_a_hidden_field(app, api_as, login_as, create, clerk):
    mine = create("law_matter", name="Lease", owner=clerk, status="new", amount=1)
    step = create("law_step", title="Step", matter=mine)
    with acting(Actor(door="system", system=True)):
        records(model_of("law_matter")).edit(mine, {"amount": NUMBER})
        db.session.commit()
    for verb in ("export", "import", "bulk", "share"):
        create(PersonalRight, user=clerk, model="law_matter", verb=verb, scopes="own")
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Law clerk")).one()
    browser, program = login_as(clerk), api_as(clerk)
    assert told(program.get(f"/api/v1/law_matter/{mine.id}").text)
    create(FieldRight, role=role, model="law_matter", field_name="amount", access="hidden")
    tree = {"field": "amount", "op": "gt", "value": 1000}
    for filter_ in (
        tree,
        {"not": tree},
        {"any": [tree, {"field": "name", "op": "is", "value": "x"}]},
        {"field": "amount", "op": "not_empty"},
    ):
        query = {"filter": json.dumps(filter_)}
        for url in ("/api/v1/law_matter/", "/api/v1/law_matter/_export", "/api/v1/law_matter/_groups"):
            assert program.get(url, query_string={**query, **({"by": "status"} if "groups" in url else {})}).status_code in (400, 403), url
    for words in ("order=amount", "order=-amount", "columns=amount", "order=status,amount"):
        assert program.get(f"/api/v1/law_matter/?{words}").status_code == 400, words
    for words in ("by=amount", "by=status&sums=amount"):
        assert program.get(f"/api/v1/law_matter/_groups?{words}").status_code == 400, words
    assert program.get("/api/v1/law_matter/?q=271828").json["result"] == []
    linked = json.dumps({"field": "matter.amount", "op": "gt", "value": 1000})
    for words in (f"filter={linked}", "order=matter.amount", "columns=matter.amount"):
        assert program.get(f"/api/v1/law_step/?{words}").status_code == 400, words
    assert program.get(f"/api/v1/law_matter/_why?record={mine.id}&verb=read&field=amount").status_code == 400
    refused = program.put(f"/api/v1/law_matter/{mine.id}", json={"amount": "abc"})
    made_up = program.put(f"/api/v1/law_matter/{mine.id}", json={"no_such": "abc"})
    assert refused.json["errors"]["amount"].replace("amount", "X") == made_up.json["errors"]["no_such"].replace("no_such", "X")
    for url in ("/law_matter/", "/law_matter/?group=amount", "/law_matter/?order=amount", f"/law_matter/{mine.id}",
    f"/law_matter/{mine.id}/_history",
                f"/law_matter/{mine.id}/_share", "/law_matter/new", f"/law_step/{step.id}", "/find?q=271828", "/law_matter/_export",
                "/law_matter/_export/ask", "/law_matter/_import", "/law_matter/_import/template.csv"):  # fmt: skip
        answer = browser.get(url)
        assert answer.status_code in (200, 400) and not told(answer.text), url
        assert not re.search(r'name="amount"|>\s*Amount\s*<|"amount"', answer.text), url
    assert "amount" not in json.dumps(program.get("/api/v1/_openapi").json["paths"]["/api/v1/law_matter/"])
    assert not [one for one in program.get("/api/v1/law_matter/_info").json["fields"] if one["name"] == "amount"]
    again = browser.post("/law_matter/_edit", data={"_ids": [mine.id], "_field": "amount", "amount": "5", "_step": "apply"})
    assert again.status_code in (200, 302) and not told(again.text)


def test_odd_digits_and_deep_words_are_answered_in_a_sentence(api_as, login_as, create, clerk):
    mine = create("law_matter", name="Lease", owner=clerk, status="new").id
    browser, program = login_as(clerk), api_as(clerk)
    for person in ("²", "٣", "9" * 30, "1" * 5000, "-1", "1e3"):
        for answer in (browser.get(f"/law_matter/_why?person={person}"), program.get(f"/api/v1/law_matter/_why?person={person}")):
            assert answer.status_code == 403, person
    for data in (
        {"court": "²"}, {"topics": "²"}, {"topics": ["1", "²"]}, {"_seen": '{"court": "²", "topics": ["²"]}'}, {"_seen": "[" * 100_000},
        {"_seen": '{"name":' * 50_000}, {"_seen": '{"name": 1e999}'}, {"_seen": "NaN"}, {"amount": "²"}, {"heard_on": "²" * 300},
    ):  # fmt: skip
        answer = browser.post(f"/law_matter/{mine}", data={"name": "Lease", "status": "new", **data})
        assert answer.status_code in (302, 409, 422), data
    for data in ({"users": "²"}, {"users": "9" * 4000}):
        create(PersonalRight, user=clerk, model="law_matter", verb="share", scopes="own") if data["users"] == "²" else None
        answer = browser.post("/law_matter/_share", data={"_ids": mine, "_step": "apply", "access": "read", **data})
        assert answer.status_code in (200, 302, 422), data
