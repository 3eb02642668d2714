"""Drop-downs are dictionaries: code seeds them, administrators name, colour, order and retire, and records keep stable keys."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from core.db import db
from core.errors import Invalid, Missing, Refused, Wrong
from core.fields import KINDS, Field
from core.options import Dictionary, Option, option_key, option_label, options, seed_options, slug
from core.records import records
from tests.core.boxes import boxes_on_each_database  # noqa: F401  the fixture “boxes”
from tests.core.kernel import acts

STAGE = "meta_box.stage"


def option(key: str, dictionary: str = STAGE) -> Option:
    return db.session.execute(select(Option).join(Option.dictionary).where(Dictionary.key == dictionary, Option.key == key)).scalar_one()


def test_code_seeds_a_dictionary_once(boxes):
    with acts(boxes.admin):
        assert [one.key for one in options(STAGE)] == ["new", "packed", "sent_away"]
        assert [one.label for one in options(STAGE)] == ["New", "Packed", "Sent away"]
        before = db.session.execute(select(func.count()).select_from(Option)).scalar()
        assert seed_options() == 0
        assert db.session.execute(select(func.count()).select_from(Option)).scalar() == before


def test_an_option_is_renamed_coloured_moved_and_the_record_keeps_its_key(boxes):
    with acts(boxes.admin):
        box_id = records(boxes.Box).create({"name": "one", "stage": "Sent away"}).id
        records(Option).edit(option("sent_away"), {"title": "Dispatched", "titles": {"zh_Hans": "已寄出"}, "colour": "teal", "position": 1})
        db.session.commit()
    with acts(boxes.ann):
        first = options(STAGE)[0]
        assert (first.key, first.label, first.colour) == ("sent_away", "Dispatched", "teal")
        assert option_label(STAGE, "sent_away") == "Dispatched" and option_label(STAGE, "unheard_of") == "unheard_of"
    with acts(boxes.ann, language="zh_Hans"):
        assert option_label(STAGE, "sent_away") == "已寄出"
        assert boxes.Box.__fields__["stage"].text("sent_away") == "已寄出"
    with acts(boxes.admin):
        assert records(boxes.Box).get(box_id).stage == "sent_away"
        records(Option).edit(option("sent_away"), {"title": "Sent away", "titles": None, "position": 30})
        db.session.commit()


@pytest.mark.parametrize("typed", ["sent_away", "Sent away", "SENT AWAY", " sent　away ", "ＳＥＮＴ ＡＷＡＹ", "Sent  away"])
def test_whatever_a_person_may_type_for_an_option_is_understood(boxes, typed):
    with acts(boxes.ann):
        assert option_key(STAGE, typed) == "sent_away"


def test_what_is_not_an_option_is_refused_and_the_options_are_named(boxes):
    with acts(boxes.ann):
        with pytest.raises(Wrong, match="“blue” is not one of the options; choose one of: New, Packed, Sent away"):
            option_key(STAGE, "blue")
        with pytest.raises(Wrong, match="none yet"):
            option_key("no.such", "blue")
        with pytest.raises(Invalid) as refused:
            records(boxes.Box).create({"name": "x", "stage": "blue"})
        assert "stage" in refused.value.errors


def test_a_retired_option_stays_readable_and_is_refused_for_new_values(boxes):
    with acts(boxes.admin):
        records(Option).edit(option("packed"), {"retired": True})
        assert option_label(STAGE, "packed") == "Packed" and option_key(STAGE, "packed") == "packed"
        with pytest.raises(Wrong, match="no longer in use"):
            option_key(STAGE, "Packed", allow_retired=False)
        assert next(one for one in options(STAGE) if one.key == "packed").retired
        with pytest.raises(Invalid) as refused:
            records(boxes.Box).create({"name": "too late", "stage": "packed"})
        assert "no longer in use" in refused.value.errors["stage"]
        had = boxes.Box(name="had it before", stage="packed")
        db.session.add(had)
        db.session.flush()
        records(boxes.Box).edit(had, {"name": "still has it", "stage": "packed"})
        records(boxes.Box).edit(had, {"stage": "new"})
        with pytest.raises(Invalid):
            records(boxes.Box).edit(had, {"stage": "Packed"})
        db.session.rollback()


def test_an_administrator_adds_an_option_whose_key_comes_from_its_label(boxes):
    with acts(boxes.admin):
        dictionary = db.session.execute(select(Dictionary.id).where(Dictionary.key == STAGE)).scalar_one()
        gate = records(Option)
        made = gate.create({"dictionary": dictionary, "title": "待处理", "colour": "amber"})
        assert made.key == "dai_chu_li" and made.position == 40
        assert gate.create({"dictionary": dictionary, "title": "待处理 "}).key == "dai_chu_li_2"
        several = [gate.create({"dictionary": dictionary, "title": title}).key for title in ("!!!", "???")]
        assert several == ["option", "option_2"]
        assert records(boxes.Box).create({"name": "later", "stage": "待处理"}).stage == "dai_chu_li"
        with pytest.raises(Invalid):
            gate.create({"dictionary": dictionary, "title": " "})
        with pytest.raises(Invalid):
            gate.create({"dictionary": dictionary, "title": "Loud", "colour": "#ff0000"})
        db.session.rollback()


def test_options_that_the_program_compares_cannot_be_added_to(boxes):
    with acts(boxes.admin):
        dictionary = db.session.execute(select(Dictionary).where(Dictionary.key == "core_custom_field.kind")).scalar_one()
        assert dictionary.closed
        with pytest.raises(Invalid, match="program knows"):
            records(Option).create({"dictionary": dictionary.id, "title": "Colour"})


def test_options_and_dictionaries_are_never_deleted_by_hand(boxes):
    for model in (Option, Dictionary):
        with acts(boxes.admin), pytest.raises(Invalid, match="Retire the option"):
            records(model).delete(db.session.execute(select(model.id).limit(1)).scalar_one())
    with acts(boxes.admin):
        records(boxes.Box).create({"name": "uses it", "stage": "packed"})
        db.session.delete(option("packed"))
        with pytest.raises(Invalid, match="so it stays"):
            db.session.flush()


def test_a_key_never_changes(boxes):
    with acts(boxes.admin):
        option("packed").key = "boxed"
        with pytest.raises(Invalid):
            db.session.flush()


def test_who_is_not_an_administrator_may_not_touch_a_dictionary(boxes):
    with acts(boxes.admin):
        option_id = option("packed").id
    with acts(boxes.ann), pytest.raises((Refused, Missing)):
        records(Option).edit(option_id, {"title": "Mine"})


def test_several_options_are_read_from_one_line_of_text(boxes):
    several = Field("x", KINDS["choices"], choices=STAGE)
    with acts(boxes.ann):
        assert several.clean("New、sent away; NEW") == ["new", "sent_away"]
        assert several.text(["new", "sent_away"]) == "New、Sent away"


@pytest.mark.parametrize(
    ("label", "made"), [("Sent away!", "sent_away"), ("客户Name", "ke_hu_name"), ("Ünïcode", "unicode"), ("！", ""), ("a" * 80, "a" * 40)]
)
def test_a_label_becomes_a_key_of_plain_letters(label, made):
    assert slug(label) == made
