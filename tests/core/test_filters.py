"""Filters: what a tree lets through is what plain reading of it says, on both databases; and nothing wrong passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, text

from core.context import Actor, acting, clock, system
from core.custom import CustomField
from core.db import db
from core.errors import Broken
from core.filters import compile_filter, describe
from core.listing import page
from core.records import records
from tests.core.kernel import acts, person, row
from tests.core.shelves import add_books, library, made_up, model

NOON = datetime(2026, 11, 22, 4, 0)
ZONE = "Asia/Shanghai"


class Facts(dict[str, Any]):
    """What the plain reading knows of the library; said in one word when a test fails."""

    def __repr__(self) -> str:
        return "…"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shelves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A library with 80 books; the value holds what the plain reading needs to know of them."""
    with library(request.param, tmp_path_factory.mktemp("library")):
        people = [person("filter-ann"), person("filter-bob")]
        born = {"Zoe": None, "ann": date(1990, 1, 1)}
        authors = [row("lib_author", name=name, born_on=day, title_key=name.lower(), version=1) for name, day in born.items()]
        moods = [row("lib_mood", name=name, version=1) for name in ("glad", "sad", "Glum")]
        ids = add_books(made_up(7, 80, authors, people))
        Book = model("Book")
        link = Book.moods.property.secondary
        with db.short() as connection:
            for number, book in enumerate(ids):
                some = {0: [], 1: [moods[0]], 2: [moods[0], moods[1]], 3: [moods[2]]}[number % 4]
                connection.execute(insert(link), [{"left_id": book, "right_id": one} for one in some]) if some else None
                if number % 5 == 0:
                    connection.execute(Book.__table__.update().where(Book.__table__.c.id == book).values(first_part_id=ids[number // 5]))
            books = [dict(one) for one in connection.execute(select(Book.__table__)).mappings()]
            tied = connection.execute(select(link)).all()
        for one in books:
            one["moods"] = [right for left, right in tied if left == one["id"]]
        yield Facts({
            "books": books, "people": people, "authors": authors, "moods": moods,
            "author_names": dict(zip(authors, ("Zoe", "ann"), strict=True)),
            "mood_names": dict(zip(moods, ("glad", "sad", "Glum"), strict=True)),
        })  # fmt: skip


@pytest.fixture(autouse=True)
def _clock(shelves: dict[str, Any]) -> Iterator[None]:
    db.remove()
    yield
    db.remove()


def _let_through(tree: Any) -> set[int]:
    Book = model("Book")
    return set(db.session.execute(select(Book.id).where(compile_filter(tree, Book))).scalars())


# -- a plain second reading, written from the description and not from the code ------------------------------------------


def _ascii_lower(text: str) -> str:
    return "".join(chr(ord(ch) + 32) if "A" <= ch <= "Z" else ch for ch in text)


def _day_of(value: Any) -> date | None:
    today = date(2026, 11, 22)
    if value == "today":
        return today
    if isinstance(value, dict):
        return today + timedelta(days=value.get("days", 0) + 7 * value.get("weeks", 0))
    return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None


def _same(stored: Any, given: Any, op: str) -> bool:
    """One comparison of two values that are both there."""
    if isinstance(stored, datetime):
        day = _day_of(given)
        if day is not None:
            start = datetime.combine(day, time(), ZoneInfo(ZONE)).astimezone(UTC).replace(tzinfo=None)
            end = start + timedelta(days=1)
            return {"is": start <= stored < end, "lt": stored < start, "le": stored < end, "gt": stored >= end, "ge": stored >= start}[op]
        given = datetime.fromisoformat(given).astimezone(UTC).replace(tzinfo=None)
    elif isinstance(stored, date):
        given = _day_of(given)
    elif isinstance(stored, Decimal):
        stored, given = Decimal(str(stored)).quantize(Decimal("0.000001")), Decimal(str(given)).quantize(Decimal("0.000001"))
    elif isinstance(stored, str) and op in ("lt", "le", "gt", "ge"):
        stored, given = stored.encode(), given.encode()
    if op == "is":
        return stored == given
    return {"lt": stored < given, "le": stored <= given, "gt": stored > given, "ge": stored >= given}[op]


def _leaf_says(stored: Any, op: str, value: Any) -> bool:
    if op in ("is_not", "not_in", "has_not", "empty"):
        return not _leaf_says(stored, {"is_not": "is", "not_in": "in", "has_not": "has", "empty": "not_empty"}[op], value)
    if op == "is" and value is None:
        return stored in (None, "", [])
    if op == "not_empty":
        return stored not in (None, "", [])
    if stored is None:
        return False
    if op == "has":
        return any(one in stored for one in (value if isinstance(value, list) else [value]))
    if op in ("contains", "starts"):
        stored, value = _ascii_lower(stored), _ascii_lower(value)
        return value in stored if op == "contains" else stored.startswith(value)
    if op == "in":
        return any(_same(stored, one, "is") for one in value)
    if op == "between":
        return _same(stored, value[0], "ge") and _same(stored, value[1], "le")
    return _same(stored, value, op)


def _says(tree: dict[str, Any], book: dict[str, Any], facts: dict[str, Any]) -> bool:
    if "and" in tree:
        return all(_says(part, book, facts) for part in tree["and"])
    if "or" in tree:
        return any(_says(part, book, facts) for part in tree["or"])
    if "not" in tree:
        return not _says(tree["not"], book, facts)
    if "field" not in tree:
        return True
    name, op, value = tree["field"], tree["op"], tree.get("value")
    me = facts["people"][0]
    value = [me if one == "me" else one for one in value] if isinstance(value, list) else me if value == "me" else value
    negative = {"is_not": "is", "not_in": "in", "empty": "not_empty"}
    if name == "author.name":
        return _leaf_says(facts["author_names"].get(book["author_id"]), op, value)
    if name == "first_part.title":
        titles = {one["id"]: one["title"] for one in facts["books"]}
        return _leaf_says(titles.get(book["first_part_id"]), op, value)
    if name == "moods.name":
        found = any(_leaf_says(facts["mood_names"][one], negative.get(op, op), value) for one in book["moods"])
        return found != (op in negative)
    return _leaf_says(book[name + "_id" if name in ("author", "owner", "first_part") else name], op, value)


# -- trees -------------------------------------------------------------------------------------------------------------

_texts = st.sampled_from(["Moby Dick", "moby", "DICK", "红楼", "楼", "梦", "%", "_", "100%", "\\", "/", "B\\C", "a", "K-1", "'", '"', "z"])
_equal = ("is", "is_not", "in", "not_in", "empty", "not_empty")
_order = ("lt", "le", "gt", "ge", "between")


def _leaves(name: str, ops: tuple[str, ...], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def made(op: str) -> st.SearchStrategy[dict[str, Any]]:
        if op in ("empty", "not_empty"):
            return st.just({"field": name, "op": op})
        if op in ("in", "not_in"):
            return st.fixed_dictionaries({"field": st.just(name), "op": st.just(op), "value": st.lists(values, max_size=3)})
        if op == "between":
            return st.fixed_dictionaries({"field": st.just(name), "op": st.just(op), "value": st.tuples(values, values).map(list)})
        return st.fixed_dictionaries({"field": st.just(name), "op": st.just(op), "value": values})

    return st.sampled_from(ops).flatmap(made)


_days = st.sampled_from(["1999-12-31", "2026-11-22", "today", {"days": -21}, {"days": 0}, {"weeks": -3}, {"days": 99}])
_moments = _days | st.sampled_from(["2026-11-22T00:00:00+08:00", "2026-11-22T03:04:05.000006+00:00"])
_numbers = st.sampled_from([0, 1, 2, 300, -5, 2**40, 2**62])
_text_ops = ("contains", "starts", *_equal, *_order)
leaves = st.one_of(
    *(_leaves(name, _text_ops, _texts) for name in ("title", "subtitle", "shelf", "mark", "author.name", "first_part.title")),
    _leaves("story", ("contains", "empty", "not_empty"), _texts),
    _leaves("email", ("contains", "starts", "empty", "not_empty"), _texts),
    _leaves("email", _equal, st.sampled_from(["ann@example.com", "x@example.com"])),
    _leaves("pages", (*_equal, *_order), _numbers),
    _leaves("weight", (*_equal, *_order), st.sampled_from([0.5, "1.25", 0.000001, 100, 7])),
    _leaves("price", (*_equal, *_order), st.sampled_from(["0.10", 9.99, "1000000000000.01", -3])),
    _leaves("printed_on", (*_equal, *_order), _days),
    _leaves("lent_at", (*_equal, *_order), _moments),
    _leaves("rare", ("is", "is_not", "empty", "not_empty"), st.booleans()),
    _leaves("genre", _equal, st.sampled_from(["novel", "poems", "law"])),
    _leaves("uses", ("has", "has_not", "empty", "not_empty"), st.sampled_from(["lend", "sell", ["read"], ["lend", "read"]])),
    _leaves("author", _equal, st.integers(1, 4)),
    _leaves("owner", _equal, st.sampled_from([1, 2, "me", 9])),
    _leaves("moods", ("has", "has_not", "empty", "not_empty"), st.sampled_from([1, [2], [1, 3], [77]])),
    _leaves("moods.name", ("contains", "is", "is_not", "empty", "not_empty"), st.sampled_from(["glad", "SAD", "gl"])),
    *(_leaves(name, ("is", "is_not"), st.none()) for name in ("title", "pages", "genre")),
    st.just({}),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"and": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"or": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
).filter(lambda tree: _levels(tree) <= 8)


def _levels(tree: dict[str, Any]) -> int:
    inner = tree.get("and") or tree.get("or") or ([tree["not"]] if "not" in tree else [])
    return (1 if {"and", "or", "not"} & set(tree) else 0) + max(map(_levels, inner), default=0)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(tree=trees)
def test_a_tree_lets_through_what_its_plain_reading_says(shelves: dict[str, Any], tree: dict[str, Any]) -> None:
    clock.set(NOON)
    with acting(Actor(user_id=shelves["people"][0], zone=ZONE, system=True)):
        expected = {book["id"] for book in shelves["books"] if _says(tree, book, shelves)}
        assert _let_through(tree) == expected
        assert isinstance(describe(tree, model("Book")), str)


# -- what is refused ---------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Any, str]] = [
    ("text", "has to look like"),
    ([], "has to look like"),
    ({"field": "nothing", "op": "is", "value": 1}, "has no field “nothing”"),
    ({"field": "nothing\ud800\x00", "op": "is", "value": 1}, "has no field “nothing”"),
    ({"field": "title", "op": "like", "value": "x"}, "cannot be compared by “like”"),
    ({"field": "title", "value": "x"}, "needs a field and an operator"),
    ({"field": 5, "op": "is", "value": "x"}, "needs a field and an operator"),
    ({"field": "story", "op": "is", "value": "x"}, "cannot be compared by “is”"),
    ({"field": "pages", "op": "contains", "value": "1"}, "cannot be compared"),
    ({"field": "pages", "op": "is", "value": "many"}, "whole number"),
    ({"field": "pages", "op": "is", "value": 2**70}, "too large"),
    ({"field": "pages", "op": "is", "value": float("nan")}, "whole number"),
    ({"field": "pages", "op": "in", "value": 5}, "list of values"),
    ({"field": "pages", "op": "between", "value": [1]}, "two values"),
    ({"field": "pages", "op": "lt", "value": None}, "give a value"),
    ({"field": "price", "op": "is", "value": "Infinity"}, "a number"),
    ({"field": "printed_on", "op": "is", "value": "2026-02-30"}, "calendar"),
    ({"field": "printed_on", "op": "is", "value": {"days": "1"}}, "relative day"),
    ({"field": "printed_on", "op": "is", "value": {"days": 1, "weeks": 1}}, "relative day"),
    ({"field": "printed_on", "op": "is", "value": {}}, "relative day"),
    ({"field": "printed_on", "op": "is", "value": {"days": 10**9}}, "relative day"),
    ({"field": "printed_on", "op": "is", "value": {"years": -5000}}, "calendar"),
    ({"field": "lent_at", "op": "is", "value": "0001-01-01"}, "calendar"),
    ({"field": "lent_at", "op": "le", "value": "9999-12-31"}, "calendar"),
    ({"field": "rare", "op": "is", "value": "perhaps"}, "yes or no"),
    ({"field": "genre", "op": "is", "value": "cooking"}, "Genre"),
    ({"field": "author", "op": "is", "value": "me"}, "is a person"),
    ({"field": "author", "op": "is", "value": "Zoe"}, "choose a record"),
    ({"field": "author", "op": "is", "value": -1}, "no such record"),
    ({"field": "title", "op": "contains", "value": ""}, "needs a text"),
    ({"field": "title", "op": "contains", "value": "x" * 501}, "needs a text"),
    ({"field": "title", "op": "contains", "value": ["x"]}, "needs a text"),
    ({"field": "title", "op": "is", "value": "x", "else": 1}, "A part of a filter has"),
    ({"field": "title.x", "op": "is", "value": "x"}, "no link"),
    ({"field": "author.nothing", "op": "is", "value": "x"}, "has no field"),
    ({"field": "author.", "op": "is", "value": "x"}, "has no field"),
    ({"field": "first_part.author.name", "op": "is", "value": "x"}, "more than one link"),
    ({"and": {}}, "list of conditions"),
    ({"and": [], "or": []}, "A part of a filter has"),
    ({"not": []}, "has to look like"),
    ({"search": 5}, "needs a text"),
    ({"search": "x" * 201}, "at most 200"),
    ({"and": [{"field": "pages", "op": "is", "value": 1}] * 201}, "too many conditions"),
    ({"and": [{"field": "pages", "op": "in", "value": list(range(600))}] * 2}, "too many values"),
    ({"field": "pages", "op": "in", "value": list(range(100_000))}, "too many values"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_understood_is_refused_with_a_sentence(shelves: dict[str, Any], tree: Any, sentence: str) -> None:
    with acting(Actor(system=True, zone=ZONE)), pytest.raises(Broken) as problem:
        compile_filter(tree, model("Book"))
    assert sentence in problem.value.sentence
    problem.value.sentence.encode()


def test_a_filter_may_be_eight_levels_deep_and_no_deeper(shelves: dict[str, Any]) -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"not": nested(levels - 1)} if levels else {"field": "pages", "op": "is", "value": 1}

    with system("test"):
        assert _let_through(nested(8)) == {book["id"] for book in shelves["books"] if book["pages"] == 1}
        for levels in (9, 900):
            with pytest.raises(Broken, match="too deeply"):
                compile_filter(nested(levels), model("Book"))


def test_a_field_the_person_may_not_see_is_unknown_to_him(shelves: dict[str, Any]) -> None:
    helper = person(roles=("Library helper",))
    with acts(helper):
        for name in ("secret", "phone"):
            with pytest.raises(Broken) as hidden:
                compile_filter({"field": name, "op": "not_empty"}, model("Book"))
            with pytest.raises(Broken) as unknown:
                compile_filter({"field": "zzz", "op": "not_empty"}, model("Book"))
            assert hidden.value.sentence.replace(name, "zzz") == unknown.value.sentence
            with pytest.raises(Broken):
                compile_filter({"field": f"first_part.{name}", "op": "not_empty"}, model("Book"))
        assert _let_through({"field": "mark", "op": "not_empty"})


def test_a_link_to_what_the_person_may_not_see_leads_to_nothing(shelves: dict[str, Any]) -> None:
    helper = person(roles=("Library helper",))
    with acts(helper):
        assert _let_through({"field": "author.name", "op": "is", "value": "Zoe"}) == set()
        assert _let_through({"field": "author.name", "op": "is_not", "value": "Zoe"}) == {book["id"] for book in shelves["books"]}


def test_me_is_the_acting_person_and_nobody_owns_nothing(shelves: dict[str, Any]) -> None:
    mine = {book["id"] for book in shelves["books"] if book["owner_id"] == shelves["people"][1]}
    with acting(Actor(user_id=shelves["people"][1], system=True)):
        assert _let_through({"field": "owner", "op": "is", "value": "me"}) == mine
        db.remove()
    with system("nobody"):
        assert _let_through({"field": "owner", "op": "in", "value": ["me"]}) == set()


SENTENCES: list[tuple[Any, str]] = [
    (None, ""),
    ({}, ""),
    ({"field": "title", "op": "contains", "value": "李"}, "Title contains “李”"),
    ({"field": "pages", "op": "between", "value": [1, 9]}, "Pages from 1 to 9"),
    ({"field": "printed_on", "op": "ge", "value": {"days": -15}}, "Printed on from 15 days ago on"),
    ({"field": "printed_on", "op": "lt", "value": "today"}, "Printed on before today"),
    ({"field": "author.name", "op": "is", "value": "Zoe"}, "Name of Author is Zoe"),
    ({"field": "author", "op": "in", "value": [1, 2]}, "Author is one of Zoe, ann"),
    ({"field": "owner", "op": "is", "value": "me"}, "Owner is me"),
    ({"field": "pages", "op": "in", "value": list(range(9))}, "Pages is one of 0, 1, 2, 3, 4 and 4 more"),
    ({"field": "subtitle", "op": "empty"}, "Subtitle is empty"),
    ({"not": {"field": "rare", "op": "is", "value": True}}, "not (Rare is Yes)"),
    ({"and": [{"search": "梦"}, {"or": [{"field": "pages", "op": "lt", "value": 9}, {"field": "genre", "op": "is", "value": "law"}]}]},
     "found by “梦” and (Pages below 9 or Genre is Law)"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "sentence"), SENTENCES, ids=range(len(SENTENCES)))
def test_a_filter_can_be_read_as_a_sentence(shelves: dict[str, Any], tree: Any, sentence: str) -> None:
    with system("test"):
        assert describe(tree, model("Book")) == sentence


def test_a_filter_uses_the_index_of_its_field(shelves: dict[str, Any]) -> None:
    Book = model("Book")

    def plan(tree: Any) -> str:
        statement = select(Book.id).where(compile_filter(tree, Book)).compile(db.engine, compile_kwargs={"literal_binds": True})
        if not db.is_sqlite:
            db.session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
        return str(db.session.execute(text(explain + str(statement))).all())

    with system("test"):
        assert "ix_lib_book_pages" in plan({"field": "pages", "op": "is", "value": 2})
        assert "ix_lib_book_printed_on" in plan({"not": {"not": {"field": "printed_on", "op": "le", "value": "today"}}})
        assert "ix_lib_book_author_id" in plan({"field": "author.name", "op": "is", "value": "Zoe"})


def test_custom_fields_are_filtered_sorted_and_searched_like_built_in_ones(shelves: dict[str, Any]) -> None:
    Book, (ann, ben) = model("Book"), shelves["authors"]
    values: dict[str, tuple[str, Any, Any]] = {
        "colour": ("text", "青绿", "RED"), "copies": ("integer", 9, 10), "worth": ("money", "9.50", "10.25"),
        "bought": ("date", "2026-11-22", "2025-01-01"), "seen": ("datetime", "2026-11-22 10:00", "2025-01-01 10:00"),
        "good": ("yesno", True, False), "reader": ("link", ann, ben),
    }  # fmt: skip
    with acts(person(level="administrator"), zone=ZONE):
        names = {}
        for label, (kind, _one, _two) in values.items():
            more = {"target": "lib_author"} if kind == "link" else {"search": True} if kind == "text" else {}
            names[label] = records(CustomField).create({"model": "lib_book", "title": label, "kind": kind, **more}).name
        one, two = (
            records(Book).create({"title": "custom", **{names[label]: given[at] for label, given in values.items()}}).id for at in (1, 2)
        )
        for label, op, value, found in [
            ("colour", "contains", "red", {two}), ("copies", "lt", 10, {one}), ("copies", "in", [9, 10], {one, two}),
            ("worth", "between", ["9.5", 10], {one}), ("bought", "ge", "2026-01-01", {one}), ("seen", "is", "2026-11-22", {one}),
            ("good", "is", True, {one}), ("good", "is", False, {two}), ("reader", "is", ann, {one}), ("reader.name", "is", "ann", {two}),
        ]:  # fmt: skip
            first, dot, second = label.partition(".")
            assert _let_through({"field": names[first] + dot + second, "op": op, "value": value}) == found, label
        for words, found in [("青绿", {one}), ("qinglv", {one}), ("red", {two})]:
            assert _let_through({"search": words}) & {one, two} == found
        everything = {book["id"] for book in shelves["books"]} | {one, two}
        assert _let_through({"field": names["copies"], "op": "is_not", "value": 9}) == everything - {one}
        assert _let_through({"not": {"field": names["copies"], "op": "gt", "value": 0}}) == everything - {one, two}
        for name in names.values():
            for order in (name, f"-{name}"):
                ids = [each.id for each in page(Book, order=order, limit=2).rows]
                assert set(ids) == {one, two}, order
                again = page(Book, order=order, limit=1)
                assert [again.rows[0].id, page(Book, order=order, limit=1, after=again.next).rows[0].id] == ids
