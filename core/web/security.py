"""Flask-AppBuilder under our roof: its users, tokens and REST classes, none of its pages, and rights from our rule engine."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, g
from flask_appbuilder import AppBuilder
from flask_appbuilder.security.sqla.manager import SecurityManager as FabSecurity
from flask_jwt_extended import JWTManager
from flask_login import AnonymousUserMixin, LoginManager

from core.accounts import Person, person_by_id
from core.context import actor
from core.errors import Problem
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.model import models
from core.people import RoleRow, User
from core.rules import may

VERBS = {
    "can_get": "read", "can_get_list": "read", "can_info": "read", "can_export": "read", "can_post": "create", "can_put": "edit",
    "can_delete": "delete",
}  # fmt: skip


class House(AppBuilder):
    """Flask-AppBuilder without its pages, menu, scripts and styles."""

    def _add_global_static(self) -> None:
        pass

    def _add_global_filters(self) -> None:
        pass

    def _add_admin_views(self) -> None:
        pass

    def _add_menu_permissions(self) -> None:
        pass

    def _view_exists(self, view: Any) -> bool:
        # FAB compares with every view it has; our resources are made one for each model, and quadratic work adds up.
        return False

    def _process_inner_views(self) -> None:
        pass

    def _add_permission(self, baseview: Any, update_perms: bool = False) -> None:
        pass

    def add_limits(self, baseview: Any) -> None:
        pass


class Unauthorized(Problem):
    """Nobody is signed in, or the token is no longer good."""

    status, code = 401, "not_signed_in"


class Security(FabSecurity):
    """FAB's security manager; who may do what is asked of `core.rules`, and tokens end with the password they were got by."""

    user_model = User
    role_model = RoleRow

    def create_login_manager(self, app: Flask) -> LoginManager:
        """Flask-Login only carries the person whom the gate has found; it keeps no cookie of its own."""
        manager = LoginManager()
        manager.user_loader(self.load_user)
        app.login_manager = manager  # type: ignore[attr-defined]
        return manager

    def create_limiter(self, app: Flask) -> None:
        """No limiter: failed sign-ins are counted in the database, for all processes (`core.accounts`)."""

    def create_jwt_manager(self, app: Flask) -> JWTManager:
        """Tokens, with our answers when one is missing or no longer good."""
        manager = super().create_jwt_manager(app)
        manager.additional_claims_loader(lambda identity: {"stamp": _stamp(identity)})
        for answer in (manager.unauthorized_loader, manager.invalid_token_loader):
            answer(lambda _why: _refuse(_("Please sign in: this address needs an access token.")))
        for expired in (manager.expired_token_loader, manager.user_lookup_error_loader, manager.revoked_token_loader):
            expired(lambda _header, _data: _refuse(_("This token is no longer good; please sign in again.")))
        return manager

    def load_user(self, pk: Any) -> Person | None:
        """The person with this id, if the account is open."""
        text = str(pk)
        return person_by_id(int(text)) if text.isdigit() and len(text) < 11 and int(text) <= LARGEST_ID else None

    def load_user_jwt(self, _jwt_header: dict[str, Any], jwt_data: dict[str, Any]) -> Person | None:
        """The person of a token; None when the password has changed since it was given."""
        person = self.load_user(jwt_data["sub"])
        if person is None or jwt_data.get("stamp") != person.stamp:
            return None
        g.user = person
        return person

    @staticmethod
    def before_request() -> None:
        """Nothing: the gate sets ``g.user`` when it knows who it is."""

    def has_access(self, permission_name: str, view_name: str) -> bool:
        """FAB's question, answered by our rules: ``can_get`` on the resource of a table."""
        model = models().get(view_name)
        verb = VERBS.get(permission_name)
        if model is not None and verb is not None:
            return bool(may(verb, model))
        # What belongs to no model (the description of the API, the refresh of a token) is for everybody who is signed in.
        return actor().user_id is not None and view_name in ("OpenApiDescription", "SignInApi")

    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        """Nothing is public."""
        return False

    def get_user_menu_access(self, menu_names: list[str] | None = None) -> set[str]:
        """FAB's menu is not used."""
        return set()


def _stamp(identity: str) -> str:
    person = g.get("user")
    if person is None or person.id != int(identity):
        person = person_by_id(int(identity))
    return person.stamp if person else ""


def _refuse(sentence: str) -> Any:
    from core.web.errors import answer

    return answer(Unauthorized(sentence))


def nobody() -> Any:
    """What stands for the user while nobody is signed in."""
    return AnonymousUserMixin()


FAB_SETTINGS: dict[str, Any] = {
    "APP_NAME": "Mortise",
    "FAB_UPDATE_PERMS": False,
    "FAB_ADD_SECURITY_VIEWS": False,
    "FAB_ADD_SECURITY_API": False,
    "FAB_ADD_OPENAPI_VIEWS": False,
    "FAB_CREATE_DB": False,
    "FAB_SECURITY_SIGNALS_ENABLED": False,
    "FAB_API_KEY_ENABLED": False,
    "AUTH_USER_REGISTRATION": False,
    "RATELIMIT_ENABLED": False,
    "JWT_TOKEN_LOCATION": ["headers"],
}


def build(app: Flask, session: Any) -> House:
    """Put Flask-AppBuilder into ``app``; call it inside an application context."""
    house = House(security_manager_class=Security, update_perms=False)
    house.init_app(app, session)
    # FAB's own chooser writes the language into each visitor's session.
    current_app.extensions["babel"].locale_selector = lambda: actor().language
    return house


