"""Lines that are not rows: a header again, its labels or types, comments, rules of dashes and padding.

So are lines prepared for rows to come, with nothing but their number, a box to tick or the result of
a formula in a column that is not imported.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from producers.reading.header.columns import Header
from producers.reading.header.labels import fields_by_label, fold, known, label
from producers.reading.parts import remarks
from producers.reading.row.cell_texts import says_nothing
from producers.reading.row.numbers import is_digits
from schemas.import_types import ImportType

_DIGITS = frozenset("0123456789")
_LONGEST_LABEL = 60
_FEW_DIGITS = 4
_PADDING = " \t\r\n\0\x1a\ufeff"
_RULE = frozenset("-=+:|* ")
_SHORTEST_RULE = 3
_BEGINNINGS = frozenset(("", *"#-=+:|*\0\x1a\ufeff "))
_PREPARED = re.compile(r"[0-9]{1,6}(?:[.,]0{1,4})?|faux|false", re.IGNORECASE)


class Rows(NamedTuple):
    """The positions of rows, and of the header below them that has other columns, if one was found."""

    at: Sequence[int]
    header: int | None = None


class PassedOver:
    """Finds such lines in the blocks below one header. Labels are looked for in the first row only."""

    def __init__(self, import_type: ImportType, header: Header) -> None:
        self._fields = known(import_type, header.names)
        self._labels_of_fields = fields_by_label(import_type)
        self._header = list(map(fold, header.names))
        fields = header.mapping
        self._by_column = list(map(fields.get, header.names))
        ticked = {
            name for name, field in fields.items() if import_type.field[field].kind == "boolean"
        }
        spare = {"", *header.unknown, *ticked}
        self._used = {at for at, name in enumerate(header.names) if name not in spare}
        # The lines of a nomenclature that are not activities are known otherwise.
        self._may_be_prepared = not header.nomenclatures and header.activity is None
        self._column, self._is_number = _decisive(import_type, header)
        self._name = header.names[self._column].casefold()
        self._numbers = _DIGITS - {self._name[:1]}
        is_shaped = header.cities is not None or header.activity is not None or header.parents
        self._may_be_stacked = not is_shaped
        self._is_first = True

    def rows(self, cells: Sequence[Sequence[str]], at: Sequence[int]) -> Rows:
        """Those of the filled lines at the positions `at` that are rows, up to a header of other columns."""
        if self._is_first and at:
            self._is_first = False
            at = at[1:] if self._are_labels(cells[at[0]]) else at
        column = self._column
        texts = [row[column] if len(row) > column else row[0] for row in map(cells.__getitem__, at)]
        if self._is_number and self._numbers.issuperset({text[:1] for text in texts}):
            return Rows(at)
        kept: list[int] = []
        for i, text in zip(at, texts, strict=True):
            if self._may_be_none(text) and self._is_none(cells[i]):
                continue
            if self._may_be_header(text, cells[i]) and self._names_columns(cells[i]):
                while kept and self._is_title(cells[kept[-1]]):
                    kept.pop()
                return Rows(kept, i)
            kept.append(i)
        return Rows(kept)

    def _may_be_none(self, text: str) -> bool:
        """Whether the decisive cell of a line lets it be none."""
        if self._is_number:
            some = text[:_LONGEST_LABEL]
            digits = sum(map(str.isdigit, some))
            return digits < _FEW_DIGITS or digits < sum(map(str.isalpha, some))
        return (
            text[:1] in _BEGINNINGS
            or text.strip(_PADDING).casefold() == self._name
            or "tota" in text.casefold()
        )

    def _may_be_header(self, text: str, cells: Sequence[str]) -> bool:
        """Whether a line has a word where a number should be or, without numbers, a label."""
        if not self._may_be_stacked:
            return False
        if self._is_number:
            return not any(map(str.isdigit, text[:_LONGEST_LABEL]))
        short = (cell for cell in cells if len(cell) <= _LONGEST_LABEL)
        return any(fold(cell) in self._labels_of_fields for cell in short)

    def _is_title(self, cells: Sequence[str]) -> bool:
        """Whether a line above a header has nothing but a text."""
        given = [cell for cell in cells if cell.strip()]
        return self._is_number and len(given) == 1 and not is_digits(given[0].strip())

    def _names_columns(self, cells: Sequence[str]) -> bool:
        """Whether at least half of the cells are called as columns, and two of them as fields."""
        given = [cell for cell in cells if cell.strip()]
        if len(given) < 2 or any(is_digits(cell.strip()) for cell in given):
            return False
        labels = [label(self._labels_of_fields, cell) for cell in given]
        fields = {self._labels_of_fields[one] for one in labels if one in self._labels_of_fields}
        columns = sum(one in self._labels_of_fields or one in self._header for one in labels)
        return len(fields) > 1 and 2 * columns >= len(given)

    def _is_none(self, cells: Sequence[str]) -> bool:
        given = [text for cell in cells if (text := cell.strip(_PADDING))]
        if given and len(self._header) > 1 and not says_nothing(given[0]):
            # Where no column is of numbers a name may begin with any sign, and be called anything.
            alone = self._is_number or len(given) == 1
            if alone and remarks.is_comment(given):
                return True
            if remarks.is_total(given) and (self._is_number or len(given) > 1):
                return True
            if self._is_number and remarks.is_footer(given):
                return True
        return all(map(_is_rule, given)) or self._is_header(cells) or self._is_prepared(cells)

    def _is_prepared(self, cells: Sequence[str]) -> bool:
        given = [(at, text) for at, cell in enumerate(cells) if (text := cell.strip(_PADDING))]
        if not given:
            return True
        return self._may_be_prepared and all(
            at not in self._used and (_PREPARED.fullmatch(text) or says_nothing(text))
            for at, text in given
        )

    def _is_header(self, cells: Sequence[str]) -> bool:
        folded = list(map(fold, cells[: len(self._header)]))
        return len(folded) > len(self._header) // 2 and folded == self._header[: len(folded)]

    def _are_labels(self, cells: Sequence[str]) -> bool:
        """Whether a line names the fields of the header, as labels below technical names do, or describes them."""
        if any(cell.replace(" ", "").isdigit() for cell in cells):
            return False  # a row, though the company is called "Nom"
        if remarks.is_description([text for cell in cells if (text := cell.strip())]):
            return True
        labels = [label(self._labels_of_fields, cell) for cell in cells]
        named = [self._labels_of_fields.get(one) for one in labels]
        if any(
            field not in (None, own) for field, own in zip(named, self._by_column, strict=False)
        ):
            return False
        fields = {field for field in named if field is not None}
        return len(fields) > 1 and 2 * len(fields) >= len(self._fields) and fields <= self._fields


_NUMBERS = ("siren", "siret", "postal_code")


def _decisive(import_type: ImportType, header: Header) -> tuple[int, bool]:
    """The column of the key or of another number, else the first that has a name; whether it is of numbers."""
    keys = [field for field in import_type.key_fields if field in header.sources]
    numbers = [name for name in header.sources if import_type.field[name].kind in _NUMBERS]
    of_keys = [name for name in keys if name in numbers]
    for field in (*of_keys, *numbers, *keys):
        return header.sources[field][0][0], field in numbers
    return next((at for at, name in enumerate(header.names) if name), 0), False


def _is_rule(text: str) -> bool:
    return len(text) >= _SHORTEST_RULE and _RULE.issuperset(text)
