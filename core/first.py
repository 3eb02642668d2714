"""What a new database needs before anybody signs in: options, roles, the firm's facts and the first administrator."""

from __future__ import annotations

import secrets
from pathlib import Path

from sqlalchemy import func, select

from core.config import Config, write_private
from core.context import system
from core.db import db
from core.people import MortiseUser, RoleRow


def seed(config: Config) -> str | None:
    """Bring what code on disk asks for into the database; what is there stays as it is.

    Returns the first administrator's password when one was made now; it lies in the data folder as well, until he signs in.
    """
    from core.addons import register_new
    from core.numbering import seed_number_rules
    from core.options import seed_options
    from core.search import create_search
    from core.seeding import seed_data

    password = None
    place = config.first_password_file
    with system("what code asks for"):
        try:
            create_search(db.session.connection())
            register_new()
            seed_options()
            seed_number_rules()
            _seed_roles()
            seed_data()
            if not db.session.execute(select(func.count()).select_from(MortiseUser)).scalar():
                password = _first_administrator(config, place)
                _firm(config)
            db.session.commit()
        except BaseException:
            db.session.rollback()
            if password:
                place.unlink(missing_ok=True)
            raise
    return password


def _seed_roles() -> None:
    from core.rules import roles_of_code

    known = set(db.session.execute(select(RoleRow.name)).scalars())
    for name in roles_of_code():
        if name not in known:
            db.session.add(RoleRow(name=name))
    db.session.flush()


def _first_administrator(config: Config, place: Path) -> str | None:
    """Make the first administrator; returns the password that was made for him, None when one was given."""
    from core.accounts import set_password

    name = config.admin_name.strip()
    user = MortiseUser(
        username=name, name=name, first_name=name[:64], last_name="", email=f"{name}@example.com", active=True, level="system_administrator"
    )
    made = None if config.admin_password else new_password()
    set_password(user, made or config.admin_password, must_change=made is not None)
    db.session.add(user)
    db.session.flush()
    if made:
        # A file from an earlier database would hold a password that opens nothing.
        place.unlink(missing_ok=True)
        write_private(place, made)
    return made


def new_password() -> str:
    """A password that can be read aloud: four groups without letters that look alike, 77 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def _firm(config: Config) -> None:
    """The firm's facts from the environment; what is not given is asked on the first page."""
    from core.settings import declared_settings, set_setting

    for name in ("name", "zone", "language", "currency"):
        if config[f"firm_{name}"] and f"firm.{name}" in declared_settings():
            set_setting(f"firm.{name}", config[f"firm_{name}"])
