"""Imports in the browser, through HTTP: the way from a file to its records and back, and what each page refuses."""

from __future__ import annotations

import io
import re
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import select, update

from core.db import db
from core.jobs import run_jobs
from core.model import model_of
from core.people import FieldRight, RoleRow
from core.testing import both_databases, settle, statements
from core.transfer.draft_tables import core_import, core_import_row
from tests.core.sheets import count
from tests.firm import HEADING, firm

HOME = "/crm_client/_import"


@pytest.fixture
def seller(login_as: Any) -> Any:
    """A browser of a salesperson, who may import clients."""
    return login_as("li.wei", roles=["Salesperson"])


def text_of(*lines: str, encoding: str = "utf-8") -> bytes:
    """A file of these lines."""
    return "\n".join(lines).encode(encoding)


FOUR = text_of(
    "客户名称,手机,登记日,分类", "远山会展有限公司,138 0000 1111,1,正式客户", "青山贸易有限公司,+86 13800002222,2,正式客户",
    ",13800003333,3,正式客户", "海天软件有限公司,下周再问,4,天上掉的",
)  # fmt: skip


def send(browser: Any, content: bytes = FOUR, name: str = "客户.csv", **more: str) -> Any:
    """Send a file; the answer."""
    return browser.post(HOME, data={"file": (io.BytesIO(content), name), **more}, content_type="multipart/form-data")


def jobs() -> None:
    """Let everything that waits be done."""
    settle()
    run_jobs(once=True)
    settle()


def read_in(browser: Any, content: bytes = FOUR, **more: str) -> str:
    """Send a file and let it be read; the address of its import."""
    sent = send(browser, content, **more)
    assert sent.status_code == 302, sent.text
    jobs()
    return sent.headers["Location"]


def chosen(page: str) -> dict[str, Any]:
    """What the form of the columns would send as it stands."""
    sent: dict[str, Any] = {}
    for name, inside in re.findall(r'<select[^>]* name="((?:field|days)-\d+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        value = re.search(r'value="([^"]*)" selected', inside)
        sent[name] = value[1] if value else ""
    sent["key"] = "own" if 'value="own" checked' in page else "default"
    sent["keys"] = re.findall(r'name="keys" value="(\w+)" checked', page)
    sent["known"] = "skip" if 'value="skip" checked' in page else "change"
    return sent


def tried(browser: Any, content: bytes = FOUR, **more: Any) -> str:
    """Send a file, match its columns as proposed, and let the dry run be done; the address of its import."""
    here = read_in(browser, content)
    sent = browser.post(f"{here}/columns", data={**chosen(browser.get(f"{here}/columns").text), **more})
    assert sent.status_code == 302, sent.text
    jobs()
    return here


def imported(browser: Any, content: bytes = FOUR, **more: Any) -> str:
    """Import a file all the way; the address of its import."""
    here = tried(browser, content, **more)
    browser.post(f"{here}/run")
    jobs()
    return here


def state(here: str) -> Any:
    """The stored import at this address."""
    settle()
    return db.session.execute(select(core_import).where(core_import.c.id == int(here.rsplit("/", 1)[1]))).one()


def tabs(page: str) -> dict[str, str]:
    """{outcome: count} as the tabs show them."""
    return dict(re.findall(r'">([^<]+)<span class="m-count[^"]*">([\d,]+)</span></a>', page))


# -- the way ----------------------------------------------------------------------------------------------------------


@both_databases
def test_a_file_becomes_records_step_by_step(app: Any, admin: Any) -> None:
    assert 'href="/crm_client/_import"' in admin.get("/crm_client/").text
    sent = send(admin)
    here = sent.headers["Location"]
    waiting = admin.get(here)
    assert "The file is being read" in waiting.text and "hx-get" in waiting.text and "http-equiv" in waiting.text
    assert admin.get(f"{here}/_progress").headers.get("HX-Refresh") is None
    jobs()
    assert admin.get(f"{here}/_progress").headers["HX-Refresh"] == "true"
    assert admin.get(here).headers["Location"] == f"{here}/columns"
    page = admin.get(f"{here}/columns").text
    assert chosen(page) == {
        "field-0": "name", "field-1": "phones", "field-2": "", "field-3": "category", "key": "default", "keys": [], "known": "change",
    }  # fmt: skip
    assert "138 0000 1111" in page and "4 rows" in page and "3 of 4 columns go into a field" in page
    assert admin.post(f"{here}/columns", data=chosen(page)).headers["Location"] == here
    assert "Dry run" in admin.get(here).text and count() == 0
    jobs()
    dry = admin.get(here).text
    assert tabs(dry) == {"All": "4", "Wrong": "2", "Added": "2"} and "Import 2 rows" in dry
    assert "<s>正式客户</s> Formal" in dry and "is needed" in dry and count() == 0
    wrong = admin.get(here, query_string={"show": "refused"}).text
    assert "海天软件" in wrong and "远山会展" not in wrong and "天上掉的" in wrong
    assert admin.post(f"{here}/run").headers["Location"] == here
    jobs()
    done = admin.get(here).text
    assert count() == 2 and "The import is finished." in done
    stored = db.session.query(model_of("crm_client")).all()
    assert all(f'href="/crm_client/{one.id}"' in done for one in stored)
    earlier = admin.get(HOME).text
    assert "客户.csv" in earlier and "added: 2, wrong: 2" in earlier and f'href="{here}/revert"' in earlier


@both_databases
def test_one_wrong_row_after_the_other_is_corrected_in_place(app: Any, admin: Any) -> None:
    here = imported(admin)
    page = admin.get(here, query_string={"show": "refused", "row": 5}).text
    assert 'value="下周再问"' in page and page.count("autofocus") == 1
    still = admin.post(f"{here}/row/5", data={"cell-0": "海天软件有限公司", "cell-1": "13800004444", "cell-3": "天上掉的"})
    assert "row=5" in still.headers["Location"] and count() == 2
    page = admin.get(still.headers["Location"]).text
    assert 'value="13800004444"' in page and "not right yet" in page
    first = admin.post(f"{here}/row/5", data={"cell-1": "13800004444", "cell-3": "正式客户"})
    assert "row=4" in first.headers["Location"] and count() == 3
    assert admin.post(f"{here}/row/5", data={"cell-3": "正式客户"}).status_code == 302 and count() == 3
    last = admin.post(f"{here}/row/4", data={"cell-0": "补上的有限公司"})
    assert count() == 4 and "row=" not in last.headers["Location"]
    assert "No wrong row is left" in admin.get(last.headers["Location"]).text
    assert (state(here).created, state(here).refused) == (4, 0)


def test_a_row_is_corrected_before_the_import_and_nothing_is_stored(app: Any, admin: Any) -> None:
    here = tried(admin)
    admin.post(f"{here}/row/4", data={"cell-0": "补上的有限公司"})
    assert count() == 0 and "Import 3 rows" in admin.get(here).text


@both_databases
def test_the_whole_import_is_taken_back_after_a_question(app: Any, admin: Any) -> None:
    here = imported(admin)
    record = db.session.query(model_of("crm_client")).filter_by(name="远山会展有限公司").one()
    number = record.id
    admin.post(f"/crm_client/{number}", data={"name": record.name, "address": "上海", "_seen": "{}", "_version": "1"})
    question = admin.get(f"{here}/revert").text
    assert re.search(r"Added records</span><b>2</b>", question) and re.search(r"Changed by somebody since</span><b>1</b>", question)
    assert admin.post(f"{here}/revert").status_code == 302
    jobs()
    assert state(here).state == "reverted" and count() == 1
    assert admin.post(f"{here}/revert").status_code == 302 and admin.get(f"{here}/revert").status_code == 302
    assert "The import was undone." in admin.get(here).text


def test_a_cancelled_import_goes_on_where_it_was(app: Any, admin: Any, monkeypatch: Any) -> None:
    from core.transfer import import_jobs

    rows = [f"客户{number}有限公司,1380000{number:04}" for number in range(1200)]
    here = tried(admin, text_of("客户名称,手机", *rows))
    admin.post(f"{here}/run")
    seen: list[str] = []

    def between_two_chunks(read: int, _total: int) -> None:
        if read == 500:
            seen.append(admin.get(f"{here}/_progress").text)
            admin.post(f"{here}/cancel")
            seen.append(admin.get(here).text)

    monkeypatch.setattr(import_jobs, "progress", between_two_chunks)
    jobs()
    assert "500 of 1,200 rows" in seen[0] and 'value="500"' in seen[0] and "added: 500" in seen[0]
    assert "It stops after the rows at hand" in seen[1] and f'action="{here}/cancel"' not in seen[1]
    stopped = admin.get(here).text
    assert state(here).state == "cancelled" and count() == 1000
    assert tabs(stopped)["Waiting"] == "200" and f'action="{here}/resume"' in stopped
    assert f'action="{here}/resume"' in admin.get(HOME).text
    assert admin.post(f"{here}/resume").status_code == 302
    jobs()
    assert state(here).state == "done" and count() == 1200


def test_every_form_sent_twice_has_one_effect(app: Any, admin: Any) -> None:
    first, second = send(admin, _once="abc"), send(admin, _once="abc")
    assert first.headers["Location"] == second.headers["Location"]
    here = first.headers["Location"]
    jobs()
    sent = chosen(admin.get(f"{here}/columns").text)
    assert [admin.post(f"{here}/columns", data=sent).status_code for _time in range(2)] == [302, 302]
    assert admin.post(f"{here}/check").headers["Location"] == here
    jobs()
    assert [admin.post(f"{here}/run").headers["Location"] for _time in range(2)] == [here, here]
    jobs()
    assert admin.post(f"{here}/run").headers["Location"] == here
    jobs()
    assert count() == 2 and len(admin.get(HOME).text.split("客户.csv</a>")) == 2
    draft = read_in(admin)
    assert [admin.post(f"{draft}/forget").headers["Location"] for _time in range(2)] == [HOME, HOME]
    assert admin.get(draft).status_code == 404


def test_the_second_file_of_a_kind_is_matched_as_last_time(app: Any, admin: Any) -> None:
    imported(admin, **{"field-2": "code", "key": "own", "keys": ["name"], "known": "skip"})
    page = admin.get(f"{read_in(admin)}/columns").text
    assert "matched as last time" in page
    assert chosen(page)["field-2"] == "code" and chosen(page)["keys"] == ["name"] and chosen(page)["known"] == "skip"


def test_wrong_rows_and_templates_come_as_files(app: Any, admin: Any) -> None:
    here = imported(admin)
    wrong = admin.get(f"{here}/wrong.csv")
    assert wrong.data.decode("utf-8-sig").count("\r\n") == 3 and "下周再问" in wrong.text
    told = wrong.headers["Content-Disposition"]
    assert told.isascii() and unquote(told).endswith("客户 wrong rows.csv"), "servers refuse other letters in a header"
    empty = admin.get(f"{HOME}/template.csv").data.decode("utf-8-sig")
    assert "Name" in empty and admin.get(f"{HOME}/template.xlsx").data.startswith(b"PK")
    assert admin.get(f"{HOME}/template.pdf").status_code == 404


# -- columns ----------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_beside_its_place_and_nothing_is_lost(app: Any, admin: Any) -> None:
    here = read_in(admin)
    sent = chosen(admin.get(f"{here}/columns").text)
    twice = admin.post(f"{here}/columns", data={**sent, "field-2": "name", "known": "skip"})
    assert twice.status_code == 422 and "Two columns are meant for" in twice.text and twice.text.count('aria-invalid="true"') == 2
    assert chosen(twice.text)["field-2"] == "name" and chosen(twice.text)["known"] == "skip"
    key = admin.post(f"{here}/columns", data={**sent, "key": "own", "keys": ["email"]})
    assert key.status_code == 422 and "should be the key" in key.text and chosen(key.text)["keys"] == ["email"]
    none = admin.post(f"{here}/columns", data={**sent, "field-0": "", "field-1": "", "field-3": ""})
    assert none.status_code == 422 and 'id="errors"' in none.text
    assert admin.post(f"{here}/columns", data={**sent, "field-0": "no_such"}).status_code == 422
    assert state(here).state == "draft" and state(here).known == "change"


def test_the_order_of_day_and_month_is_asked_where_it_is_not_clear(app: Any, admin: Any) -> None:
    here = read_in(admin, text_of("客户名称,生日", "远山会展有限公司,03/04/2026"))
    sent = chosen(admin.get(f"{here}/columns").text)
    assert sent["field-1"] == "birthday"
    page = admin.get(f"{here}/columns").text
    assert 'name="days-1"' in page and "It is not clear" in page
    admin.post(f"{here}/columns", data={**sent, "days-1": "dmy"})
    jobs()
    assert "2026-04-03" in admin.get(here).text


def test_another_line_is_taken_as_the_heading(app: Any, admin: Any) -> None:
    here = read_in(admin, text_of("2026 年客户名单,,", "随便,什么,都行", "客户名称,手机,分类", "远山会展有限公司,13800001111,正式客户"))
    assert admin.post(f"{here}/heading", data={"line": "x"}).headers["Location"] == f"{here}/columns"
    admin.post(f"{here}/heading", data={"line": "2"})
    jobs()
    assert "2 rows" in admin.get(f"{here}/columns").text
    admin.post(f"{here}/heading", data={"none": "1", "line": "2"})
    jobs()
    page = admin.get(f"{here}/columns").text
    assert "having no heading" in page and "4 rows" in page and "Column 1" in page


def test_a_column_that_one_may_not_write_is_left_out_with_the_reason(app: Any, seller: Any) -> None:
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name="category", access="read_only"))
    db.session.commit()
    here = read_in(seller)
    page = seller.get(f"{here}/columns").text
    assert chosen(page)["field-3"] == "" and "ti-lock" in page
    assert seller.post(f"{here}/columns", data={**chosen(page), "field-3": "category"}).status_code == 422


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"%PDF-1.7 " + b"x" * 500, "list.csv", "neither CSV nor an Excel workbook"),
        (b"PK\x03\x04" + b"\0" * 400, "list.xlsx", "is not an Excel workbook"), (b"\x00\x01\x02" * 900, "a.csv", "table of text"),
        (text_of(",".join("x" * 300)), "wide.csv", "more than 200 columns"), (b"   \n  ", "blank.csv", "is empty"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why_and_takes_another(app: Any, admin: Any, content: bytes, name: str, words: str) -> None:
    here = send(admin, content, name).headers["Location"]
    jobs()
    page = admin.get(here)
    assert page.status_code == 200 and words in page.text and 'type="file"' in page.text
    assert admin.get(f"{here}/columns").headers["Location"] == here
    assert send(admin).status_code == 302
    assert admin.post(f"{here}/forget").headers["Location"] == HOME


def test_no_file_and_an_empty_file_are_answered_on_the_page(app: Any, admin: Any) -> None:
    for answer, words in ((admin.post(HOME, data={}), "choose a file"), (send(admin, b""), "is empty")):
        assert answer.status_code == 400 and words in answer.text and 'aria-invalid="true"' in answer.text


def test_a_list_may_be_larger_than_other_uploads_but_not_endless(app: Any, admin: Any, monkeypatch: Any) -> None:
    from core.web import gate

    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 1000)
    rows = text_of("客户名称", *[f"客户{number}有限公司" for number in range(500)])
    assert send(admin, rows).status_code == 302
    assert admin.post("/file/", data={"file": (io.BytesIO(rows), "x.csv")}).status_code == 413
    monkeypatch.setitem(gate.LARGE_UPLOADS, "imports.upload", 3 * 2**20)
    refused = send(admin, b"x" * (4 * 2**20))
    assert refused.status_code == 413 and "at most 3 MB" in refused.text


def test_an_import_is_open_to_its_maker_and_administrators_only(app: Any, seller: Any, admin: Any, login_as: Any) -> None:
    here = imported(seller)
    other = login_as("wang.fang", roles=["Salesperson"])
    for address in (here, f"{here}/columns", f"{here}/_progress", f"{here}/wrong.csv", f"{here}/revert"):
        assert other.get(address).status_code == 404, address
        assert admin.get(address).status_code in (200, 302), address
    for address in ("run", "check", "cancel", "resume", "heading", "columns", "row/2", "revert"):
        assert other.post(f"{here}/{address}").status_code == 404, address
    assert "客户.csv" not in other.get(HOME).text and "客户.csv" in admin.get(HOME).text
    # Neither does it answer at the address of another kind of record.
    assert admin.get(here.replace("crm_client", "crm_contact")).status_code == 404


def test_without_the_right_to_import_there_is_no_door(app: Any, login_as: Any, admin: Any) -> None:
    here = read_in(admin)
    guest = login_as("guest")
    assert "_import" not in guest.get("/").text
    for address in (HOME, f"{HOME}/template.csv", here):
        assert guest.get(address).status_code == 403, address
    assert send(guest).status_code == 403 and guest.post(f"{here}/run").status_code == 403
    assert admin.post(HOME, data={"file": (io.BytesIO(FOUR), "x.csv")}, form_token=False).status_code == 400


def test_asleep_every_address_of_an_import_is_asleep(app: Any, admin: Any) -> None:
    from core.addons import disable

    here = imported(admin)
    disable("crm_client")
    settle()
    for address in (HOME, here, f"{here}/columns", f"{here}/revert", f"{here}/_progress", f"{HOME}/template.csv"):
        assert admin.get(address).status_code == 404, address
    assert send(admin).status_code == 404 and admin.post(f"{here}/run").status_code == 404


@pytest.mark.parametrize("address", ["/999999", "/99999999999999999999", "/1/row/99999999999999999999", "/x", "/1/nothing"])
def test_a_damaged_address_is_answered_with_a_sentence(app: Any, admin: Any, address: str) -> None:
    assert admin.get(HOME + address).status_code in (404, 405)
    assert admin.post(HOME + address).status_code in (404, 405)


def test_two_tabs_do_not_break_each_other(app: Any, admin: Any) -> None:
    here = tried(admin)
    sent = chosen(admin.get(f"{here}/columns").text)
    admin.post(f"{here}/run")
    # The other tab still shows the columns, and the preview.
    assert admin.post(f"{here}/columns", data=sent).status_code == 302
    assert admin.post(f"{here}/row/4", data={"cell-0": "补上的有限公司"}).status_code == 302
    assert admin.post(f"{here}/forget").headers["Location"] == here
    jobs()
    assert admin.post(f"{here}/check").status_code == 302 and admin.post(f"{here}/columns", data=sent).status_code == 302
    assert (state(here).state, count()) == ("done", 2)
    assert "_import" in admin.get(here, query_string={"show": "nonsense", "after": "x", "row": "²"}).text


def test_an_import_whose_texts_were_forgotten_can_still_be_looked_at(app: Any, admin: Any) -> None:
    here = imported(admin)
    db.session.execute(update(core_import_row).values(cells=None, errors=None))
    page = admin.get(here)
    assert page.status_code == 200 and "Correct line" not in page.text
    assert admin.post(f"{here}/row/4", data={"cell-0": "补上的有限公司"}).status_code == 302 and count() == 2


def test_the_pages_take_few_statements_however_many_rows_there_are(app: Any, admin: Any) -> None:
    few = tried(admin, text_of("客户名称,手机,负责人", "远山会展有限公司,13800001111,boss"))
    made = firm(400)
    many = tried(admin, text_of(",".join(HEADING), *[",".join(row[:4]) for row in made.rows]))
    for path in ("", "/columns"):
        counts = []
        for here in (few, many):
            admin.get(here + path)
            with statements() as found:
                admin.get(here + path)
            counts.append(len(found))
        assert counts[1] <= counts[0] + 2 and max(counts) <= 16, (path, counts, "\n".join(found))
