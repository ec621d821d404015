"""Old Excel workbooks (.xls) to sheets, by xlrd.

calamine reads them too, but follows the chains of sectors of a damaged file for ever and
allocates what its header states; xlrd is Python, and reports what is hidden.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import xlrd
import xlrd.formatting

from producers.reading.refusals import RefusedError, refusal
from producers.reading.table import Format
from producers.reading.workbook.default_password import decrypted
from producers.reading.workbook.open_xml.number_display import Display, display_of
from producers.reading.workbook.open_xml.styled_cells import StyledCells
from producers.reading.workbook.open_xml.xlsx_notes import UNCALCULATED
from producers.reading.workbook.sheet import Notes, Sheet
from producers.reading.workbook.xls_records import CountedBook, uncalculated

BYTES = 256 << 20

_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ERRORS = xlrd.error_text_from_code
_DATE = xlrd.formatting.FDT
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)


class BinaryWorkbook:
    """The sheets of a file, given its bytes. Raises RefusedError if it is none that can be read."""

    format: Format = "xls"

    def __init__(self, content: bytes) -> None:
        self._content = content
        try:
            self._book = _opened(content)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - xlrd raises anything
            self._book = self._otherwise(error)

    def _otherwise(self, error: Exception) -> Any:
        """The workbook that xlrd failed on, decrypted or with its shared texts counted."""
        try:
            if "encrypted" in str(error):
                self._content = decrypted(self._content)
                return _opened(self._content)
            return _counted(self._content)
        except (RefusedError, MemoryError):
            raise
        except Exception:  # noqa: BLE001
            raise _refusal(error) from error

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """As Workbook.sheets."""
        return [
            (name, visibility == 0)
            for name, visibility in zip(
                self._book.sheet_names(), self._book._sheet_visibility, strict=False
            )
        ]

    def sheet(self, name: str) -> Sheet:
        """As Workbook.sheet."""
        try:
            try:
                cells = self._book.sheet_by_name(name)
            except IndexError:  # of a shared text, for example
                self._book = _counted(self._content)
                cells = self._book.sheet_by_name(name)
            merged = [((r, c), (end - 1, last - 1)) for r, end, c, last in cells.merged_cells]
        except MemoryError:
            raise
        except Exception as error:
            raise _refusal(error) from error
        notes = Notes(
            hidden_rows=sum(bool(row.hidden) for row in cells.rowinfo_map.values()),
            hidden_columns=sum(bool(column.hidden) for column in cells.colinfo_map.values()),
            odd=dict.fromkeys(uncalculated(self._book, cells.number), UNCALCULATED),
        )
        return Sheet(name, lambda: self._rows(cells), notes, merged, 0, self._displayed(cells))

    def _displayed(self, cells: Any) -> StyledCells:
        """What numbers are shown as, where that is more than the number."""
        displays = {str(at): self._display(style) for at, style in enumerate(self._book.xf_list)}
        found = StyledCells({at: display for at, display in displays.items() if display})
        if not any(displays.values()):
            return found
        for row in range(cells.nrows):
            for column, kind in enumerate(cells.row_types(row)):
                if kind == xlrd.XL_CELL_NUMBER:
                    found.add(row, column, str(cells.cell_xf_index(row, column)))
        return found

    def _display(self, style: Any) -> Display | None:
        shape = self._book.format_map.get(style.format_key)
        return None if shape is None or shape.type == _DATE else display_of(shape.format_str)

    def _rows(self, cells: Any) -> Iterator[Sequence[Any]]:
        width = cells.ncols
        for row in range(cells.nrows):
            values, kinds = cells.row_values(row), cells.row_types(row)
            if max(kinds, default=0) > xlrd.XL_CELL_NUMBER:
                values = [
                    self._value(cells, row, column, kind, value)
                    for column, (kind, value) in enumerate(zip(kinds, values, strict=True))
                ]
            yield values + [""] * (width - len(values))

    def _value(self, cells: Any, row: int, column: int, kind: int, value: Any) -> Any:
        if kind == xlrd.XL_CELL_DATE:
            return self._moment(value, cells.cell_xf_index(row, column))
        if kind == xlrd.XL_CELL_BOOLEAN:
            return bool(value)
        if kind == xlrd.XL_CELL_ERROR:
            return _ERRORS.get(value, "#VALUE!")
        return value

    def _moment(self, days: float, style: int) -> Any:
        shape = self._book.format_map[self._book.xf_list[style].format_key].format_str
        if _ELAPSED.search(shape):
            return timedelta(days=days)
        try:
            moment = xlrd.xldate_as_datetime(days, self._book.datemode)
        except (ValueError, OverflowError):
            return days
        return moment.time() if 0 <= days < 1 else moment


class _Silence:
    """Where xlrd writes its warnings."""

    def write(self, text: str) -> None:
        """Nothing is done with it."""

    def flush(self) -> None:
        """Nothing is there to flush."""


def is_package(content: bytes) -> bool:
    """Whether an old container holds an encrypted .xlsx workbook."""
    return _ENCRYPTED in content


def _opened(content: bytes) -> Any:
    options = {"formatting_info": True, "ragged_rows": True, "logfile": _Silence()}
    book = xlrd.open_workbook(file_contents=content, on_demand=True, **options)
    if book.codepage is None and book.biff_version < 80:
        # Excel for Windows had no other in France.
        book = xlrd.open_workbook(file_contents=content, encoding_override="cp1252", **options)
    return book


def _counted(content: bytes) -> Any:
    book = CountedBook()
    book.load(file_contents=content, formatting_info=True, ragged_rows=True, logfile=_Silence())
    return book


def _refusal(error: Exception) -> Exception:
    if isinstance(error, xlrd.XLRDError) and "encrypted" in str(error):
        return refusal("encrypted-workbook")
    if isinstance(error, xlrd.XLRDError) and "Can't find workbook" in str(error):
        return refusal("unsupported-format", found="un document Office qui n'est pas un classeur")
    return refusal("broken-workbook")
