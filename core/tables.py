"""Every module of core that has tables or jobs: whoever imports this knows all of them."""

from importlib import import_module
from pathlib import Path

MODULES = (
    "people", "state", "journal", "options", "settings", "custom", "addons", "jobs", "numbering", "files", "search",
    "custom_jobs", "file_jobs",
)  # fmt: skip

for _name in MODULES:
    if (Path(__file__).parent / f"{_name}.py").exists():
        import_module(f"core.{_name}")
