"""Links that let somebody choose a password without the old one: made once, good once, for a while, and kept nowhere.

The row has a random salt and the digest of the token. The token is worked out from the salt and the installation's key at the moment
the mail leaves, the same at each try; neither the database nor a backup without its key can give one away (decision 14).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, DateTime, Index, Integer, String, delete, event, func, insert, inspect, select, update
from sqlalchemy.orm import Mapped, mapped_column

from core import accounts, journal, mail
from core.context import actor, local, now
from core.db import db
from core.errors import Invalid
from core.i18n import gettext as _
from core.mail_settings import must_be_set_up
from core.model import FabModel
from core.people import MortiseUser
from core.secret_box import keyed
from core.settings import setting

QUIET = {"mortise_rules": False}
TRIES_OF_AN_ACCOUNT = 3
"""So many links an hour are sent to somebody whom nobody signed in asks for."""
KEPT_FOR = timedelta(days=30)


class SecretLink(FabModel):
    """One link of one person."""

    __tablename__ = "core_secret_link"
    __table_args__ = (Index("ix_core_secret_link_user", "user_id"), {"info": {"addon": "core"}, "sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, nullable=False)
    purpose: Mapped[str] = mapped_column(String(20), nullable=False)
    """``reset`` or ``invite``."""
    salt: Mapped[str] = mapped_column(String(64), nullable=False)
    digest: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    """SHA-256 of the token."""
    asked_by_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    """Who had it sent; nobody, when it was asked for at the sign-in page."""
    created_at: Mapped[datetime] = mapped_column(DateTime, nullable=False)
    expires_at: Mapped[datetime] = mapped_column(DateTime, nullable=False)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)
    """Used, or made worthless by a newer one or a changed account."""


links = SecretLink.__table__


def _token(salt: str) -> str:
    return base64.urlsafe_b64encode(keyed("secret link", salt.encode())).decode().rstrip("=")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def token_of(link_id: int) -> str | None:
    """The token of a link that is still good, for the mail that carries it; None when it is over."""
    row = db.session.execute(select(links).where(links.c.id == link_id, *_good()), execution_options=QUIET).first()
    return _token(row.salt) if row else None


def _good() -> tuple[Any, ...]:
    return links.c.ended_at.is_(None), links.c.expires_at > now()


def link_behind(token: str) -> Any:
    """(link, person) of a token that is good now; (None, None) for any other text."""
    if not re.fullmatch(r"[\w-]{43}", token):
        return None, None
    row = db.session.execute(select(links).where(links.c.digest == _digest(token), *_good()), execution_options=QUIET).first()
    if row is None:
        return None, None
    users = MortiseUser.__table__
    user = db.session.execute(select(users).where(users.c.id == row.user_id, users.c.active), execution_options=QUIET).first()
    return (row, user) if user else (None, None)


def use_link(link_id: int) -> bool:
    """Take the link: True for one caller alone, however many come at once. In the caller's transaction."""
    taken = update(links).where(links.c.id == link_id, *_good()).values(ended_at=now())
    return bool(db.session.connection().execute(taken).rowcount)


def end_links(user_id: int, connection: Connection | None = None) -> None:
    """Make all links of a person worthless, in the caller's transaction."""
    ended = update(links).where(links.c.user_id == user_id, links.c.ended_at.is_(None)).values(ended_at=now())
    (connection or db.session.connection()).execute(ended)


@event.listens_for(MortiseUser, "after_update")
def _end_with_what_they_stand_for(_mapper: Any, connection: Connection, user: MortiseUser) -> None:
    # A link proves that somebody reads the mail of an open account whose password nobody has changed since.
    attributes = inspect(user).attrs
    if any(getattr(attributes, name).history.has_changes() for name in ("password", "email", "active")):
        end_links(user.id, connection)


# -- sending one ---------------------------------------------------------------------------------------------------------


def send_link(user: Any, purpose: str = "reset") -> None:
    """Mail ``user`` (a row or record of an open account) a fresh link; earlier ones end. In the caller's transaction.

    Raises `Invalid` with a sentence when mail is not set up, or the person has no address or a closed account.
    """
    must_be_set_up()
    if not user.active:
        raise Invalid({"": _("The account of “%(name)s” is closed; open it first.", name=user.name or user.username)})
    invites = purpose == "invite"
    lifetime = timedelta(days=setting("mail.invite_days")) if invites else timedelta(minutes=setting("mail.link_minutes"))
    end_links(user.id)
    salt, moment = secrets.token_hex(32), now()
    over = moment + lifetime
    values = {"user_id": user.id, "purpose": purpose, "salt": salt, "digest": _digest(_token(salt)), "asked_by_id": actor().user_id}
    made = insert(links).values(**values, created_at=moment, expires_at=over).returning(links.c.id)
    number = db.session.connection().execute(made).scalar_one()
    mail.send(user, lambda: _invitation(user, over) if invites else _reset(user, over), secret_link=number)
    journal.write("ab_user", user.id, "password-link", {})


def _reset(user: Any, over: datetime) -> mail.Letter:
    until = local(over).strftime("%Y-%m-%d %H:%M")
    return mail.Letter(
        _("A new password for %(firm)s", firm=setting("firm.name")),
        [
            _("Hello %(name)s,", name=user.name or user.username),
            _("With the button below you choose a new password for your account “%(login)s”.", login=user.username),
            _("The link is good once, until %(moment)s. It signs you out everywhere.", moment=until),
            _("You did not ask for it? Then do nothing: your password stays as it is. If it happens again, tell your administrator."),
        ],
        _("Choose a new password"),
    )


def _invitation(user: Any, over: datetime) -> mail.Letter:
    until = local(over).strftime("%Y-%m-%d %H:%M")
    firm = setting("firm.name")
    return mail.Letter(
        _("Your account at %(firm)s", firm=firm),
        [
            _("Hello %(name)s,", name=user.name or user.username),
            _("an account was made for you at %(firm)s. Your user name is “%(login)s”.", firm=firm, login=user.username),
            _("Choose your password with the button below. The link is good once, until %(moment)s.", moment=until),
        ],
        _("Choose a password"),
    )


def account_called(typed: str) -> Any:
    """The open account with this name or e-mail address; None when there is none."""
    found = accounts.find_account(db.session.connection(), typed.strip()[:320])
    if found is None or not found.active:
        return None
    users = MortiseUser.__table__
    return db.session.execute(select(users).where(users.c.id == found.id), execution_options=QUIET).first()


def asked_too_often(user_id: int) -> bool:
    """Were so many links sent within the hour, without anybody signed in asking, that no more is?"""
    lately = links.c.user_id == user_id, links.c.asked_by_id.is_(None), links.c.created_at > now() - timedelta(hours=1)
    count = db.session.execute(select(func.count()).where(*lately), execution_options=QUIET).scalar_one()
    return bool(count >= TRIES_OF_AN_ACCOUNT)


def forget_old_links() -> None:
    """Remove links that were over a month ago, in the caller's transaction."""
    db.session.connection().execute(delete(links).where(links.c.expires_at < now() - KEPT_FOR))
