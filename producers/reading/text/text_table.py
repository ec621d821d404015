"""A text file, recognised: its encoding, its delimiter and where its header stands."""

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import NamedTuple

from producers.reading.container.archive import Content
from producers.reading.header import columns, header_line
from producers.reading.options import Options
from producers.reading.refusals import refusal
from producers.reading.table import Block, Part
from producers.reading.text import delimited_lines
from producers.reading.text.encoding import text_of
from schemas.import_types import ImportType

_NO_TEXT = " \r\n\ufeff" + "".join(delimited_lines.DELIMITERS)

# How a tab is typed on a command line.
_SPELLED = {"\\t": "\t", "tab": "\t"}


def part_of(content: Content, import_type: ImportType, options: Options) -> Part:
    """The table that `content` is. Raises RefusedError."""
    with content.open() as file:
        encoding, hint = text_of(file, options.encoding)
    with _decoded(content, encoding) as text:
        sample = delimited_lines.sample(text)
    if not sample.strip(_NO_TEXT):
        raise refusal("empty-file")
    delimiter, confidence = _delimiter(sample, import_type, options)
    records = list(delimited_lines.records(sample, delimiter))
    if not records:
        raise refusal("empty-file")
    at, header = header_line.locate(
        [record.cells for record in records], import_type, options.columns
    )

    def blocks() -> Iterator[Block]:
        with _decoded(content, encoding) as text:
            yield from delimited_lines.blocks(text, delimiter, records[at].after, content.name)

    return Part(
        name=content.name,
        format="csv",
        header_line=records[at].line,
        columns=header,
        blocks=blocks,
        encoding=encoding,
        encoding_hint=hint,
        delimiter=delimiter,
        delimiter_confidence=confidence,
    )


def _decoded(content: Content, encoding: str) -> TextIOWrapper:
    return TextIOWrapper(content.open(), encoding=encoding, newline="")


class _Delimiter(NamedTuple):
    character: str
    confidence: float


def _delimiter(sample: str, import_type: ImportType, options: Options) -> _Delimiter:
    if options.delimiter:
        requested = _SPELLED.get(options.delimiter, options.delimiter)
        if len(requested) != 1 or requested in '"\r\n':
            raise refusal("delimiter", delimiter=requested)
        return _Delimiter(requested, 1.0)
    sniffed = _sniffed(sample)
    merits = {
        delimiter: _merit(sample, delimiter, import_type, options)
        for delimiter in dict.fromkeys((*delimited_lines.DELIMITERS, *sniffed))
    }
    best = max(merits, key=lambda delimiter: merits[delimiter])
    confidence = merits[best].regular * (1 if best in sniffed or merits[best].cells == 1 else 0.9)
    return _Delimiter(best, round(confidence, 2))


class _Merit(NamedTuple):
    """What speaks for a delimiter: known columns, then the share of lines as long as the header."""

    known: int
    regular: float
    cells: int


def _merit(sample: str, delimiter: str, import_type: ImportType, options: Options) -> _Merit:
    rows: Sequence[Sequence[str]] = [r.cells for r in delimited_lines.records(sample, delimiter)]
    if not rows:
        return _Merit(0, 0.0, 0)
    names, *rest = rows[columns.index_of_header(rows, import_type, options.columns) :]
    known = columns.known(import_type, names) | set(names).intersection(options.columns)
    regular = sum(len(row) == len(names) for row in rest) / (len(rest) or 1)
    return _Merit(len(known), regular if known else 0.0, len(names))


# The csv module's Sniffer looks at every character; the first lines are enough for it.
_SNIFFED_CHARACTERS = 1 << 12
_CANDIDATES = "".join(delimited_lines.DELIMITERS) + ":^~#"


def _sniffed(sample: str) -> tuple[str, ...]:
    """The delimiter that csv.Sniffer sees, if any."""
    try:
        return (csv.Sniffer().sniff(sample[:_SNIFFED_CHARACTERS], _CANDIDATES).delimiter,)
    except csv.Error:
        return ()
