"""One talk with the mail server: a message is handed over, or it is said in plain words why not and whether it is worth trying again."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from core.files import place
from core.i18n import t
from core.mail import LINK, TROUBLES, one_line
from core.mail_settings import MailServer

TIMEOUT = 30.0
"""Seconds that the server may be silent."""


class NotSent(Exception):
    """The server did not take it: which of `TROUBLES`, what it said, and whether it is over for good."""

    def __init__(self, trouble: str, answer: str = "", *, for_good: bool = False) -> None:
        super().__init__(trouble)
        self.trouble, self.answer, self.for_good = trouble, one_line(answer)[:400], for_good

    @property
    def sentence(self) -> str:
        """In the acting person's language."""
        said = t(TROUBLES[self.trouble])
        return f"{said} ({self.answer})" if self.answer else said


@dataclass(frozen=True, slots=True)
class Ready:
    """All of a message, read before the database is let go."""

    mail: Any
    body: Any
    token: str = ""
    """Address of the secret link that stands at `LINK`; nothing when there is none."""


def composed(ready: Ready, server: MailServer) -> EmailMessage:
    """The message as it goes out: the same at each try. Raises `NotSent` when an attachment is gone."""
    mail, body, message = ready.mail, ready.body, EmailMessage(policy=SMTP)
    message["From"] = Address(one_line(server.sender_name), addr_spec=server.sender)
    message["To"] = Address(addr_spec=mail.recipient)
    message["Subject"] = one_line(mail.subject)
    message["Date"] = format_datetime(mail.created_at.replace(tzinfo=UTC))
    message["Message-ID"] = mail.message_id
    if server.reply_to:
        message["Reply-To"] = Address(addr_spec=server.reply_to)
    # So that absence notes and other machines do not answer (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(body.text.replace(LINK, ready.token))
    message.add_alternative(body.html.replace(LINK, ready.token), subtype="html")
    for name, content_hash, media_type in json.loads(body.files):
        try:
            content = place(content_hash).read_bytes()
        except OSError:
            raise NotSent("attachment", name, for_good=True) from None
        kind, _slash, subtype = media_type.partition("/")
        message.add_attachment(content, maintype=kind, subtype=subtype or "octet-stream", filename=one_line(name))
    # Last: what begins with “Content-” moves into the first part when others join it.
    message["Content-Language"] = body.language.replace("_", "-")
    return message


def hand_over(message: EmailMessage, server: MailServer, recipient: str, timeout: float = TIMEOUT) -> None:
    """Give a message for one recipient to the server. Raises `NotSent`. Uses the network: no transaction may be open."""
    with _in_words(), _connected(server, timeout) as smtp:
        smtp.send_message(message, server.sender, [recipient])


@contextmanager
def _connected(server: MailServer, timeout: float) -> Iterator[smtplib.SMTP]:
    here = server.sender.rpartition("@")[2]
    trusted = ssl.create_default_context()
    if server.certificate:
        trusted.load_verify_locations(cadata=server.certificate)
    if server.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, local_hostname=here, timeout=timeout, context=trusted)
    else:
        smtp = smtplib.SMTP(server.host, server.port, local_hostname=here, timeout=timeout)
    try:
        if server.security == "starttls":
            try:
                smtp.starttls(context=trusted)
            except smtplib.SMTPNotSupportedError:
                raise NotSent("no_encryption") from None
        if server.user:
            try:
                smtp.login(server.user, server.password)
            except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as problem:
                raise NotSent("sign_in", _said(problem)) from None
        yield smtp
    finally:
        # Whatever the server says to the farewell: what it took, it took.
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        smtp.close()


@contextmanager
def _in_words() -> Iterator[None]:
    """What can go wrong with a server, as `NotSent`: only what it says of this recipient or message is final."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as problem:
        ((code, text),) = problem.recipients.values()
        raise NotSent("refused" if code >= 500 else "later", _answer(code, text), for_good=code >= 500) from None
    except smtplib.SMTPSenderRefused as problem:
        raise NotSent("sender" if problem.smtp_code >= 500 else "later", _said(problem)) from None
    except smtplib.SMTPDataError as problem:
        final = problem.smtp_code >= 500
        raise NotSent("refused" if final else "later", _said(problem), for_good=final) from None
    except smtplib.SMTPNotSupportedError as problem:
        # An address that is not of ASCII letters, and a server that knows no other.
        raise NotSent("refused", str(problem), for_good=True) from None
    except smtplib.SMTPServerDisconnected as problem:
        raise NotSent("cut", str(problem)) from None
    except smtplib.SMTPResponseException as problem:
        raise NotSent("later" if problem.smtp_code < 500 else "unreachable", _said(problem)) from None
    except ssl.SSLCertVerificationError as problem:
        raise NotSent("certificate", problem.verify_message) from None
    except ssl.SSLError as problem:
        raise NotSent("no_encryption", problem.reason or "") from None
    except (ConnectionResetError, BrokenPipeError) as problem:
        raise NotSent("cut", problem.strerror or "") from None
    except (smtplib.SMTPException, OSError) as problem:
        raise NotSent("unreachable", getattr(problem, "strerror", "") or str(problem)) from None


def _said(problem: Any) -> str:
    return _answer(problem.smtp_code, problem.smtp_error) if hasattr(problem, "smtp_code") else str(problem)


def _answer(code: int, text: Any) -> str:
    return f"{code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
