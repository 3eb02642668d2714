"""Settings that system administrators alone change, whatever the door."""

from __future__ import annotations

from typing import Any

from core.context import actor
from core.errors import Refused
from core.hooks import hook
from core.i18n import Lazy, t
from core.rules import rights
from core.settings import Setting

GUARDED: dict[str, Lazy] = {}
"""Beginnings of keys, each with the sentence for whoever may not; the modules that declare the settings fill it."""


@hook.before_save(Setting)
def only_system_administrators_change_them(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """An administrator of the second level could otherwise raise himself by them, or hide what he did (D17, D19)."""
    _guard(record.key)


@hook.before_delete(Setting)
def only_system_administrators_forget_them(record: Any) -> None:
    """The way back to the default is a change, too. Deletions and undo run with the system's eyes; here it counts who asked."""
    _guard(record.key)


def _guard(key: str | None) -> None:
    if actor().user_id is None or rights().level == "system_administrator":
        return
    for prefix, sentence in GUARDED.items():
        if (key or "").startswith(prefix):
            raise Refused(t(sentence))
