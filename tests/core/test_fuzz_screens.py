"""Every address of the screens answers whatever stands in it, is asked of it and is sent to it: never with a fault of ours.

In `make test` a sample of the addresses, another one each day; `make fuzz` asks all of them (CONTRIBUTING.md).
"""

import re
import sys
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from core.context import system
from core.db import db
from core.model import fields_of, models
from core.testing import both_databases
from tests.contract.addresses import typed
from tests.core.fuzzing import (
    EXAMPLES,
    IDS,
    OPERATORS,
    PERSONS,
    SEED,
    WORDS,
    Told,
    batched,
    copy_of,
    furnish,
    known_ids,
    sample,
    trees,
    written,
)  # fmt: skip

pytestmark = pytest.mark.slow

SAMPLE, FEW = 12, 6
"""Addresses of each person and database, and requests for each, in `make test`."""
QUERY = """
q order group filter page after before columns count show limit to recent verb field person next _next language again fields open values by
sums model record batch door since until ids all action kind name view date month day within place offset
""".split()
FORM = """
_seen _version _next action ids _ids all filter confirmed next columns formula model title kind to users departments teams access until
mapping encoding separator token password code level scopes verb shared hidden wanted value order name key label batch user department
""".split()
LEFT_OUT = ("static", "api_")
READY = "/readyz"
"""Says 503 where no jobs run."""


def rules(app):
    """(method, rule) of every address that is not REST and no file of the program."""
    found = []
    for rule in app.url_map.iter_rules():
        if not (rule.endpoint.startswith(LEFT_OUT) or "/static" in rule.rule or rule.rule.startswith("/api/") or rule.rule == READY):
            found += [(method, rule) for method in sorted(rule.methods & {"GET", "POST"})]
    return sorted(found, key=lambda pair: (pair[1].rule, pair[0]))


def forms():
    """{table: what a browser may send for a new record}."""
    with system("records for a test"):
        found = {name: typed(model, 9) for name, model in models().items()}
    db.session.rollback()
    return found


def ask(told, browser, method, rule, examples, ids):
    told.operations += 1
    # Some addresses sign out.
    browser.set_cookie(*browser.signed_in)
    tables, base = sorted(ids), forms()
    words = st.sampled_from(WORDS) | st.text(max_size=12)

    def part(draw, name, table):
        if name == "table" or name == "other":
            return draw(st.sampled_from([table] * 9 + ["nothing"]))
        if draw(st.integers(0, 3)):
            return str(draw(st.sampled_from(ids[table] or [1])))
        return draw(st.sampled_from(IDS) | words.map(lambda text: quote(text, safe="", errors="replace")))

    @seed(SEED)
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.data())
    def send(data):
        draw = data.draw
        table = draw(st.sampled_from(tables))
        names = st.sampled_from(sorted(fields_of(models()[table])))
        path = re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", lambda found: part(draw, found[1], table) or "x", rule.rule)
        query = draw(
            st.dictionaries(st.sampled_from(QUERY), words | names | st.sampled_from(["1", "2", "-name", "yes", "name,-id"]), max_size=3)
        )
        if draw(st.booleans()):
            query["filter"] = draw(trees(names))
        query = {name: text.encode("utf-8", "replace").decode() for name, text in query.items()}
        form = dict(base[table]) if method == "POST" and draw(st.booleans()) else {}
        if method == "POST":
            form |= draw(
                st.dictionaries(st.sampled_from(FORM) | names, words | names | st.lists(words | st.just("1"), max_size=3), max_size=4)
            )
            form = {name: _plain(value) for name, value in form.items()}
        before = written()
        sent = {"data": form} if method == "POST" else {}
        answer = browser.open(path, method=method, query_string=query, **sent)
        told.answers[answer.status_code] += 1
        wrong = "a fault of ours" if answer.status_code >= 500 else ""
        if answer.status_code >= 400 and written() != before:
            wrong = "what is refused has changed something"
        if wrong:
            text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.get_data(as_text=True)))[-300:]
            times = told.finds.setdefault((f"{method} {rule.rule}", f"{answer.status_code} {wrong}"), [])
            times.append(f"    {browser.called}: {path} {query} {str(form)[:900]}\n    {text}")

    with suppress(Unsatisfiable):
        send()


def _plain(value):
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value).encode("utf-8", "replace").decode()


def test_filters_of_the_screens_are_compared_by_every_operator(app):
    assert {op for model in models().values() for one in fields_of(model).values() for op in one.kind.ops} <= set(OPERATORS)


@both_databases
@pytest.mark.parametrize("level", PERSONS)
def test_the_screens_answer_whatever_is_asked_and_sent(app, create_user, login_as, tmp_path, capsys, level):
    browser = login_as(create_user(level, level=level, roles=PERSONS[level], department="Sales"))
    browser.called, name = level, app.config["SESSION_COOKIE_NAME"]
    browser.signed_in = name, browser.get_cookie(name).value
    if level != "employee":
        create_user("employee", roles=PERSONS["employee"], department="Sales")
    furnish()
    ids = known_ids()
    url = db.engine.url.render_as_string(hide_password=False)
    told = Told()
    for some in batched(sample(rules(app), SAMPLE, level), 1 if EXAMPLES else SAMPLE):
        with copy_of(url, tmp_path):
            for method, rule in some:
                ask(told, browser, method, rule, EXAMPLES or FEW, ids)
    if EXAMPLES:
        with capsys.disabled():
            sys.stdout.write(f"\n{level}, {db.engine.name}, seed {SEED}: {told}\n")
    assert not told.finds, told.complain()
