"""An uploaded file, recognised, and its rows."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from producers.reading.container.archive import contents_of
from producers.reading.container.compressed_streams import Surplus
from producers.reading.header import header_line
from producers.reading.header.columns import Header
from producers.reading.options import Options
from producers.reading.parts.candidates import OF_THE_FILE, Candidate, candidates_of
from producers.reading.parts.joined_parts import joined, rows_in
from producers.reading.parts.left_out import LeftOut, left_out
from producers.reading.parts.stacked_tables import StackedTables
from producers.reading.refusals import RefusedError, refusal
from producers.reading.row.row import FileRow, filled, head_offices, rows_of
from producers.reading.row.spellings import Spellings
from producers.reading.table import Format, Part
from schemas.import_types import ImportType
from schemas.outcomes import (
    BY_CONTENT,
    DOUBTFUL_ENCODING,
    OTHER_SHEETS,
    PASSED_COLUMNS,
    TRAILING_BYTES,
)
from schemas.rules import Luhn

READER_VERSION = "9"
"""Raise this if the same file may be read differently by this version, for example by a new rule on a
key field. An interrupted import of the earlier version is then not resumed."""

BLANK_LINES = 2_000_000
"""Twice as many as a spreadsheet has. More are refused, unless there is a row for every ten of them: 500 KB of
gzip hold 500 million, which take half an hour."""

_BLANK_LINES_PER_ROW = 10


@dataclass
class Source:
    """A file that can be imported. `blank_lines` counts the lines skipped so far that are blank or are
    not rows, such as a header in the middle; `skipped_rows` counts the rows of a nomenclature that are
    not activities, and secondary establishments; `untouched_rows` those of a corrected report that it
    had from its import and that nobody changed.

    `columns` is the header of all `parts`, each of which is read with its own. What a file has
    besides is in `skipped_sheets`; of these, `left_out` have lines of the type that is imported, and
    `other_sheets` are of another type or hidden.
    """

    path: Path
    import_type: ImportType
    sha256: str
    compression: str | None
    parts: Sequence[Part]
    columns: Header
    luhn: Luhn
    skipped_sheets: Sequence[str] = ()
    left_out: Sequence[LeftOut] = ()
    other_sheets: Sequence[str] = ()
    surplus: Surplus = field(default_factory=Surplus)
    blank_lines: int = 0
    skipped_rows: int = 0
    untouched_rows: int = 0

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
    def encoding_hint(self) -> str | None:
        """What the first text looks like whose encoding is doubtful."""
        return next((part.encoding_hint for part in self.parts if part.encoding_hint), None)

    @property
    def left_out_rows(self) -> int:
        """The lines of the type that cannot be read."""
        return sum(part.rows for part in self.left_out)

    @property
    def warnings(self) -> dict[str, int]:
        """What is to be known of the file as a whole, by code."""
        counts = {
            OTHER_SHEETS: len(self.other_sheets),
            DOUBTFUL_ENCODING: int(self.encoding_hint is not None),
            TRAILING_BYTES: int(self.surplus.found),
            BY_CONTENT: len(self.columns.by_cells),
            PASSED_COLUMNS: len(self.columns.passed),
        }
        return {code: count for code, count in counts.items() if count}

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
        self.blank_lines = self.skipped_rows = rows_read = 0
        spellings = Spellings(self.import_type)
        for part in self.parts:
            tables = StackedTables(self.import_type, part, self.columns)
            for block in part.blocks():
                self.blank_lines += len(block.rows)
                for columns, places, lines, at in tables.sections(block):
                    self.blank_lines -= len(at)
                    rows_read += len(at)
                    wanted = header_line.activities(columns, block.rows, at)
                    wanted = head_offices(columns, block.rows, wanted)
                    self.skipped_rows += len(at) - len(wanted)
                    if wanted:
                        rows = rows_of(self.import_type, columns, lines, wanted, self.luhn)
                        spellings.warn(rows)
                        if places is not None:
                            self._place(rows, places, columns)
                        yield rows
                _check_blank_lines(self.blank_lines, rows_read)

    def has_more_rows_than(self, most: int) -> bool:
        """Whether more lines are not blank; what is behind them is not read. Raises RefusedError."""
        found = 0
        for rows in _filled(self.parts):
            found += rows
            if found > most:
                return True
        return False

    def _place(self, rows: Sequence[FileRow], places: Sequence[int], columns: Header) -> None:
        """Puts the cells of the rows, whose own header is `columns`, under the columns of all parts.

        Those beyond a header stay behind it.
        """
        width = max(len(self.columns.names), *(place + 1 for place in places))
        absent = self._absent(columns)
        for row in rows:
            cells, row.cells = row.cells, [""] * width
            for place, cell in zip(places, cells, strict=False):
                row.cells[place] = cell
            row.cells += cells[len(places) :]
            row.absent = absent

    def _absent(self, columns: Header) -> Sequence[str]:
        """The fields that other parts have a column for."""
        of_all = {*self.mapping.values()}
        absent = self.import_type.without_column(columns.mapping.values())
        return [name for name in absent if name in of_all]


def _filled(parts: Sequence[Part]) -> Iterator[int]:
    """How many lines of each block are not blank. Raises RefusedError."""
    blank = rows = 0
    for part in parts:
        for block in part.blocks():
            found = len(filled(block.rows))
            rows += found
            blank += len(block.rows) - found
            _check_blank_lines(blank, rows)
            yield found


def _check_blank_lines(blank: int, rows: int) -> None:
    if blank > max(BLANK_LINES, rows * _BLANK_LINES_PER_ROW):
        raise refusal("too-large", found=f"plus de {BLANK_LINES} lignes vides")


def open_source(path: Path, import_type: ImportType, options: Options = Options()) -> Source:  # noqa: B008 - it is frozen
    """The file at `path`, by its content and not by its name.

    Raises RefusedError if it cannot be imported, OSError if it cannot be read.
    """
    contents = contents_of(path)
    table = _recognised(candidates_of(contents.members, path.name, import_type, options))
    whole = joined(table.found, import_type, options.columns)
    if not any(_filled(whole.parts)):
        raise refusal("no-rows")
    refused = (
        left_out(candidate.name or "", candidate.lines(), import_type, reason)
        for candidate, reason in table.refused
    )
    apart = (
        LeftOut(one.part.name or "", 0 if one.foreign else rows_in(one.part), one.why)
        for one in whole.apart
    )
    lost = [one for one in (*refused, *apart) if one and one.rows]
    read = {part.name for part in whole.parts}
    known = read | {one.name for one in lost} | table.blank
    return Source(
        path,
        import_type,
        sha256_of(path),
        contents.compression,
        whole.parts,
        whole.columns,
        options.luhn,
        [name for name in table.names if name not in read],
        lost,
        [name for name in table.names if name not in known],
        contents.surplus,
    )


class _Recognised(NamedTuple):
    """Of all that a file may be read as: the `names`, the tables found and what was refused.

    `blank` are names of what need not be mentioned: it is empty, or the operator chose another sheet.
    """

    names: Sequence[str]
    found: Sequence[Part]
    refused: Sequence[tuple[Candidate, RefusedError]]
    blank: frozenset[str]


def _recognised(candidates: Iterable[Candidate]) -> _Recognised:
    """Raises RefusedError if no table is found, or one shows what is wrong with the whole file."""
    names: list[str] = []
    found: list[Part] = []
    refused: list[tuple[Candidate, RefusedError]] = []
    blank: set[str] = set()
    for candidate in candidates:
        names += [candidate.name] if candidate.name else []
        blank |= set() if candidate.wanted else {candidate.name or ""}
        if not (candidate.wanted and candidate.visible):
            continue
        try:
            found.append(candidate.recognise())
        except RefusedError as reason:
            if reason.code in OF_THE_FILE:
                raise
            refused.append((candidate, reason))
            blank |= {candidate.name or ""} if reason.code == "empty-file" else set()
    if not found:
        raise max((reason for _, reason in refused), key=_relevance, default=refusal("empty-file"))
    return _Recognised(names, found, refused, frozenset(blank))


def sha256_of(path: Path) -> str:
    """The SHA-256 of the bytes, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _relevance(reason: RefusedError) -> int:
    order = ("unsupported-format", "empty-file", "unknown-columns", "missing-label")
    return order.index(reason.code) if reason.code in order else len(order)
