"""The list of somebody with whom more than ten thousand records are shared: each row once, in order, with the right number."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import insert

from core import listing, reach
from core.db import db
from core.listing import page
from core.people import Share
from tests.core.kernel import acts, department, person, row
from tests.core.shelves import add_books, library, model

MANY, SHARED = 12_600, 10_500
EMPTY = {"model": "lib_book", "access": "read", "version": 1, "user_id": None, "department_id": None, "until": None}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def chief(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[int, tuple[Any, str]]]]:
    """(a person with a few books of his own, {id: (pages, title)} of the books he sees): the first in order are not among them."""
    with library(request.param, tmp_path_factory.mktemp("shared")):
        here, elsewhere = department("Here"), department("Elsewhere")
        me, other = person(roles=("Library reader",), department=here), person(roles=("Library reader",), department=elsewhere)
        texts = [
            {
                "title": f"科技 {number * 7919 % MANY:05}", "pages": None if number % 11 == 0 else number % 97,
                "owner_id": me if number % 400 == 0 else other, "department_id": elsewhere,
            }
            for number in range(MANY)
        ]  # fmt: skip
        made = dict(zip(add_books(texts), texts, strict=True))
        # Two thousand titles from the first on are nobody's but the other's, so that a walk by title meets none for long.
        lent = [one for one in made if made[one]["title"] >= "科技 02000"][:SHARED]
        shares = [EMPTY | {"record_id": one, "user_id": me} for one in lent]
        # Some are shared twice, some with others, and some were shared until yesterday.
        shares += [EMPTY | {"record_id": one, "department_id": here} for one in lent[:400]]
        unlent = [one for one in made if one not in set(lent)]
        shares += [EMPTY | {"record_id": one, "user_id": other} for one in unlent]
        shares += [EMPTY | {"record_id": one, "user_id": me, "until": datetime(2020, 1, 1)} for one in unlent[:300]]
        with db.short() as connection:
            connection.execute(insert(Share.__table__), shares)
            if request.param == "postgresql":
                connection.exec_driver_sql("ANALYZE")
        among = set(lent)
        yield me, {one: (text["pages"], text["title"]) for one, text in made.items() if one in among or text["owner_id"] == me}


def _key(order: str, one: int, seen: dict[int, tuple[Any, str]]) -> Any:
    pages, title = seen[one]
    sign = -1 if order.startswith("-") else 1
    return (pages is None, sign * (pages or 0), sign * one) if order.endswith("pages") else (title, one)


@pytest.mark.parametrize("order", ["pages", "-pages", "title"])
@pytest.mark.parametrize("window", [listing.NEXT[-1], 1_500], ids=["met soon", "met late"])
def test_each_row_is_met_once_and_in_order(
    chief: tuple[int, dict[int, tuple[Any, str]]], monkeypatch: pytest.MonkeyPatch, order: str, window: int
) -> None:
    me, seen = chief
    monkeypatch.setattr(listing, "NEXT", (1_000, window))
    with acts(me):
        asked: dict[str, Any] = {"order": order, "limit": 900, "columns": []}
        pages = [page(model("Book"), **asked)]
        assert pages[0].count == reach.MOST_COUNTED and pages[0].capped
        while pages[-1].next is not None:
            pages.append(page(model("Book"), after=pages[-1].next, **asked))
        found = [[one.id for one in each.rows] for each in pages]
        assert sum(found, []) == sorted(seen, key=lambda one: _key(order, one, seen))
        back = page(model("Book"), before=pages[-1].previous, **asked)
        assert [one.id for one in back.rows] == found[-2]


def test_a_share_that_ends_is_counted_no_more(chief: tuple[int, dict[int, tuple[Any, str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    me, seen = chief
    table = Share.__table__
    mine = (table.c.user_id == me) & (table.c.record_id % 2 == 1) & table.c.until.is_(None)
    with acts(me):
        assert page(model("Book"), limit=5).capped
    with db.short() as connection:
        ended = (
            connection.execute(table.update().where(mine).values(until=datetime(2020, 1, 1)).returning(table.c.record_id)).scalars().all()
        )
    with acts(me):
        # For a minute it is believed that they are more than are counted; what is shown is only what is open, at once.
        soon = page(model("Book"), limit=5)
        assert soon.capped and not {one.id for one in soon.rows} & set(ended)
        monkeypatch.setattr(reach, "ALONE_SECONDS", 0)
        left = page(model("Book"), limit=5)
    kept = {one for one in seen if one not in set(ended)}
    with db.short() as connection:
        again = connection.execute(table.select().where(table.c.department_id.is_not(None))).all()
        own = connection.exec_driver_sql(f"SELECT id FROM lib_book WHERE owner_id = {me}").scalars().all()
        connection.execute(table.update().where(table.c.record_id.in_(ended), table.c.user_id == me).values(until=None))
    assert left.count == len(kept | {one.record_id for one in again} | set(own)) < reach.MOST_COUNTED and not left.capped


def test_a_record_that_is_not_shared_is_out_of_reach(chief: tuple[int, dict[int, tuple[Any, str]]]) -> None:
    me, seen = chief
    stranger = row("lib_book", title="Stranger", version=1)
    with acts(me):
        # Where other conditions lead to the rows, the rule is asked of each.
        for filter in ({"field": "title", "op": "is", "value": "Stranger"}, {"field": "id", "op": "is", "value": stranger}):
            assert page(model("Book"), filter=filter).rows == []
        assert page(model("Book"), filter={"field": "id", "op": "in", "value": [stranger, next(iter(seen))]}).count == 1
