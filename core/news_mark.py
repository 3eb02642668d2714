"""How far a person has looked: a mark in the journal that misses nothing, though ids are given before transactions commit.

A mark is a seal number, which rows only get once they are committed, and the few rows beyond it that were seen already. What a page
has shown is told apart from what was committed meanwhile by the snapshot of the transaction that read it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select, text

from core.context import now
from core.db import db
from core.errors import Broken
from core.i18n import gettext as _
from core.journal import journal
from core.preferences import prefer, preferences
from core.seal import seal

SNAPSHOT = re.compile(r"[0-9]{1,19}:[0-9]{1,19}:([0-9]{1,19}(,[0-9]{1,19}){0,300})?")
ROUNDS = 4
"""Five thousand rows each are sealed before a mark is kept."""
MOST_BEYOND = 200
"""So many rows beyond the seal are noted; of more, the rest is told once more rather than never."""
ALL = ""
WIDE = "*"
"""Begins the name of a mark for all that a person may see; the others are for his own records."""


def here() -> str:
    """A text for “all that is committed now”; to be read before the rows that a page shows."""
    top = db.session.execute(select(func.max(journal.c.seal))).scalar() or 0
    if db.is_sqlite:
        seen: Any = db.session.execute(select(func.max(journal.c.id))).scalar() or 0
    else:
        seen = db.session.execute(text("SELECT pg_current_snapshot()::text")).scalar_one()
    body = json.dumps([top, seen, now().replace(microsecond=0).isoformat()], separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def _read(mark: str) -> tuple[int, Any, str]:
    """(seal, condition “this row was there already”, when)."""
    try:
        top, seen, at = json.loads(base64.b64decode(mark + "=" * (-len(mark) % 4), altchars=b"-_", validate=True))
        moment = datetime.fromisoformat(at)
        if type(top) is not int or not 0 <= top < 2**62 or moment.tzinfo is not None:
            raise ValueError
        if db.is_sqlite:
            if type(seen) is not int or not 0 <= seen < 2**62:
                raise ValueError
            return top, journal.c.id <= seen, at
        if not isinstance(seen, str) or not SNAPSHOT.fullmatch(seen):
            raise ValueError
        low, high = (int(one) for one in seen.split(":")[:2])
        if not 0 < low <= high < 2**62 or any(not low <= int(one) < high for one in seen.split(":")[2].split(",") if one):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error, RecursionError):
        raise Broken(_("This mark is damaged. Please open the page anew.")) from None
    transaction = text("CAST(CAST(core_journal.tx AS text) AS xid8)")
    return top, func.pg_visible_in_snapshot(transaction, text(f"CAST('{seen}' AS pg_snapshot)")), at


def look(mark: str, kind: str = ALL, wide: bool = False) -> None:
    """Keep that the acting person has seen all that was committed at ``mark``, of one kind of record or of all. Never commits.

    Of his own records, or with ``wide`` of all that he may see, his own among them.

    Raises `Broken` for a mark that is none.
    """
    top, there, at = _read(mark)
    for _round in range(ROUNDS):
        if seal(5000) < 5000:
            break
    fresh = select(func.min(journal.c.seal)).where(journal.c.seal > top, ~there)
    first = db.session.execute(fresh).scalar()
    last = first - 1 if first else db.session.execute(select(func.max(journal.c.seal))).scalar() or 0
    last = max(top, last)
    later = or_(journal.c.seal > last, journal.c.seal.is_(None))
    also = db.session.execute(select(journal.c.id).where(later, there).order_by(journal.c.id).limit(MOST_BEYOND)).scalars()
    made = {"seal": last, "also": list(also), "at": at}
    kept: dict[str, Any] = dict(preferences().get("news", {}))
    for before in (ALL, WIDE) if wide else (ALL,):
        if kind == ALL:
            # One for all takes the place of those for single kinds.
            kept = {name: one for name, one in kept.items() if name.startswith(WIDE) != before.startswith(WIDE)}
        kept[before + kind] = made
    prefer(news=kept)


def looked(kind: str = ALL, wide: bool = False) -> dict[str, Any] | None:
    """The newest kept mark that covers one kind of record, or all; None for whoever has never marked anything."""
    kept, before = preferences().get("news", {}), WIDE if wide else ALL
    return max((one for one in (kept.get(before + kind), kept.get(before)) if one), key=lambda one: one["seal"], default=None)


def looked_at(kept: dict[str, Any]) -> datetime:
    """When a kept mark was made, in UTC."""
    return datetime.fromisoformat(kept["at"])


def beyond(kept: dict[str, Any]) -> Any:
    """The condition on rows of the journal: not seen yet."""
    unseen = or_(journal.c.seal > kept["seal"], journal.c.seal.is_(None))
    return and_(unseen, journal.c.id.not_in(kept["also"])) if kept["also"] else unseen


def since(moment: datetime) -> Any:
    """The condition on rows of the journal: written since a moment (UTC)."""
    return journal.c.at >= moment

