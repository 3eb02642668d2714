"""Verbs and scopes of rights, and whose records they are about, as administrators read them."""

from __future__ import annotations

from core.addons import addons
from core.i18n import gettext as _
from core.i18n import t


def verb_label(verb: str) -> str:
    """A verb as administrators read it; words of addons are labels of their own."""
    known = {
        "read": _("See"), "create": _("Create"), "edit": _("Edit"), "delete": _("Delete"), "import": _("Import"), "export": _("Export"),
        "print": _("Print"), "bulk": _("Change many at once"), "share": _("Share"), "transfer": _("Hand over"),
    }  # fmt: skip
    return known.get(verb) or t(verb.replace("_", " ").capitalize())


def scope_label(scope: str) -> str:
    """How far a right reaches."""
    known = {
        "none": _("nothing"), "own": _("own ones"),
        "department": _("those of the department"), "below": _("those of the department and below"),
        "team": _("those of the team"), "all": _("all"), "parent": _("as the record they belong to"),
    }  # fmt: skip
    return known.get(scope, scope)


def addon_title(name: str) -> str:
    """What an addon is called; the house itself for core."""
    found = addons().get(name)
    return t(found.title) if found is not None and name != "core" else _("House")
