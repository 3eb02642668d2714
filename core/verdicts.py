"""Verdicts: may it be done, and by which chain of facts."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.i18n import gettext as _
from core.i18n import lazy, t

_SENTENCES = {
    "nobody": lazy("Nobody is signed in."),
    "denial": lazy("This right was taken from you personally."),
    "level": lazy("You are an administrator."),
    "grant": lazy("This right was given to you personally."),
    "nothing": lazy("None of your roles allows it."),
}


def _sentence(kind: str, role: str) -> str:
    return _("Your role “%(role)s” allows it.", role=t(role)) if kind == "role" else str(_SENTENCES[kind])


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of an explanation: what kind of fact, in words, and which row or line of code it stands in."""

    kind: str
    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it be done, and by which chain of facts."""

    allowed: bool
    reasons: tuple[Reason, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(slots=True)
class Grant:
    """What one person may do with one model by one verb: scopes that add up, and why."""

    scopes: set[str] = field(default_factory=set)
    shared: bool = False
    denied: bool = False
    facts: list[tuple[str, str, str]] = field(default_factory=list)
    """(kind, source, role's name) of what the reasons tell; told when somebody asks, since a menu asks for hundreds of grants."""

    @property
    def reasons(self) -> list[Reason]:
        """The chain of facts, in the acting person's language."""
        return [Reason("nothing" if kind == "nobody" else kind, _sentence(kind, role), source) for kind, source, role in self.facts]

    @property
    def nothing(self) -> bool:
        """True when no row at all is within reach."""
        return self.denied or (not self.scopes and not self.shared)
