"""Looks over the files of the repository for what ruff cannot see; `make lint` runs it, and so do the tests.

Run as `python -m tests.guards`; it prints a line for each fault and ends with 1 when there is one.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-tools.lock")
APPBUILDER_IN = ("core/web/", "core/model.py", "core/people.py", "tests/")
WORDS_THAT_SAY_NOTHING = re.compile(r"(Manager|Handler|Helper|Util|Utils|Base|Mixin)$")
LONGEST_FILE = 450


def faults(root: Path = ROOT) -> list[str]:
    """Every fault, as a line that names the file and says what is wrong."""
    return [*_locks(root), *_addon_imports(root), *_core_imports(root), *_names_and_sizes(root)]


def _locks(root: Path) -> Iterator[str]:
    """A lock file names versions and hashes; an address in it would tie every installation to one server."""
    pins = {}
    for name in LOCKS:
        text = (root / name).read_text()
        if re.search(r"https?://|file:|^-|@ ", text, re.MULTILINE):
            yield f"{name}: holds an address or an option; renew it by “make lock”."
        pins[name] = set(re.findall(r"^([\w.-]+==[^ \\\n]+)", text, re.MULTILINE))
        unhashed = [pin for pin in pins[name] if not re.search(rf"^{re.escape(pin)}.*\\\n +--hash=sha256:", text, re.MULTILINE)]
        if unhashed:
            yield f"{name}: no hash for {', '.join(sorted(unhashed))}."
    for pin in sorted(pins["requirements.lock"] - pins["requirements-dev.lock"]):
        yield f"requirements-dev.lock: {pin} differs from requirements.lock; renew both by “make lock”."
    if re.search(r'"resolved": "(?!file:)', (root / "package-lock.json").read_text()):
        yield "package-lock.json: holds addresses; run npm in this folder, where .npmrc switches them off."


def _addon_imports(root: Path) -> Iterator[str]:
    """Addons and their tests take everything from `core`, nothing from below it."""
    for place in ("addons", "tests/addons"):
        for path, module, line in _imports(root, place):
            where = f"{path}:{line}"
            if module.startswith("core."):
                yield f"{where}: imports {module}; write “from core import …”."
            if module.split(".")[0] == "flask_appbuilder":
                yield f"{where}: imports {module}; an addon knows only core."


def _core_imports(root: Path) -> Iterator[str]:
    """core knows no addon, and Flask-AppBuilder only in three places."""
    for path, module, line in _imports(root, "core"):
        if module.split(".")[0] == "addons":
            yield f"{path}:{line}: imports {module}; core loads addons by name."
        if module.split(".")[0] == "flask_appbuilder" and not path.startswith(APPBUILDER_IN):
            yield f"{path}:{line}: imports {module}; that stays in core/web, core/model.py and core/people.py."


def _names_and_sizes(root: Path) -> Iterator[str]:
    for place in ("core", "addons", "tests"):
        for path in _python_files(root, place):
            shown, text = path.relative_to(root).as_posix(), path.read_text()
            if (lines := text.count("\n")) > LONGEST_FILE:
                yield f"{shown}: {lines} lines; a file over {LONGEST_FILE} is two ideas."
            tree = ast.parse(text, shown)
            if tree.body and not ast.get_docstring(tree):
                yield f"{shown}: does not open with a sentence that says what it is for."
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and WORDS_THAT_SAY_NOTHING.search(node.name):
                    yield f"{shown}:{node.lineno}: the name {node.name} does not say what it is."


def _imports(root: Path, place: str) -> Iterator[tuple[str, str, int]]:
    """(file, module, line) of every absolute import, also those inside functions."""
    for path in _python_files(root, place):
        shown = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(), shown)):
            if isinstance(node, ast.Import):
                yield from ((shown, alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield shown, node.module, node.lineno


def _python_files(root: Path, place: str) -> Iterator[Path]:
    for path in sorted((root / place).rglob("*.py")):
        if not {"broken", "__pycache__", "migrations"} & set(path.relative_to(root).parts):
            yield path


if __name__ == "__main__":
    found = faults()
    sys.stdout.write("".join(f"{line}\n" for line in found))
    raise SystemExit(bool(found))
