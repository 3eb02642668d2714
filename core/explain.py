"""“Why?”: by which chains of facts somebody may or may not, and what would change it.

The answer comes from the same `Rights` that filter and refuse; this file only follows each fact to the row that holds it.
Source: BEYOND N5, D18.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from core.addons import enabled
from core.context import Actor, acting, actor
from core.db import db
from core.model import fields_of, is_half, is_owned, part_of
from core.people import ADMINISTRATORS, Department, FieldRight, Post, RoleRight, RoleRow, Share, Team
from core.rules import ABOVE, EVERYONE, WRITES, Rights, access_of, enough, model_key, rights, rules_of
from core.sketch import model_behind
from core.verdicts import Fact, Grant

QUIET = {"mortise_rules": False}
Chain = tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to one “Why?”."""

    allowed: bool
    chains: tuple[Chain, ...]
    """Each alone is enough for the answer; several roles, posts and shares may say the same. Of a refusal there is one."""
    steps: tuple[Chain, ...]
    """What would change the answer: of each step one fact has to change, whichever."""


def rights_of(user_id: int) -> Rights:
    """All rights of somebody, as he has them now."""
    with acting(_with_the_eyes_of(user_id)):
        return rights()


def _with_the_eyes_of(user_id: int | None) -> Actor:
    """The asker's language and moment, the other's rights, and nothing that one of them remembers.

    What narrows the asker at this door, such as the scopes of an API key, narrows nobody else.
    """
    who = actor()
    return replace(who, user_id=user_id, system=False, limits=who.limits if user_id == who.user_id else None, memo={})


def explain(user_id: int | None, verb: str, target: Any, field_name: str | None = None) -> Explanation:
    """Why may, or may not, this person do ``verb`` with ``target``, a model or a stored record (and one of its fields)?

    The answer names facts whatever the asking person may read; `told` leaves out what he may not know.
    """
    with acting(_with_the_eyes_of(user_id)) as who:
        if user_id is None:
            return Explanation(False, ((Fact("nobody"),),), ((Fact("nobody"),),))
        if rights().level != "nobody":
            return _past_the_key(verb, target, field_name)
        who.memo["rights"] = Rights(user_id, even_closed=True)
        return beside(Fact("closed", f"ab_user:{user_id}"), _past_the_key(verb, target, field_name))


def explain_level(user_id: int) -> Explanation:
    """Why may, or may not, this person open what is for administrators?"""
    with acting(_with_the_eyes_of(user_id)):
        closed = rights().level == "nobody"
        mine = Rights(user_id, even_closed=True) if closed else rights()
    whose = f"ab_user:{user_id}"
    if mine.level in ADMINISTRATORS:
        found = Explanation(True, ((Fact("level", whose),),), ((Fact("level", whose),),))
    else:
        found = Explanation(False, ((Fact("no_level", whose),),), ((Fact("would_level", whose),),))
    return beside(Fact("closed", whose), found) if closed else found


def _past_the_key(verb: str, target: Any, field_name: str | None) -> Explanation:
    """The answer, and when it is the API key that refuses, what stands against it beside the key."""
    found = _Asked(rights(), verb, target, field_name).answer()
    if (key := found.chains[0][0]).kind != "key":
        return found
    mine = copy(rights())
    mine.limits, mine._grants, mine._branches = None, {}, {}
    who = actor()
    # What the asker may see by his key is remembered with it.
    with acting(replace(who, limits=None, memo={**{name: one for name, one in who.memo.items() if name[0] != "visible"}, "rights": mine})):
        return beside(key, _Asked(mine, verb, target, field_name).answer())


def beside(fact: Fact, otherwise: Explanation) -> Explanation:
    """Refused for one fact alone, or for this one and others, or for ever."""
    never = not (otherwise.allowed or otherwise.steps)
    steps = () if never else ((fact,), *(() if otherwise.allowed else otherwise.steps))
    return Explanation(False, ((fact,),), steps)


class _Asked:
    def __init__(self, mine: Rights, verb: str, target: Any, field_name: str | None = None) -> None:
        self.mine, self.verb, self.target, self.field_name = mine, verb, target, field_name
        self.model = target if isinstance(target, type) else model_behind(target)
        self.record = None if isinstance(target, type) else target

    def answer(self) -> Explanation:
        if not enabled(self.model.addon):
            asleep = Fact("asleep", f"addon:{self.model.addon}")
            return Explanation(False, ((asleep,),), ((asleep,),))
        if self.verb in WRITES and is_half(self.model):
            return Explanation(False, ((Fact("readonly"),),), ())
        grant = self.mine.grant(self.model, self.verb)
        chains = tuple(dict.fromkeys(self._chains(grant)))
        facts: Chain = ()
        steps: list[Chain] = []
        if not chains:
            facts, steps = self._against(grant)
        elif self.mine.level in ADMINISTRATORS:
            # What he might do as an employee, too.
            chains += tuple(dict.fromkeys(_Asked(_as_employee(self.mine), self.verb, self.target)._all_chains()))
        access, of_field = self._field(self.field_name)
        closed = access not in enough(self.verb)
        if closed:
            steps.append(of_field)
        if chains and not closed:
            return Explanation(True, chains, tuple(tuple(fact for fact in one if _removable(fact)) for one in chains))
        return Explanation(False, ((*(facts or chains[0]), *(of_field if closed else ())),), tuple(steps))

    # -- what allows it ---------------------------------------------------------------------------------------------------

    def _all_chains(self) -> Iterator[Chain]:
        return self._chains(self.mine.grant(self.model, self.verb))

    def _chains(self, grant: Grant) -> Iterator[Chain]:
        if grant.nothing:
            return
        if self.record is None:
            yield from (one.facts for one in grant.sources)
            return
        for scope, kind in self.mine.ways(self.record, self.verb, grant):
            for ends in self._ends(kind):
                yield from ((*one.facts, *ends) for one in grant.giving(scope))

    def _ends(self, kind: str) -> list[Chain]:
        """The rows that make a right cover this record in this way; each alternative by itself."""
        record, table = self.record, self.model.__tablename__
        owner = getattr(record, "owner_id" if is_owned(self.model) else "created_by_id", None)
        if kind in ("own", "author"):
            return [(Fact(kind, f"{table}:{record.id}"),)]
        if kind in ("department", "below"):
            places = _above(record.department_id) if kind == "below" else [record.department_id]
            post = Post.__table__
            held = select(post.c.id, post.c.department_id).where(post.c.user_id == self.mine.user_id, post.c.department_id.in_(places))
            here = f"core_department:{record.department_id}"
            found = db.session.execute(held, execution_options=QUIET).all()
            return [
                (Fact("post", f"core_post:{row_id}"), Fact("lies_in" if place == record.department_id else "lies_below", here))
                for row_id, place in found
            ]
        if kind == "team":
            members = Team.members.property.secondary
            both = select(members.c.left_id).where(members.c.right_id == owner, members.c.left_id.in_(sorted(self.mine.teams)))
            return [(Fact("member", f"core_team:{one}"),) for one in db.session.execute(both, execution_options=QUIET).scalars()]
        if kind == "parent":
            link = part_of(self.model)
            whole = db.session.get(link.target, getattr(record, link.key), execution_options=QUIET)
            above = _Asked(self.mine, ABOVE.get(self.verb, "edit"), whole)
            head = Fact("part", f"{link.target.__tablename__}:{whole.id}")
            return [(head, *chain) for chain in above._chains(self.mine.grant(link.target, above.verb))]
        if kind == "share":
            share = Share.__table__
            found = self.mine._shared_ids(self.model, self.verb).with_only_columns(share.c.id).where(share.c.record_id == record.id)
            return [(Fact("shared", f"core_share:{one}"),) for one in db.session.execute(found, execution_options=QUIET).scalars()]
        return [(Fact(kind),)]

    # -- what stands against it -------------------------------------------------------------------------------------------

    def _against(self, grant: Grant) -> tuple[Chain, list[Chain]]:
        """(why not, what has to change)."""
        facts: Chain = grant.reasons if grant.nothing else (*grant.reasons, Fact("outside"))
        steps: list[Chain] = [(one,) for one in grant.against if one.kind == "denial"]
        if steps:
            # What would be without the denials?
            key = model_key(self.model), self.verb
            kept = self.mine._personal.pop(key)
            self.mine._personal[key] = [one for one in kept if not one[0]]
            grant = self.mine._make_grant(self.model, *key)
            if next(self._chains(grant), None) is not None:
                return facts, steps
        return facts, [*steps, tuple(self._openings(grant))]

    def _openings(self, grant: Grant) -> Iterator[Fact]:
        """What would open it, each alone: a role, a place among those that the right covers, a share, or a personal right."""
        for role_id, name in _all_roles():
            if name == EVERYONE or role_id in self.mine.roles:
                continue
            made = self._grant_of(role_id, name, self.verb)
            if made.nothing or self._closes(role_id, name):
                continue
            if self.record is None or next(self.mine.ways(self.record, self.verb, made), None):
                yield Fact("would_role", f"ab_role:{role_id}", name)
        record = self.record
        if record is not None and not is_half(self.model):
            table, owned = self.model.__tablename__, is_owned(self.model)
            if owned and "own" in grant.scopes:
                yield Fact("would_own", f"{table}:{record.id}")
            if owned and record.department_id is not None and {"department", "below"} & grant.scopes:
                yield Fact("would_post", f"core_department:{record.department_id}")
            if owned and "team" in grant.scopes and record.owner_id is not None:
                yield Fact("would_team", f"ab_user:{record.owner_id}")
            if grant.shared:
                yield Fact("would_share", f"{table}:{record.id}")
        yield Fact("would_grant", f"ab_user:{self.mine.user_id}")

    def _closes(self, role_id: int, name: str) -> bool:
        """Would this role, as the first by which these records are read, close the field that is asked about?"""
        key, row = model_key(self.model), FieldRight.__table__
        if self.field_name is None or self.mine._reading_roles(key) or self._grant_of(role_id, name, "read").nothing:
            return False
        of = (row.c.role_id == role_id, row.c.model == key, row.c.field_name == self.field_name)
        stored = db.session.execute(select(row.c.access).where(*of), execution_options=QUIET).scalar()
        return access_of(stored, [one for one in rules_of(self.model) if one.role == name], self.field_name) not in enough(self.verb)

    def _grant_of(self, role_id: int, name: str, verb: str) -> Grant:
        """What one role would give."""
        made, key = Grant(), model_key(self.model)
        row = RoleRight.__table__
        found = db.session.execute(
            select(row.c.scopes, row.c.shared).where(row.c.role_id == role_id, row.c.model == key, row.c.verb == verb),
            execution_options=QUIET,
        ).first()
        lines = [one for one in rules_of(self.model) if one.role == name and verb in one.verbs]
        if found is not None:
            made.add(set(found.scopes.split()) - {"none"}, bool(found.shared))
        elif lines:
            made.add(set().union(*(one.scopes for one in lines)) - {"none"}, any(one.shared for one in lines))
        return made

    # -- fields -------------------------------------------------------------------------------------------------------------

    def _field(self, name: str | None) -> tuple[str, Chain]:
        """(write, read or hidden; the rows and lines of the roles that close it, or that leave it open)."""
        if name is None:
            return "write", ()
        one = fields_of(self.model).get(name)
        if one is None:
            return "hidden", (Fact("no_field"),)
        access = self.mine.field_access(self.model, one)
        if self.mine.level in ADMINISTRATORS or access == "write":
            return access, ()
        key, row = model_key(self.model), FieldRight.__table__
        facts = []
        for role_id, lines in self.mine._reading_roles(key):
            stored = db.session.execute(
                select(row.c.id).where(row.c.role_id == role_id, row.c.model == key, row.c.field_name == name), execution_options=QUIET
            ).scalar()
            if stored is not None:
                facts.append(Fact(f"field_{access}", f"core_field_right:{stored}", self.mine.roles[role_id]))
            else:
                closing = next((line for line in lines if name in line.hidden or name in line.read_only), lines[0] if lines else None)
                facts.append(Fact(f"field_{access}", f"rule:{closing.addon}" if closing else "", self.mine.roles[role_id]))
        return access, tuple(facts)


REMOVABLE = {"level", "role", "right", "rule", "grant", "own", "author", "post", "member", "shared"}


def _removable(fact: Fact) -> bool:
    """Is this something that can be taken away?"""
    return fact.kind in REMOVABLE and not (fact.kind == "role" and fact.role == EVERYONE)


def _as_employee(mine: Rights) -> Rights:
    """The same person's rights, were he no administrator."""
    made = copy(mine)
    made.level = "employee"
    made._grants, made._branches = {}, {}
    return made


def _above(department: int | None) -> list[int]:
    """A department and all above it."""
    found: list[int] = []
    table = Department.__table__
    while department is not None and department not in found:
        found.append(department)
        department = db.session.execute(select(table.c.parent_id).where(table.c.id == department), execution_options=QUIET).scalar()
    return found


def _all_roles() -> list[tuple[int, str]]:
    role = RoleRow.__table__
    return [(one, name) for one, name in db.session.execute(select(role.c.id, role.c.name).order_by(role.c.name), execution_options=QUIET)]
