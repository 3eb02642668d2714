"""A write that is asked for twice has one effect: keys of programs, forms posted twice, and two at the same moment."""

from __future__ import annotations

import io
import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from core.db import db
from core.idempotency import AnsweredOnce, forget_old_answers
from core.jobs import core_job
from core.model import model_of
from core.people import PersonalRight
from core.testing import both_databases
from core.transfer.draft_tables import core_import

KEYS = AnsweredOnce.__table__


def count(table=None):
    """How many tags there are, or rows of another table."""
    db.session.rollback()
    query = select(func.count()).select_from(model_of("crm_tag").__table__ if table is None else table)
    return db.session.execute(query, execution_options={"mortise_rules": False}).scalar_one()


def make(api, key, name="华东", table="crm_tag"):
    return api.post(f"/api/v1/{table}/", json={"name": name}, headers={"Idempotency-Key": key})


@both_databases
def test_a_retried_call_makes_one_record_and_hears_the_same(app, api_as):
    api = api_as("boss", level="administrator")
    first, again = make(api, "a-1"), make(api, "a-1")
    assert first.status_code == again.status_code == 201
    assert again.data == first.data and again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first.headers
    assert count() == 1
    assert make(api, "a-2", "华南").status_code == 201 and count() == 2
    # Without a key each call is one of its own.
    assert api.post("/api/v1/crm_tag/", json={"name": "华北"}).status_code == 201 and count() == 3


@both_databases
def test_edits_and_deletions_happen_once_too(app, api_as, create):
    api = api_as("boss", level="administrator")
    tag_id = create("crm_tag", name="华东").id
    for verb, status, more in (("put", 200, {"json": {"name": "华东区"}}), ("delete", 200, {})):
        first, again = (getattr(api, verb)(f"/api/v1/crm_tag/{tag_id}", headers={"Idempotency-Key": verb}, **more) for _turn in "12")
        assert first.status_code == status and again.status_code == status and first.data == again.data
    assert api.delete(f"/api/v1/crm_tag/{tag_id}").status_code == 404


@both_databases
def test_a_key_for_something_else_is_refused_and_bad_keys_too(app, api_as):
    api = api_as("boss", level="administrator")
    make(api, "a-1")
    other = make(api, "a-1", "华南")
    assert other.status_code == 422 and other.json["error"] == "idempotency_key_reused" and "another request" in other.json["message"]
    assert api.delete("/api/v1/crm_tag/1", headers={"Idempotency-Key": "a-1"}).status_code == 422
    for bad in ("", "x" * 256, "键"):
        done = api.post("/api/v1/crm_tag/", json={"name": "x"}, headers={"Idempotency-Key": bad.encode().decode("latin-1")})
        assert done.status_code == 400 and "plain signs" in done.json["message"], bad
    assert count() == 1


@both_databases
def test_what_was_refused_may_be_tried_again_with_the_same_key(app, api_as):
    api = api_as("boss", level="administrator")
    assert make(api, "a-1", "").status_code == 422
    assert make(api, "a-1").status_code == 201 and count() == 1


@both_databases
def test_a_key_belongs_to_its_person_and_to_what_he_might_do(app, api_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    his, hers = api_as(li), api_as("wang", roles=["Salesperson"])
    first = make(his, "a-1", "华东物流", "crm_client")
    assert first.status_code == 201
    other = make(hers, "a-1", "华东物流", "crm_client")
    assert other.status_code != 422 and "Idempotency-Replayed" not in other.headers
    create(PersonalRight, user=li, model="crm_client", verb="read", denied=True)
    again = make(his, "a-1", "华东物流", "crm_client")
    assert again.status_code == 422 and "华东物流" not in again.text


@both_databases
def test_keys_are_forgotten_after_a_day(app, api_as, clock):
    api = api_as("boss", level="administrator")
    make(api, "a-1")
    clock.advance(timedelta(hours=23, minutes=50))
    forget_old_answers()
    db.session.commit()
    assert make(api_as("boss"), "a-1").headers.get("Idempotency-Replayed") == "true"
    clock.advance(timedelta(minutes=11))
    assert make(api_as("boss"), "a-1", "华南").status_code == 201 and count() == 2
    clock.advance(timedelta(days=2))
    forget_old_answers()
    db.session.commit()
    assert count(KEYS) == 0


def test_answers_are_kept_sealed(app, api_as):
    make(api_as("boss", level="administrator"), "a-1", "华东物流")
    db.session.rollback()
    answer = db.session.execute(select(KEYS.c.answer), execution_options={"mortise_rules": False}).scalar_one()
    assert "华东" not in answer and "name" not in answer and answer.startswith("gAAAA")


def word_of(page: str) -> str:
    return page.split('name="_once" value="')[1].split('"')[0]


@both_databases
def test_a_form_posted_twice_makes_one_record_and_leads_to_it(app, login_as):
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/crm_tag/new").text)
    done = [boss.post("/crm_tag/new", data={"name": "华东", "_once": word}) for _turn in range(2)]
    assert [one.status_code for one in done] == [302, 302] and done[0].location == done[1].location and count() == 1
    # Filled in anew it is another request; a new page has a new word.
    assert boss.post("/crm_tag/new", data={"name": "华南", "_once": word}).status_code == 302 and count() == 2
    assert word_of(boss.get("/crm_tag/new").text) != word


@both_databases
def test_a_form_with_a_mistake_goes_on_and_a_question_is_asked_again(app, login_as, create):
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/crm_tag/new").text)
    for _turn in range(2):
        assert boss.post("/crm_tag/new", data={"name": "", "_once": word}).status_code == 422
    tag = create("crm_tag", name="华东")
    for _turn in range(2):
        asked = boss.post("/crm_tag/_bulk", data={"action": "delete", "ids": tag.id, "_once": word})
        assert asked.status_code == 200 and "华东" in asked.text
    assert count() == 1


def test_a_page_that_tells_a_secret_once_does_not_make_another(app, login_as):
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/account/keys").text)
    first, again = (boss.post("/account/keys", data={"name": "Kassenbuch", "reach": "read", "_once": word}) for _turn in "12")
    assert first.status_code == 200 and again.status_code == 409 and "sent already" in again.text
    assert boss.get("/account/keys").text.count(">Kassenbuch<") == 1


def test_a_file_is_fetched_as_often_as_one_likes(app, login_as, create):
    create("crm_client", name="华东物流")
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/crm_client/_export/ask").text)
    done = [boss.post("/crm_client/_export", data={"fields": "name", "format": "csv", "_once": word}) for _turn in range(2)]
    assert [one.status_code for one in done] == [200, 200] and all("华东物流" in one.get_data(as_text=True) for one in done)


@pytest.mark.parametrize("turn", range(3))
@both_databases
def test_two_at_the_same_moment_have_one_effect(app, api_as, turn):
    """Real threads, connections and transactions."""
    boss = api_as("boss", level="administrator")
    headers = {**boss.headers, "Idempotency-Key": f"both-{turn}"}
    db.session.commit()
    db.remove()
    start, answers = threading.Barrier(4), []

    def send() -> None:
        browser = app.test_client()
        start.wait()
        done = browser.post("/api/v1/crm_tag/", json={"name": "华东"}, headers=headers)
        answers.append((done.status_code, done.get_data(as_text=True)))

    threads = [threading.Thread(target=send) for _number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {status for status, _text in answers} == {201} and len({text for _status, text in answers}) == 1, answers
    assert count() == 1


@both_databases
def test_a_file_uploaded_four_times_at_the_same_moment_is_one_draft(app, login_as):
    """Two clicks on “Upload”: the file is read outside of the transaction, which takes a while."""
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/crm_client/_import").text)
    name = app.config["SESSION_COOKIE_NAME"]
    cookie, token = boss.get_cookie(name).value, boss.form_token
    db.session.commit()
    db.remove()
    start, answers = threading.Barrier(4), []
    rows = "name\n" + "".join(f"华东 {one}\n" for one in range(20_000))

    def send() -> None:
        browser = app.test_client()
        browser.set_cookie(name, cookie)
        start.wait()
        data = {"file": (io.BytesIO(rows.encode()), "list.csv"), "_once": word}
        done = browser.post("/crm_client/_import", data=data, headers={"X-CSRFToken": token})
        answers.append((done.status_code, done.location))

    threads = [threading.Thread(target=send) for _number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {status for status, _place in answers} == {302} and len(set(answers)) == 1, answers
    assert count(core_import) == 1 and count(core_job) == 1


@both_databases
def test_an_upload_that_was_refused_is_refused_again_with_its_own_sentence(app, login_as):
    """The claim of an upload is committed before the file is read; a refusal gives it back."""
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/crm_client/_import").text)
    done = [boss.post("/crm_client/_import", data={"file": (io.BytesIO(b""), "none.csv"), "_once": word}) for _turn in range(2)]
    assert [one.status_code for one in done] == [400, 400] and count(core_import) == count(KEYS) == 0


@both_databases
def test_a_file_that_differs_in_the_middle_alone_is_another(app, login_as):
    """Whoever has put one figure right and sends the file from the same page again must not hear that it is done."""
    boss = login_as("boss", level="administrator")
    word = word_of(boss.get("/crm_client/_import").text)
    rows = ["name", *(f"Client {number:06}" for number in range(30_000))]
    for _right in range(2):
        data = {"file": (io.BytesIO("\n".join(rows).encode()), "list.csv"), "_once": word}
        assert boss.post("/crm_client/_import", data=data).status_code == 302
        rows[15_000] = "Client 9999XX"
    assert count(core_import) == 2
