"""Permission tests in sentences: “A salesperson of department A never reads clients of department B” (BEYOND N6).

A test is asked of up to 200 of those whom it is about, and of a made-up person who is nothing but what the sentence says. A change of
rights that breaks a test which held is refused, whatever door it comes through, with the record that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, event, false, func, not_, select, true, update
from sqlalchemy.orm import Session

from core.context import acting, actor, now, system
from core.db import TURN_OF_PEOPLE, MortiseSession, db
from core.errors import Invalid
from core.fields import field, link
from core.hooks import hook
from core.i18n import gettext as _
from core.model import Mapped, Model, is_half, is_owned, model_label, models
from core.people import (
    Department,
    MortiseUser,
    PersonalRight,
    Post,
    RoleRight,
    RoleRow,
    Share,
    Team,
    assoc_user_role,
)
from core.right_words import verb_label
from core.rules import EVERYONE, Rights, model_key, rights, verbs_of
from core.titles import titles

QUIET = {"mortise_rules": False}
MOST_PEOPLE = 200
"""Up to so many people are asked in each test, those with the most recent posts of all; the made-up person stands for the others."""
ROWS = ("all", "own", "others", "department", "other_departments")
OF_A_PERSON = {"level", "role_rows", "active"}
GUARDED = (MortiseUser, RoleRow, Department, Post, Team, RoleRight, PersonalRight, Share)


class RightTest(Model):
    """A sentence about rights that has to stay true: who never, or always, does what with which records."""

    system_model = True
    label, label_many = "Permission test", "Permission tests"
    title_field = "id"
    role: Mapped[RoleRow | None] = link(help="Whoever holds this role; left empty, every employee")
    of_department: Mapped[Department | None] = link(label="Of the department", help="Whoever has a post there or below")
    expected: Mapped[str] = field(choices=["never", "always"], default="never")
    verb: Mapped[str] = field(max_length=40, default="read")
    model: Mapped[str] = field(max_length=80)
    rows: Mapped[str] = field(choices=list(ROWS), default="others", label="Which records")
    row_department: Mapped[Department | None] = link(label="Records of the department")
    note: Mapped[str | None] = field(long=True)
    holds: Mapped[bool] = field(default=False, readonly=True)
    looked_at: Mapped[datetime | None] = field(readonly=True, label="Last looked at")

    def __str__(self) -> str:
        return sentence(self)


@dataclass(frozen=True, slots=True)
class Counter:
    """What breaks a test: somebody, and a record that he may reach and must not, or must and may not."""

    user_id: int | None
    """None for the made-up person."""
    model: Any
    record_id: int


def sentence(test: Any) -> str:
    """The test as a person reads it."""
    model = models().get(test.model)
    role = str(test.role) if test.role is not None else _("Every employee")
    who = role if test.of_department is None else _("%(role)s of “%(department)s”", role=role, department=str(test.of_department))
    what = model_label(model, many=True) if model is not None else str(test.model)
    place = str(test.row_department) if test.row_department is not None else ""
    which = {
        "all": _("any of the %(what)s", what=what) if test.expected == "never" else _("all %(what)s", what=what),
        "own": _("own %(what)s", what=what),
        "others": _("%(what)s of others", what=what),
        "department": _("%(what)s of “%(department)s”", what=what, department=place),
        "other_departments": _("%(what)s of other departments", what=what),
    }.get(test.rows, what)
    words = {"who": who, "verb": verb_label(test.verb), "which": which}
    if test.expected == "never":
        return _("%(who)s – never: %(verb)s, %(which)s", **words)
    return _("%(who)s – always: %(verb)s, %(which)s", **words)


# -- whom it is about, and which records ------------------------------------------------------------------------------------


def _below(department: int) -> set[int]:
    table = Department.__table__
    pairs = db.session.execute(select(table.c.id, table.c.parent_id), execution_options=QUIET).all()
    found, fresh = {department}, {department}
    while fresh:
        fresh = {one for one, parent in pairs if parent in fresh} - found
        found |= fresh
    return found


def _people(test: Any) -> list[int]:
    """Employees whom the sentence is about; administrators may do everything and are never meant."""
    user, post = MortiseUser.__table__, Post.__table__
    where = [user.c.active.is_(True), user.c.level == "employee"]
    if test.role_id is not None and test.role.name != EVERYONE:
        where.append(user.c.id.in_(select(assoc_user_role.c.user_id).where(assoc_user_role.c.role_id == test.role_id)))
    if test.of_department_id is not None:
        where.append(user.c.id.in_(select(post.c.user_id).where(post.c.department_id.in_(sorted(_below(test.of_department_id))))))
    query = select(user.c.id).where(*where).order_by(user.c.id.desc()).limit(MOST_PEOPLE)
    return list(db.session.execute(query, execution_options=QUIET).scalars())


def _meant(test: Any, model: Any, mine: Rights) -> Any:
    """The records that the sentence is about, for one person, as an SQL condition."""
    if test.rows == "all":
        return true()
    owner = model.owner_id if is_owned(model) else model.created_by_id
    if test.rows in ("own", "others"):
        own = owner == mine.user_id if mine.user_id is not None else false()
        return own if test.rows == "own" else func.coalesce(not_(own), true())
    if test.rows == "department":
        return model.department_id.in_(sorted(_below(test.row_department_id)))
    return and_(model.department_id.is_not(None), model.department_id.not_in(sorted(mine.below) or [0]))


def counter_of(test: Any) -> Counter | None:
    """Who and what breaks this test now; None when it holds."""
    model: Any = models().get(test.model)
    if model is None or test.verb not in verbs_of(model):
        return None
    for mine in _everybody(test):
        meant, reach = _meant(test, model, mine), mine.row_filter(model, test.verb)
        if test.expected == "never":
            wrong = and_(meant, true() if reach is None else reach)
        elif reach is None:
            continue
        else:
            wrong = and_(meant, not_(func.coalesce(reach, false())))
        found = db.session.execute(select(model.__table__.c.id).where(wrong).limit(1), execution_options=QUIET).scalar()
        if found is not None:
            return Counter(mine.user_id, model, found)
    return None


def _everybody(test: Any) -> Iterator[Rights]:
    """The rights of each, one after the other, with nothing remembered of the one before."""
    for user_id in _people(test):
        with acting(replace(actor(), user_id=user_id, system=False, limits=None, memo={})):
            yield rights()
    with acting(replace(actor(), user_id=None, system=False, limits=None, memo={})):
        yield Rights.made_up(filter(None, [test.role_id]), filter(None, [test.of_department_id]))


def told(counter: Counter, verb: str, allowed: bool) -> str:
    """A counter-example in words, as far as the acting person may read it: who may, or may not, do it with which record."""
    who = _("Somebody with just these roles and posts")
    if counter.user_id is not None:
        who = titles(MortiseUser, [counter.user_id]).get(counter.user_id, f"#{counter.user_id}")
    what = titles(counter.model, [counter.record_id]).get(counter.record_id, f"#{counter.record_id}")
    words = {"person": who, "verb": verb_label(verb), "target": what}
    return _("“%(person)s” may: %(verb)s – %(target)s", **words) if allowed else _("“%(person)s” may not: %(verb)s – %(target)s", **words)


# -- when it is asked -------------------------------------------------------------------------------------------------------


@hook.before_save(RightTest)
def a_test_can_be_asked(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """The sentence has to make sense: a kind of record that there is, a verb it knows, departments where they are needed."""
    model: Any = models().get(record.model)
    if model is None or is_half(model) or model_key(model) != record.model:
        raise Invalid({"model": _("Please choose one of the values offered.")})
    if record.verb not in verbs_of(model):
        words = {"verb": str(record.verb)[:40], "label": model_label(model, many=True)}
        raise Invalid({"verb": _("There is no right “%(verb)s” on %(label)s.", **words)})
    if record.rows in ("department", "other_departments") and not is_owned(model):
        raise Invalid({"rows": _("These records belong to no department.")})
    if record.rows == "department" and record.row_department_id is None and getattr(record, "row_department", None) is None:
        raise Invalid({"row_department": _("Say which department’s records are meant.")})
    # Another sentence has not been asked yet, whatever was true of the old one.
    record.holds = False


@hook.after_save(*GUARDED, RightTest)
def rights_are_touched(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """The tests are asked before this is committed; what says nothing of rights, such as a person's language, asks none."""
    if not isinstance(record, MortiseUser) or OF_A_PERSON & changes.keys():
        db.session.info["rights_touched"] = True


@hook.after_delete(*GUARDED)
def rights_went(record: Any) -> None:
    """The same for what was deleted."""
    db.session.info["rights_touched"] = True


@event.listens_for(MortiseSession, "before_commit")
def _ask(session: Session) -> None:
    if session.in_nested_transaction():
        return
    if session.new or session.dirty or session.deleted:
        session.flush()
    if session.info.pop("rights_touched", None):
        # Two changes that only together break a test must not both be judged without the other; nor one beside a new test.
        db.one_at_a_time(TURN_OF_PEOPLE)
        ask_all()


@event.listens_for(MortiseSession, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop("rights_touched", None)


def ask_now() -> None:
    """Ask before the commit would, so that a screen keeps its form and says in it what would break. Raises `Invalid`."""
    db.session.flush()
    if db.session.info.pop("rights_touched", None):
        ask_all()


def ask_all() -> None:
    """Ask every test. Raises `Invalid` when one that held is broken; one that was broken before stops nobody."""
    with system("permission tests"):
        tests = db.session.execute(select(RightTest).order_by(RightTest.id)).scalars().all()
        found = [(test.id, counter_of(test), test.holds, test.looked_at) for test in tests]
        broken = next(((test, one[1]) for test, one in zip(tests, found, strict=True) if one[1] is not None and one[2]), None)
        said = sentence(broken[0]) if broken is not None else ""
        asked = (broken[0].verb, broken[0].expected == "never") if broken is not None else ("", False)
    if broken is not None and broken[1] is not None:
        counter = told(broken[1], *asked)
        raise Invalid({"": _("This would break the permission test “%(test)s”: %(counter)s.", test=said, counter=counter)})
    table = RightTest.__table__
    for number, counter, holds, looked_at in found:
        if holds != (counter is None) or looked_at is None:
            words = {"holds": counter is None, "looked_at": now()}
            db.session.connection().execute(update(table).where(table.c.id == number).values(words))
