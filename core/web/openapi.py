"""The description of the API at `/api/v1/_openapi` (OpenAPI 3): what the asking person may reach now, custom fields included."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, jsonify
from flask_appbuilder.api import BaseApi, expose
from flask_appbuilder.api.manager import OpenApi
from flask_appbuilder.security.decorators import protect

from core.bulk import AT_ONCE
from core.config import ROOT
from core.errors import Missing
from core.fields import Field
from core.grouping import GROUPS, MOST_GROUPS
from core.i18n import gettext as _
from core.options import options
from core.rules import may
from core.sharing import shareable
from core.web.api import MOST, readable, writable
from core.web.openapi_past import describe_own, describe_past

ERROR = {
    "type": "object",
    "required": ["error", "message", "request_id"],
    "properties": {
        "error": {"type": "string", "description": "A stable word for programs"},
        "message": {"type": "string", "description": "A full sentence for people"},
        "errors": {"type": "object", "additionalProperties": {"type": "string"}, "description": "A sentence for each wrong field"},
        "reasons": {"type": "array", "items": {"type": "object"}, "description": "Why"},
        "version": {"type": "integer", "description": "The version that is stored now, when somebody else was faster"},
        "request_id": {"type": "string"},
    },
}
RESPONSES = {
    "400": "The request cannot be understood",
    "401": "Nobody is signed in",
    "403": "The person may not do this",
    "404": "No such record, or none that this person may see",
    "409": "Somebody else changed the record meanwhile, or another record stands in the way",
    "415": "The body is not JSON",
    "422": "Values that cannot be stored",
    "429": "Too many failed tries",
    "503": "Busy; try again later",
}
TEXT = {"type": "string"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "filter": {"description": "A filter tree as JSON", "content": {"application/json": {"schema": {"type": "object"}}}},
    "q": {"description": "Words to search for", "schema": TEXT},
    "order": {"description": "Field names separated by commas; “-” before a name for descending", "schema": TEXT},
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 50}},
    "after": {"description": "The mark “next” of another page", "schema": TEXT},
    "before": {"description": "The mark “previous” of another page", "schema": TEXT},
    "columns": {"description": "Field names separated by commas; all without it", "schema": TEXT},
    "count": {"description": "“no” spares the counting", "schema": {"type": "string", "enum": ["yes", "no"], "default": "yes"}},
    "as_of": {
        "description": "A past day: the records as they were at its end in the person’s zone, those deleted since included",
        "schema": {"type": "string", "format": "date"},
    },
    "by": {"required": True, "description": "One to three fields, with commas; a date with its span: due_on:month", "schema": TEXT},
    "sums": {"description": "Number fields to add up, separated by commas", "schema": TEXT},
    "groups": {"schema": {"type": "integer", "minimum": 1, "maximum": MOST_GROUPS, "default": GROUPS}},
    "id": {"in": "path", "required": True, "schema": {"type": "integer"}},
    "record": {"description": "The record in question; without it, records of this kind at all", "schema": {"type": "integer"}},
    "verb": {"description": "read, create, edit, delete, import, export, …", "schema": {"type": "string", "default": "read"}},
    "field": {"description": "One field of it, to read or to edit", "schema": TEXT},
    "action": {"description": "One button of its page, by its name, in place of a verb", "schema": TEXT},
    "person": {"description": "Whose rights; one’s own without it", "schema": {"type": "integer"}},
    "share_id": {"in": "path", "required": True, "schema": {"type": "integer"}},
    "Idempotency-Key": {
        "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        "description": "A word of yours, such as a UUID: the same request sent again within a day has one effect and one answer",
    },
    "If-Match": {"in": "header", "description": "The ETag read with the record; another version is refused", "schema": TEXT},
}

GROUPED = {
    "type": "object",
    "properties": {
        "by": {"type": "array", "items": {"type": "string"}},
        "result": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "values": {"type": "object", "description": "What the records have in common; a span of time by its first day"},
                    "labels": {"type": "object", "description": "The same as a person reads it"},
                    "count": {"type": "integer"},
                    "sums": {"type": "object"},
                },
            },
        },
        "groups": {"type": "integer", "description": "How many groups there are"},
        "capped": {"type": "boolean", "description": "Only the largest groups are given"},
        "count": {"type": "integer", "description": "How many records there are in all groups"},
        "sums": {"type": "object", "description": "The sums over all groups"},
        "as_of": {"type": "string", "format": "date", "description": "The day that was asked for"},
        "unknown": {"type": "integer", "description": "With as_of: records left out, since what they were has been erased"},
    },
}
GONE = {"type": "object", "properties": {"id": {"type": "integer"}}}
IDS = {"type": "array", "items": {"type": "integer"}}
SHARE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ids"],
    "properties": {
        "ids": {**IDS, "minItems": 1, "maxItems": AT_ONCE},
        "users": IDS,
        "departments": IDS,
        "teams": IDS,
        "access": {"type": "string", "enum": ["read", "edit"], "default": "read"},
        "until": {"type": "string", "format": "date", "nullable": True, "description": "The last day, in the person’s zone"},
    },
}
SHARED = {"type": "object", "properties": {"shares": {"type": "integer", "description": "How many were made or changed"}}}
SHARES = {"type": "object", "properties": {"result": {"type": "array", "items": {"type": "object"}}}}
ANSWER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["answer"],
    "properties": {
        "answer": {"type": "string", "enum": ["accept", "link", "password", "decline", "withdraw"]},
        "reason": {"type": "string", "description": "Needed to decline", "maxLength": 1000},
    },
}
NOTIFICATION = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "kind": TEXT,
        "text": {**TEXT, "description": "A sentence in the reader’s language"},
        "title": {**TEXT, "nullable": True, "description": "Of the record it is about"},
        "model": {**TEXT, "nullable": True},
        "record_id": {"type": "integer", "nullable": True},
        "url": {**TEXT, "nullable": True},
        "count": {"type": "integer", "description": "How often it was told since it was read last"},
        "at": {"type": "string", "format": "date-time"},
        "unread": {"type": "boolean"},
    },
}
NOTIFICATION_READ = {
    "type": "object",
    "additionalProperties": False,
    "required": ["unread"],
    "properties": {"unread": {"type": "boolean", "enum": [False]}},
}
FACTS = {
    "type": "array",
    "items": {"type": "object", "properties": {"kind": TEXT, "text": TEXT, "url": TEXT}},
}
EXPLAINED = {
    "type": "object",
    "properties": {
        "allowed": {"type": "boolean"},
        "chains": {"type": "array", "items": FACTS, "description": "Chains of facts, each enough for the answer by itself"},
        "steps": {"type": "array", "items": FACTS, "description": "What would change it: of each step one fact"},
    },
}


class OpenApiDescription(OpenApi):
    """FAB's address of the description, filled from our fields."""

    csrf_exempt = False

    @expose("/<version>/_openapi")
    @protect()
    def get(self, version: str) -> Response:
        """The description of this API.
        ---
        get:
          summary: This description
          parameters:
          - {in: path, name: version, required: true, schema: {type: string}}
          responses:
            200: {description: OpenAPI 3}
            401: {$ref: '#/components/responses/401'}
            404: {$ref: '#/components/responses/404'}
        """
        if version != "v1":
            raise Missing(_("There is only version v1 of this interface."))
        spec = self._create_api_spec(version)
        spec.options["info"] = {"description": "Records of this installation. Links are ids; what the person may not see does not exist."}
        spec.components.schema("Error", ERROR)
        spec.components.schema("Share", SHARE)
        spec.components.schema("Answer", ANSWER)
        for code, text in RESPONSES.items():
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            spec.components.response(code, {"description": text, "content": content})
        for name, facts in PARAMETERS.items():
            spoken = {"groups": "limit"}.get(name, name)
            spec.components.parameter(name, facts.get("in", "query"), {"name": spoken, "in": "query", **facts})
        describe_notifications(spec)
        describe_own(spec)
        for resource in current_app.appbuilder.baseviews:  # type: ignore[attr-defined]
            if isinstance(resource, BaseApi):
                resource.add_api_spec(spec)
        found = spec.to_dict()
        found["info"] |= {"title": "Mortise", "version": (ROOT / "VERSION").read_text().strip()}
        return jsonify(found)


def describe_notifications(spec: Any) -> None:
    """One's own notifications; those of others have no address."""
    id_, one = {"type": "integer"}, {"$ref": "#/components/schemas/Notification"}
    spec.components.schema("Notification", NOTIFICATION)
    spec.components.schema("NotificationRead", NOTIFICATION_READ)
    words = {"tags": ["Notifications"], "security": [{"jwt": []}]}

    def made(summary: str, answer: dict[str, Any], problems: tuple[int, ...], **more: Any) -> dict[str, Any]:
        done = {"200": {"description": "Done", "content": {"application/json": {"schema": {"type": "object", "properties": answer}}}}}
        answers = done | {str(code): {"$ref": f"#/components/responses/{code}"} for code in problems}
        return {**words, "summary": summary, "responses": answers, **more}

    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NotificationRead"}}}}
    page = {"result": {"type": "array", "items": one}, "next": {**TEXT, "nullable": True}, "unread": {**id_, "description": "Stops at 100"}}
    asked = [
        {"name": "unread", "in": "query", "schema": {"type": "integer", "enum": [0, 1], "default": 0}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 30}},
        {"name": "after", "in": "query", "description": "The mark “next” of another page", "schema": TEXT},
    ]
    base = "/api/v1/_notifications"
    spec.path(path=base, operations={"get": made("Own notifications", page, (400, 401, 403), parameters=asked)})
    item = {"id": id_, "result": one}
    get = made("Read one", item, (401, 403, 404), parameters=["id"])
    put = made("Mark as read", item, (400, 401, 403, 404, 415, 422), parameters=["id"], requestBody=body)
    spec.path(path=f"{base}/{{id}}", operations={"get": get, "put": put})
    all_read = made("Mark all as read", {"read": id_}, (400, 401, 403, 415, 422), requestBody=body)
    spec.path(path=f"{base}/_read", operations={"post": all_read})


def describe(spec: Any, model: type) -> None:
    """Schemas and addresses of one model."""
    table = model.__tablename__
    fields = readable(model)
    open_fields = {name: one for name, one in fields.items() if writable(model, one)}
    properties = {name: schema_of(one) for name, one in fields.items()}
    out = {"type": "object", "title": model.label, "description": model.description, "properties": properties}
    needed = [name for name, one in open_fields.items() if one.required and one.default is None and one.number_rule is None]
    ours = {name: properties[name] for name in open_fields}
    into = {"type": "object", "additionalProperties": False, "properties": ours}
    change = {**into, "properties": {**ours, "version": {"type": "integer", "description": "The version that was read"}}}
    spec.components.schema(table, out)
    spec.components.schema(f"{table}.new", {**into, **({"required": needed} if needed else {})})
    spec.components.schema(f"{table}.change", change)
    one = {"type": "object", "properties": {"id": {"type": "integer"}, "result": {"$ref": f"#/components/schemas/{table}"}}}
    many = {
        "type": "object",
        "properties": {
            "result": {"type": "array", "items": {"$ref": f"#/components/schemas/{table}"}},
            "next": {"type": "string", "nullable": True},
            "previous": {"type": "string", "nullable": True},
            "count": {"type": "integer", "nullable": True},
            "count_capped": {"type": "boolean", "description": "There are more than “count”"},
            "as_of": {"type": "string", "format": "date", "description": "The day that was asked for"},
            "gone": {"type": "array", "items": {"type": "integer"}, "description": "With as_of: ids of records deleted since"},
            "unknown": {"type": "integer", "description": "With as_of: records left out, since what they were has been erased"},
        },
    }
    list_words = ("filter", "q", "order", "limit", "after", "before", "columns", "count", "as_of")
    listing = {"get": operation(model, "List", many, (400, 401, 403, 503), parameters=list_words)}
    item = {"get": operation(model, "Read", one, (400, 401, 403, 404), parameters=("id", "columns"))}
    if may("create", model):
        problems = (400, 401, 403, 409, 415, 422)
        listing["post"] = operation(model, "Create", one, problems, body=f"{table}.new", status="201", parameters=KEYED)
    if may("edit", model):
        problems = (400, 401, 403, 404, 409, 415, 422)
        item["put"] = operation(model, "Change", one, problems, body=f"{table}.change", parameters=("id", "If-Match", *KEYED))
    if may("delete", model):
        item["delete"] = operation(model, "Delete", GONE, (400, 401, 403, 404, 409, 422), parameters=("id", "If-Match", *KEYED))
    base = f"/api/v1/{table}"
    spec.path(path=f"{base}/", operations=listing)
    spec.path(path=f"{base}/{{id}}", operations=item)
    describe_past(spec, model)
    grouped = operation(model, "Groups", GROUPED, (400, 401, 403, 503), parameters=("by", "sums", "filter", "q", "groups", "as_of"))
    spec.path(path=f"{base}/_groups", operations={"get": grouped})
    if may("export", model):
        words = ("filter", "q", "order", "columns", "as_of")
        export = operation(model, "Export as CSV", {"type": "string"}, (400, 401, 403, 503), parameters=words, media_type="text/csv")
        spec.path(path=f"{base}/_export", operations={"get": export})
    asked = operation(model, "Why?", EXPLAINED, (400, 401, 403, 404), parameters=("record", "verb", "field", "action", "person"))
    spec.path(path=f"{base}/_why", operations={"get": asked})
    if shareable(model):
        opened = operation(model, "Share", SHARED, (400, 401, 403, 404, 409, 415, 422), body="Share", parameters=KEYED)
        spec.path(path=f"{base}/_share", operations={"post": opened})
        listed = operation(model, "Shares", SHARES, (401, 403, 404), parameters=("id",))
        spec.path(path=f"{base}/{{id}}/shares", operations={"get": listed})
        ended = operation(model, "End a share", GONE, (400, 401, 403, 404, 409, 422), parameters=("id", "share_id", *KEYED))
        spec.path(path=f"{base}/{{id}}/shares/{{share_id}}", operations={"delete": ended})
    if table == "core_account_request":
        answered = {**one, "properties": {**one["properties"], "password": {"type": "string", "description": "A temporary one, told once"}}}
        answering = operation(model, "Answer", answered, (400, 401, 403, 404, 409, 415, 422), body="Answer", parameters=("id", *KEYED))
        spec.path(path=f"{base}/{{id}}/_answer", operations={"post": answering})
    spec.path(path=f"{base}/_info", operations={"get": operation(model, "Fields and rights", {"type": "object"}, (401, 403))})


def schema_of(one: Field) -> dict[str, Any]:
    """A field as JSON Schema."""
    made: dict[str, Any] = {**one.kind.json_type, "title": one.title}
    if one.kind.name in ("decimal", "money", "formula"):
        # As text, since a number of JSON is binary and 0.1 would not come back.
        made |= {"type": "string", "format": "decimal"}
    if one.help:
        made["description"] = one.help
    if one.target_table:
        made["description"] = f"{made.get('description', '')} Ids of {one.target_table}.".strip()
    if not one.required and one.name not in ("id", "version"):
        made["nullable"] = True
    if one.max_length:
        made["maxLength"] = one.max_length
    if one.default is not None:
        made["default"] = one.json(one.default)
    if one.readonly:
        made["readOnly"] = True
    if one.choices and (keys := [each.key for each in options(one.choices)]):
        made |= {"items": {"type": "string", "enum": keys}} if one.kind.name == "choices" else {"enum": keys}
    return made


KEYED = ("Idempotency-Key",)


def operation(
    model: type, summary: str, answer: dict[str, Any], problems: tuple[int, ...], *, body: str = "", status: str = "200",
    parameters: tuple[str, ...] = (), media_type: str = "application/json",
) -> dict[str, Any]:  # fmt: skip
    """One operation on a model; ``parameters`` and ``body`` are names of components."""
    made: dict[str, Any] = {
        "tags": [model.label_many],
        "summary": f"{summary}: {model.label_many}",
        "security": [{"jwt": []}],
        "responses": {
            status: {"description": "Done", "content": {media_type: {"schema": answer}}},
            **{str(code): {"$ref": f"#/components/responses/{code}"} for code in problems},
        },
    }
    if parameters:
        made["parameters"] = list(parameters)  # names of components
    if body:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}}
    return made
