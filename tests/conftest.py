"""What all tests share: the plugin of `core.testing`, with the addons of the repository and those made for tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest_plugins = ["core.testing", "core.testing_browser"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, those in a browser before all: at the end no process waits for another's last file."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    browser = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: (item.path not in slow, item.path not in browser))


@pytest.fixture(scope="session")
def addon_folders() -> list[Path]:
    """The addons of the repository, the two-file addon, and a law office with a model for each way of reaching a row."""
    return [ROOT / "addons", ROOT / "tests" / "core" / "two_files", ROOT / "tests" / "core" / "law"]
