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
        "  run.py import crm_client clients.csv --as anna                 as anna: her rights, her clients",
    )
    take.add_argument("model", help="table of the model, like crm_client")
    take.add_argument("file", type=Path, help="CSV (UTF-8 or GB18030) or .xlsx; the first line names the fields")
    take.add_argument(
        "--key", action="append", default=[], metavar="FIELD", help="fields that tell whether a row is there already; may be repeated"
    )
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
    from core.cli.house import house
    from core.transfer import run_import

    with house(title=f"Import of {chosen.file.name}", as_login=chosen.login):
        _model(chosen.model)
        told = run_import(chosen.model, chosen.file, keys=chosen.key, check=chosen.check, wrong=chosen.wrong, progress=say)
        print(told)
    return 0


def _export(chosen: Any) -> int:
    from core.cli.house import house
    from core.transfer import run_export

    with house(title=f"Export of {chosen.model}", as_login=chosen.login):
        _model(chosen.model)
        told = run_export(chosen.model, chosen.file, fields=[one.strip() for one in chosen.fields.split(",") if one.strip()], progress=say)
        print(told)
    return 0
