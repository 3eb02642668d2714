"""Files out: any list with the rights of whoever asks, nothing in it that a spreadsheet would run, and back in unchanged."""

import csv
import io
from datetime import date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from core import records
from core.custom import CustomField
from core.db import db
from core.errors import Broken, Refused
from core.model import model_of
from core.people import FieldRight, MortiseUser, RoleRow
from core.testing import both_databases
from core.transfer import csv_lines, export_rows, run_export, run_import
from tests.core.sheets import as_person, count, everything, journalled, read

NASTY = [
    "=1+1", "+86 138 0000 0000", "-2+3", "@SUM(A1)", "'=1", "''=1", "'quoted'", "＝1＋1", 'say "yes", please', "semi;colon", "-5", "007",
    "#12", " = 1", "1.38E+10", "true", "第一行 第二行", "'-", "a\u3000b",
]  # fmt: skip


@both_databases
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_export_then_import_changes_nothing(app, create, create_user, tmp_path, ending):
    li = create_user("li", name="同名", department="华东")
    create_user("li2", name="同名")
    with app.app_context():
        for title, kind in (("Budget", "money"), ("Since", "date"), ("Seen", "datetime"), ("Big", "yesno"), ("Tags", "choices")):
            db.session.add(CustomField(model="crm_client", title=title, kind=kind))
            db.session.flush()
        db.session.commit()
    names = {row.title: row.name for row in db.session.scalars(select(CustomField))}
    gate = records(model_of("crm_client"))
    for number, text in enumerate(NASTY):
        gate.create({
            "name": f"{text}", "phones": "+86 138 0013 8000" if number % 2 else None, "remarks": f"{text}\n{text}", "address": text,
            "owner": li.id if number % 3 else None, names["Budget"]: Decimal("-12.50") * number, names["Since"]: date(2026, 1, 1),
            names["Seen"]: datetime(2026, 1, 1, 12, 30, 5), names["Big"]: bool(number % 2),
        })  # fmt: skip
    create("crm_contact", client_id=everything()[0]["id"], name="=cmd|' /C calc'!A1", is_primary=True)
    db.session.commit()
    before, contacts = everything(), everything("crm_contact")
    for table in ("crm_client", "crm_contact"):
        path = tmp_path / f"{table}.{ending}"
        assert run_export(table, path).rows == count(table)
        outcome = run_import(table, path)
        assert (outcome.created, outcome.changed, outcome.refused) == (0, 0, 0), (
            str(outcome),
            outcome.wrong_file and read(outcome.wrong_file),
        )
    assert everything() == before and everything("crm_contact") == contacts


def test_no_cell_of_a_csv_export_is_run_by_a_spreadsheet(app, create, tmp_path):
    for text in NASTY:
        create("crm_client", name=text)
    run_export("crm_client", tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    for row in read(tmp_path / "f.csv"):
        assert not [cell for cell in row if cell[:1] in tuple("=+@\t\r＝＋－＠") or (cell[:1] == "-" and cell != "-5")], row


def test_no_cell_of_a_workbook_is_a_formula(app, create, tmp_path):
    from openpyxl import load_workbook

    for text in NASTY:
        create("crm_client", name=text)
    run_export("crm_client", tmp_path / "f.xlsx")
    cells = [cell for row in load_workbook(tmp_path / "f.xlsx").active.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert all(cell.quotePrefix for cell in cells if str(cell.value)[0] in "=+@")


@both_databases
def test_an_export_holds_what_the_person_sees_and_the_journal_knows_of_it(app, create, create_user, tmp_path):
    li, boss = create_user("li", roles=["Salesperson"]), create_user("boss", level="administrator")
    create("crm_client", name="mine", owner=li, phones="13800138000")
    create("crm_client", name="theirs", owner=boss)
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name="phones", access="hidden"))
    db.session.commit()
    with as_person(li, "zh_Hans"):
        heading, *rows = list(export_rows(model_of("crm_client")))
        assert [row[0] for row in rows] == ["mine"] and "电话" not in heading and "13800138000" not in str(rows)
        with pytest.raises(Broken, match="phones"):
            export_rows(model_of("crm_client"), fields=["name", "phones"])
    with as_person(create_user("stranger")), pytest.raises(Refused, match="You may not export"):
        export_rows(model_of("crm_client"))
    db.session.commit()
    (told,) = journalled("export")
    assert told["user_id"] == li.id and '"rows":[null,1]' in told["changes"]


def test_an_export_follows_filter_search_and_order_of_the_list(app, create):
    for name in ("北京华耀", "上海华耀", "广州金联"):
        create("crm_client", name=name, status="signed" if name[0] == "上" else "dead")
    model = model_of("crm_client")
    assert [row[0] for row in export_rows(model, search="华耀", order="-name", fields=["name"])] == ["Name", "上海华耀", "北京华耀"]
    signed = {"field": "status", "op": "is", "value": "signed"}
    assert list(export_rows(model, filter=signed, fields=["name", "status"]))[1:] == [["上海华耀", "Signed"]]


def test_the_list_on_the_screen_is_exported_by_a_get_that_is_journalled_all_the_same(app, create, create_user, login_as):
    chief = create_user("chief", level="administrator")
    for number in range(1200):
        db.session.add(model_of("crm_client")(name=f"client {number}", code=f"X{number}"))
    db.session.commit()
    answer = login_as(chief).get("/crm_client/_export", buffered=True)
    assert answer.status_code == 200 and len(list(csv.reader(io.StringIO(answer.text)))) == 1201
    (told,) = journalled("export")
    assert (told["user_id"], told["door"], told["address"]) == (chief.id, "screen", "127.0.0.1")
    assert login_as("stranger").get("/crm_client/_export").status_code == 403


def test_what_goes_out_is_in_pieces_whatever_the_number_of_rows(app):
    pieces = csv_lines(["x" * 100, str(number)] for number in range(20_000))
    assert max(map(len, pieces)) < 80_000


def test_a_user_is_exported_without_what_is_nobodys_business(app):
    heading = next(export_rows(MortiseUser))
    assert "Login name" in heading and not [one for one in heading if "assword" in one and one != "Must change password"]
