"""What entries say of one person, and of old kinds, is taken away; the entries stay, and nobody takes anything away unseen."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from core.accounts import sessions, sign_ins
from core.context import now
from core.db import db
from core.errors import Conflict, Missing, Refused
from core.jobs import run_jobs
from core.journal import batches, journal
from core.journal_erase import Erased, account_named, erase_person, thin
from core.journal_jobs import KINDS, kept_since, thin_old_entries
from core.journal_keep import ERASED, THINNED, check, remove
from core.people import MortiseUser
from core.settings import set_setting
from core.testing import both_databases
from tests.core.test_journal_keep import seal_all
from tests.core.test_journal_pages import checked

column = journal.c


def rows(*where):
    db.session.rollback()
    return db.session.execute(select(journal).where(*where).order_by(column.id)).mappings().all()


@pytest.fixture
def anna(app, login_as, create_user, clock):
    """An employee who has signed in with her password, made a client and gone; everything sealed."""
    clock.set(datetime(2031, 1, 10, 9))
    made = create_user("anna", roles=["Salesperson"])
    made.email = "anna@home.example"
    db.session.commit()
    her = login_as(made)
    her.post("/crm_client/new", data={"name": "Far Hills", "_once": "a"}, environ_overrides={"REMOTE_ADDR": "203.0.113.7"})
    came = {"user_id": made.id, "at": now(), "worked": True, "door": "screen", "address": "203.0.113.7", "agent": "Firefox"}
    db.session.execute(insert(sign_ins).values(came))
    db.session.commit()
    seal_all()
    return made.id


@both_databases
def test_a_persons_values_and_addresses_go_from_the_browser_and_the_chain_holds(app, anna, login_as):
    chief = login_as("chief", level="system_administrator")
    seal_all()
    before = rows(column.user_id == anna)
    assert {one["address"] for one in before} == {"203.0.113.7"} and "anna@home.example" in str(rows(column.model == "ab_user"))
    page = chief.post("/settings/journal/erase-person", data={"person": "anna", "again": "ann"}, follow_redirects=True).text
    assert "twice the same" in page
    page = chief.post("/settings/journal/erase-person", data={"person": "nobody", "again": "nobody"}, follow_redirects=True).text
    assert "There is no account" in page
    assert "Once more" in chief.get("/settings/journal/keep").text
    chief.post("/settings/journal/erase-person", data={"person": "anna", "again": "anna"})
    run_jobs(once=True)
    after = rows(column.user_id == anna)
    assert [(one["id"], one["verb"], one["record_id"], one["changes"]) for one in after] == [
        (one["id"], one["verb"], one["record_id"], one["changes"]) for one in before
    ], "what she did to others' records is still told, and that it was she"
    assert {one["address"] for one in after} == {None}
    assert "anna@home.example" not in str(rows())
    for table in (sign_ins, sessions):
        kept = db.session.execute(select(table.c.address, table.c.agent).where(table.c.user_id == anna)).all()
        assert kept and {tuple(one) for one in kept} == {(None, None)}, table.name
    seal_all()
    assert "The journal is whole." in checked(chief) and check().erased > len(after)


@both_databases
def test_nothing_is_taken_away_without_an_entry_and_nothing_is_put_in_its_place(app, anna, acting_as, create_user):
    with acting_as(create_user("clerk")), pytest.raises(Refused, match="Only an administrator"):
        erase_person(anna)
    boss = create_user("boss", level="administrator")
    seal_all()
    with acting_as(boss):
        found = erase_person(anna)
        assert found.values and found.addresses and not found.older
        db.session.commit()
        with pytest.raises(Conflict, match="kept no values of this person"):
            erase_person(anna)
        db.session.rollback()
    seal_all()
    assert check().fine
    # Once more, of what came later and has no address: what the first entry says holds on.
    db.session.get(MortiseUser, anna).email = "anna@new.example"
    db.session.commit()
    seal_all()
    with acting_as(boss):
        assert erase_person(anna) == Erased(1, 0, 0)
        db.session.commit()
    seal_all()
    assert check().fine and "anna@new.example" not in str(rows())
    hers, others = rows(column.user_id == anna)[0]["id"], rows(column.user_id.is_(None), column.address_veil.is_not(None))[0]["id"]
    attacks = {
        "another address in its place": update(journal).where(column.id == hers).values(address="10.0.0.1"),
        "another person": update(journal).where(column.id == hers).values(user_id=boss.id),
        "another digest": update(journal).where(column.id == hers).values(address_veil="0" * 64),
        "another random number": update(journal).where(column.id == others).values(veil="0" * 16),
        "as if it were older": update(journal).where(column.id == others).values(veil=None),
        "the entry is gone": delete(journal).where(column.verb == ERASED),
    }
    for name, attack in attacks.items():
        db.session.execute(attack)
        assert not check().fine, name
        db.session.rollback()
    assert check().fine


@both_databases
def test_an_address_taken_away_from_somebody_else_is_found(app, anna, login_as, acting_as, create_user):
    from core.seal import veiled

    one = rows(column.user_id == anna, column.address.is_not(None))[0]
    for values in (
        {"address": None, "address_veil": veiled(one["address_veil"], one["address"])},
        {
            "user_id": None,
            "record_id": 0,
            "veil": veiled(one["veil"], [one["user_id"], one["behalf_id"], one["record_id"], one["part_of_id"]]),
        },
    ):
        db.session.execute(update(journal).where(column.id == one["id"]).values(values))
        (fault,) = check().faults
        assert "was emptied, and no entry says so" in fault
        db.session.rollback()


@both_databases
def test_an_account_is_named_by_its_sign_in_name_or_when_gone_by_its_number(app, anna):
    assert account_named(" Anna ") == anna == account_named(str(anna))
    for wrong in ("", "nobody", "0", "99999999", "９"):
        with pytest.raises(Missing):
            account_named(wrong)


# -- how long kinds are kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "months", "zone", "expected"),
    [
        ("2026-11-28 10:00", 0, "UTC", None),
        # The last moment of a month, and the first of the next.
        ("2026-11-30 23:59:59", 1, "UTC", "2026-10-01 00:00"),
        ("2026-12-01 00:00", 1, "UTC", "2026-11-01 00:00"),
        ("2026-12-31 23:59:59", 12, "UTC", "2025-12-01 00:00"),
        ("2027-01-01 00:00", 12, "UTC", "2026-01-01 00:00"),
        # February with and without its leap day.
        ("2028-02-29 12:00", 1, "UTC", "2028-01-01 00:00"),
        ("2028-03-01 00:00", 1, "UTC", "2028-02-01 00:00"),
        ("2027-02-28 23:59", 1, "UTC", "2027-01-01 00:00"),
        ("2027-03-01 00:00", 1, "UTC", "2027-02-01 00:00"),
        ("2028-02-29 16:00", 1, "Asia/Shanghai", "2028-01-31 16:00"),
    ],
)
def test_a_kind_is_kept_for_full_months_of_the_firm(moment, months, zone, expected):
    found = kept_since(datetime.fromisoformat(moment), months, 0, zone)
    assert found == (datetime.fromisoformat(expected) if expected else None)


@both_databases
def test_each_kind_says_who_it_was_until_its_months_are_over_and_changes_always(app, login_as, clock):
    boss_id, last = {}, datetime(2031, 1, 31, 15, 59)  # the firm is in Shanghai: the last minute of its January
    for moment in (last - timedelta(days=1), last, last + timedelta(minutes=1)):
        clock.set(moment)
        boss = login_as("boss", level="administrator")
        set_setting("journal.read_models", "crm_tag")
        db.session.commit()
        boss.post("/crm_tag/new", data={"name": f"{moment:%d %H:%M}"})
        boss.get("/crm_tag/")
        boss.post("/crm_tag/_printed")
        boss_id = db.session.execute(text("SELECT id FROM ab_user WHERE username = 'boss'")).scalar_one()
        db.session.rollback()
    seal_all()

    def named(*verbs: str) -> list[bool]:
        return [one["user_id"] == boss_id for one in rows(column.model.in_(["crm_tag", ""]), column.verb.in_(verbs))]

    def night(moment: datetime) -> None:
        clock.set(moment)
        thin_old_entries()
        db.session.commit()
        seal_all()
        assert check().fine

    night(datetime(2032, 1, 1))
    assert named("read", "print") == [True] * 6 and not rows(column.verb == THINNED)
    set_setting("journal.reading_months", 2)
    db.session.commit()
    night(datetime(2031, 3, 31, 15, 59, 59))
    assert named("read") == [True] * 3, "January is over by two months when March is"
    night(datetime(2031, 3, 31, 16))
    assert named("read") == [False, False, True] and named("print") == named("create") == [True] * 3
    for one in rows(column.verb == "read")[:2]:
        assert (one["record_id"], one["changes"], one["address"], one["behalf_id"]) == (0, "{}", None, None) and one["at"].year == 2031
        assert not db.session.execute(select(batches.c.user_id).where(batches.c.id == one["batch_id"])).scalar()
    night(datetime(2031, 3, 31, 17))
    assert len(rows(column.verb == THINNED)) == 1
    set_setting("journal.file_months", 1)
    db.session.commit()
    night(datetime(2031, 4, 1))
    assert named("print") == [False] * 3 and named("create") == [True] * 3
    chief = login_as("chief", level="system_administrator")
    page = chief.get("/settings/journal?verb=read").text
    assert "No longer kept" in page and "boss" in page


@both_databases
def test_who_empties_more_than_the_entry_says_is_found(app, login_as, clock):
    from core.seal import veiled, whom

    clock.set(datetime(2031, 1, 31, 12))
    boss = login_as("boss", level="administrator")
    boss.post("/crm_tag/new", data={"name": "a"})
    boss.post("/crm_tag/_printed")
    clock.set(datetime(2031, 3, 1, 12))
    boss = login_as("boss")
    boss.post("/crm_tag/_printed")
    seal_all()
    assert thin(KINDS["journal.file_months"], datetime(2031, 2, 1)) == 1 and thin(KINDS["journal.file_months"], datetime(2031, 2, 1)) == 0
    db.session.commit()
    seal_all()
    assert check().fine and check().erased == 1
    for verb in ("create", "print"):
        one = rows(column.verb == verb, column.model == "crm_tag")[-1]
        gone = {"user_id": None, "behalf_id": None, "record_id": 0, "part_of_id": None, "veil": veiled(one["veil"], whom(one))}
        db.session.execute(update(journal).where(column.id == one["id"]).values(gone))
        assert len(check().faults) == 1, verb
        db.session.rollback()
    thinned = rows(column.verb == "print")[0]["id"]
    for put_in in ({"user_id": 1}, {"record_id": 5}, {"address": "10.0.0.1"}, {"at": datetime(2031, 1, 1)}, {"verb": "read"}):
        db.session.execute(update(journal).where(column.id == thinned).values(put_in))
        assert len(check().faults) == 1, put_in
        db.session.rollback()
    from core.context import Actor, acting

    with acting(Actor(system=True)):
        remove(datetime(2031, 2, 1))
        db.session.commit()
    seal_all()
    assert check().fine and not rows(column.id == thinned) and rows(column.verb == THINNED)


@both_databases
def test_the_settings_stand_on_the_page_and_take_whole_numbers_alone(app, login_as):
    chief, boss = login_as("chief", level="system_administrator"), login_as("boss", level="administrator")
    names = ("keep_months", "sign_in_months", "reading_months", "file_months")
    page = chief.get("/settings/journal/keep").text
    assert all(f'name="{one}"' in page for one in names) and 'name="file_months"' not in boss.get("/settings/journal/keep").text
    chief.post("/settings/journal/months", data=dict(zip(names, ("60", "6", "12", "24"), strict=True)))
    page = chief.get("/settings/journal/keep").text
    assert all(f'name="{name}" type="number" min="0" max="1200" required value="{months}"' in page for name, months in (
        ("sign_in_months", 6), ("reading_months", 12), ("file_months", 24),
    ))  # fmt: skip
    wrong = chief.post("/settings/journal/months", data={"keep_months": "5", "reading_months": "-1"}, follow_redirects=True).text
    assert "alert-triangle" in wrong and 'value="60"' in wrong and 'value="12"' in wrong
    assert db.session.execute(select(func.count()).select_from(journal).where(column.model == "core_setting")).scalar_one() >= 4
