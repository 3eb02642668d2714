"""Clients: the firms and people we work with, and their contacts."""

from datetime import date

from core import Mapped, Model, Owned, field, link

LEVELS = {"a": "Level A", "b": "Level B", "c": "Level C", "d": "Level D"}
"""How much a client matters, the most important first (S0-21, S0-38)."""

REGIONS = {
    "beijing": "Beijing", "tianjin": "Tianjin", "hebei": "Hebei", "shanxi": "Shanxi", "inner_mongolia": "Inner Mongolia",
    "liaoning": "Liaoning", "jilin": "Jilin", "heilongjiang": "Heilongjiang",
    "shanghai": "Shanghai", "jiangsu": "Jiangsu", "zhejiang": "Zhejiang", "anhui": "Anhui", "fujian": "Fujian", "jiangxi": "Jiangxi",
    "shandong": "Shandong", "henan": "Henan", "hubei": "Hubei", "hunan": "Hunan", "guangdong": "Guangdong", "guangxi": "Guangxi",
    "hainan": "Hainan", "chongqing": "Chongqing", "sichuan": "Sichuan", "guizhou": "Guizhou", "yunnan": "Yunnan", "tibet": "Tibet",
    "shaanxi": "Shaanxi", "gansu": "Gansu", "qinghai": "Qinghai", "ningxia": "Ningxia", "xinjiang": "Xinjiang",
    "hong_kong": "Hong Kong", "macao": "Macao", "taiwan": "Taiwan",
}  # fmt: skip
"""In the order of the national code (GB/T 2260), as offices list them."""


class Client(Owned, Model):
    """A firm or person we work with, or want to."""

    name: Mapped[str] = field(search=True, index=True)
    code: Mapped[str] = field(kind="code", number="C{yyyy}-{00000}", unique=True, search=True)
    category: Mapped[str | None] = field(choices=["intending", "formal", "partner", "supplier", "media_resource", "social_relation"])
    level: Mapped[str | None] = field(choices=LEVELS)
    source: Mapped[str | None] = field(choices=["referral", "website", "advertising", "exhibition", "incoming_call", "visit", "other"])
    status: Mapped[str] = field(choices=["nobody_in_contact", "in_negotiation", "signed", "dead"], default="nobody_in_contact")
    phones: Mapped[str | None] = field(kind="phone", search=True)
    email: Mapped[str | None] = field(kind="email", label="E-mail", search=True)
    region: Mapped[str | None] = field(choices=REGIONS)
    address: Mapped[str | None] = field(search=True)
    birthday: Mapped[date | None] = field()
    remarks: Mapped[str | None] = field(long=True)

    indexes = ("owner changed_at", "owner name", "department changed_at", "owner category source changed_at", "region category")
    duplicate_keys = "name phones"
    also_called = {
        "name": "company 公司 公司名称 公司名稱 企业 企业名称 企業名稱 单位 单位名称 單位名稱",
        "category": "client_class 客户性质 客戶性質",
        "level": "grade rank rating 等级 等級 级别 級別 评级 評級",
        "region": "province city state area 省 省份 省市 城市 地区 地區 所在地 所在地区 所在地區 所属地区 所屬地區 区域 區域",
        "birthday": "birth_date date_of_birth birth dob 生日 出生日期 出生年月 出生年月日",
    }


class Contact(Model):
    """A person to ask for at a client."""

    client: Mapped[Client] = link(part_of=True)
    name: Mapped[str] = field(search=True, index=True, label="Full name")
    title: Mapped[str | None] = field(label="Job title")
    phones: Mapped[str | None] = field(kind="phone", search=True)
    email: Mapped[str | None] = field(kind="email", label="E-mail", search=True)
    is_primary: Mapped[bool] = field(label="Primary contact")
    remarks: Mapped[str | None] = field(long=True)

    duplicate_keys = "client name"
