"""What everybody may know of colleagues, and who may touch whom: the house's own rules and hooks (D17)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from core.context import actor, system
from core.db import TURN_OF_PEOPLE, TURN_OF_POSTS, db
from core.errors import Invalid
from core.hooks import hook
from core.i18n import gettext as _
from core.people import LEVELS, Department, MortiseUser, PersonalRight, Post, RoleRight, RoleRow, Share, Team
from core.rules import everyone, forget_rights, rights, roles_of_code, rule

PRIVATE = "last_login locked_until must_change_password level role_rows language zone theme superior hired_on left_on"

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
    if _asked():
        mine = rank(rights().level)
        himself = record.id is not None and record.id == who.user_id
        if himself and rank(new_level) > rank(old_level):
            raise Invalid({"level": _("Nobody raises himself; ask another system administrator.")})
        if mine < 2 and not himself and (rank(old_level) >= mine or rank(new_level) >= mine):
            raise Invalid({"": _("You may change people of a lower level only.")})
        if mine < 2 and himself and ({"level", "role_rows", "active"} & set(changes)):
            raise Invalid({"": _("You may not change your own level, roles or activity.")})
    stays = record.level == "system_administrator" and record.active is not False and record.left_on is None
    was = record.id is not None and old_level == "system_administrator" and changes.get("active", (True, True))[0] is not False
    if was and not stays:
        db.one_at_a_time(TURN_OF_PEOPLE)
    if was and not stays and not _other_system_administrators(record.id):
        raise Invalid({"level": _("This is the last system administrator; make somebody else one first.")})
    if "picture" in changes and record.picture is not None:
        _is_a_picture(record.picture)


def _asked() -> bool:
    """Is a person to be judged by his level here? An undo has the system's eyes, but brings nobody what he could not give."""
    who = actor()
    return not who.system or (who.user_id is not None and "undoes" in who.memo)


@hook.before_save(PersonalRight)
def nobody_gives_an_equal(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """What is given to or taken from one person is set by a superior level, never by himself or an equal (D17)."""
    if _asked():
        _may_set_rights(record, changes.get("user", ()))


@hook.before_delete(PersonalRight)
def nobody_frees_himself(record: Any) -> None:
    """A denial would stop nobody who could delete it himself. Deletions have the system's eyes, whoever deletes."""
    if actor().user_id is not None:
        _may_set_rights(record, ())


def _may_set_rights(record: Any, more: Iterable[int | None]) -> None:
    if (mine := rank(rights().level)) == 2:
        return
    user = MortiseUser.__table__
    ids = {one for one in (record.user_id, getattr(record.user, "id", None), *more) if one}
    levels = db.session.execute(select(user.c.level).where(user.c.id.in_(ids)), execution_options={"mortise_rules": False}).scalars()
    if any(rank(one) >= mine for one in levels):
        raise Invalid({"user": _("You may give rights to, and take them from, people of a lower level only.")})


def _other_system_administrators(user_id: int) -> int:
    user = MortiseUser.__table__
    others = user.c.level == "system_administrator", user.c.active.is_(True), user.c.left_on.is_(None), user.c.id != user_id
    query = select(func.count()).where(*others)
    return db.session.execute(query, execution_options={"mortise_rules": False}).scalar_one()


def _is_a_picture(file_id: int) -> None:
    from core.file_types import SHOWN_INLINE
    from core.files import File

    kind = db.session.execute(select(File.media_type).where(File.id == file_id), execution_options={"mortise_rules": False}).scalar()
    if kind is None or kind not in SHOWN_INLINE or not kind.startswith("image/"):
        raise Invalid({"picture": _("Please choose a picture: PNG, JPEG, WebP or GIF.")})


@hook.before_save(Post)
def one_post_is_primary(record: Any, changes: dict[str, tuple[Any, Any]]) -> None:
    """Of a person's posts one is primary: the first, until another is made so (S1-91)."""
    if not ({"user", "is_primary"} & set(changes)) and record.id is not None:
        return
    for person in sorted({one for one in (record.user_id, changes.get("user", (None, None))[0]) if one}):
        others = _posts(person, but=record.id)
        primary = [one for one in others if one.is_primary]
        if person != record.user_id:
            _promote(others)
        elif record.is_primary:
            with system("another post becomes the primary one"):
                for one in primary:
                    one.is_primary = False
        elif not primary:
            if others and record.id is not None and "user" not in changes:
                raise Invalid({"is_primary": _("One post is the primary one. Make another one primary instead.")})
            record.is_primary = True


@hook.after_delete(Post)
def another_post_becomes_primary(record: Any) -> None:
    """The primary post is gone: the oldest of the others takes its place."""
    if record.is_primary and record.user_id is not None:
        _promote(_posts(record.user_id, but=record.id))


def _posts(user_id: int, but: int | None) -> list[Any]:
    """The other posts of a person; nobody else changes his posts until this transaction ends."""
    db.one_at_a_time(TURN_OF_POSTS, user_id)
    query = select(Post).where(Post.user_id == user_id, Post.id != (but or 0)).order_by(Post.id)
    with db.session.no_autoflush:
        found = db.session.execute(query, execution_options={"mortise_rules": False}).scalars().all()
    fresh = [one for one in db.session.new if isinstance(one, Post) and one.id is None and but is not None]
    return [one for one in (*found, *fresh) if one not in db.session.deleted and one.user_id == user_id]


def _promote(others: list[Any]) -> None:
    if others and not any(one.is_primary for one in others):
        with system("another post becomes the primary one"):
            others[0].is_primary = True


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
    if name not in changes or record.id is None or changes[name][1] is None:
        return
    # Two moves at once could each be right and make a circle together.
    db.one_at_a_time(TURN_OF_PEOPLE)
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
