"""What the pages of an import show before and around its rows: the file, its columns, how far the work is, the way back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from core.context import actor, now
from core.fields import Field
from core.i18n import gettext as _
from core.i18n import ngettext
from core.model import fields_of, model_label, model_of
from core.recognise import LINE
from core.transfer import drafts
from core.transfer.facts import AT_WORK, Draft, sees_all
from core.transfer.headings import NO_KEY
from core.transfer.lines import ALL_VALUES, Shape, matched_by
from core.transfer.reading import LARGEST_FILE
from core.undo import OWN_UNDO
from core.web.cells import short_moment
from core.web.history import people
from core.web.lists import address
from core.web.views import View

EARLIER_SHOWN = 20
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "gb18030": "GB18030", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


def address_of(table: str, import_id: int) -> str:
    """The page of an import."""
    return f"/{table}/_import/{import_id}"


def row_address(one: Draft, line: int | None, after: int | None = None) -> str:
    """The wrong rows of an import from behind the line ``after``, with one of them open to be corrected."""
    # Without a fragment: browsers move the focus to a field only on such a page.
    return address(address_of(one.model, one.id), show="refused", after=after, row=line)


def count_text(count: int) -> str:
    """A number as a person reads it."""
    return f"{count:,}"


def rows_text(count: int) -> str:
    """“10,000 rows”."""
    return ngettext("%(total)s row", "%(total)s rows", count, total=count_text(count))


def state_words() -> dict[str, tuple[str, str, str]]:
    """{state: (word, icon, colour of the tag)}."""
    return {
        "reading": (_("being read"), "loader", ""),
        "draft": (_("draft"), "file-pencil", ""),
        "broken": (_("cannot be read"), "file-broken", "clay"),
        "checking": (_("dry run"), "flask", ""),
        "queued": (_("waiting"), "hourglass", ""),
        "running": (_("importing"), "loader", "dai"),
        "stopped": (_("stopped"), "alert-triangle", "amber"),
        "cancelled": (_("cancelled"), "player-stop", "amber"),
        "done": (_("finished"), "check", "green"),
        "reverting": (_("being undone"), "loader", ""),
        "reverted": (_("undone"), "arrow-back-up", ""),
    }


def _page(view: View, **facts: Any) -> SimpleNamespace:
    table, many = view.model.__tablename__, model_label(view.model, many=True)  # type: ignore[attr-defined]
    return SimpleNamespace(
        title=_("Import %(label)s", label=many), many=many, list_url=f"/{table}/", start_url=f"/{table}/_import", step=1, columns_url="",
        largest=LARGEST_FILE // 2**20, sentence="", **facts,
    )  # fmt: skip


def page_of(view: View, one: Draft, **facts: Any) -> SimpleNamespace:
    """What all pages of one import have in common."""
    word, icon, colour = state_words()[one.state]
    page = _page(view, url=address_of(one.model, one.id), **facts)
    page.file, page.state = one.file_name, SimpleNamespace(name=one.state, word=word, icon=icon, colour=colour)
    workbook = one.file_name.lower().endswith((".xlsx", ".xlsm"))
    page.how = "Excel" if workbook else ENCODINGS.get(one.encoding or "", "")
    page.rows = rows_text(one.total) if one.heading else ""
    page.sentence = one.sentence or ""
    page.columns_url = f"{page.url}/columns" if one.state in drafts.OPEN and one.heading else ""
    page.may_resume = one.may_resume
    page.may_forget = one.batch_id is None and one.state in ("draft", "broken", "stopped", "reading", "cancelled")
    page.may_revert = may_take_back(one)
    return page


def may_take_back(one: Draft) -> bool:
    """Is undoing this import offered to the acting person? `core.transfer.reverting` has the last word."""
    if one.batch_id is None or one.state in AT_WORK or one.state == "reverted":
        return False
    return sees_all() or one.finished_at is None or now() - one.finished_at <= OWN_UNDO


# -- the file ---------------------------------------------------------------------------------------------------------


def start_page(view: View, *, before: int | None = None, sentence: str = "") -> SimpleNamespace:
    """The place for a file, and the earlier imports."""
    page, table = _page(view), view.model.__tablename__  # type: ignore[attr-defined]
    page.sentence = sentence
    found = drafts.imports_of(model=table, before=before, limit=EARLIER_SHOWN + 1)
    older, found = len(found) > EARLIER_SHOWN, found[:EARLIER_SHOWN]
    others = any(one.user_id != actor().user_id for one in found)
    names = people(one.user_id for one in found) if others else {}
    page.others = others
    page.earlier = []
    for one in found:
        word, icon, colour = state_words()[one.state]
        page.earlier.append(
            SimpleNamespace(
                url=address_of(table, one.id), file=one.file_name, word=word, icon=icon, colour=colour, when=short_moment(one.created_at),
                moment=one.created_at.isoformat() + "Z", who=names.get(one.user_id or 0, ""), counts=_counts(one),
                may_resume=one.may_resume, may_revert=may_take_back(one),
            )
        )  # fmt: skip
    page.older_url = address(page.start_url, before=found[-1].id) if older else ""
    page.newest_url = page.start_url if before else ""
    return page


def _counts(one: Draft) -> str:
    if one.batch_id is None and not one.checked:
        return rows_text(one.total) if one.total else ""
    created, changed, same, skipped, refused = map(count_text, (one.created, one.changed, one.same, one.skipped, one.refused))
    told = [
        (one.created, _("added: %(count)s", count=created)), (one.changed, _("updated: %(count)s", count=changed)),
        (one.same, _("the same: %(count)s", count=same)), (one.skipped, _("skipped: %(count)s", count=skipped)),
        (one.refused, _("wrong: %(count)s", count=refused)),
    ]  # fmt: skip
    return _(", ").join(text for count, text in told if count)


def broken_page(view: View, one: Draft) -> SimpleNamespace:
    """A file that cannot be read: why, and the place for another."""
    page = page_of(view, one)
    page.sentence = page.sentence or _("The file could not be read. Please send it again.")
    return page


# -- at work ------------------------------------------------------------------------------------------------------------


def work_page(view: View, one: Draft) -> SimpleNamespace:
    """How far it is."""
    page = page_of(view, one)
    page.step = {"reading": 1, "checking": 3}.get(one.state, 4)
    told = {
        "reading": (_("The file is being read"), _("Nothing is imported yet.")),
        "checking": (_("Dry run"), _("Every row is tried; nothing is stored yet.")),
        "queued": (_("The import begins in a moment"), _("It waits for its turn.")),
        "running": (_("Rows are being imported"), _("Others can go on working meanwhile.")),
        "reverting": (_("The import is being undone"), _("The newest change goes first.")),
    }
    page.work, page.note = told[one.state]
    if one.cancel_asked:
        page.note = _("It stops after the rows at hand.")
    by_job = one.state in ("reading", "reverting")
    done, total = (one.job_done or 0, one.job_total or 0) if by_job else (one.read, one.total)
    page.done, page.total = min(done, total), total
    page.told = _("%(done)s of %(total)s", done=count_text(page.done), total=rows_text(total)) if total else ""
    page.counts = _counts(one) if one.state in ("checking", "running") else ""
    page.may_cancel = one.state in ("checking", "queued", "running") and not one.cancel_asked
    page.may_forget = one.state == "reading"
    return page


# -- columns ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sent:
    """What the form of the columns has sent."""

    mapping: dict[int, str | None]
    keys: list[str]
    known: str
    day_order: dict[int, str]

    @classmethod
    def of(cls, form: Any, width: int) -> Sent:
        """Read it; ``width`` is the number of columns."""
        orders = {place: form.get(f"days-{place}", "") for place in range(width)}
        return cls(
            mapping={place: form.get(f"field-{place}") or None for place in range(width)},
            keys=form.getlist("keys") if form.get("key") == "own" else [],
            known=form.get("known", "change"),
            day_order={place: order for place, order in orders.items() if order},
        )


def columns_page(view: View, one: Draft, sent: Sent | None = None, sentence: str = "") -> SimpleNamespace:
    """The columns of the file with the field of each; what was sent and refused stands as it was sent."""
    page = page_of(view, one)
    page.step, page.wrong = 2, sentence
    page.remembered = one.remembered and sent is None
    offered = drafts.fields(one.id)
    every = fields_of(model_of(one.model))
    page.fields = [SimpleNamespace(name=each.name, title=each.title, needed=each.required and each.default is None) for each in offered]
    page.key_fields = [SimpleNamespace(name=each.name, title=each.title) for each in offered if each.kind.name not in NO_KEY]
    mapping = sent.mapping if sent else one.mapping
    doubled = {name for name, count in Counter(filter(None, mapping.values())).items() if count > 1}
    page.columns = [_column(each, sent, mapping, doubled, every) for each in drafts.columns(one.id)]
    page.wrong_place = sentence and any(each.wrong for each in page.columns)
    for each in page.columns:
        each.wrong = sentence if each.wrong and sentence else ""
    keys = sent.keys if sent else one.keys
    page.key_names = keys
    page.known = sent.known if sent else one.known
    page.chain = key_words(one, mapping)
    page.heading_line = one.heading_line
    page.begun = one.batch_id is not None
    page.matched = sum(1 for name in mapping.values() if name)
    page.matched_text = _("%(count)s of %(total)s columns go into a field", count=page.matched, total=len(one.heading))
    return page


def _column(
    each: drafts.Column, sent: Sent | None, mapping: dict[int, str | None], doubled: set[str], every: dict[str, Field]
) -> SimpleNamespace:  # fmt: skip
    name = mapping.get(each.place)
    field = every.get(name or "")
    dated = field is not None and field.kind.name in ("date", "datetime")
    order = sent.day_order.get(each.place, "") if sent else each.day_order
    return SimpleNamespace(
        place=each.place, heading=each.heading, field=name, samples=each.samples, why=None if name else each.why,
        told=each.told if dated else None, asks_days=bool(dated and each.told), day_order=order,
        wrong=name in doubled and field is not None and field.kind.name != "phone",
    )  # fmt: skip


def key_words(one: Draft, mapping: dict[int, str | None]) -> str:
    """What tells known records when nothing is chosen, in the order in which it is asked."""
    model = model_of(one.model)
    chain = [" ".join(key) or ALL_VALUES for key in Shape.of(one, mapping).key_chain]
    # The same line of an earlier import is asked before all values are compared.
    asked = [*chain[:-1], LINE[0], chain[-1]]
    return _("; ").join(filter(None, (matched_by(model, key) for key in asked)))


# -- the way back -------------------------------------------------------------------------------------------------------


def revert_page(view: View, one: Draft, stops: str = "") -> SimpleNamespace:
    """The question before an import is taken back."""
    since = drafts.changed_since(one.id) if not stops else 0
    created, changed = count_text(one.created), count_text(one.changed)
    along = [
        SimpleNamespace(icon="trash", title=_("Added records"), count=created, sentence=_("are deleted again")),
        SimpleNamespace(icon="arrow-back-up", title=_("Updated records"), count=changed, sentence=_("get their old values back")),
    ]
    if since:
        shown = count_text(since) if since <= 1000 else "1,000+"
        told = _("what was changed since stays")
        along.append(SimpleNamespace(icon="user-edit", title=_("Changed by somebody since"), count=shown, sentence=told))
    here = address_of(one.model, one.id)
    return SimpleNamespace(
        title=_("Undo the import"), question=_("Undo the import of “%(file)s”?", file=one.file_name), sentence="", records=[], more="",
        along=[each for each in along if each.count != "0"], stops=stops, danger=True, yes=_("Undo the import"), hidden=[],
        foot=_("This takes the whole import back, corrected rows included."), action_url=f"{here}/revert", back_url=here,
    )  # fmt: skip
