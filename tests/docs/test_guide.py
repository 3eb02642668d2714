"""The addon guide tells the truth: its blocks are run, in order, in a fresh copy of the repository."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
GUIDE = HOME / "docs" / "writing-an-addon.md"


def blocks() -> list[tuple[str, str]]:
    """(language, text) of each fenced block of the guide."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path):
    """A copy of what git knows of the working tree, with a data folder of its own."""
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=HOME, capture_output=True, check=True).stdout
    place = tmp_path / "mortise"
    for name in filter(None, files.decode().split("\0")):
        source = HOME / name
        if source.is_file():
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return place


@pytest.mark.slow
def test_every_block_of_the_addon_guide_works(copy, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MORTISE_", "PYTEST_"))}
    environment = {**kept, "MORTISE_DATA_DIR": str(tmp_path / "data"), "MORTISE_ADMIN_PASSWORD": "Guide-password-1"}
    seen = 0
    for language, text in blocks():
        if language == "sh":
            for line in text.strip().splitlines():
                line = line.replace(".venv/bin/python", sys.executable)
                done = subprocess.run(["sh", "-c", line], cwd=copy, env=environment, capture_output=True, text=True, timeout=120)
                assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
                seen += 1
        elif found := re.match(r"# (\S+?),? ?(below .*)?\n", text):
            path = copy / found.group(1)
            assert path.parent.is_dir(), f"the guide writes {found.group(1)} before its folder is there"
            body = text[found.end() :]
            path.write_text(path.read_text(encoding="utf-8") + "\n" + body if found.group(2) else body, encoding="utf-8")
            seen += 1
    assert seen > 15
