"""The list of somebody who sees very many rows by several ways at once: each row once, in order, and never fetched all to be sorted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from core.db import db
from core.listing import page
from tests.core.kernel import acts, department, person, row
from tests.core.shelves import add_books, library, model

MANY = 11_400


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def chief(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[int, tuple[Any, str]]]]:
    """(a person of two departments, {id: (pages, title)} of the books he sees): his own, his departments', two that are shared with him."""
    with library(request.param, tmp_path_factory.mktemp("many")):
        here, there, elsewhere = department("Here"), department("There"), department("Elsewhere")
        me, other = person(roles=("Library reader",), department=here), person(roles=("Library reader",), department=elsewhere)
        row("core_post", user_id=me, department_id=there, is_primary=False, version=1)
        texts = []
        for number in range(MANY):
            places = [(me, here), (me, elsewhere), (other, here), (other, there), (None, there), (other, elsewhere), (None, None)]
            owner, place = places[number % 5] if number % 20 else places[5 + number % 40 // 20]
            pages = None if number % 11 == 0 else number % 97
            texts.append({"title": f"科技 {number * 7919 % MANY:05}", "pages": pages, "owner_id": owner, "department_id": place})
        made = dict(zip(add_books(texts), texts, strict=True))
        lent = [one for one, text in made.items() if text["department_id"] == elsewhere and text["owner_id"] == other][:2]
        for one in lent:
            row("core_share", model="lib_book", record_id=one, user_id=me, access="read", version=1)
        seen = {
            one: (text["pages"], text["title"]) for one, text in made.items()
            if text["owner_id"] == me or text["department_id"] in (here, there) or one in lent
        }  # fmt: skip
        if request.param == "postgresql":
            with db.short() as connection:
                connection.exec_driver_sql("ANALYZE lib_book")
        yield me, seen


def _key(order: str, one: int, seen: dict[int, tuple[Any, str]]) -> Any:
    pages, title = seen[one]
    sign = -1 if order.startswith("-") else 1
    if order.endswith("pages"):
        return (pages is None, sign * (pages or 0), sign * one)
    return (title, one)


@pytest.mark.parametrize("order", ["pages", "-pages", "title"])
@pytest.mark.parametrize("search", [None, "科技"], ids=["all", "searched"])
def test_each_row_is_met_once_and_in_order(chief: tuple[int, dict[int, tuple[Any, str]]], order: str, search: str | None) -> None:
    me, seen = chief
    assert len(seen) > 10_000
    with acts(me):
        asked: dict[str, Any] = {"order": order, "limit": 900, "search": search, "columns": []}
        pages = [page(model("Book"), **asked)]
        while pages[-1].next is not None:
            pages.append(page(model("Book"), after=pages[-1].next, **asked))
        found = [[one.id for one in each.rows] for each in pages]
        assert sum(found, []) == sorted(seen, key=lambda one: _key(order, one, seen))
        back = page(model("Book"), before=pages[-1].previous, **asked)
        assert [one.id for one in back.rows] == found[-2]


@pytest.mark.parametrize("question", [{}, {"search": "科技"}, {"filter": {"field": "title", "op": "contains", "value": "0"}}], ids=str)
@pytest.mark.parametrize("order", ["pages", "-pages", "title"])
def test_a_page_is_not_made_by_fetching_all_visible_rows_on_sqlite(
    chief: tuple[int, dict[int, tuple[Any, str]]], order: str, question: dict[str, Any]
) -> None:
    ran: list[tuple[str, Any]] = []
    listener = lambda *facts: ran.append((facts[2], facts[3]))  # noqa: E731
    with acts(chief[0]):
        event.listen(db.engine, "before_cursor_execute", listener)
        assert len(page(model("Book"), order=order, **question).rows) == 50
        event.remove(db.engine, "before_cursor_execute", listener)
    db.remove()
    with db.short() as connection:
        for sql, values in ran if db.is_sqlite else ():
            if "ORDER BY" in sql and not sql.startswith(("PRAGMA", "BEGIN")):
                plan = [one[3] for one in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
                assert not any("MULTI-INDEX OR" in one for one in plan), "\n".join(plan)
