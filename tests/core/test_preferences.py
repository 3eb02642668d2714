"""What a person likes belongs to the person: columns in his order, density, on every machine; with a default for everybody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from core.db import db
from core.people import FieldRight, RoleRow
from core.testing import both_databases, settle, statements

SALES = "Salesperson"


@pytest.fixture
def clients(create: Any, create_user: Any) -> None:
    """A client for each of three salespeople, li, wang and zhao."""
    for login in ("li", "wang", "zhao"):
        create("crm_client", name=f"远山会展 {login}", code=f"C-{login}", status="signed", owner=create_user(login, roles=[SALES]))


def heads(browser: Any) -> list[str]:
    """The column heads of the list."""
    page = browser.get("/crm_client/").text
    return [re.sub("<[^>]*>", "", one).strip() for one in re.findall(r'<th scope="col".*?</th>', page, re.DOTALL)]


@both_databases
def test_columns_and_their_order_follow_the_person_to_another_machine(login_as: Any, clients: None) -> None:
    li = "li"
    one = login_as(li)
    usual = heads(one)
    one.post("/crm_client/_columns", data={"columns": ["status", "email", "code"]})
    assert heads(one) == heads(login_as(li)) == ["Name", "Status", "E-mail", "Code"] != usual
    assert heads(login_as("wang")) == usual
    one.post("/crm_client/_columns", data={"reset": "1", "columns": ["status"]})
    assert heads(login_as(li)) == usual


def test_an_administrator_chooses_for_those_who_have_not_chosen(login_as: Any, clients: None) -> None:
    li, wang = login_as("li"), login_as("wang")
    li.post("/crm_client/_columns", data={"columns": ["email"]})
    refused = wang.post("/crm_client/_columns", data={"columns": ["code"], "shared": "1"})
    assert refused.status_code == 403 and "For everybody" not in wang.get("/crm_client/").text
    boss = login_as("boss", level="administrator")
    assert "For everybody" in boss.get("/crm_client/").text
    boss.post("/crm_client/_columns", data={"columns": ["phones", "code"], "shared": "1"})
    assert heads(wang) == heads(boss) == ["Name", "Phones", "Code"] and heads(li) == ["Name", "E-mail"]
    boss.post("/crm_client/_columns", data={"reset": "1", "shared": "1"})
    assert "Changed at" in heads(wang)


def test_a_column_that_is_closed_to_a_person_stays_closed(login_as: Any, clients: None) -> None:
    boss, li = login_as("boss", level="administrator"), login_as("li")
    boss.post("/crm_client/_columns", data={"columns": ["phones", "code"], "shared": "1"})
    role = db.session.execute(select(RoleRow).where(RoleRow.name == SALES)).scalars().one()
    db.session.add(FieldRight(role=role, model="crm_client", field_name="phones", access="hidden"))
    db.session.commit()
    assert heads(li) == ["Name", "Code"] and heads(boss) == ["Name", "Phones", "Code"]
    li.post("/crm_client/_columns", data={"columns": ["phones", "nonsense", "status"]})
    assert heads(li) == ["Name", "Status"]


@both_databases
def test_density_belongs_to_the_person(login_as: Any, create_user: Any) -> None:
    li = create_user("li", roles=[SALES])
    login_as(li).post("/account/preferences", data={"density": "compact"})
    again = login_as(li)
    assert 'data-density="compact"' in again.get("/account").text
    again.post("/account/preferences", data={"density": "comfortable", "theme": "dark"})
    assert 'data-density="comfortable"' in login_as(li).get("/account").text


def test_preferences_cost_no_statement_of_their_own(login_as: Any, clients: None) -> None:
    li = login_as("li")
    li.get("/crm_client/")
    with statements() as before:
        li.get("/crm_client/")
    li.post("/crm_client/_columns", data={"columns": ["status", "owner", "code"]})
    li.get("/crm_client/")
    with statements() as after:
        li.get("/crm_client/")
    assert len(after) <= len(before)


@pytest.mark.browser
def test_columns_change_their_places_by_keyboard(page: Any, clients: None) -> None:
    settle()
    page.goto("/crm_client/")
    page.click("summary[aria-label=Columns]")
    page.locator("[data-order] li", has_text="Owner").locator("[data-up]").focus()
    for _place in range(4):
        page.keyboard.press("Enter")
    page.click("[data-order] .btn-primary")
    page.wait_for_selector("thead")
    heads = page.locator("thead th").all_inner_texts()
    assert heads.index("Owner") < heads.index("Status")
