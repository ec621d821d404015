"""One table of a file, in blocks of lines: a text file, a file of an archive or a sheet."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from producers.reading.header.columns import Header
from schemas.faults import Fault

CHUNK = 1000
CHARACTERS = 4 << 20
"""Of lines that are held at once."""

Format = Literal["csv", "xlsx", "xls", "ods", "json", "jsonl"]


@dataclass(slots=True)
class Block:
    """At most CHUNK lines, blank ones included, with the cells of each.

    `sheet` is the sheet of a workbook or the file of an archive. `broken` gives, by position,
    what keeps a line from being split into cells; `warned` the code of what was repaired in it;
    `numeric`, by column, the positions of numbers in a workbook. `calculated`: the cells are those of
    a workbook, which has formulas. `beyond`: of a workbook's lines that have cells beyond the
    header, by position, these cells. `displayed` finds by column, which most imports want few of, the
    texts by position as which numbers are shown, where that is more than the number: None where only
    a spreadsheet knows.
    """

    lines: Sequence[int]
    rows: list[list[str]]
    sheet: str | None = None
    broken: MutableMapping[int, Fault] = field(default_factory=dict)
    warned: MutableMapping[int, str] = field(default_factory=dict)
    numeric: Mapping[int, Sequence[int]] = field(default_factory=dict)
    calculated: bool = False
    displayed: Mapping[int, Callable[[], Mapping[int, str | None]]] = field(default_factory=dict)
    beyond: Mapping[int, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """`name` is None for a text file by itself. `blocks` reads it anew at each call.

    The delimiter's confidence is 0 to 1. The counts of hidden rows, hidden columns and merged cells
    are those that the file states; such cells are read like all others. `places` are the
    positions of its columns among those of all parts, None if all have the same columns.
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
    places: Sequence[int] | None = None


_Item = TypeVar("_Item")


def chunked(items: Iterable[_Item], length: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Lists of CHUNK items, or fewer of CHARACTERS together; `length` gives those of one."""
    chunk: list[_Item] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += length(item)
        if len(chunk) == CHUNK or characters >= CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
