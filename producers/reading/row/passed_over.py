"""Lines that are not rows: the header again, its labels, comments, rules of dashes and padding."""

from collections.abc import Sequence

from producers.reading.header.columns import Header
from producers.reading.header.labels import fold, known
from schemas.import_types import ImportType

_PADDING = " \t\r\n\0\x1a\ufeff"
_RULE = frozenset("-=+:|* ")
_SHORTEST_RULE = 3
_BEGINNINGS = frozenset("#-=+:|*\0\x1a\ufeff ")


class PassedOver:
    """Finds such lines in the blocks below one header. Labels are looked for in the first row only."""

    def __init__(self, import_type: ImportType, header: Header) -> None:
        self._fields = known(import_type, header.names)
        self._import_type = import_type
        self._header = list(map(fold, header.names))
        self._column, name = next(
            ((at, name) for at, name in enumerate(header.names) if name), (0, "")
        )
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
        return not given or is_comment or all(map(_is_rule, given)) or self._is_header(cells)

    def _is_header(self, cells: Sequence[str]) -> bool:
        folded = list(map(fold, cells[: len(self._header)]))
        return len(folded) > len(self._header) // 2 and folded == self._header[: len(folded)]

    def _labels(self, cells: Sequence[str]) -> bool:
        """Whether a line names the fields of the header, as labels below technical names do."""
        if any(cell.replace(" ", "").isdigit() for cell in cells):
            return False  # a row, though the company is called "Nom"
        named = known(self._import_type, cells)
        return len(named) > 1 and 2 * len(named) >= len(self._fields) and named <= self._fields


def _is_rule(text: str) -> bool:
    return len(text) >= _SHORTEST_RULE and _RULE.issuperset(text)
