"""Dictionaries: name, colour, order and retire the options of a drop-down, all on one page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, request
from sqlalchemy import select

from core.db import db
from core.errors import Missing, Problem
from core.i18n import LANGUAGES, catalogue, ngettext, t
from core.i18n import gettext as _
from core.options import COLOURS, Dictionary, Option, dictionary_label
from core.records import records
from core.web.field_pages import navigation
from core.web.shell import drawn, say


def add_to(blueprint: Blueprint) -> None:
    """Give the settings their pages about dictionaries."""
    blueprint.add_url_rule("/dictionaries/", view_func=dictionaries)
    blueprint.add_url_rule("/dictionaries/<int:number>", view_func=dictionary, methods=["GET", "POST"])


def colour_words() -> dict[str, str]:
    """The ten colours of an option."""
    return {
        "stone": _("Stone"), "clay": _("Clay"), "amber": _("Amber"), "olive": _("Olive"), "green": _("Green"), "teal": _("Teal"),
        "dai": _("Dai"), "indigo": _("Indigo"), "plum": _("Plum"), "rose": _("Rose"),
    }  # fmt: skip


def dictionaries() -> Any:
    """The first dictionary; the left column shows the others."""
    first = db.session.execute(select(Dictionary.id).order_by(Dictionary.closed, Dictionary.id).limit(1)).scalar()
    if first is None:
        raise Missing(_("There is no dictionary yet."))
    return redirect(f"/settings/dictionaries/{first}")


def dictionary(number: int) -> Any:
    """The options of one dictionary."""
    found = records(Dictionary).get(number)
    options = list(db.session.execute(select(Option).where(Option.dictionary_id == number).order_by(Option.position, Option.id)).scalars())
    errors: list[str] = []
    if request.method == "POST":
        try:
            with db.session.begin_nested():
                changed = _save(found, options)
        except Problem as problem:
            errors = [str(each) for each in getattr(problem, "errors", {"": problem.sentence}).values()]
        else:
            say(ngettext("%(count)s option was saved.", "%(count)s options were saved.", changed), undo=bool(changed))
            return redirect(f"/settings/dictionaries/{number}")
    return drawn("dictionary.html", _page(found, options, errors), 422 if errors else 0)


def _sent(one: Option, name: str, stored: Any) -> str:
    return request.form.get(f"{name}-{one.key}", str(stored if stored is not None else ""))


def _save(found: Dictionary, options: list[Option]) -> int:
    gate, changed = records(Option), 0
    for one in options:
        titles = {code: text for code in LANGUAGES if (text := _sent(one, f"label_{code}", (one.titles or {}).get(code)).strip())}
        values = {
            "title": _sent(one, "label", one.title).strip(),
            "titles": titles or None,
            "colour": _sent(one, "colour", one.colour) or None,
            "position": _sent(one, "order", one.position) or None,
            "retired": request.form.getlist(f"retired-{one.key}")[-1:] == ["1"]
            if f"retired-{one.key}" in request.form
            else bool(one.retired),
        }
        different = {name: value for name, value in values.items() if str(value) != str(getattr(one, name))}
        if different:
            gate.edit(one, different)
            changed += 1
    label = request.form.get("new-label", "").strip()
    if label:
        gate.create({"dictionary": found.id, "title": label})
        changed += 1
    return changed


def _page(found: Dictionary, options: list[Option], errors: list[str]) -> SimpleNamespace:
    url = f"/settings/dictionaries/{found.id}"
    again = bool(errors)
    shown = [
        SimpleNamespace(
            key=one.key,
            label=_sent(one, "label", one.title) if again else one.title,
            order=_sent(one, "order", one.position) if again else one.position,
            colour=(_sent(one, "colour", one.colour) if again else one.colour) or "",
            retired=bool(one.retired),
            says=t(one.title),
            empty={code: catalogue(code).gettext(one.title) for code in LANGUAGES},
            labels={
                code: _sent(one, f"label_{code}", (one.titles or {}).get(code)) if again else (one.titles or {}).get(code, "")
                for code in LANGUAGES
            },
        )
        for one in options
    ]
    return SimpleNamespace(
        title=dictionary_label(found.key, found.title, found.titles),
        url=url,
        nav=navigation(url),
        jump_url="/settings/jump",
        options=shown,
        errors=errors,
        languages=list(LANGUAGES.items()),
        colours=[("", _("no colour")), *((one, colour_words().get(one, one)) for one in COLOURS)],
        closed=found.closed,
        new_label=request.form.get("new-label", "") if again else "",
        sum_text=ngettext("%(count)s option", "%(count)s options", len(options)),
    )
