"""Every address × seven people × every method: what the independent oracle says is what each door answers, for each addon.

Nothing here names an addon, a model or a field: a new addon's addresses are held to it without a line. A refused write leaves no
trace in the journal.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from core.context import now, system
from core.db import db
from core.errors import Conflict, Refused
from core.journal import journal
from core.model import fields_of, is_owned, links_to, models, part_of
from core.people import Department, RoleRight, RoleRow, Share
from core.records import records
from core.rules import VERBS
from core.settings import declared_settings
from core.web.bulk_pages import editable
from core.web.views import view_of
from tests.contract.addresses import typed
from tests.contract.conftest import GIVEN, NAMES
from tests.contract.matrix import ADMINISTRATOR, ANYBODY, HIGHEST, HOOKED, OPEN_RECORD, SIGNED_IN, Ask, asked_by, facts_of, row_of
from tests.contract.values import NOT_FILLED, value, values
from tests.core.oracle import Line

QUIET = {"mortise_rules": False, "mortise_core": True}
# Of addons that another test names the house itself is not asked once more.
WHOSE = NAMES if GIVEN else [pytest.param(one, marks=pytest.mark.slow) for one in ("core", *NAMES)]
LET_IN = "let in"
STAFF = {"read": "own department", "edit": "own", "create": "all", "share": "own", "export": "own", "import": "all"}
HEAD = dict.fromkeys(("read", "edit", "delete", "share", "transfer", "bulk", "export"), "own below")
READER = dict.fromkeys(("read", "edit", "delete"), "own department")
MATRIX = {"Matrix staff": STAFF, "Matrix head": HEAD, "Matrix reader": READER}
NAMING = ("core_team", "core_department", "core_file", "core_addon", "ab_role", "core_custom_field", "core_team")
WRITING = ("POST", "PUT", "DELETE")


def addresses(app: Any, addon: str) -> list[tuple[Any, str, Any]]:
    """(rule, method, model) of every address of the addon's models."""
    mine = [model for model in models().values() if model.addon == addon]
    found = []
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            if "table" in rule.arguments and not rule.rule.startswith(("/settings", "/ab_role")):
                found += [(rule, method, model) for model in mine]
            elif rule.endpoint.startswith("api_"):
                found += [(rule, method, model) for model in mine if rule.endpoint.split(".")[0] == f"api_{model.__tablename__}"]
    return found


@pytest.fixture
def house(app, create, create_user, login_as, api_as):
    """The seven people, their doors, and what the roles made for the matrix give on every model that is no part of the house."""
    top, west = create(Department, name="House"), create(Department, name="West")
    east = create(Department, name="East", parent=top)
    lines = []
    for name, given in MATRIX.items():
        role = create(RoleRow, name=name)
        mine = [
            Line(name, table, verb, {*scopes.split(), *(["parent"] if part_of(model) else [])})
            for table, model in models().items() if model.addon != "core" for verb, scopes in given.items()
        ]  # fmt: skip
        rows = [
            {"role_id": role.id, "model": one.model, "verb": one.verb, "scopes": " ".join(one.scopes), "shared": False, "version": 1}
            for one in mine
        ]
        db.session.connection().execute(insert(RoleRight.__table__), rows)
        lines += mine
    staff = {
        "elsewhere": (west, ["Matrix reader"]), "colleague": (east, ["Matrix staff"]), "owner": (east, ["Matrix staff"]),
        "head": (top, ["Matrix head"]),
    }  # fmt: skip
    ids, levels, roles, posts = {}, {}, {}, []
    for name, (place, its) in staff.items():
        ids[name] = create_user(name, roles=its, department=place).id
        levels[ids[name]], roles[ids[name]] = "employee", set(its)
        posts.append((ids[name], place.id))
    for name in ("administrator", "system_administrator"):
        ids[name] = create_user(f"the_{name}", level=name).id
        levels[ids[name]], roles[ids[name]] = name, set()
    bystander, idle = create_user("bystander").id, create(RoleRow, name="Matrix idle").id
    browsers = {name: login_as(f"the_{name}" if "admin" in name else name) for name in ids}
    programs = {name: api_as(f"the_{name}" if "admin" in name else name) for name in ids}
    db.session.commit()
    parents = {top.id: None, west.id: None, east.id: top.id}
    made = SimpleNamespace(ids=ids, east=east.id, bystander=bystander, idle=idle, browsers=browsers, programs=programs, number=100)
    made.facts = facts_of(levels, posts, parents, roles, now())
    made.facts.matrix = lines
    return made


def words_of_the_house(number: int) -> dict[str, Any]:
    """Texts of the house's own records that have to name something."""
    return {
        "model": NAMING[number % len(NAMING)], "verb": VERBS[number % len(VERBS)], "field_name": ("name", "id", "version")[number % 3],
        "scopes": "own", "kind": "text", "rows": "all", "pattern": "M{yyyy}{mm}{00000}", "required": False, "hidden": False,
    }  # fmt: skip


def given_for(model: Any, number: int) -> dict[str, Any]:
    """The least that a record of this kind needs; the house itself may fill what is closed to people."""
    given = values(model, number, only_needed=True)
    for name, one in fields_of(model).items():
        if one.required and not one.system and name not in given and one.kind.name not in NOT_FILLED:
            given[name] = value(one, number)
    if model.__tablename__ == "core_setting":
        there = set(db.session.execute(select(model.__table__.c.key), execution_options=QUIET).scalars())
        given["key"] = next(key for key in sorted(declared_settings()) if key not in there)
    if model.addon == "core":
        given |= {name: word for name, word in words_of_the_house(number).items() if name in model.__fields__}
    return given


def written(model: Any, given: dict[str, Any]) -> int:
    """A row of a model of which the gate makes none."""
    known = model.__fields__
    row = {known[name].key: known[name].clean(value) for name, value in given.items() if known[name].kind.name != "links"}
    row |= {"version": 1} if "version" in model.__table__.c else {}
    number: int = db.session.connection().execute(insert(model.__table__).values(row)).inserted_primary_key[0]
    return number


def fresh(house: Any, model: Any) -> int:
    """A new record of this kind that belongs to the owner, known to the oracle."""
    for _turn in range(50):
        house.number += 1
        try:
            with system("a record of the matrix"), db.session.begin_nested():
                # A right that is made here is nobody’s of the matrix.
                idle = {"role": house.idle, "user": house.bystander} if model.addon == "core" else {}
                given = given_for(model, house.number) | {name: one for name, one in idle.items() if name in model.__fields__}
                record_id = records(model).create(given).id
            break
        except Conflict:
            # Some of the house’s own rows may be there once only.
            continue
        except Refused:
            # What only the house itself writes (a mail) is put there as it would.
            record_id = written(model, given)
            break
    table = model.__table__
    given = {"created_by_id": house.ids["owner"]} if "created_by_id" in table.c else {}
    if is_owned(model):
        given |= {"owner_id": house.ids["owner"], "department_id": house.east}
    if given:
        db.session.connection().execute(update(table).where(table.c.id == record_id).values(given))
    look_again(house, model)
    db.session.commit()
    return record_id


def look_again(house: Any, model: Any) -> None:
    """Tell the oracle how the records of a model are now, and those of what it is a part of, which may have been made along with it."""
    while model is not None:
        rows = db.session.execute(select(model.__table__), execution_options=QUIET).mappings()
        house.facts.rows[model.__tablename__] |= {row["id"]: row_of(model, row) for row in rows}
        whole = part_of(model)
        model = whole.target if whole is not None and whole.target is not model else None


def expected(house: Any, who: str, ask: Any, model: Any, record_id: int) -> int | str:
    """What the oracle says of one person: a status, or that he is let in."""
    facts, user, table = house.facts, house.ids[who], model.__tablename__
    if ask == SIGNED_IN:
        return LET_IN

    def at_all(verb: str) -> bool:
        scopes, shared = facts.given(user, table, verb)
        return bool(scopes or shared)

    if ask.quiet:
        row = facts.rows[table][record_id]
        if not (at_all(ask.verb) and view_of(model).may_delete):
            return 404
        if not at_all("read"):
            return 403
        return LET_IN if facts.may(user, "read", table, row) and facts.may(user, ask.verb, table, row) else 302
    if ask.also and not at_all(ask.also):
        return 403
    if ask.shares and (model.system_model or not model.share_access or not at_all("share")):
        return 403
    if ask.also == "bulk" and not lends_itself(model):
        return 403
    if ask.makes and not view_of(model).may_create:
        return 403
    if not ask.record:
        return (LET_IN if ask.found else 404) if at_all(ask.verb) else 403
    row = facts.rows[table][record_id]
    if not at_all("read"):
        return 403
    if not facts.may(user, "read", table, row):
        return 404
    return LET_IN if facts.may(user, ask.verb, table, row) else ask.refused


def lends_itself(model: Any) -> bool:
    """Has the model a field that many records may have alike?"""
    with system("the fields of a model"):
        return any(not one.readonly for one in editable(view_of(model)))


def share_of(house: Any, model: Any, record_id: int) -> int:
    """A share of the record with somebody who is nobody of the matrix."""
    row = {"model": model.__tablename__, "record_id": record_id, "user_id": house.bystander, "access": "read", "version": 1}
    made = db.session.connection().execute(insert(Share.__table__).values(row)).inserted_primary_key[0]
    db.session.commit()
    return made


def words_of(rule: Any, model: Any, record_id: int, share_id: int) -> dict[str, Any] | None:
    """The parts of an address; None where the model has no such address."""
    word = {
        "table": model.__tablename__, "record_id": record_id, "pk": record_id, "share_id": share_id, "import_id": 1, "line": 1,
        "deed": "check", "kind": "csv",
    }  # fmt: skip
    if "other" in rule.arguments:
        pair = next(((other, one) for other, one in links_to(model) if one.kind.name == "link"), None)
        if pair is None:
            return None
        word |= {"other": pair[0].__tablename__, "link": pair[1].name}
    return {name: word[name] for name in rule.arguments}


def body_of(rule: Any, method: str, model: Any, record_id: int, house: Any) -> dict[str, Any]:
    """What is sent: right enough that only rights can refuse it."""
    end = rule.endpoint.rpartition(".")[2]
    if end == "bulk":
        return {"data": {"action": "delete", "ids": [record_id], "confirmed": "1"}}
    if end == "form":
        kept = {"owner": house.ids["owner"], "department": house.east} if is_owned(model) else {}
        return {"data": {**typed(model, house.number + 300), **kept}}
    if not rule.endpoint.startswith("api_"):
        return {"data": {}} if method == "POST" else {}
    if method == "DELETE" or method == "GET":
        return {}
    if end == "share":
        return {"json": {"ids": [record_id], "users": [house.bystander], "access": (model.share_access or ["read"])[0]}}
    given = {name: one for name, one in values(model, house.number + 300).items() if name not in ("owner", "department")}
    return {"json": given if method == "POST" else {name: one for name, one in given.items() if name == model.title_field}}


def last_row() -> int:
    """How far the journal goes."""
    return db.session.execute(select(func.coalesce(func.max(journal.c.id), 0))).scalar_one()


def look(house: Any, app: Any, addon: str) -> list[str]:
    """Send everything that can be sent, and tell where an answer is not the oracle's."""
    wrong: list[str] = []
    targets = {model: fresh(house, model) for model in models().values() if model.addon == addon}
    shared = {model: share_of(house, model, one) for model, one in targets.items()}
    adapter = app.url_map.bind("localhost")
    for rule, method, model in addresses(app, addon):
        ask = asked_by(rule, method)
        for who in ("nobody", *house.ids):
            record_id, share_id = targets[model], shared[model]
            says = expected(house, who, ask, model, record_id) if who != "nobody" else 0
            if says == LET_IN and rule.endpoint.rpartition(".")[2] in ("delete", "bulk", "end", "unshare") and method in WRITING:
                # What goes away is a record of its own.
                record_id = fresh(house, model)
                share_id = share_of(house, model, record_id)
                says = expected(house, who, ask, model, record_id)
            words = words_of(rule, model, record_id, share_id)
            if words is None:
                break
            api = rule.endpoint.startswith("api_")
            url = adapter.build(rule.endpoint, words, method=method)
            door = app.test_client() if who == "nobody" else (house.programs if api else house.browsers)[who]
            before = last_row() if method in WRITING else 0
            status = door.open(url, method=method, **body_of(rule, method, model, record_id, house)).status_code
            if who == "nobody":
                good = status == (302 if method == "GET" and not api else 401)
            elif says == LET_IN:
                fine = (200, 201, 302, 400, 409, 422)
                if method == "GET":
                    fine = (200, 400) if isinstance(ask, Ask) and ask.words else (200,)
                # The house’s own hooks go further than its rules.
                held = model.__tablename__ in HOOKED and method in WRITING and status == 403 and last_row() == before
                good = status in fine or held
            else:
                good = status == says
            if rule.endpoint == "screens.related" and says == LET_IN and status == 404:
                # The list is as open as what it lists, and as the field that leads here.
                other, user = words["other"], house.ids[who]
                good = not house.facts.given(user, other, "read")[0] or house.facts.access(user, other, words["link"]) == "hidden"
            if method in WRITING and says != LET_IN and last_row() != before:
                wrong.append(f"{who}: {method} {url} was refused by {status}, and yet something is written")
            if method in WRITING and says == LET_IN:
                look_again(house, model)
            if not good:
                wrong.append(f"{who}: {method} {url} ({rule.endpoint}) gave {status}, not {says or 'the sign-in'}")
    return wrong


def told(wrong: list[str]) -> None:
    """Fail with each line that is wrong."""
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("whose", WHOSE)
def test_every_door_answers_as_the_oracle_says(app, house, whose):
    told(look(house, app, whose))


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_doors_of_one_addon_on_the_other_database(app, house):
    told(look(house, app, NAMES[0]))


def plain_words(house: Any) -> dict[str, Any]:
    """Parts of the addresses that are about no kind of record."""
    role = db.session.execute(select(RoleRow.__table__.c.id).limit(1)).scalar()
    return {
        "role_id": role, "person": house.bystander, "table": "core_department", "name": NAMES[0], "number": 1, "version": "v1",
        "filename": "app.css", "pk": "1", "file_id": 1, "job_id": 999_999, "key_id": 1, "batch_id": 999_999,
    }  # fmt: skip


@pytest.mark.slow
def test_every_other_address_is_for_whom_it_says(app, house):
    """Addresses that are about no kind of record: of the settings, of one’s own account, of files and jobs."""
    adapter, words = app.url_map.bind("localhost"), plain_words(house)
    tables = {(rule.endpoint, method) for rule, method, _model in addresses(app, "core")}
    wrong = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda one: one.endpoint):
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            if (rule.endpoint, method) in tables or rule.endpoint.startswith("api_"):
                continue
            audience = asked_by(rule, method)
            if rule.endpoint in ("signin.logout", "settings.addon_off", "signin.password") and method == "POST":
                # Whoever is let in has left, or takes something away from the others of this test: the last of all.
                continue
            given = {name: words[name] for name in rule.arguments if name not in (rule.defaults or {})}
            url = adapter.build(rule.endpoint, given, method=method)
            for who in ("nobody", *house.ids):
                api = url.startswith("/api/")
                door = app.test_client() if who == "nobody" else (house.programs if api else house.browsers)[who]
                before = last_row()
                sent: dict[str, Any] = {"json": {}} if api and method in WRITING else {"data": {}} if method == "POST" else {}
                with door.open(url, method=method, **sent) as answer:
                    status = answer.status_code
                if audience == ANYBODY:
                    # No job process runs beside a test, so the house is not ready.
                    good = status < 500 or (rule.endpoint, status) == ("health.readyz", 503)
                elif who == "nobody":
                    good = status == (302 if method == "GET" and not api else 401)
                elif audience == OPEN_RECORD:
                    # A program is told first what its words lack.
                    good = status in ((403, 404, 422) if api else (403, 404)) and last_row() == before
                elif (audience == ADMINISTRATOR and "admin" not in who) or (audience == HIGHEST and who != "system_administrator"):
                    good = status in ((403, 404, 422) if api and method in WRITING else (403, 404)) and last_row() == before
                elif audience in (ADMINISTRATOR, HIGHEST):
                    # What is not there is missing; what is not sent is asked for.
                    good = status in (200, 302, 404, 422)
                else:
                    good = audience == SIGNED_IN and status in (200, 302, 400, 404, 422)
                if not good:
                    wrong.append(f"{who}: {method} {url} ({rule.endpoint}, for {audience}) gave {status}")
    told(wrong)


def test_an_address_without_an_audience_is_found(app):
    for rule in app.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert asked_by(rule, method), rule
    with pytest.raises(KeyError):
        asked_by(SimpleNamespace(endpoint="new_pages.secret", arguments=set()), "GET")
