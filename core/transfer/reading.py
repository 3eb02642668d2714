"""Tables from files as firms have them: CSV in four encodings and with four separators, and Excel workbooks."""

from __future__ import annotations

import codecs
import csv
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

from core.errors import Broken
from core.i18n import gettext as _
from core.transfer.cells import text_of

LARGEST_FILE = 512 * 2**20
LARGEST_UNPACKED = 1024 * 2**20
LARGEST_STRINGS = 128 * 2**20
"""Texts of a workbook, which the library keeps in memory."""
LARGEST_PART = 16 * 2**20
"""Any other part of a workbook that is read, such as its styles."""
CONTENT_TYPES = "[Content_Types].xml"
DEEPEST, MOST_PARTS, MOST_TEXTS = 50, 500_000, 4_000_000
"""Of a workbook's parts: levels, elements beside rows or in one of them, and rows or texts."""
MOST_COLUMNS = 200
MOST_SHEETS = 30
"""So many are looked at for one with something in it."""
MOST_ROWS = 2**20
"""What Excel can hold; rows beyond are not there."""
LONGEST_LINE = 4 * 2**20
LONGEST_CELL = csv.field_size_limit()
MOST_BREAKS = 200
"""A cell with more line breaks than this has to be quoted as a program does it; else it is a quotation mark that nobody closed."""
PIECE = 2**20
SEPARATORS = ",;\t|"
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f]")


class _Undecodable(Broken):
    """Bytes that are not in the encoding that was tried."""


@dataclass(slots=True)
class Sheet:
    """A table that was read once from end to end and found readable."""

    path: Path
    encoding: str
    separator: str
    count: int
    """Lines with something in them, the heading included."""
    skip: int = 0
    since_1904: bool = False
    """True for a workbook that counts its days from 1904, as Excel on a Mac did."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of each line with something in it; lines are counted as a spreadsheet numbers its rows.

        A cell with line breaks lies in one row, an empty line is a row too, and ``sep=;`` in front is none.
        """
        return _rows(self.path, self.encoding, self.separator, self.skip)


def check_size(path: Path) -> None:
    """Raise `Broken` for what is no file, cannot be opened or is larger than may be read."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise Broken(_("“%(file)s” is not a file.", file=path.name))
        path.open("rb").close()
    except OSError as error:
        raise Broken(_("“%(file)s” cannot be opened: %(why)s.", file=path.name, why=error.strerror or str(error))) from None
    if size > LARGEST_FILE:
        raise Broken(_("“%(file)s” is larger than %(limit)s MB. Please split it.", file=path.name, limit=LARGEST_FILE // 2**20))


@contextmanager
def opened(path: Path) -> Iterator[Sheet]:
    """The table in a file. It is read to its end first: what cannot be read is refused (`Broken`) before anything is written."""
    check_size(path)
    with path.open("rb") as stream:
        head = stream.read(4096)
    if not head.strip(b"\0\xef\xbb\xbf\xff\xfe \t\r\n"):
        blank = b"\0" not in head or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise Broken(_("“%(file)s” is empty.", file=path.name) if blank else _not_a_table(path))
    if head.startswith(b"PK"):
        with tempfile.TemporaryDirectory(prefix="mortise-import-") as folder:
            table = Path(folder) / "table.csv"
            since_1904 = _from_workbook(path, table)
            yield replace(_checked(table, "utf-8", ",", path.name), since_1904=since_1904)
        return
    if head.startswith((b"\xd0\xcf\x11\xe0", b"%PDF", b"{\\rtf")):
        raise Broken(_("“%(file)s” is neither CSV nor an Excel workbook (.xlsx). Please save it as one of these.", file=path.name))
    encoding = _encoding(path, head)
    with path.open(encoding=encoding, newline="") as text:
        first = text.read(PIECE)
    if _CONTROLS.search(first):
        raise Broken(_not_a_table(path))
    named = re.match(r"sep=(.)\r?\n", first)
    yield _checked(path, encoding, named[1] if named else _separator(first), path.name, 1 if named else 0)


def _not_a_table(path: Path) -> str:
    return _("“%(file)s” does not hold a table of text. Please export it again as CSV or as an Excel workbook (.xlsx).", file=path.name)


# -- CSV --------------------------------------------------------------------------------------------------------------


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decodes(path, "utf-16") and "utf-16"
    if b"\0" in head:
        # Latin and digits in UTF-16 have a zero in every second byte, always the same one.
        even, odd = head[::2].count(0), head[1::2].count(0)
        if max(even, odd) < len(head) / 10 or min(even, odd) > max(even, odd) / 10:
            raise Broken(_not_a_table(path))
        name = "utf-16-le" if odd > even else "utf-16-be"
        return _decodes(path, name) and name
    try:
        _decodes(path, "utf-8")
        return "utf-8-sig"
    except _Undecodable as damaged:
        if head.startswith(codecs.BOM_UTF8) or _mostly_utf8(path):
            raise
        try:
            return _decodes(path, "gb18030") and "gb18030"
        except _Undecodable:
            raise Broken(
                _("“%(file)s” is neither UTF-8 nor GB18030. Please save it as “CSV UTF-8” and try again.", file=path.name)
            ) from damaged


def _decodes(path: Path, encoding: str) -> bool:
    """True when the whole file is in this encoding; `Broken` names the first line that is not, or one that never ends."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, since = 1, 0
    with path.open("rb") as stream:
        while True:
            piece = stream.read(PIECE)
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line = lines + piece[: error.start].count(b"\n")
                raise _Undecodable(
                    _("“%(file)s” is damaged in line %(line)s: it cannot be read as %(encoding)s.", file=path.name, line=line,
                      encoding=encoding.upper())
                ) from None  # fmt: skip
            if not piece:
                return True
            lines += piece.count(b"\n")
            end = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
            since = since + len(piece) if end < 0 else len(piece) - end
            if since > LONGEST_LINE:
                raise Broken(_("Line %(line)s of “%(file)s” does not end. This is not a table.", line=lines, file=path.name))


def _mostly_utf8(path: Path) -> bool:
    """True when but a few letters are no UTF-8: then the file is damaged, not in another encoding."""
    with path.open("rb") as stream:
        text = stream.read(4 * PIECE).decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return sum(letter > "\x7f" for letter in text) - bad > 10 * bad


def _separator(text: str) -> str:
    """The separator that cuts the first lines into the most columns."""
    lines = text.splitlines(keepends=True)[:20]
    best, most = ",", 1.0
    for mark in SEPARATORS:
        try:
            widths = sorted(len(row) for row in csv.reader(lines, delimiter=mark) if any(row))
        except csv.Error:
            continue
        if widths and widths[len(widths) // 2] > most:
            best, most = mark, widths[len(widths) // 2]
    return best


def _rows(path: Path, encoding: str, separator: str, skip: int, raw: list[str] | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows with something in them; ``raw`` holds the lines of text that the one at hand was read from."""
    with path.open(encoding=encoding, newline="") as stream:
        for _line in range(skip):
            stream.readline()
        reader = csv.reader(stream if raw is None else _kept(stream, raw), delimiter=separator)
        for number, row in enumerate(reader, 1):
            if any(cell.strip() for cell in row):
                yield number, row
            if raw is not None:
                raw.clear()


def _kept(stream: Iterable[str], raw: list[str]) -> Iterator[str]:
    for line in stream:
        raw.append(line)
        yield line


def _checked(path: Path, encoding: str, separator: str, name: str, skip: int = 0) -> Sheet:
    """The sheet, after one walk from end to end."""
    count = line = 0
    raw: list[str] = []
    try:
        for line, row in _rows(path, encoding, separator, skip, raw):
            count += 1
            if len(row) > MOST_COLUMNS:
                raise Broken(_("“%(file)s” has more than %(limit)s columns in line %(line)s.", file=name, limit=MOST_COLUMNS, line=line))
            if len(raw) > 1 and _swallows(raw, row, separator):
                raise Broken(_("In “%(file)s” a quotation mark in line %(line)s is not closed.", file=name, line=line))
    except csv.Error:
        raise Broken(
            _("“%(file)s” cannot be read after line %(line)s: a cell has more than %(limit)s characters, or a quotation mark is open.",
              file=name, line=line, limit=f"{LONGEST_CELL:,}")
        ) from None  # fmt: skip
    if count == 0:
        raise Broken(_("“%(file)s” is empty.", file=name))
    return Sheet(path, encoding, separator, count, skip)


def _swallows(raw: list[str], row: list[str], separator: str) -> bool:
    """Has a quotation mark that nobody closed taken the lines below into its cell: up to the end of the file, or suspiciously many?"""
    try:
        for _row in csv.reader(raw, delimiter=separator, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error) or any(cell.count("\n") + cell.count("\r") > MOST_BREAKS for cell in row)
    return False


# -- workbooks --------------------------------------------------------------------------------------------------------


def _from_workbook(path: Path, target: Path) -> bool:
    """Write the first sheet of a workbook with something in it as a CSV file; memory does not grow with it. True: it counts from 1904."""
    # Heavy, and most requests never need it.
    from openpyxl import load_workbook
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    unreadable = _("“%(file)s” is not an Excel workbook, or it is damaged. Please save it again as .xlsx or as CSV.", file=path.name)
    try:
        with zipfile.ZipFile(path) as packed:
            _check_parts(packed, path.name)
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            since_1904: bool = book.epoch == CALENDAR_MAC_1904
            if not any(_copy_sheet(sheet, target) for sheet in book.worksheets[:MOST_SHEETS]):
                raise Broken(_("“%(file)s” is empty.", file=path.name))
        finally:
            book.close()
    except Broken:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise Broken(unreadable) from None
    except Exception as error:
        # The library raises what it meets: errors of XML and zlib, KeyError, ValueError.
        raise Broken(unreadable) from error
    return since_1904


def _check_parts(packed: zipfile.ZipFile, name: str) -> None:
    """Refuse what would fill the memory: too much in all, too many texts, or a text without end. Sizes that lie are found by reading."""
    too_large = Broken(_("“%(file)s” is too large when unpacked. Please split it.", file=name))
    parts = packed.infolist()
    if sum(one.file_size for one in parts) > LARGEST_UNPACKED:
        raise too_large
    if any(one.filename == CONTENT_TYPES and one.file_size > LARGEST_PART for one in parts):
        raise too_large
    kinds = _kinds(packed)
    for one in parts:
        if one.file_size > _most(one.filename, kinds):
            raise too_large
        if one.filename in kinds or one.filename.lower().endswith((".xml", ".rels")) or one.file_size > LONGEST_LINE:
            _Walk(too_large).through(packed, one)


class _Walk:
    """One look at a part before the library builds objects of it: no entities, no text without end, no tree that outgrows the memory."""

    def __init__(self, too_large: Broken) -> None:
        self.too_large = too_large
        self.depth = self.rows = self.beside = self.inside = 0
        self.row_depth = 0

    def through(self, packed: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
        """Raises `Broken`, or the parser's error for what is no XML."""
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = self._start, self._end, self._doctype
        since = 0
        with packed.open(part) as stream:
            while piece := stream.read(PIECE):
                end = piece.rfind(b"<")
                since = since + len(piece) if end < 0 else len(piece) - end
                if since > LONGEST_LINE:
                    raise self.too_large
                parser.Parse(piece)
        parser.Parse(b"", True)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self.depth += 1
        if not self.row_depth and name.rpartition(":")[2] in ("row", "si"):
            # What the library forgets once it has read it.
            self.row_depth, self.inside = self.depth, 0
            self.rows += 1
        elif self.row_depth:
            self.inside += 1
        else:
            self.beside += 1
        if self.depth > DEEPEST or self.rows > MOST_TEXTS or self.beside > MOST_PARTS or self.inside > MOST_PARTS:
            raise self.too_large

    def _end(self, _name: str) -> None:
        if self.depth == self.row_depth:
            self.row_depth = 0
        self.depth -= 1

    def _doctype(self, *_what: object) -> None:
        raise ValueError("a workbook declares no entities")


def _kinds(packed: zipfile.ZipFile) -> dict[str, set[str]]:
    """{part: what the workbook says it is}; a name says nothing, since the library goes by these too."""
    from openpyxl.xml.functions import fromstring

    found: dict[str, set[str]] = {}
    for one in fromstring(packed.read(CONTENT_TYPES)):
        if name := one.get("PartName"):
            found.setdefault(name.removeprefix("/"), set()).add(str(one.get("ContentType")).lower())
    return found


def _most(part: str, kinds: dict[str, set[str]]) -> int:
    """How many bytes a part may have: sheets are read line by line, the rest as a whole; pictures and the like not at all."""
    mine = kinds.get(part, set())
    if any("sharedstrings" in one for one in mine):
        return LARGEST_STRINGS
    if mine and all("worksheet+xml" in one for one in mine) and part not in ("xl/workbook.xml", "xl/styles.xml", "xl/theme/theme1.xml"):
        return LARGEST_UNPACKED
    return LARGEST_PART if mine or part.lower().endswith((".xml", ".rels")) else LARGEST_UNPACKED


def _copy_sheet(sheet: Any, target: Path) -> bool:
    sheet.reset_dimensions()
    found, blank = False, 0
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        # A row may claim any number, and those before it are made up as empty ones.
        for row in sheet.iter_rows(max_col=MOST_COLUMNS + 1, max_row=MOST_ROWS, values_only=True):
            cells = [text_of(value) for value in row] if row.count(None) < len(row) else []
            while cells and not cells[-1]:
                cells.pop()
            if not cells:
                blank += 1
                continue
            writer.writerows([""] for _ in range(blank))
            writer.writerow(cells)
            found, blank = True, 0
    return found
