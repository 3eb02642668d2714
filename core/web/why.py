"""“Why?”: the page that says why somebody may or may not, by facts with a link each, and what would change it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import select

from core.addons import enabled
from core.context import actor, until_words
from core.db import db
from core.errors import Broken, Missing, Refused
from core.explain import Explanation, beside, explain, rights_of
from core.i18n import gettext as _
from core.i18n import listed, t
from core.model import fields_of, model_label, model_of, models
from core.options import option_label
from core.people import Department, MortiseUser, PersonalRight, Post, RoleRight, Team
from core.records import records
from core.right_words import addon_title, scope_label, verb_label
from core.rule_lines import SCOPES, VERBS, rules_of, verbs_of
from core.rules import Rights, may, visible_ids
from core.titles import know_titles, titles
from core.verdicts import Fact
from core.web.cells import record_url
from core.web.views import view_at, view_of

why_pages = Blueprint("why", __name__)
QUIET = {"mortise_rules": False}
MOST_PEOPLE = 500


@why_pages.get("/<table>/_why", defaults={"record_id": None})
@why_pages.get("/<table>/<int:record_id>/_why")
def why(table: str, record_id: int | None) -> str:
    """Why may, or may not, a person do something with this record, or with these records at all?"""
    asked = question(table, record_id, request.args.to_dict())
    return render_template("why.html", page=_page(asked))


@why_pages.get("/ab_user/<int:person>/_rights")
def effective(person: int) -> str:
    """All that one person may do, whoever gave or took it; each answer leads to its reasons."""
    if person != actor().user_id and not may_know():
        raise Refused(_("You may ask this about yourself only."), may("read", PersonalRight))
    user = records(MortiseUser).get(person)
    return render_template("effective.html", page=_effective(user, rights_of(person)))


def question(table: str, record_id: int | None, words: dict[str, str]) -> SimpleNamespace:
    """What is asked, by the words of an address. Raises `Missing` and `Refused` for what the asking person may not ask about."""
    view = view_at(table)
    model: Any = view.model
    record = records(model).get(record_id) if record_id is not None else None
    verb, field_name = words.get("verb") or "read", words.get("field") or None
    action = next((one for one in view.all_actions() if one.name == words.get("action")), None)
    if words.get("action") and (action is None or field_name is not None):
        raise Broken(_("There is no button “%(name)s”.", name=words["action"][:60]))
    verb = action.verb if action else verb
    if verb not in verbs_of(model):
        raise Broken(_("There is no right “%(verb)s” on %(label)s.", verb=verb[:40], label=model_label(model, many=True)))
    if field_name is not None and (field_name not in view.fields() or verb not in ("read", "edit")):
        raise Broken(_("There is no field “%(name)s”.", name=field_name[:60]))
    return SimpleNamespace(
        model=model, record=record, verb=verb, field_name=field_name, action=action, person=asked_about(words), knows=may_know(), view=view
    )


def asked_about(words: dict[str, str]) -> int:
    """The person that an address asks about, the asking one by itself. Raises `Refused` and `Missing`."""
    person = words.get("person") or str(actor().user_id)
    if not (person.isascii() and person.isdigit() and len(person) < 11) or (int(person) != actor().user_id and not may_know()):
        raise Refused(_("You may ask this about yourself only."), may("read", PersonalRight))
    if not visible_ids(MortiseUser, [int(person)]):
        raise Missing(_("There is no such record, or it is not visible to you."))
    return int(person)


def may_know() -> bool:
    """May the acting person read what gives and takes rights, and so learn about others?"""
    return bool(may("read", RoleRight)) and bool(may("read", PersonalRight))


def answer(asked: SimpleNamespace) -> dict[str, Any]:
    """The answer as plain values: allowed, chains and steps of facts with kind, text and url."""
    found = explain(asked.person, asked.verb, asked.record if asked.record is not None else asked.model, asked.field_name)
    if not asked.action and not getattr(asked.view, f"may_{asked.verb}", True):
        found = beside(Fact("kept"), Explanation(False, (), ()))
    elif sentence := _as_it_is_now(asked):
        found = beside(Fact("withheld", f"{asked.model.__tablename__}:{asked.record.id}", sentence=sentence), found)
    return told(asked, found)


def _as_it_is_now(asked: SimpleNamespace) -> str:
    """What stands against it in the record itself, whoever asks: a button that makes no sense, a field that nobody changes."""
    if asked.record is None:
        return ""
    if asked.action:
        return asked.view.withheld(asked.action.name, asked.record)
    return asked.view.fixed(asked.record).get(asked.field_name, "") if asked.verb == "edit" else ""


def told(asked: SimpleNamespace, found: Explanation) -> dict[str, Any]:
    """An explanation as plain values; what would change it only for those who may know."""
    words = Words(asked, found)
    steps = [[words.told(fact, step=not found.allowed) for fact in step] for step in found.steps] if asked.knows else []
    return {"allowed": found.allowed, "chains": [[words.told(fact) for fact in chain] for chain in found.chains], "steps": steps}


class Words:
    """Facts in the asking person's words; what he may not read is called by its number and has no link."""

    def __init__(self, asked: SimpleNamespace, found: Explanation) -> None:
        self.asked = asked
        self.facts = dict.fromkeys(fact for chain in (*found.chains, *found.steps) for fact in chain)
        self.rows: dict[tuple[str, int], Any] = {}
        wanted: dict[str, set[int]] = {}
        for fact in self.facts:
            table, _colon, number = fact.source.partition(":")
            if table in models() and number.isdigit():
                wanted.setdefault(table, set()).add(int(number))
        for table, ids in wanted.items():
            one = models()[table].__table__
            for row in db.session.execute(select(one).where(one.c.id.in_(sorted(ids))), execution_options=QUIET):
                self.rows[table, row.id] = row
        self.readable = {table: visible_ids(models()[table], ids) for table, ids in wanted.items() if may("read", models()[table])}
        know_titles({models()[table]: ids for table, ids in wanted.items()})

    def told(self, fact: Fact, step: bool = False) -> dict[str, str]:
        """One fact: kind, text, url; as a ``step``, what stands in the way is told as something to change."""
        table, _colon, number = fact.source.partition(":")
        row_id = int(number) if number.isdigit() else 0
        url = record_url(table, row_id) if row_id in self.readable.get(table, ()) else ""
        text = self._text(fact, self.rows.get((table, row_id)))
        if step and not fact.kind.startswith("would_"):
            text = _("Change this: %(fact)s", fact=text)
        return {"kind": fact.kind, "text": text, "url": url}

    def _text(self, fact: Fact, row: Any) -> str:
        match fact.kind:
            case "asleep":
                return _("The addon “%(name)s” is switched off.", name=addon_title(fact.source.partition(":")[2]))
            case "closed":
                return _("The account is closed, or the person's last day is over.")
            case "level":
                return _("Level: %(level)s", level=option_label("ab_user.level", row.level))
            case "right":
                return _("%(what)s: %(scopes)s, as an administrator set it", what=self._what(fact), scopes=_reach(row.scopes, row.shared))
            case "rule":
                lines = [one for one in rules_of(_model(fact.model)) if one.role == fact.role and fact.verb in one.verbs]
                scopes = " ".join(sorted(set().union(*(one.scopes for one in lines))))
                return _(
                    "%(what)s: %(scopes)s, as the addon “%(addon)s” brings it along",
                    what=self._what(fact), scopes=_reach(scopes, any(one.shared for one in lines)), addon=addon_title(fact.source[5:]),
                )  # fmt: skip
            case "grant" | "denial":
                gone = fact.kind == "denial"
                said = _("%(what)s: taken away personally", what=self._what(fact)) if gone else _(
                    "%(what)s: %(scopes)s, given personally", what=self._what(fact), scopes=_reach(row.scopes, False)
                )  # fmt: skip
                return said + _until(row.until)
            case "own" | "author":
                return _("Owner of the record") if fact.kind == "own" else _("Made the record")
            case "post":
                return _("Post in “%(department)s”", department=_title("core_department", row.department_id))
            case "lies_in":
                return _("The record belongs to “%(department)s”.", department=_title("core_department", row.id))
            case "lies_below":
                return _("The record belongs to “%(department)s”, which lies below.", department=_title("core_department", row.id))
            case "member":
                return _("Team “%(team)s”, with the owner of the record", team=_title("core_team", row.id))
            case "part":
                return _("A part of “%(record)s”", record=_title(fact.source.partition(":")[0], row.id))
            case "shared":
                return _shared(row) + _until(row.until)
            case "field_hidden" | "field_read":
                words = {"field": fields_of(self.asked.model)[self.asked.field_name].title, "role": t(fact.role)}
                hidden = fact.kind == "field_hidden"
                return _("“%(field)s” is hidden from the role “%(role)s”.", **words) if hidden else _(
                    "The role “%(role)s” may not change “%(field)s”.", **words
                )  # fmt: skip
            case "would_role":
                return _("Give the role “%(role)s”", role=t(fact.role))
            case "would_own":
                return _("Make this person the owner of the record")
            case "would_post":
                return _("Give a post in “%(department)s”", department=_title("core_department", row.id))
            case "would_team":
                return _("Put this person into a team with “%(owner)s”", owner=_title("ab_user", row.id))
            case "would_share":
                return _("Share the record with this person")
            case "would_grant":
                return _("Give the right to this person alone")
        return fact.text

    def _what(self, fact: Fact) -> str:
        return _("%(label)s – %(verb)s", label=model_label(_model(fact.model), many=True), verb=verb_label(fact.verb))


def _model(key: str) -> Any:
    return model_of(key.partition(":")[0])


def _title(table: str, row_id: int) -> str:
    return titles(models()[table], [row_id]).get(row_id, f"#{row_id}")


def _reach(scopes: str, shared: bool) -> str:
    words = [scope_label(one) for one in (*SCOPES, "parent") if one in scopes.split() and one != "none"]
    return listed([*words, *([_("shared ones")] if shared else [])])


def _until(moment: Any) -> str:
    return _(", until %(moment)s", moment=until_words(moment)) if moment is not None else ""


def _shared(row: Any) -> str:
    whom = next(
        _title(table, number)
        for table, number in (("ab_user", row.user_id), ("core_department", row.department_id), ("core_team", row.team_id))
        if number is not None
    )
    if row.access == "edit":
        return _("Shared with “%(whom)s”, to read and to edit", whom=whom)
    return _("Shared with “%(whom)s”, to read", whom=whom)


def _page(asked: SimpleNamespace) -> SimpleNamespace:
    model, record, found = asked.model, asked.record, answer(asked)
    table, many = model.__tablename__, model_label(model, many=True)
    person = titles(MortiseUser, [asked.person]).get(asked.person, f"#{asked.person}")
    fields = view_of(model).fields()
    what = t(asked.action.label) if asked.action else verb_label(asked.verb)
    if asked.field_name:
        what = _("%(verb)s: %(field)s", verb=what, field=fields[asked.field_name].title)
    words = {"person": person, "verb": what, "target": str(record) if record is not None else many}
    return SimpleNamespace(
        **found,
        title=_("Why?"),
        list_url=f"/{table}/",
        list_title=many,
        record_url=f"/{table}/{record.id}" if record is not None else "",
        record_title=str(record) if record is not None else "",
        url=f"/{table}/{record.id}/_why" if record is not None else f"/{table}/_why",
        sentence=_("“%(person)s” may: %(verb)s – %(target)s", **words)
        if found["allowed"]
        else _("“%(person)s” may not: %(verb)s – %(target)s", **words),
        knows=asked.knows,
        people=people_to_ask() if asked.knows else [],
        person=asked.person,
        verbs=[(verb, verb_label(verb)) for verb in verbs_of(model)],
        verb=asked.verb,
        fields=[(name, one.title) for name, one in fields.items() if not one.system],
        field=asked.field_name or "",
        actions=[(one.name, t(one.label)) for one in view_of(model).all_actions()],
        action=asked.action.name if asked.action else "",
    )


def people_to_ask() -> list[tuple[int, str]]:
    """(id, name) of those whom a page about rights offers."""
    query = select(MortiseUser.id, MortiseUser.name, MortiseUser.username).order_by(MortiseUser.name).limit(MOST_PEOPLE)
    return [(row.id, f"{row.name} ({row.username})") for row in db.session.execute(query)]


def _effective(user: Any, mine: Rights) -> SimpleNamespace:
    awake = [one for one in models().values() if enabled(one.addon)]
    several = [verb for verb in VERBS if any(not mine.grant(one, verb).nothing or mine.grant(one, verb).denied for one in awake)]
    groups: dict[tuple[bool, str], list[SimpleNamespace]] = {}
    for model in awake:
        grants = {verb: mine.grant(model, verb) for verb in verbs_of(model)}
        if all(grant.nothing and not grant.denied for grant in grants.values()):
            continue
        table = model.__tablename__
        cells = [_cell(table, user.id, verb, grants[verb]) if verb in grants else None for verb in several]
        more = [(verb_label(verb), _cell(table, user.id, verb, grant)) for verb, grant in grants.items() if verb not in VERBS]
        line = SimpleNamespace(title=model_label(model, many=True), cells=cells, more=[one for one in more if one[1].text])
        groups.setdefault((model.addon == "core", addon_title(model.addon)), []).append(line)
    posts = Post.__table__
    places = db.session.execute(select(posts.c.department_id).where(posts.c.user_id == user.id), execution_options=QUIET).scalars().all()
    return SimpleNamespace(
        title=_("What “%(person)s” may do", person=str(user)),
        person=str(user),
        person_id=user.id,
        person_url=f"/ab_user/{user.id}" if may_know() else "",
        closed=mine.level == "nobody",
        level=option_label("ab_user.level", user.level),
        roles=[t(name) for name in sorted(mine.roles.values())],
        departments=sorted(titles(Department, places).values()),
        teams=sorted(titles(Team, mine.teams).values()),
        verbs=[verb_label(verb) for verb in several],
        groups=[(title, groups[last, title]) for last, title in sorted(groups)],
    )


def _cell(table: str, person: int, verb: str, grant: Any) -> SimpleNamespace:
    words = _("taken away") if grant.denied else _reach(" ".join(grant.scopes), grant.shared and "all" not in grant.scopes)
    return SimpleNamespace(text=words, denied=grant.denied, url=f"/{table}/_why?person={person}&verb={verb}")
