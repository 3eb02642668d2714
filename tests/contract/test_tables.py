"""The tables of an addon: its migrations make what its models say, and taken back they leave nothing, on both databases."""

from __future__ import annotations

import json
import shutil

import pytest
import sqlalchemy as sa

from tests import servers
from tests.contract.conftest import FOLDERS, NAMES, ROOT
from tests.core.installation import Installation, new

MAKE = """
from core.cli.house import connected
from core.revisions import make_revision
connected(strict=True)
for name in {names}:
    make_revision(name)
"""
DIFFERENCES = """
import json
from core.cli.house import connected
from core.revisions import differences
connected(strict=True)
print(json.dumps(differences({url})))
"""
BACK = """
import json
from core.addons import addons
from core.cli.house import connected
from core.migrate import downgrade
from core.model import FabModel
config = connected(strict=True)
for name in reversed(addons()):
    downgrade(config.database, config.data, name, lambda line: None, copy=False)
own = [table.name for table in FabModel.metadata.tables.values() if table.info.get("addon", "core") != "core"]
placed = [[table.name, column.name] for table in FabModel.metadata.tables.values() if table.info.get("addon", "core") == "core"
          for column in table.columns if column.info.get("addon", "core") != "core"]
print(json.dumps([own, placed]))
"""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request, tmp_path_factory) -> Installation:
    """An installation with a copy of every addon; those without migrations get their first."""
    made = new(request.param, tmp_path_factory.mktemp("tables"), "contract")
    for folder in FOLDERS:
        if folder != ROOT / "addons":
            for manifest in folder.glob("*/addon.toml"):
                shutil.copytree(manifest.parent, made.addons / manifest.parent.name, ignore=shutil.ignore_patterns("__pycache__"))
    without = [one.name for one in sorted(made.addons.iterdir()) if not (one / "migrations").is_dir()]
    # What it needs comes first, and that is not always what the alphabet says.
    if without:
        made.python(MAKE.format(names=without))
    made.must("migrate")
    return made


def test_migrations_make_what_the_models_say(house):
    url = servers.fresh_database("contract_differences") if house.url else None
    assert json.loads(house.python(DIFFERENCES.format(url=repr(url))).splitlines()[-1]) == []


def test_migrations_taken_back_leave_nothing(house):
    before = house.tables()
    own, placed = json.loads(house.python(BACK).splitlines()[-1])
    assert own and set(own) <= before
    assert not house.tables() & set(own)
    with house.database() as connection:
        look = sa.inspect(connection)
        for table, column in placed:
            assert column not in {one["name"] for one in look.get_columns(table)}
    left = {row[0].rsplit("_", 1)[0] for row in house.ask("SELECT version_num FROM alembic_version")}
    assert not left & set(NAMES)
    # And there again, as if nothing had been.
    house.must("migrate")
    assert house.tables() >= before
