"""Documents are complete: hooks, public names, settings and commands are written down somewhere."""

import re
import tomllib
from pathlib import Path

import core
from core import hookspecs

HOME = Path(__file__).resolve().parents[2]
DOCS = {path.relative_to(HOME).as_posix(): path.read_text(encoding="utf-8") for path in (HOME / "docs").rglob("*.md")}


def test_every_hook_is_documented_with_its_arguments():
    for name in hookspecs.NAMES:
        function = getattr(hookspecs, name)
        arguments = ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
        assert f"`{name}({arguments})`" in DOCS["docs/hooks.md"], f"docs/hooks.md does not describe {name}({arguments})"
        assert function.__doc__, name


def test_every_public_name_is_mentioned():
    text = "\n".join(DOCS.values())
    missing = [name for name in core.__all__ if not re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text)]
    assert not missing, f"docs/ never mention {missing}"


def test_every_setting_is_explained():
    source = (HOME / "config" / "default.toml").read_text(encoding="utf-8")
    for key in tomllib.loads(source):
        place = re.search(rf"^{key}\s*=", source, re.MULTILINE)
        assert place, key
        before = source[: place.start()].rstrip("\n").splitlines()
        assert before and before[-1].startswith("#"), f"config/default.toml: {key} has no comment"


def test_every_module_of_core_has_its_place():
    text = DOCS["docs/where-things-go.md"].split("## The modules of core")[1].split("\n## ")[0]
    told = re.findall(r"`(\w+)\.py`", text)
    there = sorted(path.stem for path in (HOME / "core").glob("*.py") if path.stem != "__init__")
    missing, gone = set(there) - set(told), set(told) - set(there)
    assert sorted(told) == there, f"docs/where-things-go.md: missing {missing}, gone {gone}, or named twice"


def test_links_between_documents_lead_somewhere():
    for name, text in DOCS.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert ((HOME / name).parent / target).exists(), f"{name} links to {target}"
