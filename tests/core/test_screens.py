"""The generic screens through HTTP: lists, forms, conflicts, deletion, bulk actions, and what they refuse."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from core.db import db
from core.errors import Misbuilt
from core.model import model_of
from core.testing import statements
from core.web.views import View, view_of

NAMES = ["河北华药生物科技有限公司", "杭州泰衡医学检验有限公司", "Labcore Instruments"]


@pytest.fixture
def admin(login_as: Any) -> Any:
    """A browser of an administrator."""
    return login_as("boss", level="administrator")


@pytest.fixture
def clients(create: Any) -> list[Any]:
    """Three clients."""
    return [create("crm_client", name=name, code=f"C-{place}", status="signed") for place, name in enumerate(NAMES)]


def seen_of(page: str) -> str:
    """What the form remembers of the values that were shown."""
    found = re.search(r'name="_seen" value="([^"]*)"', page)
    assert found is not None
    return found[1].replace("&#34;", '"').replace("&amp;", "&")


def stored(record_id: int) -> Any:
    """A client as it is in the database now."""
    db.session.expire_all()
    return db.session.get(model_of("crm_client"), record_id)


def test_a_list_shows_its_records_and_finds_one_by_a_filter(admin: Any, clients: list[Any]) -> None:
    everything = admin.get("/crm_client/").text
    assert all(name in everything for name in NAMES)
    tree = json.dumps({"field": "name", "op": "contains", "value": "华药"})
    found = admin.get("/crm_client/", query_string={"filter": tree}).text
    assert NAMES[0] in found and NAMES[1] not in found
    assert "1 record" in found


def test_a_list_takes_the_same_few_statements_for_three_records_and_for_sixty(admin: Any, clients: list[Any], create: Any) -> None:
    admin.get("/crm_client/")
    with statements() as few:
        admin.get("/crm_client/")
    owner = db.session.scalars(db.session.query(model_of("ab_user")).statement).first()
    for number in range(57):
        create("crm_client", name=f"No. {number}", code=f"D-{number}", status="signed", owner=owner)
    admin.get("/crm_client/")
    with statements() as many:
        admin.get("/crm_client/")
    assert len(many) <= len(few) + 1, "\n".join(many)
    assert len(many) <= 12, "\n".join(many)


def test_one_process_speaks_to_each_reader_in_his_language_with_names_as_they_are(login_as: Any, create: Any) -> None:
    """Templates are compiled once a language, with their words in place: whoever asks first must not decide for the others."""
    create("crm_client", name="<b>&100%")
    people = {
        "en": (login_as("li", level="administrator", language="en"), "Select &lt;b&gt;&amp;100%", "Filter"),
        "zh_Hans": (login_as("wang", level="administrator", language="zh_Hans"), "选择&lt;b&gt;&amp;100%", "筛选"),
        "zh_Hant": (login_as("chen", level="administrator", language="zh_Hant"), "選取&lt;b&gt;&amp;100%", "篩選"),
    }
    for _turn in range(2):
        for language, (browser, select, word) in people.items():
            page = browser.get("/crm_client/").text
            assert f'<html lang="{language.replace("_", "-")}"' in page and f"</i>{word}</button>" in page
            assert f'aria-label="{select}"' in page and "<b>&" not in page


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/crm_client/?filter={", 400), ("/crm_client/?filter=[]", 400), ('/crm_client/?filter={"field":"nope","op":"is","value":1}', 400),
        ("/crm_client/?after=xx", 400), ("/crm_client/999999", 404), ("/crm_client/99999999999999999999", 404), ("/core_journal/", 404),
        ("/nothing/", 404), ("/crm_client/_lookup?q=%00", 200), ("/crm_client/?order=nonsense", 200), ("/crm_client/999/_history", 404),
        ("/settings/fields/nope", 404), ("/settings/dictionaries/99999", 404), ("/settings/addons/nope/off", 404),
        ("/settings/journal?before=abc&model=x&verb=y", 200),
    ],
)  # fmt: skip
def test_a_damaged_address_is_answered_with_a_sentence(admin: Any, address: str, status: int) -> None:
    assert admin.get(address).status_code == status


def test_a_form_that_fails_keeps_every_typed_value_and_tells_all_errors(admin: Any) -> None:
    typed = {"name": "", "email": "nobody", "phones": "abc", "remarks": "kept\nas typed", "status": "signed"}
    answer = admin.post("/crm_client/new", data=typed)
    assert answer.status_code == 422
    for kept in ('value="nobody"', 'value="abc"', "kept\nas typed"):
        assert kept in answer.text
    assert answer.text.count('aria-invalid="true"') == 3
    assert db.session.query(model_of("crm_client")).count() == 0


def test_changes_of_two_people_to_different_fields_are_both_kept(admin: Any, clients: list[Any]) -> None:
    one = clients[0]
    first, second = admin.get(f"/crm_client/{one.id}").text, admin.get(f"/crm_client/{one.id}").text
    assert admin.post(f"/crm_client/{one.id}", data={"_seen": seen_of(first), "address": "上海"}).status_code == 302
    assert admin.post(f"/crm_client/{one.id}", data={"_seen": seen_of(second), "address": "", "remarks": "VIP"}).status_code == 302
    now = stored(one.id)
    assert (now.address, now.remarks) == ("上海", "VIP")


def test_a_true_conflict_is_shown_side_by_side_and_nothing_is_written(admin: Any, clients: list[Any]) -> None:
    one = clients[0]
    page = admin.get(f"/crm_client/{one.id}").text
    admin.post(f"/crm_client/{one.id}", data={"_seen": seen_of(page), "address": "上海"})
    answer = admin.post(f"/crm_client/{one.id}", data={"_seen": seen_of(page), "address": "深圳"})
    assert answer.status_code == 409
    assert "上海" in answer.text and 'value="深圳"' in answer.text
    assert stored(one.id).address == "上海"
    assert admin.post(f"/crm_client/{one.id}", data={"_seen": seen_of(answer.text), "address": "深圳"}).status_code == 302
    assert stored(one.id).address == "深圳"


def test_a_deletion_asks_first_shows_what_goes_along_and_can_be_undone(admin: Any, clients: list[Any], create: Any) -> None:
    one = clients[0]
    record_id = one.id
    create("crm_contact", client=one, name="林书豪", is_primary=True)
    asked = admin.get(f"/crm_client/{record_id}/delete").text
    assert "Contacts" in asked and stored(record_id) is not None
    assert admin.post(f"/crm_client/{record_id}/delete").status_code == 302
    assert stored(record_id) is None
    undo = re.search(r'action="(/undo/\d+)"', admin.get("/crm_client/").text)
    assert undo is not None
    assert admin.post(undo[1]).status_code == 302
    assert stored(record_id).name == NAMES[0]
    assert db.session.query(model_of("crm_contact")).count() == 1


def test_a_bulk_deletion_of_all_that_match_asks_with_the_exact_number(admin: Any, clients: list[Any]) -> None:
    tree = json.dumps({"field": "name", "op": "contains", "value": "有限公司"})
    asked = admin.post("/crm_client/_bulk", data={"action": "delete", "all": "1", "filter": tree})
    assert "Delete 2 records?" in asked.text
    ids = re.findall(r'name="ids" value="(\d+)"', asked.text)
    assert admin.post("/crm_client/_bulk", data={"action": "delete", "confirmed": "1", "ids": ids}).status_code == 302
    assert [one.name for one in db.session.query(model_of("crm_client"))] == [NAMES[2]]


def test_a_person_sees_and_opens_only_what_his_rules_reach(login_as: Any, create_user: Any, create: Any) -> None:
    me, other = create_user("me", roles=["Salesperson"]), create_user("other", roles=["Salesperson"])
    mine = create("crm_client", name="Mine", code="M", status="signed", owner=me)
    theirs = create("crm_client", name="Theirs", code="T", status="signed", owner=other)
    mine_id, theirs_id = mine.id, theirs.id
    browser = login_as("me")
    listed = browser.get("/crm_client/").text
    assert "Mine" in listed and "Theirs" not in listed
    assert browser.get(f"/crm_client/{theirs_id}").status_code == 404
    assert browser.get(f"/crm_client/{theirs_id}/_history").status_code == 404
    assert browser.post(f"/crm_client/{theirs_id}", data={"name": "Stolen"}).status_code == 404
    assert browser.get(f"/crm_client/{mine_id}/delete").status_code in (200, 403)
    assert browser.post(f"/crm_client/{mine_id}/delete").status_code == 403
    assert "Theirs" not in json.dumps(browser.get("/crm_client/_lookup?q=The").json)
    assert "Theirs" not in browser.get("/crm_client/_export").get_data(as_text=True)


@pytest.mark.parametrize("place", ["", "addons", "fields/", "dictionaries/", "firm", "journal"])
def test_settings_are_for_administrators(login_as: Any, admin: Any, place: str) -> None:
    assert login_as("worker").get(f"/settings/{place}").status_code == 403
    assert admin.get(f"/settings/{place}", follow_redirects=True).status_code == 200


def test_an_export_holds_what_the_list_shows(admin: Any, clients: list[Any]) -> None:
    tree = json.dumps({"field": "name", "op": "contains", "value": "华药"})
    lines = admin.get("/crm_client/_export", query_string={"filter": tree}).get_data(as_text=True).strip().splitlines()
    assert len(lines) == 2 and NAMES[0] in lines[1]


def test_an_addon_goes_off_after_its_preview_and_comes_back_as_it_was(admin: Any, clients: list[Any]) -> None:
    assert "Clients 3" in admin.get("/settings/addons/crm_client/off").text
    admin.post("/settings/addons/crm_client/off")
    assert admin.get("/crm_client/").status_code == 404
    admin.post("/settings/addons/crm_client/on")
    assert NAMES[0] in admin.get("/crm_client/").text


def test_a_custom_field_made_on_its_page_is_on_form_list_and_filter(admin: Any, clients: list[Any]) -> None:
    made = admin.post("/settings/fields/crm_client/new", data={"title": "Trade", "kind": "choice", "options": "Fairs\nPharma"})
    assert made.status_code == 302
    record_id = clients[0].id
    page = admin.get(f"/crm_client/{record_id}").text
    assert "Pharma" in page
    admin.post(f"/crm_client/{record_id}", data={"_seen": seen_of(page), "x_trade": "pharma"})
    tree = json.dumps({"field": "x_trade", "op": "is", "value": "pharma"})
    found = admin.get("/crm_client/", query_string={"filter": tree}).text
    assert NAMES[0] in found and NAMES[1] not in found


def test_going_on_after_saving_never_leaves_the_house(admin: Any, clients: list[Any]) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        answer = admin.post(f"/crm_client/{clients[0].id}", data={"_next": elsewhere})
        assert answer.headers["Location"] == f"/crm_client/{clients[0].id}"


def test_a_view_that_names_no_field_stops_by_name(app: Any) -> None:
    contact = model_of("crm_contact")
    with pytest.raises(Misbuilt, match="BadView: Contact has no field 'stauts'"):
        type("BadView", (View,), {"columns": "name stauts"}, model=contact)
    with pytest.raises(Misbuilt, match="Contact has no field 'nowhere'"):
        type(view_of(contact)).place("name", after="nowhere")


def test_a_browser_keeps_static_files_by_the_mark_of_their_content_and_asks_again_for_others(client):
    def told(address):
        with client.get(address) as answer:
            return answer.headers["Cache-Control"]

    address = re.search(r'href="(/static/mortise\.css\?v=\w+)"', client.get("/login/").text)[1]
    assert "max-age=31536000" in told(address) and "no-cache" not in told(address)
    plain = address.partition("?")[0]
    for other in (plain, f"{plain}?v=", f"{plain}?v=1234567890"):
        assert "no-cache" in told(other), other
    assert client.get("/static/..%2F..%2Fapp.py?v=").status_code == 404
    assert client.get("/static/nothing.css?v=").status_code == 404
