"""People who are told of something, and what their bells hold."""

from __future__ import annotations

from sqlalchemy import select

from core.db import db
from core.notification_list import page, unread_count
from core.notifications import table


def stored(user=None):
    query = select(table).order_by(table.c.id)
    return db.session.execute(query if user is None else query.where(table.c.user_id == user.id)).all()


def told(user, acting_as, **more):
    with acting_as(user):
        entries = page(**more)[0]
        if not more:
            assert unread_count() == sum(one.unread for one in entries)
        return [(one.text, one.title) for one in entries]
