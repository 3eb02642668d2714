"""The frame around every page: who is here, in which language and colours, the modules, and what passing messages wait."""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, flash, g, get_flashed_messages, render_template, request, session, url_for
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup, escape
from werkzeug.security import safe_join

from core.context import actor
from core.db import db
from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.settings import setting
from core.web.folding import drawn_once, foldable
from core.web.once import once_input

STATIC = Path(__file__).parent / "static"


class Shell:
    """What the templates call ``shell``; every part is worked out when a page first asks for it."""

    start_url = "/"
    settings_url = "/settings/"
    addons_url = "/settings/addons"
    account_url = "/account"
    preference_url = "/account/preferences"
    new_url = "/new"
    languages = list(LANGUAGES.items())

    @property
    def sign_out_url(self) -> str:
        """Where signing out is posted to."""
        return url_for("signin.logout")

    @cached_property
    def here(self) -> str:
        """The open page, to come back to."""
        return request.full_path.rstrip("?")

    @property
    def language(self) -> str:
        """The acting person's language."""
        return actor().language

    @property
    def html_lang(self) -> str:
        """The language as HTML writes it; decides which form of a Han character is drawn."""
        return actor().language.replace("_", "-")

    @cached_property
    def theme(self) -> str:
        """light, dark, or auto: as the system has it."""
        wanted = actor().memo.get("theme") or session.get("theme")
        return wanted if wanted in ("light", "dark") else "auto"

    @property
    def themes(self) -> list[tuple[str, str, str]]:
        """The choices of colours: value, label, icon."""
        return [("auto", _("As the system"), "device-desktop"), ("light", _("Light"), "sun"), ("dark", _("Dark"), "moon")]

    @cached_property
    def density(self) -> str:
        """comfortable or compact."""
        return "compact" if (actor().memo.get("preferences") or {}).get("density") == "compact" else "comfortable"

    @cached_property
    def firm(self) -> str:
        """The firm's name; nothing when the database cannot be asked."""
        try:
            return str(setting("firm.name"))
        except Exception:  # an error page must be drawn without the database too
            return ""

    @property
    def person(self) -> SimpleNamespace:
        """Who is signed in."""
        who = actor()
        picture = getattr(g.get("user"), "picture", None)
        return SimpleNamespace(name=who.name or who.login, login=who.login, id=who.user_id, picture=picture)

    @cached_property
    def modules(self) -> list[Any]:
        """The modules of the person."""
        from core.web.menu import modules

        return modules(request.path)

    @cached_property
    def settings(self) -> Any:
        """The settings module, for those who may set something."""
        from core.web.menu import settings_module

        return settings_module(request.path)

    @property
    def everything(self) -> list[Any]:
        """All modules, the settings last: what launcher and start page show."""
        return [*self.modules, *([self.settings] if self.settings else [])]

    @property
    def launch(self) -> Markup:
        """All modules with their pages, drawn."""
        shown = (
            (one.title, one.icon, one.colour, tuple((e.title, e.url, e.icon, e.colour, e.hint, e.words) for e in one.entries))
            for one in self.everything
        )
        return drawn_once("_launch.html", modules=tuple(shown))

    @property
    def rail(self) -> list[Any]:
        """The modules that fit on the rail."""
        from core.web.menu import ON_THE_RAIL

        return self.modules[:ON_THE_RAIL]

    @cached_property
    def module(self) -> Any:
        """The module of the open page."""
        found = next((one for one in self.modules if one.current), None)
        return found or (self.settings if self.settings and (self.settings.current or request.path.startswith("/settings")) else None)

    @property
    def phone_module(self) -> Any:
        """The module in the bottom bar of a phone: the open one, else the first."""
        open_one = self.module if self.module is not self.settings else None
        return open_one or (self.modules[0] if self.modules else None)

    @property
    def at_start(self) -> bool:
        """Is the start page open?"""
        return request.path == "/"

    @property
    def may_create(self) -> bool:
        """Is there anything this person may make?"""
        return any(entry.new_url for module in self.modules for entry in module.entries)

    @cached_property
    def asleep(self) -> int:
        """How many addons sleep."""
        from core.addons import asleep

        return len(asleep())

    @cached_property
    def unread(self) -> int:
        """How many unread notifications the person has that he may know of; asks only when there may be some."""
        from core.notification_list import unread_count

        about = getattr(g.get("user"), "unread", None)
        return unread_count(about) if about is not None else 0

    @property
    def viewing_as(self) -> str:
        """As whom an administrator views the house now; nothing when he is himself."""
        return (actor().name or actor().login) if "viewer" in g else ""

    @cached_property
    def banners(self) -> list[str]:
        """What an administrator must know on every page: addons that are broken."""
        from core.addons import broken
        from core.web.menu import is_administrator

        found = broken()
        if not found or not is_administrator():
            return []
        return [
            _("The addon “%(name)s” is broken and sleeps, with all that need it: %(why)s", name=name, why=why)
            for name, why in found.items()
        ]

    @cached_property
    def toasts(self) -> list[Any]:
        """Messages of what has just been done."""
        return [
            SimpleNamespace(**{"icon": "check", "undo": "", "sticky": False, "link": (), **one})
            for one in get_flashed_messages()
            if isinstance(one, dict)
        ]


def say(text: str, *, undo: bool = False, icon: str = "check", sticky: bool = False, link: tuple[str, str] | None = None) -> None:
    """Tell the person something on the next page; with ``undo`` the way back stands beside it, with ``link`` (address, words) a way on."""
    # The batch exists only after what it did was written.
    db.session.flush()
    number = actor().memo.get("batch_id") if undo else None
    flash({"text": str(text), "icon": icon, "undo": f"/undo/{number}" if number else "", "sticky": sticky, "link": link or ()})  # type: ignore[arg-type]


def say_queued(job_id: int, text: str = "") -> None:
    """Tell the person that a job of his works on it, with the way to where he sees how far it is."""
    say(text or _("This goes on in the background."), icon="progress", link=(f"/jobs/#job-{job_id}", _("See how far it is")))


def drawn(template: str, page: Any, problem: int = 0) -> tuple[str, int]:
    """A page, or with the status ``problem`` the page that says why nothing was written.

    In that case the writing transaction ends before the page is drawn, so that nobody waits for a template.
    """
    if problem:
        db.remove()
        db.read_only()
    return render_template(template, page=page), problem or 200


def safe_next(default: str, name: str = "next") -> str:
    """The page of ours that the form wants to go back to, else ``default``; never another site."""
    wanted = request.form.get(name, "")
    parts = urlsplit(wanted)
    plain = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return wanted if plain and "\\" not in wanted and all(ord(one) >= 32 for one in wanted) else default


@lru_cache(maxsize=256)
def stamp(path: str) -> str:
    """A mark that changes with the content of a static file; nothing when there is no such file."""
    place = safe_join(str(STATIC), path)
    return hashlib.sha256(Path(place).read_bytes()).hexdigest()[:10] if place and Path(place).is_file() else ""


@foldable
def asset(path: str) -> str:
    """Address of a static file that changes with its content, so that browsers may keep it."""
    found = stamp(path)
    return f"/static/{quote(path)}" + (f"?v={found}" if found else "")


@foldable
def icon(name: str, extra: str = "") -> Markup:
    """A drawing of the icon font, which readers of the screen pass over."""
    names = f"{name} {extra}" if extra else name
    return Markup(f'<i class="ti ti-{escape(names)}" aria-hidden="true"></i>')  # noqa: S704


def csrf_input() -> Markup:
    """The form's own word, which no other site knows, and the page's, by which a form that is posted twice has one effect."""
    return Markup(f'<input type="hidden" name="csrf_token" value="{escape(generate_csrf())}">') + once_input()  # noqa: S704


def _shell() -> Shell:
    if "_shell" not in g:
        g._shell = Shell()
    return g._shell


def register(app: Flask) -> None:
    """Give every template its frame, its words and its static files, and the app its screens."""
    from core.web import core_views, why_menu  # noqa: F401 - views of people, roles and rights; a further page of “Why?”
    from core.web.account_pages import account_pages
    from core.web.again import again
    from core.web.backup_pages import backup_pages
    from core.web.bulk_pages import bulk_pages
    from core.web.export_pages import exports
    from core.web.factor_pages import factor_pages
    from core.web.find_page import find_page
    from core.web.import_pages import imports
    from core.web.job_pages import job_pages
    from core.web.key_pages import key_pages
    from core.web.lock_pages import lock_pages
    from core.web.mail_pages import mail_pages
    from core.web.news_pages import news_pages
    from core.web.notification_pages import notification_pages
    from core.web.pages import pages
    from core.web.past_pages import past_pages
    from core.web.people_pages import people_pages
    from core.web.request_pages import request_pages
    from core.web.right_pages import right_pages
    from core.web.screens import screens
    from core.web.settings_pages import settings_pages
    from core.web.share_pages import share_pages
    from core.web.trash_pages import trash_pages
    from core.web.view_as import view_as
    from core.web.why import why_pages

    app.context_processor(lambda: {"shell": _shell()})
    app.jinja_env.globals.update(asset=asset, icon=icon, csrf_input=csrf_input)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    of_rights = (share_pages, right_pages, why_pages, view_as)
    of_files = (job_pages, exports, imports, backup_pages)
    of_records = (bulk_pages, past_pages, trash_pages, screens)
    of_accounts = (again, people_pages, account_pages, key_pages, factor_pages, lock_pages, mail_pages, request_pages)
    for blueprint in (pages, *of_accounts, find_page, notification_pages, news_pages, settings_pages, *of_files, *of_rights, *of_records):
        app.register_blueprint(blueprint)
