"""The past over REST: lists of a past day, states of a record, and the way back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from flask import request

from core.asof_list import read_day
from core.errors import Broken, Conflict, Refused
from core.fields import Field
from core.guard import refusal
from core.i18n import gettext as _
from core.past import Moment, Past, Values, is_gone, moments, pasts
from core.past_back import changed_meanwhile, restore
from core.records import records
from core.rules import may, rights, visible_ids
from core.web.api import body_of_request, chosen_columns, list_question, only_known, readable
from core.web.cells import link_ids
from core.web.history import seen_parts, stored_ids


def list_then(model: Any) -> dict[str, Any]:
    """A page of the records as they were at the end of the day ``as_of``."""
    day = read_day(request.args["as_of"])
    names, question = [name for name in chosen_columns(model) if name != "version"], list_question("as_of")
    page = records(model).find(day, columns=names, **question)
    fields = [readable(model)[name] for name in names]
    ids = [row.id for row in page.rows]
    linked = {
        one.name: link_ids(model, one, ids) | page.links.get(one.name, {}) for one in fields if one.kind.name == "links" and not one.custom
    }
    rows = [
        {one.name: sorted(linked[one.name].get(row.id, [])) if one.name in linked else one.json(one.get(row)) for one in fields}
        for row in page.rows
    ]
    body = {"result": rows, "next": page.next, "previous": page.previous, "as_of": day.isoformat(), "gone": sorted(page.gone)}
    if question["count"]:
        body |= {"count": page.count, "count_capped": page.capped}
    return {**body, "unknown": page.unknown}


def past_answer(model: Any, record_id: int) -> dict[str, Any]:
    """The moments of a record; with ``row`` or ``at`` what it was then, with ``with`` also how that differs from another moment."""
    only_known(("row", "at", "with"))
    record = records(model).get(record_id)
    parts = seen_parts(model)
    known = moments(model, record.id, parts)
    if not (request.args.get("row") or request.args.get("at")):
        if request.args.get("with"):
            raise Broken(_("“with” needs “row” or “at” as well."))
        return {"id": record.id, "result": [_moment(one) for one in known]}
    first = _chosen(known)
    number = request.args.get("with")
    second = _until(known, _whole("with", number)) if number else None
    rows = [one.row if one is not None else 0 for one in ([first] if number is None else [first, second])]
    states = pasts(model, record.id, rows, parts)
    then = states[0]
    body: dict[str, Any] = {"id": record.id, "moment": _moment(first) if first else None, "there": then.values is not None}
    body["values"] = _seen(model, then.values or {})
    body["lines"] = {
        other.__tablename__: [{"id": one, "values": _seen(other, values)} for one, values in sorted(lines.items())]  # type: ignore[attr-defined]
        for other, _link in parts
        if (lines := _open_lines(other, then.parts.get(other, {})))
    }
    if number is not None:
        body["with"] = _moment(second) if second else None
        body["changes"] = _changes(model, then.values or {}, states[1].values or {})
        body["changed_lines"] = _changed_lines(parts, then, states[1])
    return body


def back_answer(model: Any, record_id: int) -> dict[str, Any]:
    """Make a record what it was after ``row``: all of it, or the ``fields`` and ``lines`` that the body names."""
    body, version = body_of_request()
    gate = records(model)
    record = gate.get(record_id, lock=True)
    if not (verdict := may("edit", record)):
        raise Refused(refusal("edit", model), verdict)
    if version is not None and version != record.version:
        raise Conflict(changed_meanwhile(), version=record.version)
    if unknown := set(body) - {"row", "fields", "lines", "all"}:
        raise Broken(_("There is no field “%(name)s”.", name=sorted(unknown)[0][:60]))
    row, fields, lines = body.get("row"), body.get("fields", []), body.get("lines", [])
    if type(row) is not int or not 0 < row < 2**53:
        raise Broken(_("“%(name)s” takes a number.", name="row"))
    good = isinstance(fields, list) and all(isinstance(one, str) for one in fields) and isinstance(lines, list)
    if not good or not all(_is_line(one) for one in lines) or body.get("all", True) is not True:
        raise Broken(_('Send {"row": 7, "all": true}, or the names in “fields” and the lines as {"model": …, "id": …} in “lines”.'))
    if bool(body.get("all")) == bool(fields or lines):
        raise Broken(_("Say either “all” or which fields and lines are to be as they were."))
    pairs = [(one["model"], one["id"]) for one in lines]
    count = restore(record, row) if body.get("all") else restore(record, row, fields, pairs)
    return {"id": record_id, "changed": count, "version": gate.get(record_id).version}


def _is_line(one: Any) -> bool:
    return isinstance(one, dict) and set(one) == {"model", "id"} and isinstance(one["model"], str) and type(one["id"]) is int


def _moment(one: Moment) -> dict[str, Any]:
    return {"row": one.row, "at": one.at.isoformat() + "Z", "user": one.user_id, "batch": one.batch_id, "erased": one.erased}


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Broken(_("“%(name)s” takes a number.", name=name))
    return int(text)


def _until(known: list[Moment], row: int) -> Moment | None:
    """The newest moment that is not after a row of the journal."""
    return next((one for one in reversed(known) if one.row <= row), None)


def _chosen(known: list[Moment]) -> Moment | None:
    if request.args.get("row"):
        if request.args.get("at"):
            raise Broken(_("Give “row” or “at”, not both."))
        return _until(known, _whole("row", request.args["row"]))
    text = request.args["at"].replace(" ", "+")
    try:
        at = datetime.fromisoformat(re.sub("Z$", "+00:00", text))
        at = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    except (ValueError, OverflowError):
        raise Broken(_("“at” takes a moment like 2026-05-31T14:00:00Z.")) from None
    return next((one for one in reversed(known) if one.at <= at), None)


def _seen(model: Any, values: Values) -> Values:
    """Values of the fields that the person may read; administrators also see those of fields that are gone."""
    return {name: value for name, value in values.items() if _open(model, name)}


def _open(model: Any, name: str) -> bool:
    if name in readable(model):
        return True
    return is_gone(model, name) and rights().level in ("administrator", "system_administrator")


def _open_lines(other: Any, lines: dict[int, Values]) -> dict[int, Values]:
    """Lines that are out of the person's reach now are left out."""
    hidden = stored_ids(other, list(lines))
    hidden -= visible_ids(other, hidden)
    return {one: values for one, values in lines.items() if one not in hidden}


def _changes(model: Any, then: Values, here: Values) -> dict[str, list[Any]]:
    names = [name for name in dict.fromkeys((*then, *here)) if then.get(name) != here.get(name) and _open(model, name)]
    return {name: [then.get(name), here.get(name)] for name in names}


def _changed_lines(parts: list[tuple[type, Field]], then: Past, here: Past) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for other, _link in parts:
        before, after = (_open_lines(other, one.parts.get(other, {})) for one in (then, here))
        for one in sorted({*before, *after}):
            if before.get(one) != after.get(one):
                kind = "gone" if one not in after else "new" if one not in before else "edited"
                told = {"id": one, "kind": kind, "changes": _changes(other, before.get(one, {}), after.get(one, {}))}
                found.setdefault(other.__tablename__, []).append(told)  # type: ignore[attr-defined]
    return found
