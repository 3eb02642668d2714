"""All that an addon may import. Whatever is not named here is the house's own business and may change any day."""

from sqlalchemy.orm import Mapped

from core.context import actor, local, now, system, today
from core.errors import Conflict, Invalid, Missing, Problem, Refused
from core.fields import field, link, links
from core.hooks import hook
from core.i18n import gettext as _
from core.i18n import lazy, ngettext
from core.jobs import job
from core.model import Model, extend, half
from core.notifications import Notification
from core.people import Department, Owned, Post, Team, User
from core.records import records
from core.rules import Role, everyone, may, rule
from core.web.views import View, action

__all__ = [
    "Conflict", "Department", "Invalid", "Mapped", "Missing", "Model", "Notification", "Owned", "Post", "Problem", "Refused", "Role",
    "Team", "User", "View", "_", "action", "actor", "everyone", "extend", "field", "half", "hook", "job", "lazy", "link", "links",
    "local", "mail", "may",
    "ngettext", "now", "records", "rule", "system", "today",
]  # fmt: skip

# What listens to the session, and the house's own rules, hold for whoever imports anything of core.
from core import guard, journal, mail, people_rules  # noqa: F401
