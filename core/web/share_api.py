"""Sharing over REST: what `/api/v1/<table>/_share` takes, and what the shares of a record look like."""

from __future__ import annotations

from typing import Any

from core.bulk import AT_ONCE
from core.errors import Broken, Invalid, Refused
from core.fields import LARGEST_ID
from core.i18n import gettext as _
from core.people import Share
from core.records import records
from core.rules import may
from core.sharing import COLUMNS, RECIPIENTS, clean, share, shares_of

KNOWN = {"ids", *RECIPIENTS, "access", "until"}


def share_answer(model: Any) -> dict[str, Any]:
    """Open the records that the body names, all or none; how many shares were made or changed."""
    from core.web.api import body_of_request

    body, _version = body_of_request()
    if unknown := set(body) - KNOWN:
        raise Broken(_("There is no field “%(name)s”.", name=sorted(unknown)[0][:60]))
    ids = body.pop("ids", None)
    known = isinstance(ids, list) and all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= LARGEST_ID for one in ids)
    if not known or not 0 < len(ids) <= AT_ONCE:
        raise Invalid({"ids": _("Please give the ids of 1 to %(count)s records.", count=AT_ONCE)})
    ids = list(dict.fromkeys(ids))
    if len(ids) > 1 and not (verdict := may("bulk", model)):
        raise Refused(_("You may change these records one by one only, not many at once."), verdict)
    return {"shares": share(model, ids, clean(model, body))}


def shares_answer(model: Any, record_id: int) -> dict[str, Any]:
    """The shares of a record; nothing for somebody who may not share it."""
    from core.web.api import as_json

    return {"result": as_json(Share, shares_of(records(model).get(record_id)), ["id", *COLUMNS.values(), "access", "until"])}
