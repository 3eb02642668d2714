"""`run.py serve` as a firm starts it: one command, and the house answers; a second start keeps the data."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.core.installation import Installation, new


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> tuple[int, str]:
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as answer:
        return answer.code, answer.read().decode()


@contextmanager
def serving(house: Installation, *words: str) -> Iterator[tuple[str, subprocess.Popen[str], list[str]]]:
    """(address, process, what it said) while `run.py serve` runs."""
    port = free_port()
    house.settings["MORTISE_PORT"] = str(port)
    with (house.folder / "log").open("a") as log:
        process = house.start("serve", *words, stderr=log)
    said: list[str] = []
    try:
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if "Stop with" in line:
                break
        assert "Mortise is ready" in "".join(said), (house.folder / "log").read_text()
        yield f"http://127.0.0.1:{port}", process, said
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        if process.stdout:
            process.stdout.close()


def wait_for(what, seconds: float = 40) -> None:
    """Until ``what()`` is true."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.2)


@pytest.fixture
def house(tmp_path: Path) -> Installation:
    return new("sqlite", tmp_path, "")


@pytest.mark.slow
def test_one_command_serves_and_a_second_start_keeps_the_data(house: Installation) -> None:
    with serving(house) as (address, process, said):
        text = "".join(said)
        password = (house.data / "first-password").read_text().strip()
        assert address in text and "admin" in text and password in text
        assert get(f"{address}/healthz")[0] == 200
        status, page = get(f"{address}/login/")
        assert status == 200 and "password" in page
        wait_for(lambda: get(f"{address}/readyz")[0] == 200)
        # A job process that dies is started again.
        first = house.ask("SELECT pid FROM core_heartbeat WHERE name = 'jobs'")[0][0]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: house.ask("SELECT pid FROM core_heartbeat WHERE name = 'jobs'")[0][0] != first)
        # One cannot restore below its feet.
        house.must("backup", house.folder / "saved.zip")
        assert "stop it first" in house.run("restore", "--yes", house.folder / "saved.zip").err
        second = house.run("serve")
        assert second.status == 1 and "Cannot listen on 127.0.0.1" in second.err
    assert password not in (house.folder / "log").read_text()
    house.must("user", "create", "kept")
    with serving(house) as (address, process, said):
        assert password not in "".join(said) and "first-password" in "".join(said)
        assert {row[0] for row in house.ask("SELECT username FROM ab_user")} == {"admin", "kept"}
    children = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert house.settings["MORTISE_PORT"] not in "".join(re.findall(r".*core\.app:create_app.*", children))


@pytest.mark.slow
def test_a_broken_addon_sleeps_unless_strict(house: Installation) -> None:
    house.addon("box_shelf", "raise ValueError('not today')\n")
    strict = house.start("serve", "--strict")
    out, err = strict.communicate(timeout=60)
    assert strict.returncode == 1 and "box_shelf is broken" in err and "models.py:3" in err and "nothing was started" in out
    with serving(house, "--no-jobs") as (address, _process, _said):
        assert get(f"{address}/login/")[0] == 200
