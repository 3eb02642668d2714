"""Values for the fields of any model, made from what kind of field each is, and records made of them through the gate."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from core.context import system
from core.db import db
from core.fields import Field
from core.model import FabModel, fields_of, models
from core.options import options
from core.people import MortiseUser
from core.records import records

NOT_FILLED = ("file", "json", "formula")


def value(one: Field, number: int) -> Any:
    """The value number ``number`` of a field, as JSON; another number gives another value wherever that is possible."""
    kind = one.kind.name
    if kind == "text":
        return f"李 {one.name} {number}"[-(one.max_length or 200) :]
    if kind == "long":
        return f"First line {number}\nSecond, with “marks”; and a comma"
    if kind in ("choice", "choices"):
        keys = [each.key for each in options(one.choices or "") if not each.retired]
        chosen = keys[number % len(keys)] if keys else None
        return [chosen] if kind == "choices" and chosen else chosen
    if kind in ("link", "links"):
        chosen = linked(one, number)
        return [chosen] if kind == "links" and chosen else chosen
    day = date(2026, 1, 1) + timedelta(days=number)
    return {
        "code": f"X{number:04d}",
        "email": f"person{number}@example.com",
        "phone": f"010 8266 {number:04d}",
        "integer": number,
        "decimal": f"{number}.25",
        "money": f"{number}.50",
        "date": day.isoformat(),
        "datetime": datetime(day.year, day.month, day.day, 6, 30, tzinfo=UTC).isoformat(),
        "yesno": bool(number % 2),
    }[kind]


def linked(one: Field, number: int) -> int | None:
    """The id of a record to link to: one that is there; where there is none and one is needed, a new one."""
    target = one.target
    if target is MortiseUser:
        return db.session.execute(select(MortiseUser.__table__.c.id).limit(1), execution_options={"mortise_rules": False}).scalar()
    ids = db.session.execute(select(target.id).order_by(target.id).limit(5), execution_options={"mortise_rules": False}).scalars().all()
    if ids:
        return ids[number % len(ids)]
    return make(target, number).id if one.required else None


def values(model: Any, number: int, *, only_needed: bool = False) -> dict[str, Any]:
    """{field: JSON value} for a record of ``model``, as a program may send it."""
    found = {}
    for name, one in fields_of(model).items():
        left_out = one.system or one.readonly or one.hidden or one.number_rule or one.kind.name in NOT_FILLED
        if left_out or (only_needed and not one.required):
            continue
        given = value(one, number)
        if given not in (None, []):
            found[name] = given
    return found


def make(model: Any, number: int = 1, *, only_needed: bool = False) -> Any:
    """A stored record; its links lead to records that were there, or to new ones where they are needed."""
    with system("records for a test"):
        made = records(model).create(values(model, number, only_needed=only_needed))
        made_id = made.id
    return db.session.get(model, made_id)


def fill(addon: str, count: int = 3) -> dict[str, list[int]]:
    """``count`` records of every model of ``addon``, committed; {table: ids}."""
    with system("records for a test"):
        # Targets first, so that links that may be empty are filled too.
        for model in models().values():
            if model.addon == addon:
                for one in model.__fields__.values():
                    if one.target_table and one.target.addon not in ("core", addon) and linked(one, 1) is None:
                        make(one.target)
        found = {
            model.__tablename__: [make(model, number + 1).id for number in range(count)]
            for model in models().values()
            if model.addon == addon
        }
        for model in models().values():
            extra = [one for one in model.__fields__.values() if one.addon == addon and model.addon != addon]
            for record in db.session.execute(select(model).limit(2), execution_options={"mortise_rules": False}).scalars() if extra else ():
                for one in extra:
                    if (given := one.clean(value(one, 2))) not in (None, []) and one.kind.name != "links":
                        one.set(record, given)
        db.session.commit()
    return found


def rows(addon: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything an addon keeps: the rows of its tables, and its columns on tables of others."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with system("looking at a test's rows"):
        for table in FabModel.metadata.tables.values():
            owner = table.info.get("addon", "core")
            columns = [one for one in table.columns if one.primary_key or one.info.get("addon", owner) == addon]
            if owner == addon:
                columns = list(table.columns)
            if len(columns) > len(table.primary_key.columns) or owner == addon:
                query = select(*columns).order_by(*table.primary_key.columns)
                found[table.name] = [tuple(row) for row in db.session.execute(query, execution_options={"mortise_rules": False})]
    db.session.rollback()
    return found
