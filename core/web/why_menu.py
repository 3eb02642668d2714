"""“Why?” of the menu: why does somebody have this page in his menu, or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import render_template, request

from core.errors import Missing
from core.explain import Explanation, beside, explain, explain_level
from core.i18n import gettext as _
from core.model import model_label, models
from core.people import MortiseUser
from core.titles import titles
from core.verdicts import Fact
from core.web.menu import in_menu, settings_groups
from core.web.why import asked_about, may_know, people_to_ask, told, why_pages


@why_pages.get("/why-page")
def why_page() -> str:
    """Why may, or may not, a person open a page of the menu?"""
    return render_template("why_page.html", page=_page(request.args.to_dict()))


def answer(path: str, person: int) -> dict[str, Any]:
    """allowed, chains and steps as of any “Why?”, of one of `_pages`."""
    asked = SimpleNamespace(model=models().get(path.strip("/")), knows=may_know())
    if asked.model is None:
        return told(asked, explain_level(person))
    found = explain(person, "read", asked.model)
    if asked.model.addon == "core":
        # Lists of core stand under the settings, which are for administrators.
        level = explain_level(person)
        if not level.allowed:
            denials = tuple(step for step in found.steps if all(fact.kind == "denial" for fact in step))
            found = Explanation(False, level.chains, (*level.steps, *denials))
    elif not in_menu(asked.model):
        found = beside(Fact("no_menu"), Explanation(False, (), ()))
    return told(asked, found)


def _pages() -> dict[str, str]:
    """The title of each page that may be asked about, by its address: lists of addons, and what stands under the settings."""
    found = {f"/{table}/": model_label(model, many=True) for table, model in models().items() if model.addon != "core"}
    found["/settings/"] = _("Settings")
    for group in settings_groups("", whoever=True):
        found.update((one.url, one.title) for one in group.entries if one.url not in found)
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _page(words: dict[str, str]) -> SimpleNamespace:
    person, pages, wanted = asked_about(words), _pages(), words.get("page") or "/settings/"
    # What lies below a page of the settings is asked about by that page.
    path = max((url for url in pages if wanted == url or wanted.startswith(f"{url.rstrip('/')}/")), key=len, default="")
    if not path:
        raise Missing(_("No menu has the page “%(path)s”.", path=wanted[:100]))
    found, whose = answer(path, person), {"person": titles(MortiseUser, [person]).get(person, f"#{person}"), "page": pages[path]}
    return SimpleNamespace(
        **found, title=_("Why?"), knows=may_know(), people=people_to_ask() if may_know() else [], person=person, pages=pages.items(),
        path=path, sentence=_("The menu of “%(person)s” has: %(page)s", **whose)
        if found["allowed"]
        else _("The menu of “%(person)s” does not have: %(page)s", **whose),
    )  # fmt: skip
