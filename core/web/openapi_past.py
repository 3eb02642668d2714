"""The description of what the API tells of the past: states of a record, the trash, and what has changed since one last looked."""

from __future__ import annotations

from typing import Any

from core.rules import may

TEXT, NUMBER, MOMENT = {"type": "string"}, {"type": "integer"}, {"type": "string", "format": "date-time"}
NULLABLE_NUMBER = {**NUMBER, "nullable": True}
VALUES = {"type": "object", "description": "{field: value}"}
PAIRS = {"type": "object", "description": "{field: [before, after]}"}
MOMENT_OF = {
    "type": "object",
    "nullable": True,
    "properties": {
        "row": {**NUMBER, "description": "The number in the journal after which the record was so"},
        "at": MOMENT,
        "user": NULLABLE_NUMBER,
        "batch": NUMBER,
        "erased": {"type": "boolean", "description": "Earlier states are told as far as they are known"},
    },
}
PAST = {
    "type": "object",
    "properties": {
        "id": NUMBER,
        "result": {"type": "array", "items": MOMENT_OF, "description": "Without row and at: every moment, oldest first"},
        "moment": MOMENT_OF,
        "there": {"type": "boolean", "description": "Was there such a record then?"},
        "values": VALUES,
        "lines": {"type": "object", "description": "{kind of line: [{id, values}]}"},
        "with": MOMENT_OF,
        "changes": PAIRS,
        "changed_lines": {"type": "object", "description": "{kind of line: [{id, kind, changes}]}"},
    },
}
BACK = {
    "type": "object",
    "additionalProperties": False,
    "required": ["row"],
    "properties": {
        "row": {**NUMBER, "minimum": 1},
        "version": {**NUMBER, "description": "As it was read with the record; another version is refused"},
        "all": {"type": "boolean", "enum": [True], "description": "All that may be written; else the fields and lines that are named"},
        "fields": {"type": "array", "items": TEXT},
        "lines": {
            "type": "array",
            "items": {
                "type": "object", "additionalProperties": False, "required": ["model", "id"], "properties": {"model": TEXT, "id": NUMBER},
            },
        },
    },
}  # fmt: skip
DONE_BACK = {"type": "object", "properties": {"id": NUMBER, "changed": NUMBER, "version": NUMBER}}
DELETED = {
    "type": "object",
    "properties": {
        "row": NUMBER, "model": TEXT, "record_id": NUMBER, "title": TEXT, "at": MOMENT, "user": NULLABLE_NUMBER,
        "lines": {**NUMBER, "description": "How many lines went along"}, "may_restore": {"type": "boolean"},
    },
}  # fmt: skip
CHANGE = {
    "type": "object",
    "properties": {
        "model": TEXT, "record_id": NUMBER, "title": TEXT, "at": MOMENT, "user": NULLABLE_NUMBER, "changes": PAIRS,
        "kind": {"type": "string", "enum": ["new", "gone", "edited"]},
        "there": {"type": "boolean", "description": "new: it was there before; gone: it is there, but out of reach"},
        "lines": {"type": "array", "items": {"type": "object"}, "description": "The same of its lines"},
    },
}  # fmt: skip
SEEN = {
    "type": "object", "additionalProperties": False, "required": ["mark"],
    "properties": {"mark": {**TEXT, "description": "As it came with the changes"}, "model": {**TEXT, "description": "One kind only"},
                   "scope": {"type": "string", "enum": ["mine", "all"], "default": "mine"}},
}  # fmt: skip


def add_components(spec: Any) -> None:
    """Parameters and schemas that the addresses below name."""
    row = {"name": "row", "in": "query", "description": "A moment: what was after this number of the journal", "schema": NUMBER}
    at = {"name": "at", "in": "query", "description": "A moment, instead of row", "schema": TEXT}
    other = {"name": "with", "in": "query", "description": "Another moment, to be compared with", "schema": NUMBER}
    for name, one in (("past_row", row), ("past_at", at), ("past_with", other)):
        spec.components.parameter(name, "query", one)
    spec.components.schema("Back", BACK)
    spec.components.schema("Seen", SEEN)


def describe_past(spec: Any, model: Any) -> None:
    """The past of one model's records."""
    from core.web.openapi import operation

    words = ("id", "past_row", "past_at", "past_with")
    made = {"get": operation(model, "Earlier states", PAST, (400, 401, 403, 404), parameters=words)}
    if may("edit", model):
        made["post"] = operation(
            model, "Make as it was", DONE_BACK, (400, 401, 403, 404, 409, 415, 422), body="Back",
            parameters=("id", "If-Match", "Idempotency-Key"),
        )  # fmt: skip
    spec.path(path=f"/api/v1/{model.__tablename__}/{{id}}/past", operations=made)


def describe_own(spec: Any) -> None:
    """The trash, and what has changed, of all kinds of records."""
    add_components(spec)

    def made(tag: str, summary: str, answer: dict[str, Any], problems: tuple[int, ...], **more: Any) -> dict[str, Any]:
        done = {"200": {"description": "Done", "content": {"application/json": {"schema": {"type": "object", "properties": answer}}}}}
        answers = done | {str(code): {"$ref": f"#/components/responses/{code}"} for code in problems}
        return {"tags": [tag], "security": [{"jwt": []}], "summary": summary, "responses": answers, **more}

    model = {"name": "model", "in": "query", "description": "One kind of record", "schema": TEXT}
    limit = {"name": "limit", "in": "query", "schema": {**NUMBER, "minimum": 1, "maximum": 500, "default": 50}}
    before = {"name": "before", "in": "query", "description": "The mark “next” of another page", "schema": NUMBER}
    listed = {"result": {"type": "array", "items": DELETED}, "next": NULLABLE_NUMBER}
    listing = made("Trash", "What was deleted", listed, (400, 401, 404), parameters=[model, limit, before])
    spec.path(path="/api/v1/_trash", operations={"get": listing})
    number = {"name": "row", "in": "path", "required": True, "schema": NUMBER}
    came = {"model": TEXT, "id": NUMBER, "title": TEXT, "stayed": {"type": "array", "items": TEXT}}
    back = made("Trash", "Bring back", came, (401, 403, 404, 409, 422), parameters=[number])
    spec.path(path="/api/v1/_trash/{row}", operations={"post": back})
    since = {"name": "since", "in": "query", "description": "A day; since one last looked without it", "schema": {**TEXT, "format": "date"}}
    scope = {"name": "scope", "in": "query", "schema": {"type": "string", "enum": ["mine", "all"], "default": "mine"}}
    page = {"name": "page", "in": "query", "schema": {**NUMBER, "minimum": 1, "default": 1}}
    told = {"result": {"type": "array", "items": CHANGE}, "count": NUMBER, "since": MOMENT, "mark": TEXT, "page": NUMBER}
    changes = made("Changes", "What changed since one last looked", told, (400, 401, 404), parameters=[model, scope, since, limit, page])
    spec.path(path="/api/v1/_changes", operations={"get": changes})
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Seen"}}}}
    seen = made("Changes", "Mark as seen", {"seen": {"type": "boolean"}}, (400, 401, 403, 404, 415), requestBody=body)
    spec.path(path="/api/v1/_changes/_seen", operations={"post": seen})
