"""The houses that are measured: one installation a database and number of rows, with thirty addons on, built once and kept.

They lie in the folder MORTISE_BENCH_DIR, else under the system's folder for passing files, so that a second run begins at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from tests import servers
from tests.core import generated
from tests.core.installation import ROOT, Installation

ADDONS = 30


@dataclass
class House:
    """A built installation beside the floor's database."""

    kind: str
    count: int
    made: Installation
    floor: str
    """Address of the floor's database."""
    ids: dict[str, list[Any]] = field(default_factory=dict)
    """People and departments in the order of `rows`."""

    def python(self, module: str, *words: Any) -> str:
        """Run a module of ours inside this installation; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, env=self.made.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


def place() -> Path:
    """The folder that keeps what was built."""
    found = Path(os.environ.get("MORTISE_BENCH_DIR") or Path(tempfile.gettempdir()) / "mortise-bench")
    found.mkdir(parents=True, exist_ok=True)
    return found


def house(kind: str, count: int, folder: Path, databases: Any, addons: int = ADDONS) -> House:
    """The house of ``count`` clients on ``sqlite`` or ``postgresql``, in ``folder``; built when it is not there or half built.

    ``databases(name, fresh)`` gives the address of a PostgreSQL database, empty when ``fresh``.
    """
    home = folder / f"{kind}-{count}-v{VERSION}"
    done = home / "built.json"
    fresh = not done.exists()
    if fresh and home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    name = home.name.replace("-", "_")
    if kind == "postgresql":
        url, floor = databases(f"h_{name}", fresh), databases(f"f_{name}", fresh)
    else:
        url, floor = "", f"sqlite:///{home / 'floor.db'}"
    made = Installation(home, url)
    made.settings = {
        "MORTISE_WORKERS": "1", "MORTISE_THREADS": "8", "MORTISE_ADMIN_PASSWORD": "correct horse 1", "MORTISE_FIRM_NAME": "Bench",
        "MORTISE_LOG_LEVEL": "error",
    }  # fmt: skip
    if fresh:
        for one in sorted(_addons(folder).iterdir())[:addons]:
            shutil.copytree(one, made.addons / one.name, ignore=shutil.ignore_patterns("__pycache__"))
    # What the models have learnt since it was built, indexes above all, comes by migrations.
    subprocess.run([sys.executable, "run.py", "migrate"], cwd=ROOT, env=made.environment, check=True, capture_output=True)
    found = House(kind, count, made, floor)
    if fresh:
        say(f"building {count:,} clients on {kind} …")
        begun = time.perf_counter()
        found.ids = json.loads(found.python("tests.bench.load", count, floor).splitlines()[-1])
        done.write_text(json.dumps(found.ids))
        say(f"built in {time.perf_counter() - begun:.0f} s")
    found.ids = json.loads(done.read_text())
    return found


VERSION = 2
"""Of what is built: raise it when `rows`, `load` or `floor_tables` make something else."""


def _addons(folder: Path) -> Path:
    """Thirty made addons with their migrations, kept beside the houses."""
    kept = folder / f"addons-{hashlib.sha256(Path(generated.__file__).read_bytes()).hexdigest()[:8]}"
    if not kept.exists():
        shutil.copytree(generated.generated(ADDONS), kept.with_suffix(".part"), ignore=shutil.ignore_patterns("__pycache__", "*.toml~"))
        kept.with_suffix(".part").rename(kept)
    return kept


def kept_databases(folder: Path) -> Any:
    """Gives addresses of databases by name, on a server of our own whose data stays in ``folder``."""
    url = make_url(servers.kept_postgres(folder / "postgresql"))

    def database(name: str, fresh: bool) -> str:
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True) as connection:
            if fresh:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return url.set(database=name).render_as_string(hide_password=False)

    return database


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
