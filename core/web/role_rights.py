"""Rights in words: what may be chosen for a right, and what a role may do at all, by code and by what administrators set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import render_template
from markupsafe import Markup
from sqlalchemy import select

from core.addons import enabled
from core.db import db
from core.i18n import gettext as _
from core.i18n import listed
from core.model import fields_of, model_label, models
from core.people import RoleRight
from core.right_words import addon_title, scope_label, verb_label
from core.rules import SCOPES, VERBS, may, model_key, rules_of, verbs_of

Options = list[tuple[str, str]]


def model_options() -> Options:
    """Every kind of record that a right can be about, those of addons first."""
    awake = [one for one in models().values() if enabled(one.addon)]
    awake.sort(key=lambda one: (one.addon == "core", model_label(one, many=True)))
    return [(model_key(one), model_label(one, many=True)) for one in awake]


def verb_options() -> Options:
    """Every verb that some kind of record knows."""
    found: dict[str, None] = {}
    for one in models().values():
        if enabled(one.addon):
            found |= dict.fromkeys(verbs_of(one))
    return [(verb, verb_label(verb)) for verb in found]


def scope_options() -> Options:
    """Every scope that a right can have."""
    return [(scope, scope_label(scope)) for scope in SCOPES if scope != "none"]


def field_options() -> Options:
    """The fields of all kinds of record by name; one that several have stands once."""
    found: dict[str, str] = {}
    for model in models().values():
        if enabled(model.addon):
            for name, one in fields_of(model).items():
                if not one.system:
                    found.setdefault(name, f"{one.title} ({name})")
    return sorted(found.items(), key=lambda pair: pair[1])


def panel(role: Any) -> SimpleNamespace | None:
    """The way to the role's rights, below its record; None for who may not change rights."""
    if not may("edit", RoleRight):
        return None
    html = Markup(render_template("_rights.html", url=f"/ab_role/{role.id}/_rights"))  # noqa: S704
    return SimpleNamespace(title=_("What this role may do"), html=html)


def matrix(role: Any, other: Any = None) -> list[tuple[str, list[SimpleNamespace]]]:
    """(addon, lines) of all that a role may do, those of core last; with ``other``, what differs from that role is marked."""
    mine, theirs = _set_here(role), _set_here(other) if other is not None else {}
    groups: dict[tuple[bool, str], list[SimpleNamespace]] = {}
    for model in models().values():
        if not enabled(model.addon):
            continue
        known = verbs_of(model)
        cells = {verb: _cell(role, other, model, verb, mine, theirs) for verb in known}
        line = SimpleNamespace(
            title=model_label(model, many=True), url=f"/ab_role/{role.id}/_rights/{model.__tablename__}",
            cells=[cells.get(verb) for verb in VERBS], more=[(verb_label(verb), cell) for verb, cell in cells.items() if verb not in VERBS],
        )  # fmt: skip
        groups.setdefault((model.addon == "core", addon_title(model.addon)), []).append(line)
    return [(title, groups[last, title]) for last, title in sorted(groups)]


def _cell(role: Any, other: Any, model: type, verb: str, mine: Any, theirs: Any) -> SimpleNamespace:
    words, here = _reach(role, model, verb, mine)
    beside = _reach(other, model, verb, theirs)[0] if other is not None else words
    return SimpleNamespace(text=words, here=here, beside=beside or scope_label("none"), differs=beside != words)


def _set_here(role: Any) -> dict[tuple[str, str], Any]:
    rows = db.session.execute(select(RoleRight).where(RoleRight.role_id == role.id)).scalars()
    return {(one.model, one.verb): one for one in rows}


def _reach(role: Any, model: type, verb: str, set_here: dict[tuple[str, str], Any]) -> tuple[str, bool]:
    """(how far, set by an administrator?) of one verb; nothing when the role does not give it."""
    row = set_here.get((model_key(model), verb))
    if row is not None:
        scopes, shared = set(row.scopes.split()), bool(row.shared)
    else:
        given = [one for one in rules_of(model) if one.role == role.name and verb in one.verbs]
        scopes, shared = set().union(*(one.scopes for one in given)), any(one.shared for one in given)
    scopes -= {"none"}
    words = [scope_label(one) for one in (*SCOPES, "parent") if one in scopes]
    return listed([*words, *([_("shared ones")] if shared and "all" not in scopes else [])]), row is not None
