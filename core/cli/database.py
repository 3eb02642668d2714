"""Commands about the database as a whole: migrate, backup, restore."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cli import Stop, say
from core.config import Config
from core.i18n import t


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """migrate, backup, restore"""
    migrate = add(
        "migrate",
        "bring the tables of core and of every addon on disk up to date, and put in what code needs",
        "  run.py migrate                           what a new version or a new addon needs\n"
        "  run.py migrate --make crm_tag            write the revision that the models of crm_tag need\n"
        '  run.py migrate --make crm_tag -m "colour of a tag"\n'
        "  run.py migrate --list                    what has been run, what is still to be run",
    )
    migrate.add_argument("--make", metavar="ADDON", help="write the next revision of this addon from its models; changes no data")
    migrate.add_argument("-m", "--message", default="", help="with --make: what the revision does, in a few words")
    migrate.add_argument("--list", action="store_true", help="only tell the state")
    migrate.add_argument("--no-copy", action="store_true", help="do not copy the data before the tables change")
    migrate.add_argument("--strict", action="store_true", help="stop when an addon is broken")
    migrate.set_defaults(run=_migrate)
    backup = add(
        "backup",
        "write everything into one file: all tables, files, the installation's key; works while the server runs",
        "  run.py backup                            into data/backups, named by date and time\n  run.py backup /backups/today.zip\n"
        "  run.py backup --encrypt                  locked with a passphrase: it is asked for, or read from\n"
        "                                           MORTISE_BACKUP_PASSPHRASE or the file MORTISE_BACKUP_PASSPHRASE_FILE",
    )
    backup.add_argument("file", nargs="?", type=Path, help="the zip file to write; it must not exist yet")
    backup.add_argument("--encrypt", action="store_true", help="lock the file with a passphrase; nobody can read it without")
    backup.set_defaults(run=_backup)
    restore = add(
        "restore",
        "put back what a backup holds, in place of what is there; the server must be stopped",
        "  run.py restore /backups/today.zip        asks before it replaces anything\n"
        "  run.py restore --check today.zip         only look whether the file is whole and fits\n"
        "The passphrase of a locked file is asked for, or read from MORTISE_BACKUP_PASSPHRASE(_FILE).\n"
        "A backup made on SQLite can be restored on PostgreSQL, and the other way round.",
    )
    restore.add_argument("file", nargs="?", type=Path, help="a file that run.py backup has written")
    restore.add_argument("--check", action="store_true", help="change nothing, only say whether it could be restored")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    restore.add_argument("--asked", action="store_true", help=argparse.SUPPRESS)  # by `run.py serve`, for what was asked in the browser
    restore.set_defaults(run=_restore)


def _migrate(chosen: Any) -> int:
    from core.cli.house import connected
    from core.migrate import branches, status
    from core.revisions import make_revision
    from core.serve import running

    if not chosen.make:
        # What a command writes into the data folder is nobody else's business.
        os.umask(0o077)
    config = connected(strict=chosen.strict)
    if chosen.make:
        path = make_revision(chosen.make, chosen.message)
        print(
            f"Written: {path}\nRead it, then type: run.py migrate"
            if path
            else f"The tables of {chosen.make} fit its models; nothing to write."
        )
        return 0
    if chosen.list:
        state = status()
        for addon, branch in branches().items():
            print(f"{addon:30} {len(branch.revisions):3} revisions, {state.pending.get(addon, 0)} to run")
        if state.sentence:
            say(state.sentence)
        return 0 if state.ok else 1
    # Not while a backup is being restored into this data folder.
    with running(config):
        return _brought_up(config, copy=not chosen.no_copy)


def _brought_up(config: Config, copy: bool) -> int:
    from sqlalchemy import inspect

    from core.backup_copies import copies_passphrase
    from core.cli.house import operator
    from core.context import acting
    from core.db import db
    from core.first import seed
    from core.migrate import status, upgrade
    from core.restore import finish
    from core.restore_leftovers import remove_leftovers

    assert db.engine is not None
    if inspect(db.engine).has_table("core_state") and (told := finish(config)):
        say(told)
    for line in remove_leftovers(db.engine, config):
        say(line)
    passphrase = copies_passphrase(db.engine, config) if copy else ""
    who = operator()
    who.batch_title = t("Migration")
    made: list[str | None] = []
    with acting(who):
        count = upgrade(
            config.database, config.data, say, copy=copy, passphrase=passphrase, then=lambda: made.append(seed(config))
        )  # fmt: skip
    state = status()
    if state.missing_folders:
        say(f"Note: {state.sentence}")
    for name in without_tables()[:5]:
        say(f"Note: {name} has models without tables; type: run.py migrate --make {name}")
    print(f"{count} revision{'' if count == 1 else 's'} run; the database is up to date." if count else "The database is up to date.")
    if any(made):
        say(f"The first administrator is “{config.admin_name}”; the password is in {config.first_password_file}, until the first sign-in.")
    return 0


def without_tables() -> list[str]:
    """Addons with a model whose table does not exist."""
    from sqlalchemy import inspect

    from core.db import db
    from core.model import models

    assert db.engine is not None
    there = set(inspect(db.engine).get_table_names())
    return sorted({model.addon for table, model in models().items() if table not in there})


def _backup(chosen: Any) -> int:
    from core.backup import backup, fresh_name
    from core.backup_file import read_back
    from core.backup_list import LOCKED, note
    from core.cli.house import house
    from core.db import db
    from core.journal import write

    with house(title="Backup") as config:
        # On SQLite nobody may wait while somebody types, and while the file is written and read back.
        db.session.commit()
        path = chosen.file or fresh_name(config.data / "backups", "backup", LOCKED if chosen.encrypt else ".zip")
        passphrase = _passphrase(config, twice=True) if chosen.encrypt else ""
        told = backup(config, path, passphrase=passphrase)
        note(config, path, read_back(path, passphrase), checked=True)
        write("core_backup", 0, "backup", {"file": [None, path.name], "rows": [None, told.rows]})
    locked = ", locked with the passphrase" if told.locked else ""
    print(f"{path}: {told.rows} rows of {told.tables} tables, {told.files} files, {told.size / 1_000_000:.1f} MB{locked}.")
    return 0


def _passphrase(config: Any, *, twice: bool = False) -> str:
    """The passphrase from the settings, else as somebody types it; never from the command line, which others can see."""
    import getpass
    import sys

    from core.locked_file import good_passphrase

    given = config.backup_passphrase
    if not given:
        if not sys.stdin.isatty():
            raise Stop("Nobody is there to type the passphrase. Give it by MORTISE_BACKUP_PASSPHRASE or MORTISE_BACKUP_PASSPHRASE_FILE.")
        given = getpass.getpass("Passphrase: ")
        if twice and getpass.getpass("Once more: ") != given:
            raise Stop("These were two different passphrases; nothing was written.")
    return good_passphrase(given) if twice else str(given)


def _restore(chosen: Any) -> int:
    from core.backup_file import inspect_backup
    from core.cli.house import connected
    from core.locked_file import is_locked
    from core.restore import restore
    from core.restore_request import work

    config = connected()
    if chosen.asked:
        return work(config)
    if chosen.file is None:
        raise Stop("Please name the file: run.py restore FILE")
    locked = chosen.file.is_file() and is_locked(chosen.file)
    passphrase = _passphrase(config) if locked else ""
    found = inspect_backup(chosen.file, passphrase)
    print(
        f"{chosen.file}: made {found['made_at']} by version {found['version']}; {sum(found['tables'].values())} rows,"
        f" {found['files']} files. It is whole."
    )
    if chosen.check:
        return 0
    if not chosen.yes:
        try:
            answer = input("This replaces all data of this installation. Type yes to go on: ")
        except EOFError:
            raise Stop("Nothing was changed: nobody was there to answer. Add --yes to go on without a question.") from None
        if answer.strip().lower() != "yes":
            raise Stop("Nothing was changed.")
    restore(config, chosen.file, say, passphrase=passphrase)
    print("Restored. Everybody has to sign in again.")
    return 0
