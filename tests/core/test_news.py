"""What changed since one last looked: what is told to whom, and that no order of commits hides anything from it, seals or lists."""

from __future__ import annotations

import contextvars
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.context import Actor, acting, today
from core.db import db
from core.journal import journal
from core.model import model_of
from core.people import MortiseUser
from core.records import records
from core.seal import seal
from core.testing import both_databases


def told(program: Any, words: str = "") -> list[tuple[str, str, Any]]:
    """(kind, title, there) of each entry."""
    answer = program.get(f"/api/v1/_changes?{words}")
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["title"], one["there"]) for one in answer.json["result"]]


def look(program: Any, **more: str) -> None:
    mark = program.get("/api/v1/_changes").json["mark"]
    assert program.post("/api/v1/_changes/_seen", json={"mark": mark, **more}).status_code == 200


@both_databases
def test_new_gone_and_edited_records_are_told_once_under_rights(app, api_as, login_as, create, create_user):
    li, wang = create_user("li", roles=["Salesperson"]), create_user("wang", roles=["Salesperson"])
    kept, sold, lost = (create("crm_client", name=name, owner=li) for name in ("Far Hills", "Near Hills", "Lost Hills"))
    theirs, deep = create("crm_client", name="Her Hills", owner=wang), create("crm_contact", client=kept, name="Ada")
    ids = [one.id for one in (kept, sold, lost, theirs, deep)]
    his, hers, chief = api_as(li), api_as(wang), api_as("chief", level="administrator")
    assert sorted(told(his)) == [("new", "Far Hills", False), ("new", "Lost Hills", False), ("new", "Near Hills", False)]
    look(his)
    assert told(his) == []
    assert "Nothing has changed" in login_as(li).get("/changes").text
    chief.put(f"/api/v1/crm_client/{ids[0]}", json={"name": "Long Valley", "phones": "13800138000"})
    chief.put(f"/api/v1/crm_contact/{ids[4]}", json={"name": "Adele"})
    chief.put(f"/api/v1/crm_client/{ids[1]}", json={"owner": wang.id, "name": "Secret Name"})
    chief.delete(f"/api/v1/crm_client/{ids[2]}")
    chief.put(f"/api/v1/crm_client/{ids[3]}", json={"owner": li.id})
    chief.post("/api/v1/crm_client/", json={"name": "Nobody's Hills"})
    expected = [
        ("edited", "Long Valley", True), ("gone", "Lost Hills", False), ("gone", "Near Hills", True), ("new", "Her Hills", True),
    ]  # fmt: skip
    assert sorted(told(his)) == expected
    answer = his.get("/api/v1/_changes")
    (edited,) = (one for one in answer.json["result"] if one["kind"] == "edited")
    assert edited["changes"] == {"name": ["Far Hills", "Long Valley"], "phones": [None, "13800138000"]}
    assert [(one["kind"], one["title"], one["changes"]) for one in edited["lines"]] == [("edited", "Adele", {"name": ["Ada", "Adele"]})]
    assert "Secret Name" not in answer.text and "Nobody" not in answer.text and answer.json["count"] == 4
    page = login_as(li).get("/changes").text
    for word in ("Long Valley", "Far Hills", "Adele", "Near Hills", "Lost Hills", "Her Hills", "4 records", "came to you", "deleted"):
        assert word in page, word
    assert "Secret Name" not in page and f'href="/crm_client/{ids[1]}"' not in page
    # To her the sold one is new, and hers of before is gone.
    look(hers)
    assert told(hers) == [] and len(told(hers, "since=2026-01-01")) == 1
    # One kind only is marked, the others stay.
    look(his, model="crm_client")
    assert told(his, "model=crm_client") == [] and len(told(his)) == 4
    assert his.get("/api/v1/_changes?model=crm_contact").status_code == 404
    for wrong in ("scope=x", "since=x", "limit=0", "other=1"):
        assert his.get(f"/api/v1/_changes?{wrong}").status_code == 400, wrong
    for body in ({"mark": "x"}, {"mark": 7}, {}, {"mark": "W10", "model": "crm_client"}, {"mark": "é"}, {"mark": "x", "scope": "y"}):
        assert his.post("/api/v1/_changes/_seen", json=body).status_code == 400, body
    # Who has looked through his own has not looked through all; who has looked through all has.
    assert len(told(chief, "scope=all&model=crm_client")) == 4
    look(chief)
    assert len(told(chief, "scope=all&model=crm_client")) == 4
    look(chief, scope="all")
    assert told(chief, "scope=all") == [] and told(chief) == []


@both_databases
def test_the_page_marks_what_it_has_shown_and_no_more(app, api_as, login_as, create, create_user):
    import re

    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    number = client.id
    his, chief = login_as(li), api_as("chief", level="administrator")
    page = his.get("/changes").text
    (mark,) = re.findall(r'name="mark" value="([^"]+)"', page)
    assert "Far Hills" in page and "Mark as seen" in page
    # Written while he reads: his mark does not cover it.
    chief.put(f"/api/v1/crm_client/{number}", json={"phones": "13800138000"})
    answer = his.post("/changes/seen", data={"mark": mark, "model": "", "scope": "mine", "next": "/changes"}, follow_redirects=True)
    assert answer.status_code == 200 and "13800138000" in answer.text and "edited" in answer.text
    (mark,) = re.findall(r'name="mark" value="([^"]+)"', answer.text)
    his.post("/changes/seen", data={"mark": mark, "next": "/changes"})
    assert "Nothing has changed since then" in his.get("/changes").text
    assert "Far Hills" in his.get("/changes?since=2026-01-01").text and "Since I last looked" in his.get("/changes?since=2026-01-01").text
    for wrong, status in (({"mark": "x"}, 400), ({"mark": mark, "model": "nothing"}, 404)):
        assert his.post("/changes/seen", data=wrong).status_code == status
    for wrong in ("since=x", "scope=x", "model=crm_contact"):
        assert his.get(f"/changes?{wrong}").status_code in (400, 404), wrong
    assert his.get("/changes?page=99&kind=nothing").status_code == 200


@both_databases
def test_hidden_fields_and_edits_of_them_alone_are_not_told(app, api_as, create, create_user):
    from core.people import FieldRight, RoleRow

    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    client_id, role = client.id, db.session.query(RoleRow).filter_by(name="Salesperson").one()
    create(FieldRight, role=role, model="crm_client", field_name="phones", access="hidden")
    his, chief = api_as(li), api_as("chief", level="administrator")
    look(his)
    chief.put(f"/api/v1/crm_client/{client_id}", json={"phones": "13800138000"})
    assert told(his) == [] and len(told(chief, "scope=all&model=crm_client")) == 1


# -- transactions that overlap ----------------------------------------------------------------------------------------


class Slow:
    """A person who has written and not yet committed, in a thread and a transaction of his own."""

    def __init__(self, app: Any, user_id: int, client_id: int, name: str) -> None:
        self.written, self.go, self.wrong = threading.Event(), threading.Event(), []

        def work() -> None:
            with app.app_context(), acting(Actor(user_id=user_id, door="screen")):
                try:
                    gate = records(model_of("crm_client"))
                    gate.edit(gate.get(client_id, lock=True), {"name": name})
                    db.session.flush()
                    self.written.set()
                    if self.go.wait(30):
                        db.session.commit()
                    else:
                        self.wrong.append("nobody let it commit")
                except Exception as problem:  # told to the test
                    self.wrong.append(problem)
                    self.written.set()
                finally:
                    db.remove()

        self.thread = threading.Thread(target=contextvars.Context().run, args=(work,), daemon=True)
        self.thread.start()
        assert self.written.wait(30) and not self.wrong, self.wrong

    def commit(self) -> None:
        self.go.set()
        self.thread.join(30)
        assert not self.wrong, self.wrong


def chain() -> list[int]:
    """Ids of the journal in the order of their seals, after sealing all that can be sealed."""
    db.remove()
    with acting(Actor(system=True)):
        while seal():
            db.session.commit()
        db.session.commit()
        found = db.session.execute(select(journal.c.id).where(journal.c.seal.is_not(None)).order_by(journal.c.seal)).scalars().all()
    db.remove()
    return list(found)


@both_databases
def test_transactions_that_commit_the_other_way_round_are_missed_by_nothing(app, api_as, create, create_user):
    li = create_user("li", roles=["Salesperson"])
    slow, quick = create("crm_client", name="Slow Hills", owner=li), create("crm_client", name="Quick Hills", owner=li)
    user_id, slow_id, quick_id = li.id, slow.id, quick.id
    his, chief = api_as(li), api_as("chief", level="administrator")
    look(his)
    db.session.commit()
    day, before = today().isoformat(), chain()
    first = Slow(app, user_id, slow_id, "Slower Hills")
    if not db.is_sqlite:
        # Its number is higher, and it is there earlier. (On SQLite it has to wait.)
        assert chief.put(f"/api/v1/crm_client/{quick_id}", json={"name": "Quicker Hills"}).status_code == 200
        assert told(his) == [("edited", "Quicker Hills", True)]
    page = his.get("/api/v1/_changes").json
    half = chain() if not db.is_sqlite else before
    names = {one["name"] for one in his.get(f"/api/v1/crm_client/?as_of={day}").json["result"]}
    assert "Slow Hills" in names and "Slower Hills" not in names
    if not db.is_sqlite:
        assert his.post("/api/v1/_changes/_seen", json={"mark": page["mark"]}).status_code == 200
        assert told(his) == []
    first.commit()
    if db.is_sqlite:
        assert his.post("/api/v1/_changes/_seen", json={"mark": page["mark"]}).status_code == 200
    assert told(his) == [("edited", "Slower Hills", True)], "what was committed late was taken for seen"
    whole = chain()
    every = db.session.execute(select(journal.c.id).order_by(journal.c.id)).scalars().all()
    assert sorted(whole) == list(every) and whole[: len(half)] == half, "the chain has missed or moved a row"
    names = {one["name"] for one in his.get(f"/api/v1/crm_client/?as_of={day}").json["result"]}
    assert "Slower Hills" in names
    look(his)
    assert told(his) == []


@both_databases
def test_the_list_of_yesterday_knows_what_was_written_yesterday_and_committed_today(app, api_as, create, create_user, clock):
    li = create_user("li", roles=["Salesperson"])
    client = create("crm_client", name="Far Hills", owner=li)
    other = create("crm_client", name="Near Hills", owner=li)
    user_id, client_id, other_id = li.id, client.id, other.id
    db.session.commit()
    clock.set((clock.now() + timedelta(days=1)).replace(hour=15, minute=59, second=59, microsecond=0))
    day = clock.now().date().isoformat()
    # A second before midnight in Shanghai, where the firm is.
    his, chief = api_as(li), api_as("chief", level="administrator")
    late = Slow(app, user_id, client_id, "Late Hills")
    clock.advance(timedelta(seconds=2))
    names = lambda: {one["name"] for one in his.get(f"/api/v1/crm_client/?as_of={day}").json["result"]}  # noqa: E731
    assert names() == {"Far Hills", "Near Hills"}
    if not db.is_sqlite:
        assert chief.put(f"/api/v1/crm_client/{other_id}", json={"name": "Today's Hills"}).status_code == 200
        assert names() == {"Far Hills", "Near Hills"}
    late.commit()
    assert names() == {"Late Hills", "Near Hills"}
    assert db.session.get(MortiseUser, user_id) is not None


@both_databases
def test_a_page_of_changes_takes_few_statements_and_too_much_is_said(app, acting_as, api_as, create, create_user, monkeypatch):
    from core.news import news
    from core.news_mark import since
    from core.testing import statements

    li = create_user("li", roles=["Salesperson"])
    clients = [create("crm_client", name=f"Hill {number}", owner=li) for number in range(20)]
    for one in clients[:10]:
        create("crm_contact", client=one, name="Ada")
    db.session.commit()
    with acting_as(li):
        where = since(clients[0].created_at - timedelta(days=1))
        news(where)
        with statements() as ran:
            assert len(news(where)) == 20
    assert len(ran) <= 12, len(ran)
    monkeypatch.setattr("core.news.MOST_CHANGES", 5)
    answer = api_as(li).get("/api/v1/_changes")
    assert answer.status_code == 400 and "too many" in answer.json["message"]


@pytest.fixture(autouse=True)
def _leave_nothing_open():
    yield
    db.remove()
