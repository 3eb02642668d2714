"""docs/security.md says of each requirement once what is done about it, and the tests that it names exist."""

import re
from collections import Counter
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
TEXT = (HOME / "docs" / "security.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| (\d+\.\d+\.\d+) \| ([^|]+) \| ([^|]+) \| (.+) \|$", TEXT, re.MULTILINE)
OF_CHAPTERS = {1: 27, 2: 11, 3: 19, 4: 10, 5: 9, 6: 35, 7: 18, 8: 7, 9: 7, 10: 29, 11: 14, 12: 9, 13: 13, 14: 9, 15: 13, 16: 16, 17: 7}
"""So many requirements of levels 1 and 2 each chapter of ASVS 5.0.0 has."""


def test_every_requirement_stands_there_once():
    numbers = [number for number, *_rest in LINES]
    assert [number for number, times in Counter(numbers).items() if times > 1] == []
    assert Counter(int(number.split(".")[0]) for number in numbers) == OF_CHAPTERS
    assert sum(OF_CHAPTERS.values()) == len(re.findall(r"^\| \d", TEXT, re.MULTILINE))


def test_every_line_says_what_is_done_or_missing():
    states = Counter(state for _number, _words, state, _by in LINES)
    assert set(states) == {"met", "not applicable", "open"}
    for state, count in states.items():
        assert f"{count} are {state}" in TEXT, f"docs/security.md counts its lines wrongly: {count} are {state}"
    assert not [number for number, _words, _state, by in LINES if len(by.strip()) < 5]


def test_every_test_named_there_exists():
    for number, _words, state, by in LINES:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", by)
        documents = re.findall(r"`\.\./(docs/[\w.]+\.md)`", by)
        assert state != "met" or named or documents, f"{number} is met by nothing"
        for path, name in named:
            source = (HOME / "tests" / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{number}: {path}::{name}"
        assert all((HOME / one).is_file() for one in documents), number
