"""Numbers are never given twice, whoever asks at once; without gaps where a rule says so."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import date, datetime

import pytest
from flask import Flask
from sqlalchemy import select

from core import numbering
from core.context import Actor, acting, clock, today
from core.db import db
from core.errors import Invalid, Misbuilt
from core.numbering import NumberRule, next_numbers, reset_of, seed_number_rules, write_number, wrong_pattern
from core.records import records
from tests.core.boxes import boxes_on_each_database  # noqa: F401  the fixture “boxes”
from tests.core.kernel import ROOT, acts


@pytest.mark.parametrize(
    ("pattern", "number", "made", "reset"),
    [
        ("C{yyyy}{mm}-{00000}", 42, "C202611-00042", "month"), ("{yy}/{000}", 7, "26/007", "year"), ("K-{000}", 12345, "K-12345", "never"),
        ("案{yyyy}第{0}号", 3, "案2026第3号", "year"), ("{dd}.{mm}.{yyyy}-{00}", 1, "05.11.2026-01", "month"),
    ],
)  # fmt: skip
def test_a_pattern_is_written_out(pattern, number, made, reset):
    assert write_number(pattern, number, date(2026, 11, 5)) == made
    assert reset_of(pattern) == reset and wrong_pattern(pattern, reset) is None


@pytest.mark.parametrize("pattern", ["C", "C{yyyy}", "{0}{00}", "{00}{name}", "{00", "{00}}", "{" + "0" * 60 + "}"])
def test_a_pattern_that_gives_no_numbers_is_refused(boxes, pattern):
    assert wrong_pattern(pattern, "never").endswith(".")
    with acts(boxes.admin), pytest.raises(Misbuilt):
        next_numbers(f"test.{pattern}", 1, pattern)


def test_a_rule_that_would_give_a_number_twice_is_refused():
    assert wrong_pattern("C{mm}-{000}", "month") and wrong_pattern("C{yyyy}-{000}", "month") and wrong_pattern("{000}", "year")


def test_records_get_their_numbers_by_the_gate_and_without_it(boxes):
    with acts(boxes.admin):
        clock.set(datetime(2026, 11, 30, 12))
        try:
            first = records(boxes.Box).create({"name": "a"}).code
            many = [done.record.code for done in records(boxes.Box).create_many([{"name": str(one)} for one in range(3)])]
            loose = boxes.Box(name="past the gate")
            db.session.add(loose)
            db.session.flush()
            assert [first, *many, loose.code] == [f"B202611-{number:04}" for number in range(1, 6)]
            assert records(boxes.Crate).create({"name": "c"}).number == "K-001"
            db.session.commit()
        finally:
            clock.reset()


def test_numbers_start_again_with_the_month_and_an_old_clock_does_not_wake_the_old_one(boxes):
    with acts(boxes.admin):
        try:
            made = []
            for moment in (datetime(2027, 1, 31), datetime(2027, 2, 1), datetime(2027, 1, 31), datetime(2028, 2, 1)):
                clock.set(moment)
                made += next_numbers("test.month", 2, "M{yyyy}{mm}-{00}")
            assert made == ["M202701-01", "M202701-02", "M202702-01", "M202702-02", "M202702-03", "M202702-04", "M202802-01", "M202802-02"]
        finally:
            clock.reset()


def test_a_number_that_somebody_typed_is_passed_over(boxes):
    with acts(boxes.admin):
        rule = "meta_crate.number"
        upcoming = int(next_numbers(rule, 1, "K-{000}")[0][2:])
        for taken in range(upcoming + 1, upcoming + 30):
            records(boxes.Crate).create({"name": "typed", "number": f"K-{taken:03}"})
        assert records(boxes.Crate).create({"name": "given"}).number == f"K-{upcoming + 30:03}"
        assert len(set(next_numbers(rule, 10, "K-{000}"))) == 10
        db.session.rollback()


def ask_at_once(url: str, rule: str, processes: int, threads: int, each: int) -> list[list[str]]:
    """What several processes of several threads are given, each in transactions of its own."""
    code = f"""
import json, sys, threading
from flask import Flask
import core.tables
from core.context import Actor, acting
from core.db import db
from core.numbering import next_numbers
db.connect({url!r})
found, app = [], Flask("asks")
def ask(place):
    for round in range({each}):
        with app.app_context(), acting(Actor()):
            numbers = next_numbers({rule!r}, 1 + (place + round) % 3, "P{{000000}}")
            db.session.commit()
            found.extend(numbers)
            db.remove()
print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=ask, args=(place,)) for place in range({threads})]
[one.start() for one in threads]
[one.join() for one in threads]
print(json.dumps(found), flush=True)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _one in range(processes)
    ]
    for one in running:
        assert one.stdout.readline() == "ready\n"
    for one in running:
        one.stdin.write("go\n")
        one.stdin.flush()
    found = [json.loads(one.communicate(timeout=120)[0]) for one in running]
    assert all(one.returncode == 0 for one in running)
    return found


def test_two_processes_of_four_threads_never_get_the_same_number(boxes):
    each = 40
    found = ask_at_once(db.engine.url.render_as_string(hide_password=False), "test.race", processes=2, threads=4, each=each)
    numbers = [number for one in found for number in one]
    assert len(numbers) == len(set(numbers)) == 2 * sum(1 + (place + round) % 3 for place in range(4) for round in range(each))
    lows, highs = [min(one) for one in found], [max(one) for one in found]
    assert max(lows) < min(highs), "both were at work at once"
    if boxes.kind == "sqlite":
        assert sorted(numbers) == [f"P{number:06}" for number in range(1, len(numbers) + 1)]


def test_a_rolled_back_transaction_may_leave_a_gap_but_its_numbers_never_come_twice(boxes):
    with acts(boxes.admin):
        lost = next_numbers("test.rollback", 3, "R{000}")
        db.session.rollback()
        kept = next_numbers("test.rollback", 3, "R{000}")
        db.session.commit()
        more = next_numbers("test.rollback", 3, "R{000}")
        assert not set(kept) & set(more)
        if boxes.kind == "postgresql":
            assert not set(lost) & set(kept)


def gapless(boxes) -> None:
    with acts(boxes.admin):
        seed_number_rules()
        rule = db.session.execute(select(NumberRule).where(NumberRule.key == "meta_crate.number")).scalar_one()
        if not rule.gapless:
            records(NumberRule).edit(rule, {"gapless": True, "pattern": "G-{000}", "next_number": 1})
            db.session.commit()


def test_a_gapless_rule_leaves_no_gap_when_something_is_rolled_back_or_refused(boxes):
    gapless(boxes)
    with acts(boxes.admin):
        records(boxes.Crate).create({"name": "lost"})
        db.session.rollback()
    with acts(boxes.admin):
        done = records(boxes.Crate).create_many([{"name": "one"}, {}, {"name": "x" * 300}, {"name": "two"}])
        assert [one.record.number if one.record else None for one in done] == ["G-001", None, None, "G-002"]
        with pytest.raises(Invalid):
            with db.session.begin_nested():
                records(boxes.Crate).create({"name": "inside"})
                raise Invalid({"": "Not this one."})
        assert records(boxes.Crate).create({"name": "three"}).number == "G-003"
        db.session.commit()


def test_gapless_numbers_are_gapless_with_many_people_at_once(boxes):
    gapless(boxes)
    made, failed = [], []

    def work(place: int) -> None:
        for round in range(10):
            with Flask("worker").app_context(), acting(Actor(user_id=boxes.admin)):
                try:
                    number = records(boxes.Crate).create({"name": f"{place}/{round}"}).number
                    if round % 3 == 2:
                        db.session.rollback()
                    else:
                        db.session.commit()
                        made.append(number)
                except Exception as error:
                    failed.append(error)
                finally:
                    db.remove()

    with acts(boxes.admin):
        before = db.session.execute(select(boxes.Crate.number).where(boxes.Crate.number.startswith("G-"))).scalars().all()
    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    assert sorted(made) == [f"G-{number:03}" for number in range(len(before) + 1, len(before) + len(made) + 1)]
    assert len(made) == 8 * 7


def test_an_administrator_changes_a_rule_and_cannot_make_it_give_old_numbers(boxes):
    with acts(boxes.admin):
        next_numbers("test.changed", 5, "A{000}")
        db.session.commit()
    with acts(boxes.admin):
        rule = db.session.execute(select(NumberRule).where(NumberRule.key == "test.changed")).scalar_one()
        given = rule.next_number
        with pytest.raises(Invalid) as refused:
            records(NumberRule).edit(rule, {"next_number": given - 1})
        assert "next_number" in refused.value.errors
    with acts(boxes.admin):
        rule = db.session.execute(select(NumberRule).where(NumberRule.key == "test.changed")).scalar_one()
        for pattern in ("A", "A{000}{0}", "{yyyy}{nonsense}{00}"):
            with pytest.raises(Invalid):
                records(NumberRule).edit(rule, {"pattern": pattern})
            db.session.rollback()
            rule = db.session.execute(select(NumberRule).where(NumberRule.key == "test.changed")).scalar_one()
        records(NumberRule).edit(rule, {"pattern": "Z{yyyy}-{00000}", "next_number": given + 100, "reset": "never"})
        db.session.commit()
    with acts(boxes.admin):
        assert next_numbers("test.changed", 1, "A{000}") == [f"Z{today():%Y}-{given + 100:05}"]
        with pytest.raises(Invalid, match="not deleted"):
            records(NumberRule).delete(db.session.execute(select(NumberRule.id).limit(1)).scalar_one())


def test_a_forked_process_does_not_give_its_parents_stock(boxes):
    numbering._stocks["test.fork"] = numbering._Stock(numbers=["S1"])
    numbering._after_fork()
    assert not numbering._stocks
