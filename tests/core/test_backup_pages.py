"""Backups over HTTP against a real `run.py serve`: made, fetched, deleted, brought back while the house stands still."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest

from tests.core.installation import Installation
from tests.core.test_serve import serving, wait_for
from tests.core.way_back import FILL, PASSWORD, WAIT, WORDS, filled

pytestmark = pytest.mark.slow


class Visitor:
    """Somebody at a browser without scripts."""

    def __init__(self, address: str, login: str, password: str) -> None:
        self.address = address
        self.opener = build_opener(HTTPCookieProcessor())
        self.post("/login/", {"username": login, "password": password})

    def get(self, path: str) -> tuple[int, str]:
        status, _headers, body = self.ask(path)
        return status, body.decode()

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        try:
            with self.opener.open(Request(self.address + path, body, headers), timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except HTTPError as answer:
            return answer.code, dict(answer.headers), answer.read()

    def word(self) -> str:
        for path in ("/backups", "/login/"):
            if found := re.search(r'name="csrf_token" value="([^"]+)"', self.get(path)[1]):
                return found[1]
        raise AssertionError("no form")

    def post(self, path: str, values: dict[str, str]) -> tuple[int, str]:
        status, _headers, body = self.ask(path, urlencode({"csrf_token": self.word(), **values}).encode())
        return status, body.decode()

    def upload(self, content: bytes, name: str) -> tuple[int, str]:
        mark = "----mortise-test"
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{self.word()}\r\n'.encode()]
        parts += [f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode(), content]
        body = b"".join([*parts, f"\r\n--{mark}--\r\n".encode()])
        status, _headers, text = self.ask("/backups/upload", body, **{"Content-Type": f"multipart/form-data; boundary={mark}"})
        return status, text.decode()


def names(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"/backups/([^/\"]+)/file", text)))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    return filled(request.param, tmp_path, "pages")


def test_a_backup_is_made_fetched_deleted_uploaded_and_restored_in_the_browser(house: Installation, tmp_path: Path) -> None:
    house.must("user", "create", "plain", given=None)
    with serving(house) as (address, _process, _said):
        admin = Visitor(address, "admin", PASSWORD)
        status, text = admin.get("/backups")
        assert status == 200 and "There is no backup yet" in text, text[:2000]
        assert Visitor(address, "plain", "nonsense").ask("/backups")[0] == 200, "the sign-in page"
        # Two different passphrases, one too short: nothing is made, and each says why.
        assert admin.post("/backups/make", {"passphrase": WORDS, "again": "another"})[0] == 422
        status, text = admin.post("/backups/make", {"passphrase": "short", "again": "short"})
        assert status == 422 and "at least 12" in text
        assert admin.post("/backups/make", {"passphrase": WORDS, "again": WORDS})[0] == 200
        wait_for(lambda: house.ask("SELECT count(*) FROM core_job WHERE name LIKE '%make_backup' AND state = 'done'") == [(1,)], WAIT)
        status, text = admin.get("/backups")
        (name,) = names(text)
        assert name.endswith(".zip.locked") and "encrypted" in text and "checked" in text
        assert WORDS not in str(house.ask("SELECT arguments FROM core_job")) and not house.ask("SELECT name FROM core_secret")
        status, headers, content = admin.ask(f"/backups/{name}/file")
        assert status == 200 and name in headers["Content-Disposition"] and content == (house.data / "backups" / name).read_bytes()
        assert admin.ask("/backups/..%2fmortise.db/file")[0] == 404 and admin.ask("/backups/nothing.zip/file")[0] == 404
        assert admin.post(f"/backups/{name}/delete", {})[0] == 200
        assert not list((house.data / "backups").glob("backup-*"))
        # What is no backup, and one that was cut, are refused with a sentence.
        status, text = admin.upload(b"hello", "hello.zip")
        assert status == 422 and "no backup of Mortise" in text
        status, text = admin.upload(content[: len(content) // 2], name)
        assert status == 200 and "Check it" in text
        cut = re.search(r"/backups/(uploaded-[^/]+)/check", text)[1]
        status, text = admin.post(f"/backups/{cut}/check", {"passphrase": WORDS})
        assert status == 422 and "damaged" in text
        # What only reading to the end shows is found by the job, and told on the page that waits for it.
        house.must("backup", tmp_path / "plain.zip")
        changed = bytearray((tmp_path / "plain.zip").read_bytes())
        changed[len(changed) // 3] ^= 1
        status, text = admin.upload(bytes(changed), "plain.zip")
        text = checked(admin, re.search(r"/backups/(uploaded-[^/]+)/check", text)[1])
        assert "damaged" in text and "Check it" in text and "Replace everything" not in text
        assert house.ask("SELECT state FROM core_job WHERE name LIKE '%check_backup'") == [("dead",)]
        status, text = admin.upload(content, name)
        here = re.findall(r"/backups/(uploaded-[^/]+)/check", text)[0]
        assert "passphrase does not open" in admin.post(f"/backups/{here}/check", {"passphrase": "quite another one"})[1]
        house.python(FILL.replace("Client {number}", "Later {number}"))
        text = checked(admin, here)
        assert "The file is whole and fits" in text and not house.ask("SELECT name FROM core_secret")
        assert WORDS not in str(house.ask("SELECT arguments, memory FROM core_job"))
        assert re.search(r'<td class="m-num">100</td><td class="m-num m-strong">50</td>', text), "clients now and afterwards"
        status, text = admin.post(f"/backups/{here}/restore", {"word": "", "passphrase": WORDS})
        assert status == 422 and "please type the word" in text
        status, text = admin.post(f"/backups/{here}/restore", {"word": "restore", "passphrase": "quite another one"})
        assert status == 422 and "passphrase does not open" in text
        assert house.ask("SELECT count(*) FROM crm_client") == [(100,)]

        status, text = admin.post(f"/backups/{here}/restore", {"word": "restore", "passphrase": WORDS})
        assert status in (200, 503) and "A backup is being restored" in text
        seen = watch(admin, house)
        assert {"maintenance"} <= seen, seen
        # Everybody has been signed out, and the data are those of the backup.
        assert 'name="password"' in admin.get("/backups")[1]
        assert house.ask("SELECT count(*) FROM crm_client") == [(50,)]
        again = Visitor(address, "admin", PASSWORD)
        status, text = again.get("/backups")
        assert "was restored" in text and "before-restore-" in text
        assert again.post("/backups/read", {})[0] == 200 and "was restored" not in again.get("/backups")[1]
        verbs = {row[0] for row in house.ask("SELECT verb FROM core_journal WHERE model = 'core_backup'")}
        assert verbs == {"restore"}, "the journal is the backup's, and says so"
        wait_for(lambda: again.get("/readyz")[0] == 200, WAIT)
        assert "Client 7" in again.get("/crm_client/?q=Client+7")[1]
    assert "all in order" in house.must("check")


def checked(visitor: Visitor, name: str) -> str:
    """The page of the check, which a job does; asked as a browser does that looks again by itself."""
    status, headers, text = visitor.ask(f"/backups/{name}/check", urlencode({"csrf_token": visitor.word(), "passphrase": WORDS}).encode())
    (number,) = re.findall(r"/jobs/#job-(\d+)", text.decode()) or re.findall(r"check=(\d+)", headers.get("Location", "")) or ["0"]
    until = time.monotonic() + WAIT
    while status == 200 and "Refresh" in headers:
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.2)
        status, headers, text = visitor.ask(f"/backups/{name}/restore?check={number}")
    assert status == 200
    return text.decode()


def watch(visitor: Visitor, house: Installation) -> set[str]:
    """What /healthz said until the restore was over."""
    seen: set[str] = set()
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        try:
            seen.add(json.loads(visitor.get("/healthz")[1])["status"])
        except OSError:
            seen.add("away")
        state = json.loads((house.data / "restore-state.json").read_text())
        if state["state"] not in ("asked", "running") and list(seen) and "ok" in seen and "maintenance" in seen:
            try:
                if json.loads(visitor.get("/healthz")[1])["status"] == "ok":
                    return seen
            except OSError:
                pass
        time.sleep(0.05)
    raise AssertionError(f"it took too long: {seen} {state}")
