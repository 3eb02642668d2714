"""The pictures of the guide on rights, made from the real program: `python -m tests.docs.pictures [--language zh_Hans] [name …]`.

For each language a firm of the guide is set up in a folder that goes away again, served as in earnest, and visited with the
system's Chromium. Each picture frames one or more parts of one page; a part that is not there any more is an error.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docs.png import smaller
from tests.docs.rights_firm import FIRM, LANGUAGES, ZONE
from tests.e2e.conftest import PASSWORD, Firm, served

HOME = Path(__file__).resolve().parents[2]
PLACE = HOME / "docs" / "guide" / "rights" / "pictures"
WIDTH, MARGIN = 1200, 8
MAKE = """
import json, sys
sys.path.insert(0, {home!r})
from core.cli.house import house
with house(title="The firm of the guide"):
    from tests.docs.rights_firm import build, more_for_pictures
    firm = build({language!r})
    more_for_pictures(firm)
    groups = (firm.departments, firm.people, firm.roles, firm.teams, firm.clients)
    roles = {{name: firm.role(name).id for name in ("Salesperson", "Sales manager")}}
    ids = [{{word: one.id for word, one in group.items()}} for group in groups]
    print(json.dumps({{word: number for group in (*ids[::-1], roles) for word, number in group.items()}}))
"""


@dataclass(frozen=True)
class Picture:
    """One picture: where it is taken, what is done before, and the parts that it frames together."""

    address: str
    """With words of `tests.docs.rights_firm` in braces, in whose place the ids come."""
    frames: tuple[str, ...]
    before: Callable[[Any], None] = lambda page: None
    keep: int = 0
    """Only so many pixels from the top; 0 for all."""
    margin: int = MARGIN


def _refused(page: Any) -> None:
    """Try to give what a permission test forbids."""
    page.select_option("[name=verb-edit]", "all")
    page.locator("form[action*=_rights] .btn-primary").click()
    page.wait_for_selector("#errors")


def _viewing(page: Any) -> None:
    page.locator("form[action$=view-as] button").click()
    page.wait_for_selector(".m-banner")
    page.goto("/crm_client/")


def _ticked(page: Any) -> None:
    for box in page.locator("[name=ids]").all()[:2]:
        box.check()
    page.set_viewport_size({"width": WIDTH, "height": 400})
    page.wait_for_selector(".m-bulk [value=_share]")


LIST = ("main .m-head", "main table")
WHY = (".m-crumb", ".m-head", ".m-bar", "main .m-block >> nth=0", "main .m-block >> nth=1")
PICTURES: dict[str, Picture] = {
    "departments": Picture("/departments", (".m-head", "main .m-block >> nth=0")),
    "person": Picture("/ab_user/{head}", ("section:has([name=level])",)),
    "posts": Picture("/ab_user/{head}", ("section[id*=core_post]",)),
    "role": Picture("/ab_role/{Salesperson}/_rights", (".m-crumb", ".m-head", "main .m-block >> nth=0")),
    "role-rights": Picture("/ab_role/{service_role}/_rights/crm_client", (".m-crumb", "main .m-block >> nth=0")),
    "personal": Picture("/ab_user/{zhao}", ("section[id*=core_personal_right]",)),
    "effective": Picture("/ab_user/{zhao}/_rights", (".m-crumb", "main .m-block >> nth=0", "main .m-block >> nth=1")),
    # A field for a date speaks the language of the browser that takes the picture: it is left out.
    "share": Picture("/crm_client/{harbour}/_share", (".m-crumb", "main .m-block >> nth=0", "main .m-block >> nth=1"), keep=452),
    "share-many": Picture("/crm_client/", (*LIST, ".m-bulk"), _ticked),
    "why": Picture("/crm_client/{harbour}/_why?person={liu}&verb=edit", WHY),
    "viewing": Picture("/ab_user/{li}", (".m-banner", *LIST), _viewing, margin=0),
    "refused": Picture("/ab_role/{service_role}/_rights/crm_client", (".m-crumb", "#errors", "main .m-block >> nth=0"), _refused, keep=308),
}


@contextmanager
def firm_of(language: str, folder: Path, browser: Any) -> Iterator[tuple[Firm, dict[str, int]]]:
    """The firm of the guide in one language, served; with the ids of all that it consists of."""
    ids: dict[str, int] = {}

    def before(house: Any) -> None:
        house.settings |= {"MORTISE_ADMIN_PASSWORD": PASSWORD, "MORTISE_FIRM_NAME": FIRM[language], "MORTISE_FIRM_ZONE": ZONE[language]}
        house.must("migrate")
        ids.update(json.loads(house.python(MAKE.format(home=str(HOME), language=language)).splitlines()[-1]))

    with served(folder, browser, before) as firm:
        yield firm, ids


def take(page: Any, picture: Picture, ids: dict[str, int]) -> bytes:
    """Take one picture; fails when the page, or a part that the picture frames, is not there."""
    answer = page.goto(picture.address.format_map(ids))
    assert answer is not None and answer.ok, f"{picture.address} answers {answer and answer.status}"
    picture.before(page)
    page.wait_for_selector("[role=status][aria-busy=true]", state="detached")
    # What is only on its way past would cover something.
    page.evaluate("document.querySelectorAll('.m-toasts, .m-save').forEach((one) => one.remove())")
    boxes = []
    for frame in picture.frames:
        part = page.locator(frame).first
        part.wait_for(state="visible", timeout=5_000)
        boxes.append(part.bounding_box())
    left, top = min(one["x"] for one in boxes), min(one["y"] for one in boxes)
    right, bottom = max(one["x"] + one["width"] for one in boxes), max(one["y"] + one["height"] for one in boxes)
    left, top = max(0, left - picture.margin), max(0, top - picture.margin)
    height = bottom + picture.margin - top
    clip = {"x": left, "y": top, "width": min(right + picture.margin, WIDTH) - left, "height": min(height, picture.keep or height)}
    return smaller(page.screenshot(clip=clip, full_page=True))


def visitor(firm: Firm, language: str) -> Any:
    """A page of the administrator of the firm."""
    page = firm.visitor(width=WIDTH, language=language)
    page.set_viewport_size({"width": WIDTH, "height": 1000})
    return firm.sign_in(page, "admin")


def make(language: str, names: list[str], place: Path = PLACE) -> list[Path]:
    """Make pictures of one language; returns their files."""
    from playwright.sync_api import sync_playwright

    from tests.servers import chromium_arguments, chromium_path

    folder, made = place / language, []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=chromium_arguments())
        with firm_of(language, Path(temporary) / "firm", browser) as (firm, ids):
            for name in names:
                page = visitor(firm, language)
                path = folder / f"{name}.png"
                path.write_bytes(take(page, PICTURES[name], ids))
                page.context.close()
                made.append(path)
            assert not firm.faults, firm.faults
        browser.close()
    return made


if __name__ == "__main__":
    words = argparse.ArgumentParser(description="Make the pictures of the guide on rights anew.")
    words.add_argument("names", nargs="*", help="which ones; none named: all of them")
    words.add_argument("--language", choices=LANGUAGES, help="of one language only")
    asked = words.parse_args()
    if unknown := set(asked.names) - set(PICTURES):
        words.error(f"no such picture: {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    for each in [asked.language] if asked.language else LANGUAGES:
        for path in make(each, asked.names or list(PICTURES)):
            print(f"{path.relative_to(HOME)}  {path.stat().st_size // 1024 + 1} KB")
