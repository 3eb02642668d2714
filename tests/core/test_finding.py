"""Ctrl-K finds records of every kind by a few characters, and never one that the person may not read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

import core.finding
from core.addons import disable, enable
from core.db import db
from core.people import FieldRight, PersonalRight, RoleRow, Share
from core.testing import both_databases, settle, statements

SALES = "Salesperson"


@pytest.fixture
def people(create: Any, create_user: Any) -> dict[str, Any]:
    """Two salespeople with a client each, and a contact of the first."""
    li, wang = create_user("li", roles=[SALES]), create_user("wang", roles=[SALES])
    mine = create("crm_client", name="中国石油天然气", code="C-1", owner=li)
    theirs = create("crm_client", name="中国石化", code="C-2", phones="13900001111", owner=wang)
    contact = create("crm_contact", client=mine, name="石敏")
    return {"li": li, "wang": wang, "mine": mine, "theirs": theirs, "contact": contact}


def found(browser: Any, words: str = "", **query: str) -> dict[str, list[str]]:
    """{group: titles} of an answer."""
    answer = browser.get("/find", query_string={"q": words, **query})
    assert answer.status_code == 200, answer.text
    return {one["title"]: [item["title"] for item in one["items"]] for one in answer.json["groups"]}


@both_databases
@pytest.mark.parametrize("words", ["zgsy", "石油", "zhongguoshiyou", "中国石油", "C-1"])
def test_characters_pinyin_initials_and_codes_find_a_record(login_as: Any, people: Any, words: str) -> None:
    assert found(login_as(people["li"]), words)["Clients"] == ["中国石油天然气"]


@both_databases
def test_each_person_finds_what_he_may_read_and_nothing_tells_of_the_rest(login_as: Any, people: Any) -> None:
    li, wang, boss = login_as(people["li"]), login_as(people["wang"]), login_as("boss", level="administrator")
    assert found(li, "石") == {"Clients": ["中国石油天然气"], "Contacts": ["石敏"]}
    assert found(wang, "石") == {"Clients": ["中国石化"]}
    assert found(boss, "石") == {"Clients": ["中国石化", "中国石油天然气"], "Contacts": ["石敏"]}
    assert found(login_as("stranger"), "石") == {} and found(li, "石化") == {} and found(li, "13900001111") == {}
    db.session.add(Share(model="crm_client", record_id=people["theirs"].id, user_id=people["li"].id, access="read"))
    db.session.commit()
    assert found(li, "石化") == {"Clients": ["中国石化"]}
    db.session.add(PersonalRight(user_id=people["li"].id, model="crm_client", verb="read", denied=True))
    db.session.commit()
    assert "Clients" not in found(li, "石")


@both_databases
def test_a_hidden_field_finds_nothing_and_a_hidden_title_is_not_told(login_as: Any, people: Any) -> None:
    wang = login_as(people["wang"])
    assert found(wang, "13900001111") == {"Clients": ["中国石化"]}
    role = db.session.execute(select(RoleRow).where(RoleRow.name == SALES)).scalars().one()
    db.session.add(FieldRight(role=role, model="crm_client", field_name="phones", access="hidden"))
    db.session.commit()
    assert found(wang, "13900001111") == {}
    db.session.add(FieldRight(role=role, model="crm_client", field_name="name", access="hidden"))
    db.session.commit()
    assert found(wang, "石化") == {} and found(wang, "C-2") == {"Clients": [f"#{people['theirs'].id}"]}


def test_a_sleeping_addon_is_not_found_and_comes_back_awake(login_as: Any, people: Any) -> None:
    boss = login_as("boss", level="administrator")
    try:
        disable("crm_client")
        db.session.commit()
        assert found(boss, "石") == {} and found(boss, recent=f"crm_client/{people['mine'].id}") == {}
    finally:
        enable("crm_client")
        db.session.commit()
    assert "Clients" in found(boss, "石")


@both_databases
def test_a_common_word_of_a_big_model_hides_neither_the_small_ones_nor_anybodys_own(
    login_as: Any, people: Any, create: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(12):
        create("crm_client", name=f"中国石材 {place:02}", code=f"D-{place}", owner=people["wang"])
    monkeypatch.setattr(core.finding, "LOOKED_AT", 6)
    assert found(login_as(people["li"]), "石") == {"Clients": ["中国石油天然气"], "Contacts": ["石敏"]}
    assert found(login_as(people["wang"]), "中国石材")["Clients"] == [f"中国石材 {place:02}" for place in range(11, 6, -1)]


def test_five_of_each_are_shown_those_called_so_first(login_as: Any, create: Any) -> None:
    for place in range(9):
        create("crm_client", name=f"北方远山 {place}", code=f"E-{place}")
    create("crm_client", name="远山会展", code="F-1")
    for place in range(9):
        create("crm_client", name=f"西方远山 {place}", code=f"G-{place}")
    (clients,) = found(login_as("boss", level="administrator"), "远山").values()
    assert len(clients) == 5 and clients[0] == "远山会展"


def test_what_can_be_made_is_found_by_name_and_initials_within_the_person_s_rights(login_as: Any, people: Any) -> None:
    assert "New: Client" in found(login_as(people["li"]), "new cl")["Actions"]
    assert found(login_as("stranger"), "new") == {}
    from core.people import User

    user = db.session.execute(select(User).where(User.username == "li")).scalars().one()
    user.language = "zh_Hans"
    db.session.commit()
    assert any("客户" in one for one in found(login_as(people["li"]), "kh").popitem()[1])


def test_the_records_opened_last_come_back_in_order_without_what_is_closed(login_as: Any, people: Any) -> None:
    mine, theirs, contact = people["mine"].id, people["theirs"].id, people["contact"].id
    asked = f"nothing/1,core_journal/1,crm_client/x,/,crm_contact/{contact},crm_client/{theirs},crm_client/{mine},crm_client/99999"
    answer = login_as(people["li"]).get("/find", query_string={"recent": asked}).json["groups"]
    assert [(one["title"], one["url"]) for one in answer[0]["items"]] == [
        ("石敏", f"/crm_contact/{contact}"), ("中国石油天然气", f"/crm_client/{mine}"),
    ]  # fmt: skip


@pytest.mark.parametrize("words", ["", " ", "a", "%", "'; DROP", "\x00", "(&|!)", "x" * 5000, "🍵", '"', "*", "NEAR(a b)", "石" * 90])
def test_odd_words_are_answered(login_as: Any, people: Any, words: str) -> None:
    assert isinstance(found(login_as(people["li"]), words), dict)


def test_nobody_is_told_to_sign_in(client: Any) -> None:
    answer = client.get("/find?q=x", headers={"Accept": "application/json"})
    assert answer.status_code in (302, 401)


@both_databases
def test_finding_costs_few_statements(login_as: Any, people: Any) -> None:
    li = login_as(people["li"])
    li.get("/find?q=石")
    with statements() as said:
        li.get("/find?q=石")
    assert len(said) <= 9, "\n".join(said)


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_ctrl_k_finds_opens_and_remembers(page_as: Any, people: Any) -> None:
    settle()
    page = page_as("li")
    page.goto("/crm_client/")
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Find records, pages, actions")
    box.fill("zgsy")
    option = page.get_by_role("option", name=re.compile("中国石油"))
    option.wait_for()
    assert option.get_attribute("aria-selected") == "true" and box.get_attribute("aria-activedescendant") == option.get_attribute("id")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/crm_client/\d+$"))
    page.goto("/crm_client/")
    page.keyboard.press("Control+k")
    page.locator("[data-recent] .m-launch-item >> text=中国石油").wait_for()
    box.fill("石")
    page.locator("[data-found] .m-launch-item >> text=石敏").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.locator("[data-choices] .on").count() == 1
    box.fill("没有这家")
    page.wait_for_selector("[data-nothing]:not([hidden])")
    page.route("**/find*", lambda route: route.abort())
    box.fill("clients")
    page.wait_for_selector("[data-state] >> text=cannot be asked")
    assert page.get_by_role("option", name=re.compile("Clients")).first.is_visible()
