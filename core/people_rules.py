"""What everybody may know of colleagues, and who may touch whom: the house's own rules and hooks (D17)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from core.context import actor
from core.db import db
from core.errors import Invalid
from core.hooks import hook
from core.i18n import gettext as _
from core.people import LEVELS, RIGHTS_CHANGE, Department, MortiseUser, PersonalRight, Post, RoleRight, RoleRow, Share, Team
from core.rules import everyone, forget_rights, rights, roles_of_code, rule

PRIVATE = "last_login locked_until must_change_password level role_rows language zone theme superior"

rule(MortiseUser, everyone, "read", "all", hidden=PRIVATE)
rule(Department, everyone, "read", "all")
rule(Team, everyone, "read", "all")
rule(Post, everyone, "read", "all")

RIGHTS = (MortiseUser, RoleRow, Department, Post, Team, RoleRight, PersonalRight)


def rank(level: str | None) -> int:
    """0 for an employee, 1 for an administrator, 2 for a system administrator."""
    return LEVELS.index(level) if level in LEVELS else 0


@hook.before_save(MortiseUser)
def nobody_touches_an_equal(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """A superior level may change a person, nobody raises himself, and the last system administrator stays (D17)."""
    who = actor()
    old_level, new_level = changes.get("level", (record.level, record.level))
    old_level = old_level or "employee"
    if not who.system:
        mine = rank(rights().level)
        himself = record.id is not None and record.id == who.user_id
        if himself and rank(new_level) > rank(old_level):
            raise Invalid({"level": _("Nobody raises himself; ask another system administrator.")})
        if mine < 2 and not himself and (rank(old_level) >= mine or rank(new_level) >= mine):
            raise Invalid({"": _("You may change people of a lower level only.")})
        if mine < 2 and himself and ({"level", "role_rows", "active"} & set(changes)):
            raise Invalid({"": _("You may not change your own level, roles or activity.")})
    stays = record.level == "system_administrator" and record.active is not False
    was = record.id is not None and old_level == "system_administrator" and changes.get("active", (True, True))[0] is not False
    if was and not stays:
        # Of two who go at the same moment, the second has to see that the first is gone.
        db.take_turn(RIGHTS_CHANGE)
    if was and not stays and not _other_system_administrators(record.id):
        raise Invalid({"level": _("This is the last system administrator; make somebody else one first.")})


def _other_system_administrators(user_id: int) -> int:
    user = MortiseUser.__table__
    query = select(func.count()).where(user.c.level == "system_administrator", user.c.active.is_(True), user.c.id != user_id)
    return db.session.execute(query, execution_options={"mortise_rules": False}).scalar_one()


@hook.before_delete(MortiseUser)
def people_are_deactivated(record: Any) -> None:
    """The journal and every record name people: they leave by deactivation, never by deletion."""
    raise Invalid({"": _("People are not deleted, since the journal names them. Deactivate “%(name)s” instead.", name=record.name)})


@hook.before_save(RoleRow)
def code_finds_its_roles(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """A role that code brings along keeps its name; its label can be translated."""
    old = changes.get("name", (None, None))[0]
    if old in roles_of_code():
        raise Invalid({"name": _("“%(name)s” belongs to an addon and keeps its name; make a new role instead.", name=old)})


@hook.before_delete(RoleRow)
def code_keeps_its_roles(record: Any) -> None:
    """Deleting a role of code would make `run.py migrate` bring it back without its people."""
    if record.name in roles_of_code():
        raise Invalid({"": _("“%(name)s” belongs to an addon and cannot be deleted; take its rights away instead.", name=record.name)})


@hook.before_save(Department)
def a_tree_has_no_circle(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """A department cannot lie below itself."""
    _no_circle(record, Department, "parent", changes)


@hook.before_save(MortiseUser)
def superiors_form_no_circle(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """Nobody is his own superior, not even by way of others."""
    _no_circle(record, MortiseUser, "superior", changes)


def _no_circle(record: Any, model: Any, name: str, changes: dict[str, tuple[Any, Any]]) -> None:
    if name not in changes or record.id is None:
        return
    above, table = changes[name][1], model.__table__
    for _step in range(100):
        if above is None:
            return
        if above == record.id:
            raise Invalid({name: _("This would make a circle: “%(title)s” would lie below itself.", title=str(record))})
        above = db.session.execute(
            select(table.c[f"{name}_id"]).where(table.c.id == above), execution_options={"mortise_rules": False}
        ).scalar()


@hook.after_save(*RIGHTS, Share)
def rights_have_changed(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """Rights are loaded anew when people, posts or rights were written in this very request."""
    forget_rights()


@hook.after_delete(*RIGHTS, Share)
def rights_are_gone(record: Any) -> None:
    """A share or post that is deleted opens nothing any more, in this very request."""
    forget_rights()
