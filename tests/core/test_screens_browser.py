"""What scripts do on the screens, in a real browser; how the pages look is in tests/e2e/test_look_….py."""

from __future__ import annotations

import re
from typing import Any

import pytest

from core.testing import settle

pytestmark = pytest.mark.browser


@pytest.fixture
def clients(create: Any) -> list[int]:
    """Ids of sixty clients: more than one page. Nothing read stays open, for on SQLite it would hold up what the page writes."""
    made = [create("crm_client", name=f"远山会展有限公司 {place}", code=f"C-{place:02}", status="signed") for place in range(60)]
    ids = [one.id for one in made]
    settle()
    return ids


def test_what_is_changed_is_marked_saved_and_undone(page: Any, clients: list[int]) -> None:
    page.goto(f"/crm_client/{clients[0]}")
    assert page.locator("[data-save]").is_hidden()
    page.fill("#field-address", "上海市")
    assert page.locator("[data-field=address].m-changed").count() == 1
    assert "1 change" in page.inner_text("[data-save]")
    page.keyboard.press("Control+s")
    page.wait_for_selector(".m-toast")
    page.wait_for_selector("#history .m-event >> text=上海市")
    page.click(".m-toast form button")
    page.wait_for_selector(".m-toast >> text=as it was")
    assert page.input_value("#field-address") == ""


def test_a_link_is_looked_up_while_typing(page: Any, clients: list[int], create_user: Any) -> None:
    create_user("lin", name="林书豪")
    settle()
    page.goto(f"/crm_client/{clients[0]}")
    page.click("#field-owner-ts-control")
    page.keyboard.type("林书")
    page.click(".ts-dropdown .option >> text=林书豪")
    page.keyboard.press("Control+s")
    page.wait_for_selector(".m-toast")
    assert "林书豪" in page.inner_text("[data-field=owner]")


def test_the_filter_panel_writes_the_tree_and_a_facet_takes_it_away(page: Any, clients: list[int]) -> None:
    page.goto("/crm_client/")
    page.click(".m-bar [data-open=filter-panel]")
    panel = page.locator("#filter-panel")
    panel.locator(".m-condition select").first.select_option("code")
    panel.locator(".m-condition-how > select").select_option("is")
    panel.locator(".m-condition-value input").fill("C-07")
    panel.locator("button[type=submit]").click()
    page.wait_for_selector(".m-facet")
    assert "1 record" in page.inner_text(".m-list-sum")
    page.click(".m-facet a")
    page.wait_for_selector(".m-list-sum >> text=60")


def test_all_that_match_can_be_chosen_and_the_keyboard_finds_a_page(page: Any, clients: list[int]) -> None:
    page.goto("/crm_client/")
    page.check("[data-all]")
    assert "50 selected" in page.inner_text("[data-count]")
    page.click("[data-everything]")
    assert "all 60 selected" in page.inner_text("[data-count]")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("depart")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/core_department/"))


def test_the_sign_in_page_holds_without_a_person(page_as: Any) -> None:
    page = page_as(None, width=390)
    page.goto("/login/?language=zh_Hant")
    assert page.get_attribute("html", "lang") == "zh-Hant"
    page.click("[data-reveal=password]")
    assert page.get_attribute("#password", "type") == "text"


def test_groups_unfold_by_click_and_by_keyboard_and_bring_their_rows(page: Any, clients: list[int], create: Any) -> None:
    create("crm_client", name="青山贸易", code="D-1", status="dead")
    settle()
    page.goto("/crm_client/")
    page.click(".m-group-menu")
    page.select_option("#group-1", "status")
    page.click(".m-group-menu + form button")
    folds = page.locator("[data-fold]")
    folds.first.wait_for()
    assert "group=status" in page.url and folds.count() == 2 and page.locator("[data-row]").count() == 0
    folds.first.click()
    page.wait_for_selector("[data-row] >> nth=49")
    assert folds.first.get_attribute("aria-expanded") == "true"
    page.click("[data-more]")
    page.wait_for_selector("[data-row] >> nth=59")
    assert page.evaluate("document.activeElement.closest('tr').dataset.row") is not None, "the next row takes the place of the button"
    page.check("[data-all]")
    assert "60 selected" in page.inner_text("[data-count]")
    page.click("[data-none]")
    folds.first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("[data-row]").first.is_hidden()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-row] >> text=青山贸易")
    page.click(".m-facet a")
    page.wait_for_selector(".m-list-sum >> text=50 of 61")


def test_a_group_that_does_not_come_says_so_and_comes_when_asked_again(page: Any, clients: list[int]) -> None:
    page.goto("/crm_client/?group=status")
    page.route("**/_rows*", lambda route: route.abort())
    page.locator("[data-fold]").click()
    page.wait_for_selector("[data-rows] p")
    page.unroute("**/_rows*")
    page.locator("[data-fold]").click()
    page.locator("[data-fold]").click()
    page.wait_for_selector("[data-row] >> nth=49")


def test_neighbours_in_the_list_and_the_way_back_to_it(page: Any, clients: list[int]) -> None:
    page.goto("/crm_client/?order=name&q=远山")
    page.click(".m-list-sum [rel=next]")
    page.wait_for_url(re.compile("after="))
    back = page.url
    page.locator("[data-row] th a").nth(1).click()
    page.wait_for_selector("[data-place]:not([hidden])")
    assert page.inner_text("[data-words]") == "No. 52 of 60"
    first = page.inner_text("h1")
    page.click("[data-place] [rel=prev]")
    page.wait_for_selector("[data-words] >> text=No. 51 of 60")
    assert page.locator("[data-place] [rel=prev]").get_attribute("aria-disabled") is not None
    page.click("[data-place] [rel=next]")
    page.wait_for_selector("[data-words] >> text=No. 52 of 60")
    assert page.inner_text("h1") == first
    page.click(".m-crumb [data-to-list]")
    page.wait_for_selector("[data-list]")
    assert page.url == back
