"""The two statements that load a person's rights: his places, and what they and he himself were given."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Integer, String, bindparam, case, cast, false, func, literal_column, null, or_, select, union_all

from core.db import PREPARED
from core.people import Department, FieldRight, MortiseUser, PersonalRight, Post, RoleRight, RoleRow, Share, Team, assoc_user_role
from core.rule_lines import EVERYONE

MOST_SHARED = 200
"""Up to so many records that are shared with a person are named by their ids: the database then fetches just these."""


def _said(word: str) -> Any:
    """A word of the statement itself; as a parameter each would be sent anew, and a long statement is not kept by the driver."""
    return literal_column(f"'{word}'", String)


def _number(number: int) -> Any:
    return literal_column(str(number), Integer)


@cache
def statements() -> tuple[Any, Any]:
    """The two statements that load a person's rights; made once, since building them costs more than running them."""
    me, roles = bindparam("user_id"), bindparam("roles", expanding=True)
    user, role = MortiseUser.__table__, RoleRow.__table__
    post, department, members = Post.__table__, Department.__table__, Team.members.property.secondary
    own = (
        select(post.c.department_id.label("own"), post.c.department_id.label("id")).where(post.c.user_id == me).cte("mine", recursive=True)
    )
    tree = own.union(select(own.c.own, department.c.id).join(own, department.c.parent_id == own.c.id))
    places = union_all(
        select(
            _said("l").label("kind"),
            user.c.id.label("one"),
            case((user.c.active.is_(True), 1), else_=0).label("other"),
            user.c.level.label("word"),
        ).where(user.c.id == me),
        # The last day, of the few who have one: it is compared with the firm's day where the rights are loaded.
        select(_said("e"), user.c.id, _number(0), cast(user.c.left_on, String)).where(user.c.id == me, user.c.left_on.is_not(None)),
        select(_said("o"), role.c.id, _number(0), role.c.name).where(
            or_(role.c.name == EVERYONE, role.c.id.in_(select(assoc_user_role.c.role_id).where(assoc_user_role.c.user_id == me)))
        ),
        select(_said("d"), tree.c.own, tree.c.id, _said("")),
        select(_said("p"), post.c.department_id, post.c.id, case((post.c.is_primary, _said("primary")), else_=_said(""))).where(
            post.c.user_id == me
        ),
        select(_said("t"), members.c.left_id, members.c.left_id, _said("")).where(members.c.right_id == me),
    )
    share = Share.__table__
    # The records that are shared with the person. A sub-query beside other alternatives makes PostgreSQL read the whole table.
    lasting = or_(share.c.until.is_(None), share.c.until > bindparam("moment"))
    holders = (
        share.c.user_id == me,
        share.c.department_id.in_(bindparam("departments", expanding=True)),
        share.c.team_id.in_(bindparam("teams", expanding=True)),
    )
    # One by one, each from its own index; several at once would be looked for in the whole table.
    some = select(share.c.record_id, share.c.model, share.c.access).where(lasting).limit(MOST_SHARED + 1)
    given = union_all(*(select(some.where(holder).subquery()) for holder in holders)).limit(MOST_SHARED + 1).cte("given")
    number = select(func.count()).select_from(given).scalar_subquery()
    rr, fr, pr = RoleRight.__table__, FieldRight.__table__, PersonalRight.__table__
    rows = union_all(
        select(_said("r"), rr.c.role_id, rr.c.model, rr.c.verb, rr.c.scopes, rr.c.shared, rr.c.id).where(rr.c.role_id.in_(roles)),
        select(_said("f"), fr.c.role_id, fr.c.model, fr.c.field_name, fr.c.access, null(), fr.c.id).where(fr.c.role_id.in_(roles)),
        select(_said("p"), pr.c.user_id, pr.c.model, pr.c.verb, pr.c.scopes, pr.c.denied, pr.c.id).where(
            pr.c.user_id == me, or_(pr.c.until.is_(None), pr.c.until > bindparam("moment"))
        ),
        # Of too many to be named a row for each holder says so.
        select(_said("s"), given.c.record_id, given.c.model, given.c.access, _said(""), false(), _number(0)).where(
            number <= bindparam("most")
        ),
        *(
            select(_said("m"), _number(place), *(_said("") for _word in "123"), false(), _number(0)).where(
                number > bindparam("most"), some.where(holder).exists()
            )
            for place, holder in enumerate(holders)
        ),
    )
    return places.execution_options(**PREPARED), rows.execution_options(**PREPARED)
