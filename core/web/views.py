"""Views: how a model looks in lists and forms; automatic until an addon writes one, and then only what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.context import actor
from core.errors import Misbuilt, Missing
from core.fields import Field
from core.filters import filter_fields
from core.i18n import gettext as _
from core.model import SYSTEM_FIELDS, fields_of, links_to, loading, model_of
from core.records import records
from core.rules import may, rights

NOT_IN_LISTS = {"long", "json", "file", "links"}
AUTOMATIC_COLUMNS = 7
TEXT, MORE = AUTOMATIC_SECTIONS = ("Text", "More")
"""Sections of a form that no addon has named: long texts, and what was added later."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something a person does with chosen records: a button on list and form."""

    name: str
    label: str
    function: Callable[..., Any]
    confirm: str | None = None
    icon: str = "bolt"
    danger: bool = False
    verb: str = "edit"
    on_page: bool = True
    """False: a button of the list alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """A field that an addon puts into another addon's view."""

    addon: str
    name: str
    after: str | None
    section: str | None
    column: bool


_views: dict[type, View] = {}
_automatic: dict[type, View] = {}
_places: dict[type, list[Place]] = {}


def action(
    label: str, *, confirm: str | None = None, icon: str = "bolt", danger: bool = False, verb: str = "edit", on_page: bool = True
) -> Callable[[Any], Any]:
    """Make a method of a view a button: ``@action(_("Close"), confirm=_("Close the selected cases?"))``.

    It gets the chosen records and may return a sentence for the person. ``verb`` is the right it needs.
    """

    def mark(function: Any) -> Any:
        told = {"label": label, "confirm": confirm, "icon": icon, "danger": danger, "verb": verb, "on_page": on_page}
        function.mortise_action = told
        return function

    return mark


class View:
    """How one model looks. Write ``class CaseView(View, model=Case)`` with what differs from the automatic screen.

    ``columns`` names the fields of the list, ``form`` is ``{section title: "field field"}``, ``panels`` are the models whose
    records are listed below a record, ``order`` is the first sort order (``-`` for descending).
    """

    model: type
    addon: str = "core"
    columns: str = ""
    form: dict[str, str] = {}
    panels: list[type] | None = None
    board: str = ""
    calendar: str = ""
    order: str = ""
    icon: str = ""
    colour: str = ""
    position: int = 0
    """Lists of one addon stand in the menu by this number, those of the same number as models.py has them."""
    in_menu: bool | None = None
    """False keeps the list out of the menu; None leaves out models that are a part of another."""
    may_create: bool = True
    """False: records of this model are not made on a screen."""
    may_edit: bool = True
    """False: a record's page only shows it, since a change would always be refused."""
    may_delete: bool = True
    """False: the screens offer no deletion, since it would always be refused."""
    heads: dict[str, str] = {}
    """Heads of columns of the list that differ from the title of the field."""
    several: dict[str, str] = {}
    """Text fields with `options` that hold several words, separated by blanks; with the word for none of them."""

    def __init_subclass__(cls, *, model: type | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if model is None:
            return
        cls.model, cls.addon = model, loading["addon"]
        for names in (cls.columns, *cls.form.values(), cls.board, cls.calendar, cls.order.lstrip("-")):
            cls._check(names.split())
        if model in _views and _views[model].addon != loading["addon"]:
            raise Misbuilt(
                f"{cls.__name__}: {model.__name__} has a view already, {type(_views[model]).__name__}; use place() and panels instead."
            )
        _views[model] = cls()

    @classmethod
    def _check(cls, names: Iterable[str]) -> None:
        known = {**SYSTEM_FIELDS, **cls.model.__fields__}
        for name in names:
            if name not in known:
                raise Misbuilt(f"{cls.__name__}: {cls.model.__name__} has no field {name!r}")

    @classmethod
    def place(cls, name: str, *, after: str | None = None, section: str | None = None, column: bool = False) -> None:
        """Show a field that your addon added with `extend`: after another field, or in a section of its own."""
        cls._check([name, *([after] if after else [])])
        _places.setdefault(cls.model, []).append(Place(loading["addon"], name, after, section, column))

    def fixed(self, record: Any) -> dict[str, str]:
        """Fields of this record that nobody changes on a screen, each with the sentence that says why."""
        return {}

    def withheld(self, name: str, record: Any) -> str:
        """Why the button ``name`` makes no sense for this record as it is now, in a sentence; nothing when it does.

        Whether the person may is asked elsewhere; “Why?” tells both.
        """
        return ""

    def options(self, name: str) -> list[tuple[str, str]] | None:
        """The values that a text field may take, with their words, where this view offers a choice; else None."""
        return None

    def called(self, found: Sequence[Any]) -> dict[int, str]:
        """What records of the list are called, by id, where the field that titles them says too little; the rest keep its value."""
        return {}

    def notes(self, record: Any) -> list[Any]:
        """Panels of this view's own below a record: objects with ``title`` and ``html``."""
        return []

    # -- what the acting person sees ------------------------------------------------------------------------------------

    def fields(self) -> dict[str, Field]:
        """The fields of now that the acting person may see, in the order of the model."""
        seen = fields_of(self.model) if actor().system else rights().fields_seen(self.model)
        return {name: one for name, one in seen.items() if not one.hidden and not one.sensitive and one.kind.name != "json"}

    def column_fields(self, chosen: Iterable[str] = ()) -> list[Field]:
        """The columns of the list; the field that titles a record always comes first."""
        seen = self.fields()
        names = (
            [name for name in chosen if name in seen]
            or [name for name in self.columns.split() if name in seen]
            or self._automatic_columns(seen)
        )
        for one in self._awake_places():
            if one.column and one.name in seen and one.name not in names and not list(chosen):
                names.insert(names.index(one.after) + 1 if one.after in names else len(names), one.name)
        title = self.model.title_field
        if title in seen:
            names = [title, *(name for name in names if name != title)]
        return [seen[name] for name in names] or [fields_of(self.model)["id"]]

    def _automatic_columns(self, seen: dict[str, Field]) -> list[str]:
        plain = [name for name, one in seen.items() if not one.system and not one.custom and one.kind.name not in NOT_IN_LISTS]
        plain.sort(key=lambda name: name in ("owner", "department"))
        custom = [name for name, one in seen.items() if one.custom and one.indexed and one.kind.name not in NOT_IN_LISTS]
        return [*plain[: AUTOMATIC_COLUMNS - len(custom[:2])], *custom[:2], *(["changed_at"] if "changed_at" in seen else [])]

    def sections(self) -> list[tuple[str, list[Field]]]:
        """The form: (section title as English source, fields); custom and placed fields come in where they belong."""
        seen = {name: one for name, one in self.fields().items() if not one.system}
        wanted = {title: [name for name in names.split() if name in seen] for title, names in self.form.items()}
        if not wanted:
            first = [name for name, one in seen.items() if not one.custom and one.kind.name != "long" and one.addon == self.model.addon]
            first.sort(key=lambda name: name in ("owner", "department"))
            wanted = {self.model.label: first, TEXT: [name for name, one in seen.items() if not one.custom and one.kind.name == "long"]}
        named = {name for names in wanted.values() for name in names}
        for one in self._awake_places():
            if one.name not in seen or one.name in named:
                continue
            home = next((title for title, names in wanted.items() if one.after in names), None)
            if home is not None:
                wanted[home].insert(wanted[home].index(one.after) + 1, one.name)
            else:
                wanted.setdefault(one.section or self.model.label, []).append(one.name)
            named.add(one.name)
        for name, one in seen.items():
            if one.custom and name not in named:
                wanted.setdefault(one.group or MORE, []).append(name)
            elif not one.custom and name not in named and not self.form:
                wanted.setdefault(MORE, []).append(name)
        return [(title, [seen[name] for name in names]) for title, names in wanted.items() if names]

    def _awake_places(self) -> list[Place]:
        from core.addons import enabled

        return [one for one in _places.get(self.model, []) if enabled(one.addon)]

    def panel_links(self) -> list[tuple[type, Field]]:
        """The related lists below a record: (model, its link that leads here), only those the person may read."""
        from core.addons import enabled

        pointing = [(other, one) for other, one in links_to(self.model) if one.kind.name == "link" and enabled(other.addon)]
        if self.panels is not None:
            pointing = [pair for panel in self.panels for pair in pointing if pair[0] is panel]
        else:
            pointing = [(other, one) for other, one in pointing if not one.system and (one.part_of or not self.model.system_model)]
        return [(other, one) for other, one in pointing if may("read", other) and one.name in filter_fields(other)]

    def links_from(self, other: type) -> list[tuple[type, Field]]:
        """The links of ``other`` that lead to this model, if the person may read it."""
        from core.addons import enabled

        if not enabled(other.addon) or not may("read", other):  # type: ignore[attr-defined]
            return []
        seen = filter_fields(other)
        return [(other, one) for other_, one in links_to(self.model) if other_ is other and one.kind.name == "link" and one.name in seen]

    def all_actions(self) -> list[Action]:
        """The view's own buttons, whoever may press them."""
        told = {name: getattr(getattr(type(self), name, None), "mortise_action", None) for name in dir(type(self))}
        return [Action(name=name, function=getattr(self, name), **words) for name, words in told.items() if words]

    def actions(self) -> list[Action]:
        """The view's own buttons that the acting person's rights allow in general."""
        return [one for one in self.all_actions() if may(one.verb, self.model)]


def view_of(model: type) -> View:
    """The view of a model: the one an addon wrote, else the automatic one."""
    if model in _views:
        return _views[model]
    if model not in _automatic:
        made = View()
        made.model, made.addon = model, model.addon  # type: ignore[misc]
        _automatic[model] = made
    return _automatic[model]


def views() -> list[View]:
    """Every view that core or an addon has written."""
    return list(_views.values())


def places() -> list[Place]:
    """Every field that an addon put into a view."""
    return [one for found in _places.values() for one in found]


def check_views(addon: str) -> None:
    """Every name that the views of ``addon`` use must be a field. Raises `Misbuilt` with view, model and name."""
    for view in _views.values():
        if view.addon == addon:
            for names in (view.columns, *view.form.values(), view.board, view.calendar, view.order.lstrip("-")):
                view._check(names.split())
    for model, places in _places.items():
        for one in places:
            if one.addon == addon:
                view_of(model)._check([one.name, *([one.after] if one.after else [])])


def view_at(table: str) -> View:
    """The view of the model at this address. Raises `Missing` when there is none, `Asleep` when its addon is off."""
    try:
        model = model_of(table)
    except KeyError:
        raise Missing(_("There is no page at this address.")) from None
    records(model)
    return view_of(model)
