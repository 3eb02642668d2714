"""Settings come from files and the environment, each is documented, and a wrong one is refused by name."""

import re
import stat
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.config import FOLDER, Misconfigured, documented, load, secret_key, write_private


def told(environment=None, **overrides):
    with pytest.raises(Misconfigured) as caught:
        load(environment or {}, **overrides)
    return str(caught.value)


def test_every_setting_has_its_comment():
    names = tomllib.loads((FOLDER / "default.toml").read_text())
    notes = documented()
    assert set(notes) == set(names)
    assert all(len(note) > 10 for note in notes.values())


def test_the_files_for_dev_test_and_prod_hold_only_differences():
    default = tomllib.loads((FOLDER / "default.toml").read_text())
    for name in ("dev", "test", "prod"):
        for key, value in tomllib.loads((FOLDER / f"{name}.toml").read_text()).items():
            assert default[key] != value, f"{name}.toml repeats {key}"
        assert load({"MORTISE_ENV": name}).env == name


def test_the_environment_beats_the_files_and_overrides_beat_both():
    assert load({}).port == 8000
    assert load({"MORTISE_PORT": "8081"}).port == 8081
    assert load({"MORTISE_PORT": "8081"}, port=8082).port == 8082
    assert load({"MORTISE_HTTPS": "yes"}).https is True
    assert load({"MORTISE_ENV": "prod", "MORTISE_HTTPS": "no"}).https is False


def test_an_unknown_setting_is_refused_by_name_with_the_one_that_was_meant():
    sentence = told({"MORTISE_PROT": "1"})
    assert "MORTISE_PROT" in sentence and "did you mean PORT" in sentence


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "eighty", "whole number"),
        ("PORT", "70000", "from 1 to 65535"),
        ("HTTPS", "perhaps", "yes or no"),
        ("DATABASE_URL", "mysql://host/name", "postgresql://"),
        ("REDIS_URL", "http://host", "redis://"),
        ("FIRM_ZONE", "Mars/Olympus", "time zone"),
        ("FIRM_LANGUAGE", "fr", "zh_Hans"),
        ("FIRM_CURRENCY", "yuan", "three capital letters"),
        ("LOG_LEVEL", "loud", "debug"),
        ("SECRET_KEY", "short", "32 characters"),
        ("ENV", "live", "dev, test or prod"),
        ("DATA_DIR", " ", "must not be empty"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_a_sentence(name, value, words):
    sentence = told({f"MORTISE_{name}": value})
    assert f"MORTISE_{name}" in sentence and words in sentence and sentence.endswith(".")


def test_all_faults_are_told_at_once():
    assert told({"MORTISE_PORT": "x", "MORTISE_LOG_LEVEL": "x", "MORTISE_NO": "x"}).count("MORTISE_") >= 3


def test_secrets_can_come_from_a_file_and_are_never_shown(tmp_path):
    place = tmp_path / "key"
    place.write_text("a key that is long enough for a test, really\n")
    assert load({"MORTISE_SECRET_KEY_FILE": str(place)}).secret_key == "a key that is long enough for a test, really"
    assert "MORTISE_SECRET_KEY_FILE" in told({"MORTISE_SECRET_KEY_FILE": str(tmp_path / "none")})
    assert "keep one of them" in told({"MORTISE_SECRET_KEY_FILE": str(place), "MORTISE_SECRET_KEY": "x" * 40})
    assert "MORTISE_PORT_FILE" in told({"MORTISE_PORT_FILE": str(place)})
    place.write_text("tooshort")
    assert "tooshort" not in told({"MORTISE_SECRET_KEY_FILE": str(place)})


def test_the_addresses_of_test_servers_are_not_settings():
    assert load({"MORTISE_TEST_DATABASE_URL": "x"}).database_url == ""


def test_the_key_is_made_once_for_its_owner_only(tmp_path):
    config = load({}, data_dir=str(tmp_path / "data"))
    key = secret_key(config)
    place = tmp_path / "data" / "secret-key"
    assert len(key) >= 43 and secret_key(config) == key
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert load({}, secret_key="k" * 40).secret_key == secret_key(load({}, secret_key="k" * 40))


def test_those_who_start_at_once_agree_on_the_key(tmp_path):
    config, together = load({}, data_dir=str(tmp_path / "data")), threading.Barrier(8)

    def start(_number):
        together.wait(10)
        return secret_key(config)

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(start, range(8)))
    assert len(keys) == 1 and re.fullmatch(r"[\w-]{43,}", keys.pop())
    assert [one.name for one in (tmp_path / "data").iterdir()] == ["secret-key"]


def test_a_private_file_that_is_there_stays(tmp_path):
    write_private(tmp_path / "one", "first")
    write_private(tmp_path / "one", "second")
    assert (tmp_path / "one").read_text() == "first\n"
