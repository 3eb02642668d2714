"""Which column of a file is which field: by its name, by its label in any language, or by a word that offices use for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.context import acting, actor
from core.errors import Broken
from core.fields import Field, narrow, tidy
from core.i18n import LANGUAGES, catalogue, listed
from core.i18n import gettext as _
from core.model import fields_of, model_label
from core.rules import rights

LOOKED_AT = 5
"""The heading is one of the first lines: firms write the title of the list above it."""
NO_KEY = ("long", "choices", "links")
"""Kinds by which no record is looked up."""
NOT_TAKEN = ("json", "file", "formula")

# Other words for fields of these names, in whichever model they occur; what is special to a model stands in its ``also_called``.
COMMON = {
    "name": "full_name 全称 全稱 名 姓名 名称 名稱",
    "code": "no number 编码 編碼 代码 代碼 编号 編號",
    "phones": "phone phone_number mobile mobile_phone cell tel landline 手机 手機 手机号 手机号码 手機號碼 移动电话 行動電話 座机 "
    "市話 固定电话 电话 電話 电话号码 電話號碼 联系电话 聯絡電話 办公电话 公司电话 公司電話 联系方式 聯絡方式",
    "email": "mail e_mail email_address 邮箱 郵箱 电子邮箱 電子信箱 邮件 信箱 电子邮件 電子郵件",
    "address": "addr 地址 联系地址 聯絡地址 通讯地址 通訊地址 公司地址 详细地址 詳細地址",
    "remarks": "remark note notes comment comments 备注 備註 说明 說明 描述",
    "owner": "salesperson account_manager 业务员 業務員 业务 業務 销售 销售员 客户经理 客戶經理 跟进人 负责人 負責人 归属人",
    "department": "dept 部门 部門 所属部门 所屬部門",
    "category": "class type 分类 分類 类别 類別 类型 類型",
    "source": "origin 来源 來源 渠道",
    "status": "state 状态 狀態",
    "title": "job_title position 职务 職務 职位 職位 職稱",
}


@dataclass(slots=True)
class Columns:
    """How a file is read: its heading, the column (or columns) of each field, and what is left aside."""

    heading: list[str]
    fields: dict[str, list[int]]
    """Field name → places of its columns; several only for phone numbers."""
    heading_line: int = 1
    why: dict[int, str] = field(default_factory=dict)
    """Place → why this column, which names a field, cannot be used: two are alike, or the person may not write it."""
    trouble: str | None = None
    """Why the heading as a whole cannot be used."""

    @property
    def ignored(self) -> list[str]:
        """Headings that are no field; the column that an earlier import has added to its wrong rows is nobody's mistake."""
        taken = {place for places in self.fields.values() for place in places} | set(self.why)
        reasons = {folded(catalogue(language).gettext("Reason")) for language in LANGUAGES}
        return [text for place, text in enumerate(self.heading) if text and place not in taken and folded(text) not in reasons]


def match(lines: Sequence[tuple[int, list[str]]], model: type) -> Columns:
    """The columns of a file for a model, from its first lines; what stands against it is said in ``why`` and ``trouble``."""
    names = _names(model)
    best: Columns | None = None
    for place, (line, cells) in enumerate(lines[:LOOKED_AT]):
        found = _matched(cells, names)
        # A line of data may hold a word that is a heading too; below the first line, one hit proves nothing.
        enough = 1 if place == 0 else 2
        if len(found) >= enough and (best is None or len(found) > len(best.fields)):
            best = Columns([cell.strip() for cell in cells], found, heading_line=line)
    if best is None:
        offered = listed(one.title for one in fillable(model)[:8])
        line, cells = lines[0]
        trouble = _(
            "No heading of this file names a field of “%(label)s”. The first line has to name the fields, for example: %(fields)s.",
            label=model_label(model, many=True), fields=offered,
        )  # fmt: skip
        return Columns([cell.strip() for cell in cells], {}, heading_line=line, trouble=trouble)
    _settle(best, names, model)
    _leave_what_is_not_his(best, model)
    return best


def check_use(columns: Columns, model: type, keys: Sequence[str]) -> None:
    """Raise `Broken` when rows read like this could not become records: no column of the key, or of what every record needs."""
    fields = fields_of(model)
    for key in keys:
        if key not in fields:
            raise Broken(_("%(model)s has no field “%(field)s”. Please check the name.", model=model_label(model), field=key[:60]))
        if fields[key].kind.name in NO_KEY:
            raise Broken(_("“%(field)s” tells no record from another; please choose another key.", field=fields[key].title))
        if key not in columns.fields:
            raise Broken(_("No column of this file is “%(name)s”, which should be the key.", name=key[:60]))
    if not columns.fields:
        raise Broken(columns.trouble or _("No column of this file goes into a field; please choose at least one."))
    _complete(columns, model, keys)


def _leave_what_is_not_his(columns: Columns, model: type) -> None:
    from core.records import records

    gate, fields = records(model), fields_of(model)
    for name, places in list(columns.fields.items()):
        if sentence := gate.writable(name, fields[name]):
            columns.why |= dict.fromkeys(places, sentence)
            del columns.fields[name]


def fillable(model: type) -> list[Field]:
    """The fields that the acting person may fill from a file, and those he sees and may not write."""
    mine = actor().system or rights()
    return [one for one in _taken(model) if mine is True or mine.field_access(model, one) != "hidden"]


def _taken(model: type) -> list[Field]:
    """The fields that a file may fill."""
    return [
        one for one in fields_of(model).values()
        if not (one.system or one.hidden or one.sensitive or one.readonly) and one.kind.name not in NOT_TAKEN
    ]  # fmt: skip


def meant_by(heading: str, model: type) -> set[str]:
    """The names of the fields that a heading may mean."""
    return {name for _rank, name in _names(model).get(folded(heading), ())}


def folded(text: str) -> str:
    """A heading without what does not matter: capitals, blanks, marks, and what stands in brackets."""
    text = re.sub(r"[(\[【][^(\[【)\]】]*[)\]】]", "", narrow(tidy(text)).casefold())
    return re.sub(r"[\s_\-*:.,/·]+", "", text)


def _names(model: type) -> dict[str, list[tuple[int, str]]]:
    """{folded heading: [(rank, field)]}: 0 for the field's own name and labels, 1 for other words."""
    found: dict[str, list[tuple[int, str]]] = {}

    def say(text: str, rank: int, name: str) -> None:
        if folded(text) and not any(each == name for _rank, each in found.get(folded(text), ())):
            found.setdefault(folded(text), []).append((rank, name))

    taken = {one.name: one for one in fillable(model)}
    called = [model.label, *(catalogue(language).gettext(model.label) for language in LANGUAGES)]
    for language in LANGUAGES:
        with acting(replace(actor(), language=language, memo={})):
            for name, one in fields_of(model).items():
                if name in taken:
                    say(one.title, 0, name)
    for name in taken:
        say(name, 0, name)
    extra = {name: words.split() for name, words in getattr(model, "also_called", {}).items()}
    for name in taken:
        labels = [text for text, names in found.items() if (0, name) in names]
        for text in [*extra.get(name, []), *COMMON.get(name, "").split()]:
            say(text, 1, name)
            labels.append(text)
        # “客户名称” and “Client name” are the name of a client.
        for before in called:
            for text in labels:
                say(before + text, 1, name)
    if model.title_field in taken:
        for text in called:
            say(text, 1, model.title_field)
    return found


def _matched(cells: Iterable[str], names: dict[str, list[tuple[int, str]]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):
        ranked = sorted(names.get(folded(cell), ()))
        if ranked:
            found.setdefault(ranked[0][1], []).append(place)
    return found


def _settle(columns: Columns, names: dict[str, list[tuple[int, str]]], model: type) -> None:
    """Leave one column to each field: the one that names it best. Several phone columns are read together."""
    fields = fields_of(model)
    for name, places in list(columns.fields.items()):
        if len(places) == 1 or fields[name].kind.name == "phone":
            continue
        ranks = {place: min(rank for rank, each in names[folded(columns.heading[place])] if each == name) for place in places}
        best = [place for place in places if ranks[place] == min(ranks.values())]
        if len(best) > 1:
            columns.trouble = _(
                "Two columns are meant for “%(field)s”: “%(one)s” and “%(two)s”. Please rename or remove one of them.",
                field=fields[name].title, one=columns.heading[best[0]][:60], two=columns.heading[best[1]][:60],
            )  # fmt: skip
            columns.why |= dict.fromkeys(best, columns.trouble)
            del columns.fields[name]
        else:
            columns.fields[name] = best


def _complete(columns: Columns, model: type, keys: Sequence[str]) -> None:
    """Without a column for what every record needs, no row could become one; with a key, known records can still be changed."""
    if keys or any(fields_of(model)[name].unique for name in columns.fields):
        return
    needed: list[Any] = [
        one for one in _taken(model)
        if one.required and one.default is None and one.number_rule is None and one.name not in columns.fields and not one.custom
    ]  # fmt: skip
    if needed:
        raise Broken(
            _("This file has no column for “%(field)s”, which all of “%(label)s” need.",
              field=needed[0].title, label=model_label(model, many=True))
        )  # fmt: skip
