"""The page “Why?”: who may ask about whom, what it says, where it leads, and that it gives nothing away."""

from __future__ import annotations

from core.people import Department, PersonalRight, Post, RoleRow, Share
from core.testing import both_databases


def text(response) -> str:
    return " ".join(response.get_data(as_text=True).split())


@both_databases
def test_the_chain_leads_from_role_and_post_to_the_record(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    page = text(login_as(li).get(f"/crm_client/{client.id}/_why?verb=edit"))
    assert "“li” may: Edit – Far Hills" in page
    assert "Role “Salesperson”" in page and "Owner of the record" in page
    assert "Give the role" not in page
    # Whoever may is not told whom to ask; whoever may not is.
    assert "Ask an administrator" not in page
    assert "Ask an administrator" in text(login_as(li).get(f"/crm_client/{client.id}/_why?verb=delete"))
    boss = login_as("boss", level="administrator")
    seen = text(boss.get(f"/crm_client/{client.id}/_why?verb=edit&person={li.id}"))
    assert "It ends when of each chain one fact ends." in seen
    role = app.extensions and create_user and li.role_rows[0]
    assert f'href="/ab_role/{role.id}"' in seen and f'href="/crm_client/{client.id}"' in seen


@both_databases
def test_a_denial_is_told_with_its_row_and_with_what_is_needed_beside(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    denied = create(PersonalRight, user=li, model="crm_client", verb="delete", denied=True)
    boss = login_as("boss", level="administrator")
    page = text(boss.get(f"/crm_client/{client.id}/_why?verb=delete&person={li.id}"))
    assert "may not" in page and "taken away personally" in page and f"/core_personal_right/{denied.id}" in page
    # What stands in the way is told as something to change, each group by its number.
    assert "Change this: Clients – Delete: taken away personally" in page and "Group 2" in page and "Group 3" not in page


@both_databases
def test_nobody_asks_about_others_or_about_what_he_does_not_see(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    hers = create("crm_client", name="Secret Springs", owner=wang)
    browser = login_as(li)
    assert browser.get(f"/crm_client/{hers.id}/_why").status_code == 404
    assert browser.get(f"/crm_client/_why?person={wang.id}").status_code == 403
    assert browser.get("/crm_client/_why?verb=fly").status_code == 400
    assert browser.get("/crm_client/_why?field=nothing").status_code == 400
    assert browser.get("/nothing/_why").status_code == 404
    boss = login_as("boss", level="administrator")
    for query in ("person=99999999", "person=abc", "person=99999999999999999999", "person=-1", "verb=read&field=%00"):
        assert boss.get(f"/crm_client/_why?{query}").status_code in (400, 403, 404), query


@both_databases
def test_posts_and_shares_are_named_and_hidden_titles_stay_numbers(app, login_as, create, create_user):
    sales = create(Department, name="Sales")
    li, wang = create_user("li", roles=["Sales manager"]), create_user("wang", roles=["Salesperson"])
    create(Post, user=li, department=sales, title="Manager")
    client = create("crm_client", name="Far Hills", owner=wang, department=sales)
    create(Share, model="crm_client", record_id=client.id, user=wang, access="read")
    page = text(login_as(li).get(f"/crm_client/{client.id}/_why"))
    assert "Post in “Sales”" in page and "belongs to “Sales”" in page


@both_databases
def test_a_closed_field_names_the_role_that_closes_it(app, login_as, create, create_user):
    from core.people import FieldRight

    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    row = create(FieldRight, role=li.role_rows[0], model="crm_client", field_name="remarks", access="read_only")
    boss = login_as("boss", level="administrator")
    page = text(boss.get(f"/crm_client/{client.id}/_why?verb=edit&field=remarks&person={li.id}"))
    assert "may not: Edit: Remarks" in page and f"/core_field_right/{row.id}" in page
    assert "may: See: Remarks" in text(boss.get(f"/crm_client/{client.id}/_why?verb=read&field=remarks&person={li.id}"))


@both_databases
def test_of_kinds_of_record_the_menu_is_explained(app, login_as, create, create_user):
    browser = login_as(create_user("new"))
    page = text(browser.get("/crm_client/_why"))
    assert "“new” may not: See – Clients" in page and "No role, and nothing given personally, allows it." in page
    role = create(RoleRow, name="Helpers")
    create("core_role_right", role=role, model="crm_client", verb="read", scopes="all")
    boss = login_as("boss", level="administrator")
    told = text(boss.get("/crm_client/_why?person=" + str(create_user("other").id)))
    assert "Give the role “Helpers”" in told and "Any of these is enough." in told


@both_databases
def test_all_that_somebody_may_do_stands_on_one_page(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"], department="Sales")
    create(PersonalRight, user=li, model="crm_client", verb="delete", denied=True)
    boss = login_as("boss", level="administrator")
    page = text(boss.get(f"/ab_user/{li.id}/_rights"))
    assert "What “li” may do" in page and "Salesperson" in page and "Sales" in page
    assert f'/crm_client/_why?person={li.id}&amp;verb=delete" class="m-late">taken away' in page
    own = login_as(li)
    assert own.get(f"/ab_user/{li.id}/_rights").status_code == 200
    assert own.get(f"/ab_user/{create_user('other').id}/_rights").status_code == 403
    assert boss.get("/ab_user/99999/_rights").status_code == 404


@both_databases
def test_programs_ask_the_same(app, api_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    told = api_as(li).get(f"/api/v1/crm_client/_why?record={client.id}&verb=edit").json
    assert told["allowed"] and told["chains"] and told["steps"] == []
    assert [one["kind"] for one in told["chains"][0]] == ["role", "rule", "own"]
    boss = api_as("boss", level="administrator")
    told = boss.get(f"/api/v1/crm_client/_why?record={client.id}&verb=edit&person={li.id}").json
    assert {one["kind"] for one in told["steps"][0]} == {"role", "rule", "own"}
    for query in ("record=abc", "record=99999999", "verb=fly", "person=0", "other=1", f"field=nothing&record={client.id}"):
        assert boss.get(f"/api/v1/crm_client/_why?{query}").status_code in (400, 404), query


def test_a_refusal_leads_to_its_reasons(app, login_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    create(PersonalRight, user=li, model="crm_client", verb="create", denied=True)
    browser = login_as(li)
    page = text(browser.get("/crm_client/new"))
    assert 'href="/crm_client/_why?verb=create"' in page and browser.get("/crm_client/_why?verb=create").status_code == 200


@both_databases
def test_a_button_that_makes_no_sense_now_says_so_beside_the_rights(app, login_as, api_as, create, create_user):
    li = create_user("li", roles=["Lawyer"])
    case = create("crm_case", name="合同纠纷", client=create("crm_client", name="Far Hills", owner=li), owner=li)
    boss = login_as("boss", level="administrator")
    asked = f"/crm_case/{case.id}/_why?person={li.id}&action="
    assert "“li” may not: Reopen case" in text(boss.get(f"{asked}reopen")) and "This case is open." in text(boss.get(f"{asked}reopen"))
    assert "“li” may: Close case" in text(boss.get(f"{asked}close"))
    boss.post("/crm_case/_bulk", data={"action": "close", "ids": case.id, "confirmed": "1"})
    page = text(boss.get(f"{asked}close"))
    assert "“li” may not: Close case" in page and "This case is closed already." in page
    # Both the record and a right taken away stand against it: one of each group is needed.
    create(PersonalRight, user=li, model="crm_case", verb="close", denied=True)
    page = text(boss.get(f"{asked}close"))
    assert "Change this: This case is closed already." in page and "taken away personally" in page and "Group 2" in page
    told = api_as("boss2", level="administrator").get(f"/api/v1/crm_case/_why?record={case.id}&action=close&person={li.id}").json
    assert told["allowed"] is False and told["chains"][0][0]["kind"] == "withheld"
    assert told["chains"][0][0]["text"] == "This case is closed already."
    for query in ("action=fly", "action=close&field=name", "action=__init__"):
        assert boss.get(f"/crm_case/{case.id}/_why?{query}").status_code == 400, query


@both_databases
def test_what_the_house_keeps_itself_and_fixed_fields_are_told(app, login_as, create, create_user):
    boss = login_as("boss", level="administrator")
    page = text(boss.get("/core_mail/_why?verb=delete"))
    assert "may not" in page and "The house keeps these records itself" in page and "Nothing can change this." in page


@both_databases
def test_a_page_of_the_menu_says_why_it_is_there(app, login_as, create, create_user):
    li, gone = create_user("li", roles=["Salesperson"]), create_user("gone", level="administrator", active=False)
    browser, boss = login_as(li), login_as("boss", level="administrator")
    page = text(browser.get("/why-page?page=/settings/firm"))
    assert "The menu of “li” does not have: Firm" in page and "This page is for administrators." in page
    assert "Give the level" not in page, "what would change it is told to those who may know"
    page = text(boss.get(f"/why-page?page=/settings/firm&person={li.id}"))
    assert "Give the level of an administrator" in page
    assert "The menu of “boss” has: Firm" in text(boss.get("/why-page?page=/settings/firm"))
    # A list stands there by the right to read; its parts stand in no menu.
    assert "The menu of “li” has: Clients" in text(browser.get("/why-page?page=/crm_client/"))
    page = text(browser.get("/why-page?page=/crm_case_note/"))
    assert "does not have" in page and "stands in no menu" in page
    # A list of core is for administrators, and for those of whom nobody took it.
    assert "This page is for administrators." in text(browser.get("/why-page?page=/ab_role/"))
    page = text(boss.get(f"/why-page?page=/settings/firm&person={gone.id}"))
    assert "does not have" in page and "The account is closed" in page
    for query, status in (("page=/nothing", 404), (f"person={gone.id}", 403), ("person=x", 403)):
        assert browser.get(f"/why-page?{query}").status_code == status, query


@both_databases
def test_the_menu_and_its_why_say_the_same(app, login_as, create_user):
    """Every page of the settings and every list, for three people: it is in the menu when, and only when, “Why?” says so."""
    import re

    boss = login_as("boss", level="administrator")
    for name, values in (("li", {"roles": ["Salesperson"]}), ("chief", {"level": "administrator"}), ("nobody", {})):
        person = create_user(name, **values)
        browser = login_as(person)
        home = browser.get("/new").get_data(as_text=True) + browser.get("/").get_data(as_text=True)
        pages = re.findall(r'<option value="(/(?:crm_|core_|ab_|settings)[^"]*)"', text(boss.get("/why-page")))
        assert len(pages) > 20
        overview = browser.get("/settings/").get_data(as_text=True)
        for path in pages:
            has = "does not have" not in text(boss.get(f"/why-page?page={path}&person={person.id}"))
            shown = f'href="{path}"' in home or f'href="{path}"' in overview
            assert has == shown, (name, path)


def test_a_refused_page_of_the_settings_leads_to_its_why(login_as, create_user):
    browser = login_as(create_user("li", roles=["Salesperson"]))
    page = text(browser.get("/settings/fields/"))
    assert 'href="/why-page?page=/settings/fields/"' in page
    assert browser.get("/why-page?page=/settings/fields/crm_client").status_code == 200
