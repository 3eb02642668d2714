"""What the tests of import and export share: writing and reading small files, and looking at what is stored."""

import csv

from sqlalchemy import func, select

from core.context import Actor, acting
from core.db import db
from core.journal import journal
from core.model import model_of


def write(path, rows, encoding="utf-8", delimiter=","):
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return path


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def everything(table="crm_client"):
    """All stored rows without what a mere look at them could not change."""
    db.session.commit()
    rows = db.session.execute(select(model_of(table).__table__).order_by("id")).mappings()
    return [dict(row) for row in rows]


def count(table="crm_client"):
    db.session.commit()
    return db.session.execute(select(func.count()).select_from(model_of(table).__table__)).scalar_one()


def journalled(verb):
    return db.session.execute(select(journal).where(journal.c.verb == verb).order_by(journal.c.id)).mappings().all()


def as_person(user, language="en"):
    return acting(Actor(user_id=user.id, login=user.username, name=user.name, door="screen", language=language))
