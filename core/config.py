"""The settings of this installation, from `config/` and the environment; a wrong one is refused by name, with a sentence."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "config"
PREFIX = "MORTISE_"
SECRETS = ("database_url", "redis_url", "secret_key", "admin_password", "backup_passphrase")
"""Settings that can be read from a file (``MORTISE_…_FILE``) and are never shown."""
ENVIRONMENTS = ("dev", "test", "prod")


class Misconfigured(Exception):
    """A setting is unknown or wrong; the text names it and says what to write instead."""


class Config(dict[str, Any]):
    """The settings by name, as items and as attributes: ``config.port``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no setting called {name!r}; config/default.toml lists them.") from None

    @property
    def data(self) -> Path:
        """The data folder, as an absolute path."""
        return (ROOT / self["data_dir"]).resolve()

    @property
    def database(self) -> str:
        """The database's address; the embedded one in the data folder when none was given."""
        return self["database_url"] or f"sqlite:///{self.data / 'mortise.db'}"

    @property
    def addons(self) -> list[Path]:
        """Where addons lie: the repository's own, then the folders given."""
        return [ROOT / "addons", *(Path(one).resolve() for one in self["addon_folders"].split(":") if one.strip())]

    @property
    def first_password_file(self) -> Path:
        """Where the first administrator's password lies until the first sign-in."""
        return self.data / "first-password"

    @property
    def host_names(self) -> list[str]:
        """The names people may open this server by."""
        return self["hosts"].replace(",", " ").lower().split()


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    """Read default.toml, the file of MORTISE_ENV, the environment and ``overrides``, later ones winning.

    Raises `Misconfigured` with one sentence for each thing that is wrong.
    """
    given = dict(os.environ if environment is None else environment)
    settings = _read(FOLDER / "default.toml")
    kinds = {name: type(value) for name, value in settings.items()}
    problems: list[str] = []
    which = given.pop(PREFIX + "ENV", "")
    if which and which not in ENVIRONMENTS:
        problems.append(f"MORTISE_ENV is “{which}”; it has to be {_or(ENVIRONMENTS)}.")
    elif which:
        settings |= _known(_read(FOLDER / f"{which}.toml"), kinds, f"config/{which}.toml", problems)
    settings |= _from_environment(given, kinds, problems)
    settings |= _known(overrides, kinds, "create_app()", problems)
    for name, check in CHECKS.items():
        try:
            check(settings[name])
        except ValueError as problem:
            shown = "" if name in SECRETS or settings[name] == "" else f" is “{settings[name]}”;"
            problems.append(f"{PREFIX}{name.upper()}{shown} {problem}")
    if problems:
        raise Misconfigured("\n".join(problems))
    return Config(settings, env=which or "default")


def documented() -> dict[str, str]:
    """Each setting with the comment above it in config/default.toml."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in (FOLDER / "default.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.lstrip("# "))
        elif match := re.match(r"(\w+) *=", line):
            found[match[1]] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def secret_key(config: Config) -> str:
    """The installation's key: the one given, else one made once and kept in the data folder for its owner only (0600)."""
    if config.secret_key:
        return str(config.secret_key)
    place = config.data / "secret-key"
    if not place.exists():
        config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(place, secrets.token_urlsafe(48))
    return place.read_text().strip()


def write_private(place: Path, text: str) -> None:
    """Write ``text`` to a new file that only its owner may read; a file that is already there stays as it is.

    Two processes that start at once both end with the file of the first: the name appears with its content, or not at all.
    """
    draft = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}")
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(number, "w") as stream:
            stream.write(text + "\n")
        os.link(draft, place)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read(place: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise Misconfigured(f"{place} cannot be read: {problem}") from None


def _known(values: Mapping[str, Any], kinds: dict[str, type], where: str, problems: list[str]) -> dict[str, Any]:
    """Those of ``values`` that are settings of the right kind; what is not is named in ``problems``."""
    good: dict[str, Any] = {}
    for name, value in values.items():
        value = str(value) if isinstance(value, Path) else value
        if name not in kinds:
            problems.append(f"{where} sets “{name}”, which is not a setting{_like(name, kinds)}.")
        elif type(value) is not kinds[name]:
            problems.append(f"{where} sets {name} to {value!r}; it has to be {_kind_in_words(kinds[name])}.")
        else:
            good[name] = value
    return good


def _from_environment(given: dict[str, str], kinds: dict[str, type], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable in sorted(given):
        # MORTISE_TEST_… tell the tests where their servers are.
        if not variable.startswith(PREFIX) or variable.startswith(PREFIX + "TEST_"):
            continue
        name, text = variable.removeprefix(PREFIX).lower(), given[variable]
        if name.endswith("_file") and name.removesuffix("_file") in SECRETS:
            name = name.removesuffix("_file")
            if PREFIX + name.upper() in given:
                problems.append(f"{variable} and {PREFIX}{name.upper()} are both given; keep one of them.")
                continue
            try:
                text = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as problem:
                why = getattr(problem, "strerror", None) or "it is not text"
                problems.append(f"{variable} names “{text}”, which cannot be read: {why}.")
                continue
        if name not in kinds:
            problems.append(f"{variable} is not a setting of Mortise{_like(name, kinds)}; config/default.toml lists all of them.")
            continue
        try:
            found[name] = _parse(text, kinds[name])
        except ValueError:
            shown = "" if name in SECRETS else f"“{text}”; "
            problems.append(f"{variable} is {shown}it has to be {_kind_in_words(kinds[name])}.")
    return found


def _parse(text: str, kind: type) -> Any:
    text = text.strip()
    if kind is bool:
        if text.lower() in ("yes", "true", "1", "on"):
            return True
        if text.lower() in ("no", "false", "0", "off"):
            return False
        raise ValueError(text)
    return int(text) if kind is int else text


def _kind_in_words(kind: type) -> str:
    return {bool: "yes or no", int: "a whole number"}.get(kind, "text")


def _or(words: Any) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}"


def _like(name: str, kinds: dict[str, type]) -> str:
    import difflib

    near = difflib.get_close_matches(name, kinds, 1)
    return f" (did you mean {near[0].upper()}?)" if near else ""


# -- checks: each raises ValueError with the second half of a sentence ---------------------------------------------------


def _within(low: int, high: int) -> Callable[[Any], None]:
    def check(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"it has to be a whole number from {low} to {high}.")

    return check


def _one_of(*words: str, empty: bool = False) -> Callable[[Any], None]:
    def check(value: str) -> None:
        if value not in words and not (empty and not value):
            raise ValueError(f"it has to be {_or(words)}.")

    return check


def _folders(value: str) -> None:
    for one in value.split(":"):
        if one.strip() and not Path(one).is_dir():
            raise ValueError(f"“{one}” is not a folder.")


def _database(value: str) -> None:
    if value and urlsplit(value).scheme.split("+")[0] not in ("postgresql", "postgres", "sqlite"):
        raise ValueError("has to be an address like postgresql://user:password@host/name or sqlite:////path/file.")


def _redis(value: str) -> None:
    if value and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("has to be an address like redis://host:6379/0.")


def _key(value: str) -> None:
    if value and len(value) < 32:
        raise ValueError("has to be at least 32 characters long; leave it out, and a good one is made for you.")


def _password(value: str) -> None:
    if value and not 8 <= len(value) <= 200:
        raise ValueError("has to have 8 to 200 characters.")


def _zone(value: str) -> None:
    try:
        if value:
            ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("it has to be the name of a time zone, like Asia/Shanghai.") from None


def _currency(value: str) -> None:
    if value and not re.fullmatch(r"[A-Z]{3}", value):
        raise ValueError("it has to be three capital letters, like CNY.")


def _filled(value: str) -> None:
    if not value.strip():
        raise ValueError("must not be empty.")


CHECKS: dict[str, Callable[[Any], None]] = {
    "data_dir": _filled, "addon_folders": _folders, "database_url": _database, "redis_url": _redis, "host": _filled, "admin_name": _filled,
    "pool_size": _within(1, 200), "port": _within(1, 65535), "workers": _within(1, 64), "threads": _within(1, 200),
    "proxies": _within(0, 5),
    "max_upload_mb": _within(1, 2048), "secret_key": _key, "admin_password": _password,
    "token_minutes": _within(1, 24 * 60),
    "refresh_days": _within(1, 365), "firm_zone": _zone, "firm_language": _one_of("en", "zh_Hans", "zh_Hant", empty=True),
    "firm_currency": _currency, "log_level": _one_of("debug", "info", "warning", "error"), "log_format": _one_of("json", "text"),
}  # fmt: skip
