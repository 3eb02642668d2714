"""The page of a role's rights on one kind of record: what it shows, what saving it changes, and who may."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from core.db import db
from core.people import FieldRight, PersonalRight, RoleRight, RoleRow, Share
from core.testing import both_databases

QUIET = {"mortise_rules": False}


def role_of(name):
    return db.session.execute(select(RoleRow).where(RoleRow.name == name), execution_options=QUIET).scalars().one()


def rows(model):
    return list(db.session.execute(select(model).order_by(model.id), execution_options=QUIET).scalars())


@both_databases
def test_a_right_is_set_left_to_the_addon_again_and_undone(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    hers = create("crm_client", name="Hers", owner=wang)
    boss, role = login_as("boss", level="administrator"), role_of("Salesperson")
    url = f"/ab_role/{role.id}/_rights/crm_client"
    assert f"/ab_role/{role.id}/_rights" in boss.get(f"/ab_role/{role.id}").text
    assert url in boss.get(f"/ab_role/{role.id}/_rights").text
    page = boss.get(url).text
    assert "As the addon has it: own ones, shared ones" in page
    browser = login_as(li)
    assert browser.get(f"/crm_client/{hers.id}").status_code == 404
    assert boss.post(url, data={"verb-read": "all", "verb-edit": "none", "verb-delete": "", "field-remarks": "hidden"}).status_code == 302
    assert [(one.verb, one.scopes, one.shared) for one in rows(RoleRight)] == [("read", "all", False), ("edit", "none", False)]
    assert [(one.field_name, one.access) for one in rows(FieldRight)] == [("remarks", "hidden")]
    seen = browser.get(f"/crm_client/{hers.id}")
    assert seen.status_code == 200 and "field-remarks" not in seen.text and "but not change it" in seen.text
    page = boss.get(url).text
    assert '<option value="all" selected>' in page and '<option value="hidden" selected>' in page
    # The same again writes nothing; left to the addon, the rows go.
    assert boss.post(url, data={"verb-read": "all", "verb-edit": "none", "field-remarks": "hidden"}).status_code == 302
    assert [one.version for one in rows(RoleRight)] == [1, 1]
    assert boss.post(url, data={"verb-read": "", "verb-edit": "own below", "shared-edit": "1", "field-remarks": ""}).status_code == 302
    assert [(one.verb, one.scopes, one.shared) for one in rows(RoleRight)] == [("edit", "own below", True)]
    assert rows(FieldRight) == [] and browser.get(f"/crm_client/{hers.id}").status_code == 404


@both_databases
def test_a_tick_alone_is_a_change_too(app, login_as, create, create_user):
    wang, li = create_user("wang", roles=["Salesperson"]), create_user("li", roles=["Salesperson"])
    hers = create("crm_client", name="Hers", owner=wang)
    create(Share, model="crm_client", record_id=hers.id, user=li)
    browser, boss, role = login_as(li), login_as("boss", level="administrator"), role_of("Salesperson")
    url = f"/ab_role/{role.id}/_rights/crm_client"
    assert browser.get(f"/crm_client/{hers.id}").status_code == 200
    # The reach is left as the addon has it, only “also shared ones” is taken off; the page sends no box that is empty.
    assert boss.post(url, data={"verb-read": "", "verb-share": ""}).status_code == 302
    assert [(one.verb, one.scopes, one.shared) for one in rows(RoleRight)] == [("read", "own", False)]
    assert browser.get(f"/crm_client/{hers.id}").status_code == 404
    # Left to the addon, the tick is the addon's again.
    assert boss.post(url, data={"verb-read": "", "verb-share": ""}).status_code == 302
    assert rows(RoleRight) == [] and browser.get(f"/crm_client/{hers.id}").status_code == 200


@both_databases
def test_what_is_wrong_changes_nothing(app, login_as):
    boss, role = login_as("boss", level="administrator"), role_of("Salesperson")
    url = f"/ab_role/{role.id}/_rights/crm_client"
    answer = boss.post(url, data={"verb-read": "all", "verb-edit": "everything", "field-remarks": "gone"})
    assert answer.status_code == 422 and answer.text.count("Please choose one of the values offered.") == 2
    assert '<option value="all" selected>' in answer.text and rows(RoleRight) == []
    assert boss.get(f"/ab_role/{role.id}/_rights/nothing").status_code == 404
    assert boss.get("/ab_role/99999/_rights/crm_client").status_code == 404
    browser = login_as("li")
    assert browser.get(url).status_code in (403, 404) and browser.post(url, data={"verb-read": "all"}).status_code in (403, 404)


@both_databases
def test_a_field_that_code_hides_is_opened_for_a_role(app, login_as, create, create_user):
    boss = login_as("boss", level="administrator")
    create_user("li", roles=["Salesperson"])
    everyone = role_of("Everyone")
    url = f"/ab_role/{everyone.id}/_rights/ab_user"
    li = login_as("li")
    program = "/ab_user/?order=level"
    assert "As the addon has it: hidden" in boss.get(url).text
    before = li.get(program).text
    assert boss.post(url, data={"field-level": "open"}).status_code == 302
    assert li.get(program).text != before


@both_databases
def test_rights_of_a_colleague_are_copied_beside_or_in_place_of_ones_own(app, login_as, create, create_user, clock):
    li, wang = create_user("li", roles=["Salesperson", "Helper"]), create_user("wang", roles=["Clerk"])
    create(PersonalRight, user=li, model="crm_client", verb="delete", scopes="own")
    create(PersonalRight, user=li, model="crm_client", verb="export", denied=True)
    create(PersonalRight, user=li, model="crm_client", verb="bulk", until=clock.now() - timedelta(days=1))
    create(PersonalRight, user=wang, model="crm_client", verb="delete", scopes="own")
    create(PersonalRight, user=wang, model="crm_case", verb="read", scopes="all")
    boss = login_as("boss", level="administrator")
    url = f"/ab_user/{wang.id}/_copy-rights"
    assert url in boss.get(f"/ab_user/{wang.id}").text and boss.get(url).status_code == 200

    def rights_of(user):
        db.session.expire_all()
        mine = [(one.model, one.verb, one.denied, one.scopes) for one in rows(PersonalRight) if one.user_id == user.id]
        return sorted(one.name for one in user.role_rows), sorted(mine)

    own, gone, case = ("crm_client", "delete", False, "own"), ("crm_client", "export", True, "all"), ("crm_case", "read", False, "all")
    assert boss.post(url, data={"from": li.id, "keep": "1"}).status_code == 302
    assert rights_of(wang) == (["Clerk", "Helper", "Salesperson"], [case, own, gone])
    assert boss.post(url, data={"from": li.id}).status_code == 302
    assert rights_of(wang) == (["Helper", "Salesperson"], [own, gone])
    for wrong in ("", wang.id, "x", "99999", "9" * 30):
        assert boss.post(url, data={"from": wrong}).status_code == 422, wrong
    equal = create_user("equal", level="administrator")
    assert boss.post(f"/ab_user/{equal.id}/_copy-rights", data={"from": li.id}).status_code in (403, 422)
    assert rights_of(equal) == ([], [])
    assert login_as(li).get(url).status_code == 403
