"""All that an addon may import. Whatever is not named here is the house's own business and may change any day."""

from sqlalchemy.orm import Mapped

from core.context import actor, local, now, system, today
from core.errors import Conflict, Invalid, Missing, Problem, Refused
from core.fields import field, link, links
from core.hooks import hook
from core.i18n import gettext as _
from core.i18n import lazy, ngettext
from core.model import Model, extend, half
from core.people import Department, MortiseUser, Owned, Post, Team, User
from core.records import records
from core.rules import Role, everyone, may, rule

__all__ = [
    "Conflict", "Department", "Invalid", "Mapped", "Missing", "Model", "MortiseUser", "Owned", "Post", "Problem", "Refused", "Role",
    "Team", "User", "_", "actor", "everyone", "extend", "field", "half", "hook", "lazy", "link", "links", "local", "may", "ngettext",
    "now", "records", "rule", "system", "today",
]  # fmt: skip
