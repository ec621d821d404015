"""What a file may be read as: a text, the sheets of a workbook, or those of the files of an archive."""

import codecs
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from types import ModuleType
from typing import NamedTuple

from producers.reading.container.archive import Content
from producers.reading.container.compressed_streams import compression_of
from producers.reading.container.foreign_format import check_format, unsupported
from producers.reading.container.workbook_beginnings import may_be_workbook
from producers.reading.header import header_line
from producers.reading.options import Options
from producers.reading.parts import text_in_cells
from producers.reading.parts.left_out import Lines, text_lines
from producers.reading.refusals import RefusedError, quoted, refusal
from producers.reading.row.row import filled
from producers.reading.table import Part
from producers.reading.text import json_objects, json_table, text_table
from producers.reading.workbook import book
from producers.reading.workbook.memory_limit import INFLATED_BYTES
from producers.reading.workbook.sheet import Sheet
from schemas.import_types import ImportType


class Candidate(NamedTuple):
    """`member` is the name of the archive's file that it is in; `lines` are its cells as they come.

    `wanted`: the operator did not choose another sheet. `visible`: it is not hidden.
    """

    name: str | None
    member: str | None
    recognise: Callable[[], Part]
    lines: Callable[[], Lines]
    visible: bool = True
    wanted: bool = True


def candidates_of(
    members: Sequence[Content], file_name: str, import_type: ImportType, options: Options
) -> Iterator[Candidate]:
    """All of them, in order. Raises RefusedError if the file has no sheet as the operator named."""
    names: list[str] = []
    requested = options.sheet
    chosen = False
    for candidate in chain.from_iterable(
        _candidates(one, one.name or file_name, import_type, options) for one in members
    ):
        if candidate.name is None or requested is None:
            chosen = True
            yield candidate
        elif requested in (candidate.name, candidate.member):
            chosen = True
            yield candidate._replace(visible=True)
        else:
            names.append(candidate.name)
            yield candidate._replace(wanted=False)
    if requested is not None and not chosen and names:
        raise refusal("unknown-sheet", sheet=requested, sheets=quoted(names))


def _candidates(
    content: Content, file_name: str, import_type: ImportType, options: Options
) -> Iterator[Candidate]:
    def one(recognise: Callable[[], Part], lines: Callable[[], Lines]) -> Candidate:
        return Candidate(content.name, content.name, recognise, lines)

    try:
        head = content.head()
        if not may_be_workbook(head):
            table = _text_table(head, content.name, file_name)
            recognise = partial(table.part_of, content, import_type, options)
            yield one(recognise, partial(text_lines, content))
            return
        opened = _book(content)
    except RefusedError as reason:
        if content.name is None or reason.code in OF_THE_FILE:
            raise
        yield one(partial(_raise, reason), partial(iter, ()))
        return
    sheets = opened.sheets()
    if len({sheet for sheet, _ in sheets}) < len(sheets):
        # By its name the first would be read for each, and the rows of the others be lost.
        raise refusal("broken-workbook")
    for sheet, visible in sheets:
        name = _Name(sheet, f"{content.name}/{sheet}" if content.name else sheet)
        recognise = partial(_sheet_part, content, opened, name, import_type, options)
        yield Candidate(
            name.shown, content.name, recognise, partial(_sheet_lines, opened, name), visible
        )


OF_THE_FILE = frozenset(
    {
        "broken-archive",
        "broken-workbook",
        "delimiter",
        "encrypted-workbook",
        "nested-archive",
        "too-large",
        "unknown-encoding",
        "unknown-field",
    }
)
"""Refusals of the whole file, even if only one part shows what is wrong."""


class _Name(NamedTuple):
    """Of a sheet: in its workbook, and in what the operator sees."""

    sheet: str
    shown: str


def _raise(reason: RefusedError) -> Part:
    raise reason


def _text_table(head: bytes, member: str | None, file_name: str) -> ModuleType:
    """What reads a text that begins so. Raises RefusedError if it is none."""
    nested = "tar" if head[257:262] == b"ustar" else compression_of(head)
    if nested is not None:
        raise refusal("nested-archive", found=member or nested)
    check_format(head)
    is_wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if is_wide else "utf-8-sig", "replace")
    if not json_objects.begins(text):
        return text_table
    suffix = _suffix(file_name)
    if suffix in _OTHER_SUFFIXES and text.lstrip().startswith("["):
        raise unsupported(
            f"un document JSON et non un fichier {suffix}",
            "renommez-le en .json s'il doit être importé comme tel, ou exportez-le au format CSV",
        )
    return json_table


_OTHER_SUFFIXES = (".csv", ".tsv", ".xls", ".xlsx", ".xlsm", ".ods")
_COMPRESSED = (".gz", ".bz2", ".zst")


def _suffix(name: str) -> str:
    path = PurePosixPath(name.lower())
    return path.with_suffix("").suffix if path.suffix in _COMPRESSED else path.suffix


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
    if text_in_cells.is_text([lines[i] for i in positions], import_type):
        return text_in_cells.part_of(sheet, workbook.format, import_type, options)
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


def _sheet_lines(workbook: book.Book, name: _Name) -> Lines:
    for block in _sheet(workbook, name).blocks(1, _COLUMNS):
        yield from block.rows


_COLUMNS = 1 << 14
