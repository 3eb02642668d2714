"""Groups over REST: what `/api/v1/<table>/_groups` is asked, and what it answers."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask import request

from core.asof_list import read_day
from core.errors import Broken
from core.grouping import GROUPS, MOST_GROUPS
from core.i18n import gettext as _
from core.records import records

KNOWN = ("by", "sums", "filter", "q", "limit", "as_of")


def group_answer(model: Any) -> dict[str, Any]:
    """The groups that the address asks for, as JSON."""
    from core.web.api import number_of, only_known, read_json

    only_known(KNOWN)
    tree, day = request.args.get("filter"), request.args.get("as_of")
    found = records(model).groups(
        _names("by"),
        read_day(day) if day else None,
        filter=read_json(tree, _("The filter")) if tree else None,
        search=request.args.get("q") or None,
        sums=_names("sums"),
        limit=number_of("limit", GROUPS, MOST_GROUPS),
    )
    keys, sums = [one.name for one in found.keys], [one.name for one in found.sums]

    def added(values: Any) -> dict[str, Any]:
        return {one.name: one.json(value) for one, value in zip(found.sums, values or [None] * len(sums), strict=True)}

    past = {"as_of": day, "unknown": found.unknown} if day else {}
    return past | {
        "by": keys,
        "result": [
            {
                "values": dict(zip(keys, map(_json, one.values), strict=True)),
                "labels": dict(zip(keys, one.labels, strict=True)),
                "count": one.count,
                "sums": added(one.sums),
            }
            for one in found.groups
        ],
        "groups": found.number,
        "capped": found.capped,
        "count": found.count,
        "sums": added(found.totals),
    }


def _names(word: str) -> list[str]:
    names = [one.strip() for one in request.args.get(word, "").split(",") if one.strip()]
    if len(names) > 20:
        raise Broken(_("“%(name)s” names too many fields.", name=word))
    return names


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
