"""The guide on rights tells the truth: its examples are tried, its pictures can be made, its pages say the same in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from core.context import now
from core.db import db
from core.right_tests import counter_of
from core.right_words import verb_label
from core.rules import VERBS
from core.translating import po_file, wanted
from tests.docs import pictures
from tests.docs.png import size, smaller
from tests.docs.rights_firm import DEPARTMENTS, LANGUAGES, ROLES, Firm, build, promise

HOME = Path(__file__).resolve().parents[2]
GUIDE = HOME / "docs" / "guide" / "rights"
PAGES = ("people", "roles", "personal", "sharing", "reasons")
YES = {"en": {"yes": True, "no": False}, "zh_Hans": {"可以": True, "不可以": False}}
LABELS = {"en": r"(?<![*\w])\*([^*\n]+(?:\n[^*\n]+)?)\*(?!\*)", "zh_Hans": "【(.+?)】"}
"""How a page writes what stands on a screen."""


def page(name: str, language: str) -> str:
    suffix = "" if language == "en" else f".{language}"
    return (GUIDE / f"{name}{suffix}.md").read_text(encoding="utf-8")


def examples(text: str) -> dict[str, list[list[str]]]:
    """{name of an example: its rows}."""
    found = {}
    for name, table in re.findall(r"<!-- example: ([\w-]+) -->\n\n((?:\|.*\n)+)", text):
        found[name] = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()[2:]]
    return found


# -- the examples --------------------------------------------------------------------------------------------------------


def right(firm: Firm, person: str, verb: str, **more) -> None:
    firm.make("core_personal_right", user=firm.people[person].id, model="crm_client", verb=verb, **more)


def share(firm: Firm, access: str, client: str = "harbour", **more) -> None:
    firm.make("core_share", model="crm_client", record_id=firm.clients[client].id, access=access, **more)


def stands_in(firm: Firm, until: timedelta) -> None:
    for verb in ("read", "edit"):
        right(firm, "zhao", verb, scopes="department", until=now() + until)


def given_and_taken(firm: Firm) -> None:
    right(firm, "li", "export", scopes="all")
    for person in ("li", "boss"):
        right(firm, person, "export", denied=True)


BEFORE: dict[str, Callable[[Firm], object]] = {
    "posts": lambda firm: None,
    "second-post": lambda firm: firm.make("core_post", user=firm.people["head"].id, department=firm.departments["south"].id),
    "roles": lambda firm: None,
    "team": lambda firm: [
        firm.people[one].role_rows.append(firm.roles["show_role"]) for one in ("zhao", "liu")
    ],
    "given": lambda firm: stands_in(firm, timedelta(days=30)),
    "given-over": lambda firm: stands_in(firm, timedelta(days=-1)),
    "taken": lambda firm: right(firm, "li", "export", denied=True),
    "both": given_and_taken,
    "share-read": lambda firm: share(firm, "read", user=firm.people["liu"].id),
    "share-edit": lambda firm: share(firm, "edit", user=firm.people["liu"].id),
    "share-team": lambda firm: share(firm, "read", team=firm.teams["show"].id),
    "share-give": lambda firm: None,
    "share-service": lambda firm: share(firm, "edit", user=firm.people["sun"].id),
    "share-over": lambda firm: share(firm, "edit", user=firm.people["liu"].id, until=now() - timedelta(days=1)),
    "promise": promise,
}  # fmt: skip
"""What is true of the firm before the examples of this name are asked."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_example_has_its_beginning_and_every_beginning_its_example(language):
    found = [name for each in PAGES for name in examples(page(each, language))]
    assert found == list(dict.fromkeys(found)) and sorted(found) == sorted(BEFORE)
    assert all(rows for each in PAGES for rows in examples(page(each, language)).values())


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_are_true(app, acting_as, login_as, api_as, language, name):
    firm = build(language)
    BEFORE[name](firm)
    db.session.commit()
    rows = next(found[name] for each in PAGES if name in (found := examples(page(each, language))))
    with acting_as(firm.people["boss"]) as boss:
        boss.language = language
        verbs = {verb_label(verb): verb for verb in VERBS}
    asker = api_as("chief", level="system_administrator")
    # What is deleted cannot be asked for any more.
    for who, what, which, answer in sorted(rows, key=lambda row: verbs[row[1]] == "delete"):
        person, record, verb, expected = firm.called(who), firm.called(which), verbs[what], YES[language][answer]
        url = f"/crm_client/{record.id}"
        told = asker.get(f"/api/v1/crm_client/_why?record={record.id}&person={person.id}&verb={verb}").json
        assert told["allowed"] is expected, (who, what, which, told)
        if verb in ("read", "share"):
            status = login_as(person).get(url if verb == "read" else f"{url}/_share").status_code
        elif verb in ("edit", "delete"):
            words = {"json": {"remarks": f"{who}, {now():%H:%M:%S}"}} if verb == "edit" else {}
            status = getattr(api_as(person), "put" if verb == "edit" else "delete")(f"/api/v1{url}", **words).status_code
        else:
            continue
        assert (status < 300) is expected and (expected or status in (403, 404)), (who, what, which, status)


def test_contacts_go_along_with_a_shared_client(app, login_as):
    firm = build("en")
    browser, url = login_as(firm.people["liu"]), f"/crm_contact/{firm.clients['contact'].id}"
    assert browser.get(url).status_code == 404
    BEFORE["share-read"](firm)
    assert browser.get(url).status_code == 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_would_break_the_permission_test_is_refused_with_who_and_what(app, login_as, language):
    firm = build(language)
    test = promise(firm)
    db.session.commit()
    assert counter_of(test) is None
    boss, url = login_as(firm.people["boss"]), f"/ab_role/{firm.roles['service_role'].id}/_rights/crm_client"
    answer = boss.post(url, data={"verb-edit": "all"})
    assert answer.status_code == 422 and str(firm.people["sun"]) in answer.text and str(firm.clients["harbour"]) in answer.text
    # The other sentence that the page warns of: with it, nobody shares a client with a salesperson any more.
    firm.make("core_right_test", role=firm.role("Salesperson").id, expected="never", verb="read", model="crm_client", rows="others")
    data = {"_ids": firm.clients["harbour"].id, "_step": "apply", "users": firm.people["liu"].id, "access": "read"}
    assert login_as(firm.people["li"]).post("/crm_client/_share", data=data).status_code == 422


# -- the pages -----------------------------------------------------------------------------------------------------------


def shape(text: str) -> list[str]:
    """What a page consists of, whatever its language: headings, paragraphs, tables, lists, pictures and examples."""
    found = []
    for line in text.splitlines():
        if heading := re.match(r"#+", line):
            found.append(heading.group())
        elif picture := re.match(r"!\[.+\]\(pictures/\w+/([\w-]+)\.png\)$", line):
            found.append(picture.group(1))
        elif line.startswith("<!--"):
            found.append(line)
        elif line.startswith("|"):
            found.append(f"row of {line.count('|')}")
        elif line:
            found.append("1." if re.match(r"\d\. ", line) else "text")
    # English breaks its lines.
    return [word for word, many in groupby(found) for word in ([word] if word == "text" else list(many))]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_same_shape_in_both_languages(name):
    english, chinese = (page(name, language) for language in LANGUAGES)
    assert shape(english) == shape(chinese)
    assert {re.sub(r"\.zh_Hans", "", one) for one in re.findall(r"\]\(([^)]+\.md)\)", chinese)} == set(
        re.findall(r"\]\(([^)]+\.md)\)", english)
    )


def test_both_languages_have_five_pages_that_lead_on_from_the_first():
    for language in LANGUAGES:
        suffix = "" if language == "en" else f".{language}"
        index = (HOME / "docs" / f"rights{suffix}.md").read_text(encoding="utf-8")
        assert re.findall(r"^\d\. \[.+\]\(guide/rights/(\w+)", index, re.MULTILINE) == list(PAGES)
    assert sorted(one.name for one in GUIDE.glob("*.md")) == sorted(f"{one}{end}" for one in PAGES for end in (".md", ".zh_Hans.md"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_guide_says_stands_on_a_screen_stands_there(app, language):
    known: set[str] = {names[LANGUAGES.index(language)] for group in (ROLES, DEPARTMENTS) for names in group.values()}
    for folder in (HOME / "core", *(one.parent for one in HOME.glob("addons/*/addon.toml"))):
        if language == "en":
            messages = list(wanted(folder.name, folder))
        else:
            with po_file(folder, language).open("rb") as stream:
                messages = list(read_po(stream))
        for message in messages:
            said = message.id if language == "en" else message.string
            known |= {said} if isinstance(said, str) else set(said)
    for name in PAGES:
        written = {" ".join(one.split()) for one in re.findall(LABELS[language], page(name, language))}
        assert written and written <= known, f"{name}: {sorted(written - known)}"


# -- the pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_is_there_is_used_and_is_small(language):
    named = [name for each in PAGES for name in re.findall(rf"\(pictures/{language}/([\w-]+)\.png\)", page(each, language))]
    assert all(1 <= page(each, language).count("](pictures/") <= 3 for each in PAGES)
    assert sorted(named) == sorted(pictures.PICTURES)
    files = {one.stem: one for one in (pictures.PLACE / language).iterdir()}
    assert sorted(files) == sorted(pictures.PICTURES)
    assert max(one.stat().st_size for one in files.values()) <= 120 * 1024
    assert sum(one.stat().st_size for one in pictures.PLACE.rglob("*.png")) <= 2 * 1024**2


@pytest.mark.browser
@pytest.mark.slow
def test_pictures_can_be_made_and_miss_what_is_gone(chromium, tmp_path):
    with pictures.firm_of("zh_Hans", tmp_path / "firm", chromium) as (firm, ids):
        page = pictures.visitor(firm, "zh_Hans")
        for name, picture in pictures.PICTURES.items():
            made = pictures.take(page, picture, ids)
            assert size(made)[0] > 400 and size(made)[1] > 80, name
            # Another day and another font move a line; another page would be of another size.
            there = size((pictures.PLACE / "zh_Hans" / f"{name}.png").read_bytes())
            assert all(abs(one - other) <= 60 for one, other in zip(size(made), there, strict=True)), f"{name} has changed: make pictures"
            if name == "viewing":
                page.locator(".m-banner button").click()
                page.wait_for_url("**/ab_user/*")
        with pytest.raises(AssertionError, match="404"):
            pictures.take(page, pictures.Picture("/nothing/", ("main",)), ids)
        with pytest.raises(Exception, match="Timeout"):
            pictures.take(page, pictures.Picture("/ab_user/{li}", ("#is-not-there",)), ids)
        assert not firm.faults
        page.context.close()


def test_a_picture_with_few_colours_stays_as_it_is():
    import struct
    import zlib

    rows = [b"\x00" + b"\xff\x00\x00" * 3, b"\x02" + b"\x00\x10\x00" * 3, b"\x01" + b"\x05\x06\x07" + b"\x01\x01\x01" * 2]
    body = zlib.compress(b"".join(rows))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 2, 0, 0, 0)) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    small = smaller(png)
    palette = small[small.index(b"PLTE") + 4 :][:15]
    points = zlib.decompress(small[small.index(b"IDAT") + 4 : small.index(b"IEND") - 8])
    seen = [[palette[3 * one : 3 * one + 3] for one in points[row * 4 + 1 : row * 4 + 4]] for row in range(3)]
    assert seen == [[b"\xff\x00\x00"] * 3, [b"\xff\x10\x00"] * 3, [b"\x05\x06\x07", b"\x06\x07\x08", b"\x07\x08\x09"]]
