"""Lists: every row once, in the same order on both databases, counted as far as it is cheap, within the person's rights."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, insert, select, update

from core.context import system
from core.db import db
from core.errors import Broken, Refused
from core.listing import page
from tests.core.kernel import acts, department, person, row
from tests.core.shelves import add_books, library, made_up, model

SORTED_BY = ("id", "title", "shelf", "pages", "weight", "price", "printed_on", "lent_at", "rare", "genre", "mark", "author")


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shelves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A library with 61 books, many of them alike."""
    with library(request.param, tmp_path_factory.mktemp("library")):
        people = [person(), person()]
        authors = [row("lib_author", name=name, title_key=name.lower(), version=1) for name in ("Zoe", "ann", "Bob")]
        add_books(made_up(1, 61, authors, people))
        yield request.param


@pytest.fixture(autouse=True)
def _own_session(shelves: str) -> Iterator[None]:
    db.remove()
    yield
    db.remove()


def _walked(order: Any, limit: int, **question: Any) -> list[int]:
    """All ids by following the pages forward; each page is checked against the way back."""
    found: list[int] = []
    pages: list[list[int]] = []
    mark = None
    while True:
        one = page(model("Book"), order=order, limit=limit, after=mark, **question)
        ids = [each.id for each in one.rows]
        if pages:
            assert [each.id for each in page(model("Book"), order=order, limit=limit, before=one.previous, **question).rows] == pages[-1]
        pages.append(ids)
        found += ids
        assert len(found) < 1000
        if one.next is None:
            return found
        mark = one.next


def test_the_page_before_a_place_that_has_become_the_first_is_the_first_page():
    Book, tree = model("Book"), {"field": "shelf", "op": "is", "value": "Q9"}
    ids = add_books([{"title": f"Row {number}", "shelf": "Q9"} for number in range(9)])
    with system():
        asked = {"filter": tree, "order": "id", "limit": 3}
        third = page(Book, after=page(Book, after=page(Book, **asked).next, **asked).next, **asked)
        delete_books(ids[:6])
        found = page(Book, before=third.previous, **asked)
        assert [one.id for one in found.rows] == ids[6:] and (found.previous, found.next) == (None, None)
        delete_books(ids[6:])
        assert page(Book, before=third.previous, **asked).rows == []


def delete_books(ids: list[int]) -> None:
    db.remove()
    with db.short() as connection:
        connection.execute(delete(model("Book").__table__).where(model("Book").id.in_(ids)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    order=st.lists(st.tuples(st.sampled_from(SORTED_BY), st.sampled_from(["", "-"])), min_size=1, max_size=4, unique_by=lambda one: one[0]),
    limit=st.integers(1, 20),
)
def test_walking_any_order_meets_every_row_once_with_nothing_last(shelves: str, order: list[tuple[str, str]], limit: int) -> None:
    Book, names = model("Book"), [sign + name for name, sign in order]
    with system("test"):
        found = _walked(names, limit)
        rows = list(db.session.execute(select(Book)).scalars())
        titles = {one.id: one.title_key for one in db.session.execute(select(model("Author"))).scalars()}
        db.remove()

    def value(one: Any, name: str) -> Any:
        if name in ("title", "author"):
            return one.title_key.encode() if name == "title" else titles.get(one.author_id)
        raw = getattr(one, name)
        return raw.encode() if isinstance(raw, str) else raw

    steps = order if order[-1][0] == "id" else [*order, ("id", order[-1][1])]

    def compare(one: Any, other: Any) -> int:
        for name, sign in steps:
            mine, yours = value(one, name), value(other, name)
            if mine == yours:
                continue
            if mine is None or yours is None:
                return 1 if mine is None else -1
            return (-1 if sign else 1) * (1 if mine > yours else -1)
        return 0

    assert found == [one.id for one in sorted(rows, key=cmp_to_key(compare))]


def test_a_page_mark_outlives_its_row(shelves: str) -> None:
    Book = model("Book")
    with system("test"):
        before = _walked("-price", 10)
        first = page(Book, order="-price", limit=10)
        doomed = first.rows[-1].id
        db.remove()
        with db.short() as connection:
            kept = dict(connection.execute(select(Book.__table__).where(Book.__table__.c.id == doomed)).mappings().one())
            connection.execute(delete(Book.__table__).where(Book.__table__.c.id == doomed))
        second = page(Book, order="-price", limit=10, after=first.next)
        assert [one.id for one in second.rows] == before[10:20]
        assert [one.id for one in page(Book, order="-price", limit=10, before=second.previous).rows] == before[:9]
        db.remove()
        with db.short() as connection:
            connection.execute(insert(Book.__table__), kept)


@pytest.mark.parametrize("mark", ["x", "????", "é", "A" * 5000, "A" * 16, base64.urlsafe_b64encode(b"123456[]").decode(), 7, {"a": 1}])
def test_a_damaged_page_mark_is_refused_with_a_sentence(shelves: str, mark: Any) -> None:
    with system("test"), pytest.raises(Broken, match="start at the first page"):
        page(model("Book"), after=mark)


def test_a_page_mark_with_values_of_the_wrong_type_is_refused(shelves: str) -> None:
    import hashlib
    import json

    wrong: tuple[Any, ...] = ("x", 2**70, 1.5, True, [], {}, "\x00")
    with system("test"):
        for value in wrong:
            body = json.dumps(["Book:lib_book:pages,id", [value, 1]]).encode()
            mark = base64.urlsafe_b64encode(hashlib.blake2b(body, digest_size=6).digest() + body).decode().rstrip("=")
            with pytest.raises(Broken, match="damaged"):
                page(model("Book"), order="pages", after=mark)


def test_a_page_mark_of_another_list_or_order_is_refused(shelves: str) -> None:
    with system("test"):
        mark = page(model("Book"), order="title", limit=3).next
        for other in ({"order": "-title"}, {"order": "pages"}):
            with pytest.raises(Broken, match="another list"):
                page(model("Book"), after=mark, **other)
        with pytest.raises(Broken, match="another list"):
            page(model("Author"), after=mark, order="name")


@pytest.mark.parametrize(
    "question",
    [
        {"order": "nothing"}, {"order": "story"}, {"order": "uses"}, {"order": "moods"}, {"order": ["title"] * 9}, {"order": 5},
        {"order": [5]}, {"limit": 0}, {"limit": 10**9}, {"limit": "5"}, {"limit": True}, {"after": "a", "before": "b"},
        {"search": "x" * 300}, {"columns": ["nothing"]},
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_understood_is_refused_with_a_sentence(shelves: str, question: dict[str, Any]) -> None:
    with system("test"), pytest.raises(Broken) as problem:
        page(model("Book"), **question)
    assert problem.value.sentence.endswith(".")


def test_light_rows_hold_the_id_and_the_columns_asked_for(shelves: str) -> None:
    with system("test"):
        for order in ("id", "pages"):
            for one in page(model("Book"), order=order, columns=["title", "author", "price"]).rows:
                book = db.session.get(model("Book"), one.id)
                assert (one.title, one.author_id, one.price) == (book.title, book.author_id, book.price)


def test_the_count_is_exact_and_can_be_left_out(shelves: str) -> None:
    with system("test"):
        one = page(model("Book"), limit=5)
        assert (one.count, one.capped, one.total_text) == (61, False, "61")
        assert page(model("Book"), limit=5, count=False).count is None
        few = page(model("Book"), filter={"field": "genre", "op": "is", "value": "law"})
        assert few.count == len(few.rows) and few.next is None and few.previous is None


def test_a_person_sees_own_department_and_shared_books_only(shelves: str) -> None:
    here, there = department("Here"), department("There")
    me, other = person(roles=("Library reader",), department=here), person(roles=("Library reader",), department=there)
    mine = add_books([{"title": "红楼梦 mine", "owner_id": me}, {"title": "same house", "owner_id": other, "department_id": here}])
    theirs = add_books([{"title": "红楼梦 theirs", "owner_id": other, "department_id": there}, {"title": "lent", "owner_id": other}])
    row("core_share", model="lib_book", record_id=theirs[1], user_id=me, access="read", version=1)
    expected = {*mine, theirs[1]}
    try:
        for order in ("id", "title", "-lent_at", ["genre", "-title"]):
            with acts(me):
                one = page(model("Book"), order=order, limit=2)
                two = page(model("Book"), order=order, limit=2, after=one.next)
                assert {each.id for each in one.rows + two.rows} == expected and one.count == 3 and two.next is None
        with acts(me):
            assert {one.id for one in page(model("Book"), search="红楼梦").rows} == {mine[0]}
            assert page(model("Book"), filter={"field": "title", "op": "contains", "value": "theirs"}).count == 0
        with acts(person()), pytest.raises(Refused, match="may not read"):
            page(model("Book"))
    finally:
        db.remove()
        with db.short() as connection:
            connection.execute(delete(model("Book").__table__).where(model("Book").__table__.c.id.in_([*mine, *theirs])))


def test_sorting_by_a_link_does_not_tell_the_titles_a_person_may_not_see(shelves: str) -> None:
    helper = person(roles=("Library helper",))
    with acts(helper):
        one = page(model("Book"), order="author", limit=100)
    by_id = sorted(each.id for each in one.rows)
    assert [each.id for each in one.rows] == by_id


def test_half_visible_rows_are_listed_but_nothing_more_can_be_asked_of_them(shelves: str) -> None:
    reader, half = person(roles=("Library reader",)), model("BookHalf")
    with acts(reader):
        assert page(half, order="title", limit=5).count == 61
        for tree in ({"field": "phone", "op": "contains", "value": "138"}, {"field": "owner", "op": "is", "value": 1}):
            with pytest.raises(Broken):
                page(half, filter=tree)
        assert page(half, search="13800138000").count == 0
        assert page(half, search="Falcon").count == 0
        assert page(half, search="ulysses").count > 0


@pytest.fixture(scope="module")
def crowded(shelves: str) -> Iterator[list[int]]:
    """10,050 more books."""
    db.remove()
    texts = [
        {"title": f"科技 {number:05}", "pages": number % 7, "genre": "law", "shelf": None if number % 3 else f"S{number % 5}"}
        for number in range(10_050)
    ]
    made = add_books(texts)
    with db.short() as connection:
        connection.execute(update(model("Book").__table__).where(model("Book").__table__.c.id.in_(made[:5])).values(rare=True))
        if shelves == "postgresql":
            connection.exec_driver_sql("ANALYZE lib_book")
    yield made
    db.remove()
    with db.short() as connection:
        connection.execute(delete(model("Book").__table__).where(model("Book").__table__.c.title.like("科技 %")))


def test_more_than_ten_thousand_are_not_counted_to_the_end(crowded: list[int]) -> None:
    with system("test"):
        one = page(model("Book"))
        assert (one.count, one.capped, one.total_text) == (10_000, True, "10,000+")
        found = page(model("Book"), search="科技")
        assert (found.count, found.capped, found.total_text) == (1_000, True, "1,000+") and len(found.rows) == 50
        assert page(model("Book"), search="科技 00042").count == 1


def test_long_lists_are_sorted_by_indexed_fields_only_and_say_why(crowded: list[int]) -> None:
    with system("test"):
        for order in ("weight", "rare", "author", ["genre", "id"]):
            with pytest.raises(Broken, match="has no index"):
                page(model("Book"), order=order)
            assert page(model("Book"), order=order, filter={"field": "title", "op": "starts", "value": "Moby"}).count > 0
        for order in ("title", "-pages", ["shelf", "weight"], "created_at"):
            assert len(page(model("Book"), order=order).rows) == 50


def test_a_long_list_with_ties_and_gaps_is_walked_to_its_end(crowded: list[int]) -> None:
    with system("test"):
        mark, found, shelves_seen = None, [], []
        while True:
            one = page(model("Book"), order=["-shelf", "pages"], limit=1000, after=mark, count=False, columns=["shelf", "pages"])
            found += [each.id for each in one.rows]
            shelves_seen += [each.shelf for each in one.rows]
            mark = one.next
            if mark is None:
                break
        total = db.session.execute(select(model("Book").id)).scalars().all()
        assert sorted(found) == sorted(total)
        filled = [one for one in shelves_seen if one is not None]
        assert shelves_seen == sorted(filled, key=str.encode, reverse=True) + [None] * (len(found) - len(filled))


@pytest.mark.parametrize("order", ["-shelf", "title", ["pages", "-id"]])
def test_the_hits_of_a_common_word_are_walked_to_their_end_and_back(crowded: list[int], order: Any) -> None:
    Book, asked = model("Book"), {"order": order, "limit": 700, "search": "科技", "columns": ["shelf"]}
    with system("test"):
        pages = [page(Book, **asked)]
        while pages[-1].next is not None:
            pages.append(page(Book, after=pages[-1].next, **asked))
        found = [[one.id for one in each.rows] for each in pages]
        assert sorted(sum(found, [])) == sorted(crowded) and len(pages) == 15
        back = page(Book, before=pages[-1].previous, **asked)
        assert [one.id for one in back.rows] == found[-2]
        assert [one.id for one in page(Book, before=back.previous, **asked).rows] == found[-3]


def test_a_page_takes_the_same_few_statements_whatever_its_size(crowded: list[int]) -> None:
    helper = person(roles=("Library helper",))
    counted: dict[int, int] = {}
    for limit in (1, 50, 500):
        with acts(helper):
            page(model("Book"), limit=1)
            statements: list[str] = []
            listener = lambda *facts, seen=statements: seen.append(facts[2])  # noqa: E731
            event.listen(db.engine, "before_cursor_execute", listener)
            page(model("Book"), order="title", limit=limit)
            event.remove(db.engine, "before_cursor_execute", listener)
        counted[limit] = len(statements)
    assert set(counted.values()) == {2}


def test_new_and_empty_tables_have_an_empty_page(shelves: str) -> None:
    with system("test"):
        empty = page(model("Mood"), order="-name")
        assert (empty.rows, empty.next, empty.previous, empty.count) == ([], None, None, 0)
