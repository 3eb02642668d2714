"""Measures the pages of a firm of a million clients against their floor, and prints which figures are met."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from tests.bench import house as houses
from tests.bench import journal, shares
from tests.bench.crowd import claim, lists_a_second
from tests.bench.house import House
from tests.bench.measure import Measured, measure, running
from tests.bench.work import Work, works
from tests.firm import firm

HEAD = (
    f"{'':44}{'p50':>7}{'p95':>8}{'floor':>7}{'times':>7}{'ask':>5}{'cpu':>7}{'floor':>7}{'stm':>5}{'sql ms':>8}{'floor':>7}{'times':>7}  "
)


def line(one: Measured, work: Work, first: float | None) -> tuple[str, list[str]]:
    """(the row of the table, what is not met)."""
    wrong = []
    if one.times > work.times:
        wrong.append(f"{one.times:.1f} times the floor")
    if work.sql is not None and one.sql_times > work.sql:
        wrong.append(f"statements {one.sql_times:.1f} times the floor's")
    if not work.writes and one.statements > work.statements:
        wrong.append(f"{one.statements} statements")
    if first and one.p50 > 1.3 * first:
        wrong.append(f"{one.p50 / first:.1f} times the first page")
    if one.scans:
        wrong.append(f"reads a table from end to end: {one.scans[0][:160]}")
    text = (
        f"{one.work:44}{one.p50:>7.1f}{one.p95:>8.1f}{one.floor50:>7.1f}{one.times:>7.1f}{work.times:>5.0f}{one.cpu:>7.1f}{one.floor_cpu:>7.1f}{one.statements:>5}"
        f"{one.sql:>8.1f}{one.floor_sql:>7.1f}{one.sql_times:>7.1f}  {'met' if not wrong else 'NOT MET: ' + '; '.join(wrong)}"
    )
    return text, wrong


def run(built: House, only: str = "", turns: int = 40) -> tuple[list[tuple[Work, Measured]], list[tuple[str, bool]]]:
    """Every page once, in new processes; then what many do at once, and an import: (pages, lines with whether each is met)."""
    if only == LONG:
        # `facts` would empty the journal.
        return [], journal.told(json.loads(built.python("tests.bench.journal", LONG_ROWS).splitlines()[-1]), LONG_ROWS)
    facts = json.loads(built.python("tests.bench.facts", built.count, json.dumps(built.ids), built.floor).splitlines()[-1])
    found: list[tuple[Work, Measured]] = []
    others: list[tuple[str, bool]] = []
    firsts: dict[str, float] = {}
    with running(built, facts) as now:
        for work in works(facts, built.ids):
            if only and only not in work.name:
                continue
            one = measure(now, work, turns)
            firsts[work.name] = one.p50
            found.append((work, one))
            houses.say(line(one, work, firsts.get(work.against))[0])
        if not only or only in CROWD:
            mine = next(one for one in works(facts, built.ids) if one.person == "some")
            ours, floor = (lists_a_second(now, url, "some", bool(place)) for place, url in enumerate((mine.ours, mine.floor)))
            text = f"{CROWD:44}{ours:>7.0f} lists a second, asked {LISTS_A_SECOND}; the floor {floor:.0f}"
            others.append((text, ours >= LISTS_A_SECOND))
        if not only or only in CLAIM:
            told = claim(now)
            text = f"{CLAIM:44}{told.winners.count(1)} of {len(told.winners)} clients with one winner, {told.seconds:.1f} s"
            others.append((text + (f", strange answers {told.strange[:5]}" if told.strange else ""), told.right))
    if not only or only in SHARES:
        facts = json.loads(built.python("tests.bench.shares", built.count, json.dumps(built.ids)).splitlines()[-1])
        others += [shares.told(one) for one in facts]
    if not only or only in IMPORT:
        others.append(_import(built))
    if not only or only in JOURNAL:
        others.append(_journal(built))
    for text, met in others:
        houses.say(f"{text}  {'met' if met else 'NOT MET'}")
    return found, others


CROWD, CLAIM, SHARES, IMPORT = "list, 8 clients", "claim by 50 people", "shares, 20,000 each", "import of 10,000 rows"
JOURNAL = "journal's share of an import"
LONG, LONG_ROWS = "journal of 10,000,000", 10_000_000
"""Only when it is asked for, in a house of few clients (`--rows 1000`): each database takes a while, and some gigabytes."""
LISTS_A_SECOND, ROWS_A_SECOND, TIMES_COPY = 80, 1500, 5.0
JOURNALLED = 3
OF_AN_IMPORT = {"sqlite": 0.75, "postgresql": 0.4}
"""The journal may add so much to an import that is all else alike."""


def _import(built: House) -> tuple[str, bool]:
    path = firm(IMPORTED, seed=11).write(built.made.folder / "import.csv")
    told = json.loads(built.python("tests.bench.imported", path, built.count).splitlines()[-1])
    speed = told["created"] / told["seconds"]
    text = f"{IMPORT:44}{told['created']} of {told['read']} in {told['seconds']:.1f} s, {speed:.0f} a second"
    if "copy" not in told:
        return f"{text}, asked {ROWS_A_SECOND}", speed >= ROWS_A_SECOND
    times = told["seconds"] / told["copy"]
    return f"{text}; COPY {told['copy']:.2f} s, {times:.1f} times, asked {TIMES_COPY:.0f}", times <= TIMES_COPY


def _journal(built: House) -> tuple[str, bool]:
    path = firm(IMPORTED, seed=11).write(built.made.folder / "import.csv")
    told = json.loads(built.python("tests.bench.imported", path, built.count, JOURNALLED).splitlines()[-1])
    on, off = (statistics.median(told[kind]) for kind in ("on", "off"))
    asked = OF_AN_IMPORT["postgresql" if built.made.url else "sqlite"]
    return f"{JOURNAL:44}{on:.1f} s with, {off:.1f} s without: {on / off - 1:.0%}, asked {asked:.0%}", on <= off * (1 + asked)


IMPORTED = 10_000


def worst(runs: list[list[tuple[Work, Measured]]]) -> list[tuple[Work, Measured]]:
    """Of each page the run in which it was slowest, measured against the floor of that run."""
    return [max(same, key=lambda pair: pair[1].times) for same in zip(*runs, strict=True)]


def main(given: list[str] | None = None) -> int:
    """Build what is missing, measure, print."""
    words = argparse.ArgumentParser(prog="run.py bench", description=__doc__)
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    words.add_argument("--only", default="", help="a piece of the names of rows to measure")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--turns", type=int, default=40)
    words.add_argument("--json", default="")
    words.add_argument("--verbose", action="store_true", help="name the slowest statement of each page")
    chosen = words.parse_args(given)
    folder = houses.place()
    failed, everything = 0, {}
    for kind in chosen.database or ["postgresql", "sqlite"]:
        databases: Any = houses.kept_databases(folder) if kind == "postgresql" else None
        built = houses.house(kind, chosen.rows, folder, databases)
        runs = []
        for number in range(chosen.runs):
            houses.say(f"\n{kind}, {chosen.rows:,} clients, run {number + 1}\n{HEAD}")
            runs.append(run(built, chosen.only, chosen.turns))
        found = worst([pages for pages, _others in runs])
        firsts = {work.name: one.p50 for work, one in found}
        sys.stdout.write(f"\n{kind}, {chosen.rows:,} clients, the worst of {chosen.runs} runs\n{HEAD}\n")
        for work, one in found:
            text, wrong = line(one, work, firsts.get(work.against))
            failed += bool(wrong)
            sys.stdout.write(text + "\n" + (f"    {one.slowest[:900]}\n" if chosen.verbose else ""))
        for same in zip(*(others for _pages, others in runs), strict=True):
            text, met = next((one for one in same if not one[1]), same[0])
            failed += not met
            sys.stdout.write(f"{text}  {'met' if met else 'NOT MET'}\n")
        everything[kind] = [{**vars(one), "times": one.times} for _work, one in found]
    if chosen.json:
        with open(chosen.json, "w") as stream:
            json.dump(everything, stream, indent=1, ensure_ascii=False)
    sys.stdout.write(f"\n{failed} rows are not met.\n" if failed else "\nAll is met.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
