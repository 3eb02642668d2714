"""A real mail server for tests (aiosmtpd, in a thread): it keeps what it takes, and refuses, delays or hangs up when told to."""

from __future__ import annotations

import email
import email.policy
import re
import ssl
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from core.db import db
from core.secret_box import keep_secret
from core.settings import set_setting

USER, PASSWORD = "house@firm.test", "geheim %&+ 1"


class Mailbox:
    """What has come, and what the server answers at which step."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.raw: list[bytes] = []
        self.users: list[str] = []
        self.at_recipient: list[str] = []
        """Answers to RCPT, used up one after the other; then everything is taken."""
        self.at_data: list[str] = []
        self.on_data: Callable[[Any], None] | None = None
        self.port = 0

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.at_recipient:
            return self.at_recipient.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        if self.on_data:
            self.on_data(server)
        if self.at_data:
            answer = self.at_data.pop(0)
            if answer == "cut":
                server.transport.abort()
                return "250 never heard"
            return answer
        self.raw.append(envelope.content)
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.recipients.append(envelope.rcpt_tos[0])
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = data.login.decode() == USER and data.password.decode() == PASSWORD
        self.users.append(data.login.decode())
        return AuthResult(success=good, handled=good)

    def text(self) -> str:
        """The plain text of the last message."""
        return self.taken[-1].get_body(("plain",)).get_content()

    def code(self) -> str:
        """The token of the link in the last message."""
        return re.search(r"/login/choose#([\w-]{43})\s", self.text())[1]


@contextmanager
def mailbox(*, tls: str = "", folder: Path | None = None, auth: bool = False, **more: Any) -> Iterator[Mailbox]:
    """A server on a free port. ``tls`` is starttls or tls, with a certificate of its own in ``folder``."""
    made = Mailbox()
    context = _context(folder) if tls and folder else None
    words = {
        "require_starttls": tls == "starttls", "auth_required": auth, "authenticator": made.authenticate if auth else None,
        "auth_require_tls": tls == "starttls", **more,
    }  # fmt: skip

    class Here(Controller):
        def factory(self) -> SMTP:
            own = {"tls_context": context} if tls == "starttls" else {}
            with warnings.catch_warnings():
                # It knows STARTTLS alone, and says of TLS from the start that there is none.
                warnings.simplefilter("ignore", UserWarning)
                return self._made(own)

        def _made(self, own: dict[str, Any]) -> SMTP:
            return SMTP(self.handler, hostname="mail.test", **own, **words)

        def _trigger_server(self) -> None:
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    controller = Here(made, hostname="127.0.0.1", port=0, ssl_context=context if tls == "tls" else None)
    controller.start()
    made.port = controller.port
    try:
        yield made
    finally:
        controller.stop()


def certificate(folder: Path) -> str:
    """A self-made certificate for “localhost”, as PEM; its key lies beside it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if not cert.exists():
        line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
        subprocess.run([*line, *more], check=True, capture_output=True)
    return cert.read_text()


def _context(folder: Path) -> ssl.SSLContext:
    certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def set_up(port: int, *, security: str = "none", user: str = "", password: str = "", **more: Any) -> None:
    """Tell the house of this server."""
    values = {
        "house.address": "https://crm.firm.test", "mail.host": "localhost", "mail.port": port, "mail.security": security,
        "mail.sender": "house@firm.test", "mail.user": user or None, **more,
    }  # fmt: skip
    for key, value in values.items():
        set_setting(key, value)
    if password:
        keep_secret("mail.password", password)
    db.session.commit()
