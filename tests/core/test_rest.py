"""REST: the same gate as the screens; what is wrong is told in a sentence and changes nothing."""

import json
from datetime import date
from decimal import Decimal
from urllib.parse import quote

import pytest
from sqlalchemy import func, select

from core import addons
from core.db import db
from core.journal import journal
from core.model import model_of, models
from core.people import FieldRight, PersonalRight, RoleRight, RoleRow
from core.testing import both_databases, statements

CLERK, PARTNER = "Law clerk", "Law partner"


def count(table):
    db.session.commit()
    return db.session.execute(select(func.count()).select_from(model_of(table).__table__)).scalar_one()


def journal_rows():
    db.session.commit()
    return db.session.execute(select(func.count()).select_from(journal)).scalar_one()


@pytest.fixture
def chief(api_as):
    return api_as("chief", level="administrator")


@pytest.fixture
def clerk(api_as, create_user):
    return api_as(create_user("clerk", roles=[CLERK], department="North"))


# -- who may ----------------------------------------------------------------------------------------------------------


@both_databases
def test_nobody_401_stranger_403_clerk_200(client, api_as, clerk):
    doors = [("GET", ""), ("POST", ""), ("GET", "1"), ("PUT", "1"), ("DELETE", "1"), ("GET", "_info")]
    for method, rest in doors:
        sent = {"method": method, "json": {} if method in ("POST", "PUT") else None}
        refused = client.open(f"/api/v1/law_matter/{rest}", **sent)
        assert refused.status_code == 401 and refused.json["error"] == "not_signed_in" and refused.headers["WWW-Authenticate"]
        refused = api_as("stranger").open(f"/api/v1/law_matter/{rest}", **sent)
        assert refused.status_code == 403 and refused.json["error"] == "refused" and refused.json["message"].endswith(".")
    assert clerk.get("/api/v1/law_matter/").status_code == 200


def test_a_refusal_says_why(api_as):
    refused = api_as("stranger").get("/api/v1/law_vault/")
    assert refused.json["reasons"] and all(reason["text"] for reason in refused.json["reasons"])
    assert refused.json["request_id"] == refused.headers["X-Request-Id"]


@both_databases
def test_a_row_out_of_reach_is_like_a_row_that_is_not_there(clerk, create, create_user):
    mine = db.session.scalars(select(model_of("ab_user")).filter_by(username="clerk")).one()
    own, foreign = create("law_matter", name="mine", owner=mine), create("law_matter", name="theirs", owner=create_user("other"))
    own_id, foreign_id = own.id, foreign.id
    assert [row["id"] for row in clerk.get("/api/v1/law_matter/").json["result"]] == [own_id]
    assert clerk.get("/api/v1/law_matter/").json["count"] == 1
    for method in ("GET", "PUT", "DELETE"):
        hidden = clerk.open(f"/api/v1/law_matter/{foreign_id}", method=method, json={"name": "x"} if method == "PUT" else None)
        gone = clerk.open("/api/v1/law_matter/999999", method=method, json={"name": "x"} if method == "PUT" else None)
        assert hidden.status_code == gone.status_code
        if method != "DELETE":
            assert hidden.status_code == 404 and hidden.json["message"] == gone.json["message"]
    assert clerk.get(f"/api/v1/law_matter/{own_id}").json["result"]["name"] == "mine"


@pytest.mark.parametrize("pk", ["0", "-1", "99999999999999999999999", "2147483648", "1.5", "abc", "１", "1%20or%201=1", "null"])
def test_an_id_that_cannot_be_one_is_404(chief, pk):
    for method in ("GET", "PUT", "DELETE"):
        gone = chief.open(f"/api/v1/crm_tag/{pk}", method=method, json={"name": "x"} if method == "PUT" else None)
        assert gone.status_code == 404 and gone.json["error"] == "missing"


# -- create, read, change, delete -------------------------------------------------------------------------------------


@both_databases
def test_a_record_is_made_read_changed_and_deleted(chief):
    made = chief.post("/api/v1/crm_tag/", json={"name": "重要", "colour": "red"})
    assert made.status_code == 201
    record_id = made.json["id"]
    assert made.headers["Location"] == f"/api/v1/crm_tag/{record_id}" and made.headers["ETag"] == '"1"'
    assert made.json["result"] == chief.get(made.headers["Location"]).json["result"]
    changed = chief.put(f"/api/v1/crm_tag/{record_id}", json={"note": "long\ntext"})
    assert changed.status_code == 200
    assert {"name": "重要", "note": "long\ntext", "version": 2}.items() <= changed.json["result"].items()
    assert chief.delete(f"/api/v1/crm_tag/{record_id}").json == {"id": record_id}
    assert chief.get(f"/api/v1/crm_tag/{record_id}").status_code == 404
    assert count("crm_tag") == 0


@both_databases
def test_values_come_back_as_they_are(chief, create):
    court, topic = create("law_court", name="High court"), create("law_topic", name="Tax")
    values = {
        "name": "A matter", "status": "open", "court": court.id, "amount": "1234567.80", "heard_on": "2026-02-28", "topics": [topic.id],
    }  # fmt: skip
    made = chief.post("/api/v1/law_matter/", json=values)
    assert made.status_code == 201, made.json
    assert {name: made.json["result"][name] for name in values} == values
    db.session.commit()
    stored = db.session.get(model_of("law_matter"), made.json["id"])
    assert stored.amount == Decimal("1234567.80") and stored.heard_on == date(2026, 2, 28)
    assert chief.get("/api/v1/law_matter/").json["result"][0] == made.json["result"]


@both_databases
def test_somebody_faster_wins_and_the_slower_is_told(chief, create):
    record_id = create("crm_tag", name="a").id
    assert chief.put(f"/api/v1/crm_tag/{record_id}", json={"name": "b", "version": 1}).status_code == 200
    late = chief.put(f"/api/v1/crm_tag/{record_id}", json={"name": "c", "version": 1})
    assert late.status_code == 409 and late.json["error"] == "conflict" and late.json["version"] == 2
    late = chief.put(f"/api/v1/crm_tag/{record_id}", json={"name": "c"}, headers={"If-Match": '"1"'})
    assert late.status_code == 409
    assert chief.delete(f"/api/v1/crm_tag/{record_id}", headers={"If-Match": '"1"'}).status_code == 409
    assert chief.get(f"/api/v1/crm_tag/{record_id}").json["result"]["name"] == "b"
    assert chief.put(f"/api/v1/crm_tag/{record_id}", json={"name": "c"}, headers={"If-Match": 'W/"2"'}).status_code == 200
    assert chief.delete(f"/api/v1/crm_tag/{record_id}", headers={"If-Match": '"3"'}).status_code == 200


WRONG_VALUES = [
    ({"name": "x", "owner_id": 1}, "owner_id"),
    ({"name": "x", "__class__": 1}, "__class__"),
    ({"name": "x", "id": 7}, "id"),
    ({"name": "x", "created_by": 1}, "created_by"),
    ({"name": "x", "custom": {"a": 1}}, "custom"),
    ({"name": "x", "status": "no such"}, "status"),
    ({"name": "x", "status": ["open"]}, "status"),
    ({"name": "x", "court": 999999}, "court"),
    ({"name": "x", "court": 2**70}, "court"),
    ({"name": "x", "court": -1}, "court"),
    ({"name": "x", "court": {"name": "made through a relation"}}, "court"),
    ({"name": "x", "topics": [{"name": "made through a relation"}]}, "topics"),
    ({"name": "x", "topics": [999999]}, "topics"),
    ({"name": "x", "topics": 5}, "topics"),
    ({"name": "x", "amount": "a lot"}, "amount"),
    ({"name": "x", "amount": 1e300}, "amount"),
    ({"name": "x", "amount": True}, "amount"),
    ({"name": "x", "heard_on": "2026-02-30"}, "heard_on"),
    ({"name": "x", "heard_on": 20260230}, "heard_on"),
    ({"name": 5}, "name"),
    ({"name": ["x"]}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": "   "}, "name"),
    ({"name": None}, "name"),
    ({}, "name"),
    ({"name": "x", "version": 1}, "version"),
]


@both_databases
def test_a_wrong_value_is_named_and_nothing_is_written(chief):
    before = journal_rows()
    for body, field in WRONG_VALUES:
        refused = chief.post("/api/v1/law_matter/", json=body)
        assert refused.status_code == 422, (body, refused.json)
        assert field in refused.json["errors"] and refused.json["errors"][field].endswith("."), body
    assert count("law_matter") == count("law_court") == count("law_topic") == 0 and journal_rows() == before


@both_databases
def test_a_change_that_is_half_right_changes_nothing(chief, create):
    record = create("law_matter", name="a", status="new")
    refused = chief.put(f"/api/v1/law_matter/{record.id}", json={"name": "b", "amount": "x", "nothing": 1})
    assert refused.status_code == 422 and set(refused.json["errors"]) == {"amount", "nothing"}
    assert chief.get(f"/api/v1/law_matter/{record.id}").json["result"]["name"] == "a"


@both_databases
def test_what_must_be_unique_is(chief, create):
    create("crm_tag", name="a")
    refused = chief.post("/api/v1/crm_tag/", json={"name": "a"})
    assert refused.status_code == 422 and "already exists" in refused.json["errors"]["name"]
    assert count("crm_tag") == 1


def test_a_record_that_is_needed_stays(chief, create):
    matter = create("law_matter", name="a")
    create("law_deed", name="d", matter=matter)
    refused = chief.delete(f"/api/v1/law_matter/{matter.id}")
    assert refused.status_code == 422 and "cannot be deleted" in refused.json["message"]
    assert count("law_matter") == 1


BODIES = [
    b"{", b"", b"[]", b"null", b'"x"', b'{"name": NaN}', b"\xff\xfe", b'{"name": "\\ud800"}', b"[" * 100_000,
    b'{"name": ' + b"9" * 5000 + b"}",
]  # fmt: skip


@both_databases
def test_a_body_that_is_not_json_is_refused(chief):
    for data in BODIES:
        refused = chief.post("/api/v1/crm_tag/", data=data, content_type="application/json")
        assert refused.status_code == 400 and refused.json["error"] == "broken", data[:40]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        refused = chief.post("/api/v1/crm_tag/", data=b'{"name": "x"}', content_type=kind)
        assert refused.status_code == 415 and refused.json["message"].endswith("."), kind
    assert count("crm_tag") == 0
    assert chief.post("/api/v1/crm_tag/", data=b'{"name": "a\\u0000b"}', content_type="application/json").json["result"]["name"] == "ab"


# -- lists ------------------------------------------------------------------------------------------------------------


@both_databases
def test_a_list_is_filtered_searched_sorted_and_paged(chief, create):
    for number in range(7):
        create("law_court", name=f"Court {number}")
    rows = chief.get("/api/v1/law_court/?order=-name&limit=3&columns=name").json
    assert [row["name"] for row in rows["result"]] == ["Court 6", "Court 5", "Court 4"] and rows["count"] == 7
    assert set(rows["result"][0]) == {"id", "name"}
    following = chief.get(f"/api/v1/law_court/?order=-name&limit=3&columns=name&after={rows['next']}").json
    assert [row["name"] for row in following["result"]] == ["Court 3", "Court 2", "Court 1"]
    back = chief.get(f"/api/v1/law_court/?order=-name&limit=3&columns=name&before={following['previous']}").json
    assert back["result"] == rows["result"]
    tree = json.dumps({"or": [{"field": "name", "op": "is", "value": "Court 1"}, {"field": "name", "op": "contains", "value": "5"}]})
    found = chief.get("/api/v1/law_court/", query_string={"filter": tree, "count": "no"}).json
    assert {row["name"] for row in found["result"]} == {"Court 1", "Court 5"} and "count" not in found


def leaf(**parts):
    return "filter=" + quote(json.dumps(parts))


QUERIES = [
    "filter=nonsense", "filter=[]", "filter=1e400", leaf(field="nothing", op="is", value=1), leaf(field="name", op="explode", value=1),
    leaf(field="id", op="is", value="x"), leaf(field="name", op="is", value="\ud800"), leaf(field="name.name", op="is", value="x"),
    "filter=" + quote('{"not":' * 50 + "{}" + "}" * 50), "order=nothing", "order=name;drop", "limit=0", "limit=x", "limit=501",
    "limit=99999999999999999999", "after=nonsense", "before=nonsense", "after=a&before=b", "columns=nothing", "count=perhaps",
    "page=2", "_flt_0_name=x",
]  # fmt: skip


@both_databases
def test_a_query_that_cannot_be_understood_is_400(chief):
    for query in QUERIES:
        refused = chief.get(f"/api/v1/law_court/?{query}")
        assert refused.status_code == 400, (query, refused.text)
        assert refused.json["error"] == "broken" and refused.json["message"].endswith("."), query


@both_databases
def test_a_huge_number_in_a_filter_finds_nothing_or_is_refused(chief):
    for value in (2**31, 2**63, 2**200, -(2**63) - 1):
        tree = json.dumps({"field": "id", "op": "is", "value": value})
        assert chief.get("/api/v1/law_court/", query_string={"filter": tree}).status_code in (200, 400)
    assert chief.get("/api/v1/law_court/", query_string={"q": "a\x00b"}).status_code in (200, 400)
    assert chief.get("/api/v1/law_court/", query_string={"q": "x" * 5000}).status_code in (200, 400)


# -- rights on fields -------------------------------------------------------------------------------------------------


@both_databases
def test_a_hidden_field_is_not_there_and_a_read_only_one_stays(clerk, create):
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == CLERK)).one()
    create(FieldRight, role=role, model="law_matter", field_name="amount", access="hidden")
    create(FieldRight, role=role, model="law_matter", field_name="status", access="read_only")
    made = clerk.post("/api/v1/law_matter/", json={"name": "a"})
    assert made.status_code == 201 and "amount" not in made.json["result"] and made.json["result"]["status"] == "new"
    record_id = made.json["id"]
    unknown = clerk.put(f"/api/v1/law_matter/{record_id}", json={"amount": "1", "not_there": "1"})
    assert unknown.status_code == 422
    assert unknown.json["errors"]["amount"].replace("amount", "not_there") == unknown.json["errors"]["not_there"]
    assert clerk.put(f"/api/v1/law_matter/{record_id}", json={"status": "open"}).status_code == 422
    tree = json.dumps({"field": "amount", "op": "gt", "value": 0})
    assert clerk.get("/api/v1/law_matter/", query_string={"filter": tree}).status_code == 400
    assert clerk.get("/api/v1/law_matter/?order=amount").status_code == 400
    assert clerk.get("/api/v1/law_matter/?columns=amount").status_code == 400
    assert "amount" not in [one["name"] for one in clerk.get("/api/v1/law_matter/_info").json["fields"]]
    spec = clerk.get("/api/v1/_openapi").json["components"]["schemas"]
    assert "amount" not in spec["law_matter"]["properties"] and "status" not in spec["law_matter.new"]["properties"]


def test_a_changed_right_shows_at_the_next_request(clerk, create):
    assert clerk.get("/api/v1/law_matter/").status_code == 200
    user = db.session.scalars(select(model_of("ab_user")).filter_by(username="clerk")).one()
    create(PersonalRight, user=user, model="law_matter", verb="read", denied=True)
    assert clerk.get("/api/v1/law_matter/").status_code == 403
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == CLERK)).one()
    create(RoleRight, role=role, model="law_vault", verb="read", scopes="all")
    assert clerk.get("/api/v1/law_vault/").status_code == 200


def test_no_password_leaves_and_none_can_be_set(chief, create_user):
    user = create_user("li")
    answer = chief.get(f"/api/v1/ab_user/{user.id}")
    assert answer.status_code == 200 and "password" not in answer.text.replace("must_change_password", "") and "argon2" not in answer.text
    for name in ("password", "login_count", "fail_login_count", "roles", "created_by_fk"):
        assert chief.put(f"/api/v1/ab_user/{user.id}", json={name: "x"}).status_code == 422
    assert chief.put(f"/api/v1/ab_user/{user.id}", json={"level": "system_administrator"}).status_code in (403, 422)


# -- addons and custom fields -----------------------------------------------------------------------------------------


@both_databases
def test_a_sleeping_addon_is_404_and_not_described(chief, create):
    record_id = create("crm_tag", name="a").id
    assert "/api/v1/crm_tag/" in chief.get("/api/v1/_openapi").json["paths"]
    addons.disable("crm_tag")
    for url in ("/api/v1/crm_tag/", f"/api/v1/crm_tag/{record_id}", "/api/v1/crm_tag/_info"):
        asleep = chief.get(url)
        assert asleep.status_code == 404 and asleep.json["error"] == "asleep"
    assert chief.post("/api/v1/crm_tag/", json={"name": "b"}).status_code == 404
    assert not [path for path in chief.get("/api/v1/_openapi").json["paths"] if "crm_tag" in path]
    addons.enable("crm_tag")
    assert chief.get(f"/api/v1/crm_tag/{record_id}").json["result"]["name"] == "a"


@both_databases
def test_a_custom_field_is_a_field_at_the_next_request(chief):
    before = set(chief.get("/api/v1/_openapi").json["components"]["schemas"]["law_court"]["properties"])
    made = chief.post("/api/v1/core_custom_field/", json={"model": "law_court", "title": "Score", "kind": "integer"})
    assert made.status_code == 201, made.json
    name = made.json["result"]["name"]
    assert name not in before
    spec = chief.get("/api/v1/_openapi").json["components"]["schemas"]
    assert spec["law_court"]["properties"][name]["type"] == "integer" and name in spec["law_court.new"]["properties"]
    created = chief.post("/api/v1/law_court/", json={"name": "a", name: 7})
    assert created.status_code == 201 and created.json["result"][name] == 7
    tree = json.dumps({"field": name, "op": "gt", "value": 6})
    assert chief.get("/api/v1/law_court/", query_string={"filter": tree}).json["count"] == 1
    assert chief.post("/api/v1/law_court/", json={"name": "b", name: "many"}).status_code == 422


def test_addons_are_not_switched_past_their_page(api_as):
    chief = api_as("boss", level="system_administrator")
    (row,) = [one for one in chief.get("/api/v1/core_addon/").json["result"] if one["name"] == "crm_tag"]
    assert chief.put(f"/api/v1/core_addon/{row['id']}", json={"enabled": False}).status_code == 422
    assert chief.get("/api/v1/crm_tag/").status_code == 200


# -- description and cost ---------------------------------------------------------------------------------------------


def test_the_description_is_openapi_with_real_schemas(chief):
    spec = chief.get("/api/v1/_openapi").json
    assert spec["openapi"].startswith("3.")
    matter = spec["components"]["schemas"]["law_matter"]["properties"]
    assert matter["heard_on"] == {"type": "string", "format": "date", "title": "Heard on", "nullable": True}
    assert matter["status"]["enum"] == ["new", "open", "closed"] and matter["court"]["type"] == "integer"
    assert spec["components"]["schemas"]["law_matter.new"]["required"] == ["name"]
    text = json.dumps(spec)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        place = spec
        for step in reference.split("/"):
            place = place[step.replace("~1", "/")]
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/v1/") and "security/" not in path:
                assert operation["responses"], (path, method)


def test_the_description_shows_what_the_person_may_read(clerk, client):
    schemas = clerk.get("/api/v1/_openapi").json["components"]["schemas"]
    assert "law_matter" in schemas and "law_vault" not in schemas and "core_role_right" not in schemas
    assert client.get("/api/v1/_openapi").status_code == 401
    assert clerk.get("/api/v2/_openapi").status_code == 404


def test_every_model_answers_for_an_administrator_and_is_refused_to_a_stranger(api_as, create_user):
    chief, stranger = api_as("boss", level="system_administrator"), api_as("nobody_special")
    for table in [table for table, model in models().items() if addons.enabled(model.addon)]:
        for url in (f"/api/v1/{table}/?limit=5", f"/api/v1/{table}/_info"):
            answer = chief.get(url)
            assert answer.status_code == 200, (url, answer.text)
            assert stranger.get(url).status_code in (200, 403), url


def test_a_list_costs_few_statements_whatever_its_length(clerk, create, create_user):
    user = db.session.scalars(select(model_of("ab_user")).filter_by(username="clerk")).one()
    topics = [create("law_topic", name=f"t{number}") for number in range(3)]
    costs = []
    for number in range(12):
        create("law_matter", name=f"m{number}", owner=user, topics=topics)
        if number in (1, 11):
            clerk.get("/api/v1/law_matter/")
            with statements() as ran:
                assert clerk.get("/api/v1/law_matter/").status_code == 200
            costs.append(len(ran))
            before_the_list = next(at for at, one in enumerate(ran) if "law_matter" in one)
            assert before_the_list <= 5, ran
    assert costs[0] == costs[1] <= 9
