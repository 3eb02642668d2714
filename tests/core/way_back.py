"""What the tests of backups through a browser, with scripts and without, share: a house with an administrator and fifty clients."""

from __future__ import annotations

from pathlib import Path

from tests.core.installation import Installation, new

WORDS = "correct horse battery 榫卯"
PASSWORD = "quite a long one 7"
FILL = """
from core.cli.house import house
with house(title="Fill"):
    from core import records
    from core.model import model_of
    from core.settings import set_setting
    set_setting("firm.name", "宏远")
    records(model_of("crm_client")).create_many([{"name": f"Client {number}"} for number in range(50)])
"""
WAIT = 120
"""Seconds that a step may take beside other work."""


def filled(kind: str, folder: Path, name: str) -> Installation:
    """A house whose administrator signs in as “admin” with `PASSWORD`, and that knows fifty clients."""
    made = new(kind, folder, name)
    made.settings["MORTISE_ADMIN_PASSWORD"] = PASSWORD
    made.must("migrate")
    made.python(FILL)
    with made.database() as connection:
        connection.exec_driver_sql("UPDATE ab_user SET must_change_password = false")
    return made
