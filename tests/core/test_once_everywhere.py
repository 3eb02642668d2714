"""Every address that changes something: asked twice with one word or one key it has one effect, or says here why it has no key."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select, text

from core.account_requests import file_forgotten
from core.api_keys import ApiKey
from core.custom import CustomField
from core.db import db
from core.jobs import core_job
from core.journal import batches, journal
from core.model import Model, model_of
from core.notifications import table as notifications
from core.options import Dictionary
from core.people import RoleRow
from core.records import records
from core.settings import set_setting
from core.telling import JOB
from core.testing import both_databases
from core.transfer import drafts
from core.web.bulk_jobs import DELETE, queue
from core.web.once import AT_THE_DOOR, READING
from core.web.views import view_of
from tests.core.drafting import ran, sent
from tests.core.test_account import enter

WRITING = {"POST", "PUT", "PATCH", "DELETE"}
NO_KEY = {
    **dict.fromkeys(("signin.sign_in", "signin.code", "signin.logout", "signin.setup", "signin.password"), "the door"),
    "again.sign_in_again": "the door",
    **dict.fromkeys(("SignInApi.login", "SignInApi.refresh"), "nobody is signed in, and each answer is a token of its own"),
    **dict.fromkeys(("links.ask_an_administrator", "links.choose_password", "links.send_me_a_link"), "nobody is signed in"),
    **dict.fromkeys(("exports.ask", "exports.write", "screens.printed", "screens.list_printed"), "a page or a file that is made anew"),
    "backup_pages.check": "it only reads, for long",
    "backup_pages.upload": "it is read for long; the same file is one file",
    **dict.fromkeys(("backup_pages.restore", "backup_pages.read"), "in a file beside the data, and one restore is asked for at a time"),
    **dict.fromkeys(("factor_pages.start", "factor_pages.confirm", "factor_pages.codes"), "a page that shows a secret, for a code"),
    **dict.fromkeys(("factor_pages.off", "factor_pages.remove"), "what is off stays off"),
    **dict.fromkeys(("imports.columns", "imports.heading", "imports.row", "imports.forget"), "what is chosen stays chosen"),
    "account_pages.end_session": "what has ended stays ended",
    **dict.fromkeys(("view_as.begin", "view_as.end"), "the session looks through another's eyes, or does not"),
    "mail_pages.test": "a mail to oneself, which leaves the house",
    "settings.journal_remove": "months that are out are out",
    "settings.addon_off": "what is off is off",
    "settings.addon_on": "what is on is on",
    **dict.fromkeys(("settings.journal_erase", "settings.journal_erase_person"), "a text that is erased is erased"),
}  # fmt: skip
"""Addresses that keep no answer, or whose effect does not double: why."""


def word(rule: Any) -> str:
    """An endpoint; those of the REST resources of all models are one."""
    return f"api.{rule.endpoint.rpartition('.')[2]}" if rule.endpoint.startswith("api_") else rule.endpoint


@pytest.fixture
def house(app, create, create_user, login_as, api_as, acting_as):
    """A system administrator at his browser and with a program, and a thing of each kind that addresses are about."""
    boss = create_user("boss", level="system_administrator")
    li = create_user("li", roles=["Salesperson"])
    set_setting("firm.name", "Firm")
    made = SimpleNamespace(app=app, boss=boss, li=li, create=create, screen=login_as(boss), rest=api_as(boss), number=0)
    made.login_as, made.acting_as = login_as, acting_as
    made.role = db.session.execute(select(func.min(RoleRow.__table__.c.id))).scalar_one()
    made.dictionary = db.session.execute(select(func.min(Dictionary.__table__.c.id))).scalar_one()
    db.session.commit()
    return made


def client(house: Any) -> int:
    house.number += 1
    return house.create("crm_client", name=f"华东 {house.number}").id


def gone(house: Any) -> int:
    """A row of the journal that deleted a client."""
    one = client(house)
    house.screen.post(f"/crm_client/{one}/delete")
    db.session.commit()
    return db.session.execute(select(func.max(journal.c.id)).where(journal.c.verb == "delete")).scalar_one()


def changed(house: Any) -> tuple[int, int, int]:
    """A client that was changed by the boss: its id, its first row of the journal, the batch of the change."""
    one = client(house)
    house.rest.put(f"/api/v1/crm_client/{one}", json={"name": f"华南 {one}"})
    db.session.commit()
    mine = (journal.c.model == "crm_client") & (journal.c.record_id == one)
    first = db.session.execute(select(func.min(journal.c.id)).where(mine)).scalar_one()
    return one, first, db.session.execute(select(func.max(batches.c.id))).scalar_one()


def share(house: Any) -> tuple[int, int]:
    one = client(house)
    return one, house.create("core_share", model="crm_client", record_id=one, user=house.li, access="read").id


def field(house: Any) -> str:
    house.number += 1
    return records(CustomField).create({"model": "crm_client", "title": f"Extra {house.number}", "kind": "text"}).name


def job(house: Any) -> int:
    made = queue(view_of(model_of("crm_client")), DELETE, filter=None, search=None, last=0, total=0)
    db.session.execute(core_job.update().where(core_job.c.id == made).values(user_id=house.boss.id))
    return made


def dead(house: Any) -> int:
    made = job(house)
    db.session.execute(core_job.update().where(core_job.c.id == made).values(state="dead", due_at=None))
    return made


def request(house: Any) -> int:
    file_forgotten(house.li.id, "Please.")
    return db.session.execute(select(func.max(model_of("core_account_request").__table__.c.id))).scalar_one()


def notified(house: Any) -> int:
    """A notification of the boss."""
    JOB.send(house.boss.id, "This is told.", url="/")
    return db.session.execute(select(func.max(notifications.c.id))).scalar_one()


def key(house: Any, browser: Any) -> int:
    browser.post("/account/keys", data={"name": "The till", "reach": "read"})
    db.session.commit()
    return db.session.execute(select(func.max(ApiKey.__table__.c.id))).scalar_one()


def ready(house: Any) -> int:
    """An import of the boss that may run."""
    with house.acting_as(house.boss):
        house.number += 1
        return sent([["name"], [f"Sent {house.number}"]]).id


def ran_through(house: Any) -> int:
    with house.acting_as(house.boss):
        return ran(drafts.draft(ready(house))).id


Case = tuple[str, dict[str, Any]]
SCREENS: dict[str, Callable[[Any], Case]] = {
    "account_pages.person": lambda h: ("/account/person", {"phone": "13800001111"}),
    "account_pages.preferences": lambda h: ("/account/preferences", {"theme": "dark"}),
    "account_pages.sign_out": lambda h: (f"/ab_user/{h.li.id}/sign-out", {}),
    "backup_pages.delete": lambda h: (f"/backups/{backup_of(h)}/delete", {}),
    "backup_pages.make": lambda h: ("/backups/make", {}),
    "backup_pages.settings": lambda h: ("/backups/settings", {"backup.hour": "5"}),
    "bulk_pages.edit_many": lambda h: (
        "/crm_client/_edit", {"_ids": [one := client(h)], "_field": "level", "level": "a", "_step": "apply", "_versions": f"{one}:1"},
    ),
    "files.upload": lambda h: ("/file/", {"file": (io.BytesIO(b"text"), "one.txt")}),
    "imports.act": lambda h: (f"/crm_client/_import/{ready(h)}/run", {}),
    "imports.revert": lambda h: (f"/crm_client/_import/{ran_through(h)}/revert", {}),
    "imports.upload": lambda h: ("/crm_client/_import", {"file": (io.BytesIO(b"name\nOne\n"), "one.csv")}),
    "job_pages.again": lambda h: (f"/jobs/{dead(h)}/again", {}),
    "job_pages.stop": lambda h: (f"/jobs/{job(h)}/cancel", {}),
    "key_pages.make": lambda h: ("/account/keys", {"name": "Another", "reach": "read"}),
    "key_pages.remove": lambda h: (f"/account/keys/{key(h, h.screen)}/delete", {}),
    "key_pages.take_away": lambda h: (f"/ab_user/{h.li.id}/keys/{key(h, h.login_as(h.li))}/delete", {}),
    "lock_pages.unlock": lambda h: ("/settings/locked/unlock", {"key": locked(h)}),
    "mail_pages.password_link": lambda h: (f"/ab_user/{h.li.id}/password-link", {"purpose": "reset"}),
    "mail_pages.save": lambda h: ("/settings/mail", {"mail.keep_days": "99"}),
    "news_pages.seen": lambda h: ("/changes/seen", {"mark": mark(h)}),
    "notification_pages.keep_settings": lambda h: ("/account/notifications", {"bell": ["job"]}),
    "notification_pages.open_one": lambda h: (f"/notifications/{notified(h)}/open", {}),
    "notification_pages.read_all": lambda h: ("/notifications/read", {"of": str(notified(h))}),
    "notification_pages.read_one": lambda h: (f"/notifications/{notified(h)}/read", {}),
    "pages.take_back": lambda h: (f"/undo/{changed(h)[2]}", {}),
    "pages.take_back_last": lambda h: ("/undo/last", {"of": str(changed(h)[2])}),
    "past_pages.back": lambda h: ((c := changed(h)) and f"/crm_client/{c[0]}/_past", {"row": c[1], "all": "1"}),
    "people_pages.leave": lambda h: (f"/ab_user/{h.li.id}/_leave", {"close": "1"}),
    "request_pages.answer": lambda h: (f"/settings/requests/{request(h)}", {"answer": "decline", "reason": "No."}),
    "request_pages.file": lambda h: ("/account/requests", {"wish": "password"}),
    "request_pages.take_back": lambda h: (f"/account/requests/{own_request(h)}/withdraw", {}),
    "right_pages.copy_rights": lambda h: (f"/ab_user/{h.li.id}/_copy-rights", {"from": str(h.boss.id)}),
    "right_pages.role_rights": lambda h: (f"/ab_role/{h.role}/_rights/crm_client", {"verb-delete": "all"}),
    "screens.bulk": lambda h: ("/crm_client/_bulk", {"action": "delete", "confirmed": "1", "ids": [client(h)]}),
    "screens.columns": lambda h: ("/crm_client/_columns", {"columns": ["phones", "code"]}),
    "screens.delete": lambda h: (f"/crm_client/{client(h)}/delete", {}),
    "screens.form": lambda h: (f"/crm_client/{client(h)}", {"name": "Saved", "_seen": "{}"}),
    "screens.new": lambda h: ("/crm_client/new", {"name": "New one"}),
    "settings.delete_field": lambda h: (f"/settings/fields/crm_client/{field(h)}/delete", {}),
    "settings.dictionary": lambda h: (f"/settings/dictionaries/{h.dictionary}", {"new-en": "Fresh"}),
    "settings.field": lambda h: (f"/settings/fields/crm_client/{field(h)}", {"title": "Renamed"}),
    "settings.firm": lambda h: ("/settings/firm", {"firm.name": "Another firm"}),
    "settings.journal_check": lambda h: ("/settings/journal/check", {}),
    "settings.journal_months": lambda h: ("/settings/journal/months", {"months": "24"}),
    "settings.journal_reads": lambda h: ("/settings/journal/reads", {"tables": ["crm_client"]}),
    "settings.new_field": lambda h: ("/settings/fields/crm_client/new", {"title": "Trade", "kind": "text"}),
    "share_pages.end": lambda h: ((c := share(h)) and f"/crm_client/{c[0]}/_share/{c[1]}/end", {}),
    "share_pages.share_many": lambda h: (
        "/crm_client/_share", {"_ids": [client(h)], "users": [h.li.id], "access": "read", "_step": "apply"},
    ),
    "trash_pages.back": lambda h: (f"/trash/{gone(h)}", {}),
}  # fmt: skip
PROGRAMS: dict[str, Callable[[Any], tuple[str, str, Any]]] = {
    "api.post": lambda h: ("post", "/api/v1/crm_client/", {"name": "Posted"}),
    "api.put": lambda h: ("put", f"/api/v1/crm_client/{client(h)}", {"name": "Put"}),
    "api.delete": lambda h: ("delete", f"/api/v1/crm_client/{client(h)}", None),
    "api.back": lambda h: ("post", (c := changed(h)) and f"/api/v1/crm_client/{c[0]}/past", {"row": c[1], "all": True}),
    "api.share": lambda h: ("post", "/api/v1/crm_client/_share", {"ids": [client(h)], "users": [h.li.id], "access": "read"}),
    "api.unshare": lambda h: ("delete", (c := share(h)) and f"/api/v1/crm_client/{c[0]}/shares/{c[1]}", None),
    "news_pages.api_seen": lambda h: ("post", "/api/v1/_changes/_seen", {"mark": mark(h)}),
    "notification_pages.api_read": lambda h: ("put", f"/api/v1/_notifications/{notified(h)}", {"unread": False}),
    "notification_pages.api_read_all": lambda h: ("post", "/api/v1/_notifications/_read", {"unread": False}),
    "request_pages.answer_over_rest": lambda h: (
        "post", f"/api/v1/core_account_request/{request(h)}/_answer", {"answer": "decline", "reason": "No."},
    ),
    "trash_pages.api_back": lambda h: ("post", f"/api/v1/_trash/{gone(h)}", {}),
}  # fmt: skip


def mark(house: Any) -> str:
    """How far the boss has been told what is new."""
    client(house)
    db.session.commit()
    return house.rest.get("/api/v1/_changes").json["mark"]


def locked(house: Any) -> str:
    for _try in range(8):
        enter(house.app.test_client(), "li", "wrong")
    return "login:li"


def own_request(house: Any) -> int:
    house.screen.post("/account/requests", data={"wish": "password"})
    db.session.commit()
    return db.session.execute(select(func.max(model_of("core_account_request").__table__.c.id))).scalar_one()


def backup_of(house: Any) -> str:
    folder = house.app.config["MORTISE"].data / "backups"
    folder.mkdir(exist_ok=True)
    (folder / "backup-20260101-000000.zip").write_bytes(b"x")
    return "backup-20260101-000000.zip"


QUIETLY = {"core_answered_once", "core_session"}
"""Tables in which the house keeps who is here, and the answers themselves."""


def effect() -> dict[str, Any]:
    """How many rows each table has, and how far the journal goes."""
    db.session.rollback()
    found = {}
    for name in sorted(Model.metadata.tables.keys() - QUIETLY):
        found[name] = db.session.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one()
    db.session.rollback()
    return found


def twice(ask: Callable[[], Any]) -> str:
    """What is wrong about asking twice; empty when there is one effect and one answer."""
    first = ask()
    if first.status_code >= 400:
        return f"the case does not get in: {first.status_code} {first.get_data(as_text=True)[:300]}"
    then, again = effect(), ask()
    told = again.headers.get("Idempotency-Replayed") == "true" or (again.status_code == 409 and "sent already" in again.text)
    if not told:
        return f"{first.status_code}, then {again.status_code}: the second was not told that it was done"
    return "" if effect() == then else f"a second effect: {effect()} after {then}"


def test_every_address_that_changes_something_has_a_case(app):
    there = {word(rule) for rule in app.url_map.iter_rules() if rule.methods & WRITING}
    known = [*SCREENS, *PROGRAMS, *NO_KEY]
    assert there == set(known) and len(known) == len(set(known)), there ^ set(known)
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert endpoints >= READING and {rule.partition(".")[0] for rule in endpoints} >= AT_THE_DOOR, "a name that is gone holds nothing off"


@both_databases
def test_what_is_asked_twice_has_one_effect(house):
    wrong = {}
    for endpoint, case in SCREENS.items():
        url, data = case(house)
        db.session.commit()
        files = {name for name, one in data.items() if isinstance(one, tuple)}

        def ask(url: str = url, data: Any = data, files: set[str] = files, endpoint: str = endpoint) -> Any:
            fresh = {name: (io.BytesIO(one[0].getvalue()), one[1]) if name in files else one for name, one in data.items()}
            return house.screen.post(url, data={**fresh, "_once": f"word of {endpoint}"})

        wrong[endpoint] = twice(ask)
    for endpoint, make in PROGRAMS.items():
        verb, url, body = make(house)
        db.session.commit()
        more = {"json": body} if body is not None else {}
        wrong[endpoint] = twice(lambda: getattr(house.rest, verb)(url, headers={"Idempotency-Key": f"key-{endpoint}"}, **more))  # noqa: B023
    wrong = {endpoint: why for endpoint, why in wrong.items() if why}
    assert not wrong, "\n".join(f"{endpoint}: {why}" for endpoint, why in wrong.items())
