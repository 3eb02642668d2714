"""What a command needs of the house: settings, the database, the addons, and somebody who acts."""

from __future__ import annotations

import getpass
import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.cli import Stop, say
from core.config import Config, load
from core.context import Actor, acting, system
from core.db import db


def connected(config: Config | None = None, *, strict: bool = False, extra_folders: Iterable[Path] = ()) -> Config:
    """Open the database and load all addons, as every process does when it starts."""
    from core.addons import load_all

    config = config or load()
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    db.connect(config.database, pool_size=2)
    importlib.import_module("core.tables")
    load_all(list(dict.fromkeys([*config.addons, *extra_folders])), strict=strict or config.strict)
    return config


def operator() -> Actor:
    """Whoever types: not a user of the house, so the journal keeps the name of the system's account as the address."""
    from core.i18n import best_language

    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        account = f"uid {os.getuid()}"
    language = best_language((os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or "en").split(".")[0])
    return Actor(door="command line", name="command line", login=account, address=account[:64], language=language)


@contextmanager
def house(config: Config | None = None, *, title: str = "", as_login: str | None = None) -> Iterator[Config]:
    """Inside, the database is open and up to date, addons are loaded, and the system acts through the door “command line”.

    ``as_login`` lets a person act instead, with his rights and in his language. What was changed is committed at the end,
    as one batch called ``title``; nothing of it when the block raises.
    """
    from core.app import create_app
    from core.migrate import status
    from core.settings import setting

    config = config or load(log_level="warning", log_format="text")
    app = create_app(config)
    state = status()
    if not state.ok:
        raise Stop(state.sentence)
    if state.missing_folders:
        say(f"Note: {state.sentence}")
    who = operator()
    who.batch_title = title[:200] or None
    with app.app_context(), acting(who), ExitStack() as stack:
        try:
            # Moments in files that are exported on a screen and imported here mean the same.
            who.zone = str(setting("firm.zone"))
            if as_login is None:
                stack.enter_context(system("command line"))
            else:
                _act_as(who, as_login)
            yield config
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise
        finally:
            db.remove()


def _act_as(who: Actor, login: str) -> None:
    from sqlalchemy import select

    from core.accounts import person_by_id
    from core.people import MortiseUser

    user = MortiseUser.__table__
    found = db.session.execute(select(user.c.id).where(user.c.username == login), execution_options={"mortise_rules": False}).scalar()
    person = person_by_id(found) if found is not None else None
    if person is None:
        raise Stop(f"There is no active user with the login name “{login}”; run.py user list names them.")
    who.user_id, who.login, who.name = person.id, person.login, person.name
    who.language, who.zone = person.language or who.language, person.zone or who.zone
