"""A broken addon is named with file and line, sleeps with those that need it, and leaves the rest of the house standing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "broken"
ROOT = HERE.parents[2]
CASES = {
    "bad_toml": {"poor_toml": ["poor_toml/addon.toml", "not valid TOML", "line 2"]},
    "cycle": {
        "poor_first": ["poor_first/addon.toml", "circle", "poor_first → poor_second → poor_first"],
        "poor_second": ["poor_second/addon.toml", "circle"],
    },
    "missing_dependency": {"poor_alone": ["poor_alone/addon.toml", "'poor_absent'", "not there"]},
    "import_error": {"poor_import": ["poor_import/models.py:5:", "no_such_package_anywhere"]},
    "syntax_error": {"poor_syntax": ["poor_syntax/service.py:3:"]},
    "wrong_hook": {"poor_hook": ["poor_hook/hooks.py:7:", "tell_somebody", "'changed'", "changes, record"]},
    "two_models": {"poor_again": ["poor_again/models.py:19:", "poor_paper", "Rename one of them"]},
    "wrong_view": {"poor_view": ["poor_view", "ThingView", "'stauts'"]},
    "unknown_file": {"poor_file": ["poor_file/model.py", "models.py"]},
    "unknown_key": {"poor_key": ["poor_key/addon.toml", "'dependencies'", "depends"]},
    "lame": {"poor_base": ["poor_base/addon.toml", "'colour'"], "poor_upper": ["poor_upper", "'poor_base'"]},
    "half_extended": {"poor_extension": ["poor_extension/rules.py:3:", "no rules today"]},
    "wrong_rule": {"poor_rule": ["poor_rule/rules.py:6:", "'departement'", "department"]},
    "no_annotation": {"poor_type": ["poor_type/models.py:6:", "name: Mapped[str]"]},
}


@cache
def look(*words: str) -> dict[str, dict[str, Any]]:
    """What becomes of the addons in each of these folders."""
    line = [sys.executable, "-W", "ignore", str(HERE / "look.py"), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, cwd=HERE, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_addon_is_named_and_the_rest_stands(case: str):
    told = look(*(str(HERE / one) for one in CASES))[str(HERE / case)]
    assert set(told["broken"]) == set(CASES[case])
    for name, words in CASES[case].items():
        sentence = told["broken"][name]
        for word in words:
            assert word in sentence, sentence
        assert sentence.endswith((".", ")")) or ":" in sentence
    assert told["enabled"] == ["fine_thing"] and told["thing"] == "It works"
    assert told["fields"] == ["name"], "nothing of a broken addon stays on another's model"
    assert told["tables"] == told["models"] == told["hooks"] == []
    assert "stauts" not in told["columns"]


def test_strict_stops_at_a_broken_addon_and_names_it():
    told = look("--strict", str(HERE / "import_error"))[str(HERE / "import_error")]
    assert "poor_import" in told["stopped"] and "models.py:5" in told["stopped"]


def test_every_folder_of_broken_addons_has_its_case():
    assert {one.name for one in HERE.iterdir() if one.is_dir() and one.name != "__pycache__"} == set(CASES)
