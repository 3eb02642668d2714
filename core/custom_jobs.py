"""What custom fields need done later: the index of a field, and formulas of records that were there before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, text

from core.custom import CustomField, compute_formulas, field_of
from core.custom_sql import UNINDEXABLE, drop_index_sql, index_name, index_sql
from core.db import db
from core.jobs import cancelled, checkpoint, job, progress, remembered
from core.model import models

CHUNK = 500


@job(system=True)
def build_index(model: str, name: str) -> None:
    """Makes the index of a custom field; until it is there, large lists do not offer to sort by the field."""
    row = _definition(model, name)
    if row is None or not row.indexed or row.index_ready or row.kind in UNINDEXABLE or model not in models():
        return
    found = field_of(row, models()[model])
    if found is None:
        return
    assert db.engine is not None
    sql = index_sql(models()[model], found, db.engine.dialect.name)
    _run(sql, index_name(model, name))
    row = _definition(model, name)
    if row is not None and row.indexed:
        row.index_ready = True
        db.session.flush()


@job(system=True)
def drop_index(model: str, name: str) -> None:
    """Removes the index of a custom field that nobody wants any more."""
    row = _definition(model, name)
    if row is None or not row.indexed:
        assert db.engine is not None
        _run(drop_index_sql(model, name, db.engine.dialect.name))


@job(system=True)
def recompute_formulas(model: str) -> None:
    """Computes the formulas of a model's records anew, after an administrator has changed one."""
    found = models().get(model)
    after = remembered().get("after", 0)
    while found is not None and not cancelled():
        rows = db.session.execute(select(found).where(found.id > after).order_by(found.id).limit(CHUNK)).scalars().all()
        if not rows:
            return
        for record in rows:
            compute_formulas(record)
        db.session.flush()
        after = rows[-1].id
        progress(after)
        checkpoint(after=after)


def ensure_indexes() -> int:
    """Make every index that administrators ask for, for example after a restore; returns how many were asked for. Commits."""
    query = select(CustomField.model, CustomField.name).where(CustomField.indexed)
    wanted = db.session.execute(query, execution_options={"mortise_rules": False}).all()
    for model, name in wanted:
        row = _definition(model, name)
        if row is not None:
            row.index_ready = False
            db.session.flush()
        build_index(model=model, name=name)
    return len(wanted)


def _definition(model: str, name: str) -> Any:
    query = select(CustomField).where(CustomField.model == model, CustomField.name == name)
    return db.session.execute(query, execution_options={"mortise_rules": False}).scalars().first()


def _run(sql: str, index: str | None = None) -> None:
    """Run a statement about an index: on SQLite in the job's own transaction, on PostgreSQL outside of any."""
    if db.is_sqlite:
        db.session.connection().exec_driver_sql(sql)
        return
    # Nothing of ours may be open: CREATE INDEX CONCURRENTLY waits for every transaction that holds a snapshot.
    db.session.commit()
    assert db.engine is not None
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET lock_timeout = '10min'")
        try:
            if index is not None:
                _drop_broken(connection, index)
            connection.exec_driver_sql(sql)
        finally:
            connection.exec_driver_sql("RESET lock_timeout")


def _drop_broken(connection: Any, index: str) -> None:
    """An earlier try that was interrupted leaves an invalid index of the same name, which IF NOT EXISTS would take for a good one."""
    broken = text("SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = :name AND NOT indisvalid")
    if connection.execute(broken, {"name": index}).first():
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
