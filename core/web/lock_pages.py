"""Who waits after failed sign-ins, for administrators: accounts and addresses, and letting them in again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request

from core import journal
from core.context import local
from core.errors import Missing, Refused
from core.i18n import gettext as _
from core.lockouts import Lock, lock_of, locks, unlock_key
from core.people import User
from core.records import records
from core.titles import titles
from core.web.account_pages import outranks
from core.web.menu import only_administrators
from core.web.shell import safe_next, say

lock_pages = Blueprint("lock_pages", __name__)


@lock_pages.get("/settings/locked")
def locked() -> str:
    """Accounts and addresses with failed sign-ins of the last day."""
    only_administrators()
    return render_template("locked.html", page=SimpleNamespace(locks=lines(locks()), here="/settings/locked"))


@lock_pages.get("/api/v1/_locked")
def locked_api() -> Any:
    """The same, for programs."""
    only_administrators()
    found = locks()
    return jsonify(
        result=[
            {
                "key": one.key, "user": one.user_id, "failures": one.failures, "address": one.address,
                "until": one.until.isoformat() + "Z" if one.until and one.waits else None, "last": one.last.isoformat() + "Z",
            }
            for one in found
        ]
    )  # fmt: skip


@lock_pages.post("/settings/locked/unlock")
def unlock() -> Any:
    """Let an account or an address try again at once."""
    only_administrators()
    lock = lock_of(request.form.get("key", "")[:200])
    if lock is None:
        raise Missing(_("Nobody waits here any more."))
    if lock.user_id is not None and not outranks(records(User).get(lock.user_id)):
        raise Refused(_("You may change people of a lower level only."))
    unlock_key(lock.key)
    journal.write("ab_user", lock.user_id or 0, "unlock", {} if lock.user_id else {"address": [lock.what, None]})
    say(_("“%(what)s” may try again at once.", what=lock.what))
    return redirect(safe_next("/settings/locked"))


def lines(found: list[Lock]) -> list[SimpleNamespace]:
    """Locks as lines of a page."""
    names = titles(User, [one.user_id for one in found])
    return [
        SimpleNamespace(
            key=one.key, kind=one.key.partition(":")[0], what=one.what, name=names.get(one.user_id or 0, ""),
            url=f"/ab_user/{one.user_id}" if one.user_id in names else "", failures=one.failures, address=one.address or "",
            until=local(one.until).strftime("%H:%M:%S") if one.until and one.waits else "", last=local(one.last).strftime("%Y-%m-%d %H:%M"),
        )
        for one in found
    ]  # fmt: skip
