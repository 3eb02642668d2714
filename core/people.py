"""People, their departments, posts and teams, and the rows that say what they may do."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from flask_appbuilder.security.sqla.models import Role as FabRole
from flask_appbuilder.security.sqla.models import User as FabUser
from flask_appbuilder.security.sqla.models import assoc_user_role
from sqlalchemy import Boolean, DateTime, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.context import zone_of
from core.fields import KINDS, Field, field, link, links
from core.i18n import t
from core.kinds import TextKind
from core.model import FabModel, Model, Recorded, system_columns

LEVELS = ("employee", "administrator", "system_administrator")
ADMINISTRATORS = LEVELS[1:]


def has_left(last_day: date | None, moment: datetime, zone: str) -> bool:
    """Is somebody's last day over at ``moment`` (UTC), in the firm's zone? On the last day itself he still works (S1-88)."""
    return last_day is not None and moment.replace(tzinfo=UTC).astimezone(zone_of(zone)).date() > last_day


class RoleRow(Recorded, FabRole):
    """A role: a set of rights that people are given."""

    label, label_many = "Role", "Roles"
    title_field = "name"
    system_model = True
    note: Mapped[str | None] = field(long=True)
    second_factor: Mapped[bool] = field(default=False, label="Demands a second factor", help="Whoever has this role must set one up")
    locals().update(system_columns())

    def __str__(self) -> str:
        return t(self.name) if self.name else ""


class RoleName(TextKind):
    """A role's name: stored in English where code brings the role along, read in the person's language."""

    def text(self, value: Any, field: Field) -> str:
        return t(value) if value else ""


RoleRow.__fields__ = {
    "name": Field("name", RoleName(), "Name", required=True, unique=True, search=True, max_length=64),
    **RoleRow.__fields__,
}


class MortiseUser(Recorded, FabUser):
    """A person who signs in."""

    label, label_many = "User", "Users"
    title_field = "name"
    system_model = True
    name: Mapped[str | None] = field(search=True, max_length=130, label="Full name")
    phone: Mapped[str | None] = field(kind="phone", search=True)
    level: Mapped[str] = field(choices=LEVELS, default="employee")
    superior: Mapped[MortiseUser | None] = link()
    hired_on: Mapped[date | None] = field(label="Hired on")
    left_on: Mapped[date | None] = field(label="Last day", help="From the day after, the person cannot sign in any more")
    picture: Mapped[int | None] = field(kind="file", help="PNG, JPEG, WebP or GIF")
    role_rows: Mapped[list[RoleRow]] = links(label="Roles", table=assoc_user_role)
    language: Mapped[str | None] = field(choices=["en", "zh_Hans", "zh_Hant"])
    zone: Mapped[str | None] = field(max_length=64)
    theme: Mapped[str | None] = field(choices=["auto", "light", "dark"])
    must_change_password: Mapped[bool] = field(default=False)
    locked_until: Mapped[datetime | None] = field(readonly=True)
    locals().update(system_columns())


User = MortiseUser
# FAB's two tables are declared without it, but an id must never be used twice (DESIGN 12).
for _table in (FabUser.__table__, FabRole.__table__):
    _table.dialect_options["sqlite"]["autoincrement"] = True
User.__fields__ = {
    "username": Field("username", KINDS["text"], "Login name", required=True, unique=True, search=True, max_length=128),
    "email": Field("email", KINDS["email"], "E-mail", required=True, unique=True, search=True, max_length=320),
    "active": Field("active", KINDS["yesno"], "Active", default=True, required=True),
    "last_login": Field("last_login", KINDS["datetime"], "Last sign-in", readonly=True),
    **User.__fields__,
}
User.__fields__["name"].required = True


class Department(Model):
    """A part of the firm; departments form a tree."""

    system_model = True
    name: Mapped[str] = field(search=True)
    parent: Mapped[Department | None] = link()
    head: Mapped[MortiseUser | None] = link()


class Post(Model):
    """A person's place in a department; one person may hold several, one of them primary.

    Source: S1-91.
    """

    system_model = True
    user: Mapped[MortiseUser] = link(part_of=True)
    department: Mapped[Department] = link()
    title: Mapped[str | None] = field()
    is_primary: Mapped[bool] = field(default=False, label="Primary")


class Team(Model):
    """People of several departments who work on the same records."""

    system_model = True
    name: Mapped[str] = field(search=True)
    members: Mapped[list[MortiseUser]] = links()


class Owned:
    """Give a model an owner and a department: ``class Case(Owned, Model)``. Scopes work on these two."""

    owner: Mapped[MortiseUser | None] = link(label="Owner")
    department: Mapped[Department | None] = link(label="Department")


class RoleRight(Model):
    """What a role may do with a model, as the administrator set it; without a row the code's rule holds."""

    system_model = True
    label, label_many = "Role right", "Role rights"
    title_field = "model"
    role: Mapped[RoleRow] = link(part_of=True)
    model: Mapped[str] = field(max_length=80, index=True)
    verb: Mapped[str] = field(max_length=40)
    scopes: Mapped[str] = field(
        max_length=80, default="none", help="none, own, department, below, team, all; several are separated by blanks"
    )
    shared: Mapped[bool] = field(default=False, help="Also records that are shared with the person")
    __table_args__ = (Index("uq_core_role_right", "role_id", "model", "verb", unique=True),)


class FieldRight(Model):
    """A field that a role does not see, or may not change, or may though code says otherwise."""

    system_model = True
    label, label_many = "Field right", "Field rights"
    title_field = "model"
    role: Mapped[RoleRow] = link(part_of=True)
    model: Mapped[str] = field(max_length=80, index=True)
    field_name: Mapped[str] = field(max_length=80, label="Field")
    access: Mapped[str] = field(choices=["hidden", "read_only", "open"])
    __table_args__ = (Index("uq_core_field_right", "role_id", "model", "field_name", unique=True),)


class PersonalRight(Model):
    """A right given to, or taken from, one person beside his roles.

    Source: S1-97, D18.
    """

    system_model = True
    label, label_many = "Personal right", "Personal rights"
    title_field = "model"
    user: Mapped[MortiseUser] = link(part_of=True)
    model: Mapped[str] = field(max_length=80, index=True)
    verb: Mapped[str] = field(max_length=40)
    denied: Mapped[bool] = field(default=False)
    scopes: Mapped[str] = field(max_length=80, default="all")
    until: Mapped[datetime | None] = field()


class Share(Model):
    """One record opened to a person, department or team, for reading or editing, perhaps until a date."""

    system_model = True
    title_field = "model"
    model: Mapped[str] = field(max_length=80)
    record_id: Mapped[int] = field()
    user: Mapped[MortiseUser | None] = link()
    department: Mapped[Department | None] = link()
    team: Mapped[Team | None] = link()
    access: Mapped[str] = field(choices=["read", "edit"], default="read")
    until: Mapped[datetime | None] = field()
    __table_args__ = (
        # What is shared with a person is read from an index alone, however many shares a firm has.
        Index("ix_core_share_user_reach", "user_id", "model", "record_id", "until", "access"),
        Index("ix_core_share_department_reach", "department_id", "model", "record_id", "until", "access"),
        Index("ix_core_share_team_reach", "team_id", "model", "record_id", "until", "access"),
        Index("ix_core_share_model_record", "model", "record_id"),
    )


class SignInSession(FabModel):
    """One browser that is signed in: kept here, not in the cookie, so that it can be listed and ended."""

    __tablename__ = "core_session"
    __table_args__ = {"info": {"addon": "core"}}

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the cookie's token: who reads the table cannot sign in with it."""
    user_id: Mapped[int | None] = mapped_column(Integer, index=True, nullable=True)
    data: Mapped[str] = mapped_column(Text, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime, nullable=False)
    seen_at: Mapped[datetime] = mapped_column(DateTime, nullable=False, index=True)
    address: Mapped[str | None] = mapped_column(String(64), nullable=True)
    agent: Mapped[str | None] = mapped_column(String(200), nullable=True)


class SignInAttempt(FabModel):
    """Failed sign-ins per account and per address, for the growing pause between tries."""

    __tablename__ = "core_sign_in_attempt"
    __table_args__ = {"info": {"addon": "core"}}

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    """``login:<name>`` or ``address:<ip>``."""
    failures: Mapped[int] = mapped_column(Integer, nullable=False)
    blocked_until: Mapped[datetime | None] = mapped_column(DateTime, nullable=True)
    changed_at: Mapped[datetime] = mapped_column(DateTime, nullable=False)


class SignInRow(FabModel):
    """One sign-in that worked or was refused, kept for the person himself and for administrators (S0-02)."""

    __tablename__ = "core_sign_in"
    __table_args__ = (
        Index("ix_core_sign_in_user_at", "user_id", "at"),
        {"info": {"addon": "core"}, "sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(Integer, nullable=True)
    """Nobody's, when no account has the name that was typed."""
    at: Mapped[datetime] = mapped_column(DateTime, nullable=False, index=True)
    worked: Mapped[bool] = mapped_column(Boolean, nullable=False)
    door: Mapped[str] = mapped_column(String(20), nullable=False)
    address: Mapped[str | None] = mapped_column(String(64), nullable=True)
    agent: Mapped[str | None] = mapped_column(String(200), nullable=True)
