"""An attack on the journal that makes its own entries unreadable, or hides below the first number, is named like any other."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert, select, text, update

from core.db import db
from core.journal import journal
from core.journal_erase import erase
from core.journal_keep import CHECKED, check, remove
from core.model import model_of
from core.testing import both_databases
from tests.core.test_journal_keep import seal_all, sealed  # noqa: F401 - a fixture

UNREADABLE = ("{}", "[]", "not JSON", '{"rows":7,"segments":[{}],"verbs":"read","seal":"x","person":[]}')


@both_databases
def test_an_entry_of_the_journal_itself_that_was_altered_is_named(sealed):  # noqa: F811
    erase(model_of("crm_client"), sealed[0])
    db.session.commit()
    remove(datetime(2030, 2, 1))
    db.session.commit()
    seal_all()
    assert check().fine
    for verb in ("journal-erased", "journal-removed"):
        seal = db.session.execute(select(journal.c.seal).where(journal.c.verb == verb)).scalar_one()
        for said in UNREADABLE:
            db.session.execute(update(journal).where(journal.c.seal == seal).values(changes=said))
            faults = check().faults
            assert any(f"(seal {seal}," in one for one in faults), (verb, said, faults)
            db.session.rollback()
    assert check().fine


@both_databases
def test_a_row_below_the_first_number_is_named(sealed):  # noqa: F811
    stored = db.session.execute(select(journal).where(journal.c.seal == 1)).mappings().one()
    for number in (0, -7):
        db.session.execute(insert(journal).values(**{**stored, "id": 90_000, "seal": number}))
        faults = check().faults
        assert len(faults) == 1 and f"seal {number}," in faults[0], faults
        db.session.rollback()
    assert check().fine


def test_what_no_column_takes_is_named(sealed):  # noqa: F811
    assert db.is_sqlite, "PostgreSQL would not store it"
    for what in ("at = 'never'", "changes = x'00ff'", "user_id = 'me'", "veil = 7"):
        db.session.execute(text(f"UPDATE core_journal SET {what} WHERE seal = 2"))
        faults = check().faults
        assert len(faults) == 1 and "seal 2," in faults[0], (what, faults)
        db.session.rollback()


@both_databases
def test_lists_of_the_past_say_no_when_the_entry_of_what_was_taken_out_was_altered(sealed, login_as):  # noqa: F811
    remove(datetime(2030, 2, 1))
    db.session.commit()
    chief = login_as("boss", level="system_administrator")
    assert chief.get("/api/v1/crm_client/?as_of=2030-03-20").status_code == 200
    for said in UNREADABLE:
        db.session.execute(update(journal).where(journal.c.verb == "journal-removed").values(changes=said))
        db.session.commit()
        answer = chief.get("/api/v1/crm_client/?as_of=2030-03-20")
        assert answer.status_code == 400 and "was cleared since" in answer.text, (said, answer.text)


@both_databases
def test_the_page_opens_when_the_entry_of_the_last_check_was_altered(app, login_as):
    from core.jobs import run_jobs

    chief = login_as("chief", level="system_administrator")
    chief.post("/settings/journal/check")
    run_jobs(once=True)
    for said in UNREADABLE:
        db.session.execute(update(journal).where(journal.c.verb == CHECKED).values(changes=said))
        db.session.commit()
        page = chief.get("/settings/journal/keep")
        assert page.status_code == 200 and "is not as it was sealed" in page.text, said
        assert chief.get("/settings/journal").status_code == 200, said
