"""Delimited text to lines of cells, by the csv module in its strict mode.

A quote that is never closed must not swallow what follows it: the line on which it opens is
faulty, and reading goes on with the next line. A record may span RECORD_LINES lines.
"""

import csv
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from operator import sub
from typing import NamedTuple, TextIO

from producers.reading.table import CHUNK, Block
from schemas.faults import Fault

DELIMITERS = (",", ";", "\t", "|")
RECORD_LINES = 100

_BLOCK_CHARACTERS = 1 << 18
_SAMPLE_CHARACTERS = 1 << 16
_SAMPLE_RECORDS = 200


class CsvRecord(NamedTuple):
    """`line` is where it starts, `after` the line that follows it; both from 1."""

    line: int
    after: int
    cells: list[str]


def sample(file: TextIO) -> str:
    """The first whole lines of the file, 64 K characters at most (at least a part of the first)."""
    text = file.read(_SAMPLE_CHARACTERS)
    if len(text) < _SAMPLE_CHARACTERS:
        return text
    end = max(text.rfind("\n"), text.rfind("\r")) + 1
    return text[:end] if end else text


def records(text: str, delimiter: str) -> Iterator[CsvRecord]:
    """The first 200 records of a sample that are not blank, quotes taken as they come."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    line = 1
    found = 0
    for cells in reader:
        if any(map(str.strip, cells)):
            yield CsvRecord(line, reader.line_num + 1, cells)
            found += 1
            if found == _SAMPLE_RECORDS:
                return
        line = reader.line_num + 1


def blocks(file: TextIO, delimiter: str, first_line: int, name: str | None) -> Iterator[Block]:
    """The lines from `first_line` on, in blocks of the sheet `name`."""
    next(islice(file, first_line - 1, first_line - 1), None)
    line = first_line
    ahead: list[str] = []
    while texts := ahead + file.readlines(_BLOCK_CHARACTERS):
        block, ahead = _block(texts, file, delimiter, line)
        line += len(texts) - len(ahead)
        for start in range(0, len(block.rows), CHUNK):
            yield _slice(block, start, start + CHUNK, name)


def _slice(block: Block, start: int, end: int, name: str | None) -> Block:
    broken = {at - start: fault for at, fault in block.broken.items() if start <= at < end}
    return Block(block.lines[start:end], block.rows[start:end], name, broken=broken)


def _block(texts: list[str], file: TextIO, delimiter: str, line: int) -> tuple[Block, list[str]]:
    """The records of `texts`, and the texts that belong to the next block."""
    try:
        rows = list(csv.reader(texts, delimiter=delimiter, strict=True))
    except csv.Error:
        return _careful(texts, file, delimiter, line)
    if len(rows) == len(texts):
        return Block(range(line, line + len(rows)), rows), []
    starts = _starts(rows, line)
    if max(map(sub, starts[1:], starts), default=0) > RECORD_LINES:
        return _careful(texts, file, delimiter, line)
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


def _careful(texts: list[str], file: TextIO, delimiter: str, line: int) -> tuple[Block, list[str]]:
    """Like _block, but record by record. One that continues after `texts` reads more lines of the file."""
    rows: list[list[str]] = []
    lines: list[int] = []
    broken: dict[int, Fault] = {}
    at, end = 0, len(texts)
    while at < end:
        reader = csv.reader(_record(texts, at, file), delimiter=delimiter, strict=True)
        lines.append(line + at)
        try:
            rows.append(next(reader))
            at += reader.line_num
        except csv.Error as error:
            broken[len(rows)] = _fault(error)
            rows.append(texts[at].rstrip("\r\n").split(delimiter))
            at += 1
    return Block(lines, rows, broken=broken), texts[at:]


def _record(texts: list[str], at: int, file: TextIO) -> Iterator[str]:
    for index in range(at, at + RECORD_LINES):
        if index == len(texts):
            text = file.readline()
            if not text:
                return
            texts.append(text)
        yield texts[index]


def _fault(error: csv.Error) -> Fault:
    if "field larger than field limit" in str(error):
        return Fault(
            None,
            "cell-too-large",
            f"Une cellule de cette ligne dépasse {csv.field_size_limit()} caractères : "
            "raccourcissez-la.",
        )
    return Fault(
        None,
        "unbalanced-quote",
        "Un guillemet de cette ligne est mal placé ou n'est pas refermé : fermez-le, ou doublez "
        "les guillemets qui font partie du texte.",
    )
