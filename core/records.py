"""The gate: every door reads and writes records through `records(Model)`, which asks “may you?” and then checks the values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from core import sketches
from core.cleaning import clean_rows
from core.context import actor
from core.db import among, db
from core.deletion import delete_with_parts
from core.errors import Asleep, Conflict, Invalid, Missing, Problem, Refused
from core.fields import LARGEST_ID, Field
from core.guard import refusal
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import fields_of, model_label
from core.numbering import number_records
from core.options import retired_choices
from core.prepare import attempt, by_id, flush, prepare
from core.reading import saw
from core.recognise import LINE, Keys, recognise, remember
from core.rules import may, rights, visible_ids
from core.sketch import Sketch
from core.titles import titles as titles

CHUNK = 500
QUIET = {"mortise_rules": False}


@dataclass(slots=True)
class Done:
    """What became of one row of `create_many`."""

    row: int
    record: Any = None
    action: str = "created"
    """created, changed, same, skipped or refused"""
    errors: dict[str, str] | None = None
    matched: tuple[str, ...] | None = None
    """The key by which the row was recognised: names of fields, none for “all values”, or `LINE`."""


@dataclass(slots=True)
class _Known:
    """How `create_many` recognises rows, and what it does with those that it knows."""

    keys: Keys
    skip: bool
    lines: Mapping[int, int]
    earlier: set[int] | None
    new: Callable[[], Any]
    """Makes what a row's values are put into."""


def records(model: type) -> Records:
    """The gate to ``model`` for the acting person. Raises `Asleep` when its addon is off."""
    return Records(model)


class Records:
    """Reading and writing one model with the rights of the acting person."""

    def __init__(self, model: type) -> None:
        from core.addons import enabled

        self.model = model
        if not actor().system and not enabled(model.addon):
            raise Asleep(_("“%(label)s” belongs to an addon that is switched off.", label=model_label(model, many=True)))

    # -- reading --------------------------------------------------------------------------------------------------

    def _may(self, verb: str) -> None:
        verdict = may(verb, self.model)
        if not verdict:
            raise Refused(refusal(verb, self.model), verdict)

    def select(self) -> Any:
        """A SELECT of the model; the person's row filter is added when it runs."""
        self._may("read")
        return select(self.model)

    def find(self, day: date | None = None, **question: Any) -> Any:
        """One page of records; see `core.listing.page` for ``filter``, ``search``, ``order``, ``limit``, ``after`` and ``count``.

        With ``day`` as they were at its end (`core.asof_list`).
        """
        from core.asof_list import page_then
        from core.listing import page

        self._may("read")
        return page(self.model, **question) if day is None else page_then(self.model, day, **question)

    def groups(self, by: Sequence[str], day: date | None = None, **question: Any) -> Any:
        """How many records there are of each kind, with ``day`` at its end; see `core.grouping.groups` for the question."""
        from core.asof_groups import groups_then
        from core.grouping import groups

        self._may("read")
        return groups(self.model, by, **question) if day is None else groups_then(self.model, day, by, **question)

    def totals(self, sums: Sequence[str], **question: Any) -> tuple[Any, ...]:
        """What number fields add up to; see `core.grouping.totals`."""
        from core.grouping import totals

        self._may("read")
        return totals(self.model, sums, **question)

    def count(self, filter: Any = None, search: str | None = None) -> int:
        """How many records the person may see, exactly."""
        from core.filters import compile_filter
        from core.search import matches

        query = self.select().with_only_columns(func.count(), maintain_column_froms=True)
        if filter:
            query = query.where(compile_filter(filter, self.model))
        if search:
            query = query.where(matches(self.model, search))
        return db.session.execute(query).scalar_one()

    def get(self, record_id: Any, *, lock: bool = False) -> Any:
        """The record with this id. Raises `Missing` when there is none or it is out of the person's reach."""
        self._may("read")
        if isinstance(record_id, str) and record_id.isascii() and record_id.isdigit():
            record_id = int(record_id[:12])
        if isinstance(record_id, int) and not isinstance(record_id, bool) and 0 < record_id <= LARGEST_ID:
            query, options = by_id(self.model, lock and not db.is_sqlite), {"populate_existing": lock, "mortise_models": (self.model,)}
            # populate_existing: a row loaded by other code in this session must not answer for the row filter.
            found = db.session.execute(query, {"wanted": record_id}, execution_options=options).scalars().first()
            if found is not None:
                saw(self.model, () if lock else (found.id,))
                return found
        raise Missing(_("There is no such record, or it is not visible to you."))

    def many(self, ids: Iterable[int], *, lock: bool = False) -> list[Any]:
        """The records with these ids that the person may see, in the order of ``ids``."""
        self._may("read")
        wanted = [one for one in dict.fromkeys(ids) if isinstance(one, int) and 0 < one <= LARGEST_ID]
        found: dict[int, Any] = {}
        for start in range(0, len(wanted), CHUNK):
            query = select(self.model).where(self.model.id.in_(wanted[start : start + CHUNK]))
            if lock and not db.is_sqlite:
                query = query.order_by(self.model.id).with_for_update(of=self.model)
            found |= {one.id: one for one in db.session.execute(query).scalars()}
        saw(self.model, () if lock else found)
        return [found[one] for one in wanted if one in found]

    # -- values ---------------------------------------------------------------------------------------------------

    def writable(self, name: str, one: Field | None) -> str | None:
        """Why this field cannot be written by this person: a sentence, or None when it can."""
        access = "write" if one is None or actor().system else rights().field_access(self.model, one)
        if one is None or access == "hidden":
            return _("There is no field “%(name)s”.", name=name[:60])
        if one.system or one.kind.name == "formula" or (one.readonly and not actor().system):
            return _("“%(label)s” is kept by the system and cannot be set.", label=one.title)
        if access == "read":
            return _("You may not change “%(label)s”.", label=one.title)
        return None

    def clean(self, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """({field: value as stored}, {field: sentence}) of what a person, program or file has sent."""
        return clean_rows(self, [values])[0]

    def _required(self, record: Any, names: Iterable[str] | None = None) -> dict[str, str]:
        fields = fields_of(self.model)
        wanted = fields.values() if names is None else [fields[name] for name in names]
        return {
            one.name: _("“%(label)s” is needed.", label=one.title)
            for one in wanted
            if one.required and not one.system and one.number_rule is None and one.get(record) in (None, "", [])
        }

    def _taken(self, rows: Sequence[tuple[Any, Sequence[str]]]) -> dict[int, dict[str, str]]:
        """{position: {field: sentence}} of values that must be unique and are not; one statement a unique field."""
        found: dict[int, dict[str, str]] = {}
        for one in self.model.__fields__.values():
            if not one.unique:
                continue
            mine = [(place, record.id, one.get(record)) for place, (record, names) in enumerate(rows) if one.name in names]
            mine = [item for item in mine if item[2] is not None]
            if not mine:
                continue
            column = one.column(self.model)
            query = select(column, self.model.id).where(among(column, {value for _place, _id, value in mine}))
            stored: dict[Any, int] = dict(db.session.execute(query, execution_options=QUIET).all())  # type: ignore[arg-type]
            in_this_lot: set[Any] = set()
            for place, record_id, value in mine:
                if stored.get(value, record_id) != record_id or value in in_this_lot:
                    found.setdefault(place, {})[one.name] = _(
                        "“%(value)s” already exists; “%(label)s” must be unique.", value=value, label=one.title
                    )
                in_this_lot.add(value)
        return found

    # -- writing --------------------------------------------------------------------------------------------------

    def create(self, values: dict[str, Any]) -> Any:
        """Make a record. Raises `Refused`, or `Invalid` with a sentence for every field that is wrong."""
        (done,) = self.create_many([values], one=True)
        return done.record

    def create_many(
        self, rows: Sequence[dict[str, Any]], *, keys: Keys = (), one: bool = False, skip: bool = False,
        lines: Mapping[int, int] | None = None, earlier: set[int] | None = None, sketched: bool = False,
    ) -> list[Done]:  # fmt: skip
        """Make many records: rights once, values per row, one flush a chunk of 500; the good ones are made, the others say why not.

        ``keys`` names fields by which a row is recognised: a record with the same values is changed instead of doubled. Several
        keys (a list of lists) are tried in turn, see `core.recognise`. With ``one`` a problem is raised instead of returned.
        ``sketched`` is for whoever wants but the id of what is made: where nothing watches the model, new records are written
        without becoming objects (`core.sketches`), with the same result, and `Done.record` is a `Sketch`. Never commits.
        """
        self._may("create")
        result: list[Done] = []
        how = _Known(keys, skip, lines or {}, earlier, (sketches.sketcher(self.model) if sketched else None) or self.model)
        for start in range(0, len(rows), CHUNK):
            result += self._create_chunk(rows[start : start + CHUNK], start, one, how)
        return result

    def _create_chunk(self, rows: Sequence[dict[str, Any]], start: int, one: bool, how: _Known) -> list[Done]:
        made = [Done(start + place) for place in range(len(rows))]
        cleaned = clean_rows(self, rows)
        self._check_links(cleaned)
        waiting = list(range(len(rows)))
        while waiting:
            # A row that repeats one of this chunk waits until that one is stored, and is recognised then.
            waiting = self._create_round([made[place] for place in waiting], [cleaned[place] for place in waiting], one, start, how)
        return made

    def _create_round(
        self, made: Sequence[Done], cleaned: Sequence[tuple[dict[str, Any], dict[str, str]]], one: bool, start: int, how: _Known
    ) -> list[int]:
        """Store rows; returns the places in the chunk of those that have to wait for another round."""
        fields = fields_of(self.model)
        known: dict[int, Any] = {}
        repeated: dict[int, int] = {}
        if how.keys:
            good_rows = {place: good for place, (good, wrong) in enumerate(cleaned) if not wrong}
            lines = {place: how.lines[made[place].row] for place in good_rows if made[place].row in how.lines}
            known, repeated = recognise(self.model, good_rows, how.keys, lines, how.earlier)
            if not how.skip:
                self._hold([record for record, key in known.values() if record is not None and key != LINE])
        fresh: list[tuple[Done, Any]] = []
        for place, (done, (good, wrong)) in enumerate(zip(made, cleaned, strict=True)):
            if wrong:
                done.errors = wrong
            elif place in known:
                record, done.matched = known[place]
                if how.skip or record is None or done.matched == LINE:
                    # A line that was imported before says nothing new, whatever people have made of the record since.
                    done.record, done.action = record, "skipped" if how.skip else "same"
                else:
                    self._change_known(done, record, good)
            elif place not in repeated:
                record = how.new()
                for name, value in good.items():
                    _put(record, fields[name], value)
                prepare(record, "create")
                done.errors = self._required(record) | retired_choices(fields, good) or None
                if done.errors is None:
                    fresh.append((done, record))
        names = list(self.model.__fields__)
        for place, sentences in self._taken([(record, names) for _done, record in fresh]).items():
            fresh[place][0].errors = sentences
        fresh = [(done, record) for done, record in fresh if done.errors is None]
        number_records(self.model, [record for _done, record in fresh])
        for done in made:
            if done.errors:
                done.action = "refused"
                if one:
                    raise Invalid(done.errors)
        self._flush_fresh(fresh, one)
        if how.earlier is not None:
            stored = (place for place, done in enumerate(made) if done.action != "refused" and place not in repeated)
            remember((cleaned[place][0] for place in stored), how.keys, how.earlier)
        return [made[place].row - start for place in repeated]

    def _hold(self, found: Sequence[Any]) -> None:
        """Lock what is about to be changed, by id whatever order the rows have: so nobody waits for one another in a ring."""
        if found and not db.is_sqlite:
            some = select(self.model).where(among(self.model.id, {record.id for record in found}))
            # Read once more, since somebody may have saved between the look and the lock.
            held = some.order_by(self.model.id).with_for_update(of=self.model)
            db.session.execute(held, execution_options={"populate_existing": True}).scalars().all()

    def _check_links(self, cleaned: Sequence[tuple[dict[str, Any], dict[str, str]]]) -> None:
        fields = fields_of(self.model)
        for name in {name for good, _wrong in cleaned for name in good}:
            field = fields[name]
            if field.kind.name not in ("link", "links"):
                continue
            wanted = {each for good, _wrong in cleaned for each in _ids(good.get(name))}
            seen = visible_ids(field.target, wanted)
            for good, wrong in cleaned:
                if any(each not in seen for each in _ids(good.get(name))):
                    wrong[name] = _("There is no such record, or it is not visible to you.")

    def _change_known(self, done: Done, record: Any, good: dict[str, Any]) -> None:
        fields = fields_of(self.model)
        done.record = record
        different = {name: value for name, value in good.items() if fields[name].get(record) != value}
        if not different:
            done.action = "same"
            return
        try:
            with db.session.begin_nested():
                self._apply(record, different)
                flush()
            done.action = "changed"
        except Problem as problem:
            done.action, done.errors = "refused", getattr(problem, "errors", {"": problem.sentence})
            db.session.expire(record)

    def _flush_fresh(self, fresh: Sequence[tuple[Done, Any]], one: bool) -> None:
        if not fresh:
            return
        session, made = db.session(), [record for _done, record in fresh]
        try:
            with attempt():
                if isinstance(made[0], Sketch):
                    sketches.store(self.model, made)
                else:
                    session.add_all(made)
                    flush()
            for done, record in fresh:
                done.record = record
        except (Problem, IntegrityError):
            if one:
                raise
            # Something in this lot is refused by a hook, a rule or a constraint: find out which, row by row.
            for done, record in fresh:
                if isinstance(record, Sketch):
                    record = sketches.finished(record)
                try:
                    with session.begin_nested():
                        session.add(record)
                        flush()
                    done.record = record
                except Problem as problem:
                    done.action, done.errors = "refused", getattr(problem, "errors", {"": problem.sentence})

    def edit(self, record: Any, values: dict[str, Any], *, version: int | None = None) -> Any:
        """Change a record (or the one with this id). ``version`` is the one the person saw; another one raises `Conflict`."""
        if not hasattr(record, "id"):
            record = self.get(record, lock=True)
        verdict = may("edit", record)
        if not verdict:
            raise Refused(refusal("edit", self.model), verdict)
        if version is not None and version != record.version:
            raise Conflict(
                _("Somebody else changed this record meanwhile. Your entries are still here; compare, then save again."),
                version=record.version,
            )
        cleaned = self.clean(values)
        self._check_links([cleaned])
        good, wrong = cleaned
        if wrong:
            raise Invalid(wrong)
        with attempt():
            self._apply(record, good)
            flush()
        return record

    def _apply(self, record: Any, good: dict[str, Any]) -> None:
        fields = fields_of(self.model)
        if wrong := retired_choices(fields, good, record):
            raise Invalid(wrong)
        for name, value in good.items():
            if fields[name].get(record) == value:
                continue
            _put(record, fields[name], value)
        if wrong := self._required(record, good) or self._taken([(record, list(good))]).get(0, {}):
            db.session.expire(record)
            raise Invalid(wrong)

    def edit_many(self, ids: Iterable[int], values: dict[str, Any]) -> int:
        """Change many records alike, all or none; returns how many. Raises as `edit` does."""
        found = self._reachable(ids, "edit")
        good = self._cleaned(values)
        with db.session.begin_nested():
            for record in found:
                self._apply(record, good)
            flush()
        return len(found)

    def _cleaned(self, values: dict[str, Any]) -> dict[str, Any]:
        cleaned = self.clean(values)
        self._check_links([cleaned])
        if cleaned[1]:
            raise Invalid(cleaned[1])
        return cleaned[0]

    def _reachable(self, ids: Iterable[int], verb: str) -> list[Any]:
        wanted = list(dict.fromkeys(ids))
        found = self.many(wanted, lock=True)
        if len(found) != len(wanted):
            missing = len(wanted) - len(found)
            raise Missing(
                ngettext(
                    "%(count)s record is gone or not visible to you; nothing was changed.",
                    "%(count)s records are gone or not visible to you; nothing was changed.",
                    missing,
                )
            )
        for record in found:
            verdict = may(verb, record)
            if not verdict:
                raise Refused(
                    _("Not all of these records are open to you; nothing was changed. The first is “%(title)s”.", title=str(record)),
                    verdict,
                )
        return found

    def delete(self, record: Any) -> None:
        """Delete a record with all that is part of it. Raises `Invalid` when a required link of another record points at it."""
        if not hasattr(record, "id"):
            record = self.get(record, lock=True)
        verdict = may("delete", record)
        if not verdict:
            raise Refused(refusal("delete", self.model), verdict)
        delete_with_parts([record])

    def delete_many(self, ids: Iterable[int]) -> int:
        """Delete many records, all or none; returns how many."""
        found = self._reachable(ids, "delete")
        for start in range(0, len(found), CHUNK):
            delete_with_parts(found[start : start + CHUNK])
        return len(found)


def _put(record: Any, one: Field, value: Any) -> None:
    if one.kind.name == "links":
        setattr(record, one.name, list(db.session.execute(select(one.target).where(one.target.id.in_(value or [0]))).scalars()))
    else:
        one.set(record, value)


def _ids(value: Any) -> list[int]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
