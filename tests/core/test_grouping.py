"""Groups and totals: the same as counting by hand, on both databases, in the person's own days and within his rights."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, select

import core.reach
from core.context import acting, actor, clock, system
from core.db import db
from core.errors import Broken
from core.filters import compile_filter
from core.grouping import UNITS, groups, keys_of, narrowed, totals
from core.people import FieldRight, RoleRight, RoleRow
from core.zones import shifts
from tests.core.facts import NOW, random_facts, write
from tests.core.kernel import acts, person, row
from tests.core.kernel import model as law
from tests.core.shelves import add_books, library, made_up, model

PLAIN = ("genre", "author", "rare", "owner", "shelf", "mark", "pages")
SPANS = [f"{name}:{unit}" for name in ("printed_on", "lent_at") for unit in UNITS]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shelves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A library with 80 books, many of them alike, some lent around midnight and the end of summer time."""
    with library(request.param, tmp_path_factory.mktemp("library")):
        people = [person(), person()]
        authors = [row("lib_author", name=name, title_key=name.lower(), version=1) for name in ("Zoe", "ann", "Bob")]
        add_books(made_up(5, 61, authors, people))
        odd = [
            datetime(2026, 3, 8, 6, 59, 59), datetime(2026, 3, 8, 7), datetime(2026, 11, 1, 5, 59), datetime(2026, 11, 1, 6),
            datetime(2025, 12, 31, 16), datetime(2025, 12, 31, 15, 59, 59), datetime(1969, 7, 20, 20, 17), datetime(2026, 4, 1, 3, 30),
            datetime(9999, 12, 31, 23, 59), datetime(1, 1, 1, 0, 30), datetime(2026, 1, 1, 4, 59), datetime(2026, 1, 1, 5),
        ]  # fmt: skip
        days = [date(1, 1, 1), date(9999, 12, 31), date(2026, 1, 4), date(2026, 1, 5), date(2025, 12, 29), date(2026, 3, 31)]
        add_books([{"title": "odd", "lent_at": one} for one in odd] + [{"title": "odd", "printed_on": one} for one in days])
        yield request.param


@pytest.fixture(autouse=True)
def _own_session() -> Iterator[None]:
    db.remove()
    yield
    db.remove()


def first_day(value: Any, unit: str, zone: str) -> date | None:
    """The first day of the span that a value falls into, by plain counting."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if datetime(1, 1, 2) <= value < datetime(9999, 12, 31):
            value = value.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
        value = value.date()
    if unit == "week":
        return value - timedelta(days=value.weekday())
    month = {"year": 1, "quarter": value.month - (value.month - 1) % 3}.get(unit, value.month)
    return value if unit == "day" else date(value.year, month, 1)


def by_hand(rows: list[Any], by: list[str], sums: list[str], zone: str) -> dict[Any, tuple[int, tuple[Any, ...]]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for one in rows:
        values = []
        for wanted in by:
            name, _colon, unit = wanted.partition(":")
            value = getattr(one, f"{name}_id" if name in ("author", "owner") else name)
            values.append(first_day(value, unit, zone) if unit else None if value == "" else value)
        found[tuple(values)].append(one)
    return {key: (len(some), tuple(added_up(some, name) for name in sums)) for key, some in found.items()}


def added_up(rows: list[Any], name: str) -> Any:
    filled = [value for one in rows if (value := getattr(one, name)) is not None]
    return sum(filled) if filled else None


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize(
    "by", [*([one] for one in (*PLAIN, *SPANS)), ["genre", "author"], ["rare", "lent_at:month", "owner"]], ids=",".join
)
def test_groups_are_what_counting_by_hand_gives(shelves: str, by: list[str], zone: str) -> None:
    Book = model("Book")
    with system("test"):
        actor().zone = zone
        rows = list(db.session.execute(select(Book)).scalars())
        found = groups(Book, by, sums=["price", "pages", "weight"])
        expected = by_hand(rows, by, ["price", "pages", "weight"], zone)
        assert {one.values: one.count for one in found.groups} == {key: count for key, (count, _sums) in expected.items()}
        for one in found.groups:
            price, pages, weight = expected[one.values][1]
            assert one.sums[0] == (None if price is None else price.quantize(Decimal("0.01"))) and one.sums[1] == pages
            assert (one.sums[2] is None) == (weight is None) and abs((one.sums[2] or 0) - Decimal(str(weight or 0))) < Decimal("0.00001")
        assert (found.count, found.number, found.capped) == (len(rows), len(expected), False)
        assert found.totals[:2] == totals(Book, ["price", "pages"]) == (sum(x.price or 0 for x in rows), sum(x.pages or 0 for x in rows))


@pytest.mark.parametrize("by", [["genre", "author"], ["lent_at:quarter", "rare"], ["printed_on:week", "shelf"], ["mark"]], ids=",".join)
def test_the_filter_of_a_group_finds_its_records(shelves: str, by: list[str]) -> None:
    Book = model("Book")
    with system("test"):
        actor().zone = "America/New_York"
        found = groups(Book, by)
        for one in found.groups:
            if by[0].startswith("lent_at") and one.values[0] and one.values[0].year in (1, 9999):
                continue  # New York's days do not begin and end inside of the calendar there; the filter says so
            tree = {"and": narrowed(found.keys, one.values)}
            ids = db.session.execute(select(Book.id).where(compile_filter(tree, Book))).scalars().all()
            assert len(ids) == one.count, (one.values, tree)


def test_the_largest_groups_are_given_and_the_sums_around_them_stay_right(shelves: str) -> None:
    Book = model("Book")
    with system("test"):
        whole, some = groups(Book, ["genre", "pages"], sums=["price"]), groups(Book, ["genre", "pages"], sums=["price"], limit=3)
        assert some.capped and len(some.groups) == 3 and (some.number, some.count, some.totals) == (whole.number, whole.count, whole.totals)
        outer: Counter[Any] = Counter()
        for one in whole.groups:
            outer[one.values[0]] += one.count
        assert all(one.above[0][0] == outer[one.values[0]] for one in (*whole.groups, *some.groups))
        assert {one.values[0] for one in some.groups} == {outer.most_common(1)[0][0]}


def test_groups_stand_in_the_order_of_their_words_the_empty_one_last(shelves: str) -> None:
    with system("test"):
        assert [one.values[0] for one in groups(model("Book"), ["genre"]).groups] == ["novel", "poems", "law", None]
        assert [one.labels[0] for one in groups(model("Book"), ["author"]).groups] == ["ann", "Bob", "Zoe", "(none)"]
        assert [one.labels[0] for one in groups(model("Book"), ["rare"]).groups] == ["Yes", "No", "(none)"]
        spans = groups(model("Book"), ["printed_on:quarter"]).groups
        assert [one.labels[0] for one in spans][-3:] == ["2026, quarter 4", "9999, quarter 4", "(none)"]


def test_filter_and_search_narrow_the_groups(shelves: str) -> None:
    Book = model("Book")
    with system("test"):
        rows = [one for one in db.session.execute(select(Book)).scalars() if one.rare and "红楼梦" in one.title]
        found = groups(Book, ["genre"], filter={"field": "rare", "op": "is", "value": True}, search="红楼梦")
        assert {one.values[0]: one.count for one in found.groups} == Counter(one.genre for one in rows) and found.count == len(rows)
        assert groups(Book, ["genre"], search="没有这本书").groups == []
        assert totals(Book, ["price"], search="没有这本书") == (None,)


@pytest.mark.parametrize(
    ("by", "sums", "sentence"),
    [
        (["story"], [], "cannot be grouped by “Story”"), (["uses"], [], "cannot be grouped"), (["moods"], [], "cannot be grouped"),
        (["nothing"], [], "no field “nothing”"), (["id"], [], "cannot be grouped"), (["genre:month"], [], "cannot be grouped by “month”"),
        (["lent_at:hour"], [], "dates know day, week"), (["genre", "genre"], [], "twice"), ([], [], "1 to 3"),
        (list("abcd"), [], "1 to 3"),
        ("genre", [], "1 to 3"), (["genre"], ["title"], "no number"), (["genre"], ["nothing"], "no field"),
        (["genre"], ["id"], "no number"),
        ([7], [], "1 to 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_grouped_or_summed_is_refused_with_a_sentence(shelves: str, by: Any, sums: list[str], sentence: str) -> None:
    with system("test"), pytest.raises(Broken, match=sentence):
        groups(model("Book"), by, sums=sums)


def test_a_long_list_is_grouped_by_what_repeats_and_says_why_not_by_the_rest(shelves: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.listing, "MOST_COUNTED", 20)
    with system("test"):
        for by in ("genre", "author", "rare", "lent_at:day", "shelf", "pages"):
            assert groups(model("Book"), [by]).count == 79
        with pytest.raises(Broken, match="“Mark” has no index: only lists of fewer than .* filter first"):
            groups(model("Book"), ["mark"])
        assert groups(model("Book"), ["mark"], filter={"field": "genre", "op": "is", "value": "law"}).groups


def test_a_group_costs_one_statement_and_the_titles_of_its_links_another(shelves: str) -> None:
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            said.append(statement)

    with system("test"):
        groups(model("Book"), ["genre"])
        event.listen(db.engine, "before_cursor_execute", note)
        try:
            groups(model("Book"), ["genre", "rare"], sums=["price"])
            assert len(said) == 1
            groups(model("Book"), ["author", "owner"], sums=["price"])
            assert len(said) <= 4
        finally:
            event.remove(db.engine, "before_cursor_execute", note)


def test_a_hidden_field_is_unknown_to_groups_and_sums(shelves: str) -> None:
    me = person()
    with system("a right"):
        role = db.session.execute(select(RoleRow).where(RoleRow.name == "Everyone")).scalars().one()
        db.session.add(RoleRight(role=role, model="lib_book", verb="read", scopes="all"))
        db.session.add(FieldRight(role=role, model="lib_book", field_name="genre", access="hidden"))
        db.session.add(FieldRight(role=role, model="lib_book", field_name="price", access="hidden"))
        db.session.commit()
    try:
        with acts(me):
            assert groups(model("Book"), ["rare"], sums=["pages"]).count == 79
            for by, sums in ((["genre"], []), (["rare"], ["price"]), (["rare", "genre"], [])):
                with pytest.raises(Broken, match="no field"):
                    groups(model("Book"), by, sums=sums)
            with pytest.raises(Broken, match="no field"):
                totals(model("Book"), ["price"])
            with pytest.raises(Broken, match="no field"):
                keys_of(model("Book"), ["genre"])
    finally:
        with system("as before"):
            for one in (*db.session.execute(select(FieldRight)).scalars(), *db.session.execute(select(RoleRight)).scalars()):
                db.session.delete(one)
            db.session.commit()


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "UTC"])
def test_the_shifts_of_a_clock_are_those_of_the_zone(zone: str) -> None:
    known = shifts(zone, 2030)
    there = ZoneInfo(zone)
    moments = [datetime(2026, 1, 1) + timedelta(hours=7 * step) for step in range(1250)]
    for moment in itertools.chain(moments, (start + timedelta(seconds=more) for start, _shift in known for more in (-1, 0, 1))):
        if moment >= datetime(1970, 1, 1):
            told = [seconds for start, seconds in known if start <= moment][-1]
            assert told == there.utcoffset(moment.replace(tzinfo=UTC).astimezone(there)).total_seconds(), moment


# -- rights ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60, 68))
@pytest.mark.parametrize("few", [0, 3_000])
def test_groups_count_and_sum_only_what_the_oracle_lets_a_person_see(
    house: str, seed: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.reach, "FEW", few)
    clock.set(NOW)
    try:
        facts = random_facts(seed)
        # Rows are counted here by any field; closed fields have tests of their own.
        facts.closed = []
        write(facts)
        seen = 0
        for user in [None, *facts.levels]:
            for name, by in (("Matter", ["owner", "department"]), ("Bill", ["owner"]), ("Letter", ["department", "created_at:day"])):
                expected = facts.visible(user, name)
                rows = [facts.rows[name][number] for number in expected]
                with acts(user):
                    if user is not None:
                        actor().memo.clear()
                    found = groups(law(name), by)
                    told = {one.values[: 2 if name == "Matter" else 1]: 0 for one in found.groups}
                    for one in found.groups:
                        told[one.values[: 2 if name == "Matter" else 1]] += one.count
                key = {"Matter": lambda r: (r.owner, r.department), "Bill": lambda r: (r.owner,), "Letter": lambda r: (r.department,)}[name]
                assert told == Counter(map(key, rows)), (user, name)
                assert found.count == len(expected)
                seen += len(expected)
        assert seen
    finally:
        clock.reset()


def test_five_people_of_one_process_get_their_own_groups(house: str) -> None:
    from tests.core.test_row_filter import plain_facts

    facts = plain_facts()
    write(facts)
    for order in itertools.islice(itertools.permutations(facts.levels), 0, None, 17):
        for user in order:
            with acts(user):
                counted = {one.values[0]: one.count for one in groups(law("Matter"), ["owner"]).groups}
            assert counted == Counter(facts.rows["Matter"][number].owner for number in facts.visible(user, "Matter"))


def test_a_person_the_session_does_not_know_gets_nothing(house: str) -> None:
    write(random_facts(60))
    with acting(actor()):
        assert groups(law("Matter"), ["owner"]).groups == []
