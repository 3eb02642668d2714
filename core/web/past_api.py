"""The past over REST: lists of a past day, states of a record, and the way back."""

from __future__ import annotations

from typing import Any

from flask import request

from core.asof_list import read_day
from core.records import records
from core.web.api import chosen_columns, list_question, readable
from core.web.cells import link_ids


def list_then(model: Any) -> dict[str, Any]:
    """A page of the records as they were at the end of the day ``as_of``."""
    day = read_day(request.args["as_of"])
    names, question = [name for name in chosen_columns(model) if name != "version"], list_question("as_of")
    page = records(model).find_then(day, columns=names, **question)
    fields = [readable(model)[name] for name in names]
    ids = [row.id for row in page.rows]
    linked = {
        one.name: link_ids(model, one, ids) | page.links.get(one.name, {}) for one in fields if one.kind.name == "links" and not one.custom
    }
    rows = [
        {one.name: sorted(linked[one.name].get(row.id, [])) if one.name in linked else one.json(one.get(row)) for one in fields}
        for row in page.rows
    ]
    body = {"result": rows, "next": page.next, "previous": page.previous, "as_of": day.isoformat(), "gone": sorted(page.gone)}
    if question["count"]:
        body |= {"count": page.count, "count_capped": page.capped}
    return {**body, "unknown": page.unknown}
