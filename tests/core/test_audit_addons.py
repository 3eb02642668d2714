"""Switching an addon is a change like any other: it can be undone, other processes hear of it, and what slept is whole."""

import subprocess
import sys

import pytest
from sqlalchemy import select, text

from core.db import db
from core.journal import batches
from core.testing import both_databases
from core.undo import undo
from tests.core.kernel import ROOT


@pytest.fixture
def admin(login_as):
    return login_as("boss", level="administrator")


def last_batch():
    db.session.commit()
    return db.session.execute(select(batches.c.id).order_by(batches.c.id.desc()).limit(1)).scalar_one()


@both_databases
def test_switching_an_addon_is_in_the_journal_and_undone_at_the_next_request(admin, create):
    record = create("crm_tag", name="blue")
    assert admin.get("/settings/addons/crm_tag/off").status_code == 200 and admin.get(f"/crm_tag/{record.id}").status_code == 200
    admin.post("/settings/addons/crm_tag/off")
    assert admin.get(f"/crm_tag/{record.id}").status_code == 404
    journal = admin.get("/settings/journal").text
    number = last_batch()
    assert f'action="/undo/{number}"' in journal
    assert admin.post(f"/undo/{number}").status_code == 302
    assert admin.get(f"/crm_tag/{record.id}").status_code == 200


OTHER = """
import sys
import core.tables
from core.addons import enabled, load_all
from core.context import Actor, acting
from core.db import db
from core.model import fields_of, model_of
from core.options import options
from pathlib import Path
load_all([Path(one) for one in sys.argv[2:]])
db.connect(sys.argv[1])
for line in sys.stdin:
    with acting(Actor()):
        law = [f"{one.key}={one.label}{'-' if one.retired else ''}" for one in options("law_matter.status")]
        own = [name for name, one in fields_of(model_of("law_matter")).items() if one.custom]
        print(enabled("crm_tag"), ",".join(law), ",".join(own), sep="|", flush=True)
    db.remove()
"""


@both_databases
def test_another_process_has_addons_options_and_fields_at_its_next_request(admin, addon_folders):
    url = db.engine.url.render_as_string(hide_password=False)
    line = [sys.executable, "-W", "ignore", "-c", OTHER, url, *map(str, addon_folders)]
    other = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def asks():
        db.session.commit()
        other.stdin.write("\n")
        other.stdin.flush()
        return other.stdout.readline().strip().split("|")

    try:
        assert asks() == ["True", "new=New,open=Open,closed=Closed", ""]
        # Each change goes through its page, as an administrator makes it.
        number = db.session.execute(text("SELECT id FROM core_dictionary WHERE key = 'law_matter.status'")).scalar_one()
        page = f"/settings/dictionaries/{number}"
        assert admin.post(page, data={"label-open": "Under way", "retired-closed": "1"}).status_code == 302
        assert asks()[1] == "new=New,open=Under way,closed=Closed-"
        assert admin.post("/settings/fields/law_matter/new", data={"title": "Score", "kind": "integer"}).status_code == 302
        assert asks()[2] == "x_score"
        admin.post("/settings/addons/crm_tag/off")
        assert asks()[0] == "False"
        db.session.commit()
        undo(last_batch())
        db.session.commit()
        assert asks()[0] == "True"
    finally:
        other.stdin.close()
        other.wait(10)
        other.stdout.close()
