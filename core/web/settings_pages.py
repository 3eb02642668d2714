"""Pages of administrators: overview, addons with the preview of what falls asleep, the firm's settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from core import addons as house
from core.errors import Invalid, Missing, Refused
from core.i18n import LANGUAGES, listed, ngettext, t
from core.i18n import gettext as _
from core.settings import declared_settings, set_setting, setting
from core.web import field_pages, journal_pages, option_pages
from core.web.menu import COLOURS, only_administrators, settings_groups
from core.web.shell import drawn, say

settings_pages = Blueprint("settings", __name__, url_prefix="/settings")
field_pages.add_to(settings_pages)
option_pages.add_to(settings_pages)
journal_pages.add_to(settings_pages)
settings_pages.before_request(only_administrators)


@settings_pages.get("/")
def overview() -> str:
    """Everything that can be set."""
    return render_template("settings.html", page=SimpleNamespace(groups=settings_groups(request.path)))


# -- addons ---------------------------------------------------------------------------------------------------------------


@settings_pages.get("/addons")
def addons() -> str:
    """Every addon on disk, on or asleep."""
    return render_template("addons.html", page=_addons_page(request.args.get("show", "")))


@settings_pages.get("/addons/<name>/off")
def addon_preview(name: str) -> str:
    """What falls asleep when this addon goes off; shown before anything happens."""
    _known(name)
    return render_template("addons.html", page=_addons_page("", preview=name))


@settings_pages.post("/addons/<name>/off")
def addon_off(name: str) -> Response:
    """Switch an addon off, with those that need it."""
    _known(name)
    changed = house.disable(name)
    say(
        ngettext("%(count)s addon sleeps now; its data is kept.", "%(count)s addons sleep now; their data is kept.", len(changed)),
        icon="moon",
    )
    return redirect("/settings/addons")


@settings_pages.post("/addons/<name>/on")
def addon_on(name: str) -> Response:
    """Switch an addon on, with those it needs."""
    _known(name)
    try:
        changed = house.enable(name)
    except Invalid as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect("/settings/addons")
    names = listed(t(house.addons()[one].title) for one in changed)
    say(_("Awake: %(names)s.", names=names) if names else _("It was awake already."))
    return redirect("/settings/addons")


def _known(name: str) -> house.Addon:
    found = house.addons().get(name)
    if found is None:
        raise Missing(_("There is no addon called “%(name)s”.", name=name[:60]))
    return found


def _addons_page(show: str, preview: str = "") -> SimpleNamespace:
    everything = house.addons()
    cards = []
    for place, (name, one) in enumerate(everything.items()):
        on = house.enabled(name)
        sleeping_needs = [t(everything[other].title) for other in house.needs(name) if not house.enabled(other)]
        cards.append(
            SimpleNamespace(
                name=name,
                title=t(one.title),
                summary=t(one.summary) if one.summary else "",
                version=one.version,
                icon=one.icon,
                on=on,
                broken=one.broken or "",
                colour=COLOURS[place % 9],
                on_stage=name == preview,
                needs=listed(t(everything[other].title) for other in one.depends if other in everything),
                needed_by=len(house.dependants(name)),
                wakes=listed(sleeping_needs),
                off_url=f"/settings/addons/{name}/off",
                on_url=f"/settings/addons/{name}/on",
            )
        )
    groups = [
        ("", _("All"), cards),
        ("on", _("Awake"), [one for one in cards if one.on]),
        ("asleep", _("Asleep"), [one for one in cards if not one.on]),
    ]
    shown = next((members for word, _title, members in groups if word == show), cards)
    return SimpleNamespace(
        url="/settings/addons",
        addons=shown,
        preview=_preview(preview) if preview and house.enabled(preview) else None,
        tabs=[
            SimpleNamespace(
                url=f"/settings/addons?show={word}" if word else "/settings/addons", title=title, count=len(members), current=word == show
            )
            for word, title, members in groups
        ],
    )


def _preview(name: str) -> SimpleNamespace:
    one, everything = house.addons()[name], house.addons()
    sleepers = house.preview_disable(name)
    records = [(label, count) for sleeper in sleepers for label, count in sleeper.records]
    fields = [field for sleeper in sleepers for field in sleeper.fields]
    from core.model import models

    names = {sleeper.name for sleeper in sleepers}
    pages = [model for model in models().values() if model.addon in names]
    chain = [
        SimpleNamespace(kind="a", title=t(everything[other].title), says=_("stays")) for other in one.depends[:1] if other in everything
    ]
    chain.append(SimpleNamespace(kind="b", title=t(one.title), says=_("goes off")))
    chain += [SimpleNamespace(kind="c", title=sleeper.title, says=_("sleeps too")) for sleeper in sleepers if sleeper.dependant][:2]
    others = [sleeper.title for sleeper in sleepers if sleeper.dependant]
    lines = [
        SimpleNamespace(
            icon="stack-2",
            title=_("Records"),
            count=f"{sum(count for _label, count in records):,}",
            detail=listed(f"{label} {count:,}" for label, count in records[:6]),
        ),
        SimpleNamespace(
            icon="menu-2", title=_("Lists and forms"), count=len(pages), detail=listed(t(model.label_many) for model in pages[:8])
        ),
        SimpleNamespace(icon="api", title=_("Addresses of the API"), count=len(pages), detail=_("They answer 404 until it is on again.")),
    ]
    if fields:
        lines.append(SimpleNamespace(icon="forms", title=_("Fields on other records"), count=len(fields), detail=listed(fields[:6])))
    if others:
        lines.append(SimpleNamespace(icon="puzzle", title=_("Addons that need it"), count=len(others), detail=listed(others)))
    return SimpleNamespace(
        title=t(one.title),
        chain=chain,
        lines=lines,
        count=len(sleepers),
        action_url=f"/settings/addons/{name}/off",
        chain_sentence=_("%(names)s sleep with “%(title)s”.", names=listed(others), title=t(one.title))
        if others
        else _("Nothing else depends on “%(title)s”.", title=t(one.title)),
    )


# -- the firm -------------------------------------------------------------------------------------------------------------


@settings_pages.route("/firm", methods=["GET", "POST"])
def firm() -> Any:
    """The settings that code declares, one box each."""
    errors: dict[str, str] = {}
    typed = request.form if request.method == "POST" else {}
    if request.method == "POST":
        errors = save_typed("firm", typed)
        if not errors:
            say(_("The settings were saved; they hold at once, everywhere."), undo=True)
            return redirect("/settings/firm")
    return drawn("firm.html", SimpleNamespace(boxes=boxes_of("firm", typed, errors), errors=errors), 422 if errors else 0)


def save_typed(page: str, typed: Any) -> dict[str, str]:
    """Save what was typed into the boxes of a page; returns {setting: sentence} of what does not fit."""
    _must_edit_settings()
    errors: dict[str, str] = {}
    for key, one in declared_settings().items():
        text = typed.get(key, "").strip()
        if one.page == page and key in typed and text != str(setting(key)):
            try:
                set_setting(key, text or None)
            except Invalid as problem:
                errors |= problem.errors
    return errors


def boxes_of(page: str, typed: Any, errors: dict[str, str], words: dict[str, str] = LANGUAGES) -> list[SimpleNamespace]:
    """The boxes of a page of settings; ``words`` say what a choice is called."""
    return [
        SimpleNamespace(
            key=key,
            id=f"setting-{place}",
            label=t(one.label),
            help=t(one.help) if one.help else "",
            value=typed.get(key, setting(key)),
            error=errors.get(key, ""),
            options=[(each, t(words.get(each, each))) for each in getattr(one.clean, "choices", ())],
        )
        for place, (key, one) in enumerate(declared_settings().items())
        if one.page == page and isinstance(one.default, (str, int)) and not isinstance(one.default, bool)
    ]


def _must_edit_settings() -> None:
    from core.rules import may
    from core.settings import Setting

    verdict = may("edit", Setting)
    if not verdict:
        raise Refused(_("You may not change the settings."), verdict)
