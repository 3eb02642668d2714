"""Settings of the firm have a default in code, are checked, and hold everywhere from the next request on."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime

import pytest

from core.context import clock, today
from core.db import db
from core.errors import Invalid, Misbuilt, Refused
from core.settings import Setting, declare_setting, declared_settings, is_set, set_setting, setting
from core.state import generation
from tests.core.boxes import boxes_on_each_database  # noqa: F401  the fixture “boxes”
from tests.core.kernel import ROOT, acts


def test_a_setting_has_its_default_until_somebody_sets_it(boxes):
    with acts(boxes.admin):
        before = generation()
        assert setting("firm.currency") == "CNY" and not is_set("firm.currency")
        assert set_setting("firm.currency", "eur ") == "EUR" and setting("firm.currency") == "EUR"
        db.session.commit()
    with acts(boxes.ann):
        assert setting("firm.currency") == "EUR" and is_set("firm.currency") and generation() > before
    with acts(boxes.admin):
        assert set_setting("firm.currency", None) == "CNY"
        db.session.commit()
    with acts(boxes.ann):
        assert setting("firm.currency") == "CNY" and not is_set("firm.currency")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("firm.zone", "Mars/Olympus"), ("firm.zone", ""), ("firm.zone", "../../etc/passwd"), ("firm.language", "fr"),
        ("firm.name", "  "), ("firm.name", 7),
        ("firm.currency", "EURO"), ("session.idle_minutes", 0), ("session.idle_minutes", "soon"), ("session.idle_minutes", True),
        ("password.min_length", 1), ("files.max_megabytes", 10**9), ("no.such", 1),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_a_sentence_and_nothing_changes(boxes, key, value):
    with acts(boxes.admin):
        before = setting(key) if key in declared_settings() else None
        with pytest.raises(Invalid) as refused:
            set_setting(key, value)
        assert refused.value.errors[key].endswith(".")
        assert before is None or setting(key) == before


def test_a_setting_is_checked_by_every_door(boxes):
    with acts(boxes.admin):
        db.session.add(Setting(key="firm.zone", value="Nowhere"))
        with pytest.raises(Invalid):
            db.session.flush()


def test_the_firms_zone_rules_what_today_is(boxes):
    with acts(boxes.admin):
        clock.set(datetime(2026, 11, 30, 20, 0))
        try:
            assert today() == date(2026, 11, 30)
            set_setting("firm.zone", "Asia/Shanghai")
            assert today() == date(2026, 12, 1)
        finally:
            clock.reset()
            db.session.rollback()


def test_a_rolled_back_setting_never_was(boxes):
    with acts(boxes.admin):
        set_setting("firm.name", "Too early")
        assert setting("firm.name") == "Too early"
        db.session.rollback()
    with acts(boxes.ann):
        assert setting("firm.name") == "Mortise"


def test_only_administrators_set_settings(boxes):
    with acts(boxes.ann), pytest.raises(Refused):
        set_setting("firm.name", "Ann & Co")


def test_another_process_has_it_at_its_next_request(boxes):
    code = (
        "import sys; from core.db import db; import core.tables; from core.settings import setting\n"
        "from core.context import Actor, acting\n"
        f"db.connect({db.engine.url.render_as_string(hide_password=False)!r})\n"
        "for line in sys.stdin:\n"
        "    with acting(Actor()):\n"
        "        print(setting('firm.name'), flush=True)\n"
        "    db.remove()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def asks() -> str:
        other.stdin.write("\n")
        other.stdin.flush()
        return other.stdout.readline().strip()

    try:
        assert asks() == "Mortise"
        with acts(boxes.admin):
            set_setting("firm.name", "华耀律师事务所")
            db.session.flush()
            if boxes.kind == "postgresql":
                assert asks() == "Mortise", "not before the commit"
            db.session.commit()
        assert asks() == "华耀律师事务所"
    finally:
        other.stdin.close()
        other.wait(timeout=20)
        other.stdout.close()
    with acts(boxes.admin):
        set_setting("firm.name", None)
        db.session.commit()


def test_one_name_is_declared_once():
    with pytest.raises(Misbuilt):
        declare_setting("firm.name", "Other", "Name")
    assert all(one.label for one in declared_settings().values())
