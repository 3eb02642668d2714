"""Every address of a model, and what a browser sends there."""

from __future__ import annotations

from typing import Any

from core.model import fields_of, models
from core.web.views import view_of
from tests.contract.values import values

THEN = "2020-02-29"
"""A day on which lists were as empty as they could be."""


def pages(model: Any, record_id: int) -> list[str]:
    """What is only looked at on screens."""
    table = model.__tablename__
    found = [f"/{table}/", f"/{table}/?q=li", f"/{table}/?group=created_by,created_at", f"/{table}/_rows"]
    found += [f"/{table}/_export", f"/{table}/_lookup?q=", f"/{table}/_lookup?q=li"]
    found += [f"/{table}/{record_id}", f"/{table}/{record_id}/delete", f"/{table}/{record_id}/_history", f"/{table}/{record_id}/_past"]
    found += [f"/{table}/?as_of={THEN}", f"/{table}/?as_of={THEN}&q=li&order=-id"]
    if view_of(model).may_create:
        found += [f"/{table}/_import", f"/{table}/_import/template.csv"]
    for other in models().values():
        if other.addon == model.addon:
            for link in other.__fields__.values():
                if link.kind.name == "link" and link.target_table == table:
                    found.append(f"/{table}/{record_id}/_related/{other.__tablename__}/{link.name}")
    return found


def posts(model: Any, record_id: int) -> list[str]:
    """Where the forms of the screens are sent."""
    table = model.__tablename__
    return [f"/{table}/{end}" for end in ("new", record_id, f"{record_id}/delete", "_bulk", "_edit", "_import")]


def resources(model: Any, record_id: int) -> list[str]:
    """What is only read over REST."""
    table = model.__tablename__
    found = [f"/api/v1/{table}/", f"/api/v1/{table}/_info", f"/api/v1/{table}/_groups?by=created_by", f"/api/v1/{table}/{record_id}"]
    return [*found, f"/api/v1/{table}/?as_of={THEN}", f"/api/v1/{table}/{record_id}/past", f"/api/v1/{table}/{record_id}/past?row=1&with=9"]


def typed(model: Any, number: int) -> dict[str, Any]:
    """What a browser sends for a new record."""
    given = values(model, number)
    for name, one in fields_of(model).items():
        if one.kind.name == "yesno" and name in given:
            given[name] = "1" if given[name] else ""
        elif one.kind.name == "datetime" and name in given:
            given[name] = given[name][:16]
    return given
