"""What deploy/ and the first documents say agrees with the program: settings, commands, packages."""

import re
import subprocess
import sys

import pytest
import yaml

from tests.guards import ROOT

DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
DEPLOY = sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _help(*words: str) -> str:
    return subprocess.run([sys.executable, "run.py", *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_every_setting_named_outside_the_program_is_explained_in_config():
    explained = "".join(path.read_text() for path in sorted((ROOT / "config").rglob("*")) if path.suffix in (".toml", ".py", ".md"))
    for path in [*DOCUMENTS, *DEPLOY]:
        for name in set(re.findall(r"MORTISE_[A-Z_]*[A-Z]", path.read_text(errors="replace"))):
            # Read by the tests, and by compose itself.
            if name.startswith(("MORTISE_TEST_", "MORTISE_FUZZ")) or name == "MORTISE_DB_PASSWORD":
                continue
            key = name.removesuffix("_FILE").removeprefix("MORTISE_")
            assert re.search(rf"MORTISE_{key}\b|^#? ?{key.lower()} *=", explained, re.MULTILINE), f"{path.name} names {name}"


@pytest.mark.parametrize("command", ["serve", "migrate", "jobs", "backup", "user"])
def test_the_commands_that_the_service_files_call_exist(command):
    assert command in _help()
    assert command in _help(command)


def test_web_and_jobs_can_be_run_apart():
    assert "--no-jobs" in _help("serve")


def test_the_compose_file_has_one_service_for_each_part_and_no_secret():
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"migrate", "web", "jobs", "worker", "db", "redis"}
    assert services["db"]["environment"]["POSTGRES_PASSWORD"].startswith("${MORTISE_DB_PASSWORD:?")
    for name in ("web", "jobs", "worker"):
        assert "migrate" in services[name]["depends_on"]
        assert services[name]["environment"]["MORTISE_REDIS_URL"] == "redis://redis:6379/0"


def test_every_path_of_the_repository_that_the_documents_link_to_exists():
    for path in [*DOCUMENTS, ROOT / "deploy" / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_notices_name_every_package_at_its_locked_version():
    notices = (ROOT / "THIRD-PARTY.md").read_text()
    for name, version in re.findall(r"^([\w.-]+)==([^ \\\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE):
        assert f"| {name} | {version} |" in notices
