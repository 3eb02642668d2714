"""Links in files: written as the title or a unique code of the other record, and read back from either."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from core.context import actor
from core.db import db
from core.errors import Wrong
from core.fields import LARGEST_ID, Field, tidy
from core.i18n import gettext as _
from core.model import model_label
from core.records import titles
from core.rules import may, rights, sees_title

BETWEEN = "; "
_CUT = re.compile(r"[;；\n]+")
_BY_ID = re.compile(r"#(\d{1,10})")


def named_by(target: type) -> list[Field]:
    """The fields that may stand for a record of ``target``: its title, and what is unique and open to the acting person."""
    title = target.__fields__.get(target.title_field)
    unique = [
        one for one in target.__fields__.values()
        if one.unique and one is not title and (actor().system or rights().field_access(target, one) != "hidden")
    ]  # fmt: skip
    return [one for one in (title if sees_title(target) else None, *unique) if one is not None]


def parts(text: str) -> list[str]:
    """The single records of a cell that names several."""
    return [tidy(one) for one in _CUT.split(text) if tidy(one)]


class Named:
    """The records that the texts of some rows name, looked up by one statement a field of the target, through the row filter."""

    def __init__(self, target: type, texts: Iterable[str]) -> None:
        self.target = target
        self.found: dict[str, set[int]] = {}
        wanted = {text for text in texts if text and not _BY_ID.fullmatch(text)}
        if wanted and may("read", target):
            for one in named_by(target):
                column = one.column(target)
                for record_id, text in db.session.execute(select(target.id, column).where(column.in_(sorted(wanted)))):
                    self.found.setdefault(text, set()).add(record_id)

    def id_of(self, text: str) -> int:
        """The id of the record that is called ``text``; raises `Wrong` when there is none, or more than one."""
        if (by_id := _BY_ID.fullmatch(text)) and int(by_id[1]) <= LARGEST_ID:
            return int(by_id[1])
        found = self.found.get(text, set())
        label = model_label(self.target)
        if not found:
            raise Wrong(_("There is no %(label)s called “%(text)s”, or it is not visible to you.", label=label, text=text[:60]))
        if len(found) > 1:
            raise Wrong(
                _("Several records of %(label)s are called “%(text)s”; write the code or #id instead.", label=label, text=text[:60])
            )
        return next(iter(found))


def written(target: type, ids: Iterable[int]) -> dict[int, str]:
    """{id: text} that names exactly this record: the title where nothing else has it, else a unique code, else ``#id``."""
    known = titles(target, ids, stored=True)
    title = target.__fields__.get(target.title_field)
    if not known or title is None:
        return {one: f"#{one}" for one in known}
    column = title.column(target)
    several = set()
    if not title.unique:
        query = select(column).where(column.in_(sorted(set(known.values())))).group_by(column).having(func.count() > 1)
        several = set(db.session.execute(query).scalars())
    doubtful = [one for one, text in known.items() if text in several or _BY_ID.fullmatch(text) or _CUT.search(text)]
    code = next((one for one in named_by(target) if one is not title), None)
    found = dict(known)
    for one in doubtful:
        found[one] = f"#{one}"
    if code is not None and doubtful:
        rows: Any = db.session.execute(select(target.id, code.column(target)).where(target.id.in_(sorted(doubtful))))
        found |= {record_id: text for record_id, text in rows if text}
    return found
