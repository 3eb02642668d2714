"""Who is let in where: every address, and which right or which rank it asks for. The contract's matrix holds the house to it.

An address of one kind of record stands here once for all models; a new addon's are in it by themselves. A new kind of address has
no line here and fails the matrix until it says whom it is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from core.db import db
from core.model import is_half, is_owned, models, part_of
from core.rule_lines import lines_by_model
from tests.core.oracle import Closed, Facts, Line, Opened, Row, Shape

QUIET = {"mortise_rules": False}


@dataclass(frozen=True, slots=True)
class Ask:
    """What an address asks for: a verb on the model, or on the record of the address too."""

    verb: str
    record: bool = False
    also: str = ""
    """A further verb on the model."""
    makes: bool = False
    """Only where the screens make records of this kind."""
    shares: bool = False
    """Only where records of this kind are shared."""
    found: bool = True
    """False: the address is about something of the person's own, which nobody of the matrix has; whoever gets so far reads 404."""
    refused: int = 403
    """The answer to whoever sees the record and may not do this; 422 is the form once more, with what was typed and why not."""
    quiet: bool = False
    """Refused records are left out and told in a sentence; without the right on the model there is no such button: 404."""
    words: bool = False
    """It answers 400 without words that the matrix does not give."""


READ, READ_ONE = Ask("read"), Ask("read", record=True)
SIGNED_IN, ANYBODY, ADMINISTRATOR, OPEN_RECORD = "whoever is signed in", "anybody", "administrators", "whoever may use the record"
HIGHEST = "system administrators"
EXPORT, IMPORT, OWN_IMPORT = Ask("export"), Ask("import", makes=True), Ask("import", makes=True, found=False)

TABLES: dict[str, dict[str, Any]] = {
    "screens.listing": {"GET": READ},
    "screens.rows": {"GET": Ask("read", words=True)},
    "screens.columns": {"POST": SIGNED_IN},
    "screens.new": {"GET": Ask("create", makes=True), "POST": Ask("create", makes=True)},
    "screens.bulk": {"POST": Ask("delete", record=True, quiet=True)},
    "screens.form": {"GET": READ_ONE, "POST": Ask("edit", record=True, refused=422)},
    "screens.delete": {"GET": Ask("delete", record=True), "POST": Ask("delete", record=True)},
    "screens.history": {"GET": READ_ONE},
    "screens.printed": {"POST": READ_ONE},
    "screens.list_printed": {"POST": READ},
    "screens.lookup": {"GET": READ},
    "screens.related": {"GET": READ_ONE},
    "past_pages.past": {"GET": READ_ONE},
    "past_pages.back": {"POST": Ask("edit", record=True)},
    "share_pages.shares": {"GET": Ask("share", record=True, shares=True)},
    "share_pages.end": {"POST": Ask("share", record=True, shares=True)},
    "share_pages.share_many": {"POST": Ask("share", shares=True)},
    "bulk_pages.edit_many": {"POST": Ask("edit", also="bulk")},
    "exports.stream": {"GET": EXPORT},
    "exports.write": {"POST": EXPORT},
    "exports.ask": {"GET": EXPORT, "POST": EXPORT},
    "imports.start": {"GET": IMPORT},
    "imports.upload": {"POST": IMPORT},
    "imports.template": {"GET": IMPORT},
    **{f"imports.{end}": {"GET": OWN_IMPORT, "POST": OWN_IMPORT} for end in (
        "show", "act", "progress", "columns", "heading", "revert", "row", "wrong",
    )},
    # What is forgotten already is not missed.
    "imports.forget": {"POST": IMPORT},
}  # fmt: skip
"""Endpoints of the screens of any model."""

RESOURCES: dict[str, dict[str, Any]] = {
    "get_list": {"GET": READ},
    "post": {"POST": Ask("create")},
    "info": {"GET": READ},
    "groups": {"GET": Ask("read", words=True)},
    "export": {"GET": EXPORT},
    "why": {"GET": READ},
    "share": {"POST": Ask("share", record=True, also="read", shares=True)},
    "shares": {"GET": READ_ONE},
    "unshare": {"DELETE": Ask("share", record=True)},
    "past": {"GET": READ_ONE},
    "back": {"POST": Ask("edit", record=True)},
    "get": {"GET": READ_ONE},
    "put": {"PUT": Ask("edit", record=True, also="edit")},
    "delete": {"DELETE": Ask("delete", record=True, also="delete")},
}
"""Endpoints of the REST resource of any model, by their last word."""

AUDIENCES: dict[str, str] = {
    **dict.fromkeys(("static", "favicon", "health.healthz", "health.readyz"), ANYBODY),
    **dict.fromkeys(("signin.login", "signin.sign_in", "SignInApi.login", "SignInApi.refresh"), ANYBODY),
    **dict.fromkeys(("pages.start", "pages.new", "find.find", "files.upload", "job_pages.listing", "OpenApiDescription.get"), SIGNED_IN),
    **dict.fromkeys(("account_pages.account", "account_pages.preferences", "account_pages.end_session", "key_pages.keys"), SIGNED_IN),
    **dict.fromkeys(("key_pages.make", "signin.password", "signin.logout", "view_as.end"), SIGNED_IN),
    **dict.fromkeys(("signin.code", "again.alive", "again.sign_in_again", "links.ask", "links.ask_an_administrator"), ANYBODY),
    **dict.fromkeys(("links.choose", "links.choose_password", "links.forgot", "links.send_me_a_link"), ANYBODY),
    **dict.fromkeys(("account_pages.person", "people_pages.departments", "trash_pages.trash"), SIGNED_IN),
    **dict.fromkeys(("trash_pages.api_list", *(f"news_pages.{one}" for one in ("changes", "seen", "api_changes", "api_seen"))), SIGNED_IN),
    "trash_pages.api_back": OPEN_RECORD,
    **dict.fromkeys(("request_pages.mine", "request_pages.file", "why.why_page", "pages.take_back_last"), SIGNED_IN),
    **{f"notification_pages.{name}": SIGNED_IN for name in (
        "listing", "read_all", "count", "settings", "keep_settings", "api_list", "api_read_all",
    )},
    **{f"factor_pages.{name}": SIGNED_IN for name in ("factor", "start", "confirm", "codes", "off")},
    # About a thing that these pages give to its person alone, or to whoever may read the record that it belongs to.
    **dict.fromkeys(("files.download", "files.list_versions", "exports.fetch", "job_pages.stop", "job_pages.again"), OPEN_RECORD),
    **dict.fromkeys(("key_pages.remove", "pages.take_back"), OPEN_RECORD),
    **dict.fromkeys(("trash_pages.back", "request_pages.take_back"), OPEN_RECORD),
    **{f"notification_pages.{name}": OPEN_RECORD for name in ("open_one", "read_one", "api_get", "api_read")},
    **dict.fromkeys(("lock_pages.locked", "lock_pages.locked_api", "lock_pages.unlock", "people_pages.leave"), ADMINISTRATOR),
    **dict.fromkeys(("people_pages.open_api", "factor_pages.remove", "right_pages.role_matrix"), ADMINISTRATOR),
    **dict.fromkeys(("request_pages.waiting", "request_pages.answer", "request_pages.answer_over_rest"), ADMINISTRATOR),
    **dict.fromkeys(("mail_pages.settings", "mail_pages.test", "mail_pages.password_link"), ADMINISTRATOR),
    "mail_pages.save": HIGHEST, "settings.journal_remove": HIGHEST, "settings.journal_months": HIGHEST, "settings.journal_reads": HIGHEST,
    **{f"backup_pages.{name}": HIGHEST for name in (
        "listing", "make", "settings", "download", "ask_to_delete", "delete", "upload", "restore_page", "check", "restore", "restoring",
        "read",
    )},
    **dict.fromkeys(("account_pages.sign_out", "account_pages.online", "key_pages.take_away", "view_as.begin"), ADMINISTRATOR),
    **dict.fromkeys(("right_pages.role_rights", "right_pages.copy_rights", "why.effective", "signin.setup"), ADMINISTRATOR),
}
"""Endpoints that are about no kind of record; those of the settings are for administrators."""

HOOKED = {
    "core_mail": "the house alone writes and deletes mails",
    "core_account_request": "requests are answered or taken back, not edited or deleted",
    "core_setting": "some settings are for system administrators",
}
"""Models whose hooks refuse even those whom the rules let in: nothing may be written then."""

# Any person may ask why he may not; about a record only if he sees it.
WHY = {"model": SIGNED_IN, "record": READ_ONE}


def asked_by(rule: Any, method: str) -> Any:
    """Whom an address is for: an `Ask` or an audience. Raises `KeyError` for an address that nobody has said it of."""
    endpoint = rule.endpoint
    if endpoint == "why.why":
        return WHY["record" if "record_id" in rule.arguments else "model"]
    if endpoint.startswith("api_"):
        return RESOURCES[endpoint.rpartition(".")[2]][method]
    if endpoint in TABLES:
        return TABLES[endpoint][method]
    if endpoint in AUDIENCES:
        return AUDIENCES[endpoint]
    if endpoint.startswith("settings."):
        return ADMINISTRATOR
    return AUDIENCES[endpoint]


def facts_of(people: dict[int, str], posts: list[tuple[int, int]], parents: dict[int, Any], roles: dict[int, set[str]], now: Any) -> Facts:
    """What the oracle has to know of this house: lines of code, the rows of the roles made for the matrix, and every record."""
    shapes = {}
    for table, model in models().items():
        whole = part_of(model)
        shapes[table] = Shape(table, is_owned(model), whole.target.__tablename__ if whole else None, model.open_to_team)
    facts = Facts(shapes, now, levels=people, active=dict.fromkeys(people, True), roles=roles, posts=posts, parents=parents)
    for table, lines in lines_by_model.items():
        for one in lines:
            if table in shapes and not is_half(one.model):
                facts.code += [Line(one.role, table, verb, set(one.scopes), one.shared) for verb in one.verbs]
                facts.code_closed += [Closed(one.role, table, name, "hidden") for name in one.hidden]
                facts.code_closed += [Closed(one.role, table, name, "read_only") for name in one.read_only]
    for table, model in models().items():
        facts.rows[table] = {}
        for row in db.session.execute(select(model.__table__), execution_options=QUIET).mappings():
            facts.rows[table][row["id"]] = row_of(model, row)
    for one in facts.rows["core_share"]:
        row = db.session.execute(select(models()["core_share"].__table__).filter_by(id=one), execution_options=QUIET).mappings().one()
        facts.shares.append(
            Opened(row["model"], row["record_id"], row["access"], row["user_id"], row["department_id"], row["team_id"], row["until"])
        )
    return facts


def row_of(model: Any, row: Any) -> Row:
    """A stored row as the oracle knows it."""
    owned, whole = is_owned(model), part_of(model)
    return Row(
        row["id"], row["owner_id"] if owned else None, row["department_id"] if owned else None, row.get("created_by_id"),
        row[whole.key] if whole else None,
    )  # fmt: skip
