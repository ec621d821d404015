"""What the sheets of an .xlsx workbook hold that calamine does not report, and how far they reach.

A sheet is up to half a gigabyte of XML, which nearly all programs write in one form: patterns find
in a second whether it has that form and nothing worth a note. Only if not, its tags are read.
"""

import re
from array import array
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from producers.reading.refusals import refusal
from producers.reading.workbook.markup import Attributes, Markup, local
from producers.reading.workbook.memory_limit import TEXT_BYTES
from producers.reading.workbook.open_xml.styled_cells import StyledCells, column_of
from producers.reading.workbook.sheet import Notes

UNCALCULATED = "#CALC!"
"""The text of a formula whose value the file does not hold, as Excel has it for another cause."""

_MOST_ODD = 200_000
_LONGEST = 40_000
_BEGINNING = 64  # in UTF-16 it has a NUL
_COLUMNS, _ROWS = 16_384, 1_048_576
_TRUE = ("1", "true", "on")

_SOME = 1 << 16
_PREFIXED = re.compile(rb":c[\s/>]")
_ROW = re.compile(rb'<row r="([0-9]{1,7})"')


def _has(xml: bytes, letter: bytes, text: bytes) -> bool:
    """Whether the block has the text: that it lacks one of its letters is found out in no time."""
    return letter in xml and text in xml


class _References(NamedTuple):
    """References of cells down to a row, and what finds cells beyond them or of another form.

    `other` also finds errors; `farther` takes half as long and looks at no attribute.
    """

    digits: int
    other: re.Pattern[bytes]
    farther: re.Pattern[bytes]

    @property
    def rows(self) -> int:
        return int("9" * self.digits)

    def lack(self, xml: bytes, *, exactly: bool) -> bool:
        """Whether the block has cells beyond them, of another form or in error: an error's text is #..."""
        if exactly or b"#" in xml or _has(xml, b"e", b't="e"'):
            return self.other.search(xml) is not None
        return self.farther.search(xml) is not None


@cache
def _references(columns: bytes, digits: int) -> _References:
    cell = rb'<c(?! r="%s[0-9]{1,%d}"%%s)[\s/>]' % (columns, digits)
    return _References(
        digits,
        re.compile(cell % rb'(?: (?!t="e")[sctvp][a-z]?="[A-Za-z0-9]*+")*+ ?/?>'),
        re.compile(cell % rb" ?+[sctvp/>]"),
    )


def _forms(columns: bytes, *digits: int) -> tuple[_References, ...]:
    return tuple(_references(columns, most) for most in digits)


# Each from the rows that it begins with to those that it may reach.
_NEAR = (
    _forms(b"[A-Z]", 3, 4, 5, 6),
    _forms(b"[A-D]?[A-Z]", 3, 4, 5),
    _forms(b"[A-Z]{1,2}", 3, 4),
)
_FAR_ROWS = 99_999
_COLUMN_OF = re.compile(rb'<c r="([A-Z]{1,2})')
_ROW_OF = re.compile(rb'<c r="[A-Z]{1,2}([0-9]{1,6})')
_FORMULA = rb"<f(?=[\s/>])(?![^<>]*+(?:/>|>[^<]*+</f>)\s*+<v>%s[^<]++</v>)"
_UNCALCULATED = re.compile(_FORMULA % rb"(?!0\.0<)")
_ZERO_OR_UNCALCULATED = re.compile(_FORMULA % rb"(?!0[.0]*<)")
_HIDDEN = re.compile(rb"""\shidden\s*+=\s*+["'](?!0["']|false["'])""")
_REFERENCE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")


class Look:
    """A first look at a part. `usual`: its cells have the usual form and are near the first one;
    `noteworthy`: it has something that a note is worth. `texts`: how many it has for cells to share.

    A sheet holds no texts that are shared. Of one that is `styled` the form of all attributes matters.
    """

    def __init__(
        self, *, is_sheet: bool, recalculated: bool, shares: bool = True, styled: bool = False
    ) -> None:
        self.texts = 0
        self._rows, self._columns = 0, set[bytes]()
        self._may_hold_texts = not is_sheet
        self._shares = shares
        self._row = 0
        self._formula = _ZERO_OR_UNCALCULATED if recalculated else _UNCALCULATED
        self._near: tuple[tuple[_References, ...], ...] = _NEAR
        self._styled = styled
        # Those up to the last column that is known; None if that is not one letter.
        self._known: _References | None = None
        self.noteworthy = False
        self.plain = True
        self.shared = 0
        self.longest = 0
        self._open = 0

    @property
    def usual(self) -> bool:
        """See above."""
        return bool(self._near) and self.plain

    @property
    def cells(self) -> int:
        """The rectangle from the first cell to the last ones if they are usual: ten times as many rows at
        most, and no more than there are beyond 99,999."""
        columns = 1 + max(map(column_of, self._columns), default=-1)
        return (self._rows or self._near[0][0].rows) * columns

    def feed(self, xml: bytes) -> None:
        """One block of the part, ending where a tag begins."""
        if self.usual:
            self.plain = not (
                (_has(xml, b":", b":c") and _PREFIXED.search(xml))
                or _has(xml, b"!", b"<!")
                or b"\0" in xml[:_BEGINNING]
            )
            if self._known is None or self._known.lack(xml, exactly=self._styled):
                self._widen(xml)
        if self._shares:
            self.shared += xml.count(b't="s"')
        if self._may_hold_texts:
            self.texts += xml.count(b"<si")
            self._measure(xml)
            return
        if self.usual and self._near[0][0].rows > _FAR_ROWS:
            self._rows = max(self._rows, _FAR_ROWS, *map(int, {*_ROW_OF.findall(xml), b"0"}))
        self._number(list(map(int, _ROW.findall(xml))))
        if not self.noteworthy:
            self.noteworthy = (_has(xml, b"h", b"hidden") and bool(_HIDDEN.search(xml))) or (
                _has(xml, b"f", b"<f") and bool(self._formula.search(xml))
            )

    def _widen(self, xml: bytes) -> None:
        """Takes the last rows of the block for all of it: they are the farthest ones as a rule."""
        if not self._may_hold_texts and len(xml) > 2 * _SOME:
            self._widen(xml[xml.find(b"<", -_SOME) :])
            if self._known is not None and not self._known.lack(xml, exactly=self._styled):
                return
        self._near = _fitting(self._near, xml, exactly=self._styled)
        if not self._near or self._may_hold_texts:
            return
        self._columns.update(_COLUMN_OF.findall(xml))
        last = max(self._columns, key=lambda name: (len(name), name), default=b"")
        if len(last) == 1:
            self._known = _references(b"[A-%c]" % last, self._near[0][0].digits)
        else:
            self._known = None

    def _number(self, rows: Sequence[int]) -> None:
        """Raises RefusedError if two rows have one number: each reader would mix other cells of both."""
        if len(set(rows)) < len(rows) or (rows and rows[0] == self._row):
            raise refusal("broken-workbook")
        self._row = rows[-1] if rows else self._row

    def _measure(self, xml: bytes) -> None:
        if b"</si>" in xml:
            first, *others = xml.split(b"</si>")
            self.longest = max(self.longest, self._open + len(first), *map(len, others))
            self._open = len(others[-1])
        else:
            self._open += len(xml)
            if b":si" in xml:
                self.longest = max(self.longest, _LONGEST)


def _fitting(
    near: tuple[tuple[_References, ...], ...], xml: bytes, *, exactly: bool
) -> tuple[tuple[_References, ...], ...]:
    """The first forms that fit a block, which those of all later ones begin with."""
    for forms in near:
        for at, form in enumerate(forms):
            if not form.lack(xml, exactly=exactly):
                return (forms[at:],)
    return ()


class Cells:
    """The tags of a sheet, read one by one: its notes, and how much of it holds values.

    `sharing` cells have texts that cells share, which come to `shared` characters by their `lengths`. `cdata`: a value may be
    written in a way that calamine does not see.
    """

    def __init__(
        self,
        *,
        recalculated: bool,
        lengths: Sequence[int] | None = None,
        styled: StyledCells | None = None,
    ) -> None:
        self.notes = Notes()
        self._styled = styled
        self.rows = 0
        self.cells = self.sharing = self.shared = 0
        self.cdata = False
        self._recalculated = recalculated
        self._lengths = lengths
        self._row, self._column = -1, -1
        self._type: str | None = None
        self._formula = self._inside = False
        self._value: list[str] | None = None
        self._size = 0
        self._starts: dict[str, str] = {}
        self.markup = Markup(self._start, self._end, self._text)
        self.markup.on_unusual(self._see_cdata)

    @property
    def width(self) -> int:
        """The number of columns from the first one to the last that holds a value."""
        return max(self.notes.columns, default=-1) + 1

    def _see_cdata(self) -> None:
        self.cdata = True

    def _start(self, name: str, attributes: Attributes) -> None:
        tag = self._starts.get(name)
        if tag is None:
            tag = self._starts[name] = local(name)
        if tag == "c":
            self._cell(attributes)
        elif tag in ("v", "is"):
            self._value = []
            self._size = 0
            self._inside = tag == "v"
        elif tag == "f":
            self._formula = True
        elif tag in _OTHERS:
            _OTHERS[tag](self, attributes)

    def _cell(self, attributes: Attributes) -> None:
        reference = attributes.get("r")
        if reference:
            self._row, self._column = place(reference)
        else:
            self._column += 1  # it is to the right of the one before it
            if self._column >= _COLUMNS:
                raise refusal("broken-workbook")
        self._type = attributes.get("t")
        if self._styled is not None:
            self._styled.add(self._row, self._column, attributes.get("s"))
        self._formula = False
        self._value = None

    def new_row(self, attributes: Attributes) -> None:
        """A row begins."""
        number = attributes.get("r", "")
        row = int(number) - 1 if number.isdecimal() and len(number) < 8 else self._row + 1
        if row == self._row:
            raise refusal("broken-workbook")  # as of Look
        self._row = row
        self._column = -1
        if self._row >= _ROWS:
            raise refusal("broken-workbook")
        if attributes.get("hidden") in _TRUE:
            self.notes.hidden_rows += 1

    def column_widths(self, attributes: Attributes) -> None:
        """What holds for some columns."""
        if attributes.get("hidden") in _TRUE:
            first, last = attributes.get("min", ""), attributes.get("max", "")
            if first.isdecimal() and last.isdecimal() and len(last) < 6:
                self.notes.hidden_columns += max(int(last) - int(first) + 1, 0)

    def merge(self, attributes: Attributes) -> None:
        """A merged range."""
        first, _, last = attributes.get("ref", "").partition(":")
        if first and last:
            self.notes.merged.append((place(first), place(last)))
            if len(self.notes.merged) > _MOST_ODD:
                raise refusal("too-large", found=f"plus de {_MOST_ODD} cellules fusionnées")

    def _text(self, text: str) -> None:
        if self._inside and self._value is not None and self._size < _LONGEST:
            self._value.append(text)
            self._size += len(text)

    def _end(self, name: str) -> None:
        tag = self._starts.get(name)
        if tag == "v":
            self._inside = False
        elif tag == "c":
            self._close()

    def _close(self) -> None:
        text = None if self._value is None else "".join(self._value)
        self._value = None
        if text is not None:
            self.cells += 1
            self.notes.columns[self._column] += 1
            self.rows = max(self.rows, self._row + 1)
        if self._type == "s":
            self._share(text)
        elif self._formula or self._type == "e":
            self._judge(text)

    def _share(self, text: str | None) -> None:
        self.sharing += 1
        at = int(text) if text and text.strip().isdecimal() and len(text) < 10 else -1
        if self._lengths is not None and 0 <= at < len(self._lengths):
            self.shared += self._lengths[at]

    def _judge(self, text: str | None) -> None:
        """A formula, or an error."""
        odd = None
        if self._type == "e":
            odd = (text or "").strip() or UNCALCULATED
        elif not text and self._type != "str":  # an empty text is a value
            odd = UNCALCULATED
        elif text and self._type in (None, "n") and not text.strip("0. "):
            # Those that do not calculate write 0: XlsxWriter as such, Apache POI with its point.
            odd = UNCALCULATED if self._recalculated or text == "0.0" else None
        if odd is not None:
            self.notes.odd[self._row, self._column] = odd
            if len(self.notes.odd) > _MOST_ODD:
                raise refusal("too-large", found=f"plus de {_MOST_ODD} formules sans résultat")


_OTHERS = {"row": Cells.new_row, "col": Cells.column_widths, "mergeCell": Cells.merge}


def place(reference: str) -> tuple[int, int]:
    """Row and column, from 0, of a reference like B7. Raises RefusedError if it is none."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        # calamine may read another column out of it than we do, a billion to the right.
        raise refusal("broken-workbook")
    column, row = column_of(found[1].upper().encode()), int(found[2])
    if column >= _COLUMNS or not 0 < row <= _ROWS:
        raise refusal("broken-workbook")
    return row - 1, column


class TextLengths:
    """The lengths of the shared texts, in the order of their part."""

    def __init__(self) -> None:
        self.lengths = array("I")
        self._length = 0
        self.markup = Markup(self._start, self._end, self._text)

    def _start(self, name: str, attributes: Attributes) -> None:
        if local(name) == "si":
            self._length = 0

    def _text(self, text: str) -> None:
        self._length += len(text)

    def _end(self, name: str) -> None:
        if local(name) == "si":
            self.lengths.append(min(self._length, TEXT_BYTES))
