"""Writing an addon's next revision from its models, and comparing all revisions with all models, on databases that are thrown away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from core.migrate import Branch, branches, forget_known, make_version_table, migration_engine, run_branch, with_dependencies


@contextmanager
def _throw_away(url: str | None = None) -> Iterator[Connection]:
    """An empty database that is gone afterwards."""
    with TemporaryDirectory(prefix="mortise-") as folder:
        engine = migration_engine(url or f"sqlite:///{folder}/empty.sqlite3")
        try:
            with engine.connect() as connection:
                make_version_table(connection)
                yield connection
        finally:
            engine.dispose()


def _columns(connection: Connection) -> set[tuple[str, str]]:
    look = inspect(connection)
    found = {(table, column["name"]) for table in look.get_table_names() for column in look.get_columns(table)}
    found |= {(table, "") for table in look.get_table_names()}
    connection.rollback()
    return found


def made_by(addon: str) -> set[tuple[str, str]]:
    """(table, column) of everything that the revisions of ``addon`` make, also on tables of others; (table, "") for its own tables."""
    known = branches()
    with _throw_away() as connection:
        return _run_and_compare(connection, with_dependencies(addon, known), known)


def _run_and_compare(connection: Connection, line: list[str], known: dict[str, Branch]) -> set[tuple[str, str]]:
    """Run the branches of ``line``; returns what the last of them has made."""
    before: set[tuple[str, str]] = set()
    for name in line:
        if name == line[-1]:
            before = _columns(connection)
        if known[name].head:
            run_branch(connection, known[name])
    return _columns(connection) - before


def make_revision(addon: str, message: str = "") -> Path | None:
    """Write the revision that an addon's models need next; None when its tables fit already."""
    from core.migrations.writing import Difference

    known = branches()
    line, branch = with_dependencies(addon, known), known[addon]
    with _throw_away() as connection:
        found = Difference(connection, addon, frozenset(_run_and_compare(connection, line, known)))
        if found.is_empty():
            return None
        number = int(branch.head.rsplit("_", 1)[1]) + 1 if branch.head else 1
        message = message or ("First tables" if number == 1 else "What the models need now")
        written = found.render(message, f"{addon}_{number:04d}", branch.head)
        connection.rollback()
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")[:40] or "change"
    branch.folder.mkdir(parents=True, exist_ok=True)
    path = branch.folder / f"{number:04d}_{slug}.py"
    path.write_text(written, encoding="utf-8")
    forget_known()
    return path


def differences(url: str | None = None) -> list[str]:
    """Where models and migrations differ, a sentence each; tried on a database that is thrown away (``url``: an empty one)."""
    from core.migrations.writing import Difference

    known = branches()
    with _throw_away(url) as connection:
        for branch in known.values():
            if branch.head:
                run_branch(connection, branch)
        found = Difference(connection).sentences()
        with suppress(DBAPIError):
            connection.rollback()
    return found
