"""Tables that stand one below another in a part: a header of other columns begins the next one.

Each is read with its own header, as the sheets of a workbook are, and its lines are shown under the
header of all parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from producers.reading.header import header_line
from producers.reading.header.columns import Header
from producers.reading.header.labels import known
from producers.reading.parts.joined_parts import places_in, strange_to
from producers.reading.parts.passed_over import PassedOver
from producers.reading.refusals import RefusedError
from producers.reading.row.row import filled
from producers.reading.table import Block, Part
from schemas.faults import Fault
from schemas.import_types import ImportType


class Section(NamedTuple):
    """The rows at the positions `at` of a block, below one header.

    `places` are the positions of its columns among those of all parts, None if they are the same.
    """

    columns: Header
    places: Sequence[int] | None
    block: Block
    at: Sequence[int]


class _TableBelow(NamedTuple):
    columns: Header
    places: Sequence[int] | None
    passed_over: PassedOver
    fault: Fault | None = None


class StackedTables:
    """The tables of a part, the columns of all parts being those of `whole`."""

    def __init__(self, import_type: ImportType, part: Part, whole: Header) -> None:
        self._import_type = import_type
        self._whole = whole
        self._own = part.columns
        self._table = self._table_of(part.columns, part.places)

    def sections(self, block: Block) -> Iterator[Section]:
        """The rows of the next block."""
        rest: Sequence[int] = filled(block.rows)
        begun = 0
        while rest:
            self._widen(block, rest)
            at, header = self._table.passed_over.rows(block.rows, rest)
            end = len(block.rows) if header is None else header
            yield self._section(block, at, begun, end)
            if header is None:
                return
            rest = [i for i in rest if i > header]
            self._table = self._next(block, header, rest)
            begun = header + 1

    def _widen(self, block: Block, at: Sequence[int]) -> None:
        """Gives the lines of a wider table their cells beyond the header of the part."""
        missing = len(self._table.columns.names) - len(self._own.names)
        for i in at if missing > 0 and block.beyond else ():
            beyond = block.beyond.get(i, ())
            block.rows[i] = [*block.rows[i], *beyond, *[""] * (missing - len(beyond))]

    def _section(self, block: Block, at: Sequence[int], begun: int, end: int) -> Section:
        broken: Mapping[int, Fault] = block.broken
        if begun or end < len(block.rows):
            broken = {i: fault for i, fault in block.broken.items() if begun <= i < end}
        if self._table.fault is not None:
            broken = dict.fromkeys(at, self._table.fault)
        if broken is not block.broken:
            block = replace(block, broken=dict(broken))
        return Section(self._table.columns, self._table.places, block, at)

    def _next(self, block: Block, header: int, rest: Sequence[int]) -> _TableBelow:
        names = [*block.rows[header], *block.beyond.get(header, ())]
        while not names[-1].strip():
            names.pop()
        below = [[*block.rows[i], *block.beyond.get(i, ())][: len(names)] for i in rest]
        kept = {
            name: field
            for name, field in self._own.mapping.items()
            if name in names and known(self._import_type, [name]) != {field}
        }
        try:
            columns = header_line.header_of(names, below, self._import_type, kept)
        except RefusedError as reason:
            return self._unread(block.lines[header], reason.message)
        strange = strange_to(self._own, columns, self._import_type)
        if strange is not None:
            return self._unread(block.lines[header], strange)
        width = len(self._whole.names)
        new = iter(range(width, width + len(names)))
        found = places_in(self._whole, columns)
        places = [next(new) if place is None else place for place in found]
        return self._table_of(columns, places)

    def _unread(self, line: int, why: str) -> _TableBelow:
        fault = Fault(
            None,
            "other-table",
            f"La ligne {line} est un second en-tête, dont la table ne peut pas être lue avec la "
            f"première : mettez-la dans un fichier à part. {why}",
        )
        return self._table_of(self._own, None)._replace(fault=fault)

    def _table_of(self, columns: Header, places: Sequence[int] | None) -> _TableBelow:
        return _TableBelow(columns, places, PassedOver(self._import_type, columns))
