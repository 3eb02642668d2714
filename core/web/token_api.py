"""Signing in over REST: a name and a password for tokens."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify, request
from flask_appbuilder.api import expose
from flask_appbuilder.security.api import SecurityApi
from flask_jwt_extended import create_access_token, create_refresh_token, jwt_required

from core import accounts
from core.accounts import Person
from core.errors import Invalid, Problem, Refused
from core.i18n import gettext as _
from core.web.api import body_of_request
from core.web.security import Unauthorized
from core.web.signin import note_entry


class TooMany(Problem):
    """Too many failed sign-ins."""

    status, code = 429, "too_many_tries"


class CodeNeeded(Unauthorized):
    """The password was right, and a code is needed, too."""

    code = "second_factor_needed"


class SignInApi(SecurityApi):
    """FAB's addresses for tokens, with our pause after failed tries."""

    csrf_exempt = False

    @expose("/login", methods=["POST"])
    def login(self) -> Response:
        """Get an access token, and a refresh token on wish.
        ---
        post:
          summary: Sign in
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  type: object
                  required: [username, password]
                  properties:
                    username: {type: string}
                    password: {type: string, format: password}
                    code: {type: string, description: "Of accounts with a second factor: the code of now, or a recovery code"}
                    provider: {type: string, enum: [db]}
                    refresh: {type: boolean, description: Ask for a refresh token too}
          responses:
            200:
              description: The tokens
              content:
                application/json:
                  schema:
                    type: object
                    properties:
                      access_token: {type: string}
                      refresh_token: {type: string}
            400: {$ref: '#/components/responses/400'}
            401: {$ref: '#/components/responses/401'}
            403: {$ref: '#/components/responses/403'}
            415: {$ref: '#/components/responses/415'}
            422: {$ref: '#/components/responses/422'}
            429: {$ref: '#/components/responses/429'}
        """
        body, _version = body_of_request()
        name, password = body.get("username"), body.get("password")
        given = {"username": name, "password": password}
        wrong = {key: _("Please give text.") for key, value in given.items() if not isinstance(value, str) or not value}
        if body.get("provider", "db") != "db":
            wrong["provider"] = _("Only “db” is possible here.")
        if not isinstance(body.get("refresh", False), bool):
            wrong["refresh"] = _("Please answer yes or no.")
        if wrong:
            raise Invalid(wrong)
        tried = accounts.sign_in(str(name), str(password), g.limits["tries"], agent=request.user_agent.string)
        if tried.wait_seconds:
            raise TooMany(tried.sentence, wait_seconds=tried.wait_seconds)
        if tried.person is None:
            raise Unauthorized(tried.sentence)
        if tried.person.has_factor:
            self._second_step(tried.person, body.get("code"))
        if tried.person.must_change_password:
            raise Refused(_("The password of this account was given by somebody else. Sign in on the screen and choose your own first."))
        if tried.person.needs_factor:
            raise Refused(_("This account must have a second factor. Sign in on the screen and set one up first."))
        g.user = tried.person
        note_entry(tried.person)
        answer = {"access_token": create_access_token(identity=str(tried.person.id), fresh=True)}
        if body.get("refresh"):
            answer["refresh_token"] = create_refresh_token(identity=str(tried.person.id))
        return jsonify(answer)

    @staticmethod
    def _second_step(person: Person, code: Any) -> None:
        if code is None:
            raise CodeNeeded(_("This account has a second factor: send the code of now as “code”, too."))
        if not isinstance(code, str):
            raise Invalid({"code": _("Please give text.")})
        tried = accounts.second_step(person, code[:40], g.limits["tries"], agent=request.user_agent.string)
        if tried.wait_seconds:
            raise TooMany(tried.sentence, wait_seconds=tried.wait_seconds)
        if tried.person is None:
            raise CodeNeeded(tried.sentence)

    @expose("/refresh", methods=["POST"])
    @jwt_required(refresh=True)
    def refresh(self) -> Response:
        """A new access token for a refresh token.
        ---
        post:
          summary: Renew the access token
          responses:
            200:
              description: The token
              content:
                application/json:
                  schema:
                    type: object
                    properties:
                      access_token: {type: string}
            401: {$ref: '#/components/responses/401'}
          security:
            - jwt_refresh: []
        """
        return jsonify(access_token=create_access_token(identity=str(g.user.id), fresh=False))
