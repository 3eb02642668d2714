"""Settings of the firm: declared with a default in code, changed by administrators, in effect at the next request everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import Mapped, Session

from core.db import MortiseSession, db
from core.errors import Invalid, Misbuilt, Wrong
from core.fields import field, tidy
from core.i18n import LANGUAGES, listed
from core.i18n import gettext as _
from core.model import Model, loading
from core.state import cached_by_generation, steers


@steers
class Setting(Model):
    """One setting that differs from its default."""

    title_field = "key"
    key: Mapped[str] = field(unique=True, readonly=True, max_length=120)
    value: Mapped[dict | None] = field(kind="json")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What code says about a setting: its default, its label, and how a value is read."""

    key: str
    default: Any
    label: str
    help: str
    clean: Callable[[Any], Any]
    """Returns the value as it is stored; raises `Wrong` with the sentence for the person."""
    addon: str = "core"
    page: str = "firm"
    """On which page of the settings it stands."""


_declared: dict[str, Declaration] = {}


def declare_setting(
    key: str, default: Any, label: str, help: str = "", check: Callable[[Any], Any] | None = None, page: str = "firm"
) -> Declaration:
    """Make ``setting(key)`` known. ``check`` returns the cleaned value or raises `Wrong`; without one the default's type decides."""
    if key in _declared and _declared[key].default != default:
        raise Misbuilt(f"The setting {key!r} is declared twice.")
    made = _declared[key] = Declaration(key, default, label, help, check or _like(default), loading["addon"], page)
    return made


def declared_settings() -> dict[str, Declaration]:
    """Every setting that code knows, for the settings screen."""
    return _declared


@cached_by_generation
def _stored() -> dict[str, Any]:
    columns = Setting.__table__.c
    return dict(db.session.execute(select(columns.key, columns.value), execution_options={"mortise_rules": False}).all())


def setting(key: str) -> Any:
    """The value of a setting as it is now; its default when nobody has set it."""
    declared = _declared[key]
    if not db.ready:
        return declared.default
    found = _stored().get(key)
    return declared.default if found is None else found


def is_set(key: str) -> bool:
    """True when somebody has set this setting, also to its default."""
    return _stored().get(key) is not None


def set_setting(key: str, value: Any) -> Any:
    """Set a setting, or with None return to its default; raises `Invalid` with a sentence when the value does not fit."""
    cleaned = _clean(key, value)
    session = db.session()
    found = session.scalars(select(Setting).where(Setting.key == key)).one_or_none()
    if found is None:
        if cleaned is None:
            return setting(key)
        session.add(Setting(key=key, value=cleaned))
    else:
        found.value = cleaned
    session.flush()
    return setting(key)


def _clean(key: str, value: Any) -> Any:
    declared = _declared.get(key)
    if declared is None:
        raise Invalid({key: _("There is no setting called “%(key)s”.", key=key[:80])})
    if value is None:
        return None
    try:
        return declared.clean(value)
    except Wrong as wrong:
        raise Invalid({key: str(wrong)}) from None


@event.listens_for(MortiseSession, "before_flush")
def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """A setting that comes through another door (REST, a form, an import) is checked like one from `set_setting`."""
    for record in [*session.new, *session.dirty]:
        if isinstance(record, Setting) and (record in session.new or session.is_modified(record)):
            cleaned = _clean(record.key or "", record.value)
            if cleaned != record.value:
                record.value = cleaned


# -- how values are read ----------------------------------------------------------------------------------------------


def text_of(limit: int = 200) -> Callable[[Any], str]:
    """A line of text, not empty."""

    def clean(value: Any) -> str:
        cleaned = " ".join(tidy(value).split()) if isinstance(value, str) else ""
        if not cleaned or len(cleaned) > limit:
            raise Wrong(_("Please give text of 1 to %(limit)s characters.", limit=limit))
        return cleaned

    return clean


def number_between(least: int, most: int) -> Callable[[Any], int]:
    """A whole number in a range."""

    def clean(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*\d{1,12}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Wrong(_("Please give a whole number from %(least)s to %(most)s.", least=least, most=most))
        return value

    return clean


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of a few words."""

    def clean(value: Any) -> str:
        if value not in choices:
            raise Wrong(_("Please choose one of: %(options)s.", options=listed(choices)))
        return value

    clean.choices = choices  # type: ignore[attr-defined]
    return clean


def yes_or_no(value: Any) -> bool:
    """True or false, also as a form sends it."""
    word = str(value).lower()
    if word not in ("true", "on", "yes", "1", "false", "off", "no", "0"):
        raise Wrong(_("Please answer yes or no."))
    return word in ("true", "on", "yes", "1")


def zone_name(value: Any) -> str:
    """The name of a time zone, like Asia/Shanghai."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(str(value).strip()).key
    except (KeyError, ValueError, OSError):
        raise Wrong(_("“%(value)s” is not a time zone; write it like Asia/Shanghai.", value=str(value)[:60])) from None


def currency_code(value: Any) -> str:
    """The three letters of a currency."""
    cleaned = str(value).strip().upper()
    if not re.fullmatch(r"[A-Z]{3}", cleaned):
        raise Wrong(_("Please give the three letters of a currency, like CNY."))
    return cleaned


def _like(default: Any) -> Callable[[Any], Any]:
    if isinstance(default, bool):
        return yes_or_no
    if isinstance(default, int):
        return number_between(0, 10**9)
    if isinstance(default, str):
        return text_of(2000)
    return lambda value: value


declare_setting("firm.name", "Mortise", "Name of the firm", check=text_of())
declare_setting("firm.zone", "UTC", "Time zone of the firm", "Rules deadlines and days", check=zone_name)
declare_setting("firm.language", "en", "Language for people who have chosen none", check=one_of(*LANGUAGES))
declare_setting("firm.currency", "CNY", "Currency", check=currency_code)
declare_setting("session.idle_minutes", 120, "Minutes without a click until a person is signed out", check=number_between(5, 10_080))
declare_setting("session.absolute_hours", 168, "Hours until a person must sign in again in any case", check=number_between(1, 2_160))
declare_setting("password.min_length", 10, "Fewest characters of a password", check=number_between(8, 128))
declare_setting("sign_in.tries", 5, "Failed tries until signing in pauses", check=number_between(3, 50))
declare_setting("sign_in.keep_days", 365, "Days that sign-ins are kept", check=number_between(30, 3_650))
declare_setting("online.minutes", 5, "Minutes since the last click that somebody counts as online", check=number_between(1, 120))
