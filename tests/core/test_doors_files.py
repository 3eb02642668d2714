"""Attacks by files: pictures that are scripts, names that are paths, workbooks that explode, cells that are formulas."""

import io
import json
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select

from core.backup import FORMAT
from core.db import db
from core.jobs import run_jobs
from core.model import model_of
from tests.core.installation import ROOT, Installation, new

GIF = (
    b"GIF89a/*\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01"
    b"\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;*/=1;alert(1)//"
)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
SHOWN = {"image/gif", "image/png", "image/apng", "image/jpeg", "image/webp"}


@pytest.fixture
def chief(login_as):
    return login_as("chief", level="administrator")


def upload(browser, content, name):
    return browser.post("/file/", data={"file": (io.BytesIO(content), name)}, headers={"Accept": "application/json"})


# -- what is uploaded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (SVG, "a.svg"), (SVG, "a.png.svg"), (SVG, "a"), (HTML, "a.html"), (HTML, "a.txt"), (b"\xef\xbb\xbf" + HTML, "a.txt"), (GIF,
        "a.gif"),
        (GIF, "a.js"), (GIF, "a.html"), (b" " * 5000 + HTML, "a.txt"), (HTML.decode().encode("utf-16"), "a.txt"), (b"%PDF-1.4\n" + HTML,
        "a.pdf"),
        (b"<xsl:stylesheet/>", "a.xsl"), (b"alert(1)", "a.js"), (b"<x:script xmlns:x='http://www.w3.org/1999/xhtml'/>", "a.xml"),
        (b"\x89PNG\r\n\x1a\n" + HTML, "a.png"), (b"\xff\xd8\xff\xe0" + HTML, "a.jpg"), (b"PK\x03\x04" + HTML, "a.zip"), (b"BM" + HTML,
        "a.bmp"),
    ],
)  # fmt: skip
def test_no_upload_is_ever_a_page_or_script_of_ours(chief, content, name):
    made = upload(chief, content, name)
    if made.status_code != 201:
        assert made.status_code == 422 and made.json["message"].endswith(".")
        return
    for query in ("", "?show=1", "?show=1&x=.html"):
        with chief.get(f"/file/{made.json['id']}{query}") as got:
            assert got.mimetype in {"application/octet-stream", *(SHOWN if "show" in query else ())}, got.mimetype
            assert got.headers["X-Content-Type-Options"] == "nosniff"
            assert got.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin" and "private" in got.headers["Cache-Control"]
            shown = got.mimetype in SHOWN
            assert got.headers.get("Content-Disposition", "").startswith("attachment") or shown


@pytest.mark.parametrize("content", [HTML, SVG, b"alert(1)", b"MZ\x90\0\x03\0", b"PK\x03\x04zip", b"%PDF-1.4"])
@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.gif", "a.webp"])
def test_what_calls_itself_a_picture_is_one(chief, content, name):
    refused = upload(chief, content, name)
    assert refused.status_code == 422 and "a." in refused.json["message"]


NAMES = [
    "../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "a\x00.png", "C:\\a.txt", "....//a",
    "~/.ssh/id", ".htaccess",
    'a"; filename="b.html', "a\r\nSet-Cookie: x=y", "a\u202egpj.exe", "a/../../b", "." * 300, "x" * 5000 + ".txt", "\u0000", "con.txt",
    "<script>.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_path_and_no_header(app, chief, name):
    made = upload(chief, b"just text", name)
    assert made.status_code in (201, 400, 422)
    data = Path(app.config["MORTISE"].data)
    outside = [path for path in data.rglob("*") if path.is_file() and not path.is_relative_to(data / "files")]
    assert not [path for path in outside if path.read_bytes() == b"just text"]
    for path in (data / "files").rglob("*"):
        assert re.fullmatch(r"[0-9a-f]{2}|[0-9a-f]{62}|incoming|\.lock", path.name), path
    if made.status_code == 201:
        kept = made.json["name"]
        assert not re.search(r'[/\\\x00-\x1f<>:"\u202e]', kept) and kept.strip(". ") == kept and 0 < len(kept) <= 151
        with chief.get(f"/file/{made.json['id']}") as got:
            assert "Set-Cookie" not in got.headers and got.headers["Content-Disposition"].startswith("attachment; filename")


@pytest.mark.parametrize(
    "path",
    ["../config.py", "..%2fconfig.py", "..%252fgate.py", "%2e%2e/gate.py", "....//gate.py", "..\\gate.py", "..%5cgate.py",
    "/etc/passwd", "%2fetc%2fpasswd",
     "vendor/../../gate.py", "vendor/%2e%2e/%2e%2e/gate.py", "x%00.js", "", ".", "js/", "vendor/", ".git/config"],
)  # fmt: skip
def test_no_file_of_the_house_is_served_but_those_meant_for_browsers(client, path):
    for prefix in ("/static/", "/static//", "/static/vendor/"):
        with client.get(prefix + path) as answer:
            assert answer.status_code in (302, 308, 404), prefix + path
            assert "import" not in answer.text and "root:" not in answer.text and "Index of" not in answer.text
    for end in ("", "/versions"):
        assert client.get(f"/file/{path}{end}").status_code in (302, 308, 404, 405)


@pytest.mark.parametrize("name", ["../secret-key", "..%2fsecret-key", "/etc", "crm_tag%00", "%2e%2e", "crm_tag/../x", "x" * 300])
def test_an_addon_is_no_path(app, chief, name):
    for end in ("off", "on"):
        assert chief.post(f"/settings/addons/{name}/{end}").status_code in (404, 308, 405, 400), name
        assert chief.get(f"/settings/addons/{name}/off").status_code in (404, 308, 405), name
    for url in (f"/crm_client/_import/template.{name}", f"/settings/fields/{name}", f"/{name}/", f"/api/v1/{name}/"):
        assert chief.get(url).status_code in (404, 308, 400), url


# -- the command line -------------------------------------------------------------------------------------------------


def test_no_command_follows_a_name_out_of_its_folder(tmp_path):
    house = new("sqlite", tmp_path / "house", "doors")
    for name in ("../evil_one", "/tmp/evil_one", "evil_one/../../x", "evil_one\n", "..", "evil-one", "evil_one;id", "$(id)_x"):
        for words in (("addon", "new", name), ("addon", "remove", "--yes", name), ("migrate", "--make", name, "-m", "x")):
            done = house.run(*words)
            assert done.status in (1, 2) and done.err.strip(), (words, done.text)
    assert not list(tmp_path.rglob("evil*")) and not (ROOT / "evil_one").exists()


@pytest.mark.parametrize(
    "name", ["files/../../evil", "files/../evil", "/tmp/evil", "files//../../../evil", "files/..\\..\\evil", "../evil", "tables/../../evil"]
)
def test_a_backup_puts_no_file_outside_of_its_folder(house: Installation, tmp_path, name):
    path = tmp_path / "saved.zip"
    house.must("backup", path)
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w") as made:
        manifest = json.loads(old.read("manifest.json"))
        assert manifest["format"] <= FORMAT
        manifest["sha256"][name] = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"  # of “1\n”
        for one in old.namelist():
            made.writestr(one, old.read(one) if one != "manifest.json" else json.dumps(manifest))
        made.writestr(name, "1\n")
    done = house.run("restore", "--yes", evil)
    inside = house.data / "files"
    found = [one for one in tmp_path.rglob("*evil*") if one.is_file() and one != evil] + list(Path("/tmp").glob("evil"))
    assert not [one for one in found if not one.is_relative_to(inside)], found
    assert done.status == 1 or "\\" in name or not name.startswith("files/.."), done.text


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = new("sqlite", tmp_path_factory.mktemp("house"), "doors")
    made.must("migrate")
    return made


# -- workbooks --------------------------------------------------------------------------------------------------------

TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
OFFICE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
LOL = (
    '<!DOCTYPE x [<!ENTITY a "lollollollol">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
STEAL = '<!DOCTYPE x [<!ENTITY i SYSTEM "file:///etc/hostname">]>'


def workbook(path, rows="", *, doctype="", extra=None, strings="", styles="", types="", strings_name="xl/sharedStrings.xml"):
    """A workbook written by hand, with what an attacker would write."""
    parts = {
        "[Content_Types].xml": f'{HEAD}<Types xmlns="{TYPES}"><Default Extension="rels" ContentType="application/vnd.openxmlformats-'
        f'package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="{OFFICE}.sheet.main+xml"/><Override PartName="/xl/'
        f'worksheets/sheet1.xml" ContentType="{OFFICE}.worksheet+xml"/><Override '
        f'PartName="/xl/styles.xml" ContentType="{OFFICE}.styles+xml"/>'
        + (f'<Override PartName="/{strings_name}" ContentType="{OFFICE}.sharedStrings+xml"/>' if strings else "") + f"{types}</Types>",
        "_rels/.rels": f'{HEAD}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        f'Type="{RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{RELS}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{RELS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'{HEAD}{doctype}<worksheet xmlns="{MAIN}"><dimension ref="A1:XFD9999999"/><sheetData><row r="1">'
        f'<c r="A1" t="inlineStr"><is><t>name</t></is></c></row>{rows}</sheetData></worksheet>',
        "xl/styles.xml": styles or f'{HEAD}<styleSheet xmlns="{MAIN}"/>',
        **({strings_name: strings} if strings else {}), **(extra or {}),
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, text in parts.items():
            with packed.open(name, "w", force_zip64=True) as stream:
                for piece in [text] if isinstance(text, str) else text:
                    stream.write(piece.encode() if isinstance(piece, str) else piece)
    return path


def many(text, times, before="", after=""):
    """A long text in pieces."""
    return [before, *[text * 10_000] * (times // 10_000), after]


CELL = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c></row>'
BOMBS = {
    "laughs": {"rows": CELL.format(2, "&i;"), "doctype": LOL},
    "outside": {"rows": CELL.format(2, "&i;"), "doctype": STEAL},
    "quadratic": {"rows": CELL.format(2, "&a;" * 200_000), "doctype": f'<!DOCTYPE x [<!ENTITY a "{"y" * 50_000}">]>'},
    "last row": {"rows": CELL.format(2_000_000_000, "x")},
    "last column": {"rows": '<row r="2"><c r="ZZZZZZZ2" t="inlineStr"><is><t>x</t></is></c></row>'},
    "odd numbers": {"rows": '<row r="-5"><c r="A99999999999999999999"><v>1e999</v></c></row>'},
    "renamed texts": {"strings": many("<si><t>abc</t></si>", 12_000_000, f'{HEAD}<sst xmlns="{MAIN}">', "</sst>"),
    "strings_name": "xl/words.bin"},
    "texts called a sheet": {
        "strings": many("<si><t>abc</t></si>", 12_000_000, f'{HEAD}<sst xmlns="{MAIN}">', "</sst>"), "strings_name": "xl/words.xml",
        "types": f'<Override PartName="/xl/words.xml" ContentType="{OFFICE}.worksheet+xml"/>',
    },
    "styles": {"styles": many("<a/>", 10_000_000, f'{HEAD}<styleSheet xmlns="{MAIN}">', "</styleSheet>")},
    "types": {"types": "<a/>" * 5_000_000},
    "one long text": {"rows": CELL.format(2, "x" * 40_000_000)},
    "deep": {"rows": "<a>" * 3_000_000}, "broad": {"rows": "<a/>" * 5_000_000},
    "broad row": {"rows": "<row>" + "<c/>" * 5_000_000 + "</row>"},
}  # fmt: skip
READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1200 * 2**20, 1200 * 2**20))
from pathlib import Path
from core.errors import Broken
from core.transfer.reading import opened
try:
    with opened(Path(sys.argv[1])) as sheet:
        print("read", [row for _line, row in sheet.rows()][:3])
except Broken as refused:
    print("refused", refused.sentence)
print("peak", int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_that_explodes_costs_neither_memory_nor_time(tmp_path, name):
    path = workbook(tmp_path / "bomb.xlsx", **BOMBS[name])
    assert path.stat().st_size < 8 * 2**20
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", READ, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path("/etc/hostname").read_text().strip() not in done.stdout
    assert int(done.stdout.rsplit(" ", 1)[1]) < 400, done.stdout[-300:]
    assert time.monotonic() - started < 40
    assert ("refused" in done.stdout) == (name not in ("last row", "odd numbers")), done.stdout[:300]


def test_an_exploding_workbook_is_told_on_the_page_and_in_a_sentence(chief, tmp_path):
    path = workbook(tmp_path / "bomb.xlsx", **BOMBS["laughs"])
    with path.open("rb") as stream:
        answer = chief.post("/crm_client/_import", data={"file": (stream, "bomb.xlsx")})
    assert answer.status_code == 302
    db.session.commit()
    run_jobs(once=True)
    assert "is not an Excel workbook, or it is damaged" in chief.get(answer.location).text


# -- formulas ---------------------------------------------------------------------------------------------------------

FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\u200c=1",
    "=cmd|' /C calc'!A0",
    "'=1",
    "''=1",
    "＝1+1",
    '=HYPERLINK("http://x")',
    "-5",
    "+86 138",
]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_formula_goes_out_as_text_and_comes_back_as_it_was(app, chief, tmp_path, ending):
    for place, text in enumerate(FORMULAS):
        made = chief.post("/api/v1/crm_client/", json={"name": text, "code": f"F{place}", "address": text})
        assert made.status_code == 201
    before = stored()
    got = chief.get("/crm_client/_export") if ending == "csv" else None
    if got is None:
        from core.transfer import run_export

        run_export("crm_client", tmp_path / "f.xlsx")
        content = (tmp_path / "f.xlsx").read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            assert b"<f>" not in packed.read("xl/worksheets/sheet1.xml")
    else:
        content = got.data
        cells = re.findall(r'(?:^|,)"?([^",\r\n]*)', content.decode("utf-8-sig"), re.MULTILINE)
        assert not [cell for cell in cells if cell[:1] in tuple("=+@\t\r＝") or (cell[:1] == "-" and cell != "-5")]
    from core.transfer import run_import

    (tmp_path / f"back.{ending}").write_bytes(content)
    assert run_import("crm_client", tmp_path / f"back.{ending}").changed == 0
    assert stored() == before


def stored():
    db.session.commit()
    table = model_of("crm_client").__table__
    return dict(db.session.execute(select(table.c.code, table.c.name).order_by(table.c.code)).all())
