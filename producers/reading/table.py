"""One table of a file, in blocks of lines: a text file, a file of an archive or a sheet."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from producers.reading.header.columns import Header
from schemas.faults import Fault

CHUNK = 1000

Format = Literal["csv", "xlsx", "xls", "ods", "json", "jsonl"]


@dataclass(slots=True)
class Block:
    """At most CHUNK lines, blank ones included, with the cells of each.

    `sheet` is the sheet of a workbook or the file of an archive. `broken` gives, by position,
    what keeps a line from being split into cells; `warned` the code of what was repaired in it;
    `numeric`, by column, the positions of numbers in a workbook. `calculated`: the cells are those of
    a workbook, which has formulas.
    """

    lines: Sequence[int]
    rows: list[list[str]]
    sheet: str | None = None
    broken: MutableMapping[int, Fault] = field(default_factory=dict)
    warned: MutableMapping[int, str] = field(default_factory=dict)
    numeric: Mapping[int, Sequence[int]] = field(default_factory=dict)
    calculated: bool = False


@dataclass(frozen=True)
class Part:
    """`name` is None for a text file by itself. `blocks` reads it anew at each call.

    The delimiter's confidence is 0 to 1. The counts of hidden rows, hidden columns and merged cells
    are those that the file states; such cells are read like all others.
    """

    name: str | None
    format: Format
    header_line: int
    columns: Header
    blocks: Callable[[], Iterator[Block]]
    encoding: str | None = None
    encoding_hint: str | None = None
    delimiter: str | None = None
    delimiter_confidence: float | None = None
    hidden_rows: int = 0
    hidden_columns: int = 0
    merged_cells: int = 0
