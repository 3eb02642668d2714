"""A firm's installation as it runs in earnest: `run.py serve` with its job process, and a browser that keeps its eyes open."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.core.installation import Installation

PASSWORD = "correct horse 1"
LOCALES = {"en": "en-GB", "zh_Hans": "zh-CN", "zh_Hant": "zh-TW"}


@dataclass
class Firm:
    """An installation that is served, and the browser that visits it."""

    house: Installation
    address: str
    browser: Any
    faults: list[str] = field(default_factory=list)
    """What the console of any page complained about, beside answers of 4xx that a test asked for."""

    def visitor(self, *, width: int = 1440, language: str = "en", state: Any = None, **more: Any) -> Any:
        """A page of a browser of its own; its faults are collected."""
        size = {"width": width, "height": 900 if width > 600 else 844}
        context = self.browser.new_context(
            base_url=self.address, viewport=size, locale=LOCALES[language], timezone_id="Asia/Shanghai", reduced_motion="reduce",
            storage_state=state, **more,
        )  # fmt: skip
        context.set_default_timeout(20_000)
        page = context.new_page()
        context.on("page", self._listen)
        self._listen(page)
        return page

    def _listen(self, page: Any) -> None:
        def heard(message: Any) -> None:
            # The browser notes every answer of 4xx as an error; pages about errors are such answers.
            if message.type == "error" and "Failed to load resource" not in message.text:
                self.faults.append(f"{page.url}: {message.text}")

        def answered(response: Any) -> None:
            if response.status >= 500:
                self.faults.append(f"{response.url}: answered {response.status}")

        page.on("console", heard)
        page.on("pageerror", lambda problem: self.faults.append(f"{page.url}: {problem}"))
        page.on("response", answered)

    def sign_in(self, page: Any, login: str, password: str = PASSWORD) -> Any:
        """Sign in by typing."""
        page.goto("/login/")
        page.fill("#username", login)
        page.fill("#password", password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        return page

    def person(self, login: str, name: str, *roles: str, admin: bool = False) -> None:
        """Make an account on the command line, with the password of all tests."""
        words = [word for role in roles for word in ("--role", role)]
        self.house.must("user", "create", login, "--name", name, *words, *(["--admin"] if admin else []), "--stdin", given=PASSWORD)


@pytest.fixture(scope="session")
def browser(chromium: Any) -> Any:
    """The Chromium of this machine; one for all tests of a process, since Playwright allows no second."""
    return chromium


@contextmanager
def served(folder: Path, browser: Any, before: Callable[[Installation], None] = lambda house: None) -> Iterator[Firm]:
    """A firm that is open for visitors, with web and job processes of its own."""
    house = Installation(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before(house)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    house.settings["MORTISE_PORT"] = str(port)
    with (folder / "log").open("a") as log:
        process = house.start("serve", stderr=log)
    try:
        said = ""
        for line in process.stdout or ():
            said += line
            if "Stop with" in line:
                break
        assert "Mortise is ready" in said, said + (folder / "log").read_text()
        yield Firm(house, f"http://127.0.0.1:{port}", browser)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="session")
def firm_to_look_at(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A firm with a little of everything; one for all pages that a process looks at."""
    from tests.e2e.looking import prepare

    with served(tmp_path_factory.mktemp("look"), browser, prepare) as firm:
        firm.person("li.wei", "李伟", "Salesperson")
        yield firm


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    place = Path(os.environ.get("MORTISE_TEST_LOOK") or tmp_path_factory.mktemp("screenshots"))
    place.mkdir(parents=True, exist_ok=True)
    return place
