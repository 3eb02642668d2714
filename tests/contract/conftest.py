"""Which addons are held to the contract: every one on disk, the two-file addon and the law office, or those a caller names.

``MORTISE_CONTRACT_FOLDERS`` names other folders: so the slow tests hold thirty made addons, and a new one, to the same tests.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from core.addons import addons
from core.model import models

ROOT = Path(__file__).resolve().parents[2]
GIVEN = [Path(one) for one in os.environ.get("MORTISE_CONTRACT_FOLDERS", "").split(os.pathsep) if one]
HELD = GIVEN or [ROOT / "addons", ROOT / "tests" / "core" / "two_files", ROOT / "tests" / "core" / "law"]
FOLDERS = list(dict.fromkeys([ROOT / "addons", *HELD]))
NAMES = sorted(manifest.parent.name for folder in HELD for manifest in folder.glob("*/addon.toml"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``addon`` runs once for each."""
    if "addon" in metafunc.fixturenames:
        metafunc.parametrize("addon", NAMES)


@pytest.fixture(scope="session")
def addon_folders() -> list[Path]:
    """What the application is made with."""
    return FOLDERS


@pytest.fixture
def path(addon: str) -> Path:
    """The folder of the addon."""
    return next(folder / addon for folder in HELD if (folder / addon / "addon.toml").exists())


@pytest.fixture
def its_models(app: Flask, addon: str) -> list[Any]:
    """The models of the addon, in the order of loading."""
    return [model for model in models().values() if model.addon == addon]


@pytest.fixture
def bases(app: Flask, addon: str) -> list[Any]:
    """The models of other addons that the addon links to, or has put fields into."""
    found: dict[str, Any] = {}
    for model in models().values():
        for one in model.__fields__.values():
            if one.addon == addon and model.addon != addon:
                found[model.__tablename__] = model
            if one.addon == addon and one.target_table and one.target.addon not in (addon, "core"):
                found[one.target_table] = one.target
    return [model for model in found.values() if model.addon in addons()]
