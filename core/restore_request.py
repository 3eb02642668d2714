"""A restore that was asked for in the browser: who serves the house stands it still, does it, and leaves word of what came of it.

The page writes a request into the data folder; `core.serve` picks it up, stops server and jobs, and runs `work` in a process of its
own. How far it is, and what came of it, stands in a second file, which outlives the data. Source: S1-99, D20.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from core.config import Config
from core.context import Actor, acting, actor, now
from core.errors import Conflict, Problem
from core.i18n import gettext as _

KEEPER = "RUN_PY_SERVE"
"""In the environment of what `run.py serve` starts: its process number, so that pages know that somebody can stand the house still."""
TABLE = "core_backup"


def _request(config: Config) -> Path:
    return config.data / "restore-asked.json"


def _state(config: Config) -> Path:
    return config.data / "restore-state.json"


def has_keeper() -> bool:
    """Is there a `run.py serve` that picks up requests?"""
    number = os.environ.get(KEEPER, "")
    try:
        os.kill(int(number), 0)
    except (ValueError, OSError):
        return False
    return True


def ask(config: Config, name: str, passphrase: str) -> None:
    """Ask for the backup ``name`` of our folder; raises `Conflict` when one is asked for already. The passphrase is sealed."""
    from core.secret_box import seal

    who = actor()
    asked = {
        "file": name, "passphrase": seal("restore", passphrase) if passphrase else "", "user_id": who.user_id,
        "name": who.name or who.login, "language": who.language, "at": now().isoformat(),
    }  # fmt: skip
    write_state(config, state="asked", stage="stop", file=name)
    draft = _request(config).with_name(f".restore-asked.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    _write(draft, asked)
    try:
        os.link(draft, _request(config))
    except FileExistsError:
        raise Conflict(_("A restore has been asked for already.")) from None
    finally:
        draft.unlink()


def is_asked(config: Config) -> bool:
    """Does a request wait?"""
    return _request(config).exists()


def state(config: Config) -> dict[str, Any]:
    """``state`` (asked, running, done, failed, interrupted), ``stage``, ``done``, ``total``, ``file``, ``sentence``, ``at``; or empty."""
    try:
        found = json.loads(_state(config).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_state(config: Config, **facts: Any) -> None:
    """Leave word of how far it is."""
    place = _state(config)
    draft = place.with_name(f".{place.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    _write(draft, {"done": 0, "total": 0, "sentence": "", "at": now().isoformat(), **facts})
    os.replace(draft, place)


def forget_state(config: Config) -> None:
    """Somebody has read what came of it."""
    _state(config).unlink(missing_ok=True)


def settle(config: Config) -> None:
    """Nobody works on a restore any more: what was under way has been interrupted, what waited is dropped."""
    found = state(config)
    if found.get("state") in ("asked", "running"):
        write_state(config, **{**found, "state": "interrupted"})
    _request(config).unlink(missing_ok=True)


def _write(place: Path, facts: dict[str, Any]) -> None:
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(facts, stream, ensure_ascii=False)
        stream.flush()
        os.fsync(stream.fileno())


def work(config: Config) -> int:
    """Do what was asked for, in a process of its own while nobody else runs; returns the exit status."""
    from core.app import create_app
    from core.backup_list import find
    from core.restore import restore
    from core.secret_box import unseal

    try:
        asked = json.loads(_request(config).read_text())
    except (OSError, ValueError):
        return 1
    finally:
        # Once only: a restore that kills its process must not begin again by itself.
        _request(config).unlink(missing_ok=True)
    told = {"file": asked["file"], "state": "running", "stage": "check"}
    last = 0.0

    def went(stage: str, done: int, total: int) -> None:
        nonlocal last
        if stage != told["stage"] or time.monotonic() - last > 0.5:
            told["stage"], last = stage, time.monotonic()
            write_state(config, **told, done=done, total=total)

    app = create_app(config, check_schema=False)
    who = Actor(door="screen", user_id=asked["user_id"], name=asked["name"], language=asked["language"])
    sentence = ""
    with app.app_context():
        passphrase = (unseal("restore", asked["passphrase"]) or "") if asked["passphrase"] else ""
    with acting(who):
        try:
            restore(config, find(config, asked["file"]).path, passphrase=passphrase, went=went)
        except Problem as problem:
            sentence = problem.sentence
        except Exception as problem:
            from core.logs import log

            log("restore").exception("restore failed")
            why = f"{type(problem).__name__}: {str(getattr(problem, 'orig', problem))[:300]}"
            sentence = _("Something went wrong in the program: %(why)s", why=why)
    write_state(config, **{**told, "state": "failed" if sentence else "done", "sentence": sentence})
    _tell_the_journal(config, asked, sentence)
    return 1 if sentence else 0


def _tell_the_journal(config: Config, asked: dict[str, Any], sentence: str) -> None:
    """In the data as they are now: the person may be somebody else there, or nobody, so the name stands among the facts."""
    from core import journal
    from core.app import create_app
    from core.db import db

    with create_app(config, check_schema=False).app_context(), acting(Actor(door="system", batch_title="Restore")):
        facts = {"file": [None, asked["file"]], "who": [None, asked["name"]], **({"why": [None, sentence]} if sentence else {})}
        journal.write(TABLE, 0, "restore-failed" if sentence else "restore", facts)
        db.session.commit()
        db.remove()
