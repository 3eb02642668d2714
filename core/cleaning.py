"""Values as people, programs and files send them, made into values as they are stored, or into the sentences that say why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import Wrong
from core.model import fields_of


def clean_rows(gate: Any, rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """({field: value as stored}, {field: sentence}) of each row, for the model of a gate and with its rights."""
    fields = fields_of(gate.model)
    refused: dict[Any, str | None] = {}
    # Thousands of rows name the same few options.
    chosen: dict[tuple[str, str], Any] = {}
    found: list[tuple[dict[str, Any], dict[str, str]]] = []
    for values in rows:
        good: dict[str, Any] = {}
        wrong: dict[str, str] = {}
        for name, value in values.items():
            if name not in refused:
                refused[name] = gate.writable(str(name), fields.get(name) if isinstance(name, str) else None)
            if (sentence := refused[name]) is not None:
                wrong[str(name)] = sentence
                continue
            one = fields[name]
            try:
                if one.kind.name != "choice" or not isinstance(value, str):
                    good[name] = one.clean(value)
                    continue
                if (name, value) not in chosen:
                    chosen[name, value] = one.clean(value)
                good[name] = chosen[name, value]
            except Wrong as error:
                wrong[name] = str(error)
        found.append((good, wrong))
    return found
