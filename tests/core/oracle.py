"""The row rules once more, slowly and plainly: loops over facts, written from the design's words and not from core's code.

Whatever the house shows, changes or refuses is compared with what this file says.

From DESIGN, decision 3: personal denial > personal grant > role > nothing. A person belongs to departments through posts
only. Scopes are a set per role and verb, and several roles add up: none, own, own department, department and below, team,
all; “shared with me” is a tick of its own. Code gives defaults; the administrator's matrix overrides them. A model may be
open to the team. A half-visible class needs a rule of its own (none = nobody).
From docs/rights.md: of several roles of a person the most generous counts for a field; a row overrides the code. An API key
narrows what its person may do and never widens it; reading, exporting and printing are reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

READING = ("read", "export", "print")
CHANGING = ("create", "edit", "delete", "import", "share", "transfer")
ADMINISTRATORS = ("administrator", "system_administrator")
EVERYONE = "Everyone"


@dataclass
class Shape:
    """What the rules have to know about a model."""

    name: str
    owned: bool = False
    part_of: str | None = None
    """Name of the model that this one is a part of."""
    open_to_team: bool = False
    half_of: str | None = None


@dataclass
class Line:
    """A `rule(…)` of code, or a row of the administrator's matrix."""

    role: str
    model: str
    verb: str
    scopes: set[str]
    shared: bool = False


@dataclass
class Personal:
    """A right given to, or taken from, one person."""

    user: int
    model: str
    verb: str
    denied: bool
    scopes: set[str]
    until: datetime | None = None


@dataclass
class Opened:
    """A share of one record."""

    model: str
    record: int
    access: str
    user: int | None = None
    department: int | None = None
    team: int | None = None
    until: datetime | None = None


@dataclass
class Closed:
    """A field that code or an administrator has closed to a role, or opened again: ``hidden``, ``read_only`` or ``open``."""

    role: str
    model: str
    field: str
    access: str


@dataclass
class Row:
    """One record: who owns it, where it belongs, who wrote it, what it is a part of."""

    id: int
    owner: int | None = None
    department: int | None = None
    author: int | None = None
    whole: int | None = None
    """Id of the record that this one is a part of."""


@dataclass
class Facts:
    """All that is known."""

    shapes: dict[str, Shape]
    now: datetime
    levels: dict[int, str] = field(default_factory=dict)
    active: dict[int, bool] = field(default_factory=dict)
    roles: dict[int, set[str]] = field(default_factory=dict)
    posts: list[tuple[int, int]] = field(default_factory=list)
    """(user, department)"""
    parents: dict[int, int | None] = field(default_factory=dict)
    """department → the one above it"""
    teams: dict[int, set[int]] = field(default_factory=dict)
    code: list[Line] = field(default_factory=list)
    matrix: list[Line] = field(default_factory=list)
    personal: list[Personal] = field(default_factory=list)
    shares: list[Opened] = field(default_factory=list)
    rows: dict[str, dict[int, Row]] = field(default_factory=dict)
    closed: list[Closed] = field(default_factory=list)
    code_closed: list[Closed] = field(default_factory=list)
    limits: set[str] | None = None
    """What the API key reaches with which the asking person came in, as ``write`` or ``Matter:read``; None without a key."""

    # -- the person -----------------------------------------------------------------------------------------------

    def departments_of(self, user: int) -> set[int]:
        """Where a person has a post."""
        found = set()
        for holder, place in self.posts:
            if holder == user:
                found.add(place)
        return found

    def at_or_below(self, place: int | None, tops: set[int]) -> bool:
        """Is this department one of ``tops``, or somewhere below one?"""
        steps = 0
        while place is not None and steps < 50:
            if place in tops:
                return True
            place = self.parents.get(place)
            steps += 1
        return False

    def teams_of(self, user: int) -> set[int]:
        """The teams a person is in."""
        return {one for one, members in self.teams.items() if user in members}

    def mates_of(self, user: int) -> set[int]:
        """Everybody who is in a team with this person, himself included when he is in any."""
        found: set[int] = set()
        for members in self.teams.values():
            if user in members:
                found |= members
        return found

    # -- what was given -------------------------------------------------------------------------------------------

    def given(self, user: int | None, model: str, verb: str) -> tuple[set[str], bool]:
        """(scopes, also shared records) of a person for a verb on a model; two empty answers when it is nothing."""
        if user is None or user not in self.levels or not self.active.get(user, False):
            return set(), False
        if self.limits is not None and not self.reached_by_key(model, verb):
            return set(), False
        scopes: set[str] = set()
        shared = False
        for one in self.personal:
            if one.user == user and one.model == model and one.verb == verb and (one.until is None or one.until > self.now):
                if one.denied:
                    return set(), False
                scopes |= one.scopes
        if self.levels[user] in ADMINISTRATORS:
            return {"all"}, False
        for role in {*self.roles.get(user, set()), EVERYONE}:
            lines = [one for one in self.matrix if (one.role, one.model, one.verb) == (role, model, verb)]
            if not lines:
                lines = [one for one in self.code if (one.role, one.model, one.verb) == (role, model, verb)]
            for one in lines:
                scopes |= one.scopes
                shared = shared or one.shared
        return scopes - {"none"}, shared

    def reached_by_key(self, model: str, verb: str) -> bool:
        """Does the key of this moment reach a verb on a model? Its scopes name tables, so a half-visible class goes with its whole."""
        assert self.limits is not None
        table = self.shapes[model].half_of or model
        enough = ["write", f"{table}:write"]
        if verb in READING:
            enough += ["read", f"{table}:read"]
        return any(one in self.limits for one in enough)

    # -- fields ---------------------------------------------------------------------------------------------------

    def reads_by(self, role: str, model: str) -> bool:
        """Does this role read any record of the model?"""
        lines = [one for one in self.matrix if (one.role, one.model, one.verb) == (role, model, "read")]
        if lines:
            return any(one.shared or one.scopes - {"none"} for one in lines)
        return any((one.role, one.model, one.verb) == (role, model, "read") for one in self.code)

    def access(self, user: int, model: str, name: str) -> str:
        """``hidden``, ``read_only`` or ``open``: the most generous of the roles by which this person reads the model."""
        if self.levels[user] in ADMINISTRATORS:
            return "open"
        found = []
        for role in {*self.roles.get(user, set()), EVERYONE}:
            if self.reads_by(role, model):
                stored = [one.access for one in self.closed if (one.role, one.model, one.field) == (role, model, name)]
                coded = [one.access for one in self.code_closed if (one.role, one.model, one.field) == (role, model, name)]
                found.append((stored or coded or ["open"])[0])
        for access in ("open", "read_only", "hidden"):
            if access in found:
                return access
        # Who reads by a personal right alone has no role that could close anything.
        return "open"

    def may_field(self, user: int, verb: str, model: str, record: Row, name: str) -> bool:
        """May this person do this with this record and this field of it?"""
        access = self.access(user, model, name)
        return self.may(user, verb, model, record) and (access == "open" or (access == "read_only" and verb in READING))

    # -- the question ---------------------------------------------------------------------------------------------

    def may(self, user: int | None, verb: str, model: str, record: Row) -> bool:
        """May this person do this with this record?"""
        scopes, shared = self.given(user, model, verb)
        if user is None or (not scopes and not shared):
            return False
        shape = self.shapes[model]
        if shape.half_of and verb in CHANGING:
            return False
        if "all" in scopes or (shape.open_to_team and scopes):
            return True
        if shape.half_of:
            # It has neither owner nor author among its columns, so no scope but “all” can be measured on it.
            record = Row(record.id)
        mine = record.owner if shape.owned else record.author
        if "own" in scopes and mine == user:
            return True
        if shape.owned and record.department is not None:
            places = self.departments_of(user)
            if "department" in scopes and record.department in places:
                return True
            if "below" in scopes and self.at_or_below(record.department, places):
                return True
        if "team" in scopes and mine is not None and mine in self.mates_of(user):
            return True
        if "parent" in scopes and shape.part_of is not None and record.whole is not None:
            whole = self.rows[shape.part_of].get(record.whole)
            needed = {"read": "read", "print": "read", "export": "export"}.get(verb, "edit")
            if whole is not None and self.may(user, needed, shape.part_of, whole):
                return True
        return shared and self.shared_with(user, verb, shape.half_of or model, record.id)

    def shared_with(self, user: int, verb: str, model: str, record: int) -> bool:
        """Is this record shared with this person for this verb, today?"""
        for one in self.shares:
            if one.model != model or one.record != record or (one.until is not None and one.until <= self.now):
                continue
            if verb != "read" and one.access != "edit":
                continue
            to_him = one.user is not None and one.user == user
            to_his_department = one.department is not None and one.department in self.departments_of(user)
            to_his_team = one.team is not None and one.team in self.teams_of(user)
            if to_him or to_his_department or to_his_team:
                return True
        return False

    def visible(self, user: int | None, model: str, verb: str = "read") -> set[int]:
        """Ids of the records of a model that are within this person's reach."""
        stock: Any = self.rows[self.shapes[model].half_of or model]
        return {one.id for one in stock.values() if self.may(user, verb, model, one)}
