"""A small law office: one model for each way in which rights reach a row."""

from datetime import date
from decimal import Decimal

from core import Mapped, Model, Owned, field, half, link, links


class Court(Model):
    """A court; nobody owns it."""

    name: Mapped[str] = field(unique=True, search=True)


class Topic(Model):
    """What a matter is about."""

    name: Mapped[str] = field()


class Matter(Owned, Model):
    """What a client has asked for; it has an owner and a department."""

    name: Mapped[str] = field(search=True)
    status: Mapped[str] = field(choices=["new", "open", "closed"], default="new")
    court: Mapped[Court | None] = link()
    parent: Mapped["Matter | None"] = link()
    amount: Mapped[Decimal | None] = field()
    heard_on: Mapped[date | None] = field()
    topics: Mapped[list[Topic]] = links()


class Step(Model):
    """A step in a matter; a part of it."""

    matter: Mapped[Matter] = link(part_of=True)
    title: Mapped[str] = field()


class Paper(Model):
    """A paper of a step; a part of a part."""

    step: Mapped[Step] = link(part_of=True)
    title: Mapped[str] = field()


class Bill(Owned, Model):
    """A bill: a part of a matter with an owner of its own."""

    matter: Mapped[Matter] = link(part_of=True)
    name: Mapped[str] = field()


class Deed(Model):
    """A deed that needs its matter without being a part of it: it keeps the matter from being deleted."""

    matter: Mapped[Matter] = link()
    name: Mapped[str] = field()


class Letter(Owned, Model):
    """A letter to many; the whole team works on it (D24)."""

    open_to_team = True

    name: Mapped[str] = field()


class Memo(Model):
    """A memo: without an owner, so that “own” means written by oneself."""

    name: Mapped[str] = field()


class Opinion(Owned, Model):
    """An opinion: it has verbs of its own (sign, seal), fields that its code closes to some, and is shared for reading only (D15)."""

    share_access = ("read",)

    name: Mapped[str] = field()
    draft: Mapped[str | None] = field()
    fee: Mapped[str | None] = field()


class Vault(Model):
    """What only administrators see; no rule names it."""

    name: Mapped[str] = field()


MatterHalf = half(Matter, "name status")
