"""Grouped lists as a person uses them: the group menu, group rows, what unfolds, the total line, and the same over REST."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

import core.listing
from core.db import db
from core.people import FieldRight, RoleRow
from core.testing import both_databases, statements

CLERK = "Law clerk"


@pytest.fixture
def clients(create: Any) -> None:
    """Five signed clients, two dead ones, one without category."""
    for place in range(5):
        create("crm_client", name=f"远山会展 {place}", code=f"C-{place}", status="signed", category="formal")
    create("crm_client", name="青山贸易", code="D-1", status="dead", category="partner")
    create("crm_client", name="白水贸易", code="D-2", status="dead")


@pytest.fixture
def matters(create: Any, create_user: Any) -> list[Any]:
    """Matters of two clerks, with amounts."""
    one, two = create_user("ann", roles=[CLERK]), create_user("bob", roles=[CLERK])
    for who, status, amount in (
        (one, "new", "10.50"),
        (one, "new", "2000"),
        (one, "open", "1"),
        (two, "new", "70000"),
        (two, "closed", "3"),
    ):
        create("law_matter", name=f"Matter {amount}", status=status, amount=amount, owner=who)
    return [one, two]


def heads(page: str) -> list[tuple[str, str]]:
    """(words, count) of the group rows."""
    found = re.findall(r'data-fold="[^"]*">.*?<span class="m-[^"]*"[^>]*>(.*?)</span></button><a[^>]*>(.*?)</a>', page, re.DOTALL)
    return [(html.unescape(words), count) for words, count in found]


def pieces(page: str) -> list[str]:
    """Addresses of the rows that unfold."""
    return [html.unescape(one) for one in re.findall(r'hx-get="(/[^"]*_rows[^"]*)"', page)]


@both_databases
def test_a_list_is_grouped_and_each_group_brings_its_rows(admin: Any, clients: None) -> None:
    page = admin.get("/crm_client/?group=status,category").text
    assert heads(page) == [
        ("Signed", "5 records"), ("Formal", "5 records"), ("Dead", "2 records"), ("Partner", "1 record"), ("(none)", "1 record"),
    ]  # fmt: skip
    assert "7 records" in page and "远山会展 1" not in page
    rows = [admin.get(url).text for url in pieces(page)]
    assert [len(re.findall("data-row>", one)) for one in rows] == [5, 1, 1]
    assert "远山会展 1" in rows[0] and "青山贸易" in rows[1] and "白水贸易" in rows[2]


def test_groups_filter_search_and_order_stay_together_and_the_groups_can_be_taken_away(admin: Any, clients: None) -> None:
    tree = json.dumps({"field": "status", "op": "is", "value": "dead"})
    page = admin.get("/crm_client/", query_string={"group": "category", "filter": tree, "q": "贸易", "order": "-name"}).text
    assert heads(page) == [("Partner", "1 record"), ("(none)", "1 record")]
    (away,) = re.findall(r'href="([^"]*)" aria-label="Remove the groups"', page)
    kept = parse_qs(urlsplit(html.unescape(away)).query)
    assert kept == {"filter": [tree.replace(" ", "")], "q": ["贸易"], "order": ["-name"]}
    inside = parse_qs(urlsplit(pieces(page)[0]).query)
    assert inside["q"] == ["贸易"] and inside["order"] == ["-name"]
    assert json.loads(inside["filter"][0]) == {"and": [json.loads(tree), {"field": "category", "op": "is", "value": "partner"}]}


def test_the_menu_sends_one_word_for_each_level(admin: Any, clients: None) -> None:
    page = admin.get("/crm_client/?group=category&group=created_at:month").text
    assert '<option value="created_at:month" selected>' in page and len(heads(page)) == 6
    assert heads(admin.get("/crm_client/?group=category&group=").text) == [
        ("Formal", "5 records"),
        ("Partner", "1 record"),
        ("(none)", "1 record"),
    ]


def test_a_group_comes_in_pages(admin: Any, create: Any) -> None:
    for place in range(60):
        create("crm_client", name=f"No. {place:02}", code=f"E-{place}", status="signed")
    first = admin.get(pieces(admin.get("/crm_client/?group=status&order=name").text)[0]).text
    (more,) = pieces(first)
    second = admin.get(more).text
    names = [re.findall(r'm-cell-title" href="[^"]*">([^<]*)<', one) for one in (first, second)]
    assert [len(one) for one in names] == [50, 10] and sum(names, []) == [f"No. {place:02}" for place in range(60)]
    assert not pieces(second)


@pytest.mark.parametrize("group", ["nope", "remarks", "status:month", "created_at:hour"])
def test_what_cannot_be_grouped_costs_a_sentence_not_the_list(admin: Any, clients: None, group: str) -> None:
    page = admin.get(f"/crm_client/?group={group}")
    assert page.status_code == 200 and "青山贸易" in page.text and "m-soon" in page.text and not heads(page.text)


def test_an_empty_grouped_list_says_why(admin: Any, clients: None) -> None:
    page = admin.get("/crm_client/?group=status&q=没有这家").text
    assert "Nothing here fits" in page and not heads(page)


def test_a_grouped_list_costs_no_more_statements_than_a_plain_one(admin: Any, clients: None) -> None:
    for address in ("/crm_client/", "/crm_client/?group=status,owner"):
        admin.get(address)
        with statements() as said:
            admin.get(address)
        assert len(said) <= 12, "\n".join(said)


@both_databases
def test_sums_stand_in_groups_and_under_the_list_within_the_person_s_rights(login_as: Any, matters: list[Any]) -> None:
    page = login_as(matters[0]).get("/law_matter/").text
    assert re.search(r"<tfoot>.*Total.*2,011\.50.*</tfoot>", page, re.DOTALL)
    page = login_as(matters[0]).get("/law_matter/?group=status").text
    assert [words for words, _count in heads(page)] == ["New", "Open"]
    assert "2,010.50" in page and "2,011.50" in page and "70,000" not in page


def test_a_long_list_has_no_total_line(login_as: Any, matters: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    admin = login_as("boss", level="administrator")
    assert "<tfoot>" in admin.get("/law_matter/").text
    monkeypatch.setattr(core.listing, "MOST_COUNTED", 3)
    assert "<tfoot>" not in admin.get("/law_matter/").text
    assert heads(admin.get("/law_matter/?group=status").text)


@both_databases
def test_rest_gives_the_same_groups(api_as: Any, matters: list[Any]) -> None:
    answer = api_as("boss", level="administrator").get("/api/v1/law_matter/_groups?by=status,owner&sums=amount")
    assert answer.status_code == 200
    body = answer.json
    assert body["by"] == ["status", "owner"] and body["count"] == 5 and body["sums"] == {"amount": "72014.50"}
    assert [(one["values"]["status"], one["labels"]["owner"], one["count"], one["sums"]["amount"]) for one in body["result"]] == [
        ("new", "ann", 2, "2010.50"), ("new", "bob", 1, "70000.00"), ("open", "ann", 1, "1.00"), ("closed", "bob", 1, "3.00"),
    ]  # fmt: skip
    own = api_as(matters[1]).get("/api/v1/law_matter/_groups?by=status&sums=amount").json
    assert own["count"] == 2 and own["sums"] == {"amount": "70003.00"}
    months = api_as("boss").get("/api/v1/law_matter/_groups?by=created_at&limit=1").json
    assert months["by"] == ["created_at:month"] and re.fullmatch(r"\d{4}-\d\d-01", months["result"][0]["values"]["created_at:month"])


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "1 to 3 fields"), ("by=nope", "no field"), ("by=status&by=owner", "twice"), ("by=status&what=1", "knows no “what”"),
        ("by=status&limit=0", "whole number"), ("by=status&sums=name", "no number"), ("by=status&filter={", "JSON"),
        ("by=status&limit=1001", "whole number"), ("by=status&sums=" + "a," * 30, "too many"),
    ],
)  # fmt: skip
def test_rest_refuses_with_a_sentence(api_as: Any, query: str, word: str) -> None:
    answer = api_as("boss", level="administrator").get(f"/api/v1/law_matter/_groups?{query}")
    assert answer.status_code == 400 and word in answer.json["message"]


def test_a_hidden_field_makes_no_groups_at_any_door(login_as: Any, api_as: Any, matters: list[Any]) -> None:
    role = db.session.execute(select(RoleRow).where(RoleRow.name == CLERK)).scalars().one()
    for name in ("amount", "status"):
        db.session.add(FieldRight(role=role, model="law_matter", field_name=name, access="hidden"))
    db.session.commit()
    page = login_as(matters[0]).get("/law_matter/?group=status").text
    assert not heads(page) and "no field" in html.unescape(page) and "2,01" not in page and 'value="status"' not in page
    for query in ("by=status", "by=owner&sums=amount"):
        assert api_as(matters[0]).get(f"/api/v1/law_matter/_groups?{query}").status_code == 400


def test_a_stranger_gets_no_groups(login_as: Any, api_as: Any, matters: list[Any]) -> None:
    stranger = login_as("stranger")
    assert stranger.get("/law_matter/?group=status").status_code == 403 and stranger.get("/law_matter/_rows").status_code == 403
    assert api_as("stranger").get("/api/v1/law_matter/_groups?by=status").status_code == 403
