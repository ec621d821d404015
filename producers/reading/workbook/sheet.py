"""A sheet of a workbook, as a person sees it: cells to texts, blocks of lines."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple

from producers.reading.refusals import refusal
from producers.reading.table import CHUNK, Block
from producers.reading.workbook.memory_limit import VALUES
from producers.reading.workbook.open_xml.styled_cells import ShownTexts, StyledCells

_HEAD = 200
_HEADER_ROWS = 3
_MOST_EXACT = 10**15


Displayed = StyledCells | ShownTexts
MergedRange = tuple[tuple[int, int], tuple[int, int]]


@dataclass
class Notes:
    """What a file holds of a sheet besides its values; rows and columns count from 0, in the sheet.

    `odd` are the texts of cells whose formula came to an error or was never calculated, by row
    and column. `merged`: the first and the last cell of each merged range. `columns`: how many
    cells with a value each column has.
    """

    hidden_rows: int = 0
    hidden_columns: int = 0
    odd: dict[tuple[int, int], str] = field(default_factory=dict)
    merged: list[MergedRange] = field(default_factory=list)
    columns: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Sheet:
    """`rows` gives the values of all lines from the first on, anew at each call, without the `left`
    columns that are blank in front: they are left out here, and nowhere else.

    `merged` as in Notes; `displayed` is what numbers are shown as, where that is more than the number.
    """

    name: str
    rows: Callable[[], Iterator[Sequence[Any]]]
    notes: Notes
    merged: Sequence[MergedRange] = ()
    left: int = 0
    displayed: Displayed = field(default_factory=ShownTexts)

    def head(self) -> list[list[str]]:
        """The first 200 lines."""
        rows = list(islice(self._lines(), _HEAD))
        self._complete(rows, 0, self._odd_by_row(), _Merged(self.merged, self.left))
        return [list(map(shown, row)) for row in rows]

    def header_end(self, row: int, lines: Sequence[Sequence[str]]) -> int:
        """The last row of a header of which `row`, from 0, is the first: merged cells join its rows.

        Either cells of it are merged downwards, or the cells below have merged titles.
        """
        own = [(first, last) for first, last in self.merged if first[0] == row]
        ends = [last[0] for _, last in own if row < last[0] <= row + _HEADER_ROWS]
        if ends:
            return max(ends)
        titles = [(first[1] - self.left, last[1] - self.left) for first, last in own]
        below = lines[row + 1] if row + 1 < len(lines) else ()
        filled = [at for at, cell in enumerate(below) if cell.strip()]
        joined = all(any(left <= at <= right > left for left, right in titles) for at in filled)
        return row + 1 if filled and joined else row

    def blocks(self, first_line: int, width: int) -> Iterator[Block]:
        """The lines from `first_line` on, the first `width` cells of each.

        A cell merged with the one above it has the value that stands over both.
        """
        rows = islice(self._lines(), first_line - 1, None)
        merged = _Merged(self.merged, self.left)
        odd = self._odd_by_row()
        for line in count(first_line, CHUNK):
            some = list(islice(rows, CHUNK))
            if not some:
                return
            self._complete(some, line - 1, odd, merged)
            yield self._block(some, line, width)

    def _lines(self) -> Iterator[Sequence[Any]]:
        """The rows, and those below of which all cells are odd."""
        return self._with_odd() if self.notes.odd else self.rows()

    def _with_odd(self) -> Iterator[Sequence[Any]]:
        last = max(row for row, _ in self.notes.odd)
        given, width = 0, 0
        for row in self.rows():
            given, width = given + 1, len(row)
            yield row
        for _ in range(last + 1 - given):
            yield [""] * width

    def _complete(
        self,
        rows: list[Sequence[Any]],
        first: int,
        odd: Mapping[int, list[tuple[int, str]]],
        merged: "_Merged",
    ) -> None:
        """Puts into the rows, of which `first` is the number, from 0, what their values do not show."""
        if odd or merged:
            own = [list(row) for row in rows]
            _put(own, first, odd)
            merged.fill(own, first)
            rows[:] = own

    def _odd_by_row(self) -> Mapping[int, list[tuple[int, str]]]:
        by_row: dict[int, list[tuple[int, str]]] = {}
        for (row, column), text in self.notes.odd.items():
            by_row.setdefault(row, []).append((column - self.left, text))
        return by_row

    def _block(self, rows: Sequence[Sequence[Any]], line: int, width: int) -> Block:
        numeric: dict[int, list[int]] = {}
        columns: list[Any] = list(zip(*rows, strict=True))
        while len(columns) > width and not any(columns[-1]):
            columns.pop()
        displayed = self._shown_in(columns, line - 1)
        for at, values in enumerate(columns):
            kinds = set(map(type, values))
            if kinds != {str}:
                columns[at] = list(map(shown, values))
                numeric[at] = [i for i, v in enumerate(values) if type(v) is not str]
        texts = list(map(list, zip(*columns[:width], strict=True)))
        beyond = {}
        if len(columns) > width:
            others = enumerate(zip(*columns[width:], strict=True))
            beyond = {at: cells for at, cells in others if any(cells)}
        lines = range(line, line + len(rows))
        return Block(
            lines,
            texts,
            self.name,
            numeric=numeric,
            displayed=displayed,
            calculated=True,
            beyond=beyond,
        )

    def _shown_in(
        self, columns: Sequence[Sequence[Any]], first: int
    ) -> dict[int, Callable[[], Mapping[int, str | None]]]:
        """What is shown of the numbers of columns, by column and position."""
        here = (at - self.left for at in self.displayed.columns())
        return {
            at: partial(self.displayed.texts, at + self.left, first, columns[at])
            for at in here
            if 0 <= at < len(columns)
        }


def _put(rows: list[list[Any]], first: int, odd: Mapping[int, list[tuple[int, str]]]) -> None:
    if not odd:
        return
    for at, row in enumerate(rows, start=first):
        for column, text in odd.get(at, ()):
            if 0 <= column < len(row):
                row[column] = text


class _Merged:
    """The merged ranges, with the value of each once it has been read."""

    def __init__(self, merged: Sequence[MergedRange], left: int) -> None:
        self._waiting = sorted(
            (
                _Range(first[0], last[0], first[1] - left, last[1] - left)
                for first, last in merged
                if last[0] >= first[0] and last[1] >= first[1] >= left
            ),
            reverse=True,
        )
        self._open: list[_Range] = []
        self._values: dict[_Range, Any] = {}
        self._filled = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._open)

    def fill(self, rows: list[list[Any]], first: int) -> None:
        """Gives the cells of the rows, of which `first` is the number, from 0, what a person sees.

        The first column of a range has its value on each row, its other columns are covered. Raises
        RefusedError if ranges cover too much.
        """
        end = first + len(rows)
        while self._waiting and self._waiting[-1].top < end:
            self._open.append(self._waiting.pop())
        for one in self._open:
            for row in range(max(one.top, first), min(one.bottom + 1, end)):
                self._fill(rows[row - first], one, is_first=row == one.top)
        self._open = [one for one in self._open if one.bottom >= end]
        self._values = {one: self._values[one] for one in self._open if one in self._values}

    def _fill(self, row: list[Any], one: "_Range", *, is_first: bool) -> None:
        right = min(one.right, len(row) - 1)
        self._filled += max(right - one.column, 0) + 1
        if self._filled > VALUES:
            raise refusal("too-large", found=f"{self._filled} cellules fusionnées")
        if one.column > right:
            return
        if is_first:
            self._values[one] = row[one.column]
        row[one.column] = self._values.get(one, "")
        for column in range(one.column + 1, right + 1):
            row[column] = ""


class _Range(NamedTuple):
    top: int
    bottom: int
    column: int
    right: int


def shown(value: Any) -> str:
    """The text of a value as Excel shows it."""
    kind = type(value)
    if kind is str:
        text: str = value
    elif kind is float:
        # 15 digits are what Excel shows; whole numbers without a decimal point.
        is_exact = value.is_integer() and abs(value) < _MOST_EXACT
        text = str(int(value)) if is_exact else format(value, ".15g")
    elif kind is bool:
        text = "VRAI" if value else "FAUX"
    else:
        text = _moment(value)
    return text


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return str(value)
