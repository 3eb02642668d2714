"""What the house tells people by itself: shares, records that become theirs, their jobs and their account."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.context import now, system
from core.db import db
from core.job_runner import perform
from core.model import model_of
from core.notification_list import page
from core.people import Post, Share, Team
from core.records import records
from core.sharing import clean, share
from core.telling import tell_of_ending_shares
from core.testing import both_databases, statements
from tests.core.bells import stored, told


@pytest.fixture
def li(create_user):
    return create_user("li", roles=["Salesperson"], name="Li Wei")


@pytest.fixture
def wang(create_user):
    return create_user("wang", roles=["Salesperson"], name="Wang Fang")


@both_databases
def test_a_share_is_told_to_whom_it_opens_and_to_nobody_else(app, acting_as, create, li, wang, create_user):
    create_user("third", roles=["Salesperson"])
    client, model = create("crm_client", name="Far Hills", owner=li), model_of("crm_client")
    with acting_as(li):
        share(model, [client.id], clean(model, {"users": [wang.id]}))
        db.session.rollback()
    assert stored() == []
    with acting_as(li):
        share(model, [client.id], clean(model, {"users": [wang.id]}))
        db.session.commit()
    assert told(wang, acting_as) == [("Li Wei shares this with you.", "Far Hills")]
    assert {one.user_id for one in stored()} == {wang.id}


@both_databases
def test_departments_and_teams_are_told_by_their_people_and_a_batch_is_one_entry(app, acting_as, create, create_user, li, wang):
    east = create("core_department", name="East")
    create(Post, user=wang, department=east)
    create(Post, user=li, department=east)
    gone = create_user("gone", roles=["Salesperson"], active=False)
    stranger = create_user("stranger")
    pair, model = create(Team, name="Pair", members=[wang, gone, stranger]), model_of("crm_client")
    made = [create("crm_client", name=f"Client {number}", owner=li).id for number in range(30)]
    with acting_as(li):
        share(model, made, clean(model, {"departments": [east.id], "teams": [pair.id], "users": [wang.id, li.id]}))
        db.session.commit()
    # Who may not read clients at all is not told of them, and nobody hears of his own deed.
    assert [(one.user_id, one.count, one.record_id) for one in stored()] == [(wang.id, 30, None)]
    assert told(wang, acting_as) == [("Li Wei shares 30 records with you: Clients.", "")]


@both_databases
def test_what_becomes_mine_is_told_and_what_i_do_myself_is_not(app, acting_as, login_as, create, create_user, li, wang):
    head = create_user("head", level="administrator", name="Head")
    client = create("crm_client", name="Far Hills", owner=li)
    assert stored() == []
    with acting_as(head):
        records(model_of("crm_client")).edit(client.id, {"owner": wang.id})
        db.session.commit()
        records(model_of("crm_client")).edit(client.id, {"owner": head.id})
        db.session.commit()
        records(model_of("crm_client")).create({"name": "New", "owner": wang.id})
        db.session.commit()
    assert [(one.user_id, one.count) for one in stored()] == [(wang.id, 1), (wang.id, 1)]
    # Far Hills is the head's now: its entry is not there any more.
    assert told(wang, acting_as) == [("Head has made this yours.", "New")]
    for owner in (wang, head, wang):
        with acting_as(head):
            records(model_of("crm_client")).edit(client.id, {"owner": owner.id})
            db.session.commit()
    page_of_his = login_as(wang).get("/notifications").text
    assert page_of_his.count("Far Hills") == 2 and "3 times" in page_of_his  # once as its title, once in the name of its button
    assert len(stored(wang)) == 2


@both_databases
def test_an_import_of_many_rows_is_one_entry_for_each_new_owner(app, acting_as, create_user, li, wang):
    from core.hooks import has

    model = model_of("crm_client")
    head = create_user("head", level="administrator", name="Head")
    assert not has("after_save", model)
    with acting_as(head):
        for chunk in range(3):
            rows = [{"name": f"Client {chunk} {number}", "owner": (li, wang)[number % 2].id} for number in range(500)]
            with statements() as found:
                assert all(one.errors is None for one in records(model).create_many(rows, sketched=True))
            about = [one for one in found if "core_notification" in one]
            assert len(about) == 1, about
            db.session.commit()
        # After the first chunk, nothing is asked of the new owners any more.
        assert not [one for one in found if "core_preference" in one]
    assert [(one.user_id, one.count) for one in stored()] == [(li.id, 750), (wang.id, 750)]
    assert told(li, acting_as) == [("Head has made 750 records yours: Clients.", "")]


@both_databases
def test_my_jobs_tell_how_they_ended(app, acting_as, login_as, create_user):
    from core.jobs import core_job
    from core.transfer.export_jobs import write_export

    head = create_user("head", level="administrator", name="Head")
    with acting_as(head):
        good = write_export.later(table="crm_client", ending="csv")
        db.session.commit()
    assert perform()
    with acting_as(head):
        bad = write_export.later(table="nothing", ending="csv")
        db.session.execute(core_job.update().where(core_job.c.id == bad).values(attempts=9))
        db.session.commit()
    assert perform()
    db.session.expire_all()
    with acting_as(head):
        newest, oldest = page()[0]
    assert "is done" in oldest.text and oldest.url == f"/jobs/#job-{good}" and "has failed" in newest.text and newest.url.endswith(str(bad))
    assert 'data-bell="2"' in login_as(head).get("/").text


@both_databases
def test_my_account_tells_who_has_changed_it(app, login_as, acting_as, create_user, wang):
    chief = create_user("chief", level="system_administrator", name="Chief")
    browser = login_as(chief)
    assert browser.post("/ab_user/_bulk", data={"action": "give_password", "ids": [wang.id], "confirmed": "1"}).status_code == 302
    with acting_as(chief):
        records(model_of("ab_user")).edit(wang.id, {"level": "administrator"})
        records(model_of("ab_user")).edit(wang.id, {"phone": "13800001111"})
        db.session.commit()
    found = [one[0] for one in told(wang, acting_as)]
    assert found == ["Chief has changed your level or your roles.", "Chief has given you a new password."]
    with acting_as(chief):
        records(model_of("ab_user")).edit(chief.id, {"phone": "13800001111"})
        db.session.commit()
    assert stored(chief) == []


@both_databases
def test_a_share_that_ends_within_a_day_is_told_once(app, acting_as, create, li, wang):
    client = create("crm_client", name="Far Hills", owner=li)
    create(Share, model="crm_client", record_id=client.id, user=wang, access="read", until=now() + timedelta(hours=20))
    create(Share, model="crm_client", record_id=client.id, user=li, access="read", until=now() + timedelta(days=3))
    with system("night"):
        tell_of_ending_shares()
        db.session.commit()
    assert told(wang, acting_as) == [("This is shared with you for one more day.", "Far Hills")]
    assert len(stored()) == 1
