"""What a role may do with one kind of record, on one page: a line a verb, a line a field; saved as rows of the matrix."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request
from sqlalchemy import func, select

from core.context import now
from core.db import db
from core.errors import Invalid, Refused
from core.i18n import gettext as _
from core.i18n import listed, ngettext, t
from core.model import fields_of, is_owned, model_label, part_of
from core.people import FieldRight, MortiseUser, PersonalRight, RoleRight, RoleRow, assoc_user_role
from core.records import records
from core.right_tests import ask_now
from core.right_words import scope_label, verb_label
from core.rules import SCOPES, VERBS, may, model_key, rules_of, verbs_of
from core.web.role_rights import matrix
from core.web.shell import drawn, say
from core.web.views import view_at, view_of

right_pages = Blueprint("right_pages", __name__)
ACCESSES = ("open", "read_only", "hidden")


@right_pages.route("/ab_role/<int:role_id>/_rights/<table>", methods=["GET", "POST"])
def role_rights(role_id: int, table: str) -> Any:
    """The rights of a role on one kind of record."""
    role = records(RoleRow).get(role_id)
    if not (verdict := may("edit", RoleRight)):
        raise Refused(_("You may not change rights."), verdict)
    model: Any = view_at(table).model
    if request.method == "GET":
        return render_template("role_rights.html", page=_page(role, model, {}))
    try:
        with db.session.begin_nested():
            changed = _save(role, model)
            ask_now()
    except Invalid as problem:
        return drawn("role_rights.html", _page(role, model, problem.errors), problem.status)
    if changed:
        say(_("The rights of “%(role)s” were changed.", role=str(role)), undo=True)
    return redirect(f"/ab_role/{role_id}/_rights")


@right_pages.get("/ab_role/<int:role_id>/_rights")
def role_matrix(role_id: int) -> str:
    """All rights of a role at once: a line for each kind of record, a column for each verb; beside another role on wish."""
    role = records(RoleRow).get(role_id)
    if not (verdict := may("edit", RoleRight)):
        raise Refused(_("You may not change rights."), verdict)
    text = request.args.get("beside", "")
    other = records(RoleRow).many([int(text)])[:1] if text.isascii() and text.isdigit() and len(text) < 11 else []
    roles = db.session.execute(records(RoleRow).select().order_by(RoleRow.name)).scalars()
    page = SimpleNamespace(
        title=_("What “%(role)s” may do", role=str(role)), role=str(role),
        role_url=f"/ab_role/{role.id}", url=f"/ab_role/{role.id}/_rights",
        other=str(other[0]) if other else "", beside=other[0].id if other else 0,
        roles=[(one.id, str(one)) for one in roles if one.id != role.id], verbs=[verb_label(verb) for verb in VERBS],
        groups=matrix(role, other[0] if other else None), members=_members(role),
    )  # fmt: skip
    return render_template("role_matrix.html", page=page)


def _members(role: Any) -> str:
    count = db.session.execute(select(func.count()).where(assoc_user_role.c.role_id == role.id)).scalar_one()
    return ngettext("%(count)s person has this role.", "%(count)s people have this role.", count)


@right_pages.route("/ab_user/<int:person>/_copy-rights", methods=["GET", "POST"])
def copy_rights(person: int) -> Any:
    """Give somebody the roles and personal rights of another, beside his own or in their place."""
    user = records(MortiseUser).get(person, lock=request.method == "POST")
    if not (verdict := may("edit", user, "role_rows")) or not (verdict := may("create", PersonalRight)):
        raise Refused(_("You may not change rights."), verdict)
    back = f"/ab_user/{person}"
    page = SimpleNamespace(title=_("Copy rights to “%(person)s”", person=str(user)), url=f"{back}/_copy-rights", back_url=back, error="")
    if request.method == "GET":
        return render_template("copy_rights.html", page=page)
    typed = request.form.get("from", "")
    found = records(MortiseUser).many([int(typed)]) if typed.isascii() and typed.isdigit() and len(typed) < 11 else []
    if not found or found[0].id == person:
        page.error = _("Please choose somebody else, whose rights are to be copied.")
        return drawn("copy_rights.html", page, 422)
    with db.session.begin_nested():
        _copy(found[0], user, keep=request.form.get("keep") == "1")
    say(_("“%(person)s” has the rights of “%(other)s” now.", person=str(user), other=str(found[0])), undo=True)
    return redirect(back)


def _copy(source: Any, target: Any, *, keep: bool) -> None:
    """Roles and personal rights; not the level, nor posts and teams, which say where somebody belongs."""
    roles = {one.id for one in source.role_rows} | ({one.id for one in target.role_rows} if keep else set())
    records(MortiseUser).edit(target, {"role_rows": sorted(roles)})
    query = select(PersonalRight).where(PersonalRight.user_id.in_([source.id, target.id])).order_by(PersonalRight.id)
    rows = list(db.session.execute(query).scalars())
    known = set()
    for row in [one for one in rows if one.user_id == target.id]:
        if keep:
            known.add((row.model, row.verb, row.denied, row.scopes))
        else:
            records(PersonalRight).delete(row)
    for row in [one for one in rows if one.user_id == source.id and (one.until is None or one.until > now())]:
        if (row.model, row.verb, row.denied, row.scopes) not in known:
            values = {"model": row.model, "verb": row.verb, "denied": row.denied, "scopes": row.scopes, "until": row.until}
            records(PersonalRight).create({"user": target.id, **values})


def _stored(role: Any, model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(rows of the matrix by verb, rows of field rights by field)."""
    key = model_key(model)
    rights = db.session.execute(select(RoleRight).where(RoleRight.role_id == role.id, RoleRight.model == key)).scalars()
    fields = db.session.execute(select(FieldRight).where(FieldRight.role_id == role.id, FieldRight.model == key)).scalars()
    return {one.verb: one for one in rights}, {one.field_name: one for one in fields}


def _save(role: Any, model: Any) -> int:
    """Write what differs from the stored rows; what is left to the addon has no row. Returns how many rights have changed."""
    rights, fields = _stored(role, model)
    key, errors, done = model_key(model), {}, 0
    for verb in verbs_of(model):
        chosen = request.form.get(f"verb-{verb}")
        if chosen is None:
            continue
        row, shared = rights.get(verb), request.form.get(f"shared-{verb}") == "1"
        of_code, shared_by_code = _of_code(role, model, verb)
        if chosen == "" and row is None and shared != shared_by_code:
            # Only the tick was changed: the addon's reach stays.
            chosen = " ".join(one for one in (*SCOPES, "parent") if one in of_code) or "none"
        if chosen == "":
            if row is not None:
                records(RoleRight).delete(row)
                done += 1
            continue
        words = chosen.split()
        if not words or not set(words) <= {*SCOPES, "parent"}:
            errors[f"verb-{verb}"] = _("Please choose one of the values offered.")
            continue
        values = {"scopes": " ".join(words), "shared": shared and words != ["all"]}
        if row is None:
            records(RoleRight).create({"role": role.id, "model": key, "verb": verb, **values})
        elif (set(row.scopes.split()), bool(row.shared)) != (set(words), values["shared"]):
            records(RoleRight).edit(row, values)
        else:
            continue
        done += 1
    for name, one in fields_of(model).items():
        chosen = request.form.get(f"field-{name}")
        if one.system or chosen is None:
            continue
        row = fields.get(name)
        if chosen == "":
            if row is not None:
                records(FieldRight).delete(row)
                done += 1
        elif chosen not in ACCESSES:
            errors[f"field-{name}"] = _("Please choose one of the values offered.")
        elif row is None:
            records(FieldRight).create({"role": role.id, "model": key, "field_name": name, "access": chosen})
            done += 1
        elif row.access != chosen:
            records(FieldRight).edit(row, {"access": chosen})
            done += 1
    if errors:
        raise Invalid(errors)
    return done


def _page(role: Any, model: Any, errors: dict[str, str]) -> SimpleNamespace:
    rights, fields = _stored(role, model)
    table = model.__tablename__
    return SimpleNamespace(
        title=_("%(label)s – %(role)s", label=model_label(model, many=True), role=str(role)),
        role=str(role),
        role_url=f"/ab_role/{role.id}",
        url=f"/ab_role/{role.id}/_rights/{table}",
        errors=errors,
        verbs=[_verb(role, model, verb, rights.get(verb), errors) for verb in verbs_of(model)],
        fields=[
            _field(role, model, name, one, fields.get(name), errors)
            for name, one in fields_of(model).items()
            if not one.system and name in view_of(model).fields()
        ],
    )


def _of_code(role: Any, model: Any, verb: str) -> tuple[set[str], bool]:
    """(scopes, and shared ones?) that the addon gives this role."""
    given = [one for one in rules_of(model) if one.role == role.name and verb in one.verbs]
    return set().union(*(one.scopes for one in given)) - {"none"}, any(one.shared for one in given)


def _verb(role: Any, model: Any, verb: str, row: Any, errors: dict[str, str]) -> SimpleNamespace:
    of_code, shared_by_code = _of_code(role, model, verb)
    name = f"verb-{verb}"
    stored = " ".join(one for one in (*SCOPES, "parent") if row is not None and one in row.scopes.split())
    chosen = request.form.get(name, stored if row is not None else "")
    shared = shared_by_code if row is None else bool(row.shared)
    offered = _offered(model)
    if chosen and chosen not in offered:
        offered = [*offered, chosen]
    return SimpleNamespace(
        name=name,
        label=verb_label(verb),
        chosen=chosen,
        options=[(one, _words(one.split())) for one in offered],
        default=_words(of_code, shared_by_code),
        shared_name=f"shared-{verb}",
        shared=request.form.get(f"shared-{verb}") == "1" if name in request.form else shared,
        error=errors.get(name, ""),
    )


def _offered(model: Any) -> list[str]:
    """The scopes that make a difference for this kind of record, alone and as they are usually added up."""
    if is_owned(model) and not model.open_to_team:
        return ["none", "own", "department", "below", "team", "own below", "own team", "all"]
    return ["none", *(["parent"] if part_of(model) is not None else []), "own", "all"]


def _words(scopes: Any, shared: bool = False) -> str:
    words = [scope_label(one) for one in (*SCOPES, "parent") if one in scopes]
    return listed([*words, *([_("shared ones")] if shared and "all" not in scopes else [])]) or scope_label("none")


def _field(role: Any, model: Any, name: str, one: Any, row: Any, errors: dict[str, str]) -> SimpleNamespace:
    lines = [line for line in rules_of(model) if line.role == role.name]
    hidden, read_only = (any(name in getattr(line, word) for line in lines) for word in ("hidden", "read_only"))
    of_code = "hidden" if hidden else "read_only" if read_only else "open"
    words = {"open": _("visible, may be changed"), "read_only": _("visible"), "hidden": _("hidden")}
    return SimpleNamespace(
        name=f"field-{name}",
        label=one.title if not one.custom else t(one.title),
        chosen=request.form.get(f"field-{name}", row.access if row is not None else ""),
        options=[(access, words[access]) for access in ACCESSES],
        default=words[of_code],
        error=errors.get(f"field-{name}", ""),
    )
