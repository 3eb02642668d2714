"""“View as …”: an administrator sees the house with somebody else's eyes, reads only, and stands in the journal.

Nothing can be written meanwhile: every request that would change something is refused until he is himself again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, g, redirect, request, session

from core import journal
from core.accounts import Person, person_by_id
from core.errors import Refused
from core.i18n import gettext as _
from core.people import MortiseUser
from core.people_rules import rank
from core.records import records
from core.web.shell import say

view_as = Blueprint("view_as", __name__)
KEPT = "view_as"
OPEN = {"view_as.end", "signin.logout"}
"""What may be sent meanwhile."""


def may_view_as(mine: str, other: str) -> bool:
    """An administrator sees as employees, a system administrator as everybody."""
    return rank(mine) > rank(other) or rank(mine) == 2


def seen_as(person: Person) -> Person:
    """Whose eyes this request has: the person himself, unless he views the house as somebody else, whom he still may view."""
    number = session.get(KEPT)
    if not isinstance(number, int) or request.endpoint in OPEN:
        return person
    other = person_by_id(number)
    if other is None or not may_view_as(person.level, other.level):
        return person
    g.viewer = person
    # His own language, colours and zone: he looks for rights, not for words.
    own = {"language": person.language, "zone": person.zone, "theme": person.theme, "preferences": person.preferences}
    return replace(other, must_change_password=False, needs_factor=person.needs_factor, **own)


def refuse_writing() -> None:
    """Raises `Refused` for whatever would change something while somebody views as another."""
    if "viewer" in g:
        raise Refused(_("You are viewing as somebody else and can change nothing. Stop viewing first."))


@view_as.post("/ab_user/<int:person>/view-as")
def begin(person: int) -> Any:
    """See the house as this person from now on."""
    user = records(MortiseUser).get(person)
    mine: Person = g.user
    if user.id == mine.id or not may_view_as(mine.level, user.level):
        raise Refused(_("You may view as people of a lower level only."))
    if not user.active:
        raise Refused(_("The account is closed."))
    session[KEPT] = user.id
    journal.write("ab_user", user.id, "view-as", {})
    return redirect("/")


@view_as.post("/view-as/end")
def end() -> Any:
    """Be oneself again."""
    number = session.pop(KEPT, None)
    if number is None:
        return redirect("/")
    say(_("You are yourself again."))
    return redirect(f"/ab_user/{number}")
