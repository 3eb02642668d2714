"""Ctrl-Z: what one did last by hand, for fifteen minutes, step by step backwards and forwards again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.db import db
from core.model import model_of
from core.testing import both_databases, settle
from tests.core.drafting import work


def names():
    db.session.rollback()
    table = model_of("crm_tag").__table__
    found = sorted(db.session.execute(select(table.c.name), execution_options={"mortise_rules": False}).scalars())
    settle()
    return found


def back(browser, **data):
    done = browser.post("/undo/last", data={"next": "/crm_tag/", **data})
    assert done.status_code == 302 and done.location == "/crm_tag/"
    return browser.get("/crm_tag/").text


@both_databases
def test_steps_are_taken_back_one_by_one_and_done_again(app, login_as, api_as):
    boss = login_as("boss", level="administrator")
    for name in ("华东", "华南"):
        boss.post("/crm_tag/new", data={"name": name})
    # What a program of the same person does is not what he did last by hand.
    api_as("boss").post("/api/v1/crm_tag/", json={"name": "华北"})
    back(boss)
    assert names() == ["华东", "华北"]
    back(boss)
    assert names() == ["华北"]
    assert "nothing in the last 15 minutes" in back(boss)
    back(boss, again="1")
    assert names() == ["华东", "华北"]
    # Done again, it is the last thing that was done, and no undo is open to be done again before it.
    back(boss)
    assert names() == ["华北"]


@both_databases
def test_only_ones_own_and_for_fifteen_minutes_alone(app, login_as, clock):
    boss, wang = login_as("boss", level="administrator"), login_as("wang", level="administrator")
    boss.post("/crm_tag/new", data={"name": "华东"})
    assert "nothing in the last 15 minutes" in back(wang) and names() == ["华东"]
    clock.advance(timedelta(minutes=14, seconds=59))
    back(boss)
    assert names() == []
    boss.post("/crm_tag/new", data={"name": "华南"})
    clock.advance(timedelta(minutes=15, seconds=1))
    assert "nothing in the last 15 minutes" in back(boss) and names() == ["华南"]


@both_databases
def test_what_was_changed_since_is_told_and_stays(app, login_as, create):
    boss, wang = login_as("boss", level="administrator"), login_as("wang", level="administrator")
    client = create("crm_client", name="Far Hills")

    def rename(browser, name):
        version = db.session.get(type(client), client.id, populate_existing=True).version
        db.session.rollback()
        browser.post(f"/crm_client/{client.id}", data={"name": name, "_version": version, "_seen": "{}", "status": client.status})

    rename(boss, "Near Hills")
    rename(wang, "High Hills")
    text = back(boss)
    db.session.rollback()
    assert db.session.get(type(client), client.id, populate_existing=True).name == "High Hills"
    assert "changed since" in text


@both_databases
def test_an_import_is_what_one_did_last_too(app, login_as, acting_as):
    boss = login_as("boss", level="administrator")
    boss.post("/crm_tag/new", data={"name": "华东"})
    upload = {"file": (io.BytesIO("name\n华南\n华北\n".encode()), "tags.csv")}
    draft = boss.post("/crm_tag/_import", data=upload).location
    work()
    assert boss.post(f"{draft}/run").status_code == 302
    work()
    assert names() == sorted(["华东", "华北", "华南"])
    assert "2 records are as they were." in back(boss) and names() == ["华东"]


@contextmanager
def loaded_anew(page: Any) -> Iterator[None]:
    """The block makes the page go and another come whole. (A page that only changes its address is a navigation, too.)"""
    page.wait_for_load_state("load")
    with page.expect_event("load"):
        yield


@pytest.mark.browser
def test_ctrl_z_works_outside_fields_alone(page: Any) -> None:
    page.goto("/crm_tag/new")
    page.fill("#field-name", "华东")
    page.locator("#record-form").evaluate("form => form.requestSubmit()")
    page.locator(".m-toast").wait_for()
    # In a field the keys are the field's own.
    page.focus("#field-name")
    page.keyboard.press("Control+z")
    assert names() == ["华东"]
    page.locator("h1").click()
    with loaded_anew(page):
        page.keyboard.press("Control+z")
    assert names() == [], (page.url, page.locator(".m-toast").all_inner_texts())
    with loaded_anew(page):
        page.keyboard.press("Control+Shift+z")
    assert names() == ["华东"]
    # What is typed into another form and not sent would be lost with the page.
    page.goto("/settings/firm")
    field = page.locator("main form[method=post] input.form-control").first
    field.fill("typed, not sent")
    field.evaluate("() => { window.same = true }")
    page.locator("h1").first.click()
    page.keyboard.press("Control+z")
    page.wait_for_timeout(700)
    # (The browser itself may take back a piece of what was typed.)
    assert names() == ["华东"] and page.evaluate("() => window.same")
    field.evaluate("field => { field.value = field.defaultValue }")
    page.locator("h1").first.click()
    # On a German keyboard the Z lies where ours has the Y.
    press = "([key, code]) => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, code, ctrlKey: true, bubbles: true }))"
    page.evaluate(press, ["y", "KeyZ"])
    page.wait_for_timeout(300)
    assert names() == ["华东"]
    with loaded_anew(page):
        page.evaluate(press, ["z", "KeyY"])
    assert names() == []
