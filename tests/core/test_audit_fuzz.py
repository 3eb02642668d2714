"""Whatever a program or a page sends, it gets an answer: never a fault of ours, and what is refused has changed nothing."""

import json
from urllib.parse import quote

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.db import db
from core.journal import journal
from core.testing import both_databases

ODD = ["", " ", "\x00", "\ud800", "a" * 3000, "榫卯", "' OR 1=1 --", "%", "../..", "1e999", "NaN", "null", "-1", "0", "9" * 20, "١", "=1+1"]
NAMES = [
    "name", "status", "court", "amount", "heard_on", "topics", "owner", "department", "parent", "id", "version", "custom", "__class__",
    "model", "kind", "title", "level", "username", "email", "password", "verb", "scopes", "matter", "phones",
]  # fmt: skip
TABLES = [
    "law_matter", "law_step", "law_deed", "crm_tag", "crm_client", "core_custom_field", "core_option", "core_number_rule", "ab_user",
    "core_role_right", "core_field_right", "core_setting", "core_department", "core_file", "law_nothing",
]  # fmt: skip
RESTS = [
    "", "1", "2", "_info", "new", "_lookup", "_rows", "_export", "_columns", "_bulk", "1/delete", "1/_history",
    "1/_related/law_step/matter", "1/_related/x/y", *(quote(one, errors="replace") for one in ODD if one),
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE"]
PLACES = [
    "/settings/", "/settings/addons/crm_tag/off", "/settings/fields/law_matter/new", "/settings/fields/law_matter/name",
    "/settings/dictionaries/1", "/settings/firm", "/settings/journal", "/undo/1", "/file/1", "/file/", "/account/preferences", "/login/",
    "/api/v1/security/refresh", "/api/v1/_openapi",
]  # fmt: skip

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)
leaves = st.fixed_dictionaries(
    {
        "field": st.sampled_from([*NAMES, "court.name", "owner.name"]),
        "op": st.sampled_from(["is", "is_not", "contains", "starts", "in", "not_in", "lt", "ge", "between", "empty", "has", "explode"]),
        "value": anything,
    }
)
trees = leaves | st.dictionaries(st.sampled_from(["and", "or", "not", "search"]), st.lists(leaves, max_size=3) | anything, max_size=2)
words = st.sampled_from([*ODD, *NAMES, "-name", "name,-id", "yes", "5"]) | st.text(max_size=12)
queries = st.dictionaries(
    st.sampled_from(["q", "order", "limit", "after", "before", "columns", "count", "page", "show", "name", "model"]), words, max_size=2
)
bodies = st.dictionaries(st.sampled_from(NAMES), anything, max_size=5)
forms = st.dictionaries(
    st.sampled_from([*NAMES, "_seen", "_version", "_next", "action", "ids", "all", "filter", "confirmed", "next", "columns", "formula"]),
    words, max_size=6,
)  # fmt: skip


def plain(text):
    """``text`` as a client can send it at all."""
    return text.encode("utf-8", "replace").decode()


def rows():
    db.session.commit()
    return db.session.execute(select(func.count()).select_from(journal)).scalar_one()


def answered(answer, before, asked):
    """No fault of ours; a refusal is a sentence and has left no trace."""
    assert answer.status_code < 500, (answer.status_code, asked)
    if answer.status_code >= 400:
        assert rows() == before, asked
        if answer.mimetype == "application/json":
            assert answer.json["message"].endswith((".", "。")), (answer.json, asked)
    return answer


@both_databases
def test_whatever_a_program_sends_is_answered(api_as, create):
    chief = api_as("chief", level="system_administrator")
    create("law_step", title="Step", matter=create("law_matter", name="One", status="new"))
    create("crm_tag", name="blue")

    @seed(2)
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(METHODS), st.sampled_from(TABLES), st.sampled_from(RESTS), queries, trees | st.none(), bodies)
    def send(method, table, rest, query, tree, body):
        query = {name: plain(text) for name, text in query.items()} | ({"filter": json.dumps(tree)} if tree is not None else {})
        asked = (method, table, rest, query, body)
        before = rows()
        sent = {"data": json.dumps(body), "content_type": "application/json"} if method in ("POST", "PUT") else {}
        answered(chief.open(f"/api/v1/{table}/{rest}", method=method, query_string=query, **sent), before, asked)

    send()


@both_databases
def test_whatever_a_page_sends_is_answered(login_as, create):
    chief = login_as("chief", level="system_administrator")
    create("law_step", title="Step", matter=create("law_matter", name="One", status="new"))
    create("crm_tag", name="blue")
    places = [f"/{table}/{rest}" for table in TABLES for rest in RESTS] + PLACES * 4

    @seed(3)
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), st.sampled_from(places), queries, trees | st.none(), forms)
    def send(post, place, query, tree, form):
        query = {name: plain(text) for name, text in query.items()} | ({"filter": json.dumps(tree)} if tree is not None else {})
        form = {name: plain(text) for name, text in form.items()}
        before = rows()
        answer = chief.post(place, data=form) if post else chief.get(place, query_string=query)
        answered(answer, before, (place, form if post else query))

    send()
