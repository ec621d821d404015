"""The ways in which programs quote cells, each a reading of the record that some lines begin with.

The csv module reads what RFC 4180 describes, in its strict mode. Besides, there are blanks between
delimiter and quote, backslashes before quotes, lines that are one quoted cell as a whole because
they were encoded twice, and quotes that are text because the program knows no quoting.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

_LARGEST_CELL = 1 << 22
csv.field_size_limit(_LARGEST_CELL)

_BLANKS = " \t\u00a0"


class Dialect(NamedTuple):
    """`escaped`: a backslash escapes quotes, apostrophes, delimiters and itself."""

    delimiter: str
    quote: str = '"'
    escaped: bool = False


class Record(NamedTuple):
    """The cells of one record, how many lines it has, and whether its quotes were not well-formed."""

    cells: list[str]
    lines: int
    is_corrected: bool = False


Reading = Callable[[Iterator[str], Dialect], Record]
"""The record with which lines begin. Raises csv.Error if it has none in this reading."""


def rows(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """All records. Raises csv.Error at the first that is not well-formed."""
    if not dialect.escaped:
        return csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    shielded = (_shielded(line, dialect) if "\\" in line else line for line in lines)
    plain = csv.reader(shielded, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    return (_bared(cells, dialect) for cells in plain)


def standard(lines: Iterator[str], dialect: Dialect) -> Record:
    """As RFC 4180 has it, or with backslashes if the whole file has them."""
    counted = _Counted(lines)
    return Record(next(rows(counted, dialect)), counted.count)


def escaped(lines: Iterator[str], dialect: Dialect) -> Record:
    """With a backslash before quotes."""
    return standard(lines, dialect._replace(escaped=True))


def unwrapped(lines: Iterator[str], dialect: Dialect) -> Record:
    """A line that is one quoted cell as a whole, and that cell a record."""
    line = next(lines).rstrip("\r\n" + _BLANKS + ",;\t")
    cells = next(rows([line], dialect), [])
    if len(cells) != 1 or not line.startswith(dialect.quote):
        raise csv.Error("not one quoted cell")
    return Record(next(rows([cells[0]], dialect), []), 1)


def literal(lines: Iterator[str], dialect: Dialect) -> Record:
    """Quotes are text, but for those around a cell."""
    cells = next(lines).rstrip("\r\n").split(dialect.delimiter)
    return Record([_without_quotes(cell, dialect.quote) for cell in cells], 1)


def inner(lines: Iterator[str], dialect: Dialect) -> Record:
    """Quotes within a quoted cell are text: it ends where a delimiter or the line end follows its quote."""
    delimiter, quote = dialect.delimiter, dialect.quote
    text = next(lines).rstrip("\r\n")
    cells: list[str] = []
    at = 0
    while at <= len(text):
        if text.startswith(quote, at):
            end = text.find(quote + delimiter, at + 1)
            end = max(len(text) - 1, at + 1) if end < 0 else end
            cell, at = text[at + 1 : end], end + 2
            if (
                text[end : end + 1] != quote
                or cell.startswith(delimiter)
                or delimiter + quote in cell
            ):
                raise csv.Error("a quote that is not closed")
            cells.append(cell.replace(2 * quote, quote))
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end])
            at = end + 1
    return Record(cells, 1, is_corrected=True)


def paired(lines: Iterator[str], dialect: Dialect) -> Record:
    """Quotes around words of a cell are text: each cell has all of its own, and none holds a delimiter."""
    cells = next(lines).rstrip("\r\n").split(dialect.delimiter)
    if any(cell.count(dialect.quote) % 2 for cell in cells):
        raise csv.Error("a quote that is not closed")
    return Record([_without_quotes(cell, dialect.quote) for cell in cells], 1, is_corrected=True)


def _without_quotes(cell: str, quote: str) -> str:
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == quote and quote not in inner:
        return inner
    return cell


def loose(lines: Iterator[str], dialect: Dialect) -> Record:
    """With blanks around quotes."""
    return _Loose(lines, dialect).record()


class _Loose:
    def __init__(self, lines: Iterator[str], dialect: Dialect) -> None:
        self._lines = lines
        self._dialect = dialect
        self._blank = _BLANKS.replace(dialect.delimiter, "")
        self._text = next(lines).rstrip("\r\n")
        self._count = 1
        self._at = 0

    def record(self) -> Record:
        cells = [self._cell()]
        while self._at < len(self._text):
            self._at += 1  # the delimiter
            cells.append(self._cell())
        return Record(cells, self._count)

    def _cell(self) -> str:
        start = self._at
        self._skip_blanks()
        if self._text[self._at : self._at + 1] == self._dialect.quote:
            self._at += 1
            return self._quoted()
        end = self._text.find(self._dialect.delimiter, start)
        self._at = len(self._text) if end < 0 else end
        return self._text[start : self._at]

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in self._blank:
            self._at += 1

    def _quoted(self) -> str:
        quote = self._dialect.quote
        parts: list[str] = []
        while True:
            end = self._text.find(quote, self._at)
            if end < 0:
                parts.append(self._text[self._at :] + self._next_line())
            elif self._text[end + 1 : end + 2] == quote:
                parts.append(self._text[self._at : end + 1])
                self._at = end + 2
            else:
                parts.append(self._text[self._at : end])
                self._at = end + 1
                self._skip_blanks()
                if self._text[self._at : self._at + 1] not in ("", self._dialect.delimiter):
                    raise csv.Error("text after a quoted cell")
                return "".join(parts)

    def _next_line(self) -> str:
        line = next(self._lines, None)
        if line is None:
            raise csv.Error("a quote that is not closed")
        self._text = line.rstrip("\r\n")
        self._count += 1
        self._at = 0
        return "\n"


class _Counted:
    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.count += 1
            yield line


# Noncharacters, which no text may hold, for what the csv module must not see.
_BACKSLASH, _DELIMITER, _QUOTE = "\ufdd0", "\ufdd1", "\ufdd2"
_ESCAPE = re.compile(r"\\([\\'\",;\t|\r\n])")


def _shielded(line: str, dialect: Dialect) -> str:
    signs = {"\\": _BACKSLASH, dialect.delimiter: _DELIMITER, dialect.quote: _QUOTE}

    def sign(found: re.Match[str]) -> str:
        known = found[1] in signs or found[1] in "'\"\r\n"
        return signs.get(found[1], found[1]) if known else found[0]

    return _ESCAPE.sub(sign, line)


def _bared(cells: list[str], dialect: Dialect) -> list[str]:
    back = {ord(_BACKSLASH): "\\", ord(_DELIMITER): dialect.delimiter, ord(_QUOTE): dialect.quote}
    return [cell if cell.isascii() else cell.translate(back) for cell in cells]


@cache
def blank_before_quote(dialect: Dialect) -> re.Pattern[str]:
    """Finds blanks between a delimiter, or a line end, and a quote."""
    blanks = _BLANKS.replace(dialect.delimiter, "")
    return re.compile(f"[{re.escape(dialect.delimiter)}\r\n][{blanks}]+{re.escape(dialect.quote)}")
