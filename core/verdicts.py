"""Verdicts: may it be done, and on which facts that rests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from core.i18n import lazy, t

SENTENCES = {
    "system": lazy("The system itself acts."),
    "undo": lazy("Done by the same person less than 15 minutes ago."),
    "late": lazy("Own actions can be undone for 15 minutes; later, or for others, an administrator can."),
    "nobody": lazy("Nobody is signed in, or the account is closed."),
    "level": lazy("Administrators may do everything that was not taken from them personally."),
    "denial": lazy("This right was taken away personally."),
    "grant": lazy("This right was given personally."),
    "role": lazy("Role “%(role)s”"),
    "right": lazy("The role has this right, as an administrator set it."),
    "rule": lazy("The role has this right, as the addon brings it along."),
    "nothing": lazy("No role, and nothing given personally, allows it."),
    "outside": lazy("But this record is outside of what that right covers."),
    "all": lazy("The right covers all records."),
    "open": lazy("These records are open to everybody who has any right to them."),
    "own": lazy("Owner of the record"),
    "author": lazy("Made the record"),
    "fresh": lazy("The record is being made and has no owner yet."),
    "department": lazy("The record belongs to a department of this person."),
    "below": lazy("The record belongs to a department of this person or one below it."),
    "team": lazy("The record belongs to somebody of the same team."),
    "parent": lazy("It is a part of a record that is within reach."),
    "share": lazy("The record is shared."),
    "key": lazy("The API key that was used does not reach this."),
    "field": lazy("But this field is closed to the roles of this person."),
    "readonly": lazy("These records can only be read here."),
    "kept": lazy("The house keeps these records itself; nobody does this by hand."),
    "no_menu": lazy("This list stands in no menu; it is opened from the records that it belongs to."),
    "no_level": lazy("This page is for administrators."),
    "would_level": lazy("Give the level of an administrator"),
}
"""What each kind of fact says, in words that fit whoever it is about."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact that a verdict rests on: its kind, and the row or line of code that it stands in."""

    kind: str
    source: str = ""
    """``table:id`` of a stored row, ``rule:addon`` of a line of code, nothing where no single row says it."""
    role: str = ""
    model: str = ""
    """Of rights: what they are about, as `core.rules.model_key` says it."""
    verb: str = ""
    sentence: str = ""
    """What an addon says itself, where no kind of fact says it."""

    @property
    def text(self) -> str:
        """The fact in the acting person's language."""
        if self.sentence:
            return self.sentence
        said = str(SENTENCES[self.kind])
        return said % {"role": t(self.role)} if self.role else said


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it be done, and on which facts that rests."""

    allowed: bool
    reasons: tuple[Fact, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that gives a right: a level, a role with its right, or a personal grant."""

    scopes: frozenset[str]
    shared: bool
    facts: tuple[Fact, ...]


@dataclass(slots=True)
class Grant:
    """What one person may do with one model by one verb: scopes that add up, and what gives them."""

    scopes: set[str] = field(default_factory=set)
    shared: bool = False
    denied: bool = False
    sources: list[Source] = field(default_factory=list)
    against: tuple[Fact, ...] = ()
    """Why there is nothing."""

    def add(self, scopes: set[str], shared: bool, *facts: Fact) -> None:
        """Take along what one more source gives."""
        self.scopes |= scopes
        self.shared |= shared
        self.sources.append(Source(frozenset(scopes), shared, facts))

    def giving(self, scope: str) -> Iterator[Source]:
        """The sources of one scope; of any, for ``open``; of “also shared records”, for ``share``."""
        for one in self.sources:
            if one.shared if scope == "share" else (scope in one.scopes or (scope == "open" and one.scopes)):
                yield one

    @property
    def reasons(self) -> tuple[Fact, ...]:
        """All that gives this right, or why there is none."""
        return self.against or tuple(dict.fromkeys(fact for one in self.sources for fact in one.facts))

    @property
    def nothing(self) -> bool:
        """True when no row at all is within reach."""
        return self.denied or (not self.scopes and not self.shared)


def plain(facts: Any) -> list[dict[str, str]]:
    """Facts as plain values, in the acting person's language."""
    return [{"kind": one.kind, "text": one.text, "source": one.source} for one in facts]
