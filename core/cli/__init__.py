"""The command line: what `run.py` understands, what it answers, and how it ends when something is wrong."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from typing import Any

GROUPS = ("server", "database", "people", "addons", "checks", "journal", "exchange", "demo", "translate")
"""Modules of this folder; each adds its commands by ``commands(add)``."""

ABOUT = """Mortise: serve it, look after it, build for it.

Settings come from config/ and the environment (MORTISE_PORT, MORTISE_DATABASE_URL, …); config/default.toml lists and
explains all of them. No command needs a running server. Whatever a command changes stands in the journal, with the
door “command line”."""

EXAMPLES = """first steps:
  run.py serve                         bring the database up to date, and serve
  run.py check                         is everything in order? what is not is named, with file and line
  run.py addon new crm_tag             a new addon: two files and its first tables

looking after it:
  run.py backup /backups/today.zip     everything in one file
  run.py user reset-password admin     a new password, shown once
  run.py doctor                        looks at database, disk, clock, fonts, folders

Each command explains itself: run.py user --help"""


class Stop(Exception):
    """A command ends without success; the sentence is all that has to be said."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.sentence, self.status = sentence, status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}\nType “{self.prog} --help” for what is possible.\n")


def parser() -> argparse.ArgumentParser:
    """All commands; documents are checked against it."""
    made = _Parser(prog="run.py", description=ABOUT, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--trace", action="store_true", help="when something fails, show where in the code")
    groups = made.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, help: str, examples: str = "", to: Any = groups) -> argparse.ArgumentParser:
        told = f"examples:\n{examples}" if examples else None
        about = help[:1].upper() + help[1:] + "."
        return to.add_parser(name, help=help, description=about, epilog=told, formatter_class=argparse.RawDescriptionHelpFormatter)

    for group in GROUPS:
        importlib.import_module(f"core.cli.{group}").commands(add)
    return made


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status: 0 done, 1 not done (a sentence says why), 2 not understood, 130 interrupted."""
    chosen = parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (run.py user list | head): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:
        if chosen.trace:
            traceback.print_exc()
        sentence, status = _told(problem)
        say(sentence)
        return status


def say(sentence: str) -> None:
    """Tell the person something that is not the command's result."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def _told(problem: Exception) -> tuple[str, int]:
    """What went wrong, in words, and the exit status."""
    from sqlalchemy.exc import DBAPIError

    from core.config import Misconfigured
    from core.errors import Invalid, Misbuilt, Problem

    if isinstance(problem, Stop):
        return problem.sentence, problem.status
    if isinstance(problem, Invalid) and problem.errors:
        return "\n".join(f"{name}: {sentence}" if name else sentence for name, sentence in problem.errors.items()), 1
    if isinstance(problem, Problem):
        return problem.sentence, 1
    if isinstance(problem, (Misconfigured, Misbuilt)):
        return str(problem), 2 if isinstance(problem, Misconfigured) else 1
    if isinstance(problem, DBAPIError):
        first = (str(problem.orig).strip().splitlines() or ["no answer"])[0]
        hint = (
            "Is MORTISE_DATABASE_URL right, and does the server run?"
            if problem.connection_invalidated or "connect" in first
            else "Type: run.py doctor"
        )
        return f"The database says: {first}. {hint}", 1
    if isinstance(problem, OSError):
        return f"{problem.filename or 'The system'}: {problem.strerror or problem}.", 1
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return (
        f"This should not have happened ({type(problem).__name__}: {problem}; {last.filename}:{last.lineno})."
        " Please report it, with what “run.py --trace …” prints."
    ), 1
