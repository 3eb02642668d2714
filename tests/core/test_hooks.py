"""Hooks run in a known order, once, only for addons that are on, and may use the gate; a wrong one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import addons, hooks, hookspecs, records
from core.db import db
from core.errors import Invalid, Misbuilt
from core.hooks import hook
from core.model import loading
from tests.core.kernel import acts, model
from tests.core.office import Office, office

__all__ = ["office"]


@pytest.fixture
def bench():
    """A place to try hooks on; they are gone after the test. ``bench(addon)`` says whose they are, ``bench()`` registers all."""
    kept, before = list(hooks._pending), loading["addon"]

    def say(addon: str | None = None) -> None:
        if addon is None:
            hooks.register_all(addons._order)
        else:
            loading["addon"] = addon

    yield say
    loading["addon"] = before
    hooks._pending[:] = kept
    hooks.register_all(addons._order)


def make(office: Office, **values: Any) -> Any:
    with acts(office.admin):
        made = records(model("Memo")).create({"name": "Memo"} | values)
        db.session.commit()
        return made.id


def test_dependencies_run_first_and_then_the_order_written(office: Office, bench: Any):
    heard: list[str] = []
    order = ["law_case", "crm_tag"]

    def note(word: str) -> Any:
        def function(record, changes):
            heard.append(word)

        return function

    bench("crm_tag")
    hook.after_save(model("Memo"))(note("tag first"))
    hook.after_save(model("Memo"))(note("tag second"))
    bench("law_case")
    hook.after_save(model("Memo"))(note("law"))
    bench("core")
    hook.after_save(note("core, for every model"))
    hooks.register_all(order)
    make(office)
    assert heard == ["core, for every model", "law", "tag first", "tag second"]
    heard.clear()
    hooks.register_all(order[::-1])
    make(office)
    assert heard == ["core, for every model", "tag first", "tag second", "law"]


def test_a_hook_of_a_sleeping_addon_does_not_run(office: Office, bench: Any):
    heard: list[str] = []
    bench("crm_tag")

    @hook.before_save(model("Memo"))
    def listen(record, changes):
        heard.append(record.name)

    bench()
    make(office, name="awake")
    with acts(office.admin):
        assert addons.disable("crm_tag") == ["crm_tag"]
        db.session.commit()
    make(office, name="asleep")
    with acts(office.admin):
        addons.enable("crm_tag")
        db.session.commit()
    make(office, name="awake again")
    assert heard == ["awake", "awake again"]


def test_a_hook_only_hears_of_its_own_models(office: Office, bench: Any):
    heard: list[str] = []

    @hook.after_save(model("Court"))
    def listen(record, changes):
        heard.append(record.name)

    bench()
    make(office)
    assert heard == []


def test_before_save_may_set_values_and_refuse(office: Office, bench: Any):
    @hook.before_save(model("Memo"))
    def shout(record, changes):
        if "name" in changes:
            record.name = record.name.upper()
        if record.name == "NO":
            raise Invalid({"name": "Please choose another name."})

    bench()
    start = office.last_row()
    assert office.stored("law_memo", make(office, name="quiet")).name == "QUIET"
    assert '"QUIET"' in office.journal_after(start)[0].changes
    with pytest.raises(Invalid):
        make(office, name="no")


def test_after_save_may_write_through_the_gate_and_the_session(office: Office, bench: Any):
    start = office.last_row()

    @hook.after_save(model("Memo"))
    def copy_and_mark(record, changes):
        if record.name == "Original":
            made = records(model("Memo")).create({"name": "Copy"})
            assert made.id
            record.name = "Original, copied"

    bench()
    number = make(office, name="Original")
    assert office.stored("law_memo", number).name == "Original, copied"
    told = [(one.verb, one.changes) for one in office.journal_after(start)]
    assert [verb for verb, _changes in told] == ["create", "create", "edit"] and "Copy" in told[1][1]
    assert len({one.batch_id for one in office.journal_after(start)}) == 1


def test_hooks_that_set_each_other_off_are_stopped_with_a_sentence(office: Office, bench: Any):
    @hook.after_save(model("Memo"))
    def never_content(record, changes):
        record.name += "!"

    bench()
    with pytest.raises(RuntimeError, match="without end"):
        make(office)


def test_a_refusal_in_after_save_undoes_the_write(office: Office, bench: Any):
    @hook.after_delete(model("Memo"))
    def keep_it(record):
        raise Invalid({"": "Keep it."})

    bench()
    number = make(office)
    with acts(office.admin), pytest.raises(Invalid):
        records(model("Memo")).delete(number)
        db.session.commit()
    assert office.stored("law_memo", number)


def test_a_wrong_argument_is_named_with_function_file_and_line():
    with pytest.raises(Misbuilt) as told:

        @hook.after_save(model("Memo"))
        def take_a_record(recrod):
            raise AssertionError

    sentence = str(told.value)
    assert "take_a_record" in sentence and "'recrod'" in sentence and "changes, record" in sentence
    assert f"{Path(__file__)}:" in sentence


def test_an_unknown_hook_and_a_hook_without_models_are_named():
    with pytest.raises(Misbuilt, match="'after_saving'"):
        assert hook.after_saving
    with pytest.raises(Misbuilt, match="takes no model"):

        @hook.app_ready(model("Memo"))
        def never(app):
            raise AssertionError


def test_there_are_nine_hooks_each_with_a_sentence():
    assert len(hookspecs.NAMES) == 9
    for name in hookspecs.NAMES:
        assert (getattr(hookspecs, name).__doc__ or "").strip().endswith((".", "``"))
