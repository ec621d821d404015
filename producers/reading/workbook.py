"""Excel workbooks (.xlsx) to lines of cells, by calamine.

calamine holds a whole sheet as a rectangle of cells, and aborts the process when memory runs out:
a file of 2 KB whose last cell is XFD1048576 asks for 550 GB. So the parts of the workbook are
inflated once beforehand, to see how much there is and how far the cells reach.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from producers.reading import archive
from producers.reading.blocks import CHUNK, Block
from producers.reading.refusals import quoted, refusal

_HEAD = 200

T = TypeVar("T")


class Workbook:
    """The sheets of an .xlsx file. Raises RefusedError where it is none that can be read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            archive.check(file)
            file.seek(0)
            self._workbook = _guarded(lambda: CalamineWorkbook.from_filelike(file))

    def sheets(self, told: str | None) -> Iterator["Sheet"]:
        """The sheet of that name, or all visible ones in their order."""
        sheets = [
            sheet
            for sheet in self._workbook.sheets_metadata
            if sheet.typ == SheetTypeEnum.WorkSheet
        ]
        names = [sheet.name for sheet in sheets]
        if told is None:
            names = [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible]
        elif told in names:
            names = [told]
        else:
            raise refusal("unknown-sheet", sheet=told, sheets=quoted(names))
        for name in names:
            yield Sheet(name, self._load(name))

    def _load(self, name: str) -> CalamineSheet:
        return _guarded(lambda: self._workbook.get_sheet_by_name(name))


class Sheet:
    """One sheet, in memory."""

    def __init__(self, name: str, cells: CalamineSheet) -> None:
        self.name = name
        self._cells = cells

    def head(self) -> list[list[str]]:
        """The first 200 lines."""
        return [list(map(_shown, row)) for row in islice(self._cells.iter_rows(), _HEAD)]

    def blocks(self, first_line: int, width: int) -> Iterator[Block]:
        """The lines from `first_line` on, the first `width` cells of each."""
        rows = islice(self._cells.iter_rows(), first_line - 1, None)
        for line in count(first_line, CHUNK):
            some = list(islice(rows, CHUNK))
            if not some:
                return
            yield self._block(some, line, width)

    def _block(self, rows: list[list[Any]], line: int, width: int) -> Block:
        numeric: dict[int, list[int]] = {}
        columns: list[Any] = list(zip(*rows, strict=True))[:width]
        for at, values in enumerate(columns):
            kinds = set(map(type, values))
            if kinds != {str}:
                columns[at] = list(map(_shown, values))
                if float in kinds or int in kinds:
                    numeric[at] = [i for i, v in enumerate(values) if type(v) in (float, int)]
        texts = list(map(list, zip(*columns, strict=True)))
        return Block(range(line, line + len(rows)), texts, self.name, numeric=numeric)


def _shown(value: Any) -> str:
    kind = type(value)
    if kind is str:
        text: str = value
    elif kind is float:
        # 15 digits are what Excel shows; whole numbers without a decimal point.
        text = str(int(value)) if value.is_integer() else format(value, ".15g")
    elif kind is bool:
        text = "vrai" if value else "faux"
    elif kind is datetime:
        text = value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    elif kind is date or kind is time:
        text = value.isoformat()
    else:
        text = str(value)
    return text


def _guarded(load: Callable[[], T]) -> T:
    try:
        return load()
    except PasswordError as error:
        raise refusal("encrypted-workbook") from error
    except (CalamineError, ValueError) as error:
        raise refusal("broken-workbook") from error
    except BaseException as error:
        # What Rust panics become is no Exception and has no name to import.
        if type(error).__name__ == "PanicException":
            raise refusal("broken-workbook") from error
        raise
