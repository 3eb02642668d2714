"""Random deeds of random people through random doors, and the state of the house after each of them; for test_proof_past."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select

from core.context import system
from core.custom import CustomField
from core.db import db
from core.errors import Problem
from core.journal import batches, journal
from core.migrate import branches, make_version_table, version_table
from core.model import model_of
from core.past import values_of
from core.people import RoleRow
from core.records import records
from core.settings import set_setting
from core.testing import Browser
from core.transfer.draft_tables import core_import
from core.undo import undo
from core.web.bulk_jobs import DELETE, EDIT, queue
from core.web.views import view_of
from tests.core.drafting import ran, run, sent
from tests.core.installation import Installation

TRACKED = (
    "crm_client", "crm_contact", "core_share", "core_setting", "core_custom_field", "core_role_right", "core_field_right",
    "core_personal_right",
)  # fmt: skip
SYSTEM = {"id", "version", "created_at", "created_by", "changed_at", "changed_by"}
"""What the house fills in itself: an undo is a change like any other."""
NAMES = ("Far Hills", "近山 & Söhne", "<b>Ö", "y" * 40, "")
LEVELS = ("a", "b", "d", None, "no such level")
REFUSED = {400, 403, 404, 409, 422}
"""A deed is done (2xx, 3xx) or refused with a sentence; anything else is a fault."""

State = dict[tuple[str, int], dict[str, Any]]


def state() -> State:
    """All records of the tracked models as they are now."""
    db.session.commit()
    found: State = {}
    for table in TRACKED:
        query = select(model_of(table)).execution_options(populate_existing=True, mortise_rules=False)
        found |= {(table, one.id): values_of(one) for one in db.session.execute(query).scalars()}
    return found


def told(seen: State) -> State:
    """Without what the house keeps for itself."""
    return {where: {name: value for name, value in values.items() if name not in SYSTEM} for where, values in seen.items()}


def newest(column: Any) -> int:
    """The highest number there is."""
    return db.session.execute(select(func.max(column))).scalar() or 0


@dataclass
class Person:
    """Somebody at his browser, and a program of his."""

    user: Any
    screen: Browser
    rest: Browser


@dataclass
class World:
    """The house, and what has been done in it."""

    people: list[Person]
    acting_as: Callable[..., AbstractContextManager[Any]]
    line: Installation
    """The command line of this house."""
    log: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """How often each deed was done, and not refused: the journal tells of it."""

    def do(self, deed: str, who: int, first: int, second: int) -> None:
        """One deed; `AssertionError` when it is neither done nor refused with a sentence."""
        person = self.people[who % len(self.people)]
        self.log.append(f"{deed} by {person.user.username} ({first}, {second})")
        before = newest(journal.c.id)
        try:
            answer = getattr(self, deed)(person, first, second)
        except Problem as problem:
            db.session.rollback()
            self.log[-1] += f": {problem.sentence}"
            return
        db.session.commit()
        if answer is not None:
            self.log[-1] += f": {answer.status_code}"
            assert answer.status_code < 400 or answer.status_code in REFUSED, (self.log, answer.text[:500])
        self.done[deed] += newest(journal.c.id) > before

    def one(self, table: str, number: int) -> int:
        """The id of a record; of none when there is none."""
        ids = sorted(db.session.execute(select(model_of(table).__table__.c.id)).scalars())
        return ids[number % len(ids)] if ids else 10**6

    # -- screens ------------------------------------------------------------------------------------------------------

    def make_on_screen(self, who: Person, first: int, second: int) -> Any:
        return who.screen.post("/crm_client/new", data={"name": NAMES[first % 5], "level": LEVELS[second % 5] or "", "status": "signed"})

    def save_on_screen(self, who: Person, first: int, second: int) -> Any:
        sent_ = {"name": NAMES[second % 5], "x_shoe": str(second), "remarks": "a\nb", "_seen": "{}"}
        return who.screen.post(f"/crm_client/{self.one('crm_client', first)}", data=sent_)

    def delete_on_screen(self, who: Person, first: int, _second: int) -> Any:
        return who.screen.post(f"/crm_client/{self.one('crm_client', first)}/delete")

    def delete_many(self, who: Person, first: int, second: int) -> Any:
        ids = [self.one("crm_client", first), self.one("crm_client", second)]
        return who.screen.post("/crm_client/_bulk", data={"action": "delete", "confirmed": "1", "ids": ids})

    def change_a_setting(self, who: Person, first: int, second: int) -> Any:
        return who.screen.post("/settings/firm", data={"firm.name": f"Firm {first} {second}"})

    def undo_on_screen(self, who: Person, first: int, _second: int) -> Any:
        wanted = select(batches.c.id).order_by(batches.c.id.desc()).limit(2)
        if first % 4:
            # Mostly what can be taken back: what was taken back already is refused, and proves little.
            wanted = wanted.where(batches.c.undone_by.is_(None))
        found = db.session.execute(wanted).scalars().all()
        return who.screen.post(f"/undo/{found[first % len(found)]}") if found else None

    # -- REST ---------------------------------------------------------------------------------------------------------

    def make(self, who: Person, first: int, second: int) -> Any:
        body = {"name": NAMES[first % 5], "level": LEVELS[second % 5], "x_shoe": second or None}
        return who.rest.post("/api/v1/crm_client/", json=body, headers={"Idempotency-Key": f"k{len(self.log)}-{first}"})

    def change(self, who: Person, first: int, second: int) -> Any:
        body = {"level": LEVELS[second % 5], "x_shoe": second, "owner": self.people[second % len(self.people)].user.id}
        return who.rest.put(f"/api/v1/crm_client/{self.one('crm_client', first)}", json=body)

    def delete(self, who: Person, first: int, _second: int) -> Any:
        return who.rest.delete(f"/api/v1/crm_client/{self.one('crm_client', first)}")

    def add_line(self, who: Person, first: int, second: int) -> Any:
        return who.rest.post("/api/v1/crm_contact/", json={"client": self.one("crm_client", first), "name": NAMES[second % 5]})

    def change_line(self, who: Person, first: int, second: int) -> Any:
        body = {"title": NAMES[second % 5], "client": self.one("crm_client", second)}
        return who.rest.put(f"/api/v1/crm_contact/{self.one('crm_contact', first)}", json=body)

    def drop_line(self, who: Person, first: int, _second: int) -> Any:
        return who.rest.delete(f"/api/v1/crm_contact/{self.one('crm_contact', first)}")

    def share(self, who: Person, first: int, second: int) -> Any:
        body = {"ids": [self.one("crm_client", first)], "users": [self.people[second % len(self.people)].user.id], "access": "edit"}
        return who.rest.post("/api/v1/crm_client/_share", json=body)

    def give_a_role_a_right(self, who: Person, first: int, second: int) -> Any:
        role = self._role(first)
        verb, scopes = ("read", "delete", "bulk")[second % 3], ("all", "own", "none")[first % 3]
        body = {"role": role, "model": "crm_client", "verb": verb, "scopes": scopes}
        return who.rest.post("/api/v1/core_role_right/", json=body)

    def close_a_field(self, who: Person, first: int, second: int) -> Any:
        body = {"role": self._role(first), "model": "crm_client", "field_name": "level", "access": ("hidden", "read_only")[second % 2]}
        return who.rest.post("/api/v1/core_field_right/", json=body)

    def give_a_person_a_right(self, who: Person, first: int, second: int) -> Any:
        user = self.people[first % len(self.people)].user.id
        verb = ("read", "edit", "delete")[second % 3]
        body = {"user": user, "model": "crm_client", "verb": verb, "denied": bool(second % 2), "scopes": "all"}
        return who.rest.post("/api/v1/core_personal_right/", json=body)

    def make_a_field(self, who: Person, first: int, _second: int) -> Any:
        body = {"model": "crm_client", "title": f"Extra {first}", "kind": ("text", "integer", "yesno")[first % 3]}
        return who.rest.post("/api/v1/core_custom_field/", json=body)

    def drop_a_field(self, who: Person, first: int, _second: int) -> Any:
        return who.rest.delete(f"/api/v1/core_custom_field/{self.one('core_custom_field', first)}")

    def give_a_file(self, who: Person, first: int, second: int) -> Any:
        made = who.screen.post("/file/", data={"file": (io.BytesIO(b"text %d" % second), "页.txt")})
        if made.status_code != 201:
            return made
        return who.rest.put(f"/api/v1/crm_client/{self.one('crm_client', first)}", json={"x_paper": made.json["id"]})

    def bring_back(self, who: Person, first: int, _second: int) -> Any:
        gone = select(journal.c.id).where(journal.c.model == "crm_client", journal.c.verb == "delete").order_by(journal.c.id.desc())
        found = db.session.execute(gone.limit(3)).scalars().all()
        return who.rest.post(f"/api/v1/_trash/{found[first % len(found)]}", json={}) if found else None

    # -- imports and jobs ---------------------------------------------------------------------------------------------

    def import_a_file(self, who: Person, first: int, second: int) -> None:
        with self.acting_as(who.user):
            ran(sent(self._rows(first, second)))

    def change_many_by_a_job(self, who: Person, first: int, second: int) -> None:
        self._do_to_all(who, EDIT, -1, {"level": ("a", "b", "c")[second % 3]})

    def delete_many_by_a_job(self, who: Person, first: int, _second: int) -> None:
        self._do_to_all(who, DELETE, first, None)

    def _do_to_all(self, who: Person, deed: str, upto: int, values: dict[str, Any] | None) -> None:
        with self.acting_as(who.user):
            view, last = view_of(model_of("crm_client")), self.one("crm_client", upto)
            total = records(view.model).count()
            number = queue(view, deed, filter=None, search=None, last=last, total=total, values=values)
        with system():
            run(number)

    # -- the command line ---------------------------------------------------------------------------------------------

    def import_by_command(self, who: Person, first: int, second: int) -> None:
        place = self.line.folder / "list.csv"
        place.write_text("\n".join(",".join(row) for row in self._rows(first, second)))
        self._command("import", "crm_client", place, "--as", who.user.username)

    def take_an_import_back_by_command(self, who: Person, first: int, second: int) -> None:
        self.import_a_file(who, first, second)
        self._command("import", "--revert", newest(core_import.c.id), "--as", who.user.username)

    def _command(self, *words: Any) -> None:
        # What was read so far holds SQLite's lock, for which the other process would wait.
        db.session.commit()
        done = self.line.run(*words)
        self.log[-1] += f": {done.text}"
        assert done.status in (0, 1) and "should not have happened" not in done.text, self.log

    @staticmethod
    def _rows(first: int, second: int) -> list[list[str]]:
        rows = [[NAMES[first % 5], "a"], [f"import {second}", "b"], [f"import {first}", LEVELS[second % 5] or ""]]
        return [["name", "level"], *rows]

    @staticmethod
    def _role(number: int) -> int:
        ids = sorted(db.session.execute(select(RoleRow.id).where(RoleRow.name.in_(["Salesperson", "Sales manager"]))).scalars())
        return ids[number % len(ids)]


DOORS = {
    "screen": {
        "make_on_screen": 5, "save_on_screen": 5, "delete_on_screen": 4, "delete_many": 4, "change_a_setting": 3, "undo_on_screen": 4,
    },
    "REST": {
        "make": 4, "change": 8, "delete": 3, "add_line": 4, "change_line": 4, "drop_line": 4, "share": 3, "give_a_role_a_right": 3,
        "close_a_field": 3, "give_a_person_a_right": 3, "make_a_field": 4, "drop_a_field": 5, "give_a_file": 3, "bring_back": 5,
    },
    "import": {"import_a_file": 6},
    "job": {"change_many_by_a_job": 5, "delete_many_by_a_job": 4},
    "command line": {"import_by_command": 1, "take_an_import_back_by_command": 1},
}  # fmt: skip
"""Each deed by its door, and how many cards of the deck name it."""
DECK = [deed for deeds in DOORS.values() for deed, cards in deeds.items() for _card in range(cards)]
LEAST = {"screen": 40, "REST": 100, "import": 10, "job": 15, "command line": 4}
"""How often deeds of a door are done, and not only refused, in two hundred programs; each deed of it at least `TWICE`."""
TWICE = 2
Step = tuple[str, int, int, int]


def programs(number: int, start: int) -> Iterator[list[Step]]:
    """So many programs of one to four steps: (deed, who, first, second).

    Deeds are dealt from a shuffled deck, so that none dries up; drawn one by one, some of them hardly ever came.
    """
    chance, deck = random.Random(start), list[str]()
    for _program in range(number):
        steps = []
        for _step in range(chance.choice([1, 1, 2, 2, 3, 4])):
            if not deck:
                deck = chance.sample(DECK, len(DECK))
            steps.append((deck.pop(), chance.choice([0, 0, 0, 1, 1, 2, 3]), chance.randint(0, 5), chance.randint(0, 5)))
        yield steps


def dried_up(done: Counter[str]) -> list[str]:
    """The doors and deeds that so many programs have reached too seldom to prove anything of them."""
    few = [deed for deeds in DOORS.values() for deed in deeds if done[deed] < TWICE]
    return few + [door for door, deeds in DOORS.items() if sum(done[deed] for deed in deeds) < LEAST[door]]


def taken_back(since: int) -> list[str]:
    """Undo every batch after the number ``since``, the newest first; what could not be undone, in sentences."""
    wanted = select(batches.c.id).where(batches.c.id > since).order_by(batches.c.id.desc())
    wrong = []
    for number in db.session.execute(wanted).scalars().all():
        undone = db.session.execute(select(batches.c.undone_by).where(batches.c.id == number)).scalar()
        wrote = select(journal.c.id).where(journal.c.batch_id == number, journal.c.verb.in_(["create", "edit", "delete"])).limit(1)
        if undone is not None or db.session.execute(wrote).first() is None:
            continue
        try:
            result = undo(number)
        except Problem as problem:
            db.session.rollback()
            wrong.append(f"batch {number}: {problem.sentence} {problem.facts}")
            continue
        wrong += [f"batch {number}: {one}" for one in result.clashes]
        db.session.commit()
    return wrong


def command_line(app: Any) -> Installation:
    """`run.py` on the database of the test, whose tables were made without migrations."""
    engine, config = db.engine, app.config["MORTISE"]
    assert engine is not None
    with engine.connect() as connection:
        make_version_table(connection)
        with connection.begin():
            connection.execute(insert(version_table), [{"version_num": one.head} for one in branches().values() if one.head])
    url = engine.url.render_as_string(hide_password=False)
    words = {"MORTISE_ADDON_FOLDERS": config.addon_folders, "MORTISE_SECRET_KEY": config.secret_key}
    return Installation(config.data.parent, url, words)


def world(app: Any, login_as: Any, api_as: Any, create_user: Any, acting_as: Any) -> World:
    """Four people of four reaches, two clients with a line, two fields of the firm's own."""
    who = [
        create_user("chief", level="system_administrator"), create_user("head", roles=["Sales manager"], department="North"),
        create_user("seller", roles=["Salesperson"], department="North"), create_user("stranger"),
    ]  # fmt: skip
    set_setting("firm.name", "Firm")
    for title, kind in (("Shoe", "integer"), ("Paper", "file")):
        records(CustomField).create({"model": "crm_client", "title": title, "kind": kind})
    for name, owner in (("Old", who[1]), ("Older", who[2])):
        made = records(model_of("crm_client")).create({"name": name, "owner": owner.id})
        records(model_of("crm_contact")).create({"client": made.id, "name": f"Li of {name}"})
    db.session.commit()
    return World([Person(one, login_as(one), api_as(one)) for one in who], acting_as, command_line(app))
