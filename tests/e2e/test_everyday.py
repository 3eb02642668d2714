"""What goes wrong on an ordinary day: two clicks, the back button, a session that ends, two people in one record, hands off the mouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.installation import Installation
from tests.e2e.conftest import PASSWORD, Firm, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SETTINGS = {
    "MORTISE_ADMIN_PASSWORD": PASSWORD, "MORTISE_FIRM_NAME": "远山会展",
    "MORTISE_FIRM_ZONE": "Asia/Shanghai", "MORTISE_FIRM_CURRENCY": "CNY",
}  # fmt: skip


@pytest.fixture(scope="module")
def firm(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A small firm with two people who may change everything."""

    def prepare(house: Installation) -> None:
        house.settings |= SETTINGS

    with served(tmp_path_factory.mktemp("everyday"), browser, prepare) as firm:
        rows = "\n".join(f"青山贸易有限公司{place:02}" for place in range(120))
        file = firm.house.folder / "clients.csv"
        file.write_text(f"name\n{rows}\n", encoding="utf-8")
        firm.house.must("import", "crm_client", file)
        firm.person("wang.fang", "王芳", admin=True)
        yield firm
        assert not firm.faults, "\n".join(firm.faults)


@pytest.fixture
def page(firm: Firm) -> Any:
    """The administrator's page, signed in."""
    page = firm.sign_in(firm.visitor(), "admin")
    yield page
    page.context.close()


def save(page: Any) -> None:
    """Ctrl-S, once the page's scripts are there to hear it."""
    page.wait_for_load_state("load")
    page.keyboard.press("Control+s")


def count(firm: Firm, name: str) -> int:
    """How many clients of this name there are."""
    return firm.house.ask(f"SELECT count(*) FROM crm_client WHERE name = '{name}'")[0][0]


def test_two_clicks_make_one_record(firm: Firm, page: Any) -> None:
    page.goto("/crm_client/new")
    page.fill("#field-name", "双击公司")
    page.dblclick("[data-save] button[type=submit]")
    page.wait_for_selector(".m-toast")
    assert count(firm, "双击公司") == 1
    page.goto("/crm_client/new")
    page.fill("#field-name", "快捷键公司")
    page.keyboard.press("Control+s")
    page.keyboard.press("Control+s")
    page.wait_for_selector(".m-toast")
    assert count(firm, "快捷键公司") == 1


def test_the_same_form_sent_again_makes_no_twin(firm: Firm, page: Any) -> None:
    page.goto("/crm_client/new")
    page.fill("#field-name", "一次公司")
    with page.expect_request(lambda one: one.method == "POST" and one.url.endswith("/crm_client/new")) as sending:
        save(page)
    page.wait_for_selector(".m-toast")
    address, sent = page.url, sending.value
    again = page.request.post("/crm_client/new", data=sent.post_data_buffer, headers={"Content-Type": sent.headers["content-type"]})
    assert again.url == address and "was sent already" in again.text()
    assert count(firm, "一次公司") == 1


def test_back_returns_to_the_same_page_of_the_same_list(page: Any) -> None:
    page.goto("/crm_client/?q=青山&order=name")
    page.click(".m-list-sum [rel=next]")
    page.wait_for_url(re.compile("after="))
    address, name = page.url, page.locator("tbody th").nth(30).inner_text()
    page.evaluate("scrollTo(0, 900)")
    page.locator("tbody tr").nth(30).locator("th a").click()
    page.wait_for_selector("#record-form")
    assert page.inner_text("h1") == name
    # Who goes back while the page still loads stops it and stays, as browsers do.
    page.wait_for_load_state("load")
    page.go_back()
    page.wait_for_url(address)
    page.wait_for_selector("tbody tr")
    assert page.evaluate("scrollY") > 300
    page.go_forward()
    assert page.inner_text("h1") == name


def test_a_row_opens_in_a_tab_of_its_own(page: Any) -> None:
    page.goto("/crm_client/?order=name")
    with page.context.expect_page() as opened:
        page.locator("tbody tr").nth(2).click(position={"x": 500, "y": 15}, modifiers=["Control"])
    opened.value.wait_for_selector("#record-form")
    assert page.url.endswith("order=name"), "the list stays where it is"
    # A right click finds a real link to open elsewhere.
    assert re.fullmatch(r"/crm_client/\d+", page.locator("tbody th a").nth(3).get_attribute("href"))


def test_what_was_typed_survives_an_answer_that_is_no_page_of_ours(firm: Firm, page: Any) -> None:
    # Where the page cannot ask whether the session is still there, the form is sent as ever (tests/e2e/test_again.py has the rest).
    page.route("**/login/alive", lambda route: route.abort())
    page.goto("/crm_client/2")
    page.fill("#field-address", "会话结束路1号")
    with firm.house.database() as connection:
        connection.exec_driver_sql("DELETE FROM core_session")
    page.click("[data-save] button[type=submit]")
    page.wait_for_selector(".m-error, .m-signin")
    other = page.context.new_page()
    firm.sign_in(other, "admin")
    other.close()
    assert firm.house.ask("SELECT count(*) FROM crm_client WHERE address = '会话结束路1号'") == [(0,)]
    page.click("main .btn-primary")
    page.wait_for_url(re.compile("/crm_client/2$"))
    assert page.input_value("#field-address") == "会话结束路1号", "it stands in the form again"
    assert page.locator("[data-field=address].m-changed").count() == 1
    page.click("[data-save] button[type=submit]")
    page.wait_for_selector(".m-toast")
    assert firm.house.ask("SELECT address FROM crm_client WHERE id = 2") == [("会话结束路1号",)]
    page.goto("/crm_client/3")
    assert page.locator(".m-changed").count() == 0


def test_the_next_person_does_not_meet_what_the_last_one_typed(firm: Firm, page: Any) -> None:
    page.route("**/login/alive", lambda route: route.abort())
    page.goto("/crm_client/5")
    page.fill("#field-address", "只给自己看")
    with firm.house.database() as connection:
        connection.exec_driver_sql("DELETE FROM core_session")
    page.click("[data-save] button[type=submit]")
    page.click(".m-error .btn-primary")
    firm.sign_in(page, "wang.fang")
    page.goto("/crm_client/5")
    assert page.input_value("#field-address") == ""


def test_two_people_in_one_record_lose_nothing(firm: Firm, page: Any) -> None:
    other = firm.sign_in(firm.visitor(), "wang.fang")
    page.goto("/crm_client/3")
    other.goto("/crm_client/3")
    # Different fields: both are kept, nobody is asked.
    other.fill("#field-address", "王芳路1号")
    save(other)
    other.wait_for_selector(".m-toast")
    page.fill("#field-remarks", "第一个人的备注")
    save(page)
    page.wait_for_selector(".m-toast")
    assert page.input_value("#field-address") == "王芳路1号"
    # The same field: the second is shown both, and decides.
    other.goto("/crm_client/3")
    other.fill("#field-address", "王芳路2号")
    page.fill("#field-address", "管理员路3号")
    page.fill("#field-email", "kept@example.com")
    save(other)
    other.wait_for_selector(".m-toast")
    save(page)
    compared = page.locator(".m-compare").inner_text()
    assert "王芳路2号" in compared and "管理员路3号" in compared
    assert page.input_value("#field-address") == "管理员路3号" and page.input_value("#field-email") == "kept@example.com"
    save(page)
    page.wait_for_selector(".m-toast")
    assert firm.house.ask("SELECT address, email FROM crm_client WHERE id = 3") == [("管理员路3号", "kept@example.com")]


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>&amp;", "🍵 一壶好茶 🫖", "𠮷野家", "O'Brien \"GmbH\" \\ %s {{7*7}}"])
def test_any_name_is_kept_and_shown_as_it_is(page: Any, text: str) -> None:
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    page.goto("/crm_client/new")
    page.fill("#field-name", text)
    save(page)
    page.wait_for_selector(".m-toast")
    assert page.inner_text("h1") == text and page.input_value("#field-name") == text
    assert text in page.inner_text(".m-toast")
    page.goto("/crm_client/?order=-id")
    assert page.locator("tbody th").first.inner_text() == text
    page.goto("/settings/journal")
    assert text in page.inner_text("main section")


def test_too_long_a_name_is_refused_with_a_sentence(page: Any) -> None:
    page.goto("/crm_client/new")
    page.fill("#field-name", "长" * 300)
    page.fill("#field-address", "路" * 190)
    save(page)
    page.wait_for_selector("#field-name[aria-invalid=true]")
    assert len(page.inner_text("#field-name-note")) > 10
    assert page.input_value("#field-name") == "长" * 300 and page.input_value("#field-address") == "路" * 190
    page.fill("#field-name", "长" * 199)
    save(page)
    page.wait_for_selector(".m-toast")


RING = """() => [document.activeElement, document.activeElement.parentElement].some((one) =>
  getComputedStyle(one).outlineStyle !== "none" && parseFloat(getComputedStyle(one).outlineWidth) > 0)"""


def tab_to(page: Any, selector: str, most: int = 60) -> None:
    """Press Tab until the focus is on the element."""
    for _step in range(most):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            assert page.evaluate(RING), f"no ring on {selector}"
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab never reaches {selector}")


def test_all_of_it_goes_by_keyboard(firm: Firm) -> None:
    page = firm.visitor()
    page.goto("/login/")
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.keyboard.press("Control+k")
    page.wait_for_selector("#launcher[open]")
    page.keyboard.type("clients")
    page.keyboard.press("Enter")
    page.wait_for_url("**/crm_client/")
    tab_to(page, ".m-search input[type=search]")
    page.keyboard.type("青山贸易有限公司77")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q="))
    tab_to(page, "tbody th a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#record-form")
    tab_to(page, "#field-address")
    page.keyboard.type("键盘路7号")
    save(page)
    page.wait_for_selector(".m-toast")
    assert page.input_value("#field-address") == "键盘路7号"
    tab_to(page, ".m-strip-actions a.btn-stop")
    page.keyboard.press("Enter")
    page.wait_for_url("**/delete")
    tab_to(page, "main button.btn-stop")
    page.keyboard.press("Enter")
    page.wait_for_selector(".m-toast")
    assert count(firm, "青山贸易有限公司77") == 0
    tab_to(page, ".m-toast form button", 200)
    page.keyboard.press("Enter")
    page.wait_for_selector(".m-toast >> text=as it was")
    assert count(firm, "青山贸易有限公司77") == 1
    tab_to(page, "header .m-me summary")
    page.keyboard.press("Enter")
    tab_to(page, ".m-me-out")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login/**")


def test_leaving_a_changed_form_asks_first(page: Any) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto("/crm_client/4")
    page.click("#field-remarks")
    page.keyboard.type("noch nicht")
    page.click("nav.m-rail a >> nth=1")
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"] and page.input_value("#field-remarks") == "noch nicht"


def test_a_broken_addon_is_told_to_administrators_only(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    def prepare(house: Installation) -> None:
        house.settings |= SETTINGS
        house.addon("box_shelf", "raise ValueError('not today')\n")

    with served(tmp_path_factory.mktemp("broken"), browser, prepare) as firm:
        firm.person("li.wei", "李伟", "Salesperson")
        page = firm.sign_in(firm.visitor(), "admin")
        page.goto("/settings/addons")
        assert "box_shelf" in page.inner_text(".m-banner") and "models.py" in page.inner_text(".m-banner")
        assert page.locator(".m-addon.asleep").count() == 1
        sales = firm.sign_in(firm.visitor(), "li.wei")
        sales.goto("/crm_client/")
        assert sales.locator(".m-banner").count() == 0 and "box_shelf" not in sales.content()
