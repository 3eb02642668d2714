"""How an import reads the values of a file: previews, phones, days and moments in six styles, and the template it is filled in."""

import io
from datetime import datetime

import pytest

from core import records
from core.custom import CustomField
from core.db import db
from core.errors import Broken
from core.transfer import drafts
from tests.core.drafting import counts, ran, sent


def test_a_preview_shows_how_each_value_will_be_read(app, create_user):
    create_user("li", name="李雷")
    heading = ["名称", "手机", "来源", "负责人"]
    one = sent([heading, ["甲", "１３８ 0013 8000", "网站", "li"], ["乙", "13800138000.0", "天上", "nobody"], ["丙", "1.38E+10", "", ""]])
    first, second, third = ([(cell.raw, cell.shown, cell.error) for cell in cells] for _row, cells in drafts.preview(one.id))
    assert first == [("甲", "甲", None), ("１３８ 0013 8000", "138 0013 8000", None), ("网站", "Website", None), ("li", "李雷", None)]
    assert second[1] == ("13800138000.0", "13800138000", None)
    assert "天上" in second[2][2] and "nobody" in second[3][2] and "lost its digits" in third[1][2]


DATES = {
    "2026-11-25": "2026-11-25", "2026/11/25": "2026-11-25", "2026年11月25日": "2026-11-25", "25.11.2026": "2026-11-25",
    "11/25/2026": "2026-11-25", "25/11/2026": "2026-11-25", "20261125": "2026-11-25", "46351": "2026-11-25",
    "２０２６－１１－２５": "2026-11-25",
    "2026-11-25 14:05": "2026-11-25 14:05", "2026/11/25 2:05 PM": "2026-11-25 14:05", "2026年11月25日 14:05": "2026-11-25 14:05",
    "25.11.2026 14:05:00": "2026-11-25 14:05", "11/25/2026 14:05": "2026-11-25 14:05", "20261125 14:05": "2026-11-25 14:05",
    "46351.586805556": "2026-11-25 14:05",
}  # fmt: skip


@pytest.fixture
def dated(app):
    """A custom date and a custom moment on clients."""
    for title, kind in (("Met on", "date"), ("Called at", "datetime")):
        records(CustomField).create({"model": "crm_client", "title": title, "kind": kind})
    db.session.commit()


@pytest.mark.parametrize("written", DATES)
def test_dates_and_moments_in_six_styles_and_as_excel_leaves_them(dated, written):
    heading = "Called at" if ":" in DATES[written] else "Met on"
    one = sent([["name", heading], ["甲", written]])
    ((_row, cells),) = drafts.preview(one.id)
    assert (cells[1].shown, cells[1].error) == (DATES[written], None)
    assert counts(ran(one)) == (1, 0, 0, 0, 0)


def test_a_time_stamp_in_a_column_of_days_is_its_day(dated):
    one = sent([["name", "Met on"], ["甲", "2026-11-25 14:05:00"], ["乙", "2026-11-25 soon"]])
    (_first, good), (_second, bad) = drafts.preview(one.id)
    assert (good[1].shown, good[1].error) == ("2026-11-25", None) and bad[1].error


def test_bare_numbers_of_a_workbook_that_counts_from_1904_are_its_days(dated, tmp_path):
    from openpyxl import Workbook
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    book = Workbook()
    book.epoch = CALENDAR_MAC_1904
    rows = [["name", "phones", "Met on", "Called at"], ["甲", "", 44889, 44889.586805556], ["乙", "", datetime(2026, 11, 25), None]]
    for row in [*rows, ["丙", "nothing", 44889, None]]:
        book.active.append(row)
    book.save(tmp_path / "mac.xlsx")
    one = sent((tmp_path / "mac.xlsx").read_bytes(), "mac.xlsx")
    shown = [[cell.shown for cell in cells[2:]] for _row, cells in drafts.preview(one.id)]
    assert shown == [["2026-11-25", "2026-11-25 14:05"], ["2026-11-25", ""], ["2026-11-25", ""]]
    assert counts(ran(one)) == (2, 0, 0, 0, 1)
    # The wrong rows come back as CSV, which cannot say from when it counts.
    assert "丙,nothing,2026-11-25 00:00:00," in b"".join(drafts.wrong_file(one.id)).decode()


def test_what_many_records_share_is_no_key(app):
    one = sent([["name", "remarks"], ["甲", "x"]])
    with pytest.raises(Broken, match="“Remarks” tells no record from another"):
        drafts.choose(one.id, keys=["remarks"])


@pytest.mark.parametrize(
    ("cells", "told", "shown"),
    [
        (["25/11/2026", "03/04/2026"], "day first", "2026-04-03"), (["11/25/2026", "03/04/2026"], "month first", "2026-03-04"),
        (["05/06/2026", "03/04/2026"], "not clear", ""), (["25/11/2026", "11/25/2026", "03/04/2026"], "not clear", ""),
        (["04.03.2026"], None, "2026-03-04"), (["04/04/2026"], None, "2026-04-04"),
    ],
)  # fmt: skip
def test_day_and_month_are_told_apart_by_the_whole_column(dated, cells, told, shown):
    one = sent([["name", "Met on"], *([f"c{n}", cell] for n, cell in enumerate(cells))])
    column = drafts.columns(one.id)[1]
    assert (told in column.told) if told else column.told is None
    last = drafts.preview(one.id)[-1][1][1]
    assert last.shown == shown and (bool(shown) or "may be 2026-04-03 or 2026-03-04" in last.error)
    if not shown:
        drafts.choose(one.id, day_order={1: "mdy"})
        assert drafts.preview(one.id)[-1][1][1].shown == "2026-03-04" and "month first" in drafts.columns(one.id)[1].told


def test_the_template_has_the_firms_own_columns_and_its_options(dated):
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(drafts.template_file("crm_client")))
    sheet, options = book.worksheets
    heading = [cell.value for cell in sheet[1]]
    assert heading[0] == "Name" and {"Met on", "Source", "Phones"} < set(heading) and "Changed" not in heading
    place = heading.index("Source") + 1
    assert options.cell(2, place).value == "Referral"
    assert drafts.template_file("crm_client", "csv").decode("utf-8-sig").startswith('"Name","Code"')
    one = sent(drafts.template_file("crm_client", "csv") + b'"x"\r\n', "template.csv")
    assert counts(ran(one)) == (1, 0, 0, 0, 0)
