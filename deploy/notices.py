"""Prints THIRD-PARTY.md: whose work Mortise installs or serves, and under which licence; `make notices` runs it."""

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Third-party notices

Mortise contains no copied code of others. It installs the packages below, by version and hash, and serves the files of
the second list to the browser; each keeps its own licence, which lies in its package. This file is made by `make notices`.
"""


def rows() -> list[str]:
    """The file's lines, in one order on every machine."""
    python = [f"| {name} | {version} | {_licence(name)} |" for name, version in _locked()]
    browser = [f"| {name} | {found['version']} | {found.get('license') or _first_line(name)} |" for name, found in _browser()]
    table = ["| Package | Version | Licence |", "|---|---|---|"]
    return [HEAD, "## Python packages", "", *table, *python, "", "## Files for the browser", "", *table, *browser]


def _locked() -> list[tuple[str, str]]:
    return re.findall(r"^([\w.-]+)==([^ \\\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def _licence(name: str) -> str:
    """What the package says of itself; packages differ in where they say it."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return "only installed on other systems"
    classifiers = [line.split("::")[-1].strip() for line in said.get_all("Classifier") or [] if line.startswith("License")]
    short = said.get("License") or ""
    return said.get("License-Expression") or ", ".join(classifiers) or (short if 0 < len(short) < 40 else "see its package")


def _first_line(name: str) -> str:
    """The heading of the licence file, for a package that names its licence nowhere else."""
    return (ROOT / "node_modules" / name / "LICENSE").read_text().strip().splitlines()[0]


def _browser() -> list[tuple[str, dict]]:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    served = {place.removeprefix("node_modules/"): found for place, found in packages.items() if place and not found.get("dev")}
    return sorted(served.items())


if __name__ == "__main__":
    sys.stdout.write("\n".join(rows()) + "\n")
