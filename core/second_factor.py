"""The second factor: codes of an authenticator (TOTP, RFC 6238), recovery codes, and who must have one.

The key is sealed with the installation's own (`core.secret_box`), recovery codes are kept as digests; neither is a model, so no
list, API, export or journal knows them. Source: S0-02, decision 13.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

import pyotp
from sqlalchemy import DateTime, Integer, String, Text, delete, exists, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from core.context import now
from core.db import db
from core.i18n import t
from core.model import FabModel
from core.people import MortiseUser, RoleRow, assoc_user_role
from core.secret_box import seal, unseal
from core.settings import declare_setting, one_of, setting

STEP = 30
"""Seconds that a code is good."""
WINDOW = 1
"""Steps before and after the present one that are taken as well: clocks differ."""
CODES = 10
LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Of recovery codes: none that are mistaken for others."""
QUIET = {"mortise_rules": False}

WHO = ("nobody", "administrators", "everybody")
declare_setting("second_factor.for", WHO[0], "Who must have a second factor", "Roles can demand one, too", check=one_of(*WHO))


class SecondFactor(FabModel):
    """The key that a person's authenticator shares with the house."""

    __tablename__ = "core_second_factor"
    __table_args__ = {"info": {"addon": "core"}}

    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sealed: Mapped[str] = mapped_column(Text, nullable=False)
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)
    """Until a code has shown that the authenticator has the key, it counts for nothing."""
    last_step: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    """The step of the newest code that was taken: no code is taken twice."""


class RecoveryCode(FabModel):
    """A code for the day on which the authenticator is lost; each is good once."""

    __tablename__ = "core_recovery_code"
    __table_args__ = {"info": {"addon": "core"}}

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, index=True, nullable=False)
    used_at: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)


factors, recovery = SecondFactor.__table__, RecoveryCode.__table__
_user = MortiseUser.__table__
HAS_FACTOR = exists().where(factors.c.user_id == _user.c.id, factors.c.confirmed_at.is_not(None)).correlate(_user).label("has_factor")
ROLE_DEMANDS = (
    exists().where(assoc_user_role.c.user_id == _user.c.id, assoc_user_role.c.role_id == RoleRow.id, RoleRow.second_factor)
    .correlate(_user).label("role_demands_factor")
)  # fmt: skip
"""Columns beside a person: has he a second factor, and does one of his roles demand it?"""


def demanded(level: str, by_role: bool) -> bool:
    """Must somebody of this level, with or without a role that demands it, have a second factor?"""
    rule = setting("second_factor.for")
    return by_role or rule == "everybody" or (rule == "administrators" and level != "employee")


def begin(user_id: int, login: str) -> tuple[str, str]:
    """A fresh key that does not count yet; returns (key in base32, address for the QR code). In the caller's transaction."""
    key = pyotp.random_base32()
    connection = db.session.connection()
    connection.execute(delete(factors).where(factors.c.user_id == user_id, factors.c.confirmed_at.is_(None)))
    values = {"user_id": user_id, "sealed": seal(_name(user_id), key), "confirmed_at": None, "last_step": 0}
    connection.execute(insert(factors).values(**values))
    return key, address_of(key, login)


def pending(user_id: int) -> str | None:
    """The key that waits for its first code."""
    return _key(db.session.connection(), user_id, confirmed=False)


def address_of(key: str, login: str) -> str:
    """What the QR code holds."""
    return pyotp.TOTP(key).provisioning_uri(name=login, issuer_name=t(setting("firm.name")))


def confirm(user_id: int, code: str) -> list[str] | None:
    """Let the key count if ``code`` is right, and return the recovery codes, shown this once; None when it is not right."""
    connection = db.session.connection()
    key = _key(connection, user_id, confirmed=False)
    step = _step_of(key, code) if key else None
    if step is None:
        return None
    there = factors.c.user_id == user_id
    connection.execute(update(factors).where(there).values(confirmed_at=now(), last_step=step))
    return new_codes(user_id)


def new_codes(user_id: int) -> list[str]:
    """Ten fresh recovery codes; the old ones are worth nothing. In the caller's transaction."""
    connection = db.session.connection()
    connection.execute(delete(recovery).where(recovery.c.user_id == user_id))
    made = ["-".join("".join(secrets.choice(LETTERS) for _letter in range(5)) for _part in range(2)) for _number in range(CODES)]
    connection.execute(insert(recovery), [{"digest": _digest(user_id, one), "user_id": user_id, "used_at": None} for one in made])
    return made


def codes_left(user_id: int) -> int:
    """How many recovery codes are still good."""
    query = select(func.count()).where(recovery.c.user_id == user_id, recovery.c.used_at.is_(None))
    return db.session.execute(query, execution_options=QUIET).scalar_one()


def has_factor(user_id: int) -> bool:
    """Has this person a second factor that counts?"""
    there = factors.c.user_id == user_id, factors.c.confirmed_at.is_not(None)
    return db.session.execute(select(factors.c.user_id).where(*there), execution_options=QUIET).first() is not None


def take(connection: Any, user_id: int, text: str) -> str | None:
    """Take a code of the authenticator or a recovery code, once: “code”, “recovery”, or None when it is not good (any more).

    In the caller's transaction; of two who come with the same code at once, one is taken.
    """
    typed = "".join(one for one in text.lower() if one.isalnum())
    there = factors.c.user_id == user_id
    if len(typed) == 6 and typed.isascii() and typed.isdigit():
        key = _key(connection, user_id, confirmed=True)
        step = _step_of(key, typed) if key else None
        if step is None:
            return None
        done = connection.execute(update(factors).where(there, factors.c.last_step < step).values(last_step=step))
        return "code" if done.rowcount else None
    if len(typed) != 10 or not typed.isascii():
        return None
    known = recovery.c.digest == _digest(user_id, f"{typed[:5]}-{typed[5:]}")
    done = connection.execute(update(recovery).where(known, recovery.c.used_at.is_(None)).values(used_at=now()))
    return "recovery" if done.rowcount else None


def remove(user_id: int) -> bool:
    """Forget a person's second factor and recovery codes; True when there was one. In the caller's transaction."""
    connection = db.session.connection()
    connection.execute(delete(recovery).where(recovery.c.user_id == user_id))
    return bool(connection.execute(delete(factors).where(factors.c.user_id == user_id)).rowcount)


def _name(user_id: int) -> str:
    return f"totp:{user_id}"


def _key(connection: Any, user_id: int, confirmed: bool) -> str | None:
    there = factors.c.confirmed_at.is_not(None) if confirmed else factors.c.confirmed_at.is_(None)
    sealed = connection.execute(select(factors.c.sealed).where(factors.c.user_id == user_id, there)).scalar()
    return unseal(_name(user_id), sealed) if sealed else None


def _step_of(key: str, code: str) -> int | None:
    """The step whose code this is, within the window; None when it is that of none."""
    typed = "".join(one for one in code if one.isascii() and one.isdigit())
    made = pyotp.TOTP(key, interval=STEP)
    moment = int((now() - datetime(1970, 1, 1)).total_seconds()) // STEP
    # All are compared, so that how long it takes says nothing.
    fitting = [step for step in range(moment - WINDOW, moment + WINDOW + 1) if secrets.compare_digest(made.generate_otp(step), typed)]
    return max(fitting, default=None)


def _digest(user_id: int, code: str) -> str:
    return hashlib.sha256(f"recovery:{user_id}:{code}".encode()).hexdigest()
