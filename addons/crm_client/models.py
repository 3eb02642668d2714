"""Clients: the firms and people we work with, and their contacts."""

from core import Mapped, Model, Owned, field, link


class Client(Owned, Model):
    """A firm or person we work with, or want to."""

    name: Mapped[str] = field(search=True, index=True)
    code: Mapped[str] = field(kind="code", number="C{yyyy}-{00000}", unique=True, search=True)
    category: Mapped[str | None] = field(choices=["intending", "formal", "partner", "supplier", "media_resource", "social_relation"])
    source: Mapped[str | None] = field(choices=["referral", "website", "advertising", "exhibition", "incoming_call", "visit", "other"])
    status: Mapped[str] = field(choices=["nobody_in_contact", "in_negotiation", "signed", "dead"], default="nobody_in_contact")
    phones: Mapped[str | None] = field(kind="phone", search=True)
    email: Mapped[str | None] = field(kind="email", label="E-mail", search=True)
    address: Mapped[str | None] = field(search=True)
    remarks: Mapped[str | None] = field(long=True)

    duplicate_keys = "name phones"
    also_called = {"name": "company 公司 公司名称 公司名稱 企业 企业名称 企業名稱 单位 单位名称 單位名稱"}


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
