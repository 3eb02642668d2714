"""Fields made by an administrator are real fields at once: stored, filtered, sorted, indexed, computed, and never lost."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import aliased

from core.addons import disable, enable
from core.custom import CustomField, FieldSetting, stored_value
from core.custom_jobs import build_index, recompute_formulas
from core.custom_sql import expression, index_name
from core.db import db
from core.errors import Invalid
from core.formula import evaluate
from core.jobs import core_job
from core.model import fields_of
from core.options import Dictionary, Option, option_key, options
from core.records import records
from core.state import generation
from tests.core.boxes import boxes_on_each_database  # noqa: F401  the fixture “boxes”
from tests.core.kernel import acts, row

SAMPLES = {
    "text": ("李雷", "阿"), "long": ("line\nline", "a"), "integer": (7, -3), "decimal": (Decimal("1.500000"), Decimal("-20")),
    "money": (Decimal("10.50"), Decimal("9.00")), "date": (date(2024, 2, 29), date(2023, 12, 31)),
    "datetime": (datetime(2026, 11, 30, 14, 5, 6), datetime(2026, 1, 1)), "yesno": (True, False),
    "phone": ("13800138000", "010-12345678"), "email": ("b@example.com", "a@example.com"),
}  # fmt: skip


def define(boxes, **values) -> str:
    """A new field of boxes by the administrator's hand, committed; returns its name."""
    with acts(boxes.admin):
        made = records(CustomField).create({"model": "meta_box", **values})
        db.session.commit()
        return made.name


def field_named(boxes, name):
    return fields_of(boxes.Box)[name]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_field_of_each_kind_keeps_compares_and_sorts_its_values(boxes, kind):
    name = define(boxes, title=f"Sample {kind}", kind=kind)
    assert name == f"x_sample_{kind}"
    more, less = SAMPLES[kind]
    with acts(boxes.admin):
        gate = records(boxes.Box)
        ids = {value: gate.create({"name": f"{kind} {value}", name: value}).id for value in (more, less)}
        gate.create({"name": f"{kind} empty"})
        db.session.commit()
    with acts(boxes.admin):
        one = field_named(boxes, name)
        column = one.column(boxes.Box)
        assert one.get(db.session.get(boxes.Box, ids[more])) == more
        assert dict(db.session.execute(select(boxes.Box.id, column).where(column.is_not(None))).all()) == {ids[more]: more, ids[less]: less}
        assert db.session.execute(select(boxes.Box.id).where(column == more)).scalars().all() == [ids[more]]
        if kind not in ("long", "text"):
            in_order = db.session.execute(select(boxes.Box.id).where(column.is_not(None)).order_by(column.desc())).scalars().all()
            assert in_order == [ids[value] for value in sorted((more, less), reverse=True)]
        other = aliased(boxes.Box)
        assert db.session.execute(select(other.id).where(one.column(other) == less)).scalars().all() == [ids[less]]
        inside = select(boxes.Box.id, column.label("value")).subquery()
        assert db.session.execute(select(func.count()).select_from(inside).where(inside.c.value.is_not(None))).scalar() == 2


DAMAGED = [
    None, "", "abc", "12abc", 5, -1.5, True, False, [], ["a"], {"a": 1}, "1e5", "2023-02-29", "2024-02-30", "0000-01-01", "now",
    "2024-13-01", "2024-01-01T25:00:00Z", "2024-02-30T10:00:00Z", "2024-01-01T10:00:00", "99999999999999999999999", 2**63, "true",
    "1900-02-29", "2000-02-29", "2024-06-31", "12.50", "-7", "007", "2024-01-01T10:00:00.123456Z", "١٢", "%s", "'", '"', "Infinity", "NaN",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["integer", "decimal", "money", "date", "datetime", "yesno", "choices", "text", "formula"])
def test_what_does_not_read_as_the_kind_is_nothing_and_never_an_error(boxes, kind):
    more = {"formula": "amount"} if kind == "formula" else {}
    name = define(boxes, title=f"Damaged {kind}", kind=kind, indexed=kind not in ("choices", "text"), **more)
    with acts(boxes.admin):
        build_index(model="meta_box", name=name)
        db.session.commit()
    # The index holds the very expression of the queries: a value that made it raise could not even be stored.
    ids = {row("meta_box", name="damaged", stage="new", version=1, custom={name: value}): value for value in DAMAGED}
    with acts(boxes.admin):
        one = field_named(boxes, name)
        column = one.column(boxes.Box)
        read = dict(db.session.execute(select(boxes.Box.id, column).where(boxes.Box.id.in_(ids)).order_by(column)).all())
        if kind == "text":
            return
        for box_id, value in ids.items():
            record = db.session.get(boxes.Box, box_id)
            if kind in ("decimal", "money", "formula") and read[box_id] is not None:
                assert float(read[box_id]) == pytest.approx(float(stored_value(record, one)), rel=1e-6, abs=0.01), value
            else:
                assert read[box_id] == stored_value(record, one), value
        good = {"date": {"2000-02-29"}, "datetime": {"2024-01-01T10:00:00.123456Z"}, "money": {"12.50", "-7", 5, -1.5}}.get(kind, set())
        if good:
            got = {value for box_id, value in ids.items() if isinstance(value, (str, int, float)) and read[box_id] is not None}
            assert good <= got
            assert not got & {
                "abc",
                "",
                "12abc",
                "now",
                "2024-02-30",
                "2023-02-29",
                "1900-02-29",
                "0000-01-01",
                "true",
                "NaN",
                "Infinity",
                True,
            }


def test_two_fields_of_one_kind_are_two_expressions_for_the_statement_cache(boxes):
    names = [define(boxes, title=title, kind="integer") for title in ("Left", "Right")]
    with acts(boxes.admin):
        made = records(boxes.Box).create({"name": "both", names[0]: 1, names[1]: 2})
        db.session.flush()
        for _again in range(2):
            for name, value in zip(names, (1, 2), strict=True):
                column = field_named(boxes, name).column(boxes.Box)
                assert db.session.execute(select(column).where(boxes.Box.id == made.id)).scalar() == value
                assert column._generate_cache_key() is not None


@pytest.mark.parametrize("kind", ["text", "integer", "money", "date", "datetime", "yesno"])
def test_the_index_is_made_by_a_job_and_queries_use_it(boxes, kind):
    name = define(boxes, title=f"Indexed {kind}", kind=kind, indexed=True)
    with acts(boxes.admin):
        assert not field_named(boxes, name).indexed, "sorting is not offered before the index is there"
        jobs = db.session.execute(select(core_job.c.arguments).where(core_job.c.name == "core.custom_jobs:build_index")).scalars().all()
        assert {"model": "meta_box", "name": name} in map(json.loads, jobs)
    with acts(boxes.admin):
        build_index(model="meta_box", name=name)
        db.session.commit()
    with acts(boxes.admin):
        one = field_named(boxes, name)
        assert one.indexed
        column = one.column(boxes.Box)
        if boxes.kind == "postgresql":
            db.session.execute(text("SET LOCAL enable_seqscan = off"))
        query = select(boxes.Box.id).where(column == SAMPLES[kind][0]).compile(db.engine, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if boxes.kind == "sqlite" else "EXPLAIN"
        plan = "\n".join(str(line) for line in db.session.connection().exec_driver_sql(f"{explain} {query}"))
        assert index_name("meta_box", name) in plan
        made = db.session.execute(select(CustomField).where(CustomField.name == name)).scalar_one()
        records(CustomField).edit(made, {"indexed": False})
        db.session.flush()
        assert not field_named(boxes, name).indexed


def test_a_field_shows_at_the_next_request_and_a_rolled_back_one_never(boxes):
    with acts(boxes.admin):
        before = generation()
        name = records(CustomField).create({"model": "meta_box", "title": "Thought again", "kind": "text"}).name
        assert name in fields_of(boxes.Box), "whoever made it sees it in the same request"
        db.session.rollback()
    with acts(boxes.admin):
        assert name not in fields_of(boxes.Box) and generation() == before
    name = define(boxes, title="Here to stay", kind="text")
    with acts(boxes.ann):
        assert name in fields_of(boxes.Box) and generation() > before


def test_a_label_in_chinese_gives_a_name_in_pinyin_and_each_language_its_label(boxes):
    name = define(boxes, title="籍贯", kind="text", titles={"en": "Birthplace", "zh_Hant": "籍貫"})
    assert name == "x_ji_guan"
    for language, label in (("en", "Birthplace"), ("zh_Hans", "籍贯"), ("zh_Hant", "籍貫")):
        with acts(boxes.ann, language=language):
            assert fields_of(boxes.Box)[name].title == label


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"title": " ", "kind": "text"}, "title"),
        ({"title": "A", "kind": "colour"}, "kind"),
        ({"title": "A", "kind": "code"}, "kind"),
        ({"title": "A", "kind": "text", "model": "no_such"}, "model"),
        ({"title": "A", "kind": "link"}, "target"),
        ({"title": "A", "kind": "link", "target": "no_such"}, "target"),
        ({"title": "A", "kind": "choice", "choices": "no.such"}, "choices"),
        ({"title": "A", "kind": "formula"}, "formula"),
        ({"title": "A", "kind": "formula", "formula": "name * 2"}, "formula"),
        ({"title": "A", "kind": "long", "indexed": True}, "indexed"),
        ({"title": "A", "kind": "text", "titles": {"fr": "Un"}}, "titles"),
        ({"title": "A", "kind": "text", "name": "id"}, "name"),
    ],
)
def test_a_definition_that_cannot_work_is_refused_with_a_sentence(boxes, values, wrong):
    with acts(boxes.admin), pytest.raises(Invalid) as refused:
        records(CustomField).create({"model": "meta_box", **values})
    assert wrong in refused.value.errors
    assert refused.value.errors[wrong].endswith((".", "”."))


def test_a_fields_kind_and_name_never_change(boxes):
    name = define(boxes, title="Fixed", kind="text")
    for change in ({"kind": "integer"}, {"model": "meta_crate"}):
        with acts(boxes.admin):
            made = db.session.execute(select(CustomField).where(CustomField.name == name)).scalar_one()
            with pytest.raises(Invalid):
                records(CustomField).edit(made, change)
    with acts(boxes.admin):
        made = db.session.execute(select(CustomField).where(CustomField.name == name)).scalar_one()
        records(CustomField).edit(made, {"title": "Other words"})
        assert made.name == name and fields_of(boxes.Box)[name].label == "Other words"


def test_a_deleted_fields_values_sleep_and_nobody_gets_its_name(boxes):
    name = define(boxes, title="Gone", kind="text")
    with acts(boxes.admin):
        box_id = records(boxes.Box).create({"name": "keeps", name: "kept"}).id
        db.session.commit()
    with acts(boxes.admin):
        records(CustomField).delete(db.session.execute(select(CustomField.id).where(CustomField.name == name)).scalar_one())
        db.session.commit()
    with acts(boxes.admin):
        assert name not in fields_of(boxes.Box)
        with pytest.raises(Invalid):
            records(boxes.Box).edit(box_id, {name: "x"})
    with acts(boxes.admin):
        box = records(boxes.Box).get(box_id)
        records(boxes.Box).edit(box, {"name": "still keeps"})
        assert box.custom[name] == "kept"
        db.session.commit()
    assert define(boxes, title="Gone", kind="integer") == f"{name}_2"
    with acts(boxes.admin):
        db.session.add(CustomField(model="meta_box", name=name, title="Gone", kind="integer"))
        with pytest.raises(Invalid):
            db.session.flush()
    with acts(boxes.admin):
        db.session.add(CustomField(model="meta_box", name=name, title="Gone", kind="text"))
        db.session.flush()
        assert fields_of(boxes.Box)[name].get(db.session.get(boxes.Box, box_id)) == "kept", "the same field again, as undo brings it back"


def test_a_choice_field_gets_a_dictionary_of_its_own(boxes):
    name = define(boxes, title="Mood", kind="choice")
    with acts(boxes.admin):
        one = fields_of(boxes.Box)[name]
        assert one.choices == f"meta_box.{name}" and options(one.choices) == []
        dictionary = db.session.execute(select(Dictionary).where(Dictionary.key == one.choices)).scalar_one()
        records(Option).create({"dictionary": dictionary.id, "title": "Good"})
        assert option_key(one.choices, "GOOD") == "good"
        assert records(boxes.Box).create({"name": "happy", name: "Good"}).custom[name] == "good"


def test_a_link_field_hides_while_its_target_sleeps(boxes):
    name = define(boxes, title="Tag", kind="link", target="crm_tag")
    with acts(boxes.admin):
        assert fields_of(boxes.Box)[name].target.__tablename__ == "crm_tag"
        disable("crm_tag")
        assert name not in fields_of(boxes.Box)
        enable("crm_tag")
        assert name in fields_of(boxes.Box)


# -- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "result"),
    [
        ("amount * 0.05", "5.0000015"), ("(amount - pieces) / 2", "48.500015"), ("round(amount / 3, 2)", "33.33"), ("round(2.5)", "3"),
        ("min(amount, 50)", "50"), ("max(pieces, 1, 2)", "3"), ("-pieces + +1", "-2"), ("0.1 + 0.2", "0.3"),
        ("amount × 2 ÷ 4", "50.000015"),
        ("（pieces＋1）*2", "8"), ("amount / 0", None), ("pieces / (3 - pieces)", None), ("empty + 1", None),
        ("999999999999 * 999999999999 * 999999999999", None), ("yes + 1", None), ("words + 1", None),
    ],
)  # fmt: skip
def test_a_formula_computes_or_is_nothing(formula, result):
    values = {"amount": Decimal("100.00003"), "pieces": 3, "empty": None, "yes": True, "words": "seven"}
    found = evaluate(formula, values.get)
    assert found == (None if result is None else Decimal(result).quantize(Decimal("0.000001")))


HOSTILE = [
    "__import__('os')", "amount.real", "amount[0]", "(lambda: 1)()", "2 ** 9 ** 9", "amount if 1 else 2", "[1 for x in y]", "'a' * 9",
    "1 < 2", "amount := 3", "f'{amount}'", "min(*amount)", "round(amount, ndigits=2)", "round(amount, 99)", "open(1)", "min", "max(1)",
    "1e400", "9" * 500, "((((" * 60, "-" * 499 + "1", "1" + "+1" * 240, "-" * 40 + "1", "", "   ", "1 +", "a b", "True", "1j",
    "amount % 2", "amount // 2", "~pieces", "not pieces", "amount and 1", "\x00", "min(1,2)(3)", "round.real", "amount; 1", "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("formula", HOSTILE)
def test_a_formula_has_numbers_fields_and_four_operations_nothing_else(boxes, formula):
    assert evaluate(formula, {"amount": 1, "pieces": 2}.get) is None
    with acts(boxes.admin), pytest.raises(Invalid) as refused:
        records(CustomField).create({"model": "meta_box", "title": "Bad", "kind": "formula", "formula": formula})
    assert "formula" in refused.value.errors


def test_a_formula_field_follows_its_numbers_at_each_save(boxes):
    rate = define(boxes, title="Rate", kind="decimal")
    fee = define(boxes, title="Fee", kind="formula", formula=f"round(amount * {rate}, 2)")
    with acts(boxes.admin):
        box = records(boxes.Box).create({"name": "fee", "amount": "200", rate: "0.155"})
        one = fields_of(boxes.Box)[fee]
        assert one.get(box) == Decimal("31.00")
        assert db.session.execute(select(one.column(boxes.Box)).where(boxes.Box.id == box.id)).scalar() == 31
        records(boxes.Box).edit(box, {"amount": 100})
        assert one.get(box) == Decimal("15.50")
        records(boxes.Box).edit(box, {rate: None})
        assert one.get(box) is None
        with pytest.raises(Invalid):
            records(boxes.Box).edit(box, {fee: 3})
    with acts(boxes.admin), pytest.raises(Invalid):
        records(CustomField).delete(db.session.execute(select(CustomField.id).where(CustomField.name == rate)).scalar_one())


def test_a_new_formula_is_computed_for_records_that_were_there_before(boxes):
    with acts(boxes.admin):
        box_id = records(boxes.Box).create({"name": "old", "pieces": 4}).id
        db.session.commit()
    name = define(boxes, title="Double", kind="formula", formula="pieces * 2")
    with acts(boxes.admin):
        jobs = (
            db.session.execute(select(core_job.c.arguments).where(core_job.c.name == "core.custom_jobs:recompute_formulas")).scalars().all()
        )
        assert {"model": "meta_box"} in map(json.loads, jobs)
        recompute_formulas(model="meta_box")
        db.session.flush()
        assert fields_of(boxes.Box)[name].get(db.session.get(boxes.Box, box_id)) == 8


# -- fields from code ---------------------------------------------------------------------------------------------------


def test_a_field_from_code_is_renamed_moved_required_and_hidden(boxes):
    with acts(boxes.admin):
        gate = records(FieldSetting)
        gate.create(
            {
                "model": "meta_crate",
                "field_name": "number",
                "title": "Plate",
                "titles": {"zh_Hans": "编号"},
                "position": 1,
                "help": "On the lid",
            }
        )
        one = fields_of(boxes.Crate)["number"]
        assert one.title == "Plate" and one.help == "On the lid" and next(iter(fields_of(boxes.Crate))) == "number"
        db.session.commit()
    with acts(boxes.admin, language="zh_Hans"):
        assert fields_of(boxes.Crate)["number"].title == "编号"
    with acts(boxes.admin):
        records(FieldSetting).create({"model": "meta_box", "field_name": "amount", "required": True})
        with pytest.raises(Invalid) as refused:
            records(boxes.Box).create({"name": "without amount"})
        assert "amount" in refused.value.errors
    for values in ({"field_name": "nothing"}, {"field_name": "name", "hidden": True}, {"field_name": "created_at", "required": True}):
        with acts(boxes.admin), pytest.raises(Invalid):
            records(FieldSetting).create({"model": "meta_box", **values})


def test_the_name_in_the_sql_text_cannot_be_anything_else():
    for name in ("x'; drop table", 'x_"', "name", "x_A", "x_" + "a" * 60, "x_a'"):
        for dialect in ("sqlite", "postgresql"):
            with pytest.raises(ValueError, match="not the name"):
                expression("text", dialect, "custom", name)
