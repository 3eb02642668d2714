"""Removing an addon for good: its records are written to files, its tables go, and what pointed at them is cleared away."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, Table, delete, func, inspect, or_, select

from core.config import Config
from core.context import now
from core.db import db
from core.errors import Problem

CHUNK = 1000


@dataclass(slots=True)
class Removal:
    """What goes when an addon is removed."""

    addon: str
    path: Path
    rows: dict[str, int] = field(default_factory=dict)
    """Its tables, with the number of rows."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """What it has placed on tables of others."""


def removal(addon: str) -> Removal:
    """What removing ``addon`` would take away; raises `Problem` when it cannot be removed."""
    from core.addons import addons, dependants
    from core.revisions import made_by

    if addon not in addons():
        raise Problem(
            f"There is no addon called {addon} on disk; its folder is needed to take its tables away. run.py addon list names them."
        )
    if needing := [name for name in dependants(addon) if name in addons()]:
        raise Problem(f"{addon} is needed by {', '.join(needing)}; remove {'it' if len(needing) == 1 else 'them'} first.")
    plan = Removal(addon, addons()[addon].path)
    look = inspect(db.session.connection())
    there = set(look.get_table_names())
    made = made_by(addon)
    for table, column in sorted(made):
        if table in there and not column:
            plan.rows[table] = db.session.execute(select(func.count()).select_from(Table(table, MetaData()))).scalar_one()
        elif table in there and (table, "") not in made:
            plan.columns.setdefault(table, []).append(column)
    return plan


def forget_addon(config: Config, plan: Removal, progress: Callable[[str], Any], *, copy: bool = True) -> Path:
    """Export, drop the tables, and remove what pointed at them; returns the folder of the export."""
    from core.backup_copies import copies_passphrase
    from core.journal import write
    from core.migrate import downgrade
    from core.state import bump

    folder = _fresh(config.data / "exports", f"{plan.addon}-{now():%Y%m%d-%H%M%S}")
    for table in plan.rows:
        count = _write(folder, table, None)
        progress(f"{table}: {count} rows written")
    for table, columns in plan.columns.items():
        _write(folder, table, columns)
    db.session.commit()
    db.remove()
    assert db.engine is not None
    passphrase = copies_passphrase(db.engine, config) if copy else ""
    downgrade(config.database, config.data, plan.addon, progress, copy=copy, passphrase=passphrase)
    _clear_pointers(plan)
    write("core_addon", 0, "remove", {"addon": [plan.addon, None], "tables": [plan.rows, None]})
    bump()
    return folder


def _fresh(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = parent / name
    number = 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    folder.mkdir(mode=0o700)
    return folder


def _write(folder: Path, name: str, columns: list[str] | None) -> int:
    """One table as JSON lines and as CSV (for spreadsheets, with a byte order mark)."""
    count = 0
    with (
        (folder / f"{name}.jsonl").open("w", encoding="utf-8") as lines,
        (folder / f"{name}.csv").open("w", encoding="utf-8-sig", newline="") as sheet,
    ):
        writer = csv.writer(sheet)
        for row in _rows(name, columns):
            if not count:
                writer.writerow(row)
            lines.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            writer.writerow([_cell(value) for value in row.values()])
            count += 1
    return count


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return "" if value is None else value
    return json.dumps(value, ensure_ascii=False, default=str).strip('"')


def _rows(name: str, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    connection = db.session.connection()
    table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
    wanted: list[Column[Any]] = list(table.c) if columns is None else [*table.primary_key.columns, *(table.c[one] for one in columns)]
    query = select(*wanted)
    if columns is not None:
        query = query.where(table.c[columns[0]].is_not(None))
    for row in connection.execute(query.execution_options(yield_per=CHUNK)).mappings():
        yield dict(row)


def _clear_pointers(plan: Removal) -> None:
    """Shares, rights, custom fields and the like that name the removed models; the journal keeps everything."""
    from core.addons import AddonState
    from core.model import models
    from core.notifications import table as notifications

    for table, model in models().items():
        if model.addon == "core" and "model" in model.__table__.c and table != "core_journal":
            db.session.execute(
                delete(model.__table__).where(model.__table__.c.model.in_(list(plan.rows))), execution_options={"mortise_core": True}
            )
    # Of records that might come again with the numbers of those that are gone, and of kinds that nobody can choose any more.
    told = or_(notifications.c.model.in_(list(plan.rows)), notifications.c.addon == plan.addon)
    db.session.execute(delete(notifications).where(told))
    db.session.execute(
        delete(AddonState.__table__).where(AddonState.__table__.c.name == plan.addon), execution_options={"mortise_core": True}
    )
    db.session.flush()
