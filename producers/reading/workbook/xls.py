"""Old Excel workbooks (.xls) to sheets, by xlrd.

calamine reads them too, but follows the chains of sectors of a damaged file for ever and
allocates what its header states; xlrd is Python, and reports what is hidden.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, BinaryIO

import xlrd

from producers.reading.refusals import refusal
from producers.reading.table import Format
from producers.reading.workbook.sheet import Notes, Sheet

BYTES = 256 << 20

_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ERRORS = xlrd.error_text_from_code
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)


class BinaryWorkbook:
    """The sheets of an open file. Raises RefusedError if it is none that can be read."""

    format: Format = "xls"

    def __init__(self, file: BinaryIO) -> None:
        content = file.read(BYTES + 1)
        if len(content) > BYTES:
            raise refusal("too-large", found=f"plus de {BYTES >> 20} Mio")
        if _ENCRYPTED in content:  # an .xlsx with a password
            raise refusal("encrypted-workbook")
        try:
            self._book = xlrd.open_workbook(
                file_contents=content,
                on_demand=True,
                formatting_info=True,
                ragged_rows=True,
                logfile=_Silence(),
            )
        except Exception as error:
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
            cells = self._book.sheet_by_name(name)
            merged = [((r, c), (end - 1, last - 1)) for r, end, c, last in cells.merged_cells]
        except Exception as error:
            raise _refusal(error) from error
        notes = Notes(
            hidden_rows=sum(bool(row.hidden) for row in cells.rowinfo_map.values()),
            hidden_columns=sum(bool(column.hidden) for column in cells.colinfo_map.values()),
        )
        return Sheet(name, lambda: self._rows(cells), notes, merged)

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


def _refusal(error: Exception) -> Exception:
    if isinstance(error, xlrd.XLRDError) and "encrypted" in str(error):
        return refusal("encrypted-workbook")
    if isinstance(error, xlrd.XLRDError) and "Can't find workbook" in str(error):
        return refusal("unsupported-format", found="un document Office qui n'est pas un classeur")
    return refusal("broken-workbook")
