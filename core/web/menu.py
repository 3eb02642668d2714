"""The menu: modules of the rail from what addons say in addon.toml, their pages, and the settings of administrators."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core import hooks
from core.addons import addons, enabled
from core.context import actor
from core.errors import Refused
from core.i18n import gettext as _
from core.i18n import t
from core.model import model_label, models, part_of
from core.people import ADMINISTRATORS, User
from core.rules import may, rights
from core.state import cached_by_generation
from core.verdicts import Fact, Verdict
from core.web.views import view_of

COLOURS = ("dai", "teal", "clay", "plum", "olive", "indigo", "amber", "rose", "green", "stone")
ON_THE_RAIL = 9


@dataclass(slots=True)
class Entry:
    """One page in the menu."""

    title: str
    url: str
    icon: str = "list"
    colour: str = ""
    hint: str = ""
    words: str = ""
    """What else it can be found by: English words, the table's name."""
    new_url: str = ""
    current: bool = False
    in_bar: bool = True
    """False: found in the launcher and on the overview, but not a word of the top bar."""
    also: str = ""
    """Where else one is on this page: the list that it leads to."""


@dataclass(slots=True)
class Module:
    """One item of the rail: a house with its rooms."""

    title: str
    icon: str = "box"
    colour: str = "dai"
    entries: list[Entry] = field(default_factory=list)
    position: int = 100

    @property
    def url(self) -> str:
        """Its first page."""
        return self.entries[0].url if self.entries else "/"

    @property
    def says_more(self) -> bool:
        """Does its name say anything beside the name of its only page?"""
        return [one.title for one in self.entries] != [self.title]

    @property
    def current(self) -> bool:
        """Is one of its pages open?"""
        return any(one.current for one in self.entries)


def modules(path: str) -> list[Module]:
    """The modules that the acting person has something in, in the order of the addons' positions; ``path`` is the open page."""
    who = actor()
    reach = _reach(("system",) if who.system else rights().kind)
    found = {one.title: _copied(one, path) for one in _modules(reach, who.language)}
    for entry in _of_hooks(path):
        found.setdefault("More", Module(_("More"), "dots", position=1000)).entries.append(entry)
    for place, module in enumerate(found.values()):
        module.colour = COLOURS[place % len(COLOURS)]
    return list(found.values())


@cached_by_generation
def _reach(_kind: tuple[Any, ...]) -> tuple[tuple[str, bool], ...]:
    """(table, may he make one) of the models in the menu of whoever has rights of this kind, as the acting person has."""

    def at_all(model: type, verb: str) -> bool:
        return actor().system or rights().may_at_all(model, verb)

    return tuple(
        (model.__tablename__, bool(view.may_create and at_all(model, "create"))) for model, view in _offered() if at_all(model, "read")
    )


@cached_by_generation
def _offered() -> list[tuple[Any, Any]]:
    """(model, its view) of all that stands in menus while its addon is on, in the order of the addons' positions."""
    by_addon: dict[str, list[Any]] = {}
    for model in models().values():
        by_addon.setdefault(model.addon, []).append(model)
    found = []
    for name, _one in sorted(addons().items(), key=lambda pair: pair[1].position):
        if enabled(name):
            for model in sorted(by_addon.get(name, []), key=lambda each: view_of(each).position):
                if in_menu(model):
                    found.append((model, view_of(model)))
    return found


def in_menu(model: Any) -> bool:
    """Does the list of this model stand in menus at all, while its addon is on?"""
    wanted = view_of(model).in_menu
    return bool(addons()[model.addon].menu) and (wanted if wanted is not None else part_of(model) is None)


@cached_by_generation
def _modules(reach: tuple[tuple[str, bool], ...], language: str) -> list[Module]:
    """The menu of whoever may reach these models: (table, may he make one). Its words are in this language, the acting person's."""
    found: dict[str, Module] = {}
    for table, makes in reach:
        model = models()[table]
        one = addons()[model.addon]
        entry = _entry(model, "", makes)
        entry.icon = entry.icon or one.icon
        found.setdefault(one.menu, Module(t(one.menu), one.icon, position=one.position)).entries.append(entry)
    return list(found.values())


def _copied(module: Module, path: str) -> Module:
    """A module of this request alone: the entry that is open is marked."""
    entries = [replace(one, current=True) if path.startswith(one.url) else one for one in module.entries]
    return replace(module, entries=entries)


def _entry(model: Any, path: str, makes: bool) -> Entry:
    view, url = view_of(model), f"/{model.__tablename__}/"
    return Entry(
        model_label(model, many=True),
        url,
        view.icon,
        view.colour,
        t(model.description) if model.description else "",
        f"{model.label_many} {model.__tablename__}",
        f"{url}new" if makes else "",
        bool(path) and path.startswith(url),
    )


def _of_hooks(path: str) -> list[Entry]:
    if actor().user_id is None:
        return []
    found = []
    for answers in hooks.call("menu", user=actor()):
        for label, url, icon in answers or []:
            found.append(Entry(t(label), url, icon, current=path.startswith(url), words=str(label)))
    return found


def is_administrator() -> bool:
    """May the acting person set up the house?"""
    return rights().level in ADMINISTRATORS


def only_administrators() -> None:
    """Raises `Refused`, with the level as its reason, when the acting person sets nothing up."""
    if not is_administrator():
        verdict = Verdict(False, (Fact("no_level", f"ab_user:{actor().user_id}"),))
        raise Refused(_("Only an administrator may open the settings."), verdict)


def settings_groups(path: str, whoever: bool = False) -> list[Module]:
    """What administrators set, in groups; empty for everybody else, unless it is asked for ``whoever``."""
    if not whoever and not is_administrator():
        return []
    groups = [
        Module(
            _("People"),
            "users",
            "plum",
            [
                *(_of_core(table, path, whoever) for table in ("ab_user", "core_department", "core_post", "core_team")),
                Entry(_("Organisation"), "/departments", "sitemap", "teal", _("The tree of departments and their heads"), in_bar=False),
                Entry(_("Locked accounts"), "/settings/locked", "lock", "rose", _("Who waits after failed sign-ins"), in_bar=False),
                Entry(_("Online now"), "/settings/online", "broadcast", "green", _("Who is at work, and where"), in_bar=False),
                Entry(
                    _("Requests"), "/settings/requests", "user-question", "amber", _("Who asks for a new password or another account"),
                    "account requests", in_bar=False, also="/core_account_request/",
                ),  # fmt: skip
            ],
        ),
        Module(
            _("Rights"),
            "shield",
            "indigo",
            [
                _of_core(table, path, whoever)
                for table in ("ab_role", "core_role_right", "core_field_right", "core_personal_right", "core_right_test")
            ],
        ),
        Module(
            _("House"),
            "settings",
            "dai",
            [
                Entry(_("Addons"), "/settings/addons", "puzzle", "teal", _("Switch parts of the house on and off"), "addons"),
                Entry(_("Fields"), "/settings/fields/", "forms", "clay", _("Own fields, labels and hints"), "custom fields"),
                Entry(
                    _("Dictionaries"),
                    "/settings/dictionaries/",
                    "list-details",
                    "olive",
                    _("The options of every drop-down"),
                    "dictionaries options",
                ),
                Entry(_("Firm"), "/settings/firm", "building", "amber", _("Name, zone, language, sign-in"), "firm settings"),
                Entry(
                    _("Mail"), "/settings/mail", "mail", "plum", _("Server, sender, and what was sent"), "mail smtp", in_bar=False,
                    also="/core_mail/",
                ),  # fmt: skip
                Entry(_("Journal"), "/settings/journal", "history", "stone", _("Who changed what, and the way back"), "journal"),
                Entry(
                    _("Backups"), "/backups", "database-export", "indigo", _("Make, keep and restore them"), "backup restore", in_bar=False
                ) if rights().level == "system_administrator" else None,
            ],
        ),
    ]
    for group in groups:
        group.entries = [one for one in group.entries if one is not None]
        for one in group.entries:
            one.current = path.startswith((one.url, one.also or one.url))
    return groups


def _of_core(table: str, path: str, whoever: bool) -> Any:
    model = models().get(table)
    if model is None or not (whoever or may("read", model)):
        return None
    return _entry(model, path, view_of(model).may_create and bool(may("create", model)))


def settings_module(path: str) -> Module | None:
    """The settings as one module, with all its pages; None for people who set nothing."""
    groups = settings_groups(path)
    if not groups:
        return None
    made = Module(_("Settings"), "settings", "stone")
    # Everyday ones first: the bar holds some eight words, the rest is on the overview.
    order = ("ab_user", "core_department", "core_post", "ab_role", "/settings/")
    entries = [one for group in groups for one in group.entries]
    made.entries = [Entry(_("Overview"), "/settings/", "layout-grid", current=path == "/settings/")]
    made.entries += sorted(entries, key=lambda one: next((place for place, word in enumerate(order) if word in one.url), len(order)))
    for one in made.entries:
        one.in_bar = one.current or (one.in_bar and any(word in one.url for word in order))
    return made


def creatable(path: str) -> list[Entry]:
    """What the acting person may make a record of."""
    found = [
        Entry(model_label_of(one), one.new_url, one.icon or module.icon, one.colour or module.colour, module.title)
        for module in modules(path)
        for one in module.entries
        if one.new_url
    ]
    if is_administrator():
        model = models().get(User.__tablename__)
        if model is not None:
            found.append(Entry(model_label(model), "/ab_user/new", "user-plus", "plum", _("Settings")))
    return found


def model_label_of(entry: Entry) -> str:
    """What one record of a list is called."""
    model = models().get(entry.url.strip("/"))
    return model_label(model) if model is not None else entry.title
