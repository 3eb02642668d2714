"""Fields made by administrators: rows that become real fields of a model by the next request."""

from __future__ import annotations

from typing import Any

from core.fields import Field


def fields_now(model: type) -> dict[str, Field]:
    from core.model import SYSTEM_FIELDS
    return {**model.__fields__, **SYSTEM_FIELDS}
