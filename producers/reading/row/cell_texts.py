"""The text of a cell as a person sees it, and cells that hold no value.

Functions take a column of up to a thousand cells: most columns need nothing but a check in C that
nothing is to be done.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from producers.reading.row.column_values import Texts
from producers.reading.text.encoding.repairs import as_written, may_be_misread
from schemas.values.empty_words import empty_words
from schemas.values.public_headers import UNDISCLOSED

_LOST = "\ufffd"
_JOINERS = "\u200c\u200d"
# Soft hyphen, zero width, direction: nobody sees them. Joiners count within a word.
_INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\ufeff"
)
_HIDDEN = re.compile(f"[{_INVISIBLE}{_JOINERS}]")
_REMOVED = dict.fromkeys(map(ord, _INVISIBLE))
_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001))))
_EDGES = _BLANKS + _JOINERS
_NOTHING = frozenset({"", *empty_words("nothing")})
_given = dict.fromkeys(_NOTHING).get


_UNAVAILABLE = empty_words("unavailable")
_ERRORS = empty_words("error")
_PLACEHOLDERS = empty_words("placeholder")
_EMPTY = _UNAVAILABLE | _ERRORS | _PLACEHOLDERS
_WORDS = _NOTHING | _EMPTY


class EmptyCells(NamedTuple):
    """The rows of cells that hold a word for no value, by what it means."""

    unavailable: Sequence[int] = ()
    errors: Sequence[int] = ()
    placeholders: Sequence[int] = ()


class CellTexts(NamedTuple):
    """The texts of a column, None if a cell holds none.

    `corrected`: the rows of ="0123" and of letters that an earlier program took for others; `damaged`:
    those of letters that it lost.
    """

    texts: Texts
    corrected: Sequence[int]
    empty: EmptyCells = EmptyCells()
    damaged: Sequence[int] = ()


def texts_of(cells: Sequence[str]) -> CellTexts:
    """The cells as people see them, without the blanks around them."""
    trimmed = [*cells]
    joined = "".join(cells)
    if len(joined) > max(map(len, joined.split(None, 1)), default=0):
        trimmed = list(map(str.strip, cells))
        joined = "".join(trimmed)
    damaged: Sequence[int] = ()
    corrected: list[int] = []
    if not joined.isascii():
        trimmed = _visible(trimmed, joined)
        corrected = _written(trimmed, joined)
        if corrected or _LOST in joined:
            damaged = [row for row, cell in enumerate(trimmed) if _LOST in cell]
    trimmed = disclosed(trimmed, joined)
    if "=" in joined and any(map(joined.__contains__, _FORMULAS)):
        for row, cell in enumerate(trimmed):
            text = _formula_text(cell)
            if text is not None:
                trimmed[row] = text
                corrected.append(row)
    if _WORDS.isdisjoint(trimmed):
        return CellTexts([*trimmed], corrected, damaged=damaged)
    texts: Texts = list(map(_given, trimmed, trimmed))
    return CellTexts(texts, corrected, _without_words(texts), damaged)


def disclosed(cells: list[str], joined: str) -> list[str]:
    """The cells, which `joined` has all of, blank if their value is not disclosed."""
    if "[" not in joined:
        return cells
    return ["" if UNDISCLOSED.search(cell) else cell for cell in cells]


def _visible(cells: list[str], joined: str) -> list[str]:
    # Western text has one character that nobody sees, and no combining marks.
    is_latin = _encodes(joined, "latin-1") or _encodes(joined, "cp1252")
    if "\u00ad" in joined if is_latin else _HIDDEN.search(joined):
        cells = [
            cell if cell.isascii() else cell.translate(_REMOVED).strip(_EDGES) for cell in cells
        ]
    if not is_latin and not unicodedata.is_normalized("NFC", joined):
        cells = [cell if cell.isascii() else unicodedata.normalize("NFC", cell) for cell in cells]
    return cells


def _written(cells: list[str], joined: str) -> list[int]:
    """Puts the letters into the cells that an earlier program took for others, and returns their rows."""
    if not may_be_misread(joined):
        return []
    texts = [cell if cell.isascii() else as_written(cell) for cell in cells]
    rows = [row for row, text in enumerate(texts) if text != cells[row]]
    cells[:] = texts
    return rows


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


_FORMULAS = ('="', "='", "=“", "=”", "= ")
_QUOTES = (('""', '""'), ('"', '"'), ("'", "'"), ("“", "”"), ("”", "”"))


def _formula_text(cell: str) -> str | None:
    """0123 of ="0123", with which programs keep Excel from reading a number; None of any other cell."""
    if not cell.startswith("="):
        return None
    body = cell[1:].strip()
    for opening, closing in _QUOTES:
        if (
            body.startswith(opening)
            and body.endswith(closing)
            and len(body) >= len(opening) + len(closing)
        ):
            text = body[len(opening) : -len(closing)].replace('""', "\0")
            return None if opening in text else text.replace("\0", '"').strip()
    return None


def _without_words(texts: Texts) -> EmptyCells:
    """Replaces words for no value by None, and returns the rows of those."""
    if _EMPTY.isdisjoint(texts):
        return EmptyCells()
    rows = {row: text for row, text in enumerate(texts) if text in _EMPTY}
    for row in rows:
        texts[row] = None
    return EmptyCells(
        *(
            [row for row, text in rows.items() if text in words]
            for words in (_UNAVAILABLE, _ERRORS, _PLACEHOLDERS)
        )
    )


def says_nothing(text: str) -> bool:
    """Whether a text is an error or another word for no value."""
    return text in _WORDS
