"""The two listeners that make rights hold for any code: reads are filtered, writes are checked, bulk statements refused."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Table, case, event, false, func, true
from sqlalchemy.orm import Mapper, ORMExecuteState
from sqlalchemy.orm.util import LoaderCriteriaOption
from sqlalchemy.sql import visitors

from core.context import actor
from core.db import MortiseSession, db
from core.errors import Invalid, Refused
from core.i18n import gettext as _
from core.model import Recorded, fields_of, is_half, is_owned, model_label, models
from core.people import Department, MortiseUser
from core.rules import rights, visible_ids
from core.sketch import model_behind


@event.listens_for(MortiseSession, "do_orm_execute")
def _filter_reads(state: ORMExecuteState) -> None:
    options = state.execution_options
    if state.is_insert or state.is_update or state.is_delete:
        table = getattr(state.statement, "table", None)
        if table is not None and not options.get("mortise_core") and (table.name in models() or table.name in _link_tables(len(models()))):
            raise RuntimeError(f"{table.name} is written through records(…) or the session, never by a bulk statement.")
        return
    if not state.is_select or state.is_column_load or options.get("mortise_rules") is False or actor().system:
        return
    classes = options.get("mortise_models") or _classes_in(state.statement)
    if not classes:
        return
    mine = rights()
    criteria = []
    # A list whose own conditions lead to its rows: the rule is asked of each row, but leads to no other index. For PostgreSQL it
    # would also make the rows seem fewer than they are, since it says once more what the conditions say.
    led = options.get("mortise_led")
    for model in classes:
        reach = mine.row_filter(model, "read", each=led is model)
        if reach is not None:
            if led is model:
                reach = func.coalesce(reach, false()) if db.is_sqlite else case((reach, true()), else_=false())
            criteria.append(RowRule(model, reach, include_aliases=True, propagate_to_loaders=False))
    if criteria:
        state.statement = state.statement.options(*criteria)


@lru_cache(maxsize=4)
def _link_tables(_models: int) -> frozenset[str]:
    """Names of the tables behind `links()`: changes of their owners, which the journal has to see."""
    links = [(model, one.name) for model in models().values() for one in model.__fields__.values() if one.kind.name == "links"]
    return frozenset(getattr(model, name).property.secondary.name for model, name in links)


class RowRule(LoaderCriteriaOption):
    """`with_loader_criteria`, and also where it has gaps: aliases joined by an ON of one's own, and joined loading.

    SQLAlchemy leaves the criteria of such an alias on the class's own table, which compares the wrong rows, and applies
    criteria to joined loading only when they go along to later loads as well, where the acting person may be another.
    """

    inherit_cache = True
    _cache_key_traversal = LoaderCriteriaOption._traverse_internals

    def _resolve_where_criteria(self, ext_info: Any) -> Any:
        rule = super()._resolve_where_criteria(ext_info)
        return ext_info._adapter.traverse(rule) if ext_info.is_aliased_class else rule

    def get_global_criteria(self, attributes: dict[Any, Any]) -> None:
        """Take part in compiling the statement, joined loading included."""
        twin = RowRule(self.entity, self.where_criteria, include_aliases=True, propagate_to_loaders=True)
        for mapper in self._all_mappers():
            attributes.setdefault(("additional_entity_criteria", mapper), []).append(twin)


def _classes_in(statement: Any) -> set[type]:
    """The models that a statement touches: named, in sub-queries, behind a join or an EXISTS, or by a loader option."""
    found: set[type] = set()
    for element in visitors.iterate(statement):
        entity = element._annotations.get("parententity") if hasattr(element, "_annotations") else None
        mapper: Mapper[Any] | None = getattr(entity, "mapper", None)
        if mapper is not None and (issubclass(mapper.class_, Recorded) or is_half(mapper.class_)):
            found.add(mapper.class_)
        # The far side of `join(Case.client)` and `Case.client.has()` is there as a table only.
        table = element if isinstance(element, Table) else getattr(element, "table", None)
        if isinstance(table, Table) and table.name in models():
            found.add(models()[table.name])
    for option in getattr(statement, "_with_options", ()):
        parts = getattr(option, "context", None)
        if parts is None and not isinstance(option, LoaderCriteriaOption):
            # joinedload("*") names nobody and joins whatever there is.
            return {*found, *models().values()}
        for part in parts or ():
            for step in part.path.path:
                target = getattr(step, "mapper", None)
                if target is None:
                    return {*found, *models().values()}
                if issubclass(target.class_, Recorded):
                    found.add(target.class_)
    return found


def check_writes(session: Any, pending: dict[Any, tuple[str, dict[str, tuple[Any, Any]]]]) -> None:
    """Refuse a flush that writes what the acting person may not write (called by the journal, before anything is written).

    Raises `Refused` for a record out of reach and `Invalid` for a link to a record the person may not read.
    """
    for record in (*session.new, *session.dirty, *session.deleted):
        if is_half(type(record)):
            raise Refused(_("These records can only be read here."))
    who = actor()
    if who.system:
        return
    mine = rights()
    linked: dict[type, dict[int, tuple[Any, str]]] = {}
    for record, (verb, changes) in pending.items():
        model = model_behind(record)
        verdict = mine.covers(record, verb, old=verb != "create")
        if not verdict:
            raise Refused(refusal(verb, model), verdict)
        if verb == "edit" and is_owned(model) and ({"owner", "department"} & set(changes)):
            if not mine.covers(record, "edit") and not mine.covers(record, "transfer", old=True):
                raise Refused(
                    _("You may not hand this record to somebody outside of what you may edit."), mine.covers(record, "transfer", old=True)
                )
        for name, (_old, new) in changes.items():
            one = model.__fields__.get(name) or fields_of(model).get(name)
            if one is not None and one.kind.name in ("link", "links") and new:
                for target_id in new if isinstance(new, list) else [new]:
                    linked.setdefault(one.target, {})[target_id] = (record, name)
    for target, wanted in linked.items():
        # Whoever it is may name himself and the departments of his posts.
        own = {mine.user_id} if target is MortiseUser else mine.departments if target is Department else set()
        seen = own | visible_ids(target, wanted.keys() - own)
        for target_id, (_record, name) in wanted.items():
            # A record made in this very flush is the person's own doing and has been checked above.
            if target_id not in seen and not any(type(one) is target and one.id == target_id for one in pending):
                raise Invalid({name: _("There is no such record, or it is not visible to you.")})


def refusal(verb: str, model: type) -> str:
    """The sentence that says which right is missing."""
    sentences = {
        "create": _("You may not create %(label)s.", label=model_label(model, many=True)),
        "edit": _("You may not change this record of %(label)s.", label=model_label(model, many=True)),
        "delete": _("You may not delete this record of %(label)s.", label=model_label(model, many=True)),
        "read": _("You may not read %(label)s.", label=model_label(model, many=True)),
    }
    return sentences.get(verb) or _("You may not do this with %(label)s.", label=model_label(model, many=True))
