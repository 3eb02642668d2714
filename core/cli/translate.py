"""Commands for translators: translate extract, compile, check."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from core.cli import say


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """translate …"""
    group = add(
        "translate",
        "collect the words of code and screens, compile what translators wrote, and look for what is missing",
        "  run.py translate extract                new words into the .po files of core and every addon\n"
        "  run.py translate extract crm_client     of one addon\n"
        "  run.py translate compile                .po → .mo; make run does it by itself\n"
        "  run.py translate check                  what is not translated, or looks wrong",
    )
    what = group.add_subparsers(title="what", dest="what", metavar="WHAT", required=True)
    for name, help, run in (
        ("extract", "bring the .po files up to date with the code", _extract),
        ("compile", "make the .mo files that the server reads", _compile),
        ("check", "name what is not translated", _check),
    ):
        one = add(name, help, to=what)
        if name != "compile":
            one.add_argument("addon", nargs="*", help="core or names of addons; all when left out")
        one.set_defaults(run=run)


def _extract(chosen: Any) -> int:
    from core.cli.house import connected
    from core.translating import extract

    connected(strict=True)
    for line in extract(chosen.addon):
        print(line)
    return 0


def _compile(_chosen: Any) -> int:
    from core.translating import compile_all

    count = compile_all()
    say(f"{count} catalogue{'' if count == 1 else 's'} compiled.")
    return 0


def _check(chosen: Any) -> int:
    from core.cli.house import connected
    from core.translating import missing

    connected(strict=True)
    found = missing(chosen.addon)
    for line in found:
        print(line)
    return 1 if found else 0
