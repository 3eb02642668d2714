"""The way back in a real browser: a backup made, saved, brought again, checked and restored, by clicks, in English and Chinese."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error

from tests.core.installation import Installation
from tests.core.test_serve import serving, wait_for
from tests.core.way_back import FILL, PASSWORD, WAIT, WORDS, filled

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LOCALES = {"en": "en-GB", "zh_Hans": "zh-CN"}
NO_WORDS = re.compile(r"[a-z]+-\d{8}-\d{6}\S*|restore|mortise|sqlite|admin|uploaded|crm_client|enter", re.IGNORECASE)
"""What stays as it is in every language: names of files and tables, the word to be typed, the key."""


class Person:
    """An administrator with a mouse; in Chinese no step may show him an English word."""

    def __init__(self, browser: Any, address: str, language: str) -> None:
        self.language = language
        context = browser.new_context(base_url=address, locale=LOCALES[language], accept_downloads=True, reduced_motion="reduce")
        context.set_default_timeout(WAIT * 1000)
        self.page = context.new_page()

    def reads(self, english: str, chinese: str, place: str = "main") -> None:
        """Waits until a step says so."""
        self.page.locator(place, has_text=english if self.language == "en" else chinese).first.wait_for()
        if self.language != "en":
            text = NO_WORDS.sub("", self.page.locator(place).first.inner_text())
            assert not (found := re.findall(r"[A-Za-z]{4,}", text)), (found, text)

    def signs_in(self) -> None:
        self.page.goto("/login/")
        self.page.fill("#username", "admin")
        self.page.fill("#password", PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def brings(self, file: Path) -> None:
        """Uploads a file and lets it be checked."""
        self.page.goto("/backups")
        self.page.set_input_files("#upload input[type=file]", file)
        self.page.click("#upload button[type=submit]")
        self.reads("First the file is read to its end", "先把文件从头读到尾")

    def comes_back(self, selector: str) -> None:
        """Waits until the house is there again; a look in the moment when nobody listens is repeated, as a person presses “again”."""

        def there() -> bool:
            try:
                if self.page.url.startswith("chrome-error"):
                    self.page.goto("/backups")
                return bool(self.page.locator(selector).count())
            except Error:
                return False

        wait_for(there, WAIT)

    def restores(self, passphrase: str = "") -> None:
        """Types what has to be typed; what follows is no page of the server any more."""
        if passphrase:
            self.page.fill("#words", passphrase)
        self.page.fill("#word", "restore")
        self.page.click("#confirm button[type=submit]")
        self.page.locator("h1", has_text="A backup is being restored" if self.language == "en" else "正在恢复备份").wait_for()


@pytest.fixture
def house(tmp_path: Path) -> Installation:
    return filled("sqlite", tmp_path, "clicks")


def too_few(saved: Path, target: Path) -> Path:
    """A whole backup whose list says that there are more rows than there are: no check sees that, only the restore."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(target, "w") as made:
        for one in source.namelist():
            content = source.read(one)
            if one == "manifest.json":
                told = json.loads(content)
                told["tables"]["crm_client"] += 1
                content = json.dumps(told).encode()
            made.writestr(one, content)
    return target


@pytest.mark.parametrize("language", list(LOCALES))
def test_from_the_backup_to_the_data_of_then_by_clicks(house: Installation, chromium: Any, tmp_path: Path, language: str) -> None:
    saved = tmp_path / "saved.zip.locked"
    with serving(house) as (address, _process, _said):
        person = Person(chromium, address, language)
        page = person.page
        person.signs_in()
        page.goto("/backups")
        person.reads("There is no backup yet", "还没有备份", "#all")
        page.fill("#make-words", WORDS)
        page.fill("#make-again", WORDS)
        page.click("#make button[type=submit]")
        wait_for(lambda: house.ask("SELECT count(*) FROM core_job WHERE name LIKE '%make_backup' AND state = 'done'") == [(1,)], WAIT)
        page.goto("/backups")
        person.reads("encrypted", "已加密", "#all")
        with page.expect_download() as coming:
            page.click("#all a[download] >> nth=0")
        coming.value.save_as(saved)
        house.python(FILL.replace("Client {number}", "Later {number}"))

        person.brings(saved)
        page.fill("#check-words", "quite another one")
        page.click("main form button[type=submit]")
        person.reads("This passphrase does not open", "口令无法打开", "#wrong")
        page.fill("#check-words", WORDS)
        page.click("main form button[type=submit]")
        person.reads("The file is whole and fits", "文件完整", "#checked")
        person.reads("Replace everything", "替换", "#confirm")
        row = page.locator("#coming tr", has=page.locator("td", has_text=re.compile(r"^(Clients|客户)$")))
        assert row.locator("td").all_inner_texts()[1:] == ["100", "50"], "clients now and afterwards"
        assert house.ask("SELECT count(*) FROM crm_client") == [(100,)]
        person.restores(WORDS)
        person.reads("Nobody can work meanwhile", "其间无法工作", "main")
        # The page looks again by itself until the house is there again, and then asks who this is.
        person.comes_back("#username")
        person.signs_in()
        page.goto("/backups")
        person.reads("was restored", "已恢复", "#restored")
        page.click("#restored button[type=submit]")
        page.goto("/crm_client/?q=Client+7")
        assert page.locator("main tbody tr").count() == 1
        page.goto("/crm_client/?q=Later")
        assert page.locator("main tbody tr").count() == 0

        # One that fails leaves everything as it is, and says why in the language of whoever asked for it.
        house.must("backup", tmp_path / "plain.zip")
        person.brings(too_few(tmp_path / "plain.zip", tmp_path / "few.zip"))
        page.click("main form button[type=submit]")
        person.reads("The file is whole and fits", "文件完整", "#checked")
        person.restores()
        wait_for(lambda: json.loads((house.data / "restore-state.json").read_text())["state"] == "failed", WAIT)
        person.comes_back("#restored")
        person.reads("should have 51 rows of crm_client, but has 50", "应有 51 行，实际有 50 行；未做任何更改", "#restored")
        assert house.ask("SELECT count(*) FROM crm_client") == [(50,)]
