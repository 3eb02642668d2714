"""Commands that look and change nothing: check, doctor, bench, version."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.cli import say

MOST_LINES = 5
Finding = tuple[bool, str, str]
"""(fine, what was looked at, in words what was found)"""


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """check, doctor, bench, version"""
    check = add(
        "check",
        "does the code hold together? addons, hooks, views, models and migrations; stops at what is broken and names it",
        "  run.py check          what a developer runs before a commit, and an operator after new code\n"
        "  run.py check journal  has anything been altered, taken out of or put into the journal? ends with 1 and names it",
    )
    check.add_argument("what", nargs="?", choices=["journal"], help="the journal instead of the code")
    check.add_argument("--head", default="", metavar="NUMBER:HASH", help="with journal: what an earlier check has told, to be there still")
    check.add_argument(
        "--no-tables", action="store_true", help="leave out whether migrations make what the models ask for (a second or two)"
    )
    check.set_defaults(run=_check)
    add(
        "doctor",
        "is this installation well? python, database, tables, Redis, disk, fonts, clock, folders, addons",
        "  run.py doctor         ends with 1 when something needs attention",
    ).set_defaults(run=_doctor)
    bench = add(
        "bench",
        "how quick is this machine with this code? pages of a million clients against their floor, start, memory; in data of its own",
        "  run.py bench                                     all; needs the packages for tests: make bench installs them first\n"
        "  run.py bench --rows 100000 --database sqlite     fewer clients, one database\n"
        "  run.py bench --only search --runs 1              some rows, once\n"
        "  run.py bench --only start                        start, memory and statements alone",
    )
    bench.add_argument("--rows", type=int, default=1_000_000, help="how many clients (1,000,000)")
    bench.add_argument("--database", choices=["postgresql", "sqlite"], action="append", help="one of them; both when left out")
    bench.add_argument("--only", default="", help="a piece of the names of the rows to measure")
    bench.add_argument("--runs", type=int, default=3, help="runs in new processes, of which the worst is told (3)")
    bench.add_argument("--turns", type=int, default=40, help="times that each page is asked in a run (40)")
    bench.add_argument("--verbose", action="store_true", help="name the slowest statement of each page")
    bench.add_argument("--json", default="", metavar="FILE", help="write the figures there, too")
    bench.set_defaults(run=_bench)
    add("version", "which version this is").set_defaults(run=_version)


def version() -> str:
    """The version of this Mortise."""
    from core.config import ROOT

    return (ROOT / "VERSION").read_text().strip()


def _version(_chosen: Any) -> int:
    print(f"Mortise {version()} on Python {platform.python_version()}")
    return 0


def _bench(chosen: Any) -> int:
    from core.cli import Stop
    from core.config import ROOT

    if not (ROOT / "tests" / "bench").is_dir():
        raise Stop("The tests are not in this installation; measure where the whole repository is.")
    status = 0
    if chosen.only in ("", "start"):
        status = subprocess.run([sys.executable, "-m", "tests.bench.figures"], cwd=ROOT).returncode
    if chosen.only != "start":
        words = [f"--{name}={getattr(chosen, name)}" for name in ("rows", "only", "runs", "turns", "json")]
        words += [f"--database={one}" for one in chosen.database or []] + (["--verbose"] if chosen.verbose else [])
        status = subprocess.run([sys.executable, "-m", "tests.bench.pages", *words], cwd=ROOT).returncode or status
    return status


def _check_journal(head: str) -> int:
    from core.cli import Stop
    from core.cli.house import house
    from core.journal_keep import check

    number, _colon, chain = head.partition(":")
    if head and not (number.isascii() and number.isdigit() and len(chain) == 64):
        raise Stop("--head takes what an earlier check has told, like 4711:9f86d0… (64 hexadecimal digits).", 2)
    with house():
        found = check((int(number), chain) if head else None)
    for sentence in found.faults:
        print(f"  ✗ {sentence}")
    told = f"{found.rows:,} rows, {found.removed:,} taken out, {found.erased:,} emptied, {found.unsealed:,} not sealed yet"
    print(f"{'The journal is whole' if found.fine else 'The journal was tampered with'}: {told}.")
    if found.head[0]:
        print(f"Head: {found.head[0]}:{found.head[1]}")
    return 0 if found.fine else 1


def _check(chosen: Any) -> int:
    if chosen.what == "journal":
        return _check_journal(chosen.head)
    from core.addons import addons, broken
    from core.cli.house import connected
    from core.migrate import status
    from core.revisions import differences

    connected()
    if found := broken():
        for name, sentence in found.items():
            say(f"Addon {name} is broken. {sentence}")
        return 1
    problems, state = [] if chosen.no_tables else differences(), status()
    by_addon: dict[str, list[str]] = {}
    for sentence in problems:
        by_addon.setdefault(sentence.split(":", 1)[0], []).append(sentence)
    for addon, sentences in by_addon.items():
        for sentence in sentences[:MOST_LINES]:
            say(sentence)
        say(
            (f"{addon}: and {len(sentences) - MOST_LINES} more. " if len(sentences) > MOST_LINES else "")
            + f"Type: run.py migrate --make {addon}"
        )
    if state.sentence:
        say(f"Note: {state.sentence}")
    if problems or state.missing_folders or state.ahead:
        return 1
    print(f"{len(addons())} addons, all in order.")
    return 0


def _doctor(_chosen: Any) -> int:
    findings = [*_findings()]
    for fine, what, words in findings:
        print(f"{'ok ' if fine else '!! '} {what:12} {words}")
    bad = sum(not fine for fine, _what, _words in findings)
    say("Everything is well." if not bad else f"{bad} thing{'s' if bad > 1 else ''} above need{'' if bad > 1 else 's'} attention.")
    return 1 if bad else 0


def _findings() -> Iterator[Finding]:
    from core.cli.house import connected
    from core.config import load

    yield sys.version_info >= (3, 11), "python", f"{platform.python_version()} in {sys.prefix}, on {platform.system()} {platform.machine()}"
    config = load()
    yield from _folder(config.data)
    try:
        connected(config)
        yield _database(config)
    except Exception as problem:
        yield False, "database", str(getattr(problem, "orig", problem)).strip().splitlines()[0]
        return
    yield _schema()
    yield from _addons()
    yield _jobs()
    yield _redis(config.redis_url)
    yield _fonts()
    yield _clock()


def _folder(data: Path) -> Iterator[Finding]:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    open_to = stat.S_IMODE(data.stat().st_mode) & 0o077
    writable = os.access(data, os.W_OK | os.X_OK)
    words = f"{data}" + ("" if writable else " cannot be written") + (f" may be read by others; type: chmod 700 {data}" if open_to else "")
    yield writable and not open_to, "data folder", words
    for name in ("secret-key", "first-password"):
        place = data / name
        if place.exists() and stat.S_IMODE(place.stat().st_mode) & 0o077:
            yield False, name, f"others may read it; type: chmod 600 {place}"
    free = shutil.disk_usage(data).free
    yield free > 2**30, "disk", f"{free / 2**30:.1f} GB free" + ("" if free > 2**30 else "; less than 1 GB is too little")


def _database(config: Any) -> Finding:
    from sqlalchemy import text

    from core.db import db

    assert db.engine is not None
    with db.engine.connect().execution_options(mortise_read_only=True) as connection:
        if db.is_sqlite:
            kind = f"SQLite {connection.scalar(text('SELECT sqlite_version()'))}"
            damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            return (
                damage == "ok",
                "database",
                f"{kind}, {db.engine.url.database}" + ("" if damage == "ok" else f": damaged ({damage}); restore a backup"),
            )
        kind = f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            return False, "database", f"{kind}: its encoding is {encoding}; create the database with ENCODING 'UTF8'"
        tool = "" if shutil.which("pg_dump") else "; pg_dump is not here, so copies before a migration are written as backups"
        return True, "database", f"{kind}, {db.engine.url.host}/{db.engine.url.database}{tool}"


def _schema() -> Finding:
    from sqlalchemy.exc import DBAPIError

    from core.migrate import status

    try:
        found = status()
    except DBAPIError as problem:
        return False, "tables", str(problem.orig).strip().splitlines()[0]
    return found.ok and not found.missing_folders, "tables", found.sentence or "up to date"


def _addons() -> Iterator[Finding]:
    from core.addons import addons, broken

    bad = broken()
    yield not bad, "addons", f"{len(addons())} on disk" + (f", {len(bad)} broken" if bad else "")
    for name, sentence in bad.items():
        yield False, name, sentence


def _jobs() -> Finding:
    from sqlalchemy.exc import DBAPIError

    from core.db import db
    from core.job_runner import job_health

    try:
        found = job_health()
    except DBAPIError:
        return False, "jobs", "their tables are not there yet; type: run.py migrate"
    finally:
        db.remove()
    words = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in found.items())
    return bool(found.get("ok", True)), "jobs", words


def _redis(url: str) -> Finding:
    if not url:
        return True, "redis", "not used; one job process does all jobs"
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as connection:
            return True, "redis", f"version {connection.info('server')['redis_version']}"
    except redis.RedisError as problem:
        return False, "redis", f"does not answer: {problem}"


def _fonts() -> Finding:
    if sys.platform == "darwin":
        return True, "fonts", "the system has Chinese fonts"
    listing = shutil.which("fc-list")
    found = subprocess.run([listing, ":lang=zh-cn", "family"], capture_output=True, text=True).stdout.strip() if listing else ""
    if found:
        return True, "fonts", found.splitlines()[0]
    return False, "fonts", "no font with Chinese characters, which PDF files need; type: sudo apt-get install fontconfig fonts-noto-cjk"


def _clock() -> Finding:
    from sqlalchemy import text

    from core.db import db

    assert db.engine is not None
    here = datetime.now(UTC)
    statement = "SELECT strftime('%s', 'now')" if db.is_sqlite else "SELECT extract(epoch FROM clock_timestamp())"
    with db.engine.connect().execution_options(mortise_read_only=True) as connection:
        there = float(connection.scalar(text(statement)))
    apart = abs(there - here.timestamp())
    if here.year < 2026:
        return False, "clock", f"it says {here:%Y-%m-%d %H:%M} UTC, which cannot be; set the system's clock"
    return (
        apart < 5,
        "clock",
        f"{here:%Y-%m-%d %H:%M:%S} UTC" + ("" if apart < 5 else f"; the database's clock is {apart:.0f} seconds apart: synchronise both"),
    )
