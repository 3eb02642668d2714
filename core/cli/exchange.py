"""Commands that take records in and out: import, export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cli import Stop, say


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """import, export"""
    take = add(
        "import",
        "take records in from a CSV or Excel file; what is wrong comes back as a file with the reasons",
        "  run.py import crm_client clients.csv\n"
        "  run.py import crm_client clients.csv --key name --key phones   a row that is there already is updated\n"
        "  run.py import crm_client clients.csv --check                   only look, write nothing\n"
        "  run.py import crm_client clients.csv --as anna                 as anna: her rights, her clients\n"
        "  run.py import --list                                           imports, how far each is\n"
        "  run.py import --resume 7                                       go on with one that was stopped or killed\n"
        "  run.py import --revert 7                                       take a whole import back",
    )
    take.add_argument("model", nargs="?", help="table of the model, like crm_client")
    take.add_argument("file", type=Path, nargs="?", help="CSV (UTF-8 or GB18030) or .xlsx; the first line names the fields")
    take.add_argument(
        "--key", action="append", default=[], metavar="FIELD", help="fields that tell whether a row is there already; may be repeated"
    )
    take.add_argument("--known", choices=["change", "skip"], default="change", help="what to do with records that are there already")
    take.add_argument(
        "--leave-out", action="append", default=[], metavar="FIELD", help="do not import the column of this field; may be repeated"
    )
    take.add_argument("--dates", choices=["dmy", "mdy"], help="what comes first in 03/04/2026, where the column itself does not tell")
    take.add_argument("--list", action="store_true", help="name the imports, newest first")
    take.add_argument("--resume", type=int, metavar="ID", help="go on with an import where it stopped")
    take.add_argument("--revert", type=int, metavar="ID", help="take an import back, with all that it made and changed")
    take.add_argument("--check", action="store_true", help="write nothing, only say what would happen")
    take.add_argument("--wrong", type=Path, help="where to write the rows that are wrong; beside the file when left out")
    take.add_argument("--as", dest="login", metavar="LOGIN", help="act with this person's rights; new records without an owner become his")
    take.set_defaults(run=_import)
    give = add(
        "export",
        "write records into a CSV or Excel file",
        "  run.py export crm_client clients.csv\n  run.py export crm_client clients.xlsx --fields name,code,owner",
    )
    give.add_argument("model", help="table of the model, like crm_client")
    give.add_argument("file", type=Path, help="the file to write: .csv or .xlsx")
    give.add_argument("--fields", default="", help="fields to write, separated by commas; all when left out")
    give.add_argument("--as", dest="login", metavar="LOGIN", help="write what this person may see and export")
    give.set_defaults(run=_export)


def _model(table: str) -> Any:
    from core.model import models

    if table not in models():
        known = sorted(name for name in models() if not name.startswith("core_"))
        raise Stop(f"There is no model with the table {table}; there are: {', '.join(known)}.")
    return models()[table]


def _import(chosen: Any) -> int:
    asked = [chosen.list, chosen.resume is not None, chosen.revert is not None]
    if any(asked):
        if sum(asked) > 1 or chosen.model is not None:
            raise Stop("--list, --resume ID and --revert ID each stand alone.")
        return _list_imports(chosen) if chosen.list else _go_on(chosen)
    if chosen.file is None:
        raise Stop("Please name the model and the file: run.py import crm_client clients.csv")
    from core.cli.house import house
    from core.transfer import run_import

    with house(title=f"Import of {chosen.file.name}", as_login=chosen.login):
        _model(chosen.model)
        told = run_import(
            chosen.model, chosen.file, keys=chosen.key, check=chosen.check, wrong=chosen.wrong, progress=say, leave_out=chosen.leave_out,
            skip=chosen.known == "skip", day_order=chosen.dates,
        )  # fmt: skip
        print(told)
    return 0


def _list_imports(chosen: Any) -> int:
    from core.cli.house import house
    from core.transfer.drafts import imports_of

    with house(as_login=chosen.login):
        found = imports_of()
        for one in found:
            counts = f"{one.read:,} of {one.total:,} rows, new {one.created:,}, changed {one.changed:,}, wrong {one.refused:,}"
            print(f"{one.id:>6}  {one.created_at:%Y-%m-%d %H:%M}  {one.state:<9}  {one.model}  {one.file_name}: {counts}")
        if not found:
            print("There are no imports.")
    return 0


def _go_on(chosen: Any) -> int:
    """Resume an import, or take it back."""
    from core.cli.house import house
    from core.transfer.importing import resume_import, revert_import

    with house(title="Import", as_login=chosen.login):
        if chosen.resume is not None:
            print(resume_import(chosen.resume, wrong=chosen.wrong, progress=say))
        else:
            print(revert_import(chosen.revert, progress=say))
    return 0


def _export(chosen: Any) -> int:
    from core.cli.house import house
    from core.db import db
    from core.transfer import run_export

    with house(title=f"Export of {chosen.model}", as_login=chosen.login):
        _model(chosen.model)
        # Settings and the person were read in a transaction that might write: with it open, on SQLite, nobody could
        # write until the last row is out, not even this export its own line in the journal.
        db.session.commit()
        db.read_only()
        told = run_export(chosen.model, chosen.file, fields=[one.strip() for one in chosen.fields.split(",") if one.strip()], progress=say)
        print(told)
    return 0
