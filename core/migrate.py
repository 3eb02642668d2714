"""Bring the tables of core and of every addon on disk up to date: one branch of revisions an addon, one at a time, under a lock.

Branches are independent lines; their order is the order of the addons (`depends` in addon.toml), and the table
``alembic_version`` holds one row an addon. A folder that vanished therefore stops nobody: its row is named, and left alone.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, create_engine, event, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from core.db import db, make_engine
from core.errors import Problem
from core.i18n import gettext as _

HOME = Path(__file__).parent / "migrations"
LOCK_KEY = 0x4D4F5254
REVISION = re.compile(r"^revision\s*(?::[^=]+)?=\s*[\"']([a-z][a-z0-9_]*_(\d{4}))[\"']", re.MULTILINE)
Progress = Callable[[str], None]

version_table = Table("alembic_version", MetaData(), Column("version_num", String(120), primary_key=True))


@dataclass(frozen=True, slots=True)
class Branch:
    """The revisions of one addon, oldest first."""

    addon: str
    folder: Path
    depends: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()

    @property
    def head(self) -> str | None:
        """The newest revision."""
        return self.revisions[-1] if self.revisions else None


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Does the schema fit the code? ``sentence`` says what to do when it does not, and names folders that went away."""

    ok: bool
    sentence: str = ""
    missing_folders: tuple[str, ...] = ()
    pending: dict[str, int] = field(default_factory=dict)
    """Revisions still to run, by addon."""
    ahead: tuple[str, ...] = ()
    """Addons whose tables are newer than their code."""


class MigrationFailed(Problem):
    """A revision could not be run; the database is as it was before that revision."""

    status, code = 500, "migration_failed"


def branches() -> dict[str, Branch]:
    """Core's branch, then that of every addon on disk, dependencies first."""
    from core.addons import addons

    found = {"core": Branch("core", HOME / "versions", (), _revisions(HOME / "versions", "core"))}
    for one in addons().values():
        folder = Path(one.path) / "migrations"
        found[one.name] = Branch(one.name, folder, tuple(one.depends), _revisions(folder, one.name))
    return found


@lru_cache(maxsize=1)
def _known() -> dict[str, Branch]:
    return branches()


def forget_known() -> None:
    """Read the folders again at the next `status`."""
    _known.cache_clear()


def _revisions(folder: Path, addon: str) -> tuple[str, ...]:
    """The revisions in a folder, read without running them: readyz asks often."""
    names = []
    for path in sorted(folder.glob("*.py")):
        found = REVISION.search(path.read_text(encoding="utf-8"))
        if found and found.group(1) == f"{addon}_{found.group(2)}":
            names.append(found.group(1))
        elif found:
            raise Problem(f"{path} belongs to {addon}, so its revision has to be called {addon}_{found.group(2)}, not {found.group(1)}.")
    if len(set(names)) < len(names):
        raise Problem(f"{folder}: two files have the same revision; give one of them the next number.")
    return tuple(sorted(names))


def status() -> MigrationStatus:
    """How the connected database stands to the code: one statement; what is on disk is read once a process."""
    assert db.engine is not None
    try:
        with db.engine.connect().execution_options(mortise_read_only=True) as connection:
            current = set(connection.execute(select(version_table.c.version_num)).scalars())
    except DBAPIError as problem:
        if "alembic_version" not in str(problem.orig):
            raise
        current = set()
    return compare(current, _known())


def compare(current: set[str], known: dict[str, Branch]) -> MigrationStatus:
    """The status of a database whose ``alembic_version`` holds ``current``."""
    at = {revision.rsplit("_", 1)[0]: revision for revision in current}
    missing = tuple(sorted(addon for addon in at if addon not in known))
    ahead = tuple(addon for addon, branch in known.items() if addon in at and at[addon] not in branch.revisions)
    pending = {}
    for addon, branch in known.items():
        if addon not in ahead:
            done = branch.revisions.index(at[addon]) + 1 if addon in at else 0
            if len(branch.revisions) > done:
                pending[addon] = len(branch.revisions) - done
    sentences = []
    if not current:
        sentences.append(_("The database is empty; type: run.py migrate"))
    elif pending:
        sentences.append(_("The database is older than the code (%(addons)s); type: run.py migrate", addons=", ".join(pending)))
    if ahead:
        sentences.append(_(
            "The database is newer than the code (%(addons)s): install the newer code, or restore the backup made before.",
            addons=", ".join(ahead),
        ))  # fmt: skip
    if missing:
        sentences.append(_(
            "The folder of %(addons)s is gone, but its tables are still in the database: put the folder back;"
            " to remove the addon for good, then type: run.py addon remove NAME", addons=", ".join(missing),
        ))  # fmt: skip
    return MigrationStatus(not pending and not ahead and bool(current), " ".join(sentences), missing, pending, ahead)


# Running


def migration_engine(url: str) -> Engine:
    """An engine for changing tables: on SQLite without foreign keys, since rebuilding a table would empty those that point at it."""
    if not url.startswith("sqlite"):
        engine = make_engine(url)
        return create_engine(engine.url, poolclass=NullPool)
    engine = create_engine(url, connect_args={"timeout": 30}, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def locked(engine: Engine, data_dir: Path, progress: Progress = print) -> Iterator[None]:
    """Only one process changes tables at a time; the others wait until it is done."""
    told = False
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}):
                told = told or _waiting(progress)
                time.sleep(0.2)
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "migrate.lock").open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                told = told or _waiting(progress)
                time.sleep(0.2)
        yield


def _waiting(progress: Progress) -> bool:
    progress("Another process is changing the tables just now; waiting for it.")
    return True


def upgrade(
    url: str, data_dir: Path, progress: Progress = print, *, copy: bool = True, passphrase: str = "", then: Callable[[], Any] | None = None
) -> int:  # fmt: skip
    """Run what has not been run yet, for core and every addon; returns the number of revisions run.

    Before the first change the data are copied to ``data_dir/backups``, locked with ``passphrase`` if there is one, unless the database
    is empty or ``copy`` is False.
    ``then`` is called under the same lock, when the tables are up to date.
    """
    engine = migration_engine(url)
    try:
        with locked(engine, data_dir, progress):
            known = branches()
            with engine.connect() as connection:
                current = _current(connection)
            todo = compare(current, known)
            if todo.ahead:
                raise Problem(todo.sentence)
            if todo.pending and current and copy:
                from core.backup_copies import copy_before, told

                progress(f"The data before this change are in {told(copy_before(engine, data_dir, 'migrate', passphrase))}.")
            if todo.pending:
                with engine.connect() as connection:
                    make_version_table(connection)
                    for addon in todo.pending:
                        for revision in _steps(connection, known[addon], known[addon].head or ""):
                            progress(f"{addon}: {revision}")
            if then is not None:
                then()
            return sum(todo.pending.values())
    finally:
        engine.dispose()
        _known.cache_clear()


def downgrade(url: str, data_dir: Path, addon: str, progress: Progress = print, *, copy: bool = True, passphrase: str = "") -> None:
    """Take an addon's tables out of the database; refused while another addon that needs them is installed."""
    engine = migration_engine(url)
    try:
        with locked(engine, data_dir, progress):
            known = branches()
            if addon not in known or addon == "core":
                raise Problem(f"There is no addon called {addon} on disk, so its tables cannot be removed; put its folder back first.")
            with engine.connect() as connection:
                installed = {revision.rsplit("_", 1)[0] for revision in _current(connection)}
                if addon not in installed:
                    return
                needing = [
                    one.addon for one in known.values() if one.addon in installed and addon in with_dependencies(one.addon, known)[:-1]
                ]
                if needing:
                    raise Problem(f"{addon} is needed by {', '.join(needing)}; remove {'it' if len(needing) == 1 else 'them'} first.")
            if copy:
                from core.backup_copies import copy_before, told

                progress(f"The data before this change are in {told(copy_before(engine, data_dir, f'remove-{addon}', passphrase))}.")
            with engine.connect() as connection:
                for revision in _steps(connection, known[addon], None):
                    progress(f"{addon}: {revision} taken back")
    finally:
        engine.dispose()
        _known.cache_clear()


def with_dependencies(addon: str, known: dict[str, Branch]) -> list[str]:
    """The addon after everything it needs, core first."""
    if addon not in known:
        raise Problem(f"There is no addon called {addon}; run.py addon list names them.")
    needed, waiting = {addon, "core"}, [addon]
    while waiting:
        for name in known[waiting.pop()].depends:
            if name in known and name not in needed:
                needed.add(name)
                waiting.append(name)
    return [name for name in known if name in needed and name != addon] + [addon]


def _current(connection: Connection) -> set[str]:
    if not inspect(connection).has_table("alembic_version"):
        return set()
    found = set(connection.execute(select(version_table.c.version_num)).scalars())
    connection.rollback()
    return found


def make_version_table(connection: Connection) -> None:
    # Alembic's own has 32 characters, too few for long names of addons.
    with connection.begin():
        version_table.create(connection, checkfirst=True)


class _BranchContext(MigrationContext):
    """Sees only one addon's row of ``alembic_version``."""

    def get_current_heads(self) -> tuple[str, ...]:
        addon = self.opts["addon"]
        return tuple(head for head in super().get_current_heads() if head.rsplit("_", 1)[0] == addon)


def _steps(connection: Connection, branch: Branch, target: str | None) -> Iterator[str]:
    """Run one revision after the other, each in a transaction of its own, and name each when it is done; None is down to nothing."""
    script = ScriptDirectory(str(HOME), version_locations=[str(branch.folder)])
    current = next((one for one in _current(connection) if one.rsplit("_", 1)[0] == branch.addon), None)
    try:
        steps = script._upgrade_revs(target, current) if target else script._downgrade_revs("base", current or "base")
    except (CommandError, SyntaxError, ImportError) as problem:
        raise MigrationFailed(f"The migrations of {branch.addon} in {branch.folder} cannot be read: {problem}") from problem
    from core.migrations import Operations as _register  # noqa: F401
    from core.migrations.writing import metadata

    for step in steps:
        with connection.begin():
            options = {"fn": lambda _heads, _context, step=step: [step], "script": script, "addon": branch.addon,
                       "target_metadata": metadata(), "transactional_ddl": True}  # fmt: skip
            context = _BranchContext(connection.dialect, connection, options, None)
            kept = _kept(connection)
            before = set(inspect(connection).get_table_names())
            try:
                with Operations.context(context):
                    context.run_migrations()
            except Problem:
                raise
            except Exception as problem:
                where = getattr(step.revision, "path", branch.folder)
                raise MigrationFailed(f"{where} failed, and nothing of it is left in the database: {_short(problem)}") from problem
            _give_back(connection, kept)
            _go_on_counting(connection, before)
        yield step.revision.revision
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
        connection.rollback()
        if broken:
            raise MigrationFailed(
                f"After the migrations of {branch.addon} these rows point at nothing: {broken}. Restore the copy made before."
            )


def _short(problem: Exception) -> str:
    return str(getattr(problem, "orig", None) or problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__


def _kept(connection: Connection) -> tuple[dict[str, int], dict[str, tuple[str, str]]]:
    """What SQLite loses when it rebuilds a table: the highest id ever given, and indexes made at run time for custom fields."""
    if connection.dialect.name != "sqlite":
        return {}, {}
    sequences = {}
    if connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").first():
        sequences = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")}
    made = connection.exec_driver_sql(
        "SELECT name, tbl_name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND name LIKE 'ix_custom_%'"
    )
    return sequences, {row[0]: (row[1], row[2]) for row in made}


def _give_back(connection: Connection, kept: tuple[dict[str, int], dict[str, tuple[str, str]]]) -> None:
    sequences, made = kept
    if connection.dialect.name != "sqlite":
        return
    tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    for name, highest in sequences.items():
        if (
            name in tables
            and connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (highest, name)).rowcount == 0
        ):
            connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, highest))
    there = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger')").scalars())
    for name, (table, statement) in made.items():
        if name not in there and table in tables:
            connection.exec_driver_sql(statement)


def run_branch(connection: Connection, branch: Branch, target: str | None = None) -> None:
    """Bring one branch to ``target``, or to its newest revision."""
    if target or branch.head:
        for _revision in _steps(connection, branch, target or branch.head):
            pass


def run_to(connection: Connection, heads: dict[str, str] | None) -> None:
    """Bring a database that nobody else uses to these revisions by addon; None: to the newest of all."""
    known = branches()
    make_version_table(connection)
    for addon, branch in known.items():
        target = branch.head if heads is None else heads.get(addon)
        if target:
            run_branch(connection, branch, target)


def _go_on_counting(connection: Connection, before: set[str]) -> None:
    """A table that was there once, whose records the journal remembers, gives none of its ids again."""
    from core.restore import set_last_id

    if "core_journal" not in before:
        return
    for table in set(inspect(connection).get_table_names()) - before:
        highest = connection.scalar(text("SELECT max(record_id) FROM core_journal WHERE model = :table"), {"table": table})
        if highest:
            set_last_id(connection, table, int(highest))
