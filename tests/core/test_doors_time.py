"""Attacks on time: words, formats and formulas that a careless pattern would chew on for minutes; each in a process with a limit."""

import subprocess
import sys

import pytest

from tests.core.installation import ROOT

CLEAN = """from types import SimpleNamespace as N
from core.kinds import KINDS
clean = lambda kind, text: KINDS[kind].clean(text, N(max_length=None, title='x'))
"""
N_ = 200_000
ATTACKS = {
    "moment": ("from core.spelling import read_moment as look", '"1" + " " * n + "!"'),
    "day": ("from core.spelling import read_day as look", '"1" + " " * n + "-" + " " * n'),
    "cell of a date column": ("from core.spelling import in_iso\nlook = lambda text: in_iso(text, '', moment=False)",
    '"1" + " " * n + "!"'),
    "order of days": ("from core.spelling import Days\nlook = lambda text: Days().see(text)", '"1" + " " * n + "-" + " " * n'),
    "phone": (CLEAN + "look = lambda text: clean('phone', text)", '"1" + " (" * n'),
    "phone of many": (CLEAN + "look = lambda text: clean('phone', text)", '"1 x" * n + "," * n'),
    "e-mail": (CLEAN + "look = lambda text: clean('email', text)", '"a@" + "a." * n + "@"'),
    "decimal": (CLEAN + "look = lambda text: clean('decimal', text)", '"1" * n + "e" + "9" * 9'),
    "integer": (CLEAN + "look = lambda text: clean('integer', text)", '"9" * n'),
    "date field": (CLEAN + "look = lambda text: clean('date', text)", '"2026" + " " * n + "!"'),
    "date-time field": (CLEAN + "look = lambda text: clean('datetime', text)", '"1" + " " * n + "!"'),
    "heading": ("from core.transfer.headings import folded as look", '"(" * n'),
    "heading of brackets": ("from core.transfer.headings import folded as look", '"(a" * n + "]" * n'),
    "search": ("from core.search_words import tokens\nlook = lambda text: tokens(text, 'phone') and tokens(text, 'text')", '"1 (-" * n'),
    "filter": ("from core.web.facets import read_filter as look", """'{"not":' * n"""),
    "number pattern": ("from core.numbering import wrong_pattern\nlook = lambda text: wrong_pattern(text, 'never')", '"{" * n + "{00000}"'),
    "formula": ("from core.formula import parse as look", '"(" * n + "1" + ")" * n'),
    "formula that grows": ("from core.formula import evaluate\n"
    "look = lambda text: evaluate('*'.join(['x'] * 70), lambda _name: '9' * 28)", '""'),
    "file name": ("from core.files import tidy_name as look", '"." * n + " " * n + "/"'),
    "cell of an export": ("from core.transfer.cells import defused as look", '"\\\'" * n + "="'),
    "log line": ("from core.logs import hide_secrets\nlook = lambda text: hide_secrets(None, '', {'event': text})",
    '"+1" + " 1" * n + "-" * n'),
    "address": ("from core.web.gate import ADDRESS_IN_DIGITS\nlook = ADDRESS_IN_DIGITS.fullmatch", '"1." * n'),
    "model": ("from core.options import slug as look", '"_a" * n'),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_no_word_takes_long(name):
    code, text = ATTACKS[name]
    script = (
        f"{code}\nimport time\nfrom core.errors import Problem, Wrong\nfor n in (10, {N_}):\n    started = time.process_time()\n"
        f"    try:\n        look({text})\n"
        "    except (Problem, Wrong, ValueError):\n        pass\nspent = time.process_time() - started\nassert spent < 3, spent"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr[-800:]


@pytest.mark.parametrize("text", ["1" + " " * 100_000 + "!", "(" * 100_000, "²" * 100_000, "1e999999999", "-1e99999999999"])
def test_a_long_word_is_refused_at_the_door(api_as, text):
    program = api_as("chief", level="administrator")
    refused = program.post("/api/v1/law_matter/", json={"name": "x", "heard_on": text, "amount": text})
    assert refused.status_code == 422 and {"heard_on", "amount"} <= set(refused.json["errors"])
    assert len(refused.text) < 2000, "what was sent is not sent back whole"
