"""Measures start, restart, memory and statements of a server, with three addons and with thirty of five models: `run.py bench`."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.core import generated
from tests.core.installation import ROOT, Installation

PASSWORD = "correct horse 1"
REQUESTS = 200
TWO_FILES, LAW = ROOT / "tests" / "core" / "two_files", ROOT / "tests" / "core" / "law"
STATEMENTS = """
import json
from core.config import load
from core.app import create_app
from core.testing import Browser, statements
app = create_app(load(log_level="error"))
app.test_client_class = Browser
client = app.test_client()
token = client.post("/api/v1/security/login", json={{"username": "admin", "password": {password!r}}}).json["access_token"]
client.headers = {{"Authorization": f"Bearer {{token}}"}}
found = {{}}
for name, url in {urls!r}.items():
    assert client.get(url).status_code == 200, url
    with app.app_context(), statements() as ran:
        client.get(url)
    found[name] = len(ran)
print(json.dumps(found))
"""


@dataclass
class Figures:
    """What was measured of one installation."""

    addons: int = 0
    models: int = 0
    start: float = 0.0
    """Seconds from the command line `run.py serve` on an up-to-date database to the first answer."""
    restart: float = 0.0
    """Seconds from starting the server process alone to its first answer."""
    restart_cpu: float = 0.0
    """Seconds of the processor in it: what other work on the machine does not change; 0 where the system does not tell (macOS)."""
    fresh_uss: float = 0.0
    fresh_rss: float = 0.0
    uss: float = 0.0
    """Megabytes of the worker's own memory after the requests."""
    rss: float = 0.0
    first_page: float = 0.0
    """Seconds of the very first list of the process."""
    page: float = 0.0
    """Milliseconds of a list, in the middle."""
    statements: dict[str, int] = field(default_factory=dict)


def installation(folder: Path, count: int) -> Installation:
    """An installation with three addons of the house, or with ``count`` made ones beside crm_client."""
    made = Installation(folder)
    if count <= 3:
        for place in (TWO_FILES / "crm_tag", LAW / "law_case"):
            shutil.copytree(place, made.addons / place.name, ignore=shutil.ignore_patterns("__pycache__"))
        generated.make_migrations(made, ["crm_tag", "law_case"])
    else:
        for place in generated.generated(count).iterdir():
            if place.is_dir():
                shutil.copytree(place, made.addons / place.name, ignore=shutil.ignore_patterns("__pycache__"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made.settings = {
        "MORTISE_PORT": str(port), "MORTISE_WORKERS": "1", "MORTISE_THREADS": "8", "MORTISE_ADMIN_PASSWORD": PASSWORD,
        "MORTISE_FIRM_NAME": "Bench", "MORTISE_LOG_LEVEL": "error",
    }  # fmt: skip
    made.must("migrate")
    return made


def measure(count: int, folder: Path) -> Figures:
    """The figures with ``count`` addons, in an installation made in ``folder``."""
    made = installation(folder, count)
    found, port = Figures(), int(made.settings["MORTISE_PORT"])
    with _running([sys.executable, str(ROOT / "run.py"), "serve"], made, port) as (_pid, seconds):
        found.start = seconds
    with _running(_server(made), made, port) as (pid, seconds):
        found.restart = seconds
        worker = _worker_of(pid)
        found.restart_cpu = processor(pid) + processor(worker)
        found.fresh_uss, found.fresh_rss = memory(worker)
        token = _ask(port, "POST", "/api/v1/security/login", {"username": "admin", "password": PASSWORD})["access_token"]
        tables = sorted(
            path.split("/")[3] for path in _ask(port, "GET", "/api/v1/_openapi", token=token)["paths"] if path.endswith("/_info")
        )
        own = [table for table in tables if not table.startswith(("core_", "ab_"))]
        found.models, found.addons = len(own), len(list(made.addons.iterdir())) + 1
        found.first_page, found.page = _mixed(port, token, own)
        found.uss, found.rss = memory(worker)
    urls = {"list": "/crm_client/", "form": "/crm_client/1", "API list": "/api/v1/crm_client/", "API record": "/api/v1/crm_client/1"}
    found.statements = json.loads(made.python(STATEMENTS.format(urls=urls, password=PASSWORD)).splitlines()[-1])
    return found


def _server(made: Installation) -> list[str]:
    from core.config import load
    from core.serve import gunicorn_words

    return gunicorn_words(load({name: value for name, value in made.environment.items() if name.startswith("MORTISE_")}))


@contextmanager
def _running(line: list[str], made: Installation, port: int) -> Iterator[tuple[int, float]]:
    started = time.perf_counter()
    process = subprocess.Popen(line, cwd=ROOT, env=made.environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                _ask(port, "GET", "/login/")
                break
            except OSError:
                assert process.poll() is None and time.perf_counter() - started < 120, "the server did not start"
                time.sleep(0.02)
        yield process.pid, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(60)


def _ask(port: int, method: str, url: str, body: object = None, token: str = "") -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    connection.request(method, url, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status < 400, (url, answer.status, text[:300])
    return json.loads(text) if text[:1] == b"{" else {}


def _mixed(port: int, token: str, tables: list[str]) -> tuple[float, float]:
    """Two hundred requests of many kinds over all models; (seconds of the first list, milliseconds of one in the middle)."""
    client, spent = "/api/v1/crm_client/", []
    for number in range(20):
        _ask(port, "POST", client, {"name": f"李 Client {number}", "phones": f"010 8266 {number:04d}"}, token)
    for number in range(REQUESTS - 20):
        table = tables[number % len(tables)]
        urls = [f"/{table}/", f"/api/v1/{table}/", f"/{table}/new", "/crm_client/1", "/crm_client/?q=li", "/", f"/{table}/_export"]
        url = urls[number % len(urls)]
        started = time.perf_counter()
        _ask(port, "GET", url, token=token)
        if url.endswith(f"{table}/") and not url.startswith("/api"):
            spent.append(time.perf_counter() - started)
    _ask(port, "GET", "/api/v1/_openapi", token=token)
    return spent[0], sorted(spent)[len(spent) // 2] * 1000


def _worker_of(master: int) -> int:
    """The one worker of a gunicorn."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(master)], capture_output=True, text=True, check=True).stdout.split()
    assert len(listed) == 1, listed
    return int(listed[0])


def processor(pid: int) -> float:
    """Seconds of the processor that a process has had so far."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory(pid: int) -> tuple[float, float]:
    """(USS, RSS) of a process in megabytes; without /proc (macOS) RSS alone, twice."""
    place = Path(f"/proc/{pid}/smaps_rollup")
    if not place.exists():
        kilobytes = int(subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout)
        return kilobytes / 1024, kilobytes / 1024
    facts = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", place.read_text(), re.MULTILINE)}
    return (facts["Private_Clean"] + facts["Private_Dirty"]) / 1024, facts["Rss"] / 1024


def table(found: list[Figures]) -> str:
    """The figures for people."""
    lines = [
        f"{'addons (models)':34}" + "".join(f"{f'{one.addons} ({one.models})':>14}" for one in found),
        f"{'run.py serve to first answer':34}" + "".join(f"{one.start:>12.1f} s" for one in found),
        f"{'server process alone':34}" + "".join(f"{one.restart:>12.1f} s" for one in found),
        f"{'of it on the processor':34}" + "".join(f"{one.restart_cpu:>12.1f} s" for one in found),
        f"{'worker fresh, USS / RSS':34}" + "".join(f"{f'{one.fresh_uss:.0f} / {one.fresh_rss:.0f} MB':>14}" for one in found),
        f"{f'after {REQUESTS} requests, USS / RSS':34}" + "".join(f"{f'{one.uss:.0f} / {one.rss:.0f} MB':>14}" for one in found),
        f"{'first list of a process':34}" + "".join(f"{one.first_page * 1000:>11.0f} ms" for one in found),
        f"{'a list':34}" + "".join(f"{one.page:>11.0f} ms" for one in found),
    ]
    for name in found[0].statements:
        lines.append(f"{f'statements: {name}':34}" + "".join(f"{one.statements[name]:>14}" for one in found))
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table."""
    found = []
    for count in (3, 30):
        with tempfile.TemporaryDirectory(prefix="mortise-bench-") as folder:
            found.append(measure(count, Path(folder)))
    sys.stdout.write(table(found) + "\n")
    if place := os.environ.get("MORTISE_BENCH_FILE"):
        Path(place).write_text(json.dumps([asdict(one) for one in found], indent=1))


if __name__ == "__main__":
    main()
