"""What becomes of the cells of a column."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Texts = list[str | None]


class Values(NamedTuple):
    """The values of a column, and the rows of those that are not simply the cell's text.

    `restored` got back the zeros that they began with, `corrected` were written in another form,
    `malformed` are not values of the kind, `damaged` have a question mark for a letter that was lost.
    """

    values: list[Any]
    restored: Sequence[int] = ()
    malformed: Sequence[int] = ()
    corrected: Sequence[int] = ()
    damaged: Sequence[int] = ()


class Corrected(NamedTuple):
    """A cell's value; whether its zeros were restored, and whether its form was corrected."""

    value: str
    is_corrected: bool = False
    is_restored: bool = False


def correct(texts: Texts, rows: Sequence[int], change: Callable[[str], Corrected]) -> Values:
    """The texts, those at `rows` as `change` makes them."""
    values: Texts = texts.copy()
    restored, corrected = [], []
    for row in rows:
        text = texts[row]
        if text is None:
            continue
        values[row], is_corrected, is_restored = change(text)
        if is_restored:
            restored.append(row)
        if is_corrected:
            corrected.append(row)
    return Values(values, restored, (), corrected)


def recurring(texts: Texts, change: "Memo") -> Values:
    """The texts as a memo of Corrected makes them: few of them differ, and fewer are corrected."""
    changed = {text: change[text] for text in set(texts) if text is not None}
    values = [None if text is None else changed[text].value for text in texts]
    odd = {text for text, found in changed.items() if found.is_corrected or found.is_restored}
    if not odd:
        return Values(values)
    rows = [(row, changed[text]) for row, text in enumerate(texts) if text in odd and text]
    return Values(
        values,
        [row for row, found in rows if found.is_restored],
        (),
        [row for row, found in rows if found.is_corrected],
    )


class Memo(dict[str | None, Any]):
    """What `compute` makes of a text, for columns in which few different texts recur."""

    _ENTRIES = 50_000
    _LENGTH = 64

    def __init__(self, compute: Callable[[str], Any]) -> None:
        super().__init__({None: None})
        self._compute = compute

    def __missing__(self, text: str) -> Any:
        value = self._compute(text)
        if len(text) <= self._LENGTH:
            if len(self) >= self._ENTRIES:
                self.clear()
                self[None] = None
            self[text] = value
        return value


_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_DASHES = dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212), "-")
_APOSTROPHES = dict.fromkeys((0x2018, 0x2019, 0x201B, 0x60, 0xB4, 0x2032), "'")
_ASCII: dict[int, int | str] = {**_FULL_WIDTH, **_DASHES, **_APOSTROPHES}

LONGEST = 400
"""Characters of a cell whose form is corrected; a longer one is not a number or an address."""


def plain(text: str) -> str:
    """The text with ASCII's own digits, letters, dashes and apostrophes for their typographic forms."""
    return text if text.isascii() and "`" not in text else text.translate(_ASCII)
