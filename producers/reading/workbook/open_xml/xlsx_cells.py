"""The values of a sheet of an .xlsx workbook, cell by cell, where calamine cannot read it.

Parts that are named otherwise, errors that calamine does not know, CDATA, numbers that are none,
and sheets of few values that lie far from each other.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from producers.reading.refusals import refusal
from producers.reading.workbook.markup import Attributes, Markup, local
from producers.reading.workbook.memory_limit import TEXTS
from producers.reading.workbook.open_xml import number_formats
from producers.reading.workbook.open_xml.number_formats import NumberFormats
from producers.reading.workbook.open_xml.package import Package
from producers.reading.workbook.open_xml.xlsx_notes import place
from producers.reading.workbook.zip_parts import inflated

_CHARACTERS = 128 << 20
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_DAYS = 2_958_466  # up to the end of the year 9999


class SharedTexts:
    """The texts that cells share, in order. Raises RefusedError if they are too many."""

    def __init__(self, package: Package) -> None:
        self.texts: list[str] = []
        self._left = _CHARACTERS
        self._pieces: list[str] = []
        self._inside = False
        self._phonetic = False
        if package.strings is not None:
            package.read(package.strings, Markup(self._start, self._end, self._text))

    def _start(self, name: str, attributes: Attributes) -> None:
        tag = local(name)
        self._inside = tag == "t" and not self._phonetic
        if tag == "rPh":
            self._phonetic = True

    def _text(self, text: str) -> None:
        if self._inside:
            self._pieces.append(text)
            self._left -= len(text)
            if self._left < 0:
                raise refusal("too-large", found=f"plus de {_CHARACTERS >> 20} Mio de texte")

    def _end(self, name: str) -> None:
        tag = local(name)
        self._inside = False
        if tag == "rPh":
            self._phonetic = False
        elif tag == "si":
            self.texts.append(unescaped("".join(self._pieces)))
            self._pieces = []
            if len(self.texts) > TEXTS:
                raise refusal("too-large", found=f"plus de {TEXTS} textes")


def rows_of(package: Package, part: str, shared: SharedTexts) -> Iterator[Mapping[int, Any]]:
    """The lines of the sheet that `part` is, from the first on, as values by columns from 0.

    Raises RefusedError.
    """
    sheet = _Rows(shared.texts, NumberFormats(package), from_1904=package.from_1904)
    given = 0
    for block in chain(inflated(package.archive, package.archive.getinfo(part)), [None]):
        if block is None:
            sheet.markup.close()
        else:
            sheet.markup.feed(block)
        for row, values in sheet.take(all_of_them=block is None):
            for _ in range(row - given):
                yield {}
            yield values
            given = row + 1


class _Rows:
    def __init__(self, texts: list[str], formats: NumberFormats, *, from_1904: bool) -> None:
        self._texts, self._formats = texts, formats
        self._first_day = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30)  # noqa: DTZ001 - as Excel has it
        self._rows: list[tuple[int, dict[int, Any]]] = []
        self._row, self._column = -1, -1
        self._cell: Attributes = {}
        self._value: list[str] | None = None
        self._inside = self._phonetic = False
        self._tags: dict[str, str] = {}
        self._types: Mapping[str, Callable[[str], Any]] = {
            "s": self._shared,
            "str": unescaped,
            "inlineStr": unescaped,
            "b": lambda text: text.strip() in ("1", "true"),
            "e": lambda text: "",  # it is among the notes
            "d": _moment,
        }
        self.markup = Markup(self._start, self._end, self._text)

    def take(self, *, all_of_them: bool) -> Iterator[tuple[int, Mapping[int, Any]]]:
        """The rows that are complete, by their numbers from 0: the last one only at the end."""
        end = len(self._rows) if all_of_them else max(len(self._rows) - 1, 0)
        rows, self._rows = self._rows[:end], self._rows[end:]
        yield from rows

    def _start(self, name: str, attributes: Attributes) -> None:
        tag = self._tags.get(name)
        if tag is None:
            tag = self._tags[name] = local(name)
        if tag == "c":
            self._begin(attributes)
        elif tag == "row":
            number = attributes.get("r", "")
            self._row = int(number[:8]) - 1 if number.isdecimal() else self._row + 1
            self._column = -1
        elif tag == "rPh":
            self._phonetic = True
        elif tag == "v" or (tag == "t" and not self._phonetic):
            self._inside = True
            self._value = [] if self._value is None else self._value

    def _begin(self, attributes: Attributes) -> None:
        self._cell, self._value = attributes, None
        if reference := attributes.get("r"):
            self._row, self._column = place(reference)
        else:
            self._column += 1

    def _text(self, text: str) -> None:
        if self._inside and self._value is not None:
            self._value.append(text)

    def _end(self, name: str) -> None:
        tag = self._tags.get(name)
        self._inside = False
        if tag == "c":
            if self._value is not None:
                self._put(self._read("".join(self._value)))
            self._value = None
        elif tag == "rPh":
            self._phonetic = False

    def _read(self, text: str) -> Any:
        read = self._types.get(self._cell.get("t", "n"))
        return self._number(text) if read is None else read(text)

    def _shared(self, text: str) -> str:
        at = int(text) if text.strip().isdecimal() and len(text) < 10 else -1
        if not text.strip():
            return ""
        if not 0 <= at < len(self._texts):
            raise refusal("broken-workbook")
        return self._texts[at]

    def _number(self, text: str) -> Any:
        try:
            number = float(text)
        except ValueError:
            return unescaped(text)
        kind = self._formats.of(self._cell.get("s"))
        if kind == number_formats.NUMBER or not 0 <= number < _DAYS:
            return number
        if kind == number_formats.DURATION:
            return timedelta(days=number)
        moment = self._first_day + timedelta(seconds=round(number * 86_400))
        return moment.time() if number < 1 else moment

    def _put(self, value: Any) -> None:
        if value == "":
            return
        if not self._rows or self._rows[-1][0] < self._row:
            self._rows.append((self._row, {}))
        elif self._rows[-1][0] > self._row:
            raise refusal("broken-workbook")  # the rows are not in order
        self._rows[-1][1][self._column] = value


def _moment(text: str) -> Any:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def unescaped(text: str) -> str:
    """A text with its characters that are written as _xHHHH_ (ECMA-376 part 1, 22.9.2.19)."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
