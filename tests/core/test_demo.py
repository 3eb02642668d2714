"""The demo firm: who is in it and sees what, where it is refused, and that it goes as it came."""

import pytest
from sqlalchemy import func, select

from core.db import db
from core.demo import make_firm, models_there
from core.demo_removal import remove_firm
from core.errors import Problem
from core.i18n import lazy
from core.journal import journal
from core.model import model_of
from core.notifications import kinds
from core.notifications import table as notifications
from core.people import MortiseUser
from core.records import records
from core.testing import both_databases
from core.transfer import run_export, run_import
from tests.core.sheets import everything, read

PASSWORD = "long enough 77"


def quiet(_line):
    pass


def counted():
    """{table: rows} of every model; what the house itself has sealed or remembered of sign-ins is no record."""
    there = models_there().items()
    return {table: db.session.execute(select(func.count()).select_from(model.__table__)).scalar() for table, model in there}


@pytest.fixture
def demo(app):
    """``demo()``: a small demo firm in this house."""
    return lambda clients=50, language="zh_Hans": make_firm(language, clients, PASSWORD, quiet)[0]


def sign_in(client, login):
    page = client.get("/login/").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    return client.post("/login/", data={"username": login, "password": PASSWORD, "csrf_token": token})


@both_databases
def test_the_demo_firm_goes_as_it_came_and_can_come_again(demo):
    before = counted()
    firm = demo()
    there = counted()
    assert there["crm_client"] == 50 and there["ab_user"] == before["ab_user"] + 12
    assert there["crm_case"] > 5 and there["crm_case_note"] > 5 and there["crm_contact"] > 20 and len(firm.people) == 12
    person = db.session.execute(select(MortiseUser).where(MortiseUser.username == firm.people[0].login)).scalar_one()
    next(iter(kinds().values())).send(person, lazy("Something is late."), own=True)
    db.session.commit()
    assert db.session.execute(select(func.count()).select_from(notifications)).scalar() == 1
    assert remove_firm(False, quiet) == []
    assert counted() == before and not db.session.execute(select(func.count()).select_from(notifications)).scalar()
    demo(5)
    assert counted()["crm_client"] == 5


@both_databases
def test_a_house_that_people_use_is_refused_and_nothing_is_made(demo, create):
    create("crm_client", name="a real one")
    before = counted()
    with pytest.raises(Problem, match="1 Clients") as refusal:
        demo()
    assert "This house is in use" in refusal.value.sentence and counted() == before


def test_there_is_nothing_to_remove_in_a_house_without_it(app):
    with pytest.raises(Problem, match="no demo firm"):
        remove_firm(False, quiet)


@both_databases
def test_what_people_built_upon_it_is_named_and_only_force_takes_it_along(demo, create, create_user):
    demo()
    real = create_user("real", level="administrator")
    client = records(model_of("crm_client")).find(limit=1).rows[0]
    create("crm_contact", client=client, name="真实联系人")
    create("crm_client", name="自己的客户", owner=real)
    with pytest.raises(Problem, match="1 Contacts"):
        remove_firm(False, quiet)
    assert counted()["crm_client"] == 51
    remove_firm(True, quiet)
    assert [one.name for one in records(model_of("crm_client")).find(limit=9).rows] == ["自己的客户"]
    assert counted()["crm_contact"] == 0 and counted()["ab_user"] == 2


@both_databases
def test_whoever_wrote_what_stays_keeps_a_closed_account(demo, create, acting_as):
    firm = demo()
    seller = db.session.get(MortiseUser, firm.who("sales")[0].id)
    login = seller.username
    with acting_as(seller):
        records(model_of("crm_client")).create({"name": "真实客户"})
    (sentence,) = remove_firm(False, quiet)
    assert login in sentence and "1 Clients" in sentence
    kept = records(MortiseUser).find(filter={"field": "username", "op": "is", "value": login}).rows[0]
    assert kept.active is False and counted()["ab_user"] == 2 and counted()["crm_client"] == 1


@both_databases
def test_a_salesperson_of_the_firm_signs_in_and_sees_his_own_clients(demo, client):
    firm = demo()
    seller = firm.who("sales")[0]
    Client = model_of("crm_client")
    mine = records(Client).count({"field": "owner", "op": "is", "value": seller.id})
    assert 0 < mine < 50
    assert sign_in(client, seller.login).status_code == 302
    page = client.get("/crm_client/")
    assert page.status_code == 200 and page.text.count('href="/crm_client/') >= mine
    assert client.get("/crm_case/").status_code == 403


@pytest.mark.parametrize(("language", "department"), [("en", "Legal department"), ("zh_Hans", "法务部"), ("zh_Hant", "法務部")])
def test_a_firm_speaks_its_language_and_is_the_same_each_time(demo, language, department):
    demo(8, language)
    names = [one.name for one in records(model_of("crm_client")).find(order="id", limit=20).rows]
    assert records(model_of("core_department")).count({"field": "name", "op": "is", "value": department}) == 1
    assert {one.language for one in records(MortiseUser).find(limit=20).rows} >= {"en", "zh_Hans", "zh_Hant"}
    assert all(name.isascii() for name in names) == (language == "en")
    remove_firm(False, quiet)
    demo(8, language)
    assert [one.name for one in records(model_of("crm_client")).find(order="id", limit=20).rows] == names


def test_its_journal_tells_two_years(demo):
    demo()
    rows = journal.c
    when = select(func.min(rows.at), func.max(rows.at)).where(rows.model == "crm_client", rows.verb == "create")
    first, last = db.session.execute(when).one()
    assert 600 < (last - first).days < 740
    assert db.session.execute(select(func.count()).where(rows.model == "crm_client", rows.verb == "edit")).scalar() > 3


@both_databases
@pytest.mark.parametrize(("language", "ending"), [("zh_Hans", "csv"), ("zh_Hant", "xlsx"), ("en", "csv")])
def test_all_of_it_goes_out_as_files_and_comes_in_again_without_a_change(demo, tmp_path, language, ending):
    demo(40, language)
    tables = ("crm_client", "crm_contact", "crm_case", "crm_case_note")
    before = {table: everything(table) for table in tables}
    assert all(before.values())
    for table in tables:
        path = tmp_path / f"{table}.{ending}"
        assert run_export(table, path).rows == len(before[table])
        done = run_import(table, path)
        assert (done.created, done.changed, done.refused) == (0, 0, 0), (table, str(done), done.wrong_file and read(done.wrong_file))
    assert {table: everything(table) for table in tables} == before


@both_databases
def test_the_fast_way_makes_what_the_gate_makes(demo, monkeypatch):
    monkeypatch.setattr("core.demo.BULK_FROM", 400)
    monkeypatch.setattr("core.demo.CROWD", 6)
    before = counted()
    firm = demo(400)
    Client = model_of("crm_client")
    gate = records(Client)
    some = gate.find(order="-id", limit=3).rows
    for one in some:
        assert gate.count(search=one.name) >= 1 and one.code in [each.code for each in gate.find(search=one.code).rows]
    assert gate.count({"field": "owner", "op": "is", "value": firm.who("few")[0].id}) == 20
    assert gate.count({"field": "owner", "op": "is", "value": firm.who("nobody")[0].id}) == 0
    made = gate.create({"name": "one by hand"})
    assert made.id == 401 and made.code > some[0].code
    gate.delete(made)
    rows = journal.c
    assert db.session.execute(select(func.count()).where(rows.model == "crm_client", rows.verb == "demo")).scalar() == 1
    assert remove_firm(False, quiet) == [] and counted() == before
