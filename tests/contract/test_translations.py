"""The words of core and of every addon that ships: complete in three languages, and written for those who read them."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from core.addons import addons
from core.i18n import LANGUAGES, catalogue
from core.translating import compile_all, po_file, wanted

ROOT = Path(__file__).resolve().parents[2]
OWNERS = {"core": ROOT / "core", **{one.parent.name: one.parent for one in sorted(ROOT.glob("addons/*/addon.toml"))}}
TARGETS = [one for one in LANGUAGES if one != "en"]

PLACE = re.compile(r"%\(\w+\)[sd]|(?<!\{)\{\w+\}")
HAN = re.compile(r"[\u3400-\u9fff]")
HALF_WIDTH = re.compile(r"[\u3400-\u9fff]\s?[,;:?!](?!\w)|[\u3400-\u9fff]\.(?!\w)|[\u3400-\u9fff]\(|\)[\u3400-\u9fff]")

SAME = set(LANGUAGES.values())
"""May read like the English: what a language calls itself."""

SIMPLIFIED_IN_BIG5 = set("体号无与个从众万虫礼尔")
"""Simplified characters that Big5 knows as rare variants, so that its encoding does not give them away."""

WORDS_OF_THE_MAINLAND = (
    "用戶 字段 插件 默認 缺省 信息 網絡 服務器 數據 登錄 菜單 鏈接 導入 導出 文本 搜索 撤銷 新建 設置 打印 文件 軟件 "
    "硬盤 磁盤 字符 模塊 令牌 接口 緩存 賬 回收站 單元格 工作簿 訪問 激活 刷新 添加 視頻 屏幕 審批 合同 項目 記錄 日誌文件"
).split()
LEFT_BY_CONVERSION = (
    "日歷 曆史 后來 以后 之后 最后 裡程 這里 那里 公裡 只讀 複原 回複 恢複 乾涉 若乾 關于 由于 屬于 大于 小于 等于 准備 "
    "標准 以此為准 范圍 聯係 關系 系于 複雜 重覆 制造 製度 干淨 隻有 面粉 開髮 髮送 註意"
).split()
"""What nobody in Taiwan would write, and what a careless conversion leaves behind."""


def each(owners: dict[str, Path] = OWNERS) -> Iterator[tuple[str, str, Message]]:
    """Every translated entry of core and the shipped addons: (owner, language, entry)."""
    for owner, folder in owners.items():
        for language in TARGETS:
            for message in read(folder, language):
                if message.id:
                    yield owner, language, message


def read(folder: Path, language: str) -> Catalog:
    with po_file(folder, language).open("rb") as stream:
        return read_po(stream, locale=language)


def english(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def simplified_in(text: str) -> set[str]:
    """Characters that GB 2312 has and Big5 has not."""
    return {one for one in text if HAN.match(one) and ((fits(one, "gb2312") and not fits(one, "big5")) or one in SIMPLIFIED_IN_BIG5)}


def traditional_in(text: str) -> set[str]:
    """Characters that GB 2312 has not."""
    return {one for one in text if HAN.match(one) and not fits(one, "gb2312")}


def fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def faults(message: Message, language: str) -> list[str]:
    """What is wrong with one entry."""
    found = []
    sources, texts = english(message), forms(message)
    if message.fuzzy:
        found.append("is marked as doubtful")
    if not texts or not all(texts):
        return [*found, "is not translated"]
    if len(texts) != 1:
        found.append("has more than the one form that Chinese needs")
    for text in texts:
        letters = re.sub(r"[^A-Za-z]", "", PLACE.sub("", text))
        if text in sources and len(letters) > 3 and text not in SAME:
            found.append("is the same as the English")
        if {frozenset(PLACE.findall(text))} - {frozenset(PLACE.findall(one)) for one in sources}:
            found.append("has other places to fill in than the English")
        if "python-format" in message.flags and not fills(text):
            found.append("cannot be filled in")
        if text not in SAME:
            if language == "zh_Hant" and (bad := simplified_in(text)):
                found.append(f"has simplified characters: {''.join(sorted(bad))}")
            if language == "zh_Hans" and (bad := traditional_in(text)):
                found.append(f"has traditional characters: {''.join(sorted(bad))}")
        if language == "zh_Hant" and (foreign := [one for one in (*WORDS_OF_THE_MAINLAND, *LEFT_BY_CONVERSION) if one in text]):
            found.append(f"says {foreign[0]}")
        if HALF_WIDTH.search(PLACE.sub("x", text)):
            found.append("has half-width punctuation")
        if text[:1].isspace() != sources[0][:1].isspace() and text[:1].isspace():
            found.append("begins with a blank")
    return found


def fills(text: str) -> bool:
    """Can ``%`` put values into it?"""
    try:
        assert "%(" not in text % dict.fromkeys(re.findall(r"%\((\w+)\)", text), 1)
    except (ValueError, TypeError, KeyError):
        return False
    return True


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("language", TARGETS)
def test_every_word_of_code_and_screens_is_in_the_catalogue_and_nothing_else(app, owner, language):
    asked = {message.id for message in wanted(owner, OWNERS[owner]) if message.id}
    there = {message.id for message in read(OWNERS[owner], language) if message.id}
    assert sorted(map(str, asked - there)) == [], f"type: run.py translate extract {owner}, then translate what is new"
    assert sorted(map(str, there - asked)) == [], f"type: run.py translate extract {owner}"


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("language", TARGETS)
def test_every_entry_is_translated_as_its_readers_write(owner, language):
    found = [
        f"{english(message)[0]!r} {fault}: {forms(message)}"
        for _owner, _language, message in each({owner: OWNERS[owner]})
        if _language == language
        for fault in faults(message, language)
    ]
    assert found == []


def test_one_word_is_translated_in_one_way_wherever_it_stands():
    """Catalogues are merged, the first one wins: a second translation of the same English would never be seen."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    twice = []
    for owner, language, message in each():
        before = seen.setdefault((language, english(message)[0]), (owner, forms(message)[0]))
        if before[1] != forms(message)[0]:
            twice.append((english(message)[0], before, (owner, forms(message)[0])))
    assert twice == []


def test_names_of_modules_fit_on_the_rail(app):
    for language in TARGETS:
        for one in addons().values():
            if one.menu and one.name in OWNERS:
                label = catalogue_of(language).gettext(one.menu)
                assert 2 <= len(label) <= 4, f"{one.name}: “{label}” is too long for the rail"


def catalogue_of(language: str):
    """The catalogue as the server reads it, compiled from what is on disk now."""
    compile_all()
    catalogue.cache_clear()
    return catalogue(language)


@pytest.mark.parametrize(("asked", "button"), [("zh-CN,zh;q=0.9", "登录"), ("zh-TW,zh;q=0.9", "登入"), ("en", "Sign in")])
def test_a_stranger_reads_the_page_in_the_language_of_his_browser(client, asked, button):
    catalogue_of("zh_Hans")
    assert f">{button}</button>" in client.get("/login/", headers={"Accept-Language": asked}).text


def test_a_colleague_reads_labels_options_and_roles_in_his_language(login_as):
    catalogue_of("zh_Hant")
    person = login_as("chen", level="administrator", language="zh_Hant")
    form = person.get("/crm_client/new").text
    assert "<h1>新增客戶</h1>" in form and ">狀態<" in form
    assert [label for label in ("無人聯繫", "洽談中", "已簽約", "死單") if f">{label}</option>" not in form] == []
    assert ">業務員</a>" in person.get("/ab_role/").text
    assert "往來的企業和個人，以及對方的聯絡人" in person.get("/settings/addons").text


@pytest.mark.parametrize(
    ("source", "text", "language", "fault"),
    [
        ("Save", "", "zh_Hans", "not translated"),
        ("Save", "Save", "zh_Hans", "same as the English"),
        ("Hello %(name)s", "你好", "zh_Hans", "other places"),
        ("{count} selected", "已选 {cuont} 条", "zh_Hans", "other places"),
        ("Save", "保存", "zh_Hans", None),
        ("Save", "儲存", "zh_Hans", "traditional characters: 儲"),
        ("Contact", "联络人", "zh_Hant", "simplified characters: 络联"),
        ("No. %(id)s", "第 %(id)s 号", "zh_Hant", "simplified characters: 号"),
        ("User", "用戶", "zh_Hant", "says 用戶"),
        ("Why:", "原因:", "zh_Hans", "half-width punctuation"),
        ("Up to %(count)s", "达到 %(count)s % 为止", "zh_Hans", "cannot be filled in"),
    ],
)
def test_the_check_sees_what_is_wrong(source, text, language, fault):
    message = Message(source, text, flags=["python-format"] if "%(" in source else [])
    found = faults(message, language)
    assert (found == []) if fault is None else any(fault in one for one in found), found


def test_a_doubtful_entry_is_a_fault():
    assert faults(Message("Save", "保存", flags=["fuzzy"]), "zh_Hans") == ["is marked as doubtful"]


def test_letters_count_as_english_only_when_there_are_more_than_three():
    assert set("API") <= set(string.ascii_uppercase)
    assert faults(Message("API", "API"), "zh_Hant") == []
