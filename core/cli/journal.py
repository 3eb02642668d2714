"""Commands about the journal: query, remove, erase; `run.py check journal` says whether it is whole."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from core.cli import Stop, say

QUESTION = ("person", "since", "until", "door", "verb", "batch", "model", "record", "field", "value")


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """journal …"""
    group = add(
        "journal",
        "ask the journal who did what, take old entries out, erase what it says of one record or one person",
        "  run.py journal query --person anna --since 2026-05-01 --format json\n"
        "  run.py journal query --model crm_client --record 7 --out who.csv\n"
        "  run.py journal query --model crm_client --field phones --value 13800138000\n"
        "  run.py journal remove --before 2024-01-01 --as chief        how many there are\n"
        "  run.py journal remove --before 2024-01-01 --as chief --count 48211\n"
        "  run.py journal erase crm_client 7 --as chief --yes\n"
        "  run.py journal erase --person anna --as chief --yes\n"
        "  run.py check journal                                        is it whole?",
    )
    what = group.add_subparsers(title="what", dest="what", metavar="WHAT", required=True)
    query = add("query", "the entries that answer a question, newest first, as CSV or JSON; asking is an entry itself", to=what)
    for name, help in (
        ("person", "sign-in name of who did it, or the number of an account"),
        ("since", "first day, like 2026-05-01"),
        ("until", "last day, counted in"),
        ("door", "screen, api, command line, import, job, system"),
        ("verb", "create, edit, delete, read, export, sign-in, …"),
        ("batch", "number of a batch: what was done together"),
        ("model", "table of the model, like crm_client"),
        ("record", "number of the record"),
        ("field", "a field that changed; with --model"),
        ("value", "a piece of an old or new value of this field"),
    ):
        query.add_argument(f"--{name}", default="", help=help)
    query.add_argument("--format", choices=["csv", "json"], help="csv in words, a line a field; json as it is stored (csv)")
    query.add_argument("--out", type=Path, metavar="FILE", help="write a file that only its owner may read, instead of printing")
    query.add_argument("--limit", type=int, default=200_000, metavar="N", help="no more entries than this (200,000)")
    query.add_argument("--as", dest="login", metavar="LOGIN", help="see what this administrator may see")
    query.set_defaults(run=_query)
    remove = add("remove", "move sealed entries that are older than a day into a file; only as a system administrator", to=what)
    remove.add_argument("--before", required=True, metavar="DAY", help="the first day that stays, like 2024-01-01")
    remove.add_argument("--count", type=int, metavar="N", help="how many entries go, to confirm; without it they are only counted")
    remove.add_argument("--file", type=Path, help="where to; into the folder “journal” of the data folder when left out")
    erase = add("erase", "empty what entries say of one record, or of one person; the hashes stay valid", to=what)
    erase.add_argument("model", nargs="?", help="table of the model, like crm_client")
    erase.add_argument("record", nargs="?", type=int, help="number of the record")
    erase.add_argument("--person", metavar="LOGIN", help="one person's account and addresses instead; a number when the account is gone")
    erase.add_argument("--yes", action="store_true", help="do it; without it nothing is erased")
    for one, run in ((remove, _remove), (erase, _erase)):
        one.add_argument("--as", dest="login", metavar="LOGIN", required=True, help="the administrator who does it; the journal names him")
        one.set_defaults(run=run)


def _query(chosen: Any) -> int:
    from core.cli.house import house
    from core.db import db
    from core.transfer.exporting import csv_lines
    from core.web.journal_lines import lines, objects, told

    if chosen.limit < 1:
        raise Stop("--limit takes a number from 1.", 2)
    form = chosen.format or ("json" if chosen.out is not None and chosen.out.suffix == ".json" else "csv")
    with house(title="Questions to the journal", as_login=chosen.login):
        words = {name: getattr(chosen, name) for name in QUESTION}
        if words["person"]:
            words["person"] = str(_account(words["person"]))
        # As an export: with a transaction open that may write, on SQLite nobody else could write until the last line is out.
        db.session.commit()
        db.read_only()
        rows = told(words, chosen.limit)
        pieces = csv_lines(lines(rows)) if form == "csv" else _json(objects(rows))
        if chosen.out is None:
            sys.stdout.flush()
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            _write(chosen.out, pieces)
            say(f"Written to {chosen.out}.")
    return 0


def _account(name: str) -> int:
    from core.journal_erase import account_named

    return account_named(name)


def _json(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    from core.journal import canonical

    yield b"["
    between = "\n"
    for row in rows:
        yield f"{between}{canonical(row)}".encode()
        between = ",\n"
    yield b"\n]\n"


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Whole, or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            for piece in pieces:
                stream.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _remove(chosen: Any) -> int:
    from core.cli.house import house
    from core.journal_jobs import archive_name
    from core.journal_keep import only_the_highest, removable, remove
    from core.journal_query import midnight

    try:
        day = date.fromisoformat(chosen.before)
    except ValueError:
        raise Stop("--before takes a day like 2024-01-01.", 2) from None
    if not 1970 <= day.year <= 9000:
        raise Stop("--before takes a day like 2024-01-01.", 2)
    with house(title="Old entries of the journal", as_login=chosen.login) as config:
        only_the_highest()
        before = midnight(day)
        count, _top = removable(before)
        if count and chosen.count != count:
            wrong = "" if chosen.count is None else f"{chosen.count:,} is another number. "
            raise Stop(f"{wrong}Sealed entries older than {day}: {count:,}. To move them out, type it again with --count {count}")
        path = chosen.file or config.data / "journal" / archive_name(before)
        print(f"{remove(before, path):,} entries were taken out; they are in {path}.")
    return 0


def _erase(chosen: Any) -> int:
    from core.cli.house import house
    from core.journal_erase import erase, only_administrators, values_of
    from core.model import models

    if (chosen.person is None) == (chosen.record is None):
        raise Stop("Please name a record (run.py journal erase crm_client 7), or a person (--person anna).", 2)
    with house(title="Values erased from the journal", as_login=chosen.login):
        only_administrators()
        if chosen.person is not None:
            return _erase_person(chosen)
        if chosen.model not in models():
            raise Stop(f"There is no model with the table {chosen.model}.")
        model = models()[chosen.model]
        if not chosen.yes and (count := len(values_of(model, chosen.record))):
            raise Stop(f"{count:,} entries say something of it. This cannot be undone; to empty them, type it again with --yes")
        print(f"{erase(model, chosen.record):,} entries were emptied.")
    return 0


def _erase_person(chosen: Any) -> int:
    from core.db import db
    from core.journal_erase import erase_person
    from core.journal_jobs import words_of

    person = _account(chosen.person)
    if not chosen.yes:
        raise Stop(f"This cannot be undone; to erase what the journal says of account {person}, type it again with --yes")
    print(words_of(erase_person(person, lambda _done: db.session.commit())))
    return 0
