"""What a program can get wrong without noticing is refused, so that it notices."""

import pytest
from sqlalchemy import func, select

from core.db import db
from core.journal import journal
from core.model import model_of
from core.testing import both_databases


@pytest.fixture
def chief(api_as):
    return api_as("chief", level="administrator")


def rows():
    db.session.commit()
    return db.session.execute(select(func.count()).select_from(journal)).scalar_one()


@both_databases
def test_one_name_with_two_values_is_refused(chief, create):
    record = create("crm_tag", name="blue")
    before = rows()
    for query in ("limit=1&limit=2", "filter={}&filter=[]", "order=name&order=id", 'filter={"field":"id","field":"name","op":"empty"}'):
        refused = chief.get(f"/api/v1/crm_tag/?{query}")
        assert refused.status_code == 400 and refused.json["message"].endswith("."), query
    for method, url in (("POST", "/api/v1/crm_tag/"), ("PUT", f"/api/v1/crm_tag/{record.id}")):
        refused = chief.open(url, method=method, data='{"name": "a", "name": "b"}', content_type="application/json")
        assert refused.status_code == 400 and refused.json["error"] == "broken"
    assert rows() == before and db.session.get(model_of("crm_tag"), record.id).name == "blue"


@both_databases
def test_a_landline_with_brackets_is_a_phone(chief):
    for number in ("(0755) 8234 5678", "（0755）82345678", "(+86) 755 8234 5678", "0755-82345678 转 12"):
        made = chief.post("/api/v1/crm_client/", json={"name": number, "phones": number})
        assert made.status_code == 201, made.json
    assert chief.get("/api/v1/crm_client/?q=82345678").json["count"] == 4
    for number in ("(", "()", "(0755", "call me", "((0755)) 1"):
        refused = chief.post("/api/v1/crm_client/", json={"name": "x", "phones": number})
        assert refused.status_code == 422 and "phones" in refused.json["errors"], number
