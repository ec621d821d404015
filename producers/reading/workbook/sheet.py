"""A sheet of a workbook, as a person sees it: cells to texts, blocks of lines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import count, islice
from typing import Any

from producers.reading.table import CHUNK, Block

_HEAD = 200


@dataclass
class Notes:
    """What a file holds of a sheet besides its values.

    `odd` are the texts of cells whose formula came to an error or was never calculated, by row
    and column from 0.
    """

    hidden_rows: int = 0
    hidden_columns: int = 0
    odd: dict[tuple[int, int], str] = field(default_factory=dict)


MergedRange = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Sheet:
    """`rows` gives the values of all lines from the first on, anew at each call.

    `merged`: the first and the last cell of each merged range, as rows and columns from 0.
    """

    name: str
    rows: Callable[[], Iterator[Sequence[Any]]]
    notes: Notes
    merged: Sequence[MergedRange] = ()

    def head(self) -> list[list[str]]:
        """The first 200 lines."""
        return [list(map(shown, row)) for row in islice(self.rows(), _HEAD)]

    def blocks(self, first_line: int, width: int) -> Iterator[Block]:
        """The lines from `first_line` on, the first `width` cells of each.

        A cell merged with the one above it has the value that stands over both.
        """
        rows = islice(self.rows(), first_line - 1, None)
        tall = _Tall(self.merged)
        odd = self._odd_by_row()
        for line in count(first_line, CHUNK):
            some = list(islice(rows, CHUNK))
            if not some:
                return
            if tall or odd:
                own = [list(row) for row in some]
                _put(own, line - 1, odd)
                tall.fill(own, line - 1)
                some = list(own)
            yield self._block(some, line, width)

    def _odd_by_row(self) -> Mapping[int, list[tuple[int, str]]]:
        by_row: dict[int, list[tuple[int, str]]] = {}
        for (row, column), text in self.notes.odd.items():
            by_row.setdefault(row, []).append((column, text))
        return by_row

    def _block(self, rows: Sequence[Sequence[Any]], line: int, width: int) -> Block:
        numeric: dict[int, list[int]] = {}
        columns: list[Any] = list(zip(*rows, strict=True))[:width]
        for at, values in enumerate(columns):
            kinds = set(map(type, values))
            if kinds != {str}:
                columns[at] = list(map(shown, values))
                if float in kinds or int in kinds:
                    numeric[at] = [i for i, v in enumerate(values) if type(v) in (float, int)]
        texts = list(map(list, zip(*columns, strict=True)))
        lines = range(line, line + len(rows))
        return Block(lines, texts, self.name, numeric=numeric, calculated=True)


def _put(rows: list[list[Any]], first: int, odd: Mapping[int, list[tuple[int, str]]]) -> None:
    for at, row in enumerate(rows, start=first):
        for column, text in odd.get(at, ()):
            if column < len(row):
                row[column] = text


class _Tall:
    """The merged ranges of more than one row, with the value of each once it has been read."""

    def __init__(self, merged: Sequence[MergedRange]) -> None:
        self._ranges = sorted(
            (first[0], last[0], first[1]) for first, last in merged if last[0] > first[0]
        )
        self._values: dict[tuple[int, int], Any] = {}

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def fill(self, rows: list[list[Any]], first: int) -> None:
        """Gives the cells of the rows, of which `first` is the number, from 0, what is above."""
        end = first + len(rows)
        for top, bottom, column in self._ranges:
            if top >= end:
                break
            if bottom < first or column >= len(rows[0]):
                continue
            if top >= first:
                self._values[top, column] = rows[top - first][column]
            value = self._values.get((top, column), "")
            for row in range(max(top, first), min(bottom + 1, end)):
                rows[row - first][column] = value


def shown(value: Any) -> str:
    """The text of a value as Excel shows it."""
    kind = type(value)
    if kind is str:
        text: str = value
    elif kind is float:
        # 15 digits are what Excel shows; whole numbers without a decimal point.
        text = str(int(value)) if value.is_integer() else format(value, ".15g")
    elif kind is bool:
        text = "vrai" if value else "faux"
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
