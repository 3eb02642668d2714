"""Measures one house beside its floor: both served by gunicorn in one process, asked in turn by one client over HTTP."""

from __future__ import annotations

import http.client
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.bench.figures import processor
from tests.bench.house import House
from tests.bench.probe import look
from tests.bench.work import Work
from tests.core.installation import ROOT

TURNS, AT_ONCE, WARM = 40, 5, 4
PATIENCE = 15
"""Seconds for the turns of one page: where a side needs seconds for each, fewer turns tell as much."""
Way = Callable[[Path | None], float]
"""Does one piece of work, leaves its statements in the file where one is named, and gives the seconds."""


@dataclass
class Measured:
    """One piece of work as it was done."""

    work: str
    p50: float = 0.0
    p95: float = 0.0
    floor50: float = 0.0
    floor95: float = 0.0
    statements: int = 0
    sql: float = 0.0
    floor_sql: float = 0.0
    cpu: float = 0.0
    """Milliseconds of the processor that one page costs the server's process: what a busy machine does not change."""
    floor_cpu: float = 0.0
    scans: list[str] | None = None
    slowest: str = ""

    @property
    def times(self) -> float:
        """How many times the floor's time."""
        return self.p50 / self.floor50 if self.floor50 else 0.0

    @property
    def sql_times(self) -> float:
        """How many times the time of the floor's statements."""
        return self.sql / self.floor_sql if self.floor_sql else 0.0


class Asker:
    """One browser at one server, with its connection kept open until the block ends."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.port, self.headers = port, dict(headers or {})
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.connection.close()

    def ask(self, method: str, url: str, body: dict[str, Any] | None = None, probe: Path | None = None) -> tuple[int, str, float]:
        """(status, text, seconds)."""
        headers = {**self.headers, **({"X-Probe": str(probe)} if probe else {})}
        sent = urlencode(body) if body is not None else None
        if sent is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        while True:
            again = self.connection.sock is not None
            began = time.perf_counter()
            try:
                self.connection.request(method, url, sent, headers)
                answer = self.connection.getresponse()
                break
            except ConnectionError:
                # It is kept open for seconds only, and the other side's turn may take longer.
                self.connection.close()
                if not again:
                    raise
        text = answer.read()
        spent = time.perf_counter() - began
        if (cookie := answer.headers.get("Set-Cookie")) and "Cookie" not in self.headers:
            self.headers["Cookie"] = cookie.split(";")[0]
        return answer.status, text.decode("utf-8", "replace"), spent

    def must(self, method: str, url: str, body: dict[str, Any] | None = None, probe: Path | None = None) -> tuple[str, float]:
        """(text, seconds) of a request that has to succeed."""
        status, text, spent = self.ask(method, url, body, probe)
        assert status < 400, (status, url, re.sub(r"<[^>]+>|\s+", " ", text)[:800])
        return text, spent


class Running:
    """Both servers of one house, and who is signed in at ours."""

    def __init__(self, house: House, facts: dict[str, Any], port: int, floor_port: int, pids: list[int]) -> None:
        self.house, self.facts, self.port, self.floor_port, self.pids = house, facts, port, floor_port, pids
        names = [one["login"].removeprefix("bench_") for one in facts["people"]]
        self.people = dict(zip(names, facts["people"], strict=True))
        self.folder = Path(tempfile.mkdtemp(prefix="mortise-probe-"))

    def asker(self, person: str) -> Asker:
        """A browser of this person at the house."""
        one = self.people[person]
        return Asker(self.port, {"Cookie": one["cookie"], "X-CSRFToken": one["form"], "Accept-Language": "zh-CN"})

    def floor_asker(self, person: str) -> Asker:
        """The same at the floor."""
        made = Asker(self.floor_port)
        made.must("GET", f"/login?uid={self.people[person]['id']}")
        return made


@contextmanager
def running(house: House, facts: dict[str, Any]) -> Iterator[Running]:
    """Both servers, each in a new process, until the block ends."""
    with ExitStack() as stack:
        ports = [_free_port(), _free_port()]
        processes = []
        for port, app, more in (
            (ports[0], "tests.bench.served:create()", {}), (ports[1], "tests.bench.floor:app", {"MORTISE_FLOOR_URL": house.floor}),
        ):  # fmt: skip
            house.made.settings["MORTISE_PORT"] = str(port)
            environment = {**house.made.environment, **more}
            process = subprocess.Popen(_words(environment, app), cwd=ROOT, env=environment)
            stack.callback(_end, process)
            processes.append(process)
        for port, process in zip(ports, processes, strict=True):
            _wait(port, process)
        yield Running(house, facts, *ports, [process.pid for process in processes])


def _words(environment: dict[str, str], app: str) -> list[str]:
    """The house's own command line of gunicorn, for another application."""
    from core.config import load
    from core.serve import gunicorn_words

    words = gunicorn_words(
        load({name: value for name, value in environment.items() if name.startswith("MORTISE_") and "FLOOR" not in name})
    )
    return [app if word == "core.app:create_app()" else word for word in words]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            with Asker(port) as asker:
                asker.ask("GET", "/login/")
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < until, "a server did not start"
            time.sleep(0.05)


def measure(now: Running, work: Work, turns: int = TURNS, warm: int = WARM) -> Measured:
    """Times of both, taken in turn so that the machine's other work weighs on both; then the statements of one page of each."""
    with now.asker(work.person) as mine, now.floor_asker(work.person) as theirs:
        return _measured(now, work, turns, warm, _way(now, work, mine, False), _way(now, work, theirs, True))


def _measured(now: Running, work: Work, turns: int, warm: int, ours: Way, floor: Way) -> Measured:
    for _turn in range(warm):
        ours(None), floor(None)
    spent: tuple[list[float], list[float]] = [], []
    cpu = [0.0, 0.0]
    until = time.monotonic() + PATIENCE
    for turn in range(max(turns // AT_ONCE, 1)):
        if turn and time.monotonic() > until:
            break
        for place, (way, master) in enumerate(((floor, now.pids[1]), (ours, now.pids[0]))):
            before = _processor(master)
            spent[place].extend(way(None) for _once in range(min(turns, AT_ONCE)))
            cpu[place] += _processor(master) - before
    found = Measured(work.name)
    found.floor_cpu, found.cpu = (one * 1000 / len(spent[0]) for one in cpu)
    found.floor50, found.floor95 = _points(spent[0])
    found.p50, found.p95 = _points(spent[1])
    probed = []
    url = now.house.made.url or f"sqlite:///{now.house.made.data / 'mortise.db'}"
    for way, address in ((ours, url), (floor, now.house.floor)):
        place = now.folder / f"{time.monotonic_ns()}"
        way(place)
        probed.append(look(place, address, not work.writes))
    mine, theirs = probed
    found.statements, found.sql, found.floor_sql, found.scans, found.slowest = mine.count, mine.ms, theirs.ms, mine.scans, mine.slowest
    return found


def _processor(master: int) -> float:
    """Seconds of the processor that the workers of a gunicorn have had so far; 0 where the system does not tell (macOS)."""
    total = 0.0
    for place in Path("/proc").glob(f"{master}/task/*/children"):
        for worker in place.read_text().split():
            total += processor(int(worker))
    return total


def _points(seconds: list[float]) -> tuple[float, float]:
    """(the middle, the slowest but one in twenty) in milliseconds."""
    ordered = sorted(seconds)
    return statistics.median(ordered) * 1000, ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)] * 1000


def _way(now: Running, work: Work, asker: Asker, floor: bool) -> Way:
    """What is done again and again; gives the seconds of what is measured."""
    url = work.floor if floor else work.ours

    def read(probe: Path | None) -> float:
        return asker.must("GET", url, probe=probe)[1]

    def write(probe: Path | None) -> float:
        number = time.monotonic_ns()
        phone = f"13{number % 10**9:09d}"
        if floor:
            person = now.people[work.person]["id"]
            sent = {
                "name": f"北京测试{number % 10**6}科技有限公司",
                "category": now.facts["choices"]["category"][0],
                "phones": phone,
                "owner_id": person,
            }
            return asker.must("POST", url, sent, probe)[1]
        sent = _form(asker.must("GET", url)[0])
        sent["phones"] = phone
        if work.writes == "create":
            sent |= {"name": f"北京测试{number % 10**6}科技有限公司", "category": now.facts["choices"]["category"][0]}
        status, text, spent = asker.ask("POST", url, sent, probe)
        assert status == 302, (status, re.sub(r"<[^>]+>|\s+", " ", text)[:1500])
        return spent

    return write if work.writes else read


def _form(text: str) -> dict[str, str]:
    """The fields of the record's form, as a browser would send them."""
    from html import unescape

    piece = text[text.index('id="record-form"') :]
    piece = piece[: piece.index("</form>")]
    found = {}
    for tag in re.findall(r"<input\b[^>]*>", piece):
        said = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "name" in said and (said.get("type") not in ("checkbox", "radio", "file") or " checked" in tag):
            found[said["name"]] = unescape(said.get("value", ""))
    for name, inner in re.findall(r'<select\b[^>]*name="([^"]+)"[^>]*>(.*?)</select>', piece, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)"[^>]*selected', inner)
        found[name] = unescape(chosen[1]) if chosen else ""
    for name, inner in re.findall(r'<textarea\b[^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', piece, re.DOTALL):
        found[name] = unescape(inner).strip()
    return found
