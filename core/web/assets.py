"""Copies the files that the browser gets from node_modules into core/web/static/vendor; `make setup` runs it."""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "node_modules"
TARGET = Path(__file__).resolve().parent / "static" / "vendor"

# What is served, and nothing else of the packages: file in node_modules → file in static/vendor.
SERVED = {
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "@tabler/core/dist/js/tabler.esm.min.js": "tabler/tabler.esm.min.js",
    "@tabler/core/dist/js/tabler.min.js": "tabler/tabler.min.js",
    # One weight of the icons, 300, and only woff2, which every browser takes that can show the rest.
    "@tabler/icons-webfont/dist/tabler-icons-300.min.css": "icons/tabler-icons-300.min.css",
    "@tabler/icons-webfont/dist/fonts/tabler-icons-300.woff2": "icons/fonts/tabler-icons-300.woff2",
    "@tabler/icons-webfont/LICENSE": "icons/LICENSE",
    "htmx.org/dist/htmx.min.js": "htmx/htmx.min.js",
    "htmx.org/dist/htmx.esm.min.js": "htmx/htmx.esm.min.js",
    "htmx.org/LICENSE": "htmx/LICENSE",
    "tom-select/dist/js/tom-select.complete.min.js": "tom-select/tom-select.complete.min.js",
    "tom-select/dist/css/tom-select.bootstrap5.min.css": "tom-select/tom-select.bootstrap5.min.css",
    "tom-select/LICENSE": "tom-select/LICENSE",
}

MAP_POINTER = re.compile(rb"(?://# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


def copy(source: Path = SOURCE, target: Path = TARGET) -> list[Path]:
    """Make `target` hold exactly the served files, and return them; a file that a package no longer has stops with its name."""
    absent = [name for name in SERVED if not (source / name).is_file()]
    if absent:
        raise SystemExit(f"These files are not in {source}: {', '.join(absent)}. Run “make setup”, or correct core/web/assets.py.")
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, place in SERVED.items():
        (fresh / place).parent.mkdir(parents=True, exist_ok=True)
        # A pointer to a source map that is not served would be asked for by every open developer console.
        content = (source / name).read_bytes()
        (fresh / place).write_bytes(MAP_POINTER.sub(b"", content) if place.endswith((".js", ".css")) else content)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return [target / place for place in SERVED.values()]


if __name__ == "__main__":
    copied = copy()
    sys.stdout.write(f"{len(copied)} files for the browser are in {TARGET.relative_to(ROOT)}.\n")
