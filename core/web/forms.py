"""Forms made from a model's fields: WTForms reads what was typed, the gate judges it, and nothing typed is ever lost."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from wtforms import Field as FormField
from wtforms.form import BaseForm

from core.context import actor, local
from core.errors import Wrong
from core.fields import Field, tidy
from core.i18n import gettext as _
from core.i18n import listed
from core.records import records
from core.web.cells import Cell, Shown, choices, record_url
from core.web.views import View

INPUTS = {
    "text": ("text", ""),
    "code": ("text", ""),
    "email": ("email", "email"),
    "phone": ("tel", "tel"),
    "integer": ("text", "numeric"),
    "decimal": ("text", "decimal"),
    "money": ("text", "decimal"),
    "date": ("date", ""),
    "datetime": ("datetime-local", ""),
}
CONTROLS = {
    "long": "long",
    "yesno": "switch",
    "choice": "select",
    "choices": "checks",
    "link": "link",
    "links": "links",
    "file": "file",
    "formula": "output",
}
MOST_TITLES = 200


class Typed(FormField):
    """A form field that stands for one field of a model: it keeps what was typed and cleans it by the field's kind."""

    def __init__(self, label: str = "", *, stands_for: Field, several: str = "", **options: Any) -> None:
        super().__init__(label, **options)
        self.stands_for, self.several = stands_for, several
        self.control: Any = edit_value(stands_for, None)
        self.sent = False

    def process_data(self, value: Any) -> None:
        """Take the stored value."""
        self.data = value
        self.control = edit_value(self.stands_for, value)

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Take what the browser sent; an empty list means that the page did not have the field."""
        if not valuelist:
            return
        self.sent = True
        if self.several:
            valuelist = [" ".join(filter(None, valuelist)) or self.several]
        self.control = typed_value(self.stands_for, valuelist)
        if self.stands_for.kind.name == "file":
            return
        try:
            self.data = self.stands_for.clean(self.control if self.control != "" else None)
        except Wrong as wrong:
            raise ValueError(str(wrong)) from None


def edit_value(one: Field, value: Any) -> Any:
    """A stored value as the control holds it: text, or a list of texts."""
    kind = one.kind.name
    if kind in ("choices", "links"):
        return sorted(str(each) for each in value or [])
    if kind == "yesno":
        return "1" if value else ""
    if value is None:
        return ""
    if kind == "datetime":
        return local(value).strftime("%Y-%m-%dT%H:%M")
    return str(one.json(value))


def typed_value(one: Field, sent: list[Any]) -> Any:
    """What was sent, in the same shape, so that the two can be compared."""
    kind = one.kind.name
    if kind in ("choices", "links"):
        return sorted({str(each) for each in sent if each != ""})
    last = sent[-1]
    if kind == "file":
        return last
    if kind == "yesno":
        return "1" if last == "1" else ""
    return tidy(str(last).replace("\r\n", "\n"))


class RecordForm:
    """The form of one record, new or stored: read, compare, save, and show again with every typed value."""

    def __init__(self, view: View, record: Any = None, sent: Any = None, files: Any = None, given: dict[str, Any] | None = None) -> None:
        self.view, self.record, self.sent, self.files = view, record, sent, files
        self.gate = records(view.model)
        self.sections = [(title, self._for_form(fields)) for title, fields in view.sections()]
        self.fields = {one.name: one for _title, fields in self.sections for one in fields}
        # BaseForm, not Form: a model's field may be called “data” or “errors”.
        self.form = BaseForm(
            {name: Typed(one.title, stands_for=one, several=view.several.get(name, "")) for name, one in self.fields.items()}
        )
        self.form.process(formdata=sent, data=self._stored(given or {}))
        self.locked = {name: sentence for name, one in self.fields.items() if (sentence := self._locked(one))}
        self.was = {
            name: edit_value(one, one.get(record)) if record is not None else self._first(one, given or {})
            for name, one in self.fields.items()
        }
        self.seen = self._seen(sent)
        self.errors: dict[str, list[str]] = {}
        self.top_errors: list[str] = []

    def _for_form(self, fields: list[Field]) -> list[Field]:
        if self.record is not None:
            return fields
        return [one for one in fields if one.kind.name != "formula" and self.gate.writable(one.name, one) is None]

    def _stored(self, given: dict[str, Any]) -> dict[str, Any]:
        if self.record is not None:
            return {name: one.get(self.record) for name, one in self.fields.items()}
        return {name: given.get(name, one.default) for name, one in self.fields.items()}

    def _first(self, one: Field, given: dict[str, Any]) -> Any:
        return edit_value(one, given.get(one.name, one.default))

    def _locked(self, one: Field) -> str:
        if self.record is None:
            return ""
        if one.kind.name == "formula":
            return ""
        return self.gate.writable(one.name, one) or self.view.fixed(self.record).get(one.name, "")

    def _seen(self, sent: Any) -> dict[str, Any]:
        """The values the person saw when the page was drawn; from the page itself, so that two people's changes can be told apart."""
        if sent is None:
            return self.was
        try:
            told = json.loads(sent.get("_seen") or "{}")
        except (ValueError, RecursionError):
            told = {}
        return {**self.was, **{name: value for name, value in told.items() if name in self.fields}} if isinstance(told, dict) else self.was

    # -- what the person changed --------------------------------------------------------------------------------------

    def changed(self) -> list[str]:
        """Names of the fields whose value differs from what the person saw."""
        found = []
        for name, one in self.fields.items():
            box = self.form[name]
            if name in self.locked or not box.sent or one.kind.name == "file":
                continue
            if box.control != self.seen.get(name) or (self.record is None and box.control not in ("", [])):
                found.append(name)
        return found

    def overtaken(self) -> list[str]:
        """Names of the fields that somebody else saved since the person saw them."""
        return [name for name in self.fields if self.was[name] != self.seen.get(name)]

    def clashes(self) -> list[str]:
        """Fields that both changed, and differently: only these need a person's decision."""
        mine = set(self.changed())
        return [name for name in self.overtaken() if name in mine and self.form[name].control != self.was[name]]

    def values(self) -> dict[str, Any]:
        """What goes to the gate: cleaned values of the changed fields. Collects errors beside the fields."""
        found: dict[str, Any] = {}
        for name in self.changed():
            box = self.form[name]
            if box.process_errors:
                self.errors[name] = [str(each) for each in box.process_errors]
            else:
                found[name] = box.data
        return found

    def take_errors(self, errors: dict[str, str]) -> None:
        """Put the gate's sentences beside their fields; what belongs to no field goes on top."""
        for name, sentence in errors.items():
            if name in self.fields:
                self.errors.setdefault(name, []).append(sentence)
            else:
                self.top_errors.append(sentence)

    # -- what the template shows --------------------------------------------------------------------------------------

    def shown(self) -> list[SimpleNamespace]:
        """The sections with their fields, ready for `_field.html`."""
        from core.i18n import t

        drawn = Shown(self.view.model, list(self.fields.values()), [self.record] if self.record is not None else [])
        names = self._link_names()
        return [
            SimpleNamespace(title=t(title), fields=[self._shown(one, drawn, names) for one in fields])
            for title, fields in self.sections
            if fields
        ]

    def _link_names(self) -> dict[str, dict[int, str]]:
        from core.records import titles

        wanted: dict[type, set[int]] = {}
        for name, one in self.fields.items():
            if one.kind.name in ("link", "links") and one.target is not None:
                values = [self.form[name].control, self.was[name], self.seen.get(name)]
                ids = {each for value in values for each in (value if isinstance(value, list) else [value])}
                wanted.setdefault(one.target, set()).update(
                    int(each) for each in ids if _is_id(str(each))
                )
        return {target.__tablename__: titles(target, sorted(ids)[:MOST_TITLES]) for target, ids in wanted.items()}

    def _shown(self, one: Field, drawn: Shown, names: dict[str, dict[int, str]]) -> SimpleNamespace:
        box, kind = self.form[one.name], one.kind.name
        type_, mode = INPUTS.get(kind, ("text", ""))
        was = self.seen.get(one.name, self.was[one.name])
        f = SimpleNamespace(
            id=f"field-{one.name}",
            name=one.name,
            label=one.title,
            required=one.required and kind != "yesno" and one.number_rule is None,
            control=CONTROLS.get(kind, "input"),
            value=box.control,
            was=was if isinstance(was, str) else json.dumps(was),
            was_text=self._text(one, was, names),
            errors=self.errors.get(one.name, []),
            locked=self.locked.get(one.name, ""),
            help=_help(one, self.record is None),
            options=[],
            lookup_url="",
            open_url="",
            type=type_,
            inputmode=mode,
            step="",
            num=one.kind.align == "end",
            rows=3,
            autocomplete="off",
            wide=kind in ("long", "choices", "links"),
            cell=drawn.cell(self.record, one) if self.record is not None else Cell(),
            changed=self.record is not None
            and (one.name in self.errors or (box.sent and one.name not in self.locked and kind != "file" and box.control != was)),
        )
        offered = self.view.options(one.name)
        if offered is not None:
            nothing, now, found = self.view.several.get(one.name, ""), str(box.control), dict(offered)
            f.value = now
            f.control, f.wide = "checks" if nothing else "select", bool(nothing)
            if nothing:
                f.value, f.help, f.required = [each for each in now.split() if each != nothing], _("Nothing chosen: none at all."), False
            found |= {each: each for each in (f.value if nothing else [now]) if each and each not in found}
            f.options = [SimpleNamespace(key=key, label=label) for key, label in found.items()]
        elif kind in ("choice", "choices"):
            f.options = choices(one.choices, box.control if isinstance(box.control, list) else [box.control])
            if (
                kind == "choice"
                and not any(each.key == "" for each in f.options)
                and box.control
                and box.control not in {each.key for each in f.options}
            ):
                f.options = [*f.options, SimpleNamespace(key=box.control, label=box.control)]
        elif kind in ("link", "links"):
            table = one.target_table or ""
            chosen = box.control if isinstance(box.control, list) else [box.control] if box.control else []
            known = names.get(table, {})
            f.options = [SimpleNamespace(key=each, label=known.get(int(each), f"#{each}") if _is_id(each) else each) for each in chosen]
            f.lookup_url = f"/{table}/_lookup"
            if kind == "link" and self.record is not None and f.options and _is_id(f.options[0].key) and int(f.options[0].key) in known:
                f.open_url = record_url(table, int(f.options[0].key))
        return f

    def _text(self, one: Field, value: Any, names: dict[str, dict[int, str]]) -> str:
        """A control's value in words, for “was” and for comparing."""
        kind = one.kind.name
        if kind in ("link", "links"):
            known = names.get(one.target_table or "", {})
            return listed(
                known.get(int(each), f"#{each}") for each in (value if isinstance(value, list) else [value]) if _is_id(str(each))
            )
        if kind == "yesno":
            return _("Yes") if value == "1" else _("No")
        if value in ("", [], None):
            return ""
        if (offered := self.view.options(one.name)) is not None:
            known = dict(offered)
            return listed(known.get(each, each) for each in (str(value).split() if one.name in self.view.several else [str(value)]))
        try:
            return one.text(one.clean(value))[:200]
        except (Wrong, TypeError, ValueError):
            return str(value)[:200]

    def text_of(self, name: str) -> str:
        """What a field's control holds, in words."""
        return self._text(self.fields[name], self.form[name].control, self._link_names())

    def comparison(self) -> list[SimpleNamespace]:
        """The clashing fields, theirs and mine in words."""
        names = self._link_names()
        return [
            SimpleNamespace(
                id=f"field-{name}",
                label=self.fields[name].title,
                theirs=self._text(self.fields[name], self.was[name], names),
                mine=self._text(self.fields[name], self.form[name].control, names),
            )
            for name in self.clashes()
        ]

    def error_list(self) -> list[SimpleNamespace]:
        """All errors for the summary on top, in the order of the form."""
        beside = [
            SimpleNamespace(id=f"field-{name}", label=self.fields[name].title, sentence=self.errors[name][0])
            for name in self.fields
            if name in self.errors
        ]
        return [*beside, *(SimpleNamespace(id="", label="", sentence=each) for each in self.top_errors)]


def _is_id(text: str) -> bool:
    # Other digits than 0 to 9 are digits too, and not all of them make a number.
    return text.isascii() and text.isdigit() and len(text) < 11


def _help(one: Field, new: bool) -> str:
    from core.i18n import t

    if one.help:
        return t(one.help)
    if one.number_rule and new:
        return _("Given by the system when left empty.")
    if one.kind.name == "datetime":
        return _("In your time zone, %(zone)s.", zone=actor().zone)
    return ""
