"""Who may do what with which rows and fields: one engine that filters, refuses and explains from the same facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, false, literal, null, or_, select, true, union_all

from core.context import actor, now
from core.db import db
from core.errors import Misbuilt
from core.fields import Field
from core.i18n import gettext as _
from core.i18n import t
from core.model import fields_of, is_half, is_owned, part_of
from core.people import Department, FieldRight, MortiseUser, PersonalRight, Post, RoleRight, RoleRow, Share, Team, assoc_user_role

VERBS = ("read", "create", "edit", "delete", "import", "export", "print", "bulk", "share", "transfer")
WRITES = ("create", "edit", "delete", "import", "share", "transfer")
SCOPES = ("none", "own", "department", "below", "team", "all")
EVERYONE = "Everyone"


@dataclass(frozen=True, slots=True)
class Role:
    """A role that code brings along; `run.py migrate` makes it a row that administrators fill with people."""

    name: str

    def __post_init__(self) -> None:
        _roles.setdefault(self.name, self)


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
    reasons: list[Reason] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """True when no row at all is within reach."""
        return self.denied or (not self.scopes and not self.shared)


@dataclass(frozen=True, slots=True)
class CodeRule:
    """One `rule(…)` line of an addon."""

    model: type
    role: str
    verbs: frozenset[str]
    scopes: frozenset[str]
    shared: bool
    hidden: frozenset[str]
    read_only: frozenset[str]
    addon: str


_roles: dict[str, Role] = {}
_rules: dict[str, list[CodeRule]] = {}
everyone = Role(EVERYONE)


def roles_of_code() -> list[str]:
    """Names of the roles that code asks for."""
    return list(_roles)


def model_key(model: type) -> str:
    """How a model is called in rights tables: its table, or ``table:Class`` for a half-visible class."""
    return f"{model.__tablename__}:{model.__name__}" if is_half(model) else model.__tablename__


def rule(model: type, role: Role, verbs: str, scope: str = "", *, shared: bool = False, hidden: str = "", read_only: str = "") -> None:
    """Give ``role`` the ``verbs`` on ``model`` within ``scope``; words are separated by blanks.

    Without a scope: own records where the model is `Owned`, records whose parent may be read where it is a part
    of another, all records else. The administrator's matrix overrides this line.
    """
    from core.model import loading

    scopes = set(scope.split())
    if unknown := scopes - set(SCOPES):
        raise Misbuilt(f"rule({model.__name__}, {role.name!r}): there is no scope {sorted(unknown)[0]!r}; use {', '.join(SCOPES)}.")
    if missing := (set(hidden.split()) | set(read_only.split())) - set(model.__fields__):
        raise Misbuilt(f"rule({model.__name__}, {role.name!r}): {model.__name__} has no field {sorted(missing)[0]!r}.")
    made = CodeRule(
        model, role.name, frozenset(verbs.split()), frozenset(scopes or {default_scope(model)}), shared,
        frozenset(hidden.split()), frozenset(read_only.split()), loading["addon"],
    )  # fmt: skip
    _rules.setdefault(model_key(model), []).append(made)


def default_scope(model: type) -> str:
    """The scope of a rule that names none."""
    if is_owned(model) and not model.open_to_team:
        return "own"
    return "parent" if part_of(model) is not None else "all"


def verbs_of(model: type) -> list[str]:
    """The verbs that can be granted on ``model``: core's, then the words its addon's rules use."""
    extra = {verb for one in _rules.get(model_key(model), []) for verb in one.verbs} - set(VERBS)
    return [*VERBS, *sorted(extra)]


def rules_of(model: type) -> list[CodeRule]:
    """The `rule` lines on ``model``."""
    return _rules.get(model_key(model), [])


class Rights:
    """All rights of one person, loaded once a request by three statements."""

    def __init__(self, user_id: int | None) -> None:
        self.user_id = user_id
        self.level = "nobody"
        self.roles: dict[int, str] = {}
        self.departments: set[int] = set()
        self.below: set[int] = set()
        self.teams: set[int] = set()
        self._role_rows: dict[tuple[str, int, str], tuple[set[str], bool, int]] = {}
        self._field_rows: dict[tuple[str, int, str], str] = {}
        self._personal: dict[tuple[str, str], list[tuple[bool, set[str], int]]] = {}
        self._grants: dict[tuple[str, str], Grant] = {}
        self._teammates: set[int] | None = None
        if user_id is not None:
            self._load(user_id)

    def _load(self, user_id: int) -> None:
        run = db.session.execute
        quiet = {"mortise_rules": False}
        user, role = MortiseUser.__table__, RoleRow.__table__
        found = run(
            select(user.c.level, role.c.id, role.c.name)
            .select_from(user)
            .outerjoin(assoc_user_role, assoc_user_role.c.user_id == user.c.id)
            .outerjoin(role, or_(role.c.id == assoc_user_role.c.role_id, role.c.name == EVERYONE))
            .where(user.c.id == user_id, user.c.active.is_(True)),
            execution_options=quiet,
        ).all()
        if not found:
            return
        self.level = found[0].level
        self.roles = {row.id: row.name for row in found if row.id is not None}
        post, department = Post.__table__, Department.__table__
        members = Team.members.property.secondary
        own = (
            select(post.c.department_id.label("own"), post.c.department_id.label("id"))
            .where(post.c.user_id == user_id)
            .cte("mine", recursive=True)
        )
        tree = own.union(select(own.c.own, department.c.id).join(own, department.c.parent_id == own.c.id))
        places = union_all(
            select(literal("d").label("kind"), tree.c.own, tree.c.id),
            select(literal("t"), members.c.left_id, members.c.left_id).where(members.c.right_id == user_id),
        )
        for kind, mine, place in run(places, execution_options=quiet):
            if kind == "t":
                self.teams.add(mine)
            else:
                self.departments.add(mine)
                self.below.add(place)
        role_ids = list(self.roles) or [0]
        rr, fr, pr = RoleRight.__table__, FieldRight.__table__, PersonalRight.__table__
        rows = union_all(
            select(literal("r"), rr.c.role_id, rr.c.model, rr.c.verb, rr.c.scopes, rr.c.shared, rr.c.id).where(rr.c.role_id.in_(role_ids)),
            select(literal("f"), fr.c.role_id, fr.c.model, fr.c.field_name, fr.c.access, null(), fr.c.id).where(fr.c.role_id.in_(role_ids)),
            select(literal("p"), pr.c.user_id, pr.c.model, pr.c.verb, pr.c.scopes, pr.c.denied, pr.c.id).where(
                pr.c.user_id == user_id, or_(pr.c.until.is_(None), pr.c.until > now())
            ),
        )
        for kind, owner, model, word, text, flag, row_id in run(rows, execution_options=quiet):
            if kind == "r":
                self._role_rows[model, owner, word] = (set(text.split()) - {"none"}, bool(flag), row_id)
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
            made.reasons.append(Reason("nothing", _("Nobody is signed in.")))
            return made
        personal = self._personal.get((key, verb), [])
        for denied, _scopes, row_id in personal:
            if denied:
                made.denied = True
                made.reasons.append(Reason("denial", _("This right was taken from you personally."), f"core_personal_right:{row_id}"))
                return made
        if self.level in ("administrator", "system_administrator"):
            made.scopes.add("all")
            made.reasons.append(Reason("level", _("You are an administrator."), f"ab_user:{self.user_id}"))
            return made
        for _denied, scopes, row_id in personal:
            made.scopes |= scopes
            made.reasons.append(Reason("grant", _("This right was given to you personally."), f"core_personal_right:{row_id}"))
        for role_id, name in self.roles.items():
            row = self._role_rows.get((key, role_id, verb))
            if row is not None:
                scopes, shared, row_id = row
                source = f"core_role_right:{row_id}"
            else:
                lines = [one for one in _rules.get(key, []) if one.role == name and verb in one.verbs]
                scopes = set().union(*(one.scopes for one in lines)) - {"none"}
                shared = any(one.shared for one in lines)
                source = f"rule:{lines[0].addon}" if lines else ""
            if scopes or shared:
                made.scopes |= scopes
                made.shared |= shared
                made.reasons.append(Reason("role", _("Your role “%(role)s” allows it.", role=t(name)), source))
        if made.nothing:
            made.reasons.append(Reason("nothing", _("None of your roles allows it.")))
        return made

    def may_at_all(self, model: type, verb: str) -> bool:
        """True when at least some row could be within reach."""
        return not self.grant(model, verb).nothing

    # -- rows -----------------------------------------------------------------------------------------------------

    def branches(self, model: type, verb: str = "read") -> list[Any] | None:
        """The alternatives of the row filter as SQL expressions: None for “all rows”, an empty list for “no row”."""
        grant = self.grant(model, verb)
        if grant.nothing:
            return []
        if "all" in grant.scopes or (model.open_to_team and grant.scopes):
            return None
        owner, department = _place(model)
        found: list[Any] = []
        if "own" in grant.scopes and owner is not None:
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
            above = self.row_filter(parent, "read")
            if above is None:
                return None
            found.append(getattr(model, link.key).in_(select(parent.__table__.c.id).where(above)))
        if grant.shared:
            found.append(model.id.in_(self._shared_ids(model, verb)))
        return found

    def _shared_ids(self, model: type, verb: str) -> Any:
        share = Share.__table__
        mine = [share.c.user_id == self.user_id]
        if self.departments:
            mine.append(share.c.department_id.in_(sorted(self.departments)))
        if self.teams:
            mine.append(share.c.team_id.in_(sorted(self.teams)))
        where = [share.c.model == model.__tablename__, or_(*mine), or_(share.c.until.is_(None), share.c.until > now())]
        if verb != "read":
            where.append(share.c.access == "edit")
        return select(share.c.record_id).where(*where)

    def row_filter(self, model: type, verb: str = "read") -> Any:
        """One SQL expression for the rows within reach: None for “all”, ``false()`` for “none”."""
        found = self.branches(model, verb)
        if found is None:
            return None
        return or_(*found) if found else false()

    def covers(self, record: Any, verb: str, *, old: bool = False) -> Verdict:
        """May this person do ``verb`` with this very record? Answered from its values; ``old`` asks for those stored before."""
        model = type(record)
        grant = self.grant(model, verb)
        reasons = list(grant.reasons)
        if grant.nothing:
            return Verdict(False, tuple(reasons))
        if "all" in grant.scopes or (model.open_to_team and grant.scopes):
            return Verdict(True, (*reasons, Reason("scope", _("The right covers all records."))))
        value = _old_value if old else getattr
        owner = value(record, "owner_id") if is_owned(model) else value(record, "created_by_id")
        department = value(record, "department_id") if is_owned(model) else None
        if "own" in grant.scopes and (owner == self.user_id or (owner is None and not is_owned(model) and record.id is None)):
            return Verdict(True, (*reasons, Reason("scope", _("The record is your own."))))
        if "below" in grant.scopes and department in self.below:
            return Verdict(True, (*reasons, Reason("post", _("The record belongs to your department or one below it."))))
        if "department" in grant.scopes and department in self.departments:
            return Verdict(True, (*reasons, Reason("post", _("The record belongs to your department."))))
        if "team" in grant.scopes and owner is not None and owner in self.teammates():
            return Verdict(True, (*reasons, Reason("scope", _("The record belongs to somebody of your team."))))
        if "parent" in grant.scopes and (link := part_of(model)) is not None:
            parent_id = value(record, link.key)
            # Made in the same flush as what it is part of, which has no id yet.
            fresh = getattr(record, link.name, None) if parent_id is None and record.id is None else None
            if visible_ids(link.target, [parent_id]) or (fresh is not None and self.covers(fresh, "read")):
                return Verdict(True, (*reasons, Reason("scope", _("You may read the record that this one is part of."))))
        if grant.shared and record.id is not None:
            shared = self._shared_ids(model, verb).where(Share.__table__.c.record_id == record.id).limit(1)
            if db.session.execute(shared, execution_options={"mortise_rules": False}).first():
                return Verdict(True, (*reasons, Reason("share", _("The record is shared with you."))))
        return Verdict(False, (*reasons, Reason("scope", _("But this record is outside of what that right covers."))))

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
        if self.level in ("administrator", "system_administrator"):
            return "write"
        key, best = model_key(model), -1
        for role_id, name in self.roles.items():
            row = self._role_rows.get((key, role_id, "read"))
            lines = [line for line in _rules.get(key, []) if line.role == name]
            if not ((row[0] or row[1]) if row is not None else any("read" in line.verbs for line in lines)):
                continue
            stored = self._field_rows.get((key, role_id, one.name))
            if stored is None:
                stored = (
                    "hidden"
                    if any(one.name in line.hidden for line in lines)
                    else "read_only"
                    if any(one.name in line.read_only for line in lines)
                    else "write"
                )
            best = max(best, {"hidden": 0, "read_only": 1}.get(stored, 2))
        return ("hidden", "read", "write")[best] if best >= 0 else "write"


def _place(model: type) -> tuple[Any, Any]:
    """(owner column, department column) that scopes are measured by."""
    if is_owned(model):
        return model.owner_id, model.department_id
    return getattr(model, "created_by_id", None), None


def _old_value(record: Any, name: str) -> Any:
    from sqlalchemy import inspect

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
        return Verdict(False, (Reason("nothing", _("These records can only be read here.")),))
    if who.system:
        return Verdict(True, (Reason("system", _("The system itself acts.")),))
    mine = rights()
    if isinstance(target, type):
        grant = mine.grant(target, verb)
        verdict = Verdict(not grant.nothing, tuple(grant.reasons))
    else:
        verdict = mine.covers(target, verb)
    if verdict and field_name is not None:
        model = target if isinstance(target, type) else type(target)
        one = fields_of(model).get(field_name)
        access = mine.field_access(model, one) if one is not None else "hidden"
        if access == "hidden" or (access == "read" and verb != "read"):
            return Verdict(False, (*verdict.reasons, Reason("field", _("But this field is closed to your roles."))))
    return verdict


def visible_ids(model: type, ids: Iterable[int]) -> set[int]:
    """Those of ``ids`` whose records the acting person may read; one statement, remembered for the request."""
    wanted = {one for one in ids if one is not None}
    who = actor()
    known: set[int] = who.memo.setdefault(("visible", model_key(model), who.system), set())
    missing = wanted - known
    if missing:
        table = model.__table__
        where = [table.c.id.in_(sorted(missing))]
        if not who.system:
            reach = rights().row_filter(model, "read")
            if reach is not None:
                where.append(reach)
        known.update(
            db.session.execute(select(table.c.id).where(and_(true(), *where)), execution_options={"mortise_rules": False}).scalars()
        )
    return wanted & known
