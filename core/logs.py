"""Log lines as JSON with the number of the request; passwords, tokens and phone numbers never reach them."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from core.context import actor

SECRET_WORDS = re.compile(r"passw|secret|token|authorization|cookie|phone|mobile|csrf", re.IGNORECASE)
# Eleven-digit mobile numbers, numbers with an area code, and international ones; not dates, ids or hashes.
PHONE = re.compile(r"(?<![\w.])(?:\+\d{1,3}[ -]?)?(?:1[3-9]\d[ -]?\d{4}[ -]?\d{4}|0\d{2,3}[ -]?\d{7,8}|\+\d[\d -]{7,14}\d)(?![\w.])")
ENDS_LINES = re.compile("[\x85\u2028\u2029]")
Event = MutableMapping[str, Any]


def start_logging(level: str = "info", form: str = "json") -> None:
    """Send every log line of this process, ours and the libraries', to standard error in one form."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    as_json = structlog.processors.JSONRenderer(serializer=_one_line)
    renderer: Any = as_json if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(formatter)
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(output)
    root.setLevel(level.upper())
    for noisy in ("flask_appbuilder", "alembic", "flask_wtf", "flask_limiter"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def _one_line(event: Any, **options: Any) -> str:
    """JSON that every reader takes for one line: some end lines at signs that JSON lets stand."""
    return ENDS_LINES.sub(lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(event, ensure_ascii=False, **options))


def log(name: str = "mortise") -> Any:
    """The logger of a part of the house: ``log("jobs").info("job done", job=7, ms=12)``."""
    return structlog.stdlib.get_logger(f"mortise.{name}" if name != "mortise" else name)


def _add_request(_logger: Any, _method: str, event: Event) -> Event:
    who = actor()
    if who.door != "system" or who.user_id is not None:
        event.setdefault("request_id", who.request_id)
        if who.user_id is not None:
            event.setdefault("user_id", who.user_id)
    return event


def hide_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """Blank what must not be read in a log: values under telling names, and anything that looks like a phone number."""
    for name, value in list(event.items()):
        if name.startswith("_"):
            continue
        if SECRET_WORDS.search(name):
            event[name] = "…"
        else:
            event[name] = _blank(value)
    return event


def _blank(value: Any) -> Any:
    if isinstance(value, str):
        return PHONE.sub("☎…", value)
    if isinstance(value, dict):
        return {key: "…" if isinstance(key, str) and SECRET_WORDS.search(key) else _blank(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_blank(inner) for inner in value]
    return value
