"""A library: one field of each kind, with and without an index, with and without values."""

from datetime import date, datetime
from decimal import Decimal

from core import Mapped, Model, Owned, field, half, link, links


class Author(Model):
    """Who wrote a book."""

    name: Mapped[str] = field(search=True)
    born_on: Mapped[date | None] = field()


class Mood(Model):
    """How a book makes one feel."""

    name: Mapped[str] = field()


class Book(Owned, Model):
    """A book of the library."""

    title: Mapped[str] = field(search=True)
    subtitle: Mapped[str | None] = field(search=True)
    shelf: Mapped[str | None] = field(index=True)
    mark: Mapped[str | None] = field(kind="code", search=True)
    phone: Mapped[str | None] = field(kind="phone", search=True)
    email: Mapped[str | None] = field(kind="email", search=True)
    secret: Mapped[str | None] = field(search=True)
    story: Mapped[str | None] = field(long=True, search=True)
    pages: Mapped[int | None] = field(index=True)
    weight: Mapped[float | None] = field()
    price: Mapped[Decimal | None] = field(index=True)
    printed_on: Mapped[date | None] = field(index=True)
    lent_at: Mapped[datetime | None] = field(index=True)
    rare: Mapped[bool | None] = field()
    genre: Mapped[str | None] = field(choices=["novel", "poems", "law"])
    uses: Mapped[list | None] = field(kind="choices", choices=["lend", "read", "sell"])
    author: Mapped[Author | None] = link()
    first_part: Mapped["Book | None"] = link()
    moods: Mapped[list[Mood]] = links()

    indexes = ("owner pages", "department pages")


BookHalf = half(Book, "title genre")
