"""REST for every model at `/api/v1/<table>/`: Flask-AppBuilder's resource class with our gate, fields and errors behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from flask_appbuilder.api import ModelRestApi, expose
from flask_appbuilder.security.decorators import permission_name, protect
from sqlalchemy import select

from core.addons import enabled
from core.context import actor
from core.db import db
from core.errors import Broken, Conflict, Invalid, Missing, Problem, Refused
from core.fields import Field
from core.filters import filter_fields
from core.guard import refusal
from core.i18n import gettext as _
from core.model import fields_of, model_label, models
from core.options import options
from core.prepare import alone
from core.records import Records, records
from core.rules import may, verbs_of
from core.web.security import House

MOST = 500
"""Largest page of a list."""
VERB_OF_METHOD = {"GET": "read", "HEAD": "read", "POST": "create", "PUT": "edit", "DELETE": "delete"}


class Unreadable(Problem):
    """A body that is not JSON."""

    status, code = 415, "unreadable"


class Resource(ModelRestApi):
    """One model over REST. Subclasses differ by ``model`` only; what it has is asked of the model when a request comes."""

    model: type
    allow_browser_login = True
    csrf_exempt = False
    base_permissions = ["can_get", "can_get_list", "can_info", "can_export", "can_post", "can_put", "can_delete"]
    method_permission_name: dict[str, str] = {}

    def __init__(self) -> None:
        # FAB would look through every attribute, column and relation here, and build four marshmallow classes a model.
        self.appbuilder = self.blueprint = None
        self.class_permission_name = self.resource_name = self.model.__tablename__
        self.limits: list[Any] = []

    def create_blueprint(self, appbuilder: Any, *args: Any, **kwargs: Any) -> Blueprint:
        """The addresses of this model."""
        table = self.model.__tablename__
        self.appbuilder, self.endpoint, self.route_base = appbuilder, f"api_{table}", f"/api/v1/{table}"
        self.blueprint = Blueprint(self.endpoint, __name__, url_prefix=self.route_base)
        of_all = ("get_list", "post", "info", "groups", "export", "why", "share")
        for name in (*of_all, "shares", "unshare", "past", "back", "get", "put", "delete"):
            for url, methods in getattr(type(self), name)._urls:
                self.blueprint.add_url_rule(url, name, partial(getattr(type(self), name), self), methods=methods)
        return self.blueprint

    def add_api_spec(self, api_spec: Any) -> None:
        """Describe this model, if its addon is on and the person may read it."""
        from core.web.openapi import describe

        if enabled(self.model.addon) and may("read", self.model):
            describe(api_spec, self.model)

    def response_403(self) -> Response:
        """Refuse, with the reasons of the rule engine."""
        verb = VERB_OF_METHOD.get(request.method, "read")
        raise Refused(refusal(verb, self.model), may(verb, self.model))

    # -- the addresses --------------------------------------------------------------------------------------------

    @expose("/", methods=["GET"])
    @protect()
    @permission_name("get_list")
    def get_list(self, **_kwargs: Any) -> Response:
        """A page of records."""
        if request.args.get("as_of"):
            from core.web.past_api import list_then

            return jsonify(list_then(self.model))
        names = chosen_columns(self.model)
        question = list_question()
        page = records(self.model).find(**question)
        rows = as_json(self.model, page.rows, names)
        body = {"result": rows, "next": page.next, "previous": page.previous}
        if question["count"]:
            body |= {"count": page.count, "count_capped": bool(page.count_capped)}
        return jsonify(body)

    @expose("/", methods=["POST"])
    @protect()
    @permission_name("post")
    def post(self) -> Response:
        """A new record."""
        values, version = body_of_request()
        if version is not None:
            raise Invalid({"version": _("A new record has no version yet.")})
        with alone():
            record = records(self.model).create(values)
        response = self._one(record)
        response.status_code = 201
        response.headers["Location"] = f"{self.route_base}/{record.id}"
        return response

    @expose("/_info", methods=["GET"])
    @protect()
    @permission_name("info")
    def info(self, **_kwargs: Any) -> Response:
        """What this model has, and what the person may do with it."""
        return jsonify(about(self.model))

    @expose("/_groups", methods=["GET"])
    @protect()
    @permission_name("get_list")
    def groups(self, **_kwargs: Any) -> Response:
        """How many records there are of each kind, and what their numbers add up to."""
        from core.web.group_api import group_answer

        return jsonify(group_answer(self.model))

    @expose("/_export", methods=["GET"])
    @protect()
    @permission_name("export")
    def export(self, **_kwargs: Any) -> Response:
        """All records that meet the filter, as a streamed CSV file."""
        from core.asof_list import read_day
        from core.web.export_pages import csv_answer

        question, names = list_question("as_of"), request.args.get("columns", "")
        fields = [one.strip() for one in names.split(",") if one.strip()]
        day = read_day(request.args["as_of"]) if request.args.get("as_of") else None
        return csv_answer(self.model, question["filter"], question["search"], question["order"], fields, day=day)

    @expose("/_why", methods=["GET"])
    @protect()
    @permission_name("get_list")
    def why(self, **_kwargs: Any) -> Response:
        """By which facts a person may or may not do something, and what would change it."""
        from core.web.why import answer, question

        only_known(("record", "verb", "field", "action", "person"))
        words = request.args.to_dict()
        return jsonify(answer(question(self.model.__tablename__, id_of(words["record"]) if words.get("record") else None, words)))

    @expose("/_share", methods=["POST"])
    @protect()
    @permission_name("get_list")
    def share(self) -> Response:
        """Open records to people, departments and teams, all or none."""
        from core.web.share_api import share_answer

        return jsonify(share_answer(self.model))

    @expose("/<pk>/shares", methods=["GET"])
    @protect()
    @permission_name("get")
    def shares(self, pk: str, **_kwargs: Any) -> Response:
        """Who has a share of a record, for those who may share it."""
        from core.web.share_api import shares_answer

        return jsonify(shares_answer(self.model, id_of(pk)))

    @expose("/<pk>/shares/<share_id>", methods=["DELETE"])
    @protect()
    @permission_name("get")
    def unshare(self, pk: str, share_id: str) -> Response:
        """Close what a share has opened."""
        from core.sharing import end_share

        end_share(records(self.model).get(id_of(pk), lock=True), id_of(share_id))
        return jsonify(id=id_of(share_id))

    @expose("/<pk>/past", methods=["GET"])
    @protect()
    @permission_name("get")
    def past(self, pk: str, **_kwargs: Any) -> Response:
        """The moments of a record, what it was at one of them, and how two differ."""
        from core.web.past_api import past_answer

        return jsonify(past_answer(self.model, id_of(pk)))

    @expose("/<pk>/past", methods=["POST"])
    @protect()
    @permission_name("get")
    def back(self, pk: str) -> Response:
        """Make a record what it was: all of it, or some fields and lines."""
        from core.web.past_api import back_answer

        return jsonify(back_answer(self.model, id_of(pk)))

    @expose("/<pk>", methods=["GET"])
    @protect()
    @permission_name("get")
    def get(self, pk: str, **_kwargs: Any) -> Response:
        """One record."""
        return self._one(records(self.model).get(id_of(pk)), chosen_columns(self.model))

    @expose("/<pk>", methods=["PUT"])
    @protect()
    @permission_name("put")
    def put(self, pk: str) -> Response:
        """Change the fields that are sent; the others stay."""
        values, version = body_of_request()
        gate = records(self.model)
        record = gate.get(id_of(pk), lock=True)
        with alone():
            return self._one(gate.edit(record, values, version=version))

    @expose("/<pk>", methods=["DELETE"])
    @protect()
    @permission_name("delete")
    def delete(self, pk: str) -> Response:
        """Delete a record with what is part of it."""
        gate: Records = records(self.model)
        record = gate.get(id_of(pk), lock=True)
        version = version_of_header()
        if version is not None and version != record.version:
            raise Conflict(_("Somebody else changed this record meanwhile. Look at it again before you delete it."), version=record.version)
        record_id = record.id
        gate.delete(record)
        return jsonify(id=record_id)

    def _one(self, record: Any, names: list[str] | None = None) -> Response:
        response = jsonify(id=record.id, result=as_json(self.model, [record], names or list(readable(self.model)))[0])
        response.headers["ETag"] = f'"{record.version}"'
        return response


# -- what comes in ----------------------------------------------------------------------------------------------------


def id_of(text: str) -> int:
    """The id in an address; what cannot be one is no record."""
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise Missing(_("There is no such record, or it is not visible to you."))
    return int(text)


def read_json(text: str | bytes, what: str) -> Any:
    """JSON without the traps: no NaN, no name twice in one object, no endless nesting, no half characters."""

    def refuse(_word: str) -> Any:
        raise ValueError

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Which of two values was meant nobody knows; json would take the last one.
        if len(made := dict(pairs)) < len(pairs):
            raise ValueError
        return made

    try:
        found = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Broken(_("%(what)s is not valid JSON.", what=what)) from None
    return found


def body_of_request() -> tuple[dict[str, Any], int | None]:
    """(values, version) of a request that writes; the version comes in the body or as If-Match."""
    if request.mimetype != "application/json":
        raise Unreadable(_("Please send JSON with the header Content-Type: application/json."))
    body = read_json(request.get_data(), _("The body of the request"))
    if not isinstance(body, dict):
        raise Broken(_('The body has to be a JSON object, like {"name": "…"}.'))
    version = body.pop("version", None)
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise Invalid({"version": _("The version has to be the whole number that was read with the record.")})
    header = version_of_header()
    if version is not None and header is not None and header != version:
        raise Broken(_("The header If-Match and the version in the body differ."))
    return body, header if version is None else version


def version_of_header() -> int | None:
    """The version in If-Match; None without the header or with ``*``."""
    given = request.headers.get("If-Match", "").strip()
    if not given or given == "*":
        return None
    text = given.removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise Broken(_("The header If-Match has to hold the ETag that came with the record."))
    return int(text)


def only_known(names: Iterable[str]) -> None:
    """Refuse words in the address that it does not know, and those that stand in it twice."""
    known = sorted(names)
    if unknown := sorted(set(request.args) - set(known)):
        raise Broken(_("This address knows no “%(name)s”; it knows %(known)s.", name=unknown[0][:40], known=", ".join(known)))
    if twice := [name for name, values in request.args.lists() if len(values) > 1]:
        raise Broken(_("“%(name)s” stands in the address twice; please give it once.", name=twice[0]))


def number_of(name: str, default: int, most: int) -> int:
    """A whole number of the address from 1 to ``most``."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
        raise Broken(_("“%(name)s” has to be a whole number from 1 to %(most)s.", name=name, most=most))
    return int(text)


def list_question(*more: str) -> dict[str, Any]:
    """The question of a list's address: filter, q, order, limit, after or before, count; ``more`` are words that it knows as well."""
    only_known(("filter", "q", "order", "limit", "after", "before", "columns", "count", *more))
    limit = number_of("limit", 50, MOST)
    count = request.args.get("count", "yes")
    if count not in ("yes", "no"):
        raise Broken(_("“count” has to be yes or no."))
    tree = request.args.get("filter")
    return {
        "filter": read_json(tree, _("The filter")) if tree else None,
        "search": request.args.get("q") or None,
        "order": [part.strip() for part in request.args.get("order", "").split(",") if part.strip()] or None,
        "limit": limit,
        "after": request.args.get("after") or None,
        "before": request.args.get("before") or None,
        "count": count == "yes",
    }


# -- what goes out ----------------------------------------------------------------------------------------------------


def readable(model: type) -> dict[str, Field]:
    """The fields that the acting person may read over REST, by name."""
    memo = actor().memo.setdefault("readable", {})
    if model not in memo:
        fields = filter_fields(model)
        memo[model] = {name: one for name, one in fields_of(model).items() if name in fields or name == "version"}
    return memo[model]


def writable(model: type, one: Field) -> bool:
    """May the acting person set this field over REST?"""
    return Records(model).writable(one.name, one) is None


def chosen_columns(model: type) -> list[str]:
    """The fields that ``columns=`` asks for, ``id`` always among them; all without it."""
    fields = readable(model)
    wanted = [one for one in request.args.get("columns", "").replace(",", " ").split() if one]
    for name in wanted:
        if name not in fields:
            raise Broken(_("%(model)s has no field “%(field)s”. Please check the name.", model=model_label(model), field=name[:80]))
    return list(dict.fromkeys(["id", *wanted])) if wanted else list(fields)


def as_json(model: type, rows: list[Any], names: list[str]) -> list[dict[str, Any]]:
    """Records as JSON knows them; links by id, one statement for each field of several links."""
    fields = [readable(model)[name] for name in names]
    many = {one.name: _linked(model, one, [row.id for row in rows]) for one in fields if one.kind.name == "links" and not one.custom}
    return [{one.name: many[one.name].get(row.id, []) if one.name in many else one.json(one.get(row)) for one in fields} for row in rows]


def _linked(model: Any, one: Field, ids: list[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    if ids:
        target = one.target
        query = select(model.id, target.id).join(getattr(model, one.name)).where(model.id.in_(ids)).order_by(target.id)
        for left, right in db.session.execute(query):
            found.setdefault(left, []).append(right)
    return found


def about(model: type) -> dict[str, Any]:
    """Fields, choices and verbs of a model, for programs that build their own screens."""
    fields = []
    for one in readable(model).values():
        fact: dict[str, Any] = {
            "name": one.name, "kind": one.kind.name, "label": one.title, "help": one.help, "required": one.required, "unique": one.unique,
            "writable": writable(model, one), "custom": one.custom, "indexed": one.indexed, "operators": list(one.kind.ops),
        }  # fmt: skip
        if one.choices:
            fact["choices"] = [{"key": each.key, "label": each.label, "retired": each.retired} for each in options(one.choices)]
        if one.target_table:
            fact["target"] = one.target_table
        fields.append(fact)
    return {
        "table": model.__tablename__,
        "label": model_label(model),
        "label_many": model_label(model, many=True),
        "description": model.description,
        "title_field": model.title_field,
        "fields": fields,
        "may": [verb for verb in verbs_of(model) if may(verb, model)],
    }


def register(app: Flask, house: House) -> None:
    """Give every model its resource, and the API its sign-in and description."""
    from core.web.gate import belongs_to
    from core.web.openapi import OpenApiDescription
    from core.web.token_api import SignInApi

    for table, model in models().items():
        made = type(f"{model.__name__}Resource", (Resource,), {"model": model, "__doc__": model.description})
        house.add_api(made)
        belongs_to(app, f"api_{table}", model.addon)
    house.add_api(SignInApi)
    house.add_api(OpenApiDescription)
