"""Passwords, the pause after failed sign-ins, and the end of sessions: what every door does the same way with accounts."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, bindparam, delete, event, func, insert, inspect, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from werkzeug.security import check_password_hash

from core.context import acting, actor, now
from core.db import db
from core.i18n import gettext as _
from core.journal import write_on
from core.notifications import UNREAD_TABLES
from core.people import LEVELS, MortiseUser, SignInAttempt, SignInRow, SignInSession, has_left
from core.preferences import table as preference_table
from core.second_factor import HAS_FACTOR, ROLE_DEMANDS, demanded, take
from core.settings import setting

# OWASP's smaller set: 19 MiB and two passes, so that eight threads signing in at once need 150 MiB, not 500.
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

LONGEST = 200
FAILED = "sign-in-failed"
"""What the journal calls a try with a wrong password or code."""
FORGIVEN_AFTER = timedelta(days=1)
LONGEST_PAUSE = timedelta(minutes=15)
TRIES_OF_AN_ADDRESS = 20
"""More than those of an account (the setting sign_in.tries), since a whole office may share an address."""

user_table, attempts, sessions, sign_ins = (one.__table__ for one in (MortiseUser, SignInAttempt, SignInSession, SignInRow))


@dataclass(slots=True)
class Person:
    """Whoever is signed in, as one row of one statement tells; stands in for Flask-Login's user as well."""

    id: int
    login: str
    name: str
    level: str
    language: str | None
    zone: str | None
    theme: str | None
    must_change_password: bool
    stamp: str
    """Changes with the password; tokens carry it, so that a new password ends them."""
    preferences: dict[str, Any] | None = None
    picture: int | None = None
    """The file with his face."""
    has_factor: bool = False
    """Has a second factor, and is asked for it when signing in."""
    needs_factor: bool = False
    """Must set one up before anything else."""
    unread: tuple[str, ...] | None = None
    """The kinds of records that his unread notifications are about; None when there are none."""

    is_authenticated = is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """The id as Flask-Login wants it."""
        return str(self.id)


PERSON_COLUMNS: list[Any] = [
    user_table.c[name] for name in (
        "username", "name", "level", "language", "zone", "theme", "must_change_password", "password", "active", "left_on", "picture",
    )
]  # fmt: skip
# Along with the person, so that no page asks for them by a statement of its own.
PERSON_COLUMNS.append(
    select(preference_table.c.chosen).where(preference_table.c.user_id == user_table.c.id).scalar_subquery().label("preferences")
)
PERSON_COLUMNS += [HAS_FACTOR, ROLE_DEMANDS, UNREAD_TABLES]

# Made once: building a statement costs more than running it.
PERSON_QUERY = select(*PERSON_COLUMNS).where(user_table.c.id == bindparam("user_id"))
QUIET = {"mortise_rules": False}


def person_of(row: Any, user_id: int) -> Person | None:
    """The `Person` of a row that holds `PERSON_COLUMNS`; None when the account is closed, or its person's last day is over."""
    if not row.active or has_left(row.left_on, now(), setting("firm.zone")):
        return None
    return Person(
        user_id, row.username, row.name or row.username, row.level, row.language, row.zone, row.theme,
        must_change_password=bool(row.must_change_password), stamp=stamp_of(row.password),
        preferences=row.preferences, picture=row.picture, has_factor=row.has_factor,
        unread=None if row.unread_tables is None else tuple(row.unread_tables.split(" ")),
        needs_factor=not row.has_factor and demanded(row.level, row.role_demands_factor),
    )  # fmt: skip


def person_by_id(user_id: int) -> Person | None:
    """The person with this id, if the account is open; one statement."""
    row = db.session.execute(PERSON_QUERY, {"user_id": user_id}, execution_options=QUIET).first()
    return person_of(row, user_id) if row else None


def stamp_of(password_hash: str | None) -> str:
    """A short mark of the stored password that says nothing about it."""
    return hashlib.sha256(("stamp:" + (password_hash or "")).encode()).hexdigest()[:16]


# -- passwords ---------------------------------------------------------------------------------------------------------


def hash_password(text: str) -> str:
    """The password as it is stored (Argon2id)."""
    return hasher.hash(text)


def check_password(stored: str | None, text: str) -> bool:
    """Is ``text`` the password that was stored? Without one it takes as long, so that nobody learns which accounts exist."""
    if not text or len(text) > LONGEST:
        return False
    if not stored:
        _check_argon(_nobodys(), text)
        return False
    if stored.startswith("$argon2"):
        return _check_argon(stored, text)
    return check_password_hash(stored, text)


def _check_argon(stored: str, text: str) -> bool:
    try:
        return hasher.verify(stored, text)
    except (VerificationError, InvalidHashError):
        return False


_nobody: dict[Any, str] = {}


def _nobodys() -> str:
    # One for each hasher: tests use a cheaper one.
    if hasher not in _nobody:
        _nobody[hasher] = hasher.hash(secrets.token_urlsafe(16))
    return _nobody[hasher]


def password_problem(text: str, *names: str | None) -> str | None:
    """Why ``text`` is no good password for the account with these ``names``: a sentence, or None when it is."""
    shortest = setting("password.min_length")
    if len(text) < shortest:
        return _("A password needs at least %(count)s characters.", count=shortest)
    if len(text) > LONGEST:
        return _("A password has at most %(count)s characters.", count=LONGEST)
    if len(set(text)) < 5:
        return _("This password repeats itself; use at least five different characters.")
    if any(name and name.lower() in text.lower() for name in names):
        return _("A password must not contain the name of the account.")
    if _soon_guessed(text, names):
        return _("This password is easy to guess: many people use it, or one like it. Take several words that nobody would put together.")
    return None


def _soon_guessed(text: str, names: tuple[str | None, ...]) -> bool:
    # Its lists take 20 MB and a fifth of a second, which only processes pay in which somebody chooses a password.
    from zxcvbn import zxcvbn

    return zxcvbn(text[:72], user_inputs=[name for name in names if name])["score"] < 2


def set_password(user: Any, text: str, *, must_change: bool = False) -> None:
    """Give ``user`` (a row of the session) a new password; all his sessions and tokens end with the transaction."""
    from core.telling import tell_of_password

    if user.password:
        # The first one of a new account is no news to anybody.
        tell_of_password(user.id)
    user.password = hash_password(text)
    user.must_change_password = must_change


# -- sessions ----------------------------------------------------------------------------------------------------------


def session_key(token: str) -> str:
    """Under which key the session of a cookie's token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def end_sessions(user_id: int) -> None:
    """Sign a person out everywhere, with the transaction of the caller."""
    db.session.execute(delete(sessions).where(sessions.c.user_id == user_id))


@event.listens_for(MortiseUser, "after_update")
def _end_with_password_or_account(_mapper: Any, connection: Connection, user: MortiseUser) -> None:
    # Whatever door it came through: a changed password, a closed account or a lower level ends the person's sessions.
    attributes = inspect(user).attrs
    closed = attributes.active.history.has_changes() and not user.active
    before = (attributes.level.history.deleted or [user.level])[0]
    lowered = before in LEVELS and user.level in LEVELS and LEVELS.index(user.level) < LEVELS.index(before)
    if closed or lowered or attributes.password.history.has_changes():
        connection.execute(delete(sessions).where(sessions.c.user_id == user.id))


# -- signing in --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Try:
    """What became of one attempt to sign in."""

    person: Person | None = None
    wait_seconds: int = 0
    by: str | None = None
    """Of a second step: “code” or “recovery”."""
    refusal: str = ""

    @property
    def sentence(self) -> str:
        """What the person is told when it did not work."""
        if self.refusal:
            return self.refusal
        if self.wait_seconds:
            return _("There were too many failed tries. Wait %(count)s seconds, then try again.", count=self.wait_seconds)
        return _("The user name or the password is not right.")


def sign_in(login: str, password: str, tries: int, *, entering: bool = True, agent: str | None = None) -> Try:
    """Check a name (or e-mail address) and password; after ``tries`` failures each further one doubles a pause.

    With ``entering`` False somebody who is in already proves that it is he. Sign-ins are kept with their address and ``agent``, the
    browser's or program's name for itself; tries during a pause are not, or a guesser could fill the table.

    Uses short transactions of its own: no transaction may be open when it is called, and none is while the password is checked.
    """
    typed = login.strip()[:320]
    with db.short() as connection:
        row = find_account(connection, typed)
        keys = {f"login:{(row.username if row else typed).lower()[:190]}": tries}
        if actor().address:
            keys[f"address:{actor().address}"] = max(TRIES_OF_AN_ADDRESS, tries)
        # The failure is counted before the password is looked at, so that many tries at once are counted too.
        wait = _count_failure(connection, keys)
    if wait:
        return Try(wait_seconds=wait)
    person = person_of(row, row.id) if row else None
    if not check_password(row.password if row and person else None, password) or person is None:
        with db.short() as connection:
            if entering:
                _keep(connection, row.id if row else None, False, agent)
            _tell_refused(connection, row.id if row else None)
        return Try()
    with db.short() as connection:
        forget_failures(connection, keys)
        connection.execute(delete(attempts).where(attempts.c.changed_at < now() - FORGIVEN_AFTER))
        if entering and not person.has_factor:
            _entered(connection, row.id, agent)
    return Try(person)


def second_step(person: Person, code: str, tries: int, *, entering: bool = True, agent: str | None = None) -> Try:
    """Check the code of somebody whose password was right; counted apart, so that the right password forgives no guessed codes.

    Uses short transactions of its own, like `sign_in`.
    """
    keys = {f"code:{person.login.lower()[:190]}": tries}
    if actor().address:
        keys[f"address:{actor().address}"] = max(TRIES_OF_AN_ADDRESS, tries)
    with db.short() as connection:
        wait = _count_failure(connection, keys)
    if wait:
        return Try(wait_seconds=wait)
    with db.short() as connection:
        taken = take(connection, person.id, code)
        if taken:
            forget_failures(connection, keys)
            if entering:
                _entered(connection, person.id, agent)
        else:
            if entering:
                _keep(connection, person.id, False, agent)
            _tell_refused(connection, person.id)
    return Try(person, by=taken) if taken else Try(refusal=_("This code is not right, or was used already."))


def _entered(connection: Connection, user_id: int, agent: str | None) -> None:
    _keep(connection, user_id, True, agent)
    entry = {"last_login": now(), "login_count": func.coalesce(user_table.c.login_count, 0) + 1, "fail_login_count": 0}
    connection.execute(update(user_table).where(user_table.c.id == user_id).values(entry))


def _keep(connection: Connection, user_id: int | None, worked: bool, agent: str | None) -> None:
    """Note a sign-in that worked or was refused."""
    who = actor()
    values = {"user_id": user_id, "at": now(), "worked": worked, "door": who.door, "address": (who.address or "")[:64] or None}
    connection.execute(insert(sign_ins).values(**values, agent=(agent or "")[:200] or None))


def _tell_refused(connection: Connection, user_id: int | None) -> None:
    """Journal that a password or code was wrong, also of somebody who is in already and is asked once more."""
    # Under the account that was tried, so that questions and erasing by person find it. What was typed may be a password.
    with acting(replace(actor(), user_id=user_id, memo={})):
        write_on(connection, [(user_table.name, user_id or 0, FAILED, {}, None)])


def find_account(connection: Connection, typed: str) -> Any:
    """The account with this name or e-mail address, as `PERSON_COLUMNS` and its id; None when there is none."""
    if not typed:
        return None
    low = typed.lower()
    name, email = func.lower(user_table.c.username), func.lower(user_table.c.email)
    query = select(user_table.c.id, *PERSON_COLUMNS).where(or_(name == low, email == low))
    # A name beats an e-mail address, so that nobody can take an account over by typing its name as his address.
    return min(connection.execute(query).all(), key=lambda row: (row.username != typed, row.username.lower() != low), default=None)


def _count_failure(connection: Connection, keys: dict[str, int]) -> int:
    """Count one failure under each of ``keys``; or, when one of them is in its pause, count nothing and return its seconds."""
    moment = now()
    insert_new = (sqlite if db.is_sqlite else postgresql).insert
    for key in sorted(keys):
        # The row is there before it is locked, so that the first tries, when they come at once, wait for each other too.
        fresh = {"key": key, "failures": 0, "changed_at": moment}
        connection.execute(insert_new(attempts).values(fresh).on_conflict_do_nothing())
    query = select(attempts).where(attempts.c.key.in_(list(keys))).order_by(attempts.c.key)
    known = {row.key: row for row in connection.execute(query if db.is_sqlite else query.with_for_update())}
    left = [row.blocked_until - moment for row in known.values() if row.blocked_until and row.blocked_until > moment]
    if left:
        return max(1, round(max(left).total_seconds()))
    for key, free in keys.items():
        row = known[key]
        failures = 1 + (row.failures if row.changed_at > moment - FORGIVEN_AFTER else 0)
        pause = min(timedelta(seconds=2 ** min(failures - free, 20)), LONGEST_PAUSE) if failures >= free else timedelta()
        values = {"failures": failures, "blocked_until": moment + pause if pause else None, "changed_at": moment}
        connection.execute(update(attempts).where(attempts.c.key == key).values(values))
    return 0


def wait_after_asking(what: str, typed: str) -> int:
    """Count one who asks for ``what`` without being signed in, by the name he gave and by his address; the seconds he has to wait.

    It is counted alike whether or not there is such an account. Uses a short transaction of its own.
    """
    keys = {f"{what}:{typed.lower()[:180]}": 3}
    if actor().address:
        keys[f"{what}-address:{actor().address}"] = TRIES_OF_AN_ADDRESS
    with db.short() as connection:
        return _count_failure(connection, keys)


def forget_failures(connection: Connection, keys: Any) -> None:
    """A sign-in worked: the account's failures are forgotten.

    Of the address's only this one is, or somebody with an account of his own could wash it clean.
    """
    for key in keys:
        if key.startswith(("login:", "code:")):
            connection.execute(delete(attempts).where(attempts.c.key == key))
        else:
            change = {"failures": attempts.c.failures - 1, "blocked_until": None}
            connection.execute(update(attempts).where(attempts.c.key == key, attempts.c.failures > 0).values(change))


def unlock(login: str) -> bool:
    """Forget the failed sign-ins of an account; True when there were any. In the caller's transaction."""
    low = login.lower()[:190]
    done = db.session.execute(delete(attempts).where(attempts.c.key.in_([f"login:{low}", f"code:{low}"])))
    return bool(done.rowcount)
