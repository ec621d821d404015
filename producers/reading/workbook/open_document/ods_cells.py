"""The values of a sheet of an .ods workbook, cell by cell, where calamine cannot read it.

calamine wants the tags of cells without anything between them, and prefixes of one spelling.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import chain, repeat
from typing import Any

from producers.reading.workbook.markup import Attributes, Markup
from producers.reading.workbook.open_document.odf_names import (
    ASIDES,
    BLANKS,
    BOOLEAN_VALUE,
    CELL_TAGS,
    COLUMNS_REPEATED,
    DATE_VALUE,
    LINE_BREAK,
    NAME,
    PARAGRAPH,
    ROW,
    ROWS_REPEATED,
    SPACES,
    STRING_VALUE,
    TAB,
    TABLE,
    TIME_VALUE,
    VALUE,
    VALUE_TYPE,
)
from producers.reading.workbook.open_document.ods_notes import count

_COLUMNS, _ROWS = 16_384, 1_048_576
_SPACES = re.compile(r"[ \t\r\n]+")
_DURATION = re.compile(
    r"PT(?:([0-9]{1,7})H)?(?:([0-9]{1,7})M)?(?:([0-9]{1,7})(?:[.,][0-9]{1,9})?S)?"
)
_MOST_BLANKS = 40_000


def rows_of(blocks: Iterable[bytes], name: str) -> Iterator[Mapping[int, Any]]:
    """The lines of the table of that name up to the last that is not blank, as values by columns from 0."""
    table = _Table(name)
    blank = 0
    for block in chain(blocks, [None]):
        if block is None:
            table.markup.close()
        else:
            table.markup.feed(block)
        for times, row in table.take():
            if not row:
                blank += times  # the last one is often repeated a million times
                continue
            yield from repeat({}, blank)
            yield from repeat(row, times)
            blank = 0


class _Table:
    def __init__(self, name: str) -> None:
        self._name = name
        self._inside = False
        self._rows: list[tuple[int, Mapping[int, Any]]] = []
        self._row: dict[int, Any] = {}
        self._row_times = 1
        self._column = 0
        self._cell: Attributes | None = None
        self._paragraphs: list[str] = []
        self._pieces: list[str] | None = None
        self._aside = 0
        self._texts: Mapping[str, Callable[[Attributes], str]] = {
            SPACES: lambda attributes: "\0" * count(attributes, BLANKS, _MOST_BLANKS),
            TAB: lambda _: "\x01",
            LINE_BREAK: lambda _: "\x02",
        }
        self.markup = Markup(self._start, self._end, self._text, namespaces=True)

    def take(self) -> list[tuple[int, Mapping[int, Any]]]:
        """The complete lines, and how often each is repeated."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: Attributes) -> None:
        if name == TABLE:
            self._inside = attributes.get(NAME, "") == self._name
        if not self._inside:
            return
        if name == ROW:
            self._row, self._column = {}, 0
            self._row_times = count(attributes, ROWS_REPEATED, _ROWS)
        elif name in CELL_TAGS:
            self._cell = attributes
            self._paragraphs, self._pieces, self._aside = [], None, 0
        elif self._cell is not None:
            self._within(name, attributes)

    def _within(self, name: str, attributes: Attributes) -> None:
        if self._aside or not (name == PARAGRAPH or self._pieces is not None):
            self._aside += 1  # a comment or a drawing, with paragraphs of its own
        elif name == PARAGRAPH:
            self._pieces = []
        elif name in ASIDES:
            self._aside += 1
        elif name in self._texts and self._pieces is not None:
            self._pieces.append(self._texts[name](attributes))

    def _text(self, text: str) -> None:
        if self._pieces is not None and not self._aside:
            self._pieces.append(text)

    def _end(self, name: str) -> None:
        if not self._inside:
            return
        if name in CELL_TAGS:
            self._close()
        elif name == ROW:
            self._rows.append((self._row_times, self._row))
        elif name == TABLE:
            self._inside = False
        elif self._aside:
            self._aside -= 1
        elif name == PARAGRAPH and self._pieces is not None:
            self._paragraphs.append(_collapsed("".join(self._pieces)))
            self._pieces = None

    def _close(self) -> None:
        attributes, self._cell = self._cell or {}, None
        times = count(attributes, COLUMNS_REPEATED, _COLUMNS)
        value = _value(attributes, "\n".join(self._paragraphs))
        if value != "":
            for column in range(self._column, min(self._column + times, _COLUMNS)):
                self._row[column] = value
        self._column += times


def _collapsed(text: str) -> str:
    """A paragraph with its white space as ODF has it: runs are one blank, unless tags say otherwise."""
    text = _SPACES.sub(" ", text).strip(" ")
    return text.replace("\0", " ").replace("\x01", "\t").replace("\x02", "\n")


def _value(attributes: Attributes, text: str) -> Any:
    read = _TYPES.get(attributes.get(VALUE_TYPE, ""))
    if read is None:
        return text or attributes.get(STRING_VALUE, "")
    try:
        return read(attributes)
    except (KeyError, ValueError, OverflowError):
        return text


def _moment(attributes: Attributes) -> date:
    text = attributes[DATE_VALUE]
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


def _duration(attributes: Attributes) -> timedelta:
    found = _DURATION.fullmatch(attributes[TIME_VALUE])
    if found is None:
        raise ValueError
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _number(attributes: Attributes) -> float:
    return float(attributes[VALUE])


_TYPES: Mapping[str, Callable[[Attributes], Any]] = {
    "float": _number,
    "currency": _number,
    "percentage": _number,
    "boolean": lambda attributes: attributes[BOOLEAN_VALUE].strip() in ("true", "1"),
    "date": _moment,
    "time": _duration,
}
