"""What all tests share: the plugin of `core.testing`, with the addons of the repository and those made for tests."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest_plugins = ["core.testing", "core.testing_browser"]
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes: several times what a whole run holds at a time, so that it never is what fills the memory of a machine."""


def pytest_configure(config: pytest.Config) -> None:
    """A mark for what takes minutes and asks the same as a shorter test does; files of tests lie in memory where there is room."""
    if not hasattr(config, "workerinput") and not os.environ.get("TMPDIR") and _has_room(MEMORY):
        _keep_files_in(MEMORY)
    config.addinivalue_line("markers", "soak: asks ten thousand times what another test asks some hundred times; only by `make soak`")


def _has_room(place: Path) -> bool:
    """Memory that is free, in which programs may be run (a container's often may not)."""
    try:
        found, told = os.statvfs(place), Path("/proc/meminfo").read_text().split()
    except OSError:
        return False
    free = min(found.f_bavail * found.f_frsize, int(told[told.index("MemAvailable:") + 1]) << 10)
    return free >= ROOM and not found.f_flag & os.ST_NOEXEC and os.access(place, os.W_OK)


def _keep_files_in(place: Path) -> None:
    """All temporary files of this run, its processes' too; a database of a test is made in a tenth of the time it takes on a disk.

    They go with the run: whoever wants to look at them afterwards sets TMPDIR.
    """
    for left in place.glob("mortise-tests-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():  # its run was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"mortise-tests-{os.getpid()}-", dir=place))
    folder.chmod(0o755)  # PostgreSQL runs in an account of its own
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests come first, those in a browser before all: at the end no process waits for another's last file."""
    if "soak" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    browser = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: (item.path not in slow, item.path not in browser))


@pytest.fixture(scope="session")
def addon_folders() -> list[Path]:
    """The addons of the repository, the two-file addon, and a law office with a model for each way of reaching a row."""
    return [ROOT / "addons", ROOT / "tests" / "core" / "two_files", ROOT / "tests" / "core" / "law"]
