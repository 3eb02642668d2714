"""Tables come and go by branches of revisions, one an addon, on both databases."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.core.installation import Installation, new

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]

SHELF = '''from core import Mapped, Model, field


class Shelf(Model):
    """Where boxes stand."""

    name: Mapped[str] = field(search=True)
'''
LABEL = '''from addons.box_shelf.models import Shelf
from core import Mapped, Model, extend, field, link


class Label(Model):
    """What is written on a shelf."""

    name: Mapped[str] = field(unique=True)


@extend(Shelf)
class ShelfLabel:
    label: Mapped[Label] = link()
    depth: Mapped[int] = field(index=True)
'''
DIFFERENCES = "from core.cli.house import connected; connected(); from core.revisions import differences; print(differences({url!r}))"


@pytest.fixture(params=BOTH)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation without a table, on each database."""
    return new(request.param, tmp_path, "migrate")


@pytest.fixture
def small(tmp_path: Path) -> Installation:
    """An installation on SQLite."""
    return new("sqlite", tmp_path, "")


def with_shelves(house: Installation) -> Installation:
    """Two addons, the second of which places fields on the first one's model, up to date."""
    house.addon("box_shelf", SHELF)
    house.addon("box_label", LABEL, '"box_shelf"')
    house.must("migrate", "--make", "box_shelf")
    house.must("migrate", "--make", "box_label")
    house.must("migrate")
    return house


@pytest.mark.slow
def test_an_empty_database_gets_the_tables_that_the_models_ask_for(house: Installation, tmp_path: Path) -> None:
    house.must("migrate")
    assert {"ab_user", "core_journal", "crm_client", "alembic_version"} <= house.tables()
    assert [row[0] for row in house.ask("SELECT username FROM ab_user")] == ["admin"]
    empty = new("postgresql" if house.url else "sqlite", tmp_path / "empty", "differences")
    assert house.python(DIFFERENCES.format(url=empty.url or f"sqlite:///{tmp_path}/empty.db")).strip() == "[]"


@pytest.mark.slow
def test_two_at_once_wait_for_each_other(house: Installation) -> None:
    both = [house.start("migrate"), house.start("migrate")]
    told = [one.communicate(timeout=100) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    revisions = [line for _out, err in told for line in err.splitlines() if line.startswith("core: ")]
    assert len(revisions) == len(set(revisions)) > 0
    assert house.ask("SELECT count(*) FROM ab_user") == [(1,)]


@pytest.mark.slow
def test_an_addon_is_removed_with_its_columns_on_other_tables_and_leaves_the_rest_alone(house: Installation) -> None:
    with_shelves(house)
    with house.database() as connection:
        connection.execute(sa.text("INSERT INTO box_label (name) VALUES ('红')"))
        for name in ("one", "two", "three"):
            connection.execute(sa.text("INSERT INTO box_shelf (name, label_id, depth) VALUES (:name, 1, 40)"), {"name": name})
        connection.execute(sa.text("DELETE FROM box_shelf WHERE name = 'three'"))
    assert "needed by box_label" in house.run("addon", "remove", "box_shelf", "--yes").text
    assert "Nothing was changed" in house.run("addon", "remove", "box_label", given="no\n").text
    said = house.must("addon", "remove", "box_label", "--yes")
    folder = next((house.data / "exports").iterdir())
    assert str(folder) in said
    assert "红" in (folder / "box_label.jsonl").read_text() and "红" in (folder / "box_label.csv").read_text(encoding="utf-8-sig")
    assert '"depth": 40' in (folder / "box_shelf.jsonl").read_text()
    assert "box_label" not in house.tables()
    assert house.ask("SELECT name FROM box_shelf ORDER BY id") == [("one",), ("two",)]
    with house.database() as connection:
        columns = {column["name"] for column in sa.inspect(connection).get_columns("box_shelf")}
        assert "label_id" not in columns and "depth" not in columns
        # The id of the deleted third row is not given again, although SQLite has rebuilt the table meanwhile.
        connection.execute(sa.text("INSERT INTO box_shelf (name) VALUES ('four')"))
        assert connection.execute(sa.text("SELECT id FROM box_shelf WHERE name = 'four'")).scalar() == 4
    shutil.rmtree(house.addons / "box_label")
    house.must("addon", "remove", "box_shelf", "--yes")
    assert not {name for name in house.tables() if name.startswith("box_")}
    assert house.ask("SELECT verb FROM core_journal WHERE model = 'core_addon' AND verb = 'remove'") == [("remove",), ("remove",)]


@pytest.mark.slow
def test_a_removed_and_returned_addon_gives_no_id_twice(house: Installation) -> None:
    house.addon("box_shelf", SHELF)
    house.must("migrate", "--make", "box_shelf")
    house.must("migrate")
    make = (
        "from core.cli.house import house\nwith house():\n    from core import records\n    from core.model import model_of\n"
        "    print(records(model_of('box_shelf')).create({'name': 'x'}).id)"
    )
    assert house.python(make).strip() == "1"
    house.must("addon", "remove", "box_shelf", "--yes")
    house.must("migrate")
    assert house.python(make).strip() == "2"


def test_a_column_placed_by_another_addon_comes_without_rebuilding_the_table(small: Installation) -> None:
    small.addon("box_shelf", SHELF)
    small.addon("box_label", LABEL, '"box_shelf"')
    small.must("migrate", "--make", "box_shelf")
    small.must("migrate", "--make", "box_label")
    shelf = next((small.addons / "box_shelf" / "migrations").glob("*.py")).read_text()
    label = next((small.addons / "box_label" / "migrations").glob("*.py")).read_text()
    assert "depth" not in shelf and "label" not in shelf
    assert 'op.add_column("box_shelf"' in label and "inline_references=True" in label
    assert "batch_alter_table" not in label.split("def downgrade")[0]
    assert "fit its models" in small.must("migrate", "--make", "box_shelf")
    assert "all in order" in small.must("check")


def test_a_later_change_of_a_model_is_written_as_the_next_revision(small: Installation) -> None:
    small.addon("box_shelf", SHELF)
    small.must("migrate", "--make", "box_shelf")
    small.must("migrate")
    with small.database() as connection:
        connection.execute(sa.text("INSERT INTO box_shelf (name) VALUES ('one')"))
    models = small.addons / "box_shelf" / "models.py"
    models.write_text(models.read_text() + "    width: Mapped[int | None] = field()\n")
    problem = small.run("check")
    assert problem.status == 1 and "box_shelf.width is not made by any migration" in problem.text
    small.must("migrate", "--make", "box_shelf", "-m", "Width of a shelf")
    assert (small.addons / "box_shelf" / "migrations" / "0002_width_of_a_shelf.py").exists()
    said = small.must("migrate")
    assert "before-migrate" in said, "the data are copied before tables change"
    assert small.ask("SELECT name, width FROM box_shelf") == [("one", None)]
    models.write_text(models.read_text().replace("    width: Mapped[int | None] = field()\n", ""))
    assert "no model has it" in small.run("check").text
    small.must("migrate", "--make", "box_shelf", "-m", "No width")
    small.must("migrate")
    with small.database() as connection:
        assert "width" not in {column["name"] for column in sa.inspect(connection).get_columns("box_shelf")}
        assert "AUTOINCREMENT" in connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'box_shelf'")).scalar()


def test_a_revision_that_fails_leaves_nothing_and_names_its_file(house: Installation) -> None:
    place = house.addon("box_shelf", SHELF)
    house.must("migrate", "--make", "box_shelf")
    path = next((place / "migrations").glob("*.py"))
    path.write_text(path.read_text().replace("def downgrade", '    op.execute("INSERT INTO nowhere VALUES (1)")\n\n\ndef downgrade'))
    done = house.run("migrate")
    assert done.status == 1 and path.name in done.text and "nowhere" in done.text
    assert "box_shelf" not in house.tables() and "ab_user" in house.tables()


def test_a_folder_that_vanished_is_named_and_stops_nobody(small: Installation) -> None:
    small.addon("box_shelf", SHELF)
    small.must("migrate", "--make", "box_shelf")
    small.must("migrate")
    shutil.move(small.addons / "box_shelf", small.folder / "elsewhere")
    for words in (("migrate",), ("user", "list"), ("addon", "list")):
        assert "The folder of box_shelf is gone" in small.must(*words)
    for words in (("check",), ("doctor",)):
        done = small.run(*words)
        assert done.status == 1 and "The folder of box_shelf is gone" in done.text
    assert "There is no addon called box_shelf" in small.run("addon", "remove", "box_shelf", "--yes").text
    assert "box_shelf" in small.tables()


def test_code_that_is_older_than_the_database_says_so(small: Installation) -> None:
    small.must("migrate")
    with small.database() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'core_9999' WHERE version_num LIKE 'core_%'"))
    for words in (("migrate",), ("user", "list")):
        done = small.run(*words)
        assert done.status == 1 and "newer than the code (core)" in done.text


@pytest.mark.slow
def test_thirty_addons_with_five_models_each_are_there_in_twenty_seconds(small: Installation) -> None:
    for number in range(30):
        models = "from core import Mapped, Model, field, link\n"
        for letter in "ABCDE":
            parent = f"    first: Mapped[N{number}A | None] = link()\n" if letter != "A" else ""
            models += f'\n\nclass N{number}{letter}(Model):\n    """One."""\n\n    name: Mapped[str] = field(search=True)\n{parent}'
        small.addon(f"many_n{number}", models)
    code = "from core.cli.house import connected; connected(); from core.revisions import make_revision\n"
    small.python(code + "for number in range(30): make_revision(f'many_n{number}')")
    done = small.run("migrate")
    assert done.status == 0 and done.processor < 20, done
    assert len([name for name in small.tables() if name.startswith("many_")]) == 150
