"""A firm's client list as it comes out of an old program: 10,000 rows, phones in four styles, three in a hundred wrong; the same each time.

Run as `python -m tests.firm FILE [--rows 10000] [--encoding utf-8|gb18030] [--seed 7]`.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEADING = ["公司名称", "客户来源", "分类", "状态", "手机", "固定电话", "电子邮箱", "地址", "备注", "登记序号"]
UNKNOWN = "登记序号"
WRONG_SHARE = 0.03

SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀英华慧建国文斌宇欣雨晨浩然子轩梓涵一诺"
CITIES = ["北京", "上海", "广州", "深圳", "杭州", "南京", "成都", "武汉", "西安", "苏州", "天津", "重庆", "青岛", "厦门", "长沙", "宁波"]
FIRST = "华东中新金天海星云瑞恒泰盛嘉鸿博远诚信达德康安宏"
SECOND = "源通宇科泽润丰茂锦辉腾创联邦维森图景辰耀"
TRADES = "贸易 科技 实业 机械设备 电子 建材 物流 文化传媒 医疗器械 食品 服饰 环保工程 软件 律师事务所".split()
FORMS = ["有限公司", "股份有限公司", "有限责任公司", "集团有限公司"]
STREETS = ["人民路", "解放路", "中山路", "建设大道", "科技园路", "长江路", "滨海大道", "文一西路"]
SOURCES = ["转介绍", "网站", "广告", "展会", "来电", "来访", "其他"]
CATEGORIES = ["意向客户", "正式客户", "合作伙伴", "供应商", "媒体资源", "社会关系"]
STATES = ["无人联系", "洽谈中", "已签约", "死单"]
NOTES = [
    "", "", "老板爱喝茶，逢年过节要拜访。", "合同每年三月续签。", "对账找财务，不找销售；周五不接电话。",
    "第一行\n第二行，“引号”和 \"quotes\"。",
]  # fmt: skip
WIDE = str.maketrans("0123456789-", "０１２３４５６７８９－")


@dataclass(frozen=True)
class Firm:
    """The rows of a file and what has to become of them."""

    rows: list[list[str]]
    wrong: dict[int, str]
    """Place of a wrong row → what is wrong with it."""

    @property
    def good(self) -> int:
        """How many rows have to become clients."""
        return len(self.rows) - len(self.wrong)

    def write(self, path: Path, encoding: str = "utf-8", delimiter: str = ",") -> Path:
        """Write the file; values stay what they are, whatever the encoding."""
        with path.open("w", encoding=encoding, newline="") as stream:
            writer = csv.writer(stream, delimiter=delimiter)
            writer.writerow(HEADING)
            writer.writerows(self.rows)
        return path


def mobile(pick: random.Random, style: int) -> str:
    """A mobile number in one of four styles: plain, in groups, with +86, in full-width digits."""
    digits = f"1{pick.choice('3578')}{pick.randrange(10**9):09d}"
    groups = f"{digits[:3]} {digits[3:7]} {digits[7:]}"
    return [digits, groups.replace(" ", "-"), f"+86 {groups}", digits.translate(WIDE)][style]


def landline(pick: random.Random) -> str:
    """A landline with its area code, some with an extension."""
    number = f"0{pick.choice(['10', '21', '571', '755', '28'])}-{pick.randrange(20_000_000, 89_999_999)}"
    return number + (f"转{pick.randrange(100, 999)}" if pick.random() < 0.2 else "")


Fault = Callable[[random.Random, list[str]], None]


def _put(place: int, text: str) -> Fault:
    return lambda _pick, row: row.__setitem__(place, text)


FAULTS: dict[str, Fault] = {
    "no name": _put(0, ""),
    "digits lost in a spreadsheet": _put(4, "1.38E+10"),
    "letters instead of a phone": _put(4, "下周再问"),
    "too few digits": _put(4, "110"),
    "no such source": _put(1, "天上掉的"),
    "no such status": _put(3, "不知道"),
    "not an e-mail address": _put(6, "zhang.san(at)example.com"),
    "name too long": lambda _pick, row: row.__setitem__(0, (row[0] * 101)[:250]),
    "one separator too many": lambda pick, row: row.append("多出来的一格"),
}


def firm(rows: int = 10_000, seed: int = 7) -> Firm:
    """A firm's client list; the same seed gives the same list on every machine."""
    pick = random.Random(seed)
    made: list[list[str]] = []
    wrong: dict[int, str] = {}
    names: set[str] = set()
    kinds = list(FAULTS)
    for place in range(rows):
        row = _row(pick, place, names)
        # Evenly spread, so that the share holds for a file of any length.
        if int((place + 1) * WRONG_SHARE) > int(place * WRONG_SHARE):
            fault = kinds[len(wrong) % len(kinds)]
            FAULTS[fault](pick, row)
            wrong[place] = fault
        made.append(row)
    return Firm(made, wrong)


def _row(pick: random.Random, place: int, names: set[str]) -> list[str]:
    person = pick.random() < 0.2
    name = ""
    while not name or name in names:
        if person:
            name = pick.choice(SURNAMES) + "".join(pick.choice(GIVEN) for _ in range(pick.choice((1, 2, 2, 3))))
        else:
            middle = pick.choice(FIRST) + pick.choice(SECOND) + pick.choice(FIRST)
            name = f"{pick.choice(CITIES)}{middle}{pick.choice(TRADES)}{pick.choice(FORMS)}"
    names.add(name)
    city = pick.choice(CITIES)
    return [
        name,
        pick.choice(SOURCES),
        pick.choice(CATEGORIES),
        pick.choice([*STATES, ""]),
        mobile(pick, place % 4),
        landline(pick) if pick.random() < 0.4 else "",
        f"kh{place}@example.com" if pick.random() < 0.5 else "",
        f"{city}市{pick.choice(STREETS)}{pick.randrange(1, 999)}号",
        pick.choice(NOTES),
        str(place + 1),
    ]


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("file", type=Path)
    words.add_argument("--rows", type=int, default=10_000)
    words.add_argument("--encoding", default="utf-8")
    words.add_argument("--seed", type=int, default=7)
    chosen = words.parse_args()
    firm(chosen.rows, chosen.seed).write(chosen.file, chosen.encoding)
