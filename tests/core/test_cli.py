"""The command line answers in sentences, ends with the right number, and writes into the journal who did what."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from tests.core.installation import ROOT, Installation, new


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One installation that is up to date, for all commands here."""
    made = new("sqlite", tmp_path_factory.mktemp("cli"), "")
    made.must("migrate")
    return made


@pytest.fixture
def empty(tmp_path: Path) -> Installation:
    """An installation without any table."""
    return new("sqlite", tmp_path, "")


def commands(house: Installation) -> list[list[str]]:
    """Every command with every word below it."""
    first = re.search(r"\n  COMMAND\n(.*?)\n\n", house.must("--help"), re.DOTALL)
    assert first
    found = [[word] for word in re.findall(r"^ {4}([a-z-]+)", first.group(1), re.MULTILINE)]
    for name in ("user", "addon", "translate", "journal"):
        below = re.search(r"\n  WHAT\n(.*?)\n\n", house.must(name, "--help"), re.DOTALL)
        assert below
        found += [[name, word] for word in re.findall(r"^ {4}([a-z-]+)", below.group(1), re.MULTILINE)]
    return found


def test_every_command_explains_itself_with_examples(house: Installation) -> None:
    found = commands(house)
    assert len(found) > 20
    for words in found:
        said = house.must(*words, "--help")
        assert len(said.splitlines()) >= 6, words
        if len(words) == 1 and words != ["version"]:
            assert f"run.py {words[0]}" in said.split("examples:")[1], words


def test_what_is_not_understood_ends_with_two(house: Installation) -> None:
    for words in (("sevre",), ("user",), ("user", "delete", "x"), ("migrate", "--nonsense"), ()):
        done = house.run(*words)
        assert done.status == 2 and "--help" in done.err, words


def test_the_version_is_that_of_the_file(house: Installation) -> None:
    assert (ROOT / "VERSION").read_text().strip() in house.must("version")


def test_a_wrong_setting_is_refused_by_name(tmp_path: Path) -> None:
    wrong = Installation(tmp_path, settings={"MORTISE_PROT": "9000"})
    done = wrong.run("user", "list")
    assert done.status == 2 and "MORTISE_PROT is not a setting" in done.err


def test_without_tables_a_command_says_what_to_type(empty: Installation) -> None:
    done = empty.run("user", "list")
    assert done.status == 1 and "The database is empty; type: run.py migrate" in done.err


def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    nowhere = Installation(tmp_path, url="postgresql://nobody:secret@127.0.0.1:9/nothing")
    for words in (("migrate",), ("user", "list"), ("doctor",)):
        done = nowhere.run(*words)
        assert done.status == 1 and "secret" not in done.text, done.text
        assert "connect" in done.text or "reached" in done.text


def test_the_first_password_is_private_and_in_no_output_of_migrate(empty: Installation) -> None:
    said = empty.must("migrate")
    place = empty.data / "first-password"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert place.read_text().strip() not in said and str(place) in said
    assert empty.ask("SELECT username, must_change_password, level FROM ab_user") == [("admin", 1, "system_administrator")]
    assert place.read_text().strip() not in str(empty.ask("SELECT changes FROM core_journal"))


def test_a_given_first_password_is_kept_as_it_is(empty: Installation) -> None:
    empty.settings = {
        "MORTISE_ADMIN_PASSWORD": "a good long one",
        "MORTISE_ADMIN_NAME": "root",
        "MORTISE_FIRM_NAME": "榫卯公司",
        "MORTISE_FIRM_ZONE": "Asia/Shanghai",
    }
    empty.must("migrate")
    assert not (empty.data / "first-password").exists()
    assert empty.ask("SELECT username, must_change_password FROM ab_user") == [("root", 0)]
    assert "榫卯公司" in str(empty.ask("SELECT value FROM core_setting WHERE key = 'firm.name'")) or "\\u" in str(
        empty.ask("SELECT value FROM core_setting")
    )
    check = "from core.accounts import check_password; import sqlite3, sys; print(check_password(sys.stdin.read(), 'a good long one'))"
    stored = empty.ask("SELECT password FROM ab_user")[0][0]
    assert empty.python(check.replace("sys.stdin.read()", repr(stored))).strip() == "True"


def test_accounts_are_made_listed_and_helped(house: Installation) -> None:
    said = house.must("user", "create", "li.wei", "--name", "李伟", "--email", "li.wei@firm.cn", "--role", "Salesperson")
    password = said.strip().rsplit(" ", 1)[1]
    line = next(line for line in house.must("user", "list").splitlines() if line.startswith("li.wei"))
    assert line.split("\t")[1:5] == ["李伟", "li.wei@firm.cn", "employee", "Salesperson"]
    assert house.run("user", "create", "li.wei").status == 1
    assert "There is no role called “Chief”" in house.run("user", "create", "x", "--role", "Chief").err
    before = house.ask("SELECT password FROM ab_user WHERE username = 'li.wei'")
    assert house.must("user", "reset-password", "LI.WEI").strip().rsplit(" ", 1)[1] != password
    assert house.ask("SELECT password FROM ab_user WHERE username = 'li.wei'") != before
    assert "at least" in house.run("user", "reset-password", "li.wei", "--stdin", given="short\n").err
    house.must("user", "reset-password", "li.wei", "--stdin", given="long enough it is\n")
    assert house.ask("SELECT must_change_password FROM ab_user WHERE username = 'li.wei'") == [(0,)]
    house.must("user", "make-admin", "li.wei")
    assert house.ask("SELECT level FROM ab_user WHERE username = 'li.wei'") == [("system_administrator",)]
    for what in ("reset-password", "unlock", "make-admin"):
        assert "There is no account called “nobody”" in house.run("user", what, "nobody").err


def test_a_locked_account_is_opened(house: Installation) -> None:
    house.must("user", "create", "locked.one")
    with house.database() as connection:
        connection.exec_driver_sql(
            "INSERT INTO core_sign_in_attempt (key, failures, blocked_until, changed_at)"
            " VALUES ('login:locked.one', 9, '2099-01-01', '2026-01-01')"
        )
    assert "can sign in again" in house.must("user", "unlock", "locked.one")
    assert house.ask("SELECT * FROM core_sign_in_attempt") == []
    told = "SELECT door FROM core_journal WHERE model = 'ab_user' AND verb = 'unlock'"
    assert house.ask(told) == [("command line",)]
    assert "was not locked" in house.must("user", "unlock", "locked.one")
    assert len(house.ask(told)) == 1


def test_the_journal_says_command_line(house: Installation) -> None:
    house.must("user", "create", "for.journal")
    house.must("addon", "off", "crm_client")
    assert "crm_client               off" in house.must("addon", "list")
    house.must("addon", "on", "crm_client")
    doors = house.ask("SELECT DISTINCT door, address IS NOT NULL FROM core_journal")
    assert doors == [("command line", 1)]
    titles = {row[0] for row in house.ask("SELECT title FROM core_batch")}
    assert {"Account for.journal", "Addon crm_client off", "Addon crm_client on", "Migration"} <= titles


def test_a_new_addon_is_small_works_at_once_and_shows_in_every_command(empty: Installation) -> None:
    said = empty.must("addon", "new", "crm_tag_note", "--folder", empty.addons)
    place = empty.addons / "crm_tag_note"
    files = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert files == ["addon.toml", "migrations/0001_first_tables.py", "models.py"]
    assert all(str(place / name) in said for name in files)
    lines = [line for name in files if name.endswith(".py") for line in (place / name).read_text().splitlines() if line.strip()]
    assert len(lines) <= 30
    assert "all in order" in empty.must("check")
    empty.must("migrate")
    assert "crm_tag_note" in empty.tables()
    assert "crm_tag_note" in empty.must("addon", "list")
    assert "exists already" in empty.run("addon", "new", "crm_tag_note", "--folder", empty.addons).err
    for name in ("Tag", "crm", "crm-tag", "../x_y", "crm_"):
        assert empty.run("addon", "new", name, "--folder", empty.addons).status == 1, name


def test_check_and_doctor_name_a_broken_addon_and_everything_else_goes_on(empty: Installation) -> None:
    empty.addon("box_shelf", "from core import nothing_like_it\n")
    empty.must("migrate")
    for words in (("check",), ("doctor",)):
        done = empty.run(*words)
        assert done.status == 1 and "box_shelf" in done.text and "models.py:3" in done.text
    assert "broken" in empty.must("addon", "list")
    empty.must("user", "list")
    strict = empty.run("migrate", "--strict")
    assert strict.status == 1 and "Addon box_shelf is broken" in strict.err


def test_doctor_looks_at_everything(house: Installation) -> None:
    said = house.run("doctor").text
    for what in ("python", "data folder", "disk", "database", "tables", "addons", "jobs", "redis", "fonts", "clock"):
        assert re.search(rf"^(ok|!!) +{what} ", said, re.MULTILINE), what
    (house.data / "secret-key").chmod(0o644)
    done = house.run("doctor")
    assert done.status == 1 and "chmod 600" in done.text
    (house.data / "secret-key").chmod(0o600)


def test_jobs_that_are_due_run_once(house: Installation) -> None:
    assert re.search(r"\d+ jobs? run", house.must("jobs", "--once"))
    done = house.run("jobs", "--worker")
    assert done.status == 1 and "MORTISE_REDIS_URL" in done.err


def test_translations_are_extracted_compiled_and_checked(empty: Installation) -> None:
    place = empty.addon(
        "box_shelf",
        'from core import Mapped, Model, field\n\n\nclass Shelf(Model):\n    """A shelf."""\n\n'
        '    width: Mapped[int | None] = field(help="In millimetres")\n',
    )
    missing = empty.run("translate", "check", "box_shelf")
    assert missing.status == 1 and "not translated: In millimetres" in missing.text
    empty.must("translate", "extract", "box_shelf")
    for language, width in (("zh_Hans", "宽度"), ("zh_Hant", "寬度")):
        path = place / "translations" / language / "LC_MESSAGES" / "messages.po"
        text = path.read_text(encoding="utf-8")
        assert 'msgid "Width"' in text and 'msgid "Delete"' not in text
        path.write_text(text.replace('msgid "Width"\nmsgstr ""', f'msgid "Width"\nmsgstr "{width}"'), encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    empty.must("translate", "extract", "box_shelf")
    assert path.read_text(encoding="utf-8") == before, "a second time changes nothing and keeps what was translated"
    empty.must("translate", "compile")
    assert path.with_suffix(".mo").exists()
    assert "not translated: Width" not in empty.run("translate", "check", "box_shelf").text
