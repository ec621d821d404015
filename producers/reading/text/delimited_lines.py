"""Delimited text to lines of cells: by the csv module, and record by record where it errs.

A quote that is never closed must not swallow what follows it, nor one that happens to be closed
rows later: the line on which it opens is faulty, and reading goes on with the next line. A record
may have a million characters.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import sub
from typing import NamedTuple

from producers.reading.table import CHUNK, Block
from producers.reading.text import quoting
from producers.reading.text.encoding.repairs import UNREADABLE
from producers.reading.text.lines import Lines
from producers.reading.text.quoting import Dialect, Record
from producers.reading.text.swallowed import Table, swallows_rows
from schemas.faults import Fault

CELL_CHARACTERS = 131_072
"""Of a column that is imported; what is beyond it in others is cut off."""

RECORD_CHARACTERS = 1 << 20

_SAMPLE_RECORDS = 200
CORRECTED = "corrected"


class CsvRecord(NamedTuple):
    """`line` is where it starts, `after` the line that follows it; both from 1."""

    line: int
    after: int
    cells: list[str]


def records(sample: Sequence[str], dialect: Dialect) -> Iterator[CsvRecord]:
    """The first 200 records of a sample that are not blank, quotes taken as they come."""
    line = 1
    found = 0
    while line <= len(sample) and found < _SAMPLE_RECORDS:
        cells, count, _ = _first(sample, line - 1, dialect)
        if any(map(str.strip, cells)):
            yield CsvRecord(line, line + count, cells)
            found += 1
        line += count


def _first(sample: Sequence[str], at: int, dialect: Dialect) -> Record:
    """The first reading of a record that is well-formed, of which the standard one is the last."""
    plain = _attempt(quoting.standard, _from(sample, at), dialect)
    text = "\n" + sample[at]
    if plain is None or quoting.blank_before_quote(dialect).search(text):
        loose = _attempt(quoting.loose, _from(sample, at), dialect)
        if loose is not None:
            return loose
    if plain is not None and len(plain.cells) == 1:
        whole = _attempt(quoting.unwrapped, _from(sample, at), dialect)
        if whole is not None and len(whole.cells) > 1:
            return whole
    return plain or quoting.literal(_from(sample, at), dialect)


def _from(sample: Sequence[str], at: int) -> Iterator[str]:
    """The lines from `at` on, without a pass over those before: islice would make one for each."""
    return map(sample.__getitem__, range(at, len(sample)))


def blocks(lines: Lines, table: Table, first_line: int, name: str | None) -> Iterator[Block]:
    """The lines from `first_line` on, in blocks of the sheet `name`."""
    lines.skip(first_line - 1)
    line = first_line
    ahead: list[str] = []
    full = _Full(table.width)
    while texts := ahead + lines.block():
        block, ahead = _block(texts, lines, table, line)
        line += len(texts) - len(ahead)
        _limit_cells(block, texts, table)
        _mark(block, lines.marks(line))
        if full.cut_off(block.rows, texts[-1]):
            block.broken[len(block.rows) - 1] = _CUT_OFF
        for start in range(0, len(block.rows), CHUNK):
            yield _slice(block, start, start + CHUNK, name)


def _slice(block: Block, start: int, end: int, name: str | None) -> Block:
    broken = {at - start: fault for at, fault in block.broken.items() if start <= at < end}
    warned = {at - start: code for at, code in block.warned.items() if start <= at < end}
    return Block(block.lines[start:end], block.rows[start:end], name, broken=broken, warned=warned)


def _block(texts: list[str], lines: Lines, table: Table, line: int) -> tuple[Block, list[str]]:
    """The records of `texts`, and the texts that belong to the next block."""
    whole = "\n" + "".join(texts)
    quoted = table.dialect.quote in whole
    if quoted and quoting.blank_before_quote(table.dialect).search(whole):
        return _careful(texts, lines, table, line)
    try:
        rows = list(quoting.rows(texts, table.dialect))
    except csv.Error:
        return _careful(texts, lines, table, line)
    if not quoted and len(rows) == len(texts):
        return Block(range(line, line + len(rows)), rows), []
    starts: Sequence[int] = range(line, line + len(rows))
    if len(rows) != len(texts):
        starts = _starts(rows, line)
    if _is_doubtful(texts, rows, [start - line for start in starts], table):
        return _careful(texts, lines, table, line)
    return Block(starts, rows), []


def _starts(rows: list[list[str]], line: int) -> list[int]:
    starts = []
    for cells in rows:
        starts.append(line)
        line += 1
        for cell in cells:
            if "\n" in cell or "\r" in cell:
                line += cell.count("\n") + cell.count("\r") - cell.count("\r\n")
    return starts


def _is_doubtful(texts: list[str], rows: list[list[str]], starts: list[int], table: Table) -> bool:
    """Whether a record of a block with quotes may have to be read in another way."""
    quote = table.dialect.quote
    for at, cells in enumerate(rows):
        if len(cells) != table.width and quote in texts[starts[at]]:
            return True
    if len(rows) == len(texts):
        return False
    ends = [*starts[1:], len(texts)]
    lengths = map(sub, ends, starts)
    return any(
        length > 1 and swallows_rows(texts[starts[at] : ends[at]], Record(rows[at], length), table)
        for at, length in enumerate(lengths)
    )


def _careful(texts: list[str], lines: Lines, table: Table, line: int) -> tuple[Block, list[str]]:
    """Like _block, but record by record. One that continues after `texts` reads more lines."""
    rows: list[list[str]] = []
    starts: list[int] = []
    broken: dict[int, Fault] = {}
    warned: dict[int, str] = {}
    at, end = 0, len(texts)
    while at < end:
        starts.append(line + at)
        record = _read(texts, at, lines, table)
        if record is None:
            broken[len(rows)] = _UNBALANCED
            record = Record(texts[at].rstrip("\r\n").split(table.dialect.delimiter), 1)
        elif record.is_corrected:
            warned[len(rows)] = CORRECTED
        rows.append(record.cells)
        at += record.lines
    return Block(starts, rows, broken=broken, warned=warned), texts[at:]


def _read(texts: list[str], at: int, lines: Lines, table: Table) -> Record | None:
    """The record that starts at `at`, in the first reading that fits; None if none does."""
    attempt = partial(_sound, texts, at, lines, table)
    plain = attempt(quoting.standard)
    strange = plain is None or quoting.blank_before_quote(table.dialect).search("\n" + texts[at])
    if plain is not None and not strange and len(plain.cells) == table.width:
        return plain
    others: list[quoting.Reading] = [quoting.loose] if strange else []
    if "\\" in texts[at] and not table.dialect.escaped:
        others.append(quoting.escaped)
    if table.width > 1 and texts[at].startswith(table.dialect.quote):
        others.append(quoting.unwrapped)
    if plain is None:
        is_tabs = table.dialect.delimiter == "\t"
        others += [quoting.literal] if is_tabs else [quoting.inner, quoting.paired]
    for reading in others:
        record = attempt(reading)
        if record is not None and len(record.cells) == table.width:
            return record
    if strange and (loose := attempt(quoting.loose)) is not None:
        return loose
    return plain


def _sound(
    texts: list[str], at: int, lines: Lines, table: Table, reading: quoting.Reading
) -> Record | None:
    record = _attempt(reading, _record(texts, at, lines), table.dialect)
    if record is None or swallows_rows(texts[at : at + record.lines], record, table):
        return None
    return record


def _attempt(reading: quoting.Reading, lines: Iterator[str], dialect: Dialect) -> Record | None:
    try:
        return reading(lines, dialect)
    except csv.Error:
        return None


def _record(texts: list[str], at: int, lines: Lines) -> Iterator[str]:
    characters = 0
    while characters < RECORD_CHARACTERS:
        if at == len(texts):
            text = lines.line()
            if not text:
                return
            texts.append(text)
        characters += len(texts[at])
        yield texts[at]
        at += 1


def _limit_cells(block: Block, texts: Sequence[str], table: Table) -> None:
    """A cell that is too large is a fault of its line if its column is imported, else it is cut."""
    if len(texts) == len(block.rows) and max(map(len, texts)) <= CELL_CHARACTERS:
        return
    for at, cells in enumerate(block.rows):
        if sum(map(len, cells)) <= CELL_CHARACTERS:
            continue
        for column, cell in enumerate(cells):
            if len(cell) > CELL_CHARACTERS:
                cells[column] = cell[:CELL_CHARACTERS]
                if column in table.used:
                    block.broken.setdefault(at, _TOO_LARGE)


def _mark(block: Block, marks: Mapping[int, str]) -> None:
    """Faults and warnings of the records in which the marked lines are."""
    for line, code in marks.items():
        at = bisect_right(block.lines, line) - 1
        if code == UNREADABLE:
            block.broken.setdefault(at, UNREADABLE_LINE)
        else:
            block.warned[at] = code


class _Full:
    """Whether all lines so far have as many cells as the header: then a shorter last one is cut off."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._full = True
        self._any = False

    def cut_off(self, rows: Sequence[Sequence[str]], last: str) -> bool:
        """Whether the last of the rows is, of which `last` is the last line."""
        short = self._full and min(map(len, filter(None, rows)), default=self._width) < self._width
        if short and not last.endswith(("\n", "\r")):
            others = [row for row in rows[:-1] if row]
            if (self._any or others) and all(len(row) >= self._width for row in others):
                return 0 < len(rows[-1]) < self._width
        self._full = self._full and not short
        self._any = self._any or bool(rows)
        return False


_UNBALANCED = Fault(
    None,
    "unbalanced-quote",
    "Un guillemet de cette ligne est mal placé ou n'est pas refermé : fermez-le, ou doublez "
    "les guillemets qui font partie du texte.",
)
_TOO_LARGE = Fault(
    None,
    "cell-too-large",
    f"Une cellule de cette ligne dépasse {CELL_CHARACTERS} caractères : raccourcissez-la.",
)
UNREADABLE_LINE = Fault(
    None,
    "unreadable-character",
    "Un caractère de cette ligne ne se lit pas dans l'encodage du fichier : retapez-le, puis "
    "enregistrez le fichier au format « CSV UTF-8 ».",
)
_CUT_OFF = Fault(
    None,
    "missing-cell",
    "La dernière ligne s'arrête avant la fin, le fichier est sans doute incomplet : exportez-le ou "
    "téléchargez-le à nouveau.",
)
