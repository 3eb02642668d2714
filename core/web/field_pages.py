"""Custom fields: make one, rename, hide or require any; an ordinary write through the gate, so journal and undo hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, redirect, render_template, request
from sqlalchemy import func, select

from core.custom import CUSTOM_KINDS, CustomField, FieldSetting
from core.db import db
from core.errors import Invalid, Missing, Problem
from core.i18n import LANGUAGES, ngettext
from core.i18n import gettext as _
from core.model import fields_of, model_label, models
from core.options import Dictionary, Option, dictionary_label, option_label
from core.records import records
from core.web.shell import drawn, say

ICONS = {
    "text": "forms",
    "long": "align-left",
    "code": "hash",
    "email": "mail",
    "phone": "phone",
    "integer": "123",
    "decimal": "decimal",
    "money": "coins",
    "date": "calendar",
    "datetime": "clock",
    "yesno": "toggle-left",
    "choice": "select",
    "choices": "list-check",
    "link": "link",
    "links": "link-plus",
    "file": "paperclip",
    "formula": "math-function",
    "json": "braces",
}


def add_to(blueprint: Blueprint) -> None:
    """Give the settings their pages about fields."""
    blueprint.add_url_rule("/fields/", view_func=fields, defaults={"table": None})
    blueprint.add_url_rule("/fields/<table>", view_func=fields)
    blueprint.add_url_rule("/fields/<table>/new", view_func=new_field, methods=["GET", "POST"])
    blueprint.add_url_rule("/fields/<table>/<name>", view_func=field, methods=["GET", "POST"])
    blueprint.add_url_rule("/fields/<table>/<name>/delete", view_func=delete_field, methods=["GET", "POST"])
    blueprint.add_url_rule("/jump", view_func=jump)


def kind_words(kind: str) -> str:
    """What a kind of field is called."""
    own = {"code": _("Number or code"), "links": _("Links to records")}
    return own.get(kind) or option_label("core_custom_field.kind", kind)


def _models() -> dict[str, type]:
    """The models whose fields are of interest to an administrator: those of addons that are on, then people."""
    from core.addons import enabled

    return {
        table: model
        for table, model in models().items()
        if enabled(model.addon) and (model.addon != "core" or table in ("ab_user", "core_department"))
    }


def _model(table: str) -> type:
    found = _models().get(table)
    if found is None:
        raise Missing(_("There is no kind of record at this address, or its addon is asleep."))
    return found


def navigation(current: str) -> list[SimpleNamespace]:
    """The left column: kinds of records with their number of fields, then dictionaries with their number of options."""
    kinds = [
        SimpleNamespace(
            title=model_label(model, many=True),
            url=f"/settings/fields/{table}",
            count=sum(not one.system for one in fields_of(model).values()),
            current=False,
        )
        for table, model in _models().items()
    ]
    counts = dict(db.session.execute(select(Option.dictionary_id, func.count()).group_by(Option.dictionary_id)).all())
    rows = db.session.execute(
        select(Dictionary.id, Dictionary.key, Dictionary.title, Dictionary.titles).order_by(Dictionary.closed, Dictionary.id)
    ).all()
    lists = [
        SimpleNamespace(
            title=dictionary_label(row.key, row.title, row.titles),
            url=f"/settings/dictionaries/{row.id}",
            count=counts.get(row.id, 0),
            current=False,
        )
        for row in rows
        # What core's own machinery chooses from is nobody's drop-down.
        if not row.key.startswith("core_") or row.key.startswith("core_department")
    ]
    for one in [*kinds, *lists]:
        one.current = one.url == current
    return [SimpleNamespace(title=_("Kinds of record"), entries=kinds), SimpleNamespace(title=_("Dictionaries"), entries=lists)]


def jump() -> Any:
    """Go to what was chosen in the select of a phone."""
    wanted = request.args.get("to", "")
    known = {entry.url for group in navigation("") for entry in group.entries}
    return redirect(wanted if wanted in known else "/settings/fields/")


def _page(table: str, panel: SimpleNamespace | None = None, current: str = "") -> SimpleNamespace:
    model, url = _model(table), f"/settings/fields/{table}"
    shown = []
    statement = select(FieldSetting.field_name).where(FieldSetting.model == table, FieldSetting.hidden)
    hidden = set(db.session.execute(statement).scalars())
    for name, one in fields_of(model).items():
        if one.system or one.kind.name == "json":
            continue
        shown.append(
            SimpleNamespace(
                name=name,
                title=one.title,
                custom=one.custom,
                kind=kind_words(one.kind.name),
                icon=ICONS.get(one.kind.name, "forms"),
                required=one.required,
                hidden=one.hidden or name in hidden,
                url=f"{url}/{name}",
                current=name == current,
                addon=one.addon,
            )
        )
    shown.sort(key=lambda one: one.name in ("owner", "department"))
    own = sum(one.custom for one in shown)
    return SimpleNamespace(
        title=_("Fields of %(what)s", what=model_label(model, many=True)),
        url=url,
        nav=navigation(url),
        jump_url="/settings/jump",
        fields=shown,
        panel=panel,
        sum_text=ngettext("%(count)s field", "%(count)s fields", len(shown))
        + (_(", ") + ngettext("%(count)s of them custom", "%(count)s of them custom", own) if own else ""),
        new_url=f"{url}/new",
    )


def fields(table: str | None) -> Any:
    """The fields of one kind of record."""
    if table is None:
        first = next(iter(_models()), None)
        if first is None:
            raise Missing(_("There is no kind of record yet."))
        return redirect(f"/settings/fields/{first}")
    return render_template("fields.html", page=_page(table))


def new_field(table: str) -> Any:
    """Make a custom field."""
    model = _model(table)
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            with db.session.begin_nested():
                _make(table, model)
        except Invalid as problem:
            errors = problem.errors
        else:
            say(_("The field “%(title)s” is there, on form, list, filter and API.", title=request.form.get("title", "")), undo=True)
            return redirect(f"/settings/fields/{table}")
    values = _typed({"kind": "text"})
    panel = _panel(_("New field of %(what)s", what=model_label(model)), f"/settings/fields/{table}/new", values, errors)
    panel.kinds = [SimpleNamespace(name=kind, title=option_label("core_custom_field.kind", kind)) for kind in CUSTOM_KINDS]
    panel.targets = [SimpleNamespace(table=name, title=model_label(one, many=True)) for name, one in _models().items()]
    return drawn("fields.html", _page(table, panel), 422 if errors else 0)


def _typed(stored: dict[str, Any]) -> dict[str, Any]:
    """The panel's values: what was typed, else what is stored."""
    names = ("title", "kind", "help", "target", "formula", "options")
    if request.method == "POST":
        values = {name: request.form.get(name, stored.get(name) or "") for name in names}
        return (
            values
            | {name: request.form.get(name) == "1" for name in ("required", "search", "indexed", "hidden")}
            | {f"title_{code}": request.form.get(f"title_{code}", "") for code in LANGUAGES}
        )
    titles = stored.get("titles") or {}
    return (
        {name: stored.get(name) or "" for name in names}
        | {name: bool(stored.get(name)) for name in ("required", "search", "indexed", "hidden")}
        | {f"title_{code}": titles.get(code, "") for code in LANGUAGES}
    )


def _titles() -> dict[str, str] | None:
    return {code: text for code in LANGUAGES if (text := request.form.get(f"title_{code}", "").strip())} or None


def _panel(title: str, url: str, values: dict[str, Any], errors: dict[str, str]) -> SimpleNamespace:
    return SimpleNamespace(
        title=title,
        action_url=url,
        values=values,
        errors=errors,
        name="",
        kind=values.get("kind", ""),
        kind_title="",
        kinds=[],
        targets=[],
        dictionary_url="",
        remove_url="",
        languages=list(LANGUAGES.items()),
        fixed=False,
        switches=[
            ("required", _("Required"), ""),
            ("search", _("In the search box"), ""),
            ("indexed", _("Quick to sort and filter"), _("An index is made in the background.")),
            ("hidden", _("Hidden"), _("Values are kept.")),
        ],
    )


def _make(table: str, model: type) -> None:
    kind = request.form.get("kind", "")
    values: dict[str, Any] = {
        "model": table,
        "title": request.form.get("title", ""),
        "titles": _titles(),
        "kind": kind,
        "help": request.form.get("help", ""),
        **{name: request.form.get(name) == "1" for name in ("required", "search", "indexed", "hidden")},
    }
    if kind == "link":
        values["target"] = request.form.get("target", "")
    if kind == "formula":
        values["formula"] = request.form.get("formula", "")
    lines = [line.strip() for line in request.form.get("options", "").splitlines() if line.strip()]
    if kind in ("choice", "choices") and not lines:
        raise Invalid({"options": _("Please give at least one option.")})
    made = records(CustomField).create(values)
    if kind in ("choice", "choices"):
        dictionary = db.session.execute(select(Dictionary).where(Dictionary.key == made.choices)).scalar_one()
        for place, line in enumerate(dict.fromkeys(lines)):
            records(Option).create({"dictionary": dictionary.id, "title": line, "position": (place + 1) * 10})


def field(table: str, name: str) -> Any:
    """Change one field: all of a custom one, label, hint and visibility of one from code."""
    model = _model(table)
    one = fields_of(model).get(name)
    if one is None or one.system:
        raise Missing(_("There is no such field."))
    here = f"/settings/fields/{table}/{name}"
    gate = records(CustomField if one.custom else FieldSetting)
    key = CustomField.name if one.custom else FieldSetting.field_name
    row = db.session.execute(select(gate.model).where(gate.model.model == table, key == name)).scalar_one_or_none()
    errors: dict[str, str] = {}
    if request.method == "POST":
        values = {
            "title": request.form.get("title", ""),
            "titles": _titles(),
            "help": request.form.get("help", ""),
            **{each: request.form.get(each) == "1" for each in ("required", "hidden")},
        }
        if one.custom:
            values |= {each: request.form.get(each) == "1" for each in ("search", "indexed")}
            if one.kind.name == "formula":
                values["formula"] = request.form.get("formula", "")
        elif values["title"].strip() in ("", model.__fields__[name].title):  # type: ignore[attr-defined]
            values["title"] = None
        try:
            with db.session.begin_nested():
                if row is None:
                    gate.create({"model": table, "field_name": name, **values})
                else:
                    gate.edit(row, values)
        except Problem as problem:
            errors = getattr(problem, "errors", {"": problem.sentence})
        else:
            say(_("The field was saved."), undo=True)
            return redirect(f"/settings/fields/{table}")
    stored = (
        {each: getattr(row, each, None) for each in ("title", "titles", "help", "required", "search", "indexed", "hidden", "formula")}
        if row is not None
        else {"required": one.required, "help": one.help}
    )
    values = _typed({**stored, "kind": one.kind.name})
    values["title"] = values["title"] or one.title
    panel = _panel(one.title, here, values, errors)
    panel.name, panel.kind, panel.fixed = name, one.kind.name, not one.custom
    panel.kind_title = kind_words(one.kind.name)
    if not one.custom:
        panel.switches = [each for each in panel.switches if each[0] in ("required", "hidden")]
    else:
        panel.remove_url = f"{here}/delete"
    if one.choices:
        found = db.session.execute(select(Dictionary.id).where(Dictionary.key == one.choices)).scalar()
        panel.dictionary_url = f"/settings/dictionaries/{found}" if found else ""
    return drawn("fields.html", _page(table, panel, name), 422 if errors else 0)


def delete_field(table: str, name: str) -> Any:
    """Take a custom field away; its values stay in the records and come back with an undo."""
    model = _model(table)
    one = fields_of(model).get(name)
    row = db.session.execute(select(CustomField).where(CustomField.model == table, CustomField.name == name)).scalar_one_or_none()
    if one is None or row is None:
        raise Missing(_("There is no such field."))
    here = f"/settings/fields/{table}"
    stops = ""
    if request.method == "POST":
        try:
            with db.session.begin_nested():
                records(CustomField).delete(row)
        except Problem as problem:
            stops = problem.sentence
        else:
            say(_("The field “%(title)s” was removed.", title=one.title), undo=True)
            return redirect(here)
    page = SimpleNamespace(
        title=_("Remove"),
        question=_("Remove the field “%(title)s”?", title=one.title),
        sentence=_("It leaves forms, lists, filters, imports and the API."),
        records=[],
        more="",
        along=[],
        stops=stops,
        foot=_("The values stay in the records; undoing the removal brings them back."),
        danger=True,
        yes=_("Remove"),
        hidden=[],
        action_url=f"{here}/{name}/delete",
        back_url=f"{here}/{name}",
    )
    return drawn("confirm.html", page, 422 if stops else 0)
