"""Files in: what a firm has comes in through the gate, and what is wrong comes back with the reason."""

import io
import random
import zipfile
from datetime import datetime

import pytest
from sqlalchemy import func, select

from core import records
from core.context import today
from core.db import db
from core.errors import Broken, Refused
from core.journal import batches, journal
from core.model import model_of
from core.people import FieldRight, RoleRow
from core.testing import both_databases, statements
from core.transfer import drafts, run_export, run_import
from core.transfer.draft_tables import core_import
from core.undo import undo
from tests.core.drafting import checked, ran, sent
from tests.core.sheets import as_person, count, everything, journalled, read, write
from tests.firm import HEADING, UNKNOWN, firm, mobile

EXPECTED = {
    "no name": "needed",
    "digits lost in a spreadsheet": "lost its digits",
    "letters instead of a phone": "not a phone number",
    "too few digits": "not a phone number",
    "no such source": "天上掉的",
    "no such status": "不知道",
    "not an e-mail address": "e-mail address",
    "name too long": "At most 200 characters",
    "one separator too many": "more cells than the heading",
}


# -- a firm's list ----------------------------------------------------------------------------------------------------


@both_databases
def test_good_rows_land_and_wrong_ones_come_back_with_the_reason(app, tmp_path):
    made = firm(1500)
    outcome = run_import("crm_client", made.write(tmp_path / "clients.csv"))
    assert (outcome.read, outcome.created, outcome.refused) == (1500, made.good, len(made.wrong)) and count() == made.good
    assert outcome.ignored == [UNKNOWN]
    heading, *rows = read(outcome.wrong_file)
    assert heading == [*HEADING, "Reason"] and outcome.wrong_file == tmp_path / "clients.csv.wrong.csv"
    for row, (place, fault) in zip(rows, made.wrong.items(), strict=True):
        assert EXPECTED[fault] in row[len(HEADING)], (fault, row)
        assert row[9] == made.rows[place][9]


@both_databases
def test_a_second_run_doubles_nothing_and_changes_nothing(app, tmp_path):
    path = firm(700).write(tmp_path / "clients.csv", "gb18030")
    first = run_import("crm_client", path)
    before = everything()
    second = run_import("crm_client", path)
    assert (second.created, second.changed, second.same, second.refused) == (0, 0, first.created, first.refused)
    assert everything() == before and second.wrong_file == first.wrong_file


def test_corrected_rows_can_be_imported_from_the_file_of_wrong_rows(app, tmp_path):
    first = run_import("crm_client", firm(300).write(tmp_path / "clients.csv"))
    heading, *rows = read(first.wrong_file)
    for row in rows:
        del row[len(heading) :]
        row[:7] = [row[9] + "号客户", "网站", "正式客户", "洽谈中", "13800001111", "", ""]
    again = run_import("crm_client", write(tmp_path / "corrected.csv", [heading, *rows]))
    assert (again.created, again.refused, again.wrong_file, again.ignored) == (9, 0, None, [UNKNOWN])
    assert not list(tmp_path.glob("*.part"))


def test_corrections_that_somebody_is_making_are_not_written_over(app, tmp_path):
    path = firm(100).write(tmp_path / "clients.csv")
    first = run_import("crm_client", path).wrong_file
    first.write_text("being corrected", encoding="utf-8")
    second = run_import("crm_client", path).wrong_file
    assert second != first and first.read_text(encoding="utf-8") == "being corrected" and len(read(second)) == 4


def test_the_generator_gives_the_same_list_each_time():
    assert firm(200).rows == firm(200).rows != firm(200, seed=8).rows
    assert len(firm(10_000).wrong) == 300 and {len(set(firm(10_000).wrong.values()))} == {len(EXPECTED)}


@both_databases
def test_phones_in_four_styles_are_found_by_a_part_of_the_number(app, tmp_path):
    numbers = [mobile(random.Random(number), number) for number in range(4)]
    run_import("crm_client", write(tmp_path / "f.csv", [["name", "手机"], *([f"client {n}", one] for n, one in enumerate(numbers))]))
    for number, text in enumerate(numbers):
        digits = "".join(str(int(ch)) for ch in text if ch.isdigit())[-11:]
        found = records(model_of("crm_client")).find(search=digits[3:9]).rows
        assert [one.name for one in found] == [f"client {number}"], text


# -- how a file may look ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_every_encoding_and_separator_reads_the_same(app, tmp_path, encoding, delimiter):
    row = ["上海金联德科技有限公司", "13800138000", '第一行\n第二行；“引号”,"x"', "a@example.com"]
    path = write(tmp_path / "f.csv", [["客户名称", "手机", "备注", "Email"], row], encoding, delimiter)
    outcome = run_import("crm_client", path)
    assert (outcome.created, outcome.ignored) == (1, [])
    (client,) = everything()
    assert [client["name"], client["phones"], client["remarks"], client["email"]] == row


@pytest.mark.parametrize(
    "heading",
    [
        ["Name", "Code", "Source", "Phones"], ["name", "code", "source", "phones"], ["名称", "编号", "来源", "电话"],
        ["名稱", "編號", "來源", "電話"], ["公司名称", "客户编号", "客户来源", "手机号码"], ["Client name", "NO.", " SOURCE ", "Mobile"],
        ["客戶名稱 *", "客戶編號", "客戶來源", "聯絡電話"], ["企业名称（必填）", "编码:", "渠道", "联系方式"],
    ],
)  # fmt: skip
def test_headings_in_three_languages_and_offices_own_words(app, tmp_path, heading):
    outcome = run_import("crm_client", write(tmp_path / "f.csv", [heading, ["甲", "K-1", "Website", "021-88886666"]]))
    assert (outcome.created, outcome.ignored) == (1, []), str(outcome)
    (client,) = everything()
    assert [client["name"], client["code"], client["source"], client["phones"]] == ["甲", "K-1", "website", "021-88886666"]


def test_columns_come_in_any_order_below_a_title_and_several_phones_are_read_together(app, tmp_path):
    rows = [["2026 年客户名单"], [], ["备注", "座机", "外星编码", "手机", "客户名称"], ["x", "010-66668888", "7", "13800138000", "甲"]]
    outcome = run_import("crm_client", write(tmp_path / "f.csv", rows))
    assert (outcome.read, outcome.created, outcome.ignored) == (1, 1, ["外星编码"]) and "外星编码" in str(outcome)
    assert everything()[0]["phones"] == "010-66668888, 13800138000"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["甲", "13800138000"], ["乙", "13900139000"]], "No heading of this file names a field"),
        ([["品名", "库存", "单价"], ["螺丝", "7", "1"]], "No heading of this file names a field"),
        ([["手机", "备注"], ["13800138000", "x"]], "no column for “Name”"),
        ([["名称", "Name"], ["甲", "乙"]], "Two columns are meant for “Name”"),
        ([["name", "phones"] + ["x"] * 300, ["甲"]], "more than 200 columns"),
        ([["name", "remarks"], ["甲", "x" * 200_000]], "more than 131,072 characters"),
    ],
)
def test_a_heading_that_cannot_be_used_is_one_sentence(app, tmp_path, rows, words):
    with pytest.raises(Broken, match=words):
        run_import("crm_client", write(tmp_path / "f.csv", rows))
    assert count() == 0 and [one.name for one in tmp_path.iterdir() if one.is_file()] == ["f.csv"]


def _bytes_of_a_bomb():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as stream:
            for _piece in range(1100):
                stream.write(b" " * 2**20)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"), (b"\xef\xbb\xbf\r\n \r\n", "is empty"), (b"\xff\xfe\r\0\n\0", "is empty"),
        (random.Random(1).randbytes(5000), "does not hold a table|neither UTF-8"), (b"\0" * 5000, "does not hold a table"),
        (b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(3000), "does not hold a table|neither UTF-8"),
        ("name,remarks\n甲,很好很好很好很好很好\n".encode() + "乙,坏".encode()[:-1] + b"\n", "damaged in line 3"),
        (b"name\n" + b"caf\xe9 \xff\n", "neither UTF-8 nor GB18030"),
        (b"%PDF-1.7\nname", "neither CSV nor an Excel"), (b"\xd0\xcf\x11\xe0" + b"x" * 600, "neither CSV nor an Excel"),
        (b"PK\x03\x04 not a workbook at all", "damaged"), (b'name,remarks\nA,"never closed\n' + b"B,x\n" * 300, "is not closed|is open"),
        (b"name\n" + b"x" * (5 * 2**20), "does not end"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_one_sentence_and_nothing_is_written(app, tmp_path, content, words):
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises(Broken, match=words):
        run_import("crm_client", path)
    assert count() == 0 and not journalled("import") and [one.name for one in tmp_path.iterdir() if one.is_file()] == ["f.csv"]


@both_databases
@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_a_text_of_many_lines_goes_out_and_comes_in_as_it_was(app, create, tmp_path, name):
    create("crm_client", name="poet", remarks="\n".join(f'line {n}, and "so" on' for n in range(900)))
    create("crm_client", name="neighbour")
    before = everything()
    run_export("crm_client", tmp_path / name)
    outcome = run_import("crm_client", tmp_path / name)
    assert (outcome.same, outcome.read) == (2, 2) and everything() == before


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (["name,remarks", 'A,"never closed', *(f"B{n},x" for n in range(40))], 2),
        (["name,remarks", "", "A,x", 'B,"never closed', *(f"C{n},x" for n in range(400)), 'D,"closed",'], 4),
        (["name,remarks", 'A,"two', 'lines"', 'B,"never closed', *(f"C{n},x" for n in range(400)), 'D,"",x', 'E,"y",z'], 3),
    ],
)
def test_a_quotation_mark_that_nobody_closed_swallows_no_rows(app, tmp_path, lines, line):
    (tmp_path / "f.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(Broken, match=f"a quotation mark in line {line} is not closed"):
        run_import("crm_client", tmp_path / "f.csv")
    assert count() == 0


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_lines_are_numbered_as_the_rows_of_the_spreadsheet(app, tmp_path, ending):
    rows = [["name", "remarks", "phones"], ["A", "one\ntwo\nthree", ""], ["", "", ""], ["B", "x\ny", "nothing"], ["C", "", "", "more"]]
    if ending == "csv":
        content = b"sep=,\n" + write(tmp_path / "f.csv", rows).read_bytes()
    else:
        from openpyxl import Workbook

        book = Workbook()
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / "f.xlsx")
        content = (tmp_path / "f.xlsx").read_bytes()
    one = checked(sent(content, f"f.{ending}"))
    assert [(row.line, row.expected) for row in drafts.rows(one.id)] == [(2, "created"), (4, "refused"), (5, "refused")]
    assert "This line (5) has more cells" in b"".join(drafts.wrong_file(one.id)).decode()
    assert drafts.fix_row(one.id, 4, {"phones": ""}).expected == "created"
    assert [(row.line, row.state) for row in drafts.rows(ran(one).id)] == [(2, "created"), (4, "created"), (5, "refused")]


def test_a_workbook_that_would_fill_the_memory_is_refused(app, tmp_path):
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(_bytes_of_a_bomb())
    with pytest.raises(Broken, match="too large when unpacked"):
        run_import("crm_client", path)


def test_a_file_that_is_not_there_and_a_folder_are_told(app, tmp_path):
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(Broken, match="cannot be opened|is not a file"):
            run_import("crm_client", path)


def test_a_workbook_as_excel_leaves_it(app, tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Empty"
    sheet = book.create_sheet("List")
    for row in [["客户名称", "手机", "编号", "备注"], ["甲", 13800138000, 7, datetime(2026, 11, 30)], [], ["乙", 13900139000.0, 8.0, True]]:
        sheet.append(row)
    book.save(tmp_path / "f.xlsx")
    assert run_import("crm_client", tmp_path / "f.xlsx").created == 2
    stored = [(one["name"], one["phones"], one["code"], one["remarks"]) for one in everything()]
    assert stored == [("甲", "13800138000", "7", "2026-11-30"), ("乙", "13900139000", "8", "1")]


# -- which record a row means -----------------------------------------------------------------------------------------


@both_databases
def test_a_known_code_changes_the_record_and_an_empty_cell_changes_nothing(app, create, tmp_path):
    create("crm_client", name="old", code="A1", phones="021-88886666", remarks="kept")
    path = write(tmp_path / "f.csv", [["code", "name", "remarks"], ["A1", "new", ""], ["A2", "other", ""], ["A1", "newest", ""]])
    outcome = run_import("crm_client", path)
    assert (outcome.created, outcome.changed) == (1, 2)
    assert [(one["code"], one["name"], one["remarks"]) for one in everything()] == [("A1", "newest", "kept"), ("A2", "other", None)]


def test_name_and_phones_together_are_the_same_client_and_without_phones_all_values_are(app, tmp_path):
    rows = [["name", "phones", "address"], ["王伟", "13800138000", "a"], ["王伟", "13900139000", "a"], ["王伟", "", "b"], ["王伟", "", "c"]]
    path = write(tmp_path / "f.csv", [*rows, ["王伟", "13800138000", "changed"], ["王伟", "", "b"]])
    outcome = run_import("crm_client", path)
    assert (outcome.created, outcome.changed, outcome.same) == (4, 1, 1)
    assert run_import("crm_client", write(path, rows[:1] + rows[2:])).same == 3
    assert count() == 4


def test_the_key_may_be_chosen(app, create, tmp_path):
    create("crm_client", name="甲", email="a@example.com", phones="021-88886666")
    path = write(tmp_path / "f.csv", [["name", "email", "phones"], ["甲方", "a@example.com", "021-88887777"]])
    assert run_import("crm_client", path, keys=["email"]).changed == 1 and everything()[0]["name"] == "甲方"
    with pytest.raises(Broken, match="No column of this file is “code”"):
        run_import("crm_client", path, keys=["code"])
    with pytest.raises(Broken, match="has no field “stauts”"):
        run_import("crm_client", path, keys=["stauts"])


def test_a_number_that_came_with_a_file_is_passed_over_by_the_next_new_record(app, tmp_path):
    year = today().year
    rows = [["name", "code"], *([f"c{n}", f"C{year}-{n:05d}"] for n in range(1, 701)), ["without", ""]]
    assert run_import("crm_client", write(tmp_path / "f.csv", rows)).created == 701
    assert records(model_of("crm_client")).create({"name": "by hand"}).code > f"C{year}-00700"


@both_databases
def test_links_are_read_by_title_login_code_and_never_guessed(app, create, create_user, tmp_path):
    li = create_user("li", name="李雷", department="华东")
    create_user("wang1", name="王伟")
    create_user("wang2", name="王伟")
    named = [["a", "li", "华东"], ["b", "李雷", ""], ["c", "王伟", ""], ["d", "wang2", ""], ["e", "nobody", "nowhere"]]
    outcome = run_import("crm_client", write(tmp_path / "f.csv", [["name", "owner", "部门"], *named]))
    assert (outcome.created, outcome.refused) == (3, 2)
    assert [one["owner_id"] for one in everything()][:2] == [li.id, li.id]
    several, nobody = [row[-1] for row in read(outcome.wrong_file)[1:]]
    assert "Several records of User" in several and "“nobody”" in nobody and "Department: There is no Department called “nowhere”" in nobody
    contacts = write(tmp_path / "c.csv", [["客户", "姓名", "主要联系人"], ["a", "张三", "是"], ["zzz", "李四", ""]])
    assert (run_import("crm_contact", contacts).created, count("crm_contact")) == (1, 1)


# -- rights, batches, interruptions -----------------------------------------------------------------------------------


@both_databases
def test_a_person_imports_with_his_rights_and_only_those(app, create, create_user, tmp_path):
    li, other = create_user("li", roles=["Salesperson"], department="华东"), create_user("other")
    stranger = create_user("stranger")
    create("crm_client", name="theirs", code="T1", owner=other)
    rows = [["name", "code", "owner"], ["mine", "", ""], ["foreign owner", "", "other"], ["stolen", "T1", ""]]
    path = write(tmp_path / "f.csv", rows)
    with as_person(stranger), pytest.raises(Refused, match="You may not import Clients"):
        run_import("crm_client", path)
    with as_person(li):
        outcome = run_import("crm_client", path)
    assert (outcome.created, outcome.refused) == (1, 2)
    assert [(one["name"], one["owner_id"]) for one in everything()] == [("theirs", other.id), ("mine", li.id)]
    assert "already exists" in read(outcome.wrong_file)[2][-1]


def test_a_column_that_the_person_may_not_write_refuses_the_file_unless_it_is_left_out(app, create_user, tmp_path):
    li = create_user("li", roles=["Salesperson"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name="status", access="read_only"))
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name="remarks", access="hidden"))
    db.session.commit()
    path = write(tmp_path / "f.csv", [["name", "status", "备注"], ["a", "signed", "x"], ["b", "", "y"]])
    with as_person(li):
        with pytest.raises(Broken, match="You may not change “Status”. To import the other columns, add: --leave-out status"):
            run_import("crm_client", path)
        assert count() == 0 and not db.session.execute(select(core_import)).all()
        outcome = run_import("crm_client", path, leave_out=["status"])
    assert (outcome.created, outcome.refused, outcome.ignored) == (2, 0, ["备注"])
    assert {(one["status"], one["remarks"]) for one in everything()} == {("nobody_in_contact", None)}


@both_databases
def test_an_import_is_one_batch_over_its_chunks_and_is_undone_as_one(app, create_user, tmp_path):
    chief = create_user("chief", level="system_administrator")
    with as_person(chief):
        outcome = run_import("crm_client", firm(1100).write(tmp_path / "clients.csv"))
        assert count() == outcome.created > 1000
        (told,) = journalled("import")
        titles = db.session.execute(select(batches.c.title).where(batches.c.id == outcome.batch_id)).scalars().all()
        assert told["batch_id"] == outcome.batch_id and titles == ["clients.csv"]
        mine = select(journal.c.batch_id, func.count()).where(journal.c.verb == "create", journal.c.model == "crm_client")
        made = db.session.execute(mine.group_by(journal.c.batch_id)).all()
        assert made == [(outcome.batch_id, outcome.created)]
        undo(outcome.batch_id)
    assert count() == 0


def test_only_checking_writes_nothing(app, tmp_path):
    outcome = run_import("crm_client", firm(600).write(tmp_path / "clients.csv"), check=True)
    assert outcome.created == firm(600).good and count() == 0 and not journalled("import") and "nothing was written" in str(outcome)


def test_the_statements_of_a_chunk_do_not_grow_with_its_rows(app, tmp_path):
    def asked(rows):
        path = write(
            tmp_path / f"{rows}.csv", [["name", "phones", "owner"], *([f"{rows}-{n}", "021-88886666", "admin"] for n in range(rows))]
        )
        with statements() as found:
            assert run_import("crm_client", path).created == rows
        # SQLAlchemy stores rows one by one on SQLite, to be sure which id is whose.
        return len([one for one in found if not one.startswith("INSERT INTO crm_client")])

    asked(10)
    assert asked(500) <= asked(100) + 4
