"""Bringing back a record whose lines belong to an addon that sleeps: they come along unseen, and are there when it is on again."""

from __future__ import annotations

import pytest

from tests.core.installation import Installation
from tests.core.test_toggling import Caller, caller, house  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow


def test_a_deleted_record_comes_back_with_the_lines_of_a_sleeping_addon(house: Installation, caller: Caller) -> None:  # noqa: F811
    thing = caller.call("POST", "/api/v1/t_thing/", {"name": "Table", "colour": "red"})[1]["id"]
    notes = [caller.call("POST", "/api/v1/t_note/", {"thing": thing, "text": text})[1]["id"] for text in ("first", "second")]
    stored = "SELECT id, thing_id, text FROM t_note ORDER BY id"
    before, url = house.ask(stored), f"/api/v1/t_thing/{thing}"
    # Deleted while its lines' addon is awake, and while it sleeps: brought back while it sleeps, both times.
    for asleep in (False, True):
        if asleep:
            house.must("addon", "off", "t_note")
        assert caller.call("DELETE", url)[0] == 200 and house.ask(stored) == []
        if not asleep:
            house.must("addon", "off", "t_note")
        (entry,) = caller.call("GET", "/api/v1/_trash?model=t_thing")[1]["result"]
        status, body = caller.call("POST", f"/api/v1/_trash/{entry['row']}")
        assert status == 200 and body["id"] == thing, body
        assert house.ask(stored) == before and house.ask("SELECT colour FROM t_thing") == [("red",)]
        assert caller.call("GET", f"/api/v1/t_note/{notes[0]}")[0] == 404, "still asleep"
        house.must("addon", "on", "t_note")
        assert [caller.call("GET", f"/api/v1/t_note/{one}")[1]["result"]["text"] for one in notes] == ["first", "second"]
        assert caller.call("GET", "/api/v1/_trash?model=t_note")[1]["result"] == []

    # An earlier state of the record: of its lines nothing is told or touched while they sleep; named, they are refused.
    (made, *_rest) = caller.call("GET", f"{url}/past")[1]["result"][-1:]
    assert caller.call("DELETE", f"/api/v1/t_note/{notes[0]}")[0] == 200
    assert caller.call("PUT", url, {"name": "Desk"})[0] == 200
    house.must("addon", "off", "t_note")
    told = caller.call("GET", f"{url}/past?row={made['row']}")[1]
    assert told["values"]["name"] == "Table" and "t_note" not in told["lines"]
    # A field that it placed here sleeps, too, and is not told as one that is gone.
    assert "colour" not in told["values"], told
    line = {"row": made["row"], "lines": [{"model": "t_note", "id": notes[0]}]}
    status, body = caller.call("POST", f"{url}/past", line)
    assert status in (400, 403, 404, 409, 422), body
    status, body = caller.call("POST", f"{url}/past", {"row": made["row"], "all": True})
    assert status == 200 and body["changed"] == 1 and house.ask(stored) == before[1:]
    house.must("addon", "on", "t_note")
    status, body = caller.call("POST", f"{url}/past", line)
    assert status == 200 and house.ask(stored) == before, body
