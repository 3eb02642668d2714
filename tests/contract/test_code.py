"""The code of an addon: it stands alone, imports go the right way, its models say what they are, its files have known names."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

from core.addons import FILES, read_manifest
from tests.contract.conftest import HELD
from tests.core.installation import Installation

ALONE = """
import json, os
from pathlib import Path
import addons
from core.config import load
from core.db import db
import core.tables
from core.addons import load_all
config = load()
db.connect(config.database, pool_size=1)
folder = Path({folder!r})
addons.__path__[:] = [str(folder)]
found = load_all([folder])
print(json.dumps({{name: one.broken for name, one in found.items()}}))
"""


def needed(addon: str) -> set[str]:
    """The addon and all that its manifests name as needed."""
    found, waiting = {addon}, [addon]
    while waiting:
        more = set(read_manifest(folder_of(waiting.pop())).depends) - found
        found |= more
        waiting += more
    return found


def folder_of(addon: str) -> Path:
    return next(folder / addon for folder in HELD if (folder / addon).is_dir())


@pytest.fixture(scope="session")
def empty_house(tmp_path_factory) -> Installation:
    return Installation(tmp_path_factory.mktemp("alone"))


def test_it_loads_with_nothing_but_what_it_depends_on(addon, empty_house, tmp_path):
    for name in needed(addon):
        (tmp_path / name).symlink_to(folder_of(name))
    found = json.loads(empty_house.python(ALONE.format(folder=str(tmp_path))))
    assert found == dict.fromkeys(needed(addon))


def test_its_imports_go_the_right_way(addon, path):
    allowed = {f"addons.{name}" for name in needed(addon)}
    for file in sorted(path.rglob("*.py")):
        if "migrations" in file.relative_to(path).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, f"{file}:{node.lineno}: another addon is imported by its name: from addons.… import …"
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                where = f"{file}:{node.lineno} imports {name}"
                assert not name.startswith(("core.", "flask_appbuilder", "tests")), f"{where}; an addon says “from core import …”"
                if name.startswith("addons"):
                    assert any(f"{name}.".startswith(f"{one}.") for one in allowed), f"{where}, which its addon.toml does not name"


def test_every_module_and_model_says_what_it_is(addon, path, its_models):
    for part in FILES:
        if (file := path / f"{part}.py").exists():
            assert ast.get_docstring(ast.parse(file.read_text())), f"{file} does not open with a sentence"
    for model in its_models:
        assert model.description.endswith("."), f"{model.__name__}: the docstring has to be a sentence; it describes the model to people"


def test_a_file_of_an_unknown_name_is_refused(path, tmp_path):
    place = shutil.copytree(path, tmp_path / path.name)
    assert read_manifest(place).broken is None
    (place / "helpers.py").write_text("")
    assert "helpers.py" in (read_manifest(place).broken or "")
