"""The description of the API is valid OpenAPI 3.0 from end to end, and what the API answers is what it describes."""

import re
from datetime import date

from core.testing import both_databases

TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
KEYS = {
    "type", "format", "title", "description", "nullable", "enum", "items", "properties", "required", "maxLength", "minLength", "minimum",
    "maximum", "readOnly", "writeOnly", "additionalProperties", "default", "example", "pattern", "$ref",
    "minItems", "maxItems",
}  # fmt: skip


def resolved(spec, part):
    """``part``, or what it refers to."""
    if "$ref" in part:
        place = spec
        for step in part["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        return place
    return part


def check_schema(one, where):
    assert set(one) <= KEYS, (where, set(one) - KEYS)
    if "$ref" in one:
        return
    assert one.get("type") in {*TYPES, None}, where
    assert one.get("type") != "array" or "items" in one, where
    if "enum" in one:
        assert one["enum"] and len(set(one["enum"])) == len(one["enum"]), where
    assert set(one.get("required", [])) <= set(one.get("properties", {})) and one.get("required") != [], where
    for name, inner in one.get("properties", {}).items():
        check_schema(inner, f"{where}.{name}")
    if "items" in one:
        check_schema(one["items"], f"{where}[]")


def test_the_description_is_valid_in_every_part(api_as):
    answer = api_as("chief", level="system_administrator").get("/api/v1/_openapi")
    spec = answer.json
    assert answer.mimetype == "application/json" and re.fullmatch(r"3\.0\.\d", spec["openapi"])
    assert spec["info"]["title"] and spec["info"]["version"] and len(spec["paths"]) > 40
    for name, one in spec["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        check_schema(one, name)
    names = []
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert method in ("get", "post", "put", "delete"), where
            names += [operation["operationId"]] if "operationId" in operation else []
            given = [resolved(spec, one) for one in operation.get("parameters", [])]
            assert {one["name"] for one in given if one["in"] == "path"} == set(re.findall(r"{(\w+)}", path)), where
            assert all(one["in"] in ("path", "query", "header") and (one["in"] != "path" or one["required"]) for one in given), where
            for one in given:
                for part in one["content"].values() if "content" in one else [one]:
                    check_schema(part["schema"], f"{where} {one['name']}")
            assert operation["responses"] and all(re.fullmatch(r"[1-5]\d\d", code) for code in operation["responses"]), where
            answers = [resolved(spec, one) for one in operation["responses"].values()]
            assert all(one["description"] for one in answers), where
            for one in [*answers, operation.get("requestBody", {})]:
                for content in one.get("content", {}).values():
                    check_schema(content["schema"], where)
            for scheme in operation.get("security", []):
                assert set(scheme) <= set(spec["components"]["securitySchemes"]), where
    assert len(names) == len(set(names))


@both_databases
def test_what_is_answered_is_what_is_described(api_as, create):
    chief = api_as("chief", level="system_administrator")
    chief.post("/api/v1/core_custom_field/", json={"model": "law_matter", "title": "Score", "kind": "integer"})
    court = create("law_court", name="Court")
    topic = create("law_topic", name="t")
    matter = create("law_matter", name="a", status="new", amount=5, court=court, heard_on=date(2026, 3, 1), topics=[topic])
    create("crm_tag", name="blue")
    assert chief.put(f"/api/v1/law_matter/{matter.id}", json={"x_score": 7}).status_code == 200
    spec = chief.get("/api/v1/_openapi").json
    schemas = spec["components"]["schemas"]
    looked_at = 0
    for table in (one.split("/")[3] for one in spec["paths"] if re.fullmatch(r"/api/v1/\w+/", one)):
        properties = schemas[table]["properties"]
        for row in chief.get(f"/api/v1/{table}/?limit=5").json["result"]:
            looked_at += 1
            assert set(row) == set(properties), table
            for name, value in row.items():
                wanted = resolved(spec, properties[name])
                where = (table, name, value)
                if value is None:
                    assert wanted.get("nullable") or "type" not in wanted, where
                elif "type" in wanted:
                    assert isinstance(value, TYPES[wanted["type"]]), where
    assert looked_at > 10


def test_every_refusal_is_described(api_as, create):
    chief = api_as("chief", level="system_administrator")
    matter = create("law_matter", name="a", status="new")
    paths = chief.get("/api/v1/_openapi").json["paths"]

    def refused(path, status, method="get", url="", **sent):
        assert chief.open(url or path, method=method, **sent).status_code == status, (path, sent)
        assert str(status) in paths[path][method]["responses"], (path, method, status)

    one = "/api/v1/law_matter/{id}"
    refused(one, 400, url=f"/api/v1/law_matter/{matter.id}?columns=nothing")
    refused(one, 400, "delete", url=f"/api/v1/law_matter/{matter.id}", headers={"If-Match": "yesterday"})
    refused("/api/{version}/_openapi", 404, url="/api/v2/_openapi")
    sign_in = "/api/v1/security/login"
    refused(sign_in, 400, "post", data="{", content_type="application/json")
    refused(sign_in, 415, "post", data="x")
    refused(sign_in, 422, "post", json={"username": "a"})
