"""Faults in guard, field rights, “Why?”, sharing and API keys, each put in while one named test runs; a plugin for pytest.

`python -m pytest -p tests.core.faulty NODES` runs these tests with their faults; with ``MORTISE_FAULTS=0`` as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from core import api_keys, explain, guard, right_tests, rules, sharing
from core.model import fields_of
from core.verdicts import Fact, Verdict
from core.web import view_as, why

LONG_AGO = datetime(2000, 1, 1)


def put(owner: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """A fault: ``name`` of ``owner`` is something else."""
    return lambda patch: patch.setattr(owner, name, value)


def access(change: Callable[[str], str]) -> Callable[[pytest.MonkeyPatch], None]:
    """A fault in the access to fields."""
    original = rules.Rights.field_access
    return put(rules.Rights, "field_access", lambda self, model, one: change(original(self, model, one)))


def key_of_an_administrator_is_not_narrowed(patch: pytest.MonkeyPatch) -> None:
    original = rules.Rights._make_grant

    def made(self: Any, *words: Any) -> Any:
        if self.level != "employee":
            self.limits = None
        return original(self, *words)

    patch.setattr(rules.Rights, "_make_grant", made)


def the_askers_key_narrows_the_other(patch: pytest.MonkeyPatch) -> None:
    original, asked = explain._with_the_eyes_of, explain.actor

    def eyes(user_id: int | None) -> Any:
        made = original(user_id)
        made.limits = asked().limits
        return made

    patch.setattr(explain, "_with_the_eyes_of", eyes)


def a_closed_field_may_be_written(patch: pytest.MonkeyPatch) -> None:
    for one in (rules, explain):
        patch.setattr(one, "enough", lambda _verb: ("read", "write"))


GUARD, FIELDS, WHY = "tests/core/test_guard.py::test_", "tests/core/test_audit_field_rights.py::test_", "tests/core/test_why.py::test_"
SHARES, KEYS = "tests/core/test_sharing.py::test_", "tests/core/test_api_keys.py::test_"
FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    f"{GUARD}bulk_statements_on_a_model_are_refused_for_everybody[sqlite]": put(guard, "models", dict),
    f"{GUARD}a_half_visible_class_is_never_written[sqlite]": put(guard, "is_half", lambda _model: False),
    f"{GUARD}a_link_leads_only_to_what_one_may_read[sqlite]": put(guard, "visible_ids", lambda _model, ids: set(ids)),
    f"{GUARD}nobody_steals_a_record_by_changing_its_owner_or_department[sqlite-owner_id]": put(rules, "_old_value", getattr),
    f"{GUARD}nobody_gives_a_record_away_without_the_right_to_transfer[sqlite-owner_id]": put(guard, "is_owned", lambda _model: False),
    f"{FIELDS}a_read_only_field_is_shown_and_stays[sqlite]": access(lambda found: "write" if found == "read" else found),
    f"{FIELDS}a_hidden_field_is_nowhere_on_the_screens[sqlite]": access(lambda found: "read" if found == "hidden" else found),
    f"{FIELDS}a_hidden_title_is_no_name_anywhere[sqlite]": put(rules.Rights, "fields_filtered", lambda _self, model: fields_of(model)),
    f"{WHY}a_denial_is_told_with_its_row_and_with_what_is_needed_beside[sqlite]": put(
        explain._Asked, "_against", lambda *_words: ((Fact("nothing"),), [(Fact("outside"),)])
    ),
    f"{WHY}nobody_asks_about_others_or_about_what_he_does_not_see[sqlite]": put(why, "may_know", lambda: True),
    f"{WHY}a_closed_field_names_the_role_that_closes_it[sqlite]": a_closed_field_may_be_written,
    f"{SHARES}nobody_opens_what_is_not_his_and_nothing_is_half_done[sqlite]": put(sharing, "may", lambda *_words: Verdict(True)),
    f"{SHARES}a_share_opens_a_record_to_read_or_to_edit_until_its_day_is_over[sqlite]": put(rules, "now", lambda: LONG_AGO),
    f"{KEYS}a_key_reads_or_writes_what_its_person_may_and_no_more[sqlite]": put(api_keys.Limits, "allow", lambda *_words: True),
    f"{KEYS}an_administrators_key_is_narrowed_too[sqlite]": key_of_an_administrator_is_not_narrowed,
    f"{KEYS}a_narrow_key_hides_nothing_from_permission_tests_and_explanations[sqlite]": the_askers_key_narrows_the_other,
    f"{KEYS}a_key_ends_with_its_day_its_deletion_and_its_account[sqlite]": put(api_keys, "now", lambda: LONG_AGO),
    "tests/core/test_view_as.py::test_an_administrator_sees_with_his_eyes_and_can_change_nothing[sqlite]": put(
        view_as, "refuse_writing", lambda: None
    ),
    "tests/core/test_right_tests.py::test_a_change_that_would_break_it_is_refused_with_the_record_that_shows_it[sqlite]": put(
        right_tests, "ask_all", lambda: None
    ),
}
"""{the test that has to turn red: the fault}"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """The fault is there while its test runs, and no longer."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("MORTISE_FAULTS") != "0":
            FAULTS[item.nodeid](patch)
        return (yield)
