"""What is measured: each piece of work as one request to the house and one to the floor, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

FLOOR, STATEMENTS, SQL, GROUP = 4.0, 12, 2.0, 1.5
"""PERF-NOTES, “Goals”, column “Ask”: times the floor, statements of a page, times the floor's statements (first page of a list)."""


@dataclass(frozen=True)
class Work:
    """One page: who opens which address of ours, and the floor's address for the same rows."""

    name: str
    person: str
    ours: str
    floor: str
    sql: float | None = None
    """Most that our statements may take, in times of the floor's; None where nothing is asked."""
    statements: int = STATEMENTS
    writes: str = ""
    """``create`` or ``edit``: what is measured is the sending of the form."""
    times: float = FLOOR
    against: str = ""
    """The work whose time this one is held against as well, at most 1.3 times."""
    facts: dict[str, Any] = field(default_factory=dict)


def works(facts: dict[str, Any], who: dict[str, list[Any]]) -> list[Work]:
    """All pages of one house."""
    found: list[Work] = []
    owners = dict(zip(("none", "few", "some", "many", "all"), who["people"], strict=False))
    below = ",".join(map(str, facts["below"]))
    reach: dict[str, dict[str, Any]] = {
        "none": {"owner": owners["none"]}, "few": {"owner": owners["few"]}, "some": {"owner": owners["some"]},
        "many": {"owner": owners["many"], "departments": below}, "all": {},
    }  # fmt: skip
    for person, where in reach.items():
        for order, name in (("-changed_at", "date"), ("name", "name")):
            ours = _at("/crm_client/", order=order)
            found.append(
                Work(
                    f"list by {name}, sees {person}", person, ours, _at("/list", order=name, **where), sql=SQL if person == "some" else None
                )
            )
    pair = {name: options[0] for name, options in facts["choices"].items() if name in ("category", "source")}
    tree = '{"and":[' + ",".join(f'{{"field":"{name}","op":"is","value":"{key}"}}' for name, key in pair.items()) + "]}"
    found.insert(0, Work(
        "list, own, two-field filter", "some", _at("/crm_client/", order="-changed_at", filter=tree),
        _at("/list", order="date", **reach["some"], **pair), sql=SQL,
    ))  # fmt: skip
    for key, place in facts["marks"].items():
        person, order = key.split()
        name = "name" if order == "name" else "date"
        found.append(Work(
            f"page at depth, by {name}, sees {person}", person, _at("/crm_client/", order=order, after=place["mark"]),
            _at("/list", order=name, at=place["at"], id=place["id"], **reach[person]), against=f"list by {name}, sees {person}",
        ))  # fmt: skip
    for person in ("all", "many", "some", "few"):
        for name, one in facts["searches"].items():
            ours = _at("/crm_client/", order="-changed_at", q=one["text"])
            found.append(
                Work(f"search {name}, sees {person}", person, ours, _at("/list", order="date", words=one["words"], **reach[person]))
            )
    by = "region,category"
    for person, where in reach.items():
        found.append(Work(
            f"group by {by}, sees {person}", person, _at("/crm_client/", group=by), _at("/group", by=by, **where),
            sql=GROUP if person in ("some", "many", "all") else None,
        ))  # fmt: skip
    mine = facts["mine"][0]
    found.append(Work("open form", "some", f"/crm_client/{mine}", f"/c/{mine}"))
    found.append(Work("create", "some", "/crm_client/new", "/new", writes="create"))
    found.append(Work("edit, with journal", "some", f"/crm_client/{mine}", f"/c/{mine}", writes="edit"))
    return found


def _at(path: str, **parts: Any) -> str:
    return f"{path}?{urlencode(parts)}"
