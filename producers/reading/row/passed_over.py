"""Lines that are not rows: the header again, its labels, comments, rules of dashes and padding.

So are lines prepared for rows to come, with nothing but their number, a box to tick or the result of
a formula in a column that is not imported.
"""

import re
from collections.abc import Sequence

from producers.reading.header.columns import Header
from producers.reading.header.labels import fold, known
from producers.reading.row.cell_texts import says_nothing
from schemas.import_types import ImportType

_PADDING = " \t\r\n\0\x1a\ufeff"
_RULE = frozenset("-=+:|* ")
_SHORTEST_RULE = 3
_BEGINNINGS = frozenset(("", *"#-=+:|*\0\x1a\ufeff "))
_PREPARED = re.compile(r"[0-9]{1,6}(?:[.,]0{1,4})?|faux|false", re.IGNORECASE)


class PassedOver:
    """Finds such lines in the blocks below one header. Labels are looked for in the first row only."""

    def __init__(self, import_type: ImportType, header: Header) -> None:
        self._fields = known(import_type, header.names)
        self._import_type = import_type
        self._header = list(map(fold, header.names))
        ticked = {
            name
            for name, field in header.mapping.items()
            if import_type.field[field].kind == "boolean"
        }
        spare = {"", *header.unknown, *ticked}
        self._used = {at for at, name in enumerate(header.names) if name not in spare}
        # The lines of a nomenclature that are not activities are known otherwise.
        self._may_be_prepared = not header.nomenclatures and header.activity is None
        self._column = _decisive(import_type, header)
        name = header.names[self._column]
        self._name = name.casefold()
        self._beginnings = _BEGINNINGS | {name[:1].lower(), name[:1].upper()}
        self._is_first = True

    def rows(self, cells: Sequence[Sequence[str]], at: Sequence[int]) -> Sequence[int]:
        """Those of the filled lines at the positions `at` that are rows."""
        if self._is_first and at:
            self._is_first = False
            at = at[1:] if self._labels(cells[at[0]]) else at
        column = self._column
        texts = [row[column] if len(row) > column else row[0] for row in map(cells.__getitem__, at)]
        if self._beginnings.isdisjoint({text[:1] for text in texts}):
            return at
        return [
            i
            for i, text in zip(at, texts, strict=True)
            if not (self._may_be_none(text) and self._is_none(cells[i]))
        ]

    def _may_be_none(self, text: str) -> bool:
        return text[:1] in _BEGINNINGS or text.strip(_PADDING).casefold() == self._name

    def _is_none(self, cells: Sequence[str]) -> bool:
        given = [text for cell in cells if (text := cell.strip(_PADDING))]
        is_comment = len(given) == 1 and given[0].startswith("#") and len(self._header) > 1
        if is_comment and not says_nothing(given[0]):
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

    def _labels(self, cells: Sequence[str]) -> bool:
        """Whether a line names the fields of the header, as labels below technical names do."""
        if any(cell.replace(" ", "").isdigit() for cell in cells):
            return False  # a row, though the company is called "Nom"
        named = known(self._import_type, cells)
        return len(named) > 1 and 2 * len(named) >= len(self._fields) and named <= self._fields


def _decisive(import_type: ImportType, header: Header) -> int:
    """The column of the key, else the first that has a name."""
    for field in import_type.key_fields:
        if field in header.sources:
            return header.sources[field][0][0]
    return next((at for at, name in enumerate(header.names) if name), 0)


def _is_rule(text: str) -> bool:
    return len(text) >= _SHORTEST_RULE and _RULE.issuperset(text)
