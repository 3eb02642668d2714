"""How people, departments, posts, roles and rights look: ordinary views of core's own models."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from flask import render_template
from sqlalchemy import select

from core.account_requests import AccountRequest
from core.accounts import set_password
from core.context import actor, system
from core.custom import CustomField, FieldSetting
from core.db import db
from core.errors import Refused
from core.first import new_password
from core.i18n import gettext as _
from core.i18n import ngettext
from core.lockouts import locks
from core.mail import Mail
from core.mail_jobs import cancel_mail, send_now, shown_text
from core.mail_settings import must_be_set_up
from core.mail_settings import problem as mail_problem
from core.options import Dictionary, Option
from core.people import Department, FieldRight, PersonalRight, Post, RoleRight, RoleRow, Team, User
from core.right_tests import RightTest, counter_of, sentence, told
from core.rules import may, rights, roles_of_code
from core.second_factor import has_factor
from core.secret_links import send_link
from core.web import role_rights
from core.web.account_pages import entries_of, outranks, sessions_of
from core.web.key_pages import lines_of
from core.web.lock_pages import lines as lock_lines
from core.web.view_as import may_view_as
from core.web.views import View, action
from core.web.why import may_know


class UserView(View, model=User):
    columns = "name username email level active last_login"
    form = {
        _("Personal details"): "name username email phone picture",
        _("Work"): "level superior role_rows hired_on left_on active",
        _("Preferences"): "language zone theme",
    }
    panels = [Post, PersonalRight]
    order = "name"
    may_delete = False
    icon, colour = "user", "plum"

    def notes(self, record: Any) -> list[Any]:
        """The way to all that this person may do."""
        if not may_know():
            return []
        leave_url = f"/ab_user/{record.id}/_leave" if may("edit", record, "active") and outranks(record) else ""
        views = record.active and record.id != actor().user_id and may_view_as(rights().level, record.level)
        entered = {"entries": entries_of(record.id, 5), "places": sessions_of(record.id), "keys": lines_of(record.id)}
        entered |= {"locks": lock_lines(locks(record.id)), "has_factor": has_factor(record.id), "may_remove": outranks(record)}
        return [
            SimpleNamespace(
                title=_("Effective rights"),
                html=render_template("_person_rights.html", person=record, views=views, leave_url=leave_url),
            ),
            SimpleNamespace(title=_("Sign-ins"), html=render_template("_person_entries.html", person=record, **entered)),
            *self._by_mail(record),
        ]

    def _by_mail(self, record: Any) -> list[Any]:
        """Buttons that mail a link; where none can be sent they say why."""
        if not record.active or not may("edit", record, "active") or not outranks(record):
            return []
        why = mail_problem() or ("" if record.email else _("This person has no e-mail address."))
        return [SimpleNamespace(title=_("Password by mail"), html=render_template("_person_link.html", person=record, why=why))]

    # On the page of one person the panel “Password by mail” says more than a button could.
    @action(
        _("Invite by mail"),
        icon="mail-forward",
        confirm=_("Send these people a link with which they choose their password?"),
        on_page=False,
    )
    def invite(self, people: list[Any]) -> str:
        """A link for everybody chosen, to choose a password by himself."""
        must_be_set_up()
        for person in people:
            if not (verdict := may("edit", person, "active")) or not outranks(person):
                raise Refused(_("You may change people of a lower level only."), verdict)
            send_link(person, "invite")
        return ngettext("%(count)s invitation is on its way.", "%(count)s invitations are on their way.", len(people))

    @action(
        _("New password"),
        icon="key",
        confirm=_("Give these people a new password? They are signed out everywhere and must choose their own at the next sign-in."),
    )
    def give_password(self, people: list[Any]) -> str:
        """A password for the first sign-in, shown once to the administrator who gives it."""
        told = []
        for person in people:
            if not (verdict := may("edit", person, "active")):
                raise Refused(_("You may not change this person."), verdict)
            made = new_password()
            set_password(person, made, must_change=True)
            told.append(f"{person.username}: {made}")
        return _("Write this down, it is shown once only: %(passwords)s", passwords=", ".join(told))

    give_password.sticky = True  # type: ignore[attr-defined]


class DepartmentView(View, model=Department):
    columns = "name parent head"
    panels = [Post, Department]
    order = "name"
    icon, colour = "sitemap", "teal"


class PostView(View, model=Post):
    columns = "user department title is_primary"
    icon, colour = "id-badge-2", "clay"
    in_menu = True


class TeamView(View, model=Team):
    columns = "name members"
    order = "name"
    icon, colour = "users-group", "olive"


class RoleView(View, model=RoleRow):
    columns = "name note"
    form = {_("Role"): "name note second_factor"}
    panels = []
    order = "name"
    icon, colour = "shield", "indigo"

    def fixed(self, record: Any) -> dict[str, str]:
        """Code finds its roles by their names."""
        if record.name not in roles_of_code():
            return {}
        return {"name": _("“%(name)s” belongs to an addon and keeps its name; make a new role instead.", name=str(record))}

    def notes(self, record: Any) -> list[Any]:
        """The way to all that the role may do, whoever said so: rights given by addons stand in no table."""
        found = role_rights.panel(record)
        return [found] if found else []


class RightView(View):
    """Rights are chosen from what there is, and read in words."""

    several = {"scopes": "none"}

    def options(self, name: str) -> list[tuple[str, str]] | None:
        """Kinds of record, verbs, scopes and fields by their labels."""
        offers = {
            "model": role_rights.model_options, "verb": role_rights.verb_options, "scopes": role_rights.scope_options,
            "field_name": role_rights.field_options,
        }  # fmt: skip
        return offers[name]() if name in offers else None


class RoleRightView(RightView, model=RoleRight):
    columns = "role model verb scopes shared"
    icon, colour = "shield-check", "indigo"


class FieldRightView(RightView, model=FieldRight):
    columns = "role model field_name access"
    icon, colour = "shield-lock", "indigo"


class PersonalRightView(RightView, model=PersonalRight):
    columns = "user model verb denied scopes until"
    icon, colour = "user-shield", "rose"


class RightTestView(RightView, model=RightTest):
    columns = "holds role of_department verb model looked_at"
    heads = {"id": _("The sentence")}
    form = {
        _("Who"): "role of_department",
        _("What"): "expected verb model rows row_department",
        _("More"): "note holds looked_at",
    }
    icon, colour = "shield-half", "teal"

    def called(self, found: Sequence[Any]) -> dict[int, str]:
        """A test is called by its sentence; a number would say nothing."""
        rows = db.session.execute(select(RightTest).where(RightTest.id.in_([one.id for one in found]))).scalars()
        return {one.id: sentence(one) if one.holds else _("%(sentence)s (does not hold)", sentence=sentence(one)) for one in rows}

    def notes(self, record: Any) -> list[Any]:
        """The sentence, whether it holds at this moment, and what shows that it does not."""
        with system("a permission test is asked"):
            counter = counter_of(record)
        facts = {"said": sentence(record), "counter": told(counter, record.verb, record.expected == "never") if counter else "", "url": ""}
        if counter is not None and counter.user_id is not None:
            facts["url"] = f"/{counter.model.__tablename__}/{counter.record_id}/_why?person={counter.user_id}&verb={record.verb}"
        return [SimpleNamespace(title=_("The sentence"), html=render_template("_right_test.html", **facts))]


class DictionaryView(View, model=Dictionary):
    columns = "title key addon_name"
    panels = [Option]
    order = "title"
    icon, colour = "list-details", "olive"


class OptionView(View, model=Option):
    columns = "title dictionary key colour position retired"
    icon, colour = "tag", "olive"


class CustomFieldView(View, model=CustomField):
    columns = "title model name kind required"
    icon, colour = "forms", "clay"


class FieldSettingView(View, model=FieldSetting):
    columns = "field_name model title required hidden"
    icon, colour = "forms", "clay"


class MailView(View, model=Mail):
    columns = "subject state recipient tries trouble next_at created_at"
    form = {
        _("Mail"): "subject state person recipient sent_at",
        _("Sending"): "tries trouble answer next_at message_id",
    }
    order = "-created_at"
    may_create = may_edit = may_delete = False
    icon, colour = "mail", "plum"

    def withheld(self, name: str, record: Any) -> str:
        """What was sent is over."""
        if name == "stop":
            return "" if record.state == "waiting" else _("This mail does not wait any more.")
        return _("This mail was sent already.") if record.state == "sent" else ""

    def notes(self, record: Any) -> list[Any]:
        """The text, to its reader and its writer only."""
        text = shown_text(record)
        return [SimpleNamespace(title=_("Text"), html=render_template("_mail_text.html", text=text))]

    @action(_("Send now"), icon="send")
    def again(self, mails: list[Any]) -> str:
        """Try once more, at once."""
        must_be_set_up()
        for one in mails:
            send_now(one)
        return ngettext("%(count)s mail is tried now.", "%(count)s mails are tried now.", len(mails))

    @action(_("Cancel sending"), icon="x", confirm=_("Do not send these mails?"), danger=True)
    def stop(self, mails: list[Any]) -> str:
        """Never send what still waits."""
        for one in mails:
            cancel_mail(one)
        return ngettext("%(count)s mail is cancelled.", "%(count)s mails are cancelled.", len(mails))


class AccountRequestView(View, model=AccountRequest):
    columns = "id person wish state created_at answered_by answered_at"
    order = "-id"
    may_create = may_edit = may_delete = False
    icon, colour = "user-question", "amber"
