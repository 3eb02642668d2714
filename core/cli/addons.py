"""Commands about addons: addon new, list, on, off, remove."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cli import Stop, say

MANIFEST = """title = "{title}"
summary = "{title}"
version = "1.0"
menu = "{menu}"
depends = [{depends}]
"""
MODELS = '''"""{title}: say here in one sentence what this addon is for."""

from core import Mapped, Model, field


class {model}(Model):
    """Say here what one record of it is."""

    name: Mapped[str] = field(search=True)
'''


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """addon …"""
    group = add(
        "addon",
        "make, list, switch and remove addons",
        "  run.py addon new crm_tag                     addons/crm_tag with one model and its first tables\n"
        "  run.py addon new crm_visit --depends crm_client\n"
        "  run.py addon list\n"
        "  run.py addon off crm_tag                     hides it, loses nothing; in effect at once, also in running servers\n"
        "  run.py addon remove crm_tag                  for good: its data are written to files, then its tables go",
    )
    what = group.add_subparsers(title="what", dest="what", metavar="WHAT", required=True)
    new = add("new", "write a new addon that works at once", to=what)
    new.add_argument("name", help="area and thing, like crm_tag")
    new.add_argument("--model", help="name of its first model; Tag for crm_tag when left out")
    new.add_argument("--depends", action="append", default=[], metavar="ADDON", help="an addon it builds on; may be repeated")
    new.add_argument("--folder", type=Path, help="where to put it; addons when left out")
    new.set_defaults(run=_new)
    add("list", "what is on disk, and what is on", to=what).set_defaults(run=_list)
    on = add("on", "switch an addon on, and those it needs", to=what)
    on.set_defaults(run=_on)
    off = add("off", "switch an addon off, and those that need it; their records sleep", to=what)
    off.set_defaults(run=_off)
    remove = add("remove", "remove an addon for good: export its records, then drop its tables", to=what)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.add_argument("--no-copy", action="store_true", help="do not copy the whole database first")
    remove.set_defaults(run=_remove)
    for one in (on, off, remove):
        one.add_argument("name", help="the addon's folder name")


def _new(chosen: Any) -> int:
    from core.cli.house import connected
    from core.config import load
    from core.revisions import make_revision

    name = chosen.name
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", name) or len(name) > 40:
        raise Stop(f"“{name}” is no name for an addon; write area and thing in small letters, like crm_tag.")
    area, thing = name.split("_", 1)
    model = chosen.model or "".join(part.capitalize() for part in thing.split("_"))
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{0,39}", model) or keyword.iskeyword(model):
        raise Stop(f"“{model}” is no name for a model; write it like a class, like CaseNote.")
    places = load().addons
    folder = (chosen.folder or places[0]).resolve() / name
    if folder.exists():
        raise Stop(f"{folder} exists already.")
    for needed in chosen.depends:
        if not any((place / needed / "addon.toml").exists() for place in places):
            raise Stop(f"There is no addon called {needed} to depend on; run.py addon list names them.")
    title = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", model).capitalize()
    from core.model import plural

    folder.mkdir(parents=True)
    depends = ", ".join(f'"{one}"' for one in chosen.depends)
    (folder / "addon.toml").write_text(MANIFEST.format(title=plural(title), menu=area.upper(), depends=depends), encoding="utf-8")
    (folder / "models.py").write_text(MODELS.format(title=plural(title), model=model), encoding="utf-8")
    try:
        connected(extra_folders=[folder.parent])
        from core.addons import addons

        if (made := addons().get(name)) is None or made.broken:
            raise Stop(made.broken if made and made.broken else f"{folder} was not found again.")
        path = make_revision(name, "First tables")
    except BaseException:
        _take_back(folder)
        raise
    print(f"Written:\n  {folder / 'addon.toml'}\n  {folder / 'models.py'}\n  {path}")
    say("Edit models.py; before the tables are made you may delete the migration and write it anew:\n"
        f"  run.py migrate --make {name}\nThen: run.py migrate, and reload the server.")  # fmt: skip
    return 0


def _take_back(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def _list(_chosen: Any) -> int:
    from core.addons import addons, enabled
    from core.cli.house import house

    with house():
        for one in addons().values():
            state = "broken" if one.broken else "on" if enabled(one.name) else "off"
            print(f"{one.name:24} {state:7} {one.version:8} {one.title}" + (f" (needs {', '.join(one.depends)})" if one.depends else ""))
            if one.broken:
                print(f"{'':24} {one.broken}")
    return 0


def _on(chosen: Any) -> int:
    from core.addons import enable
    from core.cli.house import house

    with house(title=f"Addon {chosen.name} on"):
        changed = enable(chosen.name)
    say(f"Switched on: {', '.join(changed)}." if changed else f"{chosen.name} is on already.")
    return 0


def _off(chosen: Any) -> int:
    from core.addons import disable
    from core.cli.house import house

    with house(title=f"Addon {chosen.name} off"):
        changed = disable(chosen.name)
    say(f"Switched off: {', '.join(changed)}. Nothing was deleted." if changed else f"{chosen.name} is off already.")
    return 0


def _remove(chosen: Any) -> int:
    from core.cli.house import house
    from core.removal import forget_addon, removal

    with house() as config:
        plan = removal(chosen.name)
        rows = sum(plan.rows.values())
    if not chosen.yes:
        try:
            answer = input(f"{chosen.name} has {len(plan.rows)} tables with {rows} rows. Type its name to remove it for good: ")
        except EOFError:
            raise Stop("Nothing was changed: nobody was there to answer. Add --yes to go on without a question.") from None
        if answer.strip() != chosen.name:
            raise Stop("Nothing was changed.")
    with house(config, title=f"Addon {chosen.name} removed"):
        folder = forget_addon(config, plan, say, copy=not chosen.no_copy)
    print(f"Removed. Its {rows} rows are in {folder}. Now delete the folder {plan.path}, then reload the server.")
    return 0
