"""A plausible firm to look at: departments, people, and what each addon makes for them; `run.py demo` makes it and takes it away."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import func, inspect, select

from core import addons, journal
from core.accounts import hash_password, password_problem
from core.context import acting, actor, clock, now
from core.db import db
from core.demo_bulk import Row, pour
from core.demo_words import Words
from core.errors import Problem
from core.first import new_password
from core.i18n import LANGUAGES
from core.model import model_label, models
from core.people import Department, MortiseUser, Post, RoleRow, Team
from core.records import records
from core.seeding import seeded
from core.statistics_jobs import analyse

TITLE = "Demo firm"
"""The batch of everything that belongs to it: by this it is found again when it is to go."""
SEED = 20260101
YEARS = 2
BULK_FROM = 20_000
"""From so many clients on, records come by the fast way and a crowd of salespeople with them."""
CROWD = 200

# The tree: name in the three languages, and what it is below.
DEPARTMENTS = {
    "head": ("Head office", "总部", "總公司", None),
    "sales": ("Sales", "业务部", "業務部", "head"),
    "east": ("Sales East", "华东业务部", "北區業務部", "sales"),
    "south": ("Sales South", "华南业务部", "南區業務部", "sales"),
    "abroad": ("Sales Abroad", "海外业务部", "海外業務部", "sales"),
    "legal": ("Legal department", "法务部", "法務部", "head"),
    "office": ("Administration", "行政部", "行政部", "head"),
}
# Login, name, language, what he does, and his posts: (department, title in the three languages), the primary one first.
STAFF = [
    ("zhou.lan", "周岚", "zh_Hans", "director", [("head", "Managing director", "总经理", "總經理")]),
    ("chen.wei", "陈伟", "zh_Hans", "manager",
     [("east", "Sales manager", "业务经理", "業務主管"), ("office", "Deputy head", "行政副主任", "行政副主任")]),
    ("li.na", "李娜", "zh_Hans", "sales", [("east", "Salesperson", "业务员", "業務員")]),
    ("zhang.min", "张敏", "zh_Hans", "sales", [("east", "Salesperson", "业务员", "業務員")]),
    ("huang.jie", "黄杰", "zh_Hans", "manager", [("south", "Sales manager", "业务经理", "業務主管")]),
    ("wang.qiang", "王强", "zh_Hans", "sales", [("south", "Salesperson", "业务员", "業務員"), ("east", "Stand-in", "代班", "代班")]),
    ("lin.shufen", "林淑芬", "zh_Hant", "sales", [("abroad", "Salesperson", "业务员", "業務員")]),
    ("hsu.chihming", "許志明", "zh_Hant", "manager", [("abroad", "Sales manager", "业务经理", "業務主管")]),
    ("anna.smith", "Anna Smith", "en", "sales", [("abroad", "Salesperson", "业务员", "業務員")]),
    ("zhao.jing", "赵静", "zh_Hans", "counsel", [("legal", "Head of legal", "法务总监", "法務長")]),
    ("sun.lei", "孙磊", "zh_Hans", "lawyer", [("legal", "Lawyer", "律师", "律師"), ("south", "Adviser", "顾问", "顧問")]),
    ("peter.clark", "Peter Clark", "en", "lawyer", [("legal", "Lawyer", "律师", "律師")]),
]  # fmt: skip
TEAMS = {("Key accounts", "重点客户组", "重點客戶小組"): "chen.wei li.na lin.shufen anna.smith sun.lei"}


@dataclass(slots=True)
class Person:
    """Somebody of the demo firm."""

    id: int
    login: str
    name: str
    does: str
    """director, manager, sales, counsel or lawyer; in a crowd also nobody, few and many, who own none, 20 and 5,000 clients."""
    department_id: int
    department: str
    language: str = "zh_Hans"


@dataclass
class DemoFirm:
    """What an addon's ``demo(firm)`` is given: the people, the days, chance with a fixed seed, and the way to make records."""

    language: str
    clients: int
    """How many clients there are to be; other addons take their measure from it."""
    pick: random.Random
    words: Words
    people: list[Person] = field(default_factory=list)
    made: dict[str, Sequence[int]] = field(default_factory=dict)
    """Ids of what has been made, by table, for addons that build upon it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What an addon leaves for those that depend on it, by a name of its own."""
    tell: Callable[[str], None] = print
    changes: int = 0
    now: datetime = field(default_factory=lambda: now().replace(second=0, microsecond=0))

    @property
    def big(self) -> bool:
        """Is this a firm for measuring, whose records come by the fast way?"""
        return self.clients >= BULK_FROM

    @property
    def days(self) -> int:
        """Over how many days the firm's story goes."""
        return 365 * YEARS

    def who(self, *does: str) -> list[Person]:
        """The people who do one of these things."""
        return [one for one in self.people if one.does in does]

    def say(self, en: str, hans: str, hant: str) -> str:
        """One of three wordings: that of the firm's language."""
        return {"zh_Hans": hans, "zh_Hant": hant}.get(self.language, en)

    def moment(self, days_ago: float) -> datetime:
        """A moment in office hours (UTC), so many days before now and never later than now."""
        day = self.now - timedelta(days=days_ago)
        return min(day.replace(hour=1 + int(8 * self.pick.random()), minute=int(60 * self.pick.random())), self.now)

    def give(self, role: Any, *does: str) -> None:
        """Give a role of an addon's ``rules.py`` to the people who do one of these things."""
        row = db.session.scalars(select(RoleRow).where(RoleRow.name == role.name)).one()
        for lot in _lots(self.who(*does), 100):
            for user in db.session.scalars(select(MortiseUser).where(MortiseUser.id.in_([one.id for one in lot]))):
                user.role_rows = [*user.role_rows, row]
            db.session.flush()
        db.session.commit()

    def make(self, model: Any, rows: Iterable[Row]) -> Sequence[int]:
        """Make records from (moment, id of the person who does it, values), in the order of time; returns their ids.

        Through the gate with the clock at that moment, so that journal, numbers and dates tell the firm's story; in a big
        firm by the fast way of `core.demo_bulk`.
        """
        label = model_label(model, many=True)
        if self.big:
            made: Any = pour(model, rows, lambda count: count % 100_000 or self.tell(f"{label}: {count:,}"))
        else:
            made = []
            for (at, who), lot in groupby(rows, key=lambda row: row[:2]):
                with self.at(at, who):
                    done = records(model).create_many([values for _at, _who, values in lot])
                    if wrong := next((one.errors for one in done if one.errors), None):
                        raise Problem(f"{label}: {'; '.join(f'{name}: {why}' for name, why in wrong.items())}")
                    made += [one.record.id for one in done]
                if len(made) % 500 < len(done):
                    db.session.commit()
                    db.session.expunge_all()
            db.session.commit()
            db.session.expunge_all()
        self.made[model.__tablename__] = [*self.made.get(model.__tablename__, []), *made] if not self.big else made
        self.tell(f"{label}: {len(made):,} made")
        return made

    def change(self, model: Any, record_id: int, at: datetime, who: int | None, values: dict[str, Any]) -> None:
        """Change a record as a person would have done it then; the journal keeps it."""
        with self.at(at, who):
            records(model).edit(record_id, values)
        self.changes += 1
        if self.changes % 100 == 0:
            db.session.commit()
            db.session.expunge_all()

    @contextmanager
    def at(self, moment: datetime, who: int | None) -> Iterator[None]:
        """Inside, it is ``moment`` and this person acts, with the system's rights."""
        login = next((one.login for one in self.people if one.id == who), "")
        as_person = replace(actor(), user_id=who, login=login, memo={"batch_id": journal.batch_id()})
        with clock.at(moment), acting(as_person):
            yield
            db.session.flush()


def make_firm(language: str, clients: int, password: str | None, tell: Callable[[str], None] = print) -> tuple[DemoFirm, str]:
    """Make the demo firm in an unused house; returns it and the password of all its people. Commits as it goes."""
    if language not in LANGUAGES:
        raise Problem(f"There is no language called “{language}”; there are: {', '.join(LANGUAGES)}.")
    if clients < 1:
        raise Problem("A firm needs at least one client.")
    if there := what_is_there():
        raise Problem(
            f"This house is in use: there are {there}. The demo firm moves only into a house that nobody has used;"
            " take another database, or run.py demo --remove if it is the demo firm itself."
        )
    if password is not None and (wrong := password_problem(password, *(one[0] for one in STAFF))):
        raise Problem(wrong)
    password = password or new_password()
    chance = random.Random(SEED)  # noqa: S311 - names, no secrets
    firm = DemoFirm(language, clients, chance, Words(language, chance), tell=tell)
    with journal.batch(TITLE):
        _people(firm, hash_password(password))
        for name in addons.addons():
            if addons.enabled(name) and (addons.addons()[name].path / "demo.py").exists():
                importlib.import_module(f"addons.{name}.demo").demo(firm)
                db.session.commit()
    if firm.big:
        analyse()
    return firm, password


def models_there() -> dict[str, Any]:
    """The models that have a table in this database; those of an addon that was never migrated hold nothing."""
    names = set(inspect(db.session.connection()).get_table_names())
    return {table: model for table, model in models().items() if table in names}


def what_is_there() -> str:
    """What people have made in this house, in words; empty when it is as its setup left it."""
    found = []
    for table, model in models_there().items():
        if model.addon == "core" and model not in (Department, Post, Team):
            continue
        count = db.session.connection().execute(select(func.count()).select_from(model.__table__)).scalar() or 0
        if count > len(seeded(table)):
            found.append(f"{count:,} {model_label(model, many=True)}")
    users = db.session.connection().execute(select(func.count()).select_from(MortiseUser.__table__)).scalar() or 0
    if users > 1:
        found.append(f"{users:,} {model_label(MortiseUser, many=True)}")
    return ", ".join(found)


def _people(firm: DemoFirm, password_hash: str) -> None:
    place = ["en", "zh_Hans", "zh_Hant"].index(firm.language)
    ids: dict[str, int] = {}
    start = firm.moment(firm.days + 30)
    with firm.at(start, None):
        for key, (*names, parent) in DEPARTMENTS.items():
            ids[key] = records(Department).create({"name": names[place], "parent": ids.get(parent)}).id
        for login, name, language, does, posts in STAFF:
            level = "administrator" if does == "director" else "employee"
            user = _user(login, name, level, language, password_hash)
            for number, (department, *titles) in enumerate(posts):
                values = {"user": user.id, "department": ids[department], "title": titles[place], "is_primary": number == 0}
                records(Post).create(values)
            firm.people.append(Person(user.id, login, name, does, ids[posts[0][0]], posts[0][0], language))
        logins = {one.login: one for one in firm.people}
        for department, head in (("head", "zhou.lan"), ("east", "chen.wei"), ("south", "huang.jie"), ("legal", "zhao.jing")):
            records(Department).edit(ids[department], {"head": logins[head].id})
        for names, members in TEAMS.items():
            records(Team).create({"name": names[place], "members": [logins[one].id for one in members.split()]})
        for one in firm.people:
            boss = next((each for each in firm.people if each.does == "manager" and each.department == one.department), logins["zhou.lan"])
            if boss is not one:
                records(MortiseUser).edit(one.id, {"superior": boss.id})
    db.session.commit()
    if firm.big:
        _crowd(firm, ids, password_hash)
    firm.tell(f"{model_label(MortiseUser, many=True)}: {len(firm.people)}")


def _user(login: str, name: str, level: str, language: str, password_hash: str) -> Any:
    user = records(MortiseUser).create({
        "username": login, "name": name, "email": f"{login}@example.com", "active": True, "level": level, "language": language,
    })  # fmt: skip
    user.password = password_hash
    db.session.flush()
    return user


def _crowd(firm: DemoFirm, ids: dict[str, int], password_hash: str) -> None:
    """Two hundred salespeople; the first three own none, 20 and 5,000 clients, and every third of the others sits in the east."""
    with firm.at(firm.moment(firm.days + 29), None):
        for number in range(1, CROWD + 1):
            does = {1: "nobody", 2: "few", 3: "many"}.get(number, "crowd")
            department = "south" if number <= 3 else ("east", "south", "abroad")[number % 3]
            user = _user(f"sales{number:03d}", firm.words.person(), "employee", firm.language, password_hash)
            records(Post).create({"user": user.id, "department": ids[department], "is_primary": True})
            firm.people.append(Person(user.id, user.username, user.name, does, ids[department], department, firm.language))
    db.session.commit()


def _lots(found: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]
