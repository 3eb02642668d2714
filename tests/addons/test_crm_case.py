"""Cases: what a lawyer needs to open one, how it goes through its stages, and how it shows on the client's page."""

from datetime import date, datetime

import pytest

from core import records

both_databases = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)


@pytest.fixture
def office(create, create_user):
    """A client, a lawyer, his head, and an agent of the same department."""
    legal = create("core_department", name="法务部")
    people = {
        name: create_user(name, roles=[role], department=legal)
        for name, role in (("zhao", "Head of cases"), ("sun", "Lawyer"), ("wu", "Case agent"))
    }
    return {**people, "client": create("crm_client", name="上海华耀科技有限公司"), "legal": legal}


def read(browser, table, record_id):
    return browser.get(f"/api/v1/{table}/{record_id}").json["result"]


@both_databases
def test_a_case_needs_a_name_and_a_client_and_starts_at_the_first_stage(office, api_as, clock):
    """S0-65, S0-67."""
    clock.set(datetime(2026, 11, 25, 4))
    sun = api_as(office["sun"])
    refused = sun.post("/api/v1/crm_case/", json={"kind": "tort"})
    assert refused.status_code == 422 and {"name", "client"} <= refused.json["errors"].keys()
    answer = sun.post("/api/v1/crm_case/", json={"name": "买卖合同纠纷", "client": office["client"].id})
    assert answer.status_code == 201, answer.json
    made = read(sun, "crm_case", answer.json["id"])
    assert made["number"] == "A2026-00001" and made["opened_on"] == "2026-11-25" and made["urgency"] == "normal"
    assert read(sun, "crm_stage", made["stage"])["name"] == "Taken on" and made["closed_on"] is None


@both_databases
def test_a_lawyer_closes_a_case_with_a_button_and_takes_it_up_again(office, create, login_as, clock):
    """S0-76."""
    clock.set(datetime(2026, 11, 25, 4))
    case = create("crm_case", name="借款纠纷", client=office["client"], owner=office["sun"])
    number, Case = case.id, type(case)
    sun = login_as(office["sun"])
    assert "Close case" in sun.get(f"/crm_case/{number}").text
    for action, closed_on, stage in (("close", date(2026, 11, 25), "Closed"), ("reopen", None, "Taken on")):
        form = {"action": action, "ids": str(number), "confirmed": "1", "next": f"/crm_case/{number}"}
        assert sun.post("/crm_case/_bulk", data=form).status_code == 302
        case = records(Case).get(number)
        assert (case.closed_on, str(case.stage)) == (closed_on, stage)
    notes = sun.get(f"/crm_case/{number}/_related/crm_case_note/case").text
    assert "Case closed" in notes and "Case opened again" in notes


def test_an_agent_keeps_notes_but_does_not_close_cases(office, create, login_as, api_as):
    case = create("crm_case", name="劳动争议", client=office["client"], owner=office["sun"], department=office["legal"])
    agent = login_as(office["wu"])
    assert "Close case" not in agent.get(f"/crm_case/{case.id}").text
    assert agent.post("/crm_case/_bulk", data={"action": "close", "ids": str(case.id), "confirmed": "1"}).status_code == 404
    values = {"case": case.id, "kind": "receipt", "subject": "首付款", "amount": 5000}
    note = api_as(office["wu"]).post("/api/v1/crm_case_note/", json=values)
    assert note.status_code == 201, note.json


@both_databases
def test_a_client_shows_his_cases_with_their_number_to_those_who_may_read_them(office, create, create_user, login_as):
    """S0-64."""
    client = office["client"]
    for number in range(3):
        create("crm_case", name=f"案件{number}", client=client, owner=office["sun"])
    create("crm_case", name="别人的", client=client, owner=office["zhao"])
    seller = create_user("li", roles=["Salesperson"])
    client.owner = seller
    tab = 'data-count-of="related-crm_case-client">{}</span>'
    page = login_as(office["sun"]).get(f"/crm_client/{client.id}").text
    assert tab.format(3) in page, "the number is there with the page, and only what he may see is counted"
    assert tab.format(4) in login_as("chief", level="administrator").get(f"/crm_client/{client.id}").text
    assert "related-crm_case" not in login_as(seller).get(f"/crm_client/{client.id}").text


@both_databases
def test_a_client_with_cases_stays_and_sleeping_cases_count_as_well(office, create, login_as, api_as):
    from core import addons

    client, case = office["client"], create("crm_case", name="合同审查", client=office["client"], remarks="留存")
    create("crm_case_note", case=case, subject="电话沟通")
    chief, api = login_as("chief", level="administrator"), api_as("root", level="administrator")
    addons.disable("crm_case")
    page = chief.get(f"/crm_client/{client.id}")
    assert page.status_code == 200 and "crm_case" not in page.text
    assert chief.get("/crm_case/").status_code == 404 and api.get("/api/v1/crm_case/").status_code == 404
    assert api.delete(f"/api/v1/crm_client/{client.id}").status_code in (409, 422)
    addons.enable("crm_case")
    assert read(api, "crm_case", case.id)["remarks"] == "留存"
    assert api.get("/api/v1/crm_case_note/").json["result"][0]["subject"] == "电话沟通"


READS = {
    "zh_Hans": ["案件名称", "案号", "已收案", "紧急程度", "业务摘要", "案由", "结案"],
    "zh_Hant": ["案件名稱", "案號", "已收案", "緊急程度", "業務摘要", "案由", "結案"],
}


@pytest.mark.parametrize("language", READS)
def test_cases_read_like_a_law_office(office, create, create_user, login_as, language):
    boss = create_user("boss", level="administrator", language=language)
    case = create("crm_case", name="a", client=office["client"])
    page = login_as(boss).get(f"/crm_case/{case.id}").text
    for word in READS[language]:
        assert word in page, word


def test_a_case_offers_only_what_can_be_done_with_it_now(login_as, create, create_user):
    boss = create_user("head-offers", level="administrator")
    page = login_as(boss)
    made = create("crm_case", name="合同纠纷", client=create("crm_client", name="华耀"))
    buttons = [one for one in ("close", "reopen") if f'value="{one}"' in page.get(f"/crm_case/{made.id}").text]
    assert buttons == ["close"]
    page.post("/crm_case/_bulk", data={"action": "close", "ids": made.id, "confirmed": "1"})
    text = page.get(f"/crm_case/{made.id}").text
    assert [one for one in ("close", "reopen") if f'value="{one}"' in text] == ["reopen"]
    assert "is kept by the system" in text and "You may not change" not in text


def test_cases_stand_before_their_stages_in_the_menu(login_as, create_user):
    page = login_as(create_user("head-menu", level="administrator")).get("/crm_case/").text
    assert page.index('href="/crm_case/"') < page.index('href="/crm_stage/"')
