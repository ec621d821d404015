"""How much the sheets of an .ods workbook come to in calamine, and what else they hold.

A cell and a line may be repeated (table:number-columns-repeated), and one tag may be many blanks.
LibreOffice writes a last empty line for the million that follow, which costs nothing; a value
that is repeated is copied, and so are the empty cells before a value. calamine looks for the end of
a table for ever if the XML is broken off: so that is looked at first.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product

from producers.reading.refusals import refusal
from producers.reading.workbook.markup import Attributes, Markup
from producers.reading.workbook.memory_limit import CELLS, HELD_BYTES, TEXT_BYTES, VALUES
from producers.reading.workbook.open_document.odf_names import (
    BLANKS,
    CALCULATED_TYPE,
    CELL_TAGS,
    COLUMN,
    COLUMNS_REPEATED,
    COLUMNS_SPANNED,
    DISPLAY,
    FORMULA,
    LINE_BREAK,
    NAME,
    PROPERTIES,
    ROW,
    ROWS_REPEATED,
    ROWS_SPANNED,
    SPACES,
    STYLE,
    STYLE_NAME,
    TAB,
    TABLE,
    TABLE_STYLE,
    VALUE,
    VALUE_TYPE,
    VISIBILITY,
)
from producers.reading.workbook.open_xml.styled_cells import ShownTexts
from producers.reading.workbook.open_xml.xlsx_notes import UNCALCULATED
from producers.reading.workbook.sheet import Notes

_COLUMNS, _ROWS = 16_384, 1_048_576
_CELLS = CELLS // 2  # calamine holds a formula beside each
_MOST_NOTES = 200_000
_UNSEEN = ("collapse", "filter")
# What LibreOffice and Excel display for an error; some give it a number as its value besides.
_ERROR = re.compile(r"#[A-ZÀ-Ý][A-ZÀ-Ý0-9/_ ]*+[!?]?|(?:Err|Erreur) ?:[0-9]{3}")
_SHOWN_LENGTH = 60
_NUMBERS = ("float", "currency", "percentage")


class Tables:
    """What is read of the sheets: `notes` and `displayed` by their names, and whether each is `visible`.

    `scattered`: calamine cannot hold the few values that they have.
    """

    def __init__(self) -> None:
        self.notes: dict[str, Notes] = {}
        self.displayed: dict[str, ShownTexts] = {}
        self.visible: dict[str, bool] = {}
        self.scattered = False
        self._sheet = Notes()
        self._displayed = ShownTexts()
        self._cells = self._values = self._text_size = 0  # of all sheets
        self._rows = self._widest = 0  # of this sheet
        self._row_times = 1
        self._width = self._pending = self._row_values = self._row_text = 0  # of this line
        self._cell: Attributes = {}
        self._times = 1
        self._size = 0  # of this cell's text
        self._shown: list[str] | None = None
        self._shown_size = 0
        self._style = ""
        self._undisplayed: set[str] = set()
        self._starts: Mapping[str, Callable[[Attributes], None]] = {
            TABLE: self._table,
            ROW: self._row,
            COLUMN: self._column,
            SPACES: self._spaces,
            **dict.fromkeys((TAB, LINE_BREAK), self._unseen),
            STYLE: self._a_style,
            PROPERTIES: self._properties,
            **dict.fromkeys(CELL_TAGS, self._begin_cell),
        }
        self._ends: Mapping[str, Callable[[], None]] = {
            ROW: self._end_row,
            TABLE: self._end_table,
            **dict.fromkeys(CELL_TAGS, self._end_cell),
        }
        self._markup = Markup(self._start, self._end, self._text, namespaces=True)

    def feed(self, xml: bytes) -> None:
        """One block of content.xml, ending where a tag begins. Raises RefusedError."""
        self._markup.feed(xml)
        if self._values > VALUES // 2:
            raise refusal("too-large", found=f"{self._values} cellules en tout")
        if self._text_size + self._row_text + self._size > TEXT_BYTES:
            raise refusal("too-large", found=f"plus de {TEXT_BYTES >> 20} Mio de texte")

    def finish(self) -> None:
        """Raises RefusedError if the XML breaks off."""
        self._markup.close()
        held = self._cells <= _CELLS and self._text_size <= HELD_BYTES
        self.scattered = self.scattered or not held

    def _start(self, name: str, attributes: Attributes) -> None:
        begin = self._starts.get(name)
        if begin is not None:
            begin(attributes)

    def _end(self, name: str) -> None:
        end = self._ends.get(name)
        if end is not None:
            end()

    def _text(self, text: str) -> None:
        self._size += len(text)
        if self._shown is not None and self._shown_size <= _SHOWN_LENGTH:
            self._shown.append(text)
            self._shown_size += len(text)

    def _spaces(self, attributes: Attributes) -> None:
        self._size += count(attributes, BLANKS, TEXT_BYTES + 1)

    def _unseen(self, attributes: Attributes) -> None:
        """calamine does not see what separates these words."""
        self.scattered = True

    def _a_style(self, attributes: Attributes) -> None:
        self._style = attributes.get(STYLE_NAME, "")

    def _properties(self, attributes: Attributes) -> None:
        if attributes.get(DISPLAY) == "false":
            self._undisplayed.add(self._style)

    def _table(self, attributes: Attributes) -> None:
        name = attributes.get(NAME, "")
        if name in self.notes or len(self.notes) > _COLUMNS:
            raise refusal("broken-workbook")  # their rows could not be distinguished
        self._sheet = self.notes[name] = Notes()
        self._displayed = self.displayed[name] = ShownTexts()
        self.visible[name] = attributes.get(TABLE_STYLE) not in self._undisplayed
        self._rows = self._widest = 0

    def _column(self, attributes: Attributes) -> None:
        if attributes.get(VISIBILITY) in _UNSEEN:
            self._sheet.hidden_columns += count(attributes, COLUMNS_REPEATED, _COLUMNS)

    def _row(self, attributes: Attributes) -> None:
        self._row_times = count(attributes, ROWS_REPEATED, _ROWS)
        self._width = self._pending = self._row_values = self._row_text = 0
        if attributes.get(VISIBILITY) in _UNSEEN:
            self._sheet.hidden_rows += self._row_times

    def _begin_cell(self, attributes: Attributes) -> None:
        self._cell = attributes
        self._times = count(attributes, COLUMNS_REPEATED, _COLUMNS)
        self._size = sum(map(len, attributes.values()))
        self._shown = [] if VALUE_TYPE in attributes or FORMULA in attributes else None
        self._shown_size = 0
        rows, columns = (count(attributes, n, _ROWS) for n in (ROWS_SPANNED, COLUMNS_SPANNED))
        if rows > 1 or columns > 1:
            at = self._rows, self._width + self._pending
            self._sheet.merged.append((at, (at[0] + rows - 1, at[1] + columns - 1)))
            self._check_notes()

    def _end_cell(self) -> None:
        if self._shown is None:
            self._pending += self._times
            return
        self._width = min(self._width + self._pending, _COLUMNS)
        self._pending = 0
        self._judge("".join(self._shown).strip())
        self._sheet.columns[self._width] += 1
        self._width = min(self._width + self._times, _COLUMNS)
        self._sheet.columns[self._width - 1] += 1
        self._row_values += self._times
        self._row_text += self._size * self._times
        self._shown = None
        self._size = 0

    def _judge(self, text: str) -> None:
        """A formula without a result, an error, or a number that is shown otherwise, is noted."""
        odd = None
        if self._cell.get(CALCULATED_TYPE) == "error":
            odd = text if text.startswith("#") else UNCALCULATED
        elif VALUE_TYPE not in self._cell:
            odd = None if text else UNCALCULATED
        elif self._cell[VALUE_TYPE] != "string" and _ERROR.fullmatch(text):
            odd = text if text.startswith("#") else UNCALCULATED
        if odd is not None:
            for row, column in self._places():
                self._sheet.odd[row, column] = odd
                self._check_notes()
        elif self._cell.get(VALUE_TYPE) in _NUMBERS and self._says_more(text):
            for row, column in self._places():
                self._displayed.add(row, column, text)

    def _says_more(self, text: str) -> bool:
        """Whether what is shown of a number is not simply the number."""
        return text.replace(",", ".") not in ("", self._cell.get(VALUE))

    def _places(self) -> Iterator[tuple[int, int]]:
        """Row and column of each cell that the present one is repeated as."""
        columns = range(self._width, min(self._width + self._times, _COLUMNS))
        return product(range(self._rows, self._rows + self._row_times), columns)

    def _check_notes(self) -> None:
        if len(self._sheet.odd) > _MOST_NOTES or len(self._sheet.merged) > _MOST_NOTES:
            raise refusal("too-large", found=f"plus de {_MOST_NOTES} formules sans résultat")

    def _end_row(self) -> None:
        self._rows += self._row_times
        self._cells += self._width
        self._values += self._row_values * self._row_times
        self._text_size += self._row_text * self._row_times
        self._row_text = self._row_values = 0
        if self._width:
            self._widest = max(self._widest, self._width)
            self.scattered = self.scattered or self._rows * self._widest > _CELLS

    def _end_table(self) -> None:
        area = self._rows * self._widest
        self._cells += area if area <= _CELLS else 0


def count(attributes: Attributes, name: str, most: int) -> int:
    """How often an element is repeated that is written once."""
    text = attributes.get(name, "1").strip().lstrip("+")
    return min(int(text[:12]), most) if text.isdecimal() else 1
