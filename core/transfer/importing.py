"""Imports: a file's good rows go through the gate in chunks, the wrong ones come back as a file with the reason."""

from __future__ import annotations

import csv
import filecmp
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy.exc import DBAPIError

from core import journal
from core.db import db
from core.errors import Broken, Busy, Refused, Wrong
from core.fields import tidy
from core.i18n import gettext as _
from core.i18n import listed, ngettext
from core.model import fields_of, model_label, model_of
from core.records import CHUNK, Done, records
from core.rules import may
from core.transfer.cells import defused, plain
from core.transfer.headings import Columns, match
from core.transfer.links import Named, parts
from core.transfer.reading import Sheet, opened

TOLD_EVERY = 5000
"""Rows between two words of progress."""
Progress = Callable[[str], None]
Row = tuple[int, list[str]]


@dataclass(slots=True)
class ImportOutcome:
    """What became of a file."""

    read: int = 0
    created: int = 0
    changed: int = 0
    same: int = 0
    refused: int = 0
    wrong_file: Path | None = None
    """Where the refused rows lie, each with its reason."""
    ignored: list[str] = field(default_factory=list)
    """Headings that are no field."""
    batch_id: int | None = None
    """The batch that undoes the whole import."""
    seconds: float = 0.0
    checked: bool = False
    """True when nothing was written: somebody only wanted to know."""

    def __str__(self) -> str:
        head = _("Only checked, nothing was written. Rows: %(read)s.", read=f"{self.read:,}") if self.checked else ""
        head = head or _("Rows read: %(read)s.", read=f"{self.read:,}")
        told = [
            head,
            _("New: %(created)s, changed: %(changed)s, already there: %(same)s, wrong: %(refused)s.",
              created=f"{self.created:,}", changed=f"{self.changed:,}", same=f"{self.same:,}", refused=f"{self.refused:,}"),
        ]  # fmt: skip
        if self.wrong_file is not None:
            told.append(
                _("The wrong rows are in %(file)s, each with its reason; correct them there and import that file.", file=self.wrong_file)
            )
        if self.ignored:
            told.append(
                ngettext("No field fits this column, so it was left out: %(names)s.",
                         "No field fits these columns, so they were left out: %(names)s.", len(self.ignored), names=listed(self.ignored))
            )  # fmt: skip
        return "\n".join(told)


def run_import(
    table: str, path: Path | str, *, keys: Sequence[str] = (), check: bool = False, wrong: Path | str | None = None,
    progress: Progress | None = None,
) -> ImportOutcome:  # fmt: skip
    """Take the rows of a CSV or Excel file into the model of ``table``, with the rights of the acting person.

    A row that is there already is recognised and changed, never doubled: by ``keys`` when given; else by the first of these
    that it has whole: a unique field (code), the model's ``duplicate_keys``, all its values. An empty cell changes nothing.
    Chunks of 500 rows are committed one by one in one batch. Rows that are refused are written to ``wrong``, by default
    ``FILE.wrong.csv`` beside the file. With ``check`` nothing is stored. Raises `Broken` with one sentence, before anything
    is written, for a file that cannot be read, and `Refused` without the right to import.
    """
    path, model = Path(path), model_of(table)
    gate, verdict = records(model), may("import", model)
    if not verdict:
        raise Refused(_("You may not import %(label)s.", label=model_label(model, many=True)), verdict)
    if unknown := [key for key in keys if key not in fields_of(model)]:
        raise Broken(_("%(model)s has no field “%(field)s”. Please check the name.", model=model_label(model), field=unknown[0][:60]))
    started = time.perf_counter()
    _end_transaction(keep=not check)
    with opened(path) as sheet:
        columns = match(sheet, model, keys)
        outcome = ImportOutcome(ignored=columns.ignored, checked=check)
        target = Path(wrong) if wrong is not None else path.with_name(path.name + ".wrong.csv")
        with _WrongRows(target, columns.heading) as wrong_rows, journal.batch(_("Import of %(file)s", file=path.name)):
            chain = _key_chain(model, columns, keys)
            try:
                for lot in _lots(sheet, columns):
                    for (_line, cells), done in zip(lot, _store(gate, columns, lot, chain), strict=True):
                        outcome.read += 1
                        setattr(outcome, done.action, getattr(outcome, done.action) + 1)
                        if done.errors:
                            wrong_rows.add(cells, _reason(model, done.errors))
                    _end_transaction(keep=not check)
                    if progress is not None and outcome.read // TOLD_EVERY > (outcome.read - len(lot)) // TOLD_EVERY:
                        progress(_("%(read)s rows of %(total)s", read=f"{outcome.read:,}", total=f"{sheet.count - 1:,}"))
                if not check:
                    outcome.batch_id = journal.batch_id()
                    facts = {name: [None, getattr(outcome, name)] for name in ("read", "created", "changed", "same", "refused")}
                    journal.write(table, 0, "import", {"file": [None, path.name], **facts})
                    _settle_search()
                    _end_transaction()
            except (DBAPIError, OSError) as error:
                db.session.rollback()
                why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
                raise Busy(
                    _("The import stopped after %(count)s rows: %(why)s. What was read until then is stored; "
                      "import the same file again, and nothing is doubled.", count=f"{outcome.read:,}", why=why)
                ) from error  # fmt: skip
            outcome.wrong_file = wrong_rows.keep()
    outcome.seconds = time.perf_counter() - started
    return outcome


def _end_transaction(keep: bool = True) -> None:
    """Let others write: a chunk is stored, or taken back when somebody only checks."""
    if keep:
        db.session.commit()
    else:
        db.session.rollback()


def _settle_search() -> None:
    from core.search import settle

    settle(db.session.connection())


def _key_chain(model: type, columns: Columns, keys: Sequence[str]) -> list[tuple[str, ...]]:
    if keys:
        return [tuple(keys), ()]
    fields = fields_of(model)
    unique = [(name,) for name in columns.fields if fields[name].unique]
    own = tuple(getattr(model, "duplicate_keys", "").split())
    return [*unique, *([own] if own else []), ()]


def _lots(sheet: Sheet, columns: Columns) -> Iterator[list[Row]]:
    below = ((line, cells) for line, cells in sheet.rows() if line > columns.heading_line)
    while lot := list(islice(below, CHUNK)):
        yield lot


# -- rows -------------------------------------------------------------------------------------------------------------


def _store(gate: Any, columns: Columns, lot: list[Row], chain: list[tuple[str, ...]]) -> list[Done]:
    """Put one chunk through the gate; rows with a wrong link or shape do not get there, but are told all their other faults too."""
    model = gate.model
    texts = [_texts(columns, model, cells) for _line, cells in lot]
    named = _named(model, columns, texts)
    answers: dict[int, Done] = {}
    good: list[tuple[int, dict[str, Any]]] = []
    for place, (values, (line, cells)) in enumerate(zip(texts, lot, strict=True)):
        errors: dict[str, str] = {}
        if any(cell.strip() for cell in cells[len(columns.heading) :]):
            errors[""] = _("This line (%(line)s) has more cells than the heading; is there a separator inside a value?", line=line)
        for name, target in named.items():
            if name in values:
                try:
                    values[name] = _linked(model, name, values[name], target)
                except Wrong as fault:
                    errors[name] = str(fault)
                    del values[name]
        if errors:
            answers[place] = Done(place, action="refused", errors={**gate.clean(values)[1], **errors})
        else:
            good.append((place, values))
    for (place, _values), done in zip(good, gate.create_many([values for _place, values in good], keys=chain), strict=True):
        answers[place] = done
    return [answers[place] for place in range(len(lot))]


def _texts(columns: Columns, model: type, cells: list[str]) -> dict[str, Any]:
    """{field: text} of the cells that hold something."""
    found: dict[str, Any] = {}
    for name, places in columns.fields.items():
        given = [plain(cells[place]).strip() for place in places if place < len(cells)]
        text = ", ".join(dict.fromkeys(one for one in given if one)) if len(places) > 1 else given[0] if given else ""
        if text:
            found[name] = text
    return found


def _named(model: type, columns: Columns, texts: list[dict[str, Any]]) -> dict[str, Named]:
    found: dict[str, Named] = {}
    for name in columns.fields:
        one = fields_of(model)[name]
        if one.kind.name == "link":
            found[name] = Named(one.target, (tidy(values[name]) for values in texts if name in values))
        elif one.kind.name == "links":
            found[name] = Named(one.target, (each for values in texts if name in values for each in parts(values[name])))
    return found


def _linked(model: type, name: str, text: str, named: Named) -> Any:
    if fields_of(model)[name].kind.name == "links":
        return [named.id_of(one) for one in parts(text)]
    return named.id_of(tidy(text))


def _reason(model: type, errors: dict[str, str]) -> str:
    fields = fields_of(model)
    return " ".join(fields[name].title + _(": ") + text if name in fields else text for name, text in errors.items())


class _WrongRows:
    """The file of refused rows: the columns of the original and the reason; complete, or not there at all."""

    def __init__(self, target: Path, heading: list[str]) -> None:
        self.target, self.heading = target, heading
        self.part = target.with_name(target.name + ".part")
        self.count = 0
        self.kept = False
        self._stream: TextIO | None = None
        self._writer: Any = None

    def __enter__(self) -> _WrongRows:
        try:
            self._stream = self.part.open("w", encoding="utf-8-sig", newline="")
        except OSError as error:
            raise Broken(
                _("The file for wrong rows, %(file)s, cannot be written: %(why)s.", file=self.target, why=error.strerror or str(error))
            ) from None
        self._writer = csv.writer(self._stream)
        self._writer.writerow([*map(defused, self.heading), _("Reason")])
        return self

    def add(self, cells: list[str], reason: str) -> None:
        """Keep one row as it was written."""
        self.count += 1
        width = len(self.heading)
        # What was too much stays visible, behind the reason.
        row = [*(cells + [""] * width)[:width], reason, *cells[width:]]
        self._writer.writerow([defused(plain(cell)) for cell in row])

    def keep(self) -> Path | None:
        """The finished file; None when no row was wrong. A file that somebody may be correcting is not written over."""
        assert self._stream is not None
        self._stream.close()
        if not self.count:
            return None
        target, number = self.target, 1
        while target.exists() and not filecmp.cmp(self.part, target, shallow=False):
            number += 1
            target = self.target.with_name(f"{self.target.stem}-{number}{self.target.suffix}")
        self.part.replace(target)
        self.kept = True
        return target

    def __exit__(self, *_about: Any) -> None:
        if self._stream is not None:
            self._stream.close()
        if not self.kept:
            self.part.unlink(missing_ok=True)
