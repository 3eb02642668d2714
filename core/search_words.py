"""What a text is found by: the tokens of a stored value, and the question that a person's words become."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from operator import add
from typing import Any

from core.pinyin import is_han, pairs, readings, splits, syllables

LONGEST_VALUE = 10_000
LONGEST_RUN = 200
MOST_TOKENS = 4_000
MOST_PARTS = 12
SORT_KEY = 120
GRAM = 5
"""Digits are kept in fives, with shorter ones at the end: any five digits of a number are one look-up."""

_CJK = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af"
_parts = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_between = re.compile(r"[\s()\[\]{}<>《》〈〉【】「」『』“”\"'·・•\-—–_.,、，。&/]+")
_accents = re.compile("[\u0300-\u036f]")
_han = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_any_han = re.compile(f"[{_han}]")
_runs = re.compile(f"[{_han}]+|[^{_han}]+")
_no_digit = re.compile(r"[^0-9]")
_numbers = re.compile(r"[0-9]{3,}")
_phone = re.compile(r"\+?[0-9(][0-9\s\-().]*")


def fold(text: str) -> str:
    """Text as it is compared: full-width as half-width, no capitals, no accents on Latin letters, no control characters."""
    if text.isascii() and text.isprintable():
        return text.lower()
    if text.isprintable() and unicodedata.is_normalized("NFKD", text) and not _accents.search(text):
        # Most Chinese and plain Latin: nothing to take away.
        return unicodedata.normalize("NFKC", text).casefold()
    text = unicodedata.normalize("NFKD", text)
    text = "".join(ch for ch in text if not "\u0300" <= ch <= "\u036f" and (unicodedata.category(ch)[0] != "C" or ch in "\n\t"))
    return unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=2048)
def title_key(text: str) -> str:
    """What a title sorts by on every database: digits, Latin, then Chinese by pinyin; at most 120 characters, compared by bytes."""
    text = " ".join(fold(text[: SORT_KEY * 2]).split())[:SORT_KEY]
    if not _any_han.search(text):
        return text
    key: list[str] = []
    for part in re.findall(r"[^\W\d_a-z]+|.", text, re.DOTALL):
        for run in _han_runs(part):
            # ~ comes after every letter, the blank before: hua yao stands before huan, and Latin before Chinese.
            key += [f"~{one} " for one in syllables(run)] if is_han(run[0]) else [run]
    return f"{''.join(key).rstrip()}  {text}"[:SORT_KEY].rstrip()


def _han_runs(text: str) -> list[str]:
    return _runs.findall(text)


def tokens(value: str, kind: str) -> set[str]:
    """The tokens of one stored value of a field of this kind.

    Neighbouring Chinese characters stand as they are; the first letter says what the others are:
    ``w`` a word, ``p`` two syllables of pinyin, ``i`` up to four initials, ``d`` up to five digits.
    """
    text = fold(value[:LONGEST_VALUE])
    found: set[str] = set()
    if kind == "phone":
        for number in re.split(r"[,;、\n]", text):
            _digits(_no_digit.sub("", number), found)
        return found
    for run in _numbers.findall(text):
        _digits(run, found)
    if kind == "code":
        _digits(_no_digit.sub("", text), found)
    # Latin alone has neither names written together nor sounds.
    named = kind != "long" and len(text) <= LONGEST_RUN and not text.isascii()
    # 华耀（北京） is found by 华耀北京 as well: what stands between names is left out once.
    together = _between.sub("", text) if named else text
    for version in {text, together}:
        for part in _parts.findall(version):
            if _is_cjk(part[0]):
                found.update(map(add, part, part[1:]))
                found.add(part[-1])
            elif version is text or version == text:
                found.add("w" + part[:40])
    if named:
        _sounds(together, found)
    return found if len(found) <= MOST_TOKENS else set(sorted(found)[:MOST_TOKENS])


def _is_cjk(char: str) -> bool:
    return is_han(char) or "\u3040" <= char <= "\u30ff" or "\uac00" <= char <= "\ud7af"


def _digits(run: str, found: set[str]) -> None:
    run = run[:40]
    found.update(["d" + run[at : at + GRAM] for at in range(len(run) - 2)])


def _sounds(text: str, found: set[str]) -> None:
    """Pinyin by pairs of syllables and initials by fours, over Chinese and what is written between it."""
    if not _any_han.search(text):
        return
    initials: list[str] = []
    for run in _han_runs(text):
        if not is_han(run[0]):
            initials += [char for char in run if char.isascii() and char.isalnum()]
            continue
        read = [one if one.isascii() else "" for one in syllables(run)]
        found.update([f"p{first}{second}" for first, second in zip(read, [*read[1:], ""], strict=True) if first])
        if len(run) <= 3:
            for other in readings(run[0]):
                # A name's first character is read in several ways (曾, 单, 解), and nobody knows which.
                found.add(f"p{other}{read[1] if len(read) > 1 else ''}")
                found.add("i" + other[0] + "".join(one[:1] for one in read[1:4]))
        initials += [one[0] for one in read if one]
    line = "".join(initials)
    found.update(["i" + line[at : at + 4] for at in range(len(line))])


# -- questions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """One look-up in the index: a whole token, or all that begin with it."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class All:
    """Every part must be found."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One part must be found."""

    parts: tuple[Any, ...]


@dataclass(slots=True)
class Question:
    """What a person typed, taken apart: pieces that must all be found, and the look-ups they become."""

    pieces: list[str] = field(default_factory=list)
    wanted: All | Some | Token | None = None


def question(text: str) -> Question:
    """The question that a typed text asks; without any piece it finds nothing."""
    folded = fold(text).strip()
    pieces = _parts.findall(folded)
    if not pieces:
        return Question()
    wanted = _all(_piece(one) for one in pieces[:MOST_PARTS])
    whole = _no_digit.sub("", folded)
    if _phone.fullmatch(folded) and len(whole) >= 3 and whole != folded:
        # A number typed with blanks, brackets or a country code is one number; Chinese ones are mostly stored without 86.
        home = re.sub(r"^(\+86|0086)", "", re.sub(r"[^0-9+]", "", folded)).lstrip("+")
        shorter = home if len(home) >= 7 else whole
        return Question([shorter], Some((_number(whole), _number(shorter), wanted)) if folded[0] != "+" else _number(shorter))
    return Question(pieces[:MOST_PARTS], wanted)


def _all(parts: Any) -> Any:
    found = tuple(dict.fromkeys(parts))
    return found[0] if len(found) == 1 else All(found)


def _number(digits: str) -> Any:
    digits = digits[:40]
    if len(digits) <= GRAM:
        return Token("d" + digits, prefix=True)
    return _all(Token("d" + digits[at : at + GRAM]) for at in range(len(digits) - GRAM + 1))


def _piece(piece: str) -> Any:
    if _is_cjk(piece[0]):
        if len(piece) == 1:
            return Token(piece, prefix=True)
        return _all(Token(piece[at : at + 2]) for at in range(min(len(piece), 40) - 1))
    if piece.isascii() and piece.isdigit() and len(piece) >= 3:
        return _number(piece)
    ways: list[Any] = [Token("w" + piece[:40], prefix=True)]
    if re.fullmatch(r"[a-z0-9]*[a-z][a-z0-9]*", piece) and 2 <= len(piece) <= 60:
        if piece.isalpha():
            ways += _spelled(piece)
        if len(piece) <= 4:
            ways.append(Token("i" + piece, prefix=True))
        elif len(piece) <= 20:
            ways.append(_all(Token("i" + piece[at : at + 4]) for at in range(len(piece) - 3)))
    ways = list(dict.fromkeys(ways))
    return ways[0] if len(ways) == 1 else Some(tuple(ways))


def _spelled(piece: str) -> list[Any]:
    found: list[Any] = []
    for parts in sorted(splits(piece), key=len):
        if len(parts) <= 2:
            found.append(Token("p" + piece, prefix=True))
        else:
            *whole, last = pairs(parts)
            found.append(_all([*(Token("p" + one) for one in whole), Token("p" + last, prefix=True)]))
    return found
