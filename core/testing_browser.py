"""Tests in a real browser: the app served on a port, Chromium, and pages in which people are signed in. A pytest plugin."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from core.people import MortiseUser
from core.testing import Browser, settle


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The app served for real, ``http://127.0.0.1:port``; what the test has written has to be committed (`settle`)."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: the app has its own log."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for all tests of this process."""
    from playwright.sync_api import sync_playwright

    from tests.servers import chromium_arguments, chromium_path

    _wait_for_what_is_sent()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=chromium_arguments())
        yield browser
        browser.close()


def _wait_for_what_is_sent() -> None:
    """A click or a key that posts a form returns when the next page is there: Playwright waits only for what goes out at once,
    and `again.js` asks first whether somebody is still signed in."""
    from playwright.sync_api import Locator, Page

    def waiting(kind: type, name: str, page_of: Callable[[Any], Any]) -> None:
        does = getattr(kind, name)
        if hasattr(does, "__wrapped__"):
            return

        @functools.wraps(does)
        def does_and_waits(self: Any, *args: Any, **named: Any) -> Any:
            given = does(self, *args, **named)
            if not page_of(self).is_closed():
                page_of(self).locator("html:not([data-sending])").wait_for(state="attached")
            return given

        setattr(kind, name, does_and_waits)

    waiting(Page, "click", lambda page: page)
    waiting(Page, "press", lambda page: page)
    waiting(Locator, "click", lambda locator: locator.page)
    waiting(Locator, "press", lambda locator: locator.page)


@pytest.fixture
def page_as(app: Flask, address: str, chromium: Any, login_as: Callable[..., Browser]) -> Iterator[Callable[..., Any]]:
    """``page_as("li")``: a page of Playwright in which this person is signed in; ``page_as(None)``: nobody is.

    ``page.goto("/crm_client/")`` goes by path. A fault in a script or against the content policy fails the test.
    """
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(who: str | MortiseUser | None, *, width: int = 1280, height: int = 900, locale: str = "en", **values: Any) -> Any:
        opened = chromium.new_context(base_url=address, viewport={"width": width, "height": height}, locale=locale)
        contexts.append(opened)
        if who is not None:
            cookie = login_as(who, **values).get_cookie(app.config["SESSION_COOKIE_NAME"])
            opened.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address}])
        page = opened.new_page()
        # On SQLite even what the test only reads would hold up what the page writes.
        page.on("request", lambda _request: settle())
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
        settle()
        return page

    yield open_page
    for one in contexts:
        one.close()
    assert not faults, "\n".join(faults)


@pytest.fixture
def page(page_as: Callable[..., Any]) -> Any:
    """A page in which an administrator is signed in."""
    return page_as("administrator", level="administrator")
