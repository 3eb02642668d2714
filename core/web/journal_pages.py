"""The journal of the house on screens: its questions, the answer as a file, the check, and what is taken out or erased."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request
from sqlalchemy import and_, func, or_, select, true, union_all

from core import journal_erase, journal_jobs, journal_keep
from core.context import actor, local, today, zone_of
from core.db import db
from core.errors import Broken, Invalid, Problem, Refused
from core.i18n import gettext as _
from core.i18n import ngettext, t
from core.journal import batches, journal
from core.journal_among import Among, among
from core.journal_query import NAMES, Question, batches_of, question
from core.listing import id_among
from core.model import model_label, model_of, models
from core.people import User
from core.rules import may, rights
from core.settings import declared_settings, set_setting, setting
from core.web.export_pages import outlive
from core.web.history import MOST_CHANGES, batch_blocks, door_words, facts_of, people, verb_words
from core.web.journal_lines import lines, told
from core.web.lists import address
from core.web.shell import drawn, say, say_queued

URL = "/settings/journal"
SIZE = 30
MOST_PEOPLE = 500
MOST_OF_ONE = 600
"""So many changes of one batch are shown on its own page."""


def add_to(blueprint: Blueprint) -> None:
    """The pages, below the settings."""
    blueprint.add_url_rule("/journal", view_func=journal_list, endpoint="journal")
    blueprint.add_url_rule("/journal/export", view_func=export, endpoint="journal_export")
    blueprint.add_url_rule("/journal/keep", view_func=keep, endpoint="journal_keep")
    blueprint.add_url_rule("/journal/check", view_func=check, methods=["POST"], endpoint="journal_check")
    blueprint.add_url_rule("/journal/months", view_func=months, methods=["POST"], endpoint="journal_months")
    blueprint.add_url_rule("/journal/reads", view_func=reads, methods=["POST"], endpoint="journal_reads")
    blueprint.add_url_rule("/journal/remove", view_func=remove, methods=["POST"], endpoint="journal_remove")
    blueprint.add_url_rule("/journal/erase", view_func=erase, methods=["POST"], endpoint="journal_erase")
    blueprint.add_url_rule("/journal/erase-person", view_func=erase_person, methods=["POST"], endpoint="journal_erase_person")


# -- questions ------------------------------------------------------------------------------------------------------------


def journal_list() -> Any:
    """Every change of the house, by batches, newest first."""
    try:
        asked, sentence = question(request.args), ""
    except Broken as problem:
        asked, sentence = Question(), problem.sentence
    return drawn("journal.html", _page(asked, sentence), 400 if sentence else 0)


def _page(asked: Question, sentence: str) -> SimpleNamespace:
    text = request.args.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    beside = among(asked)
    ids = batches_of(asked, before, SIZE + 1, beside)
    older, ids = len(ids) > SIZE, ids[:SIZE]
    heads = {row.id: row for row in db.session.execute(select(batches).where(batches.c.id.in_(ids or [0])))}
    own = and_(*asked.where(), true())
    most = MOST_CHANGES if asked.batch is None else MOST_OF_ONE
    counts, shown = _shown(ids, or_(own, id_among(journal.c.id, beside.ids)) if beside.places else own, most)
    rows = list(db.session.execute(select(journal).where(journal.c.id.in_(shown or [0])).order_by(journal.c.id.desc())).all())
    kept = {name: request.args.get(name, "") for name in NAMES} if not sentence else {}
    return SimpleNamespace(
        batches=batch_blocks(ids, heads, rows, {one: _more(count, most) for one, count in counts.items()}),
        url=URL,
        sentence=sentence,
        notes=_notes(asked, beside),
        asked={name: request.args.get(name, "") for name in NAMES},
        more=any(request.args.get(name) for name in ("person", "door", "since", "until", "field", "value", "record", "batch")),
        filtered=any(kept.values()),
        verbs=list(verb_words().items()),
        doors=[(door, word or _("on a screen")) for door, word in door_words().items()],
        people=_people(asked.person),
        models=sorted(((table, model_label(one, many=True)) for table, one in models().items()), key=lambda pair: pair[1]),
        next_url=address(URL, **kept, before=ids[-1]) if older else "",
        first_url=address(URL, **kept) if before else "",
        export_url=address(f"{URL}/export", **kept),
        keep_url=f"{URL}/keep",
    )


def _shown(ids: list[int], where: Any, most: int) -> tuple[dict[int, int], list[int]]:
    """({batch: how many rows of it answer, as far as one more than `MOST_OF_ONE`}, ids of the newest ``most`` rows of each).

    Each is asked for itself, so that a large one leaves none of those below it empty; one statement.
    """
    if not ids:
        return {}, []
    place = journal.c.batch_id, journal.c.id
    each = [select(*place).where(journal.c.batch_id == one, where).order_by(journal.c.id.desc()).limit(MOST_OF_ONE + 1) for one in ids]
    found: dict[int, list[int]] = {}
    for row in db.session.execute(union_all(*(select(one.subquery()) for one in each))):
        found.setdefault(row.batch_id, []).append(row.id)
    newest = [number for some in found.values() for number in sorted(some, reverse=True)[:most]]
    return {one: len(some) for one, some in found.items()}, newest


def _more(count: int, most: int) -> str:
    if count <= most:
        return ""
    if count > MOST_OF_ONE:
        return _("and more than %(count)s more", count=MOST_OF_ONE - most) if most < MOST_OF_ONE else _("and more; the file tells them all")
    return ngettext("and %(count)s more", "and %(count)s more", count - most)


def _notes(asked: Question, beside: Among) -> list[str]:
    """What the answer about one record holds, and what it cannot hold."""
    if not (asked.model and asked.record) or asked.field or asked.value:
        return []
    told = [_("Also told: pages of lists and exports that held this record among others.")]
    if beside.since is not None:
        when = local(beside.since).date().isoformat()
        told.append(_("These were looked through back to %(day)s; for older ones choose that day as “To”.", day=when))
    return [*told, _("Not found here: lists that were printed or grouped, and old entries whose records were taken away.")]


def _people(chosen: int | None) -> list[tuple[int, str]]:
    query = select(User.id, User.name, User.username).order_by(User.name)
    found = [(row.id, f"{row.name} ({row.username})") for row in db.session.execute(query.limit(MOST_PEOPLE))]
    if chosen is not None and chosen not in dict(found):
        found += [(number, name) for number, name in people([chosen]).items()]
    return found


# -- as a file ------------------------------------------------------------------------------------------------------------


def export() -> Response:
    """The answer as a CSV file, a line for each field that changed; journalled."""
    from core.transfer.exporting import csv_lines

    response = Response(outlive(csv_lines(lines(told(request.args)))), mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=f"journal-{today().isoformat()}.csv")
    return response


# -- keeping --------------------------------------------------------------------------------------------------------------


def keep() -> str:
    """How much the journal holds, whether it is whole, and what may be taken out."""
    return render_template("journal_keep.html", page=_keep_page())


def _keep_page() -> SimpleNamespace:
    oldest = db.session.execute(select(journal.c.at).order_by(journal.c.id).limit(1)).scalar()
    count = db.session.execute(select(func.count()).select_from(journal)).scalar_one()
    kinds = [(table, model_label(one, many=True)) for table, one in models().items() if may("read", one)]
    return SimpleNamespace(
        url=URL, count=count, oldest=local(oldest).strftime("%Y-%m-%d") if oldest else "", checked=_last_check(), ask=None,
        may_remove=rights().level == "system_administrator", models=sorted(kinds, key=lambda pair: pair[1]),
        read_models=set(setting("journal.read_models").split()),
        always=sorted(model_label(one, many=True) for one in models().values() if one.sensitive),
        months=setting("journal.keep_months"), trash_days=setting("trash.keep_days"), sign_in_days=setting("sign_in.keep_days"),
        kinds=[SimpleNamespace(name=one.removeprefix("journal."), label=t(declared_settings()[one].label), months=setting(one))
               for one in journal_jobs.KINDS],
    )  # fmt: skip


def _last_check() -> SimpleNamespace | None:
    """What the newest check has found, and when; None before the first."""
    checks = select(journal).where(journal.c.model == journal.name, journal.c.verb == journal_keep.CHECKED)
    row = db.session.execute(checks.order_by(journal.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    names, found = ("rows", "removed", "erased", "unsealed", "head", "faults"), facts_of(row)
    facts = {name: found.get(name) for name in names}
    # What a check has found is an entry like any other: somebody may have altered it.
    if not (isinstance(facts["faults"], list) and isinstance(facts["head"], list) and len(facts["head"]) == 2):
        facts["faults"] = [journal_keep.not_as_sealed(row._mapping)]
    return SimpleNamespace(**facts, fine=not facts["faults"], at=local(row.at).strftime("%Y-%m-%d %H:%M"))


def check() -> Any:
    """Have a job walk the whole chain; this page tells what it has found."""
    say_queued(journal_jobs.check_journal.later(key="journal"))
    return redirect(f"{URL}/keep")


def months() -> Any:
    """Set for how many months the journal is kept, and kinds of its entries."""
    if rights().level != "system_administrator":
        raise Refused(_("Only a system administrator may say how long the journal is kept."))
    names = ("journal.keep_months", *journal_jobs.KINDS)
    try:
        for name in names:
            if (text := request.form.get(name.removeprefix("journal."))) is not None:
                set_setting(name, text)
    except Invalid as problem:
        db.session.rollback()
        say(problem.sentence, icon="alert-triangle")
        return redirect(f"{URL}/keep")
    kept = setting("journal.keep_months")
    some = ngettext("The journal is kept for %(count)s month.", "The journal is kept for %(count)s months.", kept)
    say(some if kept else _("The journal is kept for good."))
    return redirect(f"{URL}/keep")


def reads() -> Any:
    """Choose the kinds of records of which each reading is journalled."""
    if rights().level != "system_administrator":
        raise Refused(_("Only a system administrator may say what the journal keeps."))
    try:
        set_setting("journal.read_models", " ".join(request.form.getlist("tables")))
    except Invalid as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(f"{URL}/keep")
    say(_("Readings of these records are journalled from now on."))
    return redirect(f"{URL}/keep")


def remove() -> Any:
    """Take out what is older than a day; a system administrator types the number of entries to confirm."""
    if rights().level != "system_administrator":
        raise Refused(_("Only a system administrator may take entries out of the journal."))
    text = request.form.get("before", "")
    try:
        day = datetime.fromisoformat(text[:10])
        moment = day.replace(tzinfo=zone_of(actor().zone)).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        say(_("Please give the day before which entries are taken out."), icon="alert-triangle")
        return redirect(f"{URL}/keep")
    count, _top = journal_keep.removable(moment)
    if request.form.get("count") != str(count) or not count:
        page = _keep_page()
        page.ask = SimpleNamespace(before=text[:10], count=count, wrong="count" in request.form)
        return drawn("journal_keep.html", page, 422 if page.ask.wrong else 0)
    folder = current_app.config["MORTISE"].data / "journal"
    name = journal_jobs.archive_name(day)
    try:
        count = journal_keep.remove(moment, folder / name)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(f"{URL}/keep")
    out = ngettext("%(count)s entry was taken out", "%(count)s entries were taken out", count)
    say(_("%(told)s and lies in the file %(name)s of the data folder.", told=out, name=name), sticky=True)
    return redirect(f"{URL}/keep")


def erase() -> Any:
    """Empty what the journal says of one record, after it was named twice."""
    table, text = request.form.get("model", ""), request.form.get("record", "").strip()
    if table not in models() or not may("read", models()[table]):
        say(_("Please choose a kind of record."), icon="alert-triangle")
        return redirect(f"{URL}/keep")
    if not (text.isascii() and text.isdigit() and len(text) < 10) or text != request.form.get("again", "").strip():
        say(_("Please give the number of the record, twice the same."), icon="alert-triangle")
        return redirect(f"{URL}/keep")
    try:
        count = journal_erase.erase(model_of(table), int(text))
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(f"{URL}/keep")
    say(ngettext("%(count)s entry was emptied.", "%(count)s entries were emptied.", count), sticky=True)
    return redirect(f"{URL}/keep")


def erase_person() -> Any:
    """Have a job take one person's values away, after he was named twice."""
    journal_erase.only_administrators()
    name = request.form.get("person", "").strip()
    if not name or name != request.form.get("again", "").strip():
        say(_("Please give the sign-in name, twice the same."), icon="alert-triangle")
        return redirect(f"{URL}/keep")
    try:
        person = journal_erase.account_named(name)
    except Problem as problem:
        say(problem.sentence, icon="alert-triangle")
        return redirect(f"{URL}/keep")
    say_queued(journal_jobs.erase_later(person))
    return redirect(f"{URL}/keep")
