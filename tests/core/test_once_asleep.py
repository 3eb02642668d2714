"""A key whose answer is asked for again while its addon sleeps, and a key whose process died between claim and answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core import addons
from core.context import system
from core.db import db
from core.testing import both_databases
from core.web import once
from tests.core.test_once import KEYS, count, make


def switch(on: bool) -> None:
    with system("test"):
        addons.enable("crm_tag") if on else addons.disable("crm_tag")
        db.session.commit()
    db.remove()


@both_databases
def test_while_its_addon_sleeps_a_key_hears_so_and_afterwards_its_answer(app: Any, api_as: Any, login_as: Any) -> None:
    api, browser = api_as("boss", level="administrator"), login_as("boss")
    first = make(api, "a-1", "华东")
    word = browser.get("/crm_tag/new").text.split('name="_once" value="')[1].split('"')[0]
    form = {"name": "华南", "_once": word}
    posted = browser.post("/crm_tag/new", data=form)
    assert first.status_code == 201 and posted.status_code == 302 and count() == 2
    db.session.commit()
    switch(on=False)
    # As any call to an addon that is off: told so, with nothing of the first answer in it.
    again, form_again = make(api, "a-1", "华东"), browser.post("/crm_tag/new", data=form)
    fresh = make(api, "a-2", "华北")
    for one in (again, form_again, fresh):
        assert one.status_code == 404 and "switched off" in one.get_data(as_text=True) and "Idempotency-Replayed" not in one.headers
        assert "华东" not in one.get_data(as_text=True)
    switch(on=True)
    # Asked while it slept, the key was not used up: what was done is told, and what was not is done now.
    again, form_again = make(api, "a-1", "华东"), browser.post("/crm_tag/new", data=form)
    assert again.data == first.data and again.headers["Idempotency-Replayed"] == "true"
    assert form_again.headers["Location"] == posted.headers["Location"]
    assert count() == 2
    assert make(api, "a-2", "华北").status_code == 201 and count() == 3


@both_databases
def test_a_key_whose_process_died_before_it_answered_is_refused_for_a_day(
    app: Any, api_as: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """What is so now, whether or not the effect is there; the key must not be free, since nobody knows."""
    monkeypatch.setattr(once, "PATIENCE", 0.0)
    assert make(api_as("boss", level="administrator"), "a-1").status_code == 201
    # As SIGKILL leaves it after a commit on the way: the claim is there, its answer is not.
    with db.short() as connection:
        assert connection.execute(update(KEYS).values(answer=None)).rowcount == 1
    for hours in (0, 1, 22):
        clock.advance(timedelta(hours=hours))
        again = make(api_as("boss"), "a-1")
        assert again.status_code == 409 and "Look whether it is done" in again.json["message"]
        assert make(api_as("boss"), "a-1", "华南").status_code == 422, "and nothing else can be done with it"
    assert count() == 1
    clock.advance(timedelta(hours=2))
    assert make(api_as("boss"), "a-1", "华南").status_code == 201 and count() == 2
