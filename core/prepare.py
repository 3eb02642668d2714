"""How one record is fetched and written: what the house itself puts into it, whole or not at all, and how a flush answers people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from core.context import actor, now
from core.db import db
from core.errors import Conflict
from core.i18n import gettext as _
from core.model import fields_of, is_owned
from core.people import MortiseUser, Post
from core.rules import rights
from core.sketch import model_behind


@lru_cache(maxsize=256)
def by_id(model: Any, lock: bool) -> Any:
    """The statement for one record by its id, as ``wanted``; made once."""
    query = select(model).where(model.id == bindparam("wanted"))
    # Two people who read, then write, wait for each other instead of losing an update (SQLite: BEGIN IMMEDIATE).
    return query.with_for_update(of=model) if lock else query


@contextmanager
def alone() -> Iterator[None]:
    """What is written inside is all that this request writes; if it fails, the whole transaction goes, which spares a savepoint."""
    info = db.session().info
    info["alone"] = True
    try:
        yield
    finally:
        info.pop("alone", None)


@contextmanager
def attempt() -> Iterator[None]:
    """What is written inside stays whole, or leaves nothing behind in the session and in the database."""
    session = db.session()
    if not session.info.pop("alone", False):
        with session.begin_nested():
            yield
        return
    try:
        yield
    except BaseException:
        session.rollback()
        raise


def flush() -> None:
    """Write what is pending; what the database refuses becomes a sentence."""
    try:
        db.session.flush()
    except StaleDataError:
        raise Conflict(_("Somebody else changed this record meanwhile. Your entries are still here; compare, then save again.")) from None
    except IntegrityError as error:
        raise Conflict(_("Another record with the same values exists already, or a record this one needs is gone.")) from error


def prepare(record: Any, verb: str) -> None:
    """Fill what the house keeps itself: defaults, who and when, owner and department, pinyin key, formulas."""
    from core.custom import compute_formulas
    from core.search import title_key

    model, who, moment = model_behind(record), actor(), now()
    if verb == "create":
        for one in model.__fields__.values():
            if one.default is not None and one.kind.name != "links" and getattr(record, one.key) is None:
                one.set(record, one.default)
        for one in fields_of(model).values():
            if one.custom and one.default is not None and one.get(record) is None:
                one.set(record, one.default)
        if is_owned(model) and not who.system:
            if record.owner_id is None and record.owner is None:
                record.owner_id = who.user_id
        if is_owned(model) and record.department_id is None and record.department is None and record.owner_id is not None:
            record.department_id = primary_department(record.owner_id)
        record.created_at = record.created_at or moment
        record.created_by_id = record.created_by_id or who.user_id
    record.changed_at, record.changed_by_id = moment, who.user_id
    if inspect(model).version_id_col is None:
        record.version = (record.version or 0) + 1
    if isinstance(record, MortiseUser):
        record.name = record.name or record.username
        record.first_name, record.last_name = (record.name or "")[:64], ""
    key = title_key(str(getattr(record, model.title_field, None) or ""))
    if record.title_key != key:
        record.title_key = key
    compute_formulas(record)


def primary_department(user_id: int) -> int | None:
    """The department of a person's primary post (the oldest post when none is primary)."""
    if not actor().system and user_id == actor().user_id:
        return rights().primary
    memo = actor().memo.setdefault("primary_department", {})
    if user_id not in memo:
        post = Post.__table__
        query = select(post.c.department_id).where(post.c.user_id == user_id).order_by(post.c.is_primary.desc(), post.c.id).limit(1)
        memo[user_id] = db.session.execute(query, execution_options={"mortise_rules": False}).scalar()
    return memo[user_id]
