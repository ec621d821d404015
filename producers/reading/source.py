"""An uploaded file, recognised, and its rows."""

import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from producers.reading import cities, delimited, fingerprint, header
from producers.reading.blocks import Block
from producers.reading.refusals import RefusedError, refusal
from producers.reading.rows import Row, filled, rows_of
from producers.reading.workbook import Sheet, Workbook
from schemas.import_types import ImportType

READER_VERSION = "1"
"""Changes when the same file could read differently."""

# A title or a "sep=;" may stand above the header.
_HEADER_WITHIN = 10


@dataclass(frozen=True)
class Options:
    """What the operator told the reader; None: it finds out. `columns` are fields by header."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Source:
    """A file that can be imported. `blank_lines` counts those skipped so far.

    `sheet` names all sheets that are read, `header_line` is where the header stands in the first.
    """

    path: Path
    import_type: ImportType
    sha256: str
    format: Literal["csv", "xlsx"]
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    header_line: int
    columns: header.Header
    blocks: Callable[[], Iterator[Block]]
    blank_lines: int = 0

    @property
    def file_name(self) -> str:
        """The last part of the path; bytes of it that are no UTF-8 are replaced."""
        return os.fsencode(self.path.name).decode(errors="replace")

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

    def chunks(self) -> Iterator[list[Row]]:
        """The rows in order, up to 1,000 at a time. Each call reads the file again."""
        self.blank_lines = 0
        for block in self.blocks():
            at = filled(block.rows)
            self.blank_lines += len(block.rows) - len(at)
            if at:
                yield rows_of(self.import_type, self.columns, block, at)


def open_source(path: Path, import_type: ImportType, options: Options = Options()) -> Source:
    """The file at `path`, by its content and not by its name.

    Raises RefusedError where it cannot be imported, OSError where it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_ZIP):
        source = _open_workbook(path, import_type, options)
    else:
        _check_signature(path, head)
        source = _open_text(path, import_type, options)
    if not any(filled(block.rows) for block in source.blocks()):
        raise refusal("no-rows")
    return source


_SIGNATURES = {
    b"%PDF": "un document PDF",
    b"\x1f\x8b": "une archive gzip",
    b"Rar!": "une archive RAR",
    b"7z\xbc\xaf": "une archive 7-Zip",
    b"\x89PNG": "une image",
    b"\xff\xd8\xff": "une image",
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = b"\xd0\xcf\x11\xe0"


def _check_signature(path: Path, head: bytes) -> None:
    if head.startswith(_OLE):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find("EncryptedPackage".encode("utf-16-le")) != -1:
                raise refusal("encrypted-workbook")
        raise refusal("unsupported-format", found="un document d'un ancien format Office (.xls)")
    for signature, found in _SIGNATURES.items():
        if head.startswith(signature):
            raise refusal("unsupported-format", found=found)


def _open_text(path: Path, import_type: ImportType, options: Options) -> Source:
    sha256, encoding = fingerprint.of_text(path, options.encoding)
    text = delimited.sample(path, encoding)
    delimiter = _SPELLED.get(options.delimiter or "", options.delimiter)
    delimiter = delimiter or _delimiter(text, import_type, options)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise refusal("delimiter", delimiter=delimiter)
    records = list(delimited.records(text, delimiter))
    if not records or not text.strip(_NO_TEXT):
        raise refusal("empty-file")
    at = _header_at([record.cells for record in records], import_type, options)
    columns = header.recognise(
        import_type,
        records[at].cells,
        options.columns,
        cities=cities.column([record.cells for record in records[at + 1 :]]),
    )
    return Source(
        path=path,
        import_type=import_type,
        sha256=sha256,
        format="csv",
        encoding=encoding,
        delimiter=delimiter,
        sheet=None,
        header_line=records[at].line,
        columns=columns,
        blocks=lambda: delimited.blocks(path, encoding, delimiter, records[at].after),
    )


_NO_TEXT = " \r\n\ufeff" + "".join(delimited.DELIMITERS)

# How a tab is typed on a command line.
_SPELLED = {"\\t": "\t", "tab": "\t"}


def _delimiter(text: str, import_type: ImportType, options: Options) -> str:
    """The delimiter that shows the most known columns, then the most regular lines."""

    def merit(delimiter: str) -> tuple[int, float, int]:
        rows = [record.cells for record in delimited.records(text, delimiter)]
        if not rows:
            return (0, 0.0, 0)
        names, *rest = rows[_header_at(rows, import_type, options) :]
        known = header.known(import_type, names) | set(names).intersection(options.columns)
        regular = sum(len(row) == len(names) for row in rest) / (len(rest) or 1)
        return (len(known), regular if known else 0.0, len(names))

    return max(delimited.DELIMITERS, key=merit)


def _header_at(rows: Sequence[Sequence[str]], import_type: ImportType, options: Options) -> int:
    for at, cells in enumerate(rows[:_HEADER_WITHIN]):
        if header.complete(import_type, cells, options.columns):
            return at
    return 0


def _open_workbook(path: Path, import_type: ImportType, options: Options) -> Source:
    sha256 = fingerprint.of_workbook(path)
    found: list[tuple[Sheet, int]] = []
    columns: header.Header | None = None
    reasons: list[RefusedError] = []
    for sheet in Workbook(path).sheets(options.sheet):
        try:
            at, recognised = _sheet_header(sheet, import_type, options)
        except RefusedError as reason:
            reasons.append(reason)
            continue
        if columns is None or recognised == columns:
            columns = recognised
            found.append((sheet, at))
    if columns is None:
        raise max(reasons, key=_telling, default=refusal("empty-file"))
    width = len(columns.names)
    return Source(
        path=path,
        import_type=import_type,
        sha256=sha256,
        format="xlsx",
        encoding=None,
        delimiter=None,
        sheet=", ".join(sheet.name for sheet, _ in found),
        header_line=found[0][1] + 1,
        columns=columns,
        blocks=lambda: chain.from_iterable(sheet.blocks(at + 2, width) for sheet, at in found),
    )


def _telling(reason: RefusedError) -> int:
    order = ("empty-file", "unknown-columns")
    return order.index(reason.code) if reason.code in order else len(order)


def _sheet_header(
    sheet: Sheet, import_type: ImportType, options: Options
) -> tuple[int, header.Header]:
    """The position of the header's line among the lines of the sheet, from 0, and the header."""
    lines = sheet.head()
    positions = filled(lines)
    if not positions:
        raise refusal("empty-file")
    rows = [lines[at] for at in positions]
    at = _header_at(rows, import_type, options)
    names = rows[at]
    while not names[-1].strip():
        names = names[:-1]
    city_list = cities.column([row[: len(names)] for row in rows[at + 1 :]])
    return positions[at], header.recognise(import_type, names, options.columns, cities=city_list)
