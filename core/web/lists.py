"""The list of one model: its page of rows, heads, facets and buttons, in a fixed number of statements."""

from __future__ import annotations

from datetime import date
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from core.asof_list import newest_row, read_day
from core.context import actor, local, now
from core.errors import Broken, Problem
from core.fields import Field
from core.filters import describe, filter_fields
from core.i18n import gettext as _
from core.i18n import listed, ngettext, t
from core.listing import Page
from core.model import model_label
from core.preferences import chosen_columns
from core.records import records
from core.rules import may
from core.settings import Setting
from core.sharing import shareable
from core.state import cached_by_generation
from core.web.facets import facets, filter_choices, named_in, read_filter, write_filter
from core.web.folding import drawn_once
from core.web.groups import choices, foot_of, foot_then, group_names, grouped_rows, summed
from core.web.rows import drawn, heads_of, rows_of
from core.web.views import View

PAGE = 50


def address(path: str, **parts: Any) -> str:
    """A list's address with its state: filter, search, order, place; what is empty stays away."""
    kept = {name: value for name, value in parts.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def list_page(view: View, query: dict[str, str]) -> SimpleNamespace:
    """Everything the list's template needs; ``query`` is the address's state."""
    model, path = view.model, f"/{view.model.__tablename__}/"
    gate = records(model)
    tree, words = read_filter(query.get("filter")), (query.get("q") or "").strip()[:200]
    known = filter_fields(model)
    order, note = query.get("order") or "", ""
    fields = view.column_fields(chosen_columns(model.__tablename__))
    day = read_day(query["as_of"]) if query.get("as_of") else None
    state = {"filter": write_filter(tree), "q": words, "order": order, "group": ",".join(group_names(query.get("group")))}
    state["as_of"] = day.isoformat() if day else ""
    grouped, told = None, ""
    if state["group"]:
        try:
            grouped = grouped_rows(model, group_names(state["group"]), fields, tree, words, path, state, day)
            found, note = Page([], count=grouped.count), grouped.note
        except Broken as problem:
            note, state["group"] = problem.sentence, ""
    if day is not None and grouped is None:
        try:
            found, order, refused = _found(gate, view, query, fields, tree, words, day=day)
            state["order"], note = order, note or refused
        except Broken as too_much:
            found, note, told = Page([], count=0), "", too_much.sentence
    elif grouped is None:
        found, order, refused = _found(gate, view, query, fields, tree, words)
        state["order"], note = order, note or refused
    many = model_label(model, many=True)
    page = SimpleNamespace(
        title=many,
        description=t(model.description) if model.description else "",
        url=path,
        **state,
        note=note,
        new_url=f"{path}new" if may_create(view) and not day else "",
        import_url=f"{path}_import" if may_import(view) and not day else "",
        bulk_url=f"{path}_bulk",
        columns_url=f"{path}_columns",
        may_share_columns=bool(may("edit", Setting)),
        export_url=address(f"{path}_export/ask", **state) if may("export", model) else "",
        export_action=f"{path}_export/ask",
        rows=found.rows,
        grouped=grouped,
        group_menu=drawn_once(
            "_group_menu.html",
            fields=_group_choices(model, tuple(view.fields()), actor().language),
            chosen=tuple(key.name for key in grouped.keys) if grouped else (),
        ),
        size=PAGE,
        ungrouped_url=address(path, **{**state, "group": ""}),
        foot=grouped.foot if grouped else None,
        heads=[_head(one, view, state, path) for one in fields],
        column_menu=drawn_once("_column_menu.html", columns=_all_columns(view, fields)),
        actions=[] if day else list_actions(view),
        search_hint=_search_hint(model, many),
        previous_url=address(path, **state, before=found.previous) if found.previous else "",
        next_url=address(path, **state, after=found.next) if found.next else "",
        first_url=address(path, **state) if query.get("after") or query.get("before") else "",
        clear_url=address(path, as_of=state["as_of"]),
        today=local(now()).date().isoformat(),
        today_url=address(path, **{**state, "as_of": ""}) if day else "",
        filter_fields=_filter_choices(model, tuple(known), actor().language) if not tree else _as_script(known, named_in(tree, known)),
        table=model.__tablename__,
    )
    # The past is read only: nothing is selected there.
    page.ticks = bool(page.actions or page.export_url) and not day
    page.then = then_words(grouped or found) if day and not told else ""
    page.drawn = drawn(model, fields, found.rows, page.ticks, (found, newest_row(day)) if day and found.rows else None)
    page.facets = facets(tree, known)
    for facet in page.facets:
        facet.remove_url = address(path, **{**state, "filter": facet.rest})
    _sums(page, found)
    if grouped is None and day is None and not found.capped and (found.count or 0) > 1:
        page.foot = foot_of(model, fields, tree, words)
    elif day is not None and grouped is None and (found.count or 0) > 1:
        page.foot = foot_then(model, fields, found)
    page.empty = _empty(page, model, tree, words, many)
    if told:
        page.empty = SimpleNamespace(icon="history-off", title=told, hint="", buttons=[(_("Back to today"), page.today_url, True)])
    return page


def then_words(found: Any) -> str:
    """What has to be said of a list of the past beside its rows."""
    if not found.unknown:
        return ""
    return ngettext(
        "%(count)s record of then is missing: what it was has been erased.",
        "%(count)s records of then are missing: what they were has been erased.",
        found.unknown,
    )


def _found(
    gate: Any, view: View, query: dict[str, str], fields: list[Field], tree: Any, words: str, count: bool = True,
    day: date | None = None,
) -> tuple[Page, str, str]:  # fmt: skip
    """(the page of records, the order it has, why it has not the one that was asked for)."""
    order = query.get("order") or ""
    marks = {"after": query.get("after") or None, "before": query.get("before") or None}
    question: dict[str, Any] = {"filter": tree, "search": words or None, "limit": PAGE, "count": count}
    question["columns"] = [one.name for one in fields]
    if day is not None and count:
        # Read back once for rows and sums.
        question["sums"] = [one.name for one in summed(view.model, fields)]
    find = partial(gate.find, day)
    try:
        return find(order=order or view.order or None, **question, **marks), order, ""
    except Broken as problem:
        if not order:
            raise
        # A sort order that this list can no longer have must not cost the list: say why, and show it in its own order.
        return find(order=view.order or None, **question), "", problem.sentence


def more_rows(view: View, query: dict[str, str]) -> SimpleNamespace:
    """Rows of an unfolded group, as a piece of the list: the next of those that the filter in the address lets through."""
    model, path = view.model, f"/{view.model.__tablename__}/_rows"
    tree, words = read_filter(query.get("filter")), (query.get("q") or "").strip()[:200]
    fields = view.column_fields(chosen_columns(model.__tablename__))
    day = read_day(query["as_of"]) if query.get("as_of") else None
    found, order, note = _found(records(model), view, query, fields, tree, words, count=False, day=day)
    state = {"filter": write_filter(tree), "q": words, "order": order, "as_of": day.isoformat() if day else ""}
    ticks = day is None and (bool(list_actions(view)) or bool(may("export", model)))
    return SimpleNamespace(
        drawn=drawn(model, fields, found.rows, ticks, (found, newest_row(day)) if day and found.rows else None),
        note=note,
        more_url=address(path, **state, after=found.next) if found.next else "",
        width=len(fields) + ticks,
    )


def may_create(view: View) -> bool:
    """May the acting person make a record of this model on a screen?"""
    return view.may_create and bool(may("create", view.model))


def may_import(view: View) -> bool:
    """May the acting person bring a whole list of this model in?"""
    return view.may_create and bool(may("import", view.model))


def list_actions(view: View) -> list[SimpleNamespace]:
    """The buttons of the bulk bar: a new value, sharing, the view's own, then deletion."""
    from core.web.bulk_jobs import EDIT, SHARE
    from core.web.bulk_pages import may_edit_many

    made = [SimpleNamespace(name=EDIT, label=_("Edit"), icon="pencil", danger=False)] if may_edit_many(view) else []
    if shareable(view.model) and may("bulk", view.model):
        made.append(SimpleNamespace(name=SHARE, label=_("Share"), icon="share", danger=False))
    made += [SimpleNamespace(name=one.name, label=t(one.label), icon=one.icon, danger=one.danger) for one in view.actions()]
    if view.may_delete and may("delete", view.model):
        made.append(SimpleNamespace(name="delete", label=_("Delete"), icon="trash", danger=True))
    return made


def _sums(page: SimpleNamespace, found: Any) -> None:
    total = found.total_text or str(found.count)
    page.total_text = total
    page.more_than_page = bool(found.next or found.previous or page.grouped)
    page.sum_text = ngettext(
        "%(shown)s of %(total)s record", "%(shown)s of %(total)s records", found.count or 0, shown=len(found.rows), total=total
    )
    if not page.more_than_page or page.grouped:
        page.sum_text = ngettext("%(total)s record", "%(total)s records", found.count or len(found.rows), total=total)
    page.select_all_text = _("Select all %(count)s", count=total)
    page.all_selected_text = _("all %(count)s selected", count=total)


def _head(one: Field, view: View, state: dict[str, str], path: str) -> SimpleNamespace:
    order = state["order"] or view.order
    sorted_here = order.lstrip("-") == one.name
    down = order.startswith("-")
    sortable = one.kind.name not in ("links", "choices", "json", "long", "file")
    turned = one.name if sorted_here and down else f"-{one.name}" if sorted_here else one.name
    return SimpleNamespace(
        label=t(view.heads[one.name]) if one.name in view.heads else one.title,
        num=one.kind.align == "end" and one.name not in view.heads,
        sorted=("descending" if down else "ascending") if sorted_here else None,
        sort_url=address(path, **{**state, "order": turned}) if sortable else "",
        wide=False,
        why_not="" if sortable else _("This column cannot be sorted."),
    )


def _all_columns(view: View, fields: list[Field]) -> tuple[tuple[str, str, bool], ...]:
    """(name, label, is it shown) of each column that there could be, those that are shown first."""
    shown = [one.name for one in fields]
    known = view.fields()
    ordered = [*(name for name in shown if name in known), *(name for name in known if name not in shown)]
    return tuple(
        (name, known[name].title, name in shown)
        for name in ordered
        if known[name].kind.name not in ("long", "json", "file") and name != view.model.title_field
    )


@cached_by_generation
def _group_choices(model: type, seen: tuple[str, ...], _language: str) -> tuple[Any, ...]:
    return choices(model, seen)


@cached_by_generation
def _filter_choices(model: type, _seen: tuple[str, ...], _language: str) -> Markup:
    """What the filter panel knows, for everybody who sees these fields in this language, as the acting person does."""
    return _as_script(filter_fields(model), {})


def _as_script(known: dict[str, Field], named: dict[str, dict[int, str]]) -> Markup:
    return htmlsafe_json_dumps(filter_choices(known, named))


def _search_hint(model: type, many: str) -> str:
    names = [one.title for one in model.__fields__.values() if one.search][:3]  # type: ignore[attr-defined]
    return listed(names) if names else _("Search in %(title)s", title=many)


def _empty(page: SimpleNamespace, model: type, tree: Any, words: str, many: str) -> SimpleNamespace:
    buttons: list[tuple[str, str, bool]] = []
    if tree or words:
        for facet in page.facets[:2] if len(page.facets) > 1 or words else []:
            buttons.append((_("Take away “%(label)s”", label=facet.label), facet.remove_url, False))
        buttons.append((_("Show all"), page.clear_url, not page.as_of))
        asked = [*(tree["and"] if tree and set(tree) == {"and"} else [tree] if tree else []), *([{"search": words}] if words else [])]
        conditions = describe({"and": asked}, model)
        title, hint = _("Nothing here fits: %(conditions)s", conditions=conditions), _("Take a condition away, or write it differently.")
        if page.as_of:
            title = _("On %(day)s nothing fitted: %(conditions)s", day=page.as_of, conditions=conditions)
            hint = _("Take a condition away, or choose another day.")
            buttons.append((_("Back to today"), page.today_url, True))
        return SimpleNamespace(icon="filter-search", title=title, hint=hint, buttons=buttons)
    if page.as_of:
        title = _("On %(day)s there were no %(many)s yet", day=page.as_of, many=many)
        if page.then:
            title = _("No %(many)s of %(day)s can be shown", day=page.as_of, many=many)
        hint = _("This is what you may see of that day. Choose a later one, or go back to today.")
        return SimpleNamespace(icon="history-off", title=title, hint=hint, buttons=[(_("Back to today"), page.today_url, True)])
    if page.import_url:
        buttons.append((_("Import a list"), page.import_url, False))
    if page.new_url:
        buttons.append((_("New"), page.new_url, True))
    return SimpleNamespace(icon="inbox", title=_("No %(many)s so far", many=many), hint=page.description, buttons=buttons)


def related_page(view: View, link: Field, record_id: int, limit: int = 10) -> SimpleNamespace:
    """The first records of a related list, with their number."""
    model = view.model
    tree = {"field": link.name, "op": "is", "value": record_id}
    fields = [one for one in view.column_fields() if one.name != link.name][:6]
    found = records(model).find(filter=tree, order=view.order or None, limit=limit, columns=[one.name for one in fields])
    more = address(f"/{model.__tablename__}/", filter=write_filter(tree)) if found.next else ""
    return SimpleNamespace(
        rows=rows_of(model, fields, found.rows), heads=heads_of(fields), total_text=found.total_text or str(found.count), more_url=more
    )


def sentence_of(problem: Problem) -> str:
    """What a problem says, for a toast."""
    return problem.sentence
