"""Makes addons for tests: any number of them, of five models each, with links, rules, views, hooks, jobs and extended neighbours."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.core.installation import Installation

CHAIN = 3
"""So many addons build on one another; then a new line begins."""

MODELS = '''"""Works of {title}: what is made, of what, where, and who comes to see it."""

from datetime import date, datetime
from decimal import Decimal
{import_before}
from core import Mapped, Model, Owned, {extend_word}field, link, links


class Place(Model):
    """Where pieces stand."""

    name: Mapped[str] = field(unique=True, search=True)
    colour: Mapped[str] = field(choices=["grey", "green", "red"], default="grey")
    above: Mapped["Place | None"] = link()
    note: Mapped[str | None] = field(long=True)


class Piece(Owned, Model):
    """Something that is made."""

    name: Mapped[str] = field(search=True, index=True)
    code: Mapped[str] = field(kind="code", number="P{number:02d}-{{0000}}", unique=True, search=True)
    place: Mapped[Place | None] = link()
    stage: Mapped[str] = field(choices=["planned", "begun", "made"], default="planned")
    price: Mapped[Decimal | None] = field()
    due_on: Mapped[date | None] = field(index=True)
    story: Mapped[str | None] = field(long=True)
{neighbour}

class Part(Model):
    """A part of a piece; it goes with it."""

    piece: Mapped[Piece] = link(part_of=True)
    title: Mapped[str] = field(search=True)
    count: Mapped[int] = field(default=1)
    weight: Mapped[float | None] = field()
    spare: Mapped[bool] = field()


class Visit(Owned, Model):
    """Somebody comes to see a piece; it keeps the piece from being deleted."""

    piece: Mapped[Piece] = link()
    subject: Mapped[str] = field(search=True)
    begins_at: Mapped[datetime] = field()
    phones: Mapped[str | None] = field(kind="phone", search=True)
    email: Mapped[str | None] = field(kind="email")


class Plan(Model):
    """A plan over several pieces."""

    title: Mapped[str] = field(search=True)
    topics: Mapped[list[str] | None] = field(choices=["wood", "stone", "paper"])
    pieces: Mapped[list[Piece]] = links()
    ready: Mapped[bool] = field()
{extension}'''
EXTENSION = '''

@extend(PieceBefore)
class PieceMark:
    {area}_mark: Mapped[str | None] = field(search=True)
    {area}_piece: Mapped[Piece | None] = link()
'''
VIEWS = '''"""How pieces and plans look."""

from core import View, _, action

from .models import Part, Piece, Plan, Visit
{import_before}

class PieceView(View, model=Piece):
    columns = "name code place stage price due_on owner changed_at"
    form = {{_("Piece"): "name code place stage", _("Planning"): "price due_on owner department", _("Story"): "story"}}
    board = "stage"
    calendar = "due_on"
    panels = [Part, Visit]

    @action(_("Begin"))
    def begin(self, pieces):
        for piece in pieces:
            piece.stage = "begun"


class PlanView(View, model=Plan):
    columns = "title topics ready"
    order = "title"
{place}'''
RULES = '''"""Who may do what with the works."""

from core import Role, rule

from .models import Part, Piece, Place, Plan, Visit

maker = Role("Maker {number}")
visitor = Role("Visitor {number}")

rule(Piece, maker, "read create edit delete import export", scope="own department", shared=True)
rule(Part, maker, "read create edit delete import export")
rule(Place, maker, "read create edit import export")
rule(Visit, maker, "read create edit delete", scope="below")
rule(Plan, maker, "read create edit delete")
rule(Piece, visitor, "read", scope="all")
rule(Visit, visitor, "read create", scope="own")
'''
HOOKS = '''"""What happens by itself when pieces are written."""

from core import hook

from . import jobs
from .models import Piece, Plan
{import_before}

@hook.before_save(Piece)
def fill_the_story(record, changes):
    if "stage" in changes and record.stage == "made" and not record.story:
        record.story = "Made."


@hook.after_save(Piece)
def count_later(record, changes):
    if "price" in changes:
        jobs.count_pieces.later(piece_id=record.id, key=f"piece {{record.id}}")


@hook.panels(Piece)
def plans_below(record):
    return [Plan]


@hook.menu
def way_to_the_plans(user):
    return [("Plans {number}", "/{area}_plan/", "map")]
{before}'''
HOOKS_BEFORE = '''

@hook.after_save(PieceBefore)
def look_at_the_neighbour(record, changes):
    if "name" in changes and record.{area}_mark is None:
        record.{area}_mark = "seen"


@hook.before_delete(PieceBefore)
def say_goodbye(record):
    record.story = None
'''
JOBS = '''"""What happens later with pieces."""

from core import job, records

from .models import Piece


@job
def count_pieces(piece_id):
    """Counts the pieces."""
    records(Piece).count()


@job(every="1 day", system=True)
def look_after_pieces():
    """Looks at all pieces."""
    records(Piece).count({{"field": "stage", "op": "is", "value": "begun"}})
'''


def name_of(number: int) -> str:
    """``g07_works``, with its tables ``g07_piece`` and so on."""
    return f"g{number:02d}_works"


def depends_of(number: int) -> list[str]:
    """The addon before it, unless it begins a new line."""
    return [name_of(number - 1)] if number % CHAIN else []


def write(folder: Path, count: int) -> list[str]:
    """Write ``count`` addons of five models, without migrations, into ``folder``; returns their names."""
    names = []
    for number in range(count):
        depends, area, before = depends_of(number), f"g{number:02d}", f"g{number - 1:02d}"
        words = {"number": number, "area": area, "title": f"house {number}"}
        imported = f"from addons.{depends[0]}.models import Piece as PieceBefore\n" if depends else ""
        files = {
            "addon.toml": f'title = "Works {number}"\nsummary = "Made for a test"\nversion = "1.0"\nmenu = "Works {number // CHAIN}"\n'
            f"depends = [{', '.join(map(repr, depends))}]\n".replace("'", '"'),
            "models.py": MODELS.format(
                **words,
                import_before=f"\n{imported}" if depends else "",
                extend_word="extend, " if depends else "",
                neighbour="    before: Mapped[PieceBefore | None] = link()\n" if depends else "",
                extension=EXTENSION.format(**words) if depends else "",
            ),
            "views.py": VIEWS.format(
                **words,
                import_before=f"from addons.{depends[0]}.views import PieceView as PieceViewBefore\n" if depends else "",
                place=f'\n\nPieceViewBefore.place("{area}_mark", after="name", column=True)\n' if depends else "",
            ),
            "rules.py": RULES.format(**words),
        }
        if number % 2 or depends:
            files["jobs.py"] = JOBS.format(**words)
            files["hooks.py"] = HOOKS.format(**words, import_before=imported, before=HOOKS_BEFORE.format(**words) if depends else "")
        assert before
        place = folder / name_of(number)
        place.mkdir(parents=True)
        for name, text in files.items():
            (place / name).write_text(text)
        names.append(place.name)
    return names


MIGRATIONS = """
from core.cli.house import connected
from core.revisions import make_revision
connected(strict=True)
for name in {names}:
    make_revision(name)
"""


def make_migrations(house: Installation, names: list[str]) -> None:
    """Write the first revision of each, in one process."""
    house.python(MIGRATIONS.format(names=names))


@cache
def generated(count: int = 30) -> Path:
    """A folder with ``count`` addons and their migrations; made once in each process."""
    folder = Path(tempfile.mkdtemp(prefix="mortise-generated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    house = Installation(folder)
    make_migrations(house, write(house.addons, count))
    return house.addons
