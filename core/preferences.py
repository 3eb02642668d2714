"""Preferences: how a person likes to see things (columns, density), one row a person, and what the administrator shows everybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Integer, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import JSON

from core.context import actor
from core.db import db
from core.errors import Wrong
from core.i18n import gettext as _
from core.model import FabModel
from core.settings import declare_setting, set_setting, setting

MOST_COLUMNS = 40
SHARED_COLUMNS = "list.columns"


class Preferences(FabModel):
    """What one person has chosen for himself; no business data, so no journal."""

    __tablename__ = "core_preference"
    __table_args__ = {"info": {"addon": "core"}}

    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    chosen: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False)
    """``{"density": "compact", "columns": {"crm_client": ["name", "status"]}}``"""


table = Preferences.__table__


def preferences() -> dict[str, Any]:
    """What the acting person has chosen. At a door it came along with the person; elsewhere one statement asks for it."""
    who = actor()
    if "preferences" not in who.memo:
        found = None
        if who.user_id is not None:
            found = db.session.execute(select(table.c.chosen).where(table.c.user_id == who.user_id)).scalar()
        who.memo["preferences"] = found
    return who.memo["preferences"] or {}


def prefer(**chosen: Any) -> None:
    """Keep what the acting person has chosen; None forgets it. Never commits."""
    who = actor()
    if who.user_id is None:
        return
    query = select(table.c.chosen).where(table.c.user_id == who.user_id)
    stored = db.session.execute(query if db.is_sqlite else query.with_for_update()).scalar()
    kept = {name: value for name, value in ((stored or {}) | chosen).items() if value not in (None, {}, [])}
    if stored is None:
        db.session.execute(insert(table).values(user_id=who.user_id, chosen=kept))
    else:
        db.session.execute(update(table).where(table.c.user_id == who.user_id).values(chosen=kept))
    who.memo["preferences"] = kept


# -- columns of a list ------------------------------------------------------------------------------------------------


def chosen_columns(name: str) -> list[str]:
    """The columns of the list of the table ``name``: the person's, else what an administrator shows everybody, else none chosen."""
    own = preferences().get("columns", {}).get(name)
    return list(own or setting(SHARED_COLUMNS).get(name) or [])


def prefer_columns(name: str, columns: Iterable[str]) -> None:
    """Keep the columns that the acting person wants in this list, in this order; none returns to the shared ones."""
    kept = dict(preferences().get("columns", {}))
    kept.pop(name, None)
    if wanted := list(dict.fromkeys(columns))[:MOST_COLUMNS]:
        kept[name] = wanted
    prefer(columns=kept)


def share_columns(name: str, columns: Iterable[str]) -> None:
    """Show these columns to everybody who has chosen none; none returns to the view's own. The right is that of the settings."""
    kept = dict(setting(SHARED_COLUMNS))
    kept.pop(name, None)
    if wanted := list(dict.fromkeys(columns))[:MOST_COLUMNS]:
        kept[name] = wanted
    set_setting(SHARED_COLUMNS, kept)


def _columns(value: Any) -> dict[str, list[str]]:
    good = isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(names, list) and all(isinstance(one, str) for one in names) for name, names in value.items()
    )
    if not good:
        raise Wrong(_("Columns are written as {table: [field, …]}."))
    return value


declare_setting(SHARED_COLUMNS, {}, "Columns of lists", "What people see who have chosen no columns themselves", check=_columns)
