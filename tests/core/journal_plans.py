"""The usual questions to the journal, and how the database answers what is sent for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import event

from core.db import db
from core.journal_query import Question

SCANS = re.compile(r"Seq Scan on core_journal|SCAN core_journal(?! USING)")
"""In a plan: a walk through the whole journal."""
QUESTIONS = {
    "person": Question(person=7),
    "time": Question(since=date(2030, 3, 1), until=date(2030, 3, 2)),
    "door": Question(door="command line"),
    "verb": Question(verb="sign-in"),
    "batch": Question(batch=1100),
    "model": Question(model="crm_case"),
    "record": Question(model="crm_client", record=77),
    "field": Question(model="crm_case", field="name"),
    "value": Question(model="crm_case", field="name", value="12345"),
}


def plans(ask: Callable[[], Any]) -> list[str]:
    """The plans of the statements on the journal that ``ask`` sends."""
    sent: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        if statement.lstrip().startswith("SELECT") and "core_journal" in statement:
            sent.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", keep)
    try:
        ask()
    finally:
        event.remove(db.engine, "before_cursor_execute", keep)
    explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
    connection = db.session.connection()
    return ["\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + one, values).all()) for one, values in sent]
