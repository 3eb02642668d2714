"""What a database knows of the sizes of its tables, without which it guesses at the way to the rows of a large one."""

from __future__ import annotations

from sqlalchemy import inspect, text

from core.db import db
from core.jobs import checkpoint, job

LOOKED_AT = 1000
"""So many entries of each index tell SQLite enough: a million clients are known in a few seconds."""


@job(every="1 day", at="03:50", system=True)
def learn_sizes() -> None:
    """Let SQLite look at its tables, one a transaction, so that nobody waits long; PostgreSQL does so by itself."""
    if db.is_sqlite:
        for table in inspect(db.session.connection()).get_table_names():
            _learn(table)
            checkpoint()


def analyse() -> None:
    """Learn the sizes of all tables now, after very much has come in. Commits."""
    if db.is_sqlite:
        for table in inspect(db.session.connection()).get_table_names():
            _learn(table)
            db.session.commit()
    else:
        db.session.connection().execute(text("ANALYZE"))
        db.session.commit()


def _learn(table: str) -> None:
    connection = db.session.connection()
    connection.exec_driver_sql(f"PRAGMA analysis_limit={LOOKED_AT}")
    connection.exec_driver_sql(f"ANALYZE {connection.dialect.identifier_preparer.quote_identifier(table)}")
