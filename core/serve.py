"""`run.py serve`: one command that brings the database up to date, runs gunicorn and one job process, and looks after both."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any
from urllib.error import URLError

from core.config import ROOT, Config
from core.restore_request import KEEPER, is_asked, settle

GRACE_SECONDS = 30
"""How long the server may finish what it is doing when it is told to stop."""
CALM_SECONDS = 20
"""A process that ran that long before it died is started again at once; one that dies sooner waits longer each time."""


class Child:
    """A process that is kept running."""

    def __init__(self, name: str, words: list[str], environment: dict[str, str]) -> None:
        self.name, self.words, self.environment = name, words, environment
        self.process: subprocess.Popen[bytes] | None = None
        self.started, self.falls, self.wait_until = 0.0, 0, 0.0

    def start(self) -> None:
        """Start it, or start it again."""
        self.started = time.monotonic()
        # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop it in order.
        self.process = subprocess.Popen(self.words, cwd=ROOT, env=self.environment, start_new_session=True, preexec_fn=_die_with_parent)

    def look(self) -> int | None:
        """Its exit status when it has just ended, else None."""
        return self.process.poll() if self.process else None

    def fell(self) -> float:
        """It ended by itself: the seconds to wait until it is started again."""
        self.falls = 0 if time.monotonic() - self.started > CALM_SECONDS else self.falls + 1
        pause = min(2.0**self.falls - 1, 60.0)
        self.process, self.wait_until = None, time.monotonic() + pause
        return pause

    def tell(self, number: int) -> None:
        """Send it a signal."""
        if self.process and self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def stop(self, seconds: float) -> None:
        """Let it finish, then end it."""
        self.tell(signal.SIGTERM)
        if self.process:
            try:
                self.process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def _die_with_parent() -> None:
    """On Linux the child is told to stop when we are killed; elsewhere it has to be stopped by hand then."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def environment(config: Config) -> dict[str, str]:
    """What a child process needs to read the same settings as we have."""
    given = dict(os.environ)
    for name in ("host", "port", "workers", "threads"):
        given[f"MORTISE_{name.upper()}"] = str(config[name])
    if config.strict:
        given["MORTISE_STRICT"] = "yes"
    given["PYTHONUNBUFFERED"] = "1"
    given[KEEPER] = str(os.getpid())
    return given


def gunicorn_words(config: Config) -> list[str]:
    """The command line of the web server."""
    options = {
        "worker-class": "gthread", "workers": config.workers, "threads": config.threads, "bind": f"{_bracketed(config.host)}:{config.port}",
        "timeout": 120, "graceful-timeout": GRACE_SECONDS, "keep-alive": 15, "log-level": "warning",
        "forwarded-allow-ips": "*" if config.proxies else "127.0.0.1,::1",
    }  # fmt: skip
    if os.access("/dev/shm", os.W_OK):  # noqa: S108 - the workers' heartbeats, not data
        options["worker-tmp-dir"] = "/dev/shm"  # noqa: S108
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "gunicorn", "core.app:create_app()", "--no-control-socket", *words]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def address(config: Config) -> str:
    """What to type into the browser on this machine."""
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::", "") else config.host  # noqa: S104 - compared, not listened on
    return f"http://{_bracketed(host)}:{config.port}"


def serve(config: Config, *, jobs: bool = True, migrate: bool = True, say: Callable[[str], Any] | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    say = say or (lambda line: print(line, flush=True))
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    _port_is_free(config)
    os.umask(0o077)
    with running(config) as lock:
        settle(config)
        given = environment(config)
        password_was_there = config.first_password_file.exists()
        if migrate:
            if _migrate(config, given):
                say("The database could not be brought up to date, so nothing was started.")
                return 1
        children = [Child("server", gunicorn_words(config), given)]
        if jobs:
            children.append(Child("job process", [sys.executable, str(ROOT / "run.py"), "jobs"], given))
            if config.redis_url:
                # With Redis the job process only hands out numbers; somebody has to take them.
                children.append(Child("rq worker", [sys.executable, str(ROOT / "run.py"), "jobs", "--worker"], given))

        def stand_still() -> None:
            _restore(config, given, lock, say)

        keeper = _Keeper(children, say, lambda: is_asked(config), stand_still)
        return keeper.run(lambda: _greet(config, password_was_there, say))


def _migrate(config: Config, given: dict[str, str]) -> int:
    """Bring the database up to date, and do what a restore that was interrupted has left to do; returns the exit status."""
    words = [sys.executable, str(ROOT / "run.py"), "migrate", *(["--strict"] if config.strict else [])]
    return subprocess.run(words, cwd=ROOT, env=given, stdout=subprocess.DEVNULL).returncode


@contextmanager
def running(config: Config) -> Iterator[IO[str]]:
    """Says to others that this data folder is in use: several processes may share it, `run.py restore` wants it alone."""
    from core.cli import Stop

    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.data / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop("A backup is being restored into this data folder; start again when that is done.") from None
        yield lock


def _restore(config: Config, given: dict[str, str], lock: IO[str], say: Callable[[str], Any]) -> None:
    """Nothing of ours runs: work the request, which wants the data folder alone, in a process of its own."""
    from core.standstill import standing_still

    say("Server and jobs stand still: a backup is being restored, as was asked for in the browser.")
    fcntl.flock(lock, fcntl.LOCK_UN)
    try:
        with standing_still(config):
            words = [sys.executable, str(ROOT / "run.py"), "restore", "--asked"]
            child = subprocess.Popen(words, cwd=ROOT, env=given, start_new_session=True, preexec_fn=_die_with_parent)
            status = child.wait()
            if status < 0:
                # It was killed: what it left half built goes, what has to follow a swap follows, before anybody looks at the data.
                _migrate(config, given)
    finally:
        fcntl.flock(lock, fcntl.LOCK_SH)
        settle(config)
    say("The backup was restored." if status == 0 else "The restore has failed; the page of backups says why.")


class _Keeper:
    """Starts the children, starts again what falls, hands signals on, and stops all in order."""

    def __init__(
        self, children: list[Child], say: Callable[[str], Any], asked_still: Callable[[], bool], stand_still: Callable[[], None]
    ) -> None:  # fmt: skip
        self.children, self.say = children, say
        self.asked_still, self.stand_still = asked_still, stand_still
        self.asked: list[int] = []

    def run(self, greet: Callable[[], bool]) -> int:
        """Until SIGTERM or Ctrl-C; SIGHUP reloads code and settings without refusing anybody."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        status, greeted = 0, False
        try:
            for one in self.children:
                one.start()
            while True:
                if self.asked:
                    number = self.asked.pop(0)
                    if number != signal.SIGHUP:
                        break
                    self._reload()
                if self.asked_still():
                    self._stop()
                    self.stand_still()
                    greeted = False
                    for one in self.children:
                        one.start()
                if not greeted:
                    greeted = greet()
                if (ended := self._look()) is not None:
                    status = ended
                    break
                time.sleep(0.05 if not greeted else 0.5)
        finally:
            self._stop()
        return status

    def _stop(self) -> None:
        for one in self.children:
            one.tell(signal.SIGTERM)
        for one in self.children:
            one.stop(GRACE_SECONDS + 5)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked.append(number)

    def _reload(self) -> None:
        for one in self.children:
            one.tell(signal.SIGHUP if one.name == "server" else signal.SIGTERM)

    def _look(self) -> int | None:
        """Start again what fell; the exit status when the server itself ended before it ever answered."""
        for one in self.children:
            if one.process is None and time.monotonic() >= one.wait_until:
                one.start()
            elif one.process is not None and (status := one.look()) is not None:
                if one.name == "server" and time.monotonic() - one.started < CALM_SECONDS:
                    self.say("The server has ended by itself; the lines above say why.")
                    return status or 1
                pause = one.fell()
                self.say(f"The {one.name} has ended (status {status}); it is started again{f' in {pause:.0f} seconds' if pause else ''}.")
        return None


def _port_is_free(config: Config) -> None:
    from core.cli import Stop

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host.strip("[]"), config.port))
        except OSError as problem:
            raise Stop(
                f"Cannot listen on {config.host}:{config.port}: {problem.strerror or problem}."
                " Choose another with MORTISE_PORT, like: MORTISE_PORT=8001 make run"
            ) from None


def _greet(config: Config, password_was_there: bool, say: Callable[[str], Any]) -> bool:
    """Once the server answers, say where it is and who signs in; True when it has been said."""
    try:
        with urllib.request.urlopen(f"{address(config)}/healthz", timeout=1):  # noqa: S310 - our own address
            pass
    except (URLError, OSError, ValueError):
        return False
    say(f"\n  Mortise is ready:  {address(config)}")
    place: Path = config.first_password_file
    if place.exists():
        say(f"  Sign in as:        {config.admin_name}")
        # A service's output is kept in the system's log, where no password may stand.
        if password_was_there or os.environ.get("JOURNAL_STREAM"):
            say(f"  Password:          in {place} until the first sign-in")
        else:
            say(f"  Password:          {place.read_text().strip()}   (also in {place} until the first sign-in)")
    say("  Stop with Ctrl-C.\n")
    return True
