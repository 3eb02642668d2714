"""Notifications that take a while: to very many people, and what is done with old ones at night."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, or_, select

from core.context import look_again, now
from core.db import db
from core.jobs import cancelled, checkpoint, job, remembered
from core.notifications import AT_ONCE, Told, permitted, table, write
from core.settings import setting

LOT = 2000


@job(system=True)
def tell_many(people: list[int], told: dict[str, Any], by: int | None) -> None:
    """Notifies many people"""
    entry = Told(**told)
    done = remembered().get("done", 0)
    while done < len(people) and not cancelled():
        lot = people[done : done + AT_ONCE]
        look_again()
        write(entry, permitted(entry, lot), by)
        done += len(lot)
        checkpoint(done=done)


@job(every="1 day", at="03:45", system=True)
def forget_old_notifications() -> None:
    """Removes notifications that are older than the setting says"""
    days = setting("notifications.keep_days")
    old = or_(table.c.read_at < now() - timedelta(days=days), table.c.at < now() - timedelta(days=days * 4))
    while True:
        some = select(table.c.id).where(old).limit(LOT).scalar_subquery()
        if not db.session.execute(delete(table).where(table.c.id.in_(some))).rowcount:  # type: ignore[attr-defined]
            return
        checkpoint()
