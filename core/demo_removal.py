"""Taking the demo firm away again: exactly what `run.py demo` has made, and nothing that people have made since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from sqlalchemy import delete, func, select, update

from core import journal
from core.accounts import end_sessions
from core.db import db
from core.demo import TITLE, models_there
from core.demo_bulk import poured
from core.errors import Problem
from core.model import FabModel, model_label, models
from core.notifications import table as notifications
from core.people import MortiseUser
from core.search import index_records

CHUNK = 500
UNSEEN = {"mortise_rules": False}
Made = dict[str, set[int] | range]


def remove_firm(force: bool, tell: Callable[[str], None]) -> list[str]:
    """Remove the demo firm, and with ``force`` what people have built upon it; returns a sentence for each thing that stays.

    Nothing is removed while a record of somebody else needs one of the demo firm's. A demo person who has written
    something that stays keeps a closed account, since the house must not forget who wrote it.
    """
    batches = list(db.session.scalars(select(journal.batches.c.id).where(journal.batches.c.title == TITLE)))
    made = _made(batches)
    if not made:
        raise Problem("There is no demo firm in this house; run.py demo makes one.")
    foreign = _foreign(made)
    if foreign and not force:
        counts = Counter(model_label(models()[table], many=True) for table, _id in foreign)
        named = ", ".join(f"{count:,} {label}" for label, count in counts.items())
        raise Problem(
            f"People have made records that build upon the demo firm: {named}. Nothing was removed. Move or delete those first,"
            " or type: run.py demo --remove --force, which deletes them too."
        )
    for table, record_id in foreign:
        made[table] = {*made.get(table, ()), record_id}
    with journal.batch("Demo firm removed"):
        stays = _remove(made, tell)
        # What is gone is not looked for again, by this command or by an undo.
        db.session.execute(update(journal.batches).where(journal.batches.c.id.in_(batches)).values(title=f"{TITLE}, removed"))
        db.session.commit()
    return stays


def _made(batches: Iterable[int]) -> Made:
    """What was made in these batches and is still there: {table: ids}."""
    rows, found = journal.journal.c, {}
    for number in batches:
        query = select(rows.model, rows.record_id).where(rows.batch_id == number, rows.verb == "create")
        for table, record_id in db.session.execute(query):
            if table in models():
                found.setdefault(table, set()).add(record_id)
        for table, first, last in poured(number):
            found[table] = range(first, last + 1)
    return found


def _pointing() -> list[tuple[Any, Any, str]]:
    """(table, column, table it points at) of every link in the database, link tables included."""
    return [
        (table, column, key.column.table.name)
        for table in FabModel.metadata.tables.values()
        for column in table.columns
        for key in column.foreign_keys
    ]


def _foreign(made: Made) -> list[tuple[str, int]]:
    """Records that the demo did not make and that cannot do without one it made: parts of it, and whoever links to it by need.

    People are left out of the question: whoever was written by a demo person, or belongs to one, stays without harm.
    """
    found: dict[tuple[str, int], None] = {}
    queue: Made = {table: ids for table, ids in made.items() if table != MortiseUser.__tablename__}
    while queue:
        table, ids = queue.popitem()
        for model in models_there().values():
            for link in model.__fields__.values():
                if link.kind.name != "link" or link.target_table != table or not (link.required or link.part_of):
                    continue
                column, own = link.column(model), made.get(model.__tablename__, ())
                near = select(model.__table__.c.id).where(_within(column, ids))
                others = {one for one in db.session.connection().execute(near).scalars() if one not in own}
                others = {one for one in others if (model.__tablename__, one) not in found}
                found |= {(model.__tablename__, one): None for one in others}
                if others:
                    queue[model.__tablename__] = others
    return list(found)


def _within(column: Any, ids: Iterable[int]) -> Any:
    if isinstance(ids, range):
        return column.between(ids[0], ids[-1])
    return column.in_(sorted(ids))


def _remove(made: Made, tell: Callable[[str], None]) -> list[str]:
    order = [table for table in reversed(_by_need(made)) if table != MortiseUser.__tablename__]
    stays = []
    for table in order:
        model, ids = models()[table], made[table]
        _let_go(table, ids, made)
        count = _wipe(model, ids) if isinstance(ids, range) else _delete(model, sorted(ids))
        tell(f"{model_label(model, many=True)}: {count:,} removed")
    stays += _people(sorted(made.get(MortiseUser.__tablename__, ())))
    return stays


def _by_need(made: Made) -> list[str]:
    """The tables in such an order that each stands after those it links to."""
    order: list[str] = []

    def visit(table: str, path: tuple[str, ...]) -> None:
        if table in order or table in path:
            return
        for link in models()[table].__fields__.values():
            if link.target_table in made:
                visit(link.target_table, (*path, table))
        order.append(table)

    for table in models():
        if table in made:
            visit(table, ())
    return order


def _let_go(table: str, ids: Any, made: Made) -> None:
    """Clear the links by which what stays, and people who go later, point at what goes now."""
    for model in models_there().values():
        for link in model.__fields__.values():
            if link.kind.name == "link" and link.target_table == table and not link.required:
                found = select(model).where(_within(link.column(model), ids))
                if isinstance(made.get(model.__tablename__), range):
                    continue
                for record in db.session.execute(found, execution_options=UNSEEN).scalars():
                    setattr(record, link.key, None)
    db.session.flush()


def _delete(model: Any, ids: list[int]) -> int:
    """Through the session, so that the journal keeps what the records were."""
    from core.records import records

    count = 0
    for start in range(0, len(ids), CHUNK):
        lot = ids[start : start + CHUNK]
        there = list(db.session.execute(select(model.id).where(model.id.in_(lot)), execution_options=UNSEEN).scalars())
        count += records(model).delete_many(there)
        db.session.commit()
        db.session.expunge_all()
    return count


def _wipe(model: Any, ids: range) -> int:
    """By the table, as they came: there is no journal row a record that an undo could bring back."""
    table, count = model.__table__, 0
    for start in range(ids[0], ids[-1] + 1, CHUNK * 5):
        lot = range(start, min(start + CHUNK * 5, ids[-1] + 1))
        index_records(db.session(), model, [SimpleNamespace(id=one) for one in lot], deleted=True)
        count += db.session.connection().execute(delete(table).where(table.c.id.between(lot[0], lot[-1]))).rowcount
        db.session.commit()
    journal.write(table.name, ids[0], "demo removed", {"records": [{"first": ids[0], "last": ids[-1]}, None]})
    db.session.commit()
    return count


def _people(ids: list[int]) -> list[str]:
    """Delete the demo's people; those who have written something that stays are closed instead, and named."""
    stays = []
    for number in ids:
        found = select(MortiseUser).where(MortiseUser.superior_id == number)
        for one in db.session.execute(found, execution_options=UNSEEN).scalars():
            one.superior_id = None
        end_sessions(number)
    db.session.flush()
    busy = {number: where for number in ids if (where := _written_by(number))}
    free = [number for number in ids if number not in busy]
    _forget(free)
    for number, where in busy.items():
        user = db.session.get(MortiseUser, number)
        if user is not None:
            user.active = False
            stays.append(f"{user.name} ({user.username}) stays with a closed account: {where} were written by this person.")
    db.session.commit()
    return stays


def _forget(ids: list[int]) -> None:
    """Delete accounts. The house keeps those of its people, since records name them; nothing that is left names these."""
    run, user = db.session.connection().execute, MortiseUser.__table__
    for table, column, target in _pointing():
        if target == user.name and table.name not in models():
            run(delete(table).where(column.in_(ids)))
    run(delete(notifications).where(notifications.c.user_id.in_(ids)))
    for number, name in run(select(user.c.id, user.c.username).where(user.c.id.in_(ids))).all():
        journal.write(user.name, number, "delete", {"username": [name, None]})
    index_records(db.session(), MortiseUser, [SimpleNamespace(id=one) for one in ids], deleted=True)
    run(delete(user).where(user.c.id.in_(ids)))
    db.session.commit()


def _written_by(number: int) -> str:
    """What that stays points at this person, in words."""
    found = []
    for table, column, target in _pointing():
        if target != MortiseUser.__tablename__ or table.name not in models() or table.name == target:
            continue
        count = db.session.connection().execute(select(func.count()).select_from(table).where(column == number)).scalar()
        if count:
            found.append(f"{count:,} {model_label(models()[table.name], many=True)}")
    return ", ".join(dict.fromkeys(found))

