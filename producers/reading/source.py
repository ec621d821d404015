"""An uploaded file, recognised, and its rows."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from producers.reading.archive import Content, compression_of, contents_of
from producers.reading.header import header_line
from producers.reading.header.columns import Header
from producers.reading.options import Options
from producers.reading.refusals import (
    FOREIGN_SIGNATURES,
    RefusedError,
    quoted,
    refusal,
)
from producers.reading.row.joined_parts import can_be_joined, joined
from producers.reading.row.passed_over import PassedOver
from producers.reading.row.row import FileRow, filled, head_offices, rows_of
from producers.reading.row.spellings import Spellings
from producers.reading.table import Block, Format, Part
from producers.reading.text import json_objects, json_table, text_table
from producers.reading.workbook import book
from producers.reading.workbook.memory_limit import INFLATED_BYTES
from producers.reading.workbook.sheet import Sheet
from schemas.import_types import ImportType
from schemas.rules import Luhn

READER_VERSION = "5"
"""Raise this if the same file may be read differently by this version, for example by a new rule on a
key field. An interrupted import of the earlier version is then not resumed."""


_RowsAmong = Callable[[Sequence[Sequence[str]], Sequence[int]], Sequence[int]]


@dataclass
class Source:
    """A file that can be imported. `blank_lines` counts the lines skipped so far that are blank or are
    not rows, as a header in the middle; `skipped_rows` counts the rows of a nomenclature that are not activities, and secondary establishments.

    `parts` have one header; what a file has besides is in `skipped_sheets`.
    """

    path: Path
    import_type: ImportType
    sha256: str
    compression: str | None
    parts: Sequence[Part]
    skipped_sheets: Sequence[str]
    luhn: Luhn
    blank_lines: int = 0
    skipped_rows: int = 0

    @property
    def file_name(self) -> str:
        """The last part of the path. Bytes that are not valid UTF-8 are replaced."""
        return os.fsencode(self.path.name).decode(errors="replace")

    @property
    def format(self) -> Format:
        """Of the first part."""
        return self.parts[0].format

    @property
    def encoding(self) -> str | None:
        """Of the first part."""
        return self.parts[0].encoding

    @property
    def delimiter(self) -> str | None:
        """Of the first part."""
        return self.parts[0].delimiter

    @property
    def sheet(self) -> str | None:
        """The names of all parts, None for a text file by itself."""
        return ", ".join(part.name for part in self.parts if part.name is not None) or None

    @property
    def header_line(self) -> int:
        """Where the header stands in the first part."""
        return self.parts[0].header_line

    @property
    def columns(self) -> Header:
        """The header of all parts."""
        return self.parts[0].columns

    @property
    def header(self) -> list[str]:
        """The header's cells, trimmed and on one line."""
        return self.columns.names

    @property
    def mapping(self) -> dict[str, str]:
        """Fields by header."""
        return self.columns.mapping

    @property
    def unknown_columns(self) -> list[str]:
        """The columns that are not imported."""
        return self.columns.unknown

    def chunks(self) -> Iterator[list[FileRow]]:
        """The rows in order, up to 1,000 at a time. Each call reads the file again.

        Raises RefusedError if an archive turns out to be broken on the way.
        """
        self.blank_lines = self.skipped_rows = 0
        spellings = Spellings(self.import_type)
        for block, rows_among in self._blocks():
            at = rows_among(block.rows, filled(block.rows))
            self.blank_lines += len(block.rows) - len(at)
            wanted = header_line.activities(self.columns, block.rows, at)
            wanted = head_offices(self.columns, block.rows, wanted)
            self.skipped_rows += len(at) - len(wanted)
            if wanted:
                rows = rows_of(self.import_type, self.columns, block, wanted, self.luhn)
                spellings.warn(rows)
                yield rows

    def _blocks(self) -> Iterator[tuple[Block, _RowsAmong]]:
        for part in self.parts:
            passed_over = PassedOver(self.import_type, part.columns)
            for block in part.blocks():
                yield block, passed_over.rows


def open_source(path: Path, import_type: ImportType, options: Options = Options()) -> Source:  # noqa: B008 - it is frozen
    """The file at `path`, by its content and not by its name.

    Raises RefusedError if it cannot be imported, OSError if it cannot be read.
    """
    compression, members = contents_of(path)
    found: list[Part] = []
    skipped: list[str] = []
    reasons: list[RefusedError] = []
    for candidate in _chosen(members, import_type, options):
        try:
            part = candidate.recognise() if candidate.visible else None
        except RefusedError as reason:
            if reason.code in _OF_THE_FILE:
                raise
            reasons.append(reason)
            part = None
        if part is not None and (not found or _belong_together(found[0], part)):
            found.append(part)
        elif candidate.name is not None:
            skipped.append(candidate.name)
    if not found:
        raise max(reasons, key=_relevance, default=refusal("empty-file"))
    if not any(filled(block.rows) for part in found for block in part.blocks()):
        raise refusal("no-rows")
    sha256 = sha256_of(path)
    parts = joined(found, import_type, options.columns)
    return Source(path, import_type, sha256, compression, parts, skipped, options.luhn)


def _belong_together(one: Part, other: Part) -> bool:
    return one.columns == other.columns or can_be_joined(one.columns, other.columns)


def sha256_of(path: Path) -> str:
    """The SHA-256 of the bytes, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# What is wrong with the whole file, whichever part of it shows it.
_OF_THE_FILE = {
    "broken-archive",
    "broken-workbook",
    "delimiter",
    "encrypted-workbook",
    "nested-archive",
    "too-large",
    "unknown-encoding",
    "unknown-field",
}


def _relevance(reason: RefusedError) -> int:
    order = ("unsupported-format", "empty-file", "unknown-columns", "missing-label")
    return order.index(reason.code) if reason.code in order else len(order)


class _Candidate(NamedTuple):
    """`member` is the name of the archive's file that it is in."""

    name: str | None
    member: str | None
    recognise: Callable[[], Part]
    visible: bool = True


def _chosen(
    members: Sequence[Content], import_type: ImportType, options: Options
) -> Iterator[_Candidate]:
    """What the file may be read as: the sheet that the operator named, or everything."""
    names: list[str] = []
    requested = options.sheet
    chosen = False
    for candidate in chain.from_iterable(_candidates(one, import_type, options) for one in members):
        if candidate.name is None or requested is None:
            chosen = True
            yield candidate
        elif requested in (candidate.name, candidate.member):
            chosen = True
            yield candidate._replace(visible=True)
        else:
            names.append(candidate.name)
            yield candidate._replace(visible=False)
    if requested is not None and not chosen and names:
        raise refusal("unknown-sheet", sheet=requested, sheets=quoted(names))


def _candidates(
    content: Content, import_type: ImportType, options: Options
) -> Iterator[_Candidate]:
    try:
        head = content.head()
        if not book.begins(head):
            _check_signature(head, content.name)
            is_json = json_objects.begins(head.decode("utf-8-sig", "replace"))
            table = json_table if is_json else text_table
            recognise = partial(table.part_of, content, import_type, options)
            yield _Candidate(content.name, content.name, recognise)
            return
        opened = _book(content)
    except RefusedError as reason:
        if content.name is None or reason.code in _OF_THE_FILE:
            raise
        yield _Candidate(content.name, content.name, partial(_raise, reason))
        return
    sheets = opened.sheets()
    if len({sheet for sheet, _ in sheets}) < len(sheets):
        # By its name the first would be read for each, and the rows of the others be lost.
        raise refusal("broken-workbook")
    for sheet, visible in sheets:
        name = _Name(sheet, f"{content.name}/{sheet}" if content.name else sheet)
        recognise = partial(_sheet_part, content, opened, name, import_type, options)
        yield _Candidate(name.shown, content.name, recognise, visible)


class _Name(NamedTuple):
    """Of a sheet: in its workbook, and in what the operator sees."""

    sheet: str
    shown: str


def _raise(reason: RefusedError) -> Part:
    raise reason


_SIGNATURES = {
    **FOREIGN_SIGNATURES,
    b"\xfd7zXZ": "une archive xz",
    b"{\\rtf": "un document RTF",
    b"<!DOCTYPE": "une page HTML",
    b"<html": "une page HTML",
    b"<table": "une page HTML",
    b"<?xml": "un document XML",
}


def _check_signature(head: bytes, member: str | None) -> None:
    nested = compression_of(head)
    if head[257:262] == b"ustar":
        nested = "tar"
    if nested is not None:
        raise refusal("nested-archive", found=member or nested)
    trimmed = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, found in _SIGNATURES.items():
        if trimmed[: len(signature)].lower() == signature.lower():
            raise refusal("unsupported-format", found=found)


def _book(content: Content) -> book.Book:
    """The workbook that `content` is. Raises RefusedError."""
    with content.open() as file:
        if file.seekable():
            return book.open_book(file)
        with tempfile.TemporaryFile() as whole:
            while block := file.read(_BLOCK):
                whole.write(block)
                if whole.tell() > INFLATED_BYTES:
                    raise refusal("too-large", found=f"plus de {INFLATED_BYTES >> 20} Mio")
            whole.seek(0)
            return book.open_book(whole)


_BLOCK = 1 << 20


def _sheet_part(
    content: Content, workbook: book.Book, name: _Name, import_type: ImportType, options: Options
) -> Part:
    """The table that a sheet of `workbook` is, which `content` holds."""
    sheet = _sheet(workbook, name)
    lines = sheet.head()
    positions = filled(lines)
    if not positions:
        raise refusal("empty-file")
    at, columns = header_line.locate([lines[i] for i in positions], import_type, options.columns)
    first = positions[at]
    last = sheet.header_end(first, lines)
    if last > first:
        names = [below or above for above, below in zip(lines[first], lines[last], strict=True)]
        _, columns = header_line.locate([names, *lines[last + 1 :]], import_type, options.columns)
    width, line = len(columns.names), last + 1
    notes, merged = sheet.notes, len(sheet.merged)
    # Of an archive, one workbook at a time is in memory.

    def again() -> Sheet:
        return _sheet(_book(content), name) if content.name else sheet

    return Part(
        name=name.shown,
        format=workbook.format,
        header_line=line,
        columns=columns,
        blocks=lambda: again().blocks(line + 1, width),
        hidden_rows=notes.hidden_rows,
        hidden_columns=notes.hidden_columns,
        merged_cells=merged,
    )


def _sheet(workbook: book.Book, name: _Name) -> Sheet:
    return replace(workbook.sheet(name.sheet), name=name.shown)
