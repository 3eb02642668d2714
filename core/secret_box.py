"""Secrets that the house has to use itself, such as the password of the mail server: sealed with the installation's key, shown at no door.

The table is no model: no list, API, export or journal knows it. Who steals the database alone gets sealed text; the key lies in
the environment or in the data folder (`core.config.secret_key`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

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


def keyed(purpose: str, text: bytes) -> bytes:
    """32 bytes that only this installation can work out from ``text``; another purpose gives others."""
    return hmac.digest(str(current_app.config["SECRET_KEY"]).encode(), purpose.encode() + b"\0" + text, "sha256")


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


def has_secret(name: str) -> bool:
    """Was a secret given under this name, whether or not it can still be read?"""
    return db.session.execute(select(table.c.name).where(table.c.name == name), execution_options=QUIET).first() is not None


def seal(name: str, text: str) -> str:
    """Text that only this installation can read: HMAC-SHA256 in counter mode under a fresh nonce, then a mark over all of it."""
    nonce, plain = secrets.token_bytes(16), text.encode()
    body = nonce + _mixed(name, nonce, plain)
    return base64.b64encode(body + keyed(f"mark:{name}", body)).decode()


def unseal(name: str, sealed: str) -> str | None:
    """What `seal` was given; None when the text was changed or belongs to another key or name."""
    raw = base64.b64decode(sealed)
    body, mark = raw[:-32], raw[-32:]
    if not hmac.compare_digest(mark, keyed(f"mark:{name}", body)):
        return None
    return _mixed(name, body[:16], body[16:]).decode()


def _mixed(name: str, nonce: bytes, text: bytes) -> bytes:
    blocks = (keyed(f"seal:{name}", nonce + number.to_bytes(4, "big")) for number in range(len(text) // hashlib.sha256().digest_size + 1))
    return bytes(one ^ other for one, other in zip(text, b"".join(blocks), strict=False))
