"""While the house stands still for a restore: who waits reads how far it is, and /readyz says why nothing else answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from core.config import ROOT, Config
from core.context import Actor, acting
from core.i18n import best_language
from core.i18n import gettext as _
from core.restore_request import state

STATIC = ROOT / "core" / "web" / "static"
SHOWN = ("vendor/tabler/tabler.min.css", "mortise.css", "screens.css", "favicon.svg")
TYPES = {"css": "text/css", "svg": "image/svg+xml"}
AGAIN_SECONDS = 2


def stage_words(found: dict[str, Any]) -> str:
    """What happens just now, as a person reads it."""
    words = {
        "stop": _("Server and jobs are being stopped."), "check": _("The file is being checked."),
        "copy": _("The present data are being backed up."), "files": _("Files are being put back."),
        "rows": _("Records are being put back."), "search": _("The search index is being made anew."),
    }  # fmt: skip
    said, done, total = words.get(str(found.get("stage")), words["stop"]), found.get("done") or 0, found.get("total") or 0
    return f"{said} {min(100, 100 * done // total)} %" if total else said


def _page(config: Config) -> str:
    language = _language()
    found = state(config)
    links = "".join(f'<link rel="stylesheet" href="/static/{name}">' for name in SHOWN if name.endswith("css"))
    title = _("A backup is being restored")
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        f' initial-scale=1"><meta name="color-scheme" content="light dark"><title>{escape(title)}</title>{links}</head>'
        f'<body><main class="m-empty" id="standstill"><h1>{escape(title)}</h1><p>{escape(stage_words(found))}</p>'
        f"<p>{escape(_('Nobody can work meanwhile. This page looks again by itself; afterwards everybody signs in again.'))}</p></main>"
        "</body></html>"
    )


def _language() -> str:
    from core.context import actor

    return actor().language.replace("_", "-")


def _handler(config: Config) -> type[BaseHTTPRequestHandler]:
    class Standstill(BaseHTTPRequestHandler):
        """Answers everything while the server is away."""

        timeout = 20
        server_version, sys_version = "Mortise", ""

        def _answer(self) -> None:
            path = self.path.split("?")[0]
            if path == "/healthz":
                self._send(200, "application/json", json.dumps({"status": "maintenance"}).encode())
            elif path == "/readyz":
                found = {"status": "maintenance", "restore": state(config).get("stage", "stop")}
                self._send(503, "application/json", json.dumps(found).encode())
            elif path.removeprefix("/static/") in SHOWN:
                file = STATIC / path.removeprefix("/static/")
                self._send(200, TYPES[file.suffix[1:]], file.read_bytes())
            else:
                with acting(Actor(door="screen", language=best_language(self.headers.get("Accept-Language")))):
                    text = _page(config)
                    sentence = _("A backup is being restored; please try again in a few minutes.")
                if path.startswith("/api/"):
                    answer = {"error": "maintenance", "message": sentence}
                    self._send(503, "application/json", json.dumps(answer, ensure_ascii=False).encode())
                else:
                    self._send(503, "text/html; charset=utf-8", text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
            self.send_header("X-Content-Type-Options", "nosniff")
            if status == 503:
                self.send_header("Retry-After", "30")
                if self.command == "GET" and not self.path.startswith("/api/"):
                    self.send_header("Refresh", str(AGAIN_SECONDS))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            """Nothing: the address could hold what somebody searched for."""

    return Standstill


@contextmanager
def standing_still(config: Config) -> Iterator[None]:
    """Inside, this answers at the address of the server."""

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in config.host else AF_INET
        daemon_threads = True

    with Server((config.host.strip("[]"), config.port), _handler(config)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
