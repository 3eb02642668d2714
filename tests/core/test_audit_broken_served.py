"""What people meet while an addon is broken or its folder is gone: a red banner, sleeping pages, and everything else at work."""

import shutil

import pytest

from tests.core.installation import new

SHELF = """
from core import Mapped, Model, field


class Shelf(Model):
    \"\"\"A shelf.\"\"\"

    name: Mapped[str] = field(search=True)
"""
LABEL = """
from addons.box_shelf.models import Shelf

from core import Mapped, Model, extend, field, link


class Label(Model):
    \"\"\"A label on a shelf.\"\"\"

    shelf: Mapped[Shelf] = link(part_of=True)
    name: Mapped[str] = field()


@extend(Shelf)
class ShelfColour:
    colour: Mapped[str | None] = field()
"""
# The requests come to an application of this installation, in a process of its own.
ASK = """
import io, re, sys
sys.stderr = io.StringIO()
from core.app import create_app
app = create_app()
client = app.test_client()

def token(page):
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]

page = client.get("/login/").text
client.post("/login/", data={"username": "admin", "password": "Audit-words-1", "csrf_token": token(page)})

def ask(path, **form):
    form = form and {**form, "csrf_token": token(client.get("/").text)}
    answer = client.post(path, data=form) if form else client.get(path)
    return answer.status_code, re.findall(r'm-banner.*?</div>', answer.text, re.S), answer.text
"""


@pytest.fixture
def house(tmp_path):
    made = new("sqlite", tmp_path, "")
    made.settings = {"MORTISE_ADMIN_PASSWORD": "Audit-words-1", "MORTISE_FIRM_NAME": "Test"}
    made.addon("box_shelf", SHELF)
    made.addon("box_label", LABEL, '"box_shelf"')
    made.must("migrate", "--make", "box_shelf")
    made.must("migrate", "--make", "box_label")
    made.must("migrate")
    with made.database() as connection:
        connection.exec_driver_sql("INSERT INTO box_shelf (id, name, colour, version) VALUES (1, 'Oak', 'red', 1), (2, 'Elm', 'blue', 1)")
        connection.exec_driver_sql("INSERT INTO box_label (id, shelf_id, name, version) VALUES (1, 1, 'A', 1)")
    return made


def test_a_broken_addon_and_those_that_need_it_sleep_under_a_red_banner(house):
    models = house.addons / "box_shelf" / "models.py"
    models.write_text(models.read_text() + "\nraise ValueError('not today')\n")
    told = house.python(
        ASK + "status, banners, _page = ask('/')\nprint(status, len(banners), 'role=\"alert\"' in _page)\n"
        "print('\\n'.join(banners))\n"
        "print([ask(path)[0] for path in ('/box_shelf/', '/box_label/', '/api/v1/box_label/', '/crm_client/', '/settings/addons')])\n"
        "print(ask('/settings/addons/box_shelf/on', a='b')[0], ask('/settings/addons/box_label/on', a='b')[0], ask('/box_label/')[0])\n"
        "print(sys.stderr.getvalue().count('addon is broken and sleeps'), 'in the log')\n"
    )
    assert told.startswith("200 2 True"), told
    assert "models.py:12" in told and "not today" in told and "box_label" in told
    assert "[404, 404, 404, 200, 200]" in told and "302 302 404" in told and "2 in the log" in told
    assert "box_shelf is broken" in house.run("check").err
    assert house.ask("SELECT name, colour FROM box_shelf ORDER BY id") == [("Oak", "red"), ("Elm", "blue")]


def test_while_a_folder_is_gone_the_rest_is_used_and_what_it_holds_is_safe(house):
    shutil.move(house.addons / "box_label", house.folder / "away")
    checked = house.run("check")
    assert checked.status == 1 and "box_label" in checked.text
    told = house.python(
        ASK + "print([ask(path)[0] for path in ('/', '/box_shelf/', '/box_shelf/1', '/box_label/')])\n"
        "print(ask('/box_shelf/2', name='Elm wood')[0])\n"
        "status, _banners, page = ask('/box_shelf/1/delete', a='b')\nprint('deletion', status)\n"
        "print(ask('/box_shelf/2/delete', a='b')[0])\n"
    )
    assert "[200, 200, 200, 404]" in told and "deletion 409" in told, told
    assert house.ask("SELECT name, colour FROM box_shelf ORDER BY id") == [("Oak", "red")]
    shutil.move(house.folder / "away", house.addons / "box_label")
    assert house.run("check").status == 0
    back = house.python(ASK + "print([ask(path)[0] for path in ('/box_label/', '/box_label/1')], 'red' in ask('/box_shelf/1')[2])\n")
    assert "[200, 200] True" in back
