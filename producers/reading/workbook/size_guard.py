"""Whether a workbook fits into memory, before anything loads it, and what it holds about its sheets.

.xlsx and .ods files are ZIP archives. calamine holds each sheet as a rectangle of cells, each with
a copy of its text, and aborts the whole process if memory runs out: 2 KB whose last cell is
XFD1048576 require 550 GB. So every part is inflated once, to see how much there is and how far
its cells reach.
"""

import copy
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from producers.reading.container.archive_damage import refused_as
from producers.reading.container.foreign_format import check_document
from producers.reading.refusals import refusal
from producers.reading.table import Format
from producers.reading.workbook import ods_notes, xlsx_notes
from producers.reading.workbook.memory_limit import CELLS, INFLATED_BYTES
from producers.reading.workbook.sheet import Notes

_BLOCK = 1 << 20
_COLUMNS = 16_384

# References that keep any sheet below CELLS, in the form in which all that write .xlsx write
# them: it takes a fraction of the time to look for a cell that is not of the form than for the
# farthest cell.
_NEAR = tuple(
    re.compile(rb'<c(?! r="' + reference + rb'"[\s/>])[\s/>]')
    for reference in (
        rb"[A-Z](?:[0-9]{1,5}|[1-4][0-9]{5})",
        rb"[A-D]?[A-Z][0-9]{1,5}",
        rb"[A-Z]{1,2}[0-9]{1,4}",
    )
)
_PREFIXED = b":c"
_CELLS_AND_ROWS = re.compile(
    rb"""<(?:\w+:)?(c|row)(?=[\s/>])(?:[^<>]*?\sr\s*=\s*["']([^"'<>]*))?"""
)
_ROW = re.compile(rb"[0-9]{1,7}")
_CELL = re.compile(rb"([A-Za-z]{1,3})([0-9]{1,7})")


def check(file: BinaryIO) -> tuple[Format, Mapping[str, Notes]]:
    """The kind of workbook that the file is, and the notes on its sheets by their names.

    Raises RefusedError if the file is not a workbook, is broken or is too large.
    """
    with refused_as("broken-workbook"), zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        check_document(archive)
        kind = _kind({part.filename for part in parts})
        if sum(part.file_size for part in parts) > INFLATED_BYTES:
            raise _too_large()
        if kind == "ods" and _is_encrypted(archive):
            raise refusal("encrypted-workbook")
        return kind, (_open_document if kind == "ods" else _open_xml)(archive, parts)


def _kind(names: set[str]) -> Format:
    if any(name.startswith("xl/") for name in names):
        return "xlsx"
    if {"content.xml", _WHOLE} & names:
        return "ods"
    if not {"[Content_Types].xml", "mimetype"} & names:
        raise refusal("nested-archive", found="ZIP")
    raise refusal("unsupported-format", found="un document qui n'est pas un classeur")


# What LibreOffice names a workbook that it encrypted as one piece.
_WHOLE = "encrypted-package"


def _is_encrypted(archive: zipfile.ZipFile) -> bool:
    names = archive.namelist()
    if "META-INF/manifest.xml" not in names:
        return _WHOLE in names
    return b"encryption-data" in archive.read("META-INF/manifest.xml")


def _open_document(archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> Mapping[str, Notes]:
    tables = ods_notes.Tables()
    left = INFLATED_BYTES
    for part in parts:
        for xml in inflated(archive, part):
            left -= len(xml)
            if left < 0:
                raise _too_large()
            if part.filename == "content.xml":
                tables.feed(xml)
    return tables.finish()


def _open_xml(archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> Mapping[str, Notes]:
    left = INFLATED_BYTES
    cells = 0
    texts = xlsx_notes.SharedTexts()
    notes: dict[str, Notes] = {}
    for part in parts:
        scan = xlsx_notes.Scan(part.filename)
        size, near = _scanned(archive, part, left, scan)
        left -= size
        if not near:
            cells += _reach(archive, part)
        texts.add(part.filename, scan)
        if scan.noteworthy:
            notes[part.filename] = xlsx_notes.notes_of(inflated(archive, part))
    if cells > CELLS:
        raise refusal("too-large", found=f"{cells} cellules en tout")
    if texts.may_be_large():
        texts.check(lambda name: inflated(archive, archive.getinfo(name)))
    return xlsx_notes.by_sheet(notes, archive.read) if notes else {}


def _scanned(
    archive: zipfile.ZipFile, part: zipfile.ZipInfo, left: int, scan: xlsx_notes.Scan
) -> tuple[int, bool]:
    """How many bytes a part inflates to, and whether all its cells are sure to be near the first.

    Raises RefusedError beyond `left`.
    """
    size, near = 0, _NEAR
    for xml in inflated(archive, part):
        size += len(xml)
        if size > left:
            raise _too_large()
        # The first form that fits is that of all: a second one is not tried for each block.
        near = near and (() if _PREFIXED in xml else _fitting(near, xml))
        scan.feed(xml)
    return size, bool(near)


def _fitting(forms: tuple[re.Pattern[bytes], ...], xml: bytes) -> tuple[re.Pattern[bytes], ...]:
    return next(((form,) for form in forms if not form.search(xml)), ())


def inflated(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a part in blocks that end where a tag does, whatever size the archive states."""
    whole = copy.copy(part)
    whole.file_size = INFLATED_BYTES + _BLOCK
    rest = b""
    with archive.open(whole) as stream:
        while block := stream.read(_BLOCK):
            end = block.rfind(b"<")
            if end == -1:
                end = len(block)
            yield rest + block[:end]
            rest = block[end:]
    yield rest


def _reach(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """How many cells calamine makes of a sheet. Raises RefusedError if they are too many."""
    rows = columns = row_tags = run = 0
    for xml in inflated(archive, part):
        for tag, reference in _CELLS_AND_ROWS.findall(xml):
            if tag == b"row":
                row_tags += 1
                run = 0
                rows = max(rows, int(_matched(_ROW, reference)[0]) if reference else 0)
            elif reference:
                letters, number = _matched(_CELL, reference).groups()
                run = xlsx_notes.column_of(letters)
                rows = max(rows, int(number))
            else:
                run += 1  # a cell without a reference stands to the right of the one before it
            columns = max(columns, run)
    rows = max(rows, row_tags)
    columns = min(columns, _COLUMNS)
    if rows * columns > CELLS:
        raise refusal("too-large", found=f"{rows} lignes de {columns} colonnes")
    return rows * columns


def _matched(form: re.Pattern[bytes], reference: bytes) -> re.Match[bytes]:
    found = form.fullmatch(reference)
    if found is None:
        # calamine may read another column out of it than we do, a billion to the right.
        raise refusal("broken-workbook")
    return found


def _too_large() -> Exception:
    return refusal("too-large", found=f"plus de {INFLATED_BYTES >> 20} Mio")
