"""Pages about people beside their records: the tree of departments, and what is open when somebody leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request
from sqlalchemy import func, select

from core.bulk import AT_ONCE
from core.context import today
from core.db import db
from core.errors import Invalid, Problem, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.journal import batch
from core.leaving import MOST, Open, hand_over, open_of
from core.model import model_label
from core.people import Department, MortiseUser, Post, User
from core.records import records
from core.rules import may
from core.titles import titles
from core.web.account_pages import outranks
from core.web.bulk_jobs import EDIT, queue
from core.web.facets import write_filter
from core.web.lists import address
from core.web.shell import drawn, say, say_queued
from core.web.views import view_of

people_pages = Blueprint("people_pages", __name__)


# -- departments ----------------------------------------------------------------------------------------------------------


@people_pages.get("/departments")
def departments() -> str:
    """The tree of departments, each with its head and how many people have a post there; three statements."""
    found = db.session.execute(records(Department).select().order_by(Department.name)).scalars().all()
    user = MortiseUser.__table__
    count = select(Post.department_id, func.count(Post.user_id.distinct())).join(user, user.c.id == Post.user_id)
    counts = dict(db.session.execute(count.where(user.c.active).group_by(Post.department_id)).all())
    heads = titles(MortiseUser, [one.head_id for one in found])
    known = {one.id for one in found}
    children: dict[int | None, list[Any]] = {}
    for one in found:
        children.setdefault(one.parent_id if one.parent_id in known else None, []).append(one)
    page = SimpleNamespace(
        tree=[_node(one, children, counts, heads, set()) for one in children.get(None, [])],
        new_url="/core_department/new" if may("create", Department) else "", list_url="/core_department/",
    )  # fmt: skip
    return render_template("departments.html", page=page)


def _node(one: Any, children: Any, counts: dict[int, int], heads: dict[int, str], above: set[int]) -> SimpleNamespace:
    below = [_node(child, children, counts, heads, above | {one.id}) for child in children.get(one.id, []) if child.id not in above]
    many = counts.get(one.id, 0)
    return SimpleNamespace(
        title=str(one), url=f"/core_department/{one.id}", head=heads.get(one.head_id or 0, ""), head_url=f"/ab_user/{one.head_id}",
        people=ngettext("%(count)s person", "%(count)s people", many) if many else _("nobody"), children=below,
        people_url=address("/core_post/", filter=write_filter({"field": "department", "op": "is", "value": one.id})),
        add_url=f"/core_department/new?parent={one.id}" if may("create", Department) else "",
    )  # fmt: skip


# -- leaving --------------------------------------------------------------------------------------------------------------


@people_pages.route("/ab_user/<int:person>/_leave", methods=["GET", "POST"])
def leave(person: int) -> Any:
    """What is still open of a person; hand it over, kind by kind, and close the account, as one action that can be undone."""
    user = records(User).get(person, lock=request.method == "POST")
    if not (verdict := may("edit", user, "active")) or not outranks(user):
        raise Refused(_("You may change people of a lower level only."), verdict)
    if request.method == "GET":
        return render_template("leave.html", page=_page(user, {}))
    try:
        with db.session.begin_nested(), batch(_("%(person)s leaves", person=str(user))):
            done, jobs = _hand_over(user)
            if request.form.get("close") == "1" and user.active:
                records(User).edit(user, {"active": False, **({} if user.left_on else {"left_on": today().isoformat()})})
                say(_("The account of “%(person)s” is closed; he is signed out everywhere.", person=str(user)), undo=not done)
    except Invalid as problem:
        return drawn("leave.html", _page(user, problem.errors), problem.status)
    except Problem as problem:
        return drawn("leave.html", _page(user, {"": problem.sentence}), problem.status)
    if done:
        say(ngettext("%(count)s record was handed over.", "%(count)s records were handed over.", done), undo=True)
    for number in jobs:
        say_queued(number)
    return redirect(f"/ab_user/{person}/_leave")


@people_pages.get("/api/v1/ab_user/<int:person>/open")
def open_api(person: int) -> Any:
    """What is still open of a person, for programs: kind of record, field, count."""
    user = records(User).get(person)
    if not (verdict := may("edit", user, "active")):
        raise Refused(_("You may not change this person."), verdict)
    found = open_of(person)
    return jsonify(result=[{"model": one.model.__tablename__, "field": one.link.name, "count": one.count} for one in found])


def _hand_over(user: Any) -> tuple[int, list[int]]:
    """(how many records were handed over at once, the jobs that do the rest)."""
    done, jobs, errors = 0, [], {}
    for one in open_of(user.id):
        chosen = request.form.get(one.key, "")
        if chosen in ("", "keep"):
            continue
        if chosen != "nobody" and not (chosen.isascii() and chosen.isdigit() and len(chosen) < 11 and int(chosen) != user.id):
            errors[one.key] = _("Please choose one of the values offered.")
            continue
        successor = None if chosen == "nobody" else int(chosen)
        if one.count > AT_ONCE:
            tree = {"field": one.link.name, "op": "is", "value": user.id}
            last = db.session.execute(select(func.max(one.model.id))).scalar() or 0
            jobs.append(
                queue(view_of(one.model), EDIT, filter=tree, search=None, last=last, total=one.count, values={one.link.name: successor})
            )
            continue
        try:
            done += hand_over(one, user.id, successor)
        except Problem as problem:
            errors[one.key] = problem.sentence
    if errors:
        raise Invalid(errors)
    return done, jobs


def _page(user: Any, errors: dict[str, str]) -> SimpleNamespace:
    query = select(User.id, User.name, User.username).where(User.active.is_(True), User.id != user.id).order_by(User.name).limit(1000)
    return SimpleNamespace(
        title=_("When “%(person)s” leaves", person=str(user)), person=str(user), url=f"/ab_user/{user.id}/_leave",
        back_url=f"/ab_user/{user.id}", active=bool(user.active), errors=errors,
        people=[(row.id, f"{row.name} ({row.username})") for row in db.session.execute(query)],
        lines=[_line(one, user) for one in open_of(user.id)],
    )  # fmt: skip


def _line(one: Open, user: Any) -> SimpleNamespace:
    tree = {"field": one.link.name, "op": "is", "value": user.id}
    return SimpleNamespace(
        key=one.key, title=model_label(one.model, many=True), field=one.link.title, chosen=request.form.get(one.key, ""),
        count=f"{one.count:,}" + ("+" if one.count == MOST else ""), required=one.link.required,
        url=address(f"/{one.model.__tablename__}/", filter=write_filter(tree)),
        may=not one.link.readonly and bool(may("edit", one.model)),
    )  # fmt: skip
