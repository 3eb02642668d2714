"""The firm that is measured: made-up clients in any number, the same each time, shared out among people who see few or many."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from tests import firm

FIRST_ID = 1
FIRST_DAY, DAYS = datetime(2021, 1, 1), 5 * 365
RARE, RARE_EVERY = "曜石量子", 50_021
"""A name that one client in some fifty thousand has: the rare hit of a search."""
DEPARTMENTS, SALESPEOPLE, CLAIMERS, UNOWNED = 20, 200, 50, 20
FEW, SOME, MANY = 20, 0.005, 0.3
"""Rows that the person with few, with some and with many sees: a number, then shares of all."""
CITIES = [
    *firm.CITIES,
    *"佛山 福州 无锡 大连 济南 温州 哈尔滨 长春 泉州 石家庄 贵阳 南宁 金华 常州 惠州 嘉兴 南通 徐州 太原 香港 台北".split(),
]
BRAND = (
    "宏达鑫源恒泰盛华瑞丰永兴中天金龙海新世纪东方远大博雅智联云创科讯德诚信和顺美康宁安邦卓越星辰蓝图启航众合万象同济光明锦绣前程汇通四方"
)
TRADES = "科技 电子 贸易 机械 建材 服饰 食品 物流 信息技术 网络 医疗器械 化工 新能源 家具 印刷 包装 教育 文化传媒 环保 汽车配件".split()
SUFFIXES = "有限公司 有限公司 有限公司 有限责任公司 股份有限公司 集团 工厂 商行".split()
LATIN = (
    "Bright North Silver Golden Pacific Summit Harbor Evergreen Maple Stone River Crown Apex Prime Nova Vertex Delta Grand Royal".split(),
    "wood field bridge gate land port side view point line mark ford dale crest haven works forge wave peak spring".split(),
    "Logistics Trading Electronics Foods Textiles Machinery Software Medical Energy Packaging Motors Media Furniture Consulting".split(),
    "Ltd Inc Co. LLC GmbH Group Corp Pte".split(),
)


@dataclass(frozen=True)
class Person:
    """Somebody who signs in: how many clients he sees, and by which role and place."""

    login: str
    role: str
    department: int
    sees: str


PEOPLE = (
    Person("bench_none", "Salesperson", 1, "0"),
    Person("bench_few", "Salesperson", 1, "20"),
    Person("bench_some", "Salesperson", 2, "5,000"),
    Person("bench_many", "Sales manager", DEPARTMENTS + 1, "300,000"),
    Person("bench_all", "Bench reader", 3, "all"),
)


def owner_and_department(pick: random.Random, place: int, rows: int) -> tuple[int | None, int]:
    """(number of the owner among all people, number of his department): who has how many is settled by the place in the file."""
    if place < UNOWNED:
        return None, 1
    # Spread over the whole file by a step that has no divisor in common with it.
    spot = place * 7919 % rows
    if spot < FEW:
        return 1, 1
    if spot < FEW + max(int(rows * SOME), 100):
        return 2, 2
    number = min(SALESPEOPLE - 1, int(SALESPEOPLE * pick.random() ** 1.3))
    if spot >= rows * (1 - MANY):
        # The departments of the person with many are the last ones, under one roof.
        department = DEPARTMENTS - 5 + number % 6
    else:
        department = 1 + number % (DEPARTMENTS - 6)
    return len(PEOPLE) + number, department


def name_of(pick: random.Random, number: int, city: str) -> str:
    """A firm's or person's name, Chinese in three cases of four."""
    if number % RARE_EVERY == 7:
        return f"{city}{RARE}{pick.choice(TRADES)}有限公司"
    share = pick.random()
    if share < 0.6:
        brand = "".join(pick.choices(BRAND, k=pick.choice((2, 2, 3, 4))))
        return f"{city if pick.random() < 0.7 else ''}{brand}{pick.choice(TRADES)}{pick.choice(SUFFIXES)}"
    if share < 0.75:
        return pick.choice(firm.SURNAMES) + "".join(pick.choices(firm.GIVEN, k=pick.choice((1, 2, 2))))
    first, second, trade, form = (pick.choice(words) for words in LATIN)
    return f"{first}{second} {trade} {form}"


def clients(rows: int, choices: dict[str, list[str]], seed: int = 20_260_101) -> Iterator[dict[str, Any]]:
    """The clients' own columns, from the first id up. ``choices`` names the options of each drop-down."""
    pick = random.Random(seed)
    weights = [1 / (1 + 0.15 * n) for n in range(len(CITIES))]
    for place in range(rows):
        number = FIRST_ID + place
        city = pick.choices(CITIES, weights)[0]
        owner, department = owner_and_department(pick, place, rows)
        made = FIRST_DAY + timedelta(days=DAYS * place / rows, seconds=pick.randrange(5 * 86400))
        row: dict[str, Any] = {
            "id": number,
            "name": name_of(pick, number, city),
            "code": f"C{made:%Y}-{number:07d}",
            # A permutation of eight digits: every number is there once.
            "phones": f"1{pick.choice('3578')}{pick.choice('0123456789')}{number * 48271 % 99999989:08d}",
            "email": f"kh{number}@example.com" if pick.random() < 0.5 else None,
            "address": f"{city}市{pick.choice(firm.STREETS)}{pick.randrange(1, 999)}号",
            "remarks": pick.choice(firm.NOTES) or None,
            "birthday": date(1960, 1, 1) + timedelta(days=pick.randrange(15_000)) if pick.random() < 0.2 else None,
            "owner": owner,
            "department": department,
            "created_at": made,
            "changed_at": made + timedelta(days=pick.randrange(60), seconds=pick.randrange(86400)),
        }
        row |= {name: skewed(pick, options) for name, options in choices.items()}
        yield row


def skewed(pick: random.Random, options: list[str]) -> str:
    """One of the options; the first ones more often."""
    return options[min(int(len(options) * pick.random() ** 1.5), len(options) - 1)]


def contacts(rows: int, seed: int = 20_260_102) -> Iterator[dict[str, Any]]:
    """Three contacts for ten clients."""
    pick = random.Random(seed)
    for place in range(int(rows * 0.3)):
        yield {
            "id": place + 1,
            "client_id": FIRST_ID + int(place / 0.3),
            "name": pick.choice(firm.SURNAMES) + "".join(pick.choices(firm.GIVEN, k=2)),
            "phones": f"13{pick.randrange(10**9):09d}",
            "email": f"c{place}@example.com",
        }
