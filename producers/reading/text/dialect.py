"""The dialect of a text: its delimiter, its quotes and whether backslashes escape them."""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from producers.reading.header import columns, labels
from producers.reading.options import Options
from producers.reading.refusals import refusal
from producers.reading.text import delimited_lines
from producers.reading.text.quoting import Dialect
from schemas.import_types import ImportType

DELIMITERS = (",", ";", "\t", "|")

# How a tab is typed on a command line.
_SPELLED = {"\\t": "\t", "tab": "\t"}

_STATED = re.compile(r"\ufeff?\"?sep=([^\"\r\n])")


class Recognised(NamedTuple):
    """`confidence` in the delimiter is 0 to 1."""

    dialect: Dialect
    confidence: float


def recognise(sample: Sequence[str], import_type: ImportType, options: Options) -> Recognised:
    """The dialect of the text that begins with the lines of the sample. Raises RefusedError."""
    if options.delimiter:
        requested = _SPELLED.get(options.delimiter, options.delimiter)
        if len(requested) != 1 or requested in '"\r\n':
            raise refusal("delimiter", delimiter=requested)
        return Recognised(_quoted(sample, requested), 1.0)
    sniffed = _sniffed("".join(sample))
    stated = tuple(_stated(sample))
    merits: dict[Dialect, _Merit] = {}
    for delimiter in dict.fromkeys((*stated, *sniffed, *DELIMITERS)):
        if any(merit.is_clear and delimiter not in merit.header for merit in merits.values()):
            continue
        dialect = _quoted(sample, delimiter)
        merits[dialect] = _merit(sample, dialect, import_type, options)
        if delimiter in stated and merits[dialect].known:
            return Recognised(dialect, 1.0)
    best = max(merits, key=lambda dialect: merits[dialect][:3])
    usual = best.delimiter in sniffed or merits[best].cells == 1
    return Recognised(best, round(merits[best].regular * (1 if usual else 0.9), 2))


def of_rows(lines: Sequence[str], header: Dialect, width: int) -> Dialect:
    """The dialect of the lines below a header of `width` columns, which may have another delimiter."""
    if width < 2 or _fitting(lines, header, width) > 0:
        return header
    others = (
        _quoted(lines, delimiter) for delimiter in DELIMITERS if delimiter != header.delimiter
    )
    return max((header, *others), key=lambda dialect: _fitting(lines, dialect, width))


def _fitting(lines: Sequence[str], dialect: Dialect, width: int) -> int:
    return sum(len(record.cells) == width for record in delimited_lines.records(lines, dialect))


def _stated(sample: Sequence[str]) -> Iterator[str]:
    """The delimiter that a first line states for Excel, as in "sep=;"."""
    found = _STATED.match(sample[0])
    if found is not None:
        yield found[1]


class _Merit(NamedTuple):
    """What speaks for a dialect: known columns, then the share of lines as long as the header, which is
    the line `header`."""

    known: int
    regular: float
    cells: int
    header: str = ""

    @property
    def is_clear(self) -> bool:
        """Whether only a delimiter that the header has too may do better."""
        return self.known > 1 and self.regular == 1


def _merit(
    sample: Sequence[str], dialect: Dialect, import_type: ImportType, options: Options
) -> _Merit:
    records = list(delimited_lines.records(sample, dialect))
    if not records:
        return _Merit(0, 0.0, 0)
    rows: Sequence[Sequence[str]] = [record.cells for record in records]
    at = columns.index_of_header(rows, import_type, options.columns)
    names, *rest = rows[at:]
    known = labels.known(import_type, names) | set(names).intersection(options.columns)
    regular = sum(len(row) == len(names) for row in rest) / (len(rest) or 1)
    header = "".join(sample[records[at].line - 1 : records[at].after - 1])
    return _Merit(len(known), regular if known else 0.0, len(names), header)


# The csv module's Sniffer looks at every character; the first lines are enough for it.
_SNIFFED_CHARACTERS = 1 << 12
_CANDIDATES = "".join(DELIMITERS) + ":^~#"


def _sniffed(text: str) -> tuple[str, ...]:
    """The delimiter that csv.Sniffer sees, if any."""
    try:
        return (csv.Sniffer().sniff(text[:_SNIFFED_CHARACTERS], _CANDIDATES).delimiter,)
    except csv.Error:
        return ()


_LINES = 200
_BACKSLASHED = re.compile(r"\\[\"']")


def _quoted(sample: Sequence[str], delimiter: str) -> Dialect:
    """The dialect of that delimiter whose quotes the first lines have."""
    lines = [line.strip() for line in sample[:_LINES] if line.strip()]
    wrapped = sum(_wraps(line, "'", delimiter) for line in lines)
    quote = "'" if 2 * wrapped > len(lines) and not _any_opens(lines, delimiter) else '"'
    plain = Dialect(delimiter, quote)
    are_quotes = any(map(_BACKSLASHED.search, lines))
    if not are_quotes and not any(f"\\{delimiter}" in line for line in lines):
        return plain
    escaped = plain._replace(escaped=True)
    gain = _well_formed(sample, escaped) - _well_formed(sample, plain)
    doubles = any(_doubles(line, plain) for line in lines)
    return escaped if gain > 0 or (gain == 0 and are_quotes and not doubles) else plain


def _doubles(line: str, dialect: Dialect) -> bool:
    """Whether a line has a quote that is written twice, besides the two of an empty cell."""
    pair = 2 * dialect.quote
    return pair in line.removeprefix(pair).replace(dialect.delimiter + pair, "")


def _wraps(line: str, quote: str, delimiter: str) -> bool:
    """Whether at least half of the cells of a line are enclosed in such quotes."""
    cells = [cell.strip() for cell in line.split(delimiter)]
    opened = sum(cell.startswith(quote) for cell in cells)
    closed = sum(cell.endswith(quote) and len(cell) > 1 for cell in cells)
    return opened == closed and 2 * opened >= len(cells)


def _any_opens(lines: Sequence[str], delimiter: str) -> bool:
    return any(line.startswith('"') or f'{delimiter}"' in line for line in lines)


def _well_formed(sample: Sequence[str], dialect: Dialect) -> int:
    """How many of the first records have as many cells as the first one."""
    rows = [record.cells for record in delimited_lines.records(sample, dialect)]
    return sum(len(row) == len(rows[0]) for row in rows)
