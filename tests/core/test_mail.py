"""Mail goes out to a real server: in the caller's transaction, again after failures, to each in his language, and once set up only."""

from __future__ import annotations

import io
import smtplib
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from core import journal as journal_module
from core import mail
from core.context import Actor, acting
from core.db import db
from core.errors import Invalid
from core.files import store
from core.i18n import gettext as _
from core.jobs import run_jobs
from core.journal import batch, batch_id, journal
from core.mail import Letter, bodies, mails
from core.mail_jobs import PAUSES, forget_old_mails, pick_up_mails
from core.model import model_of
from core.records import records
from core.secret_box import kept_secret, seal, table, unseal
from core.settings import Setting, set_setting
from core.testing import both_databases
from tests.core.mailbox import PASSWORD, USER, certificate, mailbox, set_up


@pytest.fixture
def box(app):
    with mailbox() as made:
        set_up(made.port)
        yield made


def letter():
    return Letter(_("Save"), ["Hello <b>you</b> & 张三"], "Open", "/crm_client/7")


def send(to, what=letter, **more):
    number = mail.send(to, what, **more)
    db.session.commit()
    return number


def row(number):
    db.session.rollback()
    return db.session.execute(select(mails).where(mails.c.id == number)).one()


def work():
    db.session.commit()
    done = run_jobs(once=True)
    db.session.rollback()
    return done


@both_databases
def test_a_mail_waits_in_the_transaction_and_goes_when_a_worker_comes(box, create_user):
    li = create_user("li", name="李雷")
    mail.send(li, letter)
    db.session.rollback()
    assert work() == 0 and box.taken == []
    number = send(li)
    assert row(number).state == "waiting" and box.taken == []  # nobody works: it stays
    assert work() == 1
    (came,) = box.taken
    assert box.recipients == ["li@example.com"] and came["To"] == "li@example.com" and came["Auto-Submitted"] == "auto-generated"
    assert came["Message-ID"] == row(number).message_id and "@firm.test>" in came["Message-ID"]
    assert "https://crm.firm.test/crm_client/7" in box.text() and "Hello <b>you</b> & 张三" in box.text()
    html = came.get_body(("html",)).get_content()
    assert "&lt;b&gt;you&lt;/b&gt; &amp; 张三" in html and 'href="https://crm.firm.test/crm_client/7"' in html
    assert (row(number).state, row(number).tries, row(number).trouble) == ("sent", 1, None) and row(number).sent_at
    assert work() == 0 and len(box.taken) == 1


@both_databases
def test_each_reads_his_language_and_names_cannot_break_headers(box, create_user):
    set_setting("mail.sender_name", "远山会展，“上海”公司")
    set_setting("mail.reply_to", "office@firm.test")
    people = [create_user(f"p{language}", name="王\r\nBcc: all@x.test", language=language) for language in ("zh_Hans", "zh_Hant", "en")]
    evil = "合同\r\nBcc: everybody@x.test\nX: y\x00\u2028" + "很长的主题" * 20
    for person in people:
        send(person, lambda person=person: Letter(_("Save") + evil, [_("Save"), person.name]))
    work()
    assert sorted(box.recipients) == ["pen@example.com", "pzh_Hans@example.com", "pzh_Hant@example.com"]
    for came, word, language in zip(box.taken, ("保存", "儲存", "Save"), ("zh-Hans", "zh-Hant", "en"), strict=True):
        assert came["Subject"].startswith(word + "合同 Bcc: everybody@x.test X: y") and "很长的主题" in came["Subject"]
        assert came["Bcc"] is None and came["X"] is None and came["Content-Language"] == language
        assert came["From"].addresses[0].display_name == "远山会展，“上海”公司" and came["Reply-To"] == "office@firm.test"
    assert all(len(line) <= 998 for raw in box.raw for line in raw.split(b"\r\n"))
    assert all(len(line) <= 78 for line in box.raw[0].split(b"\r\n\r\n")[0].split(b"\r\n"))


@both_databases
def test_a_temporary_failure_is_tried_again_ever_later_under_the_same_number(box, create_user, clock):
    box.at_data = ["451 later please", "cut"]
    box.at_recipient = ["450 mailbox busy"]
    number = send(create_user("li"))
    first = row(number).message_id
    for turn, trouble in enumerate(("later", "later", "cut")):
        work()
        now = row(number)
        assert (now.state, now.tries, now.trouble) == ("waiting", turn + 1, trouble), turn
        wait = now.next_at - clock.now()
        assert timedelta(minutes=PAUSES[turn] - 0.2) < wait <= timedelta(minutes=PAUSES[turn])
        assert work() == 0
        clock.advance(wait + timedelta(seconds=1))
    work()
    assert (row(number).state, row(number).tries) == ("sent", 4)
    assert [one["Message-ID"] for one in box.taken] == [first]


@both_databases
def test_what_the_server_refuses_for_good_is_over_for_this_recipient_alone(box, create_user):
    box.at_recipient = ["550 5.1.1 no such mailbox"]
    lost, found = send(create_user("li")), send(create_user("wang"))
    work()
    assert (row(lost).state, row(lost).trouble, row(lost).answer) == ("failed", "refused", "550 5.1.1 no such mailbox")
    assert row(found).state == "sent" and row(lost).next_at is None
    box.at_data = ["554 looks like spam"]
    spam = send(create_user("zhao"))
    work()
    assert (row(spam).state, row(spam).answer) == ("failed", "554 looks like spam")


def test_it_gives_up_after_two_days(app, create_user, clock):
    set_up(1)  # nobody listens there
    number = send(create_user("li"))
    for _turn in range(40):
        work()
        if row(number).state != "waiting":
            break
        clock.set(row(number).next_at + timedelta(seconds=1))
    assert (row(number).state, row(number).trouble) == ("failed", "unreachable") and 12 < row(number).tries < 30


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_the_server_is_spoken_to_in_secret_and_its_certificate_is_looked_at(app, create_user, tmp_path, tls):
    li = create_user("li")
    with mailbox(tls=tls, folder=tmp_path, auth=True) as box:
        set_up(box.port, security=tls, user=USER, password=PASSWORD)
        number = send(li)
        work()
        assert (row(number).state, row(number).trouble) == ("waiting", "certificate") and box.users == []
        set_setting("mail.certificate", certificate(tmp_path))
        _again(number)
        work()
        assert (row(number).state, row(number).trouble, row(number).answer) == ("sent", None, None)
        assert box.users == [USER] and len(box.taken) == 1
        set_up(box.port, security=tls, user=USER, password="wrong")
        number = send(li)
        work()
        assert (row(number).state, row(number).trouble) == ("waiting", "sign_in") and "535" in row(number).answer


def _again(number):
    from core.mail_jobs import send_now

    send_now(db.session.get(mail.Mail, number))
    db.session.commit()


def test_a_server_without_encryption_gets_nothing_when_encryption_is_asked_for(app, create_user):
    with mailbox() as box:
        set_up(box.port, security="starttls")
        number = send(create_user("li"))
        work()
        assert (row(number).state, row(number).trouble) == ("waiting", "no_encryption") and box.raw == []


@both_databases
def test_files_go_along_and_not_too_many(box, create_user, app):
    li = create_user("li")
    one = store(io.BytesIO("客户,电话\n".encode()), "客户 \u202e名单.csv")
    db.session.commit()
    send(li, files=[one.id])
    work()
    (attached,) = list(box.taken[0].iter_attachments())
    assert attached.get_filename() == one.name and attached.get_payload(decode=True) == "客户,电话\n".encode()
    with pytest.raises(Invalid, match="not there any more"):
        mail.send(li, letter, files=[999])
    db.session.execute(text("UPDATE core_file SET size = 11534336"))
    with pytest.raises(Invalid, match="10 MB"):
        mail.send(li, letter, files=[one.id])
    with pytest.raises(Invalid, match="too long"):
        mail.send(li, lambda: Letter("x", ["y" * 200_000]))


@both_databases
def test_without_settings_everything_says_so_before(app, create_user):
    li = create_user("li")
    assert "not set up" in mail.problem()
    with pytest.raises(Invalid, match="not set up"):
        mail.send(li, letter)
    with mailbox() as box:
        set_up(box.port, user=USER)
        assert "password of the mail server is missing" in mail.problem()
        set_up(box.port, user=USER, password="x")
        assert mail.problem() is None
        number = send(li)
        set_setting("mail.host", None)
        work()
        assert (row(number).state, row(number).trouble) == ("waiting", "not_set_up") and box.raw == []
        db.session.execute(table.update().values(sealed=seal("another", "x")))
        set_setting("mail.host", "localhost")
        assert "another installation" in mail.problem()
    for wrong in ("", "no address", "a@b@c", "a b@c.test", "x@y.test\nBcc: z@y.test", "<li@x.test>"):
        set_up(1)
        with pytest.raises(Invalid, match="not an e-mail address|has no"):
            mail.send(wrong, letter)


@both_databases
def test_the_password_is_at_no_door(app, login_as, api_as):
    chief = login_as("chief", level="system_administrator")
    typed = {"mail.host": "localhost", "mail.sender": "a@firm.test", "house.address": "https://x.test", "mail.user": "u"}
    assert chief.post("/settings/mail", data={**typed, "password": PASSWORD}).status_code == 302
    assert kept_secret("mail.password") == PASSWORD
    page = chief.get("/settings/mail").text
    assert PASSWORD not in page and "shown to nobody" in page
    rest = api_as("chief").get("/api/v1/core_setting/").text
    kept = str(db.session.execute(select(journal)).all()) + str(db.session.execute(text("SELECT * FROM core_secret")).all())
    assert "mail.host" in rest and PASSWORD not in rest + kept and "mail-password" in kept
    sealed = db.session.execute(select(table.c.sealed)).scalar_one()
    assert unseal("mail.password", sealed) == PASSWORD and unseal("other", sealed) is None
    assert unseal("mail.password", ("A" if sealed[30] != "A" else "B").join((sealed[:30], sealed[31:]))) is None
    for wrong in ({"mail.port": "99999", "password": "new"}, {"password": "钥匙"}, {"mail.user": "王"}, {"password": "a\nb"}):
        assert chief.post("/settings/mail", data=wrong).status_code == 422, wrong
    assert kept_secret("mail.password") == PASSWORD
    assert chief.post("/settings/mail", data={"forget": "1"}).status_code == 302 and kept_secret("mail.password") is None


@both_databases
def test_only_a_system_administrator_says_where_mail_goes(app, login_as, api_as):
    boss = login_as("boss", level="administrator")
    assert boss.get("/settings/mail").status_code == 200
    assert boss.post("/settings/mail", data={"mail.host": "evil.test"}).status_code == 403
    assert boss.post("/settings/firm", data={"mail.host": "evil.test", "house.address": "https://evil.test"}).status_code == 302
    assert mail.problem()
    set_up(1)
    (number,) = db.session.execute(select(Setting.id).where(Setting.key == "mail.host")).scalars()
    api = api_as("boss")
    assert api.put(f"/api/v1/core_setting/{number}", json={"value": '"evil.test"'}).status_code == 403
    assert api.delete(f"/api/v1/core_setting/{number}").status_code == 403
    chief = api_as("chief", level="system_administrator")
    assert chief.put(f"/api/v1/core_setting/{number}", json={"value": '"new.test"'}).status_code == 200
    assert login_as("li").get("/settings/mail").status_code == 403
    assert login_as("li").post("/settings/mail/test").status_code == 403


def test_the_test_message_says_in_plain_words_what_the_server_answered(app, login_as):
    chief = login_as("chief", level="system_administrator")
    assert "not set up" in chief.post("/settings/mail/test").text
    with mailbox() as box:
        set_up(box.port)
        chief.post("/settings/mail/test")
        assert "took the message for chief@example.com" in chief.get("/settings/mail").text and box.recipients == ["chief@example.com"]
        box.at_recipient = ["550 go away"]
        chief.post("/settings/mail/test")
        assert "refuses the recipient or the message (550 go away)" in chief.get("/settings/mail").text
    chief.post("/settings/mail/test")
    assert "cannot be reached" in chief.get("/settings/mail").text


@both_databases
def test_administrators_see_the_list_try_again_and_cancel_and_nobody_makes_one(box, create_user, login_as, api_as):
    li = create_user("li")
    box.at_recipient = ["450 busy"]
    number = send(li, lambda: Letter("Your case", ["a private word"]))
    work()
    boss, api = login_as("boss", level="administrator"), api_as("boss")
    page = boss.get("/core_mail/").text
    assert "Your case" in page and "li@example.com" in page and "asks to try again later" in page
    shown = boss.get(f"/core_mail/{number}").text
    assert "450 busy" in shown and "a private word" not in shown and "reads its text here" in shown
    told = api.get(f"/api/v1/core_mail/{number}").json["result"]
    assert told["tries"] == 1 and told["state"] == "waiting" and "private" not in api.get("/api/v1/core_mail/").text
    for answer in (
        api.post("/api/v1/core_mail/", json={}), api.put(f"/api/v1/core_mail/{number}", json={"state": "sent"}),
        api.delete(f"/api/v1/core_mail/{number}"), boss.post(f"/core_mail/{number}/delete"), boss.post("/core_mail/new", data={}),
    ):  # fmt: skip
        assert answer.status_code in (403, 422), answer.status_code
    assert login_as(li).get("/core_mail/").status_code == 403 and api_as("li").get("/api/v1/core_mail/").status_code == 403
    assert boss.post("/core_mail/_bulk", data={"action": "stop", "ids": [number], "sure": "1"}).status_code in (200, 302)
    confirm = boss.post("/core_mail/_bulk", data={"action": "stop", "ids": [number], "confirmed": "1"})
    assert confirm.status_code == 302, confirm.text[:300]
    assert row(number).state == "cancelled" and work() == 0
    assert boss.post("/core_mail/_bulk", data={"action": "again", "ids": [number]}).status_code == 302
    work()
    assert row(number).state == "sent" and len(box.taken) == 1
    verbs = db.session.execute(select(journal.c.verb).where(journal.c.model == "core_mail")).scalars().all()
    assert sorted(verbs) == ["mail-again", "mail-cancel"]


@both_databases
def test_old_mails_go_and_waiting_ones_stay(box, create_user, clock):
    li = create_user("li")
    old = send(li)
    work()
    clock.advance(timedelta(days=91))
    box.at_recipient = ["450 busy"]
    new = send(li)
    work()
    with acting(Actor(door="job", system=True)):
        forget_old_mails()
    db.session.commit()
    assert [one.id for one in db.session.execute(select(mails))] == [new] != [old]
    assert db.session.execute(select(bodies.c.mail_id)).scalars().all() == [new]


@both_databases
def test_a_mail_that_lost_its_job_is_picked_up(box, create_user, clock):
    lost, kept = send(create_user("li")), send(create_user("wang"))
    db.session.execute(text(f"UPDATE core_job SET state = 'dead', due_at = NULL WHERE arguments = '{{\"mail_id\": {lost}}}'"))
    with acting(Actor(door="job", system=True)):
        pick_up_mails()
        clock.advance(timedelta(minutes=11))
        pick_up_mails()
    db.session.commit()
    jobs = db.session.execute(text("SELECT arguments FROM core_job WHERE state = 'queued' AND name LIKE '%deliver'")).scalars().all()
    assert sorted(jobs) == [f'{{"mail_id": {one}}}' for one in sorted([lost, kept])]
    work()
    assert row(lost).state == row(kept).state == "sent" and len(box.taken) == 2


def test_what_was_taken_stays_taken_when_the_farewell_fails(box, create_user, monkeypatch):
    # The server's process ends after its 250: the mail has gone all the same.
    monkeypatch.setattr(smtplib.SMTP, "quit", lambda self: (_ for _ in ()).throw(smtplib.SMTPServerDisconnected("gone")))
    number = send(create_user("li"))
    work()
    assert row(number).state == "sent" and len(box.taken) == 1


@both_databases
def test_a_mail_is_withdrawn_with_what_it_tells_of_and_one_that_has_left_is_told(box, login_as, create_user):
    chief, li = login_as("chief", level="administrator"), create_user("li")
    client, found = records(model_of("crm_client")), []
    for name in ("first", "second", "third"):
        with batch(f"Made {name}"):
            made = client.create({"name": name})
            found.append((batch_id(), mail.send(li, letter), made.id))
        db.session.commit()
        if name == "first":
            work()
    answers = [chief.post(f"/undo/{number}", follow_redirects=True).text for number, _mail, _client in found[:2]]
    assert "1 mail about it was sent; that cannot be undone." in answers[0] and "withdrawn" not in answers[0]
    assert "1 mail about it had not left and is withdrawn." in answers[1]
    assert [row(one).state for _batch, one, _client in found] == ["sent", "cancelled", "waiting"]
    # What cannot be undone is still true, and so its mail goes.
    with batch("Changed since"):
        client.edit(client.get(found[2][2]), {"name": "changed"})
    db.session.commit()
    assert "Nothing was undone" in chief.post(f"/undo/{found[2][0]}", follow_redirects=True).text
    assert row(found[2][1]).state == "waiting"
    work()
    assert len(box.taken) == 2 and row(found[2][1]).state == "sent"


def test_what_only_left_the_house_is_not_undone(login_as):
    with batch("A list was exported"):
        journal_module.write("crm_client", 0, "export", {"count": 3})
        number = batch_id()
    answer = login_as("chief", level="administrator").post(f"/undo/{number}", follow_redirects=True)
    assert "what it did has left the house" in answer.text
