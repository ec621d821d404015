"""The two files of a register in one archive: one table with the columns of both.

SIRENE's companies and establishments have different columns and are rows of one type. Parts of any
other kind need the same header.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from producers.reading.header.columns import Header, recognise
from producers.reading.row.row import fitted, miscounted
from producers.reading.table import Block, Part
from schemas.import_types import ImportType


def can_be_joined(one: Header, other: Header) -> bool:
    """Whether both are of a register, whose lines carry dates of its own."""
    return "source_date" in one.sources and "source_date" in other.sources


def joined(
    parts: Sequence[Part], import_type: ImportType, requested: Mapping[str, str]
) -> Sequence[Part]:
    """The parts with one header, which has the columns of all; those of other parts are blank."""
    headers = [part.columns.names for part in parts]
    if all(header == headers[0] for header in headers):
        return parts
    names = list(dict.fromkeys(name for header in headers for name in header))
    columns = recognise(import_type, names, requested)
    return [replace(part, columns=columns, blocks=_Widened(part, names).blocks) for part in parts]


class _Widened:
    """A part whose lines have the columns `names`."""

    def __init__(self, part: Part, names: Sequence[str]) -> None:
        self._part = part
        self._width = len(part.columns.names)
        at = {name: column for column, name in enumerate(part.columns.names)}
        # One cell more is blank: that of the columns that the part does not have.
        self._from = [at.get(name, self._width) for name in names]
        self._to = {at[name]: column for column, name in enumerate(names) if name in at}

    def blocks(self) -> Iterator[Block]:
        for block in self._part.blocks():
            broken = dict(block.broken)
            rows = []
            for i, row in enumerate(block.rows):
                cells = self._cells(row)
                if cells is None and any(map(str.strip, row)):
                    broken.setdefault(i, miscounted(len(row), self._width))
                rows.append(cells or row)  # of a line that is broken all that was read is kept
            numeric = {self._to[column]: at for column, at in block.numeric.items()}
            yield replace(block, rows=rows, broken=broken, numeric=numeric)

    def _cells(self, row: list[str]) -> list[str] | None:
        """The cells of a line in the columns of all; None if they are too few or too many."""
        cells = fitted(row, self._width, self._width)
        if len(cells) != self._width:
            return None
        cells = [*cells, ""]
        return [cells[column] for column in self._from]
