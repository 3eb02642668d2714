"""Search: every way in which people look for a name or number finds it, on both databases, and nothing hidden is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from core.context import Actor, acting, system
from core.db import db
from core.errors import Broken
from core.pinyin import splits, syllables, table
from core.records import records
from core.search import core_search, create_search, drop_search, matches, rebuild, settle, title_key
from core.search_words import question, tokens
from tests.core.kernel import acts, person
from tests.core.shelves import add_books, index, library, model

BOOKS: dict[str, dict[str, Any]] = {
    "huayao": {
        "title": "湖北华耀科技有限公司", "phone": "138 0013 8000, (021) 5555-1234", "mark": "C2026-00042", "email": "Hua.Yao@Example.com",
    },
    "bank": {"title": "重庆银行", "subtitle": "ＡＢＣ１２３", "phone": "+86 139 1234 5678"},
    "brackets": {"title": "华为（上海）研究所", "story": "一位名叫李明的工程师写了这本书 about Zürich"},
    "zeng": {"title": "曾小明", "secret": "Falcon 红色 7654321"},
    "xian": {"title": "西安 O'Brien-Café", "subtitle": "先生"},
    "latin": {"title": "Moby Dick", "subtitle": "Whale of 1851"},
    "rare": {"title": "𠮷野家", "subtitle": "ラーメン"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shelves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """A library with a few books; the value is their ids by a short name."""
    with library(request.param, tmp_path_factory.mktemp("library")):
        yield dict(zip(BOOKS, add_books(list(BOOKS.values())), strict=True))


@pytest.fixture(autouse=True)
def _own_session(shelves: dict[str, int]) -> Iterator[None]:
    db.remove()
    yield
    db.remove()


def _found(words: str) -> set[int]:
    Book = model("Book")
    return set(db.session.execute(select(Book.id).where(matches(Book, words))).scalars())


QUESTIONS = {
    "huayao": [
        "华", "耀", "司", "华耀", "华耀科技", "湖北华耀科技有限公司", "有限公司", "huayao", "HuaYao", "yaoke", "hubeihua",
        "kejiyouxiangongsi", "gongsi", "hbhy", "hbhykjyxgs", "hykj", "yxgs", "gs", "138", "0013", "80013", "13800138000",
        "138 0013 8000", "+86 138 0013 8000",
        "0086-13800138000", "021 5555", "5551234", "1234", "C2026", "c2026-00042", "00042", "042", "hua.yao@example.com", "example",
        "华耀 5555", "科技 华耀", "华耀 hbhy 138", "１３８００", "ｈｕａｙａｏ",
    ],
    "bank": ["重庆", "chongqing", "chongqingyinhang", "cqyh", "cq", "abc123", "ABC", "abc１", "13912345678", "+86 139 1234 5678", "86139"],
    "brackets": ["华为", "华为上海", "华为（上海）", "上海", "huaweishanghai", "hwsh", "李明", "名叫李明", "zurich", "Zürich", "ZÜR"],
    "zeng": ["曾", "曾小明", "zengxiaoming", "cengxiaoming", "zxm", "cxm", "小明", "falcon", "红色", "7654321", "54321"],
    "xian": ["西安", "xian", "xi'an", "xa", "brien", "O'Brien", "cafe", "Café", "xiansheng"],
    "latin": ["moby", "mob", "DICK", "moby dick", "dick moby", "1851", "851", "whale 1851"],
    "rare": ["𠮷", "𠮷野", "野家", "ラー", "ーメン"],
}  # fmt: skip
NOT_FOUND = {
    "huayao": ["耀华", "华科", "oby", "138001380001", "99", "yaohua", "hhhh", "张", "华耀 1851", "huayaox", "C2027"],
    "latin": ["oby", "ick", "mobydick", "1852", "moby 梦"],
    "bank": ["zhongqing", "zq"],
}


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, some in QUESTIONS.items() for words in some])
def test_it_is_found(shelves: dict[str, int], name: str, words: str) -> None:
    with system("test"):
        assert shelves[name] in _found(words)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, some in NOT_FOUND.items() for words in some])
def test_it_is_not_found(shelves: dict[str, int], name: str, words: str) -> None:
    with system("test"):
        assert shelves[name] not in _found(words)


def test_blank_words_find_everything_and_bare_punctuation_nothing(shelves: dict[str, int]) -> None:
    with system("test"):
        assert _found(" \u3000 ") == set(shelves.values())
        assert _found("!?（）") == set()


@settings(max_examples=150, deadline=None)
@given(words=st.text(max_size=200))
def test_any_text_is_an_answerable_question(shelves: dict[str, int], words: str) -> None:
    with system("test"):
        _found(words)


@pytest.mark.parametrize(
    "words", ["' | 'a':*", '" OR rowid:*', "a* NEAR b", "AND", "NOT", "tokens:abc", "x" * 200, "我" * 200, "1" * 200, "a b " * 50]
)
def test_signs_of_the_query_languages_mean_nothing(shelves: dict[str, int], words: str) -> None:
    with system("test"):
        assert _found(words) <= set(shelves.values())


def test_a_question_that_is_too_long_is_refused_with_a_sentence(shelves: dict[str, int]) -> None:
    with system("test"), pytest.raises(Broken, match="at most 200 characters"):
        _found("x" * 201)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_any_piece_of_a_value_finds_it(shelves: dict[str, int], seed: int) -> None:
    dice = random.Random(seed)
    name = dice.choice([one for one in BOOKS if one != "xian"])
    title = BOOKS[name]["title"]
    start = dice.randrange(len(title)) if not title.isascii() else dice.choice([0, 5])
    piece = title[start : start + dice.randint(1, 6)]
    with system("test"):
        if question(piece).wanted is not None:
            assert shelves[name] in _found(piece)


# -- writing through the gate ------------------------------------------------------------------------------------------


def _writer() -> int:
    return person(level="administrator")


def test_what_is_saved_is_found_what_is_changed_is_found_anew_and_what_is_deleted_is_gone(shelves: dict[str, int]) -> None:
    Book = model("Book")
    with acts(_writer()):
        book = records(Book).create({"title": "青花瓷研究"})
        assert _found("青花瓷") == {book.id} == _found("qhc")
        records(Book).edit(book, {"title": "唐三彩研究", "phone": "0755 8888 6666"})
        assert _found("青花瓷") == set() and _found("唐三彩") == {book.id} == _found("88886666")
        made = records(Book).create_many([{"title": f"唐三彩 {number}"} for number in range(700)])
        assert all(one.record is not None for one in made) and len(_found("唐三彩")) == 701
        records(Book).delete(book)
        assert book.id not in _found("唐三彩") and _found("唐三彩研究") == set()
        db.session.rollback()
        assert _found("唐三彩") == set()


def test_one_flush_writes_the_index_by_the_same_few_statements_for_any_number_of_records(shelves: dict[str, int]) -> None:
    from sqlalchemy import event

    from core.search import index_records

    Book = model("Book")
    counted = []
    with acts(_writer()):
        books = list(db.session.execute(select(Book)).scalars())
        index_records(db.session(), Book, books)
        for some in (books[:1], books):
            seen: list[str] = []
            listener = lambda *facts, seen=seen: seen.append(facts[2])  # noqa: E731
            event.listen(db.engine, "before_cursor_execute", listener)
            index_records(db.session(), Book, some)
            event.remove(db.engine, "before_cursor_execute", listener)
            counted.append(len(seen))
        assert counted in ([3, 3], [1, 1])


def test_the_index_can_be_lost_and_made_again(shelves: dict[str, int]) -> None:
    Book = model("Book")
    with system("test"):
        connection = db.session.connection()
        drop_search(connection)
        create_search(connection)
        create_search(connection)
        assert _found("华耀") == set()
        assert rebuild(db.session(), Book, after=max(shelves.values())) is None
        assert rebuild(db.session(), Book) == max(shelves.values())
        assert _found("华耀") == {shelves["huayao"]}
        assert db.session.execute(select(func.count()).select_from(core_search)).scalar() == len(shelves)
        settle(db.session.connection())
        db.session.commit()


def test_a_hit_of_another_model_with_the_same_number_is_no_hit(shelves: dict[str, int]) -> None:
    from tests.core.kernel import row

    names = ["华耀", "Moby", "138"]
    ids = [row("lib_author", name=name, title_key=name, version=1) for name in names]
    with system("test"):
        index(model("Author"))
        Author = model("Author")
        hits = set(db.session.execute(select(Author.id).where(matches(Author, "华耀"))).scalars())
        assert hits == {ids[0]} and shelves["huayao"] in _found("华耀") and len(_found("华耀")) == 1


# -- what a person may not see -----------------------------------------------------------------------------------------


def test_nothing_is_found_by_a_field_that_the_person_does_not_see(shelves: dict[str, int]) -> None:
    with acts(person(roles=("Library helper",))):
        for words in (
            "Falcon", "红色", "7654321", "falc", "曾小明 红色", "hs", "hongse", "13800138000", "138 0013 8000", "5555", "+86 139 1234 5678",
        ):  # fmt: skip
            assert _found(words) == set(), words


def test_what_the_person_sees_is_found_all_the_same(shelves: dict[str, int]) -> None:
    with acts(person(roles=("Library helper",))):
        for name, words in [
            ("zeng", "曾小明"), ("zeng", "曾"), ("zeng", "zengxiaoming"), ("zeng", "zxm"), ("huayao", "huayao"), ("huayao", "hbhy"),
            ("huayao", "C2026"), ("huayao", "00042"), ("latin", "1851"), ("latin", "moby whale"), ("brackets", "李明"), ("bank", "重庆"),
        ]:  # fmt: skip
            assert _found(words) == {shelves[name]}, words


def test_half_visible_records_are_found_by_what_is_visible_of_them(shelves: dict[str, int]) -> None:
    half = model("BookHalf")

    def found(words: str) -> set[int]:
        return set(db.session.execute(select(half.id).where(matches(half, words))).scalars())

    with acts(person(roles=("Library reader",))):
        assert found("华耀") == {shelves["huayao"]}
        for words in ("13800138000", "李明", "whale", "c2026", "falcon"):
            assert found(words) == set()
    with acting(Actor(system=True)):
        assert found("13800138000") == set()


# -- plans, keys and pinyin --------------------------------------------------------------------------------------------


def test_a_search_is_answered_by_the_index(shelves: dict[str, int]) -> None:
    Book = model("Book")
    with system("test"):
        for words in ("华", "华耀", "huayao", "hbhy", "0013", "moby"):
            statement = str(select(Book.id).where(matches(Book, words)).compile(db.engine, compile_kwargs={"literal_binds": True}))
            if not db.is_sqlite:
                db.session.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
            plan = str(db.session.execute(text((explain + statement).replace(":*", "\\:*"))).all())
            assert "ix_core_search_tokens" in plan or "VIRTUAL TABLE INDEX" in plan


def test_titles_sort_by_digits_then_latin_then_pinyin_on_both_databases(shelves: dict[str, int]) -> None:
    wanted = ["3M中国", "42", "A公司", "abc", "Ünal", "安徽", "曾小明", "重庆", "华耀", "华为", "欢乐", "张三", "张三丰", "章三丰", "朱一"]
    shuffled = wanted[:]
    random.Random(4).shuffle(shuffled)
    keys = {title_key(one): one for one in shuffled}
    Book = model("Book")
    made = add_books([{"title": one} for one in shuffled])
    with system("test"):
        rows = db.session.execute(select(Book.title).where(Book.id.in_(made)).order_by(Book.title_key)).scalars().all()
        for one in made:
            db.session.delete(db.session.get(Book, one))
        db.session.commit()
    assert rows == [keys[one] for one in sorted(keys, key=str.encode)]
    some = ["3M中国", "42", "abc", "A公司", "Ünal", "安徽", "重庆", "华耀", "欢乐", "曾小明", "张三", "张三丰", "朱一"]
    assert [one for one in rows if one in some] == some
    assert rows.index("张三丰") + 1 == rows.index("章三丰") or rows.index("章三丰") + 1 == rows.index("张三丰")


@given(title=st.text(max_size=400))
def test_a_sort_key_is_short_and_storable(title: str) -> None:
    key = title_key(title)
    assert len(key) <= 120 and "\x00" not in key
    key.encode()


def test_pinyin_reads_words_as_people_do() -> None:
    assert syllables("重庆银行") == ("chong", "qing", "yin", "hang")
    assert syllables("长沙行长") == ("chang", "sha", "hang", "zhang")
    assert syllables("单小明") == ("shan", "xiao", "ming") and syllables("单位") == ("dan", "wei")
    assert ["hua", "yao"] in splits("huayao") and ["xi", "an"] in splits("xian") and splits("hbhy") == []
    assert len(table().words) < 10_000


def test_tokens_stay_within_bounds() -> None:
    assert len(tokens("张三李四" * 5000, "long")) <= 4000
    assert len(tokens("1234567890" * 100, "phone")) < 60
    assert all(len(one) < 80 for one in tokens("x" * 5000, "text"))
