"""The rows of an import on a page: how each value is read, what becomes or became of each row, and one wrong row to be corrected."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from core.fields import Field
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import fields_of, model_of
from core.transfer import drafts
from core.transfer.facts import Draft
from core.web.cells import record_url, short_moment
from core.web.import_steps import count_text, page_of
from core.web.lists import address
from core.web.menu import is_administrator
from core.web.views import View

PAGE = 50
LONG = 60
"""A text of more letters is corrected in a field of several lines."""


def outcomes() -> dict[str, tuple[str, str]]:
    """{outcome: (word, icon)} of rows."""
    return {
        "refused": (_("Wrong"), "alert-circle"),
        "created": (_("Added"), "plus"),
        "changed": (_("Updated"), "pencil"),
        "same": (_("The same"), "equal"),
        "skipped": (_("Skipped"), "player-skip-forward"),
        "waiting": (_("Waiting"), "clock"),
    }


def rows_page(view: View, one: Draft, query: Mapping[str, str]) -> SimpleNamespace:
    """The rows of one outcome, with the counts of all; in the address: ``show`` the outcome, ``after`` a line, ``row`` the open one."""
    page = page_of(view, one)
    page.tried = one.batch_id is None and one.checked
    page.step = 3 if page.tried else 4
    words = outcomes()
    show = query.get("show", "") if query.get("show") in words else ""
    after = _line(query.get("after"))
    page.tabs = _tabs(page.url, one, show)
    page.show, page.after = show, after
    found = drafts.preview(one.id, PAGE + 1, state=show or None, after=after)
    more, found = len(found) > PAGE, found[:PAGE]
    every = fields_of(model_of(one.model))
    page.heads = _heads(one, every)
    state = {"show": show} if show else {}
    fixable = one.state in ("draft", "cancelled", "stopped", "done")
    page.lines = [_row(one, row, cells, every, page, fixable) for row, cells in found]
    page.next_url = address(page.url, **state, after=found[-1][0].line) if more else ""
    page.first_url = address(page.url, **state) if after else ""
    page.count = one.created + one.changed
    page.import_text = ngettext("Import %(total)s row", "Import %(total)s rows", page.count, total=count_text(page.count))
    page.wrong_url = f"{page.url}/wrong.csv" if one.refused else ""

    page.finished = short_moment(one.finished_at) if one.finished_at else ""
    page.journal_url = f"/settings/journal?before={one.batch_id + 1}" if one.batch_id and is_administrator() else ""
    page.sum = _sum(one, page)
    page.fix = _fix(one, _line(query.get("row")), every, page) if fixable and query.get("row") else None
    return page


def _line(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _tabs(url: str, one: Draft, show: str) -> list[SimpleNamespace]:
    words = outcomes()
    done = one.created + one.changed + one.same + one.skipped + one.refused
    waiting = max(0, one.total - done)
    counts = {name: getattr(one, name) for name in ("refused", "created", "changed", "same", "skipped")} | {"waiting": waiting}
    made = [SimpleNamespace(url=url, title=_("All"), count=count_text(one.total), current=not show, late=False)]
    for name, count in counts.items():
        if count or name == show or name in ("refused", "created"):
            made.append(
                SimpleNamespace(
                    url=address(url, show=name), title=words[name][0], count=count_text(count), current=name == show,
                    late=name == "refused" and count > 0,
                )
            )  # fmt: skip
    return made


def _sum(one: Draft, page: SimpleNamespace) -> str:
    if page.tried:
        if not page.count and not one.refused:
            return _("Nothing in this file is new: all of its rows are in the house already.")
        return _("Nothing is stored yet. You can close this page and go on later.")
    told = {
        "done": _("The import is finished."),
        "cancelled": _("The import was cancelled. What was imported until then stays; you can go on where it stopped, or undo it."),
        "stopped": _("The import has stopped. What was imported until then stays; you can go on where it stopped, or undo it."),
        "reverted": _("The import was undone."),
    }
    return told.get(one.state, "")


def _heads(one: Draft, every: Mapping[str, Field]) -> list[SimpleNamespace]:
    places: dict[str, list[int]] = {}
    for place, name in sorted(one.mapping.items()):
        if name in every:
            places.setdefault(name, []).append(place)
    return [
        SimpleNamespace(
            name=name, title=every[name].title, num=every[name].kind.align == "end",
            heading=", ".join(one.heading[place] for place in columns if place < len(one.heading)),
        )
        for name, columns in places.items()
    ]  # fmt: skip


def _row(
    one: Draft, row: drafts.DraftRow, cells: list[drafts.ReadCell], every: Mapping[str, Field], page: SimpleNamespace, fixable: bool
) -> SimpleNamespace:  # fmt: skip
    outcome = row.expected or row.state if row.state == "waiting" else row.state
    word, icon = outcomes().get(outcome, (outcome, "point"))
    wrong = outcome == "refused"
    url = record_url(one.model, row.record_id) if row.record_id and one.state != "reverted" else ""
    title, shown = getattr(model_of(one.model), "title_field", ""), []
    for head, cell in zip(page.heads, cells, strict=True):
        # What reading finds counts more than what was found when the row was tried.
        error = (cell.error or row.errors.get(cell.field)) if wrong else None
        raw = cell.raw.strip()
        shown.append(
            SimpleNamespace(
                title=head.title, num=head.num, error=error, raw=raw, text=cell.shown or ("" if error else raw),
                was=raw if cell.shown and cell.shown != raw and not error else "", url=url if cell.field == title else "",
            )
        )  # fmt: skip
    named = {head.name for head in page.heads}
    rest = [_said(name, text, every) for name, text in row.errors.items() if name not in named] if wrong else []
    linked = any(cell.url for cell in shown)
    return SimpleNamespace(
        line=row.line, word=word, icon=icon, outcome=outcome, wrong=wrong, cells=shown, rest=rest, matched=row.matched or "",
        url="" if linked else url, fix_url=_fix_url(page, row.line) if wrong and fixable and row.cells else "",
    )  # fmt: skip


def _fix_url(page: SimpleNamespace, line: int) -> str:
    return address(page.url, show=page.show, after=page.after or None, row=line)


def _said(name: str, text: str, every: Mapping[str, Field]) -> str:
    return every[name].title + _(": ") + text if name in every else text


def _fix(one: Draft, line: int, every: Mapping[str, Field], page: SimpleNamespace) -> SimpleNamespace | None:
    found = drafts.rows(one.id, "refused", after=line - 1, limit=1)
    if not found or found[0].line != line or not found[0].cells:
        return None
    row, width = found[0], len(one.heading)
    texts = [*row.cells[:width], *[""] * (width - len(row.cells))]
    told = {name: text for name, text in row.errors.items() if name in {head.name for head in page.heads}}
    if page.lines and (mine := next((each for each in page.lines if each.line == line), None)):
        told = {head.name: cell.error for head, cell in zip(page.heads, mine.cells, strict=True) if cell.error}
    fields, focused = [], False
    for place, heading in enumerate(one.heading):
        name = one.mapping.get(place)
        error = told.pop(name, None) if name else None
        text = texts[place]
        fields.append(
            SimpleNamespace(
                place=place, heading=heading, title=every[name].title if name in every else "", value=text, error=error,
                long="\n" in text or len(text) > LONG, focus=bool(error) and not focused,
            )
        )  # fmt: skip
        focused = focused or bool(error)
    if not focused and fields:
        fields[0].focus = True
    rest = [_said(name, text, every) for name, text in row.errors.items() if name not in {head.name for head in page.heads}]
    return SimpleNamespace(
        line=line, title=_("Line %(line)s", line=line), fields=fields, rest=rest,
        surplus=[each for each in row.cells[width:] if each.strip()], url=f"{page.url}/row/{line}",
        after=page.after or "", last=page.lines[-1].line if page.lines else "",
        close_url=address(page.url, show=page.show, after=page.after or None),
    )  # fmt: skip
