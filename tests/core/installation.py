"""A whole installation for tests: a data folder, a database, addons of its own, and `run.py` as people type it.

Commands run in forks of one process that has read the libraries and nothing else, which spares two seconds a command;
`start` runs the real program.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests import servers

ROOT = Path(__file__).resolve().parents[2]


WARM = """
import json, os, sys, traceback
import core.app, core.backup, core.cli, core.cli.house, core.migrate, core.migrations.writing, core.restore, core.translating
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in enumerate(("in", "out", "err")):
            place = os.open(asked[name], os.O_RDONLY if number == 0 else os.O_WRONLY)
            os.dup2(place, number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        sys.stdin = open(0)
        status = 70
        try:
            status = exec(asked["code"], {"__name__": "__main__"}) or 0 if "code" in asked else core.cli.main(asked["words"])
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    _pid, status, used = os.wait4(child, 0)
    print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, flush=True)
"""
_warm: list[subprocess.Popen[str]] = []


def _ask_warm(asked: dict[str, Any]) -> tuple[int, float]:
    if not _warm or _warm[0].poll() is not None:
        _warm[:] = [subprocess.Popen([sys.executable, "-c", WARM], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)]
        atexit.register(_warm[0].terminate)
    assert _warm[0].stdin and _warm[0].stdout
    _warm[0].stdin.write(json.dumps(asked) + "\n")
    _warm[0].stdin.flush()
    status, processor = _warm[0].stdout.readline().split()
    return int(status), float(processor)


@dataclass
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str
    processor: float
    """Seconds of the processor that it had: what other work on the machine does not change."""

    @property
    def text(self) -> str:
        """All that a person saw."""
        return self.out + self.err


@dataclass
class Installation:
    """One installation; everything it writes lies in ``folder``."""

    folder: Path
    url: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def addons(self) -> Path:
        """Where its own addons lie."""
        place = self.folder / "addons"
        place.mkdir(parents=True, exist_ok=True)
        return place

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are started with."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MORTISE_", "JOURNAL_STREAM"))}
        return {
            **kept, "MORTISE_DATA_DIR": str(self.data), "MORTISE_ADDON_FOLDERS": str(self.addons), "LANG": "C.UTF-8",
            **({"MORTISE_DATABASE_URL": self.url} if self.url else {}), **self.settings,
        }  # fmt: skip

    def start(self, *words: Any, **more: Any) -> subprocess.Popen[str]:
        """Start a command and do not wait for it."""
        line = [sys.executable, str(ROOT / "run.py"), *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(line, cwd=self.folder, env=self.environment, text=True, **pipes)

    def run(self, *words: Any, given: str | None = None) -> Done:
        """Run a command to its end."""
        done = self._forked({"words": [str(word) for word in words]}, given)
        assert "Traceback" not in done.err, done.err
        return done

    def must(self, *words: Any, given: str | None = None) -> str:
        """Run a command that has to succeed; returns what it said."""
        done = self.run(*words, given=given)
        assert done.status == 0, done.text
        return done.text

    def python(self, code: str) -> str:
        """Run code inside this installation; returns what it printed."""
        done = self._forked({"words": [], "code": code}, None)
        assert done.status == 0, done.err
        return done.out

    def _forked(self, asked: dict[str, Any], given: str | None) -> Done:
        with tempfile.TemporaryDirectory(prefix="mortise-command-") as folder:
            files = {name: Path(folder) / name for name in ("in", "out", "err")}
            for name, path in files.items():
                path.write_text(given or "" if name == "in" else "")
            status, processor = _ask_warm(
                {**asked, **{name: str(path) for name, path in files.items()}, "environment": self.environment, "folder": str(self.folder)}
            )
            return Done(status, files["out"].read_text(), files["err"].read_text(), processor)

    @contextmanager
    def database(self) -> Iterator[sa.Connection]:
        """The database behind the application's back; what is written is kept."""
        engine = sa.create_engine(self.url or f"sqlite:///{self.data / 'mortise.db'}", poolclass=sa.NullPool)
        with engine.begin() as connection:
            yield connection

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with self.database() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def tables(self) -> set[str]:
        """Names of the tables there are."""
        with self.database() as connection:
            return set(sa.inspect(connection).get_table_names())

    def addon(self, name: str, models: str, depends: str = "") -> Path:
        """Write an addon; its tables come by ``must("migrate", "--make", name)``."""
        place = self.addons / name
        place.mkdir(parents=True, exist_ok=True)
        depends = f"depends = [{depends}]\n" if depends else ""
        (place / "addon.toml").write_text(f'title = "{name}"\nsummary = "For a test"\nversion = "1.0"\nmenu = "Test"\n{depends}')
        (place / "models.py").write_text(f'"""For a test."""\n\n{models}')
        return place


def new(kind: str, folder: Path, name: str) -> Installation:
    """An installation whose database is empty: on ``sqlite``, or on ``postgresql``."""
    folder.mkdir(parents=True, exist_ok=True)
    return Installation(folder, servers.fresh_database(name) if kind == "postgresql" else "")
