"""Clients and contacts: who sees whom, what a record needs, and how an office finds and changes them."""

import pytest
from tests.firm import firm

from core import Invalid, records


@pytest.fixture
def client_of(create):
    """``client_of("name", user)``: a client that belongs to somebody."""
    return lambda name, owner=None, **values: create("crm_client", name=name, owner=owner, **values)


def names(answer):
    assert answer.status_code == 200, answer.json
    return sorted(row["name"] for row in answer.json["result"])


def test_a_client_needs_no_more_than_a_name_and_gets_a_code(api_as, create_user):
    """S0-22: incomplete records are allowed; S0-10."""
    li = api_as(create_user("li", roles=["Salesperson"], department="华东"))
    answer = li.post("/api/v1/crm_client/", json={"name": "华耀科技", "phones": "138 0013 8000"})
    assert answer.status_code == 201, answer.json
    made = li.get(f"/api/v1/crm_client/{answer.json['id']}").json["result"]
    assert made["code"].startswith("C20") and made["status"] == "nobody_in_contact"
    refused = li.post("/api/v1/crm_client/", json={"phones": "no number", "category": "unheard of"})
    assert refused.status_code == 422 and refused.json["errors"].keys() >= {"phones", "category"}


def test_a_salesperson_sees_his_own_clients_and_the_manager_those_of_his_people(api_as, create, create_user, client_of):
    """S0-16."""
    east = create("core_department", name="华东")
    shanghai = create("core_department", name="上海", parent=east)
    li = create_user("li", roles=["Salesperson"], department=shanghai)
    wang = create_user("wang", roles=["Salesperson"], department="华北")
    boss = create_user("boss", roles=["Sales manager"], department=east)
    client_of("李的客户", li)
    client_of("王的客户", wang)
    seen = {who.username: names(api_as(who).get("/api/v1/crm_client/")) for who in (li, wang, boss)}
    assert seen == {"li": ["李的客户"], "wang": ["王的客户"], "boss": ["李的客户"]}
    assert api_as("stranger").get("/api/v1/crm_client/").status_code == 403


def test_contacts_are_seen_with_their_client_and_go_with_it(api_as, create, create_user, client_of):
    """S0-29, S1-10."""
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    mine, theirs = client_of("mine", li), client_of("theirs", wang)
    create("crm_contact", client=mine, name="张三", phones="021-88886666, 13800138000", is_primary=True)
    create("crm_contact", client=theirs, name="李四")
    assert names(api_as(li).get("/api/v1/crm_contact/")) == ["张三"]
    assert api_as(li).post("/api/v1/crm_contact/", json={"client": theirs.id, "name": "王五"}).status_code in (403, 422)
    records(type(mine)).delete(mine)
    assert names(api_as("chief", level="administrator").get("/api/v1/crm_contact/")) == ["李四"]


def test_a_salesperson_hands_a_client_over_but_does_not_delete_it(api_as, create_user, client_of):
    """S0-25."""
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    mine = client_of("mine", li)
    browser = api_as(li)
    assert browser.delete(f"/api/v1/crm_client/{mine.id}").status_code == 403
    assert browser.put(f"/api/v1/crm_client/{mine.id}", json={"owner": wang.id}).status_code == 200
    assert names(api_as(wang).get("/api/v1/crm_client/")) == ["mine"] and names(browser.get("/api/v1/crm_client/")) == []


def test_two_characters_a_part_of_a_phone_and_pinyin_find_a_client(app, client_of):
    """S0-17."""
    found = client_of("上海华耀科技有限公司", phones="138-0013-8000", email="li@example.com")
    client_of("广州金联贸易有限公司", phones="020-66668888")
    gate = records(type(found))
    for words in ("华耀", "00138", "huayao", "hykj", "li@example", found.code):
        assert [one.id for one in gate.find(search=words).rows] == [found.id], words


def test_a_code_is_given_once(app, client_of):
    gate = records(type(client_of("a", code="K-1")))
    with pytest.raises(Invalid, match="must be unique"):
        gate.create({"name": "b", "code": "K-1"})


def test_a_firms_list_goes_through_the_gate(app, create):
    made = firm(200)
    Client = type(create("crm_client", name="here already"))
    rows = [{"name": row[0], "source": row[1], "category": row[2], "phones": row[4], "email": row[6]} for row in made.rows]
    done = records(Client).create_many(rows, keys=["name", "phones"])
    wrong = {place for place, fault in made.wrong.items() if fault not in ("one separator too many", "no such status")}
    assert {one.row for one in done if one.action == "refused"} == wrong
    assert {one.action for one in records(Client).create_many(rows, keys=["name", "phones"])} == {"same", "refused"}


READS = {"en": ["Clients", "Nobody in contact"], "zh_Hans": ["客户", "无人联系", "负责人"], "zh_Hant": ["客戶", "無人聯繫", "負責人"]}


def test_screens_read_like_an_office_in_three_languages(create_user, login_as, client_of):
    for language, words in READS.items():
        boss = create_user(f"boss-{language}", level="administrator", language=language)
        client_of(f"client of {language}", boss)
        page = login_as(boss).get("/crm_client/").text
        for word in words:
            assert word in page, (language, word)
    assert "聯絡方式" in login_as(boss).get("/crm_client/new").text
