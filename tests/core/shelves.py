"""The library of `tests/core/library` with some books in it, for the tests of filters, lists and search."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from core.db import db
from core.model import model_of
from core.search import rebuild
from tests.core import kernel

LIBRARY = Path(__file__).parent / "library"
TITLES = (
    "Moby Dick", "moby dick", "红楼梦", "红楼梦（上）", "Ulysses", "100% Law_Book", "战争与和平", "重庆往事", "长安十二时辰", "A/B\\C", "",
)  # fmt: skip


@contextmanager
def library(kind: str, folder: Path) -> Iterator[None]:
    """The kernel with the library's addon, on a fresh database of this kind."""
    if LIBRARY not in kernel.FOLDERS:
        kernel.FOLDERS.append(LIBRARY)
    with kernel.kernel(kind, folder, name="library"):
        yield


def model(name: str) -> Any:
    """A model of the library by its class name."""
    if name == "BookHalf":
        return import_module("addons.lib_book.models").BookHalf
    return model_of(f"lib_{name.lower()}")


def add_books(rows: list[dict[str, Any]]) -> list[int]:
    """Put books straight into the table, and into the search index; the answer is their ids."""
    from core.search import title_key

    Book = model("Book")
    if not rows:
        return []
    names = [one.key for one in Book.__fields__.values() if one.kind.name != "links"]
    full = [{name: row.get(name) for name in names} | {"title_key": title_key(row.get("title") or ""), "version": 1} for row in rows]
    with db.short() as connection:
        ids = select(Book.__table__.c.id).order_by(Book.__table__.c.id)
        before = set(connection.execute(ids).scalars())
        connection.execute(insert(Book.__table__), full)
        found = [one for one in connection.execute(ids).scalars() if one not in before]
    index(Book)
    return found


def index(some: Any) -> None:
    """Bring the search index of one model up to date."""
    last: int | None = 0
    while last is not None:
        last = rebuild(db.session(), some, last)
    db.session.commit()


def made_up(seed: int, count: int, authors: list[int], people: list[int]) -> list[dict[str, Any]]:
    """Books with many ties and many empty fields, the same for the same seed."""
    dice = random.Random(seed)

    def some(*values: Any) -> Any:
        return dice.choice((None, *values))

    return [
        {
            "title": dice.choice(TITLES),
            "subtitle": some("", "A Tale", "b tale", "传记"),
            "shelf": some("A1", "a1", "B2", "中", "é"),
            "mark": some("K-1", "K-2", "K-10"),
            "phone": some("138 0013 8000", "021-5555 1234"),
            "email": some("ann@example.com", "bob@example.org"),
            "secret": some("Falcon", "Owl"),
            "story": some("Long and sad", "短"),
            "pages": some(1, 2, 2, 300, -5, 2**40),
            "weight": some(0.5, 1.25, 1e-6, 100.0),
            "price": some(Decimal("0.10"), Decimal("9.99"), Decimal("1000000000000.01"), Decimal("-3.00")),
            "printed_on": some(date(1999, 12, 31), date(2026, 11, 1), date(2026, 11, 22)),
            "lent_at": some(datetime(2026, 11, 21, 15, 59, 59, 999999), datetime(2026, 11, 21, 16), datetime(2026, 11, 22, 3, 4, 5, 6)),
            "rare": some(True, False),
            "genre": some("novel", "poems", "law"),
            "uses": some(["lend"], ["read", "sell"], ["sell", "lend"]),
            "author_id": some(*authors),
            "owner_id": some(*people),
        }
        for _number in range(count)
    ]
