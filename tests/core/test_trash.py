"""The trash: what was deleted comes back with all that went along, for those who may, until it is emptied."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from core.db import db
from core.errors import Conflict, Missing, Refused
from core.journal import journal
from core.journal_jobs import empty_trash
from core.model import model_of
from core.people import Share
from core.records import records
from core.testing import both_databases
from core.trash import deleted, restore
from tests.core.test_journal_keep import seal_all


def rows(**where):
    return db.session.execute(select(journal.c.id).filter_by(verb="delete", **where).order_by(journal.c.id)).scalars().all()


@both_databases
def test_one_of_many_comes_back_with_its_lines_shares_and_links(app, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang")
    kept, gone = create("crm_client", name="Far Hills", owner=li), create("crm_client", name="Near Hills", owner=li)
    ada, ben = create("crm_contact", client=kept, name="Ada"), create("crm_contact", client=gone, name="Ben")
    create(Share, model="crm_client", record_id=kept.id, user=wang, access="read")
    ids = kept.id, gone.id, ada.id, ben.id
    chief = login_as("deputy", level="administrator")
    form = {"action": "delete", "ids": [ids[0], ids[1]], "confirmed": "1"}
    assert chief.post("/crm_client/_bulk", data=form).status_code == 302
    client, contact = model_of("crm_client"), model_of("crm_contact")
    count = lambda model: db.session.execute(select(func.count()).select_from(model)).scalar_one()  # noqa: E731
    assert count(client) == count(contact) == count(Share) == 0
    page = chief.get("/trash").text
    assert "Far Hills" in page and "Near Hills" in page and "Ada" not in page and page.count("with 1 line") == 2
    (number,) = rows(model="crm_client", record_id=ids[0])
    answer = chief.post(f"/trash/{number}", follow_redirects=True)
    assert answer.status_code == 200 and "is back." in answer.text
    assert db.session.execute(select(client.id)).scalars().all() == [ids[0]]
    assert db.session.execute(select(contact.id, contact.name)).all() == [(ids[2], "Ada")]
    assert count(Share) == 1
    page = chief.get("/trash").text
    assert "Far Hills" not in page and "Near Hills" in page
    assert "there again already" in chief.post(f"/trash/{number}", follow_redirects=True).text
    # A search finds it again.
    assert "Far Hills" in chief.get("/crm_client/?q=Far").text


@both_databases
def test_a_line_deleted_alone_is_an_entry_and_a_link_that_was_let_go_points_again(app, acting_as, create, create_user):
    chief = create_user("chief", level="system_administrator")
    head = create("core_department", name="Firm")
    below = create("core_department", name="Shop", parent=head)
    client = create("crm_client", name="Far Hills")
    ada = create("crm_contact", client=client, name="Ada")
    with acting_as(chief):
        records(model_of("crm_contact")).delete(ada)
        db.session.commit()
        entries, after = deleted(model_of("crm_contact"))
        assert [(one.title, one.parts) for one in entries] == [("Ada", 0)] and after is None
        with_parent = model_of("core_department")
        records(with_parent).delete(head)
        db.session.commit()
        assert db.session.get(with_parent, below.id).parent_id is None
        (number,) = rows(model="core_department")
        back = restore(number)
        db.session.commit()
        db.session.expire_all()
        assert db.session.get(with_parent, below.id).parent_id == back.id


@both_databases
def test_one_sees_his_own_deletions_and_an_administrator_all_of_them(app, login_as, acting_as, create, create_user):
    li, wang = create_user("li", roles=["Sales manager"]), create_user("wang", roles=["Salesperson"])
    mine, hers = create("crm_client", name="Far Hills", owner=wang), create("crm_client", name="Near Hills", owner=wang)
    ids = mine.id, hers.id
    with acting_as(create_user("chief", level="administrator")):
        records(model_of("crm_client")).delete(mine)
        db.session.commit()
    (number,) = rows(model="crm_client", record_id=ids[0])
    browser = login_as(wang)
    assert "Far Hills" not in browser.get("/trash").text
    assert browser.post(f"/trash/{number}").status_code == 404
    assert browser.post("/trash/999999999").status_code == 404 and login_as(li).get("/trash?model=nothing&before=x").status_code == 200
    with acting_as(wang), pytest.raises(Missing):
        restore(number)
    assert "Far Hills" in login_as("deputy", level="administrator").get("/trash?model=crm_client").text


@both_databases
def test_who_may_make_no_such_records_brings_none_back(app, acting_as, create, create_user):
    li = create_user("li")
    for verb in ("read", "delete"):
        create("core_personal_right", user=li, model="crm_client", verb=verb, scopes="all")
    client = create("crm_client", name="Far Hills")
    with acting_as(li):
        records(model_of("crm_client")).delete(client)
        db.session.commit()
        (number,) = rows(model="crm_client")
        assert [one.title for one in deleted()[0]] == ["Far Hills"]
        with pytest.raises(Refused, match="may not make"):
            restore(number)


@both_databases
def test_the_trash_is_emptied_on_its_day_and_says_so(app, acting_as, create, create_user, clock):
    clock.set(datetime(2030, 1, 31, 12))
    client = create("crm_client", name="Far Hills")
    with acting_as(create_user("chief", level="system_administrator")):
        records(model_of("crm_client")).delete(client)
        db.session.commit()
        (number,) = rows(model="crm_client")
        seal_all()
        from core.settings import set_setting

        set_setting("trash.keep_days", 30)
        db.session.commit()
        for moment, there in ((datetime(2030, 3, 2, 11, 59, 59), 1), (datetime(2030, 3, 2, 12, 0, 1), 0)):
            clock.set(moment)
            empty_trash()
            db.session.commit()
            assert len(deleted()[0]) == there, moment
        with pytest.raises(Conflict, match="emptied since"):
            restore(number)
        assert "Far Hills" not in db.session.execute(select(journal.c.changes).where(journal.c.id == number)).scalar_one()
        seal_all()
        from core.journal_keep import check

        assert check().fine
        told = db.session.execute(select(journal.c.changes).where(journal.c.verb == "journal-erased")).scalar_one()
        assert f"[{number}" in told or f",{number}" in told or f"{number}]" in told


@both_databases
def test_without_the_worker_what_is_over_is_no_entry_any_more(app, acting_as, create, create_user, clock):
    clock.set(datetime(2030, 1, 31, 12))
    client = create("crm_client", name="Far Hills")
    with acting_as(create_user("chief", level="system_administrator")):
        records(model_of("crm_client")).delete(client)
        db.session.commit()
        clock.advance(timedelta(days=365))
        assert len(deleted()[0]) == 1
        clock.advance(timedelta(seconds=1))
        assert deleted()[0] == []
        (number,) = rows(model="crm_client")
        with pytest.raises(Conflict, match="emptied since"):
            restore(number)


@both_databases
def test_pages_of_the_trash_follow_each_other(app, acting_as, create, create_user):
    with acting_as(create_user("chief", level="system_administrator")):
        gate = records(model_of("crm_client"))
        made = [gate.create({"name": f"Client {number:02}"}) for number in range(25)]
        db.session.commit()
        for one in made:
            gate.delete(one)
        db.session.commit()
        seen, after = [], None
        for _page in range(5):
            entries, after = deleted(model_of("crm_client"), after, 10)
            seen += [one.title for one in entries]
            if after is None:
                break
        assert seen == [f"Client {number:02}" for number in range(24, -1, -1)]


@both_databases
def test_the_trash_gives_nobody_a_right_that_he_could_not_give(app, login_as, acting_as, create, create_user):
    peer = create_user("peer", level="administrator")
    with acting_as(create_user("chief", level="system_administrator")):
        gate = records(model_of("core_personal_right"))
        denial = gate.create({"user": peer.id, "model": "crm_client", "verb": "delete", "denied": True})
        db.session.commit()
        gate.delete(denial)
        db.session.commit()
    (number,) = rows(model="core_personal_right")
    deputy, boss = create_user("deputy", level="administrator"), create_user("boss", level="system_administrator")
    for who, status in ((deputy, 0), (peer, 0), (boss, 1)):
        login_as(who).post(f"/trash/{number}")
        kept = db.session.execute(select(func.count()).select_from(model_of("core_personal_right"))).scalar_one()
        assert kept == status, who.username
