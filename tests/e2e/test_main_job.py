"""The main job, walked by its first user: a list of 10,000 rows comes in, is found, changed, undone, put to sleep, woken and exported."""

from __future__ import annotations

import csv
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import PASSWORD, Firm, served
from tests.firm import firm as list_of_clients

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIST = list_of_clients()


@pytest.fixture(scope="module")
def firm(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A new installation; the tests of this file walk through it one after another."""
    with served(tmp_path_factory.mktemp("firm"), browser) as firm:
        yield firm
        assert not firm.faults, "\n".join(firm.faults)


@pytest.fixture(scope="module")
def boss(firm: Firm) -> Any:
    """The administrator's page: first sign-in, a password of his own, four answers about the firm."""
    page = firm.visitor(language="zh_Hans")
    first = (firm.house.data / "first-password").read_text().strip()
    page.goto("/")
    page.wait_for_url("**/login/**")
    firm.sign_in(page, "admin", first)
    page.wait_for_url("**/account/password")
    page.fill("#current", first)
    page.fill("#new", PASSWORD)
    page.fill("#again", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/setup")
    assert page.input_value("#zone") == "Asia/Shanghai", "the browser knows the zone"
    page.fill("#name", "远山会展（上海）有限公司")
    page.fill("#currency", "CNY")
    page.click("main button.btn-primary")
    page.wait_for_url(re.compile(r"/$"))
    assert "远山会展" in page.inner_text("header")
    assert not (firm.house.data / "first-password").exists(), "the first password is gone from the disk"
    return page


def found(page: Any, words: str) -> list[str]:
    """Search the list of clients by typing; returns the names of the rows."""
    page.goto("/crm_client/")
    page.fill(".m-search input[type=search]", words)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"[?&]q="))
    return page.locator("tbody th").all_inner_texts()


def total(page: Any) -> int:
    """How many records the list says there are."""
    return max(int(one.replace(",", "")) for one in re.findall(r"[\d,]+", page.inner_text(".m-list-sum")))


def wait_for_toast(page: Any, words: str = "") -> None:
    """Until the page has said what was done."""
    page.wait_for_selector(f".m-toast >> text={words}" if words else ".m-toast")


def call(firm: Firm, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """Status and answer of the REST API."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    asked = urllib.request.Request(firm.address + path, data=None if body is None else json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        return answer.code, json.loads(answer.read() or b"null")


def test_a_firms_list_comes_in_once_and_what_is_wrong_comes_back(firm: Firm, boss: Any) -> None:
    file = LIST.write(firm.house.folder / "clients.csv", encoding="gb18030")
    said = firm.house.must("import", "crm_client", file)
    assert f"New: {LIST.good:,}" in said and f"wrong: {len(LIST.wrong):,}" in said
    wrong = list(csv.reader(io.StringIO((firm.house.folder / "clients.csv.wrong.csv").read_bytes().decode("utf-8-sig"))))
    column = len(wrong[0]) - 1
    assert len(wrong) == 1 + len(LIST.wrong) and all(len(row[column]) > 5 for row in wrong[1:]), "each with its reason"
    again = firm.house.must("import", "crm_client", file)
    assert "New: 0, changed: 0" in again
    boss.goto("/crm_client/")
    assert total(boss) == LIST.good


def test_a_client_is_found_by_characters_by_phone_and_by_sound(firm: Firm, boss: Any) -> None:
    at, row = next((place, row) for place, row in enumerate(LIST.rows) if place not in LIST.wrong and row[0].startswith("上海华源"))
    names = found(boss, row[0][2:4])
    assert names and all(row[0][2:4] in name for name in names)
    digits = "".join(filter(str.isdigit, row[4]))[-7:]
    assert row[0] in found(boss, digits), (at, digits)
    assert row[0] in found(boss, "shanghaihuayuan")
    assert any(name.startswith("上海华源") for name in found(boss, "shhy"))
    assert found(boss, "天外飞仙") == []
    assert boss.locator(".m-empty .btn-primary").count() == 1, "an empty list offers the way out"


def test_a_client_is_changed_seen_in_history_and_journal_and_undone(firm: Firm, boss: Any) -> None:
    found(boss, "上海华源")
    boss.locator("tbody tr").first.click(position={"x": 500, "y": 15})
    boss.wait_for_selector("#record-form")
    before = boss.input_value("#field-address")
    boss.fill("#field-address", "上海市人民路1号2楼")
    boss.wait_for_load_state("load")
    boss.keyboard.press("Control+s")
    wait_for_toast(boss)
    boss.wait_for_selector("#history >> text=上海市人民路1号2楼")
    record = boss.url
    boss.goto("/settings/journal")
    batch = boss.locator(".m-main section").first
    assert "上海市人民路1号2楼" in batch.inner_text() and before in batch.inner_text()
    boss.goto(record)
    boss.click("#history form button")
    wait_for_toast(boss)
    assert boss.input_value("#field-address") == before


def test_a_field_of_ones_own_is_made_filled_and_filtered_by(firm: Firm, boss: Any) -> None:
    for kind, title, options in (("choice", "客户等级", "甲\n乙\n丙"), ("integer", "员工人数", "")):
        boss.goto("/settings/fields/crm_client")
        boss.click(".m-head .btn-primary")
        boss.fill("#f-title", title)
        boss.select_option("#f-kind", kind)
        if options:
            boss.fill("#f-options", options)
        boss.click("#panel button[type=submit]")
        wait_for_toast(boss)
        assert title in boss.inner_text(".m-fields-table")
    found(boss, "上海华源")
    boss.click("tbody th a")
    boss.get_by_label("客户等级").select_option(label="乙")
    boss.get_by_label("员工人数").fill("120")
    boss.wait_for_load_state("load")
    boss.keyboard.press("Control+s")
    wait_for_toast(boss)
    name = boss.inner_text("h1")
    boss.goto("/crm_client/")
    boss.click(".m-bar [data-open=filter-panel]")
    row = boss.locator(".m-condition").first
    row.locator("select").first.select_option(label="客户等级")
    row.locator(".m-condition-value select, .m-condition-value input").first.wait_for()
    row.locator(".m-condition-value select").select_option(label="乙")
    boss.click("#filter-panel button[type=submit]")
    boss.wait_for_selector(".m-facet >> text=乙")
    assert boss.locator("tbody th").all_inner_texts() == [name]
    boss.click(".m-bar [data-open=filter-panel]")
    row = boss.locator(".m-condition").first
    row.locator("select").first.select_option(label="员工人数")
    row.locator(".m-condition-how > select").select_option("ge")
    row.locator(".m-condition-value input").fill("121")
    boss.click("#filter-panel button[type=submit]")
    boss.wait_for_selector(".m-empty")


def test_asleep_and_awake_again_nothing_is_lost(firm: Firm, boss: Any) -> None:
    boss.goto("/settings/addons")
    boss.click(".m-addon a.m-addon-switch")
    preview = boss.locator(".m-pane-side")
    assert f"{LIST.good:,}" in preview.inner_text()
    preview.locator("form button").click()
    wait_for_toast(boss)
    assert boss.goto("/crm_client/").status == 404
    assert boss.locator(".m-error h1").count() == 1
    boss.goto("/settings/addons")
    boss.click(".m-addon.asleep form button")
    wait_for_toast(boss)
    boss.goto("/crm_client/")
    assert total(boss) == LIST.good
    found(boss, "上海华源")
    boss.click("tbody th a")
    assert boss.get_by_label("员工人数").input_value() == "120"


def test_what_is_exported_is_what_came_in(firm: Firm, boss: Any) -> None:
    boss.goto("/crm_client/")
    boss.click("a[href*=_export]")
    with boss.expect_download() as loaded:
        boss.check("input[name=format][value=csv]")
        boss.click(".m-dialog-foot button[type=submit]")
    rows = list(csv.DictReader(io.StringIO(loaded.value.path().read_bytes().decode("utf-8-sig"))))
    heading = list(rows[0])
    good = [row for place, row in enumerate(LIST.rows) if place not in LIST.wrong]
    assert {row[heading[0]] for row in rows} & {row[0] for row in good} or any(row[0] in rows[0].values() for row in good)
    names = next(column for column in heading if rows[0][column] in {row[0] for row in good})
    assert sorted(row[names] for row in rows) == sorted(row[0] for row in good)
    addresses = {row[0]: row[7] for row in good}
    column = next(column for column in heading if rows[0][column] == addresses[rows[0][names]])
    assert all(row[column] == addresses[row[names]] for row in rows)


def test_a_salesperson_reaches_his_own_clients_and_no_others_by_any_door(firm: Firm, boss: Any) -> None:
    firm.person("li.wei", "李伟", "Salesperson")
    mine = firm.house.folder / "mine.csv"
    lines = ["客户名称,手机,地址", "青山贸易有限公司,13800000001,青岛市海边路1号", "青山软件有限公司,13800000002,青岛市海边路2号"]
    mine.write_text("\n".join(lines), encoding="utf-8")
    firm.house.must("import", "crm_client", mine, "--as", "li.wei")
    page = firm.sign_in(firm.visitor(language="zh_Hans"), "li.wei")
    page.goto("/crm_client/")
    assert sorted(page.locator("tbody th").all_inner_texts()) == ["青山贸易有限公司", "青山软件有限公司"]
    assert found(page, "上海") == []
    other = firm.house.ask("SELECT id FROM crm_client WHERE name LIKE '上海华源%' LIMIT 1")[0][0]
    for address in (f"/crm_client/{other}", f"/crm_client/{other}/delete", f"/crm_client/{other}/_history", "/settings/", "/ab_role/",
                    f"/crm_client/{other}/_related/crm_contact/client", "/settings/journal"):  # fmt: skip
        assert page.goto(address).status in (403, 404), address
        assert "上海" not in page.inner_text("main")
    asked = page.request
    assert asked.get("/crm_client/_lookup?q=上海").json()["results"] == []
    exported = asked.get("/crm_client/_export").body().decode("utf-8-sig")
    assert exported.count("青山") == 2 and "华源" not in exported
    status, told = call(firm, "/api/v1/security/login", {"username": "li.wei", "password": PASSWORD, "provider": "db"})
    assert status == 200
    token = told["access_token"]
    assert call(firm, f"/api/v1/crm_client/{other}", token=token)[0] == 404
    assert call(firm, "/api/v1/crm_client/", token=token)[1]["count"] == 2
    # A filter that names a field of others' records counts none of them.
    tree = json.dumps({"field": "name", "op": "contains", "value": "上海"})
    page.goto(f"/crm_client/?filter={tree}")
    assert page.locator("tbody tr").count() == 0
    # Nor can he take what is not his by a form of his own making.
    token = page.evaluate("document.querySelector('[name=csrf_token]').value")
    answer = asked.post(f"/crm_client/{other}", form={"csrf_token": token, "name": "被改的", "_seen": "{}", "_version": "1"})
    assert answer.status == 404
    assert firm.house.ask("SELECT count(*) FROM crm_client WHERE name = '被改的'") == [(0,)]
