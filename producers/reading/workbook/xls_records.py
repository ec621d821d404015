"""What the records of an old workbook (.xls) hold that xlrd does not read, or not as they are.

[MS-XLS], and OpenOffice.org's Documentation of the Excel File Format for BIFF2 to BIFF5.
"""

import struct
from collections.abc import Iterator
from typing import Any

from xlrd.book import XL_WORKBOOK_GLOBALS, Book, unpack_SST_table

from producers.reading.container.workbook_beginnings import BARE

_EOF, _FORMULA, _CONTINUE = 0x000A, 0x0006, 0x003C
_CALCULATE_ON_LOAD = 2
_NO_TEXT = b"\x03\0\0\0\0\0\xff\xff"
_HEADER = struct.Struct("<HH")
_RESULT = struct.Struct("<HHH8sHI")
_SHORTEST_TEXT = 3


class CountedBook(Book):  # type: ignore[misc]
    """A workbook whose number of shared texts is counted, not believed."""

    def load(self, **options: Any) -> None:
        """As xlrd.open_workbook for BIFF5 and later, sheets on demand."""
        self.biff2_8_load(on_demand=True, **options)
        self.biff_version = self.getbof(XL_WORKBOOK_GLOBALS)
        self.parse_globals()
        self._sheet_list = [None for _ in self._sheet_names]
        self.nsheets = len(self._sheet_list)

    def handle_sst(self, data: bytes) -> None:
        """Reads as many texts as there are."""
        blocks = [data]
        while True:
            code, _, block = self.get_record_parts_conditional(_CONTINUE)
            if code is None:
                break
            blocks.append(block)
        fewest, most = 0, sum(map(len, blocks)) // _SHORTEST_TEXT
        while fewest < most:
            middle = (fewest + most + 1) // 2
            try:
                unpack_SST_table(blocks, middle)
            except (AssertionError, IndexError, ValueError, TypeError, struct.error):
                most = middle - 1
            else:
                fewest = middle
        self._sharedstrings, self._rich_text_runlist_map = unpack_SST_table(blocks, fewest)


def uncalculated(book: Book, sheet: int) -> Iterator[tuple[int, int]]:
    """Row and column of the formulas that are to be calculated when opened and have 0 as a result, which
    Apache POI writes, or no text and none of the marks that spreadsheets leave, which xlwt writes.
    """
    if book.biff_version < 50:
        return
    content, at = book.mem, book._sh_abs_posn[sheet]
    depth = 0
    while at + 4 <= len(content):
        opcode, length = _HEADER.unpack_from(content, at)
        at += 4
        if opcode in BARE:
            depth += 1
        elif opcode == _EOF:
            depth -= 1
            if depth <= 0:
                return
        elif opcode == _FORMULA and length >= _RESULT.size and at + length <= len(content):
            row, column, _, result, options, chain = _RESULT.unpack_from(content, at)
            is_no_text = result == _NO_TEXT and not options and not chain
            if is_no_text or (options & _CALCULATE_ON_LOAD and not any(result)):
                yield row, column
        at += length
