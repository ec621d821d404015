"""What both kinds of file are read into, before rows are made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.faults import Fault

CHUNK = 1000


@dataclass(slots=True)
class Block:
    """At most CHUNK lines, blank ones included, with the cells of each.

    `sheet` is the sheet of a workbook or the file of an archive. `broken` says by position what keeps a line from being split into cells, `numeric` by column
    at which positions a workbook holds a number.
    """

    lines: Sequence[int]
    rows: list[list[str]]
    sheet: str | None = None
    broken: Mapping[int, Fault] = field(default_factory=dict)
    numeric: Mapping[int, Sequence[int]] = field(default_factory=dict)
