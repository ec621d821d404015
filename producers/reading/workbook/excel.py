"""Excel and LibreOffice workbooks (.xlsx, .ods) to sheets, by calamine.

calamine holds a whole sheet as a rectangle of cells, and aborts the process if memory runs
out: producers/reading/workbook/size_guard.py looks beforehand at how much there is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from producers.reading.refusals import refusal
from producers.reading.table import Format
from producers.reading.workbook import size_guard
from producers.reading.workbook.sheet import Notes, Sheet


class Workbook:
    """The sheets of an open file. Raises RefusedError if it is none that can be read."""

    def __init__(self, file: BinaryIO) -> None:
        self.format: Format
        self.format, self._notes = size_guard.check(file)
        file.seek(0)
        with _guarded():
            self._workbook = CalamineWorkbook.from_filelike(file)

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """The names of the sheets that hold cells, in their order, and whether each is visible."""
        return [
            (sheet.name, sheet.visible == SheetVisibleEnum.Visible)
            for sheet in self._workbook.sheets_metadata
            if sheet.typ == SheetTypeEnum.WorkSheet
        ]

    def sheet(self, name: str) -> Sheet:
        """The sheet of that name, loaded. Raises RefusedError."""
        with _guarded():
            cells = self._workbook.get_sheet_by_name(name)
            merged = cells.merged_cell_ranges or ()

        def rows() -> Iterator[Sequence[Any]]:
            with _guarded():
                yield from cells.iter_rows()

        return Sheet(name, rows, self._notes.get(name) or Notes(), merged)


@contextmanager
def _guarded() -> Iterator[None]:
    """Whatever a reader of workbooks raises within is a refusal."""
    try:
        yield
    except PasswordError as error:
        raise refusal("encrypted-workbook") from error
    except (CalamineError, ValueError) as error:
        raise refusal("broken-workbook") from error
    except BaseException as error:
        # What Rust panics become is not an Exception and does not have a name to import.
        if type(error).__name__ == "PanicException":
            raise refusal("broken-workbook") from error
        raise
