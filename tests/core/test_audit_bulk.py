"""Changing many at once is a right of its own; one by one needs no more than the right to the deed."""

from sqlalchemy import select

from core.db import db
from core.model import model_of
from core.people import RoleRight, RoleRow
from core.testing import both_databases


def left():
    db.session.commit()
    return list(db.session.scalars(select(model_of("law_vault").id).order_by(model_of("law_vault").id)))


@both_databases
def test_many_at_once_need_the_right_to_it(login_as, create, create_user):
    person = create_user("anna", roles=["Porter"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Porter")).one()
    for verb in ("read", "delete"):
        create(RoleRight, role=role, model="law_vault", verb=verb, scopes="all")
    ids = [create("law_vault", name=name).id for name in ("a", "b", "c")]
    browser = login_as(person)
    sent = {"action": "delete", "ids": ids[:2], "confirmed": "1"}
    for form in (sent, {**sent, "ids": [], "all": "1"}):
        refused = browser.post("/law_vault/_bulk", data=form)
        assert refused.status_code == 403 and "one by one" in refused.text
    assert left() == ids
    assert browser.post("/law_vault/_bulk", data={**sent, "ids": ids[2:]}).status_code == 302
    create(RoleRight, role=role, model="law_vault", verb="bulk", scopes="all")
    assert left() == ids[:2]
    assert browser.post("/law_vault/_bulk", data=sent).status_code == 302
    assert left() == []
