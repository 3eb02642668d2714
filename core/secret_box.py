"""Secrets that the house has to use itself, such as the password of the mail server: sealed with the installation's key, shown at no door.

The table is no model: no list, API, export or journal knows it. Who steals the database alone gets sealed text; the key lies in
the environment or in the data folder (`core.config.secret_key`).
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken
from flask import current_app
from sqlalchemy import DateTime, String, Text, delete, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from core.context import now
from core.db import db
from core.model import FabModel

QUIET = {"mortise_rules": False}


class SealedSecret(FabModel):
    """One secret by its name."""

    __tablename__ = "core_secret"
    __table_args__ = {"info": {"addon": "core"}}

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text, nullable=False)
    changed_at: Mapped[datetime] = mapped_column(DateTime, nullable=False)


table = SealedSecret.__table__


def keyed(purpose: str, text: bytes, key: str = "") -> bytes:
    """32 bytes that only this installation can work out from ``text``; another purpose gives others. Without an app, give its ``key``."""
    return hmac.digest((key or str(current_app.config["SECRET_KEY"])).encode(), purpose.encode() + b"\0" + text, "sha256")


def keep_secret(name: str, text: str | None) -> None:
    """Keep a secret under a name, or with nothing forget it; in the caller's transaction."""
    connection = db.session.connection()
    connection.execute(delete(table).where(table.c.name == name))
    if text:
        connection.execute(insert(table).values(name=name, sealed=seal(name, text), changed_at=now()))


def kept_secret(name: str) -> str | None:
    """The secret kept under a name; None when there is none, or when it was sealed with another key (a restored copy)."""
    sealed = db.session.execute(select(table.c.sealed).where(table.c.name == name), execution_options=QUIET).scalar()
    return unseal(name, sealed) if sealed else None


def forget_old_secrets(prefix: str, before: datetime) -> None:
    """Forget what was kept for jobs under names with this prefix and was fetched by none of them; in the caller's transaction."""
    old = table.c.name.startswith(prefix, autoescape=True), table.c.changed_at < before
    db.session.connection().execute(delete(table).where(*old))


def has_secret(name: str) -> bool:
    """Was a secret given under this name, whether or not it can still be read?"""
    return db.session.execute(select(table.c.name).where(table.c.name == name), execution_options=QUIET).first() is not None


def seal(name: str, text: str) -> str:
    """Text that only this installation can read, bound to a name."""
    return _box(name).encrypt(text.encode()).decode()


def unseal(name: str, sealed: str, key: str = "") -> str | None:
    """What `seal` was given; None when the text was changed or belongs to another key or name."""
    try:
        return _box(name, key).decrypt(sealed.encode()).decode()
    except InvalidToken:
        return None


def _box(name: str, key: str = "") -> Fernet:
    return Fernet(base64.urlsafe_b64encode(keyed(f"seal:{name}", b"", key)))
