"""What an addon exports and imports again is what it had."""

from __future__ import annotations

import pytest

from core.addons import addons
from core.context import system
from core.custom import CustomField
from core.db import db
from core.transfer.importing import run_import
from tests.contract.values import fill, make, rows

OWN = ("text", "long", "integer", "decimal", "money", "date", "datetime", "yesno")
"""Kinds of fields that an administrator adds to every model."""


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
@pytest.mark.parametrize("count", [4])
def test_an_export_that_is_imported_changes_nothing(addon, its_models, login_as, acting_as, tmp_path, count, ending, create_user):
    with system("fields of the administrator"):
        for model in its_models:
            db.session.add_all([CustomField(model=model.__tablename__, title=f"Own {kind}", kind=kind) for kind in OWN])
        db.session.commit()
    fill(addon, count)
    for model in its_models:
        make(model, 30, only_needed=True)
    db.session.commit()
    create_user("chief", level="administrator")
    chief = login_as("chief")
    files = {}
    for model in its_models:
        answer = chief.post(f"/{model.__tablename__}/_export", data={"format": ending, "rows": "all", "columns": "all"})
        assert answer.status_code == 200
        files[model.__tablename__] = tmp_path / f"{model.__tablename__}.{ending}"
        files[model.__tablename__].write_bytes(answer.get_data())
    before = rows(addon)
    for table, path in files.items():
        assert before[table] and path.stat().st_size
        with acting_as("chief"):
            done = run_import(table, path)
        assert (done.created, done.changed, done.refused, done.wrong_file) == (0, 0, 0, None), (table, str(done))
        assert done.same == done.read == len(before[table])
    assert rows(addon) == before
    assert not addons()[addon].broken
