"""The whole contract between the house and its addons: nine functions, each called for the addons that are on."""

from __future__ import annotations

from typing import Any

import pluggy

spec = pluggy.HookspecMarker("mortise")


@spec
def before_save(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """A record is about to be written. May set values or raise `Invalid`; ``changes`` is ``{field: (old, new)}``."""


@spec
def after_save(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """A record was written, in the same transaction; the place to queue a job or to touch other records."""


@spec
def before_delete(record: Any) -> None:
    """A record is about to be deleted. Raise `Invalid` with a sentence to keep it."""


@spec
def after_delete(record: Any) -> None:
    """A record was deleted, in the same transaction."""


@spec
def panels(record: Any) -> list[Any]:
    """More panels for a record's page: models that link to it, or objects with ``title`` and ``html``."""


@spec
def menu(user: Any) -> list[Any]:
    """More menu entries for this person: ``(label, url, icon)``."""


@spec
def app_ready(app: Any) -> None:
    """The application is built; called once in each process, before the first request."""


@spec
def addon_enabled(addon: str) -> None:
    """An addon was switched on; it recomputes here what it would have computed while it slept."""


@spec
def addon_disabled(addon: str) -> None:
    """An addon was switched off; nothing of it runs after this call."""


NAMES = ("before_save", "after_save", "before_delete", "after_delete", "panels", "menu", "app_ready", "addon_enabled", "addon_disabled")
BY_MODEL = ("before_save", "after_save", "before_delete", "after_delete", "panels")
