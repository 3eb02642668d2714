"""Commands about accounts: user list, create, reset-password, unlock, reset-second-factor, make-admin."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from core.cli import Stop, say


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """user …"""
    group = add(
        "user",
        "list people, make accounts, help those who cannot sign in",
        "  run.py user list\n"
        '  run.py user create li.wei --name "李伟" --email li.wei@example.com --role "Case agent"\n'
        "  run.py user reset-password li.wei          a new password, shown once, to be changed at the next sign-in\n"
        "  run.py user reset-password li.wei --stdin  a password of your own, read from standard input\n"
        "  run.py user unlock li.wei                  after too many failed tries\n"
        "  run.py user reset-second-factor li.wei     the authenticator is lost, and the recovery codes, too\n"
        "  run.py user make-admin li.wei",
    )
    what = group.add_subparsers(title="what", dest="what", metavar="WHAT", required=True)
    add("list", "who has an account", to=what).set_defaults(run=_list)
    create = add("create", "make an account; its password is shown once", to=what)
    create.add_argument("login", help="the name to sign in with")
    create.add_argument("--name", help="the person's name; the login name when left out")
    create.add_argument("--email", help="the person's e-mail address")
    create.add_argument("--role", action="append", default=[], metavar="ROLE", help="a role to give; may be repeated")
    create.add_argument("--admin", action="store_true", help="make the person a system administrator")
    create.add_argument("--stdin", action="store_true", help="read the password from standard input instead of making one")
    create.set_defaults(run=_create)
    for name, help, run in (
        ("reset-password", "give a person a new password; every session of his ends", _reset_password),
        ("unlock", "forget failed sign-ins, and open a closed account", _unlock),
        ("reset-second-factor", "forget a person's authenticator and recovery codes; every session of his ends", _reset_factor),
        ("make-admin", "make a person a system administrator", _make_admin),
    ):
        one = add(name, help, to=what)
        one.add_argument("login", help="the name the person signs in with")
        if name == "reset-password":
            one.add_argument("--stdin", action="store_true", help="read the password from standard input instead of making one")
        one.set_defaults(run=run)


def _list(_chosen: Any) -> int:
    from sqlalchemy import select

    from core.cli.house import house
    from core.db import db
    from core.people import MortiseUser

    with house():
        for user in db.session.scalars(select(MortiseUser).order_by(MortiseUser.username)):
            roles = ", ".join(sorted(role.name for role in user.role_rows))
            state = "" if user.active else "closed"
            print("\t".join([user.username, user.name or "", user.email or "", user.level.replace("_", " "), roles, state]).rstrip())
    return 0


def _create(chosen: Any) -> int:
    from sqlalchemy import select

    from core.cli.house import house
    from core.db import db
    from core.people import MortiseUser, RoleRow
    from core.records import records

    with house(title=f"Account {chosen.login}"):
        known = {role.name: role.id for role in db.session.scalars(select(RoleRow))}
        if unknown := [name for name in chosen.role if name not in known]:
            raise Stop(f"There is no role called “{unknown[0]}”; there are: {', '.join(sorted(known))}.")
        user = records(MortiseUser).create({
            "username": chosen.login, "name": chosen.name or chosen.login, "email": chosen.email or f"{chosen.login}@example.com",
            "active": True, "level": "system_administrator" if chosen.admin else "employee",
            "role_rows": [known[name] for name in chosen.role],
        })  # fmt: skip
        password = _give_password(user, chosen.stdin)
    if password:
        print(f"Password of {chosen.login}, to be changed at the first sign-in: {password}")
    return 0


def _reset_password(chosen: Any) -> int:
    from core.accounts import unlock
    from core.cli.house import house

    with house(title=f"New password for {chosen.login}") as config:
        user = _find(chosen.login)
        password = _give_password(user, chosen.stdin)
        unlock(user.username)
        is_first = user.username == config.admin_name
    if is_first:
        # The file would hold a password that opens nothing any more.
        config.first_password_file.unlink(missing_ok=True)
    if password:
        print(f"Password of {chosen.login}, to be changed at the next sign-in: {password}")
    return 0


def _give_password(user: Any, from_stdin: bool) -> str | None:
    """Set a password; returns it when it was made here."""
    from core.accounts import end_sessions, password_problem, set_password
    from core.db import db
    from core.first import new_password
    from core.journal import write

    given = sys.stdin.readline().rstrip("\r\n") if from_stdin else None
    if given is not None and (problem := password_problem(given, user.username, user.email)):
        raise Stop(problem)
    made = None if given is not None else new_password()
    set_password(user, given or made, must_change=made is not None)
    db.session.flush()
    end_sessions(user.id)
    write("ab_user", user.id, "password", {})
    return made


def _unlock(chosen: Any) -> int:
    from core.accounts import unlock
    from core.cli.house import house
    from core.db import db
    from core.journal import write

    with house(title=f"Unlock {chosen.login}"):
        user = _find(chosen.login)
        failed = unlock(user.username)
        closed = not user.active
        user.active, user.locked_until = True, None
        db.session.flush()
        if failed:
            write("ab_user", user.id, "unlock", {})
    say(f"{chosen.login} can sign in again." if failed or closed else f"{chosen.login} was not locked.")
    return 0


def _reset_factor(chosen: Any) -> int:
    from core import second_factor
    from core.accounts import end_sessions, unlock
    from core.cli.house import house
    from core.journal import write

    with house(title=f"Second factor of {chosen.login} removed"):
        user = _find(chosen.login)
        had = second_factor.remove(user.id)
        if had:
            end_sessions(user.id)
            unlock(user.username)
            write("ab_user", user.id, "second-factor", {"on": [True, False]})
    say(f"{chosen.login} signs in by password alone now." if had else f"{chosen.login} had no second factor.")
    return 0


def _make_admin(chosen: Any) -> int:
    from core.cli.house import house
    from core.db import db

    with house(title=f"{chosen.login} becomes administrator"):
        user = _find(chosen.login)
        user.level, user.active = "system_administrator", True
        db.session.flush()
    say(f"{chosen.login} is a system administrator now.")
    return 0


def _find(login: str) -> Any:
    from sqlalchemy import func, select

    from core.db import db
    from core.people import MortiseUser

    found = db.session.scalars(select(MortiseUser).where(func.lower(MortiseUser.username) == login.lower())).first()
    if found is None:
        raise Stop(f"There is no account called “{login}”; run.py user list names them.")
    return found
