"""Addons: finding them, loading them in order, switching them on and off in every process at once."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
import traceback
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped

from core import hooks, jobs, rules
from core.context import system
from core.db import db
from core.errors import Invalid, Misbuilt, Refused
from core.fields import field as declare
from core.i18n import add_catalogue, t
from core.i18n import gettext as _
from core.model import FabModel, Model, finish_extensions, forget_extensions, loading, model_label, models, option_seeds
from core.state import cached_by_generation, steers

FILES = ("models", "specs", "service", "rules", "hooks", "jobs", "views")
UNREAD = ("demo",)
"""Files that are read only when somebody asks for what they hold."""
KNOWN = {"addon.toml", "__init__.py", "README.md", "data", "migrations", "templates", "static", "translations", "__pycache__"} | {
    f"{one}.py" for one in (*FILES, *UNREAD)
}
KEYS = {"title", "summary", "version", "menu", "depends", "icon", "position", "author", "licence"}


@steers
class AddonState(Model):
    """Whether an addon is on; one row for each addon ever seen."""

    __tablename__ = "core_addon"
    label, label_many = "Addon", "Addons"
    system_model = True
    title_field = "name"
    name: Mapped[str] = declare(unique=True, max_length=80, readonly=True)
    enabled: Mapped[bool] = declare(default=True, readonly=True, help="Switched on the page Addons, with what belongs to it")


@dataclass(slots=True)
class Addon:
    """What an addon.toml says, and what became of it."""

    name: str
    path: Path
    title: str = ""
    summary: str = ""
    version: str = "1.0"
    menu: str = ""
    icon: str = "box"
    position: int = 100
    depends: list[str] = field(default_factory=list)
    broken: str | None = None
    """One sentence with file and line when the addon cannot be used."""


_addons: dict[str, Addon] = {}
_order: list[str] = []


def addons() -> dict[str, Addon]:
    """Every addon on disk by name, dependencies first."""
    return {name: _addons[name] for name in _order}


def broken() -> dict[str, str]:
    """{addon: sentence} of those that could not be loaded."""
    return {name: one.broken for name, one in _addons.items() if one.broken}


# -- finding and loading ----------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Addon:
    """The addon in ``folder``; a manifest that cannot be used is told in ``broken``."""
    made = Addon(folder.name, folder, title=folder.name)
    file = folder / "addon.toml"
    try:
        facts = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        made.broken = f"{file}: this is not valid TOML ({error})."
        return made
    if unknown := set(facts) - KEYS:
        made.broken = f"{file}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(KEYS))}."
    for key in ("title", "summary", "version", "menu", "icon"):
        if not isinstance(facts.get(key, ""), str):
            made.broken = f"{file}: {key!r} has to be text."
        elif key in facts:
            setattr(made, key, facts[key])
    depends = facts.get("depends", [])
    if not isinstance(depends, list) or not all(isinstance(one, str) for one in depends):
        made.broken = f'{file}: depends has to be a list of addon names, like ["crm_client"].'
    else:
        made.depends = depends
    if isinstance(facts.get("position"), int):
        made.position = facts["position"]
    if "title" not in facts and made.broken is None:
        made.broken = f"{file}: a title is needed."
    for entry in sorted(folder.iterdir()):
        if entry.name not in KNOWN and not entry.name.startswith(".") and made.broken is None:
            made.broken = f"{entry}: an addon has no file of this name; it may hold {', '.join(sorted(KNOWN - {'__pycache__'}))}."
    return made


def find(folders: list[Path]) -> dict[str, Addon]:
    """Every addon below ``folders`` and of every installed package that announces one (entry point ``mortise.addons``)."""
    found: dict[str, Addon] = {}
    for folder in folders:
        for manifest in sorted(folder.glob("*/addon.toml")):
            made = read_manifest(manifest.parent)
            if made.name in found:
                made.broken = f"{manifest}: an addon of this name lies in {found[made.name].path} too."
            found[made.name] = made
    for point in entry_points(group="mortise.addons"):
        package = importlib.util.find_spec(point.value)
        if package is not None and package.submodule_search_locations:
            found.setdefault(point.name, read_manifest(Path(list(package.submodule_search_locations)[0])))
    return found


def sort(found: dict[str, Addon]) -> list[str]:
    """Names, dependencies first; cycles and missing dependencies become sentences in ``broken``."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        one = found[name]
        if name in path:
            cycle = " → ".join((*path[path.index(name) :], name))
            for member in path[path.index(name) :]:
                found[member].broken = (
                    found[member].broken or f"{found[member].path / 'addon.toml'}: these addons depend on each other in a circle: {cycle}."
                )
            return
        if name in order:
            return
        for needed in one.depends:
            if needed not in found:
                one.broken = (
                    one.broken
                    or f"{one.path / 'addon.toml'}: it depends on {needed!r}, which is not there. Add that addon or remove the line."
                )
            else:
                visit(needed, (*path, name))
        if name not in order:
            order.append(name)

    for name in sorted(found):
        visit(name, ())
    return order


def load_all(folders: list[Path], *, strict: bool = False) -> dict[str, Addon]:
    """Find and import every addon. With ``strict`` a broken one raises `Misbuilt`; else it and its dependants stay asleep."""
    package = importlib.import_module("addons")

    for folder in folders:
        if str(folder) not in package.__path__:
            package.__path__.append(str(folder))
    found = find(folders)
    order = sort(found)
    _addons.clear()
    _addons.update(found)
    _order[:] = order
    for name in order:
        one = found[name]
        lame = [needed for needed in one.depends if needed in found and found[needed].broken]
        if one.broken is None and lame:
            one.broken = f"{one.path}: it needs {lame[0]!r}, which is broken."
        if one.broken is None:
            _load(one)
        if one.broken and strict:
            raise Misbuilt(f"Addon {name} is broken. {one.broken}")
    hooks.register_all(order)
    return _addons


def _load(one: Addon) -> None:
    before = set(models())
    loading["addon"] = one.name
    try:
        for part in FILES:
            if (one.path / f"{part}.py").exists():
                importlib.import_module(f"addons.{one.name}.{part}")
        from core.web.views import check_views

        check_views(one.name)
        finish_extensions()
        add_catalogue(one.path / "translations")
    except Exception as error:
        one.broken = _where(one, error)
        _unload(one.name, before)
    finally:
        loading["addon"] = "core"


def _where(one: Addon, error: Exception) -> str:
    """“file:line: what is wrong”, with the innermost line that belongs to the addon."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {error.msg}."
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(one.path))]
    place = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else f"{one.path}: "
    kind = "" if isinstance(error, Misbuilt) else f"{type(error).__name__}: "
    return f"{place}{kind}{error}"


def _unload(name: str, before: set[str]) -> None:
    """Take back what a broken addon had declared before it failed, so that the rest of the house stands."""
    hooks.forget(name)
    jobs.forget(name)
    forget_extensions(name)
    for table in set(models()) - before:
        model = models().pop(table)
        if model.__dict__.get("__table__") is not None:
            FabModel.registry._dispose_cls(model)
    # Link tables too: whoever makes all tables would look for what they lead to.
    for table in [table for table in FabModel.metadata.tables.values() if table.info.get("addon") == name]:
        FabModel.metadata.remove(table)
    for key in [key for key, (addon, _keys) in option_seeds().items() if addon == name]:
        del option_seeds()[key]
    for lines in rules.lines_by_model.values():
        lines[:] = [line for line in lines if line.addon != name]
    for module in [module for module in sys.modules if module == f"addons.{name}" or module.startswith(f"addons.{name}.")]:
        del sys.modules[module]


# -- on and off -------------------------------------------------------------------------------------------------------


@cached_by_generation
def _stored() -> dict[str, bool]:
    table = AddonState.__table__
    return {
        row.name: bool(row.enabled)
        for row in db.session.execute(select(table.c.name, table.c.enabled), execution_options={"mortise_rules": False})
    }


@cached_by_generation
def asleep() -> frozenset[str]:
    """Names of the addons that are off or broken now, as this request sees it."""
    stored = _stored()
    out = {name for name, one in _addons.items() if one.broken or not stored.get(name, True)}
    for name in _order:
        if any(needed in out for needed in _addons[name].depends):
            out.add(name)
    return frozenset(out)


def enabled(name: str) -> bool:
    """Is this addon on? Core always is; a folder that is gone never."""
    return name == "core" or (name in _addons and name not in asleep())


def dependants(name: str) -> list[str]:
    """Addons that need ``name``, directly or through others, the furthest first."""
    found: list[str] = []
    for other in _order:
        if name in _addons[other].depends or any(one in found for one in _addons[other].depends):
            found.append(other)
    return found[::-1]


def needs(name: str) -> list[str]:
    """Addons that ``name`` needs, dependencies first."""
    wanted = set(_addons[name].depends)
    for other in reversed(_order):
        if other in wanted:
            wanted |= set(_addons[other].depends)
    return [one for one in _order if one in wanted]


def _must_be_administrator() -> None:
    verdict = rules.may("edit", AddonState)
    if not verdict:
        raise Refused(_("Only an administrator may switch addons on and off."), verdict)


def _get(name: str) -> Addon:
    if name not in _addons:
        raise Invalid({"addon": _("There is no addon called “%(name)s”.", name=name[:60])})
    return _addons[name]


def _switch(names: list[str], on: bool) -> list[str]:
    stored = {row.name: row for row in db.session.execute(select(AddonState).with_for_update()).scalars()}
    changed = []
    with system("switching addons"):
        for name in names:
            row = stored.get(name)
            if row is None:
                row = AddonState(name=name, enabled=True)
                db.session.add(row)
                db.session.flush()
            if row.enabled != on:
                row.enabled = on
                changed.append(name)
        db.session.flush()
    return changed


def enable(name: str) -> list[str]:
    """Switch an addon on, and what it needs; returns the names that were off. Takes effect with the commit, in every process."""
    _must_be_administrator()
    one = _get(name)
    if one.broken:
        raise Invalid({"addon": _("“%(title)s” is broken and cannot be switched on: %(why)s", title=t(one.title), why=one.broken)})
    changed = _switch([*needs(name), name], True)
    for other in changed:
        hooks.call("addon_enabled", addon=other)
    return changed


def disable(name: str) -> list[str]:
    """Switch an addon off, and what depends on it; nothing is deleted. Returns the names that were on."""
    _must_be_administrator()
    _get(name)
    changed = _switch([*dependants(name), name], False)
    for other in changed:
        hooks.call("addon_disabled", addon=other)
    return changed


@dataclass(slots=True)
class Sleep:
    """What falls asleep when an addon is switched off."""

    name: str
    title: str
    records: list[tuple[str, int]]
    """(label, number) of each model with records."""
    fields: list[str]
    """Fields it has placed on models of others."""
    dependant: bool = False


def preview_disable(name: str) -> list[Sleep]:
    """What switching ``name`` off would put to sleep, the addon itself first, then those that depend on it and are on."""
    _must_be_administrator()
    _get(name)
    found = []
    for other in [name, *[one for one in dependants(name)[::-1] if enabled(one)]]:
        own = [model for model in models().values() if model.addon == other]
        counts = [
            (model_label(model, many=True), db.session.execute(select(func.count()).select_from(model.__table__)).scalar_one())
            for model in own
        ]
        placed = [
            f"{model_label(model)}: {one.title}"
            for model in models().values()
            if model.addon != other
            for one in model.__fields__.values()
            if one.addon == other
        ]
        found.append(Sleep(other, t(_addons[other].title), [pair for pair in counts if pair[1]], placed, dependant=other != name))
    return found


def register_new() -> None:
    """Give every addon on disk its row; called by `run.py migrate`. New ones are on."""
    stored = set(_stored())
    with system("new addons"):
        fresh = [name for name in _order if name not in stored]
        for name in fresh:
            db.session.add(AddonState(name=name, enabled=True))
        db.session.flush()
