"""The house rules hold in this repository, and the guard that says so finds what breaks them."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import guards

ROOT = guards.ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small repository without faults, to be broken."""
    for name in (*guards.LOCKS, "package-lock.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    for place in ("core", "addons/crm_tag", "tests/addons"):
        (tmp_path / place).mkdir(parents=True)
    assert guards.faults(tmp_path) == []
    return tmp_path


def test_the_repository_keeps_the_house_rules():
    assert guards.faults() == []


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("addons/crm_tag/models.py", '"""Tags."""\nfrom core.records import records\n', "write “from core import …”"),
        ("addons/crm_tag/jobs.py", '"""Jobs."""\ndef run():\n    import core.jobs\n', "write “from core import …”"),
        ("addons/crm_tag/views.py", '"""Views."""\nimport flask_appbuilder\n', "an addon knows only core"),
        ("tests/addons/test_tag.py", '"""Tests."""\nfrom core.testing import app\n', "write “from core import …”"),
        ("core/menu.py", '"""Menu."""\nimport addons.crm_tag\n', "loads addons by name"),
        ("core/menu.py", '"""Menu."""\nfrom flask_appbuilder import Model\n', "stays in core/web"),
        ("core/menu.py", '"""Menu."""\nclass MenuManager:\n    pass\n', "does not say what it is"),
        ("core/menu.py", "import os\n", "does not open with a sentence"),
        ("core/menu.py", '"""Menu."""\n' + "x = 1\n" * 450, "two ideas"),
    ],
)
def test_the_guard_names_the_file_that_breaks_a_rule(copy, file, text, found):
    (copy / file).write_text(text)
    assert [line for line in guards.faults(copy) if line.startswith(file) and found in line]


def test_the_guard_finds_an_address_in_a_lock_file(copy):
    lock = copy / "requirements.lock"
    lock.write_text("--index-url https://example.org/simple\n" + lock.read_text())
    assert any("holds an address" in line for line in guards.faults(copy))


def test_the_guard_finds_a_missing_hash_and_a_version_that_differs(copy):
    lock = copy / "requirements.lock"
    lock.write_text(lock.read_text() + "stray==1.0\n")
    found = guards.faults(copy)
    assert any("no hash for stray==1.0" in line for line in found)
    assert any("stray==1.0 differs" in line for line in found)


def test_every_make_target_is_listed_with_a_line_of_help():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "setup", "test", "quick", "bench", "lint", "fix", "docs"):
        assert f"make {target} " in listed


def test_every_exact_pin_of_a_package_is_the_locked_version():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = [*wanted["project"]["dependencies"], *wanted["dependency-groups"]["dev"]]
    locked = (ROOT / "requirements-dev.lock").read_text().lower()
    for pin in pins:
        name, _, version = pin.split(";")[0].strip().partition("==")
        if version:
            assert f"{name.lower()}=={version}" in locked
