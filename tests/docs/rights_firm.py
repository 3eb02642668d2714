"""The firm that the guide on rights speaks of: its people, posts, roles and clients, called as the readers of each language call them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from core.db import db
from core.model import model_of
from core.people import RoleRow
from core.records import records

LANGUAGES = ("en", "zh_Hans")
FIRM = {"en": "Northgate Exhibitions Ltd", "zh_Hans": "远山会展（上海）有限公司"}
ZONE = {"en": "Europe/London", "zh_Hans": "Asia/Shanghai"}
QUIET = {"mortise_rules": False}

# What each is called by the tests, then its name in the languages of the guide.
DEPARTMENTS = {
    "sales": ("Sales", "销售部", None), "east": ("Sales East", "华东销售部", "sales"), "south": ("Sales South", "华南销售部", "sales"),
    "service": ("Client service", "客服部", None),
}  # fmt: skip
# Names, level, role, department, title of the post.
PEOPLE = {
    "director": ("Emma Ward", "王芳", "employee", "Sales manager", "sales", ("Sales director", "销售总监")),
    "head": ("Daniel Reed", "陈志强", "employee", "Sales manager", "east", ("Head of Sales East", "华东销售主管")),
    "li": ("Oliver Lee", "李伟", "employee", "Salesperson", "east", ("Salesperson", "业务员")),
    "zhao": ("Sophie Marsh", "赵敏", "employee", "Salesperson", "east", ("Salesperson", "业务员")),
    "liu": ("Jack Turner", "刘洋", "employee", "Salesperson", "south", ("Salesperson", "业务员")),
    "sun": ("Grace Bell", "孙丽", "employee", "service_role", "service", ("Client service", "客服专员")),
    "boss": ("Ruth Cole", "吴静", "administrator", None, None, None),
}  # fmt: skip
LOGINS = {
    "director": ("emma.ward", "wang.fang"), "head": ("daniel.reed", "chen.zhiqiang"), "li": ("oliver.lee", "li.wei"),
    "zhao": ("sophie.marsh", "zhao.min"), "liu": ("jack.turner", "liu.yang"), "sun": ("grace.bell", "sun.li"),
    "boss": ("ruth.cole", "wu.jing"),
}  # fmt: skip
ROLES = {"service_role": ("Client service", "客服"), "show_role": ("Show staff", "项目成员")}
TEAMS = {"show": (("Motor show", "车展项目组"), ("zhao", "liu"))}
CLIENTS = {
    "harbour": ("Harbour Stores", "华联商厦", "li", "east", ("020 7946 0101", "021-5550-0101")),
    "eastgate": ("Eastgate Printing", "东方印务", "zhao", "east", ("020 7946 0102", "021-5550-0102")),
    "southfield": ("Southfield Furniture", "岭南家具", "liu", "south", ("020 7946 0103", "020-5550-0103")),
}


class Firm:
    """All of it as records, by the words above."""

    def __init__(self, language: str) -> None:
        self.language, self.place = language, LANGUAGES.index(language)
        self.departments: dict[str, Any] = {}
        self.people: dict[str, Any] = {}
        self.roles: dict[str, Any] = {}
        self.teams: dict[str, Any] = {}
        self.clients: dict[str, Any] = {}

    def make(self, table: str, **values: Any) -> Any:
        """One record, made by the system through the gate."""
        return records(model_of(table)).create(values)

    def role(self, word: str) -> Any:
        """A role of the firm's own by its word, or one of an addon by its name."""
        query = select(RoleRow).where(RoleRow.name == word)
        return self.roles.get(word) or db.session.execute(query, execution_options=QUIET).scalars().one()

    def called(self, name: str) -> Any:
        """The person or client that the guide calls so. Raises `KeyError`."""
        return {str(one): one for one in (*self.people.values(), *self.clients.values())}[name]


def build(language: str) -> Firm:
    """Make the firm in an empty installation; to be called as the system."""
    firm = Firm(language)
    here = firm.place
    for word, (*names, parent) in DEPARTMENTS.items():
        above = firm.departments[parent].id if parent else None
        firm.departments[word] = firm.make("core_department", name=names[here], parent=above)
    for word, names in ROLES.items():
        firm.roles[word] = firm.make("ab_role", name=names[here])
    # Client service sees what is shared with it, and nothing else.
    firm.make("core_role_right", role=firm.roles["service_role"].id, model="crm_client", verb="read", scopes="none", shared=True)
    firm.make("core_role_right", role=firm.roles["show_role"].id, model="crm_client", verb="read", scopes="team")
    for word, (*names, level, role, department, title) in PEOPLE.items():
        login = LOGINS[word][here]
        roles = [firm.role(role).id] if role else []
        user = firm.make(
            "ab_user", username=login, name=names[here], email=f"{login}@example.com", level=level, role_rows=roles, active=True
        )
        if department:
            firm.make("core_post", user=user.id, department=firm.departments[department].id, title=title[here], is_primary=True)
        firm.people[word] = user
    for word, (names, members) in TEAMS.items():
        firm.teams[word] = firm.make("core_team", name=names[here], members=[firm.people[one].id for one in members])
    for word, (*names, owner, department, phone) in CLIENTS.items():
        firm.clients[word] = firm.make(
            "crm_client", name=names[here], phones=phone[here], status="in_negotiation",
            owner=firm.people[owner].id, department=firm.departments[department].id,
        )  # fmt: skip
    firm.clients["contact"] = firm.make("crm_contact", client=firm.clients["harbour"].id, name=("Anne Page", "周婷")[here], is_primary=True)
    return firm


def more_for_pictures(firm: Firm) -> None:
    """What the pictures show beside it: a second post, personal rights, shares and a permission test."""
    people, harbour = {word: one.id for word, one in firm.people.items()}, firm.clients["harbour"].id
    firm.make("core_post", user=people["head"], department=firm.departments["south"].id, title=("Stand-in", "代班")[firm.place])
    until = "2027-03-31T18:00:00"
    for verb in ("read", "edit"):
        firm.make("core_personal_right", user=people["zhao"], model="crm_client", verb=verb, scopes="department", until=until)
    firm.make("core_personal_right", user=people["zhao"], model="crm_client", verb="export", denied=True)
    day = "2028-01-01T00:00:00"
    firm.make("core_share", model="crm_client", record_id=harbour, user=people["liu"], access="read", until=day)
    firm.make("core_share", model="crm_client", record_id=harbour, user=people["sun"], access="read")
    firm.make("core_share", model="crm_client", record_id=harbour, team=firm.teams["show"].id, access="edit", until=day)
    promise(firm)


def promise(firm: Firm) -> Any:
    """The permission test of the guide: client service never edits clients."""
    return firm.make("core_right_test", role=firm.roles["service_role"].id, expected="never", verb="edit", model="crm_client", rows="all")
