"""What all tests share: the plugin of `core.testing`, with the addons of the repository and those made for tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest_plugins = ["core.testing", "core.testing_browser"]


def pytest_configure(config: pytest.Config) -> None:
    """A mark for what takes minutes and asks the same as a shorter test does."""
    config.addinivalue_line("markers", "soak: asks ten thousand times what another test asks some hundred times; only by `make soak`")


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
