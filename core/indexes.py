"""Indexes over several fields, which a model asks for by name so that its lists stay quick with millions of records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Index

from core.errors import Misbuilt


def indexes_of(model: Any, system: Iterable[str]) -> list[Index]:
    """The indexes of a model's ``indexes``; ``system`` names the fields that every model has.

    Titles are sorted by their key, and the id ends each: a list in that order then begins and goes on anywhere at once.
    """
    made = []
    for words in model.__dict__.get("indexes", ()):
        columns = [_column(model, name, system) for name in words.split()]
        made.append(Index(f"ix_{model.__tablename__}_{'_'.join(columns)}", *columns, *([] if "id" in columns else ["id"])))
    return made


def _column(model: Any, name: str, system: Iterable[str]) -> str:
    one = model.__fields__.get(name)
    if one is None and name not in system:
        raise Misbuilt(f"{model.__name__}.indexes: {model.__name__} has no field {name!r}.")
    return "title_key" if name == model.title_field else one.key if one is not None else name
