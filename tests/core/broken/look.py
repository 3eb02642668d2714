"""Loads the addons of each given folder in a process of its own and prints what became of them as JSON; run by test_broken_addons.

`python tests/core/broken/look.py [--strict] FOLDER…`.
"""

import json
import multiprocessing
import sys
import tempfile
from pathlib import Path

from sqlalchemy import select

import core.tables
from core import addons, hooks, model
from core.context import Actor, acting, system
from core.db import db
from core.errors import Misbuilt
from core.search import create_search
from core.web.views import view_of


def look(folder: str) -> dict:
    """What becomes of one folder of addons, and whether the house stands beside them."""
    try:
        addons.load_all([Path(folder)], strict="--strict" in sys.argv)
    except Misbuilt as error:
        return {"stopped": str(error)}
    with tempfile.TemporaryDirectory() as place:
        db.connect(f"sqlite:///{place}/house.db")
        model.FabModel.metadata.create_all(db.engine)
        with db.short() as connection:
            create_search(connection)
        Thing = model.model_of("fine_thing")
        with acting(Actor(system=True)), system():
            addons.register_new()
            db.session.add(Thing(name="It works"))
            db.session.flush()
            stored = db.session.execute(select(Thing)).scalars().one().name
            enabled = sorted(one for one in addons.addons() if addons.enabled(one))
        db.remove()
        return {
            "broken": addons.broken(),
            "enabled": enabled,
            "thing": stored,
            "fields": sorted(Thing.__fields__),
            "columns": view_of(Thing).columns,
            "tables": sorted(name for name in model.FabModel.metadata.tables if name.startswith("poor")),
            "models": sorted(name for name in model.models() if name.startswith("poor")),
            "hooks": sorted(plugin.addon for plugin in hooks._pending if plugin.addon.startswith("poor")),
        }


if __name__ == "__main__":
    folders = [one for one in sys.argv[1:] if not one.startswith("--")]
    assert core.tables
    # core is read once; each folder gets a copy of the process, since what is mapped stays mapped.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        sys.stdout.write(json.dumps(dict(zip(folders, pool.map(look, folders, chunksize=1), strict=True))))
