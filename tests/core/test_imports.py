"""Imports step by step, as screens drive them: draft rows, columns, dry run, jobs, cancel, correction, taking back, memory."""

import io
import re
from datetime import timedelta

import pytest
from sqlalchemy import String, select, update

from core import jobs, records
from core.addons import disable, enable
from core.context import now
from core.db import db
from core.errors import Asleep, Broken, Conflict, Missing, Refused
from core.journal import journal
from core.model import model_of
from core.numbering import NumberRule
from core.people import FieldRight, RoleRight, RoleRow
from core.search import core_search
from core.testing import both_databases
from core.transfer import drafts, import_jobs, reverting, run_import
from core.transfer.draft_tables import KEPT_FOR, core_import, core_import_row
from core.transfer.import_jobs import forget_old_lines
from tests.core.drafting import before_chunk, checked, counts, ran, sent, work
from tests.core.sheets import as_person, count, everything, journalled, write
from tests.firm import firm

LIST = [["名称", "手机", "来源"], ["甲", "13800138000", "网站"], ["乙", "nothing", "网站"], ["丙", "", "展会"]]


# -- the way of a file ------------------------------------------------------------------------------------------------


@both_databases
def test_a_file_becomes_draft_rows_is_tried_and_runs(app, tmp_path):
    path = firm(1200).write(tmp_path / "clients.csv", "gb18030")
    one = sent(path.read_bytes(), "名单.csv")
    assert (one.state, one.encoding, one.total, one.heading_line, one.file_name) == ("draft", "gb18030", 1200, 1, "名单.csv")
    good, wrong = firm(1200).good, len(firm(1200).wrong)
    one = checked(one)
    assert (one.state, one.checked, counts(one)) == ("draft", True, (good, 0, 0, 0, wrong))
    assert count() == 0 and not db.session.execute(select(journal.c.id).where(journal.c.model == "crm_client")).all()
    assert len(drafts.rows(one.id, "refused", limit=500)) == wrong
    one = ran(one)
    assert (one.state, counts(one), one.share) == ("done", (good, 0, 0, 0, wrong), 1.0) and count() == good
    row = drafts.rows(one.id, "created", limit=1)[0]
    assert (row.line, row.state, everything()[0]["id"]) == (2, "created", row.record_id)
    assert [one.model for one in drafts.imports_of()] == ["crm_client"]
    batches = select(journal.c.batch_id, journal.c.door).where(journal.c.model == "crm_client").distinct()
    assert db.session.execute(batches).all() == [(one.batch_id, "import")]


@both_databases
def test_a_dry_run_spends_no_number(app):
    one = sent([["名称"], *([f"client {n}"] for n in range(30))])
    ran(sent([["名称"], ["first"]]))
    rule = select(NumberRule.__table__.c.next_number).where(NumberRule.__table__.c.key == "crm_client.code")
    before = db.session.execute(rule).scalar_one()
    assert counts(checked(one)) == (30, 0, 0, 0, 0)
    assert db.session.execute(rule).scalar_one() == before


def test_a_dry_run_knows_what_an_earlier_line_will_have_made(app):
    rows = [["编号", "名称"], *([f"K{n}", f"client {n}"] for n in range(600)), ["K3", "again"]]
    one = checked(sent(rows))
    assert counts(one) == (600, 0, 1, 0, 0)
    (last,) = drafts.rows(one.id, after=601)
    assert (last.expected, last.matched, last.state) == ("same", "an earlier line of this file", "waiting")
    assert counts(ran(one)) == (600, 1, 0, 0, 0)


def test_columns_are_proposed_with_samples_and_may_be_changed(app):
    one = sent([["客户", "联系方式", "Foo", "备注"], ["甲", "13800138000", "x", "y"], ["乙", "", "", "z"]])
    assert [(c.place, c.heading, c.field, c.samples) for c in drafts.columns(one.id)] == [
        (0, "客户", "name", ["甲", "乙"]), (1, "联系方式", "phones", ["13800138000"]), (2, "Foo", None, ["x"]),
        (3, "备注", "remarks", ["y", "z"]),
    ]  # fmt: skip
    assert {"name", "code", "owner"} < {field.name for field in drafts.fields(one.id)}
    drafts.choose(one.id, {0: "name", 1: "phones", 2: "remarks", 3: None})
    ran(one)
    assert [row["remarks"] for row in everything()] == ["x", None]
    other = sent([["客户", "联系方式", "Foo", "备注"], ["丙", "", "w", ""]])
    assert [c.field for c in drafts.columns(other.id)] == ["name", "phones", "remarks", None], "the match is remembered"
    assert [c.field for c in drafts.columns(sent([["客户", "备注"], ["丁", "v"]]).id)] == ["name", "remarks"], "for this heading only"


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"mapping": {0: "nothing"}}, "There is no field “nothing”"),
        ({"mapping": {0: "name", 2: "name"}}, "Two columns are meant for “Name”"),
        ({"mapping": {1: "phones"}}, "no column for “Name”"), ({"mapping": {0: "changed_at"}}, "kept by the system"),
        ({"mapping": {}}, "choose at least one"), ({"keys": ["code"]}, "No column of this file is “code”"),
        ({"known": "burn"}, "either changed or skipped"), ({"day_order": {0: "ymd"}}, "day or the month"),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_work_is_one_sentence(app, chosen, words):
    one = sent(LIST)
    with pytest.raises(Broken, match=words):
        drafts.choose(one.id, **chosen)


def test_the_match_of_a_person_comes_before_that_of_the_firm(app, create_user):
    li, wang = (create_user(name, level="administrator") for name in ("li", "wang"))
    rows = [["name", "a", "b"], ["x", "1", "2"]]
    with as_person(li):
        one = sent(rows)
        drafts.choose(one.id, {0: "name", 1: "remarks"})
        ran(one)
    with as_person(wang):
        one = sent(rows)
        assert [c.field for c in drafts.columns(one.id)] == ["name", "remarks", None], "the firm's last"
        drafts.choose(one.id, {0: "name", 2: "remarks"})
        ran(one)
    with as_person(li):
        assert [c.field for c in drafts.columns(sent(rows).id)] == ["name", "remarks", None], "one's own"


def test_a_file_without_a_heading_is_read_by_choosing_its_columns(app):
    one = sent([["甲", "13800138000"], ["乙", "13900139000"]])
    assert "No heading of this file" in one.sentence and not any(one.mapping.values())
    drafts.read_again(one.id, 0)
    work()
    drafts.choose(one.id, {0: "name", 1: "phones"})
    assert counts(ran(one)) == (2, 0, 0, 0, 0) and [row["phones"] for row in everything()] == ["13800138000", "13900139000"]


# -- which record a row means -----------------------------------------------------------------------------------------


@both_databases
def test_the_same_file_twice_doubles_nothing_and_says_what_matched(app):
    rows = [["编号", "名称", "手机", "备注"], ["K1", "甲", "", ""], ["", "乙", "13800138000", ""], ["", "丙", "", "x"], ["", "丁", "", "y"]]
    assert counts(ran(sent(rows))) == (4, 0, 0, 0, 0)
    # Somebody corrects a name: no key finds that record any more, but it came from this very line.
    records(model_of("crm_client")).edit(everything()[3]["id"], {"name": "丁丁"})
    one = ran(sent(rows))
    assert counts(one) == (0, 0, 4, 0, 0) and count() == 4
    assert [row.matched for row in drafts.rows(one.id)] == ["Code", "Name + Phones", *["the same line of an earlier import"] * 2]
    other = ran(sent([rows[0], *reversed(rows[1:4])]))
    assert [row.matched for row in drafts.rows(other.id)] == ["all values", "Name + Phones", "Code"] and count() == 4
    assert everything()[3]["name"] == "丁丁"


def test_a_line_that_was_imported_before_is_only_known_to_whom_the_record_is_visible(app, create_user):
    li, wang = (create_user(name, roles=["Salesperson"]) for name in ("li", "wang"))
    rows = [["name", "remarks"], ["甲", "x"]]
    with as_person(li):
        ran(sent(rows))
    with as_person(wang):
        assert counts(ran(sent(rows))) == (1, 0, 0, 0, 0)


@both_databases
def test_a_row_found_by_its_key_and_refused_is_wrong_although_the_line_came_before(app, create, create_user):
    rows = [["code", "name", "phones"], ["K1", "new name", "nothing"], ["K2", "other", ""]]
    first = ran(sent(rows))
    drafts.fix_row(first.id, 2, {"phones": ""})
    # Somebody sees that client, and may not change it.
    porter = create_user("porter", roles=["Porter"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Porter")).one()
    for verb, scopes in {"read": "all", "create": "all", "import": "all", "edit": "own"}.items():
        create(RoleRight, role=role, model="crm_client", verb=verb, scopes=scopes)
    known = {row["code"]: row["id"] for row in everything()}
    records(model_of("crm_client")).edit(known["K2"], {"name": "changed since"})
    with as_person(porter):
        one = ran(sent(rows))
        told = {row.line: (row.state, row.errors) for row in drafts.rows(one.id)}
    assert told[3][0] == "refused" and told[3][1], told
    assert told[2] == ("same", {}), "wrong in the file, corrected in an earlier import: known"


def test_known_records_may_be_left_as_they_are(app, create):
    create("crm_client", name="old", code="A1")
    one = sent([["code", "name"], ["A1", "new"], ["A2", "other"]])
    drafts.choose(one.id, known="skip")
    assert counts(ran(one)) == (1, 0, 0, 1, 0) and everything()[0]["name"] == "old"


# -- stopping, going on, taking back ----------------------------------------------------------------------------------


@both_databases
def test_cancel_finishes_the_chunk_and_the_rest_can_be_resumed(app, tmp_path, monkeypatch):
    one = sent(firm(2000).write(tmp_path / "f.csv").read_bytes())
    tell, asked = jobs.progress, []

    def ask(done, total):
        asked.append(drafts.cancel(one.id)) if not asked else None
        tell(done, total)

    monkeypatch.setattr(import_jobs, "progress", ask)
    one = ran(one)
    assert (one.state, one.read) == ("cancelled", 1000), "the chunk at hand is finished"
    there = count()
    assert there == one.created < firm(2000).good
    drafts.resume(one.id)
    work()
    one = drafts.draft(one.id)
    assert (one.state, one.read, one.created, count()) == ("done", 2000, firm(2000).good, firm(2000).good)
    made = select(journal.c.batch_id).distinct().where(journal.c.verb == "create", journal.c.model == "crm_client")
    assert db.session.execute(made).scalars().all() == [one.batch_id]
    with pytest.raises(Conflict, match="not waiting to be resumed"):
        drafts.resume(one.id)


@both_databases
def test_an_error_in_the_middle_leaves_whole_chunks_and_the_next_attempt_goes_on(app, tmp_path, monkeypatch):
    one = sent(firm(1600).write(tmp_path / "f.csv").read_bytes())

    def fail():
        raise OSError("the disk is full")

    before_chunk(monkeypatch, 3, fail)
    drafts.run_later(one.id)
    work()
    half = drafts.draft(one.id)
    assert (half.state, half.read, count()) == ("running", 1000, half.created)
    db.session.execute(update(jobs.core_job).where(jobs.core_job.c.id == half.job_id).values(due_at=now()))
    work()
    one = drafts.draft(one.id)
    assert (one.state, one.read, count()) == ("done", 1600, firm(1600).good) and one.batch_id == half.batch_id


@both_databases
def test_an_import_is_taken_back_as_a_whole_and_leaves_no_trace(app, create, tmp_path):
    create("crm_client", name="kept", code="A1", remarks="before")
    before = everything()
    heading = [["code", "name", "remarks"]]
    one = ran(sent([*heading, ["A1", "kept", "after"], *([f"K{n}", f"client {n}", ""] for n in range(1300))]))
    assert counts(one)[:2] == (1300, 1) and count() == 1301
    assert drafts.revert(one.id).state == "reverting"
    work()
    one = drafts.draft(one.id)
    after = everything()
    steady = [name for name in before[0] if name not in ("version", "changed_at", "changed_by_id")]
    assert one.state == "reverted" and [[row[n] for n in steady] for row in after] == [[row[n] for n in steady] for row in before]
    assert set(found_by_search("client")) == set()
    with pytest.raises(Conflict, match="undone already"):
        drafts.revert(one.id)
    with pytest.raises(Conflict):
        drafts.resume(one.id)


def found_by_search(words):
    """Ids that the index holds for these words, whether the records are there or not."""
    table = core_search
    ids = {row["id"] for row in everything()}
    held = db.session.execute(select(table.c.record_id, table.c.tokens).where(table.c.tokens.cast(String).contains(words[:4]))).all()
    return [record_id for record_id, _tokens in held if record_id not in ids and record_id > 1]


def test_what_was_changed_since_stays_and_is_told(app, create_user):
    chief = create_user("chief", level="system_administrator")
    with as_person(chief):
        one = ran(sent([["name"], ["a"], ["b"], ["c"]]))
        records(model_of("crm_client")).edit(drafts.rows(one.id)[1].record_id, {"remarks": "by hand"})
        db.session.commit()
        one = drafts.revert(one.id)
    assert one.state == "reverted" and "1 record has been changed since; it stays." in one.sentence
    assert [row["name"] for row in everything()] == ["b"]


@both_databases
def test_what_stays_is_counted_over_attempts_that_died(app, monkeypatch):
    one = ran(sent([["name"], *([f"client {n}"] for n in range(1300))]))
    for place in (3, 1290):
        records(model_of("crm_client")).edit(everything()[place]["id"], {"remarks": "looked at"})
    drafts.revert(one.id)
    real, calls = reverting.undo_part, []

    def dies_once(*args):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("the disk is full")
        return real(*args)

    monkeypatch.setattr(reverting, "undo_part", dies_once)
    work()
    half = drafts.draft(one.id)
    assert half.state == "reverting" and "1 record has been changed since" in half.sentence and 0 < half.job_done < 1300
    db.session.execute(update(jobs.core_job).where(jobs.core_job.c.id == half.job_id).values(due_at=now()))
    work()
    over = drafts.draft(one.id)
    assert (over.state, count()) == ("reverted", 2) and "2 records have been changed since" in over.sentence
    assert over.job_done == 1300, "and what the first attempt did is counted"


@both_databases
def test_what_is_wrong_is_told_to_each_reader_in_his_language(app, create_user):
    wang, chief = create_user("wang", level="administrator", language="zh_Hans"), create_user("chief", level="administrator")
    rows = [["名称", "手机", "来源"], ["", "13800138000", "网站"], ["乙", "电话", "天上"], ["丙", "", "", "多"]]
    with as_person(wang, "zh_Hans"):
        one = ran(sent(rows, "名单.csv"))
        chinese = [row.errors for row in drafts.rows(one.id)]
    assert "天上" in chinese[1]["source"] and not any(re.search("[a-z]{4}", text) for each in chinese for text in each.values())
    with as_person(chief):
        english = [row.errors for row in drafts.rows(one.id)]
        file = b"".join(drafts.wrong_file(one.id)).decode()
    assert english[0] == {"name": "“Name” is needed."} and "is not a phone number" in english[1]["phones"]
    assert "“天上” is not one of the options" in english[1]["source"]
    assert english[2][""].startswith("This line (4) has more cells than the heading")
    assert all(text in file for text in ("“Name” is needed.", "is not a phone number", "This line (4) has more cells"))
    assert [set(each) for each in english] == [set(each) for each in chinese]


def test_only_whoever_made_it_and_administrators_see_an_import_and_take_it_back(app, create_user, clock):
    li, wang = (create_user(name, roles=["Salesperson"]) for name in ("li", "wang"))
    boss = create_user("boss", level="administrator")
    with as_person(li):
        one = ran(sent([["name"], ["a"]]))
    with as_person(wang):
        assert drafts.imports_of() == []
        for look in (drafts.draft, drafts.rows, drafts.columns, drafts.preview, drafts.run_later, drafts.revert, drafts.cancel):
            with pytest.raises(Missing):
                look(one.id)
        with pytest.raises(Missing):
            drafts.fix_row(one.id, 2, {"name": "x"})
    clock.advance(timedelta(minutes=20))
    with as_person(li), pytest.raises(Refused):
        drafts.revert(one.id)
    with as_person(boss):
        assert [each.id for each in drafts.imports_of()] == [one.id] and drafts.revert(one.id).state == "reverted"
    assert count() == 0


def test_who_may_not_import_begins_nothing(app, create_user):
    with as_person(create_user("stranger")), pytest.raises(Refused, match="You may not import Clients"):
        drafts.begin("crm_client", io.BytesIO(b"name\na"), "f.csv")
    assert not db.session.execute(select(core_import)).all()


def test_an_import_sleeps_with_its_addon(app, create_user):
    chief = create_user("chief", level="system_administrator")
    with as_person(chief):
        one = sent([["name"], ["a"]])
        disable("crm_client")
        db.session.commit()
        for do in (drafts.run_later, drafts.check_later, drafts.columns):
            with pytest.raises(Asleep):
                do(one.id)
        with pytest.raises(Asleep):
            drafts.begin("crm_client", io.BytesIO(b"name\na"), "f.csv")
        enable("crm_client")
        db.session.commit()
        assert counts(ran(one)) == (1, 0, 0, 0, 0)


# -- wrong rows -------------------------------------------------------------------------------------------------------


@both_databases
def test_a_wrong_row_is_corrected_in_place_in_the_same_batch(app):
    one = ran(sent(LIST))
    assert counts(one) == (2, 0, 0, 0, 1)
    (wrong,) = drafts.rows(one.id, "refused")
    assert wrong.line == 3 and "not a phone number" in wrong.errors["phones"]
    text = b"".join(drafts.wrong_file(one.id)).decode("utf-8-sig")
    assert text.splitlines()[0] == "名称,手机,来源,Reason" and "乙,nothing,网站,Phones: “nothing” is not a phone number." in text
    assert "phone" in drafts.fix_row(one.id, 3, {"手机": "still nothing"}).errors["phones"]
    fixed = drafts.fix_row(one.id, 3, {"手机": "13900139000"})
    db.session.commit()
    assert (fixed.state, fixed.errors, fixed.cells[1]) == ("created", {}, "13900139000")
    one = drafts.draft(one.id)
    assert counts(one) == (3, 0, 0, 0, 0) and count() == 3
    made_by = select(journal.c.batch_id).where(journal.c.verb == "create", journal.c.model == "crm_client")
    assert set(db.session.execute(made_by).scalars()) == {one.batch_id}
    with pytest.raises(Conflict, match="not wrong"):
        drafts.fix_row(one.id, 3, {"手机": "1"})
    assert counts(ran(sent(LIST))) == (0, 0, 3, 0, 0), "the line of the original is remembered, although it was corrected"


def test_before_the_run_a_corrected_row_is_only_tried(app):
    one = checked(sent(LIST))
    assert drafts.fix_row(one.id, 3, {"手机": "13900139000"}).expected == "created" and count() == 0
    with pytest.raises(Broken, match="no column “xyz”"):
        drafts.fix_row(checked(sent(LIST)).id, 3, {"xyz": "1"})
    assert counts(drafts.draft(one.id)) == (3, 0, 0, 0, 0) and counts(ran(one)) == (3, 0, 0, 0, 0)


def test_old_lines_are_forgotten_and_still_recognised(app, clock):
    one, draft_only = ran(sent(LIST)), sent(LIST)
    clock.advance(KEPT_FOR + timedelta(days=1))
    forget_old_lines()
    db.session.commit()
    kept = db.session.execute(select(core_import_row.c.cells, core_import_row.c.record_id).order_by(core_import_row.c.line)).all()
    assert [cells for cells, _id in kept] == [None] * 3 and kept[0].record_id is not None
    assert [each.id for each in drafts.imports_of()] == [one.id] and draft_only.id != one.id
    assert counts(ran(sent(LIST)))[:3] == (0, 0, 2)


def test_a_column_one_may_not_write_is_left_out_with_the_reason(app, create_user):
    li = create_user("li", roles=["Salesperson"])
    role = db.session.scalars(select(RoleRow).where(RoleRow.name == "Salesperson")).one()
    db.session.add(FieldRight(role_id=role.id, model="crm_client", field_name="status", access="read_only"))
    db.session.commit()
    with as_person(li):
        one = sent([["name", "status"], ["a", "signed"]])
        assert [(c.field, c.why) for c in drafts.columns(one.id)] == [("name", None), (None, "You may not change “Status”.")]
        with pytest.raises(Broken, match="You may not change “Status”"):
            drafts.choose(one.id, {0: "name", 1: "status"})
        ran(one)
    assert everything()[0]["status"] == "nobody_in_contact"


def test_an_import_writes_one_line_into_the_journal(app, tmp_path):
    run_import("crm_client", write(tmp_path / "f.csv", [["name"], ["a"], [""], ["b"]]))
    (told,) = journalled("import")
    assert '"created":[null,2]' in told["changes"] and '"file":[null,"f.csv"]' in told["changes"]
