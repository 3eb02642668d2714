"""What Ctrl-K asks the server: records of every kind, what can be made, and the records opened last."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from core.finding import Found, find_records, named_records, openable
from core.i18n import gettext as _
from core.model import model_label
from core.search_words import fold, tokens
from core.web.cells import record_url
from core.web.menu import creatable
from core.web.views import view_of

find_page = Blueprint("find", __name__)
RECENT = 8
ACTIONS = 4


@find_page.get("/find")
def find() -> Response:
    """Groups of what was found for ``q``; without it, those of the ``recent`` records that may still be read."""
    words = request.args.get("q", "").strip()[:100]
    groups = [*_actions(words), *_records(find_records(words))] if words else _recent(request.args.get("recent", ""))
    answer = jsonify(groups=groups)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _records(found: list[Found]) -> list[dict[str, Any]]:
    groups: dict[Any, dict[str, Any]] = {}
    for one in found:
        group = groups.setdefault(one.model, {"title": model_label(one.model, many=True), "items": []})
        group["items"].append(_item(one))
    return list(groups.values())


def _item(one: Found, hint: str = "") -> dict[str, str]:
    view, table = view_of(one.model), one.model.__tablename__
    return {
        "title": one.title, "url": record_url(table, one.id), "icon": view.icon or "file-text", "colour": view.colour or "dai",
        "hint": hint,
    }  # fmt: skip


def _recent(text: str) -> list[dict[str, Any]]:
    wanted = []
    for one in text.split(",")[:RECENT]:
        table, _slash, number = one.partition("/")
        if number.isascii() and number.isdigit() and len(number) < 11 and (model := openable(table)) is not None:
            wanted.append((model, int(number)))
    items = [_item(one, model_label(one.model)) for one in named_records(wanted)]
    return [{"title": _("Opened last"), "items": items}] if items else []


def _actions(words: str) -> list[dict[str, Any]]:
    """What can be made, called so; “new” finds all, pinyin initials find theirs."""
    wanted, items = fold(words).strip(), []
    for one in creatable("/"):
        title = _("New: %(what)s", what=one.title)
        initials = {token[1:] for token in tokens(one.title, "text") if token[0] == "i"}
        if all(part in fold(title) for part in wanted.split()) or any(each.startswith(wanted) for each in initials):
            items.append({"title": title, "url": one.new_url or one.url, "icon": "plus", "colour": one.colour or "dai", "hint": one.hint})
    return [{"title": _("Actions"), "items": items[:ACTIONS]}] if items else []
