"""Who may do what with which rows and fields: one engine that filters, refuses and explains from the same facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from sqlalchemy import and_, false, inspect, or_, select, true, union_all

from core.context import actor, now
from core.db import among, db
from core.fields import Field
from core.model import fields_of, is_half, is_owned, part_of
from core.people import ADMINISTRATORS, Department, RoleRow, Share, Team, has_left
from core.rule_lines import (
    EVERYONE,
    SCOPES,
    VERBS,
    WRITES,
    Role,
    default_scope,
    everyone,
    lines_by_model,
    model_key,
    roles_of_code,
    rule,
    rules_of,
    verbs_of,
)
from core.rule_statements import MOST_SHARED, statements
from core.settings import setting
from core.sketch import model_behind
from core.verdicts import Fact, Grant, Verdict

__all__ = [
    "EVERYONE", "SCOPES", "VERBS", "WRITES", "Grant", "Rights", "Role", "Verdict", "default_scope", "everyone", "forget_rights",
    "may", "model_key", "rights", "roles_of_code", "rule", "rules_of", "verbs_of", "visible_ids",
]  # fmt: skip

QUIET = {"mortise_rules": False}
ABOVE = {"read": "read", "print": "read", "export": "export"}
"""What one must be allowed with a record to do this with its parts; whatever else is done with a part changes the whole: ``edit``."""
ACCESSES = ("hidden", "read", "write")


class Rights:
    """All rights of one person, loaded once a request by two statements.

    A closed account has none; with ``even_closed`` they are what they would be if it were open.
    """

    def __init__(self, user_id: int | None, *, even_closed: bool = False) -> None:
        self.user_id = user_id
        self.level = "nobody"
        self.roles: dict[int, str] = {}
        self.departments: set[int] = set()
        self.primary: int | None = None  # department of the primary post, or of the oldest
        self.below: set[int] = set()
        self.teams: set[int] = set()
        self.limits = actor().limits
        self.kind: tuple[Any, ...] = ()
        """Level, roles and granted rights: whoever has the same may reach the same models, though not the same records."""
        self._role_ids: dict[str, int] = {}
        self._role_rows: dict[tuple[str, str], dict[int, tuple[set[str], bool, int]]] = {}
        self._field_rows: dict[tuple[str, int, str], str] = {}
        self._personal: dict[tuple[str, str], list[tuple[bool, set[str], int]]] = {}
        self._grants: dict[tuple[str, str], Grant] = {}
        self._shared: dict[str, set[tuple[int, str]]] = {}
        self._holding: set[int] = set()  # whose shares (`_holders`) there are, where they are too many to be named
        self._teammates: set[int] | None = None
        self._branches: dict[tuple[type, str, bool], list[Any] | None] = {}
        self._readers: dict[str, list[tuple[int, list[Any]]]] = {}
        self._seen: dict[type, tuple[Any, dict[str, Field], dict[str, Field]]] = {}
        if user_id is not None:
            self._load(user_id, even_closed)

    def _load(self, user_id: int, even_closed: bool) -> None:
        found = db.run(statements()[0], {"user_id": user_id}).all()
        level = next((word for kind, _one, is_open, word in found if kind == "l" and (is_open or even_closed)), None)
        last_day = next((word for kind, _one, _other, word in found if kind == "e"), None)
        if level is None or (last_day and not even_closed and has_left(date.fromisoformat(last_day), now(), setting("firm.zone"))):
            return
        self.level = level
        for kind, one, other, word in found:
            if kind == "o":
                self.roles[one] = word
                self._role_ids[word] = one
            elif kind == "t":
                self.teams.add(one)
            elif kind == "d":
                self.departments.add(one)
                self.below.add(other)
        self.primary = max(((word, -other, one) for kind, one, other, word in found if kind == "p"), default=(0, 0, None))[2]
        self._load_granted(user_id)

    @classmethod
    def made_up(cls, roles: Iterable[int], departments: Iterable[int]) -> Rights:
        """The rights of an employee who is nobody yet: with these roles and posts, and nothing of his own."""
        made = cls(None)
        made.level = "employee"
        table, role = Department.__table__, RoleRow.__table__
        wanted = select(role.c.id, role.c.name).where(or_(role.c.name == EVERYONE, role.c.id.in_(list(roles))))
        for one, name in db.session.execute(wanted, execution_options=QUIET):
            made.roles[one] = name
            made._role_ids[name] = one
        made.departments = made.below = fresh = set(departments)
        while fresh:
            children = select(table.c.id).where(table.c.parent_id.in_(fresh))
            fresh = set(db.session.execute(children, execution_options=QUIET).scalars()) - made.below
            made.below = made.below | fresh
        made._load_granted(0)
        return made

    def _load_granted(self, user_id: int) -> None:
        """What roles, personal rights and shares give to somebody whose places are known."""
        _places, rows = statements()
        places_of = {"departments": sorted(self.departments), "teams": sorted(self.teams)}
        facts = {"user_id": user_id, **places_of, "roles": list(self.roles) or [0], "moment": now(), "most": MOST_SHARED}
        granted = db.run(rows, facts).all()
        self.kind = self.level, self.limits, frozenset(self.roles), frozenset(tuple(one) for one in granted if one[0] not in "sm")
        for kind, owner, model, word, text, flag, row_id in granted:
            if kind == "r":
                self._role_rows.setdefault((model, word), {})[owner] = (set(text.split()) - {"none"}, bool(flag), row_id)
            elif kind == "s":
                self._shared.setdefault(model, set()).add((owner, word))
            elif kind == "m":
                self._holding.add(owner)
            elif kind == "f":
                self._field_rows[model, owner, word] = text
            else:
                self._personal.setdefault((model, word), []).append((bool(flag), set(text.split()) - {"none"}, row_id))

    # -- grants ---------------------------------------------------------------------------------------------------

    def grant(self, model: type, verb: str) -> Grant:
        """What this person may do with ``model`` by ``verb``: denial > personal grant > roles > nothing (D18)."""
        key = (model_key(model), verb)
        if key not in self._grants:
            self._grants[key] = self._make_grant(model, *key)
        return self._grants[key]

    def _make_grant(self, model: type, key: str, verb: str) -> Grant:
        made = Grant()
        if self.level == "nobody":
            made.against = (Fact("nobody"),)
            return made
        if self.limits is not None and not self.limits.allow(key, verb):
            made.denied, made.against = True, (Fact("key", "", "", key, verb),)
            return made
        personal = self._personal.get((key, verb), [])
        if denials := [row_id for denied, _scopes, row_id in personal if denied]:
            made.denied = True
            made.against = tuple(Fact("denial", f"core_personal_right:{row_id}", "", key, verb) for row_id in denials)
            return made
        if self.level in ADMINISTRATORS:
            made.add({"all"}, False, Fact("level", f"ab_user:{self.user_id}"))
            return made
        for _denied, scopes, row_id in personal:
            made.add(scopes, False, Fact("grant", f"core_personal_right:{row_id}", "", key, verb))
        rows = self._role_rows.get((key, verb), {})
        mine = [one for one in lines_by_model.get(key, []) if verb in one.verbs and one.role in self._role_ids]
        named = {one.role for one in mine}
        for role_id, name in self.roles.items() if rows or mine else ():
            row = rows.get(role_id)
            if row is None and name not in named:
                continue
            if row is not None:
                scopes, shared, row_id = row
                right = Fact("right", f"core_role_right:{row_id}", name, key, verb)
            else:
                lines = [one for one in mine if one.role == name]
                scopes = set().union(*(one.scopes for one in lines)) - {"none"}
                shared = any(one.shared for one in lines)
                right = Fact("rule", f"rule:{lines[0].addon}", name, key, verb)
            if scopes or shared:
                made.add(scopes, shared, Fact("role", f"ab_role:{role_id}", name), right)
        if made.nothing:
            made.against = (Fact("nothing", "", "", key, verb),)
        return made

    def may_at_all(self, model: type, verb: str) -> bool:
        """True when at least some row could be within reach."""
        return not self.grant(model, verb).nothing

    # -- rows -----------------------------------------------------------------------------------------------------

    def branches(self, model: type, verb: str = "read", *, each: bool = False) -> list[Any] | None:
        """The alternatives of the row filter as SQL expressions: None for “all rows”, an empty list for “no row”.

        With ``each`` they are to be asked of rows that other conditions have found: many shares are then looked up row by row,
        where otherwise the database would collect all of them first.
        """
        key = model, verb, each and bool(self._holding)
        if key not in self._branches:
            self._branches[key] = self._make_branches(*key)
        return self._branches[key]

    def _make_branches(self, model: Any, verb: str, each: bool) -> list[Any] | None:
        grant = self.grant(model, verb)
        if grant.nothing:
            return []
        if "all" in grant.scopes or (model.open_to_team and grant.scopes):
            return None
        owner, department = _place(model)
        found: list[Any] = []
        # A made-up person has no id, and what belongs to nobody is not his.
        if "own" in grant.scopes and owner is not None and self.user_id is not None:
            found.append(owner == self.user_id)
        if department is not None:
            reach = (self.below if "below" in grant.scopes else set()) | (self.departments if "department" in grant.scopes else set())
            if reach:
                found.append(department.in_(sorted(reach)))
        if "team" in grant.scopes and owner is not None and self.teams:
            members = Team.members.property.secondary
            found.append(owner.in_(select(members.c.right_id).where(members.c.left_id.in_(sorted(self.teams)))))
        if "parent" in grant.scopes and (link := part_of(model)) is not None:
            parent = link.target
            above = self.row_filter(parent, ABOVE.get(verb, "edit"))
            if above is None:
                return None
            found.append(getattr(model, link.key).in_(select(parent.__table__.c.id).where(above)))
        if grant.shared:
            if self._holding:
                shared = self._shared_ids(model, verb)
                found.append(shared.where(Share.__table__.c.record_id == model.id).exists() if each else model.id.in_(shared))
            elif ids := self._few_shared(model, verb):
                found.append(among(model.id, sorted(ids)))
        return found

    def much_shared(self, model: type, verb: str = "read") -> Any:
        """The ids of the records that are shared with the person, as a query, where they are too many to be named; else None."""
        grant = self.grant(model, verb)
        many = self._holding and grant.shared and not ("all" in grant.scopes or (model.open_to_team and grant.scopes))
        # Each holder that has any by itself, so that each is read from its own index.
        parts = [self._shared_ids(model, verb, [one]) for place, one in self._holders() if place in self._holding] if many else []
        return union_all(*parts) if len(parts) > 1 else next(iter(parts), None)

    def _few_shared(self, model: type, verb: str) -> set[int]:
        return {record_id for record_id, access in self._shared.get(model.__tablename__, ()) if verb == "read" or access == "edit"}

    def _shared_ids(self, model: type, verb: str, holders: list[Any] | None = None) -> Any:
        share = Share.__table__
        lasting = or_(share.c.until.is_(None), share.c.until > now())
        where = [share.c.model == model.__tablename__, or_(*(holders or [one for _place, one in self._holders()])), lasting]
        if verb != "read":
            where.append(share.c.access == "edit")
        return select(share.c.record_id).where(*where)

    def _holders(self) -> list[tuple[int, Any]]:
        """Conditions of the shares that are the person's: (0, given to him), (1, to his departments), (2, to his teams)."""
        names = Share.__table__.c
        several = (1, names.department_id, self.departments), (2, names.team_id, self.teams)
        return [(0, names.user_id == self.user_id), *((place, column.in_(sorted(ids))) for place, column, ids in several if ids)]

    def row_filter(self, model: type, verb: str = "read", *, each: bool = False) -> Any:
        """One SQL expression for the rows within reach: None for “all”, ``false()`` for “none”; ``each`` as in `branches`."""
        found = self.branches(model, verb, each=each)
        if found is None:
            return None
        return or_(*found) if found else false()

    def covers(self, record: Any, verb: str, *, old: bool = False) -> Verdict:
        """May this person do ``verb`` with this very record? Answered from its values; ``old`` asks for those stored before."""
        model = model_behind(record)
        grant = self.grant(model, verb)
        if grant.nothing:
            return Verdict(False, grant.reasons)
        for scope, kind in self.ways(record, verb, grant, old=old):
            return Verdict(True, (*next(grant.giving(scope)).facts, Fact(kind)))
        return Verdict(False, (*grant.reasons, Fact("outside", "", "", model_key(model), verb)))

    def ways(self, record: Any, verb: str, grant: Grant, *, old: bool = False) -> Iterator[tuple[str, str]]:
        """(scope, kind of fact) of every way in which this grant covers the record, the cheap ones first."""
        model = model_behind(record)
        if "all" in grant.scopes:
            yield "all", "all"
        if model.open_to_team and grant.scopes:
            yield "open", "open"
        value = _old_value if old else getattr
        owned = is_owned(model)
        # Half of a record has neither owner nor author.
        owner = None if is_half(model) else value(record, "owner_id" if owned else "created_by_id")
        department = value(record, "department_id") if owned else None
        if "own" in grant.scopes:
            if owner is not None and owner == self.user_id:
                yield "own", "own" if owned else "author"
            elif owner is None and not owned and record.id is None:
                yield "own", "fresh"
        if "below" in grant.scopes and department in self.below:
            yield "below", "below"
        if "department" in grant.scopes and department in self.departments:
            yield "department", "department"
        if "team" in grant.scopes and owner is not None and owner in self.teammates():
            yield "team", "team"
        if "parent" in grant.scopes and (link := part_of(model)) is not None:
            parent_id = value(record, link.key)
            # Made in the same flush as what it is part of, which has no id yet.
            fresh = getattr(record, link.name, None) if parent_id is None and record.id is None else None
            if self._reaches(link.target, parent_id, ABOVE.get(verb, "edit")) or (fresh is not None and self.covers(fresh, "read")):
                yield "parent", "parent"
        if grant.shared and record.id is not None and (self._holding or record.id in self._few_shared(model, verb)):
            shared = self._shared_ids(model, verb).where(Share.__table__.c.record_id == record.id).limit(1)
            if db.session.execute(shared, execution_options=QUIET).first():
                yield "share", "share"

    def _reaches(self, model: type, record_id: int | None, verb: str) -> bool:
        if verb == "read" or record_id is None:
            return bool(visible_ids(model, [record_id]))
        table, reach = model.__table__, self.row_filter(model, verb)
        query = select(table.c.id).where(table.c.id == record_id, *(() if reach is None else (reach,)))
        return db.session.execute(query, execution_options=QUIET).first() is not None

    def teammates(self) -> set[int]:
        """Ids of the people who share a team with this person."""
        if self._teammates is None:
            members = Team.members.property.secondary
            found = db.session.execute(
                select(members.c.right_id).where(members.c.left_id.in_(sorted(self.teams) or [0])),
                execution_options={"mortise_rules": False},
            )
            self._teammates = set(found.scalars())
        return self._teammates

    # -- fields ---------------------------------------------------------------------------------------------------

    def field_access(self, model: type, one: Field) -> str:
        """``write``, ``read`` or ``hidden``. Of several roles that may read the model, the most generous counts."""
        if self.level in ADMINISTRATORS:
            return "write"
        key, best = model_key(model), -1
        if key not in self._readers:
            self._readers[key] = self._reading_roles(key)
        for role_id, lines in self._readers[key]:
            stored = self._field_rows.get((key, role_id, one.name))
            best = max(best, ACCESSES.index(access_of(stored, lines, one.name)))
        return ACCESSES[best] if best >= 0 else "write"

    def _reading_roles(self, key: str) -> list[tuple[int, list[Any]]]:
        """(role, its lines of code) of every role of this person that may read the model."""
        rows, found = self._role_rows.get((key, "read"), {}), []
        for role_id, name in self.roles.items():
            lines = [line for line in lines_by_model.get(key, []) if line.role == name]
            row = rows.get(role_id)
            if (row[0] or row[1]) if row is not None else any("read" in line.verbs for line in lines):
                found.append((role_id, lines))
        return found

    def fields_seen(self, model: type) -> dict[str, Field]:
        """The fields of ``model`` as they are now that this person may see."""
        return self._fields(model)[1]

    def fields_filtered(self, model: type) -> dict[str, Field]:
        """The fields of ``model`` as they are now that this person may filter and sort by."""
        return self._fields(model)[2]

    def _fields(self, model: type) -> tuple[Any, dict[str, Field], dict[str, Field]]:
        everything = fields_of(model)
        kept = self._seen.get(model)
        if kept is None or kept[0] is not everything:
            seen = {name: one for name, one in everything.items() if self.field_access(model, one) != "hidden"}
            open_ = {name: one for name, one in everything.items() if not (one.hidden or one.sensitive) and (one.system or name in seen)}
            kept = self._seen[model] = everything, seen, open_
        return kept


def access_of(stored: str | None, lines: Iterable[Any], name: str) -> str:
    """What one role may do with a field: as an administrator set it, else as its lines of code say."""
    if stored is not None:
        return {"hidden": "hidden", "read_only": "read"}.get(stored, "write")
    if any(name in line.hidden for line in lines):
        return "hidden"
    return "read" if any(name in line.read_only for line in lines) else "write"


def enough(verb: str) -> tuple[str, ...]:
    """The accesses to a field with which one may do this: what is only read may be exported and printed as well."""
    return ("read", "write") if verb in ABOVE else ("write",)


def _place(model: type) -> tuple[Any, Any]:
    """(owner column, department column) that scopes are measured by."""
    if is_owned(model):
        return model.owner_id, model.department_id
    return getattr(model, "created_by_id", None), None


def _old_value(record: Any, name: str) -> Any:
    deleted = inspect(record).attrs[name].history.deleted
    return deleted[0] if deleted else getattr(record, name)


def rights() -> Rights:
    """The rights of the acting person; loaded at first use and kept for the request."""
    who = actor()
    found = who.memo.get("rights")
    if found is None or found.user_id != who.user_id:
        found = who.memo["rights"] = Rights(who.user_id)
    return found


def sees_title(model: Any) -> bool:
    """May the acting person see the field that titles these records? Otherwise they are called by their number."""
    if actor().system or actor().user_id is None or model.title_field == "id":
        return True
    return rights().field_access(model, model.__fields__[model.title_field]) != "hidden"


def forget_rights() -> None:
    """Load rights anew at the next question: something about people or rights was written."""
    actor().memo.pop("rights", None)


def may(verb: str, target: Any, field_name: str | None = None) -> Verdict:
    """May the acting person do ``verb`` with a model or a record (and one of its fields)? The verdict explains itself."""
    who = actor()
    if verb in WRITES and is_half(target if isinstance(target, type) else type(target)):
        return Verdict(False, (Fact("readonly"),))
    if who.system:
        return Verdict(True, (Fact("system"),))
    mine = rights()
    if isinstance(target, type):
        grant = mine.grant(target, verb)
        verdict = Verdict(not grant.nothing, grant.reasons)
    else:
        verdict = mine.covers(target, verb)
    if verdict and field_name is not None:
        model = target if isinstance(target, type) else type(target)
        one = fields_of(model).get(field_name)
        access = mine.field_access(model, one) if one is not None else "hidden"
        if access not in enough(verb):
            return Verdict(False, (*verdict.reasons, Fact("field")))
    return verdict


def visible_ids(model: type, ids: Iterable[int]) -> set[int]:
    """Those of ``ids`` whose records the acting person may read; one statement, remembered for the request."""
    wanted = {one for one in ids if one is not None}
    who = actor()
    known: set[int] = who.memo.setdefault(("visible", model_key(model), who.system), set())
    if missing := wanted - known:
        table = model.__table__
        where = [table.c.id.in_(sorted(missing))]
        if not who.system:
            reach = rights().row_filter(model, "read")
            if reach is not None:
                where.append(reach)
        query = select(table.c.id).where(and_(true(), *where))
        known.update(db.session.execute(query, execution_options=QUIET).scalars())
    return wanted & known
