"""The cells of a sheet whose style shows more than their number, as runs of rows by column."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from producers.reading.refusals import refusal
from producers.reading.workbook.open_xml.number_display import Display

_MOST_RUNS = 4_000_000
_MOST_TEXTS = 1_000_000
_CELL = rb'<c r="([A-Z]{1,3})([0-9]{1,7})"(?: t="[a-zA-Z]+")? s="(%s)"[ />]'
_NUMBERS = (int, float)


class StyledCells:
    """`displays` are those styles, by their numbers as they are written."""

    def __init__(self, displays: Mapping[str, Display]) -> None:
        self._displays = displays
        self._pattern = re.compile(_CELL % "|".join(displays).encode()) if displays else None
        self._runs: dict[int, _Runs] = {}
        self._count = 0
        self._columns: dict[bytes, int] = {}

    def feed(self, xml: bytes) -> None:
        """A block of a sheet in the usual form, ending where a tag begins. Raises RefusedError."""
        for found in self._pattern.finditer(xml) if self._pattern else ():
            letters, row, style = found.groups()
            column = self._columns.get(letters)
            if column is None:
                column = self._columns[letters] = column_of(letters)
            self._add(int(row) - 1, column, style.decode())

    def add(self, row: int, column: int, style: str | None) -> None:
        """A cell, from 0, in the order of the sheet. Raises RefusedError."""
        if style in self._displays:
            self._add(row, column, style or "")

    def _add(self, row: int, column: int, style: str) -> None:
        runs = self._runs.get(column)
        if runs is None:
            runs = self._runs[column] = _Runs()
        if runs.add(row, int(style)):
            self._count += 1
            if self._count > _MOST_RUNS:
                raise refusal("too-large", found=f"plus de {_MOST_RUNS} formats de nombres")

    def columns(self) -> Collection[int]:
        """The columns that have such cells."""
        return self._runs.keys()

    def texts(self, column: int, first: int, values: Sequence[Any]) -> dict[int, str | None]:
        """What the numbers among values of a column, the first in the row `first`, are shown as.

        By their positions; None where only a spreadsheet knows.
        """
        runs = self._runs.get(column)
        return {
            row - first: self._displays[str(style)](values[row - first])
            for row, style in (runs.within(first, first + len(values)) if runs else ())
            if type(values[row - first]) in _NUMBERS
        }


class _Runs:
    """Of one column, twelve bytes a run: 50,000 lines of prices have as many gaps."""

    def __init__(self) -> None:
        self._starts, self._lasts, self._styles = array("I"), array("I"), array("I")
        self._in_order = True

    def add(self, row: int, style: int) -> bool:
        """Whether it begins a run."""
        last = self._lasts[-1] if self._lasts else -1
        if row == last + 1 and self._lasts and self._styles[-1] == style:
            self._lasts[-1] = row
            return False
        self._in_order = self._in_order and row > last
        self._starts.append(row)
        self._lasts.append(row)
        self._styles.append(style)
        return True

    def within(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """The rows from `first` to before `end`, with the style of each."""
        at = bisect_left(self._lasts, first) if self._in_order else 0
        for number in range(at, len(self._starts)):
            if self._starts[number] >= end and self._in_order:
                return
            for row in range(max(self._starts[number], first), min(self._lasts[number] + 1, end)):
                yield row, self._styles[number]


class ShownTexts:
    """As StyledCells, of a workbook that holds the texts themselves, by column and row."""

    def __init__(self) -> None:
        self._texts: dict[int, dict[int, str | None]] = {}
        self._count = 0

    def add(self, row: int, column: int, text: str | None) -> None:
        """A cell, from 0. Raises RefusedError."""
        self._texts.setdefault(column, {})[row] = text
        self._count += 1
        if self._count > _MOST_TEXTS:
            raise refusal("too-large", found=f"plus de {_MOST_TEXTS} formats de nombres")

    def columns(self) -> Collection[int]:
        """As of StyledCells."""
        return self._texts.keys()

    def texts(self, column: int, first: int, values: Sequence[Any]) -> dict[int, str | None]:
        """As of StyledCells."""
        own = self._texts.get(column, {})
        rows = range(first, first + len(values))
        return {row - first: own[row] for row in rows if row in own}


def column_of(letters: bytes) -> int:
    """The column of a reference, from 0."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
