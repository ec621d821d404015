"""How much the sheets of an .ods workbook come to in calamine, and what else they hold.

A cell and a line may stand for many ("table:number-columns-repeated"), and a tag for many blanks.
LibreOffice writes a last empty line for the million that follow, which costs nothing; a value
that is repeated is copied, and so are the empty cells before a value. It looks for the end of a table
for ever if the XML is broken off: so that is looked at first.
"""

import re
from collections.abc import Mapping
from html import unescape
from xml.parsers import expat

from producers.reading.refusals import refusal
from producers.reading.workbook.memory_limit import CELLS, TEXT_BYTES
from producers.reading.workbook.sheet import Notes
from producers.reading.workbook.xlsx_notes import UNCALCULATED

_TAG = re.compile(
    rb"<(/?)table:(table|table-row|table-cell|covered-table-cell|table-column)(?=[\s/>])"
    rb"""((?:[^<>"']|"[^"<]*"|'[^'<]*')*+)>"""
)
_REPEATED = re.compile(rb"""table:number-(?:columns|rows)-repeated\s*=\s*["']\s*\+?([0-9]{1,18})""")
_NAME = re.compile(rb"""table:name\s*=\s*["']([^"'<>]*)""")
_BLANKS = re.compile(rb"""text:c\s*=\s*["']\s*\+?([0-9]+)""")
_UNSEEN = re.compile(rb"""table:visibility\s*=\s*["'](?:collapse|filter)""")
_ERROR = re.compile(rb"""calcext:value-type\s*=\s*["']error""")

_COLUMNS, _ROWS = 16_384, 1_048_576
_CELLS = CELLS // 2  # calamine holds a formula beside each


class Tables:
    """What is read of the sheets so far."""

    def __init__(self) -> None:
        self._notes: dict[str, Notes] = {}
        self._sheet = Notes()
        self._cells = 0  # of all sheets
        self._rows = self._widest = 0  # of this sheet
        self._row_times = 1
        self._width = self._pending = 0  # of this line
        self._copies = self._blanks = self._longest = 0
        self._parser = expat.ParserCreate()

    def feed(self, xml: bytes) -> None:
        """One block of content.xml, ending where a tag begins. Raises RefusedError."""
        self._parse(xml)
        if b"text:c" in xml:
            self._blanks += sum(int(number[:12]) for number in _BLANKS.findall(xml))
        last = 0
        for found in _TAG.finditer(xml):
            self._longest = max(self._longest, found.start() - last)
            last = found.end()
            closing, tag, attributes = found.groups()
            if not closing:
                self._open(tag, attributes)
            if closing or attributes.endswith(b"/"):
                self._close(tag)
        self._longest = max(self._longest, len(xml) - last)
        self._check()

    def finish(self) -> Mapping[str, Notes]:
        """The notes on the sheets by their names. Raises RefusedError if the XML breaks off."""
        self._parse(b"", final=True)
        return self._notes

    def _parse(self, xml: bytes, *, final: bool = False) -> None:
        try:
            self._parser.Parse(xml, final)
        except (expat.ExpatError, LookupError, ValueError) as error:  # or an unknown encoding
            raise refusal("broken-workbook") from error

    def _open(self, tag: bytes, attributes: bytes) -> None:
        repeated = _REPEATED.search(attributes)
        times = int(repeated[1]) if repeated else 1
        if tag == b"table":
            named = _NAME.search(attributes)
            name = unescape(named[1].decode(errors="replace")) if named else ""
            self._sheet = self._notes[name] = Notes()
            self._rows = self._widest = 0
        elif tag == b"table-column":
            if _UNSEEN.search(attributes):
                self._sheet.hidden_columns += min(times, _COLUMNS)
        elif tag == b"table-row":
            self._row_times = min(times, _ROWS)
            self._width = self._pending = 0
            if _UNSEEN.search(attributes):
                self._sheet.hidden_rows += self._row_times
        else:
            self._cell(attributes, times)

    def _cell(self, attributes: bytes, times: int) -> None:
        self._width = min(self._width + self._pending, _COLUMNS)
        self._pending = 0
        if b"office:" not in attributes and b"formula" not in attributes:
            self._pending = times
            return
        times = min(times, _COLUMNS)
        if b"formula" in attributes and (
            b"office:value-type" not in attributes or _ERROR.search(attributes)
        ):
            self._sheet.odd[self._rows, self._width] = UNCALCULATED
        self._width = min(self._width + times, _COLUMNS)
        self._copies += times * self._row_times - 1

    def _close(self, tag: bytes) -> None:
        if tag == b"table-row":
            self._rows += self._row_times
            self._cells += self._width
            if self._width:
                self._widest = max(self._widest, self._width)
                self._check_area()
        elif tag == b"table":
            self._cells += self._rows * self._widest if self._rows * self._widest <= _CELLS else 0

    def _check_area(self) -> None:
        if self._rows * self._widest > _CELLS:
            raise refusal("too-large", found=f"{self._rows} lignes de {self._widest} colonnes")

    def _check(self) -> None:
        if self._cells > 2 * _CELLS or len(self._sheet.odd) > _CELLS:
            raise refusal("too-large", found=f"{self._cells} cellules en tout")
        if self._blanks > TEXT_BYTES or self._copies * self._longest > TEXT_BYTES:
            raise refusal("too-large", found=f"plus de {TEXT_BYTES >> 20} Mio de texte")
