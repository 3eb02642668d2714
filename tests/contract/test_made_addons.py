"""The contract holds for addons that nobody has looked at: thirty made ones of five models, and what `run.py addon new` writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.conftest import ROOT
from tests.core.generated import CHAIN, generated
from tests.core.installation import Installation

pytestmark = pytest.mark.slow


FILES = ("code", "doors", "asleep", "pages", "transfer", "tables", "matrix")
"""What is asked of every addon; translations only of those that ship."""


def contract(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The quick tests of this folder over the addons in ``folder``, in processes of their own: models stay where they are read."""
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in FILES]
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *files, *words]
    given = {**os.environ, "MORTISE_CONTRACT_FOLDERS": str(folder)}
    given = {name: value for name, value in given.items() if not name.startswith("PYTEST_")}
    return subprocess.run(line, cwd=ROOT, env=given, capture_output=True, text=True)


OF_ALL = "test_code or test_tables or is_made_changed_and_deleted"
"""What is asked of each of the thirty. They stand in lines of three, alike but for their names: the first line is asked everything."""


def test_thirty_addons_of_five_models_keep_the_contract():
    folder = generated(30)
    first = sorted(one.name for one in folder.iterdir())[:CHAIN]
    done = contract(folder, "-n", "2", "-k", " or ".join([OF_ALL, *first]))
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 30 * 5 + CHAIN * 12, done.stdout[-500:]


def test_a_new_addon_keeps_the_contract_as_it_is_written(tmp_path):
    house = Installation(tmp_path)
    house.must("addon", "new", "shop_order", "--folder", house.addons)
    written = [file for file in (house.addons / "shop_order").rglob("*.py") if file.parent.name != "migrations"]
    assert sum(len(file.read_text().splitlines()) for file in written) <= 30
    done = contract(house.addons)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
