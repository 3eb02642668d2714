"""How Chinese is read: the pinyin of a run of characters, from a small table that is made once from pypinyin's data.

pypinyin itself takes some 57 MB in every process that has read one Chinese name. A process of its own imports it once,
and leaves a table of about 100 KB beside the installed libraries; see `docs/decisions/0007-search.md`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import zlib
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

SHAPE = 1
"""Counts up when the table's form changes, so that an old file is not read."""
BLOCKS = ((0x3000, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))
SURNAMES = {
    "曾": "zeng", "单": "shan", "單": "shan", "解": "xie", "仇": "qiu", "查": "zha", "盖": "ge", "蓋": "ge", "区": "ou", "區": "ou",
    "朴": "piao", "覃": "qin", "缪": "miao", "繆": "miao", "种": "chong", "召": "shao", "员": "yun", "員": "yun", "洗": "xian",
    "折": "she", "黑": "he", "秘": "bi", "重": "chong", "翟": "zhai", "乐": "yue", "樂": "yue", "尉": "wei", "任": "ren", "华": "hua",
}  # fmt: skip
"""Characters that are read otherwise at the head of a person's name."""


@dataclass(slots=True)
class Table:
    """Readings without tones, by character and for words whose characters are read otherwise than alone."""

    syllables: list[str]
    blocks: list[tuple[int, array[int]]]
    words: dict[str, str]
    others: dict[str, str]
    longest: dict[str, int]
    """The length of the longest word that begins with these two characters."""
    known: dict[str, str | None] = field(default_factory=dict)
    """What `reading` has answered; at most one entry a character of the blocks, mostly some three thousand."""

    def reading(self, char: str) -> str | None:
        """The usual reading of one character, or None when it has none."""
        if char not in self.known:
            self.known[char] = self._look_up(ord(char))
        return self.known[char]

    def _look_up(self, code: int) -> str | None:
        for start, numbers in self.blocks:
            if start <= code < start + len(numbers):
                number = numbers[code - start]
                return self.syllables[number - 1] if number else None
        return None


_lock = threading.Lock()
_table: Table | None = None


def is_han(char: str) -> bool:
    """True for a Chinese character, 〇 and 々 included."""
    code = ord(char)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x323AF
        or 0xF900 <= code <= 0xFAFF
        or code in (0x3005, 0x3007)
    )


def table() -> Table:
    """The table of readings; made by another process when this installation has none yet, loaded at first use."""
    global _table
    if _table is None:
        with _lock:
            if _table is None:
                _table = _unpack(_stored() or _made())
    return _table


@lru_cache(maxsize=4096)
def syllables(run: str) -> tuple[str, ...]:
    """The reading of each character of a run of Chinese characters, words considered (重庆 is chong qing)."""
    known = table()
    found: list[str] = []
    at = 0
    while at < len(run):
        for length in range(min(known.longest.get(run[at : at + 2], 0), len(run) - at), 1, -1):
            word = known.words.get(run[at : at + length])
            if word is not None:
                found += word.split()
                at += length
                break
        else:
            surname = SURNAMES.get(run[0]) if at == 0 and 2 <= len(run) <= 3 else None
            found.append(surname or known.reading(run[at]) or run[at])
            at += 1
    return tuple(found)


def readings(char: str) -> list[str]:
    """All common readings of a character that has several, the usual one first; empty when there is but one."""
    known = table()
    more = known.others.get(char, "").split()
    return [known.reading(char) or char, *more] if more else []


def is_syllable(text: str) -> bool:
    """True when ``text`` is how some character is read."""
    return text in _spellings()


_known_syllables: frozenset[str] = frozenset()


def _spellings() -> frozenset[str]:
    global _known_syllables
    if not _known_syllables:
        _known_syllables = frozenset(one for one in table().syllables if len(one) > 1 or one in "aeo")
    return _known_syllables


# -- making and keeping the table -------------------------------------------------------------------------------------


def place() -> Path:
    """Where the table of this installation lies."""
    return Path(sys.prefix) / "share" / "mortise" / f"pinyin-{version('pypinyin')}-{SHAPE}.z"


def _stored() -> bytes | None:
    try:
        packed = place().read_bytes()
        zlib.decompress(packed)
    except (OSError, zlib.error):
        return None
    return packed


def _made() -> bytes:
    """Make the table in a process of its own, and keep it when the installation's folder can be written."""
    # -I: the names of the house's own modules must not stand before those of the standard library.
    done = subprocess.run([sys.executable, "-I", __file__], capture_output=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"The table of pinyin could not be made: {done.stderr.decode(errors='replace')[-400:]}")
    draft = place().with_name(f".{place().name}.{os.getpid()}")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(done.stdout)
        os.replace(draft, place())
    except OSError:
        # An installation that cannot be written is fine: the next process makes its table again, in half a second.
        draft.unlink(missing_ok=True) if draft.parent.exists() else None
    return done.stdout


def _unpack(packed: bytes) -> Table:
    facts = json.loads(zlib.decompress(packed))
    blocks = []
    for start, text in facts["blocks"]:
        numbers = array("H", base64.b64decode(text))
        if sys.byteorder == "big":
            numbers.byteswap()
        blocks.append((start, numbers))
    words = {word: sys.intern(reading) for word, reading in facts["words"].items()}
    longest: dict[str, int] = {}
    for word in words:
        longest[word[:2]] = max(len(word), longest.get(word[:2], 0))
    return Table(facts["syllables"], blocks, words, facts["others"], longest)


def _pack() -> bytes:
    """Read pypinyin's data into the small form; runs in a process of its own."""
    from pypinyin import Style
    from pypinyin.constants import PHRASES_DICT, PINYIN_DICT
    from pypinyin.style import convert

    def plain(syllable: str) -> str:
        return convert(syllable, Style.NORMAL, strict=True, default=syllable).replace("ê", "e")

    single = {chr(code): list(dict.fromkeys(map(plain, text.split(",")))) for code, text in PINYIN_DICT.items()}
    spelled = sorted({reading for readings in single.values() for reading in readings})
    number = {reading: place for place, reading in enumerate(spelled, start=1)}
    blocks: list[Any] = []
    for start, end in BLOCKS:
        numbers = array("H", (number[single[chr(code)][0]] if chr(code) in single else 0 for code in range(start, end)))
        if sys.byteorder == "big":
            numbers.byteswap()
        blocks.append([start, base64.b64encode(numbers.tobytes()).decode()])
    read = {word: [plain(one[0]) for one in readings] for word, readings in PHRASES_DICT.items()}
    read = {word: readings for word, readings in read.items() if len(word) == len(readings)}
    unlike = {word for word, readings in read.items() if readings != [single.get(char, [char])[0] for char in word]}
    # A word that is read as its characters are matters only when another word could be taken for a part of it.
    heads = {word[:2] for word in unlike}
    words = {
        word: " ".join(readings)
        for word, readings in read.items()
        if word in unlike or (word[0] in SURNAMES and len(word) < 4) or any(word[at : at + 2] in heads for at in range(len(word) - 1))
    }
    others = {char: " ".join(readings[1:4]) for char, readings in single.items() if len(readings) > 1 and "\u4e00" <= char <= "\u9fff"}
    facts = {"syllables": spelled, "blocks": blocks, "words": words, "others": others}
    return zlib.compress(json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode(), 9)


def splits(text: str, most: int = 8) -> list[list[str]]:
    """The ways to read Latin letters as pinyin; the last part may be the beginning of a syllable. At most ``most`` ways.

    ``huayao`` is hua yao; ``xian`` is xian, or xi an.
    """
    known = _spellings()
    starts = {one[:length] for one in known for length in range(1, len(one) + 1)}
    found: list[list[str]] = []

    def go(at: int, parts: list[str]) -> None:
        if len(found) >= most:
            return
        rest = text[at:]
        if rest in starts:
            found.append([*parts, rest])
        for length in range(min(6, len(rest) - 1), 0, -1):
            if rest[:length] in known:
                go(at + length, [*parts, rest[:length]])

    go(0, [])
    return found


def pairs(parts: list[str]) -> list[str]:
    """Neighbouring syllables written together: hua yao bei → huayao, yaobei."""
    return [first + second for first, second in pairwise(parts)]


if __name__ == "__main__":
    sys.stdout.buffer.write(_pack())
