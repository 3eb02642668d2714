"""Boxes: one model with a number, numbers to compute with, options and a file."""

from decimal import Decimal

from core import Mapped, Model, Owned, field


class Box(Owned, Model):
    """A box."""

    name: Mapped[str] = field(search=True)
    code: Mapped[str | None] = field(kind="code", unique=True, number="B{yyyy}{mm}-{0000}")
    amount: Mapped[Decimal | None] = field()
    pieces: Mapped[int | None] = field()
    stage: Mapped[str] = field(choices=["new", "packed", "sent_away"], default="new")
    scan: Mapped[int | None] = field(kind="file")


class Crate(Model):
    """A crate; its number tells nothing but its place in the row."""

    name: Mapped[str] = field()
    number: Mapped[str | None] = field(kind="code", unique=True, number="K-{000}")
