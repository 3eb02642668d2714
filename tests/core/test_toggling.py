"""Switching an addon reaches every process at its next request, and no request is ever answered by an error."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.installation import Installation, new

PROCESSES, REQUESTS, TOGGLES = 3, 1000, 20

NOTES = """
from core import Mapped, Model, field, link, extend
from addons.t_base.models import Thing


class Note(Model):
    \"\"\"A note on a thing.\"\"\"

    thing: Mapped[Thing] = link(part_of=True)
    text: Mapped[str] = field()


@extend(Thing)
class ThingColour:
    colour: Mapped[str | None] = field()
"""
BASE = """
from core import Mapped, Model, field


class Thing(Model):
    \"\"\"A thing.\"\"\"

    name: Mapped[str] = field(search=True)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request, tmp_path: Path) -> Iterator[Installation]:
    made = new(request.param, tmp_path, "toggling")
    made.settings = {"MORTISE_ADMIN_PASSWORD": "Toggle-password-1", "MORTISE_WORKERS": str(PROCESSES), "MORTISE_THREADS": "4"}
    made.addon("t_base", BASE)
    made.addon("t_note", NOTES, '"t_base"')
    made.must("migrate", "--make", "t_base")
    made.must("migrate", "--make", "t_note")
    made.must("migrate")
    return made


class Caller:
    """A program with an access token; `get` and `send` return status and body."""

    def __init__(self, port: int) -> None:
        self.base, self.token = f"http://127.0.0.1:{port}", ""
        body = {"username": "admin", "password": "Toggle-password-1", "provider": "db"}
        self.token = self.call("POST", "/api/v1/security/login", body)[1]["access_token"]

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        request = urllib.request.Request(self.base + path, method=method, data=json.dumps(body).encode() if body is not None else None)
        request.add_header("Content-Type", "application/json")
        request.add_header("Connection", "close")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {}


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@pytest.fixture
def caller(house: Installation, tmp_path: Path) -> Iterator[Caller]:
    port = free_port()
    house.settings["MORTISE_PORT"] = str(port)
    log = (tmp_path / "serve.log").open("w")
    process = house.start("serve", stdout=log, stderr=log)
    try:
        for _wait in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "serve.log").read_text()[-2000:]
                time.sleep(0.2)
        yield Caller(port)
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


@pytest.mark.slow
def test_toggling_under_load_never_shows_an_error_and_loses_nothing(house: Installation, caller: Caller) -> None:
    thing = caller.call("POST", "/api/v1/t_thing/", {"name": "Table", "colour": "red"})[1]["id"]
    note = caller.call("POST", "/api/v1/t_note/", {"thing": thing, "text": "stays"})[1]["id"]
    before = house.ask("SELECT id, thing_id, text, version FROM t_note")
    seen: Counter[tuple[str, int]] = Counter()
    after_switch: list[str] = []
    state = {"on": True, "since": time.monotonic(), "switching": False}
    stop, lock = threading.Event(), threading.Lock()

    def asks() -> None:
        one_note, one_thing = f"/api/v1/t_note/{note}", f"/api/v1/t_thing/{thing}"
        paths = ["/api/v1/t_note/", one_note, "/api/v1/t_thing/", one_thing, "/t_note/", "/api/v1/_openapi"]
        number = 0
        while not stop.is_set():
            path = paths[number % len(paths)]
            number += 1
            with lock:
                began = dict(state)
            status, body = caller.call("GET", path)
            with lock:
                seen[path, status] += 1
                # In effect at the next request of each process: a request that began after the switch was answered
                # and ended before the next one was asked for has to see it.
                steady = not began["switching"] and not state["switching"] and began["since"] == state["since"]
                if steady and path == f"/api/v1/t_note/{note}" and status != (200 if began["on"] else 404):
                    after_switch.append(f"{path}: {status} while {'on' if began['on'] else 'off'}")
                if steady and path == f"/api/v1/t_thing/{thing}" and ("colour" in body.get("result", {})) != began["on"]:
                    after_switch.append(f"colour {'missing' if began['on'] else 'shown'} while {'on' if began['on'] else 'off'}")

    callers = [threading.Thread(target=asks) for _ in range(6)]
    for one in callers:
        one.start()
    edits = 0
    for turn in range(TOGGLES):
        with lock:
            state["switching"] = True
        house.must("addon", "off" if turn % 2 == 0 else "on", "t_note")
        with lock:
            state.update(on=turn % 2 == 1, since=time.monotonic(), switching=False)
        # The base record is edited while its extension sleeps, and while it is awake.
        status, body = caller.call("PUT", f"/api/v1/t_thing/{thing}", {"name": f"Table {turn}"})
        assert status == 200, body
        edits += 1
        goal = (turn + 1) * REQUESTS // TOGGLES
        while sum(seen.values()) < goal:
            time.sleep(0.02)
    stop.set()
    for one in callers:
        one.join()
    assert sum(seen.values()) >= REQUESTS
    assert {status for (_path, status) in seen} <= {200, 302, 403, 404}, seen
    assert {seen[f"/api/v1/t_note/{note}", 200] > 0, seen[f"/api/v1/t_note/{note}", 404] > 0} == {True}, seen
    assert not after_switch, after_switch[:5]
    assert house.ask("SELECT id, thing_id, text, version FROM t_note") == before
    assert house.ask("SELECT colour, version FROM t_thing") == [("red", 1 + edits)]
    # A base record is deleted while the addon sleeps: its sleeping parts go along and come back with an undo.
    house.must("addon", "off", "t_note")
    assert caller.call("DELETE", f"/api/v1/t_thing/{thing}")[0] == 200
    assert house.ask("SELECT id FROM t_note") == []
    undone = house.python(
        "from core.app import create_app\n"
        "from core.context import Actor, acting\nfrom core.db import db\nfrom core.undo import undo\nfrom sqlalchemy import text\n"
        "app = create_app()\n"
        "with app.app_context(), acting(Actor(system=True)):\n"
        "    batch = db.session.execute(text(\"SELECT max(batch_id) FROM core_journal WHERE verb = 'delete'\")).scalar()\n"
        "    print(undo(batch).count)\n    db.session.commit()\n"
    )
    assert undone.strip().endswith("2"), undone
    house.must("addon", "on", "t_note")
    assert caller.call("GET", f"/api/v1/t_note/{note}")[0] == 200
