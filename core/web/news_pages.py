"""“What changed in my records since I last looked”, on a page and over REST; how far one has looked is one's own to say."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request

from core.asof_list import read_day
from core.context import actor, local, now
from core.errors import Broken, Missing, Refused
from core.i18n import gettext as _
from core.i18n import ngettext
from core.journal_query import midnight
from core.model import model_label
from core.news import Change, news, news_kinds, seen_fields
from core.news_mark import ALL, beyond, here, look, looked, looked_at, since
from core.web.cells import change_texts, linked_in, record_url
from core.web.history import by_days, day_label, people
from core.web.lists import address
from core.web.shell import safe_next, say

news_pages = Blueprint("news_pages", __name__)
URL = "/changes"
SIZE = 50
FIRST_DAYS = 7
"""So many days are told of to whoever has never said how far he has looked."""
KEY = "core_news"


def _asked() -> SimpleNamespace:
    """What the address asks for: one kind of record or all, one's own or all one sees, since when."""
    known = {one.__tablename__: one for one in news_kinds()}
    name = request.args.get("model", "")
    if name and name not in known:
        raise Missing(_("There are no such records, or they are not open to you."))
    scope = request.args.get("scope", "mine")
    if scope not in ("mine", "all"):
        raise Broken(_("“scope” is mine or all."))
    asked = SimpleNamespace(model=known.get(name), name=name, scope=scope, known=known, day="", since=None)
    if request.args.get("since"):
        day = read_day(request.args["since"])
        asked.day, asked.since = day.isoformat(), midnight(day)
        asked.where = since(asked.since)
    elif (kept := looked(name, scope == "all")) is not None:
        asked.since, asked.where = looked_at(kept), beyond(kept)
    else:
        asked.since = midnight(local(now()).date() - timedelta(days=FIRST_DAYS))
        asked.where = since(asked.since)
    return asked


@news_pages.get(URL)
def changes() -> str:
    """What is new, gone and edited, by record, newest first."""
    asked, mark, sentence, found = _asked(), here(), "", []
    try:
        found = news(asked.where, asked.model, asked.scope == "mine")
    except Broken as problem:
        sentence = problem.sentence
    kind = request.args.get("kind", "")
    counts = {word: sum(1 for one in found if one.kind == word) for word in ("new", "gone", "edited")}
    some = [one for one in found if one.kind == kind] if kind in counts else found
    text = request.args.get("page", "1")
    number = max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 5 else 1
    shown = some[(number - 1) * SIZE : number * SIZE]
    state = {"model": asked.name, "scope": asked.scope if asked.scope == "all" else "", "since": asked.day}
    words = {"new": _("New to me"), "gone": _("Gone"), "edited": _("Edited")}
    page = SimpleNamespace(
        url=URL, mark=mark, sentence=sentence, days=_days(shown), model=asked.name, scope=asked.scope, since=asked.day,
        since_text=_("Since %(when)s", when=f"{day_label(asked.since)} {local(asked.since).strftime('%H:%M')}"),
        remembered=not asked.day and looked(asked.name, asked.scope == "all") is not None,
        models=sorted(((table, model_label(one, many=True)) for table, one in asked.known.items()), key=lambda pair: pair[1]),
        total=ngettext("%(count)s record", "%(count)s records", len(found)), any=bool(found),
        kinds=[SimpleNamespace(name=word, label=words[word], count=count, current=word == kind,
                               url=address(URL, **state, kind="" if word == kind else word)) for word, count in counts.items()],
        today=local(now()).date().isoformat(),
        here=address(URL, **state), forget_url=address(URL, model=asked.name, scope=state["scope"]) if asked.day else "",
        previous_url=address(URL, **state, kind=kind, page=number - 1) if number > 1 else "",
        next_url=address(URL, **state, kind=kind, page=number + 1) if len(some) > number * SIZE else "",
    )  # fmt: skip
    return render_template("changes.html", page=page)


@news_pages.post(f"{URL}/seen")
def seen() -> Any:
    """Keep that what the page has shown is seen."""
    look(request.form.get("mark", ""), _kind(request.form.get("model", "")), request.form.get("scope") == "all")
    say(_("Marked as seen."))
    return redirect(safe_next(URL))


def _kind(name: str) -> str:
    if name and name not in {one.__tablename__ for one in news_kinds()}:
        raise Missing(_("There are no such records, or they are not open to you."))
    return name or ALL


def _days(found: list[Change]) -> list[SimpleNamespace]:
    """The entries by days, in words."""
    names = people(one.user_id for one in found)
    texts = _texts([each for one in found for each in (one, *one.lines)])
    told = []
    for one in found:
        entry = _entry(one, texts)
        entry.who = names.get(one.user_id or 0) or _("The system")
        entry.time, entry.full = local(one.at).strftime("%H:%M"), local(one.at).strftime("%Y-%m-%d %H:%M:%S")
        entry.moment, entry.lines = one.at.isoformat() + "Z", [_entry(each, texts) for each in one.lines]
        told.append((one.at, entry))
    return by_days(told)


def _texts(found: list[Change]) -> dict[int, list[dict[str, str]]]:
    """{id of a change: its fields in words}."""
    told: dict[int, list[dict[str, str]]] = {}
    for model in {one.model for one in found}:
        mine, fields = [one for one in found if one.model is model and one.changes], seen_fields(model)
        linked = linked_in(fields, [one.changes for one in mine])
        told |= {id(one): change_texts(model, one.changes, fields, linked) for one in mine}
    return told


def _entry(one: Change, texts: dict[int, list[dict[str, str]]]) -> SimpleNamespace:
    words = {"new": _("came to you") if one.there else _("new"), "edited": _("edited")}
    words["gone"] = _("not yours to see any more") if one.there else _("deleted")
    icons = {"new": "plus", "gone": "trash" if not one.there else "eye-off", "edited": "pencil"}
    return SimpleNamespace(
        kind=one.kind, word=words[one.kind], icon=icons[one.kind], title=one.title, label=model_label(one.model),
        url=record_url(one.model.__tablename__, one.record_id) if one.kind != "gone" else "", changes=texts.get(id(one), []),  # type: ignore[attr-defined]
    )  # fmt: skip


# -- over REST ------------------------------------------------------------------------------------------------------------


@news_pages.get("/api/v1/_changes")
def api_changes() -> Response:
    """The same: ``model``, ``scope``, ``since``, ``limit``; with the mark that `api_seen` takes."""
    from core.web.api import number_of, only_known

    only_known(("model", "scope", "since", "limit", "page"))
    limit, number = number_of("limit", SIZE, 500), number_of("page", 1, 10_000)
    asked, mark = _asked(), here()
    found = news(asked.where, asked.model, asked.scope == "mine")
    shown = found[(number - 1) * limit : number * limit]
    return jsonify(
        result=[{**_json(one), "lines": [_json(each) for each in one.lines]} for one in shown],
        count=len(found), since=asked.since.isoformat() + "Z", mark=mark, page=number,
    )  # fmt: skip


@news_pages.post("/api/v1/_changes/_seen")
def api_seen() -> Response:
    """Keep how far one has looked: ``{"mark": "…", "model": "…"}``."""
    from core.web.api import body_of_request

    limits = actor().limits
    if limits is not None and not limits.allow(KEY, "edit"):
        raise Refused(_("This key may only read."))
    body, _version = body_of_request()
    if not set(body) <= {"mark", "model", "scope"} or not all(isinstance(one, str) for one in body.values()) or "mark" not in body:
        raise Broken(_('Send {"mark": "…"} as it came with the changes, and “model” for one kind of record.'))
    if body.get("scope", "mine") not in ("mine", "all"):
        raise Broken(_("“scope” is mine or all."))
    look(body["mark"], _kind(body.get("model", "")), body.get("scope") == "all")
    return jsonify(seen=True)


def _json(one: Change) -> dict[str, Any]:
    return {
        "model": one.model.__tablename__, "record_id": one.record_id, "kind": one.kind, "title": one.title, "there": one.there,  # type: ignore[attr-defined]
        "at": one.at.isoformat() + "Z", "user": one.user_id, "changes": one.changes,
    }  # fmt: skip
