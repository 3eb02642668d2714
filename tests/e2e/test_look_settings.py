"""Looks at what an administrator sets: addons, fields, dictionaries, people, roles and rights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Firm
from tests.e2e.looking import at, each_language, look_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


STATES: dict[str, Callable[[Any], None]] = {
    "addons": at("/settings/addons"), "addon preview": at("/settings/addons/crm_client/off"), "settings": at("/settings/"),
    "fields": at("/settings/fields/crm_client"), "new field": at("/settings/fields/crm_client/new"),
    "field": at("/settings/fields/crm_client/status"), "dictionary": at("/settings/dictionaries/"), "firm": at("/settings/firm"),
    "journal": at("/settings/journal"), "users": at("/ab_user/"), "user": at("/ab_user/1"), "new user": at("/ab_user/new"),
    "posts": at("/core_post/"), "post": at("/core_post/1"), "departments": at("/core_department/"),
    "department": at("/core_department/1"), "roles": at("/ab_role/"), "role": at("/ab_role/2"),
    "role rights": at("/core_role_right/"), "new role right": at("/core_role_right/new"), "field rights": at("/core_field_right/"),
    "personal rights": at("/core_personal_right/new"),
}  # fmt: skip


@each_language
def test_settings_fit_are_accessible_and_speak_one_language(firm_to_look_at: Firm, shots: Path, language: str) -> None:
    look_at(firm_to_look_at, STATES, language, shots).context.close()
