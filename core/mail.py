"""Mail out: a letter is written in its reader's language and waits in the transaction that asks for it; a job sends it afterwards.

``mail.send(person, letter)`` and ``mail.problem()`` are all that addons need. What is rolled back was never sent; what is committed
is sent at least once, always under the same Message-ID (decision 14).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape
from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from core.context import acting, actor, now
from core.db import among, db
from core.errors import Invalid, Refused, Wrong
from core.fields import field, link, tidy
from core.files import File, place
from core.hooks import hook
from core.i18n import LANGUAGES, t
from core.i18n import gettext as _
from core.mail_settings import mail_address, must_be_set_up, problem
from core.model import FabModel, Model
from core.people import MortiseUser
from core.settings import setting

__all__ = ["Letter", "Mail", "MailBody", "body_of", "problem", "send"]

QUIET = {"mortise_rules": False}
LINK = "\ue000"
"""Stands in a kept letter where its secret link will be; the link itself is worked out when it is sent and kept nowhere."""
LONGEST_TEXT = 100_000
MOST_MEGABYTES = 10
"""Of all attachments together: many servers take no message over 15 MB, and on its way it grows by a third."""
GIVE_UP_AFTER = timedelta(days=2)

TROUBLES = {
    "not_set_up": "Mail is not set up", "unreachable": "The mail server cannot be reached", "cut": "The connection broke off",
    "no_encryption": "The mail server offers no encryption", "certificate": "The mail server's certificate is not trusted",
    "sign_in": "The mail server refuses the user name or the password", "sender": "The mail server refuses the sender",
    "later": "The mail server asks to try again later", "refused": "The mail server refuses the recipient or the message",
    "attachment": "An attachment is gone", "link_over": "The link in it was over before it could be sent",
}  # fmt: skip


class Mail(Model):
    """A mail that the house sends, has sent, or could not send."""

    system_model = True
    label, label_many = "Mail", "Mails"
    title_field = "subject"
    state: Mapped[str] = field(
        choices={"waiting": "Waiting", "sent": "Sent", "failed": "Failed", "cancelled": "Cancelled"}, default="waiting", readonly=True
    )
    recipient: Mapped[str] = field(max_length=320, readonly=True, label="Recipient's address")
    person: Mapped[MortiseUser | None] = link(readonly=True, label="Recipient")
    subject: Mapped[str] = field(max_length=200, readonly=True)
    tries: Mapped[int] = field(default=0, readonly=True)
    trouble: Mapped[str | None] = field(choices=TROUBLES, readonly=True, label="Last error")
    answer: Mapped[str | None] = field(max_length=400, readonly=True, label="What the server said")
    next_at: Mapped[datetime | None] = field(readonly=True, label="Next try")
    sent_at: Mapped[datetime | None] = field(readonly=True, label="Sent at")
    message_id: Mapped[str] = field(max_length=400, readonly=True, label="Message-ID")
    __table_args__ = (Index("ix_core_mail_state_id", "state", "id"),)


class MailBody(FabModel):
    """What a mail says, apart from the list: for its reader and its writer only."""

    __tablename__ = "core_mail_body"
    __table_args__ = {"info": {"addon": "core"}}

    mail_id: Mapped[int] = mapped_column(Integer, ForeignKey("core_mail.id", ondelete="RESTRICT"), primary_key=True, autoincrement=False)
    language: Mapped[str] = mapped_column(Text, nullable=False)
    text: Mapped[str] = mapped_column(Text, nullable=False)
    html: Mapped[str] = mapped_column(Text, nullable=False)
    files: Mapped[str] = mapped_column(Text, nullable=False)
    """JSON: ``[[name, hash, media type], …]``."""
    link_id: Mapped[int | None] = mapped_column(Integer, nullable=True, index=True)
    """The secret link that is put in at the place of `LINK`."""
    batch_id: Mapped[int | None] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), nullable=True, index=True)
    """The change that it tells of; undone before the mail has left, it is withdrawn."""


mails, bodies = Mail.__table__, MailBody.__table__


@hook.before_save(Mail)
def the_house_writes_its_mails(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """Mails come about by what people do elsewhere, never by a form, an import or the API."""
    raise Refused(_("Mails are written by the house itself; nobody makes or changes one here."))


@hook.before_delete(Mail)
def the_house_keeps_its_mails(record: Any) -> None:
    """They go by age, see the setting mail.keep_days."""
    raise Refused(_("Mails are not deleted; they go by themselves after some time."))


@dataclass(frozen=True, slots=True)
class Letter:
    """What somebody is to read: a subject, paragraphs of plain text, and perhaps one button that leads to a page of the house."""

    subject: str
    paragraphs: Sequence[str]
    button: str = ""
    path: str = ""
    """Of the page behind the button: ``/crm_case/7``."""


def send(
    to: Any, letter: Callable[[], Letter], *, files: Sequence[int] = (), language: str | None = None, secret_link: int | None = None
) -> int:
    """Queue a mail to a person (or an address) in the caller's transaction, and return its id.

    ``letter`` is called in the reader's language and zone, so its words are written with ``_()``. ``files`` are ids of core's files;
    whoever calls has asked whether the reader may have them. Raises `Invalid` with a sentence when mail is not set up, the
    person has no address or the letter is too large.
    """
    must_be_set_up()
    person = None if isinstance(to, str) else to
    address = _address(to if isinstance(to, str) else to.email, person)
    language = language or (person.language if person is not None else None) or setting("firm.language")
    language = language if language in LANGUAGES else "en"
    zone = (person.zone if person is not None else None) or setting("firm.zone")
    attached = _attached(files)
    with acting(replace(actor(), language=language, zone=zone)):
        written = letter()
        text, html = as_text(written, bool(secret_link)), as_html(written, language, bool(secret_link))
    if len(html) > LONGEST_TEXT:
        raise Invalid({"": _("This mail is too long; a mail has at most %(count)s characters.", count=f"{LONGEST_TEXT:,}")})
    moment, who = now(), actor()
    values = {
        "state": "waiting", "recipient": address, "person_id": person.id if person is not None else None, "tries": 0, "next_at": moment,
        "subject": one_line(written.subject)[:200] or t("Mail"), "message_id": _message_id(), "created_at": moment, "changed_at": moment,
        "created_by_id": who.user_id, "changed_by_id": who.user_id, "version": 1, "custom": {},
    }  # fmt: skip
    connection = db.session.connection()
    number = int(connection.execute(insert(mails).values(values).returning(mails.c.id)).scalar_one())
    kept = {"mail_id": number, "language": language, "text": text, "html": html, "files": json.dumps(attached), "link_id": secret_link}
    kept["batch_id"] = who.memo.get("batch_id")
    connection.execute(insert(bodies).values(kept))
    from core.mail_jobs import deliver

    deliver.later(mail_id=number)
    return number


def body_of(mail_id: int) -> Any:
    """The kept letter of a mail, its secret link as a sign; None when it has gone."""
    return db.session.execute(select(bodies).where(bodies.c.mail_id == mail_id), execution_options=QUIET).first()


def kept_for_mails() -> set[str]:
    """Hashes of the files that go along with mails that wait."""
    waits = select(bodies.c.files).join(mails, mails.c.id == bodies.c.mail_id).where(mails.c.state == "waiting", bodies.c.files != "[]")
    found = db.session.execute(waits, execution_options=QUIET).scalars()
    return {content_hash for text in found for _name, content_hash, _type in json.loads(text)}


# -- what a letter looks like --------------------------------------------------------------------------------------------


def one_line(text: Any) -> str:
    """Text that can stand in a header: control characters, breaks and the sign of a secret link are gone."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ue000]", " ", tidy(str(text))).split())


def _lines(text: Any) -> str:
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ue000]", " ", tidy(str(text)))


def _url(letter: Letter, secret: bool) -> str:
    return LINK if secret else setting("house.address") + letter.path if letter.path else ""


def as_text(letter: Letter, secret: bool) -> str:
    """The letter for readers without HTML."""
    parts = [_lines(one) for one in letter.paragraphs]
    if url := _url(letter, secret):
        parts.append(f"{one_line(letter.button)}\n{url}" if letter.button else url)
    return "\n\n".join([*parts, f"-- \n{one_line(setting('firm.name'))}"]) + "\n"


def as_html(letter: Letter, language: str, secret: bool) -> str:
    """The letter as a page without pictures, scripts or anything fetched from elsewhere."""
    paragraphs = Markup("").join(
        Markup('<p style="margin:0 0 16px">{}</p>').format(Markup("<br>").join(escape(line) for line in _lines(one).split("\n")))
        for one in letter.paragraphs
    )
    url, button = _url(letter, secret), Markup("")
    if url:
        button = Markup(
            '<p style="margin:24px 0"><a href="{}" style="background:#1f5e6b;border-radius:6px;color:#fff;display:inline-block;'
            'padding:10px 20px;text-decoration:none">{}</a></p><p style="color:#5b6b70;font-size:13px;word-break:break-all">{}</p>'
        ).format(url, one_line(letter.button) or url, url)
    return str(
        Markup(
            '<!doctype html><html lang="{}"><head><meta charset="utf-8"><title>{}</title></head><body style="color:#1c2b30;'
            "font:16px/1.6 system-ui,'PingFang SC','Microsoft YaHei',sans-serif;margin:0 auto;max-width:600px;padding:24px\">{}{}"
            '<p style="border-top:1px solid #d8e0e2;color:#5b6b70;font-size:13px;margin-top:32px;padding-top:12px">{}</p></body></html>\n'
        ).format(language.replace("_", "-"), one_line(letter.subject), paragraphs, button, one_line(setting("firm.name")))
    )


def _address(text: Any, person: Any) -> str:
    try:
        return mail_address(text or "")
    except Wrong as wrong:
        if person is not None and not text:
            raise Invalid({"": _("“%(name)s” has no e-mail address.", name=str(person))}) from None
        raise Invalid({"": str(wrong)}) from None


def _attached(ids: Sequence[int]) -> list[list[str]]:
    if not ids:
        return []
    columns = File.__table__.c
    query = select(columns.id, columns.name, columns.hash, columns.media_type, columns.size).where(among(columns.id, set(ids)))
    found = {row.id: row for row in db.session.execute(query, execution_options=QUIET)}
    if set(ids) - set(found) or not all(place(row.hash).is_file() for row in found.values()):
        raise Invalid({"": _("A file that is to go along is not there any more.")})
    if sum(row.size for row in found.values()) > MOST_MEGABYTES * 2**20:
        raise Invalid({"": _("The attachments of a mail may have %(limit)s MB together.", limit=MOST_MEGABYTES)})
    return [[found[one].name, found[one].hash, found[one].media_type] for one in dict.fromkeys(ids)]


def _message_id() -> str:
    return f"<{secrets.token_hex(16)}@{setting('mail.sender').rpartition('@')[2]}>"
