"""Connections of the pool: a server that has gone is noticed without asking it, and what each request asks is planned once."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from core import db as house
from core.db import db
from core.testing import settle

pytestmark = [pytest.mark.parametrize("database", ["postgresql"], indirect=True), pytest.mark.postgres]


def test_a_request_after_the_server_has_gone_is_answered(app, login_as):
    boss = login_as("boss", level="administrator")
    assert boss.get("/crm_tag/").status_code == 200
    for _turn in range(3):
        settle()
        held = [db.engine.connect() for _one in range(3)]
        pids = [one.execute(text("SELECT pg_backend_pid()")).scalar() for one in held]
        for one in held:
            one.close()
        with db.engine.connect() as connection:
            for pid in pids:
                if pid != connection.execute(text("SELECT pg_backend_pid()")).scalar():
                    connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        assert boss.get("/crm_tag/").status_code == 200
        assert boss.post("/crm_tag/new", data={"name": f"华东{_turn}"}).status_code == 302


def test_a_connection_that_was_idle_for_long_is_asked(app, login_as, monkeypatch):
    boss = login_as("boss", level="administrator")
    boss.get("/crm_tag/")
    asked = []
    monkeypatch.setattr(house, "IDLE_SECONDS", -1)
    monkeypatch.setattr(house, "_ask", lambda connection, really=house._ask: asked.append(1) or really(connection))
    assert boss.get("/crm_tag/").status_code == 200 and asked


def test_what_every_request_asks_is_planned_once_for_a_connection(app, login_as, create_user):
    boss = login_as("boss", level="administrator")
    for _turn in range(3):
        assert boss.get("/crm_tag/").status_code == 200
    settle()
    kept = set()
    for connection in [db.engine.connect() for _one in range(3)]:
        kept |= set(connection.execute(text("SELECT statement FROM pg_prepared_statements")).scalars())
        connection.close()
    assert any("core_session" in one for one in kept) and any(one.startswith("WITH RECURSIVE mine") for one in kept)
    # What people look for is planned for their words.
    assert not [one for one in kept if "FROM crm_tag" in one]
