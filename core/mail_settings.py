"""By which server the house sends mail, in whose name, and what is missing before it can; set by system administrators alone."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any
from urllib.parse import urlsplit

from core.errors import Invalid, Wrong
from core.fields import tidy
from core.i18n import gettext as _
from core.i18n import lazy
from core.rules import rights
from core.secret_box import has_secret, kept_secret
from core.setting_guard import GUARDED
from core.settings import declare_setting, number_between, one_of, setting, text_of

PASSWORD = "mail.password"  # noqa: S105 - the name under which it is kept
SECURITY: dict[str, str] = {
    "starttls": lazy("STARTTLS (port 587)"), "tls": lazy("TLS from the start (port 465)"), "none": lazy("None (only inside the house)"),
}  # fmt: skip
# Who may change where mail goes could read the link for a system administrator's new password (D17).
for prefix in ("mail.", "house.address"):
    GUARDED[prefix] = lazy("Only a system administrator may change how mail is sent.")


def mail_address(value: Any) -> str:
    """A mail address as a server takes it: one ``@``, the domain in ASCII."""
    text = tidy(str(value)).strip()
    name, _at, domain = text.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii").lower() if domain else ""
        strange = re.search(r"[\s<>(),;:\\\"\[\]@]", name) or not re.fullmatch(r"[a-z0-9.-]+", domain)
        if not name or strange or len(text) > 320:
            raise ValueError
        return Address(addr_spec=f"{name}@{domain}").addr_spec
    except (ValueError, IndexError):
        raise Wrong(_("“%(value)s” is not an e-mail address; write it like name@example.com.", value=text[:80])) from None
    except Exception:  # the parser of addresses has errors of its own for what it does not like
        raise Wrong(_("“%(value)s” is not an e-mail address; write it like name@example.com.", value=text[:80])) from None


def house_address(value: Any) -> str:
    """The address of the house as people open it: https, a name, perhaps a port, and nothing behind it."""
    parts = urlsplit(str(value).strip())
    try:
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and not parts.username
    except ValueError:
        good = False
    if not good or parts.path.strip("/") or parts.query or parts.fragment or not re.fullmatch(r"[\w.:\[\]-]+", parts.netloc):
        raise Wrong(_("Please give the address that people open, like https://crm.example.com."))
    return f"{parts.scheme}://{parts.netloc.lower()}"


def server_name(value: Any) -> str:
    """The name of a mail server."""
    text = str(value).strip().lower()
    if not re.fullmatch(r"[\w.:-]{1,253}", text):
        raise Wrong(_("Please give the name of the mail server alone, like smtp.example.com."))
    return text


def account_name(value: Any) -> str:
    """The name of an account at a mail server."""
    text = str(value).strip()
    if not text.isascii() or not text.isprintable() or not 0 < len(text) <= 320:
        raise Wrong(_("Mail servers take user names of Latin letters, digits and signs only."))
    return text


def certificate(value: Any) -> str:
    """Certificates of an authority of the firm's own, as PEM."""
    text = str(value).strip()
    try:
        if not text.isascii() or len(text) > 100_000:
            raise ValueError
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise Wrong(_("This is no certificate; paste it whole, from “BEGIN CERTIFICATE” to “END CERTIFICATE”.")) from None
    return text


declare_setting(
    "house.address", "", "Address of the house", "As people open it, like https://crm.example.com; links in mails begin with it",
    check=house_address, page="mail",
)  # fmt: skip
declare_setting("mail.host", "", "Mail server", "Name of the SMTP server; left empty, nothing is sent", check=server_name, page="mail")
declare_setting("mail.port", 587, "Port", check=number_between(1, 65_535), page="mail")
declare_setting("mail.security", "starttls", "Encryption", check=one_of(*SECURITY), page="mail")
declare_setting("mail.user", "", "User name at the mail server", "Left empty, the house does not sign in", check=account_name, page="mail")
declare_setting("mail.sender", "", "Sender's address", check=mail_address, page="mail")
declare_setting("mail.sender_name", "", "Sender's name", "Left empty, the name of the firm", check=text_of(80), page="mail")
declare_setting("mail.reply_to", "", "Answers go to", "Left empty, to the sender", check=mail_address, page="mail")
declare_setting(
    "mail.certificate", "", "Certificate of an authority of your own",
    "Only for a mail server whose certificate no public authority has signed", check=certificate, page="mail",
)  # fmt: skip
declare_setting("mail.keep_days", 90, "Days that mails are kept", check=number_between(1, 3_650), page="mail")
declare_setting("mail.link_minutes", 60, "Minutes that a link for a new password is good for", check=number_between(5, 1_440), page="mail")
declare_setting("mail.invite_days", 7, "Days that an invitation is good for", check=number_between(1, 60), page="mail")


def may_set_mail() -> bool:
    """May the acting person change how mail is sent?"""
    return rights().level == "system_administrator"


@dataclass(frozen=True, slots=True)
class MailServer:
    """All that sending needs to know, read before the database is let go."""

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str
    sender_name: str
    reply_to: str
    certificate: str


def mail_server() -> MailServer:
    """The server as it is set now."""
    names = ("host", "port", "security", "user", "sender", "sender_name", "reply_to", "certificate")
    values = {name: setting(f"mail.{name}") for name in names}
    values["sender_name"] = values["sender_name"] or setting("firm.name")
    return MailServer(**values, password=(kept_secret(PASSWORD) or "") if values["user"] else "")


def problem() -> str | None:
    """Why no mail can be sent now: a sentence; None when the house is set up for it. Ask before you offer to send one."""
    if not (setting("mail.host") and setting("mail.sender") and setting("house.address")):
        return _("Mail is not set up yet. A system administrator does it under Settings, Mail.")
    if setting("mail.user") and not kept_secret(PASSWORD):
        if has_secret(PASSWORD):
            return _("The mail server's password was kept by another installation and has to be given again under Settings, Mail.")
        return _("The password of the mail server is missing. A system administrator gives it under Settings, Mail.")
    return None


def must_be_set_up() -> None:
    """Raises `Invalid` with the sentence when no mail can be sent."""
    if sentence := problem():
        raise Invalid({"": sentence})
