"""The application: read `create_app` from top to bottom to know what happens when Mortise starts."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask, send_from_directory
from werkzeug.middleware.proxy_fix import ProxyFix

import core.tables  # noqa: F401 - all of core's tables are known from here on
from core import i18n
from core.addons import broken, load_all
from core.config import Config, load, secret_key
from core.db import db
from core.logs import log, start_logging
from core.web import api, errors, file_routes, gate, health, link_pages, sessions, signin
from core.web.security import FAB_SETTINGS, build

WEB = Path(__file__).parent / "web"


def create_app(config: Config | None = None, *, check_schema: bool = True, **overrides: Any) -> Flask:
    """The application with its database, its addons and all its doors.

    ``overrides`` are settings by name (``port=8080``); only tests make tables without migrations.
    An empty database is no mistake here: pages say what to do until it is migrated.
    Raises `Misconfigured` when a setting is wrong and, with the setting ``strict``, `Misbuilt` when an addon is broken.
    """
    # 1. Settings, log, folder.
    config = config or load(**overrides)
    start_logging(config.log_level, config.log_format)
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)

    # 2. The web application with its own templates and files.
    app = gate.Mortise("mortise", root_path=str(WEB), static_folder="static", static_url_path="/static", template_folder="templates")
    app.config.update(flask_settings(config), MORTISE_CHECK_SCHEMA=check_schema)
    app.session_interface = sessions.DatabaseSessions()
    if config.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, *[config.proxies] * 3)  # type: ignore[method-assign]

    # 3. The database. Parameters of statements are values that people typed: they stay out of logs.
    db.connect(config.database, pool_size=config.pool_size)
    if db.engine is not None:
        db.engine.hide_parameters = True
    # Sessions are found by their context's number, and a new context may get an old one's.
    app.teardown_appcontext(lambda _error: db.remove())

    # 4. Addons: every one on disk is read, whether it is on or off.
    load_all(config.addons, strict=config.strict)
    for name, sentence in broken().items():
        log("addons").error("addon is broken and sleeps", addon=name, problem=sentence)

    # 5. The way of each request: who asks, may he, one transaction; and what is said when something goes wrong.
    gate.register(app)
    errors.register(app)

    # 6. The doors: Flask-AppBuilder's tokens and REST, sign-in, health, screens.
    with app.app_context():
        house = build(app, db.session)
        api.register(app, house)
    app.register_blueprint(signin.signin)
    app.register_blueprint(link_pages.link_pages)
    app.register_blueprint(health.health)
    app.register_blueprint(file_routes.files)
    app.add_url_rule("/favicon.ico", "favicon", lambda: send_from_directory(WEB / "static", "favicon.svg", mimetype="image/svg+xml"))
    add_screens(app)

    # 7. Words: the catalogues of core and of the addons, in every template.
    speak(app)

    # 8. Hooks of addons that want to know.
    with app.app_context():
        health.start_hooks(app)
    return app


def flask_settings(config: Config) -> dict[str, Any]:
    """What Flask and its extensions have to know of our settings."""
    key = secret_key(config)
    return {
        **FAB_SETTINGS,
        "MORTISE": config,
        "MORTISE_HOST_NAMES": ["localhost", socket.gethostname().lower(), config.host.lower(), *config.host_names],
        "SECRET_KEY": key,
        "JWT_SECRET_KEY": key,
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(minutes=config.token_minutes),
        "JWT_REFRESH_TOKEN_EXPIRES": timedelta(days=config.refresh_days),
        # The prefix makes browsers refuse a cookie that another host or an unencrypted page has set.
        "SESSION_COOKIE_NAME": "__Host-mortise" if config.https else "mortise",
        "SESSION_COOKIE_SECURE": config.https,
        "WTF_CSRF_CHECK_DEFAULT": False,
        "WTF_CSRF_TIME_LIMIT": None,
        "MAX_CONTENT_LENGTH": config.max_upload_mb * 2**20,
        "MAX_FORM_MEMORY_SIZE": 4 * 2**20,
        "MAX_FORM_PARTS": 10_000,
        "LANGUAGES": {code: {"name": name, "flag": ""} for code, name in i18n.LANGUAGES.items()},
        "BABEL_DEFAULT_LOCALE": "en",
        "PREFERRED_URL_SCHEME": "https" if config.https else "http",
    }


def add_screens(app: Flask) -> None:
    """The pages for people."""
    from core.web import shell

    shell.register(app)


def speak(app: Flask) -> None:
    """Let templates say ``_("…")`` in the acting person's language."""
    app.jinja_env.globals.update(_=i18n.gettext, gettext=i18n.gettext, ngettext=i18n.ngettext, t=i18n.t)
